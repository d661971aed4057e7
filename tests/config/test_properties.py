"""The text format: what java.util.Properties reads, line by line."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", [(1, "a", "b")]),
        ("a:b", [(1, "a", "b")]),
        ("a b", [(1, "a", "b")]),
        ("a\tb", [(1, "a", "b")]),
        ("  a  =  b  ", [(1, "a", "b")]),
        ("a = : b", [(1, "a", ": b")]),
        ("a==b", [(1, "a", "=b")]),
        ("a", [(1, "a", "")]),
        ("a=", [(1, "a", "")]),
        ("=b", [(1, "", "b")]),
        ("# a=b\n! c=d\n  # e\n\n \t\f\nx=y", [(6, "x", "y")]),
        ("a=b # c", [(1, "a", "b # c")]),
        ("a=1\r\nb=2\rc=3\n", [(1, "a", "1"), (2, "b", "2"), (3, "c", "3")]),
        ("a=one\\\n    two\nb=1", [(1, "a", "onetwo"), (3, "b", "1")]),
        ("a=one\\\\\nb=1", [(1, "a", "one\\"), (2, "b", "1")]),
        ("a=one\\\n# no comment", [(1, "a", "one# no comment")]),
        ("# a comment does not continue \\\na=1", [(2, "a", "1")]),
        ("a=one\\", [(1, "a", "one")]),
        ("\\", []),
        ("\\\n# after a backslash alone this is a comment\n \\\r\n!\na=1", [(5, "a", "1")]),
        ("a=one\\\n\\\n!two", [(1, "a", "one!two")]),
        ("a=\xa0b\x85 \x00", [(1, "a", "\xa0b\x85")]),
        ("a\x00\x1f=\x01b", [(1, "a", "b")]),
        (r"a\=b\:c\ d=e", [(1, "a=b:c d", "e")]),
        (r"a=x\ty\nz\fw\rv\q", [(1, "a", "x\ty\nz\fw\rvq")]),
        (r"a=\u0041\u00e9", [(1, "a", "Aé")]),
        (r"dir=C:\\zk", [(1, "dir", "C:\\zk")]),
        ("a=1\na=2", [(1, "a", "1"), (2, "a", "2")]),
    ],
)
def test_a_line_reads_as_java_reads_it(text: str, expected: list[tuple[int, str, str]]) -> None:
    assert parse_properties(text.encode("latin-1")) == [Entry(*each) for each in expected]


def test_bytes_are_latin_1() -> None:
    assert parse_properties(b"dataDir=/\xe9") == [Entry(1, "dataDir", "/é")]


@pytest.mark.parametrize("text", [rb"x=1\u12", rb"x=\u00zz", rb"x=\u"])
def test_a_malformed_unicode_escape_is_an_error_with_its_line(text: bytes) -> None:
    with pytest.raises(ConfigError, match="four hex digits") as caught:
        parse_properties(b"# one\n" + text)
    assert caught.value.line == 2


_WORD = st.text(st.characters(codec="latin-1"), min_size=1)


@given(st.lists(st.tuples(_WORD, _WORD)))
def test_what_java_would_store_is_read_back(pairs: list[tuple[str, str]]) -> None:
    def escape(text: str) -> str:
        return "".join(c if c.isalnum() and c.isascii() else f"\\u{ord(c):04x}" for c in text)

    text = "\n".join(f"{escape(key)}={escape(value)}" for key, value in pairs)
    entries = parse_properties(text.encode("latin-1"))
    assert [(e.key, e.value) for e in entries] == [(trim(k), trim(v)) for k, v in pairs]


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        entries = parse_properties(data)
    except ConfigError:
        return
    lines = [entry.line for entry in entries]
    assert lines == sorted(lines)


def test_lines_that_go_on_are_joined_one_after_the_other() -> None:
    """By the rule as it is said: an odd number of backslashes at the end of all that there is."""
    for length in range(1, 9):
        for chars in itertools.product("a\\\n", repeat=length):
            text = "k=" + "".join(chars)
            lines = text.split("\n")
            joined = lines.pop(0)
            while (len(joined) - len(joined.rstrip("\\"))) % 2:
                joined = joined[:-1]
                if not lines:
                    break
                joined += lines.pop(0)
            assert parse_properties(text.encode())[0] == parse_properties(joined.encode())[0], text
