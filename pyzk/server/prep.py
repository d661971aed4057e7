"""From a request to a transaction: every check of a write, against the tree plus pending changes.

Pure. ZooKeeper: PrepRequestProcessor.
Each handler runs its checks in the original's order, and the first failure counts; it returns the
record of the transaction and leaves the new state in the overlay. A KeeperError becomes an error
transaction: it takes a zxid and goes through the log like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyzk.constants import (
    MAX_TTL_MS,
    CreateMode,
    ErrorCode,
    OpCode,
    Perms,
)
from pyzk.data.acl import OPEN_ACL, OPEN_ACL_ID, OPEN_LIST
from pyzk.data.node import DataNode, compute_digest, to_int32
from pyzk.data.paths import (
    CONFIG,
    ROOT,
    SPECIAL_PATHS,
    sequence_name,
    validate_child,
    validate_path,
)
from pyzk.data.pending import PendingNode, state_after
from pyzk.data.txn import AROUND_BODY_BYTES, Body, SubTxn, encode_txn
from pyzk.errors import (
    BadArguments,
    BadVersion,
    EphemeralOnLocalSession,
    KeeperError,
    MarshallingError,
    NoAuth,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    ReconfigDisabled,
    SessionExpired,
    SessionMoved,
    TooLargeTransaction,
    Unimplemented,
    UnknownSession,
)
from pyzk.int64 import hex_id
from pyzk.jute.packing import pack_ii, pack_int
from pyzk.jute.records import (
    CheckVersionRequest,
    CheckVersionTxn,
    CloseSessionTxn,
    CreateRequest,
    CreateSessionTxn,
    CreateTTLRequest,
    DeleteRequest,
    DeleteTxn,
    ErrorTxn,
    ReconfigRequest,
    SetACLRequest,
    SetACLTxn,
    SetDataRequest,
    SetDataTxn,
)
from pyzk.server.changes import OutstandingChanges
from pyzk.server.decoders import (
    Create,
    Prepared,
    RawCreate,
    RawSetData,
    SetData,
    create_body,
    encoded_body,
    set_data_body,
)
from pyzk.server.multi import MultiOp
from pyzk.server.request import REFUSED, Request

if TYPE_CHECKING:
    from pyzk.server.server import Server

PlanReconfig = Callable[[ReconfigRequest, int], bytes]
"""Returns the text of the configuration that a request leads to, whose version is the zxid, or
raises a KeeperError."""
_SUB_TXN_BYTES: Final = 8
"""What MultiTxn adds in front of the record of an operation: its type and length."""


class Prep:
    """Prepares writes one at a time; owns the next zxid and the outstanding changes."""

    def __init__(self, server: Server, plan: PlanReconfig | None = None) -> None:
        """Prepares for a leader, which plans changes of its ensemble, or for a lone server."""
        self.changes = OutstandingChanges(server.metrics)
        self._plan: PlanReconfig | None = plan
        self.next_zxid = server.tree.last_zxid + 1
        self._server = server
        self._tree = server.tree
        self._config = server.config
        self._clock = server.clock
        self._enforces_quota: bool = server.config.enforce_quota
        self._has_digests = server.tree.digests
        self._max_body_bytes: int = server.config.max_txn_bytes - AROUND_BODY_BYTES
        """The longest record of a transaction that a client may cause."""
        self._sessions = server.sessions.sessions
        self._digest = 0
        """The tree digest after the last proposal."""
        self._foretold: PendingNode | None = None
        """The state that the last operation has made, for `DataTree.apply` to believe; None if that
        needs more than the state of one znode and its parent."""

    def prepare(self, request: Request) -> bytes:
        """Make a transaction of a request: fill in its zxid, time, type, body and digest. Return
        the payload to log."""
        made = len(self.changes.made)
        if not made:
            self._digest = self._tree.digest
        zxid = request.zxid = self.next_zxid
        self.next_zxid = zxid + 1
        request.time = self._clock.wall_ms
        opcode = request.opcode
        encoded: bytes
        try:
            if opcode == OpCode.MULTI:
                request.body, encoded = self._multi(request, zxid)
            else:
                request.body, encoded = self._prepare_one(request, opcode, request.record, zxid)
            if self._has_digests:
                self._settle_digests(made)
                request.foretold = self._foretold
                if encoded:
                    request.digest = self._digest
        except KeeperError as error:
            request.type = OpCode.ERROR
            request.body = failure = ErrorTxn(error.code)
            encoded = failure.encode()
        request.record = None  # the transaction has what is left of it, which may be long
        return encode_txn(request, encoded, request.digest)

    def _prepare_one(
        self, request: Request, kind: int, record: Any, zxid: int
    ) -> tuple[Body | None, bytes]:
        """Prepare a request with one operation, or one operation of a multi."""
        self._foretold = None
        # The most frequent two are called by name, which a compiler binds early.
        if kind == OpCode.SET_DATA:
            assert isinstance(record, (RawSetData, SetDataRequest)), record
            return self._set_data(request, kind, record, zxid)
        if kind == OpCode.CREATE and isinstance(record, (RawCreate, CreateRequest)):
            return self._create(request, kind, record, zxid)
        return HANDLERS[kind](self, request, kind, record, zxid)

    # --- the overlay ----------------------------------------------------------------

    def _find(self, path: str) -> DataNode | None:
        """Return the newest state of a znode, pending or applied; None if there is none."""
        pending = self.changes.nodes.get(path)
        if pending is not None:
            return pending if pending.exists else None
        return self._tree.nodes.get(path)

    def _change(self, path: str, node: DataNode, zxid: int) -> PendingNode:
        """Return the state that ``node`` has after this transaction, for the caller to alter: a
        copy, or the same state if the transaction has changed the znode before."""
        if isinstance(node, PendingNode):
            if node.zxid == zxid:
                return node
            pending = state_after(node, path, zxid, node.acl, node.child_count, node.created)
        else:
            acl = None
            if node.acl_id != OPEN_ACL_ID:
                # The list itself, for its number may be freed while this copy is still needed.
                acl = self._tree.acls.get(node.acl_id)
            count = _child_count(node)
            pending = state_after(node, path, zxid, acl, count, node.cversion)
        pending.is_fresh = True
        self.changes.put(pending)
        return pending

    def _remove(self, path: str, node: DataNode, zxid: int) -> PendingNode:
        """Make it the newest state that a znode is gone, and return that state."""
        gone = PendingNode(path, zxid, None, OPEN_ACL_ID)
        gone.exists = False
        if isinstance(node, PendingNode):
            node.is_fresh = False
        self._digest -= node.digest
        self.changes.put(gone)
        return gone

    def _settle_digests(self, first: int) -> None:
        """Compute the digests of the znodes that the transaction changes: their states are those
        from the ``first`` on."""
        digest = self._digest
        made = self.changes.made
        for at in range(first, len(made)):
            node = made[at]
            if node.is_fresh:
                node.is_fresh = False
                digest -= node.digest
                node.digest = compute_digest(node.path, node)
                digest += node.digest
        self._digest = digest

    # --- checks ---------------------------------------------------------------------

    def _check_session(self, request: Request) -> None:
        session = request.session
        if session is None or not session.is_tracked:
            session = self._sessions.get(request.client_id)
            if session is None:
                self._check_unknown(request.client_id)
                return
        if session.is_closing:
            raise SessionExpired(hex_id(request.client_id))
        if session.owner is not request.owner:
            if session.owner is not None:
                raise SessionMoved(hex_id(request.client_id))
            session.owner = request.owner

    def _check_global(self, request: Request) -> None:
        """Refuse an ephemeral for a session that not all members know."""
        if request.refusal:
            raise EphemeralOnLocalSession
        session = self._sessions.get(request.client_id)
        if session is None or session.is_local:
            raise SessionExpired(hex_id(request.client_id))

    def _check_unknown(self, session_id: int) -> None:
        """Refuse a session that is not here, unless it may be a local one of another member."""
        server = self._server
        if not server.is_member:
            raise UnknownSession(hex_id(session_id))
        if not server.has_local_sessions or (session_id >> 56 ^ server.server_id) & 0xFF == 0:
            raise SessionExpired(hex_id(session_id))

    def _check_size(self, encoded: bytes) -> None:
        """Refuse a record that is too long for some reader of the log, before anything changes: a
        member that takes longer requests may have sent it, its ACL may have grown (`fix_up`)."""
        if len(encoded) > self._max_body_bytes:
            raise TooLargeTransaction(f"{len(encoded)} bytes; {self._max_body_bytes} are allowed")

    def _check_acl(self, request: Request, node: DataNode, perms: int) -> None:
        if node.acl_id == OPEN_ACL_ID:
            return
        acl = node.acl if isinstance(node, PendingNode) else None
        if acl is None:
            acl = self._tree.acls.get(node.acl_id)
        if not self._server.access.allows(acl, perms, request.auth_ids):
            raise NoAuth

    # --- creates --------------------------------------------------------------------

    def _create(
        self, request: Request, kind: int, record: Create | CreateTTLRequest, zxid: int
    ) -> Prepared:
        flags = record.flags
        is_plain = flags == CreateMode.PERSISTENT
        if not is_plain or kind == OpCode.CREATE_TTL:
            self._check_mode(kind, record)
        is_ephemeral = not is_plain and flags in CreateMode.EPHEMERALS
        if is_ephemeral:
            self._check_global(request)
        self._check_session(request)
        path = record.path
        if path is None:
            raise MarshallingError("null path")
        slash = path.rfind("/")
        if slash < 0 or "\0" in path:
            raise BadArguments(path)
        if record.acl is OPEN_LIST:
            acl = OPEN_ACL
        else:
            acl = self._server.access.fix_up(record.acl, request.auth_ids)
        parent_path = path[:slash] or ROOT
        parent = self._find(parent_path)
        if parent is None:
            raise NoNode(path)
        self._check_acl(request, parent, Perms.CREATE)
        created = parent.created if isinstance(parent, PendingNode) else parent.cversion
        if not is_plain and flags in CreateMode.SEQUENTIALS:
            path = sequence_name(path, created)
        validate_child(path, slash)
        if self._find(path) is not None:
            raise NodeExists(path)
        if self._tree.is_ephemeral(parent):
            raise NoChildrenForEphemerals(path)
        data = record.data
        if self._enforces_quota:
            self._tree.quota.check(self._tree.nodes, path, 1, len(data or b""))
        cversion, session_id = to_int32(created + 1), request.client_id
        prepared, owner = create_body(
            kind, path, data, acl, is_ephemeral, record, cversion, session_id
        )
        self._check_size(prepared[1])

        parent = self._change(parent_path, parent, zxid)
        parent.child_count += 1
        parent.created = cversion
        if cversion > parent.cversion:
            # The tree only ever raises these two: a counter that has wrapped is not stored.
            parent.cversion = cversion
            parent.pzxid = zxid
        acl_id = OPEN_ACL_ID if acl is OPEN_ACL or acl == OPEN_ACL else 0
        ms = request.time
        node = PendingNode(path, zxid, data, acl_id, zxid, zxid, ms, ms, 0, 0, 0, owner, zxid, acl)
        node.is_create = node.is_fresh = True
        node.parent = parent
        self.changes.put(node)
        self._foretold = node
        if owner == session_id and owner:
            self.changes.own(owner, path)
        return prepared

    def _check_mode(self, kind: int, record: Create | CreateTTLRequest) -> None:
        """Check flags and TTL, which comes before the check of the session."""
        flags = record.flags
        if flags not in CreateMode.ALL:
            raise BadArguments(f"create flags {flags}")
        if flags in CreateMode.WITH_TTL:
            if not self._config.extended_types_enabled:
                raise Unimplemented("TTL znodes need extendedTypesEnabled=true")
            ttl = record.ttl if isinstance(record, CreateTTLRequest) else -1
            if not 0 < ttl <= MAX_TTL_MS:
                raise BadArguments(f"TTL {ttl}")
        elif kind == OpCode.CREATE_TTL:
            # The original lets a negative TTL pass here, and dies of it later.
            raise BadArguments(f"create flags {flags} with TTL")

    # --- other single operations ----------------------------------------------------

    def _delete(self, request: Request, kind: int, record: DeleteRequest, zxid: int) -> Prepared:
        self._check_session(request)
        path = record.path
        if path is None:
            raise MarshallingError("null path")
        slash = path.rfind("/")
        if slash < 0 or "\0" in path or path in SPECIAL_PATHS:
            raise BadArguments(path)
        parent_path = path[:slash] or ROOT
        parent = self._find(parent_path)
        if parent is None:
            raise NoNode(path)
        self._check_acl(request, parent, Perms.DELETE)
        node = self._find(path)
        if node is None:
            raise NoNode(path)
        _check_version(record.version, node.version)
        if _child_count(node):
            raise NotEmpty(path)
        self._foretold = self._delete_pending(path, node, parent_path, parent, zxid)
        return encoded_body(DeleteTxn(path))

    def _delete_pending(
        self, path: str, node: DataNode, parent_path: str, parent: DataNode, zxid: int
    ) -> PendingNode:
        """Remove a znode in the overlay; return the mark that it is gone."""
        pending = self._change(parent_path, parent, zxid)
        pending.child_count -= 1
        pending.pzxid = zxid
        gone = self._remove(path, node, zxid)
        gone.parent = pending
        return gone

    def _delete_container(self, request: Request, kind: int, record: str, zxid: int) -> Prepared:
        """Delete a container or TTL znode for the server itself, without session and ACL; the znode
        may have changed since. (The original lets clients do so: anybody deletes what is empty.)"""
        if request.client_id != 0:
            raise BadArguments("only the server itself asks for deleteContainer")
        path = record
        node = self._find(path)
        if node is None:
            raise NoNode(path)
        if _child_count(node):
            raise NotEmpty(path)
        if self._tree.is_ephemeral(node):
            raise BadVersion(path)
        parent_path = path[: path.rindex("/")] or ROOT
        parent = self._find(parent_path)
        assert parent is not None, path
        self._foretold = self._delete_pending(path, node, parent_path, parent, zxid)
        return encoded_body(DeleteTxn(path))

    def _set_data(self, request: Request, kind: int, record: SetData, zxid: int) -> Prepared:
        self._check_session(request)
        path = record.path
        node = self._find(path) if path is not None else None
        if path is None or node is None:
            validate_path(path)  # only here, for the path of a znode that exists is valid
            raise NoNode(path or "")
        if node.acl_id != OPEN_ACL_ID:
            self._check_acl(request, node, Perms.WRITE)
        data = record.data
        if self._enforces_quota:
            difference = len(data or b"") - len(node.data or b"")
            self._tree.quota.check(self._tree.nodes, path, 0, difference)
        _check_version(record.version, node.version)
        version = to_int32(node.version + 1)
        prepared = set_data_body(record, path, version)
        self._check_size(prepared[1])
        pending = self._foretold = self._change(path, node, zxid)
        pending.version = version
        pending.data = data
        pending.mzxid = zxid
        pending.mtime = request.time
        return prepared

    def _set_acl(self, request: Request, kind: int, record: SetACLRequest, zxid: int) -> Prepared:
        """Change the ACL; like in the original, later requests are checked against the old one
        until this is applied."""
        self._check_session(request)
        path = validate_path(record.path)
        acl = self._server.access.fix_up(record.acl, request.auth_ids)
        node = self._find(path)
        if node is None:
            raise NoNode(path)
        self._check_acl(request, node, Perms.ADMIN)
        _check_version(record.version, node.aversion)
        version = to_int32(node.aversion + 1)
        prepared = encoded_body(SetACLTxn(path, list(acl), version))
        self._check_size(prepared[1])
        pending = self._foretold = self._change(path, node, zxid)
        pending.aversion = version
        return prepared

    def _check(
        self, request: Request, kind: int, record: CheckVersionRequest, zxid: int
    ) -> Prepared:
        self._check_session(request)
        path = validate_path(record.path)
        node = self._find(path)
        if node is None:
            raise NoNode(path)
        self._check_acl(request, node, Perms.READ)
        _check_version(record.version, node.version)
        return encoded_body(CheckVersionTxn(path, to_int32(node.version + 1)))

    def _refuse(self, request: Request, kind: int, record: KeeperError, zxid: int) -> Prepared:
        """Fail a request of a learner that cannot be served: its client waits for a transaction."""
        raise record

    def _reconfig(
        self, request: Request, kind: int, record: ReconfigRequest, zxid: int
    ) -> Prepared:
        """Change the configuration of the ensemble; a lone server has none."""
        if not self._config.reconfig_enabled:
            raise ReconfigDisabled
        self._check_session(request)
        plan = self._plan
        if plan is None:
            raise Unimplemented(f"reconfig ({CONFIG})")
        text = plan(record, zxid)
        node = self._find(CONFIG)
        if node is None:
            raise NoNode(CONFIG)
        self._check_acl(request, node, Perms.WRITE)
        prepared = encoded_body(SetDataTxn(CONFIG, text, -1))
        self._check_size(prepared[1])
        pending = self._foretold = self._change(CONFIG, node, zxid)
        pending.version = -1
        pending.data = text
        pending.mzxid = zxid
        pending.mtime = request.time
        return prepared

    # --- sessions -------------------------------------------------------------------

    def _create_session(
        self, request: Request, kind: int, record: CreateSessionTxn, zxid: int
    ) -> Prepared:
        """Have the leader track the session, even before the transaction commits."""
        session = request.session
        if session is None:
            session = self._server.sessions.add(
                request.client_id, record.timeout_ms, self._clock.now_ms
            )
        session.owner = request.owner
        return encoded_body(record)

    def _close_session(
        self, request: Request, kind: int, record: None, zxid: int
    ) -> tuple[CloseSessionTxn | None, bytes]:
        """Delete the ephemerals of the session: those in the tree and those pending creates make,
        without those that pending deletes remove.

        The end of a session cannot be refused, and the list of its ephemerals can have any length.
        If it is too long it is left out, as with closeSessionTxn.enabled=false: who applies the
        transaction deletes what the session then owns, which is the same. There is no digest then
        either, or the original would take it for the list.
        """
        session_id = request.client_id
        self._server.sessions.mark_closing(session_id)
        doomed: list[str] = []
        owned = self._tree.ephemerals.get(session_id)
        for path in self.changes.ephemerals_of(session_id, owned):
            node = self._find(path)
            if node is None or node.ephemeral_owner != session_id:
                continue
            doomed.append(path)
            parent_path = path[: path.rindex("/")] or ROOT
            parent = self._find(parent_path)
            assert parent is not None, path
            self._delete_pending(path, node, parent_path, parent, zxid)
        if self._config.close_session_txn_enabled:
            body = CloseSessionTxn(doomed)
            encoded = body.encode()
            if len(encoded) <= self._max_body_bytes:
                return body, encoded
        return None, b""

    # --- multi ----------------------------------------------------------------------

    def _multi(self, request: Request, zxid: int) -> tuple[list[SubTxn], bytes]:
        """Prepare all operations or none: each sees those before it, the first failure undoes all.

        Raises MarshallingError and TooLargeTransaction if the request as a whole is at fault.
        """
        operations = request.record
        if operations is None:
            raise MarshallingError("unreadable multi")
        assert isinstance(operations, list), operations
        ops: list[MultiOp] = operations
        if any(record.path is None for _, record in ops):
            raise MarshallingError("null path")
        changes = self.changes
        changes.begin()
        digest_before = self._digest
        foretold: PendingNode | None = None
        failure: int | None = None
        size = 4  # the count
        done: list[SubTxn] = []
        parts = [pack_int(len(ops))]
        for kind, record in ops:
            body: Body | None
            if failure is None:
                try:
                    body, encoded = self._prepare_one(request, kind, record, zxid)
                    assert body is not None, kind
                    size += _SUB_TXN_BYTES + len(encoded)
                    if size > self._max_body_bytes:
                        raise TooLargeTransaction(f"{len(ops)} operations")
                    if self._foretold is not None:
                        foretold = self._foretold
                    done.append(SubTxn(kind, body, self._foretold))
                    parts.append(pack_ii(kind, len(encoded)))
                    parts.append(encoded)
                    continue
                except KeeperError as error:
                    failure = error.code
                    changes.rollback()
                    self._digest = digest_before
                    if isinstance(error, (MarshallingError, TooLargeTransaction)):
                        raise  # the request as a whole is at fault
                    body = ErrorTxn(failure)
            else:
                body = ErrorTxn(ErrorCode.RUNTIME_INCONSISTENCY)
            done.append(SubTxn(OpCode.ERROR, body))
            encoded = body.encode()
            parts.append(pack_ii(OpCode.ERROR, len(encoded)))
            parts.append(encoded)
        if failure is None:
            changes.keep()
        self._foretold = foretold
        encoded = b"".join(parts)
        self._check_size(encoded)  # only a list of errors can fail: nothing has changed
        return done, encoded


def _child_count(node: DataNode) -> int:
    if isinstance(node, PendingNode):
        return node.child_count
    children = node.children
    return 0 if children is None else len(children.names)


def _check_version(expected: int, actual: int) -> None:
    """Raise BadVersion unless the version is the expected one; -1 expects any."""
    if expected not in (-1, actual):
        raise BadVersion(f"{expected} is not {actual}")


# The record's type depends on the opcode, which the table says and mypy cannot.
HANDLERS: Final[dict[int, Callable[[Prep, Request, int, Any, int], tuple[Body | None, bytes]]]] = {
    OpCode.CREATE: Prep._create,
    OpCode.CREATE2: Prep._create,
    OpCode.CREATE_CONTAINER: Prep._create,
    OpCode.CREATE_TTL: Prep._create,
    OpCode.DELETE: Prep._delete,
    OpCode.DELETE_CONTAINER: Prep._delete_container,
    OpCode.SET_DATA: Prep._set_data,
    OpCode.SET_ACL: Prep._set_acl,
    OpCode.CHECK: Prep._check,
    OpCode.RECONFIG: Prep._reconfig,
    REFUSED: Prep._refuse,
    OpCode.CREATE_SESSION: Prep._create_session,
    OpCode.CLOSE_SESSION: Prep._close_session,
}
