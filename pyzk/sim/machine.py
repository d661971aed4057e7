"""One server: the real peer on the real driver, and the effects that it has in this world.

Pure. Each input sets the clock, calls the peer and has `quorum.driver` carry out what comes of it.
A crash may fall before each effect, which ``steps_to_crash`` counts. When a turn ends is drawn: at
once, or after other inputs have come, as in production.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from pyzk.clock import Clock
from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.server import ServerConfig
from pyzk.data.database import Database
from pyzk.errors import StorageError
from pyzk.quorum.commands import StorageCommand
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.driver import Driver
from pyzk.quorum.lifecycle import MemberLife, member_peer
from pyzk.quorum.member import Member
from pyzk.quorum.peer import Peer
from pyzk.server.connection import CLOSED, STALL_CHOKED, Connection
from pyzk.server.marks import Marks
from pyzk.sim.checkers import Violation
from pyzk.sim.checks import Checks
from pyzk.sim.disk import PowerCut, SimDisk
from pyzk.sim.network import Door, Host, Socket
from pyzk.sim.ports import WRITTEN_US, MemberPorts
from pyzk.sim.settings import ensemble_config
from pyzk.sim.surroundings import Surroundings
from pyzk.zxid import format_zxid

WALL_MS: Final = 1_700_000_000_000
ROLES: Final = {
    "leader": "L", "follower": "F", "observer": "O", "read-only": "R", "looking": "?"
}  # fmt: skip
MAX_WAKES: Final = 200
"""A peer that is woken more often at one moment never sleeps."""


class MachineWorld(Surroundings, Protocol):
    """What a machine asks of the world, and tells it."""

    rng: Random
    checks: Checks
    server_config: ServerConfig

    def machine_at(self, host: str) -> Host:
        """Returns the machine with this host name."""
        ...

    def crash_point(self, machine: Machine) -> None:
        """Crashes the machine, which is at a place at which a crash was planned."""
        ...

    def disk_failed(self, machine: Machine, error: StorageError) -> None:
        """Ends the program of the machine, because its disk has failed."""
        ...

    def raised(self, machine: Machine, error: Exception) -> None:
        """Takes the exception that an input of the machine has raised."""
        ...


class _EndedError(Exception):
    """The program has ended in the middle of what its peer wants done."""


class Machine:
    """A member; what survives its crashes is in ``disk``."""

    def __init__(self, world: MachineWorld, sid: int, disk: SimDisk) -> None:
        self.world = world
        self.sid = sid
        self.key = sid
        self.disk = disk
        disk.answers = self
        disk.later = self.later
        self.life = 0
        self.is_powered = True
        self.is_up = False
        self.is_paused = False
        self.slowness = 1
        self.steps_to_crash = 0
        self.clock_offset_ms = 0
        """The offset of its monotonic clock, which begins anew when power comes back."""
        self.wall_offset_ms = 0
        self.has_peer = False
        self.inputs: MemberLife
        """The life of the peer, which takes what comes from other members and from the disk."""
        self._driver: Driver
        self._is_turn_over = False
        self.is_left_broken = False
        """Whether the machine stays broken until the end of the run."""
        self.peer: Peer
        self.clock: Clock
        self.ensemble: EnsembleConfig
        """What the program was told of the ensemble when it started."""
        self.ports = MemberPorts(self)
        self.connections: dict[Connection, None] = {}
        self._held: deque[Callable[[], object]] = deque()
        self._armed_us: int | None = None
        self._wakes = 0
        self._woken_us = -1
        self.rng = Random(world.options.seed << 8 | sid)
        """Draws when the turns of the driver end."""

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Starts the program, which ends at once if its files do not have it as a member."""
        world = self.world
        found = self.disk.config.read()
        if found is None:
            world.say(self, "cannot start: it is no member in its configuration files")
            return
        self.life += 1
        self.is_up = True
        self.is_paused = False
        self.ports.close()
        self._armed_us = None
        self._held.clear()
        self.connections = {}
        self.clock = Clock()
        self._set_clock()
        try:
            database, epochs, notes, wants_snapshot = self.disk.open()
        except PowerCut as cut:
            self.note(f"crash before {cut}")
            self.disk_crashed()
            return
        except StorageError as error:
            self.disk_failed(error)
            return
        for note in notes:
            self.note(f"recovery: {note}")
        self.ensemble = ensemble_config(world.options, found)
        self.peer, self.inputs = member_peer(
            world.server_config,
            self.ensemble,
            database,
            epochs,
            self.clock,
            Random(world.rng.getrandbits(64)),
        )
        self._driver = Driver(self.peer, self, self.ports)
        self.ports.open(self.ensemble)
        self._is_turn_over = False
        if world.options.mark_bytes:
            mark = world.options.mark_bytes
            self.peer.server.marks = Marks(mark, mark, 2 * mark, 2 * mark)
        if world.options.piece_work:
            marks = self.peer.server.marks
            marks.piece_work = world.options.piece_work
            marks.ended_at_once = marks.told_at_once = 1
        self.has_peer = True
        world.say(self, f"starts: accepted {epochs.accepted}, current {epochs.current}")
        world.checks.started(self)
        self.act(partial(self._driver.start, wants_snapshot=wants_snapshot))

    def crash(self, *, is_power_lost: bool, why: str = "crash") -> None:
        """Ends the program at once. Without power what is not synced is lost, too, and no other
        host is told."""
        if not self.is_up:
            return
        world = self.world
        self.is_up = self.has_peer = False
        self.is_paused = False
        self.life += 1
        self._held.clear()
        lost = self.disk.crash(is_power_lost)
        what = f"power lost, {lost} unsynced bytes lost" if is_power_lost else "killed"
        world.say(self, f"! {why}: {what}")
        if is_power_lost:
            self.is_powered = False
            world.network.lost_power(self)
        else:
            world.network.killed(self)
        world.checks.stopped(self)

    def power_on(self) -> None:
        """Gives the machine power again, so that the program can start."""
        if not self.is_powered:
            self.is_powered = True
            self.clock_offset_ms = self.world.rng.randrange(100_000) - self.world.now_us // 1000
            self.world.network.powered(self)

    def pause(self) -> None:
        """Stands still: inputs wait, as after SIGSTOP or in a long collection of garbage."""
        self.is_paused = True
        self.world.say(self, "! paused")

    def resume(self) -> None:
        """Goes on, with the inputs that have come meanwhile."""
        if not self.is_paused:
            return
        self.is_paused = False
        self.world.say(self, "goes on")
        life = self.life
        while self._held and self.life == life and not self.is_paused:
            self._held.popleft()()

    # --- what others look at --------------------------------------------------------

    @property
    def name(self) -> str:
        return f"h{self.sid}"

    @property
    def member(self) -> Member:
        return self.inputs.member

    @property
    def configs(self) -> Configurations | None:
        """The configurations that the program has; None while it does not run."""
        return self.inputs.member.configs if self.has_peer else None

    @property
    def is_member_in_files(self) -> bool:
        """Whether the program can start with its configuration files."""
        return self.disk.config.read() is not None

    @property
    def database(self) -> Database:
        return self.peer.database

    @property
    def role_name(self) -> str:
        """The mode: leader, follower, observer or read-only; looking between two roles."""
        return self.peer.status().mode

    def describe(self) -> str:
        """Returns the columns of the trace: the name, role, epochs and last zxid of the machine."""
        if not self.is_up or not self.has_peer:
            return f"{self.name} -"
        member = self.member
        status = self.peer.status()
        serving = "*" if status.is_running else " "
        return (
            f"{self.name} {ROLES[status.mode]}{serving}"
            f" {member.epochs.accepted}/{member.epochs.current} {format_zxid(status.last_zxid)}"
        )

    # --- time -----------------------------------------------------------------------

    def _set_clock(self) -> None:
        now_ms = self.world.now_us // 1000
        self.clock.now_ms = now_ms + self.clock_offset_ms
        self.clock.wall_ms = WALL_MS + now_ms + self.wall_offset_ms

    def later(self, delay_us: int, action: Callable[[], object]) -> None:
        """Calls ``action`` after this delay, unless the program has ended by then."""
        life = self.life
        self.world.at(self.world.now_us + delay_us, partial(self._if_alive, life, action))

    def _if_alive(self, life: int, action: Callable[[], object]) -> None:
        if self.is_up and self.life == life:
            action()

    def wake_at(self, at_ms: int) -> None:
        """Sets the timer."""
        at_us = max((at_ms - self.clock_offset_ms) * 1000, self.world.now_us)
        self._armed_us = at_us
        self.world.at(at_us, partial(self._wake, self.life, at_us))

    def _wake(self, life: int, at_us: int) -> None:
        if self.life != life or at_us != self._armed_us:
            return
        self._armed_us = None
        self.input(self._wake_now)

    def _wake_now(self) -> None:
        now = self.world.now_us
        if now == self._woken_us:
            self._wakes += 1
            if self._wakes > MAX_WAKES:
                raise Violation("sleep", f"{self.name} wants to be woken without end")
        else:
            self._woken_us, self._wakes = now, 0
        self.act(self._driver.wake)

    # --- inputs ---------------------------------------------------------------------

    def input(self, action: Callable[..., object], *arguments: object) -> None:
        """Takes an input at once, or when the program is no longer paused."""
        if self.is_paused:
            self._held.append(partial(self._if_alive, self.life, partial(action, *arguments)))
        else:
            action(*arguments)

    def act(self, call: Callable[..., object], *arguments: object) -> None:
        """Gives the peer an input, and has the driver carry out what comes of it."""
        self._do(call, arguments, is_input=True)

    def _do(
        self, call: Callable[..., object], arguments: tuple[object, ...], *, is_input: bool
    ) -> None:
        if not self.is_up:
            return
        self._set_clock()
        driver = self._driver
        try:
            call(*arguments)
            if is_input:
                driver.flush()
                early = self.world.options.early_records
                if 0 < early <= len(self.peer.outbox.log) and self.disk.is_idle:
                    driver.hand_over()
                while self._is_turn_over:
                    self._is_turn_over = False
                    driver.end_turn()
        except _EndedError:
            return
        except Exception as error:
            self.world.raised(self, error)
            return
        self.world.checks.stepped(self)

    def log_synced(self, zxid: int) -> None:
        self.world.checks.synced(self, zxid)
        self.input(self.act, self.peer.log_synced, zxid)

    def stored(self, ticket: int) -> None:
        self.input(self.act, self.inputs.stored, ticket)

    def restored(self, ticket: int, database: Database) -> None:
        self.world.checks.restored(self, database.last_zxid)
        self.input(self.act, self.inputs.restored, ticket, database)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        self.input(self.act, self.inputs.log_read, ticket, records)

    def replaced(self, zxid: int) -> None:
        self.note(f"stored a snapshot at {format_zxid(zxid)}")
        self.world.checks.restored(self, zxid)

    def disk_failed(self, error: StorageError) -> None:
        """Stops the server, as `runtime.main` does."""
        self.world.disk_failed(self, error)

    def disk_crashed(self) -> None:
        self.world.crash_point(self)

    def note(self, text: str) -> None:
        self.world.detail(self, text)

    # --- effects --------------------------------------------------------------------

    def step(self) -> None:
        """Begins an effect; ends the program if a crash falls before it."""
        self.world.checks.stepped(self)
        if self.steps_to_crash:
            self.steps_to_crash -= 1
            if not self.steps_to_crash:
                self.world.crash_point(self)
        if not self.is_up:
            raise _EndedError

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Hands records to the disk."""
        self.step()
        self.world.checks.logged(self, records)
        self.disk.append(records, last_zxid)

    def take_snapshot(self, database: Database) -> None:
        """Has a snapshot written."""
        self.step()
        self.disk.take_snapshot(database)

    def order(self, command: StorageCommand) -> None:
        """Hands a command to the disk, which may end the program."""
        self.step()
        self.disk.command(command)
        if not self.is_up:
            raise _EndedError

    def end_turn_soon(self) -> None:
        """Ends the turn behind this input, or after a random time in which others may come."""
        turn_us = self.world.options.turn_us
        if turn_us:
            world = self.world
            at_us = world.now_us + self.rng.randrange(turn_us)
            world.at(at_us, partial(self._turn_ends, self.life))
        else:
            self._is_turn_over = True

    def _turn_ends(self, life: int) -> None:
        if self.is_up and self.life == life:
            self.input(self._end_turn)

    def _end_turn(self) -> None:
        self._do(self._driver.end_turn, (), is_input=False)

    # --- clients --------------------------------------------------------------------

    def write(self, connection: Connection) -> None:
        """Writes to a client."""
        self.step()
        socket = connection.shell
        out = connection.out
        if isinstance(socket, Socket) and not socket.is_closed:
            if out:
                socket.send(b"".join(out))
            socket.pause_reading(connection.is_stalled)
            if connection.state == CLOSED:
                socket.close()
        out.clear()
        if connection.state == CLOSED:
            self.connections.pop(connection, None)
        elif connection.stalled & STALL_CHOKED:
            resume = partial(self.input, self.act, connection.resume, STALL_CHOKED)
            self.later(WRITTEN_US, resume)

    # --- whoever connects -----------------------------------------------------------

    def accepts(self, door: Door) -> bool:
        return self.ports.accepts(door)

    def accepted(self, door: Door, socket: Socket) -> None:
        self.act(self.ports.accepted, door, socket)
