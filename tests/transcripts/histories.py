"""The disks that a transcript begins with, from a short description.

A zxid stands for one transaction, the same in every transcript: 0x100000002 creates /e1c2. So
`tree` shows at a glance which transactions a member has applied.
"""

from __future__ import annotations

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import decode_txn, encode_txn
from pyzk.jute.records import CreateTxn, TxnHeader
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.epochs import ACCEPTED, CURRENT, save_epoch
from pyzk.zxid import counter_of, epoch_of
from tests.frames import OPEN

SESSION = 0x0900000000000000
"""Of a client that is gone: nobody waits for its replies."""
_TIME_MS = 1_600_000_000_000


def payload_of(zxid: int) -> bytes:
    """Return the transaction that a zxid stands for, as the log and PROPOSAL hold it."""
    epoch, counter = epoch_of(zxid), counter_of(zxid)
    header = TxnHeader(SESSION, counter, zxid, _TIME_MS + epoch * 1000 + counter, OpCode.CREATE)
    body = CreateTxn(f"/e{epoch}c{counter}", b"", OPEN, False, -1)
    return encode_txn(header, body.encode(), None)


def database_of(zxids: list[int]) -> Database:
    """Return a database to which these transactions were applied."""
    database = Database(DataTree())
    for zxid in zxids:
        database.replay(decode_txn(payload_of(zxid)))
    return database


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
            write_snapshot(directory, database_of(zxids).freeze())
        for zxids in self.logs:
            writer = LogWriter(directory, preallocate_bytes=4096)
            writer.append([frame_record(payload_of(zxid)) for zxid in zxids])
            writer.close()
        for name, epoch in self.epochs.items():
            save_epoch(directory, name, epoch)
