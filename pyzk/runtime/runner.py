"""The real world of one peer: gives it inputs, and has the effects that its driver asks for.

Shell. This is the only place where the pure core meets sockets, disk and time. A core call that
raises has left the state in doubt: the server stops at once, with the last inputs in its log. A
storage error stops it, too.

ZooKeeper: QuorumPeerMain, ZooKeeperServerMain
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pyzk.clock import Clock
from pyzk.config.server import WILDCARD, ServerConfig
from pyzk.data.database import Database
from pyzk.errors import StorageError
from pyzk.exit_codes import ExitCode
from pyzk.quorum.driver import Driver
from pyzk.quorum.peer import Peer
from pyzk.quorum.standalone import standalone_peer
from pyzk.runtime.activity import Activity
from pyzk.runtime.auth_providers import kerberos_of, with_custom_providers
from pyzk.runtime.client_port import ClientInputs, ClientProtocol
from pyzk.runtime.client_ports import ClientPorts
from pyzk.runtime.environment import (
    describe_environment,
    file_descriptors,
    first_reserved_descriptor,
    process_numbers,
    user_name,
    versions,
)
from pyzk.runtime.idle_polls import IdlePolls
from pyzk.runtime.seams import Seams, ServerStorage, Timer
from pyzk.runtime.sync_times import SHORT_SYNC_S
from pyzk.runtime.unread import Unread
from pyzk.server.connection import Connection
from pyzk.server.host import NO_PORT, Host

if TYPE_CHECKING:
    from pyzk.quorum.configurations import Configurations
    from pyzk.runtime.admin_ports import AdminPorts
    from pyzk.runtime.member_ports import MemberPorts
    from pyzk.server.arrival import Arrival

log = logging.getLogger(__name__)

RECENT_INPUTS: Final = 200
"""How many inputs are kept for the log of a broken invariant."""
_SHOWN_BYTES: Final = 48
MAX_RECENT_BYTES: Final = 1 << 14
"""What clients have sent in a turn is kept whole for that log if it is no longer than this."""
MAX_GATHERING_TURNS: Final = 8
"""After so many turns of the loop the log is written although writes keep coming."""
MAX_FED_BYTES: Final = 1 << 15
"""How many bytes of clients may wait for the end of a turn: the limits of the core hold for what it
has been given only."""
MAX_KEPT_BYTES: Final = 1 << 18
"""With more replies than this, to all clients, the rest of a turn waits until they are written: a
thousand clients may ask for a megabyte each."""
REQUEST_S: Final = 15e-6
"""About how long a turn takes for each client that it answers, or whose write it has logged."""
MAX_SYNCED_BYTES: Final = 1 << 15
MAX_SYNCED_RECORDS: Final = 64
"""For more records the loop does not wait until they are durable: clients that send so many have
sent others meanwhile, which it can serve while the disk thread syncs."""
MANY_RECORDS: Final = 128
"""The number of records that an idle disk gets before the turn ends. If all clients waited for the
disk together, it would then wait for them: a third of the time (scripts/bench, set 50x20)."""
LAST_TURNS: Final = 4
"""In so many turns the loop has dropped whoever it had accepted when the ports closed: a turn each
for the task, for the transport, for the news that it is connected, and for the end of it."""


class PeerRunner(ClientInputs):
    """One server process, or one server among others in a test."""

    def __init__(self, config: ServerConfig, seams: Seams | None = None) -> None:
        config = self.config = with_custom_providers(config)
        self.clock = Clock()
        self.unread = Unread()
        self.first_reserved_descriptor = first_reserved_descriptor()
        """The sockets of clients have lower descriptors."""
        self.peer: Peer
        seams = seams or Seams()
        self.storage: ServerStorage = seams.storage or _file_storage(config)
        self._time = seams.time
        self._seams = seams
        self._clients = ClientPorts(
            self, config, seams.wrap, seams.wrap_tls, self._clients_taken_at, self.call_later
        )
        self._network = seams.network
        self._member: MemberPorts | None = None
        """The ports of a member of an ensemble; None for a lone server."""
        self.admin: AdminPorts | None = None
        """The ports for HTTP; None if the configuration has none."""
        self._loop: asyncio.AbstractEventLoop
        self._timer: Timer | None = None
        self._driver: Driver
        self._when_serving: Callable[[], None] | None = None
        self._is_closing = False
        self._fed: list[tuple[Connection, bytes]] = []
        """What clients have sent in this turn of the loop, in the order in which it came."""
        self._fed_bytes = 0
        self._is_turn_due = False
        """Whether the loop is going to call ``_end_turn``."""
        self._activity = Activity()
        # A server that is given its time shares the interpreter with its clients.
        self.idle_polls = IdlePolls(config.idle_poll_us if self._time is None else 0)
        self._is_ending_turn = False
        self._ends_turn_next = False
        """Whether a turn that becomes due is ended by who has asked for it: there is no need to go
        round the loop."""
        self._answered = 0
        """How many clients the turn that ends has answered."""
        self._durable_zxid = 0
        """The zxid of a write that the loop has made durable in this turn; 0 if there is none."""
        self._recent: deque[tuple[object, object]] = deque(maxlen=RECENT_INPUTS)
        """The last inputs: the connection or what else they came from, and what they were."""
        self._stopped: asyncio.Future[int]
        self.client_address: tuple[str, int] = ("", 0)
        """The address and port where clients connect; known once ``start`` has returned, and
        another one when a reconfiguration has moved it. Without a client port it is that of
        secureClientPort."""
        self.secure_client_address: tuple[str, int] | None = None
        """The address of secureClientPort once ``start`` has returned; None if there is none."""
        self._host: Host | None = None
        self.failure: BaseException | None = None
        """The error that stopped the server; None if it runs, or ended because it was asked to."""

    async def start(self) -> None:
        """Loads the database, starts the peer and opens the client port.

        Raises StorageError, ConfigError, OSError when the port cannot be opened, or
        ElectionPortError.
        """
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._clients.open(self._seams.listeners, self._seams.secure_listeners)
        try:
            if self.config.admin is not None or self.config.is_told_to_prometheus:
                from pyzk.runtime.admin_ports import AdminPorts  # few tests need it

                self.admin = AdminPorts(self, self._clients.keys, self._seams.admin_listeners)
            database = self.storage.open()
            self._take_saved()
            self.read_clock()
            self._make_peer(database)
            self._describe()
            self.storage.start(self._loop, self._log_synced, self._storage_failed)
            if self._member is not None:
                await self._member.listen()
                self.read_clock()
            self._driver.start(wants_snapshot=self.storage.wants_snapshot)
        except BaseException:
            self._clients.close()
            self._cancel_timer()
            if self.admin is not None:
                self.admin.abort()
            if self._member is not None:
                self._member.abort()
            self.storage.release()
            raise
        await self._clients.serve()
        if self.admin is not None:
            self.admin.open()

    def _take_saved(self) -> None:
        """Goes by the configurations of the ensemble that a member has saved beside its data, if it
        has. Raises ConfigError, and OSError when the client port cannot be opened there."""
        saved, ensemble = self.storage.saved_configs, self.config.ensemble
        if saved is None or ensemble is None:
            return
        told = ensemble.with_saved(saved.committed, saved.last_seen)
        host = None if told.client_host == WILDCARD else told.client_host
        config = replace(self.config, ensemble=told, client_port=told.client_port)
        self.config = replace(config, client_port_address=host)
        if told.client_address != ensemble.client_address:
            self._clients.open_elsewhere(host, told.client_port)

    def _make_peer(self, database: Database) -> None:
        config = self.config
        ensemble = config.ensemble
        rng = random.SystemRandom()  # nobody may guess what a client has to answer
        if ensemble is None:
            self.peer = standalone_peer(config, database, self.clock, rng)
            self._driver = Driver(self.peer, self, gathering_turns=MAX_GATHERING_TURNS)
            return
        # A lone server has no use for these, and starts sooner without.
        from pyzk.quorum.lifecycle import member_peer
        from pyzk.runtime.member_ports import MemberPorts

        epochs = self.storage.epochs
        assert epochs is not None, "storage of a member was opened"
        self.peer, life = member_peer(config, ensemble, database, epochs, self.clock, rng)
        self._member = MemberPorts(self, life, ensemble, self.storage, self._network)
        self._driver = Driver(self.peer, self, self._member)

    @property
    def role(self) -> str:
        """The role of the server in words; empty while a member does not serve."""
        return self.peer.status().role

    @property
    def configurations(self) -> Configurations | None:
        """The configurations of the ensemble that a member goes by; None for a lone server."""
        return None if self._member is None else self._member.configurations

    def when_serving(self, call: Callable[[], None]) -> None:
        """Calls back once clients are served: at once, or when a member has found its place."""
        if self.role:
            call()
        else:
            self._when_serving = call

    def _describe(self) -> None:
        self._host = Host(
            storage_report=self.storage.report,
            file_descriptors=file_descriptors,
            process=process_numbers,
            versions=versions,
            environment=describe_environment,
            tls_handshakes=partial(getattr, self._clients, "handshake_count"),
            sync_wait_ms=self.storage.sync_wait_ms,
            user=user_name(),
            kerberos=kerberos_of(self.config, self._loop, self.take_in),
        )
        self._clients_taken_at()
        self.peer.run_on(self._host)
        self.storage.metrics = self.peer.metrics

    def _clients_taken_at(self) -> None:
        plain, secure = self._clients.address, self._clients.secure_address
        self.client_address = plain or secure or ("", 0)
        self.secure_client_address = secure
        if self._host is not None:
            self._host.client_address = plain or ("", NO_PORT)
            self._host.secure_client_port = NO_PORT if secure is None else secure[1]

    def reload_keys(self) -> bool:
        """Reads keys and certificates again if their files have changed; tells whether it did."""
        are_new = self._clients.reload_keys()
        are_new = (self.admin is not None and self.admin.reload_keys()) or are_new
        return (self._member is not None and self._member.reload_keys()) or are_new

    def take_clients_at(self, host: str, port: int) -> None:
        """Takes clients at another address from now on; those that are connected stay."""
        ensemble = self.config.ensemble
        assert ensemble is not None, "a member moves"
        where = None if host == WILDCARD else host
        self._clients.move(self, where, port, f"server.{ensemble.my_sid}")

    # --- inputs ---------------------------------------------------------------------

    def read_clock(self) -> None:
        """Sets the clock of the core to now."""
        if self._time is not None:
            self._time.read(self.clock)
            return
        self.clock.now_ms = time.monotonic_ns() // 1_000_000
        self.clock.wall_ms = time.time_ns() // 1_000_000

    def admits(self, host: str, descriptor: int, *, is_on_secure_port: bool) -> bool:
        """Tells, before a handshake of TLS, whether a client of this host may be taken."""
        return self._has_descriptors(host, descriptor) and not self.peer.is_full_for(
            host, is_on_secure_port
        )

    def _has_descriptors(self, host: str, descriptor: int) -> bool:
        if descriptor < self.first_reserved_descriptor:
            return True
        # The system gives the lowest one that is free: so many are open. The rest is for logs
        # and snapshots, for the server would stop if it could not open one.
        self.peer.reject(host, f"the process has {descriptor} open files (ulimit -n)")
        return False

    def handshake_failed(self) -> None:
        """Takes the news that a handshake of TLS has failed."""
        self.peer.metrics.unsuccessful_handshake += 1
        self.peer.metrics.auth_failed_count += 1

    def handshake_exceeded(self) -> None:
        """Takes the news that there were too many handshakes of TLS."""
        self.peer.metrics.tls_handshake_exceeded += 1

    def accept(self, arrival: Arrival) -> Connection | None:
        """Takes a client that has connected; None refuses it."""
        if self._is_closing:
            return None  # the loop had accepted it when the port closed; nobody would close it
        self.read_clock()
        if not self._has_descriptors(arrival.host, arrival.descriptor):
            return None
        return self.peer.accept(arrival)

    def feed(self, connection: Connection, data: bytes) -> None:
        """Takes bytes of a client. The first of a turn of the loop are served at once, or a lone
        client would wait for nothing. The core gets the others when the turn ends.

        So the sockets are all read, then all requests served, then all replies written: half the
        processor time of going from one to the next for each socket (scripts/bench, get 50x1).
        """
        if self._is_closing:
            return
        self._fed.append((connection, data))
        self._fed_bytes += len(data)
        if not self._is_turn_due or self._fed_bytes >= MAX_FED_BYTES:
            self.settle()
            self.end_turn_soon()

    def settle(self) -> None:
        """Gives the core at once what clients have sent, because what comes next came later."""
        if self._fed:
            try:
                self._take_fed()
                self._driver.flush()
                if len(self.peer.outbox.log) >= MANY_RECORDS and self.storage.is_idle:
                    self._driver.hand_over()
            except Exception as error:
                self._break(error)

    def _take_fed(self) -> None:
        fed = self._fed
        # All at once, and as they are: noting one after the other cost a tenth of a lone get.
        self._recent.extend(
            fed
            if self._fed_bytes <= MAX_RECENT_BYTES
            else [(connection, data[:_SHOWN_BYTES]) for connection, data in fed]
        )
        self._fed = []
        self._fed_bytes = 0
        self.idle_polls.has_heard = True
        self.read_clock()
        activity = self._activity
        metrics = self.peer.metrics
        written = metrics.response_bytes
        for connection, data in fed:
            activity.hear(connection)
            connection.receive(data)
            if metrics.response_bytes - written > MAX_KEPT_BYTES:
                self._driver.flush()
                written = metrics.response_bytes

    def resume(self, connection: Connection, reason: int) -> None:
        """Takes the news that a reason for a connection to stall is gone."""
        if not self._is_closing:
            self._take(connection, "resume", partial(connection.resume, reason))

    def resume_soon(self, connection: Connection, reason: int) -> None:
        """Resumes in the next turn of the loop, so that other connections have their turn first."""
        self._loop.call_soon(self.resume, connection, reason)

    def lost(self, connection: Connection) -> None:
        """Takes the news that the socket of a connection is gone."""
        self.settle()
        self._activity.forget(connection)
        self._take(connection, "lost", connection.closed)

    def _log_synced(self, zxid: int) -> None:
        self._take("log_synced", zxid, partial(self.peer.log_synced, zxid))

    def _wake(self) -> None:
        self.settle()  # a session whose client has been heard does not expire
        self.read_clock()
        self._recent.append(("wake", self.clock.now_ms))
        self._timer = None
        try:
            self._driver.wake()
        except Exception as error:
            self._break(error)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds of this server's time."""
        call_later = self._loop.call_later if self._time is None else self._time.call_later
        return call_later(seconds, callback)

    def take_in(self, source: str, what: object, call: Callable[[], object]) -> None:
        """Takes an input of a member: from another member, or an answer of its disk."""
        if not self._is_closing:
            self._take(source, _shown(what), call)

    def guard(self, call: Callable[[], None]) -> None:
        """Calls something that takes from the peer what it has to send."""
        try:
            call()
        except Exception as error:
            self._break(error)

    def perform(self, order: Callable[[], None]) -> None:
        """Does something to the peer that is not one of its inputs, as an operator may order."""
        self.settle()
        self._take("order", "", order)

    def _take(self, source: object, what: object, call: Callable[[], object]) -> None:
        self.read_clock()
        self._recent.append((source, what))
        try:
            call()
            self._driver.flush()
        except Exception as error:
            self._break(error)

    # --- outputs: what `quorum.driver` asks for -----------------------------------------

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Hands log records to the disk, or waits until they are durable."""
        within_s = self._may_wait_s(records, last_zxid) if self._is_ending_turn else 0.0
        self._activity.log()
        if within_s and self.storage.commit_here(records, within_s):
            self._durable_zxid = last_zxid
        else:
            self.storage.append(records, last_zxid)

    def _may_wait_s(self, records: list[bytes], last_zxid: int) -> float:
        """Returns for how many seconds the loop may wait for the disk at the end of a turn, rather
        than pay for the wake-ups of two threads; 0 if it may not.

        It waits for one client that nobody else shares the server with, and at the end of a turn
        that has taken as long as a sync (docs/decisions/0029). A follower waits while no client is
        active here and nothing else is on its way; a leader never, for others wait for it (0047).
        """
        count = len(records)
        if count > MAX_SYNCED_RECORDS or sum(map(len, records)) > MAX_SYNCED_BYTES:
            return 0.0
        if self._member is None:
            is_lone = self._activity.is_of_one
            return SHORT_SYNC_S if is_lone else REQUEST_S * (self._answered + count)
        is_idle = not self._activity.has_heard and self.peer.follows_alone(count, last_zxid)
        return SHORT_SYNC_S if is_idle else 0.0

    def take_snapshot(self, database: Database) -> None:
        """Has a snapshot of the present state written."""
        self.storage.take_snapshot(database)

    def write(self, connection: Connection) -> None:
        """Writes to a client."""
        protocol = connection.shell
        if isinstance(protocol, ClientProtocol):
            protocol.flush(connection)
        else:
            connection.out.clear()

    def end_turn_soon(self) -> None:
        """Ends the turn when the loop has taken in what the sockets have now."""
        if not self._is_turn_due:
            self._is_turn_due = True
            if not self._ends_turn_next:
                self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_turn_due = False
        try:
            if self._fed:
                self._take_fed()
            self._is_ending_turn = True
            self._answered = len(self.peer.outbox.dirty)
            self._driver.end_turn()
        except StorageError as failure:
            self._storage_failed(failure)
            return
        except Exception as bug:
            self._break(bug)
            return
        finally:
            self._is_ending_turn = False
        if self._durable_zxid and self.failure is None:
            self._take_durable()
        activity = self._activity
        if activity.is_of_one and not activity.has_logged and not self._is_closing:
            self.idle_polls.begin(self._loop)
        call = self._when_serving
        if call is not None and self.role and not self._is_closing:
            self._when_serving = None
            call()

    def _take_durable(self) -> None:
        """Tells the core what the loop has made durable. A follower's answer to its leader goes at
        once: the turn that it makes due has nothing else to wait for."""
        zxid, self._durable_zxid = self._durable_zxid, 0
        self._ends_turn_next = self._member is not None and not self._is_turn_due
        self._log_synced(zxid)
        if self._ends_turn_next:
            self._ends_turn_next = False
            if self._is_turn_due:
                self._end_turn()

    def wake_at(self, at_ms: int) -> None:
        """Sets the timer."""
        self._cancel_timer()
        self._timer = self.call_later(max(0, at_ms - self.clock.now_ms) / 1000, self._wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the end --------------------------------------------------------------------

    def request_stop(self) -> None:
        """Asks for a clean end; ``serve_until_stopped`` returns 0."""
        self._end(0)

    async def serve_until_stopped(self) -> int:
        """Serves; returns the exit code when the server has ended and released everything."""
        code = await self._stopped
        await self.close()
        return code

    async def close(self) -> None:
        """Closes the ports, the connections and the storage; what was logged is synced."""
        if self.admin is not None:
            await self.admin.close()
        self._cancel_timer()
        self.storage.stop_timers()
        self._clients.close()
        self.settle()
        self.peer.stop_serving()
        self._driver.close()
        # From here on nothing more is taken; what was, is synced and answered.
        self._is_closing = True
        protocols = [connection.shell for connection in self.peer.connections]
        if self.storage.blocks:
            await asyncio.get_running_loop().run_in_executor(None, self.storage.close)
        else:
            self.storage.close()
        await asyncio.sleep(0)  # the answers to what was synced last
        for protocol in protocols:
            if isinstance(protocol, ClientProtocol):
                protocol.close()
        if self._member is not None:
            self._member.close()
        for _turn in range(LAST_TURNS):
            await asyncio.sleep(0)

    def kill(self) -> None:
        """Ends like a process that is killed: clients hear nothing, unsynced records are lost."""
        self._is_closing = True
        self._cancel_timer()
        self.storage.stop_timers()
        self._drop_everything()
        self.storage.abandon()

    def _end(self, code: int) -> None:
        if not self._stopped.done():
            if code:
                self.peer.metrics.unrecoverable_error_count += 1
            self._stopped.set_result(code)

    def fail(self, error: Exception) -> None:
        """Stops the server: something that nobody expected has gone wrong in one of its ports."""
        self._break(error)

    def _break(self, error: Exception) -> None:
        """Stops the server after a broken invariant, so that it never answers from this state."""
        self.failure = error
        log.critical("internal error, the server stops: %s", error, exc_info=error)
        for source, what in self._recent:
            origin = source.port if isinstance(source, Connection) else source
            log.error("last inputs: %s %r", origin, _shown(what))
        self._drop_everything()
        self._end(ExitCode.UNEXPECTED_ERROR)

    def _storage_failed(self, error: BaseException) -> None:
        """Stops the server: the log is not durable, so no request may be answered any more."""
        self.failure = error
        log.critical("storage failed, the server stops: %s", error)
        self._drop_everything()
        self._end(ExitCode.UNEXPECTED_ERROR)

    def _drop_everything(self) -> None:
        self._driver.abandon()
        self._fed.clear()
        if self._member is not None:
            self._member.abort()
        if self.admin is not None:
            self.admin.abort()
        self._clients.close()
        for connection in list(self.peer.connections):
            protocol = connection.shell
            if isinstance(protocol, ClientProtocol):
                protocol.abort()


def _shown(what: object) -> object:
    """Return what the log shows of an input."""
    return what[:_SHOWN_BYTES] if isinstance(what, bytes) else what


def _file_storage(config: ServerConfig) -> ServerStorage:
    from pyzk.runtime.storage import Storage  # servers in memory start sooner without

    return Storage(config)
