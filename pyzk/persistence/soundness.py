"""What a state must be beside readable, so that a server can serve it and read it back later.

Pure. A right checksum says only that the bytes are those that were written. These checks look at
few znodes: a start waits for them.
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


def check_owners(database: Database, path: str, remedy: str, *, skips_living: bool = False) -> None:
    """Raises Corrupt if a session owns a znode that cannot go with it: one that has children, which
    would be left without a parent, in every snapshot from then on, or one that every tree has.

    With ``skips_living`` the znodes of sessions that are not over are not looked at: that costs a
    start some percent if there are many of them. Those of others are about to be deleted.
    """
    tree = database.tree
    nodes = tree.nodes
    living = database.sessions if skips_living else {}
    first = [name for name in SPECIAL_PATHS if name in nodes]
    wrong = [name for name in first if tree.is_ephemeral(nodes[name])]
    for session_id, owned in tree.ephemerals.items():
        if session_id not in living:
            wrong += [name for name in owned.names if nodes[name].children]
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
