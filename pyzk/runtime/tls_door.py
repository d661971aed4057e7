"""What the TLS connections of one port have in common: keys, limits, checks of certificates.

Shell. ZooKeeper: NettyServerCnxnFactory, its outstandingHandshakeLimit; X509Util
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pyzk.runtime.seams import Timer

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""How long a handshake may take, as in Netty."""
RELOAD_INTERVAL_S: Final = 5.0
"""The seconds between two looks at files that may have changed."""
CHECKS_AT_ONCE: Final = 16
"""The most checks of certificates that wait for the network at the same time."""


class Contexts(Protocol):
    """The keys of a port: `pyzk.runtime.tls.TlsContexts`."""

    @property
    def may_wait(self) -> bool:
        """Whether ``check_peer`` may wait for the network."""
        ...

    def server(self) -> ssl.SSLContext: ...
    def client(self) -> ssl.SSLContext: ...
    def check_peer(
        self, chain_der: Sequence[bytes], host: str, address: str, is_server: bool
    ) -> None:
        """Raises TlsPeerError."""
        ...


class ReloadedContexts(Protocol):
    """Keys that may change."""

    def reload_if_changed(self) -> bool: ...


class Shaking(Protocol):
    """A connection whose handshake is under way: `pyzk.runtime.tls_link.TlsLink`."""

    host: str

    def turn_away(self, reason: str, *, is_failure: bool = True) -> None:
        """Ends the connection, and calls `Handshakes.end`."""
        ...


class Handshakes:
    """The handshakes under way on one port, and how many there may be.

    One too many costs the last one of the host that has the most of them, so that a host that
    begins thousands keeps nobody else out.

    Where this differs from ZooKeeper, on purpose: there nothing limits them unless
    netty.server.outstandingHandshake.limit is set, and then whoever comes last is turned away.
    """

    def __init__(self, limit: int, exceeded: Callable[[], None] = lambda: None) -> None:
        """``exceeded`` is called for each one that ends because of the limit."""
        self.limit = limit
        self.count = 0
        self._exceeded = exceeded
        self._by_host: dict[str, dict[Shaking, None]] = {}

    def begin(self, link: Shaking) -> None:
        """Count a handshake that begins."""
        mine = self._by_host.setdefault(link.host, {})
        mine[link] = None
        self.count += 1
        if self.count <= self.limit:
            return
        busiest = max(self._by_host.values(), key=len)
        if len(busiest) <= len(mine):
            busiest = mine
        self._exceeded()
        last = next(reversed(busiest))
        last.turn_away(f"{self.limit} other handshakes are under way", is_failure=False)

    def end(self, link: Shaking) -> None:
        """Forget a handshake that is over."""
        mine = self._by_host.get(link.host)
        if mine is not None and link in mine:
            del mine[link]
            self.count -= 1
            if not mine:
                del self._by_host[link.host]


class Checks:
    """Checks that may wait for the network: a name is looked up, a list of revocations fetched.

    Each is on a thread of its own, for it may take long and cannot be stopped; those that are more
    than so many wait their turn.
    """

    def __init__(self, at_once: int = CHECKS_AT_ONCE) -> None:
        self._free = at_once
        self._waiting: deque[tuple[Callable[[], None], Callable[[Exception | None], None]]]
        self._waiting = deque()

    def begin(self, check: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` on the loop with what ``check`` has raised, or with None."""
        self._waiting.append((check, done))
        self._go_on()

    def _go_on(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            check, done = self._waiting.popleft()
            loop = asyncio.get_running_loop()
            threading.Thread(
                target=self._run, args=(loop, check, done), name="certificate", daemon=True
            ).start()

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        check: Callable[[], None],
        done: Callable[[Exception | None], None],
    ) -> None:
        failure: Exception | None = None
        try:
            check()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._done, done, failure)

    def _done(self, done: Callable[[Exception | None], None], failure: Exception | None) -> None:
        self._free += 1
        self._go_on()
        done(failure)


class Reloading:
    """Looks now and then whether the files with the keys of a port have changed."""

    def __init__(
        self,
        contexts: ReloadedContexts,
        call_later: Callable[[float, Callable[[], object]], Timer],
    ) -> None:
        self._contexts = contexts
        self._call_later = call_later
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look from now on."""
        self._timer = self._call_later(RELOAD_INTERVAL_S, self._look)

    def _look(self) -> None:
        self._contexts.reload_if_changed()
        self.start()

    def stop(self) -> None:
        """Look no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _anybody(host: str, descriptor: int) -> bool:
    """Admits all."""
    return True


class Door:
    """One port, as its TLS connections see it."""

    def __init__(
        self,
        contexts: Contexts,
        name: str,
        call_later: Callable[[float, Callable[[], object]], Timer],
        handshakes: Handshakes,
        *,
        takes_plain: bool = False,
        tells_plain: bool = False,
        frames_apart: bool = False,
        detection_timeout_s: float | None = None,
        admits: Callable[[str, int], bool] = _anybody,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``name`` is what the port is called in the log. ``admits`` is asked before the handshake
        whether this host may come in with this descriptor. ``failed`` is called for each handshake
        that fails."""
        self.contexts = contexts
        self.name = name
        self.call_later = call_later
        self.handshakes = handshakes
        self.checks = Checks()
        self.takes_plain = takes_plain
        self.tells_plain = tells_plain
        """Whether the log says who is taken without TLS."""
        self.frames_apart = frames_apart
        """Whether each frame ends a record. The C client looks for more at its socket only, and so
        answers that share a record would wait there, one for each time that something else comes.
        """
        self.detection_timeout_s = detection_timeout_s
        """How long the first byte may take; then plaintext is assumed. None: as long as the whole
        handshake, and then the connection ends."""
        self.admits = admits
        self.failed = failed
