"""Write the phases of Zab into docs/zab.md, between its two markers: diagrams, tables, differences.

Shell. `python -m scripts.gen_zab [--check]`. The rows are those of the tables by which
`pyzk/quorum/leader.py`, `learner_handler.py`, `learner.py`, `follower.py` and `observer.py` work;
what happens is said by the docstring of what takes the event, what a phase is by the docstring of
the module, and a difference by the last paragraph of a module that has one.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from pyzk.quorum import follower, leader, learner, learner_handler, observer, packets
from scripts import generated

TARGET: Final = generated.DOCS / "zab.md"
QUORUM: Final = Path(leader.__file__).parent
DIFFERENCES: Final = "Where this differs from ZooKeeper, on purpose"
WIDTH: Final = 118
_PHASE: Final = re.compile(r"^([A-Z_]+)  +(.+)$")


class Step(NamedTuple):
    """A row of a table."""

    phase: str
    event: str
    take: Callable[..., None]
    next_phase: str


class Machine(NamedTuple):
    """What has phases of its own."""

    title: str
    module: ModuleType
    first: str
    steps: list[Step]


def phases(module: ModuleType) -> dict[str, str]:
    """Return the phases that the docstring of a module lists: name -> what it says."""
    lines = (inspect.getdoc(module) or "").splitlines()
    found = (_PHASE.match(line.strip()) for line in lines if line.startswith("    "))
    return {match[1]: match[2] for match in found if match}


def steps_of(module: ModuleType, *tables: object) -> Iterator[Step]:
    """Return the rows of tables (phase, event) -> what takes it, or that and the next phase."""
    names = {getattr(module, name): name for name in phases(module)}
    for table in tables:
        assert isinstance(table, dict), table
        for (phase, event), step in table.items():
            take, next_phase = step if isinstance(step, tuple) else (step, phase)
            said = packets.type_name(event) if isinstance(event, int) else event
            yield Step(names[phase], said, take, names[next_phase])


def served() -> Iterator[Step]:
    """Return the rows of what followers and observers take in BROADCAST, shared rows once."""
    tables: dict[str, dict[int, object]] = {
        "follower": {**follower.FOLLOWER_PACKETS},
        "observer": {**observer.OBSERVER_PACKETS},
    }
    shared = tables["follower"].items() & tables["observer"].items()
    for who, steps in tables.items():
        for kind, take in steps.items():
            assert callable(take), take
            said = packets.type_name(kind)
            if (kind, take) not in shared:
                yield Step("BROADCAST", f"{said} ({who})", take, "BROADCAST")
            elif who == "follower":
                yield Step("BROADCAST", said, take, "BROADCAST")


def only_observers() -> dict[tuple[int, int], object]:
    """Return what an observer takes up to UPTODATE and a follower does not."""
    known = learner.FOLLOWER_STEPS
    return {key: step for key, step in learner.OBSERVER_STEPS.items() if key not in known}


def machines() -> Iterator[Machine]:
    """Yield what has phases of its own, read from the source: compiled, a module has no names for
    its numbers."""
    yield Machine(
        "The leader",
        leader,
        "DISCOVERY",
        list(steps_of(leader, leader.EVENTS, leader.LEARNER_EVENTS)),
    )
    yield Machine(
        "The leader's handler of one learner",
        learner_handler,
        "AWAIT_INFO",
        list(steps_of(learner_handler, learner_handler.PACKETS, learner_handler.EVENTS)),
    )
    yield Machine(
        "A learner",
        learner,
        "CONNECTING",
        [
            *steps_of(learner, learner.EVENTS, learner.FOLLOWER_STEPS),
            *(
                step._replace(event=f"{step.event} (observer)")
                for step in steps_of(learner, only_observers())
            ),
            *served(),
        ],
    )


def diagram(machine: Machine) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {machine.first}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for step in machine.steps:
        if step.phase != step.next_phase:
            arrows.setdefault((step.phase, step.next_phase), []).append(step.event)
    for (phase, next_phase), events in arrows.items():
        yield f"    {phase} --> {next_phase}: {' / '.join(events)}"
    yield "```"


def table(machine: Machine) -> Iterator[str]:
    """Return the rows by phase; an event that many phases take and stay in has one row."""
    order = list(phases(machine.module))
    staying: dict[tuple[str, object], list[str]] = {}
    for step in machine.steps:
        if step.phase == step.next_phase:
            staying.setdefault((step.event, step.take), []).append(step.phase)
    yield "| phase | event | what happens | next phase |"
    yield "| --- | --- | --- | --- |"
    for step in sorted(machine.steps, key=lambda step: order.index(step.phase)):
        where, goal = [step.phase], step.next_phase
        if step.phase == step.next_phase:
            where, goal = sorted(staying[step.event, step.take], key=order.index), "the same"
            if where[0] != step.phase:
                continue
        said = first_sentence(step.take)
        yield f"| {', '.join(where)} | {step.event} | {said} | {goal} |"


def first_sentence(take: Callable[..., None]) -> str:
    paragraph = (inspect.getdoc(take) or "").split("\n\n")[0]
    assert paragraph, f"{take.__qualname__} does not say what it does"
    return " ".join(paragraph.split())


def differences() -> Iterator[str]:
    for path in sorted(QUORUM.glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        _, found, rest = docstring.partition(DIFFERENCES)
        if found:
            yield f"### quorum/{path.name}\n"
            text = rest.lstrip(",:; ").strip()
            for paragraph in re.split(r"\n\n|\n(?=- )", text[0].upper() + text[1:]):
                indent = "  " if paragraph.startswith("- ") else ""
                yield textwrap.fill(" ".join(paragraph.split()), WIDTH, subsequent_indent=indent)
                yield ""


def generate(text: str) -> str:
    """Return `text` with the part between the markers written anew."""
    out: list[str] = []
    for machine in machines():
        out.append(f"\n## {machine.title}\n")
        out += [f"- `{name}`: {text}" for name, text in phases(machine.module).items()]
        out += ["", *diagram(machine), "", *table(machine)]
    out += ["\n## Differences from ZooKeeper\n", *differences()]
    return generated.replaced(text, "gen_zab", "\n".join(out[:-1]))


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
