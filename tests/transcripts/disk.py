"""The disk of one member: what it was given waits until a transcript lets it answer.

The files are those of `pyzk.persistence`, in a directory in memory that can lose power.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from pyzk.config.members import Membership
from pyzk.data.database import Database, FrozenDatabase
from pyzk.persistence import filenames
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import LogScan, framed_zxid, payload_zxid
from pyzk.quorum.commands import (
    ReadLog,
    Reload,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
    TruncateLog,
)
from pyzk.quorum.epochs import save_epoch
from pyzk.quorum.lifecycle import MemberLife
from pyzk.quorum.sync import is_affordable
from pyzk.server.outbox import Command, TakeSnapshot
from pyzk.zxid import format_zxid


@attrs.define(eq=False)
class Append:
    """Log records that were handed out together: one append, one sync, one answer."""

    records: list[bytes]
    zxid: int

    def __str__(self) -> str:
        return f"log {ranges([framed_zxid(record) for record in self.records])}"


@attrs.define(eq=False)
class Snapshot:
    """A snapshot beside the log; nobody waits for it."""

    frozen: FrozenDatabase

    def __str__(self) -> str:
        return f"take snapshot {format_zxid(self.frozen.zxid)}"


@attrs.define(eq=False)
class Order:
    """A command, with what it means at the time when it was given."""

    command: StorageCommand
    complete_after: int
    """The zxid from which on the log is known to be whole."""
    frozen: FrozenDatabase | None = None

    def __str__(self) -> str:
        command = self.command
        if isinstance(command, SaveEpoch):
            return f"save {command.name} {command.epoch}"
        if isinstance(command, SaveConfig):
            what = "active" if command.is_active else "proposed"
            return f"save {what} configuration {command.membership.version:x}"
        if isinstance(command, TruncateLog):
            return f"truncate to {format_zxid(command.zxid)}"
        if isinstance(command, StoreDatabase):
            return f"store database {format_zxid(command.database.last_zxid)}"
        if isinstance(command, ReadLog):
            return f"read log from {format_zxid(command.after)} on"
        assert isinstance(command, Reload), command
        return "reload"


Operation = Append | Snapshot | Order


class _PowerError(Exception):
    """Ends an order at a certain step."""


def ranges(zxids: list[int]) -> str:
    """Return zxids in short: ``0x100000001..0x100000003 0x200000001``."""
    pieces: list[list[int]] = []
    for zxid in zxids:
        if pieces and pieces[-1][-1] + 1 == zxid:
            pieces[-1].append(zxid)
        else:
            pieces.append([zxid])
    return (
        " ".join(
            format_zxid(piece[0])
            if len(piece) == 1
            else f"{format_zxid(piece[0])}..{format_zxid(piece[-1])}"
            for piece in pieces
        )
        or "nothing"
    )


class Disk:
    """Takes orders, performs them one by one when told, and tells the peer."""

    def __init__(self, sid: int, options: RecoveryOptions, size_factor: float) -> None:
        self.sid = sid
        self.directory = MemoryDirectory(f"disk of {sid}")
        self.files = MemberFiles(self.directory, self.directory, options)
        self.waiting: deque[Operation] = deque()
        self.committed: Membership | None = None
        """The configuration that was saved as the one in force; None for that of the start."""
        self.proposed: Membership | None = None
        self._size_factor = size_factor
        self._writer: LogWriter | None = None

    # --- orders ---------------------------------------------------------------------

    def append(self, records: list[bytes], zxid: int) -> Operation:
        """Put log records behind the other orders."""
        self.waiting.append(Append(records, zxid))
        return self.waiting[-1]

    def take(self, command: Command, database: Database) -> Operation:
        """Put a command behind the other orders."""
        if isinstance(command, TakeSnapshot):
            self.waiting.append(Snapshot(database.freeze()))
        else:
            assert isinstance(command, StorageCommand), command
            order = Order(command, database.log_complete_after)
            if isinstance(command, StoreDatabase):
                order.frozen = command.database.freeze()
            self.waiting.append(order)
        return self.waiting[-1]

    # --- answers --------------------------------------------------------------------

    def perform(self) -> tuple[str, Callable[[MemberLife], None]]:
        """Carry out the oldest order; return what happened, and how the member hears of it."""
        operation = self.waiting.popleft()
        if isinstance(operation, Append):
            writer = self._open()
            writer.append(operation.records)
            writer.sync()
            zxid = operation.zxid
            return f"synced {format_zxid(zxid)}", lambda life: life.log_synced(zxid)
        if isinstance(operation, Snapshot):
            self._leave()
            name = write_snapshot(self.directory, operation.frozen)
            return f"wrote {name}", lambda _life: None
        return self._command(operation)

    def _command(self, order: Order) -> tuple[str, Callable[[MemberLife], None]]:
        command = order.command
        ticket = command.ticket
        if isinstance(command, SaveEpoch):
            save_epoch(self.directory, command.name, command.epoch)
            return f"saved {command.name} {command.epoch}", lambda life: life.stored(ticket)
        if isinstance(command, SaveConfig):
            self._save_config(command)
            version = command.membership.version
            return f"saved configuration {version:x}", lambda life: life.stored(ticket)
        if isinstance(command, ReadLog):
            found = self.files.read_log(command.after, command.until, self._is_affordable)
            what = "too much" if found is None else ranges([zxid for zxid, _ in found])
            return f"read log: {what}", lambda life: life.log_read(ticket, found)
        self._leave()
        if isinstance(command, StoreDatabase):
            assert order.frozen is not None, order
            self.files.store(order.frozen)
            order.frozen.close()
            what = f"stored database {format_zxid(order.frozen.zxid)}"
            return what, lambda life: life.stored(ticket)
        if isinstance(command, TruncateLog):
            database = self.files.truncate(command.zxid, order.complete_after)
            word = "truncated"
        else:
            database = self.files.reload()
            word = "reloaded"
        what = f"{word}, ends at {format_zxid(database.last_zxid)}"
        return what, lambda life: life.restored(ticket, database)

    def _save_config(self, command: SaveConfig) -> None:
        if command.is_active:
            self.committed = command.membership
            if self.proposed is None or self.proposed.version <= command.membership.version:
                self.proposed = None
        else:
            self.proposed = command.membership

    def _is_affordable(self, further_bytes: int, snapshot_bytes: int) -> bool:
        return is_affordable(further_bytes, snapshot_bytes, self._size_factor)

    # --- the end of a process -------------------------------------------------------

    def crash(
        self, *, keep: bool = False, tear: bool = False, within: int | None = None
    ) -> list[str]:
        """Lose power; return the orders that were lost.

        ``keep``: the disk had done everything, only nobody was told. ``tear``: it had written the
        oldest order, which must be for the log, up to the middle of its last record. ``within``:
        the oldest order had got so many steps far, each a write, a sync or a change of a name.
        """
        lost = [str(operation) for operation in self.waiting]
        if within is not None:
            self._interrupt(within)
        if tear:
            oldest = self.waiting.popleft()
            assert isinstance(oldest, Append), f"{oldest} cannot be torn"
            *whole, last = oldest.records
            writer = self._open()
            writer.append([*whole, last[: len(last) - 20]])
            writer.sync()
        while keep and self.waiting:
            self.perform()
        self.waiting.clear()
        self._writer = None
        self.directory.crash()
        return [] if keep else lost

    def _interrupt(self, steps: int) -> None:
        left = steps

        def before(operation: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _PowerError(f"{operation} {name}")

        self.directory.before = before
        try:
            self.perform()
        except _PowerError:
            return
        raise ValueError(f"the order takes {steps - left} steps only")

    # --- a look at the files --------------------------------------------------------

    def logs(self) -> list[str]:
        """Return the names of the logs, oldest first."""
        return [named.name for named in filenames.logs(self.directory.names())]

    def snapshots(self) -> list[str]:
        """Return the names of the snapshots, oldest first."""
        return [named.name for named in filenames.snapshots(self.directory.names())]

    def zxids(self, name: str) -> list[int]:
        """Return what is in a log."""
        return [payload_zxid(payload) for _, payload in LogScan(self.directory, name)]

    def _open(self) -> LogWriter:
        if self._writer is None:
            self._writer = LogWriter(self.directory, preallocate_bytes=4096)
        return self._writer

    def _leave(self) -> None:
        """The next record begins a new log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
