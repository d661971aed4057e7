"""One znode: its data, its stat fields and its children.

Pure. Answers to DataNode. Plain slots: there may be millions, and every read touches one.
``2·cversion - children`` is the cversion that clients see, because the stored one counts creations
only.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from pyzk.compiling import mypyc_attr
from pyzk.data.name_set import KeptLists, NameSet
from pyzk.jute.packing import (
    pack_qqqqiiiqiiq,
    pack_qqqqiiiqq,
    pack_ssqqqqqiiiq,
)

if TYPE_CHECKING:
    from mypy_extensions import i32

CHILDREN_CAPACITY: Final = 8
"""The capacity with which the original makes the set of children."""

_crc32: Final = zlib.crc32

STAT_BYTES: Final = 68
KEPT_STATS: Final = 1 << 16
"""The wire Stats of so many znodes are kept: 7 MB."""
KEPT_PATH: Final = 256
"""The most characters of the path of such a znode: the path stays when the znode is gone."""
JOINED_BYTES: Final = 1024
"""Data up to this length is copied so that one call computes a digest, and not two."""
_NO_CHILDREN: Final = bytes(4)


def to_int32(value: int) -> int:
    """Wrap to a signed 32-bit number, as Java's int arithmetic does."""
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000


# No znode is part of a cycle, so the compiled form needs no head for the collector; with that, and
# with numbers of four bytes where they suffice, a znode takes 128 bytes instead of 176.
@mypyc_attr(acyclic=True)
class DataNode:
    """One znode. Only the tree writes its fields, and calls ``forget_stat`` when it does."""

    __slots__ = (
        "acl_id",
        "aversion",
        "children",
        "ctime",
        "cversion",
        "czxid",
        "data",
        "digest",
        "ephemeral_owner",
        "is_owned",
        "mark",
        "mtime",
        "mzxid",
        "pzxid",
        "stat",
        "version",
    )

    def __init__(
        self,
        data: bytes | None,
        acl_id: int,
        czxid: int = 0,
        mzxid: int = 0,
        ctime: int = 0,
        mtime: int = 0,
        version: int = 0,
        cversion: int = 0,
        aversion: int = 0,
        ephemeral_owner: int = 0,
        pzxid: int = 0,
    ) -> None:
        self.data = data
        self.children: NameSet | None = None
        """The names of the children; None as long as there has never been one."""
        self.stat: bytes | None = None
        """The Stat as it is on the wire, where `KeptStats` keeps it, and empty after a change;
        None where it does not."""
        self.czxid = czxid
        self.mzxid = mzxid
        self.ctime = ctime
        self.mtime = mtime
        self.ephemeral_owner = ephemeral_owner
        self.pzxid = pzxid
        self.digest = 0
        """This znode's share of the tree digest."""
        self.acl_id: i32 = acl_id
        self.version: i32 = version
        self.cversion: i32 = cversion
        self.aversion: i32 = aversion
        self.mark: i32 = 0
        """The number of the last snapshot that has this znode's state."""
        self.is_owned = False
        """Whether a session owns this znode, so that the owner is no container and no TTL."""

    @property
    def shown_owner(self) -> int:
        """Return the ephemeralOwner that clients see: 0 for containers and TTL znodes."""
        return self.ephemeral_owner if self.is_owned else 0

    def encode_stat(self) -> bytes:
        """Return the 68 bytes of the wire Stat."""
        stat = self.stat
        if stat:
            return stat
        data = self.data
        children = self.children
        count = len(children.names) if children is not None else 0
        encoded = pack_qqqqiiiqiiq(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            to_int32(2 * self.cversion - count),
            self.aversion,
            self.shown_owner,
            0 if data is None else len(data),
            count,
            self.pzxid,
        )
        if stat is not None:
            self.stat = encoded
        return encoded

    def forget_stat(self) -> None:
        """Note that something has changed that the Stat says."""
        if self.stat is not None:
            self.stat = b""

    def add_child(self, path: str, name_at: int) -> None:
        """Note a new child, by its path and by where in it the name begins."""
        children = self.children
        if children is None:
            children = self.children = NameSet(CHILDREN_CAPACITY, name_at)
        children.add(path)

    def list_children(self) -> list[str]:
        """Return the names of the children in the order in which clients are told them."""
        children = self.children
        return [] if children is None else children.in_order()

    def encode_children(self, kept: KeptLists) -> bytes:
        """Return the wire form of ``list_children``, which ``kept`` keeps."""
        children = self.children
        return _NO_CHILDREN if children is None else kept.encode(children)

    def encode_persisted(self) -> bytes:
        """Return the 60 bytes of StatPersisted, as snapshots hold them."""
        return pack_qqqqiiiqq(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            self.cversion,
            self.aversion,
            self.ephemeral_owner,
            self.pzxid,
        )

    def copy(self) -> DataNode:
        """Return a copy of the znode that shares the set of children."""
        node = DataNode(
            self.data,
            self.acl_id,
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            self.cversion,
            self.aversion,
            self.ephemeral_owner,
            self.pzxid,
        )
        node.is_owned = self.is_owned
        node.children = self.children
        node.digest = self.digest
        return node

    def set_data_quietly(self, data: bytes) -> None:
        """Replace the data and nothing else, as the bookkeeping of quotas does."""
        self.data = data
        self.forget_stat()


class KeptStats:
    """The znodes whose Stat is kept on them as bytes: those that were read last for the first time.
    Such bytes take 101 more for a znode, a third of what it has without them."""

    __slots__ = ("_at", "_limit", "_nodes", "_paths")

    def __init__(self, nodes: dict[str, DataNode], limit: int = KEPT_STATS) -> None:
        self._nodes = nodes
        self._limit = limit
        self._paths: list[str] = []
        """Their paths, the oldest at ``_at``. (Not the znodes: one that is deleted would stay.)"""
        self._at = 0

    def encode(self, path: str, node: DataNode) -> bytes:
        """Return the wire Stat of a znode, and keep it unless the path is long."""
        if node.stat is None and len(path) <= KEPT_PATH:
            node.stat = b""
            self._note(path, node)
        return node.encode_stat()

    def _note(self, path: str, node: DataNode) -> None:
        """Note a znode whose Stat is kept from now on; that of the oldest is not any more."""
        paths = self._paths
        if len(paths) < self._limit:
            paths.append(path)
            return
        at = self._at
        oldest = self._nodes.get(paths[at])
        if oldest is not None and oldest is not node:
            oldest.stat = None
        paths[at] = path
        self._at = at + 1 if at + 1 < self._limit else 0


def compute_digest(path: str, node: DataNode) -> int:
    """Return the digest (version 2) of a znode: a CRC-32 over path, data and stat.

    Znodes below /zookeeper/ count nothing; the root's path counts as empty.
    """
    if path.startswith("/zookeeper/"):
        return 0
    # The CRC of the path is not kept: 8 bytes for each znode would save 3 % of a write.
    if path == "/":
        path = ""
    try:
        head = path.encode()
    except UnicodeEncodeError:
        head = path.encode("utf-8", "surrogatepass")
    data = node.data
    if data is None:
        data = b""
    crc = 0
    if len(data) > JOINED_BYTES:
        crc = _crc32(data, _crc32(head))
        head = data = b""
    return _crc32(
        pack_ssqqqqqiiiq(
            head,
            data,
            node.czxid,
            node.mzxid,
            node.pzxid,
            node.ctime,
            node.mtime,
            node.version,
            node.cversion,
            node.aversion,
            node.ephemeral_owner,
        ),
        crc,
    )
