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
from pyzk.runtime.http_answer import send

if TYPE_CHECKING:
    from pyzk.config.admin import AdminConfig
    from pyzk.runtime.admin_world import AdminWorld
    from pyzk.runtime.seams import WrittenSnapshot

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 1 << 17
"""The bytes that are read and sent at once."""
_NAME: Final = "snapshot"


class SnapshotCommand:
    """Carries `snapshot` out, not too often."""

    def __init__(self, world: AdminWorld, config: AdminConfig) -> None:
        self._world = world
        self._is_enabled = config.snapshot_enabled
        # The original takes the number for microseconds here, and for milliseconds at restore.
        self._limit = RateLimit(config.rate_limiter_interval_ms // 1000, world.clock.now_ms)

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
        except StorageError as error:
            return await send(request, reply(_NAME, error=str(error), status=SERVER_ERROR))
        zxid = snapshots([written.name])[0].zxid
        headers = (("last_zxid", f"0x{zxid:x}"), ("snapshot_size", str(size)))
        is_streamed = asked.query.get("streaming", "true").lower() == "true"
        if not is_streamed or request.method == "HEAD":
            return await send(request, reply(_NAME, headers=headers))
        return await _stream(request, written, size, dict(headers))

    async def _written(self) -> WrittenSnapshot:
        """Returns the snapshot, once it is on the disk. Raises StorageError."""
        ready: asyncio.Future[WrittenSnapshot] = asyncio.get_running_loop().create_future()

        def answer(written: WrittenSnapshot | StorageError) -> None:
            if ready.done():
                return  # who asked is gone
            if isinstance(written, StorageError):
                ready.set_exception(written)
            else:
                ready.set_result(written)

        self._world.storage.write_snapshot(self._world.peer.database, answer)
        return await ready


async def _stream(
    request: web.Request, written: WrittenSnapshot, size: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Sends the file; a visitor who does not read it is dropped after the idle timeout."""
    directory, name = written
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/octet-stream"
    response.content_length = size
    await response.prepare(request)
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
