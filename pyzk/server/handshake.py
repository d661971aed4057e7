"""The way of a connection to its session: a new one, or one that its client had before.

Pure. ZooKeeper: ZooKeeperServer.processConnectRequest, reopenSession and finishSessionInit.
A new session is a transaction, unless it is local. When a client comes back with a session, first
the other connection of that session to this server is closed; then the password must be right; then
the role says whether the session still lives, for which a learner asks the leader. Meanwhile the
connection is stalled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyzk.constants import ErrorCode, OpCode
from pyzk.errors import JuteError
from pyzk.int64 import hex_id
from pyzk.jute.archive import encode_buffer
from pyzk.jute.records import ConnectRequest, ConnectResponse, CreateSessionTxn
from pyzk.outsiders import about
from pyzk.server.passwords import NO_PASSWORD, session_password
from pyzk.server.reply import encode_error
from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.sessions import Session

log = logging.getLogger(__name__)


class Handshake:
    """What a connection has until its session is open."""

    __slots__ = ("_connection", "_is_old_client")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection = connection
        self._is_old_client: bool = False
        """Whether the ConnectRequest had no field readOnly, so that the answer has none either."""

    def connect(self, data: bytes, offset: int, end: int) -> None:
        """Serve a ConnectRequest."""
        server = self._connection.server
        if not server.is_serving:
            server.metrics.cnxn_closed_without_zk_server_running += 1
            self._connection.refuse("this server is not serving now")
            return
        try:
            request, _ = ConnectRequest.decode(data, offset, end)
        except JuteError as error:
            self._connection.refuse(f"unreadable ConnectRequest ({error})")
            return
        objection = self._objection(request)
        if objection is not None:
            # No reply: that makes the client try another server.
            self._connection.refuse(objection)
            return
        self._is_old_client = request.read_only is None
        config = server.config
        timeout_ms = min(
            max(request.timeout_ms, config.min_session_timeout_ms), config.max_session_timeout_ms
        )
        server.handshakes.pop(self._connection, None)
        if request.session_id:
            self._resume_session(request.session_id, request.password or b"", timeout_ms)
        else:
            self._begin_session(timeout_ms)

    def _objection(self, request: ConnectRequest) -> str | None:
        """Return why this server does not take the client, None if it does."""
        server = self._connection.server
        metrics = server.metrics
        if not server.throttle.admits(
            is_renewal=request.session_id != 0, is_local=server.has_local_sessions
        ):
            metrics.connection_rejected += 1
            return "too many ConnectRequests (connection_throttle_tokens)"
        metrics.connection_token_deficit.add(server.throttle.deficit)
        metrics.connection_request_count += 1
        if server.is_read_only and not request.read_only:
            return "this server is read-only, and the client wants to write"
        last_zxid = server.tree.last_zxid
        if request.last_zxid_seen > last_zxid:
            return (
                f"the client has seen zxid 0x{request.last_zxid_seen:x},"
                f" the last one here is 0x{last_zxid:x}"
            )
        return None

    def _begin_session(self, timeout_ms: int) -> None:
        connection = self._connection
        server = connection.server
        if server.is_read_only and not server.has_local_sessions:
            # The original answers as if to any other request; clients take that for nonsense.
            connection.send(encode_error(0, server.tree.last_zxid, ErrorCode.NOT_READ_ONLY))
            connection.close()
            return
        now_ms = server.clock.now_ms
        session = server.sessions.add(
            server.sessions.allocate_id(), timeout_ms, now_ms, is_local=server.has_local_sessions
        )
        connection.attach(session)
        if session.is_local:
            self._open()
            return
        connection.await_session(session.session_id, timeout_ms)
        body = CreateSessionTxn(timeout_ms)
        ids = connection.auth_ids
        request = Request(connection, session, 0, OpCode.CREATE_SESSION, body, ids, now_ms)
        server.queues.submit(request, session)

    def created(self, err: int) -> None:
        """Open the new session: its transaction has been applied, with this error or 0."""
        if err:
            name = ErrorCode.NAMES.get(err, err)
            self._connection.refuse(f"its session could not be created ({name})")
        else:
            self._open()

    def _resume_session(self, session_id: int, password: bytes, timeout_ms: int) -> None:
        connection = self._connection
        server = connection.server
        server.metrics.connection_revalidate_count += 1
        if server.is_read_only and session_id in server.database.sessions:
            connection.refuse("a session of the ensemble cannot be resumed on a read-only server")
            return
        server.close_connection_of(session_id)
        if password != session_password(session_id):
            self.rejected(session_id)
            return
        connection.await_session(session_id, timeout_ms)
        server.revalidate(connection, session_id, timeout_ms)

    def resumed(self, session: Session) -> None:
        """Open the session that the client has come back with: it lives."""
        self._connection.attach(session)
        self._open()

    def rejected(self, session_id: int) -> None:
        """Say that the session which the client has come back with is over, and close."""
        connection = self._connection
        log.info(
            "session %s cannot be resumed by /%s:%d",
            hex_id(session_id),
            connection.host,
            connection.port,
            extra=about(connection.host),
        )
        self._respond(0, 0, NO_PASSWORD)
        connection.close()

    def _open(self) -> None:
        connection = self._connection
        session_id = connection.session_id
        self._respond(connection.timeout_ms, session_id, session_password(session_id))
        connection.open()

    def _respond(self, timeout_ms: int, session_id: int, password: bytes) -> None:
        connection = self._connection
        read_only = None if self._is_old_client else connection.server.is_read_only
        body = ConnectResponse(0, timeout_ms, session_id, password, read_only).encode()
        connection.send(encode_buffer(body))
