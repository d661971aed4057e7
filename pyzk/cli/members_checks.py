"""What would go wrong with a change of an ensemble's members, found before it is made.

Pure. The servers themselves refuse what contradicts the configuration and what has no quorum now;
they do not look at who lags, who is somebody else, or what the loss of one more server costs.

ZooKeeper: PrepRequestProcessor, where it prepares a reconfiguration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_change import Change, client_place
from pyzk.cli.survey import LEARNERS, NOT_SERVING, SurveyedServer, leader_of
from pyzk.config.members import Membership, QuorumServer
from pyzk.int64 import hex_digits
from pyzk.quorum.verifier import verifier_of
from pyzk.runtime.addresses import place

MAX_EXTENDED_ID: Final = 254
"""The largest server id beside which znodes can have a TTL."""


@attrs.frozen
class Finding:
    """One thing that would go wrong."""

    check: str
    """The name of the check, for programs."""
    text: str
    can_be_forced: bool = False
    """Whether the operator may know better: the servers could accept the change."""
    may_pass: bool = False
    """Whether waiting may help."""
    is_refused: bool = False
    """Whether the servers refuse it too, unless this command is mistaken: to force it gains
    nothing."""


@attrs.define
class Findings:
    """Everything that the checks say about one change."""

    problems: list[Finding] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def blocking(self, is_forced: bool) -> list[Finding]:
        """Return the problems for which the change is not made."""
        return [each for each in self.problems if not (is_forced and each.can_be_forced)]


@attrs.define
class Observed:
    """What the servers say of themselves, and what can be reached from here."""

    membership: Membership
    servers: list[SurveyedServer]
    max_lag: int
    has_auth: bool = False
    """Whether credentials are given."""
    has_identity: bool = False
    """Whether this client logs in, or shows a certificate."""
    can_write: bool | None = None
    """Whether anybody may change the configuration; None if the ACL names somebody."""
    is_super: bool | None = None
    """Whether the server that is asked takes this client for the superuser; None if it does not
    tell."""
    unreachable: dict[str, str] = attrs.field(factory=dict)
    """Why an election address cannot be reached, by `host:port`."""
    place_of: Callable[[QuorumServer], tuple[str, int] | None] = client_place
    """Returns where a member takes this client; None if nobody knows."""

    def of(self, member: QuorumServer) -> SurveyedServer | None:
        """Return what is known of a member; None if nobody knows where it takes clients.

        An answer that is somebody else's is no answer: a server must not count for two members.
        """
        answer = self.answer_of(member)
        if answer is None or answer.problem is not None or answer.server_id == member.sid:
            return answer
        others = [each for each in self.membership.members if each.sid != member.sid]
        if answer.server_id is not None:
            who = f"answered as server {answer.server_id}"
        elif any(self.place_of(x) == answer.address for x in others):
            who = "several members are asked here, and it does not say which it is"
        else:
            return answer
        return SurveyedServer(
            answer.address, f"{who}: name with --server where server {member.sid} takes clients"
        )

    def answer_of(self, member: QuorumServer) -> SurveyedServer | None:
        """Return what was answered where a member should be, whoever it was."""
        where = self.place_of(member)
        if where is not None:
            address = ClientAddress(*where)
            return next((each for each in self.servers if each.address == address), None)
        return next((each for each in self.servers if each.server_id == member.sid), None)

    @property
    def is_permitted(self) -> bool | None:
        """Whether this client may change the configuration; None if only a change shows it."""
        if self.can_write or self.is_super:
            return True
        is_nobody = not (self.has_auth or self.has_identity)
        if self.can_write is False and (self.is_super is False or is_nobody):
            return False
        return None

    @property
    def leader(self) -> SurveyedServer | None:
        """The leader of the ensemble, if it is one of its members that says so."""
        members = [self.of(member) for member in self.membership.members]
        return leader_of([each for each in members if each is not None])

    @property
    def versions(self) -> dict[int, int]:
        """The version of the configuration by which a member goes, by server id; of those that tell
        it by ``conf``."""
        found = {}
        for member in self.membership.members:
            server = self.of(member)
            if server is not None and server.is_serving and server.configuration is not None:
                found[member.sid] = server.configuration.version
        return found

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the members as they are."""
        latest = max((self.membership.version, *self.versions.values()))
        return [
            f"server {sid} goes by version 0 of the configuration, and not by"
            f" {hex_digits(latest)}: reconfigEnabled is not true there, or it has not caught up"
            for sid, version in sorted(self.versions.items())
            if version == 0 < latest
        ]

    def why_not_in_sync(self, member: QuorumServer) -> str | None:
        """Return why a server cannot be counted on; None if it can."""
        server = self.of(member)
        if server is None:
            return "its line does not say where it takes clients: name that with --server"
        if server.problem is not None:
            return f"{server.address}: {server.problem}"
        if server.mode == NOT_SERVING:
            return f"{server.address} runs and does not serve: it has no leader yet"
        if server.mode not in ("leader", *LEARNERS):
            return f"{server.address} is {server.mode}"
        if server.lag is not None and server.lag > self.max_lag:
            return f"{server.address} is {server.lag} transactions behind the leader"
        return None


