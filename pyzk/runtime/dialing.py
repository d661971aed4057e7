"""Reaches another member at its addresses in turn, and opens a port as soon as it can be had.

Shell. Both ports of a member use it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from pyzk.errors import ElectionPortError
from pyzk.runtime.addresses import place
from pyzk.runtime.network import reason_of

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.runtime.seams import Listener, MemberInputs, MemberNetwork, Timer

log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 1.0
"""The seconds between two attempts to have a port; the pause doubles from the first to the last."""
REMINDER: Final = 30
"""The failed attempts between two lines in the log."""
MOVED_SILENCE: Final = 4
"""The failed attempts at another address of a server that runs before the log mentions one: another
member may be about to leave it."""

CLIENTS: Final = "clients"
"""The purpose of a place where clients, and not other members, connect."""

MakeProtocol = Callable[[], asyncio.Protocol]


class Where(NamedTuple):
    """A place to listen at, its purpose, and the server line that names it."""

    host: str | None
    """The host; None: all addresses of the machine."""
    port: int
    whom: str
    setting: str

    def __str__(self) -> str:
        return f"for {self.whom} on {place(self.host or '*', self.port)}"

    def explain(self, error: OSError) -> tuple[str, str]:
        """Return why the port cannot be had, and what to do about it."""
        line = self.setting
        if isinstance(error, socket.gaierror):
            return (
                f"the name {self.host} is not known here ({reason_of(error)})",
                f"correct {line} on all members, or what looks names up (/etc/hosts, DNS)",
            )
        remedies = {
            errno.EADDRINUSE: "another process has the port, perhaps this server is running already"
            f": stop it, or choose another port in {line} on all members, or correct myid if this"
            " is another server",
            errno.EADDRNOTAVAIL: f"this machine does not have the address in {line}: correct it on"
            " all members, or myid if this is another server; where addresses are translated, set"
            " quorumListenOnAllIPs=true",
            errno.EACCES: f"ports below 1024 need a privilege: choose another port in {line} on all"
            " members",
        }
        remedy = remedies.get(error.errno or 0, f"correct {line} on all members")
        which = error.filename  # where that is not the place itself, but an address of its name
        where = f" ({which})" if which and which != place(self.host or "*", self.port) else ""
        return f"{reason_of(error)}{where}", remedy


class _Unwanted(asyncio.Protocol):
    """A protocol for a connection that nobody waits for any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class DialAttempt:
    """Tries once to reach a member, at each of its addresses for a limited time.

    The protocol hears of success, ``failed`` gets the reason of a failure; after ``cancel`` nobody
    hears anything.
    """

    def __init__(
        self,
        inputs: MemberInputs,
        network: MemberNetwork,
        make: MakeProtocol,
        addresses: Iterable[tuple[str, int]],
        each_s: float,
        failed: Callable[[str], None],
    ) -> None:
        self._inputs = inputs
        self._network = network
        self._make = make
        self._addresses = deque(addresses)
        self._each_s = each_s
        self._failed = failed
        self._reason = "no address of it is known"
        self._place = ""
        self._task: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._is_over = False
        self._is_late = False
        """Whether the time of this address is over: its connection, if there is one, is dropped."""

    def start(self) -> None:
        """Try the next address."""
        if not self._addresses:
            self._is_over = True
            self._failed(self._reason)
            return
        host, port = self._addresses.popleft()
        self._place = place(host, port)
        self._is_late = False
        task = asyncio.ensure_future(self._network.connect(self._made, host, port))
        self._task = task
        self._timer = self._inputs.call_later(self._each_s, self._give_up)
        task.add_done_callback(self._done)

    def _give_up(self) -> None:
        """End the attempt at this address."""
        self._is_late = True
        assert self._task is not None, "no attempt to give up"
        self._task.cancel()

    def _made(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was made.

        The task ends one turn of the loop later, and may be cancelled until then: by the timer, or
        because another attempt takes the place of this one. uvloop closes the connection of a task
        that is cancelled, and says so to nobody.
        """
        if self._is_over or self._is_late:
            return _Unwanted()
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        return self._make()

    def _done(self, task: asyncio.Future[None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        error = None if task.cancelled() else task.exception()
        if self._is_over:
            return
        if task.cancelled() or isinstance(error, OSError):
            reason = "no answer in time" if error is None else reason_of(error)
            self._reason = f"{self._place}: {reason}"
            self.start()
        else:
            assert isinstance(error, Exception), error
            self._inputs.fail(error)

    def cancel(self) -> None:
        """Stop trying: nobody waits for the connection any more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class Listening:
    """A port that is listened on, or will be as soon as it can be had."""

    def __init__(
        self,
        inputs: MemberInputs,
        network: MemberNetwork,
        make: MakeProtocol,
        where: Where,
        first_retry_s: float = FIRST_RETRY_S,
        failed: Callable[[str], None] | None = None,
        opened: Callable[[Listener], None] | None = None,
        silence: int = 0,
    ) -> None:
        """Make no attempt before ``start`` or ``until_open``. ``failed`` gets the reason of the
        first failure; no word is said about the first ``silence`` of them. ``opened`` gets what
        listens."""
        self._inputs = inputs
        self._network = network
        self._make = make
        self.where = where
        self._pause_s = first_retry_s
        self._listener: Listener | None = None
        self._task: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._failed_first = failed
        self._opened = opened
        self._silence = silence
        self._attempts = 0
        self._max_attempts = 0
        self._waiter: asyncio.Future[None] | None = None
        """The future for which ``until_open`` waits."""
        self._is_over = False

    def start(self) -> None:
        """Try to open the port now, and again until it succeeds."""
        self._task = asyncio.ensure_future(self._try())
        self._task.add_done_callback(self._tried)

    async def until_open(self, max_attempts: int) -> None:
        """Try to open the port now, and again until it succeeds; wait for that.

        Raises ElectionPortError when ``max_attempts`` have failed, and goes on trying until
        ``close``. If that is 0 it waits for the first attempt only.
        """
        self._max_attempts = max_attempts
        self._waiter = asyncio.get_running_loop().create_future()
        self.start()
        await self._waiter

    async def _try(self) -> None:
        where = self.where
        listener = await self._network.listen(self._make, where.host, where.port)
        if self._is_over:
            listener.close()
        else:
            self._listener = listener

    def _tried(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._is_over:
            return
        if error is None:
            if self._attempts > self._silence:
                log.info("listening %s now", self.where)
            if self._opened is not None and self._listener is not None:
                self._opened(self._listener)
            self._answer(None)
        elif isinstance(error, OSError):
            self._failed(error)
        else:
            assert isinstance(error, Exception), error
            if not self._answer(error):
                self._inputs.fail(error)

    def _failed(self, error: OSError) -> None:
        self._attempts += 1
        reason, remedy = self.where.explain(error)
        most = self._max_attempts
        if (self._attempts - self._silence) % REMINDER == 1:
            log.error(
                "cannot listen %s: %s; trying again%s. %s cannot reach this server meanwhile: %s",
                self.where,
                reason,
                f", {most} times in all" if most else "",
                "Clients" if self.where.whom == CLIENTS else "Other members",
                remedy,
            )
        if not most:
            self._answer(None)
        elif self._attempts >= most:
            times = "once" if most == 1 else f"{most} times"
            self._answer(
                ElectionPortError(
                    f"cannot listen {self.where}: {reason}; tried {times} (electionPortBindRetry;"
                    f" 0: for ever). {remedy[0].upper()}{remedy[1:]}"
                )
            )
        self._timer = self._inputs.call_later(self._pause_s, self.start)
        self._pause_s = min(2 * self._pause_s, LAST_RETRY_S)
        if self._attempts <= self._silence:
            return
        call, self._failed_first = self._failed_first, None
        if call is not None:
            call(f"it cannot listen {self.where}: {reason}")

    def _answer(self, error: Exception | None) -> bool:
        """End ``until_open``, and tell whether it was still waiting."""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return False
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
        return True

    def close(self) -> None:
        """Stop listening, or trying to."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


def set_options(transport: asyncio.BaseTransport, ensemble: EnsembleConfig) -> None:
    """Send small packets at once, and set tcpKeepAlive where it is wanted."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ensemble.tcp_keep_alive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
