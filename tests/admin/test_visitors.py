"""Who asks on the admin port, and what that identity may do."""

from __future__ import annotations

import json

import pytest

from pyzk.admin.visitors import Visitor, address_of, identities, refusal
from pyzk.auth.digest import generate_digest
from pyzk.auth.provider import AuthId
from pyzk.config.server import ServerConfig, parse_config
from pyzk.constants import Perms
from pyzk.jute.records import ACL
from tests.world import World

SUPER = ServerConfig(super_digest=generate_digest("super:test"))
BOB = generate_digest("bob:secret")


def world_with(*acl: ACL, config: ServerConfig = SUPER) -> World:
    world = World(config)
    tree = world.server.tree
    root = tree.find("/")
    assert root is not None
    root.acl_id = tree.acls.intern(acl)
    return world


def status(world: World, authorization: str | None, address: str = "10.0.0.1") -> int:
    answer = refusal(world.server, Visitor(authorization, address), "snap")
    if answer is None:
        return 200
    found = json.loads(b"".join(answer.body))
    assert found["command"] == "snap"
    said = {
        401: "Auth info is missing for the command"
        if authorization is None
        else "Not authenticated",
        403: "Not authorized",
    }
    assert found["error"] == said[answer.status]
    return answer.status


def test_an_open_root_lets_everybody_in_who_says_who_it_is() -> None:
    world = World(SUPER)
    assert status(world, None) == 401
    assert status(world, "digest a:b") == 200
    assert status(world, "ip") == 200


@pytest.mark.parametrize(
    "authorization",
    ["", " ", "bogus", "x y", "digest", "digest ", "digest a:b c", "Digest a:b", "sasl x", "x509"],
)
def test_what_proves_nothing(authorization: str) -> None:
    assert status(World(SUPER), authorization) == 401


def test_each_permission_must_be_given() -> None:
    everything = world_with(ACL(Perms.ALL, "digest", BOB))
    assert status(everything, "digest bob:secret") == 200
    assert status(everything, "digest bob:wrong") == 403
    assert status(everything, "ip") == 403
    assert status(everything, "digest super:test") == 200
    for missing in (1, 2, 4, 8, 16):
        world = world_with(ACL(Perms.ALL & ~missing, "digest", BOB))
        assert status(world, "digest bob:secret") == 403
    split = world_with(ACL(15, "digest", BOB), ACL(16, "world", "anyone"))
    assert status(split, "digest bob:secret") == 200
    assert status(split, "digest al:secret") == 403


def test_an_address_is_an_identity() -> None:
    world = world_with(ACL(Perms.ALL, "ip", "10.0.0.0/8"))
    assert status(world, "ip", "10.1.2.3") == 200
    assert status(world, "ip", "::ffff:10.1.2.3") == 200
    assert status(world, "ip", "11.1.2.3") == 403


def test_skip_acl_lets_everybody_in_who_says_who_it_is() -> None:
    world = world_with(ACL(1, "digest", BOB), config=ServerConfig(skip_acl=True))
    assert status(world, "digest al:x") == 200
    assert status(world, None) == 401


def error_of(world: World, visitor: Visitor) -> str | None:
    """What a visitor is told; None if nothing is refused."""
    answer = refusal(world.server, visitor, "snapshot")
    if answer is None:
        return None
    assert answer.status == 403
    return str(json.loads(b"".join(answer.body))["error"])


@pytest.mark.parametrize(
    ("world", "authorization"),
    [
        (World(SUPER), "digest a:b"),
        (World(SUPER), "ip"),
        (world_with(ACL(Perms.ALL, "ip", "10.0.0.1")), "ip"),
        (world_with(ACL(1, "digest", BOB), config=ServerConfig(skip_acl=True)), "digest a:b"),
    ],
    ids=["open, digest", "open, ip", "by address", "skipACL"],
)
def test_another_site_may_not_where_no_secret_is_needed(world: World, authorization: str) -> None:
    assert error_of(world, Visitor(authorization, "10.0.0.1")) is None
    found = error_of(world, Visitor(authorization, "10.0.0.1", (), "the host is evil.com"))
    assert found == "Not authorized: the host is evil.com"


def test_a_secret_is_enough_by_whatever_name_the_server_is_asked() -> None:
    bobs = world_with(ACL(Perms.ALL, "digest", BOB))
    for world, authorization in (
        (bobs, "digest bob:secret"),
        (bobs, "digest super:test"),
        (World(SUPER), "digest super:test"),
    ):
        assert error_of(world, Visitor(authorization, "10.0.0.1", (), "unknown")) is None
    assert error_of(bobs, Visitor("digest a:b", "10.0.0.1", (), "unknown")) == "Not authorized"


def test_enforced_authentication_is_enforced() -> None:
    enforced = parse_config(
        b"dataDir=/d\nclientPort=0\nauthProvider.sasl="
        b"org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n"
        b"sessionRequireClientSASLAuth=true\n"
        b"DigestAuthenticationProvider.superDigest="
        + generate_digest("super:test").encode()
        + b"\n",
    )
    world = World(enforced)
    for authorization in ("digest a:b", "ip"):
        found = error_of(world, Visitor(authorization, "10.0.0.1"))
        assert found is not None
        assert "sessionRequireClientSASLAuth demands" in found
    assert error_of(world, Visitor("digest super:test", "10.0.0.1")) is None


def test_an_enforced_scheme_that_a_visitor_has() -> None:
    by_address = ServerConfig(enforce_auth_enabled=True, enforce_auth_schemes=("ip",))
    assert error_of(World(by_address), Visitor("digest a:b", "10.0.0.1")) is None
    by_digest = World(ServerConfig(enforce_auth_enabled=True, enforce_auth_schemes=("digest",)))
    assert error_of(by_digest, Visitor("digest a:b", "10.0.0.1")) is None
    assert error_of(by_digest, Visitor("ip", "10.0.0.1")) is not None
    # A digest may be made up: another site's page gets nothing by one.
    assert error_of(by_digest, Visitor("digest a:b", "10.0.0.1", (), "evil")) is not None


def test_a_scheme_that_is_switched_off() -> None:
    world = World(ServerConfig(digest_auth_enabled=False))
    assert identities(world.server, Visitor("digest a:b", "10.0.0.1")) is None


def test_the_super_user() -> None:
    found = identities(World(SUPER).server, Visitor("digest super:test", "10.0.0.1"))
    assert found is not None
    assert found[0] == AuthId("super", "")


@pytest.mark.parametrize(
    ("header", "counts", "expected"),
    [
        (None, True, "1.2.3.4"),
        ("5.6.7.8", False, "1.2.3.4"),
        ("5.6.7.8", True, "5.6.7.8"),
        ("5.6.7.8, 9.9.9.9", True, "5.6.7.8"),
        (",5.6.7.8,9.9.9.9", True, "5.6.7.8"),
        ("5.6.7.8,", True, "5.6.7.8"),
        (" , ", True, "1.2.3.4"),
    ],
)
def test_the_address_behind_a_proxy(header: str | None, counts: bool, expected: str) -> None:
    assert address_of("1.2.3.4", header, counts=counts) == expected
