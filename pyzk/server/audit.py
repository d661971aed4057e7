"""What the audit log tells: how each write that a client of this server has asked for ended.

Pure. ZooKeeper: AuditHelper, and DataTree.deleteNodes for the ephemerals.
A write is told of when its transaction has been applied, ahead of the answer, by the server that
its client is connected to. Ephemerals that go with their session are told of by every server, in
the name of the user whom the server runs as. Writes that get no transaction are not told of: those
that are dropped or refused before, and those of a read-only server.

Where this differs from ZooKeeper, on purpose: creates with a TTL are told of, as from 3.9.4; and
when a start replays its log, nothing is told of again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk import audit_log
from pyzk.audit_log import FAILURE, SUCCESS, AuditEvent
from pyzk.auth.ip import peer_address
from pyzk.constants import CreateMode, ErrorCode, OpCode, Perms
from pyzk.data.tree import Applied
from pyzk.errors import JuteError
from pyzk.int64 import hex_id
from pyzk.jute.records import ACL
from pyzk.server.operations import WRITES
from pyzk.server.request import Request
from pyzk.server.sessions import LearnerSessions

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server

_CREATES: Final = (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL)
_NAMES: Final = {
    **dict.fromkeys(_CREATES, audit_log.CREATE),
    OpCode.DELETE: audit_log.DELETE,
    OpCode.DELETE_CONTAINER: audit_log.DELETE,
    OpCode.SET_DATA: audit_log.SET_DATA,
    OpCode.SET_ACL: audit_log.SET_ACL,
    OpCode.MULTI: audit_log.MULTI,
    OpCode.RECONFIG: audit_log.RECONFIG,
}
AUDITED: Final = frozenset(_NAMES)
"""The opcodes of the writes that are told of."""
_IN_MULTI: Final = frozenset((*_CREATES, OpCode.DELETE, OpCode.DELETE_CONTAINER, OpCode.SET_DATA))
_TYPED_IN_MULTI: Final = frozenset((OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER))
_TYPES: Final = {
    CreateMode.PERSISTENT: "persistent",
    CreateMode.EPHEMERAL: "ephemeral",
    CreateMode.PERSISTENT_SEQUENTIAL: "persistent_sequential",
    CreateMode.EPHEMERAL_SEQUENTIAL: "ephemeral_sequential",
    CreateMode.CONTAINER: "container",
    CreateMode.PERSISTENT_WITH_TTL: "persistent_with_ttl",
    CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL: "persistent_sequential_with_ttl",
}
_LETTERS: Final = (
    (Perms.CREATE, "c"),
    (Perms.DELETE, "d"),
    (Perms.READ, "r"),
    (Perms.WRITE, "w"),
    (Perms.ADMIN, "a"),
)


class Audit:
    """Keeps what clients have asked for until it is known how it ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._asked: dict[int, deque[tuple[Request, bytes]]] = {}
        """Session id -> its writes under way, in order, each with what the client has sent."""

    @property
    def under_way(self) -> int:
        """How many writes are kept."""
        return sum(map(len, self._asked.values()))

    def asked(self, request: Request, body: bytes) -> None:
        """Note a write that is under way now."""
        asked = self._asked.get(request.client_id)
        if asked is None:
            asked = self._asked[request.client_id] = deque()
        asked.append((request, body))

    def finished(self, request: Request, applied: Applied) -> None:
        """Tell how a write ended, if it was one of a client of this server."""
        body = self._take(request)
        connection = request.connection
        if body is not None and connection is not None:
            self._tell_end(connection, request, body, applied)

    def _tell_end(
        self, connection: Connection, request: Request, body: bytes, applied: Applied
    ) -> None:
        is_learner = isinstance(self._server.sessions, LearnerSessions)
        said = Said(request.opcode, body, is_learner=is_learner)
        if request.opcode == OpCode.MULTI and applied.results is not None:
            for operation, done, znode_type in said.done_in_multi(applied.results):
                self._tell(connection, request, operation, SUCCESS, done, znode_type)
            if all(each.type != OpCode.ERROR for each in applied.results):
                return
            applied = Applied(OpCode.ERROR)
        has_failed = applied.type == OpCode.ERROR
        if said.is_nonsense:
            return
        path = said.path if has_failed else applied.path
        result = FAILURE if has_failed or applied.err else SUCCESS
        name = _NAMES[request.opcode]
        self._tell(connection, request, name, result, path, said.znode_type, said.acl)

    def abandoned(self, request: Request) -> None:
        """Forget a write that is never answered: its session is over."""
        self._take(request)

    def clear(self) -> None:
        """Forget all writes: the role has ended."""
        self._asked.clear()

    def unreadable(self, connection: Connection, opcode: int) -> None:
        """Tell of a write whose record cannot be decoded; it is no transaction."""
        session = connection.session
        request = Request(connection, session, 0, opcode, None, connection.auth_ids, 0)
        self._tell_end(connection, request, b"", Applied(OpCode.ERROR))

    def ephemeral_deleted(self, session_id: int, path: str, err: int) -> None:
        """Tell that an ephemeral has gone with its session."""
        audit_log.tell(
            AuditEvent(
                audit_log.EPHEMERAL_DELETED,
                FAILURE if err else SUCCESS,
                session=hex_id(session_id),
                user=self._server.host.user,
                znode=path,
            )
        )

    def _take(self, request: Request) -> bytes | None:
        asked = self._asked.get(request.client_id)
        if not asked or asked[0][0] is not request:
            return None
        _, body = asked.popleft()
        if not asked:
            del self._asked[request.client_id]
        return body

    def _tell(
        self,
        connection: Connection,
        request: Request,
        operation: str,
        result: str,
        path: str | None,
        znode_type: str | None = None,
        acl: str | None = None,
    ) -> None:
        registry = self._server.registry
        names = [registry.user_name(each) for each in request.auth_ids]
        audit_log.tell(
            AuditEvent(
                operation,
                result,
                session=hex_id(request.client_id),
                user=",".join(name for name in names if name.strip()) or None,
                ip=peer_address(connection.host),
                znode=path,
                znode_type=znode_type,
                acl=acl,
            )
        )


