"""Members that talk TLS with each other: real sockets, disks and clocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pyzk.config.server import parse_config
from pyzk.constants import OpCode
from pyzk.errors import ConfigError
from pyzk.jute.records import CreateRequest
from pyzk.outsiders import SUBJECT
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.network import TcpNetwork
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.runtime.tls_network import TlsNetwork
from pyzk.testing.seams.gate import Gate
from pyzk.testing.seams.network import MemoryNetwork
from tests.frames import OPEN, StreamClient
from tests.runtime.members import (
    Ensemble,
    connect,
    ensemble_of,
    is_there,
    member_config,
)
from tests.runtime.ports import FakeTimer
from tests.runtime.tls_place import client_hello
from tests.tls import HOST, Authority

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

AUTHORITY = Authority()
STRANGER = Authority()
TLS = "sslQuorum=true\n"
BOTH = "portUnification=true\n"
TLS_AND_BOTH = TLS + BOTH
PLAIN = ""
QUORUM = "ssl.quorum."


def stores(directory: Path, authority: Authority = AUTHORITY) -> str:
    return authority.stores(directory, QUORUM)


class Recorder:
    """A network that keeps what is sent, as somebody in between could."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.dialed = 0
        self._network = TcpNetwork()

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        self.dialed += 1
        await self._network.connect(partial(Tap, self, make), host, port)

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str | None, port: int
    ) -> object:
        return await self._network.listen(partial(Tap, self, make), host, port)

    async def check(self, host: str) -> None:
        await self._network.check(host)


class Tap(asyncio.Protocol):
    """Keeps what comes, and passes it on."""

    def __init__(self, recorder: Recorder, make: Callable[[], asyncio.Protocol]) -> None:
        self._recorder = recorder
        self._inner = make()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._recorder.sent += data
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


@contextlib.asynccontextmanager
async def members(directory: Path, extra: str) -> AsyncIterator[Ensemble]:
    made = Ensemble(directory, extra=extra + stores(directory / "stores"))
    try:
        yield made
    finally:
        await made.close()


async def works(made: Ensemble, path: str) -> None:
    """What one member is told all of them have."""
    await made.wait_until_whole()
    clients = [await connect(runner) for runner in made.runners.values()]
    assert await clients[0].create(path) == 0
    for client in clients:
        while not await is_there(client, path):
            await asyncio.sleep(0.005)
        await client.close()


# --- an ensemble ----------------------------------------------------------------------


@pytest.mark.parametrize("extra", [TLS, TLS_AND_BOTH, BOTH])
async def test_three_members_elect_and_replicate(tmp_path: Path, extra: str) -> None:
    async with members(tmp_path, extra) as made:
        await made.start_all()
        await works(made, "/a")
        leader = made.leader
        await made.kill(leader)
        await made.wait_until_whole()
        await made.start(leader)
        await works(made, "/b")


async def test_nothing_between_members_can_be_read(tmp_path: Path) -> None:
    for extra, is_secret in ((TLS, True), (PLAIN, False)):
        recorder = Recorder()
        async with members(tmp_path / str(is_secret), extra) as made:
            for sid in made.configs:
                await made.start(sid, Seams(network=recorder))  # type: ignore[arg-type]
            await works(made, "/a-name-that-nobody-else-has")
        assert recorder.dialed
        assert (b"a-name-that-nobody-else-has" not in recorder.sent) is is_secret


async def test_a_learner_gets_a_snapshot_larger_than_any_buffer(tmp_path: Path) -> None:
    extra = f"{TLS}forceSnapshotSync=true\n"
    async with members(tmp_path, extra) as made:
        await made.start(1)
        await made.start(2)
        await made.wait_until_whole()
        client = await connect(made.runners[made.leader])
        data = os.urandom(700_000)
        for number in range(20):
            create = CreateRequest(f"/{number}", data, OPEN, 0)
            assert (await client.call(OpCode.CREATE, create)).err == 0
        await client.close()
        await made.start(3)
        await made.wait_until_whole()
        other = await connect(made.runners[3])
        assert await is_there(other, "/19")
        await other.close()


