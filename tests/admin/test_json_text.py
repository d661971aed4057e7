"""JSON as Jackson's pretty printer lays it out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pyzk.admin import json_text
from pyzk.admin.json_text import Entries, Rows, Value, pieces, quoted


def text_of(value: Value) -> str:
    return b"".join(pieces(value)).decode()


def test_an_object_has_a_line_for_each_name() -> None:
    assert text_of({"a": 1, "b": {"c": None, "d": {}}}) == (
        '{\n  "a" : 1,\n  "b" : {\n    "c" : null,\n    "d" : { }\n  }\n}'
    )


def test_a_list_stays_in_its_line_and_its_objects_are_indented_as_the_list_is() -> None:
    assert text_of({"a": [1, "x"], "b": [], "c": [{"d": 1}, {"e": [2], "f": {}}]}) == (
        '{\n  "a" : [ 1, "x" ],\n  "b" : [ ],\n  "c" : [ {\n    "d" : 1\n  }, {\n'
        '    "e" : [ 2 ],\n    "f" : { }\n  } ]\n}'
    )


def test_lists_in_lists_are_not_indented_either() -> None:
    assert text_of([[1, (2, 3)], []]) == "[ [ 1, [ 2, 3 ] ], [ ] ]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (-1, "-1"),
        (1 << 62, "4611686018427387904"),
        (0.0, "0.0"),
        (16.0833, "16.0833"),
        (1e7, "1.0E7"),
        (5e-4, "5.0E-4"),
    ],
)
def test_numbers_are_those_of_java(value: Value, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a"b\\c/', '"a\\"b\\\\c/"'),
        ("\b\t\n\f\r", '"\\b\\t\\n\\f\\r"'),
        ("\x00\x0b\x1f\x7f\x80", '"\\u0000\\u000B\\u001F\x7f\x80"'),
        ("\\u000b", '"\\\\u000b"'),
        ("ä€\U0001f600\u2028", '"ä€\U0001f600\u2028"'),
    ],
)
def test_a_text_is_escaped_where_it_must_be(text: str, expected: str) -> None:
    assert quoted(text) == expected
    assert json.loads(quoted(text)) == text


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert text_of("/\ud83d") == '"/?"'


def test_rows_and_entries_are_written_as_the_list_and_the_object_of_the_same_members() -> None:
    members: list[Value] = [1, {"a": [Rows(iter(()))]}, [2], Entries(iter(()))]
    plain: list[Value] = [1, {"a": [[]]}, [2], {}]
    names = ("w", "x", "y", "z")
    assert text_of(Rows(iter(members))) == text_of(plain)
    lazy = Entries(iter(zip(names, members, strict=True)))
    assert text_of(lazy) == text_of(dict(zip(names, plain, strict=True)))


def test_a_name_that_is_a_number_is_written_as_its_digits() -> None:
    assert text_of(Entries(iter([(-(1 << 63), 1)]))) == '{\n  "-9223372036854775808" : 1\n}'


def test_a_long_answer_comes_in_pieces_and_takes_its_members_meanwhile() -> None:
    taken = 0

    def rows() -> Iterator[Value]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield {"a": "x" * 100}

    found = pieces({"rows": Rows(rows())})
    first = next(found)
    assert json_text.CHARS_PER_PIECE <= len(first) < json_text.CHARS_PER_PIECE + 200
    assert 0 < taken < 200
    whole = first + b"".join(found)
    assert json.loads(whole) == {"rows": [{"a": "x" * 100}] * 1000}


def test_many_short_values_come_in_pieces_too() -> None:
    found = list(pieces(Rows(range(1000))))
    assert [piece.count(b",") for piece in found] == [399, 400, 200]


def test_a_value_that_ends_with_a_piece_has_no_empty_one_behind_it() -> None:
    # "[ " and the last " ]" belong to members: so many values are one more part.
    found = list(pieces(Rows(range(json_text.PARTS_PER_PIECE - 1))))
    assert [piece.endswith(b" ]") for piece in found] == [True]


def test_a_number_that_is_none_is_a_word() -> None:
    text = b"".join(pieces({"quantile": float("nan"), "other": 1.5})).decode()
    assert json.loads(text) == {"quantile": "NaN", "other": 1.5}
