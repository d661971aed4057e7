"""Who listens where, on which family."""

from __future__ import annotations

import errno
import logging
import socket

import pytest

from pyzk.runtime import listening
from pyzk.runtime.listening import listen_at, open_sockets
from tests.runtime.ports import needs_ipv6


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
    real = listening._listen

    def listen(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(code, "no", "[::]:1")
        return real(family, address, backlog)

    monkeypatch.setattr(listening, "_listen", listen)
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
