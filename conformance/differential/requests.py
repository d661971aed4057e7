"""Strategies for client requests: every operation, with arguments that are often nearly right.

Pure.

Paths come from a small set below a prefix that is fresh for each example, so that requests meet
each other's nodes.  What this server deliberately answers differently is not generated; see
conformance/known_differences.py.
"""

from __future__ import annotations

import base64
import hashlib

import attrs
from hypothesis import strategies as st

from conformance import secured, wire
from conformance.wire import Acl

PREFIX = "\x00prefix"
"""Stands for the example's own top node until the request is sent."""


def show(content: bytes | None) -> str:
    """Returns data as a history shows it, no longer than needed."""
    return f"{len(content)} bytes" if content is not None and len(content) > 20 else repr(content)


def digest_id(user_and_password: str) -> str:
    """Returns the id that a digest login becomes."""
    user = user_and_password.split(":")[0]
    hashed = hashlib.sha1(user_and_password.encode()).digest()
    return f"{user}:{base64.b64encode(hashed).decode()}"


SUPER = "super:secret"
LOGINS = ("alice:a", "bob:b")
ALICE, BOB = (digest_id(login) for login in LOGINS)


@attrs.frozen
class Request:
    """One request; `relative` is a zxid relative to the start of the example, put first."""

    op: str
    body: bytes = b""
    relative: int | None = None
    cut: int | None = None
    text: str = ""

    def bytes_for(self, prefix: str, base: int) -> bytes:
        """Returns the body to send, with this example's prefix and the server's zxids."""
        body = _rename(self.body, prefix)
        if self.relative is not None:
            body = wire.i64(base + self.relative) + body
        return body if self.cut is None else body[: self.cut]

    def __repr__(self) -> str:
        cut = "" if self.cut is None else f" cut after {self.cut} bytes"
        return f"{self.op}({self.text}){cut}"


def _rename(body: bytes, prefix: str) -> bytes:
    """Replaces the placeholder in all texts; both have the same length, so lengths stay right."""
    new = prefix.encode()
    old = ("/" + PREFIX[1:]).encode()
    assert len(new) == len(old), prefix
    return body.replace(old, new)


def example_prefix(number: int) -> str:
    """Returns the name of the top node of an example."""
    return f"/{number:06d}"


_TOP = "/" + PREFIX[1:]
_names = st.sampled_from(["a", "b", "c"])
good_paths = st.one_of(
    _names.map(lambda a: f"{_TOP}/{a}"),
    _names.map(lambda a: f"{_TOP}/{a}"),
    st.tuples(_names, _names).map(lambda p: f"{_TOP}/{p[0]}/{p[1]}"),
    st.tuples(_names, _names, _names).map(lambda p: f"{_TOP}/{p[0]}/{p[1]}/{p[2]}"),
    st.just(_TOP),
    _names.map(lambda a: f"{_TOP}/{a}0000000000"),
    _names.map(lambda a: f"{_TOP}/{a}0000000001"),
)
_quota = f"/zookeeper/quota{_TOP}"
bad_paths: st.SearchStrategy[str | None] = st.sampled_from(
    [
        None,
        "",
        _TOP[1:],
        f"{_TOP}/",
        f"{_TOP}/a/",
        f"{_TOP}//a",
        f"{_TOP}/./a",
        f"{_TOP}/a/..",
        f"{_TOP}/...",
        f"{_TOP}/\x01",
        f"{_TOP}/\x00",
        f"{_TOP}/\x7f",
        f"{_TOP}/\ue000",
        f"{_TOP}/\ufff0",
        f"{_TOP}/ä",
        f"{_TOP}/\U0001f600",
        f"{_TOP}/ ",
        "a/b",
    ]
)
system_paths = st.sampled_from(["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"])
write_paths: st.SearchStrategy[str | None] = st.one_of(
    good_paths, good_paths, good_paths, good_paths, bad_paths
)
read_paths: st.SearchStrategy[str | None] = st.one_of(
    good_paths, good_paths, good_paths, good_paths, bad_paths, system_paths
)
versions = st.sampled_from([-1, -1, -1, -1, 0, 0, 1, 2, 5, -2])
data: st.SearchStrategy[bytes | None] = st.sampled_from([b"", b"x", b"some data", None, bytes(300)])
acls: st.SearchStrategy[tuple[Acl, ...] | None] = st.sampled_from(
    [
        *[wire.OPEN] * 9,
        (Acl(31, "auth", ""),),
        (Acl(31, "digest", ALICE),),
        (Acl(31, "digest", ALICE), Acl(1, "world", "anyone")),
        (Acl(31, "digest", BOB), Acl(31, "digest", BOB)),
        (Acl(1, "world", "anyone"),),
        (Acl(15, "world", "anyone"),),
        (Acl(30, "world", "anyone"),),
        (Acl(16, "world", "anyone"), Acl(4, "ip", "127.0.0.1")),
        (Acl(31, "ip", "127.0.0.0/8"),),
        (Acl(31, "ip", "10.0.0.0/8"), Acl(16, "world", "anyone")),
        (Acl(0, "world", "anyone"), Acl(16, "auth", "ignored")),
        (Acl(99, "world", "anyone"),),
        (),
        None,
        (Acl(31, "digest", "alice"),),
        (Acl(31, "world", "everyone"),),
        (Acl(31, "ip", "127.0.0.1/33"),),
        (Acl(31, "nosuch", "x"),),
        (Acl(31, None, "x"),),
        (Acl(31, "world", None),),
    ]
)
flags = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 9, -1])


