"""One server on one loop: its life, its time, and who waits for it.

Shell. Theory of operation: the server is a `PeerRunner`, the same that runs in production. What a
test controls are the things around it, handed in through `pyzk.runtime.seams`:

    sockets   `ClientLink`   sees every frame on its way in and out, and may hold, change or lose it
    time      `FixtureTime`  is real, or stands still until `advance`
    TLS       `TlsSocket`    is below TLS, where there is any, and holds or refuses handshakes
    disk      `Valve`        is in front of `MemoryStorage` or production's `Storage`
    port      `HeldPort`     has the same number across restarts

Each of them calls ``observe`` when the server has been given something. There the conditions of
waiting tests are checked, so no helper sleeps. `Gate` stops all of them at once: that is a pause.

Everything here runs on the loop; `ZooKeeperServer` and `AsyncZooKeeperServer` bring calls to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pyzk.config.server import ServerConfig
from pyzk.int64 import hex_id
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import MemberNetwork, Seams, ServerStorage
from pyzk.server.connection import CLOSED
from pyzk.server.server import Server
from pyzk.testing.core.eventlog import EventLog
from pyzk.testing.core.inspection import LeakedClient, list_sessions
from pyzk.testing.core.security import NO_SECURITY, Security
from pyzk.testing.core.settings import make_config
from pyzk.testing.core.waiting import Waiters
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.seams.client_link import ClientLink, describe_chunk
from pyzk.testing.seams.faults import Fault, FaultTable, operation_name
from pyzk.testing.seams.gate import Gate
from pyzk.testing.seams.ports import HeldPort
from pyzk.testing.seams.storage import MemoryStorage, Valve, empty_directories
from pyzk.testing.seams.timing import FixtureTime

if TYPE_CHECKING:
    from pyzk.testing.seams.tls_socket import TlsSocket

NEW: Final = "not started"
RUNNING: Final = "running"
PAUSED: Final = "paused"
KILLED: Final = "killed"
STOPPED: Final = "stopped"
BROKEN: Final = "broken"
ELSEWHERE: Final = "in the parent process"

_LAST_TURNS: Final = 50
"""How many turns of the loop closed sockets get before they are cut."""
_ADVANCE_TIMEOUT_S: Final = 60.0
MAX_S: Final = 1e9
"""The longest time that a test may ask for: thirty years."""


class Engine:
    """The server's life, from start to stop, any number of times."""

    def __init__(
        self,
        data_dir: str | None,
        *,
        host: str,
        port: int,
        virtual_clock: bool,
        options: Mapping[str, object],
        security: Security = NO_SECURITY,
    ) -> None:
        self.data_dir = data_dir
        self.secure(security, options, host, port)
        self.network: MemberNetwork | None = None
        """Where a member of an ensemble reaches the others; None for a single server."""
        self.state = NEW
        self.life = 0
        """Counts the starts and ends of the server; each socket belongs to one life."""
        self.gate = Gate()
        self.time = FixtureTime(self.gate, self.observe, is_virtual=virtual_clock)
        self.port = HeldPort(host, port)
        self.faults = FaultTable()
        self.waiters = Waiters()
        self.links: dict[ClientLink, None] = {}
        """The open sockets of clients."""
        self.sockets: dict[TlsSocket, None] = {}
        """The sockets below TLS, with those whose handshake is under way."""
        self.leaked: list[LeakedClient] = []
        """Clients that were connected at the last stop or reset."""
        self.inputs = 0
        """Counts the inputs of the server."""
        self.on_broken: Callable[[], object] | None = None
        """Called when the server stops by itself."""
        self.on_observed: Callable[[], object] | None = None
        """Called after each input of the server."""
        self._events = EventLog(lambda: self.time.now_ms)
        self._memory: MemoryStorage | None = None
        self._valve: Valve
        self._runner: PeerRunner | None = None
        self.own_sessions: set[int] = set()
        """Sessions of the fixture's own writes, which reports leave out."""
        self._known: dict[int, None] = {}
        """Session ids at the last look."""
        self._expired = 0

    def secure(
        self, security: Security, options: Mapping[str, object], host: str, port: int
    ) -> None:
        """Take in what the server is told, from the next start on."""
        self.security = security
        self.config: ServerConfig = security.applied(
            make_config(self.data_dir, host, port, security.options(host, options))
        )
        self.takes_plain = security.takes_plain(options)
        """Whether clients may come without TLS."""

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """Where the admin server is; None while there is none."""
        admin = None if self._runner is None else self._runner.admin
        return None if admin is None else admin.address

    # --- life -----------------------------------------------------------------------

    async def start(self) -> None:
        """Serve; return when a client can write."""
        self.port.listen()
        self.config = replace(self.config, client_port=self.port.port)
        try:
            await self._run()
        except BaseException:
            if self.state == NEW:
                self.port.release()
            else:
                self.port.refuse()
            self.time.bind(None)
            raise
        self.note(f"serving on {self.port.host}:{self.port.port}")

    async def _run(self) -> None:
        self.time.bind(asyncio.get_running_loop())
        self.life += 1
        # Session ids begin with the time: two lives within one millisecond must not share them.
        self.time.skip(1)
        if self.data_dir is None and self._memory is None:
            self._memory = MemoryStorage(self.config)
        storage: ServerStorage
        if self._memory is not None:
            storage = self._memory
        else:
            from pyzk.runtime.storage import Storage  # servers in memory start sooner without

            storage = Storage(self.config)
        self._valve = Valve(storage, self.gate, self.observe)
        listeners = self.port.listeners()
        runner = PeerRunner(
            self.config,
            Seams(
                storage=self._valve,
                time=self.time,
                listeners=listeners,
                wrap=partial(self._wrap, self.life),
                wrap_tls=partial(self._wrap_tls, self.life),
                network=self.network,
            ),
        )
        await runner.start()
        if runner.admin is not None:
            await runner.admin.opened()
        runner.peer.server.marks.divide_nothing()
        self._runner = runner
        self._known = dict.fromkeys(runner.peer.server.sessions.sessions)
        self._expired = 0
        self.state = RUNNING

    def _wrap(self, life: int, protocol: ClientProtocol) -> ClientLink:
        return ClientLink(self, protocol, life)

    def _wrap_tls(self, life: int, link: asyncio.Protocol) -> asyncio.Protocol:
        from pyzk.testing.seams.tls_socket import TlsSocket  # most have no TLS, and start sooner

        return TlsSocket(self, link, life)

    async def stop(self) -> None:
        """End as production does: what was taken is synced and answered."""
        runner = self._runner
        self._stop_accepting()
        await self._hear_out()
        self.leaked = self._leaks()
        self._leave(STOPPED)
        if runner is not None:
            for link in self.links:
                link.forget()
            await runner.close()
        await self._cut_off()
        self.time.bind(None)

    async def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut."""
        runner = self._runner
        self.gate.is_closed = True
        self._stop_accepting()
        await self._hear_out()
        self._leave(KILLED)
        if runner is not None:
            runner.kill()
        await self._cut_off()
        self.time.bind(None)

    def forget_parent(self) -> None:
        """Close in a forked child what the parent has open. Until the child ended, the parent's
        clients would not see the end of a connection, and its port would not be free."""
        if self._runner is None and self.port.port == 0:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        sockets = [link.outlet.socket_number for link in self.links if link.outlet is not None]
        sockets += [each.socket_number for each in self.sockets]
        for number in sockets + self.port.numbers():
            if number >= 0:
                # Not closed: the number is still known to objects that will close it.
                os.dup2(nowhere, number, inheritable=False)
        os.close(nowhere)
        if self.state in (RUNNING, PAUSED, KILLED, BROKEN):
            self.state = ELSEWHERE
        self._runner = None

    async def reset(self) -> None:
        """Become a new server with an empty tree. Its zxids continue those of the old one, as
        clients refuse a server that is behind them."""
        self.need(RUNNING, PAUSED)
        runner = self._runner
        assert runner is not None
        self._stop_accepting()
        await self._hear_out()
        self.leaked = self._leaks()
        zxid = runner.peer.database.last_zxid
        self.gate.clear()
        self.faults.clear()
        self.life += 1
        runner.kill()
        await self._cut_off()
        self.time.bind(None)
        if self._memory is not None:
            self._memory.reset(zxid)
        else:
            empty_directories(self.config, zxid)
        await self._run()
        self.note("reset")

    def _leave(self, state: str) -> None:
        """Begin the end: no more inputs, no more clients."""
        self._runner = None
        self.state = state
        self.life += 1
        self.gate.clear()
        self.faults.clear()
        self.port.refuse()
        self.note(state)
        self.waiters.fail(NotRunningError(explain(state)))

    def _stop_accepting(self) -> None:
        """Accept no more connections; new clients wait in the kernel's queue. asyncio loses a
        connection that it accepts in the turn before its server is closed, and leaves its socket
        open."""
        loop = asyncio.get_running_loop()
        for number in self.port.lent_numbers():
            loop.remove_reader(number)

    async def _hear_out(self) -> None:
        """Take in what clients have sent already, above all their goodbyes. A closed gate keeps it
        out."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def _cut_off(self) -> None:
        """Wait until every link knows that its socket is closed; cut those that are slow."""
        for turn in range(_LAST_TURNS):
            if not self.links and not self.sockets and self.config.admin is None:
                break  # visitors of an admin server are known to nobody here
            if turn == 3:
                for link in list(self.links):
                    link.cut()
                for below in list(self.sockets):
                    below.cut()
            await asyncio.sleep(0)
        self.links.clear()
        self.sockets.clear()

    def _leaks(self) -> list[LeakedClient]:
        return [
            LeakedClient(link.address, link.session_id, link.opened_in)
            for link in self.links
            if link.connection is not None and link.connection.state != CLOSED
        ]

    # --- pause ----------------------------------------------------------------------

    def pause(self) -> None:
        """Hear nothing and answer nothing; sockets stay open, clients can connect."""
        self.need(RUNNING)
        self.state = PAUSED
        self.gate.is_closed = True
        for link in self.links:
            if link.outlet is not None:
                link.outlet.hold_reading(True)
        self.note(PAUSED)

    def resume(self) -> None:
        """Go on with what has come meanwhile. The peer finds that it stood still."""
        if self.state != PAUSED:
            raise FixtureError(f"resume() ends a pause; {explain(self.state)}")
        self.state = RUNNING
        self.note("resumed")
        for link in list(self.links):
            if link.outlet is not None:
                link.outlet.hold_reading(False)
        self.gate.open()
        self.time.fire()

    # --- time -----------------------------------------------------------------------

    async def advance(self, seconds: float, keep_sessions: bool) -> None:
        """Let time pass; what falls due happens in order, or not at all while paused."""
        self.need(RUNNING, PAUSED)
        if not 0 <= seconds < MAX_S:
            raise FixtureError(f"time cannot advance by {seconds} s")
        end = self.time.now_ms + round(seconds * 1000)
        while self.state == RUNNING and self.time.now_ms < end:
            await self._step(end, keep_sessions)
        self.time.skip_to(end)
        self.observe()

    async def _step(self, end: int, keep_sessions: bool) -> None:
        """Go to the next moment at which something is due, but not beyond ``end``."""
        runner = self._runner
        assert runner is not None
        peer = runner.peer
        scheduled = self.time.next_scheduled_ms()
        due = peer.next_due if scheduled is None else min(scheduled, peer.next_due)
        self.time.skip_to(min(due, end))
        self.time.read(peer.clock)
        peer.skipped()
        if keep_sessions:
            tracker = peer.server.sessions
            for session in tracker.sessions.values():
                if session.connection is not None:
                    tracker.touch(session, peer.clock.now_ms)
        self.time.wake_runner()
        self.time.fire()
        if not self.is_disk_stalled:
            await self.waiters.wait(
                lambda: self.is_disk_quiet, _ADVANCE_TIMEOUT_S, lambda: "the disk does not answer"
            )

    @property
    def is_disk_quiet(self) -> bool:
        """Whether every write that was taken is durable, and answered."""
        assert self._runner is not None
        return not self._runner.peer.outbox.log and self._valve.is_quiet

    @property
    def is_disk_stalled(self) -> bool:
        return self._valve.is_stalled

    def stall_disk(self, is_stalled: bool) -> None:
        """Let nothing become durable from now on, or everything that has waited."""
        self.need(RUNNING, PAUSED)
        self._valve.stall(is_stalled)
        self.note("disk stalled" if is_stalled else "disk goes on")

    # --- the server -----------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The core of the running server. Raises NotRunningError."""
        if self._runner is None:
            raise NotRunningError(explain(self.state))
        return self._runner.peer.server

    def perform(self, order: Callable[[], None]) -> None:
        """Do something to the core between two inputs."""
        if self._runner is None:
            raise NotRunningError(explain(self.state))
        self._runner.perform(order)
        self.observe()

    def need(self, *states: str) -> None:
        """Raise NotRunningError in any other state."""
        if self.state not in states:
            raise NotRunningError(explain(self.state))

    # --- what happens ---------------------------------------------------------------

    def observe(self) -> None:
        """Follow what an input has changed: the state, the sessions, the conditions that tests wait
        for."""
        self.inputs += 1
        runner = self._runner
        if runner is None:
            return
        if runner.failure is not None and self.state in (RUNNING, PAUSED):
            self._break(runner.failure)
            return
        server = runner.peer.server
        if server.metrics.stale_sessions_expired != self._expired:
            self._note_expired(server)
        if len(server.sessions.sessions) != len(self._known):
            self._note_sessions(server)
        if self.waiters:
            self.waiters.check()
        if self.on_observed is not None:
            self.on_observed()

    def _note_expired(self, server: Server) -> None:
        self._expired = server.metrics.stale_sessions_expired
        for session in server.sessions.sessions.values():
            if session.is_closing:
                self.note(f"session {hex_id(session.session_id)} expires")

    def _note_sessions(self, server: Server) -> None:
        sessions = server.sessions.sessions
        for session_id in self._known:
            if session_id not in sessions and session_id not in self.own_sessions:
                self.note(f"session {hex_id(session_id)} is over")
        self._known = dict.fromkeys(sessions)

    def _break(self, failure: BaseException) -> None:
        self.state = BROKEN
        self.life += 1
        self.port.refuse()
        self.note(f"broken: {failure!r}")
        self.waiters.fail(NotRunningError(f"{explain(BROKEN)}: {failure!r}"))
        if self.on_broken is not None:
            self.on_broken()

    def note(self, text: str) -> None:
        """Keep an event for reports."""
        self._events.note(text)

    def heard(self, link: ClientLink, data: bytes) -> None:
        """Keep what a client sent for reports."""
        self._events.request(link.address, data, not link.has_met)

    def fired(self, fault: Fault, link: ClientLink, opcode: int, path: str | None) -> None:
        """Keep for reports that a fault has hit."""
        what = operation_name(opcode) + (f" {path}" if path else "")
        self.note(f"fault: {fault}, hit {what} of {link.address}")

    def event_lines(self) -> list[str]:
        """Return the last events and requests, oldest first."""
        return self._events.lines(describe_chunk)

    def report(self, events: int | None = None) -> str:
        """Return the state, the sessions, the faults and the last ``events`` (None: all)."""
        lines = [f"server on {self.port.host}:{self.port.port}, {self.state}"]
        if self._runner is not None:
            sessions = list_sessions(self.server, self.links)
            lines += [f"  {session}" for session in sessions] or ["  no session"]
        lines += [f"  in force: {fault}" for fault in self.faults.in_force]
        if self.faults.rejects:
            lines.append("  in force: connections are rejected")
        last = self.event_lines()
        earlier = 0 if events is None else max(0, len(last) - events)
        lines.append(
            f"last events ({earlier} earlier ones left out):" if earlier else "last events:"
        )
        lines += [f"  {line}" for line in last[earlier:]]
        return "\n".join(lines)


def explain(state: str) -> str:
    """Return what is wrong with using a server in this state, and what to do."""
    return {
        NEW: "the server is not started: call start(), or use it as a context manager",
        RUNNING: "the server is running",
        PAUSED: "the server is paused: call resume() first",
        KILLED: "the server is killed: restart() brings it up again with what was synced",
        STOPPED: "the server is stopped: restart() brings it up again with its data",
        BROKEN: "the server has stopped by itself, its log says why",
        ELSEWHERE: "the server runs in the process from which this one was forked: clients can"
        " connect from here, the methods of the server work only there",
    }[state]