async def test_an_ensemble_is_turned_to_tls_and_back_while_it_runs(tmp_path: Path) -> None:
    """Each step is one restart of each member, and clients are served after each restart."""
    kept = stores(tmp_path / "stores")
    ports = free_ports(9)
    made = Ensemble(tmp_path)

    def say(sid: int, extra: str) -> None:
        made.configs[sid] = member_config(tmp_path / str(sid), sid, 3, ports, extra + kept)

    try:
        for sid in (1, 2, 3):
            say(sid, PLAIN)
        await made.start_all()
        await works(made, "/start")
        for step, extra in enumerate((BOTH, TLS_AND_BOTH, TLS, TLS_AND_BOTH, BOTH, PLAIN)):
            for sid in (1, 2, 3):
                await made.kill(sid)
                say(sid, extra)
                await made.start(sid)
                await works(made, f"/{step}-{sid}")
    finally:
        await made.close()


@pytest.mark.slow
async def test_observers_of_a_follower_talk_tls_too(tmp_path: Path) -> None:
    ports = free_ports(13)
    servers = "".join(
        f"server.{sid}=127.0.0.1:{ports[3 * sid - 3]}:{ports[3 * sid - 2]}:{role};"
        f"127.0.0.1:{ports[3 * sid - 1]}\n"
        for sid, role in ((1, "participant"), (2, "participant"), (3, "observer"))
    )
    recorder = Recorder()
    made = Ensemble(tmp_path)
    made.configs.clear()
    for sid in (1, 2, 3):
        text = (
            f"dataDir={tmp_path / str(sid)}\ntickTime=500\ninitLimit=10\nsyncLimit=10\n"
            f"preAllocSize=64\nadmin.enableServer=false\n{TLS}{stores(tmp_path / 'stores')}"
            f"observerMasterPort={ports[9 + sid]}\nquorumListenOnAllIPs=false\n{servers}"
        )
        config = parse_config(text.encode(), (), (), lambda _, sid=sid: str(sid).encode())  # type: ignore[misc]
        made.configs[sid] = replace(config, initialize=True)
    try:
        for sid in (1, 2, 3):
            await made.start(sid, Seams(network=recorder))  # type: ignore[arg-type]
        await made.wait_for(lambda: made.roles() == ["follower", "leader", "observer"])
        client = await connect(made.runners[3])
        assert await client.create("/a-name-that-nobody-else-has") == 0
        await client.close()
        assert b"a-name-that-nobody-else-has" not in recorder.sent
    finally:
        await made.close()


# --- strangers ------------------------------------------------------------------------


