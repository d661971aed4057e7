"""An ensemble on the stage under a random schedule, and what Zab's properties are stated about.

What is broadcast is what a leader hands to its log. What is delivered is what a member serves: all
that its tree has while it is established in an epoch. Each write creates a znode of its own, so the
tree tells which transactions were delivered, each by the zxid that made it.
"""

from __future__ import annotations

import re
from random import Random

from pyzk.data.txn import decode_txn
from pyzk.jute.records import CreateTxn
from pyzk.quorum.leader import Leader
from pyzk.zxid import epoch_of
from tests.transcripts.disk import Append
from tests.transcripts.stage import Actor, Stage

Txn = tuple[int, str]
"""(zxid, path of the znode it creates)"""
_REPLY = re.compile(r"  \d->C\d #\d+ create: (/n\d+) at (0x[0-9a-f]+)")
_PREFIX = "/n"
_RECORD_HEAD = 12


class Schedule:
    """One run: arrivals, syncs, crashes, elections and writes in an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.stage = Stage()
        force = rng.choice(("false", "false", "false", "true"))
        self.stage.build(
            voters=rng.choice((3, 3, 5)),
            observers=rng.choice((0, 0, 1)),
            committed=rng.choice((2, 5, 20)),
            settings=[f"forceSnapshotSync={force}", "snapshotSizeFactor=100"],
        )
        self.broadcast: dict[int, list[Txn]] = {}
        """Epoch -> what was logged first by anyone, in that order: its leader is the one."""
        self.origins: dict[int, tuple[int, str]] = {}
        """Zxid -> who logged it first, and which znode it creates."""
        self.is_unique: bool = True
        """A zxid is the same transaction wherever it is logged."""
        self.begun: dict[int, list[Txn]] = {}
        """Epoch -> what its leader had delivered when it was established."""
        self.leaders: dict[int, set[int]] = {}
        """Epoch -> who was established as its leader."""
        self.delivered: dict[int, list[Txn]] = {}
        """Sid -> what it has delivered last."""
        self.longest: list[Txn] = []
        """The longest history that a member has delivered."""
        self.is_prefix: bool = True
        """Whether each delivered history was a prefix of another."""
        self.answered: list[Txn] = []
        """What clients were told is done."""
        self._writes = 0
        self._last: str | None = None
        self.stage.on_log = self._logged
        for actor in self.stage.actors.values():
            self.stage.start(actor)

    # --- the schedule ---------------------------------------------------------------

    def play(self, steps: int) -> None:
        """Do so many random things, then let all of them be in peace."""
        actions = (
            (self._deliver, 40),
            (self._sync, 25),
            (self._write, 12),
            (self._vote, 8),
            (self._advance, 6),
            (self._restart, 4),
            (self._cut, self.rng.choice((0, 1, 4))),
            (self._crash, self.rng.choice((1, 1, 3))),
        )
        weights = [weight for _, weight in actions]
        for _ in range(steps):
            ((action, _),) = self.rng.choices(actions, weights)
            action()
            self._look()
        self._heal()

    def _heal(self) -> None:
        """Everyone runs, everything arrives, time passes: an ensemble that serves comes of it."""
        for actor in self.stage.actors.values():
            if actor.peer is None:
                self.stage.start(actor)
        for _ in range(200):
            self.stage.ballots.run()
            self.stage.run(list(self.stage.actors))
            self._look()
            if self._is_one() and self._last_write():
                return
            self.stage.advance(200)

    def _is_one(self) -> bool:
        """Whether all serve, in one epoch."""
        members = [actor.life.member for actor in self._running()]
        return (
            all(member.server.is_running for member in members)
            and len({member.epochs.current for member in members}) == 1
        )

    def _last_write(self) -> bool:
        """Write through a client of its own; whether it was done."""
        if "C0" not in self.stage.clients:
            self.stage.open("C0", 1, 40_000)
            return False
        client = self.stage.clients["C0"]
        if client.connection is None or not client.is_attached:
            self.stage.clients.pop("C0")
            return False
        if self._last is None:
            self._writes += 1
            self._last = f"{_PREFIX}{self._writes}"
            self.stage.request("C0", ["create", self._last])
            return False
        return any(path == self._last for _, path in self.answered)

    def _running(self) -> list[Actor]:
        return [actor for actor in self.stage.actors.values() if actor.peer is not None]

    def _deliver(self) -> None:
        ready = [key for key, flights in self.stage.wire.flights.items() if flights]
        if ready:
            self.stage.deliver(*self.rng.choice(ready))

    def _sync(self) -> None:
        self.stage.sync(self.rng.choice(list(self.stage.actors.values())))

    def _write(self) -> None:
        serving = [actor for actor in self._running() if actor.life.member.server.is_running]
        if not serving:
            return
        sid = self.rng.choice(serving).sid
        name = f"C{sid}"
        client = self.stage.clients.get(name)
        if client is None or client.connection is None:
            self.stage.clients.pop(name, None)
            self.stage.open(name, sid, 40_000)
        elif client.is_attached:
            self._writes += 1
            self.stage.request(name, ["create", f"{_PREFIX}{self._writes}"])

    def _vote(self) -> None:
        self.stage.ballots.run()

    def _advance(self) -> None:
        self.stage.advance(self.rng.choice((50, 200, 500, 1000)))

    def _restart(self) -> None:
        dead = [actor for actor in self.stage.actors.values() if actor.peer is None]
        if dead:
            self.stage.start(self.rng.choice(dead))

    def _cut(self) -> None:
        source, target = self.rng.sample(sorted(self.stage.actors), 2)
        self.stage.cut(source, target)

    def _crash(self) -> None:
        running = self._running()
        if not running:
            return
        actor = self.rng.choice(running)
        waiting = actor.disk.waiting
        can_tear = bool(waiting) and isinstance(waiting[0], Append)
        is_kept, is_torn = self.rng.random() < 0.2, self.rng.random() < 0.5
        self.stage.crash(actor, keep=is_kept, tear=can_tear and is_torn and not is_kept)
        self.delivered.pop(actor.sid, None)

    # --- what has come of it --------------------------------------------------------

    def _look(self) -> None:
        for line in self.stage.lines:
            match = _REPLY.fullmatch(line)
            if match:
                self.answered.append((int(match[2], 16), match[1]))
        self.stage.lines.clear()
        for actor in self._running():
            self._look_at(actor)

    def _look_at(self, actor: Actor) -> None:
        life = actor.life
        role = life.role
        if role is None or not life.member.server.is_running:
            return
        history = history_of(actor)
        self.delivered[actor.sid] = history
        shorter, longer = sorted((history, self.longest), key=len)
        self.is_prefix &= longer[: len(shorter)] == shorter
        self.longest = longer
        if isinstance(role, Leader):
            self.leaders.setdefault(role.epoch, set()).add(actor.sid)
            self.begun.setdefault(role.epoch, history)

    def _logged(self, actor: Actor, records: list[bytes]) -> None:
        for record in records:
            txn = decode_txn(record[_RECORD_HEAD:-1])
            if not isinstance(txn.body, CreateTxn):
                continue
            zxid, path = txn.header.zxid, txn.body.path
            first = self.origins.setdefault(zxid, (actor.sid, path))
            if first == (actor.sid, path):
                self.broadcast.setdefault(epoch_of(zxid), []).append((zxid, path))
            self.is_unique &= first[1] == path


def history_of(actor: Actor) -> list[Txn]:
    """Return what the tree of a member was made by, in order."""
    nodes = actor.life.member.database.tree.nodes
    return sorted((node.czxid, path) for path, node in nodes.items() if path.startswith(_PREFIX))
