"""Configurations: one order of them everywhere, each in force only when two quorums have it.

Pure. A change of the configuration is a transaction, so the history says which configurations there
are and in which order; the version of each is its zxid. The first one comes from the files of the
first members; a leader that finds no other gives it the version (epoch, 0). A leader does so, too,
with lines that an operator has written later, if all that elect it go by such lines. Then the
newest configuration goes on under a later version, with the content that it had.

- Who puts a version in force says that it is committed: that is checked like any other delivery,
  and a change needs a quorum of the configuration before and one of its own. A new leader may have
  seen a change of which its history lacks the record, and completes it all the same: then it is the
  files of both quorums that must have it.
- A version has the same content everywhere, whether it is proposed or in force.
- Only what a person wrote is called (epoch, 0), and it is in force only with the content of the
  configuration that was before it, and with a quorum that has that in its files.
- In one epoch no change is proposed while another one is under way.
- A member goes to later versions only, and remembers over crashes what it has acknowledged.
- A server that shows the state behind a change has that configuration in force, or a later one.
- When a record with a change is durable, so is the file that names it; but for a machine that joins
  and is brought up to date with changes that had added and removed it while it was away.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from pyzk.config.members import Membership, parse_membership
from pyzk.constants import OpCode
from pyzk.data.txn import decode_txn
from pyzk.errors import ConfigError
from pyzk.jute.packing import unpack_int
from pyzk.jute.records import SetDataTxn
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.verifier import QuorumVerifier, verifier_of
from pyzk.sim.checkers import Violation
from pyzk.zxid import counter_of, epoch_of, format_zxid

NO_CONFIG: Final = -1
_TYPE_IN_PAYLOAD: Final = 28


def proposed_config(payload: bytes) -> Membership | None:
    """Returns the configuration that a transaction makes, None if it makes none."""
    if unpack_int(payload, _TYPE_IN_PAYLOAD)[0] != OpCode.RECONFIG:
        return None
    txn = decode_txn(payload)
    assert isinstance(txn.body, SetDataTxn), txn.body
    assert txn.body.data is not None, txn.body
    try:
        return parse_membership(txn.body.data)
    except ConfigError as error:
        raise Violation("configurations", f"{txn.body.data!r} cannot be read: {error}") from None


class _Known:
    """The configurations that a machine had when it was last looked at."""

    __slots__ = ("committed", "last_seen")

    def __init__(self, committed: Membership, last_seen: Membership) -> None:
        self.committed = committed
        self.last_seen = last_seen


class ConfigChecker:
    """All configurations of a run."""

    def __init__(
        self,
        first: Membership,
        claimed: Callable[[int, int], None],
        saved: Callable[[], dict[int, int]],
    ) -> None:
        """``claimed(sid, zxid)`` checks the claim of a server that a change is committed, if its
        history has that; ``saved`` returns the latest version in the files of each machine."""
        self.history: list[Membership] = [first]
        """The configurations that are committed, in order."""
        self.verifiers: list[QuorumVerifier] = [verifier_of(first)]
        self.adopted = 0
        """How often a machine has put a later configuration in force."""
        self._versions = [0]
        self._without_txn: dict[int, None] = {}
        """The versions that are in force though no history has a transaction with them: those that
        a leader has completed, and those that were given to lines of an operator."""
        self._named: dict[int, None] = {}
        """The versions (epoch, 0) that a leader has given to lines that a person wrote."""
        self._texts: dict[int, list[str]] = {}
        """Version -> its content, as the first machine had it."""
        self._claimed = claimed
        self._saved = saved
        self._known: dict[int, _Known] = {}
        self._by_hand: dict[int, Membership] = {}
        """The machines whose files were written by hand, and what was written."""
        self._newest_by_hand: dict[int, int] = {}
        """Machine -> the newest version when its files were written by hand last."""
        self._acked: dict[int, int] = {}
        """The latest change that each machine has in its log as a voter before or behind it."""
        self._logged: dict[int, list[int]] = {}
        """The changes among the records that a machine has logged and that are not durable."""

    @property
    def newest(self) -> Membership:
        """The configuration that was committed last."""
        return self.history[-1]

    def under_way(self) -> list[Membership]:
        """Returns the configurations that were proposed behind the newest one, in force nowhere."""
        newest = self.newest.version
        later = [lines for version, lines in self._texts.items() if version > newest]
        return [parse_membership("\n".join(lines).encode()) for lines in later]

    def index_at(self, zxid: int) -> int:
        """Returns which configuration is in force behind ``zxid``, as an index of the history."""
        return bisect_right(self._versions, zxid) - 1

    def verifiers_for(self, zxid: int) -> list[QuorumVerifier]:
        """Returns the configurations of which the commit of ``zxid`` needs a quorum."""
        return self.verifiers[self.index_at(zxid - 1) : self.index_at(zxid) + 1]

    # --- the history ----------------------------------------------------------------

    def committed(self, zxid: int, payload: bytes) -> None:
        """Takes a transaction that becomes part of the history."""
        config = proposed_config(payload)
        if config is None:
            return
        if config.version != zxid:
            raise Violation(
                "configurations", f"{format_zxid(zxid)} makes version {config.version:x}"
            )
        self._check_content("the history", config)
        self._add(config)

    def _add(self, config: Membership) -> None:
        self.history.append(config)
        self.verifiers.append(verifier_of(config))
        self._versions.append(config.version)

    # --- machines -------------------------------------------------------------------

    def written_by_hand(self, sid: int, config: Membership) -> None:
        """Takes notice that an operator has written the configuration files of a machine."""
        self._by_hand[sid] = config
        self._newest_by_hand[sid] = self.newest.version
        self._acked[sid] = NO_CONFIG
        self._known.pop(sid, None)

    def wiped(self, sid: int, version: int) -> None:
        """Forgets what the log of a machine knew that has lost its data; ``version`` is the latest
        one in its files, which may be an earlier one, for they could not be written."""
        self._acked[sid] = min(self._acked.get(sid, NO_CONFIG), version)

    def stopped(self, sid: int) -> None:
        """Forgets what a machine had in memory."""
        self._known.pop(sid, None)
        self._logged.pop(sid, None)

    def seen(self, sid: int, configs: Configurations) -> None:
        """Checks the configurations that a machine has, if they have changed."""
        known = self._known.get(sid)
        committed, last_seen = configs.committed, configs.last_seen
        if known is not None and known.committed is committed and known.last_seen is last_seen:
            return
        self._known[sid] = _Known(committed, last_seen)
        if known is None or known.last_seen is not last_seen:
            self._check_proposed(sid, last_seen, committed)
        if known is None or known.committed is not committed:
            self._check_in_force(sid, committed)
        newest = max(committed.version, last_seen.version)
        if known is not None and newest < known.last_seen.version:
            # Its leader has it cut its log, and does not count what it had acknowledged.
            self._acked[sid] = min(self._acked.get(sid, NO_CONFIG), newest)
        self._check_remembered(sid, newest)
        if known is not None and committed.version < known.committed.version:
            raise Violation(
                "configurations",
                f"h{sid} goes back from version {known.committed.version:x}"
                f" to {committed.version:x}",
            )
        if known is not None and known.committed is not committed:
            self.adopted += 1

    def _check_remembered(self, sid: int, version: int) -> None:
        """Checks that a machine knows the change that it has helped to commit, unless that was
        lost."""
        acked = self._acked.get(sid, NO_CONFIG)
        if version < acked and acked in self._versions:
            raise Violation(
                "configurations",
                f"h{sid} has version {version:x}, and has acknowledged {acked:x} before",
            )

    def _helps_to_commit(self, sid: int, zxid: int, config: Membership) -> bool:
        """Tells whether an acknowledgement counts: of a voter in the next configuration, or of one
        in the configuration before while that is in force."""
        if zxid <= self._newest_by_hand.get(sid, NO_CONFIG):
            return False  # that was over when it was told of the present members
        if sid in config.voters:
            return True
        return zxid > self.newest.version and sid in self.newest.voters

    def _check_content(self, who: str, config: Membership) -> None:
        lines = self._texts.setdefault(config.version, config.lines())
        if lines != config.lines():
            raise Violation(
                "configurations",
                f"{who} has version {config.version:x} as {config.lines()}, it was {lines}",
            )

    def _check_proposed(self, sid: int, config: Membership, in_force: Membership) -> None:
        version = config.version
        if not counter_of(version):
            if not in_force.version:
                self._named[version] = None
            elif version not in self._named and version not in self._versions:
                raise Violation(
                    "configurations",
                    f"h{sid} has version {version:x}, and nobody gave it to what a person wrote",
                )
            return
        if version not in self._texts:
            for other in self._texts:
                is_same_epoch = epoch_of(other) == epoch_of(version) and other < version
                if is_same_epoch and counter_of(other) and other not in self._versions:
                    raise Violation(
                        "one change at a time",
                        f"h{sid} has version {version:x} proposed while {other:x} is under way",
                    )
        self._check_content(f"h{sid}", config)

    def _check_in_force(self, sid: int, config: Membership) -> None:
        version = config.version
        if not version:
            self._check_same(sid, config, self._by_hand.get(sid, self.history[0]))
            return
        if not counter_of(version):
            before = self.history[self.index_at(version)]
            self._check_same(sid, config, before)
            if before.version and before.version != version:
                self._put_in_force(sid, config)
            return
        self._check_content(f"h{sid}", config)
        if version not in self._versions:
            self._claimed(sid, version)
        if version not in self._versions:
            self._put_in_force(sid, config)

    @staticmethod
    def _check_same(sid: int, config: Membership, expected: Membership) -> None:
        if config.lines() != expected.lines():
            raise Violation(
                "configurations",
                f"h{sid} has version {config.version:x} with {config.lines()},"
                f" that was {expected.lines()}",
            )

    def _put_in_force(self, sid: int, config: Membership) -> None:
        """Checks a configuration that is in force without a transaction: a change that a leader has
        completed, or lines of an operator that have a version now."""
        version = config.version
        lines = config.lines()
        holders = [
            each
            for each, saved in self._saved().items()
            if saved >= version
            or (not saved and each in self._by_hand and self._by_hand[each].lines() == lines)
        ]
        for verifier in (self.verifiers[-1], verifier_of(config)):
            if not verifier.has_quorum(holders):
                raise Violation(
                    "configurations",
                    f"h{sid} has version {version:x} in force, in no history, and in the files of"
                    f" {holders} only; no quorum of version {verifier.version:x}",
                )
        if version < self._versions[-1]:
            raise Violation(
                "configurations",
                f"h{sid} puts version {version:x} in force behind {self._versions[-1]:x}",
            )
        self._without_txn[version] = None
        self._add(config)

    def serving(self, sid: int, configs: Configurations, zxid: int) -> None:
        """Checks the configuration of a machine that shows its clients the state at ``zxid``."""
        expected = self.history[self.index_at(zxid)].version
        if configs.is_enabled and configs.committed.version < expected:
            raise Violation(
                "configurations",
                f"h{sid} serves at {format_zxid(zxid)} with version"
                f" {configs.committed.version:x}; {expected:x} is in force there",
            )

    def shown(self, who: str, text: bytes | None, zxid: int) -> None:
        """Checks what a client is told of the configuration, at ``zxid``.

        What is in force without a transaction is so from the leader's epoch on, before that has a
        transaction: then the zxid of an answer is one from before that version.
        """
        index = self.index_at(zxid)
        try:
            config = parse_membership(text or b"")
        except ConfigError as error:
            raise Violation("configurations", f"{who}: {text!r} cannot be read: {error}") from None
        while (
            self.history[index].version < config.version
            and index + 1 < len(self.history)
            and self.history[index + 1].version in self._without_txn
        ):
            index += 1
        expected = self.history[index]
        is_first = not counter_of(config.version) and not expected.version
        if config.version != expected.version and not is_first:
            raise Violation(
                "configurations",
                f"{who} at {format_zxid(zxid)} shows version {config.version:x};"
                f" {expected.version:x} is in force there",
            )
        if config.lines() != expected.lines():
            raise Violation("configurations", f"{who}: {text!r}, it is {expected.lines()}")

    # --- disks ----------------------------------------------------------------------

    def logged(self, sid: int, zxid: int, payload: bytes) -> None:
        """Takes notice of a record that a machine gives to its disk. It is to remember a change
        that it helps to commit, as a voter before or behind it."""
        config = proposed_config(payload)
        if config is not None and self._helps_to_commit(sid, zxid, config):
            self._logged.setdefault(sid, []).append(zxid)

    def restored(self, sid: int, zxid: int) -> None:
        """Takes notice that the log of a machine ends with ``zxid`` from now on. What it has cut
        off does not count any more where its leader looks for a quorum."""
        if self._acked.get(sid, NO_CONFIG) > zxid:
            kept = [version for version in self._texts if version <= zxid]
            self._acked[sid] = max(kept, default=NO_CONFIG)
        logged = self._logged.get(sid)
        if logged is not None:
            self._logged[sid] = [each for each in logged if each <= zxid]

    def synced(self, sid: int, zxid: int, saved_version: Callable[[], int]) -> None:
        """Checks the files of a machine whose log is durable up to ``zxid``; ``saved_version``
        returns the latest version in them."""
        logged = self._logged.get(sid)
        if not logged or logged[0] > zxid:
            return
        newest = max(each for each in logged if each <= zxid)
        self._logged[sid] = [each for each in logged if each > zxid]
        saved = saved_version()
        if not saved and self._joins(sid, newest):
            return
        self._acked[sid] = newest
        if saved < newest:
            raise Violation(
                "configuration files",
                f"h{sid} has {format_zxid(newest)} in its log, and its files have {saved:x}",
            )

    def _joins(self, sid: int, version: int) -> bool:
        """Tells whether a change was over for a machine that has logged it: it goes by a later
        configuration, which is in force and does not have it. It was added and removed while it was
        away, so all that its files have are the lines with which it is to join, and by others it
        could not start. It helps to commit nothing by what it is brought up to date with."""
        known = self._known.get(sid)
        return (
            sid in self._by_hand
            and known is not None
            and known.committed.version > version
            and known.committed.member(sid) is None
        )
