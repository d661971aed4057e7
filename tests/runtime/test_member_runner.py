"""Members with real sockets, disks and clocks: they elect, serve, and survive each other."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import pytest
from attrs import evolve

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.errors import ElectionPortError, StorageError
from pyzk.jute.records import PathWatchRequest
from pyzk.runtime import logs
from pyzk.runtime.files import FileDirectory
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.member_ports import MemberPorts
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams, ServerStorage
from pyzk.runtime.storage import Storage
from pyzk.runtime.sync_times import SHORT_SYNC_S
from pyzk.server.outbox import Outgoing
from tests.runtime.members import (
    Ensemble,
    connect,
    ensemble,
    ensemble_of,
    is_there,
    member_config,
    run,
    whole,
)

pytestmark = pytest.mark.live


@contextlib.asynccontextmanager
async def clients(made: Ensemble):  # type: ignore[no-untyped-def]
    """One client of each member."""
    found = {sid: await connect(runner) for sid, runner in made.runners.items()}
    try:
        yield found
    finally:
        for client in found.values():
            client.writer.close()


async def test_three_members_elect_and_replicate(tmp_path: Path) -> None:
    async with whole(tmp_path) as made:
        async with clients(made) as by_sid:
            for sid, client in by_sid.items():
                assert await client.create(f"/from{sid}") == 0
            for client in by_sid.values():
                for sid in by_sid:
                    assert await is_there(client, f"/from{sid}")
        for sid in made.runners:
            names = FileDirectory(str(tmp_path / str(sid) / "version-2")).names()
            assert {"acceptedEpoch", "currentEpoch"} <= set(names)


def note_waits(patch: pytest.MonkeyPatch, *, is_durable: bool = False) -> list[ServerStorage]:
    """Returns a list that is told whose loop would wait for each record: for a sync that takes too
    long or, if it ``is_durable``, for one that is over at once."""
    waited: list[ServerStorage] = []

    def commit_here(storage: Storage, records: list[bytes], within_s: float) -> bool:
        assert within_s == SHORT_SYNC_S
        waited.extend([storage] * len(records))
        return is_durable

    patch.setattr(Storage, "commit_here", commit_here)
    return waited


@pytest.mark.parametrize("writer", ["follower", "leader"])
async def test_followers_without_the_client_wait_for_the_disk_with_a_lone_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    async with whole(tmp_path) as made:
        leader = made.leader
        followers = [runner for sid, runner in made.runners.items() if sid != leader]
        taken = followers.pop() if writer == "follower" else made.runners[leader]
        client = await connect(taken)
        assert await client.create("/first") == 0
        await made.wait_for(lambda: all(each.storage.is_idle for each in made.runners.values()))
        waited = note_waits(monkeypatch)
        for number in range(3):
            assert await client.create(f"/{number}") == 0
        client.writer.close()
    assert Counter(waited) == {runner.storage: 3 for runner in followers}


async def test_what_a_follower_has_waited_for_is_acknowledged_in_the_same_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def commit_here(storage: Storage, records: list[bytes], within_s: float) -> bool:
        seen.append("durable")
        asyncio.get_running_loop().call_soon(seen.append, "next turn")
        return True

    def send(ports: MemberPorts, link: Outgoing) -> None:
        if seen[-1:] == ["durable"]:
            seen.append("sent")
        send_really(ports, link)

    send_really = MemberPorts.send
    async with whole(tmp_path) as made:
        client = await connect(made.runners[made.leader])
        monkeypatch.setattr(Storage, "commit_here", commit_here)
        monkeypatch.setattr(MemberPorts, "send", send)
        assert await client.create("/a") == 0
        await made.wait_for(lambda: seen.count("next turn") == len(made.runners) - 1)
        client.writer.close()
    behind = [after for before, after in pairwise(seen) if before == "durable"]
    assert behind == ["sent", "sent"]


async def test_a_turn_that_is_asked_for_as_a_follower_acknowledges_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MemberPorts] = []

    def send(ports: MemberPorts, link: Outgoing) -> None:
        send_really(ports, link)
        runner = ports._inputs
        assert isinstance(runner, PeerRunner)
        if waited == [runner.storage] and not asked:
            asked.append(ports)
            runner.end_turn_soon()

    send_really = MemberPorts.send
    async with whole(tmp_path) as made:
        client = await connect(made.runners[made.leader])
        assert await client.create("/first") == 0
        await made.wait_for(lambda: all(each.storage.is_idle for each in made.runners.values()))
        waited = note_waits(monkeypatch, is_durable=True)
        monkeypatch.setattr(MemberPorts, "send", send)
        assert await client.create("/a") == 0
        await made.wait_for(lambda: bool(asked))
        await made.wait_for(lambda: not any(each._is_turn_due for each in made.runners.values()))
        client.writer.close()


async def test_a_follower_that_takes_observers_leaves_every_sync_to_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = note_waits(monkeypatch)
    (port,) = free_ports(1)
    async with whole(tmp_path, extra=f"observerMasterPort={port}") as made:
        client = await connect(made.runners[made.leader])
        for number in range(3):
            assert await client.create(f"/{number}") == 0
        client.writer.close()
    assert not waited


async def test_a_follower_whose_clients_are_active_leaves_the_disk_to_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole(tmp_path) as made:
        leader = made.leader
        busy, idle = (runner for sid, runner in made.runners.items() if sid != leader)
        reader, client = await connect(busy), await connect(made.runners[leader])
        waited = note_waits(monkeypatch)
        for number in range(3):
            await reader.call(OpCode.EXISTS, PathWatchRequest("/", False))
            assert await client.create(f"/{number}") == 0
        for each in (client, reader):
            each.writer.close()
    assert waited == [idle.storage] * 3


async def test_the_others_go_on_when_the_leader_is_killed_and_it_comes_back(tmp_path: Path) -> None:
    async with whole(tmp_path) as made:
        async with clients(made) as by_sid:
            assert await by_sid[1].create("/before") == 0
        first = made.leader
        await made.kill(first)
        await made.wait_until_whole()
        assert made.leader != first
        async with clients(made) as by_sid:
            assert await by_sid[made.leader].create("/after") == 0
        returned = await made.start(first)
        await made.wait_until_whole()
        client = await connect(returned)
        assert await is_there(client, "/before")
        assert await is_there(client, "/after")
        client.writer.close()


async def test_a_member_without_the_others_serves_nobody_and_says_so(tmp_path: Path) -> None:
    async with ensemble(tmp_path) as made:
        runner = await made.start(1)
        assert runner.role == ""
        told: list[str] = []
        runner.when_serving(lambda: told.append(runner.role))
        reader, writer = await asyncio.open_connection(*runner.client_address)
        writer.write(b"srvr")
        assert b"This ZooKeeper instance is not currently serving requests" in await reader.read()
        writer.close()
        with pytest.raises(asyncio.IncompleteReadError):
            await connect(runner)
        assert told == []
        await made.start(2)
        await made.wait_until_whole()
        assert told == [runner.role]


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, bytes(4096), b"\x7f"]
)
async def test_garbage_on_either_port_costs_that_connection_only(
    tmp_path: Path, garbage: bytes
) -> None:
    async with whole(tmp_path) as made:
        leader = made.leader
        address = made.configs[leader].ensemble.me.addresses[0]  # type: ignore[union-attr]
        writers = []
        for port in (address.quorum_port, address.election_port):
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(garbage)
                writers.append(writer)
        async with clients(made) as by_sid:
            for sid, client in by_sid.items():
                assert await client.create(f"/from{sid}") == 0
        assert made.leader == leader
        for writer in writers:
            writer.close()


@pytest.mark.parametrize("sent", [b"PROXY TCP4 ::1 ::1 1 2\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_probes_of_any_port_fill_no_log(tmp_path: Path, sent: bytes) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions

    async def main() -> None:
        async with ensemble(tmp_path, 1) as made:
            runner = await made.start(1)
            await made.wait_until_whole()
            stream.seek(0)
            stream.truncate()
            member = ensemble_of(made.configs[1])
            (address,) = member.me.addresses
            for port in (runner.client_address[1], address.quorum_port, address.election_port):
                for _probe in range(50):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(sent)
                    assert await reader.read() == b""
                    writer.close()

    try:
        logs.set_up("info", "text", stream)
        run(main())
        lines = stream.getvalue().splitlines()
        assert 3 <= len(lines) <= 4, lines  # the quorum port: why it ends the link, and its end
        logs.tell_left_out(is_end=True)
        told = stream.getvalue().splitlines()[len(lines) :]
        assert [line.partition(": left out: ")[2][:42] for line in told] == [
            "49 more lines like this about 127.0.0.1, t"
        ] * len(lines)
    finally:
        root.handlers[:], root.level, logging.raiseExceptions = before


async def test_a_clean_end_leaves_nothing_behind(tmp_path: Path) -> None:
    async with whole(tmp_path, extra="preAllocSize=64") as made:
        leader = made.leader
        runner = made.runners.pop(leader)
        serving = asyncio.ensure_future(runner.serve_until_stopped())
        runner.request_stop()
        assert await serving == 0
        address = made.configs[leader].ensemble.me.addresses[0]  # type: ignore[union-attr]
        for port in (address.quorum_port, address.election_port):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        await made.wait_until_whole()


async def test_nobody_is_told_that_a_member_serves_which_has_ended_in_the_same_turn(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    runner = PeerRunner(member_config(tmp_path, 1, 1, free_ports(3)))
    await runner.start()
    runner.when_serving(lambda: told.append(runner.role))
    while not runner.role:
        await asyncio.sleep(0)
    runner.kill()
    await asyncio.sleep(0)
    assert told == []


async def test_a_failing_disk_ends_a_member_and_not_the_ensemble(tmp_path: Path) -> None:
    async with whole(tmp_path) as made:
        sid = made.leader
        runner = made.runners.pop(sid)
        serving = asyncio.ensure_future(runner.serve_until_stopped())
        runner._storage_failed(StorageError("the disk is full", path="/d"))
        assert await serving == 1
        await made.wait_until_whole()
        assert made.leader != sid


async def test_a_member_whose_election_port_is_taken_takes_no_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Alone it would be leader within milliseconds, and say that it is ready."""
    caplog.set_level("INFO")
    async with ensemble(tmp_path, 1, extra="electionPortBindRetry=2") as made:
        config = made.configs[1].ensemble
        assert config is not None
        squatter = await asyncio.start_server(
            lambda *_: None, "127.0.0.1", config.me.addresses[0].election_port
        )
        with pytest.raises(ElectionPortError, match="tried 2 times"):
            await made.start(1)
        made.runners.clear()
        squatter.close()
        assert "looks for a leader" not in caplog.text
        await made.start(1)
        await made.wait_until_whole()


