"""Loads a snapshot that somebody has sent: a file without a name that says its zxid.

Pure. Its last section does, which is there unless serializeLastProcessedZxid.enabled=false was set
where it was taken. What is sent may be compressed, as snapshots of such a server are.
ZooKeeper: ZKDatabase.deserializeSnapshot, for the command restore

Where this differs from ZooKeeper, on purpose: it does not take compressed ones.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pyzk.errors import Corrupt
from pyzk.persistence import compression
from pyzk.persistence.directory import join
from pyzk.persistence.filenames import TEMPORARY
from pyzk.persistence.replay import compare_digest
from pyzk.persistence.snapshot import HEADER, read_snapshot
from pyzk.persistence.soundness import MAX_EPOCH, check_acls, check_owners
from pyzk.zxid import format_zxid, make

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.persistence.directory import Directory
    from pyzk.persistence.recovery import RecoveryOptions

log = logging.getLogger(__name__)

UPLOAD_NAME: Final = f"received.upload{TEMPORARY}"
"""The name of the file while it comes; a start removes it."""
LAST_ZXID: Final = make(MAX_EPOCH - (1 << 20), 0)
"""The highest zxid that is taken: a million epochs are left then. Who comes near the end of them
will not serve for long, and who reaches it, never again."""
_KINDS: Final = (
    (HEADER[:4], ""),
    (compression.GZIP_MAGIC, ".gz"),
    (compression.SNAPPY_MAGIC, ".snappy"),
)
_REMEDY: Final = "send the body of the command snapshot, or a file snapshot.* that is whole"


def load_upload(directory: Directory, name: str, options: RecoveryOptions) -> Database:
    """Load the snapshot in a file; its last zxid is that of the state. Raises Corrupt for anything
    that is not a whole one, or that no server could go on from, StorageError if it cannot be
    read."""
    path = join(directory, name)
    head = directory.read(name, 0, 16)
    suffix = next((end for magic, end in _KINDS if head.startswith(magic)), None)
    if suffix is None:
        raise Corrupt("what was sent is no snapshot", path=path, remedy=_REMEDY)
    loaded = read_snapshot(directory, name, 0, options.new_tree(), suffix)
    database = loaded.database
    if loaded.last_zxid is None:
        raise Corrupt(
            "the snapshot does not say its last zxid: serializeLastProcessedZxid.enabled was false"
            " where it was taken",
            path=path,
            remedy=_REMEDY,
        )
    tree = database.tree
    for zxid in (loaded.last_zxid, loaded.digest_zxid):
        if not 0 <= zxid <= LAST_ZXID:
            raise Corrupt(
                f"{format_zxid(zxid)} is no zxid after which there can be others for long",
                path=path,
                remedy=_REMEDY,
            )
    check_acls(tree, path, _REMEDY)
    check_owners(tree, path, _REMEDY)
    tree.last_zxid = max(loaded.last_zxid, loaded.digest_zxid)
    notes: list[str] = []
    compare_digest(loaded, notes)
    for note in notes:
        # ZooKeeper writes while it serves: what changed meanwhile is in it in part.
        log.warning("the snapshot is not the state of one moment: %s", note)
    database.digest_mismatches = 0
    options.prepare(database)
    return database
