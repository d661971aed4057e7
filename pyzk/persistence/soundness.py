"""What a state must be beside readable, so that a server can serve it and read it back later.

Pure. A right checksum says only that the bytes are those that were written. These checks look at
no znode but those that a session owns, and the few that every tree has: a start waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.data.paths import SPECIAL_PATHS
from pyzk.errors import Corrupt
from pyzk.int64 import hex_id
from pyzk.zxid import format_zxid, make

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.data.tree import DataTree

MAX_EPOCH: Final = 0x7FFF_FFFF
"""A zxid is a signed number of 64 bits, and its epoch the upper half."""


def check_acls(tree: DataTree, path: str, remedy: str) -> None:
    """Raises Corrupt if a znode uses an ACL list that nothing defines; ``path`` is that of the file
    or the directory."""
    unknown = tree.acls.unknown()
    if unknown:
        raise Corrupt(
            f"znodes use ACL lists that are not defined anywhere: {unknown[:10]}",
            path=path,
            remedy=remedy,
        )


def check_owners(tree: DataTree, path: str, remedy: str) -> None:
    """Raises Corrupt if a session owns a znode that cannot go with it: one that has children, which
    would be left without a parent, in every snapshot from then on, or one that every tree has."""
    nodes = tree.nodes
    ephemerals = tree.ephemerals
    if not ephemerals:
        return
    wrong = [name for name in SPECIAL_PATHS if tree.is_ephemeral(nodes[name])]
    wrong += [name for owned in ephemerals.values() for name in owned.names if nodes[name].children]
    if wrong:
        name = min(wrong)
        reason = "every tree has it" if name in SPECIAL_PATHS else "it has children"
        owner = hex_id(nodes[name].ephemeral_owner)
        raise Corrupt(
            f"znode {name!r} belongs to session {owner}, though {reason}",
            path=path,
            remedy=remedy,
        )


def check_zxid(database: Database, path: str, remedy: str) -> None:
    """Raises Corrupt if there can be no zxid after the last one."""
    zxid = database.last_zxid
    if zxid >= make(MAX_EPOCH, 0):
        raise Corrupt(
            f"the last zxid is {format_zxid(zxid)}: no zxid is left for further transactions",
            path=path,
            remedy=remedy,
        )
