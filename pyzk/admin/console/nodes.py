"""Znodes as the console shows them: one with all it has, a piece of its data, its children.

Pure. What a visitor may not read is left out, as a client would get NoAuth. A list of children is
in the order of their names, and only a window of it is answered: `listing` has the whole.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from pyzk.admin.console import Json, View
from pyzk.admin.console.listing import SHORT, Listing, Listings, Work, containing, index_of, sort
from pyzk.admin.console.visitor import letters
from pyzk.auth.access import mask_digest_ids
from pyzk.constants import CONTAINER_OWNER, Perms
from pyzk.data.node import to_int32
from pyzk.data.paths import ROOT
from pyzk.errors import BadArguments, NoAuth, NoNode
from pyzk.int64 import hex_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyzk.admin.console.visitor import Visitor
    from pyzk.data.node import DataNode
    from pyzk.data.tree import DataTree
    from pyzk.jute.records import ACL

FIRST_BYTES: Final = 1 << 16
"""The bytes of data that come with a znode; the rest is asked for."""
PIECE_BYTES: Final = 1 << 18
"""The most bytes of data in one answer, a third more as base64."""
WINDOW: Final = 500
"""The most children in one answer."""
WINDOW_CHARS: Final = 1 << 16
"""After so many characters of names an answer is full; JSON may make twelve bytes of one."""
NAME_CHARS: Final = 4096
"""The characters that are shown of a name."""
SHOWN_ACL: Final = 1000
"""The entries that are shown of an ACL."""
LOCATED: Final = 500
"""The most names whose place is asked for at once."""
TOKENS: Final = 100
"""The most znodes that are looked at for a change at once."""


def find(tree: DataTree, path: str) -> DataNode:
    """Return a znode. Raises NoNode."""
    node = tree.nodes.get(path)
    if node is None:
        raise NoNode(path)
    return node


def _count(node: DataNode) -> int:
    return 0 if node.children is None else len(node.children.names)


def children_token(node: DataNode) -> str:
    """Return a text that is another one after each change of the list of children."""
    return f"{node.czxid:x}.{node.pzxid:x}.{node.cversion}.{_count(node)}"


def node_token(node: DataNode) -> str:
    """Return a text that is another one after each change of the data or the ACL."""
    return f"{node.czxid:x}.{node.mzxid:x}.{node.version}.{node.aversion}"


def kind_of(tree: DataTree, node: DataNode) -> str:
    """Return what kind of znode this is."""
    if node.is_owned:
        return "ephemeral"
    if node.ephemeral_owner == CONTAINER_OWNER:
        return "container"
    return "ttl" if tree.is_ttl_owner(node.ephemeral_owner) else "persistent"


def stat_view(tree: DataTree, node: DataNode) -> View:
    """Return the Stat of a znode, and beside it what the Stat does not say of its kind."""
    count = _count(node)
    view: View = {
        "czxid": hex_id(node.czxid),
        "mzxid": hex_id(node.mzxid),
        "pzxid": hex_id(node.pzxid),
        "ctime": node.ctime,
        "mtime": node.mtime,
        "version": node.version,
        "cversion": to_int32(2 * node.cversion - count),
        "aversion": node.aversion,
        "ephemeralOwner": hex_id(node.shown_owner),
        "dataLength": len(node.data or b""),
        "numChildren": count,
    }
    kind = kind_of(tree, node)
    view["kind"] = kind
    if kind == "ttl":
        view["ttlMs"] = tree.ttl_ms(node)
    return view


def node_view(tree: DataTree, visitor: Visitor, path: str) -> View:
    """Return everything about one znode that the visitor may read. Raises NoNode, and NoAuth for
    who may read neither the znode nor its ACL."""
    node = find(tree, path)
    view: View = {"path": path, "perms": visitor.perms_on(node)}
    may_read = visitor.may(node, Perms.READ)
    if not visitor.may(node, Perms.READ | Perms.ADMIN):
        raise NoAuth(path)
    is_admin = visitor.may(node, Perms.ADMIN)
    acl = tree.acls.get(node.acl_id)
    first = list(acl[:SHOWN_ACL])
    shown = first if is_admin else mask_digest_ids(first)
    view["acl"] = _entries(shown)
    view["aclLength"] = len(acl)
    view["aclMasked"] = shown != first
    view["stat"] = stat_view(tree, node)  # getACL answers with it, too
    view["token"] = node_token(node)
    view["childrenToken"] = children_token(node) if may_read else None
    view["readable"] = may_read
    if may_read:
        view["data"] = _piece(node, 0, FIRST_BYTES)
    return view


def _entries(acl: list[ACL]) -> list[Json]:
    """Return the entries of an ACL, as many as fit into an answer."""
    entries: list[Json] = []
    left = WINDOW_CHARS
    for each in acl:
        scheme, acl_id = (each.scheme or "")[:NAME_CHARS], (each.id or "")[:NAME_CHARS]
        left -= len(scheme) + len(acl_id)
        if left < 0:
            break
        entries.append({"scheme": scheme, "id": acl_id, "perms": letters(each.perms)})
    return entries


def data_view(tree: DataTree, visitor: Visitor, path: str, offset: int, length: int) -> View:
    """Return a piece of a znode's data. Raises NoNode, NoAuth, and BadArguments for a piece that
    begins nowhere."""
    node = find(tree, path)
    if not visitor.may(node, Perms.READ):
        raise NoAuth(path)
    if offset < 0 or length < 1:
        raise BadArguments(f"no piece of data: {length} bytes from {offset} on")
    return _piece(node, offset, min(length, PIECE_BYTES)) | {"token": node_token(node)}


def _piece(node: DataNode, offset: int, length: int) -> View:
    data = node.data
    if data is None:
        return {"null": True, "length": 0, "offset": 0, "base64": ""}
    part = data[offset : offset + length]
    encoded = base64.b64encode(part).decode("ascii")
    return {"null": False, "length": len(data), "offset": offset, "base64": encoded}


def tokens_view(tree: DataTree, visitor: Visitor, paths: Sequence[str]) -> View:
    """Return for each path what shows its changes: a text for the znode and one for its children;
    None for one that is not there, or may not be read."""
    view: View = {}
    for path in paths[:TOKENS]:
        node = tree.nodes.get(path)
        if node is None or not visitor.may(node, Perms.READ):
            view[path] = None
        else:
            view[path] = [node_token(node), children_token(node)]
    return view


# --- children -------------------------------------------------------------------------


class Window:
    """Which part of a list of children is wanted."""

    __slots__ = ("count", "filter", "locate", "path", "start")

    def __init__(
        self, path: str, start: int, count: int, filter: str = "", locate: Sequence[str] = ()
    ) -> None:
        self.path = path
        self.start = max(0, start)
        self.count = min(max(0, count), WINDOW)
        self.filter = filter
        """A text that each name must have."""
        self.locate = locate[:LOCATED]
        """Names whose places in the list are asked for."""


def children(
    tree: DataTree, visitor: Visitor, window: Window, listings: Listings, now_ms: int
) -> Work[View]:
    """Return a part of the children of a znode, in the order of their names. Raises NoNode, and
    NoAuth without READ on the znode."""
    path = window.path
    node = find(tree, path)
    if not visitor.may(node, Perms.READ):
        raise NoAuth(path)
    token = children_token(node)
    listing = listings.find(path, token, now_ms)
    if listing is None:
        # The paths are there anyway: a list of them takes 8 bytes for each.
        paths = [] if node.children is None else list(node.children.names)
        names = yield from sort(paths)
        listing = Listing(names, token, now_ms)
        if len(names) > SHORT:
            listings.keep(path, listing)
    name_at = 1 if path == ROOT else len(path) + 1
    ordered = listing.names
    if window.filter:
        ordered = yield from _filtered(listing, window, listings, now_ms, name_at)
    return _window(tree, visitor, window, ordered, name_at) | {
        "of": len(listing.names),
        "token": listing.token,
        "isBehind": listing.token != token,
    }


def _filtered(
    listing: Listing, window: Window, listings: Listings, now_ms: int, name_at: int
) -> Work[list[str]]:
    key = (window.path, window.filter)
    token = f"{listing.token}.{listing.made_ms}"
    found = listings.find(key, token, now_ms)
    if found is not None and found.token == token:
        return found.names
    names = yield from containing(listing.names, window.filter, name_at)
    if len(listing.names) > SHORT:
        listings.keep(key, Listing(names, token, now_ms))
    return names


def _window(
    tree: DataTree, visitor: Visitor, window: Window, ordered: list[str], name_at: int
) -> View:
    rows: list[Json] = []
    left = WINDOW_CHARS
    for path in ordered[window.start : window.start + window.count]:
        name = path[name_at:]
        left -= min(len(name), NAME_CHARS)
        if left < 0 and rows:
            break
        rows.append(_row(tree, visitor, path, name))
    prefix = ordered and ordered[0][:name_at]
    located: View = {}
    for name in window.locate:
        located[name] = index_of(ordered, f"{prefix}{name}") if prefix else None
    return {
        "path": window.path,
        "start": window.start,
        "total": len(ordered),
        "rows": rows,
        "located": located,
    }


def _row(tree: DataTree, visitor: Visitor, path: str, name: str) -> Json:
    """Return one child: its name, and what its Stat says if that may be read."""
    row: View = {"name": name[:NAME_CHARS]}
    if len(name) > NAME_CHARS:
        row["cut"] = len(name)
    child = tree.nodes.get(path)
    if child is None:
        row["gone"] = True
    elif visitor.may(child, Perms.READ):
        row["children"] = _count(child)
        row["bytes"] = len(child.data or b"")
        row["kind"] = kind_of(tree, child)
    else:
        row["locked"] = True
    return row
