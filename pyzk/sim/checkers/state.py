"""Equal states at equal zxids: digests at every step, whole trees in the end.

Pure.
"""

from __future__ import annotations

from pyzk.data.database import Database
from pyzk.data.paths import CONFIG
from pyzk.sim.checkers import Violation
from pyzk.zxid import format_zxid


class StateChecker:
    """Checks that all servers have the same digest at the same zxid."""

    def __init__(self) -> None:
        self._digests: dict[int, tuple[int, str]] = {}

    def seen(self, who: str, zxid: int, database: Database) -> None:
        """Checks the digest of a server that serves or was just loaded, at ``zxid`` (resolved)."""
        tree = database.tree
        if not tree.digests:
            return
        known = self._digests.get(zxid)
        if known is None:
            self._digests[zxid] = (tree.digest, who)
        elif known[0] != tree.digest:
            raise Violation(
                "digests",
                f"at {format_zxid(zxid)} {who} has {tree.digest}, {known[1]} had {known[0]}",
            )
        if database.digest_mismatches:
            raise Violation("digests", f"{who} found a transaction's digest to be another")


def compare(one: str, first: Database, other: str, second: Database) -> None:
    """Raise if two databases that must be equal are not."""
    if first.sessions != second.sessions:
        raise Violation("state", f"sessions of {one}: {first.sessions}, {other}: {second.sessions}")
    a, b = first.tree.nodes, second.tree.nodes
    if sorted(a) != sorted(b):
        missing = sorted(set(a) ^ set(b))
        raise Violation("state", f"only one of {one} and {other} has {missing}")
    for path in sorted(a):
        if path == CONFIG:
            continue  # each server has written it at a time of its own
        x, y = a[path], b[path]
        if x.data != y.data or x.encode_persisted() != y.encode_persisted():
            raise Violation("state", f"{path} differs between {one} and {other}")
        if sorted(x.children or ()) != sorted(y.children or ()):
            raise Violation("state", f"the children of {path} differ between {one} and {other}")
        if first.tree.acls.get(x.acl_id) != second.tree.acls.get(y.acl_id):
            raise Violation("state", f"the ACL of {path} differs between {one} and {other}")
