"""The two ports of a member on real sockets, between a core that is faked and peers that behave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pyzk.config_ensemble import EnsembleConfig
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import DialLeader
from pyzk.quorum.election_links import Dial as DialOrder
from pyzk.quorum.election_links import ElectionLink, ElectionLinks, LinkState
from pyzk.quorum.election_messages import Address
from pyzk.quorum.link import Link
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.runtime import network as networks
from pyzk.runtime.dialing import REMINDER, Listening
from pyzk.runtime.election_port import ElectionPort
from pyzk.runtime.loop import LOOPS, loop_factory
from pyzk.runtime.network import TcpNetwork
from pyzk.runtime.quorum_port import HIGH_WATER_BYTES, QuorumPort
from pyzk.server.outbox import Outbox
from tests.runtime.members import ensemble_of, free_ports, member_config, run

pytestmark = pytest.mark.live

PING = packets.encode_bare(packets.PING, 5)


class FakeTimer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Core:
    """Runner and peer of a member, as far as its ports look at them."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.timers: list[FakeTimer] = []
        self.outbox = Outbox()
        self.accepted: list[Link] = []
        self.is_leading = True
        self.failures: list[object] = []
        self._changed = asyncio.Event()

    # --- as the runner

    def take_in(self, source: str, what: object, call: Callable[[], object]) -> None:
        call()

    def guard(self, call: Callable[[], None]) -> None:
        call()

    def call_later(self, seconds: float, call: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(call)
        self.timers.append(timer)
        return timer

    def fire(self) -> None:
        """Let all time pass that anybody waits for."""
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.is_cancelled:
                timer.call()

    def fail(self, error: Exception) -> None:
        self.failures.append(error)
        self._changed.set()

    def fail_to_listen(self, reason: str) -> None:
        self.failures.append(reason)
        self._changed.set()

    # --- as the peer

    def tell(self, *what: object) -> None:
        self.heard.append(what)
        self._changed.set()

    def link_accepted(self, name: str) -> Link | None:
        if not self.is_leading:
            self.tell("refused")
            return None
        link = Link(self.outbox, name, self)
        self.accepted.append(link)
        self.tell("accepted", link)
        return link

    def link_up(self, link: Link) -> None:
        self.tell("up", link)

    def link_received(self, link: Link, data: bytes) -> None:
        link.receive(data)

    def link_down(self, link: Link, reason: str) -> None:
        self.tell("down", link, reason)
        link.is_closed = True

    def election_accepted(self, name: str) -> ElectionLink:
        link = ElectionLink(name, LinkState.GREETING, None)
        self.tell("election accepted", link)
        return link

    def election_dialed(self, sid: int, name: str) -> ElectionLink:
        link = ElectionLink(name, LinkState.UP, sid)
        self.tell("election dialed", link)
        return link

    def election_dial_failed(self, sid: int) -> None:
        self.tell("election dial failed", sid)

    def election_received(self, link: ElectionLink, chunk: bytes) -> None:
        self.tell("election received", link, chunk)

    def election_written(self, link: ElectionLink) -> None:
        self.tell("election written", link)

    def election_closed(self, link: ElectionLink) -> None:
        self.tell("election closed", link)

    # --- as the owner of its links

    def packet(self, link: Link, packet: QuorumPacket) -> None:
        self.tell("packet", packet.type)

    def snapshot_part(self, link: Link, part: SnapshotPart) -> None:
        raise AssertionError(part)

    # --- for the tests

    async def until(self, done: Callable[[], object]) -> None:
        while not done():
            self._changed.clear()
            await self._changed.wait()

    async def until_heard(self, kind: str, count: int = 1) -> Any:
        """Return what came with it: the link, mostly."""
        await self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1][1] if len(self.all(kind)[count - 1]) > 1 else None

    def all(self, kind: str) -> list[tuple[object, ...]]:
        return [what for what in self.heard if what[0] == kind]


