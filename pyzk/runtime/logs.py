"""Where log lines go and what they look like.

Shell. One line an event, on standard error, as text or as JSON; the time is UTC with milliseconds.
A message is made safe for one line: what a client sent may appear in it. Only the trace of a bug
takes more lines, and only as text. What somebody outside can cause at will is one line a minute of
a kind and about one subject (`pyzk.outsiders`): otherwise a port scanner, or a load balancer that
asks in a protocol of its own, fills the disk.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import Final, TextIO

from pyzk.audit_log import EVENT, LOGGER, AuditEvent
from pyzk.outsiders import SUBJECT, one_line

LEVELS: Final = ("debug", "info", "warning", "error")
DEFAULT_LEVEL: Final = "info"
FORMATS: Final = ("text", "json")

_log = logging.getLogger(__name__)

QUIET_S: Final = 60.0
"""The time for which further lines of a kind about the same outsider are left out."""
SWEEP_S: Final = 1.0
MAX_SUBJECTS: Final = 256
"""The number of kinds and subjects that are remembered; lines about further ones are counted
together."""
_OTHERS: Final = ("", "others")
_SHOWN: Final = 500
"""The characters that are kept of a line that was left out."""
_IS_WRITTEN: Final = "_is_written"
"""The attribute of a record that has what the first handler's `Quieter` decided: each of several
handlers writes it, or none does."""


class _LeftOut:
    """Counts the lines of one kind about one subject since one was let through."""

    __slots__ = ("count", "last", "level", "logger", "quiet_until")

    def __init__(self, quiet_until: float) -> None:
        self.quiet_until = quiet_until
        self.count = 0
        self.last = ""
        self.logger = ""
        self.level = logging.INFO

    def add(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = record.getMessage()[:_SHOWN]
        self.logger = record.name
        self.level = record.levelno


class Quieter(logging.Filter):
    """Lets every line through that is about nobody outside. Of the others it lets one line in
    ``QUIET_S`` through, and then one that says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out: dict[tuple[object, str], _LeftOut] = {}
        self._sweep_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the line."""
        subject: str | None = record.__dict__.get(SUBJECT)
        if subject is None:
            return True
        is_written: bool | None = record.__dict__.get(_IS_WRITTEN)
        if is_written is None:
            is_written = record.__dict__[_IS_WRITTEN] = self._lets_through(record, subject)
        return is_written

    def _lets_through(self, record: logging.LogRecord, subject: str) -> bool:
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            self.sweep()
        key: tuple[object, str] = (record.msg, subject)
        known = self._left_out.get(key)
        if known is None and len(self._left_out) >= MAX_SUBJECTS:
            key = _OTHERS
            known = self._left_out.get(key)
        if known is None:
            self._left_out[key] = _LeftOut(now + QUIET_S)
            return True
        known.add(record)
        return False

    def sweep(self, *, is_end: bool = False) -> None:
        """Log what was left out where its time is over; at the end of the process, everywhere."""
        now = time.monotonic()
        for key, left_out in list(self._left_out.items()):
            if now < left_out.quiet_until and not is_end:
                continue
            del self._left_out[key]
            if left_out.count:
                if not is_end:
                    self._left_out[key] = _LeftOut(now + QUIET_S)
                logging.getLogger(left_out.logger).log(
                    left_out.level,
                    "left out: %d more lines like this about %s, the last: %s",
                    left_out.count,
                    key[1],
                    left_out.last,
                )


_quieter = Quieter()
_on_stderr: logging.Handler | None = None
"""Writes to standard error while the log goes to a file; None if it goes to standard error."""


def tell_left_out(*, is_end: bool = False) -> None:
    """Log how many lines were left out, where that is due."""
    _quieter.sweep(is_end=is_end)


def set_up(level: str = DEFAULT_LEVEL, form: str = "text", stream: TextIO | None = None) -> None:
    """Send every log line of the process to `stream` (standard error) in the format `form`."""
    assert level in LEVELS, level
    assert form in FORMATS, form
    # A full disk or a closed pipe behind standard error must not disturb the server.
    logging.raiseExceptions = False
    # Not shown, so not collected.
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form))
    global _quieter, _on_stderr  # one for the process, as the root logger is
    _quieter, _on_stderr = Quieter(), None
    logging.getLogger().handlers.clear()
    add_handler(handler)
    set_level(level)
    # Who asks for an audit log wants all of it.
    logging.getLogger(LOGGER).setLevel(logging.INFO)


AUDIT_FILE_BYTES: Final = 10_000_000
AUDIT_FILES: Final = 10
"""The length at which the file of the audit log is set aside, and how many of those are kept: as in
the example that comes with ZooKeeper."""


def audit_to_file(path: str, form: str = "text") -> None:
    """Send the audit log to a file of its own, and no longer to the other lines. Raises OSError."""
    from pyzk.runtime.log_files import RotatedFile  # few need it

    handler = RotatedFile(path, "the audit log", AUDIT_FILE_BYTES, AUDIT_FILES)
    handler.setFormatter(_formatter(form))
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.propagate = False


LOG_FILE_BYTES: Final = 10_000_000
LOG_FILES: Final = 10
"""The length at which the log file is set aside, and how many of those are kept."""


def log_to_file(
    path: str, form: str = "text", max_bytes: int = LOG_FILE_BYTES, count: int = LOG_FILES
) -> None:
    """Send every log line of the process to a file, and to standard error only what goes wrong with
    that file, and why the process ends. Call it after `set_up`. Raises OSError."""
    from pyzk.runtime import log_files

    global _on_stderr  # one for the process, as the root logger is
    root = logging.getLogger()
    file = log_files.LogFile(path, _formatter(form), max_bytes, count)
    _on_stderr = root.handlers[0]
    root.removeHandler(_on_stderr)
    add_handler(file)
    log_files.tell_of_files(_on_stderr)


def add_handler(handler: logging.Handler) -> None:
    """Have another handler see the lines of the log, those about outsiders as seldom as all do."""
    handler.addFilter(_quieter)
    logging.getLogger().addHandler(handler)


def reopen() -> None:
    """Open the files of the log and of the audit log by their names again."""
    for handler in _handlers():
        again = getattr(handler, "reopen", None)
        if again is not None:
            again()


def flush() -> None:
    """Wait, but not long, until the lines that were logged are written: the process is going to end
    without the interpreter's own end. Where they cannot be written they are lost."""
    for handler in _handlers():
        with contextlib.suppress(OSError, ValueError):
            handler.flush()