@st.composite
def creates(draw: st.DrawFn) -> Request:
    """create, create2, createContainer and createTTL."""
    op = draw(st.sampled_from(["create", "create", "create", "create2", "createContainer"]))
    path, content, acl = draw(write_paths), draw(data), draw(acls)
    mode = draw(st.just(4) | flags) if op == "createContainer" else draw(flags)
    if path is not None and path.rsplit("/", 1)[0] == "" and path != _TOP:
        path = f"{_TOP}/a"
    text = f"{path!r}, {show(content)}, {acl}, {mode}"
    return Request(op, wire.create(path, content, acl, mode), text=text)


@st.composite
def ttl_creates(draw: st.DrawFn) -> Request:
    """createTTL; flags without a TTL only with a time to live that the original survives."""
    path, content = draw(write_paths), draw(data)
    mode = draw(st.sampled_from([5, 5, 6, 0, 2]))
    ttl = draw(st.sampled_from([100000, 0xFFFFFFFFFF, 0x10000000000, 0]))
    if mode >= 5:
        ttl = draw(st.just(ttl) | st.just(-1))
    text = f"{path!r}, {show(content)}, open, {mode}, {ttl}"
    return Request("createTTL", wire.create_ttl(path, content, wire.OPEN, mode, ttl), text=text)


@st.composite
def writes(draw: st.DrawFn) -> Request:
    """delete, setData and setACL."""
    op = draw(st.sampled_from(["delete", "delete", "setData", "setData", "setACL"]))
    path, version = draw(write_paths), draw(versions)
    if op == "delete":
        path = draw(st.just(path) | system_paths)
        return Request(op, wire.path_version(path, version), text=f"{path!r}, {version}")
    if op == "setData":
        content = draw(data)
        body = wire.set_data(path, content, version)
        return Request(op, body, text=f"{path!r}, {show(content)}, {version}")
    acl = draw(acls)
    return Request(op, wire.set_acl(path, acl, version), text=f"{path!r}, {acl}, {version}")


@st.composite
def reads(draw: st.DrawFn) -> Request:
    """All reads, with and without a watch."""
    path, watch = draw(read_paths), draw(st.booleans())
    watched = ["exists", "getData", "getChildren", "getChildren2"]
    plain = ["getACL", "sync", "getEphemerals", "getAllChildrenNumber"]
    op = draw(st.sampled_from(watched * 2 + plain))
    if op in plain:
        return Request(op, wire.string(path), text=repr(path))
    return Request(op, wire.path_watch(path, watch), text=f"{path!r}, {watch}")


@st.composite
def watches(draw: st.DrawFn) -> Request:
    """addWatch, checkWatches and removeWatches."""
    op = draw(st.sampled_from(["addWatch", "addWatch", "checkWatches", "removeWatches"]))
    path = draw(read_paths)
    wanted = [0, 0, 1, 1, 2, -1] if op == "addWatch" else [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0, 6]
    kind = draw(st.sampled_from(wanted))
    return Request(op, wire.string(path) + wire.i32(kind), text=f"{path!r}, {kind}")


@st.composite
def set_watches(draw: st.DrawFn) -> Request:
    """setWatches and setWatches2, as a client sends them after it came back."""
    op = draw(st.sampled_from(["setWatches", "setWatches2"]))
    relative = draw(st.integers(-1, 20))
    paths = st.lists(good_paths, max_size=3)
    count = 3 if op == "setWatches" else 5
    lists: list[list[str] | None] = [draw(paths) for _ in range(count)]
    if draw(st.integers(0, 15)) == 0:
        lists[draw(st.integers(0, count - 1))] = None
    body = b"".join(wire.strings(values) for values in lists)
    return Request(op, body, relative=relative, text=f"{relative}, {lists}")


