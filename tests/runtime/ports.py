"""A core that is faked, for the tests of a member's two ports."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pyzk.config.ensemble import EnsembleConfig
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.runtime.election_port import ElectionPort
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.network import TcpNetwork
from pyzk.runtime.quorum_port import QuorumPort
from pyzk.server.outbox import Outbox
from tests.runtime.members import ensemble_of, member_config

PING = packets.encode_bare(packets.PING, 5)


class FakeTimer:
    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Core:
    """Runner and peer of a member, as far as its ports look at them."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.timers: list[FakeTimer] = []
        self.outbox = Outbox()
        self.accepted: list[QuorumLink] = []
        self.is_leading = True
        self.failures: list[object] = []
        self.configs: Configurations | None = None
        self.member = self
        self._changed = asyncio.Event()

    # --- as the runner

    def take_in(self, source: str, what: object, call: Callable[[], object]) -> None:
        call()

    def guard(self, call: Callable[[], None]) -> None:
        call()

    def call_later(self, seconds: float, call: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(seconds, call)
        self.timers.append(timer)
        return timer

    def fire(self) -> None:
        """Let all time pass that anybody waits for."""
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.is_cancelled:
                timer.call()

    def fail(self, error: Exception) -> None:
        self.failures.append(error)
        self._changed.set()

    # --- as the peer

    def tell(self, *what: object) -> None:
        self.heard.append(what)
        self._changed.set()

    def link_accepted(self, name: str) -> QuorumLink | None:
        if not self.is_leading:
            self.tell("refused")
            return None
        link = QuorumLink(self.outbox, name, self)
        self.accepted.append(link)
        self.tell("accepted", link)
        return link

    def observer_accepted(self, name: str) -> QuorumLink | None:
        link = QuorumLink(self.outbox, name, self)
        self.tell("observer accepted", link)
        return link

    def link_up(self, link: QuorumLink) -> None:
        self.tell("up", link)

    def link_received(self, link: QuorumLink, data: bytes) -> None:
        link.receive(data)

    def link_down(self, link: QuorumLink, reason: str) -> None:
        self.tell("down", link, reason)
        link.is_closed = True

    def election_accepted(self, name: str) -> ElectionLink:
        link = ElectionLink(name, LinkState.GREETING, None)
        self.tell("election accepted", link)
        return link

    def election_dialed(self, sid: int, name: str) -> ElectionLink:
        link = ElectionLink(name, LinkState.UP, sid)
        self.tell("election dialed", link)
        return link

    def election_dial_failed(self, sid: int) -> None:
        self.tell("election dial failed", sid)

    def election_received(self, link: ElectionLink, chunk: bytes) -> None:
        self.tell("election received", link, chunk)

    def election_written(self, link: ElectionLink) -> None:
        self.tell("election written", link)

    def election_closed(self, link: ElectionLink) -> None:
        self.tell("election closed", link)

    def listen_failed(self, reason: str) -> None:
        self.tell("listen failed", reason)

    # --- as the owner of its links

    def bytes_came(self, link: QuorumLink) -> None:
        pass

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        self.tell("packet", packet.type)

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        raise AssertionError(part)

    # --- for the tests

    async def until(self, done: Callable[[], object]) -> None:
        while not done():
            self._changed.clear()
            await self._changed.wait()

    async def until_heard(self, kind: str, count: int = 1) -> Any:
        """Return what came with it: the link, mostly."""
        await self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1][1] if len(self.all(kind)[count - 1]) > 1 else None

    def all(self, kind: str) -> list[tuple[object, ...]]:
        return [what for what in self.heard if what[0] == kind]


class HangingNetwork:
    """Nobody answers; who listens has the port."""

    def __init__(self) -> None:
        self.places: list[tuple[str, int]] = []
        self.asked = asyncio.Event()

    async def connect(self, make: object, host: str, port: int) -> None:
        self.places.append((host, port))
        self.asked.set()
        await asyncio.Event().wait()

    async def listen(self, make: object, host: str | None, port: int) -> Any:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    async def check(self, host: str) -> None:
        return


def ensemble_at(directory: Path, extra: str = "") -> EnsembleConfig:
    return ensemble_of(member_config(directory, ports=free_ports(9), extra=extra))


def quorum_port(core: Core, ensemble: EnsembleConfig, network: object = None) -> QuorumPort:
    everything = cast("Any", core)
    return QuorumPort(everything, everything, ensemble, cast("Any", network or TcpNetwork()))


def election_port(core: Core, ensemble: EnsembleConfig, network: object = None) -> ElectionPort:
    everything = cast("Any", core)
    core.configs = Configurations(ensemble.membership, ensemble.last_seen, is_enabled=True)
    return ElectionPort(everything, everything, ensemble, cast("Any", network or TcpNetwork()))


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def accepted(port: QuorumPort, core: Core) -> AsyncIterator[tuple[QuorumLink, Streams]]:
    """A link that somebody dialed to us."""
    port.listen(port.ensemble.me)
    reader, writer = await dial(port.ensemble.me.addresses[0].quorum_port)
    link = await core.until_heard("accepted")
    try:
        yield link, (reader, writer)
    finally:
        writer.close()
        port.abort()
        await asyncio.sleep(0)


async def dial(port: int) -> Streams:
    while True:  # until somebody listens there
        with contextlib.suppress(ConnectionRefusedError):
            return await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        await asyncio.sleep(0)


async def run_out() -> None:
    """Let the loop do what it has planned: take a connection, and close its socket."""
    for _turn in range(8):
        await asyncio.sleep(0)


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has closed a connection on which it has sent nothing."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