def check(change: Change, observed: Observed) -> Findings:
    """Return what would go wrong with a change, and what is worth knowing."""
    found = Findings()
    for look in _CHECKS:
        found.problems += look(change, observed)
    for tell in _NOTES:
        found.notes += tell(change, observed)
    return found


# --- what the servers would refuse ----------------------------------------------------


def _is_off(change: Change, observed: Observed) -> Iterator[Finding]:
    if change.before.version == 0:
        yield Finding(
            "reconfig-off",
            "the server that was asked goes by version 0 of the configuration, so it takes no"
            " reconfiguration: set reconfigEnabled=true in zoo.cfg of each member, and start them"
            " again one by one",
            can_be_forced=True,
            is_refused=True,
        )


def _permission(change: Change, observed: Observed) -> Iterator[Finding]:
    if observed.is_permitted is not False:
        return
    if observed.has_auth:
        yield Finding(
            "permission",
            "the server that was asked does not take --auth for the superuser's"
            " (digest:super:PASSWORD), and nobody else may change the members: the password is"
            " wrong, or this server has no DigestAuthenticationProvider.superDigest, or another"
            " one; try another server with -s",
            can_be_forced=True,
            is_refused=True,
        )
    elif observed.has_identity:
        yield Finding(
            "permission",
            "the server that was asked does not take who comes by --sasl or --cert for a superuser,"
            " and nobody else may change the members: name him in superUser, or in"
            " X509AuthenticationProvider.superUser, or give --auth digest:super:PASSWORD",
            can_be_forced=True,
            is_refused=True,
        )
    else:
        yield Finding(
            "permission",
            "nobody but the superuser may change the members: give --auth digest:super:PASSWORD,"
            " or set PYZK_AUTH (the servers need DigestAuthenticationProvider.superDigest)",
            can_be_forced=True,
            is_refused=True,
        )


def _last_voter(change: Change, observed: Observed) -> Iterator[Finding]:
    if not change.after.voters:
        yield Finding("last-voter", "no voter would be left")


def _addresses(change: Change, observed: Observed) -> Iterator[Finding]:
    taken: dict[tuple[str, int], int] = {}
    for member in change.after.members:
        for host, port in _places(member):
            owner = taken.setdefault((host.lower(), port), member.sid)
            if owner == member.sid or not {owner, member.sid} & {m.sid for m in change.changed}:
                continue
            yield Finding(
                "address-taken",
                f"servers {owner} and {member.sid} would both have {place(host, port)}",
            )
    for member in change.changed:
        places = _places(member)
        for host, port in sorted({each for each in places if places.count(each) > 1}):
            yield Finding(
                "address-taken", f"server {member.sid} would have {place(host, port)} twice"
            )


def _places(member: QuorumServer) -> list[tuple[str, int]]:
    """Return every address at which a member would listen."""
    places = [
        (each.host, port)
        for each in member.addresses
        for port in (each.quorum_port, each.election_port)
    ]
    client = client_place(member)
    return places if client is None else [*places, client]


# --- the quorum -----------------------------------------------------------------------


def _leader(change: Change, observed: Observed) -> Iterator[Finding]:
    if observed.leader is None:
        yield Finding(
            "no-leader",
            "none of the members that answer leads: who lags is not known, and perhaps nobody takes"
            " writes",
            can_be_forced=True,
            may_pass=True,
        )


def _quorum(change: Change, observed: Observed) -> Iterator[Finding]:
    """The new voters are checked one by one, so they count here."""
    if not change.after.voters:
        return
    missing = _missing_voters(change, observed)
    present = [sid for sid in change.after.voters if sid not in missing]
    if not verifier_of(change.after).has_quorum(present):
        why = "; ".join(f"server {sid}: {text}" for sid, text in missing.items())
        yield Finding(
            "quorum-lost",
            f"of the voters that there would be ({_list(change.after.voters)}) those in sync are no"
            f" quorum ({_list(present)}): nobody could write ({why})",
            can_be_forced=True,
        )


