"""What a test orders and waits for: coroutines that return when it is done.

Shell. They run on the server's loop; `Engine` is the server.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from pyzk.auth.provider import AuthId
from pyzk.constants import CreateMode, OpCode
from pyzk.data.acl import OPEN_ACL
from pyzk.data.paths import ROOT
from pyzk.int64 import hex_id
from pyzk.jute.record import Record
from pyzk.jute.records import CreateRequest, CreateSessionTxn, SetDataRequest
from pyzk.server.connection import OPEN
from pyzk.server.request import Request
from pyzk.server.sessions import Session
from pyzk.testing.core.engine import PAUSED, RUNNING, Engine
from pyzk.testing.core.inspection import (
    WATCH_KINDS,
    SessionInfo,
    WatchInfo,
    flatten,
    list_sessions,
    list_watches,
    read_tree,
    session_id_of,
)
from pyzk.testing.errors import FixtureError
from pyzk.testing.seams.client_link import ClientLink

_SUPER: Final = (AuthId("super", ""),)
"""The identity of the fixture's own writes, which no ACL refuses."""
_SESSION_MS: Final = 60_000
_SHOWN: Final = 10
_ORDER_TIMEOUT_S: Final = 60.0


# --- sessions and connections ---------------------------------------------------------


async def expire_session(engine: Engine, session: object) -> None:
    """Expire a session before its time; return when it is gone."""
    engine.need(RUNNING)
    found = _find_session(engine, session)
    session_id = found.session_id

    def expire() -> None:
        server = engine.server
        if not found.is_closing:
            server.sessions.mark_closing(session_id)
            server.metrics.stale_sessions_expired += 1
            server.close_session(found)

    engine.note(f"ordered: expire session {hex_id(session_id)}")
    engine.perform(expire)
    if not engine.is_disk_stalled:
        await engine.waiters.wait(
            lambda: session_id not in engine.server.sessions.sessions,
            _ORDER_TIMEOUT_S,
            lambda: f"session {hex_id(session_id)} does not end",
        )


async def drop_connection(engine: Engine, client: object) -> None:
    """Cut a client's connection; return when the server knows of it."""
    engine.need(RUNNING, PAUSED)
    await _cut(engine, [_find_link(engine, client)])


async def drop_connections(engine: Engine) -> int:
    """Cut all connections; return how many there were when the server knows of it."""
    engine.need(RUNNING, PAUSED)
    links = list(engine.links)
    await _cut(engine, links)
    return len(links)


async def _cut(engine: Engine, links: list[ClientLink]) -> None:
    for link in links:
        engine.note(f"ordered: drop the connection of {link.address}")
        link.cut()
    if engine.state == RUNNING:
        await engine.waiters.wait(
            lambda: not any(link in engine.links for link in links),
            _ORDER_TIMEOUT_S,
            lambda: "connections do not end",
        )


def _find_session(engine: Engine, session: object) -> Session:
    session_id = session_id_of(session)
    found = engine.server.sessions.sessions.get(session_id)
    if found is None:
        raise FixtureError(f"there is no session {hex_id(session_id)}; {_sessions(engine)}")
    return found


def _find_link(engine: Engine, client: object) -> ClientLink:
    if isinstance(client, str) and ":" in client:
        for link in engine.links:
            if link.address == client:
                return link
        raise FixtureError(f"{client} is not connected; {_sessions(engine)}")
    connection = _find_session(engine, client).connection
    for link in engine.links:
        if connection is not None and link.connection is connection:
            return link
    raise FixtureError(
        f"session {hex_id(session_id_of(client))} is not connected now; wait_for_session() waits"
        " until it is"
    )


# --- the tree -------------------------------------------------------------------------


async def load(engine: Engine, tree: Mapping[str, object]) -> None:
    """Create znodes and set the data of those that exist; return when it is durable."""
    engine.need(RUNNING)
    flat = flatten(tree)
    nodes = engine.server.tree.nodes
    writes = []
    for path, data in flat.items():
        opcode = OpCode.SET_DATA if path in nodes else OpCode.CREATE
        writes.append((opcode, _record(opcode, path, data)))
    engine.note(f"ordered: load {len(flat)} znodes")
    session_id = write(engine, writes)
    if engine.is_disk_stalled:
        return
    await engine.waiters.wait(
        lambda: session_id not in engine.server.sessions.sessions,
        _ORDER_TIMEOUT_S,
        lambda: "the tree is not loaded",
    )
    nodes = engine.server.tree.nodes
    for path, data in flat.items():
        node = nodes.get(path)
        if node is None or (node.data or b"") != data:
            raise FixtureError(f"{path} could not be loaded: is its parent an ephemeral znode?")


def write(engine: Engine, writes: Iterable[tuple[int, Record]]) -> int:
    """Hand writes to the server, which no ACL refuses; return the id of the session whose they are.
    It lives as long as they take."""
    session_id = 0

    def submit() -> None:
        nonlocal session_id
        server = engine.server
        now = server.clock.now_ms
        session = server.sessions.add(server.sessions.allocate_id(), _SESSION_MS, now)
        session_id = session.session_id
        engine.own_sessions.add(session_id)
        begin = CreateSessionTxn(_SESSION_MS)
        server.role.submit(Request(None, session, 0, OpCode.CREATE_SESSION, begin, (), now))
        for opcode, record in writes:
            server.role.submit(Request(None, session, 0, opcode, record, _SUPER, now))
        server.sessions.mark_closing(session.session_id)
        server.close_session(session)

    engine.perform(submit)
    return session_id