def _quota_node(name: str, data: bytes) -> Request:
    path = f"{_quota}/{name}" if name else _quota
    return Request("create", wire.create(path, data), text=f"{path!r}, {data!r}")


QUOTA_NODES = (
    _quota_node("", b""),
    _quota_node("zookeeper_limits", b"count=-1,bytes=12=;byteHardLimit=30;countHardLimit=5"),
    _quota_node("zookeeper_stats", b"count=0,bytes=0"),
)
"""A hard quota on the example's tree, as zkCli makes it."""

_inside_multi = {"create", "create2", "createContainer", "createTTL", "delete", "setData"}


@st.composite
def checks(draw: st.DrawFn) -> Request:
    """check, which is legal only inside a multi."""
    path, version = draw(write_paths), draw(versions)
    return Request("check", wire.path_version(path, version), text=f"{path!r}, {version}")


multi_parts = st.one_of(
    creates(), ttl_creates(), writes().filter(lambda r: r.op in _inside_multi), checks()
)
good_parts = st.one_of(
    good_paths.map(lambda p: Request("create", wire.create(p), text=repr(p))),
    good_paths.map(lambda p: Request("create", wire.create(p, flags=2), text=f"{p!r}, seq")),
    good_paths.map(lambda p: Request("create2", wire.create(p), text=repr(p))),
    good_paths.map(lambda p: Request("setData", wire.set_data(p, b"m"), text=repr(p))),
    good_paths.map(lambda p: Request("delete", wire.path_version(p), text=repr(p))),
)


def _joined(op: str, parts: list[Request]) -> Request:
    body = wire.multi([(wire.OPS[part.op], part.body) for part in parts])
    return Request(op, body, text=", ".join(map(repr, parts)))


@st.composite
def multis(draw: st.DrawFn) -> Request:
    """multi and multiRead, also with operations of the wrong sort."""
    if draw(st.integers(0, 3)) == 0:
        sort = st.sampled_from(["getData", "getChildren"])
        parts = []
        for _ in range(draw(st.integers(0, 4))):
            path = draw(read_paths.filter(lambda path: path is not None))
            watch, op = draw(st.booleans()), draw(sort)
            parts.append(Request(op, wire.path_watch(path, watch), text=f"{path!r}, {watch}"))
        if draw(st.integers(0, 9)) == 0:
            parts.append(draw(multi_parts))
        return _joined("multiRead", parts)
    sort_of = draw(st.sampled_from([multi_parts, good_parts, good_parts]))
    return _joined("multi", draw(st.lists(sort_of, max_size=5)))


@st.composite
def quotas(draw: st.DrawFn) -> Request:
    """Quota nodes for this example's tree."""
    limits = draw(st.sampled_from(["count=3,bytes=20", "count=-1,bytes=-1;byteHardLimit=10"]))
    top = _quota
    action = draw(st.sampled_from(["node", "limits", "stats", "get", "delete"]))
    if action == "node":
        return Request("create", wire.create(top), text=repr(top))
    if action == "limits":
        path = f"{top}/zookeeper_limits"
        body = wire.create(path, limits.encode())
        return Request("create", body, text=f"{path!r}, {limits}")
    path = f"{top}/zookeeper_stats"
    if action == "stats":
        body = wire.create(path, b"count=0,bytes=0")
        return Request("create", body, text=f"{path!r}, count=0,bytes=0")
    if action == "get":
        return Request("getData", wire.path_watch(path), text=repr(path))
    return Request("delete", wire.path_version(path), text=repr(path))


def _effective() -> list[Request]:
    """Requests that mostly succeed once there are nodes: one drawn number picks one of them."""
    paths = [f"{_TOP}/{name}" for name in ("a", "b", "a/b", "a/c", "c")]
    rights = [wire.OPEN, (Acl(1, "world", "anyone"), Acl(16, "world", "anyone"))]
    rights += [(Acl(31, "digest", ALICE),), (Acl(31, "auth", ""),), (Acl(30, "world", "anyone"),)]
    found: list[Request] = []

    def add(op: str, body: bytes, text: str) -> None:
        found.append(Request(op, body, text=text))

    for path in paths:
        for mode in (0, 0, 1, 2, 3):
            op = "create2" if mode == 2 else "create"
            add(op, wire.create(path, b"new", flags=mode), f"{path!r}, open, {mode}")
        add("createContainer", wire.create(path, flags=4), repr(path))
        add("createTTL", wire.create_ttl(path, b"", wire.OPEN, 5, 10**7), f"{path!r}, 5, 10**7")
        for version in (-1, -1, 0, 1):
            add("delete", wire.path_version(path, version), f"{path!r}, {version}")
            add("setData", wire.set_data(path, b"set", version), f"{path!r}, set, {version}")
        for acl in rights:
            add("setACL", wire.set_acl(path, acl), f"{path!r}, {acl}, -1")
            add("create", wire.create(path, b"", acl), f"{path!r}, {acl}, 0")
    for path in (_TOP, *paths, *paths):
        for op in ("exists", "getData", "getChildren", "getChildren2"):
            add(op, wire.path_watch(path, True), f"{path!r}, True")
        for op in ("getACL", "getAllChildrenNumber", "getEphemerals"):
            add(op, wire.string(path), repr(path))
        for mode in (0, 1):
            add("addWatch", wire.string(path) + wire.i32(mode), f"{path!r}, {mode}")
        for kind in (1, 2, 3, 4, 5):
            op = "removeWatches" if kind % 2 else "checkWatches"
            add(op, wire.string(path) + wire.i32(kind), f"{path!r}, {kind}")
    return found


