"""The two numbers that a member must never forget, in a file each, and what a start checks.

Pure. Files are reached through a Directory. ZooKeeper: QuorumPeer.loadDataBase, setAcceptedEpoch
and setCurrentEpoch.

    acceptedEpoch   the newest epoch whose LEADERINFO was answered: no older leader is followed
    currentEpoch    the newest epoch whose NEWLEADER was acknowledged: what a vote is judged by

A file holds the number in decimal digits, nothing else. It is replaced as a whole: written to
``*.tmp``, synced, renamed, and the directory synced; whoever asked may speak of the new number
only after `save_epoch` has returned.

A member writes, in this order: acceptedEpoch, then ACKEPOCH is sent; the transactions or the
snapshot, then currentEpoch, then the ACK of NEWLEADER is sent. So at any crash

    epoch of the last zxid on disk <= acceptedEpoch,   currentEpoch <= acceptedEpoch

but the transactions may already be of an epoch that currentEpoch does not name yet. The log is
written in order, so a transaction of epoch E proves that the history which its leader began with
is on this disk: the start raises currentEpoch to E.

Where this differs from ZooKeeper, on purpose: a member whose last transaction is of a later epoch
than currentEpoch starts, and raises it. ZooKeeper refuses to start then, unless it finds
``currentEpoch.tmp``, and believes the number in there, though that may be a later epoch whose
history never arrived.
"""

from __future__ import annotations

import re
from typing import Final

from pyzk.errors import Corrupt, QuorumProtocolError, StorageError
from pyzk.persistence.directory import Directory, join, save
from pyzk.persistence.filenames import ACCEPTED_EPOCH, CURRENT_EPOCH
from pyzk.quorum.packets import NOT_COUNTED
from pyzk.zxid import epoch_of, format_zxid

ACCEPTED: Final = ACCEPTED_EPOCH
CURRENT: Final = CURRENT_EPOCH
MAX_EPOCH: Final = 0x7FFFFFFF
"""An epoch is the upper half of a zxid, which is signed, and an int in ACKEPOCH."""
MAX_LEAP: Final = 1 << 20
"""Epochs count elections: nobody gets so far ahead of a leader by counting. To believe a larger
number, from a damaged file or a stranger, would use up all epochs at once, for good."""

_NUMBER: Final = re.compile(rb"\+?([0-9]{1,19})(?:\r?\n.*)?", re.DOTALL)
_READ_BYTES: Final = 256


class Epochs:
    """The accepted and the current epoch, as they are on disk."""

    __slots__ = ("accepted", "current")

    def __init__(self, accepted: int, current: int) -> None:
        self.accepted: int = accepted
        self.current: int = current

    def __repr__(self) -> str:
        return f"Epochs(accepted={self.accepted}, current={self.current})"

    def answer(self, new_epoch: int) -> int:
        """Returns what ACKEPOCH says to a LEADERINFO of ``new_epoch``.

        It is the current epoch, and acceptedEpoch must be saved before it is sent, if the epoch is
        new; NOT_COUNTED if it was accepted before. Raises QuorumProtocolError if a newer one was.
        """
        if new_epoch > self.accepted:
            return self.current
        if new_epoch == self.accepted:
            return NOT_COUNTED
        raise QuorumProtocolError(
            f"LEADERINFO of epoch {new_epoch}, but epoch {self.accepted} was accepted before"
        )


def save_epoch(directory: Directory, name: str, epoch: int) -> None:
    """Replaces the number in ACCEPTED or CURRENT; it is durable when this returns."""
    assert 0 <= epoch <= MAX_EPOCH, epoch
    save(directory, name, str(epoch).encode("ascii"))


def load_epochs(directory: Directory, last_zxid: int) -> tuple[Epochs, list[str]]:
    """Reads both numbers when a member starts, with the last zxid that was recovered.

    Missing files are made from the zxid: a new member, or one that served alone until now. Returns
    the numbers and, for the log, a sentence for each thing that was put right. Raises StorageError
    when what is there cannot be the doing of one member that only crashed.
    """
    if last_zxid < 0:
        # What is read is spoken of, so no later crash may take it back: a process that was killed
        # may have left names without their sync. Recovery has synced them if it has found data.
        directory.sync()
    notes: list[str] = []
    data_epoch = max(epoch_of(last_zxid), 0)
    names = directory.names()
    accepted = _read(directory, ACCEPTED) if ACCEPTED in names else None
    current = _read(directory, CURRENT) if CURRENT in names else None
    _check(directory, accepted, current, last_zxid)
    if current is None or current < data_epoch:
        if current is not None:
            notes.append(
                f"{join(directory, CURRENT)}: raised from {current} to {data_epoch}, the epoch of"
                f" the last transaction, {format_zxid(last_zxid)}: the server died in between"
            )
        elif accepted is not None:
            notes.append(f"{join(directory, CURRENT)}: was missing, made anew with {data_epoch}")
        current = data_epoch
        save_epoch(directory, CURRENT, current)
    if accepted is None:
        accepted = data_epoch
        save_epoch(directory, ACCEPTED, accepted)
    return Epochs(accepted, current), notes


def _check(directory: Directory, accepted: int | None, current: int | None, last_zxid: int) -> None:
    data_epoch = max(epoch_of(last_zxid), 0)
    if accepted is None:
        # The first start writes currentEpoch first, and may die in between.
        if current is not None and current > data_epoch:
            raise StorageError(
                f"is missing, and {CURRENT} is {current}, beyond the last transaction,"
                f" {format_zxid(last_zxid)}: which epochs this server accepted is lost",
                path=join(directory, ACCEPTED),
                remedy="restore the file; or empty the data directory (not myid), and the server"
                " gets everything from the others",
            )
        return
    if current is not None and current > accepted:
        raise StorageError(
            f"is {accepted}, less than {CURRENT}, {current}, which a server never writes",
            path=join(directory, ACCEPTED),
            remedy="were the files copied or edited? Restore both from one backup; or empty the"
            " data directory (not myid), and the server gets everything from the others",
        )
    if data_epoch > accepted:
        raise StorageError(
            f"is {accepted}, but the last transaction, {format_zxid(last_zxid)}, is of epoch"
            f" {data_epoch}: these data are not this server's own",
            path=join(directory, ACCEPTED),
            remedy=f"if they were restored on purpose, on all servers, remove {ACCEPTED} and"
            f" {CURRENT}: they are made anew from the data",
        )


def _read(directory: Directory, name: str) -> int:
    raw = directory.read(name, 0, _READ_BYTES)
    match = _NUMBER.fullmatch(raw)
    if match is None or int(match[1]) > MAX_EPOCH:
        shown = raw[:40].decode("ascii", "backslashreplace")
        raise Corrupt(
            f"holds {shown!r}, no epoch" if raw else "is empty",
            path=join(directory, name),
            remedy="restore the file from a backup",
        )
    return int(match[1])
