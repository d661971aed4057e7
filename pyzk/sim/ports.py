"""The three ports of a machine: where it listens, whom it dials, and what comes on its sockets.

Pure. A machine has several names (`settings.host_of`), and its program listens at those that its
configuration gives it, or at all. What another configuration changes takes a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, Protocol

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import WILDCARD, QuorumServer
from pyzk.quorum.commands import (
    DialElection,
    DialLeader,
    ListenForClients,
    ListenForElections,
    ListenForLearners,
    ListenForObservers,
    StorageCommand,
)
from pyzk.quorum.election_link import ElectionLink
from pyzk.quorum.link import QuorumLink
from pyzk.server.arrival import Arrival
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outgoing
from pyzk.sim.checks import Checks, Watched
from pyzk.sim.network import CLIENT, ELECTION, OBSERVERS, QUORUM, Door, Host, Socket
from pyzk.sim.surroundings import Surroundings

TAKE_BYTES: Final = 1 << 14
WRITTEN_US: Final = 20
REBIND_US: Final = 5000
"""The longest time until a port is open at another address."""


class PortsWorld(Surroundings, Protocol):
    """What the ports ask of the world."""

    checks: Checks

    def machine_at(self, host: str) -> Host:
        """Returns the machine with this name."""
        ...


class PortsMachine(Watched, Host, Protocol):
    """The machine behind the ports."""

    rng: Random
    connections: dict[Connection, None]

    @property
    def world(self) -> PortsWorld: ...

    def step(self) -> None:
        """Begins an effect; ends the program if a crash falls before it."""
        ...

    def order(self, command: StorageCommand) -> None:
        """Hands a command to the disk, which may end the program."""
        ...

    def act(self, call: Callable[..., object], *arguments: object) -> None:
        """Gives the peer an input, and has the driver carry out what comes of it."""
        ...

    def later(self, delay_us: int, action: Callable[[], object]) -> None:
        """Calls ``action`` after this delay, unless the program has ended by then."""
        ...


class MemberPorts:
    """The effects of `quorum.contract.MemberEffects`."""

    def __init__(self, machine: PortsMachine) -> None:
        self._machine = machine
        self._at: dict[str, tuple[tuple[str, int], ...]] = {}
        """Kind of door -> (name, port) of those that are open; WILDCARD stands for all names."""
        self._moves = 0
        """Counts the orders to open the election port anew, which end what is being dialed."""
        self._client_port = 0
        self._wanted: dict[str, int] = {}
        """Kind of door -> how often it was ordered elsewhere: only the last order counts."""

    def close(self) -> None:
        """Closes everything, as the end of the program does."""
        self._at = {}

    def open(self, ensemble: EnsembleConfig) -> None:
        """Opens what a program opens when it starts."""
        self._is_everywhere = ensemble.quorum_listen_on_all_ips
        self._observer_master_port = ensemble.observer_master_port
        self._cnx_timeout_us = ensemble.cnx_timeout_ms * 1000
        self._client_port = 40_000 + 1000 * self._machine.life
        self._listen(ELECTION, _election_ports(ensemble.me))
        address = ensemble.client_address
        self._at[CLIENT] = () if address is None else (address,)

    def _listen(self, kind: str, places: Sequence[tuple[str, int]]) -> None:
        if self._is_everywhere:
            places = [(WILDCARD, port) for _, port in places]
        self._at[kind] = tuple(places)

    def places(self, kind: str) -> tuple[tuple[str, int], ...]:
        """Returns where the machine listens for this kind of connection."""
        return self._at.get(kind, ())

    def accepts(self, door: Door) -> bool:
        """Tells whether the program listens there."""
        return self.accepts_at(door.kind, door.host, door.port)

    def accepts_at(self, kind: str, host: str, port: int) -> bool:
        """Tells whether the program listens for this kind of connection at a name and a port."""
        places = self.places(kind)
        return (host, port) in places or (WILDCARD, port) in places

    def are_at(self, line: QuorumServer) -> bool:
        """Tells whether the program listens for elections and clients where a line says."""
        if not all(self.accepts_at(ELECTION, *place) for place in _election_ports(line)):
            return False
        places = self.places(CLIENT)
        return places == ((line.client_host, line.client_port),) or line.client_port is None

    # --- orders ---------------------------------------------------------------------

    def order(self, command: StorageCommand) -> None:
        """Hands a command to the disk."""
        self._machine.order(command)

    def listen_for_learners(self, command: ListenForLearners) -> None:
        """Opens the quorum port."""
        self._machine.step()
        self._listen(QUORUM, [(each.host, each.quorum_port) for each in command.server.addresses])

    def stop_listening(self) -> None:
        """Closes the quorum port."""
        self._machine.step()
        self._at.pop(QUORUM, None)

    def listen_for_observers(self, command: ListenForObservers) -> None:
        """Opens the port of an observer master."""
        self._machine.step()
        self._listen(OBSERVERS, [(each.host, command.port) for each in command.server.addresses])

    def stop_listening_for_observers(self) -> None:
        """Closes the port of an observer master."""
        self._machine.step()
        self._at.pop(OBSERVERS, None)

    def listen_for_elections(self, command: ListenForElections) -> None:
        """Opens the election port elsewhere, and gives up what is being dialed."""
        self._machine.step()
        self._moves += 1
        self._reopen(ELECTION, partial(self._listen, ELECTION, _election_ports(command.server)))

    def listen_for_clients(self, command: ListenForClients) -> None:
        """Opens the client port elsewhere."""
        self._machine.step()
        places = ((command.host, command.port),)
        self._reopen(CLIENT, partial(self._at.__setitem__, CLIENT, places))

    def _reopen(self, kind: str, opened: Callable[[], object]) -> None:
        machine = self._machine
        self._at.pop(kind, None)
        wanted = self._wanted[kind] = self._wanted.get(kind, 0) + 1

        def rebound() -> None:
            if self._wanted[kind] == wanted:
                opened()

        machine.later(machine.rng.randrange(REBIND_US), rebound)

    # --- the quorum port ------------------------------------------------------------

    def dial_leader(self, command: DialLeader) -> None:
        """Connects to the leader or to an observer master."""
        self._machine.step()
        link = command.link
        inputs = self._machine.inputs

        def done(socket: Socket | None) -> None:
            if socket is None:
                self._machine.act(inputs.link_down, link, "connection refused or timed out")
                return
            if link.is_closed:
                socket.close()
                return
            socket.owner = self._of_quorum(link)
            link.shell = socket
            self._machine.act(inputs.link_up, link)

        is_master = command.addresses[0][1] == self._observer_master_port
        kind = OBSERVERS if is_master else QUORUM
        self._dial(kind, command.addresses, command.timeout_ms * 1000, done)

    def _dial(
        self,
        kind: str,
        addresses: Sequence[tuple[str, int]],
        timeout_us: int,
        done: Callable[[Socket | None], None],
    ) -> None:
        """Tries the addresses in turn."""
        machine = self._machine
        world = machine.world
        (host, port), *others = addresses

        def dialed(socket: Socket | None) -> None:
            if socket is None and others:
                self._dial(kind, others, timeout_us, done)
            else:
                done(socket)

        door = Door(kind, host, port)
        world.network.dial(machine, world.machine_at(host), door, timeout_us, dialed)

    def send(self, link: Outgoing) -> None:
        """Writes to a link of the quorum port."""
        assert isinstance(link, QuorumLink), link
        self._machine.step()
        self._flush_link(link)

    def _flush_link(self, link: QuorumLink) -> None:
        socket = link.shell
        if not isinstance(socket, Socket) or socket.is_closed:
            return
        socket.pause_reading(link.is_paused)
        while link.has_output and (room := socket.room) > 0:
            data = link.take(min(room, TAKE_BYTES))
            if data:
                socket.send(data)
                self._machine.world.checks.sent(self._machine, socket, data)
        if link.has_output:
            socket.is_full = True
        elif link.is_closed:
            socket.close()

    # --- the election port ----------------------------------------------------------

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        """Writes to an election link."""
        machine = self._machine
        machine.step()
        socket = link.shell
        if isinstance(socket, Socket) and not socket.is_closed:
            socket.send(data)
            written = partial(self._written, link, socket)
            machine.later(WRITTEN_US, partial(machine.input, written))

    def close_election(self, link: ElectionLink) -> None:
        """Closes an election link."""
        self._machine.step()
        socket = link.shell
        if isinstance(socket, Socket):
            socket.close()

    def _written(self, link: ElectionLink, socket: Socket) -> None:
        if not socket.is_closed:
            self._machine.act(self._machine.inputs.election_written, link)

    def dial_election(self, dial: DialElection) -> None:
        """Connects to the election port of another member."""
        machine = self._machine
        machine.step()
        moves = self._moves

        def done(socket: Socket | None) -> None:
            if moves != self._moves:
                if socket is not None:
                    socket.close()
                return
            if socket is None:
                machine.act(machine.inputs.election_dial_failed, dial.sid)
                return

            def dialed() -> None:
                link = machine.inputs.election_dialed(dial.sid, f"h{dial.sid}")
                link.shell = socket
                socket.owner = self._of_election(link)

            machine.act(dialed)

        self._dial(ELECTION, dial.addresses, self._cnx_timeout_us, done)

    # --- whoever connects -----------------------------------------------------------

    def accepted(self, door: Door, socket: Socket) -> None:
        """Takes a connection that has come; an input of the machine."""
        if door.kind == CLIENT:
            self._accept_client(socket)
        elif door.kind == QUORUM:
            self._accept_learner(socket, self._machine.inputs.link_accepted(socket.name))
        elif door.kind == OBSERVERS:
            self._accept_learner(socket, self._machine.inputs.observer_accepted(socket.name))
        else:
            link = self._machine.inputs.election_accepted(socket.name)
            link.shell = socket
            socket.owner = self._of_election(link)

    def _accept_client(self, socket: Socket) -> None:
        machine = self._machine
        self._client_port += 1
        arrival = Arrival(f"10.0.0.{socket.peer.host.key}", self._client_port)
        connection = machine.peer.accept(arrival)
        if connection is None:
            socket.close()
            return
        connection.shell = socket
        socket.owner = SocketOwner(machine, connection.receive, lambda _: connection.closed())
        machine.connections[connection] = None

    def _accept_learner(self, socket: Socket, link: QuorumLink | None) -> None:
        if link is None:
            socket.close()
            return
        link.shell = socket
        socket.owner = self._of_quorum(link)

    def _of_quorum(self, link: QuorumLink) -> SocketOwner:
        inputs = self._machine.inputs
        return SocketOwner(
            self._machine,
            partial(inputs.link_received, link),
            partial(inputs.link_down, link),
            partial(self._flush_link, link),
        )

    def _of_election(self, link: ElectionLink) -> SocketOwner:
        inputs = self._machine.inputs
        received = partial(inputs.election_received, link)
        return SocketOwner(self._machine, received, lambda _: inputs.election_closed(link))


def _election_ports(server: QuorumServer) -> list[tuple[str, int]]:
    return [(each.host, each.election_port) for each in server.addresses]


class SocketOwner:
    """What a connection or a link does with the socket behind it."""

    def __init__(
        self,
        machine: PortsMachine,
        received: Callable[[bytes], object],
        ended: Callable[[str], object],
        writable: Callable[[], object] | None = None,
    ) -> None:
        self._machine = machine
        self._received = received
        self._ended = ended
        self._writable = writable

    def received(self, socket: Socket, data: bytes) -> None:
        self._machine.act(self._received, data)

    def ended(self, socket: Socket, reason: str) -> None:
        self._machine.act(self._ended, reason)

    def writable(self, socket: Socket) -> None:
        if self._writable is not None:
            self._writable()
