"""A member whose client address changes while it serves, or that has saved another ensemble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from attrs import evolve

from pyzk.config.members import Membership
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.errors import ConfigError
from pyzk.jute.records import PathWatchRequest
from pyzk.persistence.config_files import ConfigFiles
from pyzk.quorum.commands import ListenForClients, SaveConfig
from pyzk.quorum.lifecycle import MemberLife
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.loop import LOOPS
from pyzk.runtime.loop import run as run_loop
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import StreamClient
from tests.runtime.members import TIMEOUT_S, ensemble_of, member_config

pytestmark = pytest.mark.live

EXTRA = "4lw.commands.whitelist=*\nreconfigEnabled=true"


def alone(directory: Path) -> ServerConfig:
    """Return what an ensemble of one is told."""
    return member_config(directory, count=1, ports=free_ports(3), extra=EXTRA)


def moved(config: ServerConfig, version: int, host: str, port: int) -> Membership:
    """Return a later configuration, in which the member takes clients elsewhere."""
    me = evolve(ensemble_of(config).me, client_host=host, client_port=port)
    return Membership((me,), version)


async def serving(runner: PeerRunner) -> None:
    await runner.start()
    while not runner.role:
        await asyncio.sleep(0.005)


async def ask(runner: PeerRunner, word: str) -> dict[str, str]:
    host, port = runner.client_address
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(word.encode())
    text = (await reader.read(-1)).decode()
    writer.close()
    lines = [line.replace("\t", "=").partition("=") for line in text.splitlines()]
    return {key: value for key, _, value in lines}


def move(runner: PeerRunner, host: str, port: int) -> None:
    assert runner._member is not None
    runner._member.listen_for_clients(ListenForClients(host, port))


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was taken, and closed at once: no client is served
        return False
    writer.close()
    return False


def on_loop(choice: str, main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), TIMEOUT_S)

    run_loop(bounded(), choice)


@pytest.mark.parametrize("loop", [choice for choice in LOOPS if choice != "auto"])
def test_clients_are_taken_elsewhere_and_those_that_are_there_stay(
    loop: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    caplog.set_level("INFO")

    async def main() -> None:
        runner = PeerRunner(alone(tmp_path))
        await serving(runner)
        old = runner.client_address[1]
        (new,) = free_ports(1)
        early = await StreamClient.connect("127.0.0.1", old)
        move(runner, "127.0.0.1", new)
        while runner.client_address[1] != new:
            await asyncio.sleep(0.005)
        assert await refuses(old)
        late = await StreamClient.connect("127.0.0.1", new)
        for client in (early, late):
            reply = await client.call(OpCode.EXISTS, PathWatchRequest("/", False))
            assert reply.err == 0
        assert (await ask(runner, "conf"))["clientPort"] == str(new)
        before = len(caplog.messages)
        move(runner, "127.0.0.1", new)
        assert len(caplog.messages) == before, "it is there already"
        # The same port at all addresses of the machine: the old socket has gone in time.
        move(runner, "0.0.0.0", new)
        while runner.client_address[0] != "0.0.0.0":
            await asyncio.sleep(0.005)
        early.writer.close()
        late.writer.close()
        await runner.close()
        assert await refuses(new)

    on_loop(loop, main)
    assert "clients are taken on 127.0.0.1:" in caplog.text
    assert "no client is taken on 127.0.0.1:" in caplog.text
    assert "cannot listen" not in caplog.text


async def test_a_port_that_is_taken_is_tried_until_it_is_free(tmp_path: Path) -> None:
    runner = PeerRunner(alone(tmp_path))
    await serving(runner)
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    new = other.sockets[0].getsockname()[1]
    old = runner.client_address
    move(runner, "127.0.0.1", new)
    while not await refuses(old[1]):
        await asyncio.sleep(0.005)
    assert runner.client_address == old, "where clients last could connect"
    other.close()
    while runner.client_address[1] != new:
        await asyncio.sleep(0.005)
    client = await StreamClient.connect("127.0.0.1", new)
    client.writer.close()
    await runner.close()


async def test_the_end_of_a_server_ends_its_search_for_a_port(tmp_path: Path) -> None:
    runner = PeerRunner(alone(tmp_path))
    await serving(runner)
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    new = other.sockets[0].getsockname()[1]
    move(runner, "127.0.0.1", new)
    await runner.close()
    other.close()
    await asyncio.sleep(0)
    assert await refuses(new)


def life_of(runner: PeerRunner) -> MemberLife:
    assert runner._member is not None
    return runner._member._life


@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_a_member_without_a_file_goes_by_what_it_has_saved(
    tmp_path: Path, is_in_memory: bool
) -> None:
    config = alone(tmp_path)
    (port,) = free_ports(1)
    first, second = moved(config, 5, "127.0.0.1", port), moved(config, 9, "127.0.0.1", 1)
    seams = Seams(storage=MemoryStorage(config) if is_in_memory else None)
    runner = PeerRunner(config, seams)
    await serving(runner)
    answered: list[object] = []
    for command in (SaveConfig(1, first, is_active=True), SaveConfig(2, second, is_active=False)):
        runner.storage.perform(command, answered.append)
    while len(answered) < 2:
        await asyncio.sleep(0.005)
    await runner.close()

    again = PeerRunner(config, seams)
    await again.start()
    configs = life_of(again).member.configs
    assert (configs.committed, configs.last_seen) == (first, second)
    assert again.client_address == ("127.0.0.1", port)
    assert not await refuses(port)
    await again.close()


async def test_a_member_without_a_file_that_was_removed_gives_its_ports_back(
    tmp_path: Path,
) -> None:
    config = alone(tmp_path)
    storage = MemoryStorage(config)
    other = Membership((evolve(ensemble_of(config).me, sid=2),), 5)
    files = ConfigFiles(storage._config_files, "zoo.cfg", 1, has_static=False)
    files.begin(ensemble_of(config).membership)
    files.activate(other)
    runner = PeerRunner(config, Seams(storage=storage))
    with pytest.raises(ConfigError, match="server 1 is not in version 5"):
        await runner.start()
    assert config.client_port is not None
    assert await refuses(config.client_port)


async def test_conf_and_mntr_show_the_present_configuration(tmp_path: Path) -> None:
    runner = PeerRunner(alone(tmp_path))
    await serving(runner)
    assert (await ask(runner, "mntr"))["zk_quorum_size"] == "1"
    assert (await ask(runner, "mntr"))["zk_unsaved_configs"] == "0"
    me = ensemble_of(runner.config).me
    assert (await ask(runner, "conf"))["quorumPort"] == str(me.addresses[0].quorum_port)
    text = (
        "server.1=127.0.0.1:7:8:observer;127.0.0.1:9\nserver.2=h:1:2:participant\n"
        "server.3=i:1:2:participant\nversion=5"
    )
    runner.peer.database.tree.install_config(text.encode(), 5, 0)
    told = await ask(runner, "conf")
    assert (told["quorumPort"], told["electionPort"], told["peerType"]) == ("7", "8", "1")
    assert (await ask(runner, "mntr"))["zk_quorum_size"] == "2"
    await runner.close()
