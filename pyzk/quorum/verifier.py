"""Quorum verifiers: which sets of peers are a quorum, and who may vote.

Pure. ZooKeeper: QuorumVerifier, QuorumMaj and QuorumHierarchical.

A verifier stands for one version of the ensemble's configuration. Only its voters count: whatever
else is in a set of acks (observers, servers that have left, strangers) is passed over, so a caller
need not filter. Two quorums of one verifier always have a voter in common:

    QuorumMaj            more than half of the voters
    QuorumHierarchical   more than half of the groups, in each more than half of the weight;
                         groups whose weight is 0 are no groups here

While a configuration is being changed, a decision needs a quorum of each of several verifiers:
`proposals.AckTally` counts for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pyzk.config.members import Membership


class QuorumVerifier:
    """The members of one configuration; the kinds of quorum derive from it."""

    __slots__ = ("observers", "servers", "version", "voters")

    def __init__(
        self,
        voters: Iterable[int],
        observers: Iterable[int] = (),
        *,
        version: int = 0,
        servers: Mapping[int, str] | None = None,
    ) -> None:
        """Makes a verifier. ``servers`` gives the canonical text behind ``server.<sid>=`` of every
        member; it is compared and passed on, never read here."""
        self.voters: tuple[int, ...] = tuple(sorted(set(voters)))
        self.observers: tuple[int, ...] = tuple(sorted(set(observers)))
        self.version: int = version
        self.servers: dict[int, str] = dict(sorted(servers.items())) if servers else {}
        both = sorted({*self.voters}.intersection(self.observers))
        if both:
            raise ConfigError(f"server {both[0]} is both a participant and an observer")

    def has_quorum(self, sids: Collection[int]) -> bool:
        """Tells whether the voters among ``sids`` are a quorum."""
        raise AssertionError("each kind of verifier says what a quorum is")

    def weight(self, sid: int) -> int:
        """Returns how much a vote of ``sid`` weighs; a server of weight 0 is never elected."""
        raise AssertionError("each kind of verifier says what a vote weighs")

    def is_member(self, sid: int) -> bool:
        """Tells whether ``sid`` is in this configuration, as voter or observer."""
        return sid in self.voters or sid in self.observers

    def is_same_config(self, other: QuorumVerifier) -> bool:
        """Tells whether both stand for one configuration: an equal version decides; else members,
        roles, addresses and quorums must be equal."""
        return self.version == other.version or self.has_same_content(other)

    def has_same_quorums(self, other: QuorumVerifier) -> bool:
        """Tells whether both configurations have the same quorums, whatever their addresses and
        observers are."""
        return type(self) is type(other) and self.voters == other.voters

    def has_same_content(self, other: QuorumVerifier) -> bool:
        """Tells whether both configurations have the same members, roles, addresses and quorums."""
        return (
            self.has_same_quorums(other)
            and self.observers == other.observers
            and self.servers == other.servers
        )


class QuorumMaj(QuorumVerifier):
    """More than half of the voters."""

    __slots__ = ()

    def has_quorum(self, sids: Collection[int]) -> bool:
        count = 0
        for sid in self.voters:
            if sid in sids:
                count += 1
        return count > len(self.voters) // 2

    def weight(self, sid: int) -> int:
        """Returns 1 for any server: one that is only in the next configuration may be elected
        too."""
        return 1


class QuorumHierarchical(QuorumVerifier):
    """More than half of the groups; in each, more than half of the weight."""

    __slots__ = ("groups", "weights")

    def __init__(
        self,
        voters: Iterable[int],
        observers: Iterable[int] = (),
        *,
        groups: Mapping[int, Iterable[int]],
        weights: Mapping[int, int] | None = None,
        version: int = 0,
        servers: Mapping[int, str] | None = None,
    ) -> None:
        """Makes a verifier. ``groups`` maps the id of a group to its servers; a server without a
        weight weighs 1."""
        super().__init__(voters, observers, version=version, servers=servers)
        self.groups: dict[int, tuple[int, ...]] = {
            group: tuple(sorted(set(sids))) for group, sids in sorted(groups.items())
        }
        self.weights: dict[int, int] = dict.fromkeys(self.voters, 1)
        for sid, weight in sorted((weights or {}).items()):
            if weight < 0:
                raise ConfigError(f"the weight of server {sid} is negative: {weight}")
            self.weights[sid] = weight
        self._check_groups()

    def _check_groups(self) -> None:
        seen: dict[int, int] = {}
        for group, sids in self.groups.items():
            for sid in sids:
                if sid in seen:
                    raise ConfigError(f"server {sid} is in group {seen[sid]} and in group {group}")
                seen[sid] = group

    def has_quorum(self, sids: Collection[int]) -> bool:
        groups = won = 0
        for members in self.groups.values():
            whole = acked = 0
            for sid in members:
                if sid in self.voters:
                    whole += self.weights[sid]
                    if sid in sids:
                        acked += self.weights[sid]
            if whole > 0:
                groups += 1
                if acked > whole // 2:
                    won += 1
        return won > groups // 2

    def weight(self, sid: int) -> int:
        """Returns the configured weight; 0 for a server that this configuration does not know."""
        return self.weights.get(sid, 0)

    def has_same_quorums(self, other: QuorumVerifier) -> bool:
        return (
            isinstance(other, QuorumHierarchical)
            and super().has_same_quorums(other)
            and self.groups == other.groups
            and self.weights == other.weights
        )


def verifier_of(membership: Membership) -> QuorumVerifier:
    """Returns the verifier of a configuration, which is hierarchical if that has groups."""
    if membership.groups:
        return QuorumHierarchical(
            membership.voters,
            membership.observers,
            groups=dict(membership.groups),
            weights=dict(membership.weights),
            version=membership.version,
            servers=membership.texts(),
        )
    return QuorumMaj(
        membership.voters,
        membership.observers,
        version=membership.version,
        servers=membership.texts(),
    )
