"""The port of the admin server: where it is, what it takes, and what strangers may cost."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from pathlib import Path

import pytest

from pyzk.data.watches import WatchEvent
from pyzk.errors import ConfigError
from pyzk.runtime import admin_ports, http_connection
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from tests.runtime.admin import (
    LOOPBACK,
    admin_server,
    ask,
    config_of,
    place_of,
    stranger,
)
from tests.tls import Authority

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

RUOK = b"GET /commands/ruok HTTP/1.1\r\nHost: x\r\n\r\n"
AUTHORITY = Authority()


def tls_lines(directory: Path) -> str:
    return AUTHORITY.stores(directory / "stores", "ssl.quorum.")


# --- where it is ----------------------------------------------------------------------


async def test_it_opens_once_clients_are_served(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        reply = await ask(place_of(runner), "/commands/ruok")
        assert (reply.status, reply.json) == (200, {"command": "ruok", "error": None})
        assert reply.headers["Server"] == "pyzk"
        elsewhere = place_of(runner)
    with socket.socket() as sock:
        assert sock.connect_ex(elsewhere) == errno.ECONNREFUSED


async def test_the_url_of_the_commands_is_the_configured_one(tmp_path: Path) -> None:
    async with admin_server(tmp_path, "admin.commandURL=/a/b/\n") as runner:
        place = place_of(runner)
        assert (await ask(place, "/a/b/ruok")).status == 200
        assert b'<a href="/a/b/ruok">ruok</a>' in (await ask(place, "/a/b")).body
        assert (await ask(place, "/commands/ruok")).status == 404


async def test_it_takes_sockets_that_listen_already(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as made:
        made.setblocking(False)
        seams = Seams(admin_listeners=[made.dup()])
        async with admin_server(tmp_path, seams=seams) as runner:
            assert place_of(runner) == made.getsockname()
            assert (await ask(place_of(runner), "/commands/ruok")).status == 200


async def test_sockets_that_nobody_can_serve_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_ports, "_has_library", lambda: False)
    made = socket.create_server((LOOPBACK, 0))
    seams = Seams(admin_listeners=[made])
    async with admin_server(tmp_path, seams=seams, is_required=False) as runner:
        assert runner.admin is not None
        assert runner.admin.address is None
        assert made.fileno() == -1


async def test_a_taken_port_is_a_warning_and_the_server_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with admin_server(tmp_path, f"admin.serverPort={port}\n") as runner:
            assert runner.admin is not None
            assert runner.admin.address is None
            assert runner.role == "standalone"
    assert (
        f"no admin server on {LOOPBACK}:{port}: Address already in use; choose another place with"
        " admin.serverPort and admin.serverAddress, or none with admin.enableServer=false"
    ) in caplog.text


@pytest.mark.parametrize(("console", "end"), [("local", ", console at /"), ("false", "")])
async def test_the_log_says_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, console: str, end: str
) -> None:
    caplog.set_level(logging.INFO)
    async with admin_server(tmp_path, f"pyzk.console.enabled={console}\n") as runner:
        port = place_of(runner)[1]
    assert f"admin server on http://{LOOPBACK}:{port}/commands{end}" in caplog.messages


async def test_a_host_that_nobody_knows_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with admin_server(tmp_path, "admin.serverAddress=no.such.host.invalid\n") as runner:
        assert runner.role == "standalone"
    assert "no admin server on no.such.host.invalid:0: " in caplog.text


async def test_without_the_library_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admin_ports, "LIBRARY", "no_such_library")
    caplog.set_level(logging.INFO)
    with pytest.raises(ConfigError) as caught:
        await PeerRunner(config_of(tmp_path)).start()
    assert str(caught.value) == (
        "admin.enableServer: true needs the extra admin (in a clone of pyzk: pip install"
        " '.[admin]')"
    )
    async with admin_server(tmp_path, is_required=False) as runner:
        assert runner.role == "standalone"
        assert runner.admin is not None
        assert runner.admin.address is None
    (line,) = (each for each in caplog.records if "admin server" in each.getMessage())
    assert line.levelno == logging.INFO
    assert line.getMessage() == (
        "no admin server: it needs the extra admin (in a clone of pyzk: pip install '.[admin]';"
        " for make serve: make admin; admin.enableServer=false ends this line)"
    )


async def test_a_server_that_is_killed_drops_it(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(RUOK)
        await visitor.reader.readuntil(b"}")
        runner.kill()
        assert await visitor.rest() == b""


async def test_a_server_that_is_closed_at_once_opens_none(tmp_path: Path) -> None:
    runner = PeerRunner(config_of(tmp_path))
    await runner.start()
    await runner.close()
    assert runner.admin is not None
    assert runner.admin.address is None


# --- what it takes --------------------------------------------------------------------


async def test_methods(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        for method, path, status in (
            ("HEAD", "/commands/ruok", 200),
            ("TRACE", "/commands/ruok", 403),
            ("TRACE", "/", 403),
            ("TRACE", "/nowhere", 403),
            ("PUT", "/commands/ruok", 405),
            ("DELETE", "/commands/ruok", 405),
            ("OPTIONS", "/commands/ruok", 200),
            ("POST", "/commands/ruok", 500),
            ("GET", "/nowhere", 404),
            ("GET", "/commandsruok", 404),
        ):
            reply = await ask(place, path, method)
            assert (method, path, reply.status) == (method, path, status)
        head = await ask(place, "/commands/ruok", "HEAD")
        assert (head.body, head.headers["Content-Length"]) == (b"", "42")


async def test_a_long_answer_comes_in_pieces(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        tree = runner.peer.server.tree
        for at in range(3000):
            tree.watches.add_data(f"/{at:0100d}", _Watcher(at))
        reply = await ask(place_of(runner), "/commands/watches_by_path")
        assert reply.headers["Transfer-Encoding"] == "chunked"
        assert len(reply.json["path_to_session_ids"]) == 3000
        head = await ask(place_of(runner), "/commands/watches_by_path", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] is None
        async with stranger(place_of(runner)) as visitor:
            visitor.send(b"HEAD /commands/watches_by_path HTTP/1.1\r\nHost: h\r\n\r\n" + RUOK)
            await visitor.reader.readuntil(b"\r\n\r\n")
            assert (await visitor.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


async def test_several_requests_on_one_connection(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(RUOK * 20)
        for _ in range(20):
            assert b"200 OK" in await visitor.reader.readuntil(b"\r\n\r\n")
            await visitor.reader.readuntil(b"}")


async def test_http_1_0_closes_after_the_answer(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(b"GET /commands/ruok HTTP/1.0\r\n\r\n")
        assert (await visitor.rest()).endswith(b"}")


async def test_a_visitor_who_has_said_all_gets_the_answer(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(RUOK)
        visitor.writer.write_eof()
        answer = await visitor.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"}")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x04ruok",
        b"ruok",
        b"GET\r\n\r\n",
        b"GET /commands/ruok HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01" * 20,
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /commands/restore HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /commands/restore HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_garbage_costs_that_connection_only(
    tmp_path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        async with stranger(place) as visitor:
            visitor.send(garbage)
            visitor.writer.write_eof()
            answer = await visitor.rest()
            assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.0 400", b"HTTP/1.1 401")
        assert (await ask(place, "/commands/ruok")).status == 200
        assert runner.role == "standalone"
    assert "Traceback" not in caplog.text


async def test_a_bug_in_a_page_is_an_error_of_that_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with admin_server(tmp_path) as runner:
        with monkeypatch.context() as patch:
            patch.setattr("pyzk.runtime.admin_commands.commands.answer", _fail)
            reply = await ask(place_of(runner), "/commands/ruok")
        assert reply.status == 500
        assert b"boom" not in reply.body
        assert "admin port: GET /commands/ruok has failed" in caplog.text
        assert (await ask(place_of(runner), "/commands/ruok")).status == 200


# --- what strangers may cost ----------------------------------------------------------

SHORT = "admin.idleTimeout=200\n"


async def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    async with admin_server(tmp_path, SHORT) as runner, stranger(place_of(runner)) as visitor:
        assert await visitor.rest() == b""


async def test_a_connection_that_has_been_answered_is_closed_when_it_is_silent(
    tmp_path: Path,
) -> None:
    async with admin_server(tmp_path, SHORT) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(RUOK)
        assert (await visitor.rest()).endswith(b"}")


async def test_a_request_that_comes_byte_by_byte_is_given_up(tmp_path: Path) -> None:
    async with admin_server(tmp_path, SHORT) as runner, stranger(place_of(runner)) as visitor:
        ended = asyncio.ensure_future(visitor.rest())
        while not ended.done():
            visitor.send(b"G")  # never a whole line, and never silence
            await asyncio.wait([ended], timeout=0.02)
        assert b"200" not in ended.result()


STATE = b"POST /console/api/state HTTP/1.1\r\nHost: h\r\nX-Pyzk-Console: 1\r\n"
SHED = b"POST /commands/shed HTTP/1.1\r\nHost: h\r\nAuthorization: digest super:test\r\n"
LENGTH = b"Content-Length: 100\r\n\r\n{"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


@pytest.mark.parametrize(
    "request_begun",
    [STATE + LENGTH, STATE + CHUNKS, SHED + LENGTH, SHED + CHUNKS],
    ids=["console", "console, chunked", "shed", "shed, chunked"],
)
async def test_a_body_that_does_not_come_is_given_up(
    tmp_path: Path, request_begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with admin_server(tmp_path, SHORT) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(request_begun)
        assert await visitor.rest() == b""
        assert (await ask(place_of(runner), "/commands/ruok")).status == 200
    assert "on the admin port: the body of its request does not come" in caplog.text


async def test_a_body_that_comes_slowly_is_waited_for(tmp_path: Path) -> None:
    async with admin_server(tmp_path, SHORT) as runner:
        loop = asyncio.get_running_loop()
        async with stranger(place_of(runner)) as visitor:
            visitor.send(STATE + b"Content-Length: 32\r\n\r\n{")
            begun = loop.time()
            ended = asyncio.ensure_future(visitor.reader.readuntil(b"\r\n"))
            for _ in range(30):  # longer than it may be silent, and never silent for long
                await asyncio.wait([ended], timeout=0.05)
                visitor.send(b" ")
            visitor.send(b"}")
            assert await ended == b"HTTP/1.1 200 OK\r\n"
            assert loop.time() - begun > 1.4


async def test_a_body_that_the_server_does_not_read_yet_is_no_fault_of_its_visitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = asyncio.Event()

    async def late(request: object, answer: object) -> object:
        from aiohttp import web

        await may_go_on.wait()
        return web.Response(text="here it is")

    monkeypatch.setattr("pyzk.runtime.admin_commands.send", late)
    async with admin_server(tmp_path, SHORT) as runner, stranger(place_of(runner)) as visitor:
        body = b"x" * (32 << 20)
        visitor.send(RUOK.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(body)))
        visitor.send(body)
        ended = asyncio.ensure_future(visitor.reader.readuntil(b"here it is"))
        await asyncio.wait([ended], timeout=2.0)  # longer than it may be silent
        assert not ended.done()
        may_go_on.set()
        await ended


async def test_bodies_that_do_not_come_keep_no_health_check_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "MOST_CONNECTIONS", 3)
    async with admin_server(tmp_path, "admin.idleTimeout=0\n") as runner:
        place = place_of(runner)
        assert runner.admin is not None
        port = runner.admin.port
        assert port is not None
        async with stranger(place) as first, stranger(place) as second, stranger(place) as third:
            for count, each in enumerate((first, second, third), 1):
                each.send(STATE + LENGTH)
                while port.busy_count < count:
                    await asyncio.sleep(0)
            assert (await ask(place, "/livez")).status == 200
            assert await first.rest() == b""
            assert port.busy_count == 2


async def test_a_visitor_who_does_not_read_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"x" * (64 << 20)

    async def much(request: object, answer: object) -> object:
        from aiohttp import web

        return web.Response(body=body)

    monkeypatch.setattr("pyzk.runtime.admin_commands.send", much)
    async with admin_server(tmp_path, SHORT) as runner:
        reader, writer = await asyncio.open_connection(*place_of(runner), limit=1 << 16)
        transport = writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(RUOK)
        assert runner.admin is not None
        port = runner.admin.port
        assert port is not None
        while not port.connection_count:
            await asyncio.sleep(0)
        while port.connection_count:
            await asyncio.sleep(0)
        transport.abort()
        del reader


async def test_a_host_with_too_many_connections_loses_its_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "MOST_CONNECTIONS", 3)
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        async with stranger(place) as first, stranger(place) as second:
            for each in (first, second):
                each.send(RUOK)
                await each.reader.readuntil(b"}")
            async with stranger(place) as third, stranger(place) as fourth:
                for each in (third, fourth):
                    each.send(RUOK)
                    await each.reader.readuntil(b"}")
                assert await first.rest() == b""
                second.send(RUOK)
                await second.reader.readuntil(b"}")


async def test_the_last_descriptors_are_not_for_it(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        runner.first_reserved_descriptor = 1
        async with stranger(place_of(runner)) as visitor:
            assert await visitor.rest() == b""


# --- TLS ------------------------------------------------------------------------------


async def test_tls_only(tmp_path: Path) -> None:
    text = f"admin.forceHttps=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        reply = await ask(place, "/commands/ruok", context=AUTHORITY.client())
        assert reply.status == 200
        assert reply.headers["Strict-Transport-Security"] == "max-age=86400; includeSubDomains"
        async with stranger(place) as visitor:
            visitor.send(RUOK)
            assert await visitor.rest() == b""
        assert runner.peer.metrics.insecure_admin_count == 0


async def test_tls_beside_plaintext(tmp_path: Path) -> None:
    text = f"admin.portUnification=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        assert (await ask(place, "/commands/ruok", context=AUTHORITY.client())).status == 200
        assert runner.peer.metrics.insecure_admin_count == 0
        plain = await ask(place, "/commands/ruok")
        assert plain.status == 200
        assert "Strict-Transport-Security" not in plain.headers
        assert runner.peer.metrics.insecure_admin_count == 1
        async with stranger(place) as visitor:
            visitor.send(RUOK * 2)
            for _ in range(2):
                await visitor.reader.readuntil(b"}")
        assert runner.peer.metrics.insecure_admin_count == 2  # connections, not requests


async def test_plaintext_that_is_no_request_is_counted_too(tmp_path: Path) -> None:
    text = f"admin.portUnification=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        async with stranger(place_of(runner)) as visitor:
            visitor.send(b"ruok")
            assert b"400 Bad Request" in await visitor.rest()
        assert runner.peer.metrics.insecure_admin_count == 1


async def test_a_certificate_that_is_needed(tmp_path: Path) -> None:
    text = f"admin.forceHttps=true\nadmin.needClientAuth=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        reply = await ask(place, "/commands/ruok", context=AUTHORITY.client("bob"))
        assert reply.status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(place, "/commands/ruok", context=AUTHORITY.client())


async def test_new_certificates_are_taken(tmp_path: Path) -> None:
    text = f"admin.forceHttps=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        assert not runner.reload_keys()
        other = Authority()
        other.stores(tmp_path / "stores", "ssl.quorum.")
        assert runner.reload_keys()
        assert (await ask(place, "/commands/ruok", context=other.client())).status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(place, "/commands/ruok", context=AUTHORITY.client())


async def test_keys_that_are_missing_end_the_start(tmp_path: Path) -> None:
    text = (
        f"admin.forceHttps=true\nssl.quorum.keyStore.location={tmp_path}/k.pem\n"
        f"ssl.quorum.trustStore.location={tmp_path}/t.pem\n"
    )
    with pytest.raises(ConfigError) as caught:
        await PeerRunner(config_of(tmp_path, text)).start()
    assert "ssl.quorum.keyStore.location" in str(caught.value)


async def test_a_long_answer_by_tls(tmp_path: Path) -> None:
    text = f"admin.forceHttps=true\n{tls_lines(tmp_path)}"
    async with admin_server(tmp_path, text) as runner:
        tree = runner.peer.server.tree
        for at in range(3000):
            tree.watches.add_data(f"/{at:0100d}", _Watcher(at))
        context = AUTHORITY.client()
        reply = await ask(place_of(runner), "/commands/watches_by_path", context=context)
        assert len(reply.json["path_to_session_ids"]) == 3000


class _Watcher:
    """A client that watches something."""

    def __init__(self, session_id: int) -> None:
        self._session_id = session_id

    @property
    def session_id(self) -> int:
        return self._session_id

    def deliver(self, event: WatchEvent) -> None:
        raise AssertionError(event)


def _fail(asked: object) -> None:
    raise RuntimeError("boom")
