"""The database: tree and sessions move together, the zxid behind them, digests are compared."""

from __future__ import annotations

import logging

import pytest

from pyzk.constants import OpCode
from pyzk.data.committed_log import CommittedLog
from pyzk.data.database import DIGEST_LOG_INTERVAL, DIGEST_LOG_LIMIT, Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import Body, LoggedTxn
from pyzk.data.watches import WatchEvent
from pyzk.jute.records import (
    ACL,
    CheckVersionTxn,
    CloseSessionTxn,
    CreateSessionTxn,
    CreateTxn,
    ErrorTxn,
    TxnHeader,
)
from pyzk.zxid import make
from tests.frames import OPEN

SESSION = 0x100000000000007


def txn(
    zxid: int, kind: int, body: Body | None, digest: int | None = None, session: int = SESSION
) -> LoggedTxn:
    return LoggedTxn(TxnHeader(session, 1, zxid, 1000 + zxid, kind), body, digest)


def create(zxid: int, path: str, *, ephemeral: bool = False, session: int = SESSION) -> LoggedTxn:
    return txn(zxid, OpCode.CREATE, CreateTxn(path, b"", OPEN, ephemeral, -1), session=session)


@pytest.fixture
def database() -> Database:
    return Database(DataTree())


def test_a_commit_enters_the_committed_log_where_there_is_one(database: Database) -> None:
    database.replay(create(1, "/a"), b"one")
    database.committed = CommittedLog(500)
    database.replay(create(2, "/b"), b"two")
    assert database.last_zxid == 2
    assert list(database.committed.zxids) == [2]
    assert database.committed.payload(2) == b"two"


def test_an_epoch_begins_without_a_transaction(database: Database) -> None:
    database.committed = CommittedLog(500)
    database.replay(create(1, "/a"), b"one")
    database.begin_epoch(3)
    assert database.last_zxid == make(3, 0)
    assert list(database.committed.zxids) == [1]


def test_a_session_lives_from_its_create_to_its_close(database: Database) -> None:
    database.replay(txn(1, OpCode.CREATE_SESSION, CreateSessionTxn(30_000)))
    assert database.sessions == {SESSION: 30_000}
    database.replay(create(2, "/e", ephemeral=True))
    database.replay(txn(3, OpCode.CLOSE_SESSION, CloseSessionTxn(["/e"])))
    assert database.sessions == {}
    assert database.tree.find("/e") is None


def test_closing_an_unknown_session_is_no_error(database: Database) -> None:
    assert database.replay(txn(1, OpCode.CLOSE_SESSION, None)).err == 0


def test_every_transaction_moves_the_zxid_failed_ones_too(database: Database) -> None:
    assert database.last_zxid == 0
    database.replay(txn(1, OpCode.ERROR, ErrorTxn(-110)))
    assert database.last_zxid == 1
    database.replay(txn(2, OpCode.CHECK, CheckVersionTxn("/a", 1)))  # a broken log of 3.8
    assert database.last_zxid == 2


def test_the_zxid_never_goes_back(database: Database) -> None:
    database.replay(create(9, "/a"))
    database.replay(create(4, "/b"))
    assert database.last_zxid == database.tree.last_zxid == 9


def test_the_zxid_moves_after_the_transaction(database: Database) -> None:
    seen = []

    class Listener:
        session_id = 1

        def deliver(self, event: WatchEvent) -> None:
            seen.append(database.last_zxid)

    database.tree.watches.add_data("/a", Listener())
    database.replay(create(1, "/a"))
    assert seen == [0]


# --- digests ------------------------------------------------------------------------


