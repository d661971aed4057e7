"""The configurations of a member that its files do not have, because these cannot be written.

Pure. The member serves on. Each configuration is tried again, after growing pauses, until it is
saved or a later one takes its place. ZooKeeper only logs the failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from pyzk.int64 import hex_digits
from pyzk.quorum.commands import SaveConfig

if TYPE_CHECKING:
    from pyzk.errors import StorageError

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 300.0
"""The pause before a configuration is tried again doubles from the first to the last."""


class Timer(Protocol):
    """A pause that has begun, and can be given up."""

    def cancel(self) -> object: ...


class UnsavedConfigs:
    """At most two: the configuration in force, and the one that was proposed after it."""

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], object]], Timer],
        save: Callable[[SaveConfig], None],
    ) -> None:
        """``save`` tries a command again; `tried` is to be called with what came of it."""
        self._call_later = call_later
        self._save = save
        self._wanted: dict[bool, SaveConfig] = {}
        """The last order for a configuration in force, and for one that is proposed after it."""
        self._failed: dict[bool, SaveConfig] = {}
        """Those of them that could not be carried out."""
        self._timer: Timer | None = None
        self._pause_s = FIRST_PAUSE_S

    def __len__(self) -> int:
        return len(self._failed)

    def ordered(self, command: SaveConfig) -> None:
        """Take the news that a configuration is to be saved: it takes the place of earlier ones."""
        self._wanted[command.is_active] = command
        self._failed.pop(command.is_active, None)
        proposed = self._wanted.get(False)
        if command.is_active and proposed is not None:
            if proposed.membership.version <= command.membership.version:
                self._wanted.pop(False)
                self._failed.pop(False, None)
        if not self._failed:
            self.stop()

    def tried(self, command: SaveConfig, failure: StorageError | None) -> None:
        """Take the news that a configuration was saved or, with a ``failure``, that it was not."""
        kind = command.is_active
        if self._wanted.get(kind) is not command:
            return  # a later one has taken its place
        is_again = kind in self._failed
        if failure is None:
            if is_again:
                log.info("version %s of the ensemble is saved now", _version(command))
                del self._failed[kind]
                if not self._failed:
                    self.stop()
            return
        self._failed[kind] = command
        if not is_again:
            log.error(
                "version %s of the ensemble cannot be saved: %s. This server serves on, and tries"
                " again; started again before that, it has an earlier version until it hears from"
                " the leader",
                _version(command),
                failure,
            )
        if self._timer is None:
            self._timer = self._call_later(self._pause_s, self._try_again)
            self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def _try_again(self) -> None:
        self._timer = None
        for kind in (False, True):  # a server that is added may start by the proposed one only
            if kind in self._failed:
                self._save(self._failed[kind])

    def stop(self) -> None:
        """Try nothing again."""
        self._pause_s = FIRST_PAUSE_S
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _version(command: SaveConfig) -> str:
    return hex_digits(command.membership.version)