async def test_who_talks_plaintext_or_is_not_trusted_is_no_member(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with members(tmp_path, TLS) as made:
        config = made.configs[3]
        await made.start(1)
        await made.start(2)
        await made.wait_until_whole()
        ports = [port for each in ensemble_of(config).membership.members for port in _ports(each)]
        stranger = stores(tmp_path / "stranger", STRANGER)
        for extra, reason in (
            (PLAIN, "this port takes TLS only"),
            (TLS + stranger, "its certificate is refused"),
        ):
            made.configs[3] = member_config(tmp_path / "3", 3, 3, _all_ports(made), extra)
            caplog.clear()
            await made.start(3)
            await made.wait_for(lambda: reason in caplog.text)  # noqa: B023
            assert made.runners[3].role == ""
            await made.kill(3)
        assert ports
        made.configs[3] = config
        await made.start(3)
        await works(made, "/a")


def _ports(server: object) -> list[int]:
    found = server.addresses[0]  # type: ignore[attr-defined]
    return [found.quorum_port, found.election_port]


def _all_ports(made: Ensemble) -> list[int]:
    return [
        port
        for each in ensemble_of(made.configs[1]).membership.members
        for port in (*_ports(each), each.client_port or 0)
    ]


async def test_handshakes_of_strangers_end_and_harm_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with members(tmp_path, TLS) as made:
        await made.start_all()
        await works(made, "/a")
        leader = ensemble_of(made.configs[made.leader]).me
        descriptors = len(os.listdir("/proc/self/fd"))
        hello = client_hello()
        for port in _ports(leader):
            for junk in (b"", b"\0\0\0\x0b", hello[:40], hello, b"\x16" + bytes(200)):
                for _each in range(20):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.write(junk)
                    await writer.drain()
                    writer.transport.abort()
        while len(os.listdir("/proc/self/fd")) > descriptors:
            await asyncio.sleep(0.005)
        records = [each for each in caplog.records if "ports for other members" in each.message]
        assert records
        assert {each.__dict__[SUBJECT] for each in records} == {HOST}
        await works(made, "/b")


async def test_who_dials_in_plaintext_is_named_where_both_are_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with members(tmp_path, BOTH) as made:
        await made.start_all()
        await works(made, "/a")
        assert "talks plaintext on the ports for other members" in caplog.text


async def test_a_certificate_for_another_host_is_refused_where_names_are_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wrong = tmp_path / "wrong"
    lines = stores(wrong)
    cert = AUTHORITY.ca.issue_cert("elsewhere.example")
    (wrong / "keys.pem").write_bytes(cert.private_key_and_cert_chain_pem.bytes())
    checking = f"{TLS}fips-mode=false\n"
    ports = free_ports(9)
    made = Ensemble(tmp_path)
    for sid in (1, 2, 3):
        kept = stores(tmp_path / "stores") if sid < 3 else lines
        made.configs[sid] = member_config(tmp_path / str(sid), sid, 3, ports, checking + kept)
    try:
        await made.start(1)
        await made.start(2)
        await made.wait_until_whole()
        await made.start(3)
        await made.wait_for(lambda: "not for 127.0.0.1" in caplog.text)
        assert made.runners[3].role == ""
        await made.kill(3)
        trusting = checking + "ssl.quorum.hostnameVerification=false\n"
        for sid in (1, 2, 3):
            kept = stores(tmp_path / "stores") if sid < 3 else lines
            made.configs[sid] = member_config(tmp_path / str(sid), sid, 3, ports, trusting + kept)
            if sid in made.runners:
                await made.kill(sid)
            await made.start(sid)
        await made.wait_until_whole()
    finally:
        await made.close()


# --- one network ----------------------------------------------------------------------


def network_of(directory: Path, extra: str, timers: list[FakeTimer]) -> TlsNetwork:
    config = member_config(directory, extra=extra + stores(directory / "stores"))
    ensemble = ensemble_of(config)
    tls = ensemble.quorum_tls
    assert tls is not None

    def call_later(seconds: float, call: Callable[[], object]) -> FakeTimer:
        timers.append(FakeTimer(seconds, call))
        return timers[-1]

    return TlsNetwork(TcpNetwork(), ensemble, tls, call_later)


async def test_an_attempt_to_dial_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    network = network_of(tmp_path, TLS, [])
    made: list[object] = []

    def make() -> asyncio.Protocol:
        made.append(None)
        return asyncio.Protocol()

    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as silent:
        silent.setblocking(False)
        attempt = asyncio.ensure_future(network.connect(make, HOST, silent.getsockname()[1]))
        accepted, _ = await loop.sock_accept(silent)
        with accepted:
            accepted.setblocking(False)
            assert (await loop.sock_recv(accepted, 100))[0] == 0x16
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            while await loop.sock_recv(accepted, 1 << 16):
                pass
    assert made == []


async def test_who_does_not_answer_in_tls_cannot_be_reached(tmp_path: Path) -> None:
    network = network_of(tmp_path, TLS, [])

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello, who are you?")
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    with pytest.raises(OSError, match="TLS: wrong version number"):
        await network.connect(asyncio.Protocol, HOST, server.sockets[0].getsockname()[1])
    server.close()


async def test_silence_is_plaintext_after_the_time_to_detect(tmp_path: Path) -> None:
    timers: list[FakeTimer] = []
    extra = f"{BOTH}ssl.quorum.handshakeDetectionTimeoutMillis=1234\n"
    network = network_of(tmp_path, extra, timers)
    met: list[asyncio.BaseTransport] = []
    is_met = asyncio.Event()

    class Above(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            met.append(transport)
            is_met.set()

    (port,) = free_ports(1)
    listener = await network.listen(Above, HOST, port)
    reader, writer = await asyncio.open_connection(HOST, port)
    while not timers:
        await asyncio.sleep(0)
    assert [timer.seconds for timer in timers] == [1.234]
    timers[0].call()
    await is_met.wait()
    met[0].write(b"said first")  # type: ignore[attr-defined]
    assert await reader.readexactly(10) == b"said first"
    writer.close()
    listener.close()


async def test_the_network_of_a_test_ensemble_has_tls_too(tmp_path: Path) -> None:
    memory = MemoryNetwork()
    met: list[Above] = []

    class Above(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard = b""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            met.append(self)

        def data_received(self, data: bytes) -> None:
            self.heard += data

    def network(sid: int, extra: str) -> TlsNetwork:
        config = member_config(tmp_path, extra=extra + stores(tmp_path / "stores"))
        ensemble = ensemble_of(config)
        assert ensemble.quorum_tls is not None
        endpoint = memory.endpoint(sid, Gate(), lambda: None)
        return TlsNetwork(endpoint, ensemble, ensemble.quorum_tls, FakeTimer)

    await network(1, BOTH).listen(Above, None, 2888)
    for sid, extra, is_tls in ((2, TLS, True), (3, BOTH, False)):
        here = Above()
        met.clear()
        await network(sid, extra).connect(lambda: here, HOST, 2888)  # noqa: B023
        data = os.urandom(300_000)
        while not met:
            await asyncio.sleep(0)
        here.transport.write(data)  # type: ignore[attr-defined]
        while len(met) < 2 or met[-1].heard != data:
            await asyncio.sleep(0)
        assert (here.transport.get_extra_info("tls") is not None) is is_tls


async def test_files_are_looked_at_until_the_end(tmp_path: Path) -> None:
    timers: list[FakeTimer] = []
    network = network_of(tmp_path, f"{TLS}sslQuorumReloadCertFiles=true\n", timers)
    before = network._door.contexts.server()
    (timer,) = timers
    timer.call()
    assert network._door.contexts.server() is before
    stores(tmp_path / "stores")
    timers[1].call()
    assert network._door.contexts.server() is not before
    network.close()
    assert timers[2].is_cancelled
    unasked: list[FakeTimer] = []
    network_of(tmp_path, TLS, unasked).close()
    assert unasked == []


async def test_a_reload_reads_the_keys_of_members_too(tmp_path: Path) -> None:
    network = network_of(tmp_path, TLS, [])
    before = network._door.contexts.server()
    assert not network.reload_keys()
    stores(tmp_path / "stores")
    assert network.reload_keys()
    assert network._door.contexts.server() is not before

    runner = PeerRunner(member_config(tmp_path, ports=free_ports(9), extra=TLS + stores(tmp_path)))
    await runner.start()
    try:
        assert not runner.reload_keys()
        stores(tmp_path)
        assert runner.reload_keys()
    finally:
        await runner.close()


async def test_keys_that_cannot_be_read_prevent_the_start(tmp_path: Path) -> None:
    config = member_config(tmp_path, extra=TLS + stores(tmp_path / "stores"))
    (tmp_path / "stores" / "trusted.pem").unlink()
    runner = PeerRunner(config)
    with pytest.raises(ConfigError, match=r"ssl\.quorum\.trustStore\.location"):
        await runner.start()


async def test_clients_and_members_have_keys_of_their_own(tmp_path: Path) -> None:
    clients = STRANGER.stores(tmp_path / "clients")
    (port,) = free_ports(1)
    extra = f"{TLS}{clients}secureClientPort={port}\nsecureClientPortAddress={HOST}\n"
    ports = free_ports(9)
    made = Ensemble(tmp_path)
    kept = stores(tmp_path / "stores")
    for sid in (1, 2, 3):
        mine = extra if sid == 1 else TLS
        made.configs[sid] = member_config(tmp_path / str(sid), sid, 3, ports, mine + kept)
    try:
        await made.start_all()
        await made.wait_until_whole()
        client = await StreamClient.connect(HOST, port, tls=STRANGER.client("bob"))
        assert await client.create("/a") == 0
        with pytest.raises(ssl.SSLError):
            await StreamClient.connect(HOST, port, tls=AUTHORITY.client("bob"))
        await client.close()
    finally:
        await made.close()
