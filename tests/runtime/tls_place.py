"""A port that takes TLS, for tests of links: sockets are real, time is in the test's hands."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import cast

from pyzk.runtime.tls_door import Door, Handshakes, Shaking
from pyzk.runtime.tls_link import TlsLink
from tests.runtime.ports import FakeTimer
from tests.tls import HOST, Authority, Contexts

AUTHORITY = Authority()
STRANGER = Authority()


class Above(asyncio.Protocol):
    """The protocol above: keeps what comes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.heard = bytearray()
        self.transport: asyncio.Transport
        self.is_choked = False
        self.is_lost = False
        self.has_seen_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.place.tell(self)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.place.changed.set()

    def eof_received(self) -> bool:
        self.has_seen_end = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.place.changed.set()

    def pause_writing(self) -> None:
        self.is_choked = True

    def resume_writing(self) -> None:
        self.is_choked = False
        self.place.changed.set()


class WatchedHandshakes(Handshakes):
    """Says when one is over."""

    def __init__(self, place: Place, limit: int) -> None:
        super().__init__(limit, place.note_exceeded)
        self.place = place

    def end(self, link: Shaking) -> None:
        super().end(link)
        self.place.changed.set()


class Place:
    """A port that takes TLS, with timers that the test has in its hands."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        check: Callable[[Sequence[bytes], str, str, bool], None] | None = None,
        limit: int = 100,
        takes_plain: bool = False,
        frames_apart: bool = False,
        detection_timeout_s: float | None = None,
        admits: Callable[[str, int], bool] = lambda host, descriptor: True,
    ) -> None:
        contexts = Contexts(context or AUTHORITY.server(), AUTHORITY.client("member"))
        if check is not None:
            contexts.check_peer = check
        self.timers: list[FakeTimer] = []
        self.exceeded = 0
        self.failed = 0
        self.changed = asyncio.Event()
        self.links: list[TlsLink] = []
        self.above: list[Above] = []
        self.door = Door(
            contexts,
            "client port",
            self._call_later,
            WatchedHandshakes(self, limit),
            takes_plain=takes_plain,
            frames_apart=frames_apart,
            detection_timeout_s=detection_timeout_s,
            admits=admits,
            failed=self._note_failed,
        )
        self.port = 0

    def _call_later(self, seconds: float, call: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(seconds, call)
        self.timers.append(timer)
        self.changed.set()
        return timer

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.is_cancelled:
                timer.call()

    @property
    def waiting(self) -> list[float]:
        return [timer.seconds for timer in self.timers if not timer.is_cancelled]

    def note_exceeded(self) -> None:
        self.exceeded += 1
        self.changed.set()

    def _note_failed(self) -> None:
        self.failed += 1
        self.changed.set()

    def tell(self, above: Above) -> None:
        self.above.append(above)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def _make(self) -> asyncio.Protocol:
        link = TlsLink(self.door, partial(Above, self))
        self.links.append(link)
        self.changed.set()
        return link.itself()

    async def one(self) -> Above:
        await self.until(lambda: self.above)
        return self.above.pop()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Place]:
        server = await asyncio.get_running_loop().create_server(self._make, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for link in self.links:
                link.abort()
            for above in self.above:
                above.transport.abort()
            for _turn in range(3):
                await asyncio.sleep(0)

    async def dial(self, context: ssl.SSLContext | None = None) -> Streams:
        return await asyncio.open_connection(
            HOST, self.port, ssl=context or AUTHORITY.client(), limit=1 << 24
        )

    async def dial_plain(self) -> Streams:
        return await asyncio.open_connection(HOST, self.port)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def end_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = AUTHORITY.client().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
