"""What a member of an ensemble has beside a lone server: its two ports and answers of its disk.

Shell. The runner drives the peer; this carries out what only a member orders. A lone server has
none of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pyzk.quorum.commands import DialLeader, ListenForLearners, StopListening, StorageCommand
from pyzk.quorum.learner import Learner
from pyzk.quorum.link import QuorumLink
from pyzk.runtime.election_port import ElectionPort
from pyzk.runtime.loop import spawn
from pyzk.runtime.network import TcpNetwork, reason_of
from pyzk.runtime.quorum_port import QuorumPort

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.data.database import Database
    from pyzk.quorum.peer import Peer
    from pyzk.runtime.runner import PeerRunner
    from pyzk.runtime.seams import MemberNetwork, ServerStorage
    from pyzk.server.outbox import Command

log = logging.getLogger(__name__)


class MemberPorts:
    """The member's part of the driver."""

    def __init__(
        self,
        runner: PeerRunner,
        peer: Peer,
        ensemble: EnsembleConfig,
        storage: ServerStorage,
        network: MemberNetwork | None,
    ) -> None:
        self._runner = runner
        self._peer = peer
        self._ensemble = ensemble
        self._storage = storage
        self._network: MemberNetwork = network or TcpNetwork()
        self._quorum = QuorumPort(runner, peer, ensemble, self._network)
        self._election = ElectionPort(runner, peer, ensemble, self._network)
        self.when_serving: Callable[[], None] | None = None
        """Called once, as soon as clients are served."""

    async def listen(self) -> None:
        """Open the election port; say which names of others nobody knows."""
        await self._election.listen()
        for member in self._ensemble.membership.members:
            if member.sid != self._ensemble.my_sid:
                spawn(self._check(member), f"look up server {member.sid}")

    async def _check(self, member: QuorumServer) -> None:
        for address in member.addresses:
            try:
                await self._network.check(address.host)
            except OSError as error:
                log.warning(
                    "server.%d=%s: the name %s cannot be resolved (%s); this server starts all the"
                    " same, and looks it up each time it needs it",
                    member.sid,
                    address,
                    address.host,
                    reason_of(error),
                )

    @property
    def role(self) -> str:
        """What it is to its clients, in words; empty while it serves none."""
        server = self._peer.server
        if not server.is_running:
            return ""
        role = server.role
        if isinstance(role, Learner):
            return f"{role.mode} of server {role.leader_sid}"
        return role.mode

    # --- outputs --------------------------------------------------------------------

    def drain(self) -> None:
        """Write to links, then do what the election ordered."""
        outbox = self._peer.outbox
        if outbox.links:
            quorum = self._quorum
            for link in outbox.take_links():
                assert isinstance(link, QuorumLink), link
                link.is_dirty = False
                quorum.flush(link)
        if self.when_serving is not None and self._peer.server.is_running:
            call, self.when_serving = self.when_serving, None
            call()
        links = self._peer.election_links
        if links.dials or links.writes or links.closes:
            self._election.drain(links)

    def perform(self, command: Command) -> None:
        """Carry out a rare order; every log record before it is with the disk."""
        if isinstance(command, StorageCommand):
            self._storage.perform(command, self)
        elif isinstance(command, DialLeader):
            self._quorum.dial(command)
        elif isinstance(command, ListenForLearners):
            self._quorum.listen()
        else:
            assert isinstance(command, StopListening), command
            self._quorum.stop_listening()

    # --- answers of the disk --------------------------------------------------------

    def stored(self, ticket: int) -> None:
        self._runner.take_in("stored", ticket, partial(self._peer.stored, ticket))

    def restored(self, ticket: int, database: Database) -> None:
        self._runner.take_in("restored", ticket, partial(self._peer.restored, ticket, database))

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        self._runner.take_in("log read", ticket, partial(self._peer.log_read, ticket, records))

    # --- the end --------------------------------------------------------------------

    def close(self) -> None:
        """Close everything; what was written is still sent."""
        self._quorum.close()
        self._election.close()

    def abort(self) -> None:
        """Drop everything."""
        self._quorum.abort()
        self._election.abort()
