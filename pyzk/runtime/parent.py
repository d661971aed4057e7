"""Ends this process when the one that started it is gone, killed or not.

Shell. A thread waits for either of two things:

    the parent process ends        a pidfd (Linux 5.3), elsewhere the parent's number four times a
                                   second: an orphan gets another parent
    standard input is closed       where it is a pipe or a socket whose other end was open at the
                                   start: this tells when the process behind a launcher (``uv run``,
                                   ``npx``, ``sh -c``) is gone, for the launcher stays

Nothing is ever read from standard input. One that is closed from the start, or /dev/null, or a
terminal, tells nothing.

Not prctl(PR_SET_PDEATHSIG): that signal comes when the *thread* ends that forked, and a JVM, or a
runtime like Go's, starts children from threads that end while the process lives on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from pyzk.runtime.logs import tell_failure
from pyzk.runtime.process import exit_at_once

_log = logging.getLogger(__name__)

POLL_INTERVAL_S: Final = 0.25
"""The pause between two looks, where nothing tells of the end."""
GRACE_S: Final = 0.5
"""The time that the server gets to stop; `kill -9` is safe at any time."""

_INPUT_CLOSED: Final = "standard input was closed"
_CLOSED: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL


def exit_with_parent() -> None:
    """Make the process stop as by SIGTERM when its parent is gone, and end a while later in any
    case."""
    watch_parent(_stop)


def _stop(reason: str) -> None:
    if reason == _INPUT_CLOSED:
        # Nothing went wrong: Java's Process.destroy, for one, closes it beside its SIGTERM.
        _log.info("%s: stopping", reason)
    else:
        tell_failure(f"{reason}: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    exit_at_once(0)


def watch_parent(gone: Callable[[str], object], *, tells: bool = True) -> threading.Thread:
    """Call ``gone`` with the reason, in a thread, once, when the parent is gone.

    Without ``tells`` the thread looks again and again, as it does where the operating system has no
    better way.
    """
    parent = os.getppid()
    handle = _open_handle(parent) if tells else None
    standard_input = _open_input()

    def watch() -> None:
        gone(_wait(parent, handle, standard_input))

    thread = threading.Thread(target=watch, name="pyzk-parent", daemon=True)
    thread.start()
    return thread


def _wait(parent: int, handle: int | None, standard_input: int | None) -> str:
    poll = select.poll()
    if handle is not None:
        poll.register(handle, select.POLLIN)
    if standard_input is not None:
        # No events: a hang-up is always told, and what comes in is not for us.
        poll.register(standard_input, 0)
    # The number is compared after the handle was opened: it is the parent's, not a later process's.
    while os.getppid() == parent:
        for descriptor, events in poll.poll(None if handle is not None else 0):
            if descriptor == handle:
                return "the parent process is gone"
            if events & _CLOSED:
                return _INPUT_CLOSED
        if handle is None:
            time.sleep(POLL_INTERVAL_S)
    return "the parent process is gone"


def _open_handle(process: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None where there is no such
    thing."""
    if sys.platform == "linux":
        # Not permitted, in some containers, or an old kernel, or no parent in this one.
        with contextlib.suppress(OSError):
            return os.pidfd_open(process)
    return None


def _open_input() -> int | None:
    """Return the descriptor of standard input if its end will tell something, else None."""
    descriptor = 0
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return None
    poll = select.poll()
    poll.register(descriptor, 0)
    return None if any(events & _CLOSED for _, events in poll.poll(0)) else descriptor
