"""Holds the tree of znodes, and has the only code that changes it.

Pure. Answers to DataTree. ``apply`` executes one committed transaction, live or at recovery: it
checks nothing that the proposer has checked, but tolerates replay over a state that already has
later effects (a fuzzy snapshot of the original). The root stands under "/" alone; where the
original's second key "" shows (node count, digests, snapshots) the code says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.compiling import mypyc_attr
from pyzk.constants import (
    CONTAINER_OWNER,
    EXTENDED_MASK,
    ErrorCode,
    OpCode,
)
from pyzk.data.acl import OPEN_ACL_ID, READ_ACL, AclTable
from pyzk.data.name_set import NameSet
from pyzk.data.node import DataNode, compute_digest, to_int32
from pyzk.data.paths import CONFIG, QUOTA, ROOT, ZOOKEEPER, parent_of
from pyzk.data.pending import PendingNode
from pyzk.data.quota import QuotaTable
from pyzk.data.snapshot_view import SnapshotView
from pyzk.data.txn import SubTxn
from pyzk.data.watches import WatchManager
from pyzk.int64 import MASK64, signed
from pyzk.jute.archive import encode_buffer
from pyzk.jute.records import (
    ACL,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateTTLTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    SetACLTxn,
    SetDataTxn,
    TxnHeader,
)

if TYPE_CHECKING:
    from pyzk.summaries import WrittenByNamespace

_TTL_MASK: Final = 0xFFFFFFFFFF


# Most often one is made, answered and freed before the next is made.
@mypyc_attr(acyclic=True, free_list_len=1)
class Applied:
    """What a transaction did: the error it ended with, the path and the Stat to answer with. In
    front of the Stat of a reconfig is its text."""

    __slots__ = ("err", "path", "results", "stat", "type")

    def __init__(self, type: int, err: int = 0, path: str = "", stat: bytes = b"") -> None:
        self.type = type
        self.err = err
        self.path = path
        self.stat = stat
        self.results: list[Applied] | None = None
        """The results of the operations of a multi, one entry for each."""


class DataTree:
    """Holds all znodes of one server."""

    def __init__(
        self, *, extended_types: bool = False, emulate_353: bool = False, digests: bool = True
    ) -> None:
        self.nodes: dict[str, DataNode] = {}
        self.acls = AclTable()
        self.watches: WatchManager = WatchManager()
        self.quota = QuotaTable()
        self.written: WrittenByNamespace | None = None
        """What counts the bytes of each create, delete and setData, for whoever set it."""
        self.on_ephemeral_deleted: Callable[[int, str, int], None] | None = None
        """What is told of each ephemeral that goes with its session: (session id, path, error)."""
        self.ephemerals: dict[int, NameSet] = {}
        """Session -> paths of its ephemerals. A set stays until the session ends, even empty, as in
        the original: its past decides in which order the paths are deleted."""
        self.containers: dict[str, None] = {}
        self.ttls: dict[str, None] = {}
        self.last_zxid = 0
        self.digest = 0
        """The sum of the znodes' digests; always 0 when digests are switched off. The original
        counts modulo 2^64, which no sum of so many numbers of 32 bits reaches."""
        self.data_size = 0
        """The lengths of all paths and data, which mntr calls approximate_data_size."""
        self.digests = digests
        self._undigested: dict[str, DataNode] | None = None
        """While a transaction of many operations is applied whose digests nobody has foretold: the
        znodes whose digests are computed at its end."""
        self._extended_types = extended_types
        self._emulate_353 = emulate_353
        self._views: list[SnapshotView] = []
        """The snapshot views that are open."""
        self._generation = 0
        """The generation of the newest view that there ever was."""
        self._frozen: int = 0
        """The generation of the newest open view, 0 if none is open. That view may hold each znode
        with a lower mark."""
        self._add_first_nodes()

    def _add_first_nodes(self) -> None:
        """Put in what is missing of the znodes that every tree has."""
        for path in (ROOT, ZOOKEEPER, QUOTA):
            if path not in self.nodes:
                self.load_node(path, DataNode(b"", OPEN_ACL_ID))
        if CONFIG not in self.nodes:
            config = DataNode(b"", self.acls.intern(READ_ACL))
            config.aversion = -1
            self.load_node(CONFIG, config)

    # --- questions ------------------------------------------------------------------

    def find(self, path: str) -> DataNode | None:
        """Return the znode; the empty path is the root, as in the original."""
        return self.nodes.get(path or ROOT)

    @property
    def node_count(self) -> int:
        """Return the number of znodes as the original counts them: its root has two keys."""
        return len(self.nodes) + 1

    @property
    def ephemeral_count(self) -> int:
        return sum(map(len, self.ephemerals.values()))

    def count_descendants(self, path: str) -> int:
        """Return the number of znodes below ``path`` (getAllChildrenNumber)."""
        if path in ("", ROOT):
            # The original looks at names: its root has two, and "/" is below "".
            return len(self.nodes) - (path == ROOT)
        count = 0
        todo = [path]
        while todo:
            parent = todo.pop()
            children = self.nodes[parent].children
            if children:
                count += len(children)
                todo += children.names
        return count

    # --- loading --------------------------------------------------------------------

    def load_node(self, path: str, node: DataNode) -> None:
        """Put a znode in as it is; its parent must be there. The snapshot reader's door."""
        old = self.nodes.get(path)
        if old is None:
            if path != ROOT:
                parent = self.nodes[parent_of(path)]
                parent.add_child(path, path.rindex("/") + 1)
                parent.forget_stat()
            self.data_size += len(path)
        else:
            node.children = old.children
            self._forget_owner(path, old)
            self.data_size -= len(old.data or b"")
            self.digest -= old.digest
        self.nodes[path] = node
        self.data_size += len(node.data or b"")
        self.note_owner(path, node)
        if self.digests:
            node.digest = compute_digest(path, node)
            self.digest += node.digest

    def clear(self) -> None:
        """Remove every znode, the first ones too: a snapshot brings its own."""
        self.nodes.clear()
        self.acls = AclTable()
        self.ephemerals.clear()
        self.containers.clear()
        self.ttls.clear()
        self.digest = self.data_size = 0

    def finish_load(self) -> None:
        """Settle what only the whole tree tells: ACL usage, quotas, the znodes every tree has."""
        self._add_first_nodes()
        self.acls.drop_unused()
        self.quota.load(self.nodes)

    def note_owner(self, path: str, node: DataNode) -> None:
        """File a znode under its kind, which its ephemeralOwner tells (EphemeralType)."""
        owner = node.ephemeral_owner
        if owner == 0:
            return
        if owner == CONTAINER_OWNER:
            self.containers[path] = None
        elif self.is_ttl_owner(owner):
            self.ttls[path] = None
        else:
            node.is_owned = True
            owned = self.ephemerals.get(owner)
            if owned is None:
                owned = self.ephemerals[owner] = NameSet()
            owned.add(path)

    def is_ttl_owner(self, owner: int) -> bool:
        """Return whether an ephemeralOwner says TTL, which it does only with extended types
        switched on."""
        if not self._extended_types:
            return False
        if self._emulate_353:
            return owner < 0 and owner != CONTAINER_OWNER
        return (owner & MASK64) >> 56 == 0xFF

    def ttl_ms(self, node: DataNode) -> int:
        """Return the TTL of a TTL znode in ms."""
        if self._emulate_353 and (node.ephemeral_owner & MASK64) >> 56 != 0xFF:
            return node.ephemeral_owner & 0x7FFFFFFFFFFFFFFF
        return node.ephemeral_owner & _TTL_MASK

    def is_ephemeral(self, node: DataNode) -> bool:
        """Return whether a session owns the znode."""
        owner = node.ephemeral_owner
        return owner not in (0, CONTAINER_OWNER) and not self.is_ttl_owner(owner)

    def _forget_owner(self, path: str, node: DataNode) -> None:
        owner = node.ephemeral_owner
        if owner == 0:
            return
        if owner == CONTAINER_OWNER:
            self.containers.pop(path, None)
        elif self.is_ttl_owner(owner):
            self.ttls.pop(path, None)
        else:
            owned = self.ephemerals.get(owner)
            if owned is not None:
                owned.discard(path)

    # --- snapshots ------------------------------------------------------------------

    def freeze(self) -> SnapshotView:
        """Return a view of this moment that stays true while transactions go on; there may be
        several, of different moments."""
        self._generation += 1
        view = SnapshotView(self.nodes, self._generation, self._thaw)
        self._views.append(view)
        self._frozen = self._generation
        return view

    def _thaw(self, view: SnapshotView) -> None:
        self._views.remove(view)
        self._frozen = self._views[-1].generation if self._views else 0

    def _replace(self, path: str, node: DataNode) -> DataNode:
        """Leave a znode to the views; return the one that takes its place."""
        node = node.copy()
        node.mark = self._frozen
        self.nodes[path] = node
        return node

    # --- apply ----------------------------------------------------------------------

    def apply(
        self, header: TxnHeader, body: object, foretold: PendingNode | None = None
    ) -> Applied:
        """Execute one transaction; the caller advances ``last_zxid``.

        ``foretold`` is the state that the proposer has prepared for the znode that is changed; its
        digest and that of its parent's state are believed. Each operation of a multi has its own
        (all of them those at the multi's end, for nobody sees the tree's digest before that); they
        are believed if there is one here, whichever.
        """
        kind = header.type
        if kind == OpCode.MULTI:
            assert isinstance(body, list), body
            return self._apply_multi(header, body, foretold is not None)
        return self._apply_one(header, kind, body, foretold)

    def _apply_one(
        self, header: TxnHeader, kind: int, body: object, foretold: PendingNode | None
    ) -> Applied:
        """Execute a transaction with one operation, or one operation of a multi."""
        # The two that matter most need no look into the table.
        if kind == OpCode.SET_DATA:
            assert isinstance(body, SetDataTxn), body
            return self._apply_set_data(header, kind, body, foretold)
        if kind == OpCode.CREATE:
            assert isinstance(body, CreateTxn), body
            return self._apply_create(header, kind, body, foretold)
        return _APPLY[kind](self, header, kind, body, foretold)

    def _apply_multi(self, header: TxnHeader, body: list[SubTxn], is_foretold: bool) -> Applied:
        """Execute all operations of a multi, or none when one of them is recorded as an error."""
        applied = Applied(OpCode.MULTI)
        if any(sub.type == OpCode.ERROR for sub in body):
            results = [
                Applied(OpCode.ERROR, sub.body.err if isinstance(sub.body, ErrorTxn) else 0)
                for sub in body
            ]
        else:
            self._begin_many()
            results = [
                self._apply_one(header, sub.type, sub.body, sub.foretold if is_foretold else None)
                for sub in body
            ]
            self._end_many()
        applied.results = results
        return applied

    def _apply_nothing(
        self, header: TxnHeader, kind: int, body: object, foretold: PendingNode | None
    ) -> Applied:
        """Do nothing: for a check inside a multi, a session's begin, a top-level check of a broken
        3.8 log."""
        return Applied(kind)

    def _apply_error(
        self, header: TxnHeader, kind: int, body: ErrorTxn, foretold: PendingNode | None
    ) -> Applied:
        return Applied(kind, body.err)

    def _apply_create(
        self, header: TxnHeader, kind: int, body: CreateTxn, foretold: PendingNode | None
    ) -> Applied:
        owner = header.client_id if body.ephemeral else 0
        return self._create(header, kind, body, owner, foretold)

    def _apply_create_container(
        self,
        header: TxnHeader,
        kind: int,
        body: CreateContainerTxn,
        foretold: PendingNode | None,
    ) -> Applied:
        return self._create(header, kind, body, CONTAINER_OWNER, foretold)

    def _apply_create_ttl(
        self, header: TxnHeader, kind: int, body: CreateTTLTxn, foretold: PendingNode | None
    ) -> Applied:
        return self._create(header, kind, body, ttl_owner(body.ttl), foretold)

    def _create(
        self,
        header: TxnHeader,
        kind: int,
        body: CreateTxn | CreateContainerTxn | CreateTTLTxn,
        owner: int,
        foretold: PendingNode | None,
    ) -> Applied:
        path, data, acl = body.path, body.data, body.acl
        parent_cversion = body.parent_cversion
        nodes = self.nodes
        foretold_parent = None if foretold is None else foretold.parent
        if foretold_parent is None:
            parent_path = path[: path.rfind("/")] or ROOT
        else:
            parent_path = foretold_parent.path
        parent = nodes.get(parent_path)
        if parent is None:
            return Applied(kind, ErrorCode.NO_NODE, path)
        if parent.mark < self._frozen:
            parent = self._replace(parent_path, parent)
        if parent_cversion == -1:
            parent_cversion = to_int32(parent.cversion + 1)
        # A proposer that foretells has looked: it is one of three looks into a large table.
        old = nodes.get(path) if foretold is None else None
        zxid = header.zxid
        if parent_cversion > parent.cversion:
            parent.cversion = parent_cversion
            parent.pzxid = zxid
        if old is None:
            parent.add_child(path, 1 if parent_path == ROOT else len(parent_path) + 1)
        parent.forget_stat()
        if self.digests:
            self._redigest(parent_path, parent, foretold_parent)
        if old is not None:
            if old.mark < self._frozen:
                old = self._replace(path, old)
            # A znode of a fuzzy snapshot gets the list it was created with (ZOOKEEPER-4846): its
            # number may be unknown, or have been given to another list since the table was
            # written. A setACL that came later is replayed later.
            self._set_acl(old, acl)
            return Applied(kind, ErrorCode.NODE_EXISTS, path)
        acl_id = self.acls.intern_list(acl)
        time = header.time
        node = DataNode(data, acl_id, zxid, zxid, time, time, 0, 0, 0, owner, zxid)
        node.mark = self._frozen
        nodes[path] = node
        size = 0 if data is None else len(data)
        self.data_size += len(path) + size
        if owner:
            self.note_owner(path, node)
        if self.digests:
            self._redigest(path, node, foretold)
        self.quota.created(path, node, nodes)
        if self.written is not None:
            self.written.add(path, size)
        self.watches.node_created(path, parent_path, zxid, acl_id, parent.acl_id)
        # A plain create is answered with the path alone.
        return Applied(kind, 0, path, b"" if kind == OpCode.CREATE else node.encode_stat())

    def _set_acl(self, node: DataNode, acl: list[ACL] | None) -> None:
        old = node.acl_id
        node.acl_id = self.acls.intern_list(acl)
        self.acls.release(old)

    def _apply_delete(
        self, header: TxnHeader, kind: int, body: DeleteTxn, foretold: PendingNode | None
    ) -> Applied:
        return Applied(kind, self._delete(body.path, header.zxid, foretold), body.path)

    def _delete(self, path: str, zxid: int, foretold: PendingNode | None = None) -> int:
        nodes = self.nodes
        slash = path.rfind("/")
        parent_path = path[:slash] or ROOT
        parent = nodes.get(parent_path)
        if parent is None:
            return ErrorCode.NO_NODE
        if parent.mark < self._frozen:
            parent = self._replace(parent_path, parent)
        if zxid > parent.pzxid:
            # Done even when the znode is gone already: a replay must end with the same pzxid.
            parent.pzxid = zxid
        node = nodes.get(path)
        if node is not None:
            del nodes[path]
            if parent.children is not None:
                parent.children.discard(path)
            self.data_size -= len(path) + (len(node.data) if node.data else 0)
            self._forget_owner(path, node)
            if self.digests:
                self.digest -= node.digest
                if self._undigested:
                    self._undigested.pop(path, None)
        parent.forget_stat()
        if self.digests:
            self._redigest(parent_path, parent, None if foretold is None else foretold.parent)
        if node is None:
            return ErrorCode.NO_NODE
        self.quota.deleted(path, node, nodes)
        if self.written is not None:
            self.written.add(path, 0)
        self.watches.node_deleted(path, parent_path, zxid, node.acl_id, parent.acl_id)
        # Only now: the watchers' right to see the event is judged by this list.
        self.acls.release(node.acl_id)
        return 0

    def _apply_set_data(
        self, header: TxnHeader, kind: int, body: SetDataTxn, foretold: PendingNode | None
    ) -> Applied:
        path = body.path
        node = self.nodes.get(path)
        if node is None:
            return Applied(kind, ErrorCode.NO_NODE, path)
        if node.mark < self._frozen:
            node = self._replace(path, node)
        old = node.data
        data = node.data = body.data
        node.version = body.version
        node.mzxid = header.zxid
        node.mtime = header.time
        node.forget_stat()
        size = 0 if data is None else len(data)
        difference = size - (0 if old is None else len(old))
        self.data_size += difference
        if self.digests:
            self._redigest(path, node, foretold)
        self.quota.changed(path, difference, self.nodes)
        if self.written is not None:
            self.written.add(path, size)
        self.watches.node_changed(path, header.zxid, node.acl_id)
        return Applied(kind, 0, path, node.encode_stat())

    def install_config(self, text: bytes, version: int, wall_ms: int) -> None:
        """Write the configuration that is in force; the original does so without a transaction,
        with -1 as the znode's version and that of the configuration as its mzxid."""
        node = self.nodes[CONFIG]
        if node.mark < self._frozen:
            node = self._replace(CONFIG, node)
        node.data = text
        node.version = -1
        node.mzxid = version
        node.mtime = wall_ms
        node.forget_stat()
        self.watches.node_changed(CONFIG, version, node.acl_id)

    def _apply_reconfig(
        self, header: TxnHeader, kind: int, body: SetDataTxn, foretold: PendingNode | None
    ) -> Applied:
        """Write a configuration; the client is told its text, too."""
        applied = self._apply_set_data(header, kind, body, foretold)
        applied.stat = encode_buffer(body.data) + applied.stat
        return applied

    def _apply_set_acl(
        self, header: TxnHeader, kind: int, body: SetACLTxn, foretold: PendingNode | None
    ) -> Applied:
        path = body.path
        node = self.nodes.get(path)
        if node is None:
            return Applied(kind, ErrorCode.NO_NODE, path)
        if node.mark < self._frozen:
            node = self._replace(path, node)
        self._set_acl(node, body.acl)
        node.aversion = body.version
        node.forget_stat()
        if self.digests:
            self._redigest(path, node, foretold)
        return Applied(kind, 0, path, node.encode_stat())

    def _apply_close_session(
        self,
        header: TxnHeader,
        kind: int,
        body: CloseSessionTxn | None,
        foretold: PendingNode | None,
    ) -> Applied:
        if body is not None:
            paths = body.paths_to_delete
            owned = self.ephemerals.pop(header.client_id, None)
            self._delete_many(header.client_id, paths, header.zxid)
            if owned is not None and not owned.names.keys() <= set(paths):
                # Its own rest, as after a fuzzy snapshot of the original.
                for path in paths:
                    owned.discard(path)
                self.ephemerals[header.client_id] = owned
        self.delete_ephemerals(header.client_id, header.zxid)
        return Applied(kind)

    def delete_ephemerals(self, session_id: int, zxid: int) -> int:
        """Delete what a session still owns; return how many znodes that were."""
        owned = self.ephemerals.pop(session_id, None)
        if owned is None:
            return 0
        paths = owned.in_order()
        self._delete_many(session_id, paths, zxid)
        return len(paths)

    def _delete_many(self, session_id: int, paths: list[str], zxid: int) -> None:
        """Delete ephemerals of a session that is over."""
        told = self.on_ephemeral_deleted
        self._begin_many()
        for path in paths:
            err = self._delete(path, zxid)
            if told is not None:
                told(session_id, path, err)
        self._end_many()

    def _begin_many(self) -> None:
        """Put digests off that are not foretold: in a row of changes many have the same parent."""
        self._undigested = {}

    def _end_many(self) -> None:
        """Compute the digests that were put off."""
        undigested = self._undigested
        assert undigested is not None, "an end without a begin"
        self._undigested = None
        for path, node in undigested.items():
            self._redigest(path, node, None)

    def _redigest(self, path: str, node: DataNode, foretold: PendingNode | None) -> None:
        """Bring the digest of a znode up to date, and with it that of the tree."""
        if foretold is not None:
            digest = foretold.digest
        elif self._undigested is not None:
            self._undigested[path] = node
            return
        else:
            digest = compute_digest(path, node)
        self.digest += digest - node.digest
        node.digest = digest


def ttl_owner(ttl_ms: int) -> int:
    """Return the ephemeralOwner (a signed long) of a znode with this TTL."""
    return signed(EXTENDED_MASK | (ttl_ms & _TTL_MASK))


_APPLY: Final[dict[int, Callable[..., Applied]]] = {
    OpCode.CREATE: DataTree._apply_create,
    OpCode.CREATE2: DataTree._apply_create,
    OpCode.CREATE_CONTAINER: DataTree._apply_create_container,
    OpCode.CREATE_TTL: DataTree._apply_create_ttl,
    OpCode.DELETE: DataTree._apply_delete,
    OpCode.DELETE_CONTAINER: DataTree._apply_delete,
    OpCode.SET_DATA: DataTree._apply_set_data,
    OpCode.RECONFIG: DataTree._apply_reconfig,
    OpCode.SET_ACL: DataTree._apply_set_acl,
    OpCode.CHECK: DataTree._apply_nothing,
    OpCode.ERROR: DataTree._apply_error,
    OpCode.CREATE_SESSION: DataTree._apply_nothing,
    OpCode.CLOSE_SESSION: DataTree._apply_close_session,
}
