"""Logging belongs to the whole process: a test that sets it up leaves it as it was."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from pyzk.audit_log import LOGGER
from pyzk.runtime import logs

_SWITCHES = ("raiseExceptions", "logThreads", "logProcesses", "logMultiprocessing")


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Sets logging back when the block ends, and closes the files that it has opened."""
    root, audit = logging.getLogger(), logging.getLogger(LOGGER)
    handlers, level = root.handlers[:], root.level
    audit_level = audit.level
    on_stderr = logs._on_stderr
    before = {name: getattr(logging, name) for name in _SWITCHES}
    try:
        yield
    finally:
        for handler in (*root.handlers, *audit.handlers):
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        audit.handlers[:] = []
        audit.propagate = True
        audit.setLevel(audit_level)
        logs._on_stderr = on_stderr
        for name, value in before.items():
            setattr(logging, name, value)
