"""Comparison at the end: all members have the same data, in memory and on disk, and say so.

Shell.

Trees are read through each member's client port; logs are read here, without the server's own code.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from conformance import disk, wire
from conformance.differential.requests import SUPER
from conformance.disk import Tree
from conformance.mixed import logs
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import MixedError, MixedMember, check

CONFIG_NODE: Final = "/zookeeper/config"
"""Each member writes this node itself, with a time of its own."""
LOG_MAGIC: Final = b"ZKLG"
LOG_HEADER: Final = 16
ZXID_OFFSET: Final = 12
"""The offset of a transaction's zxid, after the session id and the cxid."""


def read_trees(ensemble: Ensemble) -> dict[int, Tree]:
    """Returns the tree of each running member, by its id."""
    trees = {}
    for member in ensemble.running:
        client = member.new_session()
        client.login(SUPER)
        client.call("sync", wire.string("/"))
        trees[member.sid] = disk.read_tree(client)
        client.close_session()
        trees[member.sid].pop(CONFIG_NODE, None)
    return trees


def trees_are_equal(ensemble: Ensemble) -> int:
    """Compares every node, its statistics and its ACL on all members; returns how many there
    are."""
    trees = read_trees(ensemble)
    first = ensemble.running[0]
    for member in ensemble.running[1:]:
        who = f"unlike {first}, {member}"
        try:
            disk.compare_trees(trees[first.sid], trees[member.sid], who)
        except disk.DiskError as error:
            raise MixedError(str(error)) from error
    return len(trees[first.sid])


def read_log(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yields each transaction of a log: its zxid and its bytes, digest included."""
    data = file.read_bytes()
    if not data.startswith(LOG_MAGIC):
        check(not data.strip(b"\x00"), f"{file} is not a log")
        return
    offset = LOG_HEADER
    while offset + 12 <= len(data):
        checksum, size = struct.unpack_from(">qi", data, offset)
        payload = data[offset + 12 : offset + 12 + size]
        if (
            size == 0
            or len(payload) < size
            or data[offset + 12 + size : offset + 13 + size] != b"B"
        ):
            return
        if zlib.adler32(payload) != checksum:
            raise MixedError(f"{file}: wrong checksum at {offset}")
        yield struct.unpack_from(">q", payload, ZXID_OFFSET)[0], payload
        offset += 13 + size


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
            for zxid, payload in read_log(file):
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
    for member in ensemble.running:
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
