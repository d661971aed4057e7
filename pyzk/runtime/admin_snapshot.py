"""The command `snapshot`: writes a snapshot, and sends the file.

Shell. ZooKeeper: Commands.SnapshotCommand

Where this differs from ZooKeeper, on purpose: its snapshot is fuzzy, so that what is sent may have
some later changes and lack earlier ones; this one is the state at its zxid.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from pyzk.admin.answer import (
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Asked,
    reply,
)
from pyzk.admin.rate_limit import RateLimit
from pyzk.errors import StorageError
from pyzk.persistence.filenames import snapshots
from pyzk.runtime.disk_room import NoRoomError, look_for_room
from pyzk.runtime.http_answer import send

if TYPE_CHECKING:
    from pyzk.config.admin import AdminConfig
    from pyzk.data.database import Database
    from pyzk.runtime.admin_world import AdminWorld
    from pyzk.runtime.seams import WrittenSnapshot

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 1 << 17
"""The bytes that are read and sent at once."""
NODE_BYTES: Final = 76
"""The bytes of a znode in a snapshot, beside its path and its data."""
SESSION_BYTES: Final = 12
_NAME: Final = "snapshot"


class SnapshotCommand:
    """Carries `snapshot` out, not too often."""

    def __init__(self, world: AdminWorld, config: AdminConfig) -> None:
        self._world = world
        self._is_enabled = config.snapshot_enabled
        # The original takes the number for microseconds here, and for milliseconds at restore.
        self._limit = RateLimit(config.rate_limiter_interval_ms // 1000, world.clock.now_ms)
        self._under_way = 0
        """How many snapshots that were asked for are not on the disk yet."""

    async def answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        """Answers a request that may have the snapshot."""
        world = self._world
        if not self._is_enabled:
            error = "The command is disabled: admin.snapshot.enabled=false"
            return await send(request, reply(_NAME, error=error, status=UNAVAILABLE))
        if not world.config.serialize_last_processed_zxid:
            error = "The command needs serializeLastProcessedZxid.enabled=true"
            return await send(request, reply(_NAME, error=error, status=SERVER_ERROR))
        if not self._limit.takes(world.clock.now_ms):
            world.peer.metrics.snapshot_rate_limited_count += 1
            error = "The last snapshot that was asked for was just now"
            return await send(request, reply(_NAME, error=error, status=TOO_MANY_REQUESTS))
        try:
            written = await self._written()
            size = await asyncio.to_thread(written.directory.size, written.name)
        except (StorageError, NoRoomError) as error:
            log.warning("who asked for a snapshot got none: %s", error)
            return await send(request, reply(_NAME, error=str(error), status=SERVER_ERROR))
        zxid = snapshots([written.name])[0].zxid
        headers = (("last_zxid", f"0x{zxid:x}"), ("snapshot_size", str(size)))
        is_streamed = asked.query.get("streaming", "true").lower() == "true"
        if not is_streamed:
            return await send(request, reply(_NAME, headers=headers))
        return await _stream(request, written, size, dict(headers))

    async def _written(self) -> WrittenSnapshot:
        """Returns the snapshot, once it is on the disk. Raises StorageError, NoRoomError."""
        world = self._world
        ready: asyncio.Future[WrittenSnapshot] = asyncio.get_running_loop().create_future()

        def answer(written: WrittenSnapshot | StorageError) -> None:
            self._under_way -= 1
            if ready.done():
                return  # who asked is gone
            if isinstance(written, StorageError):
                ready.set_exception(written)
            else:
                ready.set_result(written)

        # One that is being written has not taken all of its room; any number wait for the next.
        needed = _largest_size(world.peer.database) * (2 if self._under_way else 1)
        is_begun = False
        self._under_way += 1
        try:
            await look_for_room(world.storage.upload_directory, needed, world.config)
            is_begun = True
            world.storage.write_snapshot(world.peer.database, answer)
        finally:
            if not is_begun:
                self._under_way -= 1
        return await ready


def _largest_size(database: Database) -> int:
    """Return the bytes of a snapshot of this state without compression; ACL lists are few."""
    tree = database.tree
    return tree.data_size + NODE_BYTES * len(tree.nodes) + SESSION_BYTES * len(database.sessions)


async def _stream(
    request: web.Request, written: WrittenSnapshot, size: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Sends the file, or to HEAD the headers of that; a visitor who does not read it is dropped
    after the idle timeout."""
    directory, name = written
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/octet-stream"
    response.content_length = size
    await response.prepare(request)
    if request.method == "HEAD":
        await response.write_eof()
        return response
    offset = 0
    while offset < size:
        try:
            piece = await asyncio.to_thread(directory.read, name, offset, PIECE_BYTES)
        except StorageError as error:
            log.error("the rest of %s cannot be sent: %s", name, error)
            raise ConnectionResetError from None  # who reads sees that bytes are missing
        offset += len(piece)
        await response.write(piece)
    await response.write_eof()
    return response
