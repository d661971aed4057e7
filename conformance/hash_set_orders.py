"""The order in which a real Java HashSet lists strings: recordings, and random comparisons.

Shell.

    python -m conformance.hash_set_orders       writes tests/testdata/java_order/orders.jsonl.gz

A script is a list of steps: ``+`` and ``-`` with a name, ``?`` (list the set) and ``clone`` (list a
clone of it) with the order that Java (HashSetOrders.java) answered.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Final

import attrs

from conformance.oracle import OracleMissingError
from pyzk.data.java_order import HashTable

SOURCE: Final = Path(__file__).parent / "HashSetOrders.java"
RECORDED: Final = (
    Path(__file__).parents[1] / "tests" / "testdata" / "java_order" / "orders.jsonl.gz"
)
LENGTHS: Final = (10, 40, 150, 400)

Step = tuple[str, str | list[str]]


@attrs.define
class Script:
    """The steps of one set, and the order in which it then lists its names."""

    kind: str
    capacity: int
    steps: list[Step]


def _meeting(rng: random.Random, length: int) -> str:
    """Returns a string; all strings of one length from here have the same hash."""
    return "".join(rng.choice(("Aa", "BB", "C#")) for _ in range(length))


def _name(kind: str, rng: random.Random, pool: int) -> str:
    if kind == "sequential" or (kind == "mixed" and rng.random() < 0.4):
        return f"node-{rng.randrange(pool):010d}"
    if kind == "random":
        return f"{rng.getrandbits(64):x}"
    if kind == "unicode":
        letters = "aé\u4e2d\uffee\U0001f600\U00010000"
        return "".join(rng.choice(letters) for _ in range(rng.randrange(1, 6)))
    prefix = rng.choice(("", "\U0001f600", "é")) if kind == "mixed" else ""
    return prefix + _meeting(rng, 4)


KINDS: Final = ("sequential", "random", "unicode", "meeting", "mixed")
"""In ``meeting`` all names are in one bucket of the set, in ``mixed`` some are."""


def make(rng: random.Random, kind: str, length: int) -> Script:
    """Return a script without its answers."""
    script = Script(kind, rng.choice((8, 16)), [])
    there: dict[str, None] = {}
    pool = rng.choice((20, 200, 2000))
    growth = 1.0
    for number in range(length):
        if number % 40 == 0:
            growth = rng.choice((0.2, 0.5, 0.7, 0.9, 1.0))
        if not there or rng.random() < growth:
            name = _name(kind, rng, pool)
            if name not in there:
                script.steps.append(("+", name))
                there[name] = None
        else:
            name = rng.choice(list(there))
            script.steps.append(("-", name))
            del there[name]
        if rng.random() < 8 / (8 + len(there)):
            script.steps.append((rng.choice(("?", "?", "?", "clone")), []))
    script.steps.append(("?", []))
    return script


def ask(scripts: list[Script]) -> None:
    """Fill in Java's answers. Raises OracleMissingError if there is no Java."""
    if shutil.which("java") is None:
        raise OracleMissingError("no java on PATH")
    lines = []
    for script in scripts:
        lines.append(f"new {script.capacity}")
        for what, name in script.steps:
            lines.append(what if isinstance(name, list) else f"{what} {_hex(name)}")
    answered = subprocess.run(
        ["java", str(SOURCE)],
        input="\n".join(lines) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    answers = iter(answered)
    for script in scripts:
        script.steps = [
            (what, [_text(word) for word in next(answers).split()] if what in ("?", "clone") else x)
            for what, x in script.steps
        ]


def _hex(name: str) -> str:
    return name.encode("utf-16-be").hex()


def _text(word: str) -> str:
    return bytes.fromhex(word).decode("utf-16-be")


def compare(rng: random.Random, count: int) -> str:
    """Play new scripts here and in Java; raise AssertionError with the first difference."""
    scripts = [make(rng, KINDS[i % len(KINDS)], rng.choice(LENGTHS)) for i in range(count)]
    ask(scripts)
    asked = 0
    for script in scripts:
        table = HashTable(script.capacity)
        for number, (what, x) in enumerate(script.steps):
            if what == "+":
                table.extend([str(x)])
            elif what == "-":
                table.remove(str(x))
            else:
                asked += 1
                order = table.names()
                ours = order if what == "?" else HashTable.clone_of(order).names()
                assert ours == x, f"step {number} of {script}: here {ours}"
    return f"{asked} orders of {count} sets equal"


def record() -> None:
    """Write the recordings anew."""
    rng = random.Random(7)
    scripts = [make(rng, kind, length) for length in LENGTHS for kind in KINDS for _ in range(3)]
    grown = Script("grown", 8, [("+", f"lock-{number:010d}") for number in range(3000)])
    grown.steps.append(("?", []))
    grown.steps += [("-", f"lock-{number:010d}") for number in range(40, 3000)]
    grown.steps += [("?", []), ("clone", [])]
    scripts.append(grown)
    ask(scripts)
    RECORDED.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(attrs.astuple(script)) + "\n" for script in scripts)
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))


def load() -> list[Script]:
    """Return the recordings."""
    found = []
    for line in gzip.decompress(RECORDED.read_bytes()).splitlines():
        kind, capacity, steps = json.loads(line)
        found.append(Script(kind, capacity, [(what, x) for what, x in steps]))
    return found


if __name__ == "__main__":
    record()
