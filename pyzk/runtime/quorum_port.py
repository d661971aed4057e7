"""The quorum port, 2888: links between a leader and its learners; and the port for observers.

Shell. A learner dials, a leader or an observer master listens; afterwards both sides are the same:
bytes go in through the runner, and what a `QuorumLink` has queued is taken piece by piece as the
socket takes it.

ZooKeeper: the sockets of Leader.LearnerCnxAcceptor, ObserverMaster, LearnerHandler and Learner
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pyzk.quorum.commands import DialLeader, ListenForObservers
from pyzk.quorum.link import QuorumLink
from pyzk.runtime.dialing import Listening
from pyzk.runtime.network import peer_name, reason_of
from pyzk.runtime.port import Port, PortSocket

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.runtime.seams import MemberInputs, MemberNetwork

AcceptLink = Callable[[str], QuorumLink | None]
"""Takes the name of who has connected; returns the link, or None to refuse it."""

HIGH_WATER_BYTES: Final = 1 << 20
"""How many bytes may wait for one socket; a snapshot in the link is made only as they leave."""
LOW_WATER_BYTES: Final = 1 << 18


class QuorumPort(Port):
    """The quorum port of one member, and its port for observers, with all links of both."""

    def __init__(
        self,
        inputs: MemberInputs,
        life: MemberLife,
        ensemble: EnsembleConfig,
        network: MemberNetwork,
    ) -> None:
        super().__init__(inputs, life, ensemble, network)
        self._for_observers: list[Listening] = []

    # --- orders ---------------------------------------------------------------------

    def listen(self, server: QuorumServer) -> None:
        """Takes learners at the addresses of ``server``, this member, as soon as the port can be
        opened."""
        self.stop_listening()
        ports = [each.quorum_port for each in server.addresses]
        places = self._places("learners", server, ports)
        failures: list[str] = []

        def failed(reason: str) -> None:
            failures.append(reason)
            if len(failures) == len(places):
                self.inputs.take_in("listening", reason, partial(self.life.listen_failed, reason))

        for where in places:
            listening = Listening(
                self.inputs,
                self._network,
                self._make_accepted,
                where,
                failed=failed,
                silence=self._silence(server),
            )
            self._listening.append(listening)
            listening.start()

    def listen_for_observers(self, command: ListenForObservers) -> None:
        """Takes observers, as soon as the port can be opened."""
        self.stop_listening_for_observers()
        ports = [command.port] * len(command.server.addresses)
        for where in self._places("observers", command.server, ports):
            place = where._replace(setting="observerMasterPort")
            listening = Listening(self.inputs, self._network, self._make_observer, place)
            self._for_observers.append(listening)
            listening.start()

    def stop_listening_for_observers(self) -> None:
        """Takes no more observers; those that are there stay."""
        for listening in self._for_observers:
            listening.close()
        self._for_observers.clear()

    def dial(self, command: DialLeader) -> None:
        """Opens a link; `MemberLife.link_up` or `MemberLife.link_down` tells how that went."""
        link = command.link
        if link.is_closed:
            return
        self._dial(
            link,
            partial(self._make_dialed, link),
            command.addresses,
            # One address that does not answer may not use up the time of the others.
            command.timeout_ms / 1000 / max(1, len(command.addresses)),
            partial(self._dial_failed, link),
        )

    def _stop(self) -> None:
        super()._stop()
        self.stop_listening_for_observers()

    def _make_dialed(self, link: QuorumLink) -> asyncio.Protocol:
        return cast("asyncio.Protocol", LinkProtocol(self, link, None))

    def _dial_failed(self, link: QuorumLink, reason: str) -> None:
        self._dials.pop(link, None)
        self.inputs.take_in("link down", reason, partial(self.life.link_down, link, reason))

    def flush(self, link: QuorumLink) -> None:
        """Writes what the link has for its socket; closes the socket of a closed link."""
        shell = link.shell
        if isinstance(shell, LinkProtocol):
            shell.flush()
        elif link.is_closed:
            self._end_dial(link)

    def _make_accepted(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", LinkProtocol(self, None, self.life.link_accepted))

    def _make_observer(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", LinkProtocol(self, None, self.life.observer_accepted))


class LinkProtocol(PortSocket):
    """One socket of the quorum port: the methods of asyncio.Protocol."""

    __slots__ = ("_accept_link", "_is_paused", "_link")

    def __init__(
        self, port: QuorumPort, link: QuorumLink | None, accept: AcceptLink | None
    ) -> None:
        super().__init__(port)
        self._accept_link = accept
        """What takes the connection in; None if this side has dialed."""
        self._link = link
        """None before the core has accepted it, and after the end."""
        self._is_paused = False

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        port = self._port
        link = self._link
        taken = self._open(transport, link)
        if taken is None:
            return
        taken.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        if link is None:
            name = peer_name(transport)
            port.inputs.take_in("link accepted", name, partial(self._accept, name))
        elif link.is_closed:
            taken.abort()
        else:
            link.shell = self
            port.inputs.take_in("link up", link.name, partial(port.life.link_up, link))

    def _accept(self, name: str) -> None:
        accept = self._accept_link
        assert accept is not None, name
        link = accept(name)
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

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        port = self._port
        link, self._link = self._link, None
        if link is not None:
            link.shell = None
            reason = reason_of(exc)
            port.inputs.take_in("link down", link.name, partial(port.life.link_down, link, reason))

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
            else:
                self._limit()
