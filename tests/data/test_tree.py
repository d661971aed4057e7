"""The tree: what each transaction does, what it answers, what replay over later state may meet."""

from __future__ import annotations

import pytest

from pyzk.constants import CONTAINER_OWNER, ErrorCode, EventType, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.node import DataNode
from pyzk.data.tree import Applied, DataTree, ttl_owner
from pyzk.data.txn import SubTxn
from pyzk.data.watches import WatchEvent
from pyzk.errors import Corrupt
from pyzk.jute.records import (
    ACL,
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateSessionTxn,
    CreateTTLTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    SetACLTxn,
    SetDataTxn,
    Stat,
    TxnHeader,
)
from tests.frames import OPEN
from tests.world import owned_paths

READ = [ACL(1, "world", "anyone")]
SESSION = 0x100000000000007


class Log:
    """Applies transactions with rising zxids, as a server does."""

    def __init__(self, tree: DataTree | None = None) -> None:
        self.tree = tree or DataTree()
        self.zxid = 0

    def apply(
        self, kind: int, body: object, *, session: int = SESSION, zxid: int | None = None
    ) -> Applied:
        if zxid is None:
            self.zxid += 1
            zxid = self.zxid
        return self.tree.apply(TxnHeader(session, 1, zxid, 1000 + zxid, kind), body)

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        *,
        ephemeral: bool = False,
        cversion: int = -1,
        acl: list[ACL] | None = None,
        zxid: int | None = None,
        kind: int = OpCode.CREATE,
        session: int = SESSION,
    ) -> Applied:
        body = CreateTxn(path, data, OPEN if acl is None else acl, ephemeral, cversion)
        return self.apply(kind, body, zxid=zxid, session=session)

    def delete(self, path: str, *, zxid: int | None = None) -> Applied:
        return self.apply(OpCode.DELETE, DeleteTxn(path), zxid=zxid)

    def set_data(self, path: str, data: bytes | None, version: int) -> Applied:
        return self.apply(OpCode.SET_DATA, SetDataTxn(path, data, version))

    def stat(self, path: str) -> Stat:
        node = self.tree.find(path)
        assert node is not None, path
        return decode_stat(node.encode_stat())


class Listener:
    """A watcher that keeps what it is told."""

    session_id = 1

    def __init__(self) -> None:
        self.events: list[tuple[int, str, int]] = []

    def deliver(self, event: WatchEvent) -> None:
        self.events.append((event.type, event.path, event.zxid))


def decode_stat(raw: bytes) -> Stat:
    return Stat.decode(raw, 0, len(raw))[0]


@pytest.fixture
def log() -> Log:
    return Log()


# --- the first znodes: client-protocol.md §16 ---------------------------------------


