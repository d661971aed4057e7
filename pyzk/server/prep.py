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
    CONTAINER_OWNER,
    MAX_TTL_MS,
    CreateMode,
    ErrorCode,
    OpCode,
    Perms,
)
from pyzk.data.acl import OPEN_ACL, OPEN_ACL_ID
from pyzk.data.node import DataNode, compute_digest, to_int32
from pyzk.data.paths import CONFIG, ROOT, SPECIAL_PATHS, sequence_name, validate_path
from pyzk.data.tree import ttl_owner
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
from pyzk.int64 import MASK64, hex_id
from pyzk.jute.packing import pack_bi, pack_int
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateRequest,
    CreateSessionTxn,
    CreateTTLRequest,
    CreateTTLTxn,
    CreateTxn,
    DeleteRequest,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetACLRequest,
    SetACLTxn,
    SetDataRequest,
    SetDataTxn,
    Txn,
)
from pyzk.server.changes import OutstandingChanges, PendingNode
from pyzk.server.decoders import OPEN_LIST, RawCreate, RawSetData
from pyzk.server.multi import MultiOp
from pyzk.server.request import REFUSED, Request

if TYPE_CHECKING:
    from pyzk.server.server import Server

Prepared = tuple[Body, bytes]
"""The record of a transaction, and its bytes."""

_SUB_TXN_BYTES: Final = 8
"""What MultiTxn adds to the record of an operation: its type and length."""


