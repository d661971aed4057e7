"""Turns ACL lists into the numbers by which znodes and snapshots know them.

Pure. Answers to ReferenceCountedACLCache. Most znodes share a few lists, so a znode holds a number
and this table holds the list. The number -1 means the open list (world:anyone:31) and is in no
table. A snapshot stores the table without its usage counts, which are counted anew from the znodes.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import Perms
from pyzk.errors import Corrupt
from pyzk.jute.records import ACL

AclList = tuple[ACL, ...]

OPEN_ACL_ID: Final = -1
OPEN_ACL: Final[AclList] = (ACL(Perms.ALL, "world", "anyone"),)
OPEN_LIST: Final[list[ACL]] = list(OPEN_ACL)
"""The decoded form of the open list, which is shared and never changed."""
MAX_ACL_ID: Final = (1 << 31) - 1
"""A znode has four bytes for the number. The original has more, but counts up from 1, one for each
list that is new."""
READ_ACL: Final[AclList] = (ACL(Perms.READ, "world", "anyone"),)


class AclTable:
    """Holds ACL lists by number, numbers by list, and how many znodes use each."""

    __slots__ = ("_ids", "_lists", "_next_id", "_usage")

    def __init__(self) -> None:
        self._lists: dict[int, AclList] = {}
        self._ids: dict[AclList, int] = {}
        self._usage: dict[int, int] = {}
        self._next_id = 1

    def __len__(self) -> int:
        return len(self._lists)

    def __contains__(self, acl_id: int) -> bool:
        """Return whether a list has this number."""
        return acl_id == OPEN_ACL_ID or acl_id in self._lists

    def get(self, acl_id: int) -> AclList:
        """Return the list with this number. A number that no table ever held is corruption."""
        if acl_id == OPEN_ACL_ID:
            return OPEN_ACL
        acl = self._lists.get(acl_id)
        if acl is None:
            raise Corrupt(
                f"znode refers to the unknown ACL list {acl_id}",
                path="data tree",
                remedy="restore an older snapshot",
            )
        return acl

    def intern(self, acl: AclList) -> int:
        """Return the number of ``acl``, a new one if the list is new; count one usage."""
        if acl == OPEN_ACL:
            return OPEN_ACL_ID
        acl_id = self._ids.get(acl)
        if acl_id is None:
            acl_id = self._next_id
            while acl_id > MAX_ACL_ID or acl_id in self._lists:
                acl_id = acl_id + 1 if acl_id < MAX_ACL_ID else 1
            self._next_id = acl_id + 1
            self._lists[acl_id] = acl
            self._ids[acl] = acl_id
        self._usage[acl_id] = self._usage.get(acl_id, 0) + 1
        return acl_id

    def intern_list(self, acl: list[ACL] | None) -> int:
        """Return the number of a list as it is decoded; count one usage. Null is the empty list."""
        if acl is OPEN_LIST:
            return OPEN_ACL_ID
        return self.intern(() if acl is None else tuple(acl))

    def add_usage(self, acl_id: int) -> None:
        """Count one more znode; while a snapshot is loaded its number may be unknown yet."""
        if acl_id == OPEN_ACL_ID:
            return
        self._usage[acl_id] = self._usage.get(acl_id, 0) + 1

    def release(self, acl_id: int) -> None:
        """Count one znode less; a list that no znode uses is forgotten."""
        if acl_id == OPEN_ACL_ID:
            return
        left = self._usage.get(acl_id, 0) - 1
        if left > 0:
            self._usage[acl_id] = left
        else:
            self._drop(acl_id)

    def load(self, acl_id: int, acl: AclList) -> None:
        """Take a numbered list from a snapshot, without usage; the numbers need not be in order.

        A list stored twice keeps both numbers readable; new znodes get the one loaded last. Raises
        ValueError for a number that no znode can have.
        """
        if not -MAX_ACL_ID <= acl_id <= MAX_ACL_ID:
            raise ValueError(f"an ACL list has the number {acl_id}")
        self._lists[acl_id] = acl
        self._ids[acl] = acl_id
        self._usage.setdefault(acl_id, 0)
        if acl_id >= self._next_id:
            self._next_id = acl_id + 1

    def drop_unused(self) -> None:
        """Forget every list that no znode uses, after loading: ZOOKEEPER-1573's race leaves such
        lists in fuzzy snapshots."""
        for acl_id in [acl_id for acl_id, count in self._usage.items() if count <= 0]:
            self._drop(acl_id)

    def unknown(self) -> list[int]:
        """Return the numbers that loaded znodes use and that no list is known for.

        Such a number is legal in a fuzzy snapshot until the log behind it is replayed, and
        corruption afterwards.
        """
        return [acl_id for acl_id in self._usage if acl_id not in self._lists]

    def items(self) -> list[tuple[int, AclList]]:
        """Return every (number, list), in the order in which they were made."""
        return list(self._lists.items())

    def _drop(self, acl_id: int) -> None:
        self._usage.pop(acl_id, None)
        acl = self._lists.pop(acl_id, None)
        if acl is not None and self._ids.get(acl) == acl_id:
            del self._ids[acl]