def test_a_fresh_tree_has_the_stats_of_the_original(log: Log) -> None:
    assert log.stat("/") == Stat(0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0)
    assert log.stat("/zookeeper") == Stat(0, 0, 0, 0, 0, -2, 0, 0, 0, 2, 0)
    assert log.stat("/zookeeper/quota") == Stat(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert log.stat("/zookeeper/config") == Stat(0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0)


def test_a_fresh_tree_has_the_acls_of_the_original(log: Log) -> None:
    tree = log.tree
    assert tree.nodes["/zookeeper/config"].acl_id == 1
    assert tree.acls.get(1) == tuple(READ)
    for path in ("/", "/zookeeper", "/zookeeper/quota"):
        assert tree.nodes[path].acl_id == OPEN_ACL_ID


def test_a_fresh_tree_has_the_digest_of_the_original(log: Log) -> None:
    assert log.tree.digest == 1371985504


def test_the_root_counts_twice_as_in_the_original(log: Log) -> None:
    assert log.tree.node_count == 5
    assert log.tree.count_descendants("/") == 3
    assert log.tree.count_descendants("") == 4
    assert log.tree.count_descendants("/zookeeper") == 2
    assert log.tree.count_descendants("/zookeeper/quota") == 0


def test_the_root_is_found_under_both_its_names(log: Log) -> None:
    assert log.tree.find("/") is log.tree.find("") is not None
    assert log.tree.find("/none") is None


# --- create -------------------------------------------------------------------------


def test_create_answers_with_path_and_stat(log: Log) -> None:
    applied = log.apply(OpCode.CREATE2, CreateTxn("/a", b"xyz", OPEN, False, 1))
    assert (applied.type, applied.err, applied.path) == (OpCode.CREATE2, 0, "/a")
    assert decode_stat(applied.stat) == Stat(1, 1, 1001, 1001, 0, 0, 0, 0, 3, 0, 1)


def test_create_raises_the_parent_s_cversion_and_pzxid_only(log: Log) -> None:
    log.create("/a")
    log.create("/a/b", cversion=1)
    assert log.stat("/a") == Stat(1, 1, 1001, 1001, 0, 1, 0, 0, 0, 1, 2)


@pytest.mark.parametrize("data", [None, b"", b"x"])
def test_null_and_empty_data_are_kept_apart(log: Log, data: bytes | None) -> None:
    log.create("/a", data)
    assert log.tree.nodes["/a"].data == data


def test_a_parent_cversion_of_minus_one_means_one_more(log: Log) -> None:
    for name in "abc":
        log.create(f"/{name}", cversion=-1)
    assert log.tree.nodes["/"].cversion == 3


def test_a_parent_cversion_is_absolute_and_never_lowers(log: Log) -> None:
    log.create("/a", cversion=9)
    assert (log.tree.nodes["/"].cversion, log.tree.nodes["/"].pzxid) == (9, 1)
    log.create("/b", cversion=4)
    assert (log.tree.nodes["/"].cversion, log.tree.nodes["/"].pzxid) == (9, 1)
    log.create("/c", cversion=10)
    assert (log.tree.nodes["/"].cversion, log.tree.nodes["/"].pzxid) == (10, 3)


def test_a_parent_cversion_that_wrapped_is_not_stored(log: Log) -> None:
    """The original only ever raises it: the next sequential name will exist already."""
    log.tree.nodes["/"].cversion = (1 << 31) - 1
    log.create("/a", cversion=-(1 << 31))
    assert log.tree.nodes["/"].cversion == (1 << 31) - 1
    log.create("/b", cversion=-1)
    assert log.tree.nodes["/"].cversion == (1 << 31) - 1


def test_create_without_parent_answers_no_node_and_changes_nothing(log: Log) -> None:
    before = log.tree.digest
    assert log.create("/none/x").err == ErrorCode.NO_NODE
    assert log.tree.node_count == 5
    assert log.tree.digest == before


@pytest.mark.parametrize("kind", [OpCode.CREATE, OpCode.CREATE2])
def test_create_of_what_exists_answers_so_but_raises_the_parent(log: Log, kind: int) -> None:
    """Replay of a create that a fuzzy snapshot already has, while its parent is from before. The
    original raises the parent for type 1 only and so leaves it behind for the others."""
    log.create("/a", b"old", cversion=1, kind=kind)
    applied = log.create("/a", b"new", cversion=5, kind=kind)
    assert applied.err == ErrorCode.NODE_EXISTS
    assert log.tree.nodes["/a"].data == b"old"
    root = log.tree.nodes["/"]
    assert (root.cversion, root.pzxid) == (5, 2)
    assert len(root.children or ()) == 2
    assert log.tree.digest == recomputed_digest(log.tree)


def recomputed_digest(tree: DataTree) -> int:
    copy = DataTree(extended_types=True)
    copy.clear()
    for path, node in tree.nodes.items():
        copy.load_node(path, node.copy())
    return copy.digest


def test_a_replayed_create_gives_the_znode_its_list_when_the_snapshot_had_none(log: Log) -> None:
    """ZOOKEEPER-4846: the znode is in the fuzzy snapshot, its ACL number is not."""
    tree = log.tree
    tree.load_node("/a", DataNode(b"", 77))
    with pytest.raises(Corrupt):
        tree.acls.get(77)
    assert log.create("/a", acl=[ACL(3, "digest", "bob:x")]).err == ErrorCode.NODE_EXISTS
    assert tree.acls.get(tree.nodes["/a"].acl_id) == (ACL(3, "digest", "bob:x"),)


# --- owners -------------------------------------------------------------------------


def test_ephemerals_are_filed_by_session_and_show_their_owner(log: Log) -> None:
    log.create("/e", ephemeral=True)
    log.create("/f", ephemeral=True, session=8)
    assert owned_paths(log.tree) == {SESSION: ["/e"], 8: ["/f"]}
    assert log.stat("/e").ephemeral_owner == SESSION
    assert log.tree.ephemeral_count == 2
    assert log.tree.is_ephemeral(log.tree.nodes["/e"])
    log.delete("/e")
    assert owned_paths(log.tree) == {8: ["/f"]}


def test_containers_show_no_owner_and_keep_the_raw_one(log: Log) -> None:
    log.apply(OpCode.CREATE_CONTAINER, CreateContainerTxn("/c", b"", OPEN, 1))
    node = log.tree.nodes["/c"]
    assert node.ephemeral_owner == CONTAINER_OWNER == -(1 << 63)
    assert log.stat("/c").ephemeral_owner == 0
    assert log.tree.containers == {"/c": None}
    assert not log.tree.is_ephemeral(node)
    log.delete("/c")
    assert log.tree.containers == {}


@pytest.mark.parametrize("ttl_ms", [1, 1000, 0xFFFFFFFFFF])
def test_ttl_znodes_show_no_owner_and_keep_the_raw_one(ttl_ms: int) -> None:
    log = Log(DataTree(extended_types=True))
    log.apply(OpCode.CREATE_TTL, CreateTTLTxn("/t", b"", OPEN, 1, ttl_ms))
    node = log.tree.nodes["/t"]
    assert node.ephemeral_owner & (1 << 64) - 1 == 0xFF00000000000000 | ttl_ms
    assert log.stat("/t").ephemeral_owner == 0
    assert log.tree.ttls == {"/t": None}
    assert log.tree.ttl_ms(node) == ttl_ms
    assert not log.tree.is_ephemeral(node)
    log.delete("/t")
    assert log.tree.ttls == {}


def test_a_ttl_owner_without_extended_types_is_a_session(log: Log) -> None:
    owner = ttl_owner(1000)
    log.tree.load_node("/t", DataNode(b"", OPEN_ACL_ID, ephemeral_owner=owner))
    assert owned_paths(log.tree) == {owner: ["/t"]}
    assert log.tree.ttls == {}
    assert log.stat("/t").ephemeral_owner == owner


def test_a_top_byte_other_than_ff_is_a_session_although_negative() -> None:
    tree = DataTree(extended_types=True)
    tree.load_node("/e", DataNode(b"", OPEN_ACL_ID, ephemeral_owner=-(1 << 62)))
    assert owned_paths(tree) == {-(1 << 62): ["/e"]}


def test_ttl_znodes_of_3_5_3_are_emulated_on_demand() -> None:
    tree = DataTree(extended_types=True, emulate_353=True)
    old = -(1 << 63) | 1000
    tree.load_node("/old", DataNode(b"", OPEN_ACL_ID, ephemeral_owner=old))
    tree.load_node("/new", DataNode(b"", OPEN_ACL_ID, ephemeral_owner=ttl_owner(2000)))
    tree.load_node("/c", DataNode(b"", OPEN_ACL_ID, ephemeral_owner=CONTAINER_OWNER))
    assert list(tree.ttls) == ["/old", "/new"]
    assert tree.ttl_ms(tree.nodes["/old"]) == 1000
    assert tree.ttl_ms(tree.nodes["/new"]) == 2000
    assert tree.containers == {"/c": None}


# --- delete -------------------------------------------------------------------------


def test_delete_moves_the_parent_s_pzxid_and_wire_cversion_only(log: Log) -> None:
    log.create("/a")
    log.create("/a/b")
    applied = log.delete("/a/b")
    assert (applied.err, applied.path) == (0, "/a/b")
    assert log.stat("/a") == Stat(1, 1, 1001, 1001, 0, 2, 0, 0, 0, 0, 3)
    assert log.tree.nodes["/a"].cversion == 1


def test_delete_of_what_is_gone_still_raises_the_parent_s_pzxid(log: Log) -> None:
    log.create("/a")
    assert log.delete("/a/gone", zxid=9).err == ErrorCode.NO_NODE
    assert log.tree.nodes["/a"].pzxid == 9
    assert log.tree.digest == recomputed_digest(log.tree)


def test_delete_never_lowers_the_parent_s_pzxid(log: Log) -> None:
    log.create("/a")
    log.create("/a/b", zxid=9)
    log.delete("/a/b", zxid=5)
    assert log.tree.nodes["/a"].pzxid == 9


def test_delete_without_parent_answers_no_node(log: Log) -> None:
    assert log.delete("/none/x").err == ErrorCode.NO_NODE


def test_delete_forgets_the_acl_list_when_nobody_else_has_it(log: Log) -> None:
    acl = [ACL(3, "digest", "bob:x")]
    log.create("/a", acl=acl)
    log.create("/b", acl=acl)
    assert len(log.tree.acls) == 2
    log.delete("/a")
    assert len(log.tree.acls) == 2
    log.delete("/b")
    assert len(log.tree.acls) == 1


# --- setData, setACL ----------------------------------------------------------------


def test_set_data_sets_what_the_transaction_says(log: Log) -> None:
    log.create("/a", b"abc")
    applied = log.set_data("/a", b"x", 41)
    assert decode_stat(applied.stat) == Stat(1, 2, 1001, 1002, 41, 0, 0, 0, 1, 0, 1)
    assert log.tree.nodes["/a"].data == b"x"


def test_set_data_of_a_missing_znode_answers_no_node(log: Log) -> None:
    assert log.set_data("/none", b"", 1).err == ErrorCode.NO_NODE


def test_set_acl_touches_nothing_but_list_and_aversion(log: Log) -> None:
    log.create("/a", b"abc")
    applied = log.apply(OpCode.SET_ACL, SetACLTxn("/a", READ, 7))
    assert decode_stat(applied.stat) == Stat(1, 1, 1001, 1001, 0, 0, 7, 0, 3, 0, 1)
    assert log.tree.acls.get(log.tree.nodes["/a"].acl_id) == tuple(READ)


def test_set_acl_of_a_missing_znode_answers_no_node(log: Log) -> None:
    assert log.apply(OpCode.SET_ACL, SetACLTxn("/none", READ, 1)).err == ErrorCode.NO_NODE


def test_set_acl_to_the_same_list_keeps_it(log: Log) -> None:
    log.create("/a", acl=[ACL(3, "digest", "bob:x")])
    log.apply(OpCode.SET_ACL, SetACLTxn("/a", [ACL(3, "digest", "bob:x")], 1))
    assert log.tree.acls.get(log.tree.nodes["/a"].acl_id) == (ACL(3, "digest", "bob:x"),)


def test_a_reconfig_writes_the_config_znode_with_version_minus_one(log: Log) -> None:
    body = SetDataTxn("/zookeeper/config", b"server.1=h:1:2", -1)
    log.apply(OpCode.RECONFIG, body, zxid=7)
    stat = log.stat("/zookeeper/config")
    assert (stat.version, stat.mzxid, stat.data_length) == (-1, 7, 14)


# --- sessions, errors, checks -------------------------------------------------------


def test_close_session_deletes_the_paths_in_their_order_then_what_is_left(log: Log) -> None:
    for name in "abc":
        log.create(f"/{name}", ephemeral=True)
    log.create("/other", ephemeral=True, session=8)
    listener = Listener()
    log.tree.watches.add_recursive("/", listener)
    log.apply(OpCode.CLOSE_SESSION, CloseSessionTxn(["/b", "/a"]))
    assert [path for _, path, _ in listener.events] == ["/b", "/a", "/c"]
    assert {zxid for _, _, zxid in listener.events} == {5}
    assert owned_paths(log.tree) == {8: ["/other"]}
    assert log.tree.nodes["/"].pzxid == 5


def test_close_session_without_paths_deletes_what_the_session_owns(log: Log) -> None:
    log.create("/a", ephemeral=True)
    log.apply(OpCode.CLOSE_SESSION, None)
    assert log.tree.find("/a") is None


def test_close_session_tolerates_paths_that_are_gone(log: Log) -> None:
    applied = log.apply(OpCode.CLOSE_SESSION, CloseSessionTxn(["/gone", "/none/gone"]))
    assert applied.err == 0


def test_a_session_without_ephemerals_deletes_nothing(log: Log) -> None:
    assert log.tree.delete_ephemerals(SESSION, 9) == 0
    assert log.tree.nodes["/"].pzxid == 0


@pytest.mark.parametrize(
    ("kind", "body", "err"),
    [
        (OpCode.ERROR, ErrorTxn(-110), -110),
        (OpCode.CHECK, CheckVersionTxn("/a", 1), 0),
        (OpCode.CREATE_SESSION, CreateSessionTxn(30_000), 0),
    ],
)
def test_errors_checks_and_new_sessions_leave_the_tree_alone(
    log: Log, kind: int, body: object, err: int
) -> None:
    applied = log.apply(kind, body)
    assert (applied.type, applied.err) == (kind, err)
    assert log.tree.digest == DataTree().digest
    assert log.tree.node_count == 5


# --- multi --------------------------------------------------------------------------


def multi(*operations: tuple[int, CreateTxn | DeleteTxn | SetDataTxn | ErrorTxn]) -> list[SubTxn]:
    return [SubTxn(kind, body) for kind, body in operations]


def test_a_multi_applies_its_operations_in_order_with_one_zxid(log: Log) -> None:
    body = multi(
        (OpCode.CREATE, CreateTxn("/m", b"", OPEN, False, 1)),
        (OpCode.CREATE2, CreateTxn("/m/n", b"", OPEN, False, 1)),
        (OpCode.SET_DATA, SetDataTxn("/m/n", b"x", 1)),
        (OpCode.DELETE, DeleteTxn("/m/n")),
    )
    applied = log.apply(OpCode.MULTI, body)
    assert applied.results is not None
    assert [(r.type, r.err, r.path) for r in applied.results] == [
        (OpCode.CREATE, 0, "/m"),
        (OpCode.CREATE2, 0, "/m/n"),
        (OpCode.SET_DATA, 0, "/m/n"),
        (OpCode.DELETE, 0, "/m/n"),
    ]
    assert decode_stat(applied.results[2].stat).version == 1  # as of just after that operation
    assert log.stat("/m") == Stat(1, 1, 1001, 1001, 0, 2, 0, 0, 0, 0, 1)


def test_a_failed_multi_does_nothing_and_answers_what_the_log_says(log: Log) -> None:
    body = multi(
        (OpCode.CREATE, CreateTxn("/m", b"", OPEN, False, 1)),
        (OpCode.ERROR, ErrorTxn(-101)),
        (OpCode.ERROR, ErrorTxn(-2)),
    )
    applied = log.apply(OpCode.MULTI, body)
    assert applied.results is not None
    assert [(r.type, r.err) for r in applied.results] == [(-1, 0), (-1, -101), (-1, -2)]
    assert log.tree.find("/m") is None


def test_an_empty_multi_has_no_results(log: Log) -> None:
    assert log.apply(OpCode.MULTI, []).results == []


# --- sizes, counts, watches ---------------------------------------------------------


def test_data_size_is_the_length_of_all_paths_and_data(log: Log) -> None:
    base = sum(map(len, log.tree.nodes))
    assert log.tree.data_size == base
    log.create("/abc", b"12345")
    assert log.tree.data_size == base + 9
    log.set_data("/abc", b"1", 1)
    assert log.tree.data_size == base + 5
    log.set_data("/abc", None, 2)
    assert log.tree.data_size == base + 4
    log.delete("/abc")
    assert log.tree.data_size == base


def test_all_levels_below_a_znode_are_counted(log: Log) -> None:
    for path in ("/a", "/a/b", "/a/b/c", "/a/d", "/ab"):
        log.create(path)
    assert log.tree.count_descendants("/a") == 3
    assert log.tree.count_descendants("/") == 3 + 5
    assert log.tree.count_descendants("/ab") == 0


def test_events_come_in_the_original_s_order(log: Log) -> None:
    listener = Listener()
    for path in ("/", "/a"):
        log.tree.watches.add_persistent(path, listener)
    log.create("/a")
    log.set_data("/a", b"", 1)
    log.delete("/a")
    assert listener.events == [
        (EventType.NODE_CREATED, "/a", 1),
        (EventType.NODE_CHILDREN_CHANGED, "/", 1),
        (EventType.NODE_DATA_CHANGED, "/a", 2),
        (EventType.NODE_DELETED, "/a", 3),
        (EventType.NODE_CHILDREN_CHANGED, "/", 3),
    ]


# --- digests ------------------------------------------------------------------------


def test_the_digest_follows_every_change(log: Log) -> None:
    log.create("/a", b"x", ephemeral=True)
    log.create("/b")
    log.create("/b/c")
    log.set_data("/b", b"y", 1)
    log.apply(OpCode.SET_ACL, SetACLTxn("/b", READ, 1))
    log.delete("/b/c")
    assert log.tree.digest == recomputed_digest(log.tree)
    log.apply(OpCode.CLOSE_SESSION, None)
    log.delete("/b")
    assert log.tree.digest == recomputed_digest(log.tree)


def test_acl_lists_are_no_part_of_the_digest_but_aversion_is(log: Log) -> None:
    log.create("/a")
    before = log.tree.digest
    log.apply(OpCode.SET_ACL, SetACLTxn("/a", READ, 0))
    assert log.tree.digest == before
    log.apply(OpCode.SET_ACL, SetACLTxn("/a", READ, 1))
    assert log.tree.digest != before


def test_without_digests_nothing_is_computed() -> None:
    log = Log(DataTree(digests=False))
    log.create("/a", b"x")
    log.create("/a")
    log.set_data("/a", b"y", 1)
    log.apply(OpCode.SET_ACL, SetACLTxn("/a", READ, 1))
    log.delete("/a")
    log.delete("/a")
    assert log.tree.digest == 0


# --- loading ------------------------------------------------------------------------


def test_a_cleared_tree_takes_a_snapshot_s_znodes(log: Log) -> None:
    log.create("/a", b"x", ephemeral=True)
    log.apply(OpCode.CREATE_CONTAINER, CreateContainerTxn("/c", b"", READ, 1))
    tree = log.tree
    other = DataTree()
    other.clear()
    assert (other.digest, other.data_size, len(other.nodes), len(other.acls)) == (0, 0, 0, 0)
    for acl_id, acl in tree.acls.items():
        other.acls.load(acl_id, acl)
    for path, node in tree.nodes.items():
        other.load_node(path, node.copy())
        other.acls.add_usage(node.acl_id)
    other.finish_load()
    assert other.digest == tree.digest
    assert other.data_size == tree.data_size
    assert owned_paths(other) == owned_paths(tree)
    assert other.containers == tree.containers
    assert other.acls.items() == tree.acls.items()
    for path, node in tree.nodes.items():
        assert other.nodes[path].encode_stat() == node.encode_stat()


def test_a_snapshot_without_the_first_znodes_gets_them() -> None:
    tree = DataTree()
    tree.clear()
    tree.load_node("/", DataNode(b"", OPEN_ACL_ID))
    tree.finish_load()
    assert list(tree.nodes) == ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]
    assert tree.digest == DataTree().digest
    assert tree.nodes["/zookeeper/config"].aversion == -1
    assert tree.acls.get(tree.nodes["/zookeeper/config"].acl_id) == tuple(READ)


def test_acl_lists_that_no_znode_uses_are_dropped_after_loading() -> None:
    tree = DataTree()
    tree.acls.load(9, (ACL(3, "digest", "bob:x"),))
    tree.finish_load()
    assert 9 not in tree.acls


def test_a_znode_loaded_again_replaces_the_first(log: Log) -> None:
    log.create("/a", b"xyz", ephemeral=True)
    log.create("/a/b")  # a replayed log may say so
    tree = log.tree
    tree.load_node("/a", DataNode(b"1", OPEN_ACL_ID, version=9))
    assert list(tree.nodes["/a"].children or ()) == ["b"]
    assert owned_paths(tree) == {}
    assert tree.data_size == sum(map(len, tree.nodes)) + 1
    assert tree.digest == recomputed_digest(tree)


def test_a_znode_whose_parent_is_not_there_cannot_be_loaded(log: Log) -> None:
    with pytest.raises(KeyError):
        log.tree.load_node("/none/x", DataNode(b"", OPEN_ACL_ID))
