"""Writes that are looked at before they are submitted, if the configuration asks for it.

Pure. ZooKeeper: ZooKeeperServer.authWriteRequest, and the calls of AuditHelper.
With the audit log, and on a member with enableEagerACLCheck, the table of writes on the hot path
(`Server.writes`) lacks those opcodes, so that a connection finds them here. Without either nothing
is looked at, and no write pays for it.

The eager check is that of the tree as it is here, before a learner asks its leader: a client that
may not do what it asks for costs no transaction. What passes is checked by the leader as ever.

Where this differs from ZooKeeper, on purpose: the refusal is answered in its turn, behind the
writes that the client has under way. There it overtakes them, which clients take for a broken
connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.constants import ErrorCode, OpCode, Perms
from pyzk.data.paths import ROOT, SPECIAL_PATHS
from pyzk.errors import BadArguments, InvalidAcl, JuteError, KeeperError, NoAuth
from pyzk.server.audit import AUDITED, Audit
from pyzk.server.operations import WRITES, WriteDecoder
from pyzk.server.reply import encode_error
from pyzk.server.request import QueuedRead, Request

if TYPE_CHECKING:
    from pyzk.auth.provider import AuthId
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server
    from pyzk.server.sessions import Session

_PERMS: Final = {
    OpCode.CREATE: Perms.CREATE,
    OpCode.CREATE2: Perms.CREATE,
    OpCode.DELETE: Perms.DELETE,
    OpCode.SET_DATA: Perms.WRITE,
    OpCode.SET_ACL: Perms.ADMIN,
}
"""Opcode that is checked eagerly -> the permission that it needs, of the parent if it creates or
deletes."""
_OF_PARENT: Final = frozenset((OpCode.CREATE, OpCode.CREATE2, OpCode.DELETE))
_WITH_ACL: Final = frozenset((OpCode.CREATE, OpCode.CREATE2, OpCode.SET_ACL))

Writes = dict[int, WriteDecoder]


class Screen:
    """Looks at the writes of one server's clients."""

    def __init__(self, server: Server, audit: Audit | None) -> None:
        self._server = server
        self._audit = audit
        self._is_eager = False

    def split(self, writes: Writes) -> tuple[Writes, Writes]:
        """Return the writes that are submitted at once, and those that come here first."""
        server = self._server
        self._is_eager = (
            server.config.enable_eager_acl_check and server.is_member and not server.is_read_only
        )
        here: set[int] = set()
        if self._audit is not None:
            here |= AUDITED
        if self._is_eager:
            here |= _PERMS.keys()
        return (
            {opcode: decoder for opcode, decoder in writes.items() if opcode not in here},
            {opcode: decoder for opcode, decoder in writes.items() if opcode in here},
        )

    def write(
        self,
        connection: Connection,
        session: Session,
        decoder: WriteDecoder,
        xid: int,
        opcode: int,
        body: bytes,
    ) -> None:
        """Submit a write of a client, unless it is refused already."""
        if self._is_eager:
            err = self._refusal(opcode, body, connection.auth_ids)
            if err:
                now_ms = self._server.clock.now_ms
                read = QueuedRead(connection, _refused[err], xid, b"", now_ms)
                connection.wait(session, read)
                return
        connection.write(session, decoder, xid, opcode, body, 0, len(body))
        audit = self._audit
        if audit is not None and opcode in AUDITED:
            newest = session.queue[-1] if session.queue else None
            if isinstance(newest, Request):
                audit.asked(newest, body)
            else:
                audit.unreadable(connection, opcode)

    def _refusal(self, opcode: int, body: bytes, auth_ids: tuple[AuthId, ...]) -> int:
        """Return the error with which the ACLs here refuse a write; 0 if they do not, or if there
        is anything else wrong with it."""
        perms = _PERMS.get(opcode)
        if perms is None:
            return 0
        try:
            record: object = WRITES[opcode](body, 0, len(body))
            self._check(opcode, record, perms, auth_ids)
        except (NoAuth, InvalidAcl) as error:
            return error.code
        except (JuteError, KeeperError):
            return 0
        return 0

    def _check(self, opcode: int, record: object, perms: int, auth_ids: tuple[AuthId, ...]) -> None:
        server = self._server
        path: str | None = getattr(record, "path", None)
        if path is None:
            return
        if opcode in _OF_PARENT:
            slash = path.rfind("/")
            if slash < 0 or "\0" in path or path in SPECIAL_PATHS:
                raise BadArguments(path)
            path = path[:slash] or ROOT
        if opcode in _WITH_ACL:
            server.access.fix_up(getattr(record, "acl", None), auth_ids)
        node = server.tree.nodes.get(path)
        if node is not None and not server.permits(node.acl_id, perms, auth_ids):
            raise NoAuth(path)


def _no_auth(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    return encode_error(xid, 0, ErrorCode.NO_AUTH)


def _invalid_acl(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    return encode_error(xid, 0, ErrorCode.INVALID_ACL)


_refused: Final = {ErrorCode.NO_AUTH: _no_auth, ErrorCode.INVALID_ACL: _invalid_acl}
"""Error -> what answers a write that is refused with it."""
