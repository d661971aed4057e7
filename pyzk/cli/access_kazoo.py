"""kazoo's sessions by TLS and with a login by SASL, as `Access` says.

Shell. TLS is set up once, by `access.client_context`, and kazoo is handed a handler that uses it:
its own way knows no PEM key with a password that is not asked for at the terminal, and trusts the
system's authorities beside those that were named. For a login kazoo asks the library pure-sasl;
here the mechanisms of `pyzk.auth.sasl` do it, at the same place, which has no public name.
"""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import SASL

from pyzk.cli.access import Access, Login, log_in
from pyzk.errors import SaslError

_LOG_IN: Final = "_authenticate_with_sasl"
"""The method of kazoo's connection that logs in, before anything else is sent."""
_MOST_XID: Final = (1 << 31) - 1


class TlsHandler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """Opens connections with a context of TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> ssl.SSLSocket:
        """Connect, with the handshake. Raises OSError."""
        connection = socket.create_connection(address, timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(connection, server_hostname=hostname or address[0])
        except BaseException:
            connection.close()
            raise


class FailedLogin:
    """Why the last login has failed."""

    def __init__(self) -> None:
        self.reason: str | None = None


def kazoo_client(access: Access, failed: FailedLogin, **arguments: Any) -> KazooClient:
    """Return a client of kazoo that gets in so; it is not started."""
    if access.tls is not None:
        arguments |= {"handler": TlsHandler(access.tls), "use_ssl": True}
    if access.login is None:
        return KazooClient(**arguments)
    client = KazooClient(sasl_options={}, **arguments)
    connection = client._connection
    assert hasattr(connection, _LOG_IN), "this version of kazoo logs in elsewhere"
    setattr(connection, _LOG_IN, partial(_log_in, connection, access.login, failed))
    return client


def _log_in(
    connection: ConnectionHandler, login: Login, failed: FailedLogin, host: str, timeout: float
) -> None:
    """Log in on a connection of kazoo. Raises AuthFailedError, which ends kazoo's session."""
    xid = 0

    def ask(token: bytes) -> bytes:
        nonlocal xid
        xid = xid % _MOST_XID + 1
        connection._submit(SASL(token), timeout, xid)
        header, buffer, offset = connection._read_header(timeout)
        if header.err:
            raise SaslError("the server refuses it: is the name known, and the password right?")
        answer, _ = SASL.deserialize(buffer, offset)
        return answer or b""

    try:
        log_in(login.begin(host), ask)
    except SaslError as error:
        failed.reason = str(error)
        raise AuthFailedError(failed.reason) from None
    failed.reason = None
