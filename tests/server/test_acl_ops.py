"""setACL, getACL and who may do what: request-order-of-checks.md §4.4, auth-acl-quota.md §5, §6."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode, Perms
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CreateRequest,
    GetACLResponse,
    PathRequest,
    SetACLRequest,
    SetACLTxn,
    SetDataRequest,
)
from tests.frames import OPEN, Reply, create_request
from tests.server.calls import (
    NOBODY,
    READ_ONLY,
    acl_of,
    add_watch,
    authenticate,
    burst,
    create_as,
    ephemerals_of,
    errors,
    make,
    run_multi,
    set_acl,
    set_watches,
    stat_in,
    stat_of,
)
from tests.world import Client, World

BOB = "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U="  # bob:bobsecret
USER1 = "user1:+owfoSBn/am19roBPzR1/MfCblE="  # user1:12345


def world_acl(perms: int) -> list[ACL]:
    return [ACL(perms, "world", "anyone")]


# --- setACL -------------------------------------------------------------------------


def test_set_acl_answers_with_the_stat_and_touches_only_aversion(client: Client) -> None:
    make(client, "/a")
    before = stat_of(client, "/a")
    client.world.advance(5)
    reply = set_acl(client, "/a", world_acl(Perms.READ | Perms.ADMIN))
    assert len(reply.body) == 68
    after = stat_in(reply.body)
    assert after.aversion == 1
    after.aversion = 0
    assert after == before


@pytest.mark.parametrize(("version", "err"), [(-1, 0), (1, 0), (0, -103), (2, -103)])
def test_the_version_of_set_acl_is_aversion(client: Client, version: int, err: int) -> None:
    make(client, "/a")
    client.set_data("/a", b"")
    client.set_data("/a", b"")
    set_acl(client, "/a", world_acl(31))
    assert set_acl(client, "/a", OPEN, version).err == err


def test_the_log_has_the_aversion_that_results(world: World, client: Client) -> None:
    make(client, "/a")
    set_acl(client, "/a", READ_ONLY)
    assert world.log[-1].body == SetACLTxn("/a", READ_ONLY, 1)


@pytest.mark.parametrize(
    ("path", "acl", "err"),
    [
        (None, OPEN, -8),
        ("a", [], -8),  # the path before the list
        ("/a/", OPEN, -8),
        ("/none", [], -114),  # the list before existence
        ("/none", None, -114),
        ("/none", OPEN, -101),
        ("/r", [], -114),  # the list before the right
        ("/", OPEN, 0),
        ("/zookeeper", OPEN, 0),
        ("/zookeeper/quota", OPEN, 0),
        ("/zookeeper/config", OPEN, -102),
    ],
)
def test_the_checks_of_set_acl_have_their_order(
    client: Client, path: str | None, acl: list[ACL] | None, err: int
) -> None:
    make(client, "/r")
    set_acl(client, "/r", READ_ONLY)
    assert set_acl(client, path, acl, -1).err == err


def test_the_right_before_the_version(client: Client) -> None:
    make(client, "/r")
    set_acl(client, "/r", READ_ONLY)
    assert set_acl(client, "/r", OPEN, 9).err == -102


def test_a_set_acl_on_its_way_does_not_judge_yet(world: World, client: Client) -> None:
    """The original's own oddity: the old list counts until the new one is applied. Its aversion
    counts at once."""
    make(client, "/a")
    world.is_disk_held = True
    burst(
        client,
        (OpCode.SET_ACL, SetACLRequest("/a", READ_ONLY, 0)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", -1)),
        (OpCode.CREATE, create_request("/a/b")),
        (OpCode.SET_ACL, SetACLRequest("/a", READ_ONLY, 0)),
        (OpCode.SET_ACL, SetACLRequest("/a", READ_ONLY, 1)),
    )
    world.sync()
    assert [reply.err for reply in client.replies()] == [0, 0, 0, -103, 0]
    world.is_disk_held = False
    assert client.set_data("/a", b"x").err == -102


def test_a_list_of_a_create_on_its_way_does_judge(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(
        client,
        (OpCode.CREATE, CreateRequest("/a", b"", READ_ONLY, 0)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", -1)),
        (OpCode.SET_ACL, SetACLRequest("/a", OPEN, -1)),
        (OpCode.CREATE, create_request("/a/b")),
    )
    world.sync()
    assert [reply.err for reply in client.replies()] == [0, -102, -102, -102]


# --- fix-up: auth-acl-quota.md §6, §13 rows 1 to 10 ---------------------------------


def test_auth_without_an_authenticated_id_is_invalid(client: Client) -> None:
    """Row 1: the ip id does not count."""
    assert create_as(client, OpCode.CREATE, "/a", acl=[ACL(31, "auth", "")]).err == -114


@pytest.mark.parametrize("acl_id", ["", "ignored"])
def test_auth_becomes_the_digest_id(client: Client, acl_id: str) -> None:
    """Row 2."""
    authenticate(client, "bob:bobsecret")
    make(client, "/a", acl=[ACL(31, "auth", acl_id)])
    assert acl_of(client, "/a") == [ACL(31, "digest", BOB)]


def test_auth_becomes_every_digest_id(client: Client) -> None:
    """Row 3."""
    authenticate(client, "bob:bobsecret")
    authenticate(client, "user1:12345")
    make(client, "/a", acl=[ACL(1, "auth", ""), ACL(16, "auth", "")])
    assert acl_of(client, "/a") == [
        ACL(perms, "digest", name) for perms in (1, 16) for name in (BOB, USER1)
    ]


def test_exact_duplicates_are_dropped(client: Client) -> None:
    """Rows 4 and 5."""
    make(client, "/a", acl=OPEN + OPEN)
    assert acl_of(client, "/a") == OPEN
    make(client, "/b", acl=OPEN + READ_ONLY + OPEN)
    assert acl_of(client, "/b") == OPEN + READ_ONLY


def test_duplicates_made_by_the_expansion_stay(client: Client) -> None:
    authenticate(client, "bob:bobsecret")
    make(client, "/a", acl=[ACL(17, "digest", BOB), ACL(17, "auth", "")])
    assert acl_of(client, "/a") == [ACL(17, "digest", BOB)] * 2


@pytest.mark.parametrize(
    ("entry", "err"),
    [
        (ACL(31, "world", "anyone"), 0),
        (ACL(31, "world", "someone"), -114),
        (ACL(31, "world", ""), -114),
        (ACL(31, "digest", "bob"), -114),
        (ACL(31, "digest", "bob:"), -114),
        (ACL(31, "digest", ""), -114),
        (ACL(31, "digest", "a:b"), 0),
        (ACL(31, "digest", ":b"), 0),
        (ACL(31, "digest", "a:b:"), 0),
        (ACL(31, "digest", "a:b:c"), -114),
        (ACL(1, "ip", "10.0.0.0/8"), 0),
        (ACL(1, "ip", "10.0.0.0/32"), 0),
        (ACL(1, "ip", "10.0.0.0/33"), -114),
        (ACL(1, "ip", "10.0.0"), -114),
        (ACL(1, "ip", "10.0.0.256"), -114),
        (ACL(31, "sasl", "bob"), -114),
        (ACL(31, "super", ""), -114),
        (ACL(31, "x509", "CN=bob"), -114),
        (ACL(31, "foo", "bar"), -114),
        (ACL(31, None, "bar"), -114),
        (ACL(31, None, None), -114),
        (ACL(31, "world", None), -5),
        (ACL(31, "digest", None), -5),
        (ACL(0, "world", "anyone"), 0),
        (ACL(-1, "world", "anyone"), 0),
        (ACL(1 << 20, "world", "anyone"), 0),
    ],
)
def test_every_entry_is_judged(client: Client, entry: ACL, err: int) -> None:
    assert create_as(client, OpCode.CREATE, "/a", acl=[*OPEN, entry]).err == err
    make(client, "/b")
    assert set_acl(client, "/b", [*OPEN, entry]).err == err


@pytest.mark.parametrize("network", ["::1", "::1/64", "2001:db8::/32"])
def test_networks_of_ipv6_are_accepted(client: Client, network: str) -> None:
    """The original's ip scheme refuses them with -114 (§13 row 9); here they work."""
    make(client, "/a", acl=[*OPEN, ACL(1, "ip", network)])
    assert acl_of(client, "/a")[1] == ACL(1, "ip", network)


