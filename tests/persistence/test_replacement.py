"""Taking back a history, or replacing it: whole or not at all, wherever a crash falls."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pyzk import zxid as zxids
from pyzk.data.database import Database
from pyzk.errors import Corrupt, StorageError
from pyzk.persistence import filenames, newest_log
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.replacement import PLAN_NAME, RECEIVED_PREFIX, Received, plan_truncation
from pyzk.persistence.snapshot import SnapshotWriter, write_snapshot
from tests.persistence.disks import contents, create_payload, flip, framed, get, put, workload
from tests.transactions import database_of, new_session

PAYLOADS = workload(20)
OPTIONS = RecoveryOptions(committed_log_count=500)
SEEDS = [None, *range(6)]
"""How the disk loses power: at its worst, or erratically."""


class Disk:
    """Two directories, and the moment at which the power goes."""

    def __init__(self) -> None:
        self.snapshots = MemoryDirectory("snapshots")
        self.logs = MemoryDirectory("logs")
        self.files = MemberFiles(self.snapshots, self.logs, OPTIONS)
        self.operations = 0

    def die_at(self, operation: int) -> None:
        def before(_what: str, _name: str) -> None:
            self.operations += 1
            if self.operations >= operation:
                raise StorageError("no power", path="")

        self.snapshots.before = self.logs.before = before

    def crash(self, seed: int | None) -> None:
        rng = None if seed is None else random.Random(seed)
        self.snapshots.crash(rng)
        self.logs.crash(rng)

    def load(self) -> Database:
        return recover(self.snapshots, self.logs, OPTIONS).database


def write(disk: Disk, *files: list[bytes]) -> None:
    """One log for each list of payloads."""
    for payloads in files:
        writer = LogWriter(disk.logs, preallocate_bytes=4096, snap_directory=disk.snapshots)
        writer.append(framed(payloads))
        writer.close()


def filled() -> Disk:
    """Three logs and four snapshots, two of them above 0xd."""
    disk = Disk()
    for at in (0, 6, 15, 20):
        write_snapshot(disk.snapshots, database_of(PAYLOADS[:at]).freeze())
    write(disk, PAYLOADS[:8], PAYLOADS[8:16], PAYLOADS[16:])
    return disk


def same(database: Database, payloads: list[bytes]) -> bool:
    return contents(database) == contents(database_of(payloads)) and database.last_zxid == len(
        payloads
    )


# --- TRUNC ----------------------------------------------------------------------------


@pytest.mark.parametrize("zxid", range(6, 21))
def test_nothing_behind_the_zxid_is_left(zxid: int) -> None:
    disk = filled()
    assert same(disk.files.truncate(zxid, 0), PAYLOADS[:zxid])
    disk.crash(None)
    assert same(disk.load(), PAYLOADS[:zxid])
    assert all(each.zxid <= zxid for each in filenames.snapshots(disk.snapshots.names()))


def test_the_history_goes_on_where_it_was_cut() -> None:
    disk = filled()
    disk.files.truncate(10, 0)
    other = [create_payload(zxid, f"/other{zxid}") for zxid in range(11, 14)]
    write(disk, other)
    disk.crash(None)
    assert same(disk.load(), PAYLOADS[:10] + other)


def test_a_zxid_the_log_never_had_leaves_what_comes_before_it() -> None:
    disk = Disk()
    write_snapshot(disk.snapshots, database_of([]).freeze())
    ahead = create_payload(zxids.make(2, 1), "/ahead")
    write(disk, [*PAYLOADS[:5], ahead])
    database = disk.files.truncate(9, 0)
    assert same(database, PAYLOADS[:5])
    assert same(disk.load(), PAYLOADS[:5])


def test_the_first_record_of_the_only_log_may_be_too_much() -> None:
    disk = Disk()
    write_snapshot(disk.snapshots, database_of(PAYLOADS[:8]).freeze())
    write(disk, PAYLOADS[8:])
    assert same(disk.files.truncate(8, 0), PAYLOADS[:8])
    assert disk.logs.names() == []


def test_nothing_to_cut_touches_nothing() -> None:
    disk = filled()
    disk.files.reload()
    disk.die_at(1)
    assert same(disk.files.truncate(20, 0), PAYLOADS)
    assert disk.operations == 0


def test_a_snapshot_with_later_effects_than_its_name_says_goes_too() -> None:
    disk = Disk()
    write_snapshot(disk.snapshots, database_of(PAYLOADS[:6]).freeze())
    fuzzy = database_of(PAYLOADS[:12]).freeze()
    writer = SnapshotWriter(disk.snapshots, fuzzy)
    writer.name = "snapshot.9"  # as the original: begun at 9, effects up to 12
    writer.add(fuzzy.nodes.read(1000))
    writer.commit()
    write(disk, PAYLOADS)
    assert same(disk.files.truncate(10, 0), PAYLOADS[:10])
    assert disk.snapshots.names() == [newest_log.NAME, "snapshot.6"]


@pytest.mark.parametrize(
    ("spoil", "complete_after", "reason"),
    [
        (lambda disk: disk.snapshots.remove("snapshot.0"), 0, "there are logs but no snapshot"),
        (lambda disk: flip(disk.snapshots, "snapshot.0", 60), 0, "none of 1 snapshots can be read"),
        (lambda disk: None, 15, "whole after 0xf only"),
    ],
)
def test_what_cannot_be_rebuilt_for_sure_is_left_as_it_is(
    spoil: Callable[[Disk], None],
    complete_after: int,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = filled()
    spoil(disk)
    before = disk.snapshots.names(), disk.logs.names()
    database = disk.files.truncate(4, complete_after)
    assert same(database, PAYLOADS)
    assert reason in caplog.text
    assert (disk.snapshots.names(), disk.logs.names()) == before


def test_a_hole_before_the_zxid_is_no_history_to_cut() -> None:
    disk = Disk()
    write_snapshot(disk.snapshots, database_of([]).freeze())
    write_snapshot(disk.snapshots, database_of(PAYLOADS[:9]).freeze())
    write(disk, PAYLOADS[:4], PAYLOADS[6:9], PAYLOADS[9:])
    database = disk.files.truncate(8, 0)
    assert same(database, PAYLOADS)


def broken_off(
    disk_of: Callable[[], Disk], act: Callable[[Disk], object], seed: int | None
) -> Iterator[Disk]:
    """Yield a disk for each operation at which the power can go while something is done."""
    for operation in itertools.count(1):
        disk = disk_of()
        disk.die_at(operation)
        try:
            act(disk)
            return
        except StorageError:
            disk.crash(seed)
            yield disk


@pytest.mark.parametrize("seed", SEEDS)
def test_a_truncation_is_done_or_not_wherever_the_power_goes(seed: int | None) -> None:
    results = []
    for disk in broken_off(filled, lambda disk: disk.files.truncate(10, 0), seed):
        database = disk.load()
        done = database.last_zxid == 10
        results.append(done)
        assert same(database, PAYLOADS[:10] if done else PAYLOADS), len(results)
        assert PLAN_NAME not in disk.snapshots.names()
    assert len(results) >= 10
    assert set(results) == {True, False}


def planned() -> Disk:
    """A disk on which it is written down what is to be truncated."""
    disk = filled()
    plan = plan_truncation(disk.snapshots, disk.logs, 10, "snapshot.6")
    put(disk.snapshots, PLAN_NAME, plan.text().encode())
    return disk


@pytest.mark.parametrize("seed", SEEDS)
def test_a_start_that_does_the_rest_may_die_as_well(seed: int | None) -> None:
    operations = 0
    for disk in broken_off(planned, Disk.load, seed):
        operations += 1
        assert same(disk.load(), PAYLOADS[:10]), operations
    assert operations >= 10


# --- SNAP -----------------------------------------------------------------------------


RECEIVED = [new_session(1), *(create_payload(zxid, f"/r{zxid}") for zxid in range(2, 13))]
"""Another history, that ends at 0xc."""


def store(disk: Disk) -> None:
    frozen = database_of(RECEIVED).freeze()
    disk.files.store(frozen)
    frozen.close()


def test_a_received_database_is_all_there_is_afterwards() -> None:
    disk = filled()
    store(disk)
    disk.crash(None)
    assert disk.snapshots.names() == ["snapshot.c"]
    assert disk.logs.names() == []
    database = disk.load()
    assert same(database, RECEIVED)
    assert database.log_complete_after == 12


def test_a_received_database_replaces_a_snapshot_of_the_same_zxid() -> None:
    disk = Disk()
    write_snapshot(disk.snapshots, database_of(PAYLOADS[:12]).freeze(), suffix=".gz")
    write_snapshot(disk.snapshots, database_of(PAYLOADS[:12]).freeze())
    store(disk)
    disk.crash(None)
    assert disk.snapshots.names() == ["snapshot.c"]
    assert same(disk.load(), RECEIVED)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_database_is_stored_or_not_wherever_the_power_goes(seed: int | None) -> None:
    results = set()
    for disk in broken_off(filled, store, seed):
        database = disk.load()
        done = database.last_zxid == 12
        results.add(done)
        assert same(database, RECEIVED if done else PAYLOADS)
        left = [name for name in disk.snapshots.names() if name.startswith(RECEIVED_PREFIX)]
        assert left == []
    assert results == {True, False}


def killed_behind_the_plan(act: Callable[[Disk], object]) -> Disk:
    """Return a disk whose server was killed when the plan had its name, and that was not durable
    yet: only a loss of power takes it back."""
    for operation in itertools.count(1):
        disk = filled()
        disk.die_at(operation)
        with pytest.raises(StorageError):
            act(disk)
        if PLAN_NAME in disk.snapshots.names():
            disk.snapshots.before = disk.logs.before = lambda _what, _name: None
            disk.operations = 0
            return disk
    raise AssertionError


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("act", "replaced"),
    [(store, RECEIVED), (lambda disk: disk.files.truncate(10, 0), PAYLOADS[:10])],
    ids=["SNAP", "TRUNC"],
)
def test_a_start_goes_by_no_plan_that_a_loss_of_power_can_take_back(
    act: Callable[[Disk], object], replaced: list[bytes], seed: int | None
) -> None:
    operations = 0
    for disk in broken_off(partial(killed_behind_the_plan, act), Disk.load, seed):
        operations += 1
        database = disk.load()
        assert same(database, replaced) or same(database, PAYLOADS), operations
    assert operations >= 10


def test_a_view_that_was_closed_becomes_no_snapshot() -> None:
    disk = filled()
    frozen = database_of(RECEIVED).freeze()
    frozen.close()
    with pytest.raises(StorageError, match="closed before it was written"):
        disk.files.store(frozen)
    assert same(disk.load(), PAYLOADS)


# --- a database that comes while the server serves --------------------------------------


LATER = [create_payload(zxid, f"/later{zxid}") for zxid in range(21, 24)]
BEHIND = [create_payload(zxid, f"/behind{zxid}") for zxid in range(25, 27)]


def restore(disk: Disk) -> None:
    """The server goes on while the database is written, and changes to it at 0x18."""
    frozen = database_of(RECEIVED).freeze()
    received = Received(disk.snapshots, disk.logs, frozen)
    received.write()
    frozen.close()
    write(disk, LATER)
    received.install(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restore_is_done_or_not_wherever_the_power_goes(seed: int | None) -> None:
    results = set()
    for disk in broken_off(filled, restore, seed):
        database = disk.load()
        done = database.last_zxid == 24
        results.add(done)
        if done:
            assert contents(database) == contents(database_of(RECEIVED))
        else:
            # What was logged meanwhile is there as far as it was durable.
            assert 20 <= database.last_zxid <= 23
            assert same(database, (PAYLOADS + LATER)[: database.last_zxid])
        left = [name for name in disk.snapshots.names() if name.startswith(RECEIVED_PREFIX)]
        assert left == []
    assert results == {True, False}


def test_what_is_written_behind_a_restore_follows_it() -> None:
    disk = filled()
    restore(disk)
    write(disk, BEHIND)
    disk.crash(None)
    assert (disk.snapshots.names(), disk.logs.names()) == (
        [newest_log.NAME, "snapshot.18"],
        ["log.19"],
    )
    database = disk.load()
    assert database.last_zxid == 26
    assert set(database.tree.nodes) == {
        *database_of(RECEIVED).tree.nodes,
        "/behind25",
        "/behind26",
    }


def test_a_restore_that_is_given_up_leaves_nothing() -> None:
    disk = filled()
    frozen = database_of(RECEIVED).freeze()
    before = disk.snapshots.names()
    received = Received(disk.snapshots, disk.logs, frozen)
    received.write()
    assert disk.snapshots.names() != before
    received.abort()
    assert disk.snapshots.names() == before
    frozen.close()
    with pytest.raises(StorageError, match="closed before it was written"):
        Received(disk.snapshots, disk.logs, frozen).write()
    assert disk.snapshots.names() == before


# --- the plan -------------------------------------------------------------------------


def test_what_the_file_says_is_done_at_the_next_start_and_told() -> None:
    disk = filled()
    plan = b"end at zxid 0x10\nremove log.11\nremove snapshot.14\ncut log.1 16\nend\n"
    put(disk.snapshots, PLAN_NAME, plan)
    size = disk.logs.size("log.9")
    recovered = recover(disk.snapshots, disk.logs, OPTIONS)
    assert recovered.last_zxid == 16
    assert "died while it cut its history at zxid 0x10" in recovered.notes[0]
    assert disk.logs.size("log.1") == 16
    assert disk.logs.size("log.9") == size


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"end at zxid 0x10\nremove log.11\n",
        b"end at zxid 0x10\nremove ../../etc/passwd\nend\n",
        b"end at zxid 0x10\nremove acceptedEpoch\nend\n",
        b"end at zxid\nend\n",
        b"\xff\xfe\n",
    ],
)
def test_a_file_of_that_name_that_is_not_ours_stops_the_start(text: bytes) -> None:
    disk = filled()
    put(disk.snapshots, PLAN_NAME, text)
    with pytest.raises(Corrupt, match="is not what this server writes there"):
        disk.load()
    assert get(disk.snapshots, PLAN_NAME) == text


# --- loading --------------------------------------------------------------------------


def test_a_member_keeps_the_last_transactions_it_has_loaded() -> None:
    disk = filled()
    disk.snapshots.remove("snapshot.14")
    committed = disk.load().committed
    assert committed is not None
    assert list(committed.zxids) == [16, 17, 18, 19, 20]
    assert committed.payload(18) == PAYLOADS[17]
    assert recover(disk.snapshots, disk.logs, RecoveryOptions()).database.committed is None


def test_the_committed_log_of_a_truncated_database_ends_with_it() -> None:
    committed = filled().files.truncate(10, 0).committed
    assert committed is not None
    assert list(committed.zxids) == [7, 8, 9, 10]


def test_the_log_is_known_whole_from_the_loaded_snapshot_on() -> None:
    disk = filled()
    assert disk.load().log_complete_after == 20
    assert disk.files.truncate(18, 0).log_complete_after == 15
