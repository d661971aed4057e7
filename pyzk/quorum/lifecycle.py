"""The life of a member: from the end of one role to the next.

Pure. The inputs of a member are here: what comes on the links of the quorum port and the election
port, and what its disk answers to `quorum.commands`.

ZooKeeper: QuorumPeer.run

    SETTLING -> LOOKING -> ACTIVE (leader, follower or observer) -> SETTLING -> ...

SETTLING waits until the disk has answered everything it was given. Then what is logged and was
never committed is applied, so that memory, log and vote agree (ZOOKEEPER-2845); a database that is
in doubt, because a SNAP broke off, is loaded again (ZOOKEEPER-3642). One that kept no log while it
observed (syncEnabled=false), and votes from now on, stores its database first. An observer that has
lost its leader waits a random time, so that not all observers ask at once. LOOKING is the election.
If it takes long, clients that ask for read-only service get it (readonlymode.enabled).
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.config.members import parse_membership
from pyzk.data.txn import decode_txn
from pyzk.quorum.authentication import QuorumLogins
from pyzk.quorum.commands import InstallDatabase, Reload, TruncateLog
from pyzk.quorum.doubt import Doubt
from pyzk.quorum.election import Decision, Election
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.election_links import ElectionLinks
from pyzk.quorum.election_module import ElectionModule, places
from pyzk.quorum.follower import Follower
from pyzk.quorum.leader import BROADCAST, DISCOVERY, Leader
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_phases import CONNECTING
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.member import Member
from pyzk.quorum.observer import Observer
from pyzk.quorum.peer import LOOKING as LOOKING_MODE
from pyzk.quorum.peer import Peer
from pyzk.quorum.role import MemberRole, Unapplied
from pyzk.quorum.twins import LostLinks
from pyzk.quorum.vote import PeerState
from pyzk.server.outbox import Outbox
from pyzk.server.readonly import ReadOnly
from pyzk.server.server import Server
from pyzk.zxid import format_zxid, make

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.server import ServerConfig
    from pyzk.data.database import Database
    from pyzk.persistence.replacement import Received
    from pyzk.quorum.epochs import Epochs

log = logging.getLogger(__name__)

SETTLING: Final = 0
LOOKING: Final = 1
ACTIVE: Final = 2

END_OF_EPOCH: Final = 0xFFFFFFFF
"""The counter behind that of the last proposal of an epoch (`leader.LAST_COUNTER`)."""
READ_ONLY_AFTER_MS: Final = 2000
"""A member serves reads after it has looked for a leader for so long, or a tick if that is more."""


def member_peer(
    config: ServerConfig,
    ensemble: EnsembleConfig,
    database: Database,
    epochs: Epochs,
    clock: Clock,
    rng: Random,
) -> tuple[Peer, MemberLife]:
    """Returns the peer of a member, not started yet, and the life that takes its inputs."""
    server = Server(config, database, clock, Outbox(), rng)
    life = MemberLife(config, ensemble, server, epochs, rng)
    return Peer(server, life), life


class MemberLife:
    """One member, its election and its present role."""

    moves_deadline = True

    def __init__(
        self,
        config: ServerConfig,
        ensemble: EnsembleConfig,
        server: Server,
        epochs: Epochs,
        rng: Random,
    ) -> None:
        clock = server.clock
        outbox = server.outbox
        self.member: Member = Member(config, ensemble, server, epochs, clock, outbox, rng)
        self.clock: Clock = clock
        self.phase: int = SETTLING
        self.role: MemberRole | None = None
        sasl, configs = ensemble.quorum_sasl, self.member.configs
        self.logins: QuorumLogins | None = (
            None if sasl is None else QuorumLogins(sasl, configs, server, rng, self.pump)
        )
        """How the members prove to each other who they are; None if they do not."""
        elections = ElectionModule(ensemble, configs, self.member.me, clock, outbox, self.logins)
        self.member.elections = elections
        self.links: ElectionLinks = elections.links
        self.election: Election = elections.election
        self.doubt: Doubt = Doubt(self.member, self.election)
        self.lost_links: LostLinks = elections.lost_links
        self.looking_since_ms: int = 0
        self._supporters: tuple[int, ...] = ()
        """The sids of the servers that elected the present leader."""
        self._unapplied: Unapplied = Unapplied()
        self._restoration: tuple[Received, Database] | None = None
        """The state that is to replace that of the ensemble, until it is ordered."""
        self._look_at_ms: int | None = None
        """When an observer that has lost its leader looks for another one."""
        self._stand_at_ms: int | None = None
        """When this server, which stands aside in the present election, stands after all."""

    def start(self) -> None:
        """Begins to look for a leader."""
        self.member.forget_unlogged_config()
        self.member.see_config_of_database()
        self._settle()
        self.pump()

    @property
    def status(self) -> tuple[str, int | None]:
        """The mode, looking between two roles; and the sid of another server that leads."""
        role = self.role
        if role is None:
            return LOOKING_MODE, None
        return role.mode, role.leader_sid if isinstance(role, Learner) else None

    # --- from role to role ----------------------------------------------------------

    def _end_role(self, role: MemberRole, reason: str) -> None:
        member = self.member
        log.warning("server %d is no longer %s: %s", member.sid, role.mode, reason)
        if isinstance(role, Leader) and role.phase == DISCOVERY and not member.stands_aside:
            self._tell_deserted()
        role.stop()
        self._unapplied = role.unapplied
        self.role = None
        delay = member.ensemble.observer_election_delay_ms
        if isinstance(role, Observer) and delay > 0 and not member.knows_leader:
            self._look_at_ms = self.clock.now_ms + member.rng.randrange(delay)
        self._settle()

    def _tell_deserted(self) -> None:
        """Logs that those that elected this server have not connected: they may follow another."""
        member = self.member
        others = [str(sid) for sid in self._supporters if sid != member.sid]
        if others:
            log.error(
                "server %d was elected by %s, and no quorum has connected with it: see whether they"
                " can reach its quorum port (%s), and that no other server has its id in myid",
                member.sid,
                ", ".join(others),
                places(member.me),
            )

    def _settle(self) -> None:
        """Looks for a leader as soon as memory and disk are the same."""
        self.phase = SETTLING
        member = self.member
        if not member.is_settled or member.pending:
            return
        if self._restoration is not None:
            self._install(*self._restoration)
            return
        if not member.is_database_whole:
            self._unapplied.clear()  # the log has them
            member.reload()
            return
        self._fast_forward()
        if not member.is_observer and member.is_ahead_of_log:
            member.store_database()
            return
        if self._look_at_ms is not None:
            if self.clock.now_ms < self._look_at_ms:
                return
            self._look_at_ms = None
        if member.knows_leader:
            self._go_over()
        else:
            self._look()

    def restore(self, received: Received, database: Database) -> bool:
        """Gives the ensemble another state, from this server, if it leads; returns whether it does.

        The state gets the last zxid of the epoch, which no proposal ever has: it is ahead of all
        that other members have, so that this server leads again, and they get it by SNAP.
        """
        role = self.role
        if not isinstance(role, Leader) or role.phase != BROADCAST or role.over is not None:
            return False
        self._restoration = (received, database)
        self._end_role(role, "the state of the ensemble is being replaced")
        self.pump()
        return True

    def _install(self, received: Received, database: Database) -> None:
        """Orders the state that replaces all others to be put in force."""
        member = self.member
        self._restoration = None
        self._unapplied.clear()
        zxid = make(member.epochs.current, END_OF_EPOCH)
        assert zxid > member.logged_zxid, (zxid, member.logged_zxid)
        database.tree.last_zxid = database.log_complete_after = zxid
        member.order(InstallDatabase(member.ticket(), received, database, zxid))

    def _fast_forward(self) -> None:
        database = self.member.database
        while self._unapplied:
            _, payload = self._unapplied.popleft()
            database.replay(decode_txn(payload), payload)

    def _look(self) -> None:
        member = self.member
        self.phase = LOOKING
        self.looking_since_ms = self.clock.now_ms
        member.server.metrics.looking_count += 1
        zxid = member.database.last_zxid
        log.info(
            "server %d looks for a leader; last zxid %s, epoch %d",
            member.sid,
            format_zxid(zxid) if zxid >= 0 else "none",
            member.epochs.current,
        )
        self.doubt.look()
        self._stand_at_ms = None
        member.knows_leader = False
        if member.stands_aside:
            self._stand_at_ms = self.clock.now_ms + member.init_limit_ms
            log.warning(
                "server %d does not stand for election for %d ms: %s",
                member.sid,
                member.init_limit_ms,
                member.stands_aside,
            )
            member.stands_aside = ""
        self._begin_round()

    def _begin_round(self) -> None:
        member = self.member
        stands = self._stand_at_ms is None and not member.is_outdated
        self.election.look(member.database.last_zxid, member.epochs.current, stands)

    def _begin_anew(self) -> None:
        """Begins with an empty database; the election follows when that is stored."""
        self._suspend()
        self.doubt.begin_anew()

    def _suspend(self) -> None:
        """Ends the election; another one follows when the disk has answered."""
        self.election.stop()
        self.member.server.end()  # the read-only server
        self.phase = SETTLING

    def _stand(self) -> None:
        """Stands for election after all: nobody else could be elected."""
        self._stand_at_ms = None
        self._begin_round()

    def _adopt(self, text: bytes) -> bool:
        """Puts a later configuration in force that another server has told in an election; tells
        whether the election has begun anew, for that has other content."""
        member = self.member
        configs = member.configs
        before, was_under_way = configs.verifier, configs.is_under_way
        self.election.newer_config = None
        member.adopt_config(parse_membership(text))
        if not member.is_observer and member.is_ahead_of_log:
            # It was an observer without a log, and votes when all that it has is stored.
            self._suspend()
            self._settle()
            return True
        if configs.verifier.has_same_content(before) and configs.is_under_way == was_under_way:
            return False
        self._begin_round()
        return True

    def _go_over(self) -> None:
        """Takes the next role without an election: the configuration says which it is."""
        member = self.member
        member.knows_leader = False
        vote = self.election.current_vote
        state = PeerState.OBSERVING if member.is_observer else PeerState.FOLLOWING
        if vote.leader == member.sid:
            state = PeerState.LEADING
        log.info(
            "server %d goes over to %s without an election: server %d is to lead",
            member.sid,
            PeerState.NAMES[state].lower(),
            vote.leader,
        )
        self.election.take_role(state)
        self._begin(state, vote.leader, ())

    def _become(self, decision: Decision) -> None:
        member = self.member
        leader = decision.vote.leader
        took_ms = self.clock.now_ms - self.looking_since_ms
        log.info(
            "server %d begins %s: server %d was elected leader in %d ms by %s",
            member.sid,
            PeerState.NAMES[decision.state].lower(),
            leader,
            took_ms,
            ", ".join(map(str, decision.supporters)),
        )
        member.server.metrics.election_time.add(took_ms)
        self._begin(decision.state, leader, decision.supporters)

    def _begin(self, state: int, leader: int, supporters: tuple[int, ...]) -> None:
        member = self.member
        member.server.end()  # the read-only server
        self.phase = ACTIVE
        self.links.forget_sent()
        self._stand_at_ms = None
        self._supporters = supporters
        role: MemberRole
        if state == PeerState.LEADING:
            role = Leader(member)
        elif state == PeerState.FOLLOWING:
            role = Follower(member, leader)
        else:
            role = Observer(member, leader)
        self.role = role
        role.start()
        role.flush()

    def _read_only(self) -> None:
        member = self.member
        server = member.server
        log.warning(
            "server %d has found no leader for %d ms: it serves reads to clients that ask for it",
            member.sid,
            self.clock.now_ms - self.looking_since_ms,
        )
        server.begin(ReadOnly(server), server.learner_sessions())

    @property
    def _look_at(self) -> int | None:
        """When an observer looks for a leader; None until the disk has answered."""
        member = self.member
        return self._look_at_ms if member.is_settled and not member.pending else None

    @property
    def _read_only_at(self) -> int | None:
        config = self.member.config
        if self.phase != LOOKING or not config.readonlymode_enabled:
            return None
        if self.member.server.is_running:
            return None
        return self.looking_since_ms + max(READ_ONLY_AFTER_MS, self.member.tick_ms)

    # --- inputs ---------------------------------------------------------------------

    def pump(self) -> None:
        """Carries votes between links and election, and changes the role; follows each input."""
        role = self.role
        if role is not None:
            role.flush()
            if role.over is not None:
                self._end_role(role, role.over)
        election = self.election
        links = self.links
        while True:
            if links.messages:
                messages, links.messages = links.messages, []
                for sid, payload in messages:
                    election.notified(sid, payload)
                    text = election.newer_config
                    if text is not None and not self._adopt(text):
                        election.notified(sid, payload)
            if election.sends:
                for sid, payload in election.take_sends():
                    links.send(sid, payload)
            if election.lookers:
                for sid in election.take_lookers():
                    if self.role is not None:
                        self._hear_looker(self.role, sid)
            if self.role is not None and self.role.over is not None:
                self._end_role(self.role, self.role.over)
                continue
            if self.phase != LOOKING:
                return
            if self.doubt.is_settled:
                self._begin_anew()
                return
            decision = election.decision
            if decision is None:
                return
            election.decision = None
            self._become(decision)

    def _hear_looker(self, role: MemberRole, sid: int) -> None:
        """Tells the role that a server looks for a leader: it may end of that."""
        before = role.over
        role.looking(sid)
        if isinstance(role, Leader) and before is None and role.over is not None:
            self.member.server.metrics.quit_leading_due_to_disloyal_voter += 1

    def flush(self) -> None:
        """Sends what the requests of clients have led to."""
        role = self.role
        if role is not None:
            role.flush()
            if role.over is not None:
                self.pump()

    def log_synced(self, zxid: int) -> None:
        """Takes the news that the log is durable up to ``zxid``."""
        member = self.member
        if zxid > member.synced_zxid:
            member.synced_zxid = zxid
        if self.role is not None:
            self.role.log_synced(zxid)
        elif self.phase == SETTLING:
            self._settle()
        self.pump()

    def go_on(self) -> None:
        """Does the next piece of what the role has left unfinished."""
        if self.role is not None:
            self.role.go_on()
        self.pump()

    def stored(self, ticket: int) -> None:
        """Takes the news that what the command with this ticket did is durable."""
        command = self.member.answered(ticket)
        if isinstance(command, InstallDatabase):
            log.info("the state that replaces that of the ensemble is in force on this server")
            self.member.replace_database(command.database, command.zxid)
        if self.role is not None:
            self.role.stored(ticket)
        elif self.phase == SETTLING:
            self._settle()
        self.pump()

    def restored(self, ticket: int, database: Database) -> None:
        """Takes the database that the disk has after a TruncateLog or Reload."""
        member = self.member
        command = member.answered(ticket)
        assert isinstance(command, (TruncateLog, Reload)), command
        if self.role is not None:
            self.role.restored(ticket, database)
        elif self.phase == SETTLING:
            member.replace_database(database, database.last_zxid)
            self._unapplied.clear()
            self._settle()
        self.pump()

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records that a ReadLog asked for."""
        self.member.answered(ticket)
        if self.role is not None:
            self.role.log_read(ticket, records)
        elif self.phase == SETTLING:
            self._settle()
        self.pump()

    def wake(self) -> None:
        """Does what is due at this time."""
        now = self.clock.now_ms
        self.links.wake()
        self.election.wake()
        if self._look_at_ms is not None and self.phase == SETTLING and now >= self._look_at_ms:
            self._settle()
        at = self._read_only_at
        if at is not None and now >= at:
            self._read_only()
        if self._stand_at_ms is not None and now >= self._stand_at_ms:
            self._stand()
        if self.phase == LOOKING:
            self.doubt.wake()
        if self.role is not None:
            self.role.wake()
        self.pump()

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        election, links = self.election, self.links
        due: int | None = None
        for at in (  # every turn asks; the first two are not compiled, so only if they have one
            election.deadline if election.is_running else None,
            links.deadline if links.greeting else None,
            self._look_at,
            self._read_only_at,
            self._stand_at_ms,
            self.doubt.deadline if self.phase == LOOKING else None,
            None if self.role is None else self.role.deadline,
        ):
            if at is not None and (due is None or at < due):
                due = at
        return due

    def listen_failed(self, reason: str) -> None:
        """Takes the news that the quorum port cannot be opened, so that learners cannot connect.

        A leader that has no quorum yet gives up and stands aside: otherwise it would be elected
        again and again, and keep a healthy majority from serving."""
        role = self.role
        needs_others = not self.election.view.has_quorums({self.member.sid: None})
        if isinstance(role, Leader) and role.phase != BROADCAST and needs_others:
            self.member.stands_aside = reason
            role.over = role.over or reason
            self.pump()

    def link_accepted(self, name: str) -> QuorumLink | None:
        """Takes a connection to the quorum port; None refuses it, for this server does not lead."""
        role = self.role
        return self._taken(role.link_accepted(name) if isinstance(role, Leader) else None)

    def observer_accepted(self, name: str) -> QuorumLink | None:
        """Takes a connection to the port of an observer master; None refuses it, for this server
        does not follow."""
        role = self.role
        return self._taken(role.observer_accepted(name) if isinstance(role, Follower) else None)

    def _taken(self, link: QuorumLink | None) -> QuorumLink | None:
        if link is not None:
            link.accepted(self.logins)
        return link

    def link_received(self, link: QuorumLink, data: bytes) -> None:
        """Takes bytes that have come on a link of the quorum port."""
        link.receive(data)
        self.pump()

    def link_up(self, link: QuorumLink) -> None:
        """Takes the news that a link that was dialed is connected."""
        if not link.is_closed:
            link.dialed(self.logins)
            self.pump()

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """Takes the news that a link has ended, or could not be made."""
        learner = link.owner
        if isinstance(learner, Learner) and not link.is_closed:
            if link.has_received:
                self.lost_links.ended(learner.sync.source_sid, learner.epoch)
            elif learner.phase == CONNECTING:
                self.lost_links.gone(learner.sync.source_sid)
        link.lost(reason)
        self.pump()

    def election_accepted(self, name: str) -> ElectionLink:
        """Takes a connection that somebody has opened to the election port."""
        return self.links.accepted(name)

    def election_written(self, link: ElectionLink) -> None:
        """Takes the news that what was written on an election link has left."""
        self.links.written(link)

    def election_dialed(self, sid: int, name: str) -> ElectionLink:
        """Takes the news that a connection to the election port of server ``sid`` is open."""
        link = self.links.dialed(sid, name)
        self.election.reached(sid)
        return link

    def election_dial_failed(self, sid: int) -> None:
        """Takes the news that the election port of server ``sid`` could not be reached."""
        self.lost_links.gone(sid)
        self.links.dial_failed(sid)
        self.election.not_reached(sid)
        self.pump()

    def election_received(self, link: ElectionLink, chunk: bytes) -> None:
        """Takes bytes that have come on an election link."""
        self.links.received(link, chunk)
        self.pump()

    def election_closed(self, link: ElectionLink) -> None:
        """Takes the news that an election link has ended."""
        sid = link.sid
        if sid is not None and link.state == LinkState.UP and self.links.addresses.is_known(sid):
            self.lost_links.ended(sid)
        self.links.closed(link)
        if sid is not None and sid not in self.links.links:
            self.election.lost(sid)
            self.pump()