class Prep:
    """Prepares writes one at a time; owns the next zxid and the outstanding changes."""

    def __init__(self, server: Server) -> None:
        self.changes = OutstandingChanges()
        self.next_zxid = server.tree.last_zxid + 1
        self._server = server
        self._tree = server.tree
        self._config = server.config
        self._clock = server.clock
        self._has_digests = server.tree.digests
        self._max_body_bytes: int = server.config.max_txn_bytes - AROUND_BODY_BYTES
        """The longest record of a transaction that a client may cause."""
        self._sessions = server.sessions.sessions
        self._digest = 0
        """The tree digest after the last proposal."""

    def prepare(self, request: Request) -> bytes:
        """Make a transaction of a request: fill in its zxid, time, type, body and digest. Return
        the payload to log."""
        if not self.changes.made:
            self._digest = self._tree.digest
        zxid = request.zxid = self.next_zxid
        self.next_zxid = zxid + 1
        request.time = self._clock.wall_ms
        opcode = request.opcode
        record = request.record
        encoded: bytes
        try:
            # The most frequent two are called by name, which a compiler binds early.
            if opcode == OpCode.SET_DATA:
                assert isinstance(record, SetDataRequest), record
                request.body, encoded = self._set_data(request, opcode, record, zxid)
            elif opcode == OpCode.CREATE:
                assert isinstance(record, CreateRequest), record
                request.body, encoded = self._create(request, opcode, record, zxid)
            elif opcode == OpCode.MULTI:
                request.body, encoded = self._multi(request, zxid)
            else:
                request.body, encoded = HANDLERS[opcode](self, request, opcode, record, zxid)
            if self._has_digests and encoded:
                request.digest = self._digest
        except KeeperError as error:
            request.type = OpCode.ERROR
            request.body = failure = ErrorTxn(error.code)
            encoded = failure.encode()
        return encode_txn(request, encoded, request.digest)

    # --- the overlay ----------------------------------------------------------------

    def _find(self, path: str) -> DataNode | None:
        """Return the newest state of a znode, pending or applied; None if there is none."""
        pending = self.changes.nodes.get(path)
        if pending is not None:
            return pending if pending.exists else None
        return self._tree.nodes.get(path)

    def _change(self, path: str, node: DataNode, zxid: int, child_count: int) -> PendingNode:
        """Return a copy of ``node`` for the caller to alter and hand to ``_put``."""
        pending = PendingNode(
            node.data,
            node.acl_id,
            node.czxid,
            node.mzxid,
            node.ctime,
            node.mtime,
            node.version,
            node.cversion,
            node.aversion,
            node.ephemeral_owner,
            node.pzxid,
        )
        pending.digest = node.digest
        pending.path_crc = node.path_crc
        pending.is_create = False
        if type(node) is PendingNode:
            pending.acl = node.acl
        elif node.acl_id == OPEN_ACL_ID:
            pending.acl = None
        else:
            # The list itself, for its number may be freed while this copy is still needed.
            pending.acl = self._tree.acls.get(node.acl_id)
        pending.created = node.created if type(node) is PendingNode else node.cversion
        pending.child_count = child_count
        pending.exists = True
        pending.zxid = zxid
        return pending

    def _put(self, path: str, pending: PendingNode) -> int:
        """Make a state the newest; return its digest."""
        digest = 0
        if self._has_digests:
            digest = compute_digest(path, pending)
            self._digest = (self._digest + digest - pending.digest) & MASK64
            pending.digest = digest
        self.changes.put(path, pending)
        return digest

    def _remove(self, path: str, node: DataNode, zxid: int) -> None:
        gone = PendingNode(None, OPEN_ACL_ID)
        gone.acl = None
        gone.is_create = False
        gone.child_count = gone.created = 0
        gone.exists = False
        gone.zxid = zxid
        self._digest = (self._digest - node.digest) & MASK64
        self.changes.put(path, gone)

    # --- checks ---------------------------------------------------------------------

    def _check_session(self, request: Request) -> None:
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
        acl = node.acl if type(node) is PendingNode else None
        if acl is None:
            acl = self._tree.acls.get(node.acl_id)
        if not self._server.access.allows(acl, perms, request.auth_ids):
            raise NoAuth

    # --- creates --------------------------------------------------------------------

    def _create(
        self, request: Request, kind: int, record: CreateRequest | CreateTTLRequest, zxid: int
    ) -> Prepared:
        flags = record.flags
        self._check_mode(kind, record)
        if flags in CreateMode.EPHEMERALS:
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
        created = parent.created if type(parent) is PendingNode else parent.cversion
        if flags in CreateMode.SEQUENTIALS:
            path = sequence_name(path, created)
        validate_path(path)
        if self._find(path) is not None:
            raise NodeExists(path)
        if self._tree.is_ephemeral(parent):
            raise NoChildrenForEphemerals(path)
        data = record.data
        if self._config.enforce_quota:
            self._tree.quota.check(self._tree.nodes, path, 1, len(data or b""))
        cversion = to_int32(created + 1)
        prepared, owner = _create_body(
            kind, path, data, acl, flags, record, cversion, request.client_id
        )
        self._check_size(prepared[1])

        pending = self._change(parent_path, parent, zxid, _child_count(parent) + 1)
        pending.created = cversion
        if cversion > parent.cversion:
            # The tree only ever raises these two: a counter that has wrapped is not stored.
            pending.cversion = cversion
            pending.pzxid = zxid
        parent_digest = self._put(parent_path, pending)
        time = request.time
        acl_id = OPEN_ACL_ID if acl is OPEN_ACL or acl == OPEN_ACL else 0
        node = PendingNode(data, acl_id, zxid, zxid, time, time, 0, 0, 0, owner, zxid)
        node.acl = acl
        node.is_create = True
        node.child_count = node.created = 0
        node.exists = True
        node.zxid = zxid
        request.foretold = (parent_digest, self._put(path, node))
        if owner == request.client_id and owner:
            self.changes.own(owner, path)
        return prepared

    def _check_mode(self, kind: int, record: CreateRequest | CreateTTLRequest) -> None:
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
        request.foretold = (self._delete_pending(path, node, parent_path, parent, zxid),)
        return _encoded(DeleteTxn(path))

    def _delete_pending(
        self, path: str, node: DataNode, parent_path: str, parent: DataNode, zxid: int
    ) -> int:
        """Remove a znode in the overlay; return the digest that its parent then has."""
        pending = self._change(parent_path, parent, zxid, _child_count(parent) - 1)
        pending.pzxid = zxid
        digest = self._put(parent_path, pending)
        self._remove(path, node, zxid)
        return digest

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
        self._delete_pending(path, node, parent_path, parent, zxid)
        return _encoded(DeleteTxn(path))

    def _set_data(self, request: Request, kind: int, record: SetDataRequest, zxid: int) -> Prepared:
        self._check_session(request)
        path = record.path
        node = self._find(path) if path is not None else None
        if path is None or node is None:
            validate_path(path)  # only here, for the path of a znode that exists is valid
            raise NoNode(path or "")
        if node.acl_id != OPEN_ACL_ID:
            self._check_acl(request, node, Perms.WRITE)
        data = record.data
        if self._config.enforce_quota:
            difference = len(data or b"") - len(node.data or b"")
            self._tree.quota.check(self._tree.nodes, path, 0, difference)
        _check_version(record.version, node.version)
        version = to_int32(node.version + 1)
        body = SetDataTxn(path, data, version)
        if type(record) is RawSetData:
            encoded = record.raw + pack_int(version)
        else:
            encoded = body.encode()
        self._check_size(encoded)
        pending = self._change(path, node, zxid, _child_count(node))
        pending.version = version
        pending.data = data
        pending.mzxid = zxid
        pending.mtime = request.time
        request.foretold = (self._put(path, pending),)
        return body, encoded

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
        prepared = _encoded(SetACLTxn(path, list(acl), version))
        self._check_size(prepared[1])
        pending = self._change(path, node, zxid, _child_count(node))
        pending.aversion = version
        request.foretold = (self._put(path, pending),)
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
        return _encoded(CheckVersionTxn(path, to_int32(node.version + 1)))

    def _refuse(self, request: Request, kind: int, record: KeeperError, zxid: int) -> Prepared:
        """Fail a request of a learner that cannot be served: its client waits for a transaction."""
        raise record

    def _reconfig(self, request: Request, kind: int, record: object, zxid: int) -> Prepared:
        """Fail: neither a standalone server nor, so far, a leader can change its ensemble."""
        if not self._config.reconfig_enabled:
            raise ReconfigDisabled
        self._check_session(request)
        raise Unimplemented(f"reconfig ({CONFIG})")

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
        return _encoded(record)

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
        self.changes.begin()
        digest_before = self._digest
        failure: int | None = None
        size = 4  # the count
        done: list[SubTxn] = []
        txns: list[Txn] = []
        for kind, record in ops:
            body: Body | None
            if failure is None:
                try:
                    body, encoded = HANDLERS[kind](self, request, kind, record, zxid)
                    assert body is not None, kind
                    size += _SUB_TXN_BYTES + len(encoded)
                    if size > self._max_body_bytes:
                        raise TooLargeTransaction(f"{len(ops)} operations")
                    done.append(SubTxn(kind, body))
                    txns.append(Txn(kind, encoded))
                    continue
                except KeeperError as error:
                    failure = error.code
                    self.changes.rollback()
                    self._digest = digest_before
                    if isinstance(error, (MarshallingError, TooLargeTransaction)):
                        raise  # the request as a whole is at fault
                    body = ErrorTxn(failure)
            else:
                body = ErrorTxn(ErrorCode.RUNTIME_INCONSISTENCY)
            done.append(SubTxn(OpCode.ERROR, body))
            txns.append(Txn(OpCode.ERROR, body.encode()))
        if failure is None:
            self.changes.keep()
        request.foretold = None
        encoded = MultiTxn(txns).encode()
        self._check_size(encoded)  # only a list of errors can fail: nothing has changed
        return done, encoded


