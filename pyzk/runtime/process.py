"""What a process takes over from the one that started it, and the signals that tell it to end.

Shell. Signals may be ignored or blocked from the start, standard streams closed. ZooKeeper: what
the JVM does with SIGTERM, SIGINT and SIGHUP.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final, NoReturn

_log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that tell a process to end: an order, Ctrl-C, a terminal that closes. For a server
the last one may mean something else: `HangUp`."""
AGAIN_AFTER_S = 1.0
"""The seconds after a signal in which another one is the same order, which came in two ways: GNU
`timeout` sends one to the process and one to its group, `make` passes on what it gets."""


def heeded_signals() -> tuple[signal.Signals, ...]:
    """Return those of SIGNALS that end this process.

    SIGINT and SIGHUP that were ignored from the start stay ignored, as under the JVM: `nohup` and
    the `&` of a script ask for it. SIGTERM is always obeyed; the JVM may ignore it, too, and can
    then be ended by SIGKILL only.
    """
    return tuple(
        number
        for number in SIGNALS
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    )


def handle(numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]) -> None:
    """Call `handler` for these signals from now on, also if they were blocked from the start, as
    the JVM does."""
    for number in numbers:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def is_another(first_s: float) -> bool:
    """Return whether a signal that comes now is another order than the one of `first_s`, which is
    in seconds of time.monotonic()."""
    return time.monotonic() - first_s >= AGAIN_AFTER_S


def end_at_another(numbers: Iterable[int], code: int) -> None:
    """End the process with `code` at once when another order to end comes after the present one:
    what it does to close may never end."""
    first_s = time.monotonic()

    def received(number: int, _frame: FrameType | None) -> None:
        if is_another(first_s):
            _log.warning("%s again: exiting without closing", signal.Signals(number).name)
            exit_at_once(code)

    handle(numbers, received)


def exit_at_once(code: int) -> NoReturn:
    """End the process without closing anything, when what was logged is written."""
    from pyzk.runtime import logs  # whoever has logged something has it

    logs.flush()
    os._exit(code)


def has_terminal() -> bool:
    """Return whether the process has a terminal that controls it. One that is closed does not count
    any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class HangUp:
    """What SIGHUP means: the end, if the terminal is closed that the process was started at;
    otherwise somebody wants files to be read again, as it is the custom of servers."""

    def __init__(self) -> None:
        self._had_terminal = has_terminal()
        self.is_reload_due = False
        """Whether somebody has asked for it while the server could not do it yet."""

    def is_end(self) -> bool:
        """Return what a SIGHUP that comes now means."""
        return self._had_terminal and not has_terminal()


def ignore(numbers: Iterable[int]) -> None:
    """Ignore these signals: nothing is left to do but the end of the interpreter, and the exit code
    is known."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed.

    Otherwise the next file or socket would get their numbers, and what is meant for standard error;
    uvloop even aborts when it closes such a socket.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python has looked at its start; it leaves None for those that are closed.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
