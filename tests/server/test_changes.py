"""Pending changes: newest first, gone when applied, taken back when a multi fails."""

from __future__ import annotations

import pytest

from pyzk.data.pending import PendingNode
from pyzk.metrics import Metrics
from pyzk.server.changes import OutstandingChanges


def pending(path: str, zxid: int, *, owner: int = 0, is_create: bool = False) -> PendingNode:
    czxid = zxid if is_create else 1
    node = PendingNode(path, zxid, b"", -1, czxid, zxid, ephemeral_owner=owner)
    node.is_create = is_create
    return node


@pytest.fixture
def changes() -> OutstandingChanges:
    return OutstandingChanges(Metrics())


def test_the_newest_state_of_a_path_covers_the_others(changes: OutstandingChanges) -> None:
    first, second = pending("/a", 1), pending("/a", 2)
    changes.put(first)
    changes.put(second)
    assert changes.nodes == {"/a": second}
    assert list(changes.made) == [first, second]


def test_what_is_applied_is_forgotten(changes: OutstandingChanges) -> None:
    for zxid, path in enumerate(("/a", "/b", "/a"), 1):
        changes.put(pending(path, zxid))
    changes.applied(1)
    assert list(changes.nodes) == ["/a", "/b"]  # /a has a newer state
    changes.applied(2)
    assert list(changes.nodes) == ["/a"]
    changes.applied(9)
    assert not changes.nodes
    assert not changes.made
    changes.applied(9)


def test_a_rollback_restores_what_was_pending_before(changes: OutstandingChanges) -> None:
    before = pending("/a", 1)
    changes.put(before)
    changes.begin()
    for path in ("/a", "/b", "/a", "/b"):
        changes.put(pending(path, 2))
    changes.rollback()
    assert changes.nodes == {"/a": before}
    assert list(changes.made) == [before]
    with pytest.raises(AssertionError, match="begin"):
        changes.rollback()


def test_what_is_kept_can_be_rolled_back_no_more(changes: OutstandingChanges) -> None:
    changes.begin()
    changes.put(pending("/a", 1))
    changes.keep()
    changes.put(pending("/b", 2))
    assert list(changes.nodes) == ["/a", "/b"]
    with pytest.raises(AssertionError):
        changes.rollback()


def test_pending_ephemerals_are_known_until_the_tree_has_them(changes: OutstandingChanges) -> None:
    changes.put(pending("/e", 1, owner=7, is_create=True))
    changes.own(7, "/e")
    changes.put(pending("/f", 2, owner=7, is_create=True))
    changes.own(7, "/f")
    changes.put(pending("/e", 3, owner=7))  # a setData: no create
    assert list(changes.owned[7]) == ["/e", "/f"]
    changes.applied(1)
    assert list(changes.owned[7]) == ["/f"]
    changes.applied(3)
    assert changes.owned == {}


def test_a_rollback_disowns_its_ephemerals_and_no_others(changes: OutstandingChanges) -> None:
    changes.put(pending("/e", 1, owner=7, is_create=True))
    changes.own(7, "/e")
    changes.begin()
    changes.put(pending("/e", 2, owner=7))
    changes.put(pending("/f", 2, owner=7, is_create=True))
    changes.own(7, "/f")
    changes.put(pending("/g", 2, owner=8, is_create=True))
    changes.own(8, "/g")
    changes.rollback()
    assert {owner: list(paths) for owner, paths in changes.owned.items()} == {7: ["/e"]}


def test_an_ephemeral_made_twice_is_owned_until_both_are_applied(
    changes: OutstandingChanges,
) -> None:
    for zxid in (1, 3):
        changes.put(pending("/e", zxid, owner=7, is_create=True))
        changes.own(7, "/e")
    changes.applied(1)
    assert list(changes.owned[7]) == ["/e"]
    changes.applied(3)
    assert changes.owned == {}
