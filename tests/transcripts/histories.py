"""The disks that a transcript begins with, from a short description.

A zxid stands for one transaction, the same in every transcript: 0x100000002 creates /e1c2. So
`tree` shows at a glance which transactions a member has applied.
"""

from __future__ import annotations

from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.epochs import ACCEPTED, CURRENT, save_epoch
from pyzk.zxid import counter_of, epoch_of
from tests.transactions import create, database_of

SESSION = 0x0900000000000000
"""The session of a client that is gone: nobody waits for its replies."""


def payload_of(zxid: int) -> bytes:
    """Return the transaction that a zxid stands for, as the log and PROPOSAL hold it."""
    epoch, counter = epoch_of(zxid), counter_of(zxid)
    return create(zxid, f"/e{epoch}c{counter}", session=SESSION, cxid=counter)


def parse_zxids(text: str) -> list[int]:
    """Parse ``0x100000001..0x100000003,0x200000001``, or ``none``."""
    zxids: list[int] = []
    for piece in text.split(","):
        first, dots, last = piece.partition("..")
        if piece == "none":
            continue
        if dots:
            zxids.extend(range(int(first, 16), int(last, 16) + 1))
        else:
            zxids.append(int(first, 16))
    return zxids


class History:
    """What one member has on disk."""

    def __init__(self) -> None:
        self.logs: list[list[int]] = []
        """The transactions of each log file."""
        self.snapshots: list[list[int]] = []
        """The transactions in each snapshot; the last one names it."""
        self.epochs: dict[str, int] = {}

    def take(self, word: str) -> None:
        """Read one ``key=value`` of the command `restore`."""
        key, _, value = word.partition("=")
        if key == "log":
            self.logs.append(parse_zxids(value))
        elif key == "snapshot":
            self.snapshots.append(parse_zxids(value))
        elif key == "accepted":
            self.epochs[ACCEPTED] = int(value)
        elif key == "current":
            self.epochs[CURRENT] = int(value)
        else:
            raise ValueError(f"restore knows log, snapshot, accepted and current, not {word!r}")

    def write(self, directory: MemoryDirectory) -> None:
        """Make the files; they are durable."""
        for zxids in self.snapshots or [[]]:
            write_snapshot(directory, database_of(map(payload_of, zxids)).freeze())
        for zxids in self.logs:
            writer = LogWriter(directory, preallocate_bytes=4096)
            writer.append([frame_record(payload_of(zxid)) for zxid in zxids])
            writer.close()
        for name, epoch in self.epochs.items():
            save_epoch(directory, name, epoch)
