"""The command `restore`: replaces the state of a server by that of a snapshot that is sent.

Shell. The body goes to a file, is loaded beside the state in use, and written again as a snapshot
of this server, all of it while that serves. Only then it changes: clients are disconnected, what is
not acknowledged is dropped, the files are put in force in one step, and clients may come again.

    body -> received.upload.tmp -> database -> received.snapshot.*.tmp
    -> nobody is served -> `persistence.replacement` -> the new state is served -> the answer

A crash before the step leaves the earlier state, one behind it the new one. docs/decisions/0038.

ZooKeeper: Commands.RestoreCommand, ZooKeeperServer.restoreFromSnapshot

Where this differs from ZooKeeper, on purpose: there the state changes in memory only, so that a
crash brings the earlier one back, and clients keep connections whose sessions are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from pyzk.admin.answer import (
    BAD_REQUEST,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Answer,
    Asked,
    reply,
)
from pyzk.admin.rate_limit import RateLimit
from pyzk.config.members import config_text
from pyzk.errors import StorageError
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.upload import UPLOAD_NAME, load_upload
from pyzk.quorum.standalone import Standalone
from pyzk.runtime.disk_room import NoRoomError, look_for_room
from pyzk.runtime.http_answer import send
from pyzk.zxid import format_zxid

if TYPE_CHECKING:
    from aiohttp import web

    from pyzk.config.admin import AdminConfig
    from pyzk.data.database import Database
    from pyzk.persistence.directory import Directory
    from pyzk.persistence.replacement import Received
    from pyzk.runtime.admin_world import AdminWorld

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 1 << 20
"""The bytes of a body that are written at once."""
CONFLICT: Final = 409
LEADER: Final = "leader"
_OFFLINE: Final = (
    "Or stop all servers; on each, empty version-2 in dataDir and in dataLogDir, and put the"
    " snapshot there, with the name snapshot.ZXID, where ZXID is its header last_zxid without 0x;"
    " then start them"
)
_LOOKS_S: Final = 0.05
"""The seconds between two looks at whether an ensemble has the state."""
_NAME: Final = "restore"


class RestoreError(Exception):
    """The state cannot be replaced; nothing has changed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RestoreCommand:
    """Carries `restore` out, one at a time and not too often."""

    def __init__(self, world: AdminWorld, config: AdminConfig) -> None:
        self._world = world
        self._config = config
        self._limit = RateLimit(config.rate_limiter_interval_ms, world.clock.now_ms)
        self._is_under_way = False
        self._is_final = False
        """Whether the state changes just now, whoever may have asked for it."""

    async def answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        """Answers a request that may replace the state."""
        metrics = self._world.peer.metrics
        refused = self._refusal(request, asked)
        if refused is not None:
            return await send(request, refused)
        self._is_under_way = True
        begun = asyncio.get_running_loop().time()
        try:
            zxid = await self._restore(request)
        except RestoreError as error:
            metrics.restore_error_count += 1
            log.warning("the state was not restored: %s", error)
            return await send(request, reply(_NAME, error=str(error), status=error.status))
        finally:
            self._is_under_way = False
        took_ms = int((asyncio.get_running_loop().time() - begun) * 1000)
        metrics.restore_time.add(took_ms)
        log.warning("the state of this server was restored, at zxid %s", format_zxid(zxid))
        return await send(request, reply(_NAME, {"last_zxid": zxid}))

    def _refusal(self, request: web.Request, asked: Asked) -> Answer | None:
        """Returns the answer to a request that is not looked into, in the original's order."""
        world = self._world
        if not self._config.restore_enabled:
            error = "The command is disabled: admin.restore.enabled=false"
            return reply(_NAME, error=error, status=UNAVAILABLE)
        if not world.config.serialize_last_processed_zxid:
            error = "The command needs serializeLastProcessedZxid.enabled=true"
            return reply(_NAME, error=error, status=SERVER_ERROR)
        if not request.body_exists:
            return reply(_NAME, error="The body must be a snapshot", status=BAD_REQUEST)
        conflict = self._conflict(is_forced=asked.query.get("force", "").lower() == "true")
        if conflict:
            return reply(_NAME, error=conflict, status=CONFLICT)
        if self._is_under_way or self._is_final or not self._limit.takes(world.clock.now_ms):
            world.peer.metrics.restore_rate_limited_count += 1
            error = "The last snapshot that was to be restored came just now"
            return reply(_NAME, error=error, status=TOO_MANY_REQUESTS)
        return None

    def _conflict(self, *, is_forced: bool) -> str:
        """Returns why a member of an ensemble does not do it, and what to do on each server; "" if
        nothing prevents it."""
        configurations = self._world.configurations
        if configurations is None:
            return ""
        ensemble = self._world.config.ensemble
        assert ensemble is not None, "a member has one"
        mode = self._world.peer.status().mode
        others = [
            each.sid for each in configurations.committed.members if each.sid != ensemble.my_sid
        ]
        if mode == LEADER and (is_forced or not others):
            return ""
        who = f"This is server {ensemble.my_sid}, {mode} of an ensemble: {_named(others)}"
        if mode == LEADER:
            return (
                f"{who}. With ?force=true they all get the snapshot from this server, and lose the"
                f" present state; then nothing is to be done on them. {_OFFLINE}"
            )
        return (
            f"{who}, and would give it back to this server. Send the snapshot to the leader, with"
            f" ?force=true: then all servers get it, and nothing is to be done on them. {_OFFLINE}"
        )

    async def _restore(self, request: web.Request) -> int:
        """Returns the last zxid of the state that is in force, once it is durable. Raises
        RestoreError."""
        world = self._world
        directory = world.storage.upload_directory
        try:
            try:
                await self._take_body(request, directory)
                database = await asyncio.to_thread(self._load, directory)
            finally:
                await asyncio.to_thread(_remove, directory)
            frozen = await asyncio.to_thread(database.freeze)
            try:
                received = await asyncio.to_thread(world.storage.receive, frozen)
                await _written(received)
            finally:
                frozen.close()
        except (StorageError, NoRoomError) as error:
            raise RestoreError(SERVER_ERROR, str(error)) from None
        # Whoever asked may go: what has begun is done to its end.
        return await asyncio.shield(asyncio.ensure_future(self._put_in_force(database, received)))

    async def _put_in_force(self, database: Database, received: Received) -> int:
        """Replaces the state; from here on there is no way back but a crash. Returns its zxid.
        Raises RestoreError."""
        self._is_final = True
        try:
            if isinstance(self._world.peer.life, Standalone):
                return await self._put_in_force_here(database, received)
            return await self._put_in_force_everywhere(database, received)
        finally:
            self._is_final = False

    async def _take_body(self, request: web.Request, directory: Directory) -> None:
        """Writes the body to a file, as it comes."""
        expected = request.content_length
        if expected is not None:
            await look_for_room(directory, 2 * expected, self._world.config)
        file = await asyncio.to_thread(directory.create, UPLOAD_NAME)
        timeout_s = (
            self._config.idle_timeout_ms / 1000 if self._config.idle_timeout_ms > 0 else None
        )
        try:
            offset = 0
            waiting = bytearray()
            is_over = False
            while not is_over:
                async with asyncio.timeout(timeout_s):
                    piece = await request.content.readany()
                waiting += piece
                is_over = not piece
                if is_over or len(waiting) >= PIECE_BYTES:
                    await look_for_room(directory, 2 * len(waiting), self._world.config)
                    await asyncio.to_thread(file.write_at, bytes(waiting), offset)
                    offset += len(waiting)
                    waiting.clear()
        except TimeoutError:
            raise RestoreError(BAD_REQUEST, "The body does not come to its end") from None
        finally:
            await asyncio.to_thread(file.close)

    def _load(self, directory: Directory) -> Database:
        collects = gc.isenabled()
        gc.disable()  # it would look again and again at a tree that only grows
        try:
            options = RecoveryOptions.of(self._world.config)
            database = load_upload(directory, UPLOAD_NAME, options)
        finally:
            if collects:
                gc.enable()
        database.kill_dead_sessions()  # as a start does
        configurations = self._world.configurations
        if configurations is not None:
            # What the snapshot says of the ensemble must not be taken for a later configuration.
            now = configurations.last_seen
            text = config_text(now).encode()
            database.tree.install_config(text, now.version, self._world.clock.wall_ms)
        return database

    async def _put_in_force_here(self, database: Database, received: Received) -> int:
        """Replaces the state of a lone server."""
        world = self._world
        life = world.peer.life
        assert isinstance(life, Standalone), life
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            last_zxid = life.begin_restore()
            tree = database.tree
            if tree.last_zxid <= last_zxid:
                # No zxid stands for two states, and none that a client has seen is taken back.
                tree.last_zxid = last_zxid + 1
            database.log_complete_after = tree.last_zxid

        def finish() -> None:
            world.take_in(partial(life.restored, database))
            if not done.done():
                done.set_result(None)

        log.warning("the state of this server is being replaced; clients are disconnected")
        world.take_in(begin)
        world.storage.install(received, database.last_zxid, finish)
        await done
        return database.last_zxid

    async def _put_in_force_everywhere(self, database: Database, received: Received) -> int:
        """Replaces the state of an ensemble, from its leader; returns when a quorum has it."""
        world = self._world
        ensemble = world.config.ensemble
        assert ensemble is not None, "a member has one"
        from pyzk.quorum.lifecycle import MemberLife  # a lone server does without

        leads: list[bool] = []

        def begin() -> None:
            life = world.peer.life
            leads.append(isinstance(life, MemberLife) and life.restore(received, database))

        log.warning("the state of the ensemble is being replaced, from this server")
        world.take_in(begin)
        if not leads[0]:
            await asyncio.to_thread(received.abort)
            raise RestoreError(CONFLICT, "This server does not lead any more; nothing has changed")
        patience_s = 2 * ensemble.tick_time_ms * ensemble.init_limit_ticks / 1000
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while loop.time() < until:
            await asyncio.sleep(_LOOKS_S)
            status = world.peer.status()
            if not status.is_running or not database.last_zxid:
                continue
            if world.peer.database is not database:
                raise RestoreError(
                    SERVER_ERROR,
                    "Another server was elected before this one could lead again: the ensemble has"
                    " the earlier state; try it once more",
                )
            if status.mode == LEADER:
                return database.last_zxid
        raise RestoreError(
            SERVER_ERROR,
            "The state is in force on this server, but no quorum has taken it for"
            f" {patience_s:g} s; it is the ensemble's if this server leads when there is one",
        )


async def _written(received: Received) -> None:
    """Writes everything but the end; what was begun is removed if the visitor goes. Raises
    StorageError."""
    writing = asyncio.ensure_future(asyncio.to_thread(received.write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        with contextlib.suppress(StorageError):
            await writing
            await asyncio.to_thread(received.abort)
        raise


def _named(others: list[int]) -> str:
    servers = ", ".join(map(str, others))
    return f"the others, {servers}, have the present state"


def _remove(directory: Directory) -> None:
    with contextlib.suppress(StorageError):  # a start removes it, too
        if UPLOAD_NAME in directory.names():
            directory.remove(UPLOAD_NAME)
