"""Carries the commands that a member gives its disk out on the member's files.

Pure. Production, storage in memory and the simulator each say when, and on which thread. ZooKeeper:
the parts of QuorumPeer, Learner and LearnerHandler that write files or read the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from pyzk.data.database import Database, FrozenDatabase
from pyzk.errors import StorageError
from pyzk.persistence.config_files import ConfigFiles
from pyzk.persistence.member_files import MemberFiles
from pyzk.quorum.commands import (
    InstallDatabase,
    ReadLog,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
    TruncateLog,
)
from pyzk.quorum.epochs import save_epoch
from pyzk.quorum.sync import is_affordable


class StorageAnswers(Protocol):
    """Who hears that a command of a member is done."""

    def stored(self, ticket: int) -> None: ...
    def restored(self, ticket: int, database: Database) -> None: ...
    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None: ...


class Outcome(NamedTuple):
    """What has come of a command, when it is durable."""

    tell: Callable[[StorageAnswers], None]
    """Gives the member its answer."""
    last_zxid: int = 0
    complete_after: int | None = None
    """Where the database on disk ends, and after which zxid its log is known to be whole; None if
    the command leaves the database as it is."""
    failure: StorageError | None = None
    """Why a configuration could not be saved, which does not stop the server."""


def freeze(command: StorageCommand) -> FrozenDatabase | None:
    """Return the database that a command wants stored, as it is now; who asks closes it."""
    return command.database.freeze() if isinstance(command, StoreDatabase) else None


def carry_out(
    command: StorageCommand,
    files: MemberFiles,
    frozen: FrozenDatabase | None,
    complete_after: int,
    size_factor: float,
) -> Outcome:
    """Carry a command out; ``frozen`` is what `freeze` returned when it was given.

    ``complete_after`` is the zxid after which the log is known to be whole, ``size_factor`` the
    setting snapshotSizeFactor. Raises StorageError.
    """
    ticket = command.ticket
    if isinstance(command, SaveConfig):
        assert files.configs is not None, command
        failure = save_config(files.configs, command)
        return Outcome(lambda answers: answers.stored(ticket), failure=failure)
    if isinstance(command, SaveEpoch):
        save_epoch(files.snapshots, command.name, command.epoch)
        return Outcome(lambda answers: answers.stored(ticket))
    if isinstance(command, InstallDatabase):
        command.received.install(command.zxid)
        return Outcome(lambda answers: answers.stored(ticket), command.zxid, command.zxid)
    if isinstance(command, ReadLog):
        is_cheap = partial(is_affordable, factor=size_factor)
        records = files.read_log(command.after, command.until, is_cheap)
        return Outcome(lambda answers: answers.log_read(ticket, records))
    if frozen is not None:
        files.store(frozen)
        return Outcome(lambda answers: answers.stored(ticket), frozen.zxid, frozen.zxid)
    if isinstance(command, TruncateLog):
        database = files.truncate(command.zxid, complete_after)
    else:
        database = files.reload()
    return Outcome(
        lambda answers: answers.restored(ticket, database),
        database.last_zxid,
        database.log_complete_after,
    )


def save_config(files: ConfigFiles, command: SaveConfig) -> StorageError | None:
    """Write a configuration to the files; return why that is not possible, None if it is done."""
    try:
        if command.is_active:
            files.activate(command.membership, command.client_address)
        else:
            files.propose(command.membership)
    except StorageError as error:
        return error
    return None
