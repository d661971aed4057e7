"""Znodes as the console shows them, to who may read them and to who may not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pyzk.admin.console import nodes
from pyzk.admin.console.listing import SHORT, Listings, done
from pyzk.constants import CreateMode, OpCode
from pyzk.data.node import DataNode
from pyzk.errors import BadArguments, NoAuth, NoNode
from pyzk.jute.records import ACL, CreateRequest, CreateTTLRequest
from tests.admin.console.looking import BOB, bob, children, names, who, with_tree, world
from tests.frames import OPEN


def data_of(view: Any) -> bytes:
    return base64.b64decode(view["base64"])


def test_a_znode_is_shown_with_all_it_has() -> None:
    made = with_tree()
    view: Any = nodes.node_view(made.tree, who(made), "/open")
    assert (view["path"], view["perms"], view["readable"]) == ("/open", "cdrwa", True)
    assert data_of(view["data"]) == b"hello"
    assert view["acl"] == [{"scheme": "world", "id": "anyone", "perms": "cdrwa"}]
    stat = view["stat"]
    assert (stat["version"], stat["cversion"], stat["numChildren"]) == (0, 6, 6)
    assert (stat["czxid"], stat["dataLength"], stat["kind"]) == ("0x2", 5, "persistent")
    assert stat["ephemeralOwner"] == "0x0"


def test_what_an_acl_forbids_is_not_shown() -> None:
    made = with_tree()
    with pytest.raises(NoAuth):
        nodes.node_view(made.tree, who(made), "/bob")
    with pytest.raises(NoAuth):
        nodes.data_view(made.tree, who(made), "/bob", 0, 10)
    with pytest.raises(NoAuth):
        children(made, who(made), "/bob")
    assert nodes.tokens_view(made.tree, who(made), ["/bob", "/open"])["/bob"] is None
    view: Any = nodes.node_view(made.tree, who(made, "bob:secret"), "/bob")
    assert data_of(view["data"]) == b"secret"


def test_a_child_that_may_not_be_read_is_a_name() -> None:
    made = with_tree()
    rows: Any = children(made, who(made), "/open")["rows"]
    by_name = {row["name"]: row for row in rows}
    assert by_name["bob"] == {"name": "bob", "locked": True}
    assert by_name["a"] == {"name": "a", "children": 0, "bytes": 1, "kind": "persistent"}


def test_hashes_are_for_who_may_administrate() -> None:
    made = with_tree()
    seen: Any = nodes.node_view(made.tree, who(made), "/shown")
    assert seen["acl"][0] == {"scheme": "digest", "id": "bob:x", "perms": "a"}
    assert seen["aclMasked"] is True
    whole: Any = nodes.node_view(made.tree, who(made, "bob:secret"), "/shown")
    assert whole["acl"][0]["id"] == BOB
    assert whole["aclMasked"] is False


def test_who_may_only_administrate_sees_the_acl_and_no_data() -> None:
    made = world()
    client = bob(made)
    client.create("/a", b"data", acl=[ACL(16, "world", "anyone")])
    view: Any = nodes.node_view(made.tree, who(made), "/a")
    assert view["readable"] is False
    assert "data" not in view
    assert view["childrenToken"] is None
    assert view["acl"] == [{"scheme": "world", "id": "anyone", "perms": "a"}]
    assert made.server.role.mode == "standalone"


def test_a_znode_that_is_not_there_is_said_to_be_missing() -> None:
    made = with_tree()
    for path in ("/none", "", "open", "/open/", "//open", "/open/../open", "/open/a/b"):
        with pytest.raises(NoNode):
            nodes.node_view(made.tree, who(made), path)
        with pytest.raises(NoNode):
            children(made, who(made), path)


def test_large_data_come_in_pieces() -> None:
    made = world()
    data = bytes(range(256)) * 4000
    bob(made).create("/large", data)
    first: Any = nodes.node_view(made.tree, who(made), "/large")
    assert first["data"]["length"] == len(data)
    assert data_of(first["data"]) == data[: nodes.FIRST_BYTES]
    found, offset = b"", 0
    while offset < len(data):
        piece: Any = nodes.data_view(made.tree, who(made), "/large", offset, 1 << 30)
        assert len(json.dumps(piece)) < 400_000
        assert piece["token"] == first["token"]
        found += data_of(piece)
        offset = len(found)
    assert found == data
    assert data_of(nodes.data_view(made.tree, who(made), "/large", offset, 10)) == b""
    for offset, length in ((-1, 10), (0, 0), (0, -5)):
        with pytest.raises(BadArguments):
            nodes.data_view(made.tree, who(made), "/large", offset, length)


def test_null_data_are_not_empty_data() -> None:
    made = world()
    bob(made).create("/null", None)
    view: Any = nodes.node_view(made.tree, who(made), "/null")
    assert view["data"] == {"null": True, "length": 0, "offset": 0, "base64": ""}


def test_the_kind_of_a_znode_is_told() -> None:
    made = world()
    client = bob(made)
    client.create("/ephemeral", b"", flags=CreateMode.EPHEMERAL)
    container = CreateRequest("/container", b"", OPEN, CreateMode.CONTAINER)
    client.call(OpCode.CREATE_CONTAINER, container)
    client.call(OpCode.CREATE_TTL, CreateTTLRequest("/ttl", b"", OPEN, 5, 7000))
    stats: dict[str, Any] = {
        name: nodes.node_view(made.tree, who(made), f"/{name}")["stat"]
        for name in ("ephemeral", "container", "ttl")
    }
    assert {name: stat["kind"] for name, stat in stats.items()} == {
        name: name for name in ("ephemeral", "container", "ttl")
    }
    assert stats["ephemeral"]["ephemeralOwner"] == f"{client.session_id:#x}"
    assert stats["ttl"]["ttlMs"] == 7000
    assert stats["ttl"]["ephemeralOwner"] == stats["container"]["ephemeralOwner"] == "0x0"


# --- children -------------------------------------------------------------------------


def test_children_are_in_the_order_of_their_names() -> None:
    made = with_tree()
    view = children(made, who(made), "/open")
    assert names(view) == ["a", "b", "bob", "c", "d", "e"]
    assert (view["total"], view["of"], view["start"]) == (6, 6, 0)
    assert names(children(made, who(made), "/"))[0] == "bob"


def test_a_window_of_the_children_is_answered() -> None:
    made = with_tree()
    assert names(children(made, who(made), "/open", 2, count=2)) == ["bob", "c"]
    assert names(children(made, who(made), "/open", 5, count=9)) == ["e"]
    assert names(children(made, who(made), "/open", 99)) == []
    assert names(children(made, who(made), "/open", -5, count=1)) == ["a"]
    assert names(children(made, who(made), "/open", 0, count=-1)) == []
    assert children(made, who(made), "/open/a")["rows"] == []


def test_a_filter_leaves_the_names_that_have_a_text() -> None:
    made = with_tree()
    view = children(made, who(made), "/open", filter="b")
    assert names(view) == ["b", "bob"]
    assert (view["total"], view["of"]) == (2, 6)
    assert names(children(made, who(made), "/open", filter="open")) == []


def test_places_are_told_by_name() -> None:
    made = with_tree()
    view = children(made, who(made), "/open", count=0, locate=["c", "none", "a/b", ""])
    assert view["located"] == {"c": 3, "none": None, "a/b": None, "": None}
    assert children(made, who(made), "/open/a", locate=["x"])["located"] == {"x": None}
    assert children(made, who(made), "/", locate=["open"])["located"] == {"open": 1}


def test_a_token_tells_a_change_of_the_children() -> None:
    made = with_tree()
    client = bob(made)
    tokens = [children(made, who(made), "/open")["token"]]
    client.create("/open/f", b"")
    tokens.append(children(made, who(made), "/open")["token"])
    client.delete("/open/f")
    tokens.append(children(made, who(made), "/open")["token"])
    client.delete("/open/e")
    client.create("/open/e", b"")
    tokens.append(children(made, who(made), "/open")["token"])
    assert len(set(tokens)) == len(tokens)


def test_a_token_tells_a_change_of_data_or_acl() -> None:
    made = with_tree()
    client = bob(made)

    def token() -> Any:
        view: Any = nodes.tokens_view(made.tree, who(made), ["/open", "/none"])
        assert view["/none"] is None
        assert view["/open"][0] == nodes.node_view(made.tree, who(made), "/open")["token"]
        return view["/open"][0]

    before = token()
    client.set_data("/open", b"hello")
    after = token()
    assert before != after
    client.create("/open/x", b"")
    assert token() == after


def many(count: int) -> Any:
    made = world()
    for path in ["/many", *(f"/many/{number:06d}" for number in range(count))]:
        made.tree.load_node(path, DataNode(b"", -1))
    return made


def test_a_long_list_is_sorted_once() -> None:
    made = many(SHORT + 10)
    listings = Listings()

    def window(start: int, filter: str = "") -> Any:
        wanted = nodes.Window("/many", start, 2, filter)
        return nodes.children(made.tree, who(made), wanted, listings, 0)

    assert names(done(window(0))) == ["000000", "000001"]
    with pytest.raises(StopIteration) as answered:
        next(window(4000))  # without a piece of work
    assert names(answered.value.value) == ["004000", "004001"]
    assert names(done(window(0, "99"))) == ["000099", "000199"]
    with pytest.raises(StopIteration) as answered:
        next(window(1, "99"))
    assert names(answered.value.value) == ["000199", "000299"]


def test_a_long_list_that_has_changed_says_so_for_a_moment() -> None:
    made = many(SHORT + 10)
    listings = Listings()
    wanted = nodes.Window("/many", 0, 1)
    done(nodes.children(made.tree, who(made), wanted, listings, 0))
    made.tree.nodes["/many"].pzxid += 1
    made.tree.load_node("/many/!", DataNode(b"", -1))
    late = done(nodes.children(made.tree, who(made), wanted, listings, 1000))
    assert (late["isBehind"], names(late)) == (True, ["000000"])
    fresh = done(nodes.children(made.tree, who(made), wanted, listings, 5000))
    assert (fresh["isBehind"], names(fresh)) == (False, ["!"])


def test_children_that_go_meanwhile_are_said_to_be_gone() -> None:
    made = many(SHORT + 10)
    work = nodes.children(made.tree, who(made), nodes.Window("/many", 0, 1), Listings(), 0)
    next(work)
    del made.tree.nodes["/many/000000"]
    assert done(work)["rows"] == [{"name": "000000", "gone": True}]


def test_long_names_do_not_make_a_long_answer() -> None:
    made = world()
    long = [chr(0x4E00 + at) * 40_000 for at in range(30)]
    for name in [*long, "z" * 4097, "z" * 4096]:
        made.tree.load_node(f"/{name}", DataNode(b"", -1))
    view: Any = children(made, who(made), "/")
    assert len(json.dumps(view)) < 1 << 20
    assert view["total"] == 33
    by_length = {row["cut"] for row in view["rows"] if "cut" in row}
    assert by_length <= {40_000, 4097}
    found = 0
    while found < 33:
        rows: Any = children(made, who(made), "/", found)["rows"]
        assert rows
        found += len(rows)


def test_hostile_names_are_told_as_they_are() -> None:
    made = world()
    hostile = ['<script src=x>alert("x")<', "a\u202eb", "\u2028", "\x00\x1b[31m", "%2e%2e", ".."]
    for name in hostile:
        made.tree.load_node(f"/{name}", DataNode(b"<img src=x onerror=alert(1)>", -1))
    told = json.loads(json.dumps(children(made, who(made), "/")))
    assert set(names(told)) >= set(hostile)
    for name in hostile:
        assert nodes.node_view(made.tree, who(made), f"/{name}")["path"] == f"/{name}"


def test_a_long_acl_does_not_make_a_long_answer() -> None:
    made = world()
    entries = tuple(ACL(31, "ip", f"10.0.{at // 250}.{at % 250}") for at in range(5000))
    node = DataNode(b"", made.tree.acls.intern((*entries, ACL(31, "world", "anyone"))))
    made.tree.load_node("/a", node)
    huge = (ACL(31, "digest", "\u4e00" * 300_000), ACL(31, "world", "anyone"))
    made.tree.load_node("/b", DataNode(b"", made.tree.acls.intern(huge)))
    view: Any = nodes.node_view(made.tree, who(made), "/a")
    assert (len(view["acl"]), view["aclLength"]) == (nodes.SHOWN_ACL, 5001)
    assert len(json.dumps(nodes.node_view(made.tree, who(made), "/b"))) < 100_000
