"""The election port, 3888: sockets for what `pyzk.quorum.election_links` orders.

Shell. ZooKeeper: the sockets and threads of QuorumCnxManager
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pyzk.errors import ElectionPortError
from pyzk.outsiders import about
from pyzk.quorum.election_links import STRANGERS
from pyzk.runtime.client_port import LAST_BYTES_TIMEOUT_S
from pyzk.runtime.dialing import DialAttempt, Listening, Where, set_options
from pyzk.runtime.network import peer_name

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.quorum.commands import DialElection
    from pyzk.quorum.election_link import ElectionLink
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.runtime.seams import MemberInputs, MemberNetwork, Timer

log = logging.getLogger(__name__)

BIND_RETRY_S: Final = 1.0
"""The seconds between two attempts to open the election port, as in the original."""


class ElectionPort:
    """The election port of one member, with all its connections."""

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
        self._protocols: dict[ElectionProtocol, None] = {}
        self._dials: dict[int, DialAttempt] = {}
        self._unreachable: dict[int, str] = {}
        """Id of a configured server -> why it cannot be reached, which is logged once."""

    async def listen(self) -> None:
        """Takes connections as soon as one of the addresses can be bound, and waits for that: a
        server that others cannot reach would only disturb them.

        Raises ElectionPortError after electionPortBindRetry attempts. If that is 0 it waits for
        the first one only, and goes on trying.
        """
        ensemble = self.ensemble
        everywhere = ensemble.quorum_listen_on_all_ips
        places: dict[tuple[str | None, int], None] = {
            (None if everywhere else each.host, each.election_port): None
            for each in ensemble.me.addresses
        }
        for host, port in places:
            where = Where(host, port, "elections", f"server.{ensemble.my_sid}")
            self._listening.append(
                Listening(self.inputs, self._network, self._make_accepted, where, BIND_RETRY_S)
            )
        outcomes = await asyncio.gather(
            *(each.until_open(ensemble.election_port_bind_retry) for each in self._listening),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures:
            if len(failures) == len(outcomes) or not isinstance(failure, ElectionPortError):
                raise failure
            log.error("%s. It goes on with its other addresses", failure)

    # --- orders ---------------------------------------------------------------------

    def write(self, link: ElectionLink, data: bytes) -> None:
        """Writes one piece to a link; `MemberLife.election_written` follows when it has left."""
        if isinstance(link.shell, ElectionProtocol):
            link.shell.write(data)

    def close_link(self, link: ElectionLink) -> None:
        """Closes a link when what was written has left."""
        if isinstance(link.shell, ElectionProtocol):
            link.shell.close()

    def dial(self, order: DialElection) -> None:
        """Connects to a server; an earlier attempt to reach it ends."""
        sid = order.sid
        dial = DialAttempt(
            self.inputs,
            self._network,
            partial(self._make_dialed, sid),
            [(address.host, address.port) for address in order.addresses],
            self.ensemble.cnx_timeout_ms / 1000,
            partial(self._dial_failed, sid),
        )
        earlier = self._dials.get(sid)
        if earlier is not None:
            earlier.cancel()
        self._dials[sid] = dial
        dial.start()

    def _dial_failed(self, sid: int, reason: str) -> None:
        self._dials.pop(sid, None)
        if self._unreachable.get(sid) != reason:
            # Anybody may say that he is any server outside the configuration, and that he listens
            # where he does not.
            is_known = self.ensemble.membership.member(sid) is not None
            if is_known:
                self._unreachable[sid] = reason
            log.info(
                "server %d cannot be reached for elections: %s",
                sid,
                reason,
                extra=None if is_known else about(STRANGERS),
            )
        self.inputs.take_in(
            "election dial failed", sid, partial(self.life.election_dial_failed, sid)
        )

    def close(self) -> None:
        """Closes the port and its connections; bytes that were written are still sent."""
        self._stop()
        for protocol in list(self._protocols):
            protocol.close()

    def abort(self) -> None:
        """Drops the port and its connections at once, as the end of a killed process does."""
        self._stop()
        for protocol in list(self._protocols):
            protocol.abort()

    def _stop(self) -> None:
        for listening in self._listening:
            listening.close()
        self._listening.clear()
        for dial in self._dials.values():
            dial.cancel()
        self._dials.clear()

    # --- for the protocols ----------------------------------------------------------

    def _make_accepted(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ElectionProtocol(self, None))

    def _make_dialed(self, sid: int) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ElectionProtocol(self, sid))

    def opened(self, protocol: ElectionProtocol, sid: int | None) -> None:
        """Takes the protocol of a socket that is connected."""
        self._protocols[protocol] = None
        if sid is not None:
            self._dials.pop(sid, None)
            self._unreachable.pop(sid, None)

    def ended(self, protocol: ElectionProtocol) -> None:
        """Forgets the protocol of a socket that is gone."""
        self._protocols.pop(protocol, None)


class ElectionProtocol:
    """One socket of the election port: the methods of asyncio.Protocol."""

    __slots__ = ("_deadline", "_is_choked", "_is_due", "_link", "_port", "_sid", "_transport")

    def __init__(self, port: ElectionPort, sid: int | None) -> None:
        self._port = port
        self._sid = sid
        """The id of the server that was dialed; None if the socket was accepted."""
        self._link: ElectionLink | None = None
        self._transport: asyncio.Transport | None = None
        self._is_choked = False
        self._is_due = False
        """Whether the link waits to hear that its message has left."""
        self._deadline: Timer | None = None

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)  # resume_writing says that all has left
        port = self._port
        set_options(transport, port.ensemble)
        port.opened(self, self._sid)
        name = peer_name(transport)
        port.inputs.take_in("election connected", name, partial(self._connected, name))

    def _connected(self, name: str) -> None:
        peer = self._port.life
        if self._sid is None:
            link = peer.election_accepted(name)
        else:
            link = peer.election_dialed(self._sid, name)
        self._link = link
        link.shell = self

    def data_received(self, data: bytes) -> None:
        link = self._link
        if link is not None:
            port = self._port
            port.inputs.take_in(link.name, data, partial(port.life.election_received, link, data))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        port = self._port
        port.ended(self)
        link, self._link = self._link, None
        if link is not None:
            link.shell = None
            port.inputs.take_in(
                "election closed", link.name, partial(port.life.election_closed, link)
            )

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._written()

    # --- called by the port ---------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Writes one piece; `MemberLife.election_written` follows when all of it has left."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if not self._is_due:
            self._is_due = True
            if not self._is_choked:
                asyncio.get_running_loop().call_soon(self._written)

    def _written(self) -> None:
        link = self._link
        if self._is_due and not self._is_choked and link is not None:
            self._is_due = False
            port = self._port
            port.inputs.take_in(
                "election written", link.name, partial(port.life.election_written, link)
            )

    def close(self) -> None:
        """Closes when what was written has left, or after a short time."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            if transport.get_write_buffer_size():
                self._deadline = self._port.inputs.call_later(LAST_BYTES_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """Drops the socket at once."""
        if self._transport is not None:
            self._transport.abort()
