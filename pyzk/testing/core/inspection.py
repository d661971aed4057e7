"""What a test sees of the server: sessions, watches, the tree.

Shell. Plain values, made on the server's loop, that any thread may keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyzk.constants import WatchKind
from pyzk.data.paths import ROOT, validate_path
from pyzk.data.tree import DataTree
from pyzk.errors import KeeperError
from pyzk.int64 import hex_id, signed
from pyzk.server.server import Server
from pyzk.testing.errors import FixtureError

if TYPE_CHECKING:
    from pyzk.testing.seams.client_link import ClientLink


class SessionInfo(NamedTuple):
    """One session."""

    session_id: int
    timeout: float
    """Seconds, as negotiated."""
    address: str | None
    """``host:port`` of the client; None while it is not connected."""
    ephemerals: tuple[str, ...]
    opened_in: str | None
    """The test (PYTEST_CURRENT_TEST) in which its connection was opened."""

    def __str__(self) -> str:
        where = self.address or "not connected"
        text = f"session {hex_id(self.session_id)} ({where})"
        if self.ephemerals:
            text += f", ephemerals {' '.join(self.ephemerals)}"
        return text


class WatchInfo(NamedTuple):
    """One watch."""

    path: str
    kind: str
    """``data`` (set by exists too), ``children``, ``persistent`` or ``recursive``."""
    session_id: int


class LeakedClient(NamedTuple):
    """A client that was connected when the server was stopped or reset."""

    address: str
    session_id: int
    opened_in: str | None
    """The test (PYTEST_CURRENT_TEST) in which it connected."""

    def __str__(self) -> str:
        text = self.address
        if self.session_id:
            text += f", session {hex_id(self.session_id)}"
        return text + (f", connected in {self.opened_in}" if self.opened_in else "")


# --- made on the loop -----------------------------------------------------------------

_KINDS: Final = {
    WatchKind.DATA: "data",
    WatchKind.CHILDREN: "children",
    WatchKind.PERSISTENT: "persistent",
    WatchKind.PERSISTENT_RECURSIVE: "recursive",
}
WATCH_KINDS: Final = tuple(_KINDS.values())


def list_sessions(server: Server, links: Iterable[ClientLink]) -> list[SessionInfo]:
    """Return the sessions, oldest first."""
    by_connection = {link.connection: link for link in links}
    found = []
    for session in server.sessions.sessions.values():
        link = by_connection.get(session.connection) if session.connection else None
        found.append(
            SessionInfo(
                session.session_id,
                session.timeout_ms / 1000,
                None if link is None else link.address,
                tuple(server.tree.ephemerals.get(session.session_id, ())),
                None if link is None else link.opened_in,
            )
        )
    return found


def list_watches(server: Server) -> list[WatchInfo]:
    """Return the watches, by path."""
    return sorted(
        (
            WatchInfo(path, _KINDS[kind], watcher.session_id)
            for path, kind, watcher in server.tree.watches.entries()
        ),
        key=lambda watch: (watch.path, watch.kind),
    )


def read_tree(tree: DataTree, path: str) -> dict[str, bytes]:
    """Return path -> data of ``path`` and everything below it, parents first.

    The root is left out if it has no data, /zookeeper unless ``path`` is in it. Raises FixtureError
    for a path that no znode can have.
    """
    if not path.startswith(ROOT):
        raise FixtureError(f"{path!r} is not a path of a znode, which begins with /")
    found: dict[str, bytes] = {}
    todo = [path]
    while todo:
        path = todo.pop()
        node = tree.nodes.get(path)
        if node is None:
            continue
        if path != ROOT or node.data:
            found[path] = node.data or b""
        base = "" if path == ROOT else path
        todo += [
            f"{base}/{name}"
            for name in sorted(node.children or (), reverse=True)
            if path != ROOT or name != "zookeeper"
        ]
    return found


# --- dictionaries ---------------------------------------------------------------------


def nest(flat: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a tree with a dictionary for each znode that has children; its own data, if it has
    any, stands under ""."""
    root: dict[str, Any] = {}
    for path, data in flat.items():
        names = path.split("/")[1:] if path != ROOT else []
        at = root
        for name in names[:-1]:
            below = at.get(name)
            if not isinstance(below, dict):
                at[name] = below = {"": below} if below else {}
            at = below
        if names:
            at[names[-1]] = data
        else:
            at[""] = data
    return root


def flatten(tree: Mapping[str, object]) -> dict[str, bytes]:
    """Return path -> data of a tree, flat or nested or both, with all parents, parents first.

    Raises FixtureError if it is no tree.
    """
    flat: dict[str, bytes] = {}
    _flatten(tree, "", flat)
    for path in list(flat):
        _check_path(path)
        parent = path.rpartition("/")[0]
        while parent and parent not in flat:
            flat[parent] = b""
            parent = parent.rpartition("/")[0]
    return dict(sorted(flat.items()))


def _flatten(tree: Mapping[str, object], base: str, flat: dict[str, bytes]) -> None:
    for name, value in tree.items():
        if not isinstance(name, str):
            raise FixtureError(f"{name!r} in {base or ROOT} is not a name of a znode")
        path = f"{base}/{name.strip('/')}".rstrip("/") or ROOT
        if isinstance(value, Mapping):
            flat.setdefault(path, b"")
            if path == ROOT:
                flat.pop(ROOT)
            _flatten(value, "" if path == ROOT else path, flat)
        elif isinstance(value, str):
            flat[path] = value.encode()
        elif isinstance(value, bytes | bytearray | memoryview):
            flat[path] = bytes(value)
        elif value is None:
            flat[path] = b""
        else:
            raise FixtureError(
                f"{path} is {value!r}; data is bytes, str or None, a dictionary has children"
            )


def _check_path(path: str) -> None:
    try:
        validate_path(path)
    except KeeperError as error:
        raise FixtureError(f"{path!r} is not a path of a znode: {error}") from None


def session_id_of(session: object) -> int:
    """Return the session id that a test means by a number, a text, a `SessionInfo`, a kazoo client.

    Raises FixtureError.
    """
    if isinstance(session, SessionInfo):
        return session.session_id
    if isinstance(session, str):
        try:
            session = int(session, 0)
        except ValueError:
            raise FixtureError(f"{session!r} is not a session id") from None
    if isinstance(session, int) and not isinstance(session, bool):
        return signed(session)
    client_id = getattr(session, "client_id", None)
    # A kazoo client that is not connected now does not tell its session.
    found = client_id[0] if client_id else getattr(session, "_session_id", None)
    if isinstance(found, int) and found:
        return found
    if hasattr(session, "client_id"):
        raise FixtureError(f"{session!r} has no session yet: start it first")
    raise FixtureError(
        f"{session!r} does not name a session; give its id, a SessionInfo or a kazoo client"
    )
