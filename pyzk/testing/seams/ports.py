"""The port of a test server, which keeps its number while the server is down.

Shell. A socket that is bound and never listens holds the number: no other process gets it, clients
are refused, and a server may listen beside it (Linux, SO_REUSEADDR). On systems that do not allow
this, the number is asked for again at each start.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from pyzk.runtime.listening import open_sockets
from pyzk.testing.errors import FixtureError


class HeldPort:
    """One port of one address."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        """0 until the operating system has chosen."""
        self._holder: socket.socket | None = None
        self._listeners: list[socket.socket] = []
        self._lent: list[socket.socket] = []
        """The copies that the present runner accepts from."""

    def listen(self) -> None:
        """Begin to take connections. Raises FixtureError if another process has the port."""
        self.hold()
        try:
            self._listeners = open_sockets(self.host, self.port, -1)
        except OSError:
            # Some systems do not allow two sockets on one port, though only one listens.
            self.release()
            try:
                self._listeners = open_sockets(self.host, self.port, -1)
            except OSError as error:
                raise FixtureError(
                    f"cannot listen on {self.host}:{self.port}: {error.strerror or error};"
                    f" {_advice(error)}"
                ) from error
        self.port = self._listeners[0].getsockname()[1]

    def hold(self) -> None:
        """Reserve the number, or a free one."""
        if self._holder is not None:
            return
        with contextlib.suppress(OSError):
            family, kind, _, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM
            )[0]
            holder = socket.socket(family, kind)
            try:
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                holder.bind(address)
            except OSError:
                holder.close()
                raise
            self._holder = holder
            self.port = holder.getsockname()[1]

    def listeners(self) -> list[socket.socket]:
        """Return copies that a runner may accept from and close; the port goes on listening."""
        self._lent = [sock.dup() for sock in self._listeners]
        return list(self._lent)

    def numbers(self) -> list[int]:
        """Return the file descriptors that are open."""
        holder = [] if self._holder is None else [self._holder]
        return [sock.fileno() for sock in [*self._listeners, *self._lent, *holder]]

    def lent_numbers(self) -> list[int]:
        """Return the file descriptors that a runner accepts from."""
        return [sock.fileno() for sock in self._lent if sock.fileno() >= 0]

    def refuse(self) -> None:
        """Take no more connections; keep the number."""
        for sock in self._listeners:
            sock.close()
        self._listeners = []
        self._lent = []

    def release(self) -> None:
        """Give the number back."""
        self.refuse()
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def _advice(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "host is to be an address of this machine; leave it out for 127.0.0.1"
    return "leave the port out and the operating system gives a free one"
