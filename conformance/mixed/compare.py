"""Comparison at the end: all members have the same data, in memory and on disk, and say so.

Shell.

Trees are read through each member's client port.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from conformance import disk, wire
from conformance.differential.requests import SUPER
from conformance.disk import Tree
from conformance.mixed import holes, logs, transaction_logs
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import MixedError, MixedMember, check

CONFIG_NODE: Final = "/zookeeper/config"
"""Each member writes this node itself, with a time of its own."""


def read_trees(members: Iterable[MixedMember]) -> dict[int, Tree]:
    """Returns the tree of each of these members, by its id."""
    trees = {}
    for member in members:
        client = member.new_session()
        client.login(SUPER)
        client.call("sync", wire.string("/"))
        trees[member.sid] = disk.read_tree(client)
        client.close_session()
        trees[member.sid].pop(CONFIG_NODE, None)
    return trees


def trees_are_equal(ensemble: Ensemble) -> int:
    """Compares every node, its statistics and its ACL on all sound members; returns how many there
    are."""
    first, *others = members = transaction_logs.sound(ensemble)
    trees = read_trees(members)
    for member in others:
        who = f"unlike {first}, {member}"
        try:
            disk.compare_trees(trees[first.sid], trees[member.sid], who)
        except disk.DiskError as error:
            raise MixedError(str(error)) from error
    return len(trees[first.sid])


def logs_are_equal(ensemble: Ensemble) -> int:
    """Compares what two members have logged under one zxid, byte by byte; returns how many there
    are.

    The digests are compared, too, which the leader has written into each.
    """
    seen: dict[int, tuple[MixedMember, bytes]] = {}
    shared = set()
    for member in ensemble.everybody:
        before = 0
        # 3.8.0 logs again what an interrupted synchronization had brought.
        repeats = any("3.8" in log.name for log in member.logs)
        for file in member.files("log"):
            for zxid, payload in transaction_logs.read_log(file):
                in_order = zxid > before or repeats
                check(in_order, f"{member}: {zxid:#x} after {before:#x} in its log")
                before = zxid
                other, theirs = seen.setdefault(zxid, (member, payload))
                check(
                    payload == theirs,
                    f"{member} and {other} logged otherwise under {zxid:#x}:\n"
                    f"  {payload.hex()}\n  {theirs.hex()}",
                )
                if other is not member:
                    shared.add(zxid)
    return len(shared)


def nobody_complains(ensemble: Ensemble) -> str:
    """Checks that no log has a wrong digest or an exception about the protocol; returns a few words
    on known faults of the original."""
    lines, known = logs.read(ensemble)
    logs.known.update(known)
    lost = transaction_logs.known_holes(ensemble)
    for member in ensemble.running:
        if member in lost and holes.has_fault(member.logs[-1].version):
            continue
        mismatches = member.metric("digest_mismatches_count")
        if mismatches not in (None, "0"):
            lines.append(f"{member} counts {mismatches} digest mismatches")
    check(not lines, "complaints in the logs:\n  " + "\n  ".join(lines[:20]))
    return f", {len(known)} known faults of the original" if known else ""


def all_agree(ensemble: Ensemble) -> str:
    """Makes all these comparisons; returns a few words on what was seen."""
    ensemble.wait_in_step()
    nodes = trees_are_equal(ensemble)
    shared = logs_are_equal(ensemble)
    known = nobody_complains(ensemble)
    return f"{nodes} nodes equal, {shared} log records equal{known}"
