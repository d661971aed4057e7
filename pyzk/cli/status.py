"""`pyzk status`: how the members of an ensemble are, in one table and one word.

Shell. `survey` asks the members; here is the judgement, and the two forms in which it is shown.
ZooKeeper: zkServer.sh status, for one server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final

import attrs
import click

from pyzk.cli.access import Access
from pyzk.cli.access_options import tls_options
from pyzk.cli.client_addresses import parse_addresses
from pyzk.cli.number import Number, timeout_option
from pyzk.cli.output import JSON, output_option, print_json, print_out
from pyzk.cli.sources import fail
from pyzk.cli.survey import (
    LEARNERS,
    NOT_SERVING,
    SurveyedServer,
    configuration_of,
    leader_of,
    survey,
)
from pyzk.int64 import hex_digits
from pyzk.zxid import epoch_of, format_zxid, make

DEFAULT_SERVERS: Final = "127.0.0.1:2181"
DEFAULT_MAX_LAG: Final = 1000


class Verdict:
    """The exit codes; docs/operations.md says what to do."""

    HEALTHY: Final = 0
    DEGRADED: Final = 1
    """Writes go on, but not every member is as it should be."""
    UNAVAILABLE: Final = 3
    """No server that was asked takes writes."""
    CONTRADICTORY: Final = 4
    """The members do not agree with each other."""


_WORDS: Final = {
    Verdict.HEALTHY: "healthy",
    Verdict.DEGRADED: "degraded",
    Verdict.UNAVAILABLE: "unavailable",
    Verdict.CONTRADICTORY: "contradictory",
}


@attrs.define
class Report:
    """Everything that there is to say about the members."""

    members: list[SurveyedServer]
    leader: SurveyedServer | None
    verdict: int = Verdict.HEALTHY
    problems: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    """What cannot be told, and why."""
    is_partial: bool = False
    """Whether the ensemble has members that were not asked."""
    digests: list[tuple[str, int | None]] = attrs.field(factory=list)
    """The agreement of each member: agrees, differs or unknown, and at which zxid."""

    def blame(self, verdict: int, text: str) -> None:
        """Note a problem; the worst counts."""
        self.verdict = max(self.verdict, verdict)
        self.problems.append(text)


# --- the judgement --------------------------------------------------------------------


def judge(members: list[SurveyedServer], max_lag: int) -> Report:
    """Return what is wrong with these members, and what cannot be told."""
    report = Report(members, leader_of(members))
    for member in members:
        _judge_alone(report, member, max_lag)
    _judge_leaders(report)
    _judge_membership(report)
    _judge_digests(report)
    _judge_size(report)
    _note_unasked(report)
    _note_zxids(report)
    _note_refused(report)
    return report


def _judge_alone(report: Report, member: SurveyedServer, max_lag: int) -> None:
    if member.problem is not None:
        report.blame(Verdict.DEGRADED, f"{member.address}: {member.problem}")
    elif member.mode == NOT_SERVING:
        report.blame(
            Verdict.DEGRADED,
            f"{member.address} runs and does not serve: it has no leader yet, or no quorum; its log"
            " says what it waits for",
        )
    elif member.mode == "read-only":
        report.blame(
            Verdict.DEGRADED, f"{member.address} serves reads only: it has lost the quorum"
        )
    elif member.lag is not None and member.lag > max_lag:
        report.blame(
            Verdict.DEGRADED,
            f"{member.address} is {member.lag} transactions behind the leader, which is more than"
            f" --max-lag {max_lag}",
        )


def _judge_leaders(report: Report) -> None:
    serving = [member for member in report.members if member.is_serving]
    leaders = [member for member in serving if member.mode == "leader"]
    alone = [member for member in serving if member.mode == "standalone"]
    if alone and len(report.members) > 1:
        names = _names(alone)
        report.blame(
            Verdict.CONTRADICTORY,
            f"{names} stands alone: it replicates nothing to the others"
            if len(alone) == 1
            else f"{names} stand alone: each has a tree of its own",
        )
    if len(leaders) > 1:
        report.blame(
            Verdict.CONTRADICTORY,
            f"{_names(leaders)} say that they lead; one of them has not noticed yet that it is"
            " over, or they do not belong to one ensemble",
        )
    learners = [member for member in serving if member.mode in LEARNERS]
    if not (leaders or learners or alone):
        report.blame(Verdict.UNAVAILABLE, "nobody takes writes")
    elif learners and not leaders:
        report.is_partial = True
        report.notes.append("the leader is not among those that were asked: no lag is known")
    leader = report.leader
    for member in learners:
        if leader is not None and member.epoch > leader.epoch:
            report.blame(
                Verdict.CONTRADICTORY,
                f"{member.address} is in epoch {member.epoch}, its leader in {leader.epoch}",
            )


def _judge_membership(report: Report) -> None:
    """Blame servers that run on without being members: nobody counts on them, and they are left
    alone by the next leader."""
    configuration = configuration_of(report.members)
    if configuration is None:
        return
    sids = [member.sid for member in configuration.members]
    for member in report.members:
        if member.is_serving and member.server_id is not None and member.server_id not in sids:
            report.blame(
                Verdict.DEGRADED,
                f"{member.address} is server {member.server_id}, and no member: version"
                f" {hex_digits(configuration.version)} of the configuration has the servers"
                f" {', '.join(map(str, sids))} only. If it was removed, stop it, and take it out of"
                " the clients' connect strings; if it is new, add it (pyzk members add)",
            )


def _judge_digests(report: Report) -> None:
    """Compare the trees at zxids for which two members have a digest.

    The leader's digests are taken for right; without a leader, those of the member that has most.
    """
    of = [member for member in report.members if member.digests and member.mode != "standalone"]
    reference = report.leader
    if reference is None or not reference.digests:
        reference = max(of, key=lambda member: len(member.digests), default=None)
    for member in report.members:
        report.digests.append(_compare(member, reference))
        state, zxid = report.digests[-1]
        if state == "differs":
            assert reference is not None
            assert zxid is not None
            report.blame(
                Verdict.CONTRADICTORY,
                f"the tree of {member.address} is not that of {reference.address} at"
                f" {format_zxid(zxid)}: one of them must be given a new one",
            )
        mismatches = member.metric("digest_mismatches_count")
        if mismatches:
            report.notes.append(
                f"{member.address} has counted {mismatches} transactions whose digest was not that"
                " of its tree (zk_digest_mismatches_count)"
            )


def _compare(member: SurveyedServer, reference: SurveyedServer | None) -> tuple[str, int | None]:
    if reference is None or not member.digests:
        return "unknown", None
    common = sorted(set(member.digests) & set(reference.digests))
    if member is reference:
        return ("reference", max(member.digests))
    for zxid in common:
        if member.digests[zxid] != reference.digests[zxid]:
            return "differs", zxid
    if common:
        return "agrees", common[-1]
    if member.lag == 0 and member.zxid < reference.zxid and member.zxid in member.digests:
        # It has all that was before the epoch of its leader, whose first zxid changes nothing.
        at_start = reference.digests.get(make(reference.epoch, 0))
        if at_start is not None:
            is_same = member.digests[member.zxid] == at_start
            return ("agrees" if is_same else "differs"), member.zxid
    return "unknown", None


def _judge_size(report: Report) -> None:
    """Blame missing learners: if a leader has fewer than were asked, somebody is left out."""
    leader = report.leader
    if leader is None:
        return
    synced = leader.metric("synced_followers")
    voters = leader.metric("quorum_size")
    if synced is not None and voters is not None and synced + 1 < voters:
        missing = voters - 1 - synced
        known = sum(not member.is_serving for member in report.members)
        if missing > known:
            report.blame(
                Verdict.DEGRADED,
                f"the leader has {synced} of {voters - 1} followers in sync; the others were not"
                " asked, or do not follow",
            )


def _note_unasked(report: Report) -> None:
    members = report.members
    voters = max((member.metric("quorum_size") or 0 for member in members), default=0)
    missing = voters - sum(member.mode != "observer" for member in members)
    if missing > 0 and report.verdict == Verdict.HEALTHY:
        report.is_partial = True
        report.notes.append(f"{missing} of the {voters} voters were not asked")


def _note_zxids(report: Report) -> None:
    """Note why zxids differ where nothing is missing, because a lag of 0 beside them looks like a
    fault."""
    leader = report.leader
    if leader is None:
        return
    level = [member for member in report.members if member.is_serving and member.lag == 0]
    if earlier := [member for member in level if member.zxid < leader.zxid]:
        report.notes.append(
            f"{_names(earlier)}: the zxid is still that of an earlier epoch, and nothing is"
            f" missing: in epoch {leader.epoch} nobody has written yet"
        )
    if later := [member for member in level if member.zxid > leader.zxid]:
        report.notes.append(
            f"{_names(later)}: the zxid is newer than the leader's, which was asked a moment"
            " before, while writes went on"
        )


def _note_refused(report: Report) -> None:
    by_words: dict[tuple[str, ...], list[SurveyedServer]] = {}
    for member in report.members:
        if member.refused:
            by_words.setdefault(member.refused, []).append(member)
    for words, members in by_words.items():
        missing = ", ".join(f"{word} ({_TELLS[word]})" for word in words)
        report.notes.append(
            f"{_names(members)}: 4lw.commands.whitelist does not have {missing}; add them there"
            " (pyzk serve --whitelist '*' allows all)"
        )


_TELLS: Final = {
    "mntr": "how many learners are in sync",
    "conf": "the id of the server",
    "hash": "digests of the tree",
}


def _names(members: Sequence[SurveyedServer]) -> str:
    return ", ".join(str(member.address) for member in members)


# --- as text --------------------------------------------------------------------------

_HEAD: Final = ("MEMBER", "ID", "MODE", "ZXID", "LAG", "VERSION", "CONNECTIONS", "DIGEST")


def render(report: Report) -> str:
    """Return the table, then the judgement."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for member, digest in zip(report.members, report.digests, strict=True):
        rows.append(_row(member, digest))
    widths = [max(len(row[i]) for row in rows if len(row) == len(_HEAD)) for i in range(len(_HEAD))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    lines.append("")
    is_all = report.verdict != Verdict.HEALTHY or not report.is_partial
    extent = "" if is_all else " as far as was asked"
    lines.append(f"{_WORDS[report.verdict]}{extent}: {_summary(report)}")
    lines += [f"  problem: {text}" for text in report.problems]
    lines += [f"  note: {text}" for text in report.notes]
    return "\n".join(lines) + "\n"


def _row(member: SurveyedServer, digest: tuple[str, int | None]) -> tuple[str, ...]:
    if not member.is_serving:
        return str(member.address), "-", member.problem or NOT_SERVING
    state, zxid = digest
    return (
        str(member.address),
        "-" if member.server_id is None else str(member.server_id),
        member.mode,
        format_zxid(member.zxid),
        "-" if member.lag is None else str(member.lag),
        member.version,
        str(member.connections),
        "-" if zxid is None else f"{state} at {format_zxid(zxid)}",
    )


def _summary(report: Report) -> str:
    members = report.members
    serving = [member for member in members if member.is_serving]
    if len(members) == 1 and serving and serving[0].mode == "standalone":
        return "one server, which stands alone"
    text = f"{len(serving)} of {len(members)} servers serve"
    leader = report.leader
    if leader is not None:
        text += f", epoch {leader.epoch} is led by {leader.address}"
    return text


# --- as JSON --------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report as values that JSON has."""
    leader = report.leader
    return {
        "verdict": _WORDS[report.verdict],
        "exit_code": report.verdict,
        "leader": None if leader is None else str(leader.address),
        "epoch": None if leader is None else leader.epoch,
        "problems": report.problems,
        "notes": report.notes,
        "members": [
            _member_json(member, digest)
            for member, digest in zip(report.members, report.digests, strict=True)
        ],
    }


def _member_json(member: SurveyedServer, digest: tuple[str, int | None]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": str(member.address),
        "problem": member.problem,
        "serving": member.is_serving,
    }
    if not member.is_serving:
        return found
    state, zxid = digest
    return found | {
        "server_id": member.server_id,
        "mode": member.mode,
        "version": member.version,
        "zxid": format_zxid(member.zxid),
        "zxid_epoch": epoch_of(member.zxid),
        "lag": member.lag,
        "connections": member.connections,
        "outstanding": member.outstanding,
        "znodes": member.znodes,
        "latency_ms": member.latency,
        "digest": state,
        "digest_zxid": None if zxid is None else format_zxid(zxid),
        "peer_state": member.metrics.get("peer_state"),
        "learners": member.metric("learners"),
        "synced_followers": member.metric("synced_followers"),
        "synced_observers": member.metric("synced_observers"),
        "pending_syncs": member.metric("pending_syncs"),
        "uptime_ms": member.metric("uptime"),
        "refused_words": list(member.refused),
    }


@click.command("status")
@click.argument("servers", nargs=-1, metavar="[HOST:PORT[,HOST:PORT...]]")
@output_option
@timeout_option("How long to wait for each answer.")
@click.option(
    "--max-lag",
    type=Number("a number of transactions", 0),
    default=DEFAULT_MAX_LAG,
    show_default=True,
    metavar="N",
    help="Transactions that a healthy member may be behind.",
)
@tls_options
def command(
    servers: tuple[str, ...], output: str, timeout_s: float, max_lag: int, access: Access
) -> None:
    """Show how the members of an ensemble are; pyzk's and Apache ZooKeeper's.

    Name all of them, as in a client's connect string; without one it is 127.0.0.1:2181. Codes:
    0 healthy, 1 degraded, 2 wrong arguments, 3 nobody takes writes, 4 members contradict each
    other.
    """
    for word in servers:
        if ":" not in word and os.path.isfile(word):
            fail(
                f"{word} is a file; expected HOST:PORT[,HOST:PORT...], where the servers take"
                " clients"
            )
    try:
        addresses = parse_addresses(",".join(servers) or DEFAULT_SERVERS)
    except ValueError as error:
        fail(str(error))
    report = judge(asyncio.run(survey(addresses, timeout_s, access)), max_lag)
    if output == JSON:
        print_json(as_json(report))
    else:
        print_out(render(report))
    raise SystemExit(report.verdict)
