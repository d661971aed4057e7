"""The name of the log that was begun last, kept beside the snapshots: the file ``newestLog``.

Pure. Snapshots without any log look like a restored backup, and a server starts on them. They are
also what is left when dataLogDir is taken out of the configuration or changed, when the file system
of the logs is not mounted, or when logs are removed by hand: then what was acknowledged since the
snapshot would be missing, in silence. So the writer of the log notes where each new log is, once it
is durable and before its first record is; recovery refuses to go on if that log is not there, nor a
later one. Who replaces the history removes the note together with the logs.

A missing note says nothing (ZooKeeper writes none), and a note that could not be written is only
logged: the older one that stays is true as well.
"""

from __future__ import annotations

import logging
from typing import Final

from pyzk.errors import MissingLogError, StorageError
from pyzk.persistence import filenames
from pyzk.persistence.directory import Directory, join, save

NAME: Final = "newestLog"

log = logging.getLogger(__name__)

_READ_BYTES: Final = 8192


def write(snap_directory: Directory, log_directory: Directory, name: str) -> None:
    """Note that the log ``name`` was begun; durable when this returns, unless that fails."""
    noted = f"{join(log_directory, name)}\n".encode("utf-8", "surrogateescape")
    try:
        save(snap_directory, NAME, noted)
    except StorageError as error:
        log.warning("the start of a new log could not be noted, the log is written: %s", error)


def forget(snap_directory: Directory) -> None:
    """Remove the note; that is durable with the next sync of the directory."""
    if NAME in snap_directory.names():
        snap_directory.remove(NAME)


def check(snap_directory: Directory, log_directory: Directory) -> None:
    """Raise MissingLogError if neither the log that is noted is there nor a later one."""
    if NAME not in snap_directory.names():
        return
    noted = (
        snap_directory.read(NAME, 0, _READ_BYTES).decode("utf-8", "surrogateescape").rstrip("\n")
    )
    found = filenames.logs([noted[noted.rfind("/") + 1 :]])
    if not found:
        return  # not ours
    logs = filenames.logs(log_directory.names())
    if not logs or logs[-1].zxid < found[0].zxid:
        raise MissingLogError(
            f"{found[0].name} is missing, the newest log, which was written as {noted}: without it"
            " acknowledged transactions would be lost",
            path=log_directory.path,
            remedy="is dataLogDir still what it was, and is its file system mounted? Restore the"
            f" log; or, to give its transactions up, remove {join(snap_directory, NAME)}",
            written_as=noted,
        )