def _counted(change: Change, observed: Observed) -> Iterator[Finding]:
    """The leader counts nobody who is an observer until then (ZooKeeper:
    Leader.isQuorumSynced)."""
    missing = _missing_voters(change, observed)
    observers = [sid for sid in change.after.voters if _is_observer(sid, change, observed)]
    present = [sid for sid in change.after.voters if sid not in missing]
    quorum = verifier_of(change.after)
    if quorum.has_quorum(present) and not quorum.has_quorum(set(present) - set(observers)):
        one = observers[0]
        yield Finding(
            "observers-not-counted",
            "the servers require a quorum of the voters that there would be, and count nobody who"
            f" is an observer now ({_list(observers)}): remove it (pyzk members remove {one}),"
            " start it again with participant in its own line, and add it with a vote",
            can_be_forced=True,
            is_refused=True,
        )


def _is_observer(sid: int, change: Change, observed: Observed) -> bool:
    """Return whether a server is an observer until the change."""
    before, after = change.before.member(sid), change.after.member(sid)
    if before is not None:
        return before.is_observer
    server = None if after is None else observed.of(after)
    return server is not None and server.mode == "observer"


def _missing_voters(change: Change, observed: Observed) -> dict[int, str]:
    """Return the voters behind the change that were voters before and cannot be counted on."""
    new = [member.sid for member in change.new_voters]
    missing = {}
    for member in change.after.members:
        if member.is_observer or member.sid in new:
            continue
        # It is asked where it is now, also if the change moves it.
        why = observed.why_not_in_sync(change.before.member(member.sid) or member)
        if why is not None:
            missing[member.sid] = why
    return missing


def _in_sync(change: Change, observed: Observed) -> Iterator[Finding]:
    others = set(change.after.voters) - {member.sid for member in change.new_voters}
    # Otherwise nobody could promote it.
    can_observe = verifier_of(change.after).has_quorum(others)
    for member in _needed(change):
        why = observed.why_not_in_sync(member)
        if why is None:
            continue
        if _is_stranger(observed, member) and member in change.changed:
            continue  # told below
        text = f"server {member.sid} is not in sync: {why}"
        if change.before.member(member.sid) is None and member.sid not in change.needed:
            text += "; start it" + (", or add it with --observer" if can_observe else "")
        yield Finding("not-in-sync", text, can_be_forced=True, may_pass=True)


def _is_stranger(observed: Observed, member: QuorumServer) -> bool:
    server = observed.answer_of(member)
    if server is None:
        return False
    is_other = server.is_serving and server.server_id not in (None, member.sid)
    return is_other or server.mode in ("standalone", "read-only")


def _needed(change: Change) -> list[QuorumServer]:
    """Return the servers that must be in sync before the change, as it leaves them."""
    needed = {member.sid: member for member in change.new_voters}
    for sid in change.needed:
        member = change.after.member(sid)
        assert member is not None, sid
        needed[sid] = member
    return [needed[sid] for sid in sorted(needed)]


# --- somebody else, or nobody ---------------------------------------------------------


def _strangers(change: Change, observed: Observed) -> Iterator[Finding]:
    """A server that is to be a member, or to get a vote, must be the one that is meant."""
    for member in change.changed:
        server = observed.answer_of(member)
        if server is None or not server.is_serving:
            continue
        if server.mode == "standalone":
            yield Finding(
                "stranger",
                f"server {member.sid}: {server.address} stands alone and has a tree of its own;"
                " stop it, empty its data directory but for myid, and give it the lines of this"
                " ensemble",
            )
        elif server.mode == "read-only":
            yield Finding(
                "stranger",
                f"server {member.sid}: {server.address} serves reads only: it does not reach the"
                " others",
                can_be_forced=True,
                may_pass=True,
            )
        elif server.server_id not in (None, member.sid):
            others = [each for each in change.before.members if each.sid != member.sid]
            if any(observed.answer_of(each) is server for each in others):
                continue  # an address that another member has, which is told of
            yield Finding(
                "stranger",
                f"{server.address} says that it is server {server.server_id}, not {member.sid}:"
                " correct the id, or its myid",
            )
        elif change.before.member(member.sid) is None and server.mode == "leader":
            yield Finding("stranger", f"{server.address} leads another ensemble")