async def test_a_member_whose_quorum_port_is_taken_lets_another_lead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It has the highest id, so it would be elected again and again."""
    caplog.set_level("INFO")
    async with ensemble(tmp_path, 3) as made:
        config = made.configs[3].ensemble
        assert config is not None
        with socket.socket() as squatter:
            squatter.bind(("127.0.0.1", config.me.addresses[0].quorum_port))
            squatter.listen()
            for sid in (3, 2, 1):
                await made.start(sid)
            await made.wait_until_whole()
        assert made.leader != 3
        assert "server 3 is no longer leader: it cannot listen for learners on" in caplog.text
        assert "no quorum has connected with it" not in caplog.text
        assert "another server has its id" not in caplog.text


async def test_names_that_nobody_knows_are_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Nameless:
        """A network in which nobody is known, and nobody answers."""

        async def connect(self, make: object, host: str, port: int) -> None:
            raise OSError(-2, "Name or service not known")

        async def listen(self, make: object, host: str | None, port: int) -> Nameless:
            return self

        async def check(self, host: str) -> None:
            raise OSError(-2, "Name or service not known")

        def close(self) -> None:
            """Nothing is open."""

    async with ensemble(tmp_path) as made:
        await made.start(1, Seams(network=Nameless()))
        await made.wait_for(lambda: caplog.text.count("cannot be resolved") == 2)
        assert "server.2=127.0.0.1:" in caplog.text
        assert "looks it up each time it needs it" in caplog.text


# --- two servers with one id ----------------------------------------------------------


async def start_twin(made: Ensemble, directory: Path, sid: int) -> PeerRunner:
    """Start another server with the id of one that runs; it has a server line of its own."""
    ports = [*free_ports(3)]
    lines = [ports if each == sid else _ports(made.configs[each]) for each in made.configs]
    config = member_config(directory / "twin", sid, 3, [*chain(*lines)])
    twin = PeerRunner(
        replace(config, ensemble=evolve(ensemble_of(config), init_limit_ticks=2)),
    )
    made.runners[9] = twin
    await twin.start()
    return twin


def _ports(config: ServerConfig) -> list[int]:
    (address,) = ensemble_of(config).me.addresses
    return [address.quorum_port, address.election_port, config.client_port or 0]


async def test_each_of_two_followers_with_one_id_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole(tmp_path) as made:
        sid = next(each for each in made.runners if each != made.leader)
        twin = await start_twin(made, tmp_path, sid)
        for config in (made.configs[sid], twin.config):
            line = (
                f"another server has its id, {sid}. No two servers may have the same myid;"
                f" this one is at {ensemble_of(config).me.addresses[0]}"
            )
            await made.wait_for(partial(lambda text: text in caplog.text, line))


async def test_a_server_with_the_id_of_the_leader_says_why_nobody_connects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole(tmp_path) as made:
        leader = made.leader
        twin = await start_twin(made, tmp_path, leader)
        place = ensemble_of(twin.config).me.addresses[0]
        text = f"can reach its quorum port ({place}), and that no other server has its id in"
        await made.wait_for(lambda: text in caplog.text)
        # The others have been told, too.
        assert f"says that it is server {leader} and listens for elections on" in caplog.text
