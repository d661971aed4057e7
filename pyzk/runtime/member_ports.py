"""The two ports of a member, and the answers of its disk.

Shell. `quorum.driver` calls the effects here that only a member has; a lone server has no ports of
this kind.

ZooKeeper: QuorumPeer, Leader.LearnerCnxAcceptor, QuorumCnxManager
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from pyzk.quorum.link import QuorumLink
from pyzk.runtime.election_port import ElectionPort
from pyzk.runtime.loop import spawn
from pyzk.runtime.network import TcpNetwork, reason_of
from pyzk.runtime.quorum_port import QuorumPort

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.data.database import Database
    from pyzk.quorum.commands import (
        DialElection,
        DialLeader,
        ListenForClients,
        ListenForElections,
        ListenForLearners,
        ListenForObservers,
        StorageCommand,
    )
    from pyzk.quorum.configurations import Configurations
    from pyzk.quorum.election_link import ElectionLink
    from pyzk.quorum.lifecycle import MemberLife
    from pyzk.quorum.storage_commands import Outcome
    from pyzk.runtime.seams import MemberInputs, MemberNetwork, ServerStorage
    from pyzk.runtime.tls_network import TlsNetwork
    from pyzk.server.outbox import Outgoing

log = logging.getLogger(__name__)


class MemberPorts:
    """The effects of `quorum.contract.MemberEffects`, on real sockets and the member's storage."""

    def __init__(
        self,
        inputs: MemberInputs,
        life: MemberLife,
        ensemble: EnsembleConfig,
        storage: ServerStorage,
        network: MemberNetwork | None,
    ) -> None:
        """Raises ConfigError if the keys of TLS cannot be read."""
        self._inputs = inputs
        self._life = life
        self._ensemble = ensemble
        self._storage = storage
        self._network: MemberNetwork = network or TcpNetwork()
        self._tls: TlsNetwork | None = None
        if ensemble.quorum_tls is not None:
            from pyzk.runtime.tls_network import TlsNetwork  # most members start sooner without

            self._network = self._tls = TlsNetwork(
                self._network, ensemble, ensemble.quorum_tls, inputs.call_later
            )
        self._quorum = QuorumPort(inputs, life, ensemble, self._network)
        self._election = ElectionPort(inputs, life, ensemble, self._network)

    @property
    def configurations(self) -> Configurations:
        """The configurations of the ensemble that the member goes by."""
        return self._life.member.configs

    async def listen(self) -> None:
        """Opens the election port, and logs which names of other members cannot be resolved.

        Raises ElectionPortError.
        """
        await self._election.listen()
        for server in self._ensemble.membership.members:
            if server.sid != self._ensemble.my_sid:
                spawn(self._check(server), f"look up server {server.sid}")

    async def _check(self, server: QuorumServer) -> None:
        for address in server.addresses:
            try:
                await self._network.check(address.host)
            except OSError as error:
                log.warning(
                    "server.%d=%s: the name %s cannot be resolved (%s); this server starts all the"
                    " same, and looks it up each time it needs it",
                    server.sid,
                    address,
                    address.host,
                    reason_of(error),
                )

    # --- effects --------------------------------------------------------------------

    def order(self, command: StorageCommand) -> None:
        """Hands a command to the disk."""
        self._storage.perform(command, self._answered)

    def send(self, link: Outgoing) -> None:
        """Writes to a link of the quorum port."""
        assert isinstance(link, QuorumLink), link
        self._quorum.flush(link)

    def dial_leader(self, command: DialLeader) -> None:
        """Connects to the leader or to an observer master."""
        self._quorum.dial(command)

    def listen_for_learners(self, command: ListenForLearners) -> None:
        """Opens the quorum port."""
        self._quorum.listen(command.server)

    def stop_listening(self) -> None:
        """Closes the quorum port."""
        self._quorum.stop_listening()

    def listen_for_observers(self, command: ListenForObservers) -> None:
        """Opens the port of an observer master."""
        self._quorum.listen_for_observers(command)

    def stop_listening_for_observers(self) -> None:
        """Closes the port of an observer master."""
        self._quorum.stop_listening_for_observers()

    def listen_for_elections(self, command: ListenForElections) -> None:
        """Opens the election port where the member is now."""
        self._election.move(command.server)

    def listen_for_clients(self, command: ListenForClients) -> None:
        """Opens the client port where the member takes clients now."""
        self._inputs.take_clients_at(command.host, command.port)

    def dial_election(self, command: DialElection) -> None:
        """Connects to the election port of another member."""
        self._election.dial(command)

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        """Writes to an election link."""
        self._election.write(link, data)

    def close_election(self, link: ElectionLink) -> None:
        """Closes an election link."""
        self._election.close_link(link)

    # --- answers of the disk --------------------------------------------------------

    def _answered(self, outcome: Outcome) -> None:
        outcome.tell(self)

    def stored(self, ticket: int) -> None:
        """Tells the member that a command is durable."""
        self._inputs.take_in("stored", ticket, partial(self._life.stored, ticket))

    def restored(self, ticket: int, database: Database) -> None:
        """Hands the member the database that the disk has now."""
        self._inputs.take_in("restored", ticket, partial(self._life.restored, ticket, database))

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Hands the member the log records that it asked for."""
        self._inputs.take_in("log read", ticket, partial(self._life.log_read, ticket, records))

    def reload_keys(self) -> bool:
        """Reads the files of the members' keys again if they have changed; tells whether there are
        new ones."""
        return self._tls is not None and self._tls.reload_keys()

    # --- the end --------------------------------------------------------------------

    def close(self) -> None:
        """Closes both ports; bytes that were written are still sent."""
        self._close_tls()
        self._quorum.close()
        self._election.close()

    def abort(self) -> None:
        """Drops both ports and their connections at once."""
        self._close_tls()
        self._quorum.abort()
        self._election.abort()

    def _close_tls(self) -> None:
        if self._tls is not None:
            self._tls.close()
