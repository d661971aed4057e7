"""Ports for servers that are told theirs before they start.

Shell. A port that the system has chosen for one socket is anybody's again once that is closed, and
an outgoing connection of any process may take it before the server listens. Therefore ports come
from outside the range of outgoing connections, in blocks: who takes ports here binds the first port
of a block as long as the process lives, and others who take ports here pass that block over.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import deque
from pathlib import Path
from typing import Final

FIRST: Final = 10_000
"""Below are the ports that many a service has by default."""
BLOCK: Final = 100
MOST_BLOCKS: Final = 10
"""Each costs its process a descriptor."""
OUTGOING: Final = "/proc/sys/net/ipv4/ip_local_port_range"
DYNAMIC: Final = (49152, 65535)
"""The range of outgoing connections by IANA's word, and macOS's."""
_END: Final = 1 << 16


def outgoing() -> tuple[int, int]:
    """Return the first and last port that the system gives to outgoing connections."""
    try:
        low, high = map(int, Path(OUTGOING).read_text().split())
    except OSError:
        return DYNAMIC
    return low, high


def blocks_beside(reserved: tuple[int, int]) -> list[int]:
    """Return the first ports of all blocks outside a range."""
    low, high = reserved
    starts = range(FIRST, _END - BLOCK + 1, BLOCK)
    return [start for start in starts if start + BLOCK <= low or start > high]


def _claim(port: int) -> socket.socket | None:
    """Return a socket that has a port, at all addresses, for itself alone; None if anybody else
    has it, at whatever address."""
    sock = socket.socket()
    try:
        sock.bind(("", port))
    except OSError:
        sock.close()
        return None
    return sock


class Blocks:
    """The blocks of a process, and who of their ports is next."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.first_ports: list[int] = []
        self.held: list[int] = []
        """Descriptors of the sockets that have the first ports; they stay open to the end."""
        self._lock = threading.Lock()
        self._fresh: deque[int] = deque()
        self._given: deque[int] = deque()

    def take(self, count: int) -> list[int]:
        """Return ports that nobody uses; after very many the oldest come again. Raises OSError
        when there is none."""
        with self._lock:
            return [self._next() for _ in range(count)]

    def _next(self) -> int:
        while self._fresh or self._add_block():
            port = self._fresh.popleft()
            self._given.append(port)
            if _is_free(port):
                return port
        for _ in range(len(self._given)):
            self._given.rotate(-1)
            if _is_free(self._given[-1]):
                return self._given[-1]
        raise OSError(errno.EADDRINUSE, "no free port")

    def _add_block(self) -> bool:
        """Take a block that nobody else has; the search begins where other processes' do not."""
        if len(self.held) == MOST_BLOCKS:
            return False
        starts = blocks_beside(outgoing()) or blocks_beside((0, 0))
        at = self.process % len(starts)
        for start in (*starts[at:], *starts[:at]):
            if (sock := _claim(start)) is not None:
                self.first_ports.append(start)
                self.held.append(sock.detach())
                self._fresh.extend(range(start + 1, start + BLOCK))
                return True
        return False

    def release(self) -> None:
        """Give all blocks back."""
        for number in self.held:
            os.close(number)
        self.held.clear()


def _is_free(port: int) -> bool:
    sock = _claim(port)
    if sock is None:
        return False
    sock.close()
    return True


_blocks = Blocks()
_change = threading.Lock()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, and that nobody else is given who asks here."""
    global _blocks
    with _change:
        # A forked child leaves the blocks to its parent.
        if _blocks.process != os.getpid():
            _blocks = Blocks()
    return _blocks.take(count)


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
