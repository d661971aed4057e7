"""The order of Java's HashSet, against recordings of a real one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.hash_set_orders import Script, load
from pyzk.data import java_bin
from pyzk.data.java_order import MOST_IN_TREES, HashTable, capacity_for, spread_hash, spread_hashes

SCRIPTS = load()


def plain_hash(text: str) -> int:
    """Return what the definition of String.hashCode gives, spread."""
    units = text.encode("utf-16-be", "surrogatepass")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = code * 31 + high * 256 + low & 0xFFFFFFFF
    return code ^ code >> 16


@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_the_hash_is_that_of_its_definition(text: str) -> None:
    assert spread_hash(text) == plain_hash(text)


@pytest.mark.parametrize("head", ["", "node-", "é", "\U0001f600", "x" * 300])
@given(st.data())
def test_many_names_with_digits_at_the_end_are_hashed_alike(head: str, data: st.DataObject) -> None:
    tails = st.text("0123456789", max_size=8) | st.text("0aé\u0663", max_size=3)
    names = [head + tail for tail in data.draw(st.lists(tails, max_size=30))]
    assert spread_hashes(names) == [plain_hash(name) for name in names]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 256, 5000])
@pytest.mark.parametrize("letter", ["a", "\xff", "\uffff", "\U0001f600"])
def test_long_names_are_hashed_in_pieces(letter: str, length: int) -> None:
    assert spread_hash(letter * length) == plain_hash(letter * length)


def play(script: Script, table: HashTable) -> list[tuple[list[str], list[str]]]:
    """Return (order here, order in Java) of each question."""
    found = []
    for what, x in script.steps:
        if isinstance(x, str):
            if what == "+":
                table.extend([x])
            else:
                table.remove(x)
        elif what == "?":
            found.append((table.names(), x))
        else:
            found.append((HashTable.clone_of(table.names()).names(), x))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.kind)
def test_every_recorded_order(script: Script) -> None:
    for ours, theirs in play(script, HashTable(script.capacity)):
        assert ours == theirs


def test_the_recordings_have_trees_and_sets_that_shrink() -> None:
    trees = 0
    for script in SCRIPTS:
        table = HashTable(script.capacity)
        trees += bool(play(script, table)) and not table.is_plain
    assert trees >= 10
    assert {script.kind for script in SCRIPTS} >= {"grown", "unicode", "meeting", "mixed"}


@given(st.sampled_from(SCRIPTS), st.integers(1, 50))
def test_many_names_at_once_are_as_one_by_one(script: Script, size: int) -> None:
    added = [x for what, x in script.steps if what == "+" and isinstance(x, str)]
    names = list(dict.fromkeys(added))
    single = HashTable(script.capacity)
    for name in names:
        single.extend([name])
    batches = HashTable(script.capacity)
    for start in range(0, len(names), size):
        batches.extend(names[start : start + size])
    whole = HashTable(script.capacity)
    whole.extend(names)
    assert batches.names() == whole.names() == single.names()
    assert batches.capacity == whole.capacity == single.capacity


def test_a_table_grows_when_three_quarters_are_passed() -> None:
    assert [capacity_for(size, 8) for size in (0, 6, 7, 12, 13, 24, 25)] == [
        *(8, 8, 16, 16, 32, 32, 64),
    ]
    table = HashTable(8)
    for number, capacity in enumerate((8, 8, 8, 8, 8, 8, 16, 16), start=1):
        table.extend([f"n{number}"])
        assert table.capacity == capacity


def test_names_that_meet_make_a_small_table_grow_and_a_larger_one_a_tree() -> None:
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=4)]
    table = HashTable(8)
    table.extend(names[:8])
    assert (table.capacity, table.is_plain) == (16, True)
    table.extend(names[8:10])
    assert (table.capacity, table.is_plain) == (64, False)
    table.extend(names[10:11])
    assert (table.capacity, table.is_plain) == (64, False)


@pytest.mark.parametrize(
    ("size", "capacity"), [(0, 16), (1, 2), (2, 4), (3, 8), (6, 16), (11, 16), (12, 32), (24, 64)]
)
def test_the_capacity_of_a_clone(size: int, capacity: int) -> None:
    assert HashTable.clone_of([f"n{number}" for number in range(size)]).capacity == capacity


def test_a_small_tree_ends_when_its_table_grows() -> None:
    """Though all its names go into one half: what comes then is the last of a plain list."""
    met = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=4)]
    bucket = spread_hash(met[0]) & 63
    numbered = [f"n{number}" for number in range(60)]
    table = HashTable(64)
    table.extend(met[3:12])
    for name in met[7:12]:
        table.remove(name)
    left = [name for name in table.names() if name in met]
    table.extend([name for name in numbered if spread_hash(name) & 63 != bucket])
    assert table.capacity == 128
    table.extend(met[:2])
    assert [name for name in table.names() if name in met] == left + met[:2]


@pytest.mark.source  # it replaces parts of modules
def test_names_that_meet_on_purpose_cost_no_more_than_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else anybody who may create znodes makes each list of them take seconds."""
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=13)]
    count = 0

    def counting(*sides: object) -> bool:
        nonlocal count
        count += 1
        return is_before(*sides)  # type: ignore[arg-type]

    is_before = java_bin.is_before
    monkeypatch.setattr(java_bin, "is_before", counting)
    table = HashTable(8)
    table.extend(names)
    for name in ("one", "two"):
        table.extend([name])
    assert count < 20 * MOST_IN_TREES
    there = table.names()
    assert sorted(there) == sorted([*names, "one", "two"])
    assert there[-2:] == ["one", "two"]
    assert not table.remove("absent")
    for name in names:
        assert table.remove(name)
    assert (table.size, table.names()) == (2, ["one", "two"])
    assert not table.is_plain


def test_trees_that_went_do_not_count() -> None:
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=11)]
    table, other = HashTable(8), HashTable(8)
    for _ in range(3):
        table.extend(names)
        for name in names:
            table.remove(name)
    other.grow_to(table.capacity)
    table.extend(names[:20])
    other.extend(names[:20])
    assert table.names() == other.names()
