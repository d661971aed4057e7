"""The checkers, each with a story it must believe and one it must not."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest

from pyzk.config.members import Membership, config_text
from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.data.txn import encode_txn
from pyzk.jute.records import (
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    ErrorTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
    TxnHeader,
)
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.epochs import Epochs
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.sim.checkers.durability import DurabilityChecker
from pyzk.sim.checkers.epochs import EpochChecker
from pyzk.sim.checkers.model import Model
from pyzk.sim.checkers.replies import ReplyChecker
from pyzk.sim.history import DATA, Operation, SessionRecord, Watch
from pyzk.sim.settings import usual_server
from pyzk.zxid import make

SESSION = 0x100


def payload(zxid: int, kind: int, body: bytes, cxid: int = 1) -> bytes:
    return encode_txn(TxnHeader(SESSION, cxid, zxid, 0, kind), body, None)


def session_txn(zxid: int) -> bytes:
    return payload(zxid, OpCode.CREATE_SESSION, CreateSessionTxn(1000).encode(), 0)


def create_txn(zxid: int, path: str, cxid: int = 1) -> bytes:
    return payload(zxid, OpCode.CREATE, CreateTxn(path, b"", [], False, 1).encode(), cxid)


def set_txn(zxid: int, path: str, version: int, cxid: int = 1) -> bytes:
    return payload(zxid, OpCode.SET_DATA, SetDataTxn(path, b"x", version).encode(), cxid)


def error_txn(zxid: int, cxid: int = 1) -> bytes:
    return payload(zxid, OpCode.ERROR, ErrorTxn(-101).encode(), cxid)


def chain() -> Chain:
    return Chain(lambda _zxid, _payload: None)


def members(*sids: int, version: int = 0) -> Membership:
    return Membership(tuple(usual_server(sid, is_observer=False) for sid in sids), version)


def configs(on: Chain, saved: dict[int, int] | None = None) -> ConfigChecker:
    """The configurations of three servers; each has what it claims in its history, unless there
    are files."""

    def claimed(sid: int, zxid: int) -> None:
        if saved is None:
            on.delivered(f"h{sid}", zxid)

    return ConfigChecker(members(1, 2, 3), claimed, lambda: saved or {})


def log(on: Chain, who: str, last: int, *zxids: int) -> int:
    return on.logged(who, last, [frame_record(error_txn(zxid)) for zxid in zxids])


# --- chain ------------------------------------------------------------------------------


def test_what_two_servers_log_alike_is_one_history() -> None:
    made = chain()
    for who in ("h1", "h2"):
        assert log(made, who, 0, make(1, 1), make(1, 2), make(2, 1)) == make(2, 1)
    made.delivered("h1", make(1, 2))
    made.delivered("h2", make(2, 1))
    made.delivered("h1", make(1, 1))
    assert made.committed == [0, make(1, 1), make(1, 2), make(2, 1)]


def test_one_zxid_with_two_contents_is_a_violation() -> None:
    made = chain()
    log(made, "h1", 0, make(1, 1))
    with pytest.raises(Violation, match="total order"):
        made.logged("h2", 0, [frame_record(error_txn(make(1, 1), cxid=2))])


def test_one_zxid_with_two_pasts_is_a_violation() -> None:
    made = chain()
    log(made, "h1", 0, make(1, 1), make(2, 1))
    with pytest.raises(Violation, match="primary order"):
        log(made, "h2", 0, make(2, 1))
    with pytest.raises(Violation, match="primary order"):
        log(made, "h3", 0, make(1, 2))


def test_two_servers_that_deliver_different_ends_are_a_violation() -> None:
    made = chain()
    log(made, "h1", 0, make(1, 1), make(1, 2))
    log(made, "h2", 0, make(1, 1), make(2, 1))
    made.delivered("h1", make(1, 2))
    with pytest.raises(Violation, match="prefix consistency"):
        made.delivered("h2", make(2, 1))


def test_what_nobody_logged_cannot_be_delivered() -> None:
    with pytest.raises(Violation, match="integrity"):
        chain().delivered("h1", make(1, 1))


# --- epochs, durability -----------------------------------------------------------------


def test_an_epoch_has_one_leader_with_all_that_was_committed_before() -> None:
    made = chain()
    checker = EpochChecker(made)
    log(made, "h1", 0, make(1, 1), make(1, 2))
    checker.established(1, 1, 1, 0)
    made.delivered("h1", make(1, 2))
    with pytest.raises(Violation, match="leadership"):
        checker.established(2, 1, 1, 0)
    with pytest.raises(Violation, match="leader completeness"):
        checker.established(2, 1, 2, make(1, 1))
    log(made, "h3", make(1, 2), make(4, 1))
    made.delivered("h3", make(4, 1))
    checker.established(2, 1, 3, make(1, 2))  # late: its followers have gone on already


@pytest.mark.parametrize("second", [Epochs(1, 1), Epochs(2, 0), Epochs(1, 2)])
def test_epochs_only_grow(second: Epochs) -> None:
    checker = EpochChecker(chain())
    checker.seen(1, Epochs(2, 1), 0)
    with pytest.raises(Violation, match="epochs"):
        checker.seen(1, second, 0)


def test_what_is_committed_is_and_stays_on_the_disks_of_a_quorum() -> None:
    made = chain()
    log(made, "h1", 0, make(1, 1))
    disks = {1: make(1, 1), 2: 0, 3: 0}
    checker = DurabilityChecker(
        made, configs(made), {sid: partial(disks.__getitem__, sid) for sid in disks}
    )
    with pytest.raises(Violation, match="only at"):
        checker.committed(make(1, 1))
    disks[2] = make(1, 1)
    checker.committed(make(1, 1))
    made.delivered("h1", make(1, 1))
    checker.disk_changed(3)
    disks[1] = 0
    with pytest.raises(Violation, match="leaves it"):
        checker.disk_changed(1)


# --- configurations ---------------------------------------------------------------------


def reconfig_txn(config: Membership) -> bytes:
    body = SetDataTxn(CONFIG, config_text(config).encode(), -1).encode()
    return payload(config.version, OpCode.RECONFIG, body)


class Story:
    """A run of three servers, and the configurations that its history makes."""

    def __init__(self) -> None:
        self.chain = Chain(self._committed)
        self.configs = configs(self.chain)
        self.disks = dict.fromkeys(range(1, 7), 0)
        self.durability = DurabilityChecker(
            self.chain,
            self.configs,
            {sid: partial(self.disks.__getitem__, sid) for sid in self.disks},
        )

    def _committed(self, zxid: int, payload: bytes) -> None:
        self.configs.committed(zxid, payload)
        self.durability.committed(zxid)

    def propose(self, config: Membership, *holders: int, last: int = 0) -> None:
        for sid in holders:
            self.chain.logged(f"h{sid}", last, [frame_record(reconfig_txn(config))])
            self.disks[sid] = config.version


@pytest.mark.parametrize(
    ("holders", "version"),
    [((1, 2, 4, 5), ""), ((1, 2, 4), "100000001"), ((1, 4, 5), "version 0"), ((4, 5), "version 0")],
)
def test_a_change_needs_a_quorum_of_either_configuration(
    holders: tuple[int, ...], version: str
) -> None:
    story = Story()
    story.propose(members(1, 4, 5, 6, version=make(1, 1)), *holders)
    if not version:
        story.chain.delivered("h1", make(1, 1))
        assert story.configs.newest.voters == (1, 4, 5, 6)
        return
    with pytest.raises(Violation, match=f"durability: .*{version}"):
        story.chain.delivered("h1", make(1, 1))


def test_behind_a_change_the_next_configuration_counts() -> None:
    story = Story()
    story.propose(members(1, 4, 5, version=make(1, 1)), 1, 2, 4, 5)
    story.chain.delivered("h1", make(1, 1))
    for sid in (4, 5):
        log(story.chain, f"h{sid}", make(1, 1), make(1, 2))
        story.disks[sid] = make(1, 2)
    story.chain.delivered("h4", make(1, 2))
    story.disks[2] = 0  # it is no voter any more
    story.durability.disk_changed(2)
    story.disks[5] = make(1, 1)
    with pytest.raises(Violation, match="leaves it"):
        story.durability.disk_changed(5)


def test_a_configuration_that_is_put_in_force_is_said_to_be_committed() -> None:
    story = Story()
    config = members(1, 2, 4, version=make(1, 1))
    story.propose(config, 1)
    seen = Configurations(members(1, 2, 3), None, True)
    story.configs.seen(1, seen)
    seen.see(config)
    story.configs.seen(1, seen)
    seen.activate(config)
    with pytest.raises(Violation, match="durability"):
        story.configs.seen(1, seen)


def test_a_leader_completes_what_the_files_of_both_quorums_have() -> None:
    saved = dict.fromkeys((1, 2, 3, 4), 0)
    config = members(1, 2, 4, version=make(1, 1))
    for holders, is_right in (((1, 2), True), ((1, 3), False), ((1, 4), False)):
        story = configs(chain(), saved | dict.fromkeys(holders, config.version))
        story.seen(1, Configurations(members(1, 2, 3), config, True))
        in_force = Configurations(config, None, True)
        if is_right:
            story.seen(1, in_force)
            assert story.newest is config
        else:
            with pytest.raises(Violation, match="in no history"):
                story.seen(1, in_force)


def test_a_version_has_one_content() -> None:
    story = Story()
    first = members(1, 2, 3)
    version = make(1, 1)
    story.configs.seen(1, Configurations(first, members(1, 2, version=version), True))
    with pytest.raises(Violation, match="configurations: h2 has version 100000001 as"):
        story.configs.seen(2, Configurations(first, members(1, 3, version=version), True))


def test_no_change_is_proposed_while_another_one_is_under_way() -> None:
    story = Story()
    seen = Configurations(members(1, 2, 3), None, True)
    seen.see(members(1, 2, version=make(1, 1)))
    story.configs.seen(1, seen)
    other = Configurations(members(1, 2, 3), members(1, 3, version=make(2, 7)), True)
    story.configs.seen(2, other)  # that of another epoch may be lost
    seen.see(members(1, 3, version=make(1, 2)))
    with pytest.raises(Violation, match="one change at a time"):
        story.configs.seen(1, seen)


def test_a_member_does_not_forget_a_change_that_was_committed() -> None:
    story = Story()
    first, second = members(1, 2, 3), members(1, 2, version=make(1, 1))
    story.propose(second, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    story.configs.logged(2, make(1, 1), reconfig_txn(second))
    story.configs.synced(2, make(1, 1), lambda: make(1, 1))
    story.configs.stopped(2)
    with pytest.raises(Violation, match="h2 has version 0, and has acknowledged 100000001"):
        story.configs.seen(2, Configurations(first, None, True))
    story.configs.written_by_hand(2, first)
    story.configs.seen(2, Configurations(first, None, True))


def test_a_member_may_forget_what_only_its_lost_data_knew() -> None:
    story = Story()
    second = members(1, 2, version=make(1, 1))
    story.propose(second, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    story.configs.logged(2, make(1, 1), reconfig_txn(second))
    story.configs.synced(2, make(1, 1), lambda: make(1, 1))
    story.configs.stopped(2)
    story.configs.wiped(2, 0)
    story.configs.seen(2, Configurations(members(1, 2, 3), None, True))


def test_a_member_that_was_told_of_later_members_need_not_save_what_was_before() -> None:
    story = Story()
    zxids = make(1, 1), make(1, 2)
    first, second = (members(1, 2, version=zxid) for zxid in zxids)
    story.propose(first, 1, 2)
    story.chain.delivered("h1", zxids[0])
    story.configs.written_by_hand(2, first)
    story.configs.logged(2, zxids[0], reconfig_txn(first))
    story.configs.synced(2, zxids[0], lambda: 0)
    story.configs.logged(2, zxids[1], reconfig_txn(second))
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(2, zxids[1], lambda: 0)


@pytest.mark.parametrize(
    ("in_force", "needs_file"),
    [
        ((1, 3), False),  # added and removed while it was away: it joins by the lines that it has
        ((1, 2), True),  # it is a member by what is in force, which must be in its files
        ((), True),  # it goes by its lines alone, and may help to commit the change
    ],
)
def test_a_member_that_joins_need_not_save_what_had_added_it(
    in_force: tuple[int, ...], needs_file: bool
) -> None:
    story = Story()
    lines = members(1, 3)
    story.configs.written_by_hand(2, lines)
    added = members(1, 2, 3, version=make(1, 1))
    later = members(*in_force or (1, 3), version=make(1, 2))
    story.propose(added, 1, 2, 3)
    story.propose(later, 1, 2, 3, last=added.version)
    story.chain.delivered("h1", later.version)
    story.configs.seen(2, Configurations(later if in_force else lines, None, True))
    story.configs.logged(2, added.version, reconfig_txn(added))
    if needs_file:
        with pytest.raises(Violation, match="configuration files"):
            story.configs.synced(2, added.version, lambda: 0)
    else:
        story.configs.synced(2, added.version, lambda: 0)
        story.configs.stopped(2)
        story.configs.seen(2, Configurations(lines, None, True))


def test_who_serves_behind_a_change_has_it_in_force() -> None:
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    seen = Configurations(members(1, 2, 3), None, True)
    story.configs.serving(2, seen, 0)
    with pytest.raises(Violation, match="is in force there"):
        story.configs.serving(2, seen, make(1, 1))


def test_a_record_with_a_change_is_durable_behind_the_file() -> None:
    story = Story()
    zxid = make(1, 1)
    for saved in (zxid, 0):
        story.configs.logged(1, zxid, reconfig_txn(members(1, 2, version=zxid)))
        story.configs.synced(1, zxid - 1, lambda: 0)
        if saved:
            story.configs.synced(1, zxid, lambda: zxid)
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(1, zxid, lambda: 0)


@pytest.mark.parametrize(("sid", "needs_file"), [(2, True), (3, False)])
def test_who_was_removed_need_not_save_the_change_that_did_it(sid: int, needs_file: bool) -> None:
    """It is committed, and the files of a server that joins again would lack it."""
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.configs.logged(3, config.version, reconfig_txn(config))
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(3, config.version, lambda: 0)
    story.chain.delivered("h1", config.version)
    story.configs.logged(sid, config.version, reconfig_txn(config))
    with pytest.raises(Violation) if needs_file else contextlib.nullcontext():
        story.configs.synced(sid, config.version, lambda: 0)


def test_clients_are_told_the_configuration_in_force() -> None:
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    first = config_text(members(1, 2, 3, version=make(1, 0))).encode()
    story.configs.shown("c1", first, 0)
    story.configs.shown("c1", config_text(config).encode(), make(1, 5))
    with pytest.raises(Violation, match="is in force there"):
        story.configs.shown("c1", first, make(1, 5))


def test_a_change_that_was_completed_without_its_transaction_is_shown_ahead_of_the_next_one() -> (
    None
):
    completed = members(1, 2, 4, version=make(1, 2))
    story = configs(chain(), dict.fromkeys((1, 2, 3, 4), completed.version))
    before, last = members(1, 2, 3), members(1, 2, version=make(2, 3))
    story.seen(1, Configurations(before, completed, True))
    story.shown("c1", config_text(before).encode(), make(1, 1))
    with pytest.raises(Violation, match="shows version"):
        story.shown("c1", config_text(completed).encode(), make(1, 1))
    story.seen(1, Configurations(completed, None, True))
    story._add(last)
    for config, zxid in ((before, make(1, 1)), (completed, make(1, 1)), (last, make(2, 3))):
        story.shown("c1", config_text(config).encode(), zxid)
    for config, zxid in ((last, make(1, 1)), (last, make(2, 2)), (before, make(2, 2))):
        with pytest.raises(Violation, match="shows version"):
            story.shown("c1", config_text(config).encode(), zxid)


# --- clients ----------------------------------------------------------------------------


def told(*payloads: bytes) -> tuple[Model, ReplyChecker, SessionRecord]:
    model = Model()
    for counter, each in enumerate(payloads, 1):
        model.committed(make(1, counter), each)
    replies = ReplyChecker(model, configs(chain()), False, lambda sid: sid)
    return model, replies, SessionRecord(0, SESSION)


def answer(
    checker: ReplyChecker,
    session: SessionRecord,
    zxid: int,
    *,
    xid: int,
    opcode: int = OpCode.DELETE,
) -> None:
    operation = Operation(0, SESSION, xid, opcode, "/a")
    checker.asked(operation)
    checker.answered(session, operation, xid, zxid, -101 if opcode == OpCode.DELETE else 0, b"")


def test_a_session_s_requests_take_effect_in_their_order() -> None:
    model, _, _ = told(session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 5))
    with pytest.raises(Violation, match="session order"):
        model.committed(make(1, 3), set_txn(make(1, 3), "/a", 1, cxid=4))


def test_a_failed_multi_from_before_a_session_moved_changes_nothing() -> None:
    model, _, _ = told(session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 5))
    failed = MultiTxn([Txn(OpCode.ERROR, ErrorTxn(-118).encode())]).encode()
    model.committed(make(1, 3), payload(make(1, 3), OpCode.MULTI, failed, cxid=4))


def test_a_transaction_that_does_not_fit_was_prepared_wrongly() -> None:
    model, _, _ = told(session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 1))
    with pytest.raises(Violation, match="preparation"):
        model.committed(make(1, 3), set_txn(make(1, 3), "/a", 7, cxid=2))


def test_an_acknowledged_write_that_is_not_in_the_history_is_lost() -> None:
    _, checker, session = told(session_txn(make(1, 1)), error_txn(make(1, 2), cxid=1))
    answer(checker, session, make(1, 2), xid=1)
    with pytest.raises(Violation, match="acknowledged writes"):
        answer(checker, session, make(1, 3), xid=2)


def test_a_write_asked_after_another_was_acknowledged_comes_after_it() -> None:
    _, checker, session = told(
        session_txn(make(1, 1)), error_txn(make(1, 2), cxid=1), error_txn(make(1, 3), cxid=2)
    )
    early = Operation(0, SESSION, 1, OpCode.DELETE, "/a")
    answer(checker, session, make(1, 3), xid=2)
    checker.asked(early)
    session.last_zxid = 0
    with pytest.raises(Violation, match="linearizable"):
        checker.answered(session, early, 1, make(1, 2), -101, b"")


def test_what_a_session_is_told_never_goes_back() -> None:
    _, checker, session = told(session_txn(make(1, 1)))
    session.last_zxid = make(1, 2)
    with pytest.raises(Violation, match="one system image"):
        answer(checker, session, make(1, 1), xid=1, opcode=OpCode.SYNC)


def test_a_session_lives_for_its_timeout() -> None:
    model, checker, session = told(session_txn(make(1, 1)))
    session.timeout_ms = 1000
    checker.led(1, 0)
    checker.granted(session, 1, 5000)
    ended(model, checker, make(1, 2), 1_005_000)
    checker.expired(session)
    checker.granted(session, 1, 5001)
    with pytest.raises(Violation, match="ended after 999 ms"):
        checker.expired(session)


def test_what_a_server_grants_behind_its_epoch_lives_for_its_timeout_in_the_next() -> None:
    model, checker, session = told(session_txn(make(1, 1)))
    session.timeout_ms = 1000
    checker.led(1, 0)
    checker.led(2, 5000)
    ended(model, checker, make(2, 1), 1_005_000)
    for epoch, asked_us in ((1, 900_000), (1, 4000), (2, 5000)):
        checker.granted(session, epoch, asked_us)
        checker.expired(session)
    checker.granted(session, 2, 5001)
    with pytest.raises(Violation, match="ended after 999 ms"):
        checker.expired(session)


def test_a_leader_gives_its_time_to_what_was_granted_behind_the_epoch_before() -> None:
    model, checker, session = told(session_txn(make(1, 1)))
    session.timeout_ms = 1000
    checker.led(2, 5001)
    ended(model, checker, make(2, 1), 1_005_000)
    checker.granted(session, 1, 900_000)
    with pytest.raises(Violation, match="ended after 999 ms"):
        checker.expired(session)


def ended(model: Model, checker: ReplyChecker, zxid: int, now_us: int) -> None:
    body = CloseSessionTxn([]).encode()
    model.committed(zxid, payload(zxid, OpCode.CLOSE_SESSION, body, 0))
    checker.committed(now_us)


def test_a_read_only_server_writes_nothing_and_shows_what_is_or_what_may_be_lost() -> None:
    _, checker, _ = told(session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 1))
    session = SessionRecord(0, SESSION, is_read_only=True)
    for xid, zxid, error in ((1, make(1, 1), -101), (2, make(1, 9), 0), (3, make(1, 9), -101)):
        operation = Operation(0, SESSION, xid, OpCode.GET_DATA, "/a")
        checker.answered(session, operation, xid, zxid, error, b"")
    session.last_zxid = 0
    wrong = Operation(0, SESSION, 4, OpCode.GET_DATA, "/a")
    with pytest.raises(Violation, match="reads"):
        checker.answered(session, wrong, 4, make(1, 2), -101, b"")
    write = Operation(0, SESSION, 5, OpCode.DELETE, "/a")
    checker.answered(session, write, 5, make(1, 2), -119, b"")
    with pytest.raises(Violation, match="read-only"):
        checker.answered(session, write, 5, make(1, 2), 0, b"")


def test_answers_come_in_the_order_of_the_requests() -> None:
    _, checker, session = told(session_txn(make(1, 1)))
    operation = Operation(0, SESSION, 1, OpCode.SYNC, "/")
    with pytest.raises(Violation, match="reply order"):
        checker.answered(session, operation, 2, make(1, 1), 0, b"")


def test_the_event_comes_before_the_state_that_it_announces() -> None:
    _, checker, session = told(
        session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 1), set_txn(make(1, 3), "/a", 1, 2)
    )
    session.watches[DATA, "/a"] = Watch(DATA, "/a", make(1, 2))
    answer(checker, session, make(1, 2), xid=1, opcode=OpCode.SYNC)
    with pytest.raises(Violation, match="watches"):
        answer(checker, session, make(1, 3), xid=2, opcode=OpCode.SYNC)
    checker.fired(session, 3, "/a")
    answer(checker, session, make(1, 3), xid=3, opcode=OpCode.SYNC)


def test_a_read_is_the_state_at_the_zxid_of_its_answer() -> None:
    _, checker, session = told(session_txn(make(1, 1)), create_txn(make(1, 2), "/a", 1))
    operation = Operation(0, SESSION, 3, OpCode.GET_DATA, "/a")
    checker.asked(operation)
    checker.answered(session, operation, 3, make(1, 1), -101, b"")
    again = Operation(0, SESSION, 4, OpCode.GET_DATA, "/a")
    checker.asked(again)
    with pytest.raises(Violation, match="reads"):
        checker.answered(session, again, 4, make(1, 2), -101, b"")
