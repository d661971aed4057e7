"""Who asks on the admin port, and what that identity may do."""

from __future__ import annotations

import json

import pytest

from pyzk.admin.visitors import Visitor, address_of, identities, refusal
from pyzk.auth.digest import generate_digest
from pyzk.auth.provider import AuthId
from pyzk.config.server import ServerConfig
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
        ("5.6.7.8, 9.9.9.9", True, "9.9.9.9"),
        ("5.6.7.8,", True, "5.6.7.8"),
        (" , ", True, "1.2.3.4"),
    ],
)
def test_the_address_behind_a_proxy(header: str | None, counts: bool, expected: str) -> None:
    assert address_of("1.2.3.4", header, counts=counts) == expected
