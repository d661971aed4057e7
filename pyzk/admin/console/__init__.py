"""The console: what its one page asks of a server, and what it is answered.

Pure. The page itself, for browsers, is in the folder ``page``; `pyzk.runtime.admin_console` serves
both. Everything is answered with the rights of the visitor (`visitor`): the console shows nothing
that a client with the same identities could not read. What is long is a generator that yields after
each piece of its work, so that clients are served in between (`listing`).

ZooKeeper has nothing like it.
"""

from __future__ import annotations

from typing import TypeAlias

from pyzk.constants import ErrorCode

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What JSON has. Session ids and zxids are hexadecimal text, for numbers of a browser have 53
bits."""
View: TypeAlias = "dict[str, Json]"
"""One answer, as a JSON object."""


def error_name(code: int) -> str:
    """Return the name of an error of the protocol, as NO_NODE."""
    return ErrorCode.NAMES.get(code, str(code)).upper().replace(" ", "_")
