"""An ensemble that elects, on a virtual network, from one seed.

Each node runs the real ``Election`` over the real ``ElectionLinks``. What comes after an election
is a sketch of Zab, just enough that elections matter: a leader needs a quorum for a new epoch,
brings its followers to its log, and appends to it; who hears nothing for ROLE_TIMEOUT_MS looks
again.

Connections keep order and nothing else: each piece takes its own time, a blocked direction swallows
what is sent, and then the connection is dead, which a side notices when it writes, or late, or not
at all. Faults are ``block``, ``crash`` and ``cut``; ``heal`` ends them. Checked all the time: one
leader for each epoch, no committed entry missing in a later leader's log, no election that passes
over what a supporter had.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from random import Random

from pyzk import zxid as zxids
from pyzk.clock import Clock
from pyzk.quorum.commands import CloseElection, DialElection, SendVote
from pyzk.quorum.election import Decision, Election, ElectionTimes
from pyzk.quorum.election_link import ElectionLink
from pyzk.quorum.election_links import ElectionAddresses, ElectionLinks
from pyzk.quorum.election_messages import Address, decode_notification
from pyzk.quorum.election_view import ElectionView
from pyzk.quorum.verifier import QuorumMaj
from pyzk.quorum.vote import NOBODY, PeerState
from pyzk.server.outbox import Outbox
from tests.world import START_MS

TIMES = ElectionTimes(max_notification_ms=1600)
ROLE_TIMEOUT_MS = 1000
HEARTBEAT_MS = 100
DIAL_TIMEOUT_MS = 500
CONFIG = b"version=0"


class Wire:
    """A connection: ``ends`` are the dialer's and the acceptor's node and link."""

    def __init__(self, dialer: Node, acceptor: Node) -> None:
        self.nodes = (dialer, acceptor)
        self.lives = (dialer.life, acceptor.life)
        self.links: list[ElectionLink | None] = [None, None]
        self.busy_until = [0, 0]
        self.is_dead = False


class Node:
    """One server: what survives a crash, and what does not."""

    def __init__(self, world: World, sid: int, is_participant: bool) -> None:
        self.world = world
        self.sid = sid
        self.is_participant = is_participant
        self.accepted_epoch = 0
        self.current_epoch = 0
        self.log: list[int] = []
        self.life = 0
        """Counts crashes; what an earlier life has sent or awaits is void."""
        self.is_up = False
        self.wires: dict[ElectionLink, tuple[Wire, int]] = {}

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        world = self.world
        self.is_up = True
        self.epoch = 0
        """Of the leader that this node leads or follows; 0 before it is agreed on."""
        self.is_synced = False
        self.leader = 0
        self.since = 0
        self.accepted_from: tuple[int, int, int] | None = None
        self.joined: dict[int, int] = {}
        self.epoch_acks: dict[int, None] = {}
        self.synced: dict[int, None] = {}
        self.acked: dict[int, int] = {}
        self.heard_at: dict[int, int] = {}
        self.wires = {}
        self.election = Election(self.sid, world.view, world.clock, TIMES, self.is_participant)
        self.outbox = Outbox()
        own = world.addresses.committed[self.sid]
        self.links = ElectionLinks(self.sid, own, world.addresses, world.clock, self.outbox, 5000)
        self.armed: int | None = None
        self.look()

    def crash(self) -> None:
        self.world.note(f"{self.sid} crashes")
        self.is_up = False
        self.life += 1
        for wire, side in list(self.wires.values()):
            self.world.end(wire, 1 - side)

    def look(self) -> None:
        self.epoch = 0
        self.is_synced = False
        self.world.note(f"{self.sid} looks")
        self.election.look(self.log[-1] if self.log else 0, self.current_epoch)
        self.drain()

    # --- what the shell would do ----------------------------------------------------

    def drain(self) -> None:
        election, links, world = self.election, self.links, self.world
        while election.sends or links.messages or self.outbox.commands:
            for sid, payload in election.take_sends():
                world.sent(self, payload)
                links.send(sid, payload)
            for command in self.outbox.take_commands():
                if isinstance(command, DialElection):
                    world.dial(self, command)
                elif isinstance(command, SendVote):
                    world.write(self, command.link, command.data)
                else:
                    assert isinstance(command, CloseElection), command
                    wire, side = self.wires.pop(command.link)
                    world.end(wire, 1 - side)
            messages, links.messages = links.messages, []
            for sid, payload in messages:
                election.notified(sid, payload)
        decision = election.decision
        if decision is not None:
            election.decision = None
            self.become(decision)
        self.arm()

    def arm(self) -> None:
        dues = [due for due in (self.election.deadline, self.links.deadline) if due is not None]
        if dues and min(dues) != self.armed:
            self.armed = due = min(dues)
            self.later(due - self.world.clock.now_ms, self.wake)

    def wake(self) -> None:
        self.armed = None
        self.election.wake()
        self.links.wake()
        self.drain()

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Call ``action`` if this life still lasts then."""
        life = self.life

        def act() -> None:
            if self.is_up and self.life == life:
                action()

        self.world.at(delay_ms, act)

    # --- a sketch of Zab ------------------------------------------------------------

    @property
    def state(self) -> int:
        return self.election.state

    def become(self, decision: Decision) -> None:
        world = self.world
        world.decided(self, decision)
        self.leader = decision.vote.leader
        self.joined, self.epoch_acks, self.synced, self.acked = {}, {}, {}, {}
        self.heard_at = {self.leader: world.clock.now_ms, self.sid: world.clock.now_ms}
        self.since = world.clock.now_ms
        if decision.state == PeerState.LEADING:
            self.joined[self.sid] = self.accepted_epoch
            self.agree()
        self.beat(self.since)

    def beat(self, since: int) -> None:
        """Say that this node is there, or give up; again and again while the role lasts."""
        if self.state == PeerState.LOOKING or since != self.since:
            return
        now = self.world.clock.now_ms
        if self.state == PeerState.LEADING:
            alive = [sid for sid, at in self.heard_at.items() if now - at < ROLE_TIMEOUT_MS]
            alive.append(self.sid)
            if now - since > ROLE_TIMEOUT_MS and not self.world.verifier.has_quorum(alive):
                self.look()
                return
            if len(self.synced) > 0:
                self.append()
        elif now - self.heard_at[self.leader] >= ROLE_TIMEOUT_MS:
            self.look()
            return
        elif not self.epoch:
            accepted = self.accepted_epoch
            self.tell(self.leader, lambda leader: leader.on_join(self, accepted))
        self.later(HEARTBEAT_MS, lambda: self.beat(since))

    def tell(self, sid: int, action: Callable[[Node], None]) -> None:
        self.world.tell(self, self.world.nodes[sid], action)

    def on_join(self, learner: Node, accepted: int) -> None:
        if self.state == PeerState.LEADING:
            if self.epoch and accepted > self.epoch:
                self.look()  # it could never join: another has proposed a later epoch
                return
            self.heard_at[learner.sid] = self.world.clock.now_ms
            self.joined[learner.sid] = accepted
            self.agree()
            if self.epoch:
                self.offer(learner.sid)

    def agree(self) -> None:
        """A quorum has joined: its new epoch is above all that they have accepted."""
        if not self.epoch and self.world.verifier.has_quorum(self.joined):
            self.epoch = self.accepted_epoch = max(self.joined.values()) + 1
            self.epoch_acks[self.sid] = None
            for sid in self.joined:
                if sid != self.sid:
                    self.offer(sid)
            self.establish()

    def offer(self, sid: int) -> None:
        epoch, me = self.epoch, self
        self.tell(sid, lambda learner: learner.on_epoch(me, epoch))

    def on_epoch(self, leader: Node, epoch: int) -> None:
        if self.follows(leader) and epoch >= self.accepted_epoch:
            # Accepted before, from another leader or life: that word is given.
            offer = (leader.sid, leader.life, epoch)
            counts = epoch > self.accepted_epoch or offer == self.accepted_from
            self.accepted_epoch, self.accepted_from = epoch, offer if counts else None
            mine = (self.current_epoch, self.log[-1] if self.log else 0)
            self.heard_at[leader.sid] = self.world.clock.now_ms
            self.tell(leader.sid, lambda leader: leader.on_epoch_ack(self, epoch, mine, counts))

    def on_epoch_ack(
        self, learner: Node, epoch: int, theirs: tuple[int, int], counts: bool
    ) -> None:
        if self.state != PeerState.LEADING or epoch != self.epoch:
            return
        if not self.is_synced and theirs > (self.current_epoch, self.log[-1] if self.log else 0):
            self.look()  # it knows more: this is not the leader to have
            return
        if counts:
            self.epoch_acks[learner.sid] = None
        self.establish()
        if self.is_synced:
            self.sync(learner.sid)

    def establish(self) -> None:
        if not self.is_synced and self.world.verifier.has_quorum(self.epoch_acks):
            self.is_synced = True
            self.current_epoch = self.epoch
            self.synced[self.sid] = None
            self.election.epoch_established(self.epoch)
            self.world.established(self)
            for sid in self.epoch_acks:
                if sid != self.sid:
                    self.sync(sid)

    def sync(self, sid: int) -> None:
        me, epoch, log = self, self.epoch, list(self.log)
        self.tell(sid, lambda learner: learner.on_sync(me, epoch, log))

    def on_sync(self, leader: Node, epoch: int, log: list[int]) -> None:
        if self.follows(leader) and epoch == self.accepted_epoch:
            self.heard_at[leader.sid] = self.world.clock.now_ms
            if self.current_epoch == epoch and len(log) < len(self.log):
                return
            self.epoch = self.current_epoch = epoch
            self.log = log
            self.is_synced = True
            self.election.epoch_established(epoch)
            self.tell(leader.sid, lambda leader: leader.on_ack(self, epoch, len(log)))

    def append(self) -> None:
        """A write, which is the leader's sign of life too."""
        if self.world.verifier.has_quorum(self.synced):
            self.log.append(zxids.make(self.epoch, len(self.log) + 1))
        for sid in list(self.synced):
            if sid != self.sid:
                self.sync(sid)

    def on_ack(self, learner: Node, epoch: int, count: int) -> None:
        if self.state == PeerState.LEADING and epoch == self.epoch:
            self.heard_at[learner.sid] = self.world.clock.now_ms
            self.synced[learner.sid] = None
            self.acked[learner.sid] = max(count, self.acked.get(learner.sid, 0))
            have = [sid for sid, acked in self.acked.items() if acked >= count]
            if count and self.world.verifier.has_quorum([*have, self.sid]):
                self.world.committed.update(self.log[:count])

    def follows(self, leader: Node) -> bool:
        decided = (PeerState.FOLLOWING, PeerState.OBSERVING)
        return self.state in decided and self.leader == leader.sid


