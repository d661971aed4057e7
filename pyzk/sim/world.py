"""Time, events, and everything that takes part in a run.

Pure. One heap has all events, in virtual microseconds; events of the same microsecond happen in the
order in which they were planned. All randomness comes from the seed.
"""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable
from random import Random
from typing import Final

from pyzk.config.members import WILDCARD
from pyzk.config.server import ServerConfig
from pyzk.errors import StorageError
from pyzk.jute.records import QuorumPacket
from pyzk.quorum.packets import describe
from pyzk.quorum.stream import QuorumStream
from pyzk.sim.changes import ReconfigWorkload
from pyzk.sim.checkers import Violation
from pyzk.sim.checks import Checks
from pyzk.sim.clients import SimClient
from pyzk.sim.disk import SimDisk
from pyzk.sim.faults import Faults
from pyzk.sim.machine import Machine
from pyzk.sim.network import CLIENT, Door, SimNetwork, Socket
from pyzk.sim.operator import Operator
from pyzk.sim.options import Options
from pyzk.sim.settings import CLIENT_PORT, first_membership, host_of, server_config, sid_of
from pyzk.sim.surroundings import Described
from pyzk.sim.trace import Trace

MAX_EVENTS: Final = 3_000_000
DiskMaker = Callable[[int, Options, Random], SimDisk]
MachineMaker = Callable[["World", int, SimDisk], Machine]


class World:
    """One ensemble with its clients, its network and its faults."""

    def __init__(
        self,
        options: Options,
        trace: Trace,
        make_disk: DiskMaker = SimDisk,
        make_machine: MachineMaker = Machine,
    ) -> None:
        """Tests give ``make_disk`` and ``make_machine`` to inject mistakes."""
        self.options = options
        self.trace = trace
        self.now_us = 0
        self.rng = Random(options.seed)
        self.events = 0
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._planned = 0
        self.network = SimNetwork(self, options, self._random())
        self.machines: dict[int, Machine] = {}
        self.server_config: ServerConfig = server_config(options)
        self._streams: dict[Socket, QuorumStream] = {}
        for sid in range(1, options.machines + 1):
            disk = make_disk(sid, options, self._random())
            if sid <= options.members:
                disk.config.write_by_hand(first_membership(options))
                disk.is_new = options.is_declared_new
            self.machines[sid] = make_machine(self, sid, disk)
        self.checks = Checks(self)
        self.client_targets = list(self.machines)[: options.members]
        replies = self.checks.replies
        self.clients = [
            SimClient(self, index, self._random(), replies) for index in range(options.clients)
        ]
        self.faults = Faults(self, self._random())
        for client in self.clients[: options.readers]:
            client.is_content_with_reads = True
        self.operator = Operator(self, Random(options.seed << 8 | 255))
        for index in range(len(self.clients), len(self.clients) + options.admins):
            self.clients.append(self._admin(index))

    def _admin(self, index: int) -> SimClient:
        """Make a client that asks for changes of the configuration."""
        workload = ReconfigWorkload(index, self, self._random())
        admin = SimClient(self, index, self._random(), self.checks.replies, workload)
        admin.is_super = True
        admin.think_ms = int(2000 * self.options.reconfig_s) or 1
        return admin

    def _random(self) -> Random:
        return Random(self.rng.getrandbits(64))

    # --- time -----------------------------------------------------------------------

    def at(self, time_us: int, action: Callable[[], object]) -> None:
        """Plan an event."""
        self._planned += 1
        heapq.heappush(self._heap, (time_us, self._planned, action))

    def run(self, until_us: int, is_done: Callable[[], bool] | None = None) -> bool:
        """Let time pass; tell whether ``is_done`` came true, which is checked every 50 ms."""
        heap = self._heap
        ask_us = self.now_us
        while heap and heap[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(heap)
            self.events += 1
            if self.events > MAX_EVENTS:
                raise Violation("progress", f"{MAX_EVENTS} events, and no end")
            action()
            if is_done is not None and self.now_us >= ask_us:
                ask_us = self.now_us + 50_000
                if is_done():
                    return True
        self.now_us = until_us
        return False

    # --- what the parts tell --------------------------------------------------------

    def machine_at(self, host: str) -> Machine:
        """Return the machine with this name."""
        return self.machines[sid_of(host)]

    def client_door(self, sid: int) -> Door:
        """Return where a client looks for server ``sid``: where the newest configuration has it,
        or where it listens if that does not say or it is no member."""
        member = self.checks.configs.newest.member(sid)
        places = self.machines[sid].ports.places(CLIENT)
        host, port = places[0] if places else (WILDCARD, CLIENT_PORT)
        if member is not None and member.client_port is not None:
            host, port = member.client_host, member.client_port
        return Door(CLIENT, host_of(sid) if host == WILDCARD else host, port)

    def start(self, machine: Machine) -> None:
        """Switch a machine on, and start its program."""
        self.faults.start(machine)

    def established(self, sid: int) -> None:
        """Note that the leader ``sid`` has begun to serve."""
        self.faults.established(self.machines[sid])

    def crash_point(self, machine: Machine) -> None:
        """Crash a machine at a place where a crash was planned."""
        self.faults.count += 1
        self.faults.crash(machine, "crash at a point")

    def disk_failed(self, machine: Machine, error: StorageError) -> None:
        """End the program of a machine whose disk has failed."""
        if not machine.disk.is_failing:
            raise Violation("storage", f"{machine.name}: {error}")
        machine.disk.is_failing = False
        self.faults.stopped(machine, "stops for its disk")

    def raised(self, machine: Machine, error: Exception) -> None:
        """Report that an input of a machine has raised, which is a bug."""
        if isinstance(error, Violation):
            raise error
        text = "".join(traceback.format_exception(error))
        raise Violation("exception", f"{machine.name}: {text}") from error

    # --- the trace ------------------------------------------------------------------

    def say(self, who: Described | None, text: str) -> None:
        """Trace a change of state."""
        self.trace.line(self.now_us, "" if who is None else who.describe(), text)

    def detail(self, who: Described, text: str) -> None:
        """Trace what only the verbose trace shows."""
        if self.trace.is_verbose:
            self.trace.line(self.now_us, who.describe(), f"  {text}")

    def packets(self, machine: Described, socket: Socket, data: bytes) -> None:
        """Trace what is written to a link."""
        stream = self._streams.get(socket)
        if stream is None:
            stream = self._streams[socket] = QuorumStream()
        for item in stream.feed(data):
            if isinstance(item, QuorumPacket):
                text = f"> {socket.name} {describe(item)}"
                self.trace.line(self.now_us, machine.describe(), text)