def test_perms_are_stored_as_they_are_given(client: Client) -> None:
    acl = [ACL(31, "world", "anyone"), ACL(0, "digest", "a:b"), ACL(-1, "digest", "a:b")]
    make(client, "/a", acl=acl)
    assert acl_of(client, "/a") == acl


# --- getACL: rows 11 to 13 ----------------------------------------------------------


def test_get_acl_answers_with_list_and_stat(client: Client) -> None:
    make(client, "/a")
    reply = client.call(OpCode.GET_ACL, PathRequest("/a"))
    record, end = GetACLResponse.decode(reply.body, 0, len(reply.body))
    assert (record.acl, end) == (OPEN, len(reply.body))
    assert record.stat == stat_of(client, "/a")
    assert client.call(OpCode.GET_ACL, PathRequest("/none")).err == -101
    assert acl_of(client, "/zookeeper/config") == READ_ONLY


def test_read_shows_masked_digests_and_admin_whole_ones(world: World, client: Client) -> None:
    acl = [ACL(1, "world", "anyone"), ACL(17, "digest", BOB), ACL(1, "digest", "a:b:")]
    make(client, "/a", acl=acl)
    assert acl_of(client, "/a") == [
        ACL(1, "world", "anyone"),
        ACL(17, "digest", "bob:x"),
        ACL(1, "digest", "a:x"),
    ]
    admin = world.connect()
    authenticate(admin, "bob:bobsecret")
    assert acl_of(admin, "/a") == acl


