"""The kind of run that a seed stands for: sizes, latencies, rates of faults, mix of requests.

Pure. Each run switches on a random subset of the faults ("swarm"): faults that always come together
hide what each does alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random

SAFETY = "safety"
LIVENESS = "liveness"


@dataclass
class Options:
    """The options of a run, which `draw` draws from a seed; each can be overridden by its name."""

    seed: int
    mode: str = SAFETY
    """The goal. safety: in the end all machines return; liveness: only a quorum and its clients."""

    # --- the ensemble
    voters: int = 3
    observers: int = 0
    weights: tuple[int, ...] = ()
    """The weight of each voter; empty if majorities count."""
    groups: tuple[int, ...] = ()
    """The group of each voter; empty if there are none."""
    tick_ms: int = 500
    init_limit: int = 6
    sync_limit: int = 3
    finalize_wait_ms: int = 100
    max_notification_ms: int = 1600
    snap_count: int = 20
    commit_log_count: int = 3
    snapshot_size_factor: float = 0.33
    force_snapshot_sync: bool = False
    sync_enabled: bool = True
    leader_serves: bool = True
    digest_enabled: bool = True
    local_sessions: bool = False
    separate_log_directory: bool = False
    compression: str = ""
    purges: bool = False
    """Whether old snapshots and logs are removed now and then."""
    log_size_limit_kb: int = 0

    # --- the clients
    clients: int = 3
    operations: int = 60
    """How many requests each client sends."""
    pipeline: int = 1
    """How many requests of a client may be under way at a time."""
    think_ms: int = 100
    """The longest time between two requests."""
    paths: int = 6
    session_timeout_ms: int = 4000
    writes: float = 0.6
    ephemerals: float = 0.2
    sequentials: float = 0.2
    multis: float = 0.1
    watches: float = 0.3
    syncs: float = 0.05
    closes: float = 0.02
    """The share of a client's steps that end its session."""
    silences: float = 0.02
    """The share of a client's steps after which it is silent, perhaps until its session expires."""
    data_bytes: int = 40

    # --- the network
    latency_us: int = 500
    spikes: float = 0.01
    """The share of the pieces that take fifty times as long."""
    pieces: float = 0.05
    """The share of the deliveries that come in two pieces."""
    socket_bytes: int = 1 << 16
    """How many bytes a connection takes before they must be read."""
    line_bytes_ms: int = 0
    """How many bytes a connection carries in a millisecond; 0 for no limit."""
    mark_bytes: int = 0
    """How many bytes may be under way before a server slows its intake; 0 for production's
    marks."""

    # --- the loops
    turn_us: int = 0
    """The longest turn of a server's loop, in which inputs are taken before links and log are
    written; 0 if every input is a turn."""
    early_records: int = 0
    """With so many records a server hands out its log before the turn ends, if its disk is idle; 0
    for never."""
    piece_work: int = 0
    """How much work a server does before others have their turn; then it also tells one client and
    ends one session at a time. 0 for production's pieces."""

    # --- the disks
    sync_us: int = 1000
    slow_syncs: float = 0.01
    """The share of the syncs that take a hundred times as long."""

    # --- what goes wrong: mean virtual seconds between two faults of a kind, 0 for never
    duration_s: int = 20
    crash_s: float = 4.0
    """A process is killed, or its machine loses power."""
    crash_point_steps: int = 0
    """The mean number of a machine's steps to a crash, which comes between any two steps; 0 for
    none."""
    disk_point_steps: int = 0
    """The mean number of a disk's operations to a crash, which comes before any operation; 0 for
    none."""
    disk_error_s: float = 0.0
    partition_s: float = 6.0
    one_way_s: float = 0.0
    cut_s: float = 3.0
    stall_s: float = 0.0
    pause_s: float = 0.0
    clock_s: float = 0.0
    slow_s: float = 0.0
    """A machine's disk or network is slow for a while."""
    wipe_s: float = 0.0
    """A machine that nobody counts as a voter loses its data directory."""
    lost_s: float = 0.0
    """A voter loses its data directory, while the others that have theirs are a quorum."""
    all_down_s: float = 0.0
    """Every machine loses power at once."""
    leader_down_s: float = 0.0
    """The leader is killed shortly after its epoch was established."""
    port_s: float = 0.0
    """One port of a member, for elections or for learners, cannot be reached for a while."""

    doubts: bool = False
    """Whether a member that finds no data asks the others whether there were any."""
    is_declared_new: bool = False
    """Whether the first members are told that there were none (the file `initialize`)."""

    # --- what changes while the ensemble runs
    reconfig: bool = False
    """Whether the servers take changes of the configuration (reconfigEnabled)."""
    reconfig_s: float = 0.0
    """The mean time between two changes that an administrator asks for; 0 for never."""
    admins: int = 0
    """How many administrators there are, who know nothing of each other."""
    spares: int = 0
    """How many machines without data wait to join."""
    standalone: bool = True
    """Whether an ensemble must keep two voters (standaloneEnabled)."""
    listen_on_all: bool = False
    """Whether a member listens at all its names, or only at those that the configuration has."""
    read_only: bool = False
    """Whether servers without a leader serve reads, and new sessions are local ones."""
    readers: int = 0
    """How many of the clients are content with reads."""
    save_error_s: float = 0.0
    """The mean time between two times in which the configuration directory of a machine cannot be
    written."""

    # --- observers that follow followers
    observer_masters: bool = False
    """Whether followers take observers (observerMasterPort)."""
    masterless: tuple[int, ...] = ()
    """The machines that are not told so: as followers they take none, and as observers they follow
    the leader."""
    observer_limit_bytes: int = 0
    """How many bytes may wait at a follower for one of its observers; 0 for production's limit."""
    reconnect_delay_ms: int = 0
    """The longest random time that an observer waits before it connects anew."""
    master_s: float = 0.0
    """A follower that has observers is killed or paused, or its connection with one is cut or
    stalled."""

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong, and no machine stays broken in the end."""
        rates = [getattr(self, each.name) for each in fields(self) if each.name in _TROUBLES]
        is_even = not self.slow_syncs and not self.spikes  # a slow one may outlast syncLimit
        # So may a few large requests on a slow line.
        is_wide = not self.line_bytes_ms or self.data_bytes < 100 * self.line_bytes_ms
        return not any(rates) and is_even and is_wide and self.mode == SAFETY

    @property
    def members(self) -> int:
        """The number of members in the beginning."""
        return self.voters + self.observers

    @property
    def machines(self) -> int:
        """The number of machines, members or not."""
        return self.members + self.spares

    def describe(self) -> str:
        """Return every field that is not its default, in one line."""
        shown = [f"seed={self.seed}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "seed" and value != field.default:
                shown.append(f"{field.name}={value}")
        return " ".join(shown)


_TROUBLES = (
    "crash_s", "crash_point_steps", "disk_point_steps", "disk_error_s", "partition_s", "one_way_s",
    "cut_s", "stall_s", "pause_s", "clock_s", "slow_s", "wipe_s", "all_down_s", "leader_down_s",
    "port_s", "reconfig_s", "lost_s", "save_error_s", "master_s",
)  # fmt: skip


_MASTERS = 1 << 64
"""Keeps what is drawn of observer masters apart from what was drawn before they were simulated."""


_EARLY = 1 << 65
"""Keeps apart whether a log is handed out early."""


def draw(seed: int, *, is_static: bool = False) -> Options:
    """Return the options that a seed stands for. ``is_static``: nothing is drawn of what changes
    while the ensemble runs, and the seed is what it was before that could be simulated."""
    rng = Random(seed * 2 + 1)
    options = Options(seed)
    options.mode = LIVENESS if rng.random() < 0.4 else SAFETY
    _draw_ensemble(options, rng)
    _draw_clients(options, rng)
    _draw_world(options, rng)
    _draw_faults(options, rng)
    _draw_load(options, rng)
    # What is new is drawn last, so that older seeds keep what is drawn before.
    options.turn_us = rng.choice((0, 20, 200, 2000))
    options.piece_work = rng.choice((0, 1, 10, 30))
    if not is_static:
        _draw_changes(options, Random(seed * 2))
        _draw_masters(options, Random(seed * 2 + _MASTERS))
        options.early_records = Random(seed * 2 + _EARLY).choice((0, 0, 1, 3))
    return options


def _chance(rng: Random, probability: float) -> bool:
    return rng.random() < probability


def _draw_ensemble(options: Options, rng: Random) -> None:
    options.voters = rng.choice((3, 3, 3, 3, 5, 5, 7))
    options.observers = rng.choice((0, 0, 0, 1, 2)) if options.voters < 7 else 0
    if _chance(rng, 0.12):
        _draw_weights(options, rng)
    options.tick_ms = rng.choice((200, 500, 1000))
    options.init_limit = rng.choice((4, 6, 10))
    options.sync_limit = rng.choice((2, 3, 5))
    options.finalize_wait_ms = rng.choice((20, 100, 200))
    options.max_notification_ms = rng.choice((800, 1600, 3200))
    options.snap_count = rng.choice((4, 5, 10, 20, 50, 1000))
    options.commit_log_count = rng.choice((1, 3, 3, 3, 10, 500))
    options.snapshot_size_factor = rng.choice((0.33, 0.33, 10.0, 100.0, 0.0, -1.0))
    options.force_snapshot_sync = _chance(rng, 0.08)
    options.sync_enabled = not _chance(rng, 0.2)
    options.leader_serves = not _chance(rng, 0.1)
    options.digest_enabled = not _chance(rng, 0.05)
    options.local_sessions = _chance(rng, 0.1)
    options.separate_log_directory = _chance(rng, 0.15)
    options.compression = rng.choice(("", "", "", "", "gz", "snappy"))
    options.purges = _chance(rng, 0.2)
    options.log_size_limit_kb = 1 if _chance(rng, 0.1) else 0


def _draw_weights(options: Options, rng: Random) -> None:
    """Draw hierarchical quorums: groups of voters with weights, of which some are 0."""
    count = options.voters
    groups = 1 if count == 3 else rng.choice((1, 1, 3 if count >= 5 else 1))
    options.groups = tuple(index % groups + 1 for index in range(count))
    weights = [rng.choice((1, 1, 1, 2, 3)) for _ in range(count)]
    if _chance(rng, 0.4):
        weights[rng.randrange(count)] = 0
    for group in range(groups):
        if not any(weights[index] for index in range(count) if index % groups == group):
            weights[group] = 1
    options.weights = tuple(weights)


def _draw_clients(options: Options, rng: Random) -> None:
    options.clients = rng.choice((1, 2, 3, 3, 4, 6))
    options.operations = rng.choice((40, 80, 120)) if options.clients < 4 else 40
    options.pipeline = rng.choice((1, 1, 1, 3, 10))
    options.think_ms = rng.choice((5, 50, 200, 400))
    options.paths = rng.choice((2, 5, 12))
    options.session_timeout_ms = options.tick_ms * rng.choice((2, 4, 10, 20))
    options.writes = rng.choice((0.3, 0.6, 0.9))
    options.ephemerals = rng.choice((0.0, 0.1, 0.3, 0.6))
    options.sequentials = rng.choice((0.0, 0.1, 0.3))
    options.multis = rng.choice((0.0, 0.1, 0.3))
    options.watches = rng.choice((0.0, 0.3, 0.7))
    options.syncs = rng.choice((0.0, 0.05, 0.2))
    options.closes = rng.choice((0.0, 0.01, 0.05))
    options.silences = rng.choice((0.0, 0.0, 0.01, 0.03))
    options.data_bytes = rng.choice((10, 40, 200, 2000))


def _draw_world(options: Options, rng: Random) -> None:
    options.latency_us = rng.choice((100, 500, 500, 2000, 10_000, 40_000))
    options.spikes = rng.choice((0.0, 0.0, 0.01, 0.05))
    options.pieces = rng.choice((0.0, 0.02, 0.1))
    options.socket_bytes = rng.choice((64, 1024, 1 << 16, 1 << 16))
    if options.latency_us * options.data_bytes > 1_000_000:
        options.socket_bytes = 1 << 16  # otherwise a snapshot takes minutes
    options.sync_us = rng.choice((50, 1000, 1000, 10_000, 40_000))
    options.slow_syncs = rng.choice((0.0, 0.0, 0.01, 0.03))


def _draw_faults(options: Options, rng: Random) -> None:
    """Switch each kind of fault on or off, at rates that leave time for work in between."""
    options.duration_s = rng.choice((10, 20, 20, 30))

    def every(probability: float, *seconds: float) -> float:
        return rng.choice(seconds) if _chance(rng, probability) else 0.0

    options.crash_s = every(0.6, 1.5, 4.0, 8.0)
    options.crash_point_steps = rng.choice((100, 300, 1000)) if _chance(rng, 0.35) else 0
    options.disk_point_steps = rng.choice((30, 100, 300)) if _chance(rng, 0.3) else 0
    options.disk_error_s = every(0.12, 8.0)
    options.partition_s = every(0.4, 4.0, 8.0)
    options.one_way_s = every(0.25, 4.0, 8.0)
    options.cut_s = every(0.5, 0.5, 2.0, 6.0)
    options.stall_s = every(0.3, 2.0, 5.0)
    options.pause_s = every(0.25, 3.0, 8.0)
    options.clock_s = every(0.25, 2.0, 6.0)
    options.slow_s = every(0.2, 4.0)
    options.wipe_s = every(0.4, 5.0) if options.observers else 0.0
    options.all_down_s = every(0.2, 5.0, 10.0)
    options.leader_down_s = every(0.2, 0.5, 2.0)


def _draw_load(options: Options, rng: Random) -> None:
    """Draw large values, many at once, over slow lines, more than a server takes at a time. Some
    runs have this load and no faults: then the first leader must stay."""
    if not _chance(rng, 0.15):
        return
    options.data_bytes = rng.choice((2000, 20_000))
    options.pipeline = rng.choice((3, 10))
    options.think_ms = 5
    options.socket_bytes = 1 << 16
    options.mark_bytes = rng.choice((2000, 20_000, 100_000))
    options.line_bytes_ms = rng.choice((0, 100, 1000))
    if _chance(rng, 0.4):
        for trouble in _TROUBLES:
            setattr(options, trouble, type(getattr(options, trouble))(0))
        options.mode = SAFETY
        options.spikes = options.slow_syncs = 0.0
        options.latency_us = min(options.latency_us, 10_000)
        options.closes = options.silences = 0.0


def _draw_changes(options: Options, rng: Random) -> None:
    """Draw what changes while the ensemble runs. The other options keep what they were drawn, but
    for the size of the ensemble."""
    if _chance(rng, 0.15):
        options.port_s = rng.choice((3.0, 6.0))
    options.doubts = True
    options.is_declared_new = options.mode == LIVENESS or _chance(rng, 0.7)
    if _chance(rng, 0.25):
        options.lost_s = rng.choice((3.0, 6.0))
    if _chance(rng, 0.15):
        options.read_only = options.local_sessions = True
        options.readers = rng.choice((1, 2))
        options.clients = max(options.clients, options.readers + 1)
    if not _chance(rng, 0.7):
        return
    options.reconfig = True
    if _chance(rng, 0.1):
        return
    options.reconfig_s = rng.choice((0.5, 1.0, 2.0, 4.0))
    options.admins = rng.choice((1, 1, 2))
    options.standalone = not _chance(rng, 0.3)
    options.leader_serves = True  # it may be the only member that is left
    options.listen_on_all = _chance(rng, 0.3)
    if not options.groups:
        options.voters = rng.choice(
            (2, 3, 3, 3, 4, 5) if options.standalone else (1, 1, 2, 3, 3, 5)
        )
        options.observers = rng.choice((0, 0, 1, 2))
    options.spares = rng.choice((0, 1, 2, 2, 3))
    options.wipe_s = options.wipe_s or (rng.choice((0.0, 4.0)))


def _draw_masters(options: Options, rng: Random) -> None:
    """Draw configuration directories that cannot be written, and followers that take observers."""
    if options.reconfig_s and _chance(rng, 0.2):
        options.save_error_s = rng.choice((2.0, 5.0))
    if not _chance(rng, 0.2):
        return
    options.observer_masters = True
    options.observers = max(options.observers, rng.choice((1, 1, 2, 3)))
    if _chance(rng, 0.3):
        sids = range(1, options.machines + 1)
        options.masterless = tuple(sid for sid in sids if _chance(rng, 0.3))
    if options.data_bytes <= 200:
        options.observer_limit_bytes = rng.choice((0, 0, 4000))
    options.reconnect_delay_ms = rng.choice((0, 0, 300))
    options.master_s = rng.choice((0.0, 1.0, 3.0))