def test_a_wrong_digest_is_counted_and_logged_but_not_fatal(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for zxid in range(1, 12):
        database.replay(txn(zxid, OpCode.ERROR, ErrorTxn(-1), digest=7))
    assert database.digest_mismatches == 11
    assert len(caplog.records) == 2  # the first and the tenth
    assert "zxid 0x1" in caplog.messages[0]
    assert caplog.records[0].levelno == logging.ERROR


def test_a_right_digest_and_an_absent_one_are_fine(database: Database) -> None:
    database.replay(txn(1, OpCode.ERROR, ErrorTxn(-1), digest=1371985504))
    database.replay(txn(2, OpCode.ERROR, ErrorTxn(-1), digest=None))
    assert database.digest_mismatches == 0


def test_digests_are_not_compared_while_a_fuzzy_snapshot_is_caught_up(database: Database) -> None:
    database.fuzzy_until = 2
    for zxid in (1, 2):
        database.replay(txn(zxid, OpCode.ERROR, ErrorTxn(-1), digest=7))
    assert database.digest_mismatches == 0
    database.replay(txn(3, OpCode.ERROR, ErrorTxn(-1), digest=7))
    assert database.digest_mismatches == 1


def test_digests_that_are_off_are_not_compared() -> None:
    database = Database(DataTree(digests=False))
    database.replay(txn(DIGEST_LOG_INTERVAL, OpCode.ERROR, ErrorTxn(-1), digest=7))
    assert database.digest_mismatches == 0
    assert not database.digest_log
    assert database.freeze().digest is None


def test_the_digest_log_keeps_every_128th_zxid_errors_too(database: Database) -> None:
    for zxid in range(1, 2 * 128 + 2):
        database.replay(txn(zxid, OpCode.ERROR, ErrorTxn(-1)))
    assert list(database.digest_log) == [(128, 2, 1371985504), (256, 2, 1371985504)]


def test_the_digest_log_leaves_out_what_a_fuzzy_snapshot_blurs(database: Database) -> None:
    database.fuzzy_until = 128
    for zxid in (128, 256):
        database.replay(txn(zxid, OpCode.ERROR, ErrorTxn(-1)))
    assert [zxid for zxid, *_ in database.digest_log] == [256]


def test_the_digest_log_keeps_1024_entries(database: Database) -> None:
    for number in range(1, DIGEST_LOG_LIMIT + 1):
        database.replay(txn(number * 128, OpCode.ERROR, ErrorTxn(-1)))
    assert len(database.digest_log) == 1024
    database.replay(txn(1025 * 128, OpCode.ERROR, ErrorTxn(-1)))
    assert len(database.digest_log) == 1024
    assert database.digest_log[0][0] == 2 * 128


# --- sessions that are gone, snapshots ----------------------------------------------


def test_ephemerals_of_unknown_sessions_go_without_a_transaction(database: Database) -> None:
    database.sessions[SESSION] = 30_000
    database.replay(create(1, "/alive", ephemeral=True))
    database.replay(create(2, "/dead", ephemeral=True, session=8))
    database.replay(create(3, "/dead2", ephemeral=True, session=9))
    assert database.kill_dead_sessions() == 2
    assert sorted(database.tree.nodes["/"].children or ()) == ["alive", "zookeeper"]
    assert database.last_zxid == 3
    assert database.kill_dead_sessions() == 0


def test_a_frozen_database_is_the_state_of_one_moment(database: Database) -> None:
    database.replay(txn(1, OpCode.CREATE_SESSION, CreateSessionTxn(30_000)))
    database.replay(create(2, "/a"))
    digest = database.tree.digest
    frozen = database.freeze()
    database.replay(create(3, "/b"))
    database.replay(txn(4, OpCode.CLOSE_SESSION, None))
    database.replay(
        txn(5, OpCode.CREATE, CreateTxn("/c", b"", [ACL(3, "digest", "bob:x")], False, -1))
    )
    assert (frozen.zxid, frozen.digest, frozen.sessions) == (2, digest, [(SESSION, 30_000)])
    assert frozen.acls == [(1, (ACL(1, "world", "anyone"),))]
    paths = [path for path, *_ in frozen.nodes.read(100)]
    assert paths == ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/a"]
    frozen.close()
    database.freeze().close()
