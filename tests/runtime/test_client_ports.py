"""A server with TLS on its ports for clients: real sockets, a disk in memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pyzk.config.server import ServerConfig, parse_config
from pyzk.constants import CreateMode, ErrorCode, OpCode
from pyzk.errors import ConfigError
from pyzk.jute.records import (
    ACL,
    CreateRequest,
    GetACLResponse,
    GetDataResponse,
    PathWatchRequest,
    WhoAmIResponse,
)
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.client_ports import SecurePortError
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.runtime.tls_door import RELOAD_INTERVAL_S, Reloading
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import OPEN, Reply, StreamClient, connect_frame, create_request, encode_request
from tests.runtime.ports import FakeTimer
from tests.tls import HOST, Authority

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

AUTHORITY = Authority()
PLAIN = "clientPort=0\nclientPortAddress=127.0.0.1\n"
SECURE = "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\n"
UNIFIED = f"{PLAIN}client.portUnification=true\n"
WORDS = "4lw.commands.whitelist=*\nadmin.enableServer=false\n"


def config_of(directory: Path, text: str) -> ServerConfig:
    stores = AUTHORITY.stores(directory)
    return parse_config(f"dataDir={directory}\n{WORDS}{stores}{text}".encode(), (), ())


@contextlib.asynccontextmanager
async def served(directory: Path, text: str) -> AsyncIterator[PeerRunner]:
    config = config_of(directory, text)
    runner = PeerRunner(config, Seams(storage=MemoryStorage(config)))
    await runner.start()
    try:
        yield runner
    finally:
        runner.kill()
        for _turn in range(5):
            await asyncio.sleep(0)


def secure(runner: PeerRunner) -> tuple[str, int]:
    address = runner.secure_client_address
    assert address is not None
    return address


def bob() -> ssl.SSLContext:
    return AUTHORITY.client("bob")


async def ask(address: tuple[str, int], word: bytes, tls: ssl.SSLContext | None = None) -> str:
    reader, writer = await asyncio.open_connection(*address, ssl=tls)
    writer.write(word)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def is_turned_away(address: tuple[str, int], data: bytes = b"") -> bool:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()


def value(report: str, name: str) -> int:
    (line,) = (line for line in report.splitlines() if line.split("\t")[0] == f"zk_{name}")
    return int(line.split("\t")[1])


def set_conf(report: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in report.splitlines() if "=" in line)


# --- the ports ------------------------------------------------------------------------


async def test_a_server_may_have_the_secure_port_only(tmp_path: Path) -> None:
    async with served(tmp_path, SECURE) as runner:
        address = secure(runner)
        assert runner.client_address == address
        conf = set_conf(await ask(address, b"conf", bob()))
        assert conf["clientPort"] == "-1"
        assert conf["secureClientPort"] == str(address[1])
        client = await StreamClient.connect(*address, tls=bob())
        assert await client.create("/a") == 0
        assert (await client.call(OpCode.EXISTS, PathWatchRequest("/a", False))).err == 0
        await client.close()


async def test_both_ports_serve_the_same_tree(tmp_path: Path) -> None:
    async with served(tmp_path, PLAIN + SECURE) as runner:
        plain, address = runner.client_address, secure(runner)
        assert plain[1] != address[1]
        one = await StreamClient.connect(*plain)
        other = await StreamClient.connect(*address, tls=bob())
        assert await one.create("/a") == 0
        assert await other.create("/a") == ErrorCode.NODE_EXISTS
        for each, tls in ((plain, None), (address, bob())):
            conf = set_conf(await ask(each, b"conf", tls))
            assert conf["clientPort"] == str(plain[1])
            assert conf["secureClientPort"] == str(address[1])
            assert await ask(each, b"ruok", tls) == "imok"
            report = await ask(each, b"srvr", tls)
            assert "\nConnections: 3\n" in report
            for word in (b"cons", b"stat"):
                lines = (await ask(each, word, tls)).splitlines()
                assert len([line for line in lines if line.startswith(" /127.0.0.1:")]) == 2
            await ask(each, b"crst", tls)
            reset = [each.stats.packets_received for each in runner.peer.connections]
            assert sorted(reset) == ([0, 2] if tls is None else [0, 0])
        report = await ask(plain, b"mntr")
        assert value(report, "num_alive_connections") == 3
        assert value(report, "non_mtls_local_conn_count") == 8
        assert value(report, "non_mtls_remote_conn_count") == 0
        await one.close()
        await other.close()


async def test_the_client_port_takes_tls_and_plaintext(tmp_path: Path) -> None:
    async with served(tmp_path, UNIFIED) as runner:
        address = runner.client_address
        assert runner.secure_client_address is None
        assert await ask(address, b"ruok") == "imok"
        assert await ask(address, b"ruok", bob()) == "imok"
        for tls in (None, bob()):
            client = await StreamClient.connect(*address, tls=tls)
            assert await client.create("/a", CreateMode.EPHEMERAL_SEQUENTIAL) == 0
            await client.close()
        conf = set_conf(await ask(address, b"conf"))
        assert conf["secureClientPort"] == "-1"


async def test_a_server_without_tls_says_what_a_handshake_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, PLAIN) as runner:
        with pytest.raises((ssl.SSLError, OSError)):
            await ask(runner.client_address, b"ruok", bob())
        assert "a TLS handshake (this port is not encrypted)" in caplog.text
        assert value(await ask(runner.client_address, b"mntr"), "non_mtls_local_conn_count") == 0


async def test_the_certificate_of_a_client_is_its_identity(tmp_path: Path) -> None:
    async with served(tmp_path, SECURE) as runner:
        client = await StreamClient.connect(*secure(runner), tls=bob())
        reply = await client.call(OpCode.WHO_AM_I)
        told, _ = WhoAmIResponse.decode(reply.body, 0, len(reply.body))
        (found,) = (each for each in told.client_info or () if each.auth_scheme == "x509")
        assert (found.user or "").startswith("CN=bob,OU=")
        mine = CreateRequest("/mine", b"", [ACL(31, "auth", "")], 0)
        assert (await client.call(OpCode.CREATE, mine)).err == 0
        stranger = await StreamClient.connect(*secure(runner), tls=AUTHORITY.client("eve"))
        get = PathWatchRequest("/mine", False)
        assert (await stranger.call(OpCode.GET_DATA, get)).err == ErrorCode.NO_AUTH
        assert (await client.call(OpCode.GET_DATA, get)).err == 0
        reply = await client.call(OpCode.GET_ACL, PathWatchRequest("/mine", False).encode()[:-1])
        acls, _ = GetACLResponse.decode(reply.body, 0, len(reply.body))
        assert acls.acl == [ACL(31, "x509", found.user)]
        await client.close()
        await stranger.close()


async def test_who_shows_no_certificate_stays_outside_or_comes_in(tmp_path: Path) -> None:
    async with served(tmp_path / "need", PLAIN + SECURE) as runner:
        with pytest.raises(OSError, match=r"CERTIFICATE_REQUIRED|reset by peer|EOF"):
            await ask(secure(runner), b"ruok", AUTHORITY.client())
        report = await ask(runner.client_address, b"mntr")
        assert value(report, "unsuccessful_handshake") == 1
        assert value(report, "auth_failed_count") == 1
    async with served(tmp_path / "none", f"{SECURE}ssl.clientAuth=none\n") as runner:
        assert await ask(secure(runner), b"ruok", AUTHORITY.client()) == "imok"


async def test_what_stands_before_a_client_has_what_tls_has_decrypted(tmp_path: Path) -> None:
    """So the faults of a test server."""
    heard = bytearray()

    class Between(asyncio.Protocol):
        def __init__(self, inner: ClientProtocol) -> None:
            self.inner = inner

        def data_received(self, data: bytes) -> None:
            heard.extend(data)
            self.inner.data_received(data)

        def __getattribute__(self, name: str) -> object:
            own = ("inner", "data_received", "__class__")
            return object.__getattribute__(self, name) if name in own else getattr(self.inner, name)

    config = config_of(tmp_path, SECURE)
    runner = PeerRunner(config, Seams(storage=MemoryStorage(config), wrap=Between))
    await runner.start()
    client = await StreamClient.connect(*secure(runner), tls=bob())
    assert await client.create("/a-name") == 0
    assert b"/a-name" in heard
    await client.close()
    runner.kill()


# --- limits ---------------------------------------------------------------------------


async def test_who_is_one_too_many_has_no_handshake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, f"{PLAIN}{SECURE}maxClientCnxns=1\n") as runner:
        one = await StreamClient.connect(*secure(runner), tls=bob())
        assert await is_turned_away(secure(runner))
        assert "too many connections from /127.0.0.1: maxClientCnxns=1" in caplog.text
        other = await StreamClient.connect(*runner.client_address)
        assert await is_turned_away(runner.client_address)
        metrics = runner.peer.metrics
        assert metrics.connection_rejected == 2
        assert metrics.unsuccessful_handshake == 0
        await one.close()
        await other.close()


async def test_the_last_descriptors_are_not_for_handshakes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, SECURE) as runner:
        runner.first_reserved_descriptor = 3
        assert await is_turned_away(secure(runner))
        assert "open files (ulimit -n)" in caplog.text


async def test_handshakes_under_way_are_limited_and_shown(tmp_path: Path) -> None:
    limit = "netty.server.outstandingHandshake.limit=2\n"
    async with served(tmp_path, f"{PLAIN}{SECURE}{limit}") as runner:
        silent = [await asyncio.open_connection(*secure(runner)) for _ in range(2)]
        assert await is_turned_away(secure(runner))
        report = await ask(runner.client_address, b"mntr")
        assert value(report, "outstanding_tls_handshake") == 2
        assert value(report, "tls_handshake_exceeded") == 1
        assert value(report, "unsuccessful_handshake") == 0
        for _, writer in silent:
            writer.close()


# --- bytes ----------------------------------------------------------------------------


def exchange(address: tuple[str, int], request: bytes, size: int, step: int) -> bytes:
    """Sends requests and returns that many bytes of answers, read in steps."""
    with socket.create_connection(address) as sock, bob().wrap_socket(sock) as tls:
        tls.sendall(connect_frame(0, bytes(16)))
        left = 41
        while left:
            left -= len(tls.recv(left))
        tls.sendall(request)
        answer = bytearray()
        while len(answer) < size:
            chunk = tls.recv(min(step, size - len(answer)))
            assert chunk, "the end came early"
            answer += chunk
        return bytes(answer)


def replies_in(data: bytes) -> list[tuple[int, int, bytes]]:
    """Returns what the replies say, but for the zxid, which counts sessions, too."""
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        reply = Reply.of(data[4:end])
        found.append((reply.xid, reply.err, reply.body))
        data = data[end:]
    return found


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
async def test_long_replies_are_exact_however_they_are_read(tmp_path: Path, step: int) -> None:
    """The plain port is what they are compared with."""
    async with served(tmp_path, PLAIN + SECURE) as runner:
        client = await StreamClient.connect(*runner.client_address)
        data = random.Random(1).randbytes(100_000)
        for path, content in (("/small", data), ("/large", data * 9)):
            create = CreateRequest(path, content, OPEN, 0)
            assert (await client.call(OpCode.CREATE, create)).err == 0
        await client.create("/dir")
        for number in range(8280):
            client.submit(OpCode.CREATE, create_request(f"/dir/child-{number:08}"))
        for _number in range(8280):
            await client.read()
        asked = [(OpCode.GET_CHILDREN, "/dir"), (OpCode.GET_DATA, "/large")]
        if step > 1:
            asked += [(OpCode.GET_DATA, "/small")] * 50
        requests = answers = b""
        for xid, (opcode, path) in enumerate(asked):
            requests += encode_request(xid, opcode, PathWatchRequest(path, False))
            client.submit(opcode, PathWatchRequest(path, False), xid)
            reply = await client.read()
            answers += len(reply).to_bytes(4, "big") + reply
        loop = asyncio.get_running_loop()
        got = await loop.run_in_executor(
            None, exchange, secure(runner), requests, len(answers), step
        )
        assert replies_in(got) == replies_in(answers)
        await client.close()


async def test_a_large_write_arrives_whole(tmp_path: Path) -> None:
    async with served(tmp_path, SECURE) as runner:
        client = await StreamClient.connect(*secure(runner), tls=bob())
        data = random.Random(2).randbytes(900_000)
        create = CreateRequest("/large", data, OPEN, 0)
        assert (await client.call(OpCode.CREATE, create)).err == 0
        reply = await client.call(OpCode.GET_DATA, PathWatchRequest("/large", False))
        found, _ = GetDataResponse.decode(reply.body, 0, len(reply.body))
        assert found.data == data
        await client.close()


async def test_the_end_is_announced_behind_the_answer_to_a_word(tmp_path: Path) -> None:
    def ask_and_wait(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address) as sock:
            tls = bob().wrap_socket(sock, suppress_ragged_eofs=False)
            with tls:
                tls.sendall(b"ruok")
                answer = b""
                while chunk := tls.recv(100):
                    answer += chunk
                return answer

    async with served(tmp_path, SECURE) as runner:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, ask_and_wait, secure(runner)) == b"imok"


async def test_the_end_is_announced_behind_the_last_answer_of_a_session(tmp_path: Path) -> None:
    """Also where many answers are under way, which are more than a socket takes at once."""

    def leave(address: tuple[str, int]) -> list[tuple[int, int, bytes]]:
        with socket.create_connection(address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            with bob().wrap_socket(sock, suppress_ragged_eofs=False) as tls:
                tls.sendall(connect_frame(0, bytes(16)))
                left = 41
                while left:
                    left -= len(tls.recv(left))
                reads = [
                    encode_request(xid, OpCode.GET_DATA, PathWatchRequest("/a", False))
                    for xid in range(50)
                ]
                tls.sendall(b"".join(reads) + encode_request(50, OpCode.CLOSE_SESSION, b""))
                answer = bytearray()
                while chunk := tls.recv(1000):  # an end without a word is an error
                    answer += chunk
        return replies_in(bytes(answer))

    async with served(tmp_path, PLAIN + SECURE) as runner:
        client = await StreamClient.connect(*runner.client_address)
        data = random.Random(1).randbytes(100_000)
        create = CreateRequest("/a", data, OPEN, 0)
        assert (await client.call(OpCode.CREATE, create)).err == 0
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, leave, secure(runner))
        assert [(xid, err) for xid, err, _ in found] == [(xid, 0) for xid in range(51)]
        assert all(data in body for _, _, body in found[:50])
        await client.close()


# --- attacks --------------------------------------------------------------------------


def hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        bob().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def attack(address: tuple[str, int], count: int) -> None:
    """Begins handshakes that never succeed: junk, cut ones, broken ones, ones without end."""
    good = hello()
    rng = random.Random(3)
    kinds: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: good[: rng.randrange(1, len(good))],
        lambda: good,
        lambda: good + rng.randbytes(200),
        lambda: b"\x16\x03\x01" + rng.randbytes(300),
        lambda: good[:100] + rng.randbytes(100) + good[200:],
        lambda: b"GET / HTTP/1.1\r\n\r\n",
        lambda: good + b"\x14\x03\x03\x00\x01\x01" * 2000,
        lambda: b"\x80\x2e\x01\x03\x01" + bytes(40),
        lambda: b"\x15\x03\x01\x00\x02\x01\x00" * 10,
    ]

    async def one(kind: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.suppress(OSError):
            writer.write(kinds[kind]())
            if rng.random() < 0.5:
                writer.write_eof()
                await reader.read()
        writer.transport.abort()

    for number in range(0, count, 50):
        await asyncio.gather(*(one((number + each) % len(kinds)) for each in range(50)))


@pytest.mark.parametrize("rounds", [4, pytest.param(18, marks=pytest.mark.slow)])
async def test_thousands_of_attacks_leave_nothing_and_harm_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rounds: int
) -> None:
    caplog.set_level("CRITICAL")
    async with served(tmp_path, f"{UNIFIED}{SECURE}maxClientCnxns=0\n") as runner:
        client = await StreamClient.connect(*secure(runner), tls=bob())
        await attack(runner.client_address, 200)
        await attack(secure(runner), 300)
        descriptors, memory = len(os.listdir("/proc/self/fd")), resident_bytes()
        for _round in range(rounds):
            await attack(secure(runner), 500)
            assert await client.create("/a", CreateMode.EPHEMERAL_SEQUENTIAL) == 0
        await attack(runner.client_address, 500)
        while runner._clients.handshake_count or len(runner.peer.server.connections) > 1:
            await asyncio.sleep(0)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= descriptors
        assert resident_bytes() - memory < 4 << 20
        assert await client.create("/b") == 0
        assert runner.failure is None
        await client.close()


async def test_no_client_sends_data_before_its_handshake_is_over(tmp_path: Path) -> None:
    """Early data could be sent twice by somebody in between: nobody gets a ticket for it."""
    trusted, own, key = AUTHORITY.files(tmp_path, "bob")

    def connect(port: int) -> str:
        done = subprocess.run(
            [
                *("openssl", "s_client", "-connect", f"{HOST}:{port}", "-CAfile", trusted),
                *("-cert", own, "-key", key, "-sess_out", tmp_path / "session", "-ign_eof"),
            ],
            input="ruok",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout

    async with served(tmp_path / "server", SECURE) as runner:
        said = await asyncio.to_thread(connect, secure(runner)[1])
        assert "imok" in said
        assert "Early data was not sent" in said
        assert "Post-Handshake New Session Ticket" not in said
        assert not (tmp_path / "session").exists()


# --- the start, and new keys ----------------------------------------------------------


async def test_a_port_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        (other,) = free_ports(1)
        config = config_of(
            tmp_path,
            f"clientPort={other}\nclientPortAddress=127.0.0.1\n"
            f"secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n",
        )
        runner = PeerRunner(config, Seams(storage=MemoryStorage(config)))
        with pytest.raises(SecurePortError) as caught:
            await runner.start()
        assert caught.value.filename == f"127.0.0.1:{port}"
        with socket.create_server((HOST, other)):
            pass  # it is free again


async def test_keys_that_cannot_be_read_prevent_the_start(tmp_path: Path) -> None:
    config = config_of(tmp_path, SECURE)
    (tmp_path / "keys.pem").unlink()
    runner = PeerRunner(config, Seams(storage=MemoryStorage(config)))
    with pytest.raises(ConfigError, match=r"keys\.pem cannot be read"):
        await runner.start()


async def test_new_keys_are_taken_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Reloading] = []
    timers: list[FakeTimer] = []

    class Watched(Reloading):
        def __init__(self, contexts: object, call_later: object) -> None:
            super().__init__(contexts, self._later)  # type: ignore[arg-type]
            made.append(self)

        def _later(self, seconds: float, call: Callable[[], object]) -> FakeTimer:
            timers.append(FakeTimer(seconds, call))
            return timers[-1]

    monkeypatch.setattr("pyzk.runtime.tls_door.Reloading", Watched)

    def name_of(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address) as sock, bob().wrap_socket(sock) as tls:
            return tls.getpeercert(binary_form=True) or b""

    loop = asyncio.get_running_loop()
    async with served(tmp_path, f"{SECURE}client.certReload=true\n") as runner:
        first = await loop.run_in_executor(None, name_of, secure(runner))
        client = await StreamClient.connect(*secure(runner), tls=bob())
        AUTHORITY.stores(tmp_path)
        assert await loop.run_in_executor(None, name_of, secure(runner)) == first
        assert [timer.seconds for timer in timers] == [RELOAD_INTERVAL_S]
        timers[0].call()
        assert await loop.run_in_executor(None, name_of, secure(runner)) != first
        assert await client.create("/a") == 0, "who is connected stays"
        assert len(timers) == 2, "it looks again and again"
        await client.close()
    assert timers[1].is_cancelled
    assert len(made) == 1


async def test_new_keys_are_taken_when_that_is_asked_for(tmp_path: Path) -> None:
    def name_of(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address) as sock, bob().wrap_socket(sock) as tls:
            return tls.getpeercert(binary_form=True) or b""

    loop = asyncio.get_running_loop()
    async with served(tmp_path, SECURE) as runner:
        first = await loop.run_in_executor(None, name_of, secure(runner))
        assert not runner.reload_keys()
        AUTHORITY.stores(tmp_path)
        assert runner.reload_keys()
        assert await loop.run_in_executor(None, name_of, secure(runner)) != first
        (tmp_path / "keys.pem").write_text("no key")
        assert not runner.reload_keys()
        assert await loop.run_in_executor(None, name_of, secure(runner)) != first


async def test_files_that_change_change_nothing_unless_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, SECURE) as runner:
        assert runner._clients._reloading is None