def set_level(level: str) -> None:
    """Show the lines of this level, and of those above it, from now on."""
    assert level in LEVELS, level
    logging.getLogger().setLevel(level.upper())


def level() -> str:
    """Return the level that is set."""
    return logging.getLevelName(logging.getLogger().level).lower()


def _handlers() -> list[logging.Handler]:
    return [*logging.getLogger().handlers, *logging.getLogger(LOGGER).handlers]


def _formatter(form: str) -> logging.Formatter:
    return JsonFormatter() if form == "json" else TextFormatter()


def tell_failure(reason: str) -> None:
    """Write the one line that says why the process ends to standard error, in the format that is
    set up, and to the log file if there is one.

    As text it is `pyzk: ` and the reason, without a time.
    """
    handlers = logging.getLogger().handlers
    is_json = any(isinstance(each.formatter, JsonFormatter) for each in handlers)
    if is_json or _on_stderr is not None:
        logging.getLogger("pyzk").error("%s", reason)
    if not is_json:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"pyzk: {reason}\n")
    elif _on_stderr is not None:
        error = {"name": "pyzk", "levelno": logging.ERROR, "levelname": "ERROR", "msg": reason}
        _on_stderr.handle(logging.makeLogRecord(error))


def timestamp(created: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    milliseconds = int(created * 1000)
    seconds = time.gmtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', seconds)}.{milliseconds % 1000:03d}Z"


class TextFormatter(logging.Formatter):
    """Formats a line as `2026-01-31T12:00:00.123Z INFO pyzk.runtime.main: message`."""

    def format(self, record: logging.LogRecord) -> str:
        event = record.__dict__.get(EVENT)  # its tabs are meant
        message = one_line(record.getMessage()) if event is None else str(event)
        line = f"{timestamp(record.created)} {record.levelname:<7} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """Formats a line as one JSON object: time, level, logger, message, and `exception` where a bug
    left a trace, or `audit` with the fields of an event of the audit log."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # only where it is asked for: start-up is measured

        fields: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event: AuditEvent | None = record.__dict__.get(EVENT)
        if event is not None:
            fields["audit"] = event.fields
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)
