"""Whether there is room on the disk for what somebody asks for.

Shell. A server whose log finds no room stops; so nothing that is only asked for may take the last
of it. What the server itself writes (logs, snapshots that are due) does not look here.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig
    from pyzk.persistence.directory import Directory


class NoRoomError(Exception):
    """What was asked for does not fit; the message says what is free and what is needed."""


async def look_for_room(directory: Directory, needed: int, config: ServerConfig) -> None:
    """Raises NoRoomError if ``needed`` bytes do not fit beside the next two logs."""
    try:
        found = await asyncio.to_thread(os.statvfs, directory.path)
    except OSError:
        return  # it is no directory of the disk
    free = found.f_bavail * found.f_frsize
    kept = 2 * config.pre_alloc_size_kb * 1024
    if free < needed + kept:
        raise NoRoomError(
            f"There is no room in {directory.path}: {free >> 20} MiB are free, and"
            f" {needed >> 20} MiB are needed beside {kept >> 20} MiB for the log"
        )
