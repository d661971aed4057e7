"""What a client certificate is good for once its client is taken (auth-acl-quota.md §4.5)."""

from __future__ import annotations

import pytest

from pyzk.auth.provider import AuthId
from pyzk.config.server import ServerConfig
from pyzk.config.tls import TlsConfig
from pyzk.constants import MAX_IDENTITIES_BYTES, ErrorCode, OpCode, Perms
from pyzk.jute.records import ACL
from pyzk.outsiders import SUBJECT
from pyzk.server.arrival import Arrival
from pyzk.server.connection import Connection
from tests.certificates import Authority
from tests.server.calls import authenticate, create_as, make
from tests.world import Client, World

CA = Authority()
BOB = CA.issue("bob")


def secure_world(**fields: object) -> World:
    return World(ServerConfig(client_tls=TlsConfig(key_store="/k"), **fields))  # type: ignore[arg-type]


def accept(world: World, *certificates: bytes) -> Connection | None:
    arrival = Arrival("10.0.0.1", 1, is_secure=True, certificates=certificates)
    return world.peer.accept(arrival)


def ids(connection: Connection | None) -> tuple[AuthId, ...]:
    assert connection is not None
    return connection.auth_ids


def test_a_certificate_is_an_identity_beside_the_address() -> None:
    assert ids(accept(secure_world(), *BOB.chain_der)) == (
        AuthId("ip", "10.0.0.1"),
        AuthId("x509", "CN=bob"),
    )
    assert ids(accept(secure_world())) == (AuthId("ip", "10.0.0.1"),)


def test_the_certificate_of_the_super_user() -> None:
    found = ids(accept(secure_world(x509_super_user="CN=bob"), *BOB.chain_der))
    assert AuthId("super", "CN=bob") in found
    assert AuthId("x509", "CN=bob") in found


@pytest.mark.parametrize("certificate", [b"", b"no certificate"])
def test_who_shows_what_cannot_be_read_is_not_taken(
    certificate: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    world = secure_world()
    assert accept(world, certificate) is None
    assert caplog.messages == ["a client of /10.0.0.1 is not taken: its certificate cannot be read"]
    assert caplog.records[0].__dict__[SUBJECT] == "10.0.0.1"
    assert world.server.connections == {}
    assert world.server.connections_by_host == {}


def test_a_subject_that_no_leader_would_take_is_not_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 64)
    long = CA.issue(x509.Name([unit] * (MAX_IDENTITIES_BYTES // 64)))
    assert accept(secure_world(), long.der) is None
    assert "are too many" in caplog.messages[0]


def test_a_client_may_ask_for_the_identity_that_it_has() -> None:
    world = secure_world()
    connection = accept(world, *BOB.chain_der)
    before = ids(connection)
    assert connection is not None
    client = Client(world, connection)
    client.handshake()
    assert authenticate(client, "anything", "x509").err == 0
    assert ids(connection) == before
    assert not client.is_closed


def test_without_a_certificate_the_scheme_fails() -> None:
    world = secure_world()
    connection = accept(world)
    assert connection is not None
    client = Client(world, connection)
    client.handshake()
    assert authenticate(client, "CN=bob", "x509").err == ErrorCode.AUTH_FAILED
    assert client.is_closed


def test_acls_may_name_subjects() -> None:
    world = secure_world()
    clients = []
    for own in (BOB, CA.issue("eve")):
        connection = accept(world, *own.chain_der)
        assert connection is not None
        clients.append(Client(world, connection))
        clients[-1].handshake()
    bob, eve = clients
    make(bob, "/a", acl=[ACL(Perms.ALL, "x509", "CN=bob")])
    make(bob, "/b", acl=[ACL(Perms.ALL, "auth", "")])
    for path in ("/a", "/b"):
        assert bob.get_data(path).err == 0
        assert eve.get_data(path).err == ErrorCode.NO_AUTH
    wrong = create_as(bob, OpCode.CREATE, "/c", acl=[ACL(Perms.ALL, "x509", "bob")])
    assert wrong.err == ErrorCode.INVALID_ACL
