"""The transaction logs of an ensemble, read without the server's own code.

Shell.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.mixed import holes
from conformance.mixed.holes import History, Hole
from conformance.mixed.members import MixedError, MixedMember, check

if TYPE_CHECKING:
    from conformance.mixed.ensemble import Ensemble

LOG_MAGIC: Final = b"ZKLG"
LOG_HEADER: Final = 16
FRAME: Final = struct.Struct(">qi")
"""What precedes a transaction: its checksum and its size."""
ZXID_OFFSET: Final = 12
"""The offset of a transaction's zxid, after the session id and the cxid."""


def read_log(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yields each transaction of a log: its zxid and its bytes, digest included."""
    with file.open("rb") as log:
        header = log.read(LOG_HEADER)
        if not header.startswith(LOG_MAGIC):
            check(not (header + log.read()).strip(b"\x00"), f"{file} is not a log")
            return
        # Most of the file may be zeros, which are not read.
        while len(frame := log.read(FRAME.size)) == FRAME.size:
            checksum, size = FRAME.unpack(frame)
            payload = log.read(max(size, 0))
            if size <= 0 or len(payload) < size or log.read(1) != b"B":
                return
            if zlib.adler32(payload) != checksum:
                offset = log.tell() - 1 - size - FRAME.size
                raise MixedError(f"{file}: wrong checksum at {offset}")
            yield struct.unpack_from(">q", payload, ZXID_OFFSET)[0], payload


def history(member: MixedMember) -> History:
    """Returns what a member has logged, and what it had applied when it lost a leader."""
    applied = {}
    for log in member.logs:
        if log.is_original and holes.has_fault(log.version):
            text = log.path.read_text(errors="replace")
            applied.update(dict.fromkeys(holes.applied_at_losses(text), log.name))
    return History(
        who=f"member {member.sid}",
        votes=not member.is_observer,
        logged=[zxid for file in member.files("log") for zxid, _ in read_log(file)],
        snapshots=[int(file.name.split(".")[1], 16) for file in member.files("snapshot")],
        applied=applied,
    )


def known_holes(ensemble: Ensemble) -> dict[MixedMember, list[Hole]]:
    """Returns the member whose log has holes by a known fault of the original, and the holes."""
    members = ensemble.everybody
    logs = [log for member in members for log in member.logs]
    if not any(log.is_original and holes.has_fault(log.version) for log in logs):
        return {}
    try:
        found = holes.find([history(member) for member in members])
    except MixedError:  # a log that cannot be read explains nothing
        return {}
    return {members[found[0].index]: found} if found else {}


def sound(ensemble: Ensemble) -> list[MixedMember]:
    """Returns the members that run, without one that has lost transactions by a known fault of the
    original; says so if there is one."""
    known = known_holes(ensemble)
    for member in known:
        for hole in known[member]:
            print(f"  a known fault of the original: {hole}; not asked any more", flush=True)
    return [member for member in ensemble.running if member not in known]


def sound_hosts(ensemble: Ensemble) -> str:
    """Returns the connect string of the members that `sound` returns."""
    return ",".join(f"127.0.0.1:{member.client_port}" for member in sound(ensemble))
