"""Connections for elections, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, QuorumServer, ServerAddress
from pyzk.errors import ElectionPortError
from pyzk.quorum.commands import DialElection
from pyzk.quorum.election_messages import Address
from pyzk.runtime.dialing import MOVED_SILENCE
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.network import TcpNetwork
from tests.runtime.ports import Core, HangingNetwork, dial, election_port, ensemble_at, quorum_port

pytestmark = pytest.mark.live


async def test_an_election_connection_lives_and_ends(tmp_path: Path) -> None:
    core, other = Core(), Core()
    ensemble = ensemble_at(tmp_path)
    listening = election_port(other, ensemble)
    await listening.listen()
    port = election_port(core, ensemble)
    address = Address("127.0.0.1", ensemble.me.addresses[0].election_port)
    port.dial(DialElection(2, (address,)))
    link = await core.until_heard("election dialed")
    assert link.sid == 2
    # What is ordered together leaves in this order; then the connection ends.
    port.write(link, b"initial")
    port.write(link, b" message")
    port.close_link(link)
    await other.until_heard("election closed")
    received = b"".join(cast("bytes", what[2]) for what in other.all("election received"))
    assert received == b"initial message"
    await core.until_heard("election closed")
    listening.abort()


async def test_a_message_has_been_written_when_the_other_side_takes_it(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    port = election_port(core, ensemble)
    await port.listen()
    reader, writer = await dial(ensemble.me.addresses[0].election_port)
    link = await core.until_heard("election accepted")
    port.write(link, b"small")
    await core.until_heard("election written")
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    large = bytes(32 << 20)
    port.write(link, large)
    for _turn in range(200):
        await asyncio.sleep(0)
    assert len(core.all("election written")) == 1
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    await reader.readexactly(len(b"small") + len(large))
    await core.until_heard("election written", 2)
    writer.close()
    port.abort()


async def test_who_does_not_read_the_last_message_is_cut_off(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    port = election_port(core, ensemble)
    await port.listen()
    reader, writer = await dial(ensemble.me.addresses[0].election_port)
    link = await core.until_heard("election accepted")
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    port.write(link, bytes(32 << 20))
    port.close_link(link)
    await core.until(lambda: core.timers)
    core.fire()
    await core.until_heard("election closed")
    writer.close()
    port.abort()


async def test_a_failed_dial_is_told_each_time_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    core = Core()
    port = election_port(core, ensemble_at(tmp_path))
    (closed,) = free_ports(1)
    for count in (1, 2):
        port.dial(DialElection(3, (Address("127.0.0.1", closed),)))
        assert await core.until_heard("election dial failed", count) == 3
    assert caplog.text.count("server 3 cannot be reached for elections") == 1


async def test_a_dial_takes_no_longer_than_cnx_timeout_allows(tmp_path: Path) -> None:
    core = Core()
    network = HangingNetwork()
    port = election_port(core, ensemble_at(tmp_path), network)
    port.dial(DialElection(3, (Address("a", 1),)))
    await network.asked.wait()
    core.fire()
    assert await core.until_heard("election dial failed") == 3
    # Nor does the end of the server wait for one.
    port.dial(DialElection(2, (Address("b", 1),)))
    network.asked.clear()
    await network.asked.wait()
    port.close()
    for _turn in range(5):
        await asyncio.sleep(0)
    assert core.all("election dial failed") == [("election dial failed", 3)]


class Squatted(HangingNetwork):
    """Somebody has the port at some addresses, for the first attempts."""

    def __init__(self, error: OSError, attempts: int, host: str = "") -> None:
        super().__init__()
        self.error = error
        self.left = attempts
        self.host = host

    async def listen(self, make: object, host: str | None, port: int) -> Any:
        if self.left and self.host in ("", host):
            self.left -= 1
            raise self.error
        return self

    def close(self) -> None:
        """Nothing is open."""


TAKEN = OSError(errno.EADDRINUSE, "Address already in use")


async def fire_a_second(core: Core) -> None:
    """Let one second pass that an attempt waits for."""
    while not core.timers:
        await asyncio.sleep(0)
    assert [timer.seconds for timer in core.timers] == [1.0]
    core.fire()


@pytest.mark.parametrize(("setting", "attempts"), [("", 3), ("electionPortBindRetry=7", 7)])
async def test_an_election_port_that_is_never_free_ends_the_server(
    tmp_path: Path, setting: str, attempts: int
) -> None:
    core = Core()
    port = election_port(core, ensemble_at(tmp_path, setting), Squatted(TAKEN, 99))
    listening = asyncio.ensure_future(port.listen())
    for _attempt in range(attempts - 1):
        await fire_a_second(core)
        assert not listening.done()
    with pytest.raises(ElectionPortError) as caught:
        await listening
    port.abort()
    text = str(caught.value)
    assert re.search(r"^cannot listen for elections on 127\.0\.0\.1:\d+: Address alr", text)
    assert f"tried {attempts} times (electionPortBindRetry; 0: for ever)" in text
    assert "Another process has the port, perhaps this server is running already" in text
    assert text.endswith("on all members, or correct myid if this is another server")


@pytest.mark.parametrize("failures", [1, 2])
async def test_an_election_port_that_is_freed_in_time_is_taken(
    tmp_path: Path, failures: int
) -> None:
    """Three attempts, a second apart: freed after 1.5 s it is free at the third."""
    core = Core()
    port = election_port(core, ensemble_at(tmp_path), Squatted(TAKEN, failures))
    listening = asyncio.ensure_future(port.listen())
    for _attempt in range(failures):
        assert not listening.done()
        await fire_a_second(core)
    await listening
    assert core.failures == core.timers == []
    port.abort()


async def test_no_number_of_attempts_is_for_ever(tmp_path: Path) -> None:
    core = Core()
    extra = "electionPortBindRetry=0"
    port = election_port(core, ensemble_at(tmp_path, extra), HangingNetwork())
    await port.listen()
    for _attempt in range(20):
        await fire_a_second(core)
    assert core.failures == []
    port.close()


@pytest.mark.parametrize("failures", [3, 4])
async def test_one_of_two_addresses_is_enough_and_the_other_is_tried_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failures: int
) -> None:
    ensemble = ensemble_at(tmp_path, "multiAddress.enabled=true")
    (address,) = ensemble.me.addresses
    both = (address, evolve(address, host="b"))
    members = tuple(
        evolve(each, addresses=both) if each.sid == ensemble.my_sid else each
        for each in ensemble.membership.members
    )
    ensemble = evolve(ensemble, membership=evolve(ensemble.membership, members=members))
    caplog.set_level("INFO")
    core = Core()
    port = election_port(core, ensemble, Squatted(TAKEN, failures, "b"))
    listening = asyncio.ensure_future(port.listen())
    for _attempt in range(2):
        await fire_a_second(core)
    await listening
    assert "It goes on with its other addresses" in caplog.text
    for _attempt in range(failures - 2):
        assert not caplog.messages[-1].startswith("listening")
        await fire_a_second(core)
    while not caplog.messages[-1].startswith("listening for elections on b:"):
        await asyncio.sleep(0)
    port.abort()


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "the name 127.0.0.1 is not known here (Name or service not known)",
            "correct server.1 on all members, or what looks names up (/etc/hosts, DNS)",
        ),
        (
            OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address", "10.0.0.1:3888"),
            "Cannot assign requested address (10.0.0.1:3888)",
            "this machine does not have the address in server.1: correct it on all members",
        ),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied", "below 1024"),
        (OSError(errno.EPERM, "Not permitted"), "Not permitted", "correct server.1 on all members"),
    ],
)
async def test_what_is_wrong_with_an_election_port_is_said_with_what_to_do(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
    reason: str,
    remedy: str,
) -> None:
    port = election_port(
        Core(), ensemble_at(tmp_path, "electionPortBindRetry=1"), Squatted(error, 9)
    )
    with pytest.raises(ElectionPortError, match="tried once") as caught:
        await port.listen()
    for text in (str(caught.value), caplog.text):
        assert reason in text
        assert remedy.lower() in text.lower()
        assert "another process" not in text.lower()
    port.abort()


async def test_a_bug_while_the_election_port_is_opened_is_no_port_that_is_taken(
    tmp_path: Path,
) -> None:
    class Broken(HangingNetwork):
        async def listen(self, make: object, host: str | None, port: int) -> Any:
            raise ValueError("boom")

    port = election_port(Core(), ensemble_at(tmp_path), Broken())
    with pytest.raises(ValueError, match="boom"):
        await port.listen()


@pytest.mark.parametrize("is_everywhere", [False, True])
async def test_the_ports_are_open_where_the_configuration_says(
    tmp_path: Path, is_everywhere: bool
) -> None:
    class Noting(HangingNetwork):
        async def listen(self, make: object, host: str | None, port: int) -> Any:
            self.places.append((str(host), port))
            return TcpNetwork  # has a close that nobody calls

    core = Core()
    network = Noting()
    extra = f"quorumListenOnAllIPs={str(is_everywhere).lower()}"
    ensemble = ensemble_at(tmp_path, extra)
    await election_port(core, ensemble, network).listen()
    quorum_port(core, ensemble, network).listen(ensemble.me)
    await asyncio.sleep(0)
    host = "None" if is_everywhere else "127.0.0.1"
    address = ensemble.me.addresses[0]
    assert network.places == [(host, address.election_port), (host, address.quorum_port)]


# --- another address while the server runs ----------------------------------------------


def at_ports(ensemble: EnsembleConfig, *ports: int) -> QuorumServer:
    """Return this member at other ports: for each address a quorum and an election port."""
    addresses = [
        ServerAddress(f"127.0.0.{at + 1}", ports[2 * at], ports[2 * at + 1])
        for at in range(len(ports) // 2)
    ]
    return evolve(ensemble.me, addresses=tuple(addresses))


async def is_open(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_an_election_port_moves_and_its_links_stay(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    port = election_port(core, ensemble)
    await port.listen()
    old = ensemble.me.addresses[0].election_port
    reader, writer = await dial(old)
    link = await core.until_heard("election accepted")
    quorum, new = free_ports(2)
    port.move(at_ports(ensemble, quorum, new))
    _, other = await dial(new)
    await core.until_heard("election accepted", 2)
    assert not await is_open("127.0.0.1", old)
    port.write(link, b"still")
    assert await reader.readexactly(5) == b"still"
    writer.close()
    other.close()
    port.abort()


async def test_an_election_port_that_stays_is_not_closed(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    port = election_port(core, ensemble)
    await port.listen()
    (before,) = port._listening
    quorum, other = free_ports(2)
    mine = ensemble.me.addresses[0].election_port
    # The quorum port moves, and there is a second address.
    port.move(at_ports(ensemble, quorum, mine, quorum, other))
    assert port._listening[0] is before
    while not await is_open("127.0.0.2", other):
        await asyncio.sleep(0)
    assert await is_open("127.0.0.1", mine)
    port.move(ensemble.me)
    assert port._listening == [before]
    assert not await is_open("127.0.0.2", other)
    port.abort()


async def test_attempts_to_dial_end_when_the_port_moves(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    network = HangingNetwork()
    port = election_port(core, ensemble, network)
    port.dial(DialElection(2, (Address("h", 1),)))
    await network.asked.wait()
    port.move(ensemble.me)
    for _turn in range(10):
        await asyncio.sleep(0)
    assert core.all("election dial failed") == []
    port.abort()


async def test_two_members_that_swap_their_ports_say_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core, other_core = Core(), Core()
    ensemble = ensemble_at(tmp_path)
    quorum, second = free_ports(2)
    there = at_ports(ensemble, quorum, second)
    port = election_port(core, ensemble)
    other = election_port(other_core, evolve(ensemble, membership=Membership((there,))))
    await port.listen()
    await other.listen()
    port.move(there)
    while not core.timers:  # the other still has it
        await asyncio.sleep(0)
    other.move(ensemble.me)
    while not all(each._listener for each in (*port._listening, *other._listening)):
        core.fire()
        other_core.fire()
        await asyncio.sleep(0)
    assert caplog.messages == []
    _, writer = await dial(second)
    await core.until_heard("election accepted")
    writer.close()
    port.abort()
    other.abort()


async def test_another_port_that_stays_taken_is_said_after_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path)
    port = election_port(core, ensemble, HangingNetwork())
    port.move(at_ports(ensemble, 1, 2))
    for attempt in range(1, MOVED_SILENCE + 2):
        while not core.timers:
            await asyncio.sleep(0)
        assert len(caplog.messages) == (attempt > MOVED_SILENCE)
        core.fire()
    assert "choose another port in server.1 on all members" in caplog.text
    port.abort()


async def test_all_addresses_of_the_machine_stay_all_of_them(tmp_path: Path) -> None:
    core = Core()
    ensemble = ensemble_at(tmp_path, extra="quorumListenOnAllIPs=true")
    port = election_port(core, ensemble)
    await port.listen()
    (before,) = port._listening
    moved = evolve(ensemble.me, addresses=(evolve(ensemble.me.addresses[0], host="127.0.0.9"),))
    port.move(moved)
    assert port._listening == [before]
    port.abort()
