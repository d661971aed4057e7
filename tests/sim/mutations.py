"""Mistakes that a member could have, injected where its driver meets its disk and its clients.

Each is one that replicas have had. The simulator has to find every one of them.
"""

from __future__ import annotations

import struct
from functools import partial

from pyzk.constants import Xid
from pyzk.persistence.recovery import recover_until
from pyzk.quorum.commands import SaveEpoch, StorageCommand, TruncateLog
from pyzk.server.connection import Connection
from pyzk.sim.disk import Append, Order, SimDisk
from pyzk.sim.machine import Machine


class AckBeforeSync(SimDisk):
    """The log is said to be durable when it is written, not when it is synced."""

    def _write(self, operation: Append) -> None:
        self._writer.append(operation.records)
        self.answers.log_synced(operation.zxid)
        self._wait(partial(self._guard, partial(self._sync_in_silence, operation)))

    def _sync_in_silence(self, operation: Append) -> None:
        self._writer.sync()
        self.durable_zxid = operation.zxid
        self._end()


class EpochBeforeData(SimDisk):
    """currentEpoch is on the disk before the transactions it vouches for (ZOOKEEPER-4643)."""

    _late: Append | None = None

    def _write(self, operation: Append) -> None:
        self.answers.log_synced(operation.zxid)
        late = self._late
        self._late = Append([*(late.records if late else []), *operation.records], operation.zxid)
        self._wait(self._flush_late)

    def _flush_late(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            self._writer.append(late.records)
            self._writer.sync()
            self.durable_zxid = late.zxid
        self._end()

    def _forget(self) -> None:
        super()._forget()
        self._late = None


class SkippedTruncation(SimDisk):
    """TRUNC cuts the memory and leaves the log as it is."""

    def _perform(self, order: Order) -> None:
        command = order.command
        if isinstance(command, TruncateLog):
            self._writer.roll()
            found = recover_until(self.snapshots, self.logs, self._recovery, command.zxid)
            self.durable_zxid = found.database.last_zxid
            self.answers.restored(command.ticket, found.database)
        else:
            super()._perform(order)


class SnapshotNotStored(SimDisk):
    """A database that came by SNAP is never written (ZOOKEEPER-3642)."""

    def _perform(self, order: Order) -> None:
        if order.frozen is None:
            super()._perform(order)
        else:
            self._writer.roll()
            order.frozen.close()
            self.answers.stored(order.command.ticket)


class EpochNotSaved(SimDisk):
    """An epoch is promised, and forgotten."""

    def command(self, command: StorageCommand) -> None:
        if isinstance(command, SaveEpoch) and self.rng.random() < 0.5:
            self.later(0, partial(self.answers.stored, command.ticket))
        else:
            super().command(command)


class LostRecord(SimDisk):
    """A record is left out of the log now and then."""

    def append(self, records: list[bytes], zxid: int) -> None:
        if len(records) > 1 or self.rng.random() < 0.05:
            records = records[:-1]
        super().append(records, zxid)


def _is_event(frame: bytes) -> bool:
    xid: int = struct.unpack_from(">i", frame, 4)[0]
    return len(frame) > 20 and xid == Xid.NOTIFICATION


class LostEvents(Machine):
    """Watch events are not sent."""

    def write(self, connection: Connection) -> None:
        connection.out[:] = [each for each in connection.out if not _is_event(each)]
        super().write(connection)


class LateEvents(Machine):
    """Watch events are sent behind the answers that show the new state."""

    def write(self, connection: Connection) -> None:
        connection.out.sort(key=_is_event)
        super().write(connection)
