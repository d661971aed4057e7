"""The configurations of the ensemble that a member goes by: the committed and the last seen one.

Pure. While a reconfiguration is under way its configuration has been proposed and not activated:
then what needs a quorum needs one of both. Without ``reconfigEnabled`` there is only the one that
the files of this member state.

ZooKeeper: QuorumPeer.quorumVerifier and lastSeenQuorumVerifier
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.config.members import parse_membership
from pyzk.errors import ConfigError, QuorumProtocolError
from pyzk.jute.records import SetDataTxn
from pyzk.quorum.verifier import QuorumVerifier, verifier_of

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import Membership
    from pyzk.data.txn import LoggedTxn


class Configurations:
    """The two configurations of one member, with the quorums of each."""

    def __init__(
        self, committed: Membership, last_seen: Membership | None, is_enabled: bool
    ) -> None:
        """Takes what the files of the member state. ``is_enabled`` is ``reconfigEnabled``: without
        it neither configuration ever changes."""
        self.is_enabled: bool = is_enabled
        self.committed: Membership = committed
        """The configuration in force."""
        self.verifier: QuorumVerifier = verifier_of(committed)
        """The quorums of the configuration in force."""
        self.last_seen: Membership = committed
        """The configuration that was proposed last; the one in force if none is under way."""
        self.last_seen_verifier: QuorumVerifier = self.verifier
        if last_seen is not None:
            self.see(last_seen)

    @classmethod
    def of(cls, ensemble: EnsembleConfig) -> Configurations:
        """Returns the configurations that the files of a member state."""
        return cls(ensemble.membership, ensemble.last_seen, ensemble.reconfig_enabled)

    @property
    def is_under_way(self) -> bool:
        """Whether a configuration has been proposed that is not in force."""
        return self.last_seen.version > self.committed.version

    @property
    def verifiers(self) -> tuple[QuorumVerifier, ...]:
        """The configurations of which a decision needs a quorum."""
        if self.is_under_way:
            return (self.verifier, self.last_seen_verifier)
        return (self.verifier,)

    def see(self, proposed: Membership) -> bool:
        """Takes a configuration that is proposed; tells whether it is later than the last one."""
        if not self.is_enabled or proposed.version <= self.last_seen.version:
            return False
        self.last_seen = proposed
        self.last_seen_verifier = verifier_of(proposed)
        return True

    def forget_proposed(self) -> bool:
        """Forgets a configuration that was proposed and will never be committed; tells whether
        there was one."""
        if not self.is_under_way:
            return False
        self.last_seen = self.committed
        self.last_seen_verifier = self.verifier
        return True

    def activate(self, committed: Membership) -> bool:
        """Puts a configuration in force; tells whether it is later than the one that was."""
        if not self.is_enabled or committed.version <= self.committed.version:
            return False
        self.committed = committed
        self.verifier = verifier_of(committed)
        if committed.version >= self.last_seen.version:
            self.last_seen = committed
            self.last_seen_verifier = self.verifier
        return True


def proposed_membership(txn: LoggedTxn) -> Membership:
    """Returns the configuration that the transaction of a reconfiguration brings. Raises
    QuorumProtocolError if it cannot be read: who does not know it must not acknowledge it."""
    body = txn.body
    if not isinstance(body, SetDataTxn) or body.data is None:
        raise QuorumProtocolError("a reconfiguration that brings no configuration")
    try:
        return parse_membership(body.data)
    except ConfigError as error:
        raise QuorumProtocolError(f"a reconfiguration that cannot be read: {error}") from None
