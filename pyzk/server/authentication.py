"""Auth and SASL packets of clients, which are served at once and out of order.

Pure. ZooKeeper: ZooKeeperServer.processPacket, its branches for auth and sasl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.auth.ip import peer_address
from pyzk.auth.provider import X509, TurnedAwayError
from pyzk.constants import MAX_IDENTITIES, MAX_IDENTITIES_BYTES, ErrorCode
from pyzk.errors import JuteError
from pyzk.jute.archive import NULL, encode_string
from pyzk.jute.records import AuthPacket, SASLToken
from pyzk.server.reply import encode_error, encode_reply

if TYPE_CHECKING:
    from pyzk.auth.provider import AuthId
    from pyzk.server.connection import Connection


def authenticate(connection: Connection, xid: int, body: bytes) -> None:
    """Serve an auth packet: at once, out of order. A failure is answered with -115, and ends
    the connection; a client that a provider turns away gets no answer."""
    try:
        packet, _ = AuthPacket.decode(body, 0, len(body))
    except JuteError as error:
        connection.refuse(f"its auth packet is unreadable ({error})")
        return
    registry = connection.server.registry
    provider = registry.get(packet.scheme)
    address = peer_address(connection.host)
    try:
        ids = None if provider is None else provider.authenticate(address, packet.auth)
        if ids is None and packet.scheme == X509:
            ids = registry.of_certificates(connection.certificates)
    except TurnedAwayError as reason:
        connection.refuse(str(reason))
        return
    if ids is None:
        connection.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
        connection.refuse(f"its authentication with scheme {packet.scheme!r} failed")
        return
    too_many = _add(connection, ids)
    if too_many:
        # They go with each request to the leader, which takes no more of them.
        connection.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
        connection.refuse(too_many)
        return
    connection.send(encode_error(xid, 0, ErrorCode.OK))


def identify(connection: Connection) -> str:
    """Give a connection the identities of the certificate that its client has shown. Return why it
    is not to be taken, "" if it is; it is, if no certificate was shown."""
    if not connection.certificates:
        return ""
    ids = connection.server.registry.of_certificates(connection.certificates)
    return "its certificate cannot be read" if ids is None else _add(connection, ids)


def _add(connection: Connection, ids: tuple[AuthId, ...]) -> str:
    """Add identities to those of a connection. Return why they are too many, "" if they are not."""
    all_ids = tuple(dict.fromkeys(connection.auth_ids + ids))
    size = sum(len(encode_string(each.scheme)) + len(encode_string(each.id)) for each in all_ids)
    if len(all_ids) > MAX_IDENTITIES or size > MAX_IDENTITIES_BYTES:
        return f"its {len(all_ids)} identities with {size} bytes are too many"
    connection.auth_ids = all_ids
    return ""


def answer_sasl(connection: Connection, xid: int, body: bytes) -> None:
    """Answer a SASL packet: a null token says that no SASL is configured; the connection
    stays."""
    try:
        token, _ = SASLToken.decode(body, 0, len(body))
    except JuteError as error:
        connection.refuse(f"its SASL packet is unreadable ({error})")
        return
    if token.token is None:
        connection.refuse("its SASL packet has no token")
        return
    connection.send(encode_reply(xid, 0, NULL))
