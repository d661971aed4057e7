"""What the original's logs say: complaints, a healthy life, and faults that are known."""

from __future__ import annotations

import pytest

from conformance.mixed import java_log

CONNECTED_38 = (
    "2026-11-29 17:12:37,081 [LeaderConnector-/127.0.0.1:33429] INFO Learner - Successfully"
    " connected to leader, using address: /127.0.0.1:33429"
)
CONNECTED_39 = (
    "2026-11-29 16:59:37,681 INFO Learner Successfully connected to leader, using address:"
    " /127.0.0.1:46275"
)
PIF = """\
2026-11-29 17:12:37,384 [QuorumPeer[myid=1](secure=disabled)] WARN Learner - Exception when \
following the leader
java.lang.NullPointerException: Cannot read field "hdr" because "pif" is null
\tat org.apache.zookeeper.server.quorum.Learner.syncWithLeader(Learner.java:683)"""
SOCK = """\
2026-11-29 17:12:38,000 [SyncThread:1] ERROR ZooKeeperCriticalThread - Severe unrecoverable \
error, from thread : SyncThread:1
java.lang.NullPointerException: Cannot invoke "java.net.Socket.isClosed()" because \
"this.learner.sock" is null"""
GONE = """\
2026-11-29 17:27:07,133 [NIOWorkerThread-1] WARN WorkerService - Unexpected exception
java.lang.NullPointerException: Cannot invoke "org.apache.zookeeper.server.quorum.Learner\
.validateSession(org.apache.zookeeper.server.ServerCnxn, long, int)" because the return value of\
 "org.apache.zookeeper.server.quorum.LearnerZooKeeperServer.getLearner()" is null"""
AHEAD = """\
2026-11-30 04:48:52,826 ERROR LearnerHandler Unexpected exception in LearnerHandler:
java.io.IOException: Follower is ahead of the leader, leader summary: 1 (current epoch), 42 (last \
zxid)"""
UNKNOWN = """\
2026-11-30 04:38:11,140 WARN Learner Exception when following the leader
java.lang.NullPointerException: Cannot read field "addr" because "leaderServer" is null"""
AGAIN = "2026-11-29 17:12:39,000 [SyncThread:1] WARN FileTxnLog - Current zxid 5 is <= 6 for 15"


@pytest.mark.parametrize(
    ("entry", "issue", "is_avoided"),
    [
        (PIF, "ZOOKEEPER-4394", True),
        (SOCK, "ZOOKEEPER-4409", False),
        (AGAIN, "ZOOKEEPER-4394", False),
        (GONE, "a fault without an issue that is known", False),
        (AHEAD, "a fault without an issue that is known", False),
        (UNKNOWN, "a fault without an issue that is known", False),
    ],
)
def test_a_known_fault_is_told_by_its_issue_and_by_who_led(
    entry: str, issue: str, is_avoided: bool
) -> None:
    text = f"{CONNECTED_39}\n{CONNECTED_38}\n{entry}\n{CONNECTED_39}"
    complaints, (seen,) = java_log.read(text, "3.8.0")
    assert complaints == []
    assert (seen.fault.issue, seen.fault.is_avoided) == (issue, is_avoided)
    assert seen.leader_port == 33429
    assert seen.entry.startswith(entry[:23])


@pytest.mark.parametrize("entry", [PIF, SOCK, AGAIN, GONE])
def test_a_version_that_does_not_have_a_fault_complains(entry: str) -> None:
    (complaint,), seen = java_log.read(entry, "3.9.3")
    assert complaint.startswith(entry[:23])
    assert seen == []


def test_a_connection_that_went_is_no_complaint_and_a_digest_is() -> None:
    going = "2026-11-29 17:12:38,000 WARN Learner Exception when following the leader\n"
    going += "java.io.EOFException"
    assert java_log.read(going, "3.8.0") == ([], [])
    digest = "2026-11-29 17:12:38,000 ERROR DataTree Digests are not matching. Value is Zxid."
    assert java_log.read(digest, "3.8.0") == ([digest], [])


def test_a_fault_before_any_leader_has_no_leader() -> None:
    _, (seen,) = java_log.read(PIF, "3.8.0")
    assert seen.leader_port == 0


def test_a_member_that_goes_before_a_login_is_no_complaint_and_a_failed_login_is() -> None:
    failed = "2026-11-30 09:48:37,294 WARN SaslQuorumAuthServer Failed to authenticate using SASL"
    stays = (
        "2026-11-30 09:48:37,317 WARN SaslQuorumAuthServer Maintaining learner connection despite"
        " SASL authentication failure."
    )
    assert java_log.read(f"{failed}\njava.io.EOFException: null\n{stays}", "3.9.3") == ([], [])
    wrong = "javax.security.sasl.SaslException: DIGEST-MD5: digest response format violation."
    for entry in (f"{failed}\n{wrong}", failed.replace("WARN", "ERROR")):
        (complaint,), _ = java_log.read(f"{entry}\n{stays}", "3.9.3")
        assert complaint.startswith(failed[:23])
