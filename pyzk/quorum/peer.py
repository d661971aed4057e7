"""The peer: one server as a deterministic state machine.

Pure. A world (the real server, a test, the simulator) sets the clock, calls an input and lets
`quorum.driver` carry out what has come of it. Same inputs, same order, same clock, same seed: same
bytes.

Inputs are ``start``, ``accept`` and the connection's ``receive``/``closed``/``resume``,
``log_synced`` and ``wake``; those of a member are in `quorum.lifecycle`. One deadline says when
``wake`` is wanted next.

ZooKeeper: QuorumPeer
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.server import containers
from pyzk.server.outbox import TakeSnapshot
from pyzk.server.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyzk.clock import Clock
    from pyzk.data.database import Database
    from pyzk.metrics import Metrics
    from pyzk.quorum.contract import Life
    from pyzk.server.arrival import Arrival
    from pyzk.server.connection import Connection
    from pyzk.server.host import Host
    from pyzk.server.outbox import Outbox
    from pyzk.server.server import Server

_NEVER_MS: Final = 1 << 62
_CLEANERS: Final = ("standalone", "leader")
"""The modes of the one server that deletes empty containers and outdated znodes."""
LOOKING: Final = "looking"


class Status:
    """What a peer is at one moment."""

    __slots__ = ("is_running", "last_zxid", "leader_sid", "mode")

    def __init__(self, mode: str, leader_sid: int | None, is_running: bool, last_zxid: int) -> None:
        self.mode: str = mode
        """One of standalone, leader, follower, observer, read-only; looking between two roles."""
        self.leader_sid: int | None = leader_sid
        """The sid of the leader, if another server leads."""
        self.is_running: bool = is_running
        """Whether clients are served."""
        self.last_zxid: int = last_zxid

    @property
    def role(self) -> str:
        """The role in words, as `follower of server 2`; empty while no clients are served."""
        if not self.is_running:
            return ""
        return self.mode if self.leader_sid is None else f"{self.mode} of server {self.leader_sid}"


class Peer:
    """One server: its clients, and a life that decides what becomes of their writes."""

    def __init__(self, server: Server, life: Life) -> None:
        config = server.config
        self.server: Server = server
        self.clock: Clock = server.clock
        self.outbox: Outbox = server.outbox
        self._life: Life = life
        self.moves_deadline: bool = life.moves_deadline
        ensemble = config.ensemble
        self._takes_observers: bool = ensemble is not None and ensemble.observer_master_port != 0
        self._tick_ms: int = config.tick_time_ms
        self._heartbeat_ms: int = max(1, config.tick_time_ms // 2)
        self._woken_ms: int = self.clock.now_ms
        self._container_interval_ms: int = config.container_check_interval_ms
        self._container_check_ms: int = self.clock.now_ms + self._container_interval_ms

    @property
    def life(self) -> Life:
        """What decides the role of this server."""
        return self._life

    @property
    def database(self) -> Database:
        """The replicated state; a member replaces it when it is synchronized."""
        return self.server.database

    @property
    def metrics(self) -> Metrics:
        """The numbers that the server counts; its storage adds to them."""
        return self.server.metrics

    def run_on(self, host: Host) -> None:
        """Takes, before the start, what the world knows of the process and the machine."""
        self.server.host = host

    @property
    def connections(self) -> Iterable[Connection]:
        """The connections of clients, whether they have a session or not."""
        return self.server.connections

    def status(self) -> Status:
        """Returns what this peer is now."""
        server = self.server
        mode, leader_sid = self._life.status
        if server.is_running:
            mode = server.role.mode
        return Status(mode, leader_sid, server.is_running, server.database.last_zxid)

    def follows_alone(self, count: int, last_zxid: int) -> bool:
        """Tells whether this server is a follower that serves, its last ``count`` log records,
        which end with ``last_zxid``, are all that is not committed here, and neither a client of
        its own waits for a write nor perhaps one of an observer."""
        server = self.server
        return (
            server.is_running
            and server.role.mode == "follower"
            and not server.outstanding
            and not self._takes_observers
            and last_zxid - count == server.database.last_zxid
        )

    # --- inputs ---------------------------------------------------------------------

    def start(self, *, wants_snapshot: bool = False) -> None:
        """Takes the role that the configuration asks for. ``wants_snapshot``: the start has read
        so much of the log that the next one should find a snapshot."""
        self._life.start()
        commands = self.outbox.commands
        if wants_snapshot and not any(isinstance(each, TakeSnapshot) for each in commands):
            commands.append(TakeSnapshot())

    def accept(self, arrival: Arrival) -> Connection | None:
        """Takes a client that has connected; None refuses it."""
        return self.server.accept(arrival)

    def is_full_for(self, host: str, is_on_secure_port: bool) -> bool:
        """Tells, before ``accept``, whether a limit keeps a client of this host out."""
        return self.server.is_full_for(host, is_on_secure_port)

    def reject(self, host: str, limit: str) -> None:
        """Logs a client of ``host`` that the world does not take because of ``limit``."""
        self.server.rejected(host, limit)

    def stop_serving(self) -> None:
        """Takes no further client: the server is about to stop."""
        self.server.is_serving = False

    def log_synced(self, zxid: int) -> None:
        """Takes the news that the log is durable up to and with ``zxid``."""
        self._life.log_synced(zxid)

    def go_on(self) -> None:
        """Does the next piece of what was left unfinished, for others to have their turn."""
        self._life.go_on()

    def wake(self) -> None:
        """Does what is due: expires sessions, deletes containers, ends idle handshakes."""
        server = self.server
        stood_still_ms = self.clock.now_ms - self._woken_ms
        self._woken_ms = self.clock.now_ms
        server.close_idle_handshakes()
        if server.is_running:
            if stood_still_ms > self._tick_ms:
                # The deadline below asks for half a tick: this server, not its clients, was silent.
                server.sessions.postpone(stood_still_ms)
            server.touch_throttled()
            server.expire_sessions()
            if server.queues.line is not None:
                server.queues.line.go_on()
        self._delete_containers()
        self._life.wake()

    def _delete_containers(self) -> None:
        now = self.clock.now_ms
        if now < self._container_check_ms:
            return
        self._container_check_ms = now + self._container_interval_ms
        server = self.server
        if server.is_running and server.role.mode in _CLEANERS:
            for path in containers.due(server.tree, self.clock.wall_ms, server.config):
                server.role.submit(Request(None, None, 0, OpCode.DELETE_CONTAINER, path, (), now))

    def flush(self) -> None:
        """Puts into the outbox what the inputs have led to; called before the driver reads it."""
        self._life.flush()

    # --- time -----------------------------------------------------------------------

    def skipped(self) -> None:
        """Takes the news that a clock that is not real was put forward over a time in which nothing
        fell due."""
        self._woken_ms = self.clock.now_ms

    @property
    def deadline(self) -> int:
        """The monotonic ms at which ``wake`` is wanted."""
        # Without min(): every turn asks, and of a lone get this was an eighth of all instructions.
        due = self.next_due
        if self._container_check_ms < due:
            due = self._container_check_ms
        if self._woken_ms + self._heartbeat_ms < due:
            due = self._woken_ms + self._heartbeat_ms
        at = self._life.deadline
        return at if at is not None and at < due else due

    @property
    def next_due(self) -> int:
        """The monotonic ms at which something falls due. The heartbeat does not count, for it alone
        does nothing; the look for containers does not count where there are none."""
        tree = self.server.tree
        due = self._container_check_ms if tree.containers or tree.ttls else _NEVER_MS
        at = self.server.sessions.deadline
        if at is not None and at < due:
            due = at
        at = self.server.handshake_deadline
        if at is not None and at < due:
            due = at
        return due