class HangingNetwork:
    """Nobody answers; who listens has the port."""

    def __init__(self) -> None:
        self.places: list[tuple[str, int]] = []
        self.asked = asyncio.Event()

    async def connect(self, make: object, host: str, port: int) -> None:
        self.places.append((host, port))
        self.asked.set()
        await asyncio.Event().wait()

    async def listen(self, make: object, host: str | None, port: int) -> Any:
        raise OSError(98, "Address already in use")

    async def check(self, host: str) -> None:
        return


def ensemble_at(directory: Path, extra: str = "") -> EnsembleConfig:
    return ensemble_of(member_config(directory, ports=free_ports(9), extra=extra))


def quorum_port(core: Core, ensemble: EnsembleConfig, network: object = None) -> QuorumPort:
    everything = cast("Any", core)
    return QuorumPort(everything, everything, ensemble, cast("Any", network or TcpNetwork()))


def election_port(core: Core, ensemble: EnsembleConfig, network: object = None) -> ElectionPort:
    everything = cast("Any", core)
    return ElectionPort(everything, everything, ensemble, cast("Any", network or TcpNetwork()))


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def accepted(port: QuorumPort, core: Core) -> AsyncIterator[tuple[Link, Streams]]:
    """A link that somebody dialed to us."""
    port.listen()
    reader, writer = await dial(port.ensemble.me.addresses[0].quorum_port)
    link = await core.until_heard("accepted")
    try:
        yield link, (reader, writer)
    finally:
        writer.close()
        port.abort()
        await asyncio.sleep(0)


async def dial(port: int) -> Streams:
    while True:  # until somebody listens there
        with contextlib.suppress(ConnectionRefusedError):
            return await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        await asyncio.sleep(0)


# --- the quorum port ------------------------------------------------------------------


def test_packets_of_a_learner_arrive_and_answers_leave(tmp_path: Path) -> None:
    async def main() -> None:
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

    run(main())


