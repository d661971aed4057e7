"""The checkers, each with a story it must believe and one it must not."""

from __future__ import annotations

from functools import partial

import pytest

from pyzk.config.members import Membership
from pyzk.constants import OpCode
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
from pyzk.quorum import packets
from pyzk.quorum.authentication import MAGIC_BYTES
from pyzk.quorum.epochs import Epochs
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.sim.checkers.durability import DurabilityChecker
from pyzk.sim.checkers.epochs import EpochChecker
from pyzk.sim.checkers.informs import InformChecker
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


# --- observer masters -----------------------------------------------------------------


def informs(beginning: int, zxid: int, *following: int) -> bytes:
    return packets.encode_bare(beginning, zxid) + b"".join(
        packets.encode_packet(packets.INFORM, each, b"") for each in following
    )


def test_an_observer_hears_of_everything_behind_what_it_was_given() -> None:
    checker = InformChecker(chain())
    checker.sent("h2", "one", informs(packets.DIFF, make(1, 2), make(1, 3), make(1, 4)))
    data = informs(packets.TRUNC, make(1, 1), make(1, 2))
    checker.sent("h2", "two", data[:30])
    checker.sent("h2", "two", data[30:])


@pytest.mark.parametrize("size", [1, 7, 19, 200])
def test_members_may_log_in_first(size: int) -> None:
    token, nothing = (MAGIC_BYTES + b"\0\0\0\1" + each for each in (b"\0\0\0\3abc", b"\xff" * 4))
    data = token + nothing + token + informs(packets.DIFF, make(1, 2), make(1, 3), make(1, 5))
    checker = InformChecker(chain())
    with pytest.raises(Violation, match="h2 sends 0x100000005"):
        for at in range(0, len(data), size):
            checker.sent("h2", "one", data[at : at + size])


@pytest.mark.parametrize("following", [(4,), (3, 5), (3, 3), (2,)])
def test_a_hole_in_what_an_observer_hears_is_a_violation(following: tuple[int, ...]) -> None:
    checker = InformChecker(chain())
    with pytest.raises(Violation, match="h2 sends"):
        zxids = [make(1, each) for each in following]
        checker.sent("h2", "one", informs(packets.DIFF, make(1, 2), *zxids))
