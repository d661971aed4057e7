"""What a running server does at SIGHUP.

Shell. It opens its log files by their names again, reads the files of keys and certificates if they
have changed, and takes the level of the log from `zoo.cfg`. However many signals come, this is done
once a second at most, and always after the last one.
ZooKeeper has nothing of the kind: its log files and certificates are looked at by time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pyzk.errors import ConfigError
from pyzk.runtime import logs

PAUSE_S: Final = 1.0
"""The least time between two reloads."""

_log = logging.getLogger(__name__)


class Reloads:
    """Plans reloads; `ask` is called on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reload: Callable[[], None]) -> None:
        self._loop = loop
        self._reload = reload
        self._next_s = loop.time()
        self._is_planned = False

    def ask(self) -> None:
        """Reload soon."""
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_at(max(self._loop.time(), self._next_s), self._do)

    def _do(self) -> None:
        self._is_planned = False
        self._next_s = self._loop.time() + PAUSE_S
        self._reload()


def reload(reload_keys: Callable[[], bool], read_level: Callable[[], str] | None = None) -> None:
    """Do what SIGHUP asks for. ``read_level`` returns the level that `zoo.cfg` has now, and raises
    ConfigError or OSError; it is None if something else says the level. Whatever fails is named in
    the log, and stays as it was."""
    logs.reopen()
    are_new = reload_keys()
    if read_level is not None:
        try:
            level = read_level()
        except (ConfigError, OSError) as error:
            _log.warning("SIGHUP: the level of the log stays %s: %s", logs.level(), error)
        else:
            if level != logs.level():
                _log.warning("SIGHUP: the level of the log is %s now", level)
            logs.set_level(level)
    keys = "there are new certificates" if are_new else "no new certificates"
    _log.info("SIGHUP: log files are opened anew, %s", keys)