def _unreachable(change: Change, observed: Observed) -> Iterator[Finding]:
    for member in _needed(change):
        if observed.why_not_in_sync(member) is not None:
            continue
        for each in member.addresses:
            where = place(each.host, each.election_port)
            if where in observed.unreachable:
                yield Finding(
                    "unreachable",
                    f"server {member.sid}: its election address {where} cannot be reached from"
                    f" here: {observed.unreachable[where]}",
                    can_be_forced=True,
                    may_pass=True,
                )
    for member in change.changed:
        for each in member.addresses:
            if each.host in observed.unreachable:
                yield Finding(
                    "unreachable",
                    f"server {member.sid}: nobody knows the host {each.host}:"
                    f" {observed.unreachable[each.host]}",
                    can_be_forced=True,
                )


_CHECKS: Final[Sequence[Callable[[Change, Observed], Iterator[Finding]]]] = (
    _is_off,
    _permission,
    _last_voter,
    _addresses,
    _leader,
    _quorum,
    _counted,
    _strangers,
    _in_sync,
    _unreachable,
)


# --- what is worth knowing ------------------------------------------------------------


def _note_number(change: Change, observed: Observed) -> Iterator[str]:
    count, before = len(change.after.voters), len(change.before.voters)
    if count == before or change.after.groups or not count:
        return
    if count == 1:
        yield (
            "one voter would be left, whose loss stops all writes; its servers refuse that unless"
            " all have standaloneEnabled=false"
        )
    elif count % 2 == 0:
        yield (
            f"{count} voters survive the loss of {(count - 1) // 2}, no more than {count - 1}"
            " would: an odd number is better, unless another change follows"
        )


def _note_spare(change: Change, observed: Observed) -> Iterator[str]:
    """Tell what the loss of one more voter would do, if a voter is missing."""
    missing = _missing_voters(change, observed)
    present = [sid for sid in change.after.voters if sid not in missing]
    quorum = verifier_of(change.after)
    if not missing or not quorum.has_quorum(present):
        return
    last = [sid for sid in present if not quorum.has_quorum([x for x in present if x != sid])]
    why = "; ".join(f"server {sid}: {text}" for sid, text in missing.items())
    text = f"not in sync: {why}"
    if last:
        text += f"; after this change the loss of one of servers {_list(last)} stops all writes"
    yield text


def _note_leader(change: Change, observed: Observed) -> Iterator[str]:
    leader = observed.leader
    for member in change.before.members:
        if leader is None or observed.of(member) is not leader:
            continue
        after = change.after.member(member.sid)
        if after is None or after.is_observer or after.addresses != member.addresses:
            yield f"server {member.sid} leads: another one takes over, for a moment nobody writes"


def _note_gone(change: Change, observed: Observed) -> Iterator[str]:
    for member in change.gone:
        server = observed.of(member)
        if server is not None and server.problem is None:
            yield (
                f"server {member.sid} goes on running, without a vote: stop it, and take"
                f" {server.address} out of the clients' connect strings"
            )


def _note_start(change: Change, observed: Observed) -> Iterator[str]:
    needed = {member.sid for member in _needed(change)}
    for member in change.changed:
        if change.before.member(member.sid) is not None or member.sid in needed:
            continue
        why = observed.why_not_in_sync(member)
        if why is not None:
            yield f"server {member.sid} is not running yet, or cannot be reached from here: {why}"


def _note_single(change: Change, observed: Observed) -> Iterator[str]:
    added = [
        member
        for member in change.changed
        if member.is_observer and change.before.member(member.sid) is None
    ]
    if added and len(change.before.voters) == 1:
        yield (
            "beside a single voter an observer cannot be promoted: a server that is to have a vote"
            " is added without --observer"
        )


def _note_names(change: Change, observed: Observed) -> Iterator[str]:
    if not all(_is_here(member) for member in change.after.members):
        for member in change.changed:
            if _is_here(member):
                yield (
                    f"server {member.sid} has an address that means another machine on each"
                    f" machine: {member.addresses[0].host}"
                )
    for member in change.changed:
        if change.before.member(member.sid) is None and member.sid > MAX_EXTENDED_ID:
            text = f"beside an id above {MAX_EXTENDED_ID} no znode can have a TTL"
            yield f"server {member.sid}: {text}"


def _is_here(member: QuorumServer) -> bool:
    hosts = [address.host for address in member.addresses]
    return any(host == "localhost" or host.startswith("127.") for host in hosts)


_NOTES: Final[Sequence[Callable[[Change, Observed], Iterator[str]]]] = (
    _note_number,
    _note_spare,
    _note_leader,
    _note_gone,
    _note_start,
    _note_single,
    _note_names,
)


def _list(sids: Sequence[int]) -> str:
    return ", ".join(str(sid) for sid in sids) if sids else "none"
