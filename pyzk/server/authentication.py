"""Auth and SASL packets of clients, which are served at once and out of order.

Pure. ZooKeeper: ZooKeeperServer.processPacket and processSasl.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pyzk.auth.ip import peer_address
from pyzk.auth.provider import X509, AuthId, TurnedAwayError
from pyzk.constants import MAX_IDENTITIES, MAX_IDENTITIES_BYTES, ErrorCode
from pyzk.errors import JuteError, SaslError
from pyzk.jute.archive import NULL, encode_buffer, encode_string
from pyzk.jute.records import AuthPacket, SASLToken
from pyzk.outsiders import about
from pyzk.server.outbox import SaslStep
from pyzk.server.reply import encode_error, encode_reply

if TYPE_CHECKING:
    from pyzk.auth.sasl.logins import ClientLogins
    from pyzk.auth.sasl.mechanism import Mechanism
    from pyzk.server.connection import Connection

log = logging.getLogger(__name__)

STALL_SASL: Final = 8
"""A reason to serve no frames of a connection, beside those in `server.connection`: a step of its
login is being done elsewhere."""


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
    too_many = _add_ids(connection, ids)
    connection.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED if too_many else ErrorCode.OK))
    if too_many:
        connection.refuse(too_many)


def identify(connection: Connection) -> str:
    """Give a connection the identities of the certificate that its client has shown. Return why it
    is not to be taken, "" if it is; it is, if no certificate was shown."""
    if not connection.certificates:
        return ""
    ids = connection.server.registry.of_certificates(connection.certificates)
    return "its certificate cannot be read" if ids is None else _add_ids(connection, ids)


def _add_ids(connection: Connection, ids: tuple[AuthId, ...]) -> str:
    """Give a connection more identities; if these are too many, return the reason and give none.

    They go with each request to the leader, which takes no more of them.
    """
    all_ids = tuple(dict.fromkeys(connection.auth_ids + ids))
    size = sum(len(encode_string(each.scheme)) + len(encode_string(each.id)) for each in all_ids)
    if len(all_ids) > MAX_IDENTITIES or size > MAX_IDENTITIES_BYTES:
        return f"its {len(all_ids)} identities with {size} bytes are too many"
    connection.auth_ids = all_ids
    return ""


def answer_sasl(connection: Connection, xid: int, body: bytes) -> None:
    """Serve a SASL packet. A null token says that nobody can log in here; the connection stays."""
    try:
        packet, _ = SASLToken.decode(body, 0, len(body))
    except JuteError as error:
        connection.refuse(f"its SASL packet is unreadable ({error})")
        return
    if packet.token is None:
        connection.refuse("its SASL packet has no token")
        return
    logins = connection.server.logins
    if logins is None:
        connection.send(encode_reply(xid, 0, NULL))
        return
    mechanism = connection.sasl
    if mechanism is None:
        mechanism = connection.sasl = logins.begin(connection.server.host.kerberos)
    if mechanism.is_blocking:
        _step_elsewhere(connection, logins, xid, packet.token, mechanism)
        return
    try:
        answer = mechanism.step(packet.token)
    except SaslError as failure:
        _failed(connection, logins, xid, str(failure))
        return
    _stepped(connection, logins, xid, mechanism, answer)


def _step_elsewhere(
    connection: Connection, logins: ClientLogins, xid: int, token: bytes, mechanism: Mechanism
) -> None:
    """Have a step done on a thread; the client's next frames wait for it."""

    def stepped(answer: bytes | None, failure: str) -> None:
        if connection not in connection.server.connections:
            return  # it was closed meanwhile
        if failure:
            _failed(connection, logins, xid, failure)
        else:
            _stepped(connection, logins, xid, mechanism, answer)
        connection.resume(STALL_SASL)

    world = connection.server.host.kerberos
    assert world is not None, "a mechanism that blocks"
    connection.stall(STALL_SASL)
    connection.server.outbox.commands.append(SaslStep(world, mechanism, token, stepped))


def _stepped(
    connection: Connection,
    logins: ClientLogins,
    xid: int,
    mechanism: Mechanism,
    answer: bytes | None,
) -> None:
    """Answer a step that has not failed; behind the last one the client is who it has proved."""
    if mechanism.is_complete:
        name = mechanism.authorization_id
        too_many = _add_ids(connection, logins.ids(name))
        if too_many:
            _failed(connection, logins, xid, too_many)
            return
        log.info("%s has logged in as %s", connection, name, extra=about(connection.host))
    connection.send(encode_reply(xid, 0, NULL if answer is None else encode_buffer(answer)))


def _failed(connection: Connection, logins: ClientLogins, xid: int, reason: str) -> None:
    """Answer a SASL packet that does not prove what it should. The client is not told why."""
    is_required = connection.server.access.requires_sasl
    if logins.allows_failed_clients and not is_required:
        log.warning(
            "the SASL login of %s failed, it may stay: %s",
            connection,
            reason,
            extra=about(connection.host),
        )
        connection.send(encode_reply(xid, 0, NULL))
        return
    code = ErrorCode.AUTH_FAILED
    if is_required:
        code = ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH
    connection.send(encode_reply(xid, 0, NULL, code))
    connection.refuse(f"its SASL login failed: {reason}")
