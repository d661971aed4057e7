"""What the two ports of a member share: places to listen at, attempts to dial, and sockets.

Shell. `quorum_port` and `election_port` add what they do with a link. ZooKeeper: the sockets of
Leader.LearnerCnxAcceptor, Learner and QuorumCnxManager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from pyzk.runtime.client_port import LAST_BYTES_TIMEOUT_S
from pyzk.runtime.dialing import MOVED_SILENCE, DialAttempt, Listening, Where, set_options

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.runtime.seams import MemberInputs, MemberNetwork, Timer


class Port:
    """All connections of one kind that a member has."""

    def __init__(
        self,
        inputs: MemberInputs,
        life: MemberLife,
        ensemble: EnsembleConfig,
        network: MemberNetwork,
    ) -> None:
        self.inputs = inputs
        self.life = life
        self.ensemble = ensemble
        self._network = network
        self._listening: list[Listening] = []
        self._sockets: dict[PortSocket, None] = {}
        self._dials: dict[object, DialAttempt] = {}
        self.is_over = False
        """Whether the port has ended: who is connected from then on is dropped."""

    def _places(self, whom: str, server: QuorumServer, ports: Iterable[int]) -> list[Where]:
        """Returns where to listen, given the port at each address of ``server``, this member."""
        everywhere = self.ensemble.quorum_listen_on_all_ips
        hosts = [None if everywhere else each.host for each in server.addresses]
        setting = f"server.{server.sid}"
        pairs = dict.fromkeys(zip(hosts, ports, strict=True))
        return [Where(host, port, whom, setting) for host, port in pairs]

    def _silence(self, server: QuorumServer) -> int:
        """Returns how many failures to listen are nothing special: at an address that the member
        has not had since its start, another one may be about to leave it."""
        return 0 if server.addresses == self.ensemble.me.addresses else MOVED_SILENCE

    def stop_listening(self) -> None:
        """Takes no more connections; those that are there stay."""
        for listening in self._listening:
            listening.close()
        self._listening.clear()

    def _dial(
        self,
        key: object,
        make: Callable[[], asyncio.Protocol],
        addresses: Iterable[tuple[str, int]],
        each_s: float,
        failed: Callable[[str], None],
    ) -> None:
        """Connects to the first address that answers; an earlier attempt of this key ends."""
        self._end_dial(key)
        dial = DialAttempt(self.inputs, self._network, make, addresses, each_s, failed)
        self._dials[key] = dial
        dial.start()

    def _end_dial(self, key: object) -> None:
        dial = self._dials.pop(key, None)
        if dial is not None:
            dial.cancel()

    def close(self) -> None:
        """Closes the port and its connections; what was written is still sent."""
        self._stop()
        for each in list(self._sockets):
            each.close()

    def abort(self) -> None:
        """Drops the port and its connections, as the end of a killed process does."""
        self._stop()
        for each in list(self._sockets):
            each.abort()

    def _stop(self) -> None:
        self.is_over = True
        self.stop_listening()
        self._end_dials()

    def _end_dials(self) -> None:
        for dial in self._dials.values():
            dial.cancel()
        self._dials.clear()

    # --- for the sockets ------------------------------------------------------------

    def opened(self, opened: PortSocket, key: object) -> None:
        """Takes a socket that is connected; ``key`` says by which dial, None if it was accepted."""
        self._sockets[opened] = None
        self._dials.pop(key, None)

    def ended(self, ended: PortSocket) -> None:
        """Forgets a socket that is gone."""
        self._sockets.pop(ended, None)


class PortSocket:
    """One socket: the methods of asyncio.Protocol that do not depend on the kind of its link."""

    __slots__ = ("_deadline", "_is_choked", "_port", "_transport")

    def __init__(self, port: Port) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._is_choked = False
        self._deadline: Timer | None = None

    # --- called by the loop ---------------------------------------------------------

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._port.ended(self)

    def pause_writing(self) -> None:
        self._is_choked = True

    # --- called by the port ---------------------------------------------------------

    def _open(self, transport: asyncio.BaseTransport, key: object) -> asyncio.Transport | None:
        """Takes the transport that the loop has made; None if it comes too late.

        The loop goes round twice between a connection that it accepts and this call. If the port
        has ended meanwhile nobody else would ever close the socket.
        """
        taken = cast("asyncio.Transport", transport)
        if self._port.is_over:
            taken.abort()
            return None
        self._transport = taken
        set_options(taken, self._port.ensemble)
        self._port.opened(self, key)
        return taken

    def close(self) -> None:
        """Closes when the last bytes are written, or soon."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            if transport.get_write_buffer_size():
                self._limit()

    def _limit(self) -> None:
        """Drops the socket if the other side does not take the last bytes soon."""
        if self._deadline is None:
            self._deadline = self._port.inputs.call_later(LAST_BYTES_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """Drops the socket at once."""
        if self._transport is not None:
            self._transport.abort()
