"""A client's socket below TLS: until a handshake is over, a server's faults hit here.

Shell. `TlsSocket` stands between asyncio and production's `TlsLink`; above that is the `ClientLink`
of the same client, which sees frames as without TLS. A server that is paused shakes no hands, one
that rejects connections closes them before, and one that ends cuts those that have got no further.
Production has such a port as secureClientPort. Here it is a client port, so that a server line and
a reconfiguration can name it, and plaintext is refused by this class.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from pyzk.testing.seams.faults import FaultTable
    from pyzk.testing.seams.gate import Gate

_HANDSHAKE: Final = 0x16
"""The first byte of TLS."""


class TlsServer(Protocol):
    """What a socket asks of the test server that its client has come to; `Engine` answers."""

    gate: Gate
    faults: FaultTable
    life: int
    takes_plain: bool
    sockets: dict[TlsSocket, None]

    def observe(self) -> None:
        """The server has been given something."""

    def note(self, text: str) -> None:
        """Keep an event for reports."""


class TlsSocket(asyncio.Protocol):
    """One socket, from its connection to its end."""

    def __init__(self, engine: TlsServer, inner: asyncio.Protocol, life: int) -> None:
        """The socket belongs to the server of this ``life`` of the engine."""
        self._engine = engine
        self._inner = inner
        self._life = life
        self._transport: asyncio.Transport | None = None
        """None before the socket is open, and after it is closed."""
        self._address = "?"
        self._is_met = False
        """Whether TLS knows of the socket."""
        self._has_begun = False
        """Whether the first byte has come."""

    @property
    def socket_number(self) -> int:
        """The file descriptor; -1 after it is closed."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        number: int = sock.fileno() if sock is not None else -1
        return number

    def cut(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._life != self._engine.life:
            # The server has ended since the loop accepted the connection.
            self.cut()
            return
        peer = transport.get_extra_info("peername") or ("unknown", 0)
        self._address = f"{peer[0]}:{peer[1]}"
        self._engine.sockets[self] = None
        self._meet()
        self._engine.observe()

    def _meet(self) -> None:
        engine = self._engine
        if engine.gate.is_closed:
            engine.gate.add(self._meet)
        elif self._transport is None:
            return
        elif engine.faults.rejects:
            engine.note(f"{self._address} rejected")
            self.cut()
        else:
            self._is_met = True
            self._inner.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        engine = self._engine
        if engine.gate.is_closed:
            engine.gate.add(partial(self.data_received, data))
            return
        if not self._is_met:
            return
        if not self._has_begun:
            self._has_begun = True
            if data[0] != _HANDSHAKE:
                # TLS steps aside now, and with it this object.
                engine.sockets.pop(self, None)
                if not engine.takes_plain:
                    engine.note(
                        f"{self._address} talks no TLS, and was refused"
                        " (options={'client.portUnification': True} takes both)"
                    )
                    self.cut()
                    return
        self._inner.data_received(data)
        engine.observe()

    def eof_received(self) -> bool:
        if not self._engine.gate.is_closed:
            self._inner.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._engine.sockets.pop(self, None)
        self._transport = None
        if self._is_met:
            self._lose(error)
        self._engine.observe()

    def _lose(self, error: Exception | None) -> None:
        if self._engine.gate.is_closed:
            self._engine.gate.add(partial(self._lose, error))
        else:
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
