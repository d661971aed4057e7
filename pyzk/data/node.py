"""One znode: its data, its stat fields and its children.

Pure. Answers to DataNode. Plain slots: there may be millions, and every read touches one.
The wire form of the stat is cached until a field changes; ``2·cversion - children`` is the
cversion that clients see, because the stored one counts creations only.
"""

from __future__ import annotations

import zlib
from typing import Final

from pyzk.data.name_set import NameSet
from pyzk.jute.packing import (
    pack_qqqqiiiqiiq,
    pack_qqqqiiiqq,
    pack_qqqqqiiiq,
)

CHILDREN_CAPACITY: Final = 8
"""The capacity with which the original makes the set of children."""

_crc32: Final = zlib.crc32

STAT_BYTES: Final = 68
JOINED_BYTES: Final = 1024
"""Data up to this length is copied so that one call computes a digest, and not two."""
_NO_CHILDREN: Final = bytes(4)
_UNCOUNTED: Final = -2
"""The path_crc of a znode that is not part of the tree digest."""


def to_int32(value: int) -> int:
    """Wrap to a signed 32-bit number, as Java's int arithmetic does."""
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000


class DataNode:
    """One znode. Only the tree writes its fields, and clears ``stat`` when it does."""

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
        "mark",
        "mtime",
        "mzxid",
        "path_crc",
        "pzxid",
        "shown_owner",
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
        self.acl_id = acl_id
        self.czxid = czxid
        self.mzxid = mzxid
        self.ctime = ctime
        self.mtime = mtime
        self.version = version
        self.cversion = cversion
        self.aversion = aversion
        self.ephemeral_owner = ephemeral_owner
        self.pzxid = pzxid
        self.shown_owner = 0
        """The ephemeralOwner that clients see: 0 for containers and TTL znodes."""
        self.children: NameSet | None = None
        """The names of the children; None as long as there has never been one."""
        self.stat: bytes | None = None
        """The Stat as it is on the wire; None after a change."""
        self.digest = 0
        """This znode's share of the tree digest."""
        self.path_crc = -1
        """The CRC-32 of the path, with which the digest begins; -1 before it is asked for."""
        self.mark = 0
        """The number of the last snapshot that has this znode's state."""

    def encode_stat(self) -> bytes:
        """Return the 68 bytes of the wire Stat."""
        stat = self.stat
        if stat is None:
            data = self.data
            children = self.children
            count = len(children.names) if children is not None else 0
            stat = self.stat = pack_qqqqiiiqiiq(
                self.czxid,
                self.mzxid,
                self.ctime,
                self.mtime,
                self.version,
                to_int32(2 * self.cversion - count),
                self.aversion,
                self.shown_owner,
                len(data) if data else 0,
                count,
                self.pzxid,
            )
        return stat

    def add_child(self, name: str) -> None:
        """Note a new child."""
        children = self.children
        if children is None:
            children = self.children = NameSet(CHILDREN_CAPACITY)
        children.add(name)

    def list_children(self) -> list[str]:
        """Return the names of the children in the order in which clients are told them."""
        children = self.children
        return [] if children is None else children.in_order()

    def encode_children(self) -> bytes:
        """Return the wire form of ``list_children``."""
        children = self.children
        return _NO_CHILDREN if children is None else children.encode()

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
        node.shown_owner = self.shown_owner
        node.children = self.children
        node.digest = self.digest
        node.path_crc = self.path_crc
        return node

    def set_data_quietly(self, data: bytes) -> None:
        """Replace the data and nothing else, as the bookkeeping of quotas does."""
        self.data = data
        self.stat = None


def compute_digest(path: str, node: DataNode) -> int:
    """Return the digest (version 2) of a znode: a CRC-32 over path, data and stat.

    Znodes below /zookeeper/ count nothing; the root's path counts as empty.
    """
    crc = node.path_crc
    if crc < 0:
        if crc == _UNCOUNTED:
            return 0
        if path.startswith("/zookeeper/"):
            node.path_crc = _UNCOUNTED
            return 0
        crc = 0 if path == "/" else zlib.crc32(path.encode("utf-8", "surrogatepass"))
        node.path_crc = crc
    data = node.data
    if data and len(data) > JOINED_BYTES:
        crc = _crc32(data, crc)
        data = None
    fields = pack_qqqqqiiiq(
        node.czxid,
        node.mzxid,
        node.pzxid,
        node.ctime,
        node.mtime,
        node.version,
        node.cversion,
        node.aversion,
        node.ephemeral_owner,
    )
    return _crc32(data + fields if data else fields, crc)
