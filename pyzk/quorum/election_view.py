"""Who votes in an election: the voters of the configurations that a member goes by.

Pure. ZooKeeper: QuorumPeer.getCurrentAndNextConfigVoters and SyncedLearnerTracker
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pyzk.config.members import config_text, parse_membership
from pyzk.quorum.verifier import verifier_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyzk.config.members import Membership
    from pyzk.quorum.verifier import QuorumVerifier


class ConfigReader(Protocol):
    """Parses the text of a configuration; raises PyzkError if it is none."""

    def __call__(self, text: bytes) -> QuorumVerifier: ...


class ElectionView:
    """The voters: those of the committed configuration and, if one is proposed, of the next."""

    __slots__ = (
        "committed", "config", "is_reconfig_enabled", "last_seen", "read_config", "verifiers",
        "voters",
    )  # fmt: skip

    def __init__(
        self,
        committed: QuorumVerifier,
        config: bytes,
        last_seen: QuorumVerifier | None = None,
        read_config: ConfigReader | None = None,
        is_reconfig_enabled: bool = True,
    ) -> None:
        """Makes a view. ``config`` is the text of the committed configuration, as sent to others;
        ``is_reconfig_enabled`` says whether a later one is to be adopted."""
        self.committed: QuorumVerifier = committed
        self.last_seen: QuorumVerifier | None = last_seen
        self.config: bytes = config
        self.read_config: ConfigReader = read_config or _read_config
        self.is_reconfig_enabled: bool = is_reconfig_enabled
        voters = committed.voters + (last_seen.voters if last_seen is not None else ())
        self.voters: tuple[int, ...] = tuple(sorted(set(voters)))
        """The servers that are asked and may be elected."""
        self.verifiers: list[QuorumVerifier] = [committed]
        """The configurations of which a decision needs a quorum."""
        if last_seen is not None and last_seen.version > committed.version:
            self.verifiers.append(last_seen)

    def is_member(self, sid: int) -> bool:
        """Tells whether either configuration has the server, as voter or observer."""
        return self.committed.is_member(sid) or (
            self.last_seen is not None and self.last_seen.is_member(sid)
        )

    def has_quorums(self, sids: Mapping[int, None]) -> bool:
        """Tells whether ``sids`` are a quorum in every configuration that counts."""
        return all(verifier.has_quorum(sids) for verifier in self.verifiers)

    def has_a_quorum(self, sids: Mapping[int, None]) -> bool:
        """Tells whether ``sids`` are a quorum in one of the configurations that count."""
        return any(verifier.has_quorum(sids) for verifier in self.verifiers)


def election_view(
    committed: Membership, last_seen: Membership | None, is_reconfig_enabled: bool
) -> ElectionView:
    """Returns the view of a peer with these configurations."""
    return ElectionView(
        verifier_of(committed),
        config_text(committed).encode("utf-8"),
        verifier_of(last_seen) if last_seen is not None else None,
        is_reconfig_enabled=is_reconfig_enabled,
    )


def _read_config(text: bytes) -> QuorumVerifier:
    return verifier_of(parse_membership(text))
