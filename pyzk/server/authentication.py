"""Auth and SASL packets of clients, which are served at once and out of order.

Pure. ZooKeeper: ZooKeeperServer.processPacket, its branches for auth and sasl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.auth.ip import peer_address
from pyzk.auth.provider import TurnedAwayError
from pyzk.constants import MAX_IDENTITIES, MAX_IDENTITIES_BYTES, ErrorCode
from pyzk.errors import JuteError
from pyzk.jute.archive import NULL, encode_string
from pyzk.jute.records import AuthPacket, SASLToken
from pyzk.server.reply import encode_error, encode_reply

if TYPE_CHECKING:
    from pyzk.server.connection import Connection


def authenticate(connection: Connection, xid: int, body: bytes) -> None:
    """Serve an auth packet: at once, out of order. A failure is answered with -115, and ends
    the connection; a client that a provider turns away gets no answer."""
    try:
        packet, _ = AuthPacket.decode(body, 0, len(body))
    except JuteError as error:
        connection.refuse(f"its auth packet is unreadable ({error})")
        return
    provider = connection.server.registry.get(packet.scheme)
    address = peer_address(connection.host)
    try:
        ids = None if provider is None else provider.authenticate(address, packet.auth)
    except TurnedAwayError as reason:
        connection.refuse(str(reason))
        return
    if ids is None:
        connection.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
        connection.refuse(f"its authentication with scheme {packet.scheme!r} failed")
        return
    all_ids = tuple(dict.fromkeys(connection.auth_ids + ids))
    size = sum(len(encode_string(each.scheme)) + len(encode_string(each.id)) for each in all_ids)
    if len(all_ids) > MAX_IDENTITIES or size > MAX_IDENTITIES_BYTES:
        # They go with each request to the leader, which takes no more of them.
        connection.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
        connection.refuse(f"its {len(all_ids)} identities with {size} bytes are too many")
        return
    connection.auth_ids = all_ids
    connection.send(encode_error(xid, 0, ErrorCode.OK))


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
