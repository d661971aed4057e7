"""The grammar of directives: what the Java platform reads and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.auth.sasl.directives import parse_directives, quoted
from pyzk.errors import SaslError


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", {}),
        (b", ,\t\r\n,", {}),
        (b"a=1", {"a": b"1"}),
        (b'A="1"', {"a": b"1"}),
        (b" a \t=\r\n 1 , b=2", {"a": b"1", "b": b"2"}),
        (b"a=1 b=2", {"a": b"1", "b": b"2"}),
        (b"a=,b=2", {"a": b"", "b": b"2"}),
        (b'a="",b=2', {"a": b"", "b": b"2"}),
        (b'a="x,y=\\"z\\\\"', {"a": b'x,y="z\\'}),
        (b'a=x"y"', {"a": b'x"y"'}),
        (b"a=x=y", {"a": b"x=y"}),
        (b"a=1,strange=1,strange=2", {"a": b"1"}),
        (b'a="\xff\x00\n"', {"a": b"\xff\x00\n"}),
    ],
)
def test_what_is_read(data: bytes, found: dict[str, bytes]) -> None:
    assert parse_directives(data, ("a", "b")) == found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"=1", "without a name"),
        (b"a", "no = behind"),
        (b"a b=1", "no = behind"),
        (b"a,b=1", "no = behind"),
        (b"a=", "has no value"),
        (b"a=  ", "has no value"),
        (b'a="1', "has no end"),
        (b'a="1\\', "has no end"),
        (b'a="1\\"', "has no end"),
        (b'a="1"b=2', "no comma behind"),
        (b"a=1,A=2", "a comes twice"),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SaslError, match=message):
        parse_directives(data, ("a", "b"))


@given(st.binary(max_size=50))
def test_a_quoted_value_is_read_as_itself(value: bytes) -> None:
    assert parse_directives(b"a=" + quoted(value) + b",b=2", "ab") == {"a": value, "b": b"2"}


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = parse_directives(data, ("a",))
    except SaslError:
        return
    assert set(found) <= {"a"}
