"""Links between a leader and its learners, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from pyzk.quorum import packets
from pyzk.quorum.commands import DialLeader, ListenForObservers
from pyzk.quorum.link import QuorumLink
from pyzk.runtime.dialing import MOVED_SILENCE, REMINDER
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.quorum_port import HIGH_WATER_BYTES
from tests.runtime.ports import (
    PING,
    Core,
    HangingNetwork,
    accepted,
    dial,
    ensemble_at,
    is_closed,
    quorum_port,
    run_out,
)

pytestmark = pytest.mark.live


async def test_packets_of_a_learner_arrive_and_answers_leave(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (reader, writer)):
        writer.write(PING)
        assert await core.until_heard("packet") == packets.PING
        link.send(PING)
        port.flush(link)
        assert await reader.readexactly(len(PING)) == PING
        writer.close()
        await core.until_heard("down")
        assert core.all("down")[0][2] == "the other side closed the connection"


async def test_who_does_not_lead_takes_nobody(tmp_path: Path) -> None:
    core = Core()
    core.is_leading = False
    port = quorum_port(core, ensemble_at(tmp_path))
    port.listen(port.ensemble.me)
    reader, writer = await dial(port.ensemble.me.addresses[0].quorum_port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    port.stop_listening()


async def test_a_snapshot_is_made_as_fast_as_the_learner_reads(tmp_path: Path) -> None:
    made = 0

    def snapshot() -> Iterator[bytes]:
        nonlocal made
        for _ in range(640):
            made += 1
            yield bytes(1 << 17)

    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (reader, _)):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        link.send_stream(snapshot())
        port.flush(link)
        before = -1
        while made != before:
            before = made
            for _turn in range(100):
                await asyncio.sleep(0)
        # What the two sockets hold, and no more.
        assert HIGH_WATER_BYTES >> 17 <= made < 200
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        link.send(PING)
        port.flush(link)
        data = await reader.readexactly((640 << 17) + len(PING))
        assert data.endswith(PING)


async def test_a_link_that_is_paused_leaves_what_comes_where_it_is(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (_, writer)):
        link.pause(True)
        port.flush(link)
        writer.write(PING)
        for _turn in range(100):
            await asyncio.sleep(0)
        assert core.all("packet") == []
        link.pause(False)
        port.flush(link)
        assert await core.until_heard("packet") == packets.PING


async def test_a_closed_link_ends_behind_its_last_byte(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (reader, _)):
        link.send(bytes(20 << 20))
        link.send(PING)
        link.close()
        port.flush(link)
        data = await reader.read(-1)
        assert len(data) == (20 << 20) + len(PING)


async def test_who_does_not_take_the_last_bytes_loses_them(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (reader, _)):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _each in range(20):
            link.send(bytes(2 << 20))
        link.close()
        port.flush(link)
        await core.until(lambda: core.timers)
        core.fire()
        await core.until_heard("down")
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionResetError):
            assert len(await reader.read(-1)) < 40 << 20


async def test_a_leader_is_reached_at_the_address_that_answers(tmp_path: Path) -> None:
    core, other = Core(), Core()
    ensemble = ensemble_at(tmp_path)
    listening = quorum_port(other, ensemble)
    listening.listen(listening.ensemble.me)
    _, probe = await dial(ensemble.me.addresses[0].quorum_port)
    probe.close()
    (closed,) = free_ports(1)
    addresses = (("127.0.0.1", closed), ("localhost", ensemble.me.addresses[0].quorum_port))
    port = quorum_port(core, ensemble)
    link = QuorumLink(core.outbox, "the leader", core)
    link.send(PING)
    port.dial(DialLeader(link, addresses, 20_000))
    assert await core.until_heard("up") is link
    port.flush(link)
    assert await other.until_heard("packet") == packets.PING
    port.close()
    await other.until_heard("down", 2)
    listening.abort()


async def test_a_leader_that_cannot_be_reached_is_told_with_the_reason(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    (closed,) = free_ports(1)
    link = QuorumLink(core.outbox, "the leader", core)
    port.dial(DialLeader(link, (("127.0.0.1", closed),), 20_000))
    assert await core.until_heard("down") is link
    assert f"127.0.0.1:{closed}: " in str(core.all("down")[0][2])
    nobody = QuorumLink(core.outbox, "nobody", core)
    port.dial(DialLeader(nobody, (("no.such.host.invalid", 1),), 20_000))
    assert await core.until_heard("down", 2) is nobody
    assert "no.such.host.invalid:1: " in str(core.all("down")[1][2])


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(tmp_path: Path) -> None:
    core = Core()
    network = HangingNetwork()
    port = quorum_port(core, ensemble_at(tmp_path), network)
    link = QuorumLink(core.outbox, "the leader", core)
    port.dial(DialLeader(link, (("a", 1), ("b", 2)), 1000))
    for count in (1, 2):
        await network.asked.wait()
        network.asked.clear()
        assert len(network.places) == count
        core.fire()
    assert await core.until_heard("down") is link
    assert core.all("down")[0][2] == "b:2: no answer in time"


async def test_nobody_hears_of_a_dial_that_is_not_wanted_any_more(tmp_path: Path) -> None:
    core = Core()
    network = HangingNetwork()
    port = quorum_port(core, ensemble_at(tmp_path), network)
    link = QuorumLink(core.outbox, "the leader", core)
    port.dial(DialLeader(link, (("a", 1),), 1000))
    await network.asked.wait()
    link.close()
    port.flush(link)
    port.dial(DialLeader(link, (("a", 1),), 1000))  # closed before it was carried out
    for _turn in range(5):
        await asyncio.sleep(0)
    assert core.heard == []
    assert len(network.places) == 1
    assert all(timer.is_cancelled for timer in core.timers)


async def test_a_port_that_is_taken_is_tried_until_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    place = ("127.0.0.1", port.ensemble.me.addresses[0].quorum_port)
    with socket.socket() as squatter:
        squatter.bind(place)
        squatter.listen()
        port.listen(port.ensemble.me)
        for _attempt in range(REMINDER):
            while not core.timers:
                await asyncio.sleep(0)
            core.fire()
        assert caplog.text.count("cannot listen for learners on 127.0.0.1:") == 1
    while not caplog.messages[-1].startswith("listening for learners on 127.0.0.1:"):
        core.fire()
        await asyncio.sleep(0)
    _, writer = await dial(place[1])
    await core.until_heard("accepted")
    writer.close()
    port.abort()


async def test_a_port_is_given_back_when_the_leader_is_none_any_more(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    async with accepted(port, core) as (link, (reader, _)):
        port.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port.ensemble.me.addresses[0].quorum_port)
        link.send(PING)  # links that are there stay
        port.flush(link)
        assert await reader.readexactly(len(PING)) == PING


async def test_learners_are_taken_where_the_member_is_now(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    me = port.ensemble.me
    (new,) = free_ports(1)
    port.listen(evolve(me, addresses=(evolve(me.addresses[0], quorum_port=new),)))
    _, writer = await dial(new)
    await core.until_heard("accepted")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", me.addresses[0].quorum_port)
    writer.close()
    port.abort()


@pytest.mark.parametrize("has_moved", [False, True])
async def test_a_leader_that_has_moved_waits_a_little_for_its_port(
    tmp_path: Path, has_moved: bool
) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path), HangingNetwork())
    me = port.ensemble.me
    there = evolve(me, addresses=(evolve(me.addresses[0], quorum_port=7),))
    port.listen(there if has_moved else me)
    for attempt in range(1, MOVED_SILENCE + 2):
        while not core.timers:
            await asyncio.sleep(0)
        is_told = not has_moved or attempt > MOVED_SILENCE
        assert len(core.all("listen failed")) == is_told
        core.fire()
    port.abort()


# --- the port for observers -----------------------------------------------------------------------


async def test_observers_are_taken_at_a_port_of_their_own(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    (number,) = free_ports(1)
    me = port.ensemble.me
    port.listen_for_observers(ListenForObservers(me, number))
    reader, writer = await dial(number)
    link = await core.until_heard("observer accepted")
    writer.write(PING)
    assert await core.until_heard("packet") == packets.PING
    port.stop_listening_for_observers()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", number)
    link.send(PING)  # links that are there stay
    port.flush(link)
    assert await reader.readexactly(len(PING)) == PING
    assert core.all("accepted") == []
    writer.close()
    port.abort()


async def test_the_port_for_observers_moves_and_each_port_closes_alone(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    first, second = free_ports(2)
    me = port.ensemble.me
    port.listen(me)
    port.listen_for_observers(ListenForObservers(me, first))
    (await dial(first))[1].close()
    port.listen_for_observers(ListenForObservers(me, second))
    (await dial(second))[1].close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first)
    port.stop_listening()
    (await dial(second))[1].close()
    port.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", second)


async def test_a_port_for_observers_that_is_taken_is_tried_until_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    (number,) = free_ports(1)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", number))
        squatter.listen()
        port.listen_for_observers(ListenForObservers(port.ensemble.me, number))
        while not core.timers:
            await asyncio.sleep(0)
        core.fire()
    assert "cannot listen for observers on 127.0.0.1:" in caplog.text
    assert "choose another port in observerMasterPort" in caplog.text
    while core.timers:
        core.fire()
        await asyncio.sleep(0)
    (await dial(number))[1].close()
    await core.until_heard("observer accepted")
    port.abort()


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_who_connects_while_the_port_closes_is_dropped(
    tmp_path: Path, end: str, turns: int
) -> None:
    """The loop takes some turns from a connection to its protocol; the port may end meanwhile."""
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    number = port.ensemble.me.addresses[0].quorum_port
    port.listen(port.ensemble.me)
    (await dial(number))[1].close()
    await core.until_heard("down")
    with socket.create_connection(("127.0.0.1", number)) as late:
        for _turn in range(turns):
            await asyncio.sleep(0)
        taken = len(core.all("accepted"))
        getattr(port, end)()
        await run_out()
        assert is_closed(late)
    assert len(core.all("accepted")) == taken


@pytest.mark.parametrize("turns", range(8))
async def test_a_dial_that_ends_as_it_succeeds_leaves_no_socket(tmp_path: Path, turns: int) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = QuorumLink(core.outbox, "the leader", core)
        port.dial(DialLeader(link, (listener.getsockname(),), 20_000))
        for _turn in range(turns):
            await asyncio.sleep(0)
        heard = core.all("up")
        port.close()
        await run_out()
        assert core.all("up") == heard
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            other, _ = listener.accept()
            with other:
                assert is_closed(other)


@pytest.mark.parametrize("turns", range(8))
async def test_a_second_dial_is_the_one_that_counts(tmp_path: Path, turns: int) -> None:
    """The first may be about to succeed when it ends."""
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        link = QuorumLink(core.outbox, "the leader", core)
        port.dial(DialLeader(link, (first.getsockname(),), 20_000))
        for _turn in range(turns):
            await asyncio.sleep(0)
        if core.all("up"):
            port.abort()
            return
        port.dial(DialLeader(link, (second.getsockname(),), 20_000))
        await core.until_heard("up")
        await run_out()
        assert core.heard == [("up", link)]
        other, _ = second.accept()
        other.setblocking(False)
        with other:
            assert not is_closed(other)
            port.abort()
            await run_out()
            assert is_closed(other)


async def test_time_that_is_up_as_a_dial_succeeds_ends_no_link(tmp_path: Path) -> None:
    core = Core()
    port = quorum_port(core, ensemble_at(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = QuorumLink(core.outbox, "the leader", core)
        port.dial(DialLeader(link, (listener.getsockname(),), 20_000))
        while not core.all("up"):
            await asyncio.sleep(0)
        core.fire()
        await run_out()
        assert core.heard == [("up", link)]
        port.abort()
        await run_out()
