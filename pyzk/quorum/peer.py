"""The peer: one server as a deterministic state machine.

Pure. Answers to QuorumPeer. A world (the real server, a test, the simulator) sets the clock,
calls an input, and drains the outbox; same inputs, same order, same clock, same seed: same bytes.

Inputs: ``start``, ``accept`` and the connection's ``receive``/``closed``/``resume``,
``log_synced``, ``wake``. One deadline says when ``wake`` is wanted next.
"""

from __future__ import annotations

import logging
from random import Random
from typing import Final

from pyzk.clock import Clock
from pyzk.config import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.server import containers
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.request import Request
from pyzk.server.server import Server
from pyzk.server.standalone import Standalone

log = logging.getLogger(__name__)

_NEVER_MS: Final = 1 << 62


class Peer:
    """One member; its role decides what becomes of writes."""

    def __init__(self, config: ServerConfig, database: Database, clock: Clock, rng: Random) -> None:
        self.config = config
        self.database = database
        self.clock = clock
        self.outbox = Outbox()
        self.server = Server(config, database, clock, self.outbox, rng)
        self._rng = rng
        self._heartbeat_ms = max(1, config.tick_time_ms // 2)
        self._woken_ms = clock.now_ms
        self._container_check_ms = clock.now_ms + config.container_check_interval_ms

    def start(self) -> None:
        """Take the role that the configuration asks for."""
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
        self.server.role.log_synced(zxid)

    def wake(self) -> None:
        """The deadline has passed: expire sessions, delete containers, end idle handshakes."""
        server = self.server
        stood_still_ms = self.clock.now_ms - self._woken_ms
        self._woken_ms = self.clock.now_ms
        if stood_still_ms > self.config.tick_time_ms:
            # The deadline below asks for half a tick: this server, not its clients, was silent.
            server.sessions.postpone(stood_still_ms)
        server.expire_sessions()
        server.close_idle_handshakes()
        now = self.clock.now_ms
        if now >= self._container_check_ms:
            self._container_check_ms = now + self.config.container_check_interval_ms
            for path in containers.due(server.tree, self.clock.wall_ms, self.config):
                server.role.submit(Request(None, None, 0, OpCode.DELETE_CONTAINER, path, (), now))

    def skipped(self) -> None:
        """A clock that is not real was put forward over a time in which nothing fell due."""
        self._woken_ms = self.clock.now_ms

    @property
    def deadline(self) -> int:
        """The monotonic ms at which ``wake`` is wanted."""
        return min(self.next_due, self._container_check_ms, self._woken_ms + self._heartbeat_ms)

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
