"""Where log lines go and what they look like.

Shell. One line an event, on standard error, as text or as JSON; the time is UTC with milliseconds.
A message is made safe for one line: what a client sent may appear in it. Only the trace of a bug
takes more lines, and only as text.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)
} | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}


def set_up(level: str = "info", form: str = "text", stream: TextIO | None = None) -> None:
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
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def timestamp(created: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    milliseconds = int(created * 1000)
    seconds = time.gmtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', seconds)}.{milliseconds % 1000:03d}Z"


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO    pyzk.runtime.main: message`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().translate(_CONTROLS)
        line = f"{timestamp(record.created)} {record.levelname:<7} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and `exception` where a bug left a trace."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # only where it is asked for: start-up is measured

        fields = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)
