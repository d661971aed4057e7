"""Sessions with their ephemerals and watches, and watches by path, as the console shows them.

Pure. Every member knows every session of the ensemble and its timeout. Who expires it, and so knows
when, is the leader, or the member that has it if it is local; and the connection of a session is
known to the member where it is. What this server does not know is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.admin.console import Json, View
from pyzk.admin.console.listing import PIECE, Listing, Listings, Work, sort
from pyzk.constants import WatchKind
from pyzk.int64 import MASK64, hex_id, signed
from pyzk.quorum.learner_handler import LearnerHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyzk.admin.console.visitor import Visitor
    from pyzk.data.watches import WatchManager
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server
    from pyzk.server.sessions import Session

WINDOW: Final = 200
"""The most sessions, or watched paths, in one answer."""
SHOWN_PATHS: Final = 500
"""The most ephemerals, and the most watches, that are shown of one session."""
SHOWN_CHARS: Final = 1 << 16
"""After so many characters of paths no more are shown; JSON may make twelve bytes of one."""
SHOWN_WATCHERS: Final = 20
"""The watchers that are shown of one path."""
_WEIGHED: Final = PIECE // 4
"""The paths of a piece in which each is judged by the ACLs."""

_NOW: Final = "now"
"""The token of a list that nothing tells the changes of: it is good for a moment only."""
_KINDS: Final = {
    WatchKind.CHILDREN: "children",
    WatchKind.DATA: "data",
    WatchKind.PERSISTENT: "persistent",
    WatchKind.PERSISTENT_RECURSIVE: "persistent recursive",
}


def sessions(
    server: Server, start: int, count: int, filter: str, listings: Listings, now_ms: int
) -> Work[View]:
    """Return a part of the sessions, in the order of their ids. With a filter only those that have
    the text in their id or their client's address."""
    listing = listings.find("sessions", _NOW, now_ms)
    if listing is None:
        ids = yield from _ids(server)
        listing = Listing((yield from sort(ids)), "", now_ms)
        listings.keep("sessions", listing)
    ordered = listing.names
    if filter:
        ordered = yield from _matching(server, ordered, filter.lower().removeprefix("0x"))
    start = max(0, start)
    rows: list[Json] = []
    for digits in ordered[start : start + min(max(0, count), WINDOW)]:
        row = session_row(server, signed(int(digits, 16)), now_ms)
        if row is not None:
            rows.append(row)
    return {"start": start, "total": len(ordered), "of": len(listing.names), "rows": rows}


def _ids(server: Server) -> Work[list[str]]:
    """Return the ids of all sessions as sixteen hexadecimal digits."""
    ids = list(server.database.sessions)
    if server.has_local_sessions:
        ids += [each.session_id for each in server.sessions.sessions.values() if each.is_local]
    texts: list[str] = []
    for begin in range(0, len(ids), PIECE):
        texts += [f"{each & MASK64:016x}" for each in ids[begin : begin + PIECE]]
        yield
    return texts


def _matching(server: Server, ordered: Sequence[str], text: str) -> Work[list[str]]:
    found: list[str] = []
    known = server.sessions.sessions
    for begin in range(0, len(ordered), PIECE):
        for digits in ordered[begin : begin + PIECE]:
            if text in digits:
                found.append(digits)
                continue
            session = known.get(signed(int(digits, 16)))
            connection = None if session is None else session.connection
            if connection is not None and text in _place(connection):
                found.append(digits)
        yield
    return found


def _place(connection: Connection) -> str:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{host}:{connection.port}"


def session_row(server: Server, session_id: int, now_ms: int) -> View | None:
    """Return what is known of one session; None if there is none."""
    session = server.sessions.sessions.get(session_id)
    timeout_ms = server.database.sessions.get(session_id)
    is_local = session is not None and session.is_local
    if timeout_ms is None:
        if session is None or not is_local:
            return None
        timeout_ms = session.timeout_ms
    connection = None if session is None else session.connection
    owned = server.tree.ephemerals.get(session_id)
    view: View = {
        "id": hex_id(session_id),
        "timeoutMs": timeout_ms,
        "local": is_local,
        "ephemerals": 0 if owned is None else len(owned),
        "watches": None,
        "member": _member(server, session),
        "expiresInMs": None,
        "closing": session is not None and session.is_closing,
        "client": None,
    }
    if session is not None and session.bucket_ms:
        view["expiresInMs"] = max(0, session.bucket_ms - now_ms)
    if connection is not None:
        view["watches"] = server.tree.watches.count_of(connection)
        view["client"] = _client(connection)
    return view


def _member(server: Server, session: Session | None) -> Json:
    """Return the id of the member where the client of a session is; None if that is not known."""
    if session is None:
        return None
    if session.connection is not None:
        return server.server_id
    owner = session.owner
    if isinstance(owner, LearnerHandler):
        return owner.sid
    return server.server_id if owner is server else None