def test_who_does_not_lead_takes_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        core.is_leading = False
        port = quorum_port(core, ensemble_at(tmp_path))
        port.listen()
        reader, writer = await dial(port.ensemble.me.addresses[0].quorum_port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        port.stop_listening()

    run(main())


def test_a_snapshot_is_made_as_fast_as_the_learner_reads(tmp_path: Path) -> None:
    made = 0

    def snapshot() -> Iterator[bytes]:
        nonlocal made
        for _ in range(640):
            made += 1
            yield bytes(1 << 17)

    async def main() -> None:
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

    run(main())


def test_a_closed_link_ends_behind_its_last_byte(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        port = quorum_port(core, ensemble_at(tmp_path))
        async with accepted(port, core) as (link, (reader, _)):
            link.send(bytes(20 << 20))
            link.send(PING)
            link.close()
            port.flush(link)
            data = await reader.read(-1)
            assert len(data) == (20 << 20) + len(PING)

    run(main())


def test_who_does_not_take_the_last_bytes_loses_them(tmp_path: Path) -> None:
    async def main() -> None:
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

    run(main())


def test_a_leader_is_reached_at_the_address_that_answers(tmp_path: Path) -> None:
    async def main() -> None:
        core, other = Core(), Core()
        ensemble = ensemble_at(tmp_path)
        listening = quorum_port(other, ensemble)
        listening.listen()
        _, probe = await dial(ensemble.me.addresses[0].quorum_port)
        probe.close()
        (closed,) = free_ports(1)
        addresses = (("127.0.0.1", closed), ("localhost", ensemble.me.addresses[0].quorum_port))
        port = quorum_port(core, ensemble)
        link = Link(core.outbox, "the leader", core)
        link.send(PING)
        port.dial(DialLeader(link, addresses, 20_000))
        assert await core.until_heard("up") is link
        port.flush(link)
        assert await other.until_heard("packet") == packets.PING
        port.close()
        await other.until_heard("down", 2)
        listening.abort()

    run(main())


def test_a_leader_that_cannot_be_reached_is_told_with_the_reason(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        port = quorum_port(core, ensemble_at(tmp_path))
        (closed,) = free_ports(1)
        link = Link(core.outbox, "the leader", core)
        port.dial(DialLeader(link, (("127.0.0.1", closed),), 20_000))
        assert await core.until_heard("down") is link
        assert f"127.0.0.1:{closed}: " in str(core.all("down")[0][2])
        nobody = Link(core.outbox, "nobody", core)
        port.dial(DialLeader(nobody, (("no.such.host.invalid", 1),), 20_000))
        assert await core.until_heard("down", 2) is nobody
        assert "no.such.host.invalid:1: " in str(core.all("down")[1][2])

    run(main())


def test_an_address_that_does_not_answer_leaves_time_for_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        network = HangingNetwork()
        port = quorum_port(core, ensemble_at(tmp_path), network)
        link = Link(core.outbox, "the leader", core)
        port.dial(DialLeader(link, (("a", 1), ("b", 2)), 1000))
        for count in (1, 2):
            await network.asked.wait()
            network.asked.clear()
            assert len(network.places) == count
            core.fire()
        assert await core.until_heard("down") is link
        assert core.all("down")[0][2] == "b:2: no answer in time"

    run(main())


def test_nobody_hears_of_a_dial_that_is_not_wanted_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        network = HangingNetwork()
        port = quorum_port(core, ensemble_at(tmp_path), network)
        link = Link(core.outbox, "the leader", core)
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

    run(main())


def test_a_port_that_is_taken_is_tried_until_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        core = Core()
        port = quorum_port(core, ensemble_at(tmp_path))
        place = ("127.0.0.1", port.ensemble.me.addresses[0].quorum_port)
        with socket.socket() as squatter:
            squatter.bind(place)
            squatter.listen()
            port.listen()
            for _attempt in range(REMINDER):
                while not core.timers:
                    await asyncio.sleep(0)
                core.fire()
            assert caplog.text.count("cannot listen for learners on 127.0.0.1:") == 1
        while "listening for learners" not in caplog.text:
            core.fire()
            await asyncio.sleep(0)
        _, writer = await dial(place[1])
        await core.until_heard("accepted")
        writer.close()
        port.abort()

    caplog.set_level("INFO")
    run(main())


def test_a_port_is_given_back_when_the_leader_is_none_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        port = quorum_port(core, ensemble_at(tmp_path))
        async with accepted(port, core) as (link, (reader, _)):
            port.stop_listening()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(
                    "127.0.0.1", port.ensemble.me.addresses[0].quorum_port
                )
            link.send(PING)  # links that are there stay
            port.flush(link)
            assert await reader.readexactly(len(PING)) == PING

    run(main())


# --- the election port ----------------------------------------------------------------


class Orders:
    """What `ElectionLinks` has for the driver."""

    def __init__(self) -> None:
        self.dials: list[DialOrder] = []
        self.writes: list[tuple[ElectionLink, bytes]] = []
        self.closes: list[ElectionLink] = []

    def given(self) -> ElectionLinks:
        return cast("ElectionLinks", self)


def test_an_election_connection_lives_and_ends(tmp_path: Path) -> None:
    async def main() -> None:
        core, other, orders = Core(), Core(), Orders()
        ensemble = ensemble_at(tmp_path)
        listening = election_port(other, ensemble)
        await listening.listen()
        port = election_port(core, ensemble)
        orders.dials.append(
            DialOrder(2, (Address("127.0.0.1", ensemble.me.addresses[0].election_port),))
        )
        port.drain(orders.given())
        assert orders.dials == []
        link = await core.until_heard("election dialed")
        assert link.sid == 2
        # What is ordered together leaves in this order; then the connection ends.
        orders.writes += [(link, b"initial"), (link, b" message")]
        orders.closes.append(link)
        port.drain(orders.given())
        await other.until_heard("election closed")
        received = b"".join(cast("bytes", what[2]) for what in other.all("election received"))
        assert received == b"initial message"
        await core.until_heard("election closed")
        listening.abort()

    run(main())


def test_a_message_has_been_written_when_the_other_side_takes_it(tmp_path: Path) -> None:
    async def main() -> None:
        core, orders = Core(), Orders()
        ensemble = ensemble_at(tmp_path)
        port = election_port(core, ensemble)
        await port.listen()
        reader, writer = await dial(ensemble.me.addresses[0].election_port)
        link = await core.until_heard("election accepted")
        orders.writes.append((link, b"small"))
        port.drain(orders.given())
        await core.until_heard("election written")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        large = bytes(32 << 20)
        orders.writes.append((link, large))
        port.drain(orders.given())
        for _turn in range(200):
            await asyncio.sleep(0)
        assert len(core.all("election written")) == 1
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        await reader.readexactly(len(b"small") + len(large))
        await core.until_heard("election written", 2)
        writer.close()
        port.abort()

    run(main())


def test_who_does_not_read_the_last_message_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        core, orders = Core(), Orders()
        ensemble = ensemble_at(tmp_path)
        port = election_port(core, ensemble)
        await port.listen()
        reader, writer = await dial(ensemble.me.addresses[0].election_port)
        link = await core.until_heard("election accepted")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        orders.writes.append((link, bytes(32 << 20)))
        orders.closes.append(link)
        port.drain(orders.given())
        await core.until(lambda: core.timers)
        core.fire()
        await core.until_heard("election closed")
        writer.close()
        port.abort()

    run(main())


def test_a_failed_dial_is_told_each_time_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        core, orders = Core(), Orders()
        port = election_port(core, ensemble_at(tmp_path))
        (closed,) = free_ports(1)
        for count in (1, 2):
            orders.dials.append(DialOrder(3, (Address("127.0.0.1", closed),)))
            port.drain(orders.given())
            assert await core.until_heard("election dial failed", count) == 3
        assert caplog.text.count("server 3 cannot be reached for elections") == 1

    caplog.set_level("INFO")
    run(main())


def test_a_dial_takes_no_longer_than_cnx_timeout_allows(tmp_path: Path) -> None:
    async def main() -> None:
        core, orders = Core(), Orders()
        network = HangingNetwork()
        port = election_port(core, ensemble_at(tmp_path), network)
        orders.dials.append(DialOrder(3, (Address("a", 1),)))
        port.drain(orders.given())
        await network.asked.wait()
        core.fire()
        assert await core.until_heard("election dial failed") == 3
        # Nor does the end of the server wait for one.
        orders.dials.append(DialOrder(2, (Address("b", 1),)))
        port.drain(orders.given())
        network.asked.clear()
        await network.asked.wait()
        port.close()
        for _turn in range(5):
            await asyncio.sleep(0)
        assert core.all("election dial failed") == [("election dial failed", 3)]

    run(main())


@pytest.mark.parametrize(("setting", "attempts"), [("", 3), ("electionPortBindRetry=7", 7)])
def test_an_election_port_that_is_never_free_ends_the_server(
    tmp_path: Path, setting: str, attempts: int
) -> None:
    async def main() -> None:
        core = Core()
        port = election_port(core, ensemble_at(tmp_path, setting), HangingNetwork())
        await port.listen()
        for _attempt in range(attempts - 1):
            assert core.failures == []
            while not core.timers:
                await asyncio.sleep(0)
            core.fire()
        await core.until(lambda: core.failures)
        assert "cannot listen for elections on 127.0.0.1:" in str(core.failures[0])

    run(main())


def test_no_number_of_attempts_is_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        core = Core()
        extra = "electionPortBindRetry=0"
        port = election_port(core, ensemble_at(tmp_path, extra), HangingNetwork())
        await port.listen()
        for _attempt in range(20):
            while not core.timers:
                await asyncio.sleep(0)
            core.fire()
        assert core.failures == []
        port.close()

    run(main())


@pytest.mark.parametrize("is_everywhere", [False, True])
def test_the_ports_are_open_where_the_configuration_says(
    tmp_path: Path, is_everywhere: bool
) -> None:
    class Noting(HangingNetwork):
        async def listen(self, make: object, host: str | None, port: int) -> Any:
            self.places.append((str(host), port))
            return TcpNetwork  # has a close that nobody calls

    async def main() -> None:
        core = Core()
        network = Noting()
        extra = f"quorumListenOnAllIPs={str(is_everywhere).lower()}"
        ensemble = ensemble_at(tmp_path, extra)
        await election_port(core, ensemble, network).listen()
        quorum_port(core, ensemble, network).listen()
        await asyncio.sleep(0)
        host = "None" if is_everywhere else "127.0.0.1"
        address = ensemble.me.addresses[0]
        assert network.places == [(host, address.election_port), (host, address.quorum_port)]

    run(main())


# --- names ----------------------------------------------------------------------------


def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    answer = threading.Event()
    real = networks._lookup

    def lookup(host: str, port: int, flags: int) -> Any:
        if flags:
            return real(host, port, flags)
        asked.append(host)
        answer.wait(10)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(networks, "_lookup", lookup)

    async def main() -> None:
        network = TcpNetwork()
        waiting = [asyncio.ensure_future(network.check("slow.example")) for _ in range(3)]
        given_up = waiting.pop()
        for _turn in range(5):
            await asyncio.sleep(0)
        given_up.cancel()
        await network.check("127.0.0.1")  # no name, nobody is asked
        assert not any(task.done() for task in waiting)
        answer.set()
        for task in waiting:
            with pytest.raises(OSError, match="Temporary failure"):
                await task
        assert asked == ["slow.example"]
        with pytest.raises(OSError, match="Temporary failure"):
            await network.check("slow.example")
        assert len(asked) == 2  # anew each time

    run(main())


def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback the system may choose, for the near end, the very port that is dialed."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        (port,) = free_ports(1)
        connect = loop.create_connection

        async def from_the_same_port(make: Any, host: str, number: int) -> Any:
            return await connect(make, host, number, local_addr=(host, number))

        monkeypatch.setattr(loop, "create_connection", from_the_same_port)
        with pytest.raises(ConnectionRefusedError):
            await TcpNetwork().connect(pytest.fail, "127.0.0.1", port)

    run(main())


@pytest.mark.parametrize("name", LOOPS[1:])
def test_a_connection_that_is_closed_at_once_closes_no_other_file(
    tmp_path: Path, name: str
) -> None:
    """A knock on the election port: hello, and the end of it."""
    if name == "uvloop":
        pytest.importorskip("uvloop")
    opened: list[int] = []

    def open_one() -> None:
        opened.append(os.open(tmp_path, os.O_RDONLY))

    class Knock(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()
            asyncio.get_running_loop().call_soon(open_one)

    async def main() -> None:
        port = free_ports(1)[0]
        network = TcpNetwork()
        listener = await network.listen(asyncio.Protocol, "127.0.0.1", port)
        for _ in range(20):
            await network.connect(Knock, "127.0.0.1", port)
        listener.close()

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        runner.run(main())
    assert len(opened) == 20
    for descriptor in opened:
        os.close(descriptor)  # an OSError if somebody else did


def test_a_listener_that_comes_too_late_is_closed() -> None:
    async def main() -> None:
        core = Core()
        gate = asyncio.Event()
        closed = []

        class Late(HangingNetwork):
            async def listen(self, make: object, host: str | None, port: int) -> Any:
                with contextlib.suppress(asyncio.CancelledError):
                    await gate.wait()
                return self

            def close(self) -> None:
                closed.append(True)

        listening = Listening(
            cast("Any", core), cast("Any", Late()), asyncio.Protocol, "a", 1, "learners"
        )
        listening.start()
        await asyncio.sleep(0)
        listening.close()
        for _turn in range(5):
            await asyncio.sleep(0)
        assert closed == [True]

    run(main())
