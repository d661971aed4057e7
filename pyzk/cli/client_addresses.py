"""Where servers take clients, as people write it: the addresses of a connect string.

Pure.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pyzk.runtime.addresses import place

DEFAULT_PORT: Final = 2181


class ClientAddress(NamedTuple):
    """Where a server takes clients."""

    host: str
    port: int

    def __str__(self) -> str:
        return place(*self)


def parse_addresses(text: str, default_port: int = DEFAULT_PORT) -> list[ClientAddress]:
    """Return the addresses of a connect string, without its chroot. Raises ValueError with what is
    wrong."""
    found: list[ClientAddress] = []
    for part in text.partition("/")[0].split(","):
        entry = part.strip()
        if not entry:
            continue
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", entry)
        if match is None:
            raise ValueError(f"{entry!r} is not HOST:PORT; an IPv6 address stands in brackets")
        port = int(match[3] or default_port)
        if not 0 < port < 1 << 16:
            raise ValueError(f"{entry!r}: a port is a number from 1 to 65535")
        address = ClientAddress(match[1] or match[2], port)
        if address not in found:
            found.append(address)
    if not found:
        raise ValueError("no server is named; expected HOST:PORT[,HOST:PORT...]")
    return found
