"""What a member of an ensemble does to its files beside the log: one function for each command.

Pure. Files are reached through a Directory; the disk thread runs these functions, and storage in
memory calls them directly. Each returns what the core is answered, after everything it did is
durable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pyzk.data.database import Database, FrozenDatabase
from pyzk.errors import StorageError
from pyzk.persistence.directory import Directory
from pyzk.persistence.logread import read_log
from pyzk.persistence.recovery import RecoveryOptions, recover, recover_until
from pyzk.persistence.replacement import plan_truncation, receive, replace
from pyzk.zxid import format_zxid

if TYPE_CHECKING:
    from pyzk.persistence.config_files import ConfigFiles

log = logging.getLogger(__name__)


class MemberFiles(NamedTuple):
    """The two directories of a member, and what loading depends on. Nothing else may write to them
    meanwhile."""

    snapshots: Directory
    logs: Directory
    options: RecoveryOptions
    configs: ConfigFiles | None = None
    """The files of the configurations; None for a member that cannot be given another one."""

    def reload(self) -> Database:
        """Load the database from the files."""
        recovered = recover(self.snapshots, self.logs, self.options)
        for note in recovered.notes:
            log.warning("recovery: %s", note)
        return recovered.database

    def truncate(self, zxid: int, complete_after: int) -> Database:
        """Remove everything after ``zxid``; return the database that is left.

        It ends before ``zxid`` if the log never had that record. If the state at ``zxid`` cannot be
        rebuilt for sure from these files, they are left as they were, and the database that is
        returned ends *behind* ``zxid``: this member must be sent a snapshot. That is so if every
        snapshot is newer, or if ``complete_after`` is, the zxid from which on the log is known to
        be whole.
        """
        try:
            recovered = recover_until(self.snapshots, self.logs, self.options, zxid)
        except StorageError as error:
            return self._refuse(zxid, str(error))
        if recovered.snapshot_zxid < complete_after:
            return self._refuse(
                zxid, f"the log is known to be whole after {format_zxid(complete_after)} only"
            )
        plan = plan_truncation(self.snapshots, self.logs, zxid, recovered.snapshot_name)
        replace(self.snapshots, self.logs, plan)
        log.info(
            "truncated to %s (asked for %s): %d logs and %d snapshots removed",
            format_zxid(recovered.last_zxid),
            format_zxid(zxid),
            len(plan.logs),
            len(plan.snapshots),
        )
        return recovered.database

    def _refuse(self, zxid: int, reason: str) -> Database:
        log.warning("cannot truncate to %s: %s", format_zxid(zxid), reason)
        return self.reload()

    def store(self, frozen: FrozenDatabase) -> None:
        """Replace everything by this database. Does not close the view."""
        plan = receive(
            self.snapshots,
            self.logs,
            frozen,
            suffix=self.options.snapshot_suffix,
            last_zxid_section=self.options.last_zxid_section,
        )
        replace(self.snapshots, self.logs, plan)
        log.info("stored the database of %s in %s", format_zxid(frozen.zxid), plan.install)

    def read_log(
        self, after: int, until: int, is_affordable: Callable[[int, int], bool]
    ) -> list[tuple[int, bytes]] | None:
        """Return the records from ``after`` to ``until``; None if a snapshot is cheaper, or if they
        cannot be read.

        Others may write and remove files meanwhile.
        """
        try:
            return read_log(self.snapshots, self.logs, after, until, is_affordable)
        except StorageError as error:
            log.error("the log cannot be read for a learner, a snapshot is sent instead: %s", error)
            return None
