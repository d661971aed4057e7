"""When the runner hands the log to the disk: one sync for the clients that write together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.runtime.runner import MAX_GATHERING_TURNS, PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.server.connection import Connection
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import connect_frame, create_request, encode_request


class CountingStorage(MemoryStorage):
    """Notes how many records come at once."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config)
        self.batches: list[int] = []

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self.batches.append(len(records))
        super().append(records, last_zxid)


def batches_of(writes_in_turns: list[int]) -> list[int]:
    """The batches that become of so many writes in consecutive turns of the loop."""

    async def main() -> list[int]:
        config = ServerConfig(data_dir="memory", client_port=None)
        storage = CountingStorage(config)
        runner = PeerRunner(config, Seams(storage=storage))
        await runner.start()
        serving = asyncio.ensure_future(runner.serve_until_stopped())
        connection = await handshake(runner)
        storage.batches.clear()
        number = 0
        for writes in writes_in_turns:
            for _ in range(writes):
                number += 1
                record = create_request(f"/{number}")
                runner.feed(connection, encode_request(number, OpCode.CREATE, record))
            await asyncio.sleep(0)
        await until(lambda: runner.peer.server.outstanding == 0)
        runner.request_stop()
        assert await serving == 0
        assert sum(storage.batches) == number
        return storage.batches

    return asyncio.run(asyncio.wait_for(main(), 20))


async def handshake(runner: PeerRunner) -> Connection:
    connection = runner.accept("127.0.0.1", 1, 0)
    assert connection is not None
    runner.feed(connection, connect_frame(timeout_ms=30_000))
    await until(lambda: connection.outstanding == 0)
    return connection


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_writes_of_consecutive_turns_share_a_sync() -> None:
    assert batches_of([2, 1, 3]) == [6]


def test_a_turn_without_a_write_ends_the_gathering() -> None:
    assert batches_of([1, 0, 0, 0, 2]) == [1, 2]


def test_a_lone_write_waits_for_one_look_at_the_sockets() -> None:
    assert batches_of([1]) == [1]


def test_writes_that_keep_coming_do_not_keep_the_log_from_the_disk() -> None:
    batches = batches_of([1] * 40)
    assert max(batches) <= MAX_GATHERING_TURNS + 1
    assert len(batches) > 3
