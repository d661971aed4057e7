"""The peer: one server as a deterministic state machine.

Pure. Answers to QuorumPeer. A world (the real server, a test, the simulator) sets the clock,
calls an input, and drains the outbox; same inputs, same order, same clock, same seed: same bytes.

Inputs: ``start``, ``accept`` and the connection's ``receive``/``closed``/``resume``,
``log_synced``, ``wake``; of a member also what comes on its links and what the disk answers. Behind
them ``flush``, then the outbox is drained. One deadline says when ``wake`` is wanted next.
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.quorum.standalone import Standalone
from pyzk.server import containers
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.request import Request
from pyzk.server.server import Server

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.quorum.election_links import ElectionLink, ElectionLinks
    from pyzk.quorum.epochs import Epochs
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.quorum.link import QuorumLink

log = logging.getLogger(__name__)

_NEVER_MS: Final = 1 << 62
_CLEANERS: Final = ("standalone", "leader")
"""Modes of the one server that deletes empty containers and outdated znodes."""


class Peer:
    """One member; its role decides what becomes of writes."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        clock: Clock,
        rng: Random,
        ensemble: EnsembleConfig | None = None,
        epochs: Epochs | None = None,
    ) -> None:
        """``ensemble`` and ``epochs``: of a member; a server without them stands alone."""
        self.config = config
        self.database = database
        self.clock = clock
        self.outbox = Outbox()
        self.server = Server(config, database, clock, self.outbox, rng)
        self._rng = rng
        self._heartbeat_ms = max(1, config.tick_time_ms // 2)
        self._woken_ms = clock.now_ms
        self._container_check_ms = clock.now_ms + config.container_check_interval_ms
        self.life: MemberLife | None = None
        """What a member of an ensemble is beside a server."""
        if ensemble is not None:
            assert epochs is not None, "a member without epochs"
            # Only here: a server that stands alone starts sooner without.
            from pyzk.quorum.lifecycle import MemberLife

            self.life = MemberLife(config, ensemble, self.server, epochs, clock, self.outbox, rng)

    def start(self) -> None:
        """Take the role that the configuration asks for; a member looks for a leader."""
        if self.life is not None:
            self.life.start()
            self.life.pump()
        else:
            self.become_standalone()

    def become_standalone(self) -> None:
        """Serve alone: ephemerals of sessions that did not survive go first."""
        assert not hasattr(self.server, "role"), self.server.role
        dead = self.database.kill_dead_sessions()
        if dead:
            log.info("removed %d ephemeral znodes of sessions that are gone", dead)
            # No transaction says so: a later start must find it in a snapshot.
            self.outbox.commands.append(TakeSnapshot())
        self.server.role = Standalone(self.server, self._rng)

    # --- inputs ---------------------------------------------------------------------

    def accept(self, host: str, port: int) -> Connection | None:
        """A client has connected; None refuses it."""
        return self.server.accept(host, port)

    def log_synced(self, zxid: int) -> None:
        """The log is durable up to and with ``zxid``."""
        if self.life is not None:
            self.life.log_synced(zxid)
        else:
            self.server.role.log_synced(zxid)

    def wake(self) -> None:
        """The deadline has passed: expire sessions, delete containers, end idle handshakes."""
        server = self.server
        stood_still_ms = self.clock.now_ms - self._woken_ms
        self._woken_ms = self.clock.now_ms
        server.close_idle_handshakes()
        if server.is_running:
            if stood_still_ms > self.config.tick_time_ms:
                # The deadline below asks for half a tick: this server, not its clients, was silent.
                server.sessions.postpone(stood_still_ms)
            server.touch_throttled()
            server.expire_sessions()
        self._delete_containers()
        if self.life is not None:
            self.life.wake()

    def _delete_containers(self) -> None:
        now = self.clock.now_ms
        if now < self._container_check_ms:
            return
        self._container_check_ms = now + self.config.container_check_interval_ms
        server = self.server
        if server.is_running and server.role.mode in _CLEANERS:
            for path in containers.due(server.tree, self.clock.wall_ms, self.config):
                server.role.submit(Request(None, None, 0, OpCode.DELETE_CONTAINER, path, (), now))

    # --- inputs of a member ---------------------------------------------------------

    @property
    def election_links(self) -> ElectionLinks:
        """What the driver of the election port performs: dials, writes, closes."""
        return self._life.links

    @property
    def _life(self) -> MemberLife:
        assert self.life is not None, "an input of a member to a server that stands alone"
        return self.life

    def flush(self) -> None:
        """Send what the connections' inputs have led to; before the outbox is drained."""
        if self.life is not None:
            self.life.flush()

    def stored(self, ticket: int) -> None:
        """The command with this ticket is durable."""
        self._life.stored(ticket)

    def restored(self, ticket: int, database: Database) -> None:
        """The database has been loaded again, for a TruncateLog or Reload."""
        self._life.restored(ticket, database)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """The records that a ReadLog asked for; None: a snapshot is cheaper."""
        self._life.log_read(ticket, records)

    def listen_failed(self, reason: str) -> None:
        """The quorum port that ListenForLearners ordered cannot be had, at none of its addresses;
        it is tried again."""
        self._life.listen_failed(reason)

    def link_accepted(self, name: str) -> QuorumLink | None:
        """Somebody has connected to the quorum port; None: close the connection."""
        return self._life.link_accepted(name)

    def link_up(self, link: QuorumLink) -> None:
        """A connection that DialLeader ordered is there."""
        self._life.link_up(link)

    def link_received(self, link: QuorumLink, data: bytes) -> None:
        """Bytes have come on a link."""
        self._life.link_received(link, data)

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """A link has ended, or could not be made."""
        self._life.link_down(link, reason)

    def election_accepted(self, name: str) -> ElectionLink:
        """Somebody has connected to the election port."""
        return self._life.links.accepted(name)

    def election_dialed(self, sid: int, name: str) -> ElectionLink:
        """A dial to a server's election port has succeeded."""
        return self._life.election_dialed(sid, name)

    def election_dial_failed(self, sid: int) -> None:
        """It could not be reached."""
        self._life.election_dial_failed(sid)

    def election_received(self, link: ElectionLink, chunk: bytes) -> None:
        """Bytes have come on an election link."""
        self._life.election_received(link, chunk)

    def election_written(self, link: ElectionLink) -> None:
        """What was written on an election link has left."""
        self._life.links.written(link)

    def election_closed(self, link: ElectionLink) -> None:
        """An election link has ended."""
        self._life.election_closed(link)

    # --------------------------------------------------------------------------------

    def skipped(self) -> None:
        """A clock that is not real was put forward over a time in which nothing fell due."""
        self._woken_ms = self.clock.now_ms

    @property
    def deadline(self) -> int:
        """The monotonic ms at which ``wake`` is wanted."""
        due = min(self.next_due, self._container_check_ms, self._woken_ms + self._heartbeat_ms)
        if self.life is not None:
            at = self.life.deadline
            if at is not None and at < due:
                return at
        return due

    @property
    def next_due(self) -> int:
        """The monotonic ms at which something falls due; the heartbeat alone does nothing, nor
        does looking for containers where there are none."""
        tree = self.server.tree
        due = self._container_check_ms if tree.containers or tree.ttls else _NEVER_MS
        for at in (self.server.sessions.deadline, self.server.handshake_deadline):
            if at is not None and at < due:
                due = at
        return due
