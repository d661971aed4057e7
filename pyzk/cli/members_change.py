"""What `pyzk members` changes: from one configuration of an ensemble to the next.

Pure. A change is one reconfiguration; `replacement` gives the changes that are left until one
server stands in the place of another. It looks at nothing but the configuration in force, so it
goes on where an earlier attempt has ended.

ZooKeeper: ReconfigCommand
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from pyzk.config.members import (
    WILDCARD,
    Membership,
    QuorumServer,
    bracketed,
    parse_id,
    parse_member,
)
from pyzk.quorum.verifier import verifier_of

FORM = "ID=HOST:QUORUM_PORT:ELECTION_PORT[:ROLE];[HOST:]CLIENT_PORT"
EXAMPLE = "4=zk4.example.com:2888:3888;2181"


class ImpossibleError(Exception):
    """A change that the configuration in force does not admit."""

    def __init__(self, check: str, text: str) -> None:
        super().__init__(text)
        self.check = check
        """The name of what is wrong, for programs."""
        self.text = text


@attrs.frozen
class Change:
    """One reconfiguration."""

    title: str
    before: Membership
    after: Membership
    needed: tuple[int, ...] = ()
    """Servers that must be in sync before, besides those that become voters."""
    is_rest: bool = attrs.field(default=False, eq=False)
    """Whether a part of what is wanted is done already, by an earlier command."""

    @property
    def is_empty(self) -> bool:
        return same_content(self.before, self.after)

    @property
    def is_incremental(self) -> bool:
        """Whether the servers work the new members out: they do not where there are groups."""
        return not (self.before.groups or self.after.groups)

    @property
    def changed(self) -> tuple[QuorumServer, ...]:
        """The members that are new, or are not what they were."""
        return tuple(
            member for member in self.after.members if self.before.member(member.sid) != member
        )

    @property
    def new_voters(self) -> tuple[QuorumServer, ...]:
        """The members that get a vote with this change."""
        voters = self.before.voters
        return tuple(
            member
            for member in self.after.members
            if not member.is_observer and member.sid not in voters
        )

    @property
    def gone(self) -> tuple[QuorumServer, ...]:
        """The members that are none any more."""
        return tuple(
            member for member in self.before.members if self.after.member(member.sid) is None
        )

    def arguments(self) -> tuple[str | None, str | None, str | None]:
        """Return joining, leaving and new members, as the operation takes them."""
        if not self.is_incremental:
            return None, None, ",".join(self.after.lines())
        joining = ",".join(server_line(member) for member in self.changed)
        leaving = ",".join(str(member.sid) for member in self.gone)
        return joining or None, leaving or None, None


def server_line(member: QuorumServer) -> str:
    """Return the line of a member, as `zoo.cfg` has it."""
    return f"server.{member.sid}={member}"


def client_place(member: QuorumServer) -> tuple[str, int] | None:
    """Return where a member takes clients; None if its line does not say so."""
    if member.client_port is None:
        return None
    host = member.client_host
    if host in (WILDCARD, "::", "0:0:0:0:0:0:0:0"):
        host = member.addresses[0].host
    return host, member.client_port


def hosts_of(server: QuorumServer) -> list[str]:
    """Return the hosts of a server, to compare."""
    return [address.host.lower() for address in server.addresses]


def same_content(one: Membership, other: Membership) -> bool:
    """Return whether two configurations say the same, whatever their versions are."""
    return attrs.evolve(one, version=0) == attrs.evolve(other, version=0)


# --- what is asked for ----------------------------------------------------------------


def parse_server(text: str) -> tuple[QuorumServer, bool]:
    """Parse a server as the command line names it; tell also whether its role is written.

    Raises ValueError with a sentence for the operator.
    """
    name, equals, address = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not {FORM}, as in {EXAMPLE}")
    sid = parse_id(name.strip().removeprefix("server."), "server id")
    try:
        server = parse_member(sid, address.strip())
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if server.client_port is None:
        raise ValueError(
            f"{text!r} does not say where the server takes clients: add its client port behind a"
            f" semicolon, as in {EXAMPLE} (in quotation marks, for the shell)"
        )
    ports = [port for each in server.addresses for port in (each.quorum_port, each.election_port)]
    if 0 in (*ports, server.client_port):
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
    for each in server.addresses:
        if each.host in (WILDCARD, "::", "0:0:0:0:0:0:0:0"):
            raise ValueError(
                f"{text!r}: the others cannot reach {bracketed(each.host)}; name the host"
            )
    role = address.partition(";")[0].rpartition(":")[2].strip().lower()
    return server, role in ("participant", "observer")


# --- changes --------------------------------------------------------------------------


def add(
    before: Membership, servers: Sequence[QuorumServer], group: int | None = None, weight: int = 1
) -> Change:
    """Return the change that adds servers. One that is there already is left as it is."""
    new = []
    for server in servers:
        present = before.member(server.sid)
        if present is None:
            new.append(server)
        elif present != server:
            how = "pyzk members promote or demote changes its role"
            if attrs.evolve(present, is_observer=server.is_observer) != server:
                how = "pyzk members replace moves it; a new server needs an id of its own"
            raise ImpossibleError("id-taken", f"server {server.sid} is a member: {present}; {how}")
    after = _with(before, new)
    voters = [server.sid for server in new if not server.is_observer]
    after = _grouped(after, voters, group, weight)
    return Change(f"add {_named(new, 'nobody')}", before, after)


def remove(before: Membership, sids: Sequence[int]) -> Change:
    """Return the change that removes members."""
    _require(before, sids)
    return Change(f"remove {_ids(sids)}", before, _without(before, sids))


def promote(
    before: Membership, sids: Sequence[int], group: int | None = None, weight: int = 1
) -> Change:
    """Return the change that makes observers participants."""
    _require(before, sids)
    new = [sid for sid in sids if sid in before.observers]
    after = _with(before, [_as(before, sid, is_observer=False) for sid in new])
    return Change(f"give {_ids(sids)} a vote", before, _grouped(after, new, group, weight))


def demote(before: Membership, sids: Sequence[int]) -> Change:
    """Return the change that makes participants observers."""
    _require(before, sids)
    after = _with(_ungrouped(before, sids), [_as(before, sid, is_observer=True) for sid in sids])
    return Change(f"take the vote of {_ids(sids)}", before, after)


def replacement(
    before: Membership, old: int, new: QuorumServer, group: int | None = None, weight: int = 1
) -> list[Change]:
    """Return the changes that are left until ``new`` is in the place of server ``old``.

    ``new`` gets the role of the old one, but is never demoted. The old one leaves in the change
    that gives it, so where only ``new`` is a member nothing is left. ``group`` and ``weight`` are
    for a voter of the same id that has left already; else they are those of the old one.
    """
    if new.sid == old:
        return _move(before, new, group, weight)
    present, replaced = before.member(new.sid), before.member(old)
    if present is None:
        _require(before, [old])
    if present is not None and attrs.evolve(present, is_observer=new.is_observer) != new:
        raise ImpossibleError(
            "id-taken", f"server {new.sid} is a member: {present}; the new server needs a free id"
        )
    if replaced is None:
        return []
    was_voter = present is not None and not present.is_observer
    new = attrs.evolve(new, is_observer=replaced.is_observer and not was_voter)
    changes = []
    if present is None and not _needs_vote(before, old, new):
        observer = attrs.evolve(new, is_observer=True)
        changes.append(
            Change(f"add server {new.sid} as an observer", before, _with(before, [observer]))
        )
    last = changes[-1].after if changes else before
    return [*changes, attrs.evolve(_swap(last, old, new), is_rest=present is not None)]


def _needs_vote(before: Membership, old: int, new: QuorumServer) -> bool:
    """Return whether a quorum behind the replacement needs the new server.

    Then it must not be an observer first: the leader does not count observers.
    """
    if new.is_observer:
        return False
    after = _swap(before, old, new).after
    return not verifier_of(after).has_quorum(set(after.voters) - {new.sid})


def _swap(before: Membership, old: int, new: QuorumServer) -> Change:
    """Return the change that removes the old server and gives the new one its role, at once: so
    the number of voters stays what it is."""
    group = next((gid for gid, sids in before.groups if old in sids), None)
    is_new_voter = not new.is_observer and new.sid not in before.voters
    after = _with(before, [new])
    if is_new_voter:
        weight = dict(before.weights).get(old, 1)
        after = _grouped(after, [new.sid], group, weight)
    titles = []
    if before.member(new.sid) is None:
        titles.append(f"add server {new.sid}")
    elif is_new_voter:
        titles.append(f"give server {new.sid} a vote")
    titles.append(f"remove server {old}")
    return Change(" and ".join(titles), before, _without(after, [old]), needed=(new.sid,))


def _move(before: Membership, new: QuorumServer, group: int | None, weight: int) -> list[Change]:
    """Return the changes that give a member another address, and leave it its id.

    On its host it changes its ports while it runs. Another host means another server: two of one id
    must not run beside each other, so the old one leaves first.
    """
    present = before.member(new.sid)
    if present is None:
        return [attrs.evolve(_join(before, new, group, weight), is_rest=True)]
    new = attrs.evolve(new, is_observer=present.is_observer)
    if present == new:
        return []
    if hosts_of(present) == hosts_of(new):
        title = f"change the address of server {new.sid}, which goes on running"
        return [Change(title, before, _with(before, [new]))]
    group = next((gid for gid, sids in before.groups if new.sid in sids), None)
    weight = dict(before.weights).get(new.sid, 1)
    leave = Change(
        f"remove server {new.sid} at its old address", before, _without(before, [new.sid])
    )
    return [leave, _join(leave.after, new, group, weight)]


def _join(before: Membership, new: QuorumServer, group: int | None, weight: int) -> Change:
    after = _with(before, [new])
    if not new.is_observer:
        after = _grouped(after, [new.sid], group, weight)
    title = f"add server {new.sid} at its new address"
    return Change(title, before, after, needed=(new.sid,))


# --- parts of a configuration ---------------------------------------------------------


def _require(before: Membership, sids: Iterable[int]) -> None:
    for sid in sids:
        if before.member(sid) is None:
            there = ", ".join(str(member.sid) for member in before.members)
            raise ImpossibleError(
                "unknown-id", f"server {sid} is not a member; the members are {there}"
            )


def _as(before: Membership, sid: int, *, is_observer: bool) -> QuorumServer:
    member = before.member(sid)
    assert member is not None, sid
    return attrs.evolve(member, is_observer=is_observer)


def _with(before: Membership, servers: Iterable[QuorumServer]) -> Membership:
    """Return the configuration with these servers, in the place of those of the same ids."""
    members = {member.sid: member for member in before.members}
    members |= {server.sid: server for server in servers}
    return attrs.evolve(before, members=tuple(members[sid] for sid in sorted(members)))


def _without(before: Membership, sids: Iterable[int]) -> Membership:
    leaving = set(sids)
    members = tuple(member for member in before.members if member.sid not in leaving)
    return attrs.evolve(_ungrouped(before, leaving), members=members)


def _grouped(before: Membership, sids: Sequence[int], group: int | None, weight: int) -> Membership:
    """Return the configuration with new voters in a group, if it has groups."""
    if not sids or not before.groups:
        if group is not None and not before.groups:
            raise ImpossibleError(
                "group",
                "this ensemble has no groups: every voter counts the same; leave out --group",
            )
        return before
    groups = dict(before.groups)
    if group is None:
        there = ", ".join(str(gid) for gid in groups)
        raise ImpossibleError(
            "group",
            f"this ensemble has groups ({there}): say with --group where {_ids(sids)} belongs",
        )
    groups[group] = tuple(sorted({*groups.get(group, ()), *sids}))
    weights = dict(before.weights) | dict.fromkeys(sids, weight)
    return attrs.evolve(
        before, groups=tuple(sorted(groups.items())), weights=tuple(sorted(weights.items()))
    )


def _ungrouped(before: Membership, sids: Iterable[int]) -> Membership:
    """Return the configuration without these servers in its groups; an empty group is none."""
    leaving = set(sids)
    groups = []
    for gid, members in before.groups:
        left = tuple(sid for sid in members if sid not in leaving)
        if left:
            groups.append((gid, left))
    weights = tuple(pair for pair in before.weights if pair[0] not in leaving)
    return attrs.evolve(before, groups=tuple(groups), weights=weights)


def _ids(sids: Sequence[int]) -> str:
    return ("server " if len(sids) == 1 else "servers ") + ", ".join(str(sid) for sid in sids)


def _named(servers: Sequence[QuorumServer], otherwise: str) -> str:
    if not servers:
        return otherwise
    if all(server.is_observer for server in servers):
        role = " as an observer" if len(servers) == 1 else " as observers"
    else:
        role = ""
    return _ids([server.sid for server in servers]) + role
