"""What the pages of the admin server may ask of the process that they are in.

Shell. A page reads the core on the loop, in one go; what is long it makes in pieces. Whatever
changes the state is an input, and goes through ``take_in``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pyzk.admin.hosts import known_names

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.server import ServerConfig
    from pyzk.quorum.configurations import Configurations
    from pyzk.quorum.peer import Peer
    from pyzk.runtime.client_port import ClientInputs
    from pyzk.runtime.seams import ServerStorage
    from pyzk.runtime.tls import TlsContexts


class AdminWorld(Protocol):
    """The server that the pages are about; `pyzk.runtime.admin_ports.RunnerWorld`."""

    @property
    def config(self) -> ServerConfig:
        """What the server was told; for a member, with the configuration that it had saved."""
        ...

    @property
    def peer(self) -> Peer: ...
    @property
    def clock(self) -> Clock:
        """The clock of the core, set to now."""
        ...

    @property
    def client_address(self) -> tuple[str, int]:
        """Where clients connect."""
        ...

    @property
    def secure_client_address(self) -> tuple[str, int] | None:
        """Where clients connect to secureClientPort; None if there is none."""
        ...

    @property
    def client_keys(self) -> TlsContexts | None:
        """The keys of the ports for clients; None if none of them takes TLS."""
        ...

    @property
    def configurations(self) -> Configurations | None:
        """The configurations of the ensemble that a member goes by; None for a lone server."""
        ...

    @property
    def clients(self) -> ClientInputs:
        """What the protocol of a client's connection gives its bytes to."""
        ...

    @property
    def storage(self) -> ServerStorage:
        """The disk of the server."""
        ...

    def take_in(self, call: Callable[[], None]) -> None:
        """Gives the peer an input: sets the clock, calls, and carries out what comes of it."""
        ...


async def identifying(world: AdminWorld, tls: Any, address: str) -> Sequence[bytes]:
    """Returns the certificates that a visitor has shown, if one who shows them to a port for
    clients comes in there; otherwise they identify nobody. ``tls`` is what the handshake has shown,
    None without TLS. The admin port has verified them by the keys of members, who may trust others
    and may not look for those revoked."""
    keys = world.client_keys
    if tls is None or keys is None or not tls.certificates:
        return ()
    from pyzk.runtime.tls import TlsPeerError  # who has shown a certificate has loaded it

    chain: Sequence[bytes] = tls.certificates
    try:
        if keys.may_wait:
            await asyncio.to_thread(keys.check_visitor, chain, address)
        else:
            keys.check_visitor(chain, address)
    except TlsPeerError:
        return ()
    return chain


def names_of(world: AdminWorld) -> set[str]:
    """Return the names by which the server is known, in lower case."""
    # Not socket.getfqdn, which may wait for a name service.
    return known_names(world.config, world.configurations, socket.gethostname())
