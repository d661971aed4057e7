"""Where a host is, who listens there on which family, and who is at the other end."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from typing import Any, cast

import pytest

from pyzk.runtime import addresses
from pyzk.runtime.addresses import listen_at, look_up, open_sockets, peer_of
from pyzk.runtime.loop import LOOPS, loop_factory


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


def _reached(sockets: list[socket.socket]) -> list[str]:
    """Return the loopback addresses at which somebody listens, and close the sockets."""
    reached = []
    port = sockets[0].getsockname()[1]
    for host in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((host, port), 5).close()
        except ConnectionRefusedError:
            continue
        reached.append(host)
    for sock in sockets:
        sock.close()
    return reached


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "named"),
    [
        (None, "0.0.0.0"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("[::]", "::"),
        ("::ffff:0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_wildcard_of_either_family_listens_on_both(host: str | None, named: str) -> None:
    sockets = open_sockets(host, 0, 1)
    assert sockets[0].getsockname()[0] == named
    assert _reached(sockets) == ["127.0.0.1", "::1"]


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("0:0:0:0:0:ffff:7f00:1", "127.0.0.1"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1%lo", "::1"),
        ("::1%1", "::1"),
        ("[::1%lo]", "::1"),
    ],
)
def test_any_other_address_is_one_of_one_family(host: str, reached: str) -> None:
    assert _reached(open_sockets(host, 0, 1)) == [reached]


def test_a_zone_is_left_out_where_it_says_nothing() -> None:
    index = socket.if_nametoindex("lo")
    assert look_up("::1%lo", 1) == [(socket.AF_INET6, ("::1", 1, 0, 0))]
    assert look_up("fe80::1%lo", 1) == [(socket.AF_INET6, ("fe80::1", 1, 0, index))]
    with pytest.raises(OSError, match="no interface"):
        look_up("::1%nosuch", 1)
    with pytest.raises(socket.gaierror):
        look_up("no address%lo", 1, socket.AI_NUMERICHOST)


@pytest.mark.parametrize(("host", "lines"), [(None, 0), ("0.0.0.0", 0), ("::", 1)])
def test_without_ipv6_a_wildcard_is_ipv4_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: str | None,
    lines: int,
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert _reached(open_sockets(host, 0, 1)) == ["127.0.0.1"]
    assert caplog.text.count("this machine has no IPv6: listening on 0.0.0.0:0 only") == lines


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_family_that_cannot_be_had_after_all_is_left_out(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = addresses._listen

    def listen(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(code, "no", "[::]:1")
        return real(family, address, backlog)

    monkeypatch.setattr(addresses, "_listen", listen)
    for host in (None, "0.0.0.0", "::"):
        assert _reached(open_sockets(host, 0, 1)) == ["127.0.0.1"]


def test_of_the_addresses_of_a_name_those_count_that_the_machine_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`localhost` is ::1, too, in many a container that has no IPv6."""
    here = (socket.AF_INET, ("127.0.0.1", 0))
    elsewhere = (socket.AF_INET, ("203.0.113.7", 0))
    caplog.set_level(logging.INFO)
    assert _reached(listen_at([elsewhere, here], 0, 1)) == ["127.0.0.1"]
    assert "not listening on 203.0.113.7:0: Cannot assign requested address" in caplog.text
    with pytest.raises(OSError) as caught:
        listen_at([elsewhere], 0, 1)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.filename == "203.0.113.7:0"


@needs_ipv6
def test_the_ipv4_address_of_a_name_comes_first() -> None:
    found = [(socket.AF_INET6, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0))]
    sockets = listen_at(found, 0, 1)
    assert sockets[0].family == socket.AF_INET
    assert _reached(sockets) == ["127.0.0.1", "::1"]


def test_an_address_that_is_taken_is_none_that_is_left_out() -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        for host in ("127.0.0.1", None):
            with pytest.raises(OSError) as caught:
                open_sockets(host, port, 1)
            assert caught.value.errno == errno.EADDRINUSE


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
