"""The command `shed_connections`: closes part of all connections, for clients to go elsewhere.

Pure. ZooKeeper: Commands.ShedConnectionsCommand, ServerCnxnFactory.shedConnections; no release has
them yet (ZOOKEEPER-5015).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pyzk.admin.answer import BAD_REQUEST, Answer, reply

if TYPE_CHECKING:
    from random import Random

    from pyzk.server.server import Server

NAME: Final = "shed_connections"
_FIELD: Final = "percentage"
_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]{1,10}\s*")


def percentage_in(body: bytes) -> int | Answer:
    """Return the percentage that the body asks for, or the answer to one that asks for none."""
    try:
        found: object = json.loads(body) if body.strip() else None
    except (ValueError, RecursionError) as error:
        text = f"Invalid JSON or failed to read request body: {error}"
        return reply(NAME, error=text, status=BAD_REQUEST)
    if not isinstance(found, dict) or _FIELD not in found:
        return reply(NAME, error=f"Missing required field: {_FIELD}", status=BAD_REQUEST)
    percentage = _as_int(found[_FIELD])
    if not 0 <= percentage <= 100:
        return reply(NAME, error="Percentage must be between 0 and 100", status=BAD_REQUEST)
    return percentage


def _as_int(value: object) -> int:
    """Return a number of JSON as Jackson's asInt does: what is none counts as 0."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return int(value) if abs(value) < 1 << 31 else -1
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    return 0


def shed(server: Server, percentage: int, rng: Random) -> int:
    """Close each connection of a client with this probability; return how many were closed."""
    count = 0
    for connection in list(server.connections):
        if percentage == 100 or rng.random() * 100 < percentage:
            connection.close()
            count += 1
    return count


def shed_answer(percentage: int, count: int) -> Answer:
    """Return the answer once connections are closed."""
    return reply(NAME, {"connections_shed": count, "percentage_requested": percentage})