effective_requests = st.sampled_from(_effective())
in_order = st.lists(effective_requests, min_size=2, max_size=8)
effective_multis = st.lists(
    effective_requests.filter(lambda request: request.op in _inside_multi), min_size=1, max_size=4
).map(lambda parts: _joined("multi", parts))

plain_requests = st.one_of(
    creates(),
    creates(),
    creates(),
    ttl_creates(),
    writes(),
    writes(),
    reads(),
    reads(),
    watches(),
    set_watches(),
    multis(),
    multis(),
    quotas(),
    st.sampled_from(
        [
            Request("ping"),
            Request("whoAmI"),
            Request("reconfig", wire.string("x") * 3 + wire.i64(-1)),
        ]
    ),
)


@st.composite
def malformed(draw: st.DrawFn) -> Request:
    """A request that ends too early, or has bytes too many."""
    whole: Request = draw(plain_requests.filter(lambda r: bool(r.body)))
    size = len(whole.body) + (8 if whole.relative is not None else 0)
    if draw(st.integers(0, 4)) == 0:
        return attrs.evolve(whole, body=whole.body + b"extra", text=f"{whole.text} and extra bytes")
    return attrs.evolve(whole, cut=draw(st.integers(0, size - 1)))


auths = st.one_of(
    st.sampled_from(LOGINS).map(
        lambda login: Request("auth", wire.auth("digest", login.encode()), text=login)
    ),
    st.just(Request("auth", wire.auth("digest", SUPER.encode()), text="super")),
    st.just(Request("auth", wire.auth("ip", b"127.0.0.1"), text="ip")),
)
SASL_LOGINS = (
    *secured.USERS.items(),
    ("alice", "wrong"),
    ("eve", "a-secret"),
)


def _protected() -> list[Request]:
    """Requests about nodes that are for those with certain certificates or logins."""
    ids = [
        *(("x509", name) for name in ("CN=alice", "CN=bob", "cn=alice", "CN=eve,O=x", "none", "")),
        *(("sasl", name) for name in ("alice", "bob", "eve@REALM", "eve/host@REALM", "a/b/c", "")),
        *(("auth", ""), ("super", "CN=alice")),
    ]
    found = []
    for path in (f"{_TOP}/a", f"{_TOP}/b"):
        for scheme, name in ids:
            for rights in (
                (Acl(31, scheme, name),),
                (Acl(1, "world", "anyone"), Acl(30, scheme, name)),
            ):
                for op, body in (
                    ("create", wire.create(path, b"own", rights)),
                    ("setACL", wire.set_acl(path, rights)),
                ):
                    found.append(Request(op, body, text=f"{path!r}, {rights}"))
        for _ in range(len(ids)):
            found.append(Request("getData", wire.path_watch(path), text=repr(path)))
            found.append(Request("getACL", wire.string(path), text=repr(path)))
            found.append(Request("setData", wire.set_data(path, b"set", -1), text=repr(path)))
        found.append(Request("delete", wire.path_version(path, -1), text=repr(path)))
    return [*found, *[Request("whoAmI")] * 4]


protected = st.lists(st.sampled_from(_protected()), min_size=2, max_size=8)
out_of_band = st.one_of(
    st.just(Request("sasl", wire.buffer(b"token"), text="token")),
    st.just(Request("sasl", wire.buffer(None), text="none")),
)
ending = st.sampled_from(
    [
        Request("notification"),
        Request("check", wire.path_version("/")),
        Request("unknown"),
        Request("auth", wire.auth("nosuch", b"x"), text="nosuch"),
        Request("auth", wire.auth("digest", b"x")[:-3], text="cut"),
        Request("sasl", b"\0", text="cut"),
    ]
)
