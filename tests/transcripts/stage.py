"""The stage on which transcripts are played: real members, a manual network, manual disks.

Nothing arrives, becomes durable or falls due unless a command says so. Each input is a line, and
what the member puts out in answer to it are the indented lines below: a step that comes too early
stands below the wrong line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import attrs

from pyzk.clock import Clock
from pyzk.config.ensemble import EnsembleConfig, parse_ensemble
from pyzk.config.server import ServerConfig, parse_config
from pyzk.config.settings import Settings
from pyzk.config.start_files import StartFiles
from pyzk.data.database import Database
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.quorum.commands import (
    DialElection,
    DialLeader,
    ListenForClients,
    ListenForElections,
    ListenForLearners,
    ListenForObservers,
    StorageCommand,
)
from pyzk.quorum.election import Decision
from pyzk.quorum.election_link import ElectionLink
from pyzk.quorum.epochs import load_epochs
from pyzk.quorum.lifecycle import ACTIVE, MemberLife, member_peer
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.peer import Peer
from pyzk.quorum.vote import PeerState, Vote
from pyzk.server.arrival import Arrival
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outgoing, TakeSnapshot
from pyzk.zxid import format_zxid
from tests.transcripts.ballots import Ballots
from tests.transcripts.clients import Client
from tests.transcripts.disk import Disk
from tests.transcripts.wire import Close, Data, Dial, End, Flight, Wire
from tests.world import START_MS, WALL_MS, Driven

MAX_STEPS = 5000
_QUORUM_PORT = 2000
_VERBS = {
    PeerState.LEADING: "leads",
    PeerState.FOLLOWING: "follows",
    PeerState.OBSERVING: "observes",
}


class Actor:
    """One server: its disk, which stays, and its peer, which comes and goes."""

    def __init__(self, sid: int, config: ServerConfig, ensemble: EnsembleConfig) -> None:
        self.sid = sid
        self.config = config
        self.ensemble = ensemble
        options = RecoveryOptions(committed_log_count=config.commit_log_count)
        self.disk = Disk(sid, options, ensemble.snapshot_size_factor)
        self.running: Running | None = None
        self.is_puppet = False
        self.is_listening = False
        self.takes_observers = False
        self.shown: tuple[object, ...] = ()
        """What was last told of its state."""

    def files(self) -> EnsembleConfig:
        """What a start finds: the settings, with the configurations that were saved."""
        committed = self.disk.committed or self.ensemble.membership
        me = committed.member(self.sid)
        return attrs.evolve(
            self.ensemble,
            membership=committed,
            last_seen=self.disk.proposed,
            is_observer=me is not None and me.is_observer,
        )

    @property
    def peer(self) -> Peer | None:
        return None if self.running is None else self.running.peer

    @property
    def life(self) -> MemberLife:
        assert self.running is not None, f"{self.sid} does not run"
        return self.running.life

    def takes(self, dial: Dial) -> bool:
        return self.takes_observers if dial.is_to_master else self.is_listening

    def is_dead(self) -> bool:
        return self.running is None and not self.is_puppet


class Running(Driven):
    """A member that runs: each effect is a line."""

    def __init__(self, stage: Stage, actor: Actor, peer: Peer, life: MemberLife) -> None:
        super().__init__(peer, self)
        self.stage = stage
        self.actor = actor
        self.life = life

    def append(self, records: list[bytes], last_zxid: int) -> None:
        stage, actor = self.stage, self.actor
        if stage.on_log is not None:
            stage.on_log(actor, records)
        self._effect(str(actor.disk.append(records, last_zxid)))

    def take_snapshot(self, database: Database) -> None:
        self._effect(str(self.actor.disk.take(TakeSnapshot(), database)))

    def order(self, command: StorageCommand) -> None:
        self._effect(str(self.actor.disk.take(command, self.peer.database)))

    def write(self, connection: Connection) -> None:
        client = connection.shell
        assert isinstance(client, Client), client
        if client.connection is connection:
            for line in client.take():
                self.stage.effect(line)

    def send(self, link: Outgoing) -> None:
        assert isinstance(link, QuorumLink), link
        self.stage.write(link)

    def dial_leader(self, command: DialLeader) -> None:
        stage, sid = self.stage, self.actor.sid
        host, port = command.addresses[0]
        is_to_master = port == self.actor.ensemble.observer_master_port
        target = int(host.removeprefix("host")) if is_to_master else port - _QUORUM_PORT
        expires_ms = stage.clock.now_ms + command.timeout_ms
        stage.wire.queue(sid, target).append(Dial(command.link, sid, expires_ms, is_to_master))
        self._effect(f"dials {target}{', an observer master' if is_to_master else ''}")

    def listen_for_learners(self, command: ListenForLearners) -> None:
        self.actor.is_listening = True
        self._effect("listens")

    def stop_listening(self) -> None:
        self.actor.is_listening = False
        self._effect("listens no more")

    def listen_for_observers(self, command: ListenForObservers) -> None:
        self.actor.takes_observers = True
        self._effect("listens for observers")

    def stop_listening_for_observers(self) -> None:
        self.actor.takes_observers = False
        self._effect("listens for observers no more")

    def listen_for_elections(self, command: ListenForElections) -> None:
        self._effect(f"listens for elections as {command.server}")

    def listen_for_clients(self, command: ListenForClients) -> None:
        self._effect(f"listens for clients at {command.host}:{command.port}")

    def dial_election(self, command: DialElection) -> None:
        self.stage.ballots.dial(self.actor.sid, self, command.sid)

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        self.stage.ballots.write(link, data)

    def close_election(self, link: ElectionLink) -> None:
        self.stage.ballots.close(link)

    def _effect(self, text: str) -> None:
        self.stage.effect(f"{self.actor.sid} {text}")


class Stage:
    """An ensemble, and what has happened to it as lines."""

    def __init__(self) -> None:
        self.clock = Clock(START_MS, WALL_MS)
        self.actors: dict[int, Actor] = {}
        self.clients: dict[str, Client] = {}
        self.wire = Wire()
        self.lines: list[str] = []
        self.held_disks: set[int] = set()
        self.held_links: set[tuple[int, int]] = set()
        self.ballots = Ballots(self._running, self._hear)
        self.on_log: Callable[[Actor, list[bytes]], None] | None = None
        """Told of records that a member has handed to its disk."""
        self._port = 40000

    def actor(self, sid: int) -> Actor:
        """Return a member; raises ValueError if there is none of this number."""
        if sid not in self.actors:
            raise ValueError(f"no member {sid}")
        return self.actors[sid]

    def client(self, name: str) -> Client:
        """Return a client; raises ValueError if it has never been connected."""
        if name not in self.clients:
            raise ValueError(f"{name} has not opened a session")
        return self.clients[name]

    # --- setting up -----------------------------------------------------------------

    def build(self, voters: int, observers: int, committed: int, settings: list[str]) -> None:
        """Make members 1, 2, ... that do not run yet; observers come last. ``committed``: as
        commitLogCount, of which an operator cannot have so few."""
        assert not self.actors, "there is an ensemble already"
        text = "dataDir=disk\ntickTime=2000\ninitLimit=5\nsyncLimit=3\nclientPort=2181"
        text += "".join(f"\n{setting}" for setting in settings)
        config = replace(parse_config(text.encode()), commit_log_count=committed)
        for sid in range(1, voters + observers + 1):
            role = "participant" if sid <= voters else "observer"
            text += f"\nserver.{sid}=host{sid}:{_QUORUM_PORT + sid}:{3000 + sid}:{role}"
        for sid in range(1, voters + observers + 1):
            ensemble = parse_ensemble(Settings(text.encode()), StartFiles(str(sid).encode()))
            assert ensemble is not None, text
            self.actors[sid] = Actor(sid, config, ensemble)

    def start(self, actor: Actor) -> None:
        """Start a member from what is on its disk."""
        assert actor.is_dead(), f"{actor.sid} runs"
        files = actor.disk.files
        recovered = recover(files.snapshots, files.logs, files.options)
        epochs, _ = load_epochs(actor.disk.directory, recovered.last_zxid)
        self.note(
            f"{actor.sid} starts: accepted={epochs.accepted} current={epochs.current}"
            f" last={format_zxid(recovered.last_zxid)}"
        )
        peer, life = member_peer(
            actor.config,
            actor.files(),
            recovered.database,
            epochs,
            self.clock,
            Random(actor.sid),
        )
        actor.running = Running(self, actor, peer, life)
        actor.shown = (recovered.last_zxid, "SETTLING", False)
        actor.running.driver.start()
        self.drain(actor)

    def elect(self, actor: Actor, leader: int, supporters: tuple[int, ...]) -> None:
        """Hand a member the end of an election."""
        life = actor.life
        election = life.election
        state = PeerState.OBSERVING if life.member.is_observer else PeerState.FOLLOWING
        if actor.sid == leader:
            state = PeerState.LEADING
        other = self.actors[leader]
        zxid, epoch = 0, 0
        if other.peer is not None:
            zxid = other.life.member.database.last_zxid
            epoch = other.life.member.epochs.current
        vote = Vote(leader, zxid, election.round, epoch)
        assert life.phase != ACTIVE, f"{actor.sid} has a role already"
        self.note(f"{actor.sid} {_VERBS[state]}" + (f" {leader}" if actor.sid != leader else ""))
        election.take_role(state)
        election.current_vote = vote
        election.decision = Decision(state, vote, supporters, False)
        actor.shown = (actor.shown[0], PeerState.NAMES[state], actor.shown[2])
        life.pump()
        self.drain(actor)

    # --- lines ----------------------------------------------------------------------

    def note(self, line: str) -> None:
        """An input, or an answer to the transcript."""
        self.lines.append(line)

    def effect(self, line: str) -> None:
        self.lines.append(f"  {line}")

    # --- what a peer puts out -------------------------------------------------------

    def drain(self, actor: Actor) -> None:
        """Have everything carried out that a member wants; every input is a turn."""
        if actor.running is not None:
            actor.running.flush()
            self._show(actor)

    def write(self, link: QuorumLink) -> None:
        """Put on the wire what a link has."""
        end = self.wire.end_of(link)
        if end is None:
            return  # it was never connected
        while data := link.take():
            if end.is_open:
                for text in self.wire.write(end, data):
                    self.effect(f"{end.sid}->{end.other_sid} {text}")
        if link.is_closed and end.is_open:
            self.wire.close(end)
            self.effect(f"{end.sid}->{end.other_sid} closes")

    def _show(self, actor: Actor) -> None:
        """Tell what else has changed: the tree's zxid, the role, whether clients are served."""
        life = actor.life
        member = life.member
        role = life.role
        if role is None:
            state = "SETTLING" if life.phase == 0 else "LOOKING"
        else:
            state = PeerState.NAMES[life.election.state]
        now = (member.database.last_zxid, state, member.server.is_running)
        zxid, old_state, is_running = actor.shown
        actor.shown = now
        if now[0] != zxid:
            self.effect(f"{actor.sid} tree at {format_zxid(now[0])}")
        if now[2] != is_running:
            self.effect(f"{actor.sid} serves" if now[2] else f"{actor.sid} serves no more")
        if state != old_state:
            self.effect(f"{actor.sid} is {state}")

    def give(self, actor: Actor, line: str, action: Callable[[Running], None]) -> None:
        """Give a member one input: print its line, then what the peer puts out."""
        self.note(line)
        assert actor.running is not None, f"{actor.sid} does not run"
        action(actor.running)
        self.drain(actor)

    def _running(self, sid: int) -> Running | None:
        actor = self.actors.get(sid)  # a configuration may have servers that were never there
        return None if actor is None else actor.running

    def _hear(self, sid: int, line: str, action: Callable[[Running], None]) -> None:
        """An input that is a line only if something comes of it."""
        before = len(self.lines)
        self.give(self.actors[sid], line, action)
        if len(self.lines) == before + 1:
            self.lines.pop()

    # --- the disk -------------------------------------------------------------------

    def sync(self, actor: Actor) -> bool:
        """Let the oldest order of a disk be done; return whether there was one."""
        if not actor.disk.waiting or actor.peer is None:
            return False
        what, tell = actor.disk.perform()
        self.give(actor, f"{actor.sid} {what}", lambda running: tell(running.life))
        return True

    def crash(
        self, actor: Actor, *, keep: bool = False, tear: bool = False, within: int | None = None
    ) -> None:
        """Kill a member. What it has sent is still on its way; what was on its way to it is not."""
        assert actor.peer is not None, f"{actor.sid} does not run"
        lost = actor.disk.crash(keep=keep, tear=tear, within=within)
        word = "torn" if tear else "lost" if within is None else "interrupted"
        what = f", {word}: {', '.join(lost)}" if lost else ""
        self.note(f"{actor.sid} crashes{what}")
        actor.running = None
        actor.is_listening = actor.takes_observers = False
        for client in self.clients.values():
            if client.connection is not None and client.sid == actor.sid:
                client.connection = None
                self.effect(f"{actor.sid}->{client.name} connection lost")
        for end in self.wire.ends:
            if end.sid == actor.sid:
                self.wire.close(end)
        self.ballots.crashed(actor.sid)

    # --- the network ----------------------------------------------------------------

    def deliver(self, source: int, target: int) -> bool:
        """Let the next thing in one direction arrive; whether something could."""
        flights = self.wire.queue(source, target)
        while flights:
            flight = flights[0]
            if isinstance(flight, Dial):
                return self._connect(flights.popleft, flight, source, target)
            flights.popleft()
            if not flight.end.is_open:
                continue
            self._arrive(flight, source, target)
            return True
        return False

    def _connect(self, pop: Callable[[], Flight], dial: Dial, source: int, target: int) -> bool:
        """A dial reaches a member that listens, or goes on trying."""
        there, here = self.actors[target], self.actors[source]
        if here.peer is None:
            pop()
            return False
        if there.is_puppet:
            pop()
            self.wire.connect(source, dial.link, target, None)
        elif there.peer is None or not there.takes(dial):
            return False
        else:
            pop()
            life = there.life
            accept = life.observer_accepted if dial.is_to_master else life.link_accepted
            far = accept(f"server {source}")
            if far is None:
                self.note(f"{source}->{target} refused")
                self.drain(there)
                here.life.link_down(dial.link, "refused")
                self.drain(here)
                return True
            self.wire.connect(source, dial.link, target, far)
        self.note(f"{source}->{target} connected")
        self.drain(there)
        here.life.link_up(dial.link)
        self.drain(here)
        return True

    def _arrive(self, flight: Data | Close, source: int, target: int) -> None:
        end, actor = flight.end, self.actors[target]
        link = end.link
        if isinstance(flight, Data):
            self.note(f"{source}->{target} {flight.text}")
            data = flight.data
            if link is not None and actor.peer is not None:
                actor.life.link_received(link, data)
        else:
            self.note(f"{source}->{target} closed")
            end.is_open = False
            if link is not None and actor.peer is not None:
                actor.life.link_down(link, f"server {source} has closed it")
        self.drain(actor)

    def deliver_half(self, source: int, target: int) -> None:
        """Let the first half of the next packet or snapshot arrive."""
        flights = self.wire.queue(source, target)
        flight = flights[0]
        assert isinstance(flight, Data), flight
        half = len(flight.data) // 2
        flights.appendleft(Data(flight.end, flight.data[:half], f"half of: {flight.text}"))
        flights[1] = Data(flight.end, flight.data[half:], f"rest of: {flight.text}")
        self.deliver(source, target)

    def cut(self, source: int, target: int) -> None:
        """Break the connections of two members; both notice."""
        self.note(f"{source}-{target} cut")
        for sid, other in ((source, target), (target, source)):
            while (end := self.wire.between(sid, other)) is not None:
                far = end.other
                assert far is not None, end
                self.wire.cut(end)
                for each in (end, far):
                    self._lost(each)

    def _lost(self, end: End) -> None:
        actor = self.actors[end.sid]
        if end.link is not None and actor.peer is not None:
            actor.life.link_down(end.link, "connection reset")
            self.drain(actor)

    # --- everything -----------------------------------------------------------------

    def step(self, sids: list[int]) -> bool:
        """Do everything once that can be done among these members; whether anything could."""
        is_busy = False
        for sid in sids:
            if sid not in self.held_disks:
                is_busy |= self.sync(self.actors[sid])
        for source in sids:
            for target in sids:
                if source != target and (source, target) not in self.held_links:
                    is_busy |= self.deliver(source, target)
        return is_busy

    def run(self, sids: list[int]) -> None:
        """Let everything arrive and become durable until nothing more happens."""
        for _ in range(MAX_STEPS):
            if not self.step(sids):
                return
        raise AssertionError(f"not quiet after {MAX_STEPS} steps")

    def advance(self, milliseconds: int) -> None:
        """Let time pass; each member is woken when it asked to be."""
        end = self.clock.now_ms + milliseconds
        while True:
            due = [
                (max(actor.running.woken_at_ms, self.clock.now_ms), sid)
                for sid, actor in self.actors.items()
                if actor.running is not None
            ]
            due += [(expires_ms, sid) for expires_ms, sid in self._dials()]
            if not due or min(due)[0] > end:
                break
            at, sid = min(due)
            self._set_clock(at)
            self._expire_dials()
            actor = self.actors[sid]
            if actor.running is not None and actor.running.woken_at_ms <= at:
                self._hear(
                    sid, f"{sid} wakes at {at - START_MS} ms", lambda running: running.driver.wake()
                )
        self._set_clock(end)

    def _set_clock(self, now_ms: int) -> None:
        self.clock.wall_ms += now_ms - self.clock.now_ms
        self.clock.now_ms = now_ms

    def _dials(self) -> list[tuple[int, int]]:
        return [
            (flight.expires_ms, flight.sid)
            for flights in self.wire.flights.values()
            for flight in flights
            if isinstance(flight, Dial)
        ]

    def _expire_dials(self) -> None:
        for (source, target), flights in self.wire.flights.items():
            for flight in list(flights):
                if isinstance(flight, Dial) and flight.expires_ms <= self.clock.now_ms:
                    flights.remove(flight)
                    actor = self.actors[source]
                    if actor.peer is not None:
                        self.note(f"{source} cannot reach {target}")
                        actor.life.link_down(flight.link, "cannot connect")
                        self.drain(actor)

    # --- clients --------------------------------------------------------------------

    def open(self, name: str, sid: int, timeout_ms: int) -> None:
        """Connect a client, new or with the session it has."""
        actor = self.actor(sid)
        client = self.clients.setdefault(name, Client(name))
        assert actor.peer is not None, f"{sid} does not run"
        self._port += 1
        connection = actor.peer.accept(Arrival("127.0.0.1", self._port))
        assert connection is not None, "refused"
        hello = client.attach(sid, connection, timeout_ms)
        what = "comes back" if client.session_id else "opens a session"
        self.give(actor, f"{name}->{sid} {what}", lambda _running: connection.receive(hello))

    def request(self, name: str, words: list[str]) -> None:
        """Send a request of a client."""
        client = self.client(name)
        connection = client.connection
        assert connection is not None, f"{name} is not connected"
        data = client.request(words)
        line = f"{name}->{client.sid} {' '.join(words)}"
        self.give(self.actors[client.sid], line, lambda _running: connection.receive(data))

    def drop_client(self, name: str) -> None:
        """Break a client's connection."""
        client = self.client(name)
        connection, client.connection = client.connection, None
        assert connection is not None, f"{name} is not connected"
        actor = self.actors[client.sid]
        self.give(
            actor, f"{name}->{client.sid} connection lost", lambda _running: connection.closed()
        )
