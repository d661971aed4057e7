"""A member that has no data: when it votes, what it tells others, and what it says in the log."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from pyzk.clock import Clock
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.quorum.commands import StoreDatabase
from pyzk.quorum.doubt import PATIENCE_MS
from pyzk.quorum.election_messages import Notification, decode_notification
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.lifecycle import LOOKING, SETTLING, MemberLife, member_peer
from pyzk.quorum.proposals import AckTally, EpochAcks
from pyzk.quorum.verifier import QuorumMaj
from pyzk.quorum.vote import NOBODY, UNTRUSTED_ZXID, PeerState
from pyzk.zxid import make
from tests.runtime.members import ensemble_of, member_config

NOTHING = Notification(PeerState.LOOKING, 2, UNTRUSTED_ZXID, 1, 0)
NEW_JAVA = Notification(PeerState.LOOKING, 2, 0, 1, 0)


def looking(current: int = 0, extra: str = "", zxid: int = UNTRUSTED_ZXID) -> MemberLife:
    """The life of server 1 of 3, which looks for a leader."""
    config = member_config(Path("data"), extra=extra)
    database = RecoveryOptions(committed_log_count=5).new_database()
    database.tree.last_zxid = zxid
    epochs = Epochs(current, current)
    _, life = member_peer(
        config, ensemble_of(config), database, epochs, Clock(1_000, 1_000_000), Random(1)
    )
    life.start()
    assert phase(life) == LOOKING
    return life


def hear(life: MemberLife, sid: int, notification: Notification) -> None:
    life.links.messages.append((sid, notification.encode()))
    life.pump()


def phase(life: MemberLife) -> int:
    return life.phase


def stored(life: MemberLife) -> None:
    """Lets the disk answer what the member has ordered."""
    (command,) = [
        each for each in life.member.outbox.take_commands() if isinstance(each, StoreDatabase)
    ]
    assert command.database.last_zxid == 0
    life.stored(command.ticket)


@pytest.mark.parametrize("other", [NOTHING, NEW_JAVA])
def test_it_votes_once_all_other_voters_have_no_data(other: Notification) -> None:
    life = looking()
    hear(life, 2, NOTHING)
    hear(life, 4, NOTHING)  # a stranger's word counts for nothing
    assert phase(life) == LOOKING
    assert 1 not in life.election.recvset, "it votes"
    hear(life, 3, other)
    assert phase(life) == SETTLING, "it votes before its database is stored"
    stored(life)
    assert phase(life) == LOOKING
    assert not life.doubt.is_open
    assert life.election.proposal.zxid == 0
    assert list(life.election.recvset) == [1]


@pytest.mark.parametrize(
    "other",
    [
        Notification(PeerState.LOOKING, 3, make(1, 1), 1, 1),
        Notification(PeerState.LOOKING, 3, 0, 1, 1),
        Notification(PeerState.FOLLOWING, 2, 0, 1, 0),
        Notification(PeerState.LEADING, 3, 0, 1, 0),
        Notification(PeerState.LOOKING, NOBODY, NOBODY, 1, NOBODY),
    ],
)
def test_it_does_not_vote_where_somebody_may_have_data(other: Notification) -> None:
    life = looking()
    hear(life, 3, NOTHING)
    hear(life, 3, other)
    hear(life, 2, NOTHING)
    assert phase(life) == LOOKING
    assert life.election.voters_to_hear_of == [3]
    assert 1 not in life.election.recvset


@pytest.mark.parametrize(("current", "extra"), [(1, ""), (0, "db.autocreate=false")])
def test_it_never_votes_if_it_had_data_or_may_not_begin(current: int, extra: str) -> None:
    life = looking(current, extra)
    for sid in (2, 3):
        hear(life, sid, NOTHING)
    assert phase(life) == LOOKING
    assert 1 not in life.election.recvset


def test_a_member_with_data_is_never_in_doubt() -> None:
    life = looking(zxid=0)
    for sid in (2, 3):
        hear(life, sid, NOTHING)
    assert life.election.proposal.zxid == 0
    assert not any(isinstance(each, StoreDatabase) for each in life.member.outbox.commands)


def test_others_hear_that_it_has_no_data() -> None:
    life = looking()
    (data, *_) = [payload for _, payload in life.election.take_sends()] or [
        life.election._payload(life.election.proposal, 1)
    ]
    said = decode_notification(data)
    assert (said.zxid, said.peer_epoch) == (UNTRUSTED_ZXID, 0)


@pytest.mark.parametrize(
    ("current", "expected"),
    [(0, "and waits for 3. To begin"), (1, "that the others need. To begin")],
)
def test_it_says_once_what_it_waits_for(
    current: int, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    life = looking(current)
    hear(life, 2, NOTHING)
    clock = life.clock
    begun = clock.now_ms
    assert life.deadline is not None
    while clock.now_ms < begun + 2 * PATIENCE_MS:
        due = life.deadline
        clock.now_ms = max(due, clock.now_ms)
        if clock.now_ms >= begun + PATIENCE_MS:
            assert "no leader yet" in caplog.text or due <= begun + PATIENCE_MS
        life.wake()
    assert [line for line in caplog.messages if "no leader yet" in line and expected in line]
    assert sum("no leader yet" in line for line in caplog.messages) == 1


def test_it_says_again_what_it_waits_for_when_somebody_has_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life = looking()
    clock = life.clock

    def pass_time() -> None:
        end = clock.now_ms + 2 * PATIENCE_MS
        while clock.now_ms < end:
            clock.now_ms = max(clock.now_ms, min(end, life.deadline or end))
            life.wake()

    pass_time()
    hear(life, 3, NOTHING)
    pass_time()
    told = [line for line in caplog.messages if "no leader yet" in line]
    waits = [line.partition("and waits for ")[2].partition(".")[0] for line in told]
    assert waits == ["2, 3", "2"]
    hear(life, 2, NOTHING)
    stored(life)
    pass_time()
    assert sum("no leader yet" in line for line in caplog.messages) == 2


def test_its_ackepoch_does_not_count() -> None:
    tally = AckTally([QuorumMaj([1, 2, 3])])
    acks = EpochAcks(tally, 1, make(1, 5))
    acks.add(1, tally.bit(1), 1, make(1, 5))
    acks.add(2, tally.bit(2), 0, UNTRUSTED_ZXID)
    assert not acks.is_settled
    acks.add(3, tally.bit(3), 1, make(1, 4))
    assert acks.is_settled
