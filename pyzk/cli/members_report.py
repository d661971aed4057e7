"""How `pyzk members` shows what is, what it is going to do, and what became of it.

Pure. Each report has two forms, text for people and values for JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from pyzk.cli.members_change import Change, client_place, hosts_of, server_line
from pyzk.cli.members_checks import Finding, Observed
from pyzk.config.members import Membership, QuorumServer
from pyzk.int64 import hex_digits
from pyzk.runtime.addresses import place
from pyzk.zxid import format_zxid


class Outcome:
    """The exit codes; docs/operations.md says what to do."""

    DONE: Final = 0
    """It is done, or there was nothing to do; with --dry-run: nothing is in the way."""
    UNAVAILABLE: Final = 3
    """No server that was asked takes writes."""
    REFUSED: Final = 4
    """Something is in the way, and nothing was changed."""
    UNFINISHED: Final = 5
    """A part was done, or it is not known what became of it."""


UNKNOWN_OUTCOME: Final = "unknown-outcome"
"""The name of the problem that nobody knows whether a change was made."""
SUPER_KEY: Final = "DigestAuthenticationProvider.superDigest"
SHARED_KEYS: Final = (
    "tickTime",
    "initLimit",
    "syncLimit",
    SUPER_KEY,
    "4lw.commands.whitelist",
)
"""Keys that a new server takes over from the `zoo.cfg` of the others, as those have them."""

_WORDS: Final = {
    Outcome.DONE: "done",
    Outcome.UNAVAILABLE: "unavailable",
    Outcome.REFUSED: "refused",
    Outcome.UNFINISHED: "unfinished",
}


@attrs.define
class Step:
    """One change of several, and whether it was made."""

    change: Change
    notes: list[str]
    result: Membership | None = None
    """The configuration that it has led to; None as long as it is not made."""


@attrs.define
class Report:
    """What was asked for, and what became of it."""

    is_dry: bool = False
    is_look: bool = False
    """Whether no change was asked for."""
    outcome: int = Outcome.DONE
    steps: list[Step] = attrs.field(factory=list)
    """The changes, those that were made first."""
    problems: list[Finding] = attrs.field(factory=list)
    overridden: list[Finding] = attrs.field(factory=list)
    """The problems in spite of which it was done, by order."""
    notes: list[str] = attrs.field(factory=list)
    others: Sequence[QuorumServer] = ()
    """The servers that are to be members."""
    observed: Observed | None = None

    def fail(self, outcome: int, check: str, text: str) -> None:
        """Note why it ends here."""
        self.end(outcome)
        self.problems.append(Finding(check, text))

    def end(self, outcome: int) -> None:
        """Note how it ends. If a change was made before, a refusal leaves work unfinished."""
        is_begun = self.is_rest or any(step.result is not None for step in self.steps)
        if outcome == Outcome.REFUSED and is_begun:
            outcome = Outcome.UNFINISHED
        self.outcome = outcome

    @property
    def is_unknown(self) -> bool:
        """Whether it is not known what became of a change."""
        return any(each.check == UNKNOWN_OUTCOME for each in self.problems)

    @property
    def is_rest(self) -> bool:
        """Whether an earlier command has begun what this one was to finish."""
        return not self.is_dry and bool(self.steps) and self.steps[0].change.is_rest

    @property
    def newcomers(self) -> list[QuorumServer]:
        """The servers that are to join, or have joined, and are not in sync: they need their files.

        Each has the role with which it is to be started.
        """
        if self.observed is None or (self.problems and not self.steps):
            return []  # it is not known whether any of them is to join
        found = []
        for server in self.others:
            present = self.observed.membership.member(server.sid)
            if present is None or hosts_of(present) != hosts_of(server):
                joins = (step.change.after.member(server.sid) for step in self.steps)
                started = next((x for x in joins if x is not None and x != present), server)
            elif attrs.evolve(present, is_observer=server.is_observer) == server:
                started = present
            else:
                continue  # it runs, and gets other ports
            if self.observed.why_not_in_sync(started) is not None:
                found.append(started)
        return found

    def summary(self) -> str:
        """Return the verdict in one line."""
        made = [step for step in self.steps if step.result is not None]
        word = _WORDS[self.outcome]
        if self.outcome == Outcome.DONE:
            if not self.steps:
                return "nothing to do: the members are as they were to become"
            if self.is_dry:
                return "nothing is in the way (--dry-run: nothing was changed)"
            assert made[-1].result is not None
            version = hex_digits(made[-1].result.version)
            return f"done: the configuration is now {version}"
        if made:
            return (
                f"{word}: {len(made)} of {len(self.steps)} steps are done; the same command goes on"
                " from there"
            )
        if self.outcome == Outcome.UNAVAILABLE or self.is_look:
            return word
        if self.outcome == Outcome.UNFINISHED and self.is_unknown:
            return f"{word}: it is not known whether the change was made"
        if self.outcome == Outcome.UNFINISHED:
            return (
                f"{word}: nothing was changed now, but a part was done before; the same command"
                " goes on from there"
            )
        return f"{word}: nothing was changed"


# --- tables ---------------------------------------------------------------------------


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _how(observed: Observed, member: QuorumServer | None) -> str:
    """Return how a server is, in a few words."""
    server = None if member is None else observed.of(member)
    if server is None:
        return "not known"
    if server.problem is not None:
        return server.problem.partition(":")[0]
    if server.lag:
        return f"{server.mode}, {server.lag} behind"
    return server.mode


def render_list(observed: Observed) -> str:
    """Return the members as a table."""
    rows = [("ID", "ROLE", "ADDRESS", "CLIENTS", "MODE", "ZXID", "LAG", "VERSION")]
    for member in observed.membership.members:
        server = observed.of(member)
        shown = ("-", "-", "-")
        if server is not None and server.is_serving:
            lag = "-" if server.lag is None else str(server.lag)
            shown = (format_zxid(server.zxid), lag, server.version)
        mode = _how(observed, member).partition(",")[0]
        rows.append(
            (str(member.sid), _role(member), _addresses(member), _clients(member), mode, *shown)
        )
    membership = observed.membership
    voters, observers = len(membership.voters), len(membership.observers)
    text = f"configuration {hex_digits(membership.version)}: {_count(voters, 'voter')}"
    if observers:
        text += f", {_count(observers, 'observer')}"
    text += f"; {_quorum(membership)}"
    warnings = [f"  warning: {each}" for each in observed.warnings]
    return "\n".join([*_table(rows), "", text, *warnings]) + "\n"


def _role(member: QuorumServer) -> str:
    return "observer" if member.is_observer else "participant"


def _addresses(member: QuorumServer) -> str:
    return "|".join(str(address) for address in member.addresses)


def _clients(member: QuorumServer) -> str:
    where = client_place(member)
    return "-" if where is None else place(*where)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _quorum(membership: Membership) -> str:
    if membership.groups:
        groups = ", ".join(
            f"{gid} ({', '.join(map(str, sids))})" for gid, sids in membership.groups
        )
        return f"a quorum is most of the weight in most of the groups {groups}"
    return f"{len(membership.voters) // 2 + 1} are a quorum"


def render_step(step: Step, observed: Observed, number: int, count: int) -> str:
    """Return what one change is going to do.

    How the servers are is shown with the first one only: nobody knows how they will be later.
    """
    change = step.change
    lines = [change.title if count == 1 else f"step {number} of {count}: {change.title}"]
    rows = [("", "ID", *(["MODE"] if number == 1 else []), "BEFORE", "AFTER")]
    sids = {member.sid for member in (*change.before.members, *change.after.members)}
    for sid in sorted(sids):
        before, after = change.before.member(sid), change.after.member(sid)
        mark, text = " ", "the same"
        if before != after:
            mark = "+" if before is None else "-" if after is None else "*"
            text = "-" if after is None else str(after)
        mode = [_how(observed, after if before is None else before)] if number == 1 else []
        rows.append((mark, str(sid), *mode, "-" if before is None else str(before), text))
    lines += [f"  {line}" for line in _table(rows)]
    lines.append(f"  {_voters(change)}")
    lines += [f"  note: {text}" for text in step.notes]
    return "\n".join(lines) + "\n"


def _voters(change: Change) -> str:
    before, after = len(change.before.voters), len(change.after.voters)
    count = _count(after, "voter")
    count += ", as before" if before == after else f" ({before} before)"
    return f"{count}; {_quorum(change.after)}"


def zoo_cfg_of(joins: Membership, server: QuorumServer) -> list[str]:
    """Return the lines that a new server needs: the members that there are, and itself.

    Where there are groups, each participant must be in one, so it starts as an observer.
    """
    lines = ["reconfigEnabled=true", "standaloneEnabled=false"]
    if joins.groups:
        server = attrs.evolve(server, is_observer=True)
    others = tuple(member for member in joins.members if member.sid != server.sid)
    return [*lines, *attrs.evolve(joins, members=(*others, server)).lines()]


def render_newcomers(report: Report) -> str:
    """Return what each new server needs in its files."""
    lines = []
    for server in report.newcomers:
        assert report.observed is not None
        joins = report.observed.membership
        lines.append(f"server {server.sid} needs a dataDir with nothing in it but the file myid:")
        lines.append(f"    {server.sid}")
        lines.append("and in its zoo.cfg, beside dataDir:")
        lines += [f"    {line}" for line in zoo_cfg_of(joins, server)]
        lines.append(
            f"and from the zoo.cfg of a member what else stands there: {', '.join(SHARED_KEYS)}..."
        )
        lines.append(f"(without {SUPER_KEY} the members cannot be changed through this server)")
    return "\n".join(lines) + "\n" if lines else ""


def render_plan(report: Report) -> str:
    """Return everything that is going to be done, and what new servers need."""
    if report.observed is None:
        return ""
    count = len(report.steps)
    parts = [
        render_step(step, report.observed, number, count)
        for number, step in enumerate(report.steps, 1)
    ]
    parts.append(render_newcomers(report))
    return "\n".join(part for part in parts if part)


def render_verdict(report: Report) -> str:
    """Return what became of it: of a look that fails, the problems alone."""
    if report.is_look:
        return "".join(f"problem: {each.text}\n" for each in report.problems)
    lines = [report.summary()]
    lines += [f"  problem: {each.text}" for each in report.problems]
    lines += [f"  in spite of: {each.text}" for each in report.overridden]
    if report.problems and all(x.can_be_forced and not x.is_refused for x in report.problems):
        if report.is_dry and all(each.may_pass for each in report.problems):
            lines.append("  note: without --dry-run it waits for that, as long as --wait says")
        else:
            lines.append("  note: with --force it is tried in spite of that")
    lines += [f"  note: {text}" for text in report.notes]
    return "\n".join(lines) + "\n"


# --- as JSON --------------------------------------------------------------------------


def list_json(observed: Observed) -> dict[str, Any]:
    """Return the members as values that JSON has."""
    membership = observed.membership
    return {
        "outcome": _WORDS[Outcome.DONE],
        "exit_code": Outcome.DONE,
        "problems": [],
        "warnings": observed.warnings,
        **_membership_json(membership),
        "members": [_member_json(observed, member) for member in membership.members],
    }


def _membership_json(membership: Membership) -> dict[str, Any]:
    return {
        "version": hex_digits(membership.version),
        "voters": list(membership.voters),
        "observers": list(membership.observers),
        "groups": {str(gid): list(sids) for gid, sids in membership.groups},
        "weights": {str(sid): weight for sid, weight in membership.weights},
        "servers": {str(member.sid): str(member) for member in membership.members},
    }


def _member_json(observed: Observed, member: QuorumServer) -> dict[str, Any]:
    server = observed.of(member)
    is_serving = server is not None and server.is_serving
    why = observed.why_not_in_sync(member)
    return {
        "id": member.sid,
        "role": _role(member),
        "line": server_line(member),
        "client": None if client_place(member) is None else _clients(member),
        "mode": None if server is None or server.problem is not None else server.mode,
        "zxid": format_zxid(server.zxid) if server is not None and is_serving else None,
        "lag": server.lag if server is not None and is_serving else None,
        "version": server.version if server is not None and is_serving else None,
        "in_sync": why is None,
        "problem": why,
    }


def as_json(report: Report) -> dict[str, Any]:
    """Return a report of a change as values that JSON has."""
    return {
        "outcome": _WORDS[report.outcome],
        "exit_code": report.outcome,
        "dry_run": report.is_dry,
        "changed": any(step.result is not None for step in report.steps),
        "summary": report.summary(),
        "problems": _findings_json(report.problems),
        "overridden": _findings_json(report.overridden),
        "notes": report.notes,
        "steps": [_step_json(step) for step in report.steps],
        "newcomers": [
            {
                "id": server.sid,
                "myid": str(server.sid),
                "zoo_cfg": zoo_cfg_of(report.observed.membership, server),
                "keys_as_others": list(SHARED_KEYS),
            }
            for server in report.newcomers
            if report.observed is not None
        ],
        "members": []
        if report.observed is None
        else [
            _member_json(report.observed, member) for member in report.observed.membership.members
        ],
    }


def _findings_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"check": each.check, "text": each.text} for each in findings]


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "title": step.change.title,
        "done": step.result is not None,
        "before": _membership_json(step.change.before),
        "after": _membership_json(step.change.after if step.result is None else step.result),
        "notes": step.notes,
    }
