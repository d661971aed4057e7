"""A blocking client with one session, by which the fixture looks into a server that runs elsewhere.

Shell. It has no thread and does not reconnect; it sends pings only while it waits for an event.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Final, Self

from pyzk import errors
from pyzk.cli.access import PLAIN, Access, log_in
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.data.acl import OPEN_ACL
from pyzk.errors import KeeperError
from pyzk.jute.records import (
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    GetChildrenResponse,
    GetDataResponse,
    PathRequest,
    PathWatchRequest,
    SASLToken,
    SetDataRequest,
)

SESSION_MS: Final = 10_000
PING_S: Final = 2.0
_ERRORS: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, KeeperError) and kind is not KeeperError
}
_Record = (
    CreateRequest | DeleteRequest | PathWatchRequest | SetDataRequest | PathRequest | SASLToken
)


class PlainClient:
    """A session with one server: a new one, or with ``session`` one that exists."""

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float,
        session: tuple[int, bytes] | None = None,
        access: Access = PLAIN,
    ) -> None:
        self._xid = 0
        self._events = 0
        self._buffer = b""
        self._socket = connect(host, port, timeout, access)
        try:
            self._meet(session or (0, bytes(16)))
            if access.login is not None:
                log_in(access.login.begin(host), self._give_token)
        except BaseException:
            self._socket.close()
            raise

    def _meet(self, session: tuple[int, bytes]) -> None:
        session_id, password = session
        self._send(ConnectRequest(0, 0, SESSION_MS, session_id, password, False).encode())
        data = self._read()
        response, _ = ConnectResponse.decode(data, 0, len(data))
        if response.session_id == 0:
            raise errors.SessionExpired

    def _give_token(self, token: bytes) -> bytes:
        body = self._call(OpCode.SASL, SASLToken(token))
        return SASLToken.decode(body, 0, len(body))[0].token or b""

    # --- what is asked --------------------------------------------------------------

    def create(self, path: str, data: bytes) -> None:
        """Create a persistent znode. Raises KeeperError, as every request does."""
        request = CreateRequest(path, data, list(OPEN_ACL), CreateMode.PERSISTENT)
        self._call(OpCode.CREATE, request)

    def delete(self, path: str) -> None:
        """Delete a znode without children."""
        self._call(OpCode.DELETE, DeleteRequest(path, -1))

    def set_data(self, path: str, data: bytes) -> None:
        """Set the data of a znode."""
        self._call(OpCode.SET_DATA, SetDataRequest(path, data, -1))

    def get_data(self, path: str) -> bytes:
        """Return the data of a znode."""
        body = self._call(OpCode.GET_DATA, PathWatchRequest(path, False))
        return GetDataResponse.decode(body, 0, len(body))[0].data or b""

    def children(self, path: str) -> list[str]:
        """Return the names of the children, sorted."""
        body = self._call(OpCode.GET_CHILDREN, PathWatchRequest(path, False))
        return sorted(GetChildrenResponse.decode(body, 0, len(body))[0].children or ())

    def sync(self, path: str) -> None:
        """Return when the server has everything that its leader had committed."""
        self._call(OpCode.SYNC, PathRequest(path))

    def exists(self, path: str, watch: bool = False) -> bool:
        """Tell whether a znode is there."""
        try:
            self._call(OpCode.EXISTS, PathWatchRequest(path, watch))
        except errors.NoNode:
            return False
        return True

    def end_session(self) -> None:
        """End the session; its ephemerals are gone when this returns."""
        self._call(OpCode.CLOSE_SESSION)

    def wait_for_event(self, deadline: float) -> bool:
        """Wait for a watch event until ``deadline``, a time.monotonic(); tell whether one came."""
        while not self._events:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._buffer or self._has_come(min(left, PING_S)):
                self._reply()
            else:
                self._call(OpCode.PING, xid=Xid.PING)
        self._events -= 1
        return True

    def _has_come(self, within_s: float) -> bool:
        """Tell whether something comes within so many seconds. A reply may take longer."""
        self._socket.settimeout(within_s)
        try:
            self._fill()
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(SESSION_MS / 1000)
        return True

    # --- frames ---------------------------------------------------------------------

    def _call(self, opcode: int, record: _Record | None = None, xid: int | None = None) -> bytes:
        if xid is None:
            self._xid += 1
            xid = self._xid
        body = b"" if record is None else record.encode()
        self._send(struct.pack(">ii", xid, opcode) + body)
        while True:
            got, err, body = self._reply()
            if got == xid:
                break
        if err:
            kind = _ERRORS.get(err)
            raise kind() if kind is not None else KeeperError(f"error {err}")
        return body

    def _reply(self) -> tuple[int, int, bytes]:
        data = self._read()
        xid, _, err = struct.unpack_from(">iqi", data)
        self._events += xid == Xid.NOTIFICATION
        return xid, err, data[16:]

    def _send(self, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">i", len(payload)) + payload)

    def _read(self) -> bytes:
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def _fill(self) -> None:
        """Read what has come, or wait for it."""
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data

    # --- the end --------------------------------------------------------------------

    def close(self) -> None:
        """End the session, if that is possible, and close the connection."""
        with contextlib.suppress(OSError, KeeperError):
            self.end_session()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(host: str, port: int, timeout: float, access: Access) -> socket.socket:
    """Return a socket that is connected, by TLS if that is how to come in. Raises OSError."""
    connection = socket.create_connection((host, port), timeout)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if access.tls is None:
            return connection
        return access.tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def ask(host: str, port: int, word: str, timeout: float, access: Access = PLAIN) -> str:
    """Return the answer to a four-letter word. Raises OSError."""
    with connect(host, port, timeout, access) as connection:
        connection.sendall(word.encode())
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")
