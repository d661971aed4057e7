"""Snapshots: golden bytes, round trips, damage."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.node import DataNode
from pyzk.data.tree import DataTree
from pyzk.data.txn import LoggedTxn, decode_txn
from pyzk.errors import Corrupt, StorageError
from pyzk.jute.records import DeleteTxn, TxnHeader
from pyzk.persistence import snapshot
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.filenames import snapshots
from pyzk.persistence.snapshot import (
    READ_WINDOW_BYTES,
    LoadedSnapshot,
    SnapshotWriter,
    looks_complete,
    read_snapshot,
    write_snapshot,
)
from tests.persistence.disks import contents, create_payload, get, put, workload
from tests.transactions import database_of

PAYLOADS = workload(40)


def read(directory: MemoryDirectory, name: str) -> LoadedSnapshot:
    return read_snapshot(directory, name, snapshots([name])[0].zxid, DataTree())


def test_golden_fresh_snapshot() -> None:
    """The file of a new database as ZooKeeper 3.8.0 and 3.9 write it, up to the order of nodes."""
    directory = MemoryDirectory()
    name = write_snapshot(directory, database_of([]).freeze(), last_zxid_section=False)
    assert name == "snapshot.0"
    old = get(directory, name)
    assert len(old) == 457
    assert old.endswith(struct.pack(">qiq", 0, 2, 0) + old[-13:])
    write_snapshot(directory, database_of([]).freeze())
    new = get(directory, name)
    assert len(new) == 478
    assert new[:457] == old
    assert new.endswith(bytes(8) + new[-13:])
    assert new[:16].hex() == "5a4b534e00000002ffffffffffffffff"


@pytest.mark.parametrize("suffix", ["", ".gz", ".snappy"])
def test_round_trip(suffix: str) -> None:
    database = database_of(PAYLOADS)
    directory = MemoryDirectory()
    name = write_snapshot(directory, database.freeze(), suffix=suffix)
    assert name == f"snapshot.28{suffix}"
    assert directory.names() == [name]
    loaded = read(directory, name)
    assert contents(loaded.database) == contents(database)
    assert loaded.database.sessions == database.sessions
    assert loaded.database.tree.digest == database.tree.digest == loaded.digest
    assert loaded.digest_zxid == loaded.last_zxid == loaded.database.last_zxid == 40


@given(
    st.dictionaries(
        st.text(
            st.characters(blacklist_characters="/", blacklist_categories=["Cs", "Cc"]), min_size=1
        ),
        st.one_of(st.none(), st.binary(max_size=100)),
        max_size=8,
    ).filter(lambda names: "zookeeper" not in names and "." not in names and ".." not in names),
    st.dictionaries(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 1 << 30), max_size=4),
)
def test_round_trip_of_any_names_data_and_sessions(
    nodes: dict[str, bytes | None], sessions: dict[int, int]
) -> None:
    bmp = {name: data for name, data in nodes.items() if max(name) <= "\uffff"}
    payloads = [create_payload(z, f"/{n}", d) for z, (n, d) in enumerate(bmp.items(), start=1)]
    database = database_of(payloads)
    database.sessions.update(sessions)
    directory = MemoryDirectory()
    name = write_snapshot(directory, database.freeze())
    loaded = read(directory, name)
    assert contents(loaded.database) == contents(database)
    assert loaded.database.sessions == sessions


def test_sections_are_told_apart_by_their_length() -> None:
    directory = MemoryDirectory()
    for digests in (True, False):
        for last_zxid in (True, False):
            database = Database(DataTree(digests=digests))
            database.tree.last_zxid = 7
            name = write_snapshot(directory, database.freeze(), last_zxid_section=last_zxid)
            loaded = read(directory, name)
            assert loaded.last_zxid == (7 if last_zxid else None)
            assert loaded.digest_zxid == (7 if digests else 0)


@given(st.data())
def test_any_flipped_byte_is_detected_or_harmless(data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(["", ".gz", ".snappy"]))
    database = database_of(PAYLOADS[:6])
    directory = MemoryDirectory()
    name = write_snapshot(directory, database.freeze(), suffix=suffix)
    whole = bytearray(get(directory, name))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    put(directory, name, bytes(whole))
    try:
        loaded = read(directory, name)
    except Corrupt:
        return
    # Unused header fields of gzip and snappy-java.
    assert suffix
    assert contents(loaded.database) == contents(database)


@given(st.integers(0, 2000))
def test_any_cut_is_detected(cut: int) -> None:
    for suffix in ("", ".gz", ".snappy"):
        directory = MemoryDirectory()
        name = write_snapshot(directory, database_of(PAYLOADS[:9]).freeze(), suffix=suffix)
        whole = get(directory, name)
        put(directory, name, whole[: min(cut, len(whole) - 1)])
        with pytest.raises(Corrupt):
            read(directory, name)


@pytest.mark.parametrize("suffix", ["", ".gz", ".snappy"])
def test_bytes_behind_the_end_are_refused(suffix: str) -> None:
    directory = MemoryDirectory()
    name = write_snapshot(directory, database_of(PAYLOADS).freeze(), suffix=suffix)
    put(directory, name, get(directory, name) + b"\0\0\0\x01/")
    with pytest.raises(Corrupt):
        read(directory, name)


def test_the_end_may_lie_in_another_piece_of_the_file() -> None:
    """Wherever the border falls: in the tree's end, its seal, a section or a section's seal."""
    directory = MemoryDirectory()
    payload = create_payload(1, "/n1", b"")
    empty = len(get(directory, write_snapshot(directory, database_of([payload]).freeze())))
    data = bytes(READ_WINDOW_BYTES - empty)
    for beyond in range(75):
        payload = create_payload(1, "/n1", data + bytes(beyond))
        name = write_snapshot(directory, database_of([payload]).freeze())
        assert directory.size(name) == READ_WINDOW_BYTES + beyond
        loaded = read(directory, name)
        assert (loaded.digest_zxid, loaded.last_zxid) == (1, 1)
        assert loaded.digest == loaded.database.tree.digest


END = b"\0\0\0\x01/"
NO_ACLS = NO_SESSIONS = bytes(4)
ROOT_NODE = bytes(4) + bytes(4) + struct.pack(">q", -1) + bytes(60)


def node(path: bytes, data_length: int = 0, acl_id: int = -1) -> bytes:
    head = struct.pack(">i", len(path)) + path + struct.pack(">i", data_length)
    return head + struct.pack(">q", acl_id) + bytes(60)


def sealed(body: bytes) -> bytes:
    """A file with a right checksum."""
    return body + struct.pack(">q", zlib.adler32(body)) + END


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (struct.pack(">i", -1), "-1 sessions"),
        (NO_SESSIONS + struct.pack(">i", -2), "-2 ACL lists"),
        (NO_SESSIONS + struct.pack(">iqi", 1, 1, -3), "-3 ACL entries"),
        (NO_SESSIONS + struct.pack(">iqiii", 1, 1, 1, 31, -4), "a length of -4 bytes"),
        (NO_SESSIONS + struct.pack(">iqiii", 1, 1, 1, 31, 1 << 30), "a length of 1073741824 bytes"),
        (NO_SESSIONS + NO_ACLS + struct.pack(">i", -5), "a path of -5 bytes"),
        (NO_SESSIONS + NO_ACLS + node(b"", -6), "data of -6 bytes"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + ROOT_NODE, "'/' comes twice"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"/a") + node(b"/a"), "'/a' comes twice"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"/a/b"), "'/a/b' comes before its parent"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"/a/"), "'/a/' comes before its parent"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"//a"), "'//a' comes before its parent"),
        (NO_SESSIONS + NO_ACLS + node(b"/a"), "'/a' comes before its parent"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"no path"), "'no path' comes before its"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"/a", acl_id=1 << 31), "number 2147483648"),
        (NO_SESSIONS + NO_ACLS + END, "the snapshot has no root"),
        (NO_SESSIONS + NO_ACLS + ROOT_NODE + node(b"/a", 1 << 20), "the snapshot ends early"),
    ],
)
def test_nonsense_under_a_right_checksum_is_refused(body: bytes, message: str) -> None:
    directory = MemoryDirectory()
    put(directory, "snapshot.1", sealed(golden_header() + body))
    with pytest.raises(Corrupt, match=message) as refused:
        read(directory, "snapshot.1")
    assert refused.value.path.endswith("snapshot.1")


def golden_header() -> bytes:
    return bytes.fromhex("5a4b534e00000002ffffffffffffffff")


def test_znodes_that_are_not_behind_their_siblings_find_their_parents() -> None:
    """Ours are in the order in which they were made; a part of one path may look like another."""
    paths = [b"/a", b"/ab", b"/a/b", b"/ab/b", b"/a/b/c", b"/b", b"/a/c", b"/a/b/d", b"/ab/c"]
    body = golden_header() + NO_SESSIONS + NO_ACLS + ROOT_NODE + b"".join(map(node, paths)) + END
    directory = MemoryDirectory()
    put(directory, "snapshot.7", sealed(body))
    tree = read(directory, "snapshot.7").database.tree
    fresh = DataTree()
    names = [raw.decode() for raw in paths]
    for path in names:
        fresh.load_node(path, DataNode(b"", -1))
    for path in ["/", *names]:
        children = set(fresh.nodes[path].list_children()) - {"zookeeper"}
        assert set(tree.nodes[path].list_children()) - {"zookeeper"} == children
    root = fresh.nodes["/"]
    assert tree.nodes["/a/b"].digest == fresh.nodes["/a/b"].digest
    assert (tree.digest, root.digest) == (fresh.digest, tree.nodes["/"].digest)
    assert tree.data_size == fresh.data_size


def test_a_digest_of_another_version_is_not_compared() -> None:
    body = golden_header() + NO_SESSIONS + NO_ACLS + ROOT_NODE + END
    for version, known in ((2, 7), (3, 0)):
        directory = MemoryDirectory()
        first = sealed(body)
        put(directory, "snapshot.7", sealed(first + struct.pack(">qiQ", 7, version, 99)))
        loaded = read(directory, "snapshot.7")
        assert (loaded.digest_zxid, loaded.digest) == (known, 99 if known else 0)


def test_looks_complete_is_java_s_quick_test() -> None:
    directory = MemoryDirectory()
    put(directory, "snapshot.1", b"ZKSN" + bytes(20))
    put(directory, "snapshot.2", b"\0\0\0\x01/")
    put(directory, "snapshot.3", bytes(9) + b"\0\0\0\x01/")
    put(directory, "snapshot.4.gz", b"\x1f\x8b")
    put(directory, "snapshot.5.gz", b"no")
    put(directory, "snapshot.6.snappy", b"\x82SNAPPY\0")
    found = [name for name in directory.names() if looks_complete(directory, name)]
    assert found == ["snapshot.3", "snapshot.4.gz", "snapshot.6.snappy"]


def test_view_is_of_one_moment_while_transactions_go_on() -> None:
    database = database_of(PAYLOADS)
    before = contents(database)
    frozen = database.freeze()
    directory = MemoryDirectory()
    writer = SnapshotWriter(directory, frozen)
    zxid = 41
    while nodes := frozen.nodes.read(5):
        writer.add(nodes)
        for path in (f"/n{zxid - 20}", f"/n{zxid - 38}"):
            if path in database.tree.nodes:
                database.replay(_delete(zxid, path))
        database.replay(_create(zxid + 1000, f"/new{zxid}"))
        zxid += 1
    name = writer.commit()
    frozen.close()
    assert contents(database) != before
    assert contents(read(directory, name).database) == before


def _delete(zxid: int, path: str) -> LoggedTxn:
    return LoggedTxn(TxnHeader(0, 0, zxid, 0, OpCode.DELETE), DeleteTxn(path))


def _create(zxid: int, path: str) -> LoggedTxn:
    return decode_txn(create_payload(zxid, path))


def test_failed_snapshot_leaves_nothing_behind() -> None:
    directory = MemoryDirectory()

    def full(operation: str, name: str) -> None:
        if operation == "write":
            raise StorageError("no space left on device", path=name)

    directory.before = full
    database = database_of(PAYLOADS)
    with pytest.raises(StorageError, match="no space"):
        write_snapshot(directory, database.freeze())
    assert directory.names() == []
    # The view was closed: another snapshot may be taken.
    directory.before = lambda _operation, _name: None
    write_snapshot(directory, database.freeze())


def test_large_data_is_written_in_pieces() -> None:
    payloads = [create_payload(z, f"/n{z}", bytes(400_000)) for z in range(1, 20)]
    directory = MemoryDirectory()
    database = database_of(payloads)
    name = write_snapshot(directory, database.freeze())
    assert directory.size(name) > 7_000_000
    assert contents(read(directory, name).database) == contents(database)


@pytest.mark.source
@pytest.mark.parametrize(
    ("path_bytes", "data_bytes", "fits"), [(200, 200, True), (201, 9, False), (9, 201, False)]
)
def test_the_limit_is_that_of_a_transaction_for_each_string(
    path_bytes: int, data_bytes: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a znode and its data have come in different transactions."""
    database = Database(DataTree())
    path = "/" + "p" * (path_bytes - 1)
    database.tree.load_node(path, DataNode(bytes(data_bytes), -1))
    directory = MemoryDirectory()
    name = write_snapshot(directory, database.freeze())
    monkeypatch.setattr(snapshot, "MAX_TXN_BYTES", 200)
    if fits:
        loaded = read_snapshot(directory, name, 0, DataTree())
        assert loaded.database.tree.nodes[path].data == bytes(data_bytes)
        assert loaded.longest == 200
    else:
        with pytest.raises(Corrupt, match="of 201 bytes"):
            read_snapshot(directory, name, 0, DataTree())