class World:
    """The ensemble, its network and its time."""

    def __init__(self, seed: int, voters: int, observers: int = 0) -> None:
        self.rng = Random(seed)
        self.clock = Clock(START_MS)
        self.trace: list[str] = []
        sids = range(1, voters + observers + 1)
        self.verifier = QuorumMaj(sids[:voters], sids[voters:])
        self.view = ElectionView(self.verifier, CONFIG)
        self.addresses = ElectionAddresses({sid: (Address(f"h{sid}", 3888),) for sid in sids})
        self.blocked: dict[tuple[int, int], None] = {}
        self.max_delay_ms = 20
        self.leaders: dict[int, int] = {}
        self.committed: set[int] = set()
        self.floors: dict[tuple[int, int], tuple[int, int]] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes: dict[int, Node] = {}
        for sid in sids:
            self.nodes[sid] = Node(self, sid, sid in self.verifier.voters)
        for node in self.nodes.values():
            self.at(self.rng.randint(0, 100), partial(self.restart, node, 0))

    # --- time -----------------------------------------------------------------------

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.clock.now_ms + max(0, delay_ms), self._count, action))

    def run(self, milliseconds: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether ``until`` came true."""
        end = self.clock.now_ms + milliseconds
        while self._events and self._events[0][0] <= end:
            self.clock.now_ms, _, action = heapq.heappop(self._events)
            action()
            if until is not None and until():
                return True
        self.clock.now_ms = end
        return until is not None and until()

    def note(self, text: str) -> None:
        self.trace.append(f"{self.clock.now_ms} {text}")

    # --- network --------------------------------------------------------------------

    def delay(self) -> int:
        return self.rng.randint(0, self.max_delay_ms)

    def dial(self, node: Node, dial: DialElection) -> None:
        other = self.nodes[int(dial.addresses[0].host[1:])]
        delay = self.delay()

        def arrive() -> None:
            pair = (node.sid, other.sid)
            if not other.is_up or pair in self.blocked or pair[::-1] in self.blocked:
                node.later(self.rng.randint(0, DIAL_TIMEOUT_MS), fail)
                return
            wire = Wire(node, other)
            self.note(f"{node.sid} connects to {other.sid}")
            accepted = other.links.accepted(f"from {node.sid}")
            wire.links[1] = accepted
            other.wires[accepted] = (wire, 1)
            node.later(delay, lambda: up(wire))
            other.drain()

        def up(wire: Wire) -> None:
            link = node.links.dialed(dial.sid, f"to {dial.sid}")
            wire.links[0] = link
            node.wires[link] = (wire, 0)
            node.drain()
            if wire.is_dead:
                self.lose(wire, 0)

        def fail() -> None:
            node.links.dial_failed(dial.sid)
            node.drain()

        node.later(delay, arrive)

    def write(self, node: Node, link: ElectionLink, data: bytes) -> None:
        if link not in node.wires:
            return
        wire, side = node.wires[link]
        other = wire.nodes[1 - side]
        if (node.sid, other.sid) in self.blocked:
            wire.is_dead = True
        if wire.is_dead:
            # Nobody acknowledges: this side gives up some time later.
            self.at(self.rng.randint(50, 3000), lambda: self.lose(wire, side))
            return
        at = max(wire.busy_until[side], self.clock.now_ms + self.delay())
        wire.busy_until[side] = at

        def arrive() -> None:
            there = wire.links[1 - side]
            if not other.is_up or other.life != wire.lives[1 - side]:
                self.lose(wire, side)
            elif there is None:
                self.at(self.delay() + 1, arrive)  # the dialer is about to hear that it is up
            elif not wire.is_dead and there in other.wires:
                cut = self.rng.randint(0, len(data))
                other.links.received(there, data[:cut])
                other.links.received(there, data[cut:])
                other.drain()

        self.at(at - self.clock.now_ms, arrive)
        node.later(self.delay(), lambda: self.flushed(node, link))

    def flushed(self, node: Node, link: ElectionLink) -> None:
        node.links.written(link)
        node.drain()

    def end(self, wire: Wire, side: int) -> None:
        """The other side has closed: ``side`` learns it after what is on its way."""
        other = wire.nodes[side]
        if (wire.nodes[1 - side].sid, other.sid) in self.blocked:
            wire.is_dead = True
            return
        at = max(wire.busy_until[1 - side], self.clock.now_ms) + self.max_delay_ms
        self.at(at - self.clock.now_ms, lambda: self.lose(wire, side))

    def lose(self, wire: Wire, side: int) -> None:
        """``side`` notices that the connection is gone."""
        wire.is_dead = True
        link, node = wire.links[side], wire.nodes[side]
        if link is not None and link in node.wires:
            del node.wires[link]
            node.links.closed(link)
            node.drain()

    def tell(self, sender: Node, receiver: Node, action: Callable[[Node], None]) -> None:
        """One message of the sketch; it may overtake others, and is lost where blocked."""
        if (sender.sid, receiver.sid) not in self.blocked:
            receiver.later(self.delay(), lambda: action(receiver))

    # --- faults ---------------------------------------------------------------------

    def block(self, one: int, other: int) -> None:
        """Nothing goes from ``one`` to ``other`` any more."""
        self.note(f"{one} cannot reach {other}")
        self.blocked[one, other] = None

    def cut(self, node: Node) -> None:
        """All connections of a node end, noticed at each side or not."""
        self.note(f"{node.sid} loses its connections")
        for wire, side in list(node.wires.values()):
            wire.is_dead = True
            for each in (side, 1 - side):
                if self.rng.random() < 0.7:
                    self.at(self.delay(), partial(self.lose, wire, each))

    def fault(self) -> None:
        """One random fault, or the end of some."""
        rng = self.rng
        node = self.nodes[rng.choice(list(self.nodes))]
        kind = rng.random()
        if kind < 0.25:
            if node.is_up:
                node.crash()
                node_life = node.life
                self.at(rng.randint(0, 3000), lambda: self.restart(node, node_life))
        elif kind < 0.45:
            self.cut(node)
        elif kind < 0.6:
            side = [sid for sid in self.nodes if rng.random() < 0.5]
            for one in side:
                for other in self.nodes:
                    if other not in side:
                        self.block(one, other)
                        self.block(other, one)
        elif kind < 0.75:
            self.block(node.sid, rng.choice([sid for sid in self.nodes if sid != node.sid]))
        elif kind < 0.85:
            self.max_delay_ms = rng.choice([1, 20, 150, 400])
        else:
            self.blocked.clear()

    def restart(self, node: Node, life: int) -> None:
        if not node.is_up and node.life == life:
            node.start()

    def heal(self) -> None:
        """No more faults; whatever is broken stays so until it is noticed."""
        self.note("healed")
        self.blocked.clear()
        self.max_delay_ms = 20
        for node in self.nodes.values():
            if not node.is_up:
                node.start()

    # --- checks ---------------------------------------------------------------------

    def sent(self, node: Node, payload: bytes) -> None:
        notification = decode_notification(payload)
        self.note(f"{node.sid}: {notification}")
        key = (node.sid, notification.round)
        if notification.state != PeerState.LOOKING:
            # It supports whom it follows, be that in the same round a leader who has less than it.
            self.floors[key] = (NOBODY, NOBODY)
        else:
            own = (node.current_epoch, node.log[-1] if node.log else 0)
            self.floors[key] = min(own, self.floors.get(key, own))

    def decided(self, node: Node, decision: Decision) -> None:
        self.note(f"{node.sid} decides: {PeerState.NAMES[decision.state]} {decision}")
        assert self.verifier.has_quorum(decision.supporters), decision
        assert (decision.state == PeerState.LEADING) == (decision.vote.leader == node.sid)
        assert decision.vote.leader in self.verifier.voters
        if not decision.is_established:
            vote = decision.vote
            for sid in decision.supporters:
                floor = self.floors.get((sid, vote.round))
                assert floor is None or (vote.peer_epoch, vote.zxid) >= floor, (sid, decision)

    def established(self, leader: Node) -> None:
        self.note(f"{leader.sid} leads epoch {leader.epoch}")
        assert self.leaders.setdefault(leader.epoch, leader.sid) == leader.sid, "two leaders"
        missing = self.committed.difference(leader.log)
        assert not missing, f"{leader.sid} leads without {sorted(missing)}"

    def is_settled(self) -> bool:
        """Everybody is with one leader."""
        if not all(node.is_up for node in self.nodes.values()):
            return False
        leading = [node for node in self.nodes.values() if node.state == PeerState.LEADING]
        return len(leading) == 1 and all(
            node.is_synced and node.leader == leading[0].sid
            and node.epoch == leading[0].epoch and node.state != PeerState.LOOKING
            for node in self.nodes.values()
        )  # fmt: skip
