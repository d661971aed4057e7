"""What can be seen of the clients of a server that runs elsewhere.

Shell. Four-letter words show sessions. The rest is read from a kazoo client itself: its socket, and
its watches, which it records when the server has answered. These attributes are private to kazoo; a
client without them is treated as one of another library.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Any, Final

from pyzk.cli.access import Access
from pyzk.int64 import signed
from pyzk.testing.core.inspection import SessionInfo, WatchInfo
from pyzk.testing.external.plain_client import ask

WATCHERS: Final = {"data": "_data_watchers", "children": "_child_watchers"}
"""Kind of watch -> the attribute in which a kazoo client has its watches, by full path."""
_CONNECTION: Final = re.compile(r"/(\S+?)\[\d+\]\(.*?sid=(0x[0-9a-f]+).*?,to=(\d+)")
_SESSION: Final = re.compile(r"^\s*(0x[0-9a-f]+)\b", re.MULTILINE)
_REFUSED: Final = re.compile(r"\w{4} is not executed because it is not in the whitelist")


class NotAllowedError(Exception):
    """The server does not answer this four-letter word (4lw.commands.whitelist)."""


def find_session(
    addresses: Iterable[tuple[str, int]], session_id: int, timeout: float, access: Access
) -> SessionInfo | None:
    """Return a session if ``cons`` of one of these servers shows it as connected. Raises OSError,
    NotAllowedError."""
    for address, text, seconds in (
        (match[1], match[2], int(match[3]) / 1000)
        for place in addresses
        for match in _CONNECTION.finditer(_ask(place, "cons", timeout, access))
    ):
        if signed(int(text, 16)) == session_id:
            return SessionInfo(session_id, seconds, address, (), None)
    return None


def is_session_known(
    addresses: Iterable[tuple[str, int]], session_id: int, timeout: float, access: Access
) -> bool:
    """Tell whether ``dump`` of one of these servers shows a session, connected or not. Raises
    OSError, NotAllowedError."""
    return any(
        signed(int(text, 16)) == session_id
        for place in addresses
        for text in _SESSION.findall(_ask(place, "dump", timeout, access))
    )


def _ask(place: tuple[str, int], word: str, timeout: float, access: Access) -> str:
    text = ask(*place, word, timeout, access)
    if _REFUSED.match(text):
        raise NotAllowedError(f"{word} is not in the server's 4lw.commands.whitelist")
    return text


# --- kazoo clients --------------------------------------------------------------------


def socket_of(client: object) -> socket.socket | None:
    """Return the socket of a connected kazoo client; None of anything else."""
    found = getattr(getattr(client, "_connection", None), "_socket", None)
    return found if isinstance(found, socket.socket) else None


def has_watches(client: object) -> bool:
    """Tell whether a client can be asked for its watches."""
    return all(hasattr(client, name) for name in WATCHERS.values())


def watch_of(client: Any, path: str, kinds: Iterable[str]) -> WatchInfo | None:
    """Return a watch of one of these kinds that a kazoo client has on a full path."""
    for kind in kinds:
        if getattr(client, WATCHERS[kind]).get(path):
            return WatchInfo(path, kind, client.client_id[0] if client.client_id else 0)
    return None
