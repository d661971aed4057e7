"""Where a host is, and who is at the other end."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, cast

import pytest

from pyzk.runtime.addresses import look_up, peer_of
from pyzk.runtime.listening import open_sockets
from pyzk.runtime.loop import LOOPS, loop_factory
from tests.runtime.ports import needs_ipv6


def test_a_zone_is_left_out_where_it_says_nothing() -> None:
    index = socket.if_nametoindex("lo")
    assert look_up("::1%lo", 1) == [(socket.AF_INET6, ("::1", 1, 0, 0))]
    assert look_up("fe80::1%lo", 1) == [(socket.AF_INET6, ("fe80::1", 1, 0, index))]
    with pytest.raises(OSError, match="no interface"):
        look_up("::1%nosuch", 1)
    with pytest.raises(socket.gaierror):
        look_up("no address%lo", 1, socket.AI_NUMERICHOST)


class FakeTransport:
    def __init__(self, **facts: object) -> None:
        self._facts = facts

    def get_extra_info(self, name: str) -> object:
        return self._facts.get(name)


@pytest.mark.parametrize(
    ("peername", "shown"),
    [
        (("10.0.0.1", 5), ("10.0.0.1", 5)),
        (("::ffff:10.0.0.1", 5, 0, 0), ("10.0.0.1", 5)),
        (("fd00::1", 5, 0, 0), ("fd00::1", 5)),
        (("::ffff:0:a00:1", 5, 0, 0), ("::ffff:0:a00:1", 5)),
        (None, ("unknown", 0)),
    ],
)
def test_a_mapped_address_is_shown_as_ipv4(peername: object, shown: tuple[str, int]) -> None:
    assert peer_of(cast("Any", FakeTransport(peername=peername))) == shown


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_socket_that_cannot_say_is_unknown(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    with socket.socket() as sock:
        assert peer_of(cast("Any", FakeTransport(socket=sock))) == ("unknown", 0)


@pytest.mark.skipif("sys.platform != 'linux'")
@pytest.mark.live
@pytest.mark.parametrize("name", LOOPS[1:])
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_who_has_reset_the_connection_at_once_is_known(name: str, host: str) -> None:
    if name == "uvloop":
        pytest.importorskip("uvloop")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[tuple[str, int]] = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                seen.set_result(peer_of(transport))

        (sock,) = open_sockets(host, 0, 1)
        client = socket.create_connection(sock.getsockname()[:2])
        own = client.getsockname()[:2]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server = await loop.create_server(Server, sock=sock)
        assert await asyncio.wait_for(seen, 5) == own
        server.close()

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        runner.run(main())
