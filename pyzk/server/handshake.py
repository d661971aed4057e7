"""How a connection gets its session: a new one, or one that it had.

Pure. Answers to ZooKeeperServer's processConnectRequest, reopenSession and finishSessionInit. A new
session is a transaction, unless it is local. One that a client comes back with is looked at in this
order: its other connection here is closed; the password must be right; then the role is asked
whether it lives, and a learner's role asks the leader. Meanwhile the connection stalls.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

from pyzk.constants import ErrorCode, OpCode
from pyzk.errors import JuteError
from pyzk.int64 import hex_id
from pyzk.jute.records import ConnectRequest, ConnectResponse, CreateSessionTxn
from pyzk.outsiders import about
from pyzk.server.connection_state import ATTACHING, OPEN, STALL_ATTACHING
from pyzk.server.passwords import NO_PASSWORD, session_password
from pyzk.server.reply import encode_error

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.sessions import Session

log = logging.getLogger(__name__)


def connect(connection: Connection, data: bytes, offset: int, end: int) -> None:
    """Serve a ConnectRequest."""
    server = connection.server
    metrics = server.metrics
    if not server.is_serving:
        connection.refuse("this server does not serve now")
        return
    try:
        request, _ = ConnectRequest.decode(data, offset, end)
    except JuteError as error:
        connection.refuse(f"unreadable ConnectRequest ({error})")
        return
    if not server.throttle.admits(
        is_renewal=request.session_id != 0, is_local=server.has_local_sessions
    ):
        metrics.connection_rejected += 1
        connection.refuse("too many ConnectRequests (connection_throttle_tokens)")
        return
    metrics.connection_token_deficit.add(server.throttle.deficit)
    metrics.connection_request_count += 1
    connection.is_old_client = request.read_only is None
    if server.is_read_only and not request.read_only:
        connection.refuse("this server is read-only, and the client wants to write")
        return
    if request.last_zxid_seen > server.tree.last_zxid:
        # No reply: that makes the client try another server.
        connection.refuse(
            f"client has seen zxid 0x{request.last_zxid_seen:x}, "
            f"our last is 0x{server.tree.last_zxid:x}"
        )
        return
    config = server.config
    connection.timeout_ms = min(
        max(request.timeout_ms, config.min_session_timeout_ms), config.max_session_timeout_ms
    )
    server.handshakes.pop(connection, None)
    if request.session_id == 0:
        _begin_session(connection)
    else:
        _reattach(connection, request.session_id, request.password or b"")


def _begin_session(connection: Connection) -> None:
    server = connection.server
    if server.is_read_only and not server.has_local_sessions:
        # The answer of any other request, as the original has it; clients take it for nonsense.
        connection.send(encode_error(0, server.tree.last_zxid, ErrorCode.NOT_READ_ONLY))
        connection.close()
        return
    sessions = server.sessions
    session = sessions.add(
        sessions.allocate_id(),
        connection.timeout_ms,
        server.clock.now_ms,
        is_local=server.has_local_sessions,
    )
    attach(connection, session)
    if session.is_local:
        open_session(connection)
        return
    connection.state = ATTACHING
    connection.stall(STALL_ATTACHING)
    connection.submit(session, 0, OpCode.CREATE_SESSION, CreateSessionTxn(connection.timeout_ms))


def _reattach(connection: Connection, session_id: int, password: bytes) -> None:
    """The other connection of the session goes first, before the password is looked at."""
    server = connection.server
    server.metrics.connection_revalidate_count += 1
    if server.is_read_only and session_id in server.database.sessions:
        connection.refuse("a session of the ensemble cannot be resumed on a read-only server")
        return
    session = server.sessions.sessions.get(session_id)
    if session is not None and session.connection is not None:
        session.connection.close()
    waiting = server.attaching.get(session_id)
    if waiting is not None:
        waiting.close()
    if password != session_password(session_id):
        reject(connection, session_id)
        return
    connection.session_id = session_id
    connection.state = ATTACHING
    server.attaching[session_id] = connection
    if session is not None and session.is_local:
        server.revalidated(connection, session_id, connection.timeout_ms, not session.is_closing)
    else:
        server.role.revalidate(connection, session_id, connection.timeout_ms)
    if connection.state == ATTACHING:
        connection.stall(STALL_ATTACHING)


def reject(connection: Connection, session_id: int) -> None:
    """Say that the session is over, and close."""
    connection.session_id = 0
    log.info(
        "session %s cannot be re-attached by %s",
        hex_id(session_id),
        connection,
        extra=about(connection.host),
    )
    _send_connect_response(connection, 0, 0, NO_PASSWORD)
    connection.close()


def attach(connection: Connection, session: Session) -> None:
    """From now on the session is this connection's."""
    connection.session = session
    connection.session_id = session.session_id
    session.connection = connection


def open_session(connection: Connection) -> None:
    """Send the ConnectResponse; from now on frames are requests."""
    connection.state = OPEN
    session_id = connection.session_id
    _send_connect_response(
        connection, connection.timeout_ms, session_id, session_password(session_id)
    )
    connection.resume(STALL_ATTACHING)


def _send_connect_response(
    connection: Connection, timeout_ms: int, session_id: int, password: bytes
) -> None:
    read_only = None if connection.is_old_client else connection.server.is_read_only
    body = ConnectResponse(0, timeout_ms, session_id, password, read_only).encode()
    connection.send(struct.pack(">i", len(body)) + body)