class Said:
    """What a client has said in a write, as far as the audit log repeats it."""

    def __init__(self, opcode: int, body: bytes, *, is_learner: bool = False) -> None:
        self._is_learner = is_learner
        self.path: str | None = None
        self.znode_type: str | None = None
        self.acl: str | None = None
        self.is_nonsense = False
        """Whether the original fails to make a line of it, and writes none."""
        self._creates: dict[str | None, str | None] = {}
        """Path -> type of the znode, of the creates in a multi."""
        try:
            record = WRITES[opcode](body, 0, len(body))
        except JuteError:
            self._have_nothing(opcode)
            return
        if opcode == OpCode.MULTI:
            self._note_creates(record)
            return
        self.path = getattr(record, "path", None)
        flags: int | None = getattr(record, "flags", None)
        acl: list[ACL] | None = getattr(record, "acl", None)
        if flags is not None:
            self.znode_type = _TYPES.get(flags)
            self.is_nonsense = self.znode_type is None
        elif opcode == OpCode.SET_ACL:
            self.is_nonsense = acl is None
            self.acl = _acl_text(acl or [])

    def _have_nothing(self, opcode: int) -> None:
        """Say what the original says of a record that it cannot read. A server that has tried
        already, to prepare it, goes on with the values that a record begins with; a learner, whose
        leader has tried, fails now, unless it needs nothing of the record: a reconfig, a multi.
        """
        if opcode in _CREATES:
            self.znode_type = _TYPES[CreateMode.PERSISTENT]
        self.is_nonsense = opcode == OpCode.SET_ACL or (
            self._is_learner and opcode not in (OpCode.MULTI, OpCode.RECONFIG)
        )

    def _note_creates(self, operations: object) -> None:
        for kind, record in operations if isinstance(operations, list) else ():
            if kind in _TYPED_IN_MULTI:
                self._creates[record.path] = _TYPES.get(record.flags)

    def done_in_multi(self, results: list[Applied]) -> list[tuple[str, str, str | None]]:
        """Return (operation, path, type of the znode) of what a multi has done. As in the original,
        checks are left out, and a create whose path has got a number has no type."""
        return [
            (
                _NAMES[each.type],
                each.path,
                self._creates.get(each.path) if each.type in _CREATES else None,
            )
            for each in results
            if each.type in _IN_MULTI and each.err == ErrorCode.OK
        ]


def _acl_text(acl: list[ACL]) -> str:
    """Return the entries of an ACL list, which the original writes without anything in between."""
    return "".join(
        f"{entry.scheme}:{entry.id}:"
        + "".join(letter for bit, letter in _LETTERS if entry.perms & bit)
        for entry in acl
    )
