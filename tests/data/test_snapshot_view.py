"""A view of one moment: what is read later is what was then."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.data.snapshot_view import Frozen, SnapshotView
from pyzk.data.tree import DataTree
from pyzk.jute.records import ACL, CreateTxn, DeleteTxn, SetACLTxn, SetDataTxn, TxnHeader
from tests.frames import OPEN


def apply(tree: DataTree, zxid: int, kind: int, body: object) -> None:
    tree.apply(TxnHeader(1, 1, zxid, 1000 + zxid, kind), body)


def create(tree: DataTree, zxid: int, path: str, data: bytes = b"") -> None:
    apply(tree, zxid, OpCode.CREATE, CreateTxn(path, data, OPEN, False, -1))


def copy_of(tree: DataTree) -> list[Frozen]:
    return [
        (path, node.data, node.acl_id, node.encode_persisted()) for path, node in tree.nodes.items()
    ]


def read_all(view: SnapshotView, limit: int = 2) -> list[Frozen]:
    out = []
    while chunk := view.read(limit):
        out += chunk
    return out


@pytest.fixture
def tree() -> DataTree:
    tree = DataTree()
    for number, path in enumerate(("/a", "/a/b", "/c"), 1):
        create(tree, number, path, b"old")
    return tree


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_a_view_reads_every_znode_parents_first(tree: DataTree, limit: int) -> None:
    view = tree.freeze()
    assert view.total == 7
    frozen = read_all(view, limit)
    assert frozen == copy_of(tree)
    paths = [path for path, *_ in frozen]
    assert all(
        paths.index(path.rpartition("/")[0] or "/") < paths.index(path) for path in paths[1:]
    )
    view.close()


@pytest.mark.parametrize("read_first", range(8))
def test_what_happens_later_is_not_in_the_view(tree: DataTree, read_first: int) -> None:
    expected = copy_of(tree)
    view = tree.freeze()
    begun = view.read(read_first) if read_first else []
    create(tree, 4, "/a/new")
    apply(tree, 5, OpCode.SET_DATA, SetDataTxn("/c", b"new", 1))
    apply(tree, 6, OpCode.SET_ACL, SetACLTxn("/c", [ACL(1, "world", "anyone")], 1))
    apply(tree, 7, OpCode.DELETE, DeleteTxn("/a/b"))
    create(tree, 8, "/a/b", b"made again")
    apply(tree, 9, OpCode.SET_DATA, SetDataTxn("/a/b", b"and changed", 1))
    apply(tree, 10, OpCode.DELETE, DeleteTxn("/a/new"))
    assert begun + read_all(view) == expected
    view.close()
    assert read_all(tree.freeze()) == copy_of(tree)


def test_a_create_that_exists_saves_the_parent_first(tree: DataTree) -> None:
    expected = copy_of(tree)
    view = tree.freeze()
    apply(tree, 4, OpCode.CREATE, CreateTxn("/a/b", b"", OPEN, False, 9))
    apply(tree, 5, OpCode.DELETE, DeleteTxn("/c/gone"))
    assert read_all(view) == expected


@pytest.mark.parametrize("newest_ends_first", [True, False])
def test_each_of_several_views_has_its_own_moment(tree: DataTree, newest_ends_first: bool) -> None:
    def change(zxid: int) -> None:
        apply(tree, zxid, OpCode.SET_DATA, SetDataTxn("/c", b"%d" % zxid, zxid))
        create(tree, zxid + 1, f"/a/n{zxid}")
        apply(tree, zxid + 2, OpCode.DELETE, DeleteTxn(f"/a/n{zxid}"))
        create(tree, zxid + 3, f"/c/n{zxid}")

    moments = []
    for zxid in (10, 20, 30):
        moments.append((tree.freeze(), copy_of(tree)))
        change(zxid)
    order = reversed(moments) if newest_ends_first else moments
    zxid = 40
    for view, expected in order:
        change(zxid)
        assert read_all(view) == expected
        view.close()
        zxid += 10
    last = copy_of(tree)
    view = tree.freeze()
    change(zxid)
    assert read_all(view) == last
    view.close()


def test_when_the_newest_view_ends_no_znode_is_copied_for_it_again(tree: DataTree) -> None:
    older, newer = tree.freeze(), tree.freeze()
    apply(tree, 4, OpCode.SET_DATA, SetDataTxn("/c", b"1", 1))
    copy = tree.nodes["/c"]
    newer.close()
    apply(tree, 5, OpCode.SET_DATA, SetDataTxn("/c", b"2", 2))
    assert tree.nodes["/c"] is copy
    older.close()


def test_a_closed_view_has_nothing_more_and_may_be_closed_again(tree: DataTree) -> None:
    view = tree.freeze()
    view.close()
    view.close()
    assert view.read(1) == []


def test_a_znode_is_copied_once_for_a_view_and_loses_nothing(tree: DataTree) -> None:
    apply(tree, 4, OpCode.CREATE, CreateTxn("/a/e", b"", OPEN, True, -1))
    view = tree.freeze()
    before = tree.nodes["/a"]
    apply(tree, 5, OpCode.SET_DATA, SetDataTxn("/a", b"1", 1))
    copy = tree.nodes["/a"]
    apply(tree, 6, OpCode.SET_DATA, SetDataTxn("/a", b"2", 2))
    apply(tree, 7, OpCode.SET_DATA, SetDataTxn("/a/e", b"x", 1))
    assert copy is not before
    assert tree.nodes["/a"] is copy
    assert before.data == b"old"
    assert copy.children is before.children
    assert tree.nodes["/a/e"].shown_owner == 1
    create(tree, 8, "/a/f")
    assert list(copy.children or ()) == ["b", "e", "f"]
    again = DataTree()
    for path, node in tree.nodes.items():
        again.load_node(path, node.copy())
    assert again.digest == tree.digest
    view.close()


def test_an_abandoned_view_leaves_the_tree_as_it_is(tree: DataTree) -> None:
    view = tree.freeze()
    view.read(1)
    apply(tree, 4, OpCode.SET_DATA, SetDataTxn("/c", b"new", 1))
    view.close()
    second = tree.freeze()
    apply(tree, 5, OpCode.SET_DATA, SetDataTxn("/c", b"newer", 2))
    assert ("/c", b"new") in [(path, data) for path, data, *_ in read_all(second)]
