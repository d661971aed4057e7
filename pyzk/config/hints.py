"""Guesses what an operator meant: remarks on unknown keys and on values that look wrong.

Pure. It is imported only when something is wrong, so that a start without mistakes does without it.
A remark is the end of a sentence, without the semicolon in front of it, or "".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pyzk.config.keys import KEYS, KNOWN, MEMBER_PREFIXES, SECRETS
from pyzk.config.security_keys import SUPER_USER_PREFIX

_CASE: Final = " (upper and lower case count)"
_SIMILAR: Final = 0.85
_PREFIX: Final = "zookeeper."
_MARK: Final = "\xef\xbb\xbf"
"""The byte order mark of UTF-8, as a file that is read as ISO-8859-1 has it."""

_PROPERTIES: Final = {
    name.removeprefix(_PREFIX): name for key in KEYS for name in reversed(key.properties)
}
"""System property without `zookeeper.` -> its full name."""
_FILE_KEYS: Final = (
    *KNOWN,
    "dynamicConfigFile",
    *(bare for bare, name in _PROPERTIES.items() if bare != name),
)
_FAMILIES: Final = (
    SUPER_USER_PREFIX.removeprefix(_PREFIX),
    "authProvider.",
    "metricsProvider.",
)
_MEMBER: Final = re.compile(r"(server|group|weight)s?[ ._-]?(\d+)", re.IGNORECASE)
_MEMBER_AT_END: Final = re.compile(r"(?:server|group|weight)\.\d+$")
_COMMENT: Final = re.compile(r"(^|\s)#")


class Meant(NamedTuple):
    """What an unknown key seems to be."""

    key: str = ""
    """The key of zoo.cfg that was meant; "" if it is none, or unknown."""
    remark: str = ""
    is_harmless: bool = False


class Unknown(NamedTuple):
    """An unknown key, and where it is."""

    line: int | None
    label: str
    meant: Meant


def extended(message: str, remark: str) -> str:
    """Return the message with the remark, if there is one."""
    return f"{message}; {remark}" if remark else message


# --- keys -----------------------------------------------------------------------------


def without_secret(label: str) -> str:
    """Return the name of a key without value, cut behind the name of a secret that it begins with:
    what follows is the secret, if only the = has been forgotten."""
    for secret in SECRETS:
        at = label.find(secret)
        if at >= 0:
            return f"{label[: at + len(secret)]}..."
    return label


def of_file_key(name: str) -> Meant:
    """Return what an unknown key of zoo.cfg seems to be."""
    if name.startswith(_MARK):
        return _marked(name.removeprefix(_MARK))
    member = _MEMBER.fullmatch(name)
    if member is not None:
        key = f"{member.group(1).lower()}.{member.group(2)}"
        return Meant(key, f"did you mean {key}?")
    bare = name.removeprefix(_PREFIX)
    found, how = _closest(bare, [*_FILE_KEYS, *_PROPERTIES])
    if not found:
        return Meant()
    if _PROPERTIES.get(found) == found:
        if found == bare:
            return Meant("", f"it is a system property: -D{found}=...")
        return Meant("", f"did you mean the system property -D{found}?{how}")
    if found == bare:
        return Meant(bare, f"in zoo.cfg it is {bare}")
    return Meant(found, f"did you mean {found}?{how}")


def of_property(name: str) -> Meant:
    """Return what an unknown system property seems to be."""
    if name.startswith(_MARK):
        return _marked(name.removeprefix(_MARK))
    bare = name.removeprefix(_PREFIX)
    found, how = _closest(bare, [*KNOWN, *_PROPERTIES])
    if not found:
        return Meant()
    if found in KNOWN:
        return Meant("", f"it is a key of zoo.cfg: {found}")
    return Meant("", f"did you mean -D{_PROPERTIES.get(found, _PREFIX + found)}?{how}")


def of_member_key(name: str) -> str:
    """Return a remark on a key that a dynamic file does not have."""
    meant = of_file_key(name)
    is_member = meant.key.startswith(MEMBER_PREFIXES)
    return meant.remark if is_member or name.startswith(_MARK) else ""


def _marked(rest: str) -> Meant:
    if not rest or rest[0] in "#!":
        remark = "a byte order mark (BOM) stands in front of a comment, where it does no harm"
        return Meant("", remark, is_harmless=True)
    return Meant(
        rest,
        f"a byte order mark (BOM) stands in front of {rest}, which is not read for that reason;"
        " save the file without one",
    )


def _closest(name: str, names: Iterable[str]) -> tuple[str, str]:
    """Return the one of ``names`` that is meant, or "", and a remark on the case if that
    differs."""
    folded = {each.lower(): each for each in names}
    found = folded.get(name.lower())
    if found is not None:
        return found, "" if found == name else _CASE
    for prefix in _FAMILIES:
        if name.lower().startswith(prefix.lower()):
            found = prefix + name[len(prefix) :]
            return found, "" if found == name else _CASE
    import difflib  # its import is slow, and few need it

    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=_SIMILAR)
    return (folded[close[0]] if close else ""), ""


# --- values ---------------------------------------------------------------------------


def of_value(value: str) -> str:
    """Return a remark on a value that holds a comment, the next line or quotation marks, whether or
    not it is refused."""
    for key in _joined(value):
        return f"a line break is missing in front of {key}=, or a backslash ends the line before it"
    if _COMMENT.search(value):
        return "a comment takes a line of its own, here it is part of the value"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return "the quotation marks are part of the value; leave them out"
    return ""


def _joined(value: str) -> Iterator[str]:
    """Yield the keys that stand inside a value, as if the next line had been joined to it."""
    for match in re.finditer(r"\s*=", value):
        before = value[: match.start()]
        member = _MEMBER_AT_END.search(before)
        if member is not None:
            yield member.group()
        else:
            yield from sorted(filter(before.endswith, _FILE_KEYS), key=len)[-1:]


# --- what is missing ------------------------------------------------------------------


def of_missing(
    key: str, unknown: Iterable[Unknown], entries: Iterable[tuple[int, str, str]]
) -> str:
    """Return a remark on why ``key`` is missing although something like it is there.

    ``entries`` are those of the file: line, key, value. For `myid`, a server line is what is
    missing.
    """

    def is_wanted(found: str) -> bool:
        return found == key or (key == "myid" and found.startswith("server."))

    for line, label, meant in unknown:
        if is_wanted(meant.key):
            return f"line {line}: {label}: {meant.remark}"
    for line, name, value in entries:
        if any(map(is_wanted, _joined(value))):
            return f"line {line}: {name}: {of_value(value)}"
    return ""
