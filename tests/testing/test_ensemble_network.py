"""The network in memory: what arrives, what is lost, who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from pyzk.testing.seams.gate import Gate
from pyzk.testing.seams.network import HIGH_WATER, MemoryEndpoint, MemoryNetwork
from pyzk.testing.seams.timing import PacedClock

TURNS = 10


class Side(asyncio.Protocol):
    """Notes what happens to its end of a connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.seen: list[str] = []
        self.bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.seen.append("made")

    def data_received(self, data: bytes) -> None:
        self.bytes += data

    def eof_received(self) -> bool:
        self.seen.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append("lost" if exc is None else "reset")

    def pause_writing(self) -> None:
        self.seen.append("pause")

    def resume_writing(self) -> None:
        self.seen.append("resume")


class World:
    """Two members; 2 listens on port 20."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.gates = {1: Gate(), 2: Gate()}
        self.inputs = 0
        self.one, self.two = (self._endpoint(sid) for sid in (1, 2))
        self.accepted: list[Side] = []

    def _endpoint(self, sid: int) -> MemoryEndpoint:
        return self.network.endpoint(sid, self.gates[sid], self._count)

    def _count(self) -> None:
        self.inputs += 1

    def accept(self) -> Side:
        self.accepted.append(Side())
        return self.accepted[-1]

    async def connect(self) -> tuple[Side, Side]:
        await self.two.listen(self.accept, None, 20)
        here = Side()
        await self.one.connect(lambda: here, "two", 20)
        await turns()
        return here, self.accepted[-1]


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


def test_bytes_arrive_in_order_and_the_end_behind_them() -> None:
    async def test() -> None:
        world = World()
        here, there = await world.connect()
        here.transport.write(b"one ")
        here.transport.writelines([b"two", b" three"])
        assert there.bytes == b""
        here.transport.close()
        here.transport.write(b"late")
        assert here.transport.is_closing()
        await turns()
        assert there.bytes == b"one two three"
        assert there.seen == ["made", "eof", "lost"]
        assert here.seen == ["made", "lost"]
        assert world.network.transports == {}
        assert world.inputs >= 4

    run(test())


def test_an_abort_loses_what_is_on_its_way() -> None:
    async def test() -> None:
        here, there = await World().connect()
        here.transport.write(b"lost")
        here.transport.abort()
        await turns()
        assert there.bytes == b""
        assert there.seen == ["made", "reset"]
        assert here.seen == ["made", "lost"]

    run(test())


def test_nobody_listens() -> None:
    async def test() -> None:
        world = World()
        with pytest.raises(ConnectionRefusedError):
            await world.one.connect(Side, "two", 20)
        listener = await world.two.listen(Side, None, 20)
        with pytest.raises(OSError, match="in use"):
            await world.one.listen(Side, None, 20)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await world.one.connect(Side, "two", 20)
        await world.one.check("two")

    run(test())


def test_who_reads_slowly_makes_the_other_pause() -> None:
    async def test() -> None:
        here, there = await World().connect()
        there.transport.pause_reading()
        here.transport.write(bytes(HIGH_WATER + 1))
        assert here.seen == ["made", "pause"]
        assert here.transport.get_write_buffer_size() == HIGH_WATER + 1
        await turns()
        assert there.bytes == b""
        there.transport.resume_reading()
        await turns()
        assert len(there.bytes) == HIGH_WATER + 1
        assert here.seen == ["made", "pause", "resume"]
        here.transport.set_write_buffer_limits(10, 5)
        here.transport.write(bytes(11))
        assert here.seen[-1] == "pause"

    run(test())


def test_a_paused_member_hears_later_what_came() -> None:
    async def test() -> None:
        world = World()
        gate = world.gates[2]
        gate.is_closed = True
        here, there = await world.connect()
        here.transport.write(b"x")
        await turns()
        assert here.seen == ["made"]
        assert there.seen == []
        gate.open()
        await turns()
        assert there.seen == ["made"]
        assert there.bytes == b"x"
        gate.is_closed = True
        here.transport.abort()
        await turns()
        assert there.seen == ["made"]
        gate.open()
        assert there.seen == ["made", "reset"]

    run(test())


def test_a_partition_cuts_and_refuses() -> None:
    async def test() -> None:
        world = World()
        here, there = await world.connect()
        here.transport.write(b"lost")
        world.network.separate([1], [2], silent=False)
        await turns()
        assert here.seen == there.seen == ["made", "reset"]
        assert there.bytes == b""
        with pytest.raises(OSError, match="No route"):
            await world.one.connect(Side, "two", 20)
        assert world.network.partitions == [(1, 2)]
        world.network.heal()
        assert world.network.partitions == []
        await world.one.connect(Side, "two", 20)

    run(test())


def test_through_silence_nothing_comes_until_it_is_healed() -> None:
    async def test() -> None:
        world = World()
        here, there = await world.connect()
        world.network.separate([1], [2], silent=True)
        here.transport.write(b"late")
        another = asyncio.ensure_future(world.one.connect(Side, "two", 20))
        impatient = asyncio.ensure_future(world.one.connect(Side, "two", 20))
        await turns()
        assert there.bytes == b""
        assert not another.done()
        impatient.cancel()
        await turns()
        assert len(world.accepted) == 1
        world.network.heal()
        await another
        await turns()
        assert there.bytes == b"late"
        assert len(world.accepted) == 2

    run(test())


def test_of_a_member_that_leaves_nothing_stays() -> None:
    async def test() -> None:
        world = World()
        here, there = await world.connect()
        world.network.leave(2)
        await turns()
        assert here.seen == ["made", "reset"]
        assert there.seen == ["made", "lost"]
        assert world.network.transports == {}
        with pytest.raises(ConnectionRefusedError):
            await world.one.connect(Side, "two", 20)

    run(test())


def test_of_a_time_in_which_nothing_ran_little_passes() -> None:
    readings = iter([1000, 1040, 1140, 61_000, 61_010])
    clock = PacedClock(100, lambda: next(readings))
    assert [clock() for _ in range(4)] == [1040, 1140, 1240, 1250]
