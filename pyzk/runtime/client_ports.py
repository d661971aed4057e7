"""The ports for clients of one server: the client port, and secureClientPort, which takes TLS only.

Shell. Each is there if the configuration has it. With client.portUnification the client port takes
TLS, too. A reconfiguration moves the client port only, as in the original, where secureClientPort
is no part of an ensemble's configuration.

ZooKeeper: ServerCnxnFactory, as QuorumPeerMain and ZooKeeperServerMain make two of them
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pyzk.runtime.client_listening import ClientListening
from pyzk.runtime.client_port import ClientInputs, ClientProtocol
from pyzk.runtime.listening import DEFAULT_BACKLOG

if TYPE_CHECKING:
    import socket

    from pyzk.config.server import ServerConfig
    from pyzk.runtime.seams import MemberInputs, Timer
    from pyzk.runtime.tls import TlsContexts
    from pyzk.runtime.tls_door import Door, Handshakes, Reloading

HANDSHAKE_LIMIT: Final = 1000
"""The most handshakes of TLS under way if netty.server.outstandingHandshake.limit is not set."""


class SecurePortError(OSError):
    """secureClientPort cannot be had; the cause says why."""


Wrap = Callable[[ClientProtocol], asyncio.Protocol]


class ClientPorts:
    """The sockets that listen for clients, at each of the two ports."""

    def __init__(
        self,
        inputs: ClientInputs,
        config: ServerConfig,
        wrap: Wrap | None,
        wrap_tls: Callable[[asyncio.Protocol], asyncio.Protocol] | None,
        taken_at: Callable[[], None],
        call_later: Callable[[float, Callable[[], object]], Timer],
    ) -> None:
        """``taken_at`` is called whenever clients are taken at another address."""
        self._inputs = inputs
        self._call_later = call_later
        self._config = config
        self._wrap = wrap
        self._wrap_tls = wrap_tls
        self._handshakes: Handshakes | None = None
        """The handshakes of both ports; None without TLS."""
        self._reloading: Reloading | None = None
        self._contexts: TlsContexts | None = None
        """The keys of both ports; None without TLS."""
        backlog = config.client_port_listen_backlog
        backlog = backlog if backlog > 0 else DEFAULT_BACKLOG

        def told(address: tuple[str, int]) -> None:
            taken_at()

        self._plain = ClientListening(self._make_plain, backlog, told)
        self._secure = ClientListening(self._make_secure, backlog, told)
        self._door: Door | None = None
        self._secure_door: Door | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """The address and the client port, where clients connect or last could; None if there is
        none."""
        return self._plain.address if self._plain.address[1] else None

    @property
    def secure_address(self) -> tuple[str, int] | None:
        """Where clients connect to secureClientPort; None if there is none."""
        return self._secure.address if self._secure.address[1] else None

    @property
    def handshake_count(self) -> int:
        """How many handshakes of TLS are under way."""
        return 0 if self._handshakes is None else self._handshakes.count

    # --- what a client's socket meets ---------------------------------------------------

    def _make_plain(self) -> asyncio.Protocol:
        if self._door is None:
            return self._protocol(is_on_secure_port=False)
        return self._link(self._door, is_on_secure_port=False)

    def _make_secure(self) -> asyncio.Protocol:
        assert self._secure_door is not None, "it is opened with TLS only"
        return self._link(self._secure_door, is_on_secure_port=True)

    def _link(self, door: Door, *, is_on_secure_port: bool) -> asyncio.Protocol:
        from pyzk.runtime.tls_link import TlsLink

        make = partial(self._protocol, is_on_secure_port=is_on_secure_port)
        link = TlsLink(door, make).itself()
        return self._wrap_tls(link) if self._wrap_tls else link

    def _protocol(self, *, is_on_secure_port: bool) -> asyncio.Protocol:
        protocol = ClientProtocol(self._inputs, is_on_secure_port=is_on_secure_port)
        return self._wrap(protocol) if self._wrap else cast("asyncio.Protocol", protocol)

    def _read_keys(self) -> None:
        """Makes what TLS needs, if a port has it. Raises ConfigError."""
        config = self._config
        if config.client_tls is None or self._handshakes is not None:
            return
        # A server without TLS starts sooner without.
        from pyzk.runtime.tls import TlsContexts
        from pyzk.runtime.tls_door import Door, Handshakes, Reloading

        inputs = self._inputs
        contexts = self._contexts = TlsContexts(config.client_tls)
        limit = config.tls_handshake_limit
        limit = limit if limit > 0 else HANDSHAKE_LIMIT
        handshakes = self._handshakes = Handshakes(limit, inputs.handshake_exceeded)

        def door(name: str, *, is_secure: bool) -> Door:
            return Door(
                contexts,
                name,
                self._call_later,
                handshakes,
                takes_plain=not is_secure,
                frames_apart=True,
                admits=partial(inputs.admits, is_on_secure_port=is_secure),
                failed=inputs.handshake_failed,
            )

        if config.client_port_unification:
            self._door = door("client port", is_secure=False)
        if config.secure_client_port is not None:
            self._secure_door = door("secure client port", is_secure=True)
        if config.client_cert_reload:
            self._reloading = Reloading(contexts, self._call_later)

    @property
    def keys(self) -> TlsContexts | None:
        """The keys of the ports; None before they are open, and where none takes TLS."""
        return self._contexts

    def reload_keys(self) -> bool:
        """Read the files of keys and certificates again if they have changed; return whether there
        are new ones. Files that are no use are named in the log, and not taken."""
        return self._contexts is not None and self._contexts.reload_if_changed()

    # --- the sockets that listen --------------------------------------------------------

    def open(
        self,
        listeners: Sequence[socket.socket] | None,
        secure_listeners: Sequence[socket.socket] | None = None,
    ) -> None:
        """Have the ports, or take sockets that listen already. Raises OSError, SecurePortError if
        it is about secureClientPort, and ConfigError for what TLS needs."""
        self._read_keys()
        config = self._config
        if config.client_port is not None:
            self._plain.open(config.client_port_address, config.client_port, listeners)
        if config.secure_client_port is not None:
            try:
                self._secure.open(
                    config.secure_client_port_address, config.secure_client_port, secure_listeners
                )
            except OSError as error:
                self.close()
                raise SecurePortError(error.errno, error.strerror, error.filename) from error

    def open_elsewhere(self, host: str | None, port: int | None) -> None:
        """Have the client port at another address, before anybody is served. Raises OSError."""
        self._plain.close()
        if port is not None:
            self._plain.open(host, port, None)

    async def serve(self) -> None:
        """Take clients from now on."""
        await self._plain.serve()
        await self._secure.serve()
        if self._reloading is not None:
            self._reloading.start()

    def move(self, inputs: MemberInputs, host: str | None, port: int, setting: str) -> None:
        """Take clients at another client port from now on, as soon as it can be had. ``setting`` is
        the line of the configuration that says so."""
        self._plain.move(inputs, host, port, setting)

    def close(self) -> None:
        """Take no client any more; connections that are there stay."""
        self._plain.close()
        self._secure.close()
        if self._reloading is not None:
            self._reloading.stop()
