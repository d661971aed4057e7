"""conformance/ensemble_history.py: a good history passes, and each kind of bad one is found."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from conformance.ensemble_history import (
    EPHEMERAL,
    SEQUENTIAL,
    History,
    Operation,
    Stat,
    Znode,
    violations,
)
from pyzk.zxid import make

R = "/r"
EPOCH = make(1, 0)


def write(number: int, version: int, **rest: object) -> Operation:
    """An acknowledged setData: sent at its number, answered a little later, by session 1."""
    stat = Stat(EPOCH, EPOCH + number, version, 0)
    data = b"w%d" % number
    each = Operation(1, 1, "set", R, data, sent=number, returned=number + 0.5, stat=stat)
    each.zxid = EPOCH + number
    for name, value in rest.items():
        setattr(each, name, value)
    return each


def read(time: float, of: Operation, zxid: int, session: int = 2) -> Operation:
    """A getData that found what that write wrote."""
    each = Operation(session, session, "get", R, sent=time, returned=time + 0.1, stat=of.stat)
    each.zxid, each.found = EPOCH + zxid, of.data
    return each


def create(number: int, path: str, flags: int = 0, session: int = 1) -> Operation:
    """An acknowledged create."""
    owner = session if flags & EPHEMERAL else 0
    stat = Stat(EPOCH + number, EPOCH + number, 0, owner)
    each = Operation(session, session, "create", path, b"c%d" % number, flags=flags)
    each.sent, each.returned, each.zxid, each.stat = number, number + 0.5, EPOCH + number, stat
    each.name = f"{path}{number:010d}" if flags & SEQUENTIAL else path
    return each


def good() -> History:
    """Two writes and reads, a create of each kind, a delete; sessions 1 and 2 live, 3 is over."""
    first, second = write(1, 1), write(2, 2)
    made = [create(3, "/a"), create(4, "/n-", SEQUENTIAL), create(5, "/n-", SEQUENTIAL)]
    alive, over = create(6, "/e", EPHEMERAL), create(7, "/f", EPHEMERAL, session=3)
    gone = create(8, "/g")
    delete = Operation(1, 1, "delete", "/g", sent=9, returned=9.5, zxid=EPOCH + 9)
    sync = Operation(2, 2, "sync", R, sent=10, returned=10.1, zxid=EPOCH + 9)
    operations = [first, second, *made, alive, gone, delete, over]
    operations += [read(1.7, first, 1), sync, read(10, second, 9)]
    assert second.stat is not None
    tree = {R: Znode(second.data, second.stat)}
    for each in (*made, alive):
        assert each.stat is not None
        tree[each.name] = Znode(each.data, each.stat)
    return History(operations, {1, 2}, {R}, {1: tree, 2: dict(tree), 3: dict(tree)})


def without(path: str, *members: int) -> Callable[[History], None]:
    """A change: these members have not got the path."""

    def change(history: History) -> None:
        for sid in members:
            history.trees[sid] = {k: v for k, v in history.trees[sid].items() if k != path}

    return change


def with_also(path: str, like: str) -> Callable[[History], None]:
    """A change: all members have that path, too, as some create made it."""

    def change(history: History) -> None:
        (made,) = [each for each in history.operations if each.name == like]
        assert made.stat is not None
        for sid in history.trees:
            history.trees[sid] = {**history.trees[sid], path: Znode(made.data, made.stat)}

    return change


def operation(place: int, **changes: object) -> Callable[[History], None]:
    """A change: one operation is another."""

    def change(history: History) -> None:
        for name, value in changes.items():
            setattr(history.operations[place], name, value)

    return change


def add(*operations: Operation) -> Callable[[History], None]:
    """A change: operations that were not there."""
    return lambda history: history.operations.extend(operations)


def back_to_first(history: History) -> None:
    """The last write is lost everywhere."""
    first = history.operations[0]
    assert first.stat is not None
    for sid in history.trees:
        history.trees[sid] = {**history.trees[sid], R: Znode(first.data, first.stat)}


UNKNOWN = write(2, 3, zxid=0, stat=None, returned=None, data=b"w9")


def test_a_good_history_passes() -> None:
    assert violations(good()) == []


def test_a_write_without_an_answer_may_have_been_done_or_not() -> None:
    history = good()
    history.operations.append(UNKNOWN)
    assert violations(history) == []
    znode = Znode(b"w9", Stat(EPOCH, EPOCH + 20, 3, 0))
    history.trees = {sid: {**tree, R: znode} for sid, tree in history.trees.items()}
    assert violations(history) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add(write(12, 3, zxid=EPOCH + 2)), "two writes have one zxid"),
        (operation(3, sent=5.6), "has no higher zxid"),
        (operation(0, error=-110), "an error that cannot be"),
        (operation(0, error=-103), "an error that cannot be"),
        (add(write(12, 2)), "is two things"),
        (add(write(12, 3, data=b"w2")), "twice"),
        (operation(0, stat=Stat(EPOCH, EPOCH + 3, 1, 0)), "is not above the one before"),
        (add(read(20, write(19, 3), 19)), "was never written"),
        (operation(1, version=0), "not the next one"),
        (back_to_first, "lost:"),
        (without(R, 1, 2, 3), "is not in the tree"),
        (operation(9, zxid=EPOCH + 10), "a session goes back"),
        (add(read(20, write(2, 2), 1, session=9)), "newer than its zxid"),
        (add(read(20, write(1, 1), 3, session=9)), "not the state at its zxid"),
        (add(read(1.1, write(2, 2), 3, session=9)), "read before it was written"),
        (operation(4, name="/n-0000000004"), "not the next number"),
        (without("/a", 2), "/a on 1"),
        (without("/a", 1, 2, 3), "acknowledged, and not there"),
        (without("/e", 1, 2, 3), "acknowledged, and not there"),
        (with_also("/g", "/g"), "deleted, or its session is over, and still there"),
        (with_also("/f", "/f"), "deleted, or its session is over, and still there"),
        (with_also("/b", "/a"), "nobody has created /b"),
    ],
)
def test_what_cannot_be_is_found(change: Callable[[History], None], words: str) -> None:
    history = good()
    change(history)
    found = violations(history)
    assert any(words in each for each in found), found


def test_a_read_behind_a_sync_may_miss_nothing_of_its_epoch() -> None:
    history = good()
    stale = read(10.05, history.operations[0], 1)
    history.operations[9:] = [attrs.evolve(history.operations[10], zxid=EPOCH + 1), stale]
    assert any("a read behind" in each for each in violations(history))


def test_a_deposed_leader_may_answer_a_sync_and_it_is_counted() -> None:
    history = good()
    history.operations[1].zxid = make(2, 2)
    history.operations[1].stat = Stat(EPOCH, make(2, 2), 2, 0)
    stale = read(10.05, history.operations[0], 1)
    history.operations[9:] = [attrs.evolve(history.operations[10], zxid=EPOCH + 1), stale]
    assert not any("a read behind" in each for each in violations(history))
    assert history.stale_syncs == 1
