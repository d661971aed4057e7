"""The last events of the log, kept in memory for who looks at the server from outside.

Shell. `RecentLog` is a handler beside the one that writes, so it sees what the level lets through,
and a line about an outsider as seldom as the log itself (`pyzk.runtime.logs`). It exists only where
somebody can ask for it: without one no line is kept. Events of the audit log are not kept, for they
name paths and users.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final, NamedTuple

from pyzk.audit_log import LOGGER
from pyzk.outsiders import one_line
from pyzk.runtime import logs

CAPACITY: Final = 500
"""How many events are kept."""
MAX_MESSAGE: Final = 1000
"""The characters that are kept of a message."""


class LogEvent(NamedTuple):
    """One line of the log."""

    number: int
    """Counts the events from 1; who asks again gives the last number that it has."""
    time_s: float
    """Seconds since 1970."""
    level: str
    """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    logger: str
    message: str
    """One line, without the trace of a bug."""


class RecentLog(logging.Handler):
    """Keeps the last ``capacity`` events."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._events: deque[LogEvent] = deque(maxlen=capacity)
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an event; called under the handler's lock, on any thread."""
        if record.name == LOGGER:
            return
        self._count += 1
        message = one_line(record.getMessage())
        if len(message) > MAX_MESSAGE:
            message = f"{message[:MAX_MESSAGE]}..."
        self._events.append(
            LogEvent(self._count, record.created, record.levelname, record.name, message)
        )

    def events(self, after: int = 0) -> list[LogEvent]:
        """Return the events that are kept and whose number is above ``after``, oldest first."""
        self.acquire()
        try:
            return [event for event in self._events if event.number > after]
        finally:
            self.release()

    def begin(self) -> None:
        """Keep what is logged from now on."""
        logs.add_handler(self)

    def end(self) -> None:
        """Keep nothing more."""
        logging.getLogger().removeHandler(self)
