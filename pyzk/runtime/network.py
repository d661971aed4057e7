"""TCP between members: names to addresses, dialing, listening.

Shell. A name is looked up anew each time, beside the event loop: a member may come back under
another address, and a name server that does not answer may hold up nobody. Tests put a network of
their own in the place of this one (`seams.MemberNetwork`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from pyzk.runtime.addresses import Found, look_up, peer_of, place
from pyzk.runtime.listening import Serving, listen_at, serve

BACKLOG: Final = 128


class _Greeter(asyncio.Protocol):
    """A function that looks at a new connection before its protocol does."""

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._make = make
        self.is_to_itself = False

    def itself(self) -> _Greeter:
        """Return the factory that the loop wants."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            # Nobody listens, and the system chose that very port for the near end.
            self.is_to_itself = True
            cast("asyncio.Transport", transport).abort()
            return
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class TcpListener:
    """Sockets that listen; `seams.Listener`."""

    def __init__(self, address: tuple[object, ...]) -> None:
        self._served: list[Serving] = []
        self.address = address

    def add(self, serving: Serving) -> None:
        """Have one more socket closed with the others."""
        self._served.append(serving)

    def close(self) -> None:
        for serving in self._served:
            serving.close()


class TcpNetwork:
    """The network of the machine."""

    def __init__(self, backlog: int = BACKLOG) -> None:
        self._backlog = backlog
        self._lookups: dict[tuple[str, int], list[asyncio.Future[list[Found]]]] = {}
        """The names that are being looked up -> who waits; a lookup that hangs is not repeated."""

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        """Open a connection to the first address of the host that takes one. Raises OSError."""
        loop = asyncio.get_running_loop()
        failure: OSError = OSError(f"no address of {host} is known")
        for _, address in await self._resolve(host, port):
            greeter = _Greeter(make)
            # Not with a socket of our own: if the protocol closes at once, uvloop closes the
            # descriptor, then the socket object does, which may be another file's by then.
            try:
                await loop.create_connection(greeter.itself, _host_of(address), port)
            except OSError as error:
                failure = error
                continue
            if not greeter.is_to_itself:
                return
            failure = ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        raise failure

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str | None, port: int
    ) -> TcpListener:
        """Take connections at all addresses of a host, or of the machine if it is None or a
        wildcard. Raises OSError.
        """
        found = None if host is None else await self._resolve(host, port)
        waiting = listen_at(found, port, self._backlog)
        listener = TcpListener(waiting[0].getsockname())
        try:
            while waiting:
                listener.add(await serve(make, waiting.pop(0), self._backlog))
        except BaseException:
            listener.close()
            for sock in waiting:
                sock.close()
            raise
        return listener

    async def check(self, host: str) -> None:
        """Look a name up and do nothing else. Raises OSError."""
        await self._resolve(host, 0)

    async def _resolve(self, host: str, port: int) -> list[Found]:
        """Return the addresses of a host. Raises OSError."""
        with contextlib.suppress(OSError):
            return look_up(host, port, socket.AI_NUMERICHOST)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Found]] = loop.create_future()
        waiting = self._lookups.setdefault((host, port), [])
        waiting.append(future)
        if len(waiting) == 1:
            thread = threading.Thread(
                target=self._look_up, args=(loop, host, port), name="lookup", daemon=True
            )
            thread.start()
        return await future

    def _look_up(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """Look a name up on a thread of its own: that may take half a minute, and cannot be
        stopped."""
        found: list[Found] | OSError
        try:
            found = look_up(host, port)
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError(f"{host!r} is not the name of a host")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(partial(self._found, host, port, found))

    def _found(self, host: str, port: int, found: list[Found] | OSError) -> None:
        for future in self._lookups.pop((host, port)):
            if future.done():
                continue
            if isinstance(found, OSError):
                future.set_exception(found)
            else:
                future.set_result(found)


def _host_of(address: tuple[object, ...]) -> str:
    """Return the text of an address; a link-local IPv6 address needs its interface."""
    scope = f"%{address[3]}" if len(address) == 4 and address[3] else ""
    return f"{address[0]}{scope}"


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return the address of the other side, for the log."""
    return place(*peer_of(transport))


def reason_of(error: BaseException | None) -> str:
    """Return why there is no connection, or no longer one, for the log."""
    if error is None:
        return "the other side closed the connection"
    if isinstance(error, asyncio.CancelledError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
