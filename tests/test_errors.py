"""Errors: their codes, and the one line that an operator reads."""

from __future__ import annotations

import pytest

from pyzk import errors
from pyzk.constants import ErrorCode
from pyzk.errors import (
    ConfigError,
    Corrupt,
    KeeperError,
    NoNode,
    PyzkError,
    StorageError,
    TooLargeTransaction,
)

KEEPER_ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, KeeperError) and KeeperError in value.__bases__
]


@pytest.mark.parametrize("error", KEEPER_ERRORS)
def test_each_keeper_error_has_its_code_and_its_name(error: type[KeeperError]) -> None:
    name = "".join(f"_{c}" if c.isupper() else c.upper() for c in error.__name__).strip("_")
    assert error.code == getattr(ErrorCode, name)
    assert str(error()) == name.replace("_", " ").lower()
    assert str(error("/a")) == "/a"


def test_codes_are_different() -> None:
    codes = [error.code for error in KEEPER_ERRORS]
    assert len(set(codes)) == len(codes)


def test_a_transaction_that_is_too_large_is_a_wrong_argument() -> None:
    assert TooLargeTransaction("9 bytes").code == ErrorCode.BAD_ARGUMENTS


def test_every_error_of_pyzk_is_one() -> None:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, PyzkError)


@pytest.mark.parametrize(
    ("line", "key", "text"),
    [
        (None, None, "is wrong"),
        (3, None, "line 3: is wrong"),
        (None, "tickTime", "tickTime: is wrong"),
        (3, "tickTime", "line 3: tickTime: is wrong"),
    ],
)
def test_a_config_error_says_where(line: int | None, key: str | None, text: str) -> None:
    error = ConfigError("is wrong", line, key)
    assert str(error) == text
    assert (error.message, error.line, error.key) == ("is wrong", line, key)


@pytest.mark.parametrize(
    ("offset", "remedy", "text"),
    [
        (None, "", "log.1: torn"),
        (0, "", "log.1: torn at offset 0"),
        (None, "delete it", "log.1: torn; delete it"),
        (16, "delete it", "log.1: torn at offset 16; delete it"),
    ],
)
def test_a_storage_error_is_one_line(offset: int | None, remedy: str, text: str) -> None:
    error = Corrupt("torn", path="log.1", offset=offset, remedy=remedy)
    assert str(error) == text
    assert isinstance(error, StorageError)
    assert (error.path, error.offset, error.remedy) == ("log.1", offset, remedy)


def test_a_keeper_error_carries_its_code_on_the_instance() -> None:
    assert NoNode("/a").code == -101
