"""Recovery: what a crash leaves is repaired, what it cannot leave stops the server."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import OpCode
from pyzk.data.tree import ttl_owner
from pyzk.errors import Corrupt, StorageError
from pyzk.jute.records import ACL, DeleteTxn
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.recovery import Recovered, RecoveryOptions, recover
from pyzk.persistence.snapshot import SnapshotWriter, write_snapshot
from pyzk.persistence.txnlog import HEADER
from pyzk.zxid import make
from tests.persistence.disks import contents, create_payload, flip, framed, get, put, seed, workload
from tests.transactions import create, database_of, new_session, txn

PAYLOADS = workload(20)
OPTIONS = RecoveryOptions()


def load(directory: MemoryDirectory, options: RecoveryOptions = OPTIONS) -> Recovered:
    return recover(directory, directory, options)


def test_empty_directory_becomes_a_database_with_a_snapshot() -> None:
    directory = MemoryDirectory()
    recovered = load(directory)
    assert (recovered.last_zxid, recovered.snapshot_name) == (0, "snapshot.0")
    directory.crash()
    assert directory.names() == ["snapshot.0"]
    assert load(directory).replayed == 0


def test_initialize_file_stands_in_for_autocreate() -> None:
    assert load(MemoryDirectory(), RecoveryOptions(autocreate=False)).last_zxid == -1
    options = RecoveryOptions(autocreate=False, initialize=True)
    assert load(MemoryDirectory(), options).last_zxid == 0


def test_snapshot_and_log() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS, snapshot_at=12)
    recovered = load(directory)
    assert (recovered.snapshot_zxid, recovered.replayed, recovered.last_zxid) == (12, 8, 20)
    assert recovered.notes == []
    assert contents(recovered.database) == contents(database_of(PAYLOADS))


@pytest.mark.parametrize("in_snapshot", [False, True])
def test_what_is_longer_than_jute_maxbuffer_is_loaded_and_mentioned(in_snapshot: bool) -> None:
    """The original would refuse to start; what was acknowledged is here, however long."""
    directory = MemoryDirectory()
    payloads = [*PAYLOADS, create_payload(21, "/long", bytes(5000))]
    seed(directory, payloads, snapshot_at=21 if in_snapshot else 0)
    longest = 5000 if in_snapshot else len(payloads[-1])
    recovered = load(directory, OPTIONS._replace(jute_limit_bytes=longest))
    assert (recovered.last_zxid, recovered.notes) == (21, [])
    recovered = load(directory, OPTIONS._replace(jute_limit_bytes=longest - 1))
    assert contents(recovered.database) == contents(database_of(payloads))
    (note,) = recovered.notes
    assert f"has {longest} bytes, jute.maxbuffer and its extra size allow {longest - 1}" in note


def test_unreadable_newest_snapshot_falls_back_to_an_older_one() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS, snapshot_at=12)
    flip(directory, "snapshot.c", 100)
    recovered = load(directory)
    assert (recovered.snapshot_zxid, recovered.last_zxid) == (0, 20)
    assert "snapshot.c" in recovered.notes[0]


def test_unreadable_snapshot_beyond_the_logs_is_refused() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:10])
    write_snapshot(directory, database_of(PAYLOADS).freeze())
    flip(directory, "snapshot.14", 100)
    with pytest.raises(StorageError, match=r"after 0xa, up to 0x14.* would be lost"):
        load(directory)


def test_no_readable_snapshot_is_refused() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS)
    flip(directory, "snapshot.0", 50)
    with pytest.raises(StorageError, match="none of 1 snapshots can be read"):
        load(directory)


def test_logs_without_a_snapshot() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS)
    directory.remove("snapshot.0")
    with pytest.raises(StorageError, match=r"no snapshot.*snapshot\.trust\.empty"):
        load(directory)
    assert load(directory, RecoveryOptions(trust_empty_snapshot=True)).last_zxid == 20


def test_temporary_files_go_and_are_never_loaded() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:5])
    write_snapshot(directory, database_of(PAYLOADS).freeze())
    directory.rename("snapshot.14", "snapshot.14.tmp")
    recovered = load(directory)
    assert recovered.last_zxid == 5
    assert directory.names() == ["log.1", "snapshot.0"]
    directory.crash()
    assert directory.names() == ["log.1", "snapshot.0"]


def test_gap_between_files_is_refused() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:5])
    put(directory, "log.7", HEADER + b"".join(framed(PAYLOADS[6:])))
    with pytest.raises(StorageError, match="a gap: zxid 0x7 follows 0x5") as refused:
        load(directory)
    assert refused.value.path.endswith("log.7")
    assert refused.value.offset == 16


def test_a_renamed_log_is_refused() -> None:
    """By its first record, even if all of them are in the snapshot."""
    directory = MemoryDirectory()
    seed(directory, PAYLOADS)
    directory.rename("log.1", "log.3")
    with pytest.raises(StorageError, match="begins with zxid 0x1, which is not in its name") as one:
        load(directory)
    assert (one.value.path.rpartition("/")[2], one.value.offset) == ("log.3", 16)
    write_snapshot(directory, database_of(PAYLOADS).freeze())
    directory.rename("log.3", "log.15")
    with pytest.raises(StorageError, match="give the file its name back"):
        load(directory)


def test_torn_log_followed_by_its_successor() -> None:
    """The log of a process that died in a record, then the log of the next one."""
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:5])
    log = get(directory, "log.1")[:-100]
    put(directory, "log.1", log.rstrip(b"\0")[:-1])
    writer = LogWriter(directory)
    writer.append(framed(PAYLOADS[4:]))
    writer.close()
    recovered = load(directory)
    assert recovered.last_zxid == 20
    assert "torn end" in recovered.notes[0]


def test_new_epoch_begins_with_counter_one() -> None:
    directory = MemoryDirectory()
    seed(
        directory,
        [*PAYLOADS[:3], create_payload(1 << 32 | 1, "/e1"), create_payload(3 << 32 | 1, "/e3")],
    )
    assert load(directory).last_zxid == 3 << 32 | 1
    directory = MemoryDirectory()
    seed(directory, [*PAYLOADS[:3], create_payload(1 << 32 | 2, "/e1")])
    with pytest.raises(StorageError, match="a gap"):
        load(directory)


def test_a_snapshot_bridges_a_jump_of_zxids() -> None:
    """A learner that got a snapshot has logs of before and after, in one file even."""
    after = [create_payload(2 << 32 | z, f"/e{z}") for z in (7, 8)]
    directory = MemoryDirectory()
    seed(directory, [*PAYLOADS[:3], *after])
    database = database_of([*PAYLOADS, create_payload(2 << 32 | 6, "/synced")])
    write_snapshot(directory, database.freeze())
    assert load(directory).replayed == 2


def test_repeated_records_are_skipped() -> None:
    directory = MemoryDirectory()
    seed(directory, [*PAYLOADS[:10], *PAYLOADS[6:]])
    recovered = load(directory)
    assert contents(recovered.database) == contents(database_of(PAYLOADS))
    assert "4 records came twice" in recovered.notes[0]


def test_record_that_makes_no_sense_is_refused_with_its_offset() -> None:
    directory = MemoryDirectory()
    garbage = bytearray(new_session(2))
    garbage[28:32] = (77).to_bytes(4, "big")
    seed(directory, [PAYLOADS[0], bytes(garbage)])
    with pytest.raises(StorageError, match="cannot be applied") as refused:
        load(directory)
    assert refused.value.offset == 16 + len(framed(PAYLOADS[:1])[0])


def test_recovery_syncs_what_it_relied_on() -> None:
    """After kill -9 the tail may be in the page cache only; a power cut then must not lose it."""
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:5])
    file = directory.open("log.1")
    file.write_at(b"".join(framed(PAYLOADS[5:9])), 16 + sum(map(len, framed(PAYLOADS[:5]))))
    assert load(directory).last_zxid == 9
    directory.crash()
    assert load(directory).last_zxid == 9


def test_mixed_up_directories_are_refused() -> None:
    snaps, logs = MemoryDirectory("snaps"), MemoryDirectory("logs")
    seed(snaps, PAYLOADS)
    with pytest.raises(StorageError, match="a log in the directory of the snapshots"):
        recover(snaps, logs, OPTIONS)
    snaps.remove("log.1")
    with pytest.raises(StorageError, match="a snapshot in the directory of the logs"):
        recover(logs, snaps, OPTIONS)


def with_acl(zxid: int, path: str, user: str) -> bytes:
    return create(zxid, path, acl=[ACL(31, "digest", user)], parent_cversion=zxid)


def delete_payload(zxid: int, path: str) -> bytes:
    return txn(zxid, OpCode.DELETE, DeleteTxn(path))


def fuzzy_directory(payloads: list[bytes], named: int, reaches: int) -> MemoryDirectory:
    """Write logs and a snapshot as Java does: named early, with the ACL lists of that moment and
    znodes of later ones."""
    directory = MemoryDirectory()
    seed(directory, payloads)
    frozen = database_of(payloads[:reaches]).freeze()
    frozen.zxid = named
    frozen.acls = database_of(payloads[:named]).tree.acls.items()
    frozen.digest = None
    write_snapshot(directory, frozen)
    return directory


def test_acl_lists_younger_than_a_fuzzy_snapshot_are_found_in_the_log() -> None:
    """ZOOKEEPER-4846: a znode refers to a list that was numbered after the lists were written."""
    payloads = [
        PAYLOADS[0],
        with_acl(2, "/old", "a:a"),
        with_acl(3, "/b", "b:b"),
        with_acl(4, "/c", "c:c"),
        with_acl(5, "/b2", "b:b"),
        with_acl(6, "/d", "d:d"),
    ]
    for named in (1, 2, 3, 4):
        for reaches in range(named, 7):
            directory = fuzzy_directory(payloads, named, reaches)
            recovered = load(directory)
            assert recovered.snapshot_zxid == named
            assert contents(recovered.database) == contents(database_of(payloads))


def test_acl_list_that_is_nowhere_defined_is_refused() -> None:
    payloads = [PAYLOADS[0], with_acl(2, "/old", "a:a"), with_acl(3, "/b", "b:b")]
    directory = fuzzy_directory(payloads, named=2, reaches=3)
    put(directory, "log.1", HEADER + b"".join(framed(payloads[:2])))
    with pytest.raises(StorageError, match="not defined anywhere"):
        load(directory)


def test_acl_number_that_the_replay_gives_to_another_list() -> None:
    """The snapshot's only user of a list was deleted before it was written, a new one came behind
    the walk: the list is dropped at loading, and the replay gives it a number that a znode of the
    file already uses for another list."""
    payloads = [
        PAYLOADS[0],
        with_acl(2, "/p", "a:a"),
        with_acl(3, "/x", "a:a"),
        delete_payload(4, "/p"),
        with_acl(5, "/y", "b:b"),
    ]
    directory = MemoryDirectory()
    seed(directory, payloads)
    frozen = database_of(payloads).freeze()
    frozen.zxid = 2
    frozen.acls = database_of(payloads[:2]).tree.acls.items()
    frozen.digest = None
    writer = SnapshotWriter(directory, frozen)
    writer.add([node for node in frozen.nodes.read(100) if node[0] != "/x"])
    writer.commit()
    frozen.close()
    recovered = load(directory)
    assert contents(recovered.database) == contents(database_of(payloads))


def test_a_tree_that_is_not_what_the_snapshot_says_is_told() -> None:
    """At the zxid of its digest: its own, or a later one that the replay comes by."""
    for name in ("snapshot.5", "snapshot.3"):
        directory = MemoryDirectory()
        seed(directory, PAYLOADS)
        frozen = database_of(PAYLOADS[:5]).freeze()
        frozen.digest = 99
        directory.rename(write_snapshot(directory, frozen), name)
        recovered = load(directory)
        told = [note for note in recovered.notes if "tree digest differs at zxid" in note]
        assert len(told) == 1
        assert "the snapshot says 99" in told[0]
        assert recovered.database.digest_mismatches == 1


def test_a_fuzzy_snapshot_needs_the_logs_of_all_that_it_has() -> None:
    directory = MemoryDirectory()
    seed(directory, PAYLOADS[:4])
    directory.rename(write_snapshot(directory, database_of(PAYLOADS[:5]).freeze()), "snapshot.3")
    with pytest.raises(StorageError, match="effects up to zxid 0x5, the logs end at 0x4"):
        load(directory)


class Crashed(Exception):  # noqa: N818 (an event, not an error)
    """The plug was pulled."""


def _run_until_crash(
    directory: MemoryDirectory, steps: int, start: int, rng: random.Random
) -> tuple[int, int]:
    """Recover, write batches, roll and take snapshots until operation ``steps``.

    Returns the last zxid that was synced and the last that was appended.
    """
    budget = steps

    def count(operation: str, name: str) -> None:
        nonlocal budget
        budget -= 1
        if budget < 0:
            raise Crashed

    directory.before = count
    synced = appended = start
    try:
        recovered = load(directory)
        assert recovered.last_zxid >= start
        synced = appended = recovered.last_zxid
        database = recovered.database
        writer = LogWriter(directory, preallocate_bytes=2000, snap_directory=directory)
        while synced < start + 40:
            batch = workload(rng.randrange(1, 5), first=synced + 1)
            appended = synced + len(batch)
            writer.append(framed(batch))
            writer.sync()
            synced = appended
            database = database_of(workload(synced))
            if rng.random() < 0.2:
                writer.roll()
                write_snapshot(directory, database.freeze())
    except Crashed:
        pass
    return synced, appended


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 1 << 32), st.booleans())
def test_no_crash_loses_a_synced_record(steps: list[int], seed_value: int, erratic: bool) -> None:
    """Power fails anywhere between write, sync and rename, several times in a row."""
    rng = random.Random(seed_value)
    directory = MemoryDirectory()
    last = 0
    for step in steps:
        synced, appended = _run_until_crash(directory, step, last, rng)
        directory.crash(rng if erratic else None)
        recovered = load(directory)
        assert synced <= recovered.last_zxid <= max(appended, last)
        assert contents(recovered.database) == contents(database_of(workload(recovered.last_zxid)))
        last = recovered.last_zxid


def test_a_parent_that_a_session_owns_is_refused_before_it_goes() -> None:
    """It would be deleted at the session's end, and no later snapshot could be read."""
    directory = MemoryDirectory()
    database = database_of([*PAYLOADS, create(21, "/n2/below")])
    database.tree.nodes["/n2"].ephemeral_owner = ttl_owner(1000)
    write_snapshot(directory, database.freeze())
    with pytest.raises(Corrupt, match=r"'/n2' belongs to session .*, though it has children"):
        load(directory)
    assert directory.names() == ["snapshot.15"]
    options = OPTIONS._replace(extended_types=True)  # which the message asks for
    assert load(directory, options).database.tree.ttls == {"/n2": None}


def test_a_last_zxid_without_a_next_one_is_refused() -> None:
    database = database_of(PAYLOADS)
    end = make(0x7FFF_FFFF, 0)
    for zxid in ((1 << 63) - 1, end):
        directory = MemoryDirectory()
        database.tree.last_zxid = zxid
        write_snapshot(directory, database.freeze())
        with pytest.raises(Corrupt, match="no zxid is left for further transactions"):
            load(directory)
    directory = MemoryDirectory()
    database.tree.last_zxid = end - 1
    write_snapshot(directory, database.freeze())
    assert load(directory).last_zxid == end - 1
