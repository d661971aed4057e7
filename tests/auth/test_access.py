"""ACL checks, fix-up, masking, enforced authentication: the matrix of the auth sheet, part 13."""

from __future__ import annotations

import pytest

from pyzk.auth.access import Access, mask_digest_ids
from pyzk.auth.provider import AuthId
from pyzk.auth.registry import ProviderRegistry
from pyzk.config.server import ServerConfig
from pyzk.constants import Perms
from pyzk.data.acl import OPEN_ACL, READ_ACL
from pyzk.errors import ConfigError, InvalidAcl, KeeperError, MarshallingError
from pyzk.jute.records import ACL

IP = AuthId("ip", "10.1.2.3")
BOB = AuthId("digest", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U=")
EVE = AuthId("digest", "eve:hash")
SUPER = AuthId("super", "")


def access_with(config: ServerConfig | None = None) -> Access:
    config = config or ServerConfig()
    return Access(config, ProviderRegistry.from_config(config))


@pytest.mark.parametrize(
    ("acl", "perms", "auth_ids", "expected"),
    [
        (OPEN_ACL, Perms.ADMIN, (), True),
        (READ_ACL, Perms.READ, (IP,), True),
        (READ_ACL, Perms.WRITE, (IP, BOB), False),
        (READ_ACL, Perms.WRITE, (IP, SUPER), True),
        ((), Perms.ADMIN, (), True),
        ((ACL(0, "world", "anyone"),), Perms.ALL, (IP,), False),
        ((ACL(31, "world", "someone"),), Perms.READ, (IP,), False),
        ((ACL(1, "digest", BOB.id),), Perms.READ, (IP, BOB), True),
        ((ACL(1, "digest", BOB.id),), Perms.READ, (IP, EVE), False),
        ((ACL(1, "digest", BOB.id),), Perms.WRITE, (IP, BOB), False),
        ((ACL(16, "digest", BOB.id),), Perms.READ | Perms.ADMIN, (BOB,), True),
        ((ACL(1, "ip", "10.0.0.0/8"),), Perms.READ, (IP,), True),
        ((ACL(1, "ip", "11.0.0.0/8"),), Perms.READ, (IP,), False),
        ((ACL(31, "sasl", "bob"),), Perms.READ, (AuthId("sasl", "bob"),), False),
        ((ACL(31, None, None),), Perms.READ, (BOB,), False),
        ((ACL(31, "digest", None),), Perms.READ, (BOB,), False),
        ((ACL(1, "digest", EVE.id), ACL(1, "digest", BOB.id)), Perms.READ, (BOB,), True),
        ((ACL(1, "digest", EVE.id), ACL(1, "world", "anyone")), Perms.READ, (), True),
    ],
)
def test_who_may_what(
    acl: tuple[ACL, ...], perms: int, auth_ids: tuple[AuthId, ...], expected: bool
) -> None:
    assert access_with().allows(acl, perms, auth_ids) is expected


def test_skip_acl_allows_everything() -> None:
    access = access_with(ServerConfig(skip_acl=True))
    assert access.allows((ACL(0, "digest", "a:b"),), Perms.ADMIN, ())


@pytest.mark.parametrize(
    ("acl", "auth_ids", "stored"),
    [
        ([ACL(31, "world", "anyone")], (), [ACL(31, "world", "anyone")]),
        ([ACL(31, "world", "anyone")] * 2, (), [ACL(31, "world", "anyone")]),
        (
            [ACL(31, "world", "anyone"), ACL(1, "world", "anyone")],
            (),
            [ACL(31, "world", "anyone"), ACL(1, "world", "anyone")],
        ),
        ([ACL(31, "auth", "")], (IP, BOB), [ACL(31, "digest", BOB.id)]),
        ([ACL(31, "auth", None)], (BOB,), [ACL(31, "digest", BOB.id)]),
        (
            [ACL(1, "auth", "x")],
            (IP, BOB, SUPER, EVE),
            [ACL(1, "digest", BOB.id), ACL(1, "digest", EVE.id)],
        ),
        (
            [ACL(1, "auth", "x"), ACL(1, "auth", "y")],
            (BOB,),
            [ACL(1, "digest", BOB.id), ACL(1, "digest", BOB.id)],
        ),
        ([ACL(0, "ip", "10.0.0.0/8")], (), [ACL(0, "ip", "10.0.0.0/8")]),
        ([ACL(-1, "ip", "::1/64")], (), [ACL(-1, "ip", "::1/64")]),
        ([ACL(31, "digest", "a:b:")], (), [ACL(31, "digest", "a:b:")]),
    ],
)
def test_fix_up(acl: list[ACL], auth_ids: tuple[AuthId, ...], stored: list[ACL]) -> None:
    assert access_with().fix_up(acl, auth_ids) == tuple(stored)


@pytest.mark.parametrize(
    ("acl", "error"),
    [
        (None, InvalidAcl),
        ([], InvalidAcl),
        ([ACL(31, None, "anyone")], InvalidAcl),
        ([ACL(31, "world", "someone")], InvalidAcl),
        ([ACL(31, "world", "")], InvalidAcl),
        ([ACL(31, "world", None)], MarshallingError),
        ([ACL(31, "digest", None)], MarshallingError),
        ([ACL(31, "nothing", None)], InvalidAcl),
        ([ACL(31, "auth", "")], InvalidAcl),
        ([ACL(31, "super", "")], InvalidAcl),
        ([ACL(31, "sasl", "bob")], InvalidAcl),
        ([ACL(31, "digest", "bob")], InvalidAcl),
        ([ACL(1, "ip", "10.0.0.0/33")], InvalidAcl),
        ([ACL(31, "world", "anyone"), ACL(31, "", "")], InvalidAcl),
    ],
)
def test_fix_up_refuses(acl: list[ACL] | None, error: type[KeeperError]) -> None:
    with pytest.raises(error):
        access_with().fix_up(acl, (IP, SUPER))


def test_digest_ids_are_masked_for_who_may_not_administer() -> None:
    acl = (
        ACL(31, "digest", "bob:secret=:x"),
        ACL(1, "digest", "a:b\nc:d\u2028e:f"),
        ACL(1, "digest", None),
        ACL(1, "world", "any:one"),
    )
    assert mask_digest_ids(acl) == [
        ACL(31, "digest", "bob:x"),
        ACL(1, "digest", "a:x\nc:x\u2028e:x"),
        ACL(1, "digest", None),
        ACL(1, "world", "any:one"),
    ]


def test_without_enforcement_nobody_is_refused() -> None:
    access = access_with()
    assert access.enforced_schemes == ()
    assert not access.is_refused(())


def test_enforcement_wants_one_of_the_schemes() -> None:
    access = access_with(
        ServerConfig(enforce_auth_enabled=True, enforce_auth_schemes=("digest", "ip"))
    )
    assert access.enforced_schemes == ("digest", "ip")
    assert not access.is_refused((IP,))
    assert not access.is_refused((BOB,))
    assert access.is_refused((SUPER,))
    assert access.is_refused(())


@pytest.mark.parametrize(
    "config",
    [
        ServerConfig(enforce_auth_enabled=True),
        ServerConfig(enforce_auth_enabled=True, enforce_auth_schemes=("sasl",)),
        ServerConfig(session_require_client_sasl_auth=True),
    ],
)
def test_enforcing_what_nobody_can_do_stops_the_start(config: ServerConfig) -> None:
    with pytest.raises(ConfigError):
        access_with(config)
