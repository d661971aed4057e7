"""Who is at the other end of a TLS link, and what a member that dials hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from pyzk.runtime.tls import TlsPeerError
from pyzk.runtime.tls_door import HANDSHAKE_TIMEOUT_S, Checks, Door, Handshakes
from pyzk.runtime.tls_link import TlsLink
from tests.runtime.tls_place import AUTHORITY, STRANGER, Above, Place, end_of, gone
from tests.tls import HOST, Contexts

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]


# --- who is there ---------------------------------------------------------------------


async def test_what_a_client_has_shown_is_known_above() -> None:
    issuer = AUTHORITY.ca.create_child_ca()
    cert = issuer.issue_cert("bob", common_name="bob")
    context = AUTHORITY.client()
    cert.configure_cert(context)
    async with Place(AUTHORITY.server(ssl.CERT_REQUIRED)).opened() as place:
        _, writer = await place.dial(context)
        above = await place.one()
        link = cast("TlsLink", above.transport.get_extra_info("tls"))
        pems = [blob.bytes() for blob in cert.cert_chain_pems]
        shown = [ssl.PEM_cert_to_DER_cert(pem.decode()) for pem in pems]
        assert link.certificates[:2] == tuple(shown)
        await gone(writer)


async def test_who_shows_nothing_comes_in_where_that_is_allowed() -> None:
    async with Place(AUTHORITY.server(ssl.CERT_OPTIONAL)).opened() as place:
        _, writer = await place.dial(AUTHORITY.client())
        above = await place.one()
        assert cast("TlsLink", above.transport.get_extra_info("tls")).certificates == ()
        await gone(writer)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (lambda: AUTHORITY.client(), "peer did not return a certificate"),
        (
            lambda: AUTHORITY.client("bob", STRANGER.ca),
            "its certificate is refused (unable to get local issuer certificate)",
        ),
        (lambda: STRANGER.client("bob", AUTHORITY.ca), "alert unknown ca"),
    ],
)
async def test_who_cannot_be_trusted_stays_outside(
    context: Callable[[], ssl.SSLContext], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    def knock(port: int) -> None:
        with (
            socket.create_connection((HOST, port)) as sock,
            context().wrap_socket(sock) as tls,
        ):
            tls.recv(1)

    async with Place(AUTHORITY.server(ssl.CERT_REQUIRED)).opened() as place:
        knocking = asyncio.get_running_loop().run_in_executor(None, knock, place.port)
        with pytest.raises(ssl.SSLError):
            await knocking
        await place.until(lambda: place.failed)
        assert place.above == []
        assert reason in caplog.text


async def test_who_has_the_wrong_name_stays_outside(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def check(chain: Sequence[bytes], host: str, address: str, is_server: bool) -> None:
        assert chain[0].startswith(b"\x30\x82"), "DER"
        asked.append((host, address, is_server))
        raise TlsPeerError("the certificate is for bob, not for 127.0.0.1")

    async with Place(AUTHORITY.server(ssl.CERT_REQUIRED), check=check).opened() as place:
        with contextlib.suppress(OSError):
            reader, writer = await place.dial(AUTHORITY.client("bob"))
            assert await end_of(reader) == b""
            await gone(writer)
        await place.until(lambda: place.failed)
        assert asked == [("", HOST, False)]
        assert place.above == []
        assert "the certificate is for bob, not for 127.0.0.1" in caplog.text


async def test_a_check_that_waits_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    asked: queue.Queue[int] = queue.Queue()
    may_answer = threading.Semaphore(0)
    wrong: list[bool] = []

    def check(chain: Sequence[bytes], host: str, address: str, is_server: bool) -> None:
        asked.put(threading.get_ident())
        may_answer.acquire(timeout=10)
        if wrong:
            raise TlsPeerError("it is revoked")

    async with Place(AUTHORITY.server(ssl.CERT_OPTIONAL), check=check).opened() as place:
        contexts = cast("Contexts", place.door.contexts)
        contexts.may_wait = True
        place.door.checks = Checks(1)
        _, first = await place.dial(AUTHORITY.client("bob"))
        first.write(b"early")
        _, second = await place.dial(AUTHORITY.client("bob"))
        _, unnamed = await place.dial()
        served = await place.one()
        unnamed.write(b"served")
        await place.until(lambda: served.heard == b"served")
        assert place.above == [], "nobody has been checked"
        assert await asyncio.to_thread(asked.get, True, 5) != threading.get_ident()
        first.write(b" and more")
        may_answer.release()
        await asyncio.to_thread(asked.get, True, 5)
        above = await place.one()
        await place.until(lambda: above.heard == b"early and more")
        wrong.append(True)
        may_answer.release()
        await place.until(lambda: place.failed)
        assert "no TLS on the client port: it is revoked" in caplog.text
        assert place.above == []
        for each in (first, second, unnamed):
            await gone(each)
        await place.until(lambda: not place.door.handshakes.count)


async def test_who_has_left_meanwhile_is_not_checked_in() -> None:
    began, may_answer = threading.Event(), threading.Event()

    def check(chain: Sequence[bytes], host: str, address: str, is_server: bool) -> None:
        began.set()
        may_answer.wait()

    async with Place(AUTHORITY.server(ssl.CERT_OPTIONAL), check=check).opened() as place:
        cast("Contexts", place.door.contexts).may_wait = True
        reader, writer = await place.dial(AUTHORITY.client("bob"))
        await asyncio.to_thread(began.wait)
        place.fire()
        assert await end_of(reader) == b""
        await place.until(lambda: place.failed)
        may_answer.set()
        await gone(writer)
        (link,) = place.links
        assert link.is_closing()
        assert place.above == []


# --- dialing --------------------------------------------------------------------------


async def dial_with(
    place: Place, client: ssl.SSLContext, port: int, **options: object
) -> tuple[Above, asyncio.Future[None], TlsLink]:
    loop = asyncio.get_running_loop()
    contexts = Contexts(AUTHORITY.server(), client)
    if "check" in options:
        contexts.check_peer = options["check"]  # type: ignore[assignment]
    door = Door(contexts, "quorum port", place._call_later, Handshakes(0))
    above = Above(place)
    ready: asyncio.Future[None] = loop.create_future()
    link = TlsLink(door, lambda: above, "localhost", ready)
    await loop.create_connection(link.itself, HOST, port)
    return above, ready, link


async def test_two_links_understand_each_other() -> None:
    async with Place(AUTHORITY.server(ssl.CERT_REQUIRED)).opened() as place:
        above, ready, link = await dial_with(place, AUTHORITY.client("member"), place.port)
        await ready
        await place.until(lambda: len(place.above) == 2)
        there = next(each for each in place.above if each is not above)
        above.transport.write(bytes(100_000))
        await place.until(lambda: len(there.heard) == 100_000)
        there.transport.write(b"answer")
        await place.until(lambda: above.heard == b"answer")
        assert link.certificates
        above.transport.close()
        await place.until(lambda: there.is_lost and above.is_lost)
        assert there.has_seen_end


async def test_who_dials_hears_why_there_is_no_tls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Place(STRANGER.server()).opened() as place:
        above, ready, _ = await dial_with(place, AUTHORITY.client("member"), place.port)
        with pytest.raises(ConnectionError, match=r"TLS: its certificate is refused \("):
            await ready
        assert place.above == []
        assert "quorum port" not in caplog.text, "who dials says so itself"
        del above


async def test_who_dials_checks_the_name() -> None:
    asked = []

    def check(chain: Sequence[bytes], host: str, address: str, is_server: bool) -> None:
        assert chain[0].startswith(b"\x30\x82"), "DER"
        asked.append((host, address, is_server))
        raise TlsPeerError("it is somebody else")

    async with Place().opened() as place:
        _, ready, _ = await dial_with(place, AUTHORITY.client(), place.port, check=check)
        with pytest.raises(ConnectionError, match="TLS: it is somebody else"):
            await ready
        assert asked == [("localhost", HOST, True)]


async def test_who_dials_does_not_wait_for_ever() -> None:
    async with Place(takes_plain=True, detection_timeout_s=9.0).opened() as place:
        silent = socket.create_server((HOST, 0))
        port = silent.getsockname()[1]
        _, ready, _ = await dial_with(place, AUTHORITY.client(), port)
        assert place.waiting == [HANDSHAKE_TIMEOUT_S]
        place.fire()
        with pytest.raises(ConnectionError, match="TLS: it takes too long"):
            await ready
        silent.close()


async def test_who_dials_and_is_cut_hears_it() -> None:
    async with Place().opened() as place:
        ends = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
        _, ready, _ = await dial_with(place, AUTHORITY.client(), ends.sockets[0].getsockname()[1])
        with pytest.raises(ConnectionError, match="TLS: "):
            await ready
        ends.close()