def test_admin_alone_may_get_the_list(world: World, client: Client) -> None:
    make(client, "/a", acl=[ACL(16, "digest", BOB)])
    authenticate(client, "bob:bobsecret")
    assert acl_of(client, "/a") == [ACL(16, "digest", BOB)]
    assert client.get_data("/a").err == -102


def test_neither_read_nor_admin_is_no_auth(client: Client) -> None:
    make(client, "/a", acl=world_acl(2 | 4 | 8))
    assert client.call(OpCode.GET_ACL, PathRequest("/a")).err == -102


def test_other_schemes_are_not_masked(client: Client) -> None:
    acl = [ACL(1, "world", "anyone"), ACL(1, "ip", "1.2.3.4/8")]
    make(client, "/a", acl=acl)
    assert acl_of(client, "/a") == acl


# --- which permission for which operation: §5 ---------------------------------------

Ask = Callable[[Client], Reply]

NEEDS: list[tuple[str, int, Ask]] = [
    ("create", Perms.CREATE, lambda c: c.create("/p/new")),
    ("create2", Perms.CREATE, lambda c: create_as(c, OpCode.CREATE2, "/p/new")),
    ("container", Perms.CREATE, lambda c: create_as(c, OpCode.CREATE_CONTAINER, "/p/new", 4)),
    ("delete a child", Perms.DELETE, lambda c: c.delete("/p/c")),
    ("setData", Perms.WRITE, lambda c: c.set_data("/p", b"")),
    ("setACL", Perms.ADMIN, lambda c: set_acl(c, "/p", OPEN)),
    ("exists", Perms.READ, lambda c: c.exists("/p")),
    ("getData", Perms.READ, lambda c: c.get_data("/p")),
    ("getChildren", Perms.READ, lambda c: c.get_children("/p")),
    (
        "getChildren2",
        Perms.READ,
        lambda c: c.call(OpCode.GET_CHILDREN2, PathRequest("/p").encode() + b"\0"),
    ),
    (
        "getAllChildrenNumber",
        Perms.READ,
        lambda c: c.call(OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest("/p")),
    ),
    ("getACL", Perms.READ | Perms.ADMIN, lambda c: c.call(OpCode.GET_ACL, PathRequest("/p"))),
]


