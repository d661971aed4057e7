"""What the runner gives the core in one turn of the loop, and what it hands to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.errors import StorageError
from pyzk.exit_codes import ExitCode
from pyzk.jute.records import PathWatchRequest
from pyzk.quorum.driver import MANY_ANSWERED
from pyzk.runtime.activity import LONE_INPUTS
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.runner import (
    MANY_RECORDS,
    MAX_FED_BYTES,
    MAX_GATHERING_TURNS,
    MAX_KEPT_BYTES,
    MAX_SYNCED_BYTES,
    MAX_SYNCED_RECORDS,
    REQUEST_S,
    PeerRunner,
)
from pyzk.runtime.seams import Seams, TimeSource
from pyzk.runtime.sync_times import SHORT_SYNC_S
from pyzk.server.connection import CLOSED, Connection
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import connect_frame, create_request, encode_request
from tests.runtime.ports import FakeTimer


class CountingStorage(MemoryStorage):
    """Notes how many records come at once, and what the loop may make durable itself."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config)
        self.batches: list[int] = []
        self.sync_s = 1.0
        """How long a sync of the loop would take."""
        self.done_here = 0
        self.failure: StorageError | None = None
        self.meanwhile: Callable[[], object] = list
        """What happens while the loop waits."""

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        if self.failure is not None:
            raise self.failure
        self.meanwhile()
        is_done = self.sync_s < within_s
        self.done_here += len(records) * is_done
        return is_done

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self.batches.append(len(records))
        super().append(records, last_zxid)