def _child_count(node: DataNode) -> int:
    if type(node) is PendingNode:
        return node.child_count
    children = node.children
    return 0 if children is None else len(children.names)


def _check_version(expected: int, actual: int) -> None:
    """Raise BadVersion unless the version is the expected one; -1 expects any."""
    if expected not in (-1, actual):
        raise BadVersion(f"{expected} is not {actual}")


def _create_body(
    kind: int,
    path: str,
    data: bytes | None,
    acl: tuple[ACL, ...],
    flags: int,
    record: CreateRequest | CreateTTLRequest,
    cversion: int,
    session_id: int,
) -> tuple[Prepared, int]:
    """Return the record of a create, and the ephemeralOwner of the new znode."""
    entries = OPEN_LIST if acl is OPEN_ACL else list(acl)
    if kind == OpCode.CREATE_CONTAINER:
        return _encoded(CreateContainerTxn(path, data, entries, cversion)), CONTAINER_OWNER
    if kind == OpCode.CREATE_TTL:
        assert isinstance(record, CreateTTLRequest), record
        ttl = record.ttl
        return _encoded(CreateTTLTxn(path, data, entries, cversion, ttl)), ttl_owner(ttl)
    is_ephemeral = flags in CreateMode.EPHEMERALS
    body = CreateTxn(path, data, entries, is_ephemeral, cversion)
    if type(record) is RawCreate and path is record.path:
        encoded = record.raw + pack_bi(is_ephemeral, cversion)
    else:
        encoded = body.encode()
    return (body, encoded), session_id if is_ephemeral else 0


def _encoded(body: Body) -> Prepared:
    return body, body.encode()


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