@pytest.mark.parametrize(("name", "perms", "ask"), NEEDS, ids=[name for name, *_ in NEEDS])
@pytest.mark.parametrize("bit", [0, 1, 2, 4, 8, 16])
def test_an_operation_needs_its_permission_and_no_other(
    client: Client, name: str, perms: int, ask: Ask, bit: int
) -> None:
    make(client, "/p")
    make(client, "/p/c", acl=NOBODY)
    set_acl(client, "/p", world_acl(bit))
    assert ask(client).err == (0 if bit & perms else -102)


@pytest.mark.parametrize("bit", [0, 1, 2, 16])
def test_a_check_in_a_multi_needs_read(client: Client, bit: int) -> None:
    make(client, "/p", acl=world_acl(bit))
    reply = run_multi(client, (OpCode.CHECK, CheckVersionRequest("/p", 0)))
    assert errors(reply) == [0 if bit == 1 else -102]


def test_operations_that_ask_for_no_permission(client: Client) -> None:
    make(client, "/p", acl=NOBODY)
    assert client.call(OpCode.SYNC, PathRequest("/p")).err == 0
    assert add_watch(client, "/p", 0).err == 0
    assert [reply.err for reply in set_watches(client, 99, data=["/p"])] == [0]
    assert ephemerals_of(client, "/p") == []
    assert client.call(OpCode.WHO_AM_I).err == 0


def test_ancestors_do_not_matter_and_nothing_is_inherited(client: Client) -> None:
    make(client, "/p", "/p/q", "/p/q/r")
    set_acl(client, "/p", NOBODY)
    assert client.get_data("/p/q").err == 0
    make(client, "/p/q/s")
    assert acl_of(client, "/p/q/s") == OPEN


def test_a_list_with_perms_zero_is_unreadable(client: Client) -> None:
    """Row 27."""
    make(client, "/a", acl=world_acl(0))
    assert client.get_data("/a").err == -102


def test_ip_entries_match_the_peer_s_address(world: World) -> None:
    """Row 7."""
    near, far = world.connect("10.1.2.3"), world.connect("11.1.2.3")
    make(near, "/a", acl=[ACL(1, "ip", "10.0.0.0/8")])
    assert near.get_data("/a").err == 0
    assert far.get_data("/a").err == -102
    assert near.set_data("/a", b"").err == -102


def test_digest_ids_are_compared_as_text(client: Client) -> None:
    make(client, "/a", acl=[ACL(1, "digest", f"{BOB}:")])
    authenticate(client, "bob:bobsecret")
    assert client.get_data("/a").err == -102


def test_a_stored_entry_of_an_unknown_scheme_never_matches(client: Client) -> None:
    make(client, "/a")
    tree = client.world.tree
    tree.nodes["/a"].acl_id = tree.acls.intern((ACL(31, "sasl", "bob"),))
    assert client.get_data("/a").err == -102


def test_an_empty_stored_list_allows_everything(client: Client) -> None:
    make(client, "/a")
    tree = client.world.tree
    tree.nodes["/a"].acl_id = tree.acls.intern(())
    assert client.set_data("/a", b"x").err == 0


def test_skip_acl_allows_everything_but_still_judges_lists() -> None:
    client = World(ServerConfig(skip_acl=True)).connect()
    make(client, "/a", acl=NOBODY)
    assert client.get_data("/a").err == 0
    assert client.set_data("/zookeeper/config", b"").err == 0
    assert acl_of(client, "/a") == NOBODY
    assert set_acl(client, "/a", []).err == -114