class Transport(asyncio.Transport):
    """A socket that takes everything and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_over = False
        self.when_written: Callable[[], object] = list

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.when_written()
        assert not self.is_over, "the socket is closed"
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True


class Served:
    """A runner in memory, and what its clients see of it."""

    def __init__(self, time: TimeSource | None = None) -> None:
        config = ServerConfig(data_dir="memory", client_port=None, idle_poll_us=1)
        self.storage = CountingStorage(config)
        self.runner = PeerRunner(config, Seams(storage=self.storage, time=time))
        self.number = 0

    async def client(self) -> tuple[ClientProtocol, Transport]:
        """Returns a client whose session is open."""
        protocol, transport = ClientProtocol(self.runner), Transport()
        protocol.connection_made(transport)
        connection = self.connection_of(protocol)
        protocol.data_received(connect_frame(timeout_ms=30_000))
        await until(lambda: connection.session is not None and transport.written)
        transport.written.clear()
        return protocol, transport

    @staticmethod
    def connection_of(protocol: ClientProtocol) -> Connection:
        assert protocol.connection is not None
        return protocol.connection

    def write(self, data: bytes = b"") -> bytes:
        """Returns another create."""
        self.number += 1
        return encode_request(self.number, OpCode.CREATE, create_request(f"/{self.number}", data))

    def read(self, path: str = "/") -> bytes:
        """Returns a getData."""
        self.number += 1
        return encode_request(self.number, OpCode.GET_DATA, PathWatchRequest(path, False))


class Given:
    """A time that a server is given; no timer is due."""

    def read(self, clock: Clock) -> None:
        clock.now_ms = clock.wall_ms = 1_000

    def call_later(self, seconds: float, callback: Callable[[], object]) -> FakeTimer:
        return FakeTimer(seconds, callback)


def serving(
    test: Callable[[Served], Awaitable[None]], code: int = 0, time: TimeSource | None = None
) -> None:
    """Runs a test beside a server, which is then asked to stop if it has not stopped by itself."""

    async def main() -> None:
        served = Served(time)
        await served.runner.start()
        task = asyncio.ensure_future(served.runner.serve_until_stopped())
        await test(served)
        served.runner.request_stop()
        assert await task == code

    asyncio.run(asyncio.wait_for(main(), 20))


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_what_all_clients_send_in_a_turn_is_served_together() -> None:
    async def test(served: Served) -> None:
        first, first_socket = await served.client()
        second, second_socket = await served.client()
        other, other_socket = await served.client()
        other.data_received(served.read())
        assert other_socket.written, "the first is served at once"
        first.data_received(served.read())
        second.data_received(served.read())
        first.data_received(served.read())
        assert not first_socket.written
        assert not second_socket.written
        await asyncio.sleep(0)
        assert [len(first_socket.written), len(second_socket.written)] == [1, 1]
        one = len(second_socket.written[0])
        assert len(first_socket.written[0]) == 2 * one, "both replies are one write"

    serving(test)


def batches_of(writes_in_turns: list[int]) -> list[int]:
    """Returns the batches that become of so many writes in consecutive turns of the loop."""
    batches: list[int] = []

    async def test(served: Served) -> None:
        client, _ = await served.client()
        served.storage.batches.clear()
        for writes in writes_in_turns:
            for _ in range(writes):
                client.data_received(served.write())
            await asyncio.sleep(0)
        await until(lambda: served.runner.peer.server.outstanding == 0)
        batches.extend(served.storage.batches)

    serving(test)
    assert sum(batches) == sum(writes_in_turns)
    return batches


def test_writes_of_consecutive_turns_share_a_sync() -> None:
    assert batches_of([2, 1, 3]) == [6]


def test_a_turn_without_a_write_ends_the_gathering() -> None:
    assert batches_of([2, 0, 0, 0, 2]) == [2, 2]


def test_writes_that_keep_coming_do_not_keep_the_log_from_the_disk() -> None:
    batches = batches_of([1] * 40)
    assert max(batches) <= MAX_GATHERING_TURNS + 1
    assert len(batches) > 3


def test_a_write_goes_to_the_disk_in_its_turn_while_many_read() -> None:
    async def test(served: Served) -> None:
        writer, _ = await served.client()
        readers = [(await served.client())[0] for _ in range(MANY_ANSWERED)]
        served.storage.batches.clear()
        writer.data_received(served.write())
        for reader in readers:
            reader.data_received(served.read())
        await asyncio.sleep(0)
        assert served.storage.batches == [1]
        await until(lambda: served.runner.peer.server.outstanding == 0)

    serving(test)


def test_a_lone_write_is_answered_in_its_turn_if_the_disk_is_quick() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        served.storage.sync_s = 0.9 * SHORT_SYNC_S
        served.storage.batches.clear()
        for _ in range(LONE_INPUTS):
            client.data_received(served.read())
            await asyncio.sleep(0)
        socket.written.clear()
        for count in (1, 2, 3):
            client.data_received(served.write())
            assert len(socket.written) == count - 1
            await asyncio.sleep(0)
            assert len(socket.written) == served.storage.done_here == count
        assert served.storage.batches == []

    serving(test)


async def ask(served: Served, *clients: ClientProtocol) -> None:
    """Has clients read in turns, more often than a lone client would have to."""
    for number in range(LONE_INPUTS * len(clients)):
        clients[number % len(clients)].data_received(served.read())
        await asyncio.sleep(0)


async def some_turns() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


def test_the_loop_polls_behind_the_reads_of_a_lone_client() -> None:
    async def test(served: Served) -> None:
        client, _ = await served.client()
        await ask(served, client)
        await until(lambda: served.runner.idle_polls.to_leave_out == 1)

    serving(test)


@pytest.mark.parametrize("is_quick", [False, True])
def test_the_loop_does_not_poll_behind_a_write(is_quick: bool) -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        served.storage.sync_s = 0.9 * SHORT_SYNC_S if is_quick else 1.0
        for _ in range(2 * LONE_INPUTS):
            socket.written.clear()
            client.data_received(served.write())
            await until(lambda: socket.written)
            await some_turns()
            assert served.runner.idle_polls.to_leave_out == 0
        assert served.storage.done_here > 0 or not is_quick

    serving(test)


@pytest.mark.parametrize("what", ["two", "given"])
def test_the_loop_does_not_poll(what: str) -> None:
    async def test(served: Served) -> None:
        clients = [(await served.client())[0] for _ in range(2 if what == "two" else 1)]
        await ask(served, *clients)
        await some_turns()
        assert served.runner.idle_polls.to_leave_out == 0

    serving(test, time=Given() if what == "given" else None)


@pytest.mark.parametrize("what", ["writes", "reads"])
@pytest.mark.parametrize("count", [8, 9])
def test_a_turn_waits_for_a_sync_that_is_no_longer_than_itself(what: str, count: int) -> None:
    async def test(served: Served) -> None:
        writer, socket = await served.client()
        others = [(await served.client())[0] for _ in range(count)]
        served.storage.sync_s = 8.5 * REQUEST_S
        served.storage.batches.clear()
        others[-1].data_received(served.read())  # the first of the turn is answered at once
        writer.data_received(served.write())
        for other in others[1:]:
            other.data_received(served.read() if what == "reads" else served.write())
        await until(lambda: socket.written)
        writes = count if what == "writes" else 1
        here, batches = (writes, []) if count == 9 else (0, [writes])
        assert (served.storage.done_here, served.storage.batches) == (here, batches)

    serving(test)


@pytest.mark.parametrize("what", ["long", "many", "another"])
def test_the_loop_waits_for_the_disk_for_few_small_writes_of_a_lone_client(what: str) -> None:
    async def test(served: Served) -> None:
        other, _ = await served.client()
        client, _ = await served.client()
        served.storage.sync_s = 0.9 * SHORT_SYNC_S
        for _ in range(LONE_INPUTS):
            client.data_received(served.read())
            await asyncio.sleep(0)
        if what == "another":
            other.data_received(served.read())
            await asyncio.sleep(0)
        client.data_received(served.write(bytes(MAX_SYNCED_BYTES) if what == "long" else b""))
        for _ in range(MAX_SYNCED_RECORDS if what == "many" else 0):
            client.data_received(served.write())
        await until(lambda: served.runner.peer.server.outstanding == 0)
        assert served.storage.done_here == 0

    serving(test)


def test_what_is_handed_out_at_the_end_of_the_server_goes_to_the_disk() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        served.storage.sync_s = 0.9 * SHORT_SYNC_S
        for _ in range(LONE_INPUTS):
            client.data_received(served.read())
            await asyncio.sleep(0)
        socket.written.clear()
        client.data_received(served.write())
        await served.runner.close()
        assert len(socket.written) == 1
        assert served.storage.done_here == 0

    serving(test)


def test_what_became_durable_as_the_server_broke_is_neither_applied_nor_answered() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        served.storage.sync_s = 0.9 * SHORT_SYNC_S
        await ask(served, client)
        socket.written.clear()
        broken = RuntimeError("found broken while the loop waited")
        served.storage.meanwhile = lambda: served.runner.fail(broken)
        client.data_received(served.write())
        before = served.runner.peer.database.last_zxid
        await some_turns()
        assert served.storage.done_here == 1
        assert served.runner.failure is broken
        assert served.runner.peer.database.last_zxid == before
        assert not socket.written

    serving(test, ExitCode.UNEXPECTED_ERROR)


def test_a_disk_that_fails_under_the_loop_stops_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        for _ in range(LONE_INPUTS):
            client.data_received(served.read())
            await asyncio.sleep(0)
        socket.written.clear()
        served.storage.failure = StorageError("the disk failed", path="log.1")
        client.data_received(served.write())
        await asyncio.sleep(0)
        assert served.runner.failure is served.storage.failure
        assert not socket.written
        assert socket.is_over
        assert "storage failed, the server stops: log.1: the disk failed" in caplog.text

    serving(test, ExitCode.UNEXPECTED_ERROR)


def test_many_bytes_do_not_wait_for_the_end_of_the_turn() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        frame = served.read()
        most = MAX_FED_BYTES // len(frame)
        client.data_received(frame)
        socket.written.clear()
        client.data_received(frame * most)
        assert not socket.written
        client.data_received(frame)
        assert socket.written

    serving(test)


@pytest.mark.parametrize("what", ["few", "many", "busy"])
def test_an_idle_disk_gets_many_records_before_the_turn_ends(what: str) -> None:
    async def test(served: Served) -> None:
        client, _ = await served.client()
        served.storage.batches.clear()
        count = MANY_RECORDS - (what == "few")
        client.data_received(b"".join(served.write() for _ in range(count)))
        at_once = [] if what == "few" else [MANY_RECORDS]
        assert served.storage.batches == at_once
        if what == "busy":
            more = served.write(bytes(MAX_FED_BYTES // MANY_RECORDS))
            client.data_received(more * MANY_RECORDS)
            assert not served.runner.peer.outbox.dirty
            assert len(served.runner.peer.outbox.log) == MANY_RECORDS, "they were served"
            assert served.storage.batches == at_once, "the disk has enough to do"
        await until(lambda: served.runner.peer.server.outstanding == 0)
        assert sum(served.storage.batches) == count * (1 + (what == "busy"))

    serving(test)


def test_many_bytes_of_replies_are_written_before_others_are_served() -> None:
    async def test(served: Served) -> None:
        clients = [await served.client() for _ in range(3)]
        data = bytes(MAX_KEPT_BYTES // 2)
        clients[0][0].data_received(served.write(data))
        await until(lambda: clients[0][1].written)
        replies: list[int] = []
        (await served.client())[0].data_received(served.read())
        for client, socket in clients:
            socket.written.clear()
            client.data_received(served.read("/1"))
        out = served.connection_of(clients[2][0]).out
        clients[1][1].when_written = lambda: replies.append(len(out))
        await asyncio.sleep(0)
        assert [len(socket.written) for _, socket in clients] == [1, 1, 1]
        assert replies == [0], "the third was served before the replies to the others were written"

    serving(test)


@pytest.mark.parametrize("end", ["eof", "lost"])
def test_what_a_client_sent_before_its_end_is_taken_before_it(end: str) -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        connection = served.connection_of(client)
        server = served.runner.peer.server
        client.data_received(served.write())
        if end == "eof":
            client.data_received(served.read())
            client.eof_received()
        else:
            client.connection_lost(None)
            assert connection.state == CLOSED
        assert server.queues.outstanding == (2 if end == "eof" else 1)
        await until(lambda: server.outstanding == 0)
        assert "/1" in server.tree.nodes
        assert bool(socket.written) == (end == "eof")

    serving(test)


def test_what_is_fed_when_the_server_is_asked_to_stop_is_served() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        server = served.runner.peer.server
        client.data_received(served.write())
        await served.runner.close()
        assert "/1" in server.tree.nodes
        assert socket.written
        client.data_received(served.write())
        await asyncio.sleep(0)
        assert "/2" not in server.tree.nodes, "nothing is taken behind the end"

    serving(test)


def test_what_a_client_has_sent_comes_before_an_order_and_before_the_timer() -> None:
    async def test(served: Served) -> None:
        client, socket = await served.client()
        client.data_received(served.read())
        served.runner.perform(lambda: served.connection_of(client).refuse("so ordered"))
        assert len(socket.written) == 1
        other, socket = await served.client()
        other.data_received(served.read())
        served.runner._wake()
        assert len(socket.written) == 1

    serving(test)


def test_a_core_that_raises_gets_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    async def test(served: Served) -> None:
        first, _ = await served.client()
        second, socket = await served.client()
        served.connection_of(first).session = None  # which breaks an invariant
        frame = served.read()
        first.data_received(frame)
        second.data_received(served.read())
        await asyncio.sleep(0)
        assert served.runner.failure is not None
        assert not socket.written
        assert socket.is_over
        second.connection_lost(None)
        assert f"{frame!r}" in caplog.text

    serving(test, ExitCode.UNEXPECTED_ERROR)