def _client(connection: Connection) -> View:
    stats = connection.stats
    return {
        "address": _place(connection),
        "secure": connection.is_secure,
        "since": stats.established_wall_ms,
        "received": stats.packets_received,
        "sent": stats.packets_sent,
        "outstanding": connection.outstanding,
        "stalled": connection.is_stalled,
        "lastOperation": stats.last_op,
        "lastZxid": hex_id(stats.last_zxid) if stats.last_zxid >= 0 else None,
        "averageLatencyMs": stats.average_latency_ms,
        "maxLatencyMs": stats.max_latency_ms,
    }


def session_view(
    server: Server, visitor: Visitor, session_id: int, now_ms: int
) -> Work[View | None]:
    """Return one session with the ephemerals and watches that the visitor may see, and how many
    others there are; None if there is no such session."""
    view = session_row(server, session_id, now_ms)
    if view is None:
        return None
    owned = server.tree.ephemerals.get(session_id)
    paths = [] if owned is None else list(owned.names)
    shown = yield from _visible(visitor, paths)
    view["ephemeralPaths"] = shown.view()
    session = server.sessions.sessions.get(session_id)
    connection = None if session is None else session.connection
    watches = server.tree.watches
    if connection is not None:
        held = dict.fromkeys(watches.paths_of(connection) or ())
        held.update(dict.fromkeys(watches.child_paths_of(connection)))
        shown = yield from _visible(visitor, list(held))
        kinds: list[Json] = [
            [_KINDS[kind] for kind in watches.kinds_of(path, connection)] for path in shown.paths
        ]
        view["watchedPaths"] = shown.view() | {"kinds": kinds}
    return view


class _Shown:
    """The paths of one session that are shown, and how many there are of the others."""

    __slots__ = ("hidden", "paths", "visible")

    def __init__(self, paths: list[str], visible: int, hidden: int) -> None:
        self.paths = paths
        self.visible = visible
        self.hidden = hidden

    def view(self) -> View:
        paths: list[Json] = [*self.paths]
        return {"paths": paths, "visible": self.visible, "hidden": self.hidden}


def _visible(visitor: Visitor, paths: list[str]) -> Work[_Shown]:
    """Return those paths that the visitor may see, in order and not too many."""
    seen: list[str] = []
    for begin in range(0, len(paths), _WEIGHED):
        seen += [path for path in paths[begin : begin + _WEIGHED] if visitor.sees(path)]
        yield
    ordered = yield from sort(seen)
    return _Shown(list(_fitting(ordered)), len(ordered), len(paths) - len(seen))


def _fitting(paths: Iterable[str]) -> Iterable[str]:
    """Yield the first paths, as many as fit into an answer."""
    left = SHOWN_CHARS
    for count, path in enumerate(paths):
        left -= len(path)
        if count >= SHOWN_PATHS or (left < 0 and count):
            return
        yield path


# --- watches by path ------------------------------------------------------------------


def watches(
    server: Server,
    visitor: Visitor,
    start: int,
    count: int,
    filter: str,
    listings: Listings,
    now_ms: int,
) -> Work[View]:
    """Return a part of the watched paths that the visitor may see, in order, with who watches. With
    a filter only those that have the text. What the visitor may not see is counted, whatever the
    filter."""
    manager = server.tree.watches
    key = ("watches", visitor.auth_ids)
    listing = listings.find(key, _NOW, now_ms)
    if listing is None:
        all_watched = [*manager.watched(), *manager.child_watched()]
        seen: list[str] = []
        for begin in range(0, len(all_watched), _WEIGHED):
            seen += [path for path in all_watched[begin : begin + _WEIGHED] if visitor.sees(path)]
            yield
        listing = Listing((yield from sort(seen)), "", now_ms)
        listing.hidden = len(all_watched) - len(seen)
        listings.keep(key, listing)
    ordered = listing.names
    if filter:
        ordered = []
        for begin in range(0, len(listing.names), PIECE):
            ordered += [each for each in listing.names[begin : begin + PIECE] if filter in each]
            yield
    start = max(0, start)
    window = ordered[start : start + min(max(0, count), WINDOW)]
    return {
        "start": start,
        "total": len(ordered),
        "of": len(listing.names),
        "hidden": listing.hidden,
        "count": manager.watch_count,
        "rows": [_watched(server, manager, path) for path in _fitting(window)],
    }


def _watched(server: Server, manager: WatchManager, path: str) -> Json:
    watchers = dict.fromkeys(manager.watchers_of(path))
    watchers.update(dict.fromkeys(manager.child_watchers_of(path)))
    shown: list[Json] = []
    for watcher in list(watchers)[:SHOWN_WATCHERS]:
        kinds: list[Json] = [_KINDS[kind] for kind in manager.kinds_of(path, watcher)]
        shown.append({"id": hex_id(watcher.session_id), "kinds": kinds})
    return {
        "path": path,
        "exists": server.tree.find(path) is not None,
        "watchers": len(watchers),
        "sessions": shown,
    }
