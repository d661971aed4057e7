"""The key scheme: whoever knows a multiple of the number in the znode /key.

Pure. Answers to KeyAuthenticationProvider, which is an example of the original and protects
nothing: as long as there is no such znode, or it has no data, everybody passes, and the id of all
is the same, the empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pyzk.auth.provider import AuthId

PATH: Final = "/key"
_is_number: Final = re.compile(r"[+-]?[0-9]{1,10}").fullmatch
_INTS: Final = range(-(1 << 31), 1 << 31)


class KeyProvider:
    """Compares the number that a client gives with the one in the tree."""

    scheme: Final = "key"
    is_authenticated: Final = True

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        """``read`` returns the data of a znode, None if there is none."""
        self._read = read

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        if auth is None:
            return None
        key = self._read(PATH)
        if key is not None and not _is_multiple(auth, key):
            return None
        return (AuthId(self.scheme, ""),)

    def is_valid(self, acl_id: str) -> bool:
        return True

    def matches(self, own_id: str, acl_id: str) -> bool:
        return own_id == acl_id

    def user_name(self, own_id: str) -> str:
        return own_id


def _is_multiple(auth: bytes, key: bytes) -> bool:
    number, divisor = _int(auth), _int(key)
    return number is not None and divisor is not None and (not divisor or number % divisor == 0)


def _int(data: bytes) -> int | None:
    """Return what Java's parseInt makes of the bytes, None where it fails."""
    text = data.decode("utf-8", "replace")
    if not _is_number(text) or int(text) not in _INTS:
        return None
    return int(text)
