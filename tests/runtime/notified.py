"""A stand-in for the socket on which a service manager hears its services."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

Message = dict[str, str]


class NotifySocket:
    """What a manager listens on."""

    def __init__(self, address: str, patience: float = 20.0) -> None:
        """``address`` is a path, or a name behind an @."""
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(patience)

    def take(self) -> Message:
        """Returns the next message; waits for it."""
        lines = self._socket.recv(1 << 16).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def take_until(self, wanted: Callable[[Message], bool]) -> Message:
        """Returns the next message of this kind."""
        while not wanted(message := self.take()):
            pass
        return message

    def waiting(self) -> list[Message]:
        """Returns the messages that are there already."""
        found = []
        timeout = self._socket.gettimeout()
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.take())
        self._socket.settimeout(timeout)
        return found

    def close(self) -> None:
        """Listens no more."""
        self._socket.close()
        if not self.address.startswith("@"):
            Path(self.address).unlink(missing_ok=True)


@contextlib.contextmanager
def notify_socket(address: str, patience: float = 20.0) -> Iterator[NotifySocket]:
    """Listens for the block."""
    made = NotifySocket(address, patience)
    try:
        yield made
    finally:
        made.close()
