"""Reaching another member: its addresses in turn, and a port of our own until it can be had.

Shell. Used by both ports of a member.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from pyzk.config_members import WILDCARD
from pyzk.runtime.addresses import place
from pyzk.runtime.network import reason_of

if TYPE_CHECKING:
    from pyzk.config_ensemble import EnsembleConfig
    from pyzk.runtime.runner import PeerRunner
    from pyzk.runtime.seams import Listener, Network, Timer

log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 1.0
"""Between two attempts to have a port; the pause doubles from the first to the last."""
REMINDER: Final = 30
"""Failed attempts between two lines in the log."""

MakeProtocol = Callable[[], asyncio.Protocol]


class Dial:
    """One attempt to reach a member, at each of its addresses for some time at most.

    The protocol hears of success, ``failed`` gets the reason of a failure; after ``cancel`` nobody
    hears anything.
    """

    def __init__(
        self,
        runner: PeerRunner,
        network: Network,
        make: MakeProtocol,
        addresses: Iterable[tuple[str, int]],
        each_s: float,
        failed: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._network = network
        self._make = make
        self._addresses = deque(addresses)
        self._each_s = each_s
        self._failed = failed
        self._reason = "no address of it is known"
        self._place = ""
        self._task: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self.is_over = False

    def start(self) -> None:
        """Try the next address."""
        if not self._addresses:
            self.is_over = True
            self._failed(self._reason)
            return
        host, port = self._addresses.popleft()
        self._place = place(host, port)
        task = asyncio.ensure_future(self._network.connect(self._make, host, port))
        self._task = task
        self._timer = self._runner.call_later(self._each_s, task.cancel)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        error = None if task.cancelled() else task.exception()
        if self.is_over:
            return
        if error is None and not task.cancelled():
            self.is_over = True
        elif task.cancelled() or isinstance(error, OSError):
            reason = "no answer in time" if error is None else reason_of(error)
            self._reason = f"{self._place}: {reason}"
            self.start()
        else:
            assert isinstance(error, Exception), error
            self._runner.fail(error)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class Listening:
    """A port that is being listened on, or that will be as soon as it can be had."""

    def __init__(
        self,
        runner: PeerRunner,
        network: Network,
        make: MakeProtocol,
        host: str | None,
        port: int,
        whom: str,
    ) -> None:
        self._runner = runner
        self._network = network
        self._make = make
        self._host = None if host == WILDCARD else host
        self._port = port
        self._whom = whom
        self._listener: Listener | None = None
        self._task: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._attempts = 0
        self._is_over = False
        self.max_attempts = 0
        """0: any number."""

    @property
    def place(self) -> str:
        return place(self._host or "*", self._port)

    def start(self) -> None:
        """Try now, and again until it succeeds."""
        self._task = asyncio.ensure_future(self._try())
        self._task.add_done_callback(self._tried)

    async def first(self) -> None:
        """Try now and wait for what comes of it; again later if it failed."""
        self.start()
        assert self._task is not None
        await asyncio.wait([self._task])

    async def _try(self) -> None:
        listener = await self._network.listen(self._make, self._host, self._port)
        if self._is_over:
            listener.close()
        else:
            self._listener = listener

    def _tried(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._is_over:
            return
        if error is None:
            if self._attempts:
                log.info("listening for %s on %s now", self._whom, self.place)
            return
        if not isinstance(error, OSError):
            assert isinstance(error, Exception), error
            self._runner.fail(error)
            return
        self._attempts += 1
        what = f"cannot listen for {self._whom} on {self.place}: {reason_of(error)}"
        if 0 < self.max_attempts <= self._attempts:
            self._runner.fail_to_listen(what)
            return
        if self._attempts % REMINDER == 1:
            log.error(
                "%s; trying again. Other members cannot reach this server meanwhile: stop whoever"
                " has the port, or correct this server's server.N line on all members",
                what,
            )
        pause_s = min(FIRST_RETRY_S * 2 ** min(self._attempts - 1, 10), LAST_RETRY_S)
        self._timer = self._runner.call_later(pause_s, self.start)

    def close(self) -> None:
        """Listen no more, nor try to."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


def set_options(transport: asyncio.BaseTransport, ensemble: EnsembleConfig) -> None:
    """See that small packets do not wait; set tcpKeepAlive where it is wanted."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ensemble.tcp_keep_alive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
