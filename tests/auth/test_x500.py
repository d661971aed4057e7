from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyzk.auth import x500

JAVA = json.loads((Path(__file__).parents[1] / "testdata/x500/parsed.json").read_text())
"""What X500Principal of the JDK has taken for a name, and what not."""


@pytest.mark.parametrize("text", JAVA["names"])
def test_what_java_takes_for_a_name_is_one(text: str) -> None:
    assert x500.is_name(text)


@pytest.mark.parametrize("text", JAVA["others"])
def test_what_java_refuses_is_no_name(text: str) -> None:
    assert not x500.is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CN=",
        "cn = bob ",
        "OID.1.2.3=x",
        "1.2.3=#0c0161",
        'O="a, b";CN=c',
        "CN=a+OU=b",
        "CN=\\2c",
    ],
)
def test_names(text: str) -> None:
    assert x500.is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "XX=a",
        "CN=a,",
        "CN=a++OU=b",
        'CN="a',
        "CN=a\\",
        "CN=#0c02",
        "3.1=a",
        "1.40=a",
        "CN=\\q",
    ],
)
def test_no_names(text: str) -> None:
    assert not x500.is_name(text)
