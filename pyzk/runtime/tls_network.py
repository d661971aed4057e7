"""TLS between members, over any network: sslQuorum and portUnification.

Shell. It stands before the network of the machine, or that of a test, for all ports of a member.
With sslQuorum this server dials with TLS, and takes nothing else; with portUnification it takes
plaintext, too, and dials as sslQuorum says. So an ensemble that runs can be turned to TLS: first
portUnification on every member, then sslQuorum, then no portUnification any more.

ZooKeeper: UnifiedServerSocket, and what QuorumCnxManager and Learner do to dial
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from pyzk.runtime.tls import TlsContexts
from pyzk.runtime.tls_door import Door, Handshakes, Reloading
from pyzk.runtime.tls_link import TlsLink

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.tls import TlsConfig
    from pyzk.runtime.seams import Listener, MemberNetwork, Timer

HANDSHAKE_LIMIT: Final = 250
"""The most handshakes under way with those who dial this member."""


class TlsNetwork:
    """A network on which members talk TLS; `seams.MemberNetwork`."""

    def __init__(
        self,
        network: MemberNetwork,
        ensemble: EnsembleConfig,
        config: TlsConfig,
        call_later: Callable[[float, Callable[[], object]], Timer],
    ) -> None:
        """Read the keys. Raises ConfigError."""
        self._network = network
        self._dials_tls = ensemble.ssl_quorum
        contexts = self._contexts = TlsContexts(config)
        self._door = Door(
            contexts,
            "ports for other members",
            call_later,
            Handshakes(HANDSHAKE_LIMIT),
            takes_plain=ensemble.port_unification,
            tells_plain=ensemble.port_unification,
            detection_timeout_s=config.handshake_detection_timeout_ms / 1000,
        )
        self._reloading: Reloading | None = None
        if ensemble.quorum_cert_reload:
            self._reloading = Reloading(contexts, call_later)
            self._reloading.start()

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        """Open a connection, with its handshake. Raises OSError."""
        if not self._dials_tls:
            await self._network.connect(make, host, port)
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        links: list[TlsLink] = []

        def made() -> asyncio.Protocol:
            links.append(TlsLink(self._door, make, host, ready))
            return links[-1].itself()

        try:
            await self._network.connect(made, host, port)
            await ready
        except asyncio.CancelledError:
            if not ready.done() or ready.cancelled():
                for link in links:
                    link.abort()
                raise
            ready.result()  # the time has run out just now, but the protocol has its connection

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str | None, port: int
    ) -> Listener:
        """Take connections with TLS, and others if portUnification says so. Raises OSError."""
        return await self._network.listen(partial(self._accepted, make), host, port)

    def _accepted(self, make: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        return TlsLink(self._door, make).itself()

    async def check(self, host: str) -> None:
        """Look a name up and do nothing else. Raises OSError."""
        await self._network.check(host)

    def reload_keys(self) -> bool:
        """Read the files of keys and certificates again if they have changed; return whether there
        are new ones."""
        return self._contexts.reload_if_changed()

    def close(self) -> None:
        """Look at the files of the keys no more."""
        if self._reloading is not None:
            self._reloading.stop()
