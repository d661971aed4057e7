"""Sets of names that know their order in Java only when they are asked for it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.hash_set_orders import Script, load
from pyzk.data import java_order, name_set
from pyzk.data.java_order import HashTable
from pyzk.data.name_set import GONE_LIMIT, KeptLists, NameSet
from pyzk.jute.archive import encode_strings
from pyzk.metrics import Metrics

SCRIPTS = load()

meeting = st.lists(st.sampled_from(("Aa", "BB", "C#")), min_size=3, max_size=4).map("".join)
apart = st.integers(0, 99).map("n{}".format) | st.text(max_size=3)


def scripts(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(st.sampled_from("++++---?"), names), max_size=150)


@given(st.sampled_from(SCRIPTS), st.integers(1, 9))
def test_recorded_orders_whenever_they_are_asked_for(script: Script, every: int) -> None:
    """Which of the questions are asked does not change the answers to the others."""
    found = NameSet(script.capacity)
    if script.kind in ("meeting", "mixed"):
        every = 1
    for number, (what, x) in enumerate(script.steps):
        if isinstance(x, list):
            if number % every == 0:
                assert (found.in_order() if what == "?" else found.clone().names()) == x
                if what == "?":
                    assert found.encode() == encode_strings(x)
        elif what == "+":
            found.add(x)
        else:
            if every == 1:
                found.in_order()  # so that it knows which names have met
            found.discard(x)


@given(scripts(apart), st.booleans())
def test_it_lists_as_a_table_that_is_always_there(
    script: list[tuple[str, str]], asks_always: bool
) -> None:
    compare(script, asks_always)


@given(scripts(meeting | apart))
def test_names_that_meet_are_listed_as_in_a_table_that_is_always_there(
    script: list[tuple[str, str]],
) -> None:
    compare(script, asks_always=True)


def compare(script: list[tuple[str, str]], asks_always: bool) -> None:
    lazy, table = NameSet(8), HashTable(8)
    there: dict[str, None] = {}
    for what, name in script:
        if what == "+":
            lazy.add(name)
            if name not in there:
                table.extend([name])
                there[name] = None
        elif what == "-":
            lazy.discard(name)
            if name in there:
                table.remove(name)
                del there[name]
        if what == "?" or asks_always:
            assert lazy.encode() == encode_strings(table.names())
    assert lazy.in_order() == table.names()
    assert (list(lazy), len(lazy)) == (list(there), len(there))
    assert all(name in lazy for name in there)


def test_names_that_have_met_are_noticed_at_the_first_removal() -> None:
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=4)]
    for count in (9, 10, 11, 16):
        for gone in range(count):
            lazy, table = NameSet(8), HashTable(8)
            table.extend(names[:count])
            for name in names[:count]:
                lazy.add(name)
            for name in names[gone:count]:
                lazy.discard(name)
                table.remove(name)
            lazy.add("again")
            table.extend(["again"])
            assert lazy.in_order() == table.names()


def has_table(found: NameSet) -> bool:
    return found._table is not None


def grown(count: int) -> NameSet:
    found = NameSet(8)
    for number in range(count):
        found.add(f"n{number}")
    return found


def test_the_encoded_list_is_kept_until_the_set_changes() -> None:
    found = grown(3)
    raw = found.encode()
    assert found.encode() is raw
    found.discard("absent")
    assert found.encode() is raw
    found.add("n3")
    assert found.encode() != raw
    found.discard("n3")
    assert found.encode() == raw


def test_an_order_asked_for_once_leaves_no_table_behind() -> None:
    found = grown(100)
    found.encode()
    assert not has_table(found)
    found.add("more")
    found.encode()
    assert has_table(found)


def test_a_set_remembers_how_large_it_was() -> None:
    found = grown(100)
    for number in range(97):
        found.discard(f"n{number}")
    table = HashTable(256)
    table.extend(["n97", "n98", "n99"])
    assert found.in_order() == table.names()


def test_many_removals_let_the_table_go() -> None:
    found = grown(160)
    table = HashTable(8)
    table.extend(list(found))
    found.encode()
    found.add("more")
    table.extend(["more"])
    found.encode()
    for number in range(GONE_LIMIT + 20):
        assert has_table(found)
        found.discard(f"n{number}")
        table.remove(f"n{number}")
    found.discard("n50")
    table.remove("n50")
    assert not has_table(found)
    assert found.in_order() == table.names()


@pytest.mark.source  # it replaces parts of modules
def test_coming_and_going_computes_no_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = grown(100)
    found.discard("n0")
    found.encode()
    found.add("n0")
    found.encode()  # there is a table now

    def never(text: str) -> int:
        raise AssertionError(text)

    monkeypatch.setattr(java_order, "spread_hash", never)
    monkeypatch.setattr(name_set, "spread_hashes", never)
    for number in range(20, 60):
        found.add(f"new{number}")
        found.discard(f"n{number}")


@pytest.mark.source  # it replaces parts of modules
def test_a_removal_from_a_large_set_does_not_look_at_its_buckets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_set, "LOOK_LIMIT", 50)
    test_coming_and_going_computes_no_hashes(monkeypatch)
    monkeypatch.undo()
    monkeypatch.setattr(name_set, "LOOK_LIMIT", 50)
    found = grown(100)
    table = HashTable(8)
    table.extend(list(found))
    for number in range(90):
        found.discard(f"n{number}")
        table.remove(f"n{number}")
        if number % 7 == 0:
            assert found.encode() == encode_strings(table.names())


@pytest.mark.source  # it replaces parts of modules
def test_a_removal_never_adds_many_names_to_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_set, "LOOK_LIMIT", 50)
    found = NameSet(8)
    for pairs in itertools.product(("Aa", "BB"), repeat=4):
        found.add("".join(pairs))
    found.discard("AaAaAaAa")
    assert has_table(found)
    for number in range(51):
        found.add(f"n{number}")
    added: list[int] = []
    monkeypatch.setattr(HashTable, "extend", lambda self, names: added.append(len(names)))
    found.discard("n0")
    assert added == []
    assert not has_table(found)


def test_more_names_with_one_hash_than_trees_take_are_listed_as_they_came() -> None:
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=12)]
    found = NameSet(8)
    for name in names:
        found.add(name)
    assert sorted(found.in_order()) == names
    found.discard(names[7])
    found.add("late")
    found.add(names[7])
    assert found.in_order()[-2:] == ["late", names[7]]
    assert len(found.in_order()) == len(names) + 1
    for name in names:
        found.discard(name)
    assert found.encode() == encode_strings(["late"])


def test_many_names_with_one_hash_take_no_time() -> None:
    """As in Java, for which the tree is there: 2048 names are added and removed."""
    names = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=11)]
    table = HashTable(8)
    table.extend(names)
    assert not table.remove("absent" + names[0])
    assert not table.remove("AaAaAaAaAaAaAaAaAaAaAaC#")
    for name in names:
        assert table.remove(name)
    assert (table.size, table.names()) == (0, [])


def test_names_behind_what_they_have_in_common_are_in_the_same_order() -> None:
    """As the paths of children: the set of 9 was listed, and has names that came and went since."""
    bare, paths = NameSet(8), NameSet(8, len("/dir/"))
    for number in range(40):
        bare.add(f"n{number}")
        paths.add(f"/dir/n{number}")
        if number % 9 == 8:
            assert paths.encode() == bare.encode()
            bare.discard(f"n{number - 4}")
            paths.discard(f"/dir/n{number - 4}")
        assert paths.in_order() == bare.in_order()
    assert list(paths) == list(bare)
    assert "/dir/n39" in paths
    assert "n39" not in paths


def test_the_lists_that_were_encoded_last_are_kept() -> None:
    metrics = Metrics()
    kept = KeptLists(metrics, limit=2)
    sets = [NameSet() for _ in range(3)]
    for names in sets:
        names.add("a")
        names.add("b")
    for names in sets:
        assert kept.encode(names) == encode_strings(["a", "b"])
    assert [names.has_list for names in sets] == [False, True, True]
    assert kept.encode(sets[2]) is kept.encode(sets[2])
    sets[1].add("c")
    kept.encode(sets[1])  # is the newest now
    kept.encode(sets[0])
    assert [names.has_list for names in sets] == [True, True, False]
    assert metrics.response_packet_get_children_cache_hits == 2
    assert metrics.response_packet_get_children_cache_misses == 5


def test_a_dropped_list_is_the_same_again() -> None:
    names = NameSet(8)
    for number in range(40):
        names.add(f"n{number}")
    names.encode()
    names.discard("n3")
    before = names.encode()  # from a table
    names.discard("n4")
    names.drop_list()
    names.add("n4")
    assert sorted(names.in_order()) == sorted(names)
    other = NameSet(8)
    for number in range(40):
        other.add(f"n{number}")
    other.discard("n3")
    assert before == other.encode()
    other.discard("n4")
    other.add("n4")
    assert names.encode() == other.encode()
