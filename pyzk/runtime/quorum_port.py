"""The quorum port, 2888: links between a leader and its learners.

Shell. A learner dials, a leader listens; afterwards both sides are the same: bytes go in through
the runner, and what a `QuorumLink` has queued is taken piece by piece as the socket takes it.

ZooKeeper: the sockets of Leader.LearnerCnxAcceptor, LearnerHandler and Learner
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pyzk.quorum.commands import DialLeader
from pyzk.quorum.link import QuorumLink
from pyzk.runtime.client_port import LAST_BYTES_TIMEOUT_S
from pyzk.runtime.dialing import DialAttempt, Listening, Where, set_options
from pyzk.runtime.network import peer_name, reason_of

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.runtime.seams import MemberInputs, MemberNetwork, Timer

HIGH_WATER_BYTES: Final = 1 << 20
"""How many bytes may wait for one socket; a snapshot in the link is made only as they leave."""
LOW_WATER_BYTES: Final = 1 << 18


class QuorumPort:
    """The quorum port of one member, with all its links."""

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
        self._protocols: dict[LinkProtocol, None] = {}
        self._dials: dict[QuorumLink, DialAttempt] = {}

    # --- orders ---------------------------------------------------------------------

    def listen(self) -> None:
        """Takes learners, as soon as the port can be opened."""
        self.stop_listening()
        everywhere = self.ensemble.quorum_listen_on_all_ips
        places: dict[tuple[str | None, int], None] = {
            (None if everywhere else each.host, each.quorum_port): None
            for each in self.ensemble.me.addresses
        }
        failures: list[str] = []

        def failed(reason: str) -> None:
            failures.append(reason)
            if len(failures) == len(places):
                self.inputs.take_in("listening", reason, partial(self.life.listen_failed, reason))

        for host, port in places:
            where = Where(host, port, "learners", f"server.{self.ensemble.my_sid}")
            listening = Listening(
                self.inputs, self._network, self._make_accepted, where, failed=failed
            )
            self._listening.append(listening)
            listening.start()

    def stop_listening(self) -> None:
        """Takes no more learners; open links stay."""
        for listening in self._listening:
            listening.close()
        self._listening.clear()

    def dial(self, command: DialLeader) -> None:
        """Opens a link; `MemberLife.link_up` or `MemberLife.link_down` tells how that went."""
        link = command.link
        if link.is_closed:
            return
        dial = DialAttempt(
            self.inputs,
            self._network,
            partial(self._make_dialed, link),
            command.addresses,
            # One address that does not answer may not use up the time of the others.
            command.timeout_ms / 1000 / max(1, len(command.addresses)),
            partial(self._dial_failed, link),
        )
        self._dials[link] = dial
        dial.start()

    def _make_dialed(self, link: QuorumLink) -> asyncio.Protocol:
        return cast("asyncio.Protocol", LinkProtocol(self, link))

    def _dial_failed(self, link: QuorumLink, reason: str) -> None:
        self._dials.pop(link, None)
        self.inputs.take_in("link down", reason, partial(self.life.link_down, link, reason))

    def flush(self, link: QuorumLink) -> None:
        """Writes what the link has for its socket; closes the socket of a closed link."""
        shell = link.shell
        if isinstance(shell, LinkProtocol):
            shell.flush()
        elif link.is_closed and (dial := self._dials.pop(link, None)) is not None:
            dial.cancel()

    def close(self) -> None:
        """Closes the port and its links; bytes that were written are still sent."""
        self.stop_listening()
        for dial in self._dials.values():
            dial.cancel()
        self._dials.clear()
        for protocol in list(self._protocols):
            protocol.close()

    def abort(self) -> None:
        """Drops the port and its links at once, as the end of a killed process does."""
        self.stop_listening()
        for dial in self._dials.values():
            dial.cancel()
        self._dials.clear()
        for protocol in list(self._protocols):
            protocol.abort()

    # --- for the protocols ----------------------------------------------------------

    def _make_accepted(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", LinkProtocol(self, None))

    def opened(self, protocol: LinkProtocol, link: QuorumLink | None) -> None:
        """Takes the protocol of a socket that is connected."""
        self._protocols[protocol] = None
        if link is not None:
            self._dials.pop(link, None)

    def ended(self, protocol: LinkProtocol) -> None:
        """Forgets the protocol of a socket that is gone."""
        self._protocols.pop(protocol, None)


class LinkProtocol:
    """One socket of the quorum port: the methods of asyncio.Protocol."""

    __slots__ = ("_deadline", "_is_choked", "_is_paused", "_link", "_port", "_transport")

    def __init__(self, port: QuorumPort, link: QuorumLink | None) -> None:
        self._port = port
        self._link = link
        """The link; None before the core has accepted the socket, and after the end."""
        self._transport: asyncio.Transport | None = None
        self._is_choked = False
        self._is_paused = False
        self._deadline: Timer | None = None

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        port = self._port
        link = self._link
        set_options(transport, port.ensemble)
        port.opened(self, link)
        if link is None:
            name = peer_name(transport)
            port.inputs.take_in("link accepted", name, partial(self._accept, name))
        elif link.is_closed:
            self._transport.abort()
        else:
            link.shell = self
            port.inputs.take_in("link up", link.name, partial(port.life.link_up, link))

    def _accept(self, name: str) -> None:
        link = self._port.life.link_accepted(name)
        if link is None:
            self.abort()
            return
        self._link = link
        link.shell = self

    def data_received(self, data: bytes) -> None:
        link = self._link
        if link is not None and not link.is_closed:
            port = self._port
            port.inputs.take_in(link.name, data, partial(port.life.link_received, link, data))

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
            reason = reason_of(exc)
            port.inputs.take_in("link down", link.name, partial(port.life.link_down, link, reason))

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._port.inputs.guard(self.flush)

    # --- called by the port ---------------------------------------------------------

    def flush(self) -> None:
        """Writes as much as the socket takes; closes behind the last byte of a closed link. Pauses
        or resumes reading as the link wants."""
        link = self._link
        transport = self._transport
        if link is None or transport is None or transport.is_closing():
            return
        if link.is_paused != self._is_paused:
            self._is_paused = not self._is_paused
            if self._is_paused:
                transport.pause_reading()
            else:
                transport.resume_reading()
        while link.has_output and not self._is_choked:
            data = link.take()
            if data:
                transport.write(data)
        if link.is_closed:
            if not link.has_output:
                self.close()
            elif self._deadline is None:
                self._deadline = self._port.inputs.call_later(LAST_BYTES_TIMEOUT_S, self.abort)

    def close(self) -> None:
        """Closes when the last bytes are written, or after a short time."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            if self._deadline is None and transport.get_write_buffer_size():
                self._deadline = self._port.inputs.call_later(LAST_BYTES_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """Drops the socket at once."""
        if self._transport is not None:
            self._transport.abort()
