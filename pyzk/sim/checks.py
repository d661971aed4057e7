"""Feeds the checkers: looks after each step of a machine at what has changed.

Pure. A `Violation` is raised and ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from pyzk.config.members import Membership
from pyzk.data.database import Database
from pyzk.persistence.txnlog import payload_zxid
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.leader import Leader
from pyzk.quorum.lifecycle import MemberLife
from pyzk.quorum.member import Member
from pyzk.quorum.peer import Peer
from pyzk.server.request import QueuedRead
from pyzk.server.server import Server
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain, payload_of
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.sim.checkers.durability import DurabilityChecker
from pyzk.sim.checkers.epochs import EpochChecker
from pyzk.sim.checkers.informs import InformChecker
from pyzk.sim.checkers.model import Model
from pyzk.sim.checkers.replies import ReplyChecker
from pyzk.sim.checkers.state import StateChecker, compare
from pyzk.sim.disk import SimDisk
from pyzk.sim.network import OBSERVERS, Socket
from pyzk.sim.settings import first_membership
from pyzk.sim.surroundings import Described, Surroundings
from pyzk.zxid import counter_of, epoch_of, format_zxid


class Watched(Described, Protocol):
    """A machine, as far as the checkers look at it."""

    sid: int
    life: int
    is_up: bool
    disk: SimDisk
    peer: Peer
    inputs: MemberLife

    @property
    def name(self) -> str: ...

    @property
    def role_name(self) -> str: ...

    @property
    def member(self) -> Member: ...

    @property
    def database(self) -> Database: ...


class ChecksWorld(Surroundings, Protocol):
    """What the checkers ask of the world, and tell it."""

    @property
    def machines(self) -> Mapping[int, Watched]: ...

    def established(self, sid: int) -> None:
        """Takes the news that the leader ``sid`` has begun to serve."""
        ...

    def packets(self, machine: Described, socket: Socket, data: bytes) -> None:
        """Traces what is written to a link."""
        ...


class Seen:
    """What was last seen of a machine."""

    __slots__ = (
        "committed", "configs", "database", "is_serving", "last_seen", "logged", "raw", "server"
    )  # fmt: skip

    def __init__(self, server: Server, configs: Configurations, raw: int) -> None:
        self.server = server
        self.configs = configs
        self.committed: Membership | None = None
        self.last_seen: Membership | None = None
        """The configurations that were checked; none before the first step, with which a start has
        read all that the files and the log have."""
        self.database = server.database
        self.raw = raw
        """The last zxid of its tree, which may be (epoch, 0)."""
        self.logged = raw
        """The zxid of the last record that it gave to its disk."""
        self.is_serving = False


class Checks:
    """All checkers of a run."""

    def __init__(self, world: ChecksWorld) -> None:
        options = world.options
        self.world = world
        self.model = Model()
        self.chain = Chain(self._committed)
        self.configs = ConfigChecker(
            first_membership(options), self._change_claimed, partial(_saved_versions, world)
        )
        self.epochs = EpochChecker(self.chain)
        self.state = StateChecker()
        self.informs = InformChecker(self.chain)
        self.replies = ReplyChecker(
            self.model, self.configs, options.local_sessions, self.epochs.current
        )
        self.elections = 0
        self.observed = 0
        """How often an observer has begun to serve behind another server than the leader."""
        self.durability = DurabilityChecker(
            self.chain,
            self.configs,
            {sid: partial(_durable, world, sid) for sid in range(1, options.machines + 1)},
        )
        self._seen: dict[int, Seen] = {}

    # --- the life of a machine ------------------------------------------------------

    def started(self, machine: Watched) -> None:
        """Checks a machine that has read its disk and made its peer."""
        server, member = machine.peer.server, machine.member
        database = server.database
        seen = Seen(server, member.configs, max(0, database.last_zxid))
        self._seen[machine.sid] = seen
        self.epochs.seen(machine.sid, member.epochs, seen.raw)
        if seen.raw:
            self.state.seen(machine.name, self.chain.resolve(seen.raw), database)
        self.disk_changed(machine)

    def stopped(self, machine: Watched) -> None:
        """Forgets a machine that has crashed."""
        self._seen.pop(machine.sid, None)
        self.configs.stopped(machine.sid)

    def wiped(self, machine: Watched) -> None:
        """Forgets the epochs of a machine that has lost its data, and what only its log knew of
        configurations."""
        self.epochs.forget(machine.sid)
        self.configs.wiped(machine.sid, machine.disk.config.version)

    def disk_changed(self, machine: Watched) -> None:
        """Checks the disk of a machine after its log was cut, replaced, or read by a start."""
        self.durability.disk_changed(machine.sid)

    def restored(self, machine: Watched, zxid: int) -> None:
        """Takes the news that the log of a machine ends with ``zxid`` from now on. A voter that had
        lost its data has those of a leader now."""
        self.durability.lost.pop(machine.sid, None)
        seen = self._seen.get(machine.sid)
        if seen is not None:
            seen.logged = zxid
        self.configs.restored(machine.sid, zxid)
        self.disk_changed(machine)

    def logged(self, machine: Watched, records: list[bytes]) -> None:
        """Checks the records that a machine gives to its disk."""
        seen = self._seen[machine.sid]
        seen.logged = self.chain.logged(machine.name, seen.logged, records)
        if self.world.options.reconfig:
            for record in records:
                payload = payload_of(record)
                self.configs.logged(machine.sid, payload_zxid(payload), payload)

    def synced(self, machine: Watched, zxid: int) -> None:
        """Checks the files of a machine whose log is durable up to ``zxid``."""
        self.configs.synced(machine.sid, zxid, lambda: machine.disk.config.version)

    def sent(self, machine: Watched, socket: Socket, data: bytes) -> None:
        """Checks and traces what a machine writes to a link with a leader or an observer master."""
        if socket.kind == OBSERVERS:
            self.informs.sent(machine.name, socket, data)
        if self.world.trace.is_verbose:
            self.world.packets(machine, socket, data)

    # --- after each step ------------------------------------------------------------

    def stepped(self, machine: Watched) -> None:
        """Compares a machine that has taken an input with what was last seen of it."""
        seen = self._seen.get(machine.sid)
        if seen is None or not machine.is_up:
            return
        server, configs = seen.server, seen.configs
        database = server.database
        raw = database.tree.last_zxid
        if raw < 0:
            raw = 0
        is_serving = server.is_running and not server.is_read_only
        has_other_configs = (
            configs.committed is not seen.committed or configs.last_seen is not seen.last_seen
        )
        if raw == seen.raw and is_serving is seen.is_serving and database is seen.database:
            if has_other_configs:
                self._configs_changed(machine, seen)
            return
        who = machine.name
        if is_serving and not seen.is_serving:
            self._begins_to_serve(machine, seen, raw)
        if raw != seen.raw and not counter_of(raw) and raw:
            self.chain.bases.setdefault(epoch_of(raw), self.chain.resolve(seen.raw))
        if seen.is_serving and not is_serving:
            self.world.say(machine, "serves no more")
        seen.raw, seen.is_serving, seen.database = raw, is_serving, database
        if is_serving:
            zxid = self.chain.resolve(raw)
            self.chain.delivered(who, zxid)
            self.state.seen(who, zxid, database)
            self.configs.serving(machine.sid, configs, zxid)
        if has_other_configs:
            self._configs_changed(machine, seen)
        self.epochs.seen(machine.sid, machine.member.epochs, raw)

    def _configs_changed(self, machine: Watched, seen: Seen) -> None:
        configs = seen.configs
        seen.committed, seen.last_seen = configs.committed, configs.last_seen
        self.configs.seen(machine.sid, configs)

    def _begins_to_serve(self, machine: Watched, seen: Seen, raw: int) -> None:
        role = machine.role_name
        if role == "leader":
            epoch = epoch_of(raw)
            self.elections += 1
            base = self.chain.resolve(seen.raw)
            self.world.say(machine, f"leads epoch {epoch} with {format_zxid(base)}")
            known = self.chain.bases.setdefault(epoch, base)
            self.epochs.established(machine.sid, machine.life, epoch, base)
            self.replies.led(epoch, self.world.now_us)
            assert known == base, (known, base)
            self.world.established(machine.sid)
        else:
            master = machine.peer.server.role.gauges().get("observer_master_id")
            behind = ""
            if master is not None and self.world.machines[master].role_name != "leader":
                self.observed += 1
                behind = f" behind h{master}"
            self.world.say(machine, f"serves as {role}{behind} from {format_zxid(raw)}")

    def _committed(self, zxid: int, payload: bytes) -> None:
        self.configs.committed(zxid, payload)
        self.durability.committed(zxid)
        self.model.committed(zxid, payload)
        self.replies.committed(self.world.now_us)

    def _change_claimed(self, sid: int, zxid: int) -> None:
        """Checks a change of the configuration that a machine has put in force, if the transaction
        is in its history."""
        machine = self.world.machines[sid]
        if self.chain.contains(self.chain.resolve(machine.database.last_zxid), zxid):
            self.chain.delivered(machine.name, zxid)

    # --- the end --------------------------------------------------------------------

    def finish(self, machines: Sequence[Watched]) -> None:
        """Checks at the end of a run that these machines are equal."""
        first = machines[0]
        for machine in machines:
            check_counts(machine)
        for other in machines[1:]:
            compare(first.name, first.database, other.name, other.database)


def check_counts(machine: Watched) -> None:
    """Check that a server counts as under way exactly the requests that wait in its sessions, and
    that no client is throttled while there is room."""
    server = machine.peer.server
    waiting = [
        request
        for session in server.sessions.sessions.values()
        for request in session.queue
        if request.connection is not None
        and not (isinstance(request, QueuedRead) and request.is_parked)
    ]
    queues = server.queues
    counted = queues.outstanding, queues.outstanding_bytes
    real = len(waiting), sum(request.size for request in waiting)
    if counted != real:
        raise Violation("counts", f"{machine.name} counts {counted}, and there are {real}")
    throttled = len(queues.throttled)
    if throttled and not queues.is_full and queues.outstanding <= queues.outstanding_limit:
        raise Violation("counts", f"{machine.name} lets {throttled} clients wait for nothing")
    role = machine.inputs.role
    if isinstance(role, Leader):
        proposed = sum(len(proposal.payload) for proposal in role._outstanding.values())
        if role.intake.proposed_bytes != proposed:
            raise Violation(
                "counts", f"{role.intake.proposed_bytes} bytes proposed, and there are {proposed}"
            )


def _durable(world: ChecksWorld, sid: int) -> int:
    return world.machines[sid].disk.durable_zxid


def _saved_versions(world: ChecksWorld) -> dict[int, int]:
    return {sid: machine.disk.config.version for sid, machine in world.machines.items()}
