"""Where a server takes clients: at one address from its start on, or at another one later.

Shell. A reconfiguration may give a member another client address. Then nobody is taken at the old
one any more, connections that are there stay, and the new one is tried until it can be had.
ZooKeeper: NIOServerCnxnFactory.configure and reconfigure
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pyzk.runtime.addresses import pair_of, place
from pyzk.runtime.listening import Serving, open_sockets, serve

if TYPE_CHECKING:
    from pyzk.runtime.dialing import Listening
    from pyzk.runtime.seams import Listener, MemberInputs

log = logging.getLogger(__name__)


class ClientListening:
    """The sockets that listen for clients."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        backlog: int,
        taken_at: Callable[[tuple[str, int]], None],
    ) -> None:
        """``taken_at`` is told the address whenever clients are taken at another one."""
        self._make = make
        self._backlog = backlog
        self._taken_at = taken_at
        self._asked: tuple[str | None, int] = (None, 0)
        self.address: tuple[str, int] = ("", 0)
        """The address and port where clients connect, or where they last could."""
        self._sockets: list[socket.socket] = []
        """Sockets that listen, and whose clients wait until ``serve``."""
        self._served: list[Serving] = []
        self._moved: Listening | None = None

    def open(self, host: str | None, port: int, listeners: Sequence[socket.socket] | None) -> None:
        """Have the port, or take sockets that listen already. Raises OSError."""
        self._asked = (host, port)
        self._sockets = list(listeners or ()) or open_sockets(host, port, self._backlog)
        self._told(self._sockets[0].getsockname())

    async def serve(self) -> None:
        """Take clients from now on."""
        while self._sockets:
            serving = await serve(self._make, self._sockets.pop(0), self._backlog)
            self._served.append(serving)

    def move(self, inputs: MemberInputs, host: str | None, port: int, setting: str) -> None:
        """Take clients at another address from now on, as soon as it can be had. ``setting`` is the
        line of the configuration that says so."""
        # A server that stands alone starts sooner without.
        from pyzk.runtime.dialing import CLIENTS, MOVED_SILENCE, Listening, Where
        from pyzk.runtime.network import TcpNetwork

        if (host, port) == self._asked:
            return
        self._asked = (host, port)
        self.close()
        log.info("no client is taken on %s any more; those that are connected stay", self._place)
        self._moved = Listening(
            inputs,
            TcpNetwork(self._backlog),
            self._make,
            Where(host, port, CLIENTS, setting),
            opened=self._opened,
            silence=MOVED_SILENCE,
        )
        self._moved.start()

    def _opened(self, listener: Listener) -> None:
        from pyzk.runtime.network import TcpListener

        assert isinstance(listener, TcpListener), listener
        self._told(listener.address)
        log.info("clients are taken on %s now", self._place)

    def _told(self, address: tuple[object, ...]) -> None:
        self.address = pair_of(address)
        self._taken_at(self.address)

    @property
    def _place(self) -> str:
        return place(*self.address)

    def close(self) -> None:
        """Take no client any more; connections that are there stay."""
        for sock in self._sockets:
            sock.close()
        for serving in self._served:
            serving.close()
        self._sockets = []
        self._served = []
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.close()
