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
from pyzk.runtime.addresses import is_loopback
from pyzk.runtime.dialing import Listening, Where
from pyzk.runtime.network import TcpListener, peer_name
from pyzk.runtime.port import Port, PortSocket

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.commands import DialElection
    from pyzk.quorum.election_link import ElectionLink
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.runtime.seams import Listener, MemberInputs, MemberNetwork

log = logging.getLogger(__name__)

BIND_RETRY_S: Final = 1.0
"""The seconds between two attempts to open the election port, as in the original."""


class ElectionPort(Port):
    """The election port of one member, with all its connections."""

    def __init__(
        self,
        inputs: MemberInputs,
        life: MemberLife,
        ensemble: EnsembleConfig,
        network: MemberNetwork,
    ) -> None:
        super().__init__(inputs, life, ensemble, network)
        self._unreachable: dict[object, str] = {}
        """Id of a configured server -> why it cannot be reached, which is logged once."""
        self._has_warned = False

    async def listen(self) -> None:
        """Takes connections as soon as one of the addresses can be bound, and waits for that: a
        server that others cannot reach would only disturb them.

        Raises ElectionPortError after electionPortBindRetry attempts. If that is 0 it waits for
        the first one only, and goes on trying.
        """
        for where in self._election_places(self.ensemble.me):
            self._listening.append(
                Listening(
                    self.inputs,
                    self._network,
                    self._make_accepted,
                    where,
                    BIND_RETRY_S,
                    opened=self._warn_if_open,
                )
            )
        attempts = self.ensemble.election_port_bind_retry
        outcomes = await asyncio.gather(
            *[each.until_open(attempts) for each in self._listening],
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures:
            if len(failures) == len(outcomes) or not isinstance(failure, ElectionPortError):
                raise failure
            log.error("%s. It goes on with its other addresses", failure)

    def _warn_if_open(self, listener: Listener) -> None:
        """Says once that whoever can reach this server is trusted, if that is so."""
        if self._has_warned or not self.ensemble.trusts_strangers:
            return
        host = str(listener.address[0]) if isinstance(listener, TcpListener) else ""
        if not host or is_loopback(host):
            return
        self._has_warned = True
        log.warning(
            "who can reach %s at the ports of server.%d is taken for a member of the ensemble, and"
            " can read and change everything: keep others away from these ports, or have all"
            " members ask for certificates (sslQuorum=true, ssl.quorum.*) or logins"
            " (quorum.auth.serverRequireSasl=true, quorum.auth.*)",
            host,
            self.ensemble.my_sid,
        )

    def _election_places(self, server: QuorumServer) -> list[Where]:
        ports = [each.election_port for each in server.addresses]
        return self._places("elections", server, ports)

    # --- orders ---------------------------------------------------------------------

    def move(self, server: QuorumServer) -> None:
        """Takes connections at the addresses of ``server``, this member, and at no others; ends all
        attempts to dial. Where it listens already it goes on."""
        self._end_dials()
        places = self._election_places(server)
        for listening in self._listening:
            if listening.where not in places:
                listening.close()
        self._listening = [each for each in self._listening if each.where in places]
        there = [each.where for each in self._listening]
        for where in places:
            if where not in there:
                listening = Listening(
                    self.inputs,
                    self._network,
                    self._make_accepted,
                    where,
                    silence=self._silence(server),
                )
                self._listening.append(listening)
                listening.start()

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
        self._dial(
            sid,
            partial(self._make_dialed, sid),
            [(address.host, address.port) for address in order.addresses],
            self.ensemble.cnx_timeout_ms / 1000,
            partial(self._dial_failed, sid),
        )

    def _dial_failed(self, sid: int, reason: str) -> None:
        self._dials.pop(sid, None)
        if self._unreachable.get(sid) != reason:
            # Anybody may say that he is any server outside the configuration, and that he listens
            # where he does not.
            configs = self.life.member.configs
            members = (configs.committed.member(sid), configs.last_seen.member(sid))
            is_known = members != (None, None)
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

    # --- for the protocols ----------------------------------------------------------

    def _make_accepted(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ElectionProtocol(self, None))

    def _make_dialed(self, sid: int) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ElectionProtocol(self, sid))

    def opened(self, opened: PortSocket, key: object) -> None:
        """Takes a connected socket; ``key`` is the server that was dialed, None if accepted."""
        super().opened(opened, key)
        self._unreachable.pop(key, None)


class ElectionProtocol(PortSocket):
    """One socket of the election port: the methods of asyncio.Protocol."""

    __slots__ = ("_is_due", "_link", "_sid")

    def __init__(self, port: ElectionPort, sid: int | None) -> None:
        super().__init__(port)
        self._sid = sid
        """The id of the server that was dialed; None if the socket was accepted."""
        self._link: ElectionLink | None = None
        self._is_due = False
        """Whether the link waits to hear that its message has left."""

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        taken = self._open(transport, self._sid)
        if taken is None:
            return
        taken.set_write_buffer_limits(0)  # resume_writing says that all has left
        name = peer_name(transport)
        self._port.inputs.take_in("election connected", name, partial(self._connected, name))

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

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        port = self._port
        link, self._link = self._link, None
        if link is not None:
            link.shell = None
            port.inputs.take_in(
                "election closed", link.name, partial(port.life.election_closed, link)
            )

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
