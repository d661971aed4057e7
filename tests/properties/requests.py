"""Random requests of a few sessions on a few paths, and the whole state of a database."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    PathWatchRequest,
    SetACLRequest,
    SetDataRequest,
)
from tests.frames import OPEN, Record, multi
from tests.world import owned_paths

PATHS = ("/a", "/b", "/a/x", "/a/y", "/a/x/z", "/zookeeper/q")
LISTS: tuple[list[ACL], ...] = (
    OPEN,
    OPEN,
    OPEN,
    [ACL(31, "ip", "127.0.0.1")],
    [ACL(1, "world", "anyone")],
    [],
)

Operation = tuple[int, Record]

paths = st.sampled_from(PATHS)
parents = st.sampled_from((*PATHS, "/", "/none", "bad"))
datas = st.sampled_from((None, b"", b"x", b"yyyy"))
versions = st.sampled_from((-1, -1, -1, 0, 1, 2))
lists = st.sampled_from(LISTS)

plain_creates: st.SearchStrategy[Operation] = st.tuples(
    st.sampled_from((OpCode.CREATE, OpCode.CREATE, OpCode.CREATE2)),
    st.builds(CreateRequest, paths, datas, lists, st.integers(0, 3)),
)
containers: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.CREATE_CONTAINER), st.builds(CreateRequest, paths, datas, lists, st.just(4))
)
ttls: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.CREATE_TTL),
    st.builds(CreateTTLRequest, paths, datas, lists, st.sampled_from((5, 6)), st.just(1000)),
)
deletes: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.DELETE), st.builds(DeleteRequest, parents, versions)
)
changes: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.SET_DATA), st.builds(SetDataRequest, parents, datas, versions)
)
list_changes: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.SET_ACL), st.builds(SetACLRequest, parents, lists, versions)
)
checks: st.SearchStrategy[Operation] = st.tuples(
    st.just(OpCode.CHECK), st.builds(CheckVersionRequest, parents, versions)
)
in_multi = st.one_of(plain_creates, plain_creates, containers, ttls, deletes, changes, checks)
multis: st.SearchStrategy[tuple[int, bytes]] = st.tuples(
    st.just(OpCode.MULTI), st.lists(in_multi, max_size=4).map(lambda ops: multi(*ops))
)
reads: st.SearchStrategy[Operation] = st.tuples(
    st.sampled_from((OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN2)),
    st.builds(PathWatchRequest, parents, st.booleans()),
)
unreadable: st.SearchStrategy[tuple[int, bytes]] = st.tuples(
    st.sampled_from((OpCode.CREATE, OpCode.MULTI, OpCode.GET_DATA)), st.just(b"\0")
)
closings: st.SearchStrategy[tuple[int, bytes]] = st.just((OpCode.CLOSE_SESSION, b""))

writes = st.one_of(
    plain_creates, plain_creates, containers, ttls, deletes, changes, list_changes, multis
)
requests = st.one_of(writes, writes, writes, reads, unreadable)


@attrs.frozen
class State:
    """Everything that a database is, as values that can be compared."""

    nodes: dict[str, tuple[bytes | None, bytes, bytes, tuple[ACL, ...], frozenset[str]]]
    """path -> data, StatPersisted, Stat, list, children"""
    sessions: dict[int, int]
    ephemerals: dict[int, frozenset[str]]
    containers: frozenset[str]
    ttls: frozenset[str]
    lists: frozenset[tuple[ACL, ...]]
    sizes: tuple[int, int]
    zxid: int
    digest: int


def state_of(database: Database) -> State:
    """Return what a database is now."""
    tree = database.tree
    return State(
        {
            path: (
                node.data,
                node.encode_persisted(),
                node.encode_stat(),
                tree.acls.get(node.acl_id),
                frozenset(node.children or ()),
            )
            for path, node in tree.nodes.items()
        },
        dict(database.sessions),
        {owner: frozenset(owned) for owner, owned in owned_paths(tree).items()},
        frozenset(tree.containers),
        frozenset(tree.ttls),
        frozenset(acl for _, acl in tree.acls.items()),
        (tree.node_count, tree.data_size),
        database.last_zxid,
        tree.digest,
    )


def check_invariants(tree: DataTree) -> None:
    """What must hold of every tree: the tables agree with the znodes, the digest with both."""
    fresh = DataTree(extended_types=True)
    fresh.clear()
    for path, node in tree.nodes.items():
        node.stat = None  # the cached Stat must not be what is compared
        copy = node.copy()
        fresh.load_node(path, copy)
        if tree.digests:
            assert copy.digest == node.digest, path
    assert fresh.digest == tree.digest
    assert fresh.data_size == tree.data_size
    assert owned_paths(fresh) == {
        owner: sorted(owned, key=list(tree.nodes).index)
        for owner, owned in owned_paths(tree).items()
    }
    assert set(fresh.containers) == set(tree.containers)
    assert set(fresh.ttls) == set(tree.ttls)
    for path, node in tree.nodes.items():
        assert set(fresh.nodes[path].children or ()) == set(node.children or ())
        assert node.shown_owner == fresh.nodes[path].shown_owner
    used = {node.acl_id for node in tree.nodes.values()} - {-1}
    assert {acl_id for acl_id, _ in tree.acls.items()} == used
