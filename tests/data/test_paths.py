"""Paths: the full rule character by character, parents, sequence names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import ErrorCode
from pyzk.data import paths
from pyzk.errors import BadArguments

VALID = [
    "/",
    "/a",
    "/a/b",
    "/.a",
    "/..a",
    "/a/...",
    "/a.",
    "/ ",
    "/a/" + "x" * 10_000,
    "/a" * 5_000,
]
VALID_CHARACTERS = "\u00e9\u00a0\ud7ff\uf900\uffef~ "
INVALID = [
    "",
    "a",
    "a/b",
    "//",
    "/a/",
    "/a//b",
    "//a",
    "/.",
    "/..",
    "/a/.",
    "/a/..",
    "/./a",
    "/a/../b",
]
REFUSED = "\0\x01\x1f\n\x7f\x9f\ud800\udfff\ue000\uf8ff\ufff0\uffff\U00010000\U0001f600"


@pytest.mark.parametrize("path", [*VALID, *(f"/a{character}/b" for character in VALID_CHARACTERS)])
def test_valid_paths_pass(path: str) -> None:
    paths.validate_path(path)


@pytest.mark.parametrize("path", [None, *INVALID, *(f"/a{character}/b" for character in REFUSED)])
def test_invalid_paths_are_bad_arguments(path: str | None) -> None:
    with pytest.raises(BadArguments) as caught:
        paths.validate_path(path)
    assert caught.value.code == ErrorCode.BAD_ARGUMENTS


def is_valid(path: str) -> bool:
    try:
        paths.validate_path(path)
    except BadArguments:
        return False
    return True


def is_refused_character(character: str) -> bool:
    code = ord(character)
    return (
        code <= 0x1F
        or 0x7F <= code <= 0x9F
        or 0xD800 <= code <= 0xF8FF
        or 0xFFF0 <= code <= 0xFFFF
        or code > 0xFFFF
    )


def is_valid_by_the_letter(path: str) -> bool:
    """The rule as the protocol sheet words it (part 15)."""
    if not path.startswith("/") or (len(path) > 1 and path.endswith("/")):
        return False
    if any(is_refused_character(character) for character in path):
        return False
    return path == "/" or not any(part in ("", ".", "..") for part in path[1:].split("/"))


@given(st.text(st.sampled_from("/.a\0\x1f\x7f\xa0\ud7ff\ud800\uf8ff\uf900\uffef\ufff0\U00010000")))
def test_the_expression_says_what_the_rule_says(path: str) -> None:
    assert is_valid(path) == is_valid_by_the_letter(path)


@given(st.characters())
def test_every_character_alone_is_judged_by_its_code(character: str) -> None:
    expected = character not in "/." and not is_refused_character(character)
    assert is_valid("/" + character) == expected


@pytest.mark.parametrize(
    ("path", "parent"),
    [("/a", "/"), ("/a/b", "/a"), ("/", "/"), ("/a/", "/a"), ("a/b", "a")],
)
def test_the_parent_ends_before_the_last_slash(path: str, parent: str) -> None:
    assert paths.parent_of(path) == parent


def test_a_path_without_slash_has_no_parent() -> None:
    with pytest.raises(AssertionError, match="no slash in path 'a'"):
        paths.parent_of("a")


@pytest.mark.parametrize(("path", "namespace"), [("/", None), ("/a", "a"), ("/a/b/c", "a")])
def test_namespace_is_the_first_component(path: str, namespace: str | None) -> None:
    assert paths.namespace_of(path) == namespace


@pytest.mark.parametrize(
    ("counter", "suffix"),
    [
        (0, "0000000000"),
        (42, "0000000042"),
        (2147483647, "2147483647"),
        (-1, "-000000001"),
        (-2147483648, "-2147483648"),
    ],
)
def test_sequence_numbers_are_ten_wide_with_the_sign_inside(counter: int, suffix: str) -> None:
    assert paths.sequence_name("/a/", counter) == "/a/" + suffix


@given(st.sampled_from(["", "/a", "/\u00e9/b"]), st.text("/.a ~\u00e9" + REFUSED) | st.text())
def test_a_child_of_a_znode_is_judged_by_its_name_as_by_its_whole_path(
    parent: str, name: str
) -> None:
    path = f"{parent}/{name}"
    slash = path.rfind("/")
    if path == "/" or (not is_valid(path[:slash] or "/") and path[:slash] != "/"):
        return  # the root has no parent, and no znode can have that one
    if is_valid(path):
        assert paths.validate_child(path, slash) is path
    else:
        with pytest.raises(BadArguments):
            paths.validate_child(path, slash)