def _record(opcode: int, path: str, data: bytes) -> CreateRequest | SetDataRequest:
    if opcode == OpCode.SET_DATA:
        return SetDataRequest(path, data, -1)
    return CreateRequest(path, data, list(OPEN_ACL), CreateMode.PERSISTENT)


# --- waiting --------------------------------------------------------------------------


async def wait_for_session(
    engine: Engine, session: object, exists: bool, timeout: float
) -> SessionInfo | None:
    """Wait until a session is connected, or gone; return it if it is connected."""
    engine.need(RUNNING, PAUSED)
    session_id = None if session is None else session_id_of(session)

    def find() -> SessionInfo | None:
        for found in engine.server.sessions.sessions.values():
            connection = found.connection
            if session_id in (None, found.session_id) and (
                not exists or (connection is not None and connection.state == OPEN)
            ):
                for info in list_sessions(engine.server, engine.links):
                    if info.session_id == found.session_id:
                        return info
        return None

    what = "session" if session_id is None else f"session {hex_id(session_id)}"
    await engine.waiters.wait(
        lambda: (find() is not None) == exists,
        timeout,
        lambda: (
            f"no {what} is connected; {_sessions(engine)}"
            if exists
            else f"{what} is still there; {_sessions(engine)}"
        ),
    )
    return find() if exists else None


async def wait_for_node(
    engine: Engine, path: str, exists: bool, data: bytes | None, timeout: float
) -> None:
    """Wait until a znode is there, with this data, or is not."""
    engine.need(RUNNING, PAUSED)
    _check_path(path)
    if data is not None and not exists:
        raise FixtureError("data= is for a znode that should exist")

    def holds() -> bool:
        node = engine.server.tree.nodes.get(path)
        if node is None:
            return not exists
        return exists and (data is None or (node.data or b"") == data)

    def seen() -> str:
        node = engine.server.tree.nodes.get(path)
        if node is None:
            return f"{path} does not exist; {_nodes_near(engine, path)}"
        return f"{path} exists, its data is {_shown(node.data or b'')}"

    await engine.waiters.wait(holds, timeout, seen)


async def wait_for_watch(
    engine: Engine, path: str, kind: str | None, client: object, timeout: float
) -> WatchInfo:
    """Wait until there is a watch on ``path``; return it."""
    engine.need(RUNNING, PAUSED)
    _check_path(path)
    if kind is not None and kind not in WATCH_KINDS:
        raise FixtureError(f"unknown kind of watch {kind!r}; known are {', '.join(WATCH_KINDS)}")
    session_id = None if client is None else session_id_of(client)

    def find() -> WatchInfo | None:
        for watch in list_watches(engine.server):
            if (
                watch.path == path
                and kind in (None, watch.kind)
                and session_id in (None, watch.session_id)
            ):
                return watch
        return None

    def seen() -> str:
        watches = [f"{watch.path} ({watch.kind})" for watch in list_watches(engine.server)]
        return f"{path} is not watched in this way; watched are {_some(watches)}"

    await engine.waiters.wait(lambda: find() is not None, timeout, seen)
    found = find()
    assert found is not None
    return found


def _check_path(path: str) -> None:
    if not path.startswith(ROOT):
        raise FixtureError(f"{path!r} is not a path of a znode, which begins with /")


async def wait_until(
    engine: Engine, condition: Callable[[], object], what: str, timeout: float
) -> None:
    """Wait until a condition holds, which is checked after each input of the server."""
    engine.need(RUNNING, PAUSED)
    await engine.waiters.wait(
        condition,
        timeout,
        lambda: f"{what or 'the condition'} does not hold; {_sessions(engine)}",
    )


async def wait_until_idle(engine: Engine, timeout: float) -> None:
    """Wait until everything that clients have sent is served, and every answer is written."""
    engine.need(RUNNING)
    try:
        async with asyncio.timeout(timeout):
            while True:
                await engine.waiters.wait(lambda: not _busy(engine), timeout, lambda: "")
                inputs = engine.inputs
                # Two turns: what waits in the sockets is read in the first, served in the second.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if engine.inputs == inputs and not _busy(engine):
                    return
    except TimeoutError:
        busy = _busy(engine) or "clients go on sending"
        raise TimeoutError(f"the server is not idle: {busy} (waited {timeout:g} s)") from None


def _busy(engine: Engine) -> str:
    """Return what the server is busy with, "" if it is idle."""
    server = engine.server
    if server.outstanding or not engine.is_disk_quiet:
        return f"{server.outstanding} requests are on the way"
    for link in engine.links:
        if link.is_busy:
            return f"something is held for {link.address}"
        if link.outlet is not None and _unread_bytes(link.outlet.socket_number):
            return f"{link.address} has sent something that is not read yet"
    if any(_unread_bytes(each.socket_number) for each in engine.sockets):
        return "somebody has begun TLS, and its bytes are not read yet"
    return ""


def _unread_bytes(number: int) -> int:
    if number < 0:
        return 0
    answer = fcntl.ioctl(number, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", answer)[0])


# --- what is said instead -------------------------------------------------------------


def _sessions(engine: Engine) -> str:
    sessions = list_sessions(engine.server, engine.links)
    return f"open are {_some([str(session) for session in sessions])}"


def _nodes_near(engine: Engine, path: str) -> str:
    nodes = engine.server.tree.nodes
    while path not in nodes:
        path = path.rpartition("/")[0] or ROOT
    below = [name for name in read_tree(engine.server.tree, path) if name != path]
    return f"below {path} there are {_some(below)}"


def _shown(data: bytes) -> str:
    return repr(data) if len(data) <= 80 else f"{data[:80]!r}... ({len(data)} bytes)"


def _some(texts: list[str]) -> str:
    if not texts:
        return "none"
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
