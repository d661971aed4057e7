"""The tree against a naive model, and a view of it against a copy taken at that moment.

The model is a dict of plain records, recomputed from scratch wherever it is asked; it knows nothing
of caches, tables or marks.
"""

from __future__ import annotations

import attrs
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyzk.constants import CONTAINER_OWNER, ErrorCode, OpCode
from pyzk.data.database import Database, FrozenDatabase
from pyzk.data.snapshot_view import Frozen
from pyzk.data.tree import Applied, DataTree, ttl_owner
from pyzk.data.txn import Body, SubTxn
from pyzk.jute.records import (
    ACL,
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
from tests.properties.requests import check_invariants

LISTS = (OPEN, [ACL(1, "world", "anyone")], [ACL(31, "digest", "a:b"), ACL(1, "ip", "1.2.3.4")])
NAMES = ("/a", "/b", "/a/x", "/a/y", "/a/x/z", "/b/x", "/zookeeper/q")
SESSIONS = (7, 8)

paths = st.sampled_from(NAMES)
datas = st.sampled_from((None, b"", b"x", b"12345"))
lists = st.sampled_from(LISTS)
sessions = st.sampled_from(SESSIONS)
counters = st.sampled_from((-1, -1, -1, 1, 2, 5))


@attrs.define
class Node:
    """A znode as the protocol describes it."""

    data: bytes | None
    acl: list[ACL]
    czxid: int
    mzxid: int
    pzxid: int
    ctime: int
    mtime: int
    owner: int = 0
    version: int = 0
    creations: int = 0
    aversion: int = 0


class Model:
    """All znodes by path; nothing is kept that can be computed."""

    def __init__(self) -> None:
        self.nodes = {
            path: Node(b"", OPEN, 0, 0, 0, 0, 0) for path in ("/", "/zookeeper", "/zookeeper/quota")
        }
        config = Node(b"", [ACL(1, "world", "anyone")], 0, 0, 0, 0, 0, aversion=-1)
        self.nodes["/zookeeper/config"] = config

    def parent(self, path: str) -> str:
        return path.rpartition("/")[0] or "/"

    def children(self, path: str) -> list[str]:
        return [other for other in self.nodes if other != "/" and self.parent(other) == path]

    def descendants(self, path: str) -> list[str]:
        prefix = path if path == "/" else path + "/"
        return [other for other in self.nodes if other != path and other.startswith(prefix)]

    def stat(self, path: str) -> Stat:
        node = self.nodes[path]
        count = len(self.children(path))
        return Stat(
            node.czxid,
            node.mzxid,
            node.ctime,
            node.mtime,
            node.version,
            2 * node.creations - count,
            node.aversion,
            node.owner if node.owner in SESSIONS else 0,
            len(node.data or b""),
            count,
            node.pzxid,
        )

    def create(
        self, header: TxnHeader, path: str, data: bytes | None, acl: list[ACL], at: int, owner: int
    ) -> int:
        parent = self.nodes.get(self.parent(path))
        if parent is None:
            return ErrorCode.NO_NODE
        creations = parent.creations + 1 if at == -1 else at
        if creations > parent.creations:
            parent.creations = creations
            parent.pzxid = header.zxid
        if path in self.nodes:
            self.nodes[path].acl = acl  # a fuzzy snapshot may have had another list's number
            return ErrorCode.NODE_EXISTS
        zxid, time = header.zxid, header.time
        self.nodes[path] = Node(data, acl, zxid, zxid, zxid, time, time, owner)
        return 0

    def delete(self, header: TxnHeader, path: str) -> int:
        parent = self.nodes.get(self.parent(path))
        if parent is None:
            return ErrorCode.NO_NODE
        parent.pzxid = max(parent.pzxid, header.zxid)
        return 0 if self.nodes.pop(path, None) else ErrorCode.NO_NODE


class TreeMachine(RuleBasedStateMachine):
    """Transactions go to both; views are compared with copies of their moment."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(DataTree(extended_types=True))
        self.tree = self.database.tree
        self.model = Model()
        self.zxid = 0
        self.view: FrozenDatabase | None = None
        self.expected: list[Frozen] = []
        self.read: list[Frozen] = []

    def apply(self, kind: int, body: object, session: int = 7) -> tuple[TxnHeader, Applied]:
        self.zxid += 1
        header = TxnHeader(session, 1, self.zxid, 1000 + self.zxid, kind)
        applied = self.database.commit(header, body, None, b"")
        assert self.database.last_zxid == self.zxid
        return header, applied

    # --- transactions ---------------------------------------------------------------

    @rule(
        kind=st.sampled_from((OpCode.CREATE, OpCode.CREATE2)),
        path=paths,
        data=datas,
        acl=lists,
        is_ephemeral=st.booleans(),
        at=counters,
        session=sessions,
    )
    def create(
        self,
        kind: int,
        path: str,
        data: bytes | None,
        acl: list[ACL],
        is_ephemeral: bool,
        at: int,
        session: int,
    ) -> None:
        header, applied = self.apply(kind, CreateTxn(path, data, acl, is_ephemeral, at), session)
        owner = session if is_ephemeral else 0
        self.check_create(header, applied, path, data, acl, at, owner)

    @rule(path=paths, data=datas, acl=lists, at=counters)
    def create_container(self, path: str, data: bytes | None, acl: list[ACL], at: int) -> None:
        body = CreateContainerTxn(path, data, acl, at)
        header, applied = self.apply(OpCode.CREATE_CONTAINER, body)
        self.check_create(header, applied, path, data, acl, at, CONTAINER_OWNER)

    @rule(path=paths, data=datas, acl=lists, at=counters, ttl=st.integers(1, 1 << 39))
    def create_ttl(self, path: str, data: bytes | None, acl: list[ACL], at: int, ttl: int) -> None:
        body = CreateTTLTxn(path, data, acl, at, ttl)
        header, applied = self.apply(OpCode.CREATE_TTL, body)
        self.check_create(header, applied, path, data, acl, at, ttl_owner(ttl))

    def check_create(
        self,
        header: TxnHeader,
        applied: Applied,
        path: str,
        data: bytes | None,
        acl: list[ACL],
        at: int,
        owner: int,
    ) -> None:
        err = self.model.create(header, path, data, acl, at, owner)
        assert (applied.err, applied.path) == (err, path)
        if not err and applied.type != OpCode.CREATE:  # whose reply has none
            assert applied.stat == self.model.stat(path).encode()

    @rule(kind=st.sampled_from((OpCode.DELETE, OpCode.DELETE_CONTAINER)), path=paths)
    def delete(self, kind: int, path: str) -> None:
        if self.model.children(path):
            return  # nobody proposes that
        header, applied = self.apply(kind, DeleteTxn(path))
        assert applied.err == self.model.delete(header, path)

    @rule(path=paths | st.just("/"), data=datas, version=st.integers(0, 9))
    def set_data(self, path: str, data: bytes | None, version: int) -> None:
        header, applied = self.apply(OpCode.SET_DATA, SetDataTxn(path, data, version))
        node = self.model.nodes.get(path)
        if node is None:
            assert applied.err == ErrorCode.NO_NODE
            return
        node.data, node.version = data, version
        node.mzxid, node.mtime = header.zxid, header.time
        assert applied.stat == self.model.stat(path).encode()

    @rule(path=paths | st.just("/"), acl=lists, version=st.integers(0, 9))
    def set_acl(self, path: str, acl: list[ACL], version: int) -> None:
        _, applied = self.apply(OpCode.SET_ACL, SetACLTxn(path, acl, version))
        node = self.model.nodes.get(path)
        if node is None:
            assert applied.err == ErrorCode.NO_NODE
            return
        node.acl, node.aversion = acl, version
        assert applied.stat == self.model.stat(path).encode()

    @rule(first=paths, second=paths, data=datas, does_fail=st.booleans())
    def multi(self, first: str, second: str, data: bytes | None, does_fail: bool) -> None:
        operations: list[tuple[int, Body]] = [
            (OpCode.CREATE, CreateTxn(first, data, OPEN, False, -1)),
            (OpCode.SET_DATA, SetDataTxn(second, data, 3)),
        ]
        if does_fail:
            operations.append((OpCode.ERROR, ErrorTxn(-101)))
        header, applied = self.apply(OpCode.MULTI, [SubTxn(*operation) for operation in operations])
        assert applied.results is not None
        if does_fail:
            assert [result.err for result in applied.results] == [0, 0, -101]
            return
        err = self.model.create(header, first, data, OPEN, -1, 0)
        node = self.model.nodes.get(second)
        if node is not None:
            node.data, node.version = data, 3
            node.mzxid, node.mtime = header.zxid, header.time
        expected = [err, 0 if node else ErrorCode.NO_NODE]
        assert [result.err for result in applied.results] == expected

    @rule(session=sessions)
    def create_session(self, session: int) -> None:
        self.apply(OpCode.CREATE_SESSION, CreateSessionTxn(5000), session)
        assert self.database.sessions[session] == 5000

    @rule(session=sessions, are_listed=st.booleans())
    def close_session(self, session: int, are_listed: bool) -> None:
        owned = [path for path, node in self.model.nodes.items() if node.owner == session]
        if any(self.model.children(path) for path in owned):
            return  # ephemerals have none
        header, _ = self.apply(
            OpCode.CLOSE_SESSION, CloseSessionTxn(owned) if are_listed else None, session
        )
        for path in owned:
            self.model.delete(header, path)
        assert session not in self.database.sessions

    # --- views ----------------------------------------------------------------------

    @precondition(lambda self: self.view is None)
    @rule()
    def freeze(self) -> None:
        self.expected = [
            (path, node.data, node.acl_id, node.encode_persisted())
            for path, node in self.tree.nodes.items()
        ]
        self.read = []
        self.view = self.database.freeze()
        assert self.view.zxid == self.zxid
        assert self.view.sessions == list(self.database.sessions.items())
        assert self.view.acls == self.tree.acls.items()
        assert self.view.digest == self.tree.digest

    @precondition(lambda self: self.view is not None)
    @rule(limit=st.integers(1, 4))
    def read_some(self, limit: int) -> None:
        assert self.view is not None
        chunk = self.view.nodes.read(limit)
        assert len(chunk) <= limit
        self.read += chunk
        if not chunk:
            assert self.read == self.expected
            self.close_view()

    @precondition(lambda self: self.view is not None)
    @rule()
    def close_view(self) -> None:
        assert self.view is not None
        self.view.close()
        self.view = None

    def teardown(self) -> None:
        if self.view is None:
            return
        while chunk := self.view.nodes.read(3):
            self.read += chunk
        assert self.read == self.expected
        self.view.close()

    # --- what must hold -------------------------------------------------------------

    @invariant()
    def the_tree_is_the_model(self) -> None:
        tree, model = self.tree, self.model
        assert set(tree.nodes) == set(model.nodes)
        for path, node in tree.nodes.items():
            assert node.encode_stat() == model.stat(path).encode(), path
            assert node.data == model.nodes[path].data
            assert node.ephemeral_owner == model.nodes[path].owner
            assert node.cversion == model.nodes[path].creations
            assert list(tree.acls.get(node.acl_id)) == model.nodes[path].acl
            assert tree.count_descendants(path) == len(model.descendants(path))
        assert tree.node_count == len(model.nodes) + 1
        assert tree.ephemeral_count == sum(node.owner in SESSIONS for node in model.nodes.values())

    @invariant()
    def the_tables_agree(self) -> None:
        check_invariants(self.tree)


TestTree = TreeMachine.TestCase
TestTree.settings = hypothesis_settings(
    max_examples=hypothesis_settings().max_examples // 2,
    stateful_step_count=40,
    # Explaining a failure takes minutes here, and says nothing that the steps do not.
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
