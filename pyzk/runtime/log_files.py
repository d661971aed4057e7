"""Log files: set aside when they are long, opened anew when they are told to.

Shell. `RotatedFile` writes on the thread of whoever logs: no event of the audit log may be lost
without a word. `LogFile` is for all other lines: the event loop hands them over and never waits for
the disk of the log; a thread writes them. Lines that cannot be written are lost and counted, and
the server goes on. The file is found by its name again and again, so a tool that moves it away
(logrotate) need not tell, and a directory that is gone and comes back is used again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from logging.handlers import RotatingFileHandler
from typing import Final, TextIO

from pyzk.outsiders import about

MAX_WAITING_CHARACTERS: Final = 1 << 22
"""How much may wait for the disk of the log; what comes beyond it is lost."""
LAST_LINES_S: Final = 2.0
"""How long the end of the process waits for lines that are not written yet."""

_log = logging.getLogger(__name__)
_own_log = logging.getLogger(f"{__name__}.own")
"""Tells of the log file itself. What it says is not written there, but to standard error."""


def tell_of_files(handler: logging.Handler) -> None:
    """Have a handler write what goes wrong with the log file."""
    _own_log.handlers[:] = [handler]


class RotatedFile(RotatingFileHandler):
    """A file that is set aside when it is ``max_bytes`` long; so many as ``count`` are kept. Says
    so in the log when a line is lost, as it is when the disk is full, and writes on to a file that
    cannot be set aside. With 0 bytes it is never set aside."""

    def __init__(
        self, path: str, what: str, max_bytes: int, count: int, log: logging.Logger = _log
    ) -> None:
        """``what`` names the file in ``log``. Raises OSError."""
        super().__init__(
            path,
            maxBytes=max_bytes,
            backupCount=count,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._what = what
        self._log = log
        self.lost = 0
        """How many lines were lost."""

    def doRollover(self) -> None:  # noqa: N802 - its name there
        """Set the file aside, or go on with it."""
        try:
            super().doRollover()
        except OSError as error:
            self._log.error(
                "%s cannot be set aside, and grows: %s",
                self._what,
                error.strerror,
                extra=about(self.baseFilename),
            )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        """Say that a line is lost; called where the exception is handled."""
        del record
        self.lost += 1
        error = sys.exc_info()[1]
        self._log.error(
            "%s cannot be written: a line is lost: %s",
            self._what,
            getattr(error, "strerror", None) or repr(error),
            extra=about(self.baseFilename),
        )
        self._forget()

    def _forget(self) -> None:
        """Open the file anew for the next line: otherwise what is lost would pile up."""
        stream: TextIO | None = self.stream
        self.stream = None
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def reopen(self) -> None:
        """Open the file by its name, which may be another one's by now, for the next line."""
        self.acquire()
        try:
            self._forget()
        finally:
            self.release()

    def follow(self) -> None:
        """Do so if the name is that of another file, or of none."""
        stream: TextIO | None = self.stream
        if stream is None:
            return
        with contextlib.suppress(OSError):
            ours = os.fstat(stream.fileno())
            with contextlib.suppress(OSError):
                named = os.stat(self.baseFilename)
                if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
                    return
        self.reopen()


class _Reopen:
    """An order in the queue: open the file by its name."""


_Item = str | _Reopen | threading.Event | None


class LogFile(logging.Handler):
    """Hands lines to a thread that writes them to a file."""

    def __init__(self, path: str, formatter: logging.Formatter, max_bytes: int, count: int) -> None:
        """Raises OSError."""
        super().__init__()
        self.setFormatter(formatter)
        self._file = RotatedFile(path, f"the log file {path}", max_bytes, count, _own_log)
        self._file.setFormatter(logging.Formatter("%(message)s"))
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a signal may come, and be logged, while it is held
        self._waiting = 0
        """How many characters wait in the queue."""
        self._lost = 0
        """How many lines found it full."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """The file's name, absolute."""
        return self._file.baseFilename

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the line; not what is said of this file itself."""
        return record.name != _own_log.name and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over a line; called on any thread."""
        text = self.format(record)
        with self._lock:
            if self._waiting > MAX_WAITING_CHARACTERS:
                self._lost += 1
                return
            self._waiting += len(text)
        self._queue.put(text)

    def reopen(self) -> None:
        """Open the file by its name, which may be another one's by now."""
        self._queue.put(_Reopen())

    def flush(self) -> None:
        """Wait, but not long, until what was handed over is written."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            written = threading.Event()
            self._queue.put(written)
            written.wait(LAST_LINES_S)

    def close(self) -> None:
        """Write what was handed over, and end the thread."""
        self.flush()
        self._queue.put(None)
        super().close()

    # --- on the thread that writes ------------------------------------------------------

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                self._file.close()
                return
            if isinstance(item, str):
                self._write(item)
            elif isinstance(item, _Reopen):
                self._file.reopen()
            else:
                item.set()

    def _write(self, text: str) -> None:
        with self._lock:
            self._waiting -= len(text)
            lost, self._lost = self._lost, 0
        self._file.lost += lost
        self._file.follow()
        before = self._file.lost
        if before:
            self._put(self._told_lost(before))
        if self._file.lost == before:
            self._file.lost = 0
            self._put(text)
        else:
            self._file.lost = before + 1

    def _put(self, line: str) -> None:
        self._file.handle(logging.makeLogRecord({"msg": line}))

    def _told_lost(self, count: int) -> str:
        fields = {"name": _own_log.name, "levelno": logging.WARNING, "levelname": "WARNING"}
        record = logging.makeLogRecord(fields)
        record.msg, record.args = "lost: %d lines, which could not be written", (count,)
        return self.format(record)
