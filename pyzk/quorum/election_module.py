"""The election of one member, its links, and what both go by: the configurations.

Pure. ZooKeeper: QuorumPeer.startLeaderElection and restartLeaderElection, and connectNewPeers.

Where this differs from ZooKeeper, on purpose: a configuration with other content ends only the
links that lead to a former address; the port is opened anew only by a server that has moved; and
the rounds are counted on. ZooKeeper makes all of it anew, and begins with round 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.quorum.commands import ListenForElections
from pyzk.quorum.election import Election, ElectionTimes
from pyzk.quorum.election_links import ElectionLinks, election_addresses
from pyzk.quorum.election_messages import Address
from pyzk.quorum.election_view import ElectionView, election_view
from pyzk.quorum.twins import LostLinks

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.authentication import QuorumLogins
    from pyzk.quorum.configurations import Configurations
    from pyzk.server.outbox import Outbox


class ElectionModule:
    """What a member has for its elections, from its start to its end."""

    def __init__(
        self,
        ensemble: EnsembleConfig,
        configs: Configurations,
        me: QuorumServer,
        clock: Clock,
        outbox: Outbox,
        logins: QuorumLogins | None = None,
    ) -> None:
        """Makes the election of the server ``me``, which need not be in a configuration."""
        sid = ensemble.my_sid
        handshake_ms = ensemble.quorum_cnxn_timeout_ms
        if handshake_ms <= 0:
            handshake_ms = ensemble.tick_time_ms * ensemble.sync_limit_ticks
        self._outbox: Outbox = outbox
        self.election: Election = Election(
            sid,
            _view(configs),
            clock,
            ElectionTimes(
                ensemble.finalize_wait_ms,
                ensemble.min_notification_ms,
                ensemble.max_notification_ms,
            ),
            is_participant=not ensemble.is_observer,
        )
        self.links: ElectionLinks = ElectionLinks(
            sid,
            _own(me),
            election_addresses(configs.committed, configs.last_seen),
            clock,
            outbox,
            handshake_ms,
            ensemble.multi_address_enabled,
            logins,
        )
        self.lost_links: LostLinks = LostLinks(sid, places(me), clock)

    def see(self, configs: Configurations) -> None:
        """Takes a configuration that was proposed, and dials the servers that are new in it."""
        self.election.set_view(_view(configs))
        self.links.set_addresses(election_addresses(configs.committed, configs.last_seen))

    def renew(self, configs: Configurations, me: QuorumServer, *, is_observer: bool) -> None:
        """Takes a configuration that is in force now and has other content than the former."""
        self.election.set_view(_view(configs))
        self.election.is_participant = not is_observer
        addresses = election_addresses(configs.committed, configs.last_seen)
        if self.links.renew(_own(me), addresses):
            self._outbox.commands.append(ListenForElections(me))
        self.lost_links.renewed(places(me))


def places(server: QuorumServer) -> str:
    """Returns where a server listens, for a line of the log."""
    return "|".join(map(str, server.addresses))


def _own(me: QuorumServer) -> tuple[Address, ...]:
    return tuple(Address(each.host, each.election_port) for each in me.addresses)


def _view(configs: Configurations) -> ElectionView:
    proposed = configs.last_seen if configs.is_under_way else None
    return election_view(configs.committed, proposed, configs.is_enabled)
