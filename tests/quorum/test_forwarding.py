"""What a leader makes of a learner's REQUEST: always a transaction, with a zxid of its own."""

from __future__ import annotations

import struct

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.txn import LoggedTxn
from pyzk.jute.records import (
    CheckVersionRequest,
    CreateRequest,
    CreateSessionTxn,
    DeleteRequest,
    ErrorTxn,
    Id,
    MultiHeader,
    PathRequest,
    SetACLRequest,
    SetDataRequest,
)
from pyzk.quorum import packets
from pyzk.quorum.forwarding import decode_forward
from pyzk.quorum.packets import ForwardedRequest
from pyzk.zxid import make
from tests.frames import OPEN, Record, create_request
from tests.server.members import EPOCH, Ensemble, as_packet
from tests.world import owned_paths

SESSION = 5 << 56 | 77
IDS = [Id("ip", "10.0.0.1")]


@pytest.fixture
def ensemble() -> Ensemble:
    """Session 77 of server 5 lives; its client is at the follower."""
    ensemble = Ensemble()
    send(ensemble, OpCode.CREATE_SESSION, struct.pack(">i", 20_000))
    ensemble.log.clear()
    return ensemble


def send(
    ensemble: Ensemble,
    opcode: int,
    record: Record | bytes = b"",
    *,
    cxid: int = 1,
    origin: object = None,
    session: int = SESSION,
    ids: list[Id] | None = IDS,
) -> LoggedTxn:
    """Have a REQUEST come from the follower; return what it is committed as."""
    body = record if isinstance(record, bytes) else record.encode()
    packet = as_packet(packets.encode_request(ForwardedRequest(session, cxid, opcode, body, ids)))
    forwarded = packets.forwarded_request(packet)
    request = decode_forward(origin or ensemble.follower, forwarded, ensemble.clock.now_ms)
    ensemble.leader_role.submit(request)
    ensemble.commit()
    return ensemble.log[-1]


def err(txn: LoggedTxn) -> int:
    if txn.header.type != OpCode.ERROR:
        return 0
    assert isinstance(txn.body, ErrorTxn)
    return txn.body.err


def test_a_write_of_a_learner_becomes_a_transaction_of_its_client(ensemble: Ensemble) -> None:
    txn = send(ensemble, OpCode.CREATE, create_request("/a", b"x"), cxid=42)
    header = txn.header
    assert (header.client_id, header.cxid, header.type) == (SESSION, 42, OpCode.CREATE)
    assert header.zxid == make(EPOCH, 2)
    assert header.time == ensemble.clock.wall_ms, "the leader's clock"
    assert "/a" in ensemble.leader.database.tree.nodes


def test_an_ephemeral_is_its_clients(ensemble: Ensemble) -> None:
    send(ensemble, OpCode.CREATE, create_request("/a", flags=1))
    assert owned_paths(ensemble.leader.database.tree) == {SESSION: ["/a"]}
    send(ensemble, OpCode.CLOSE_SESSION)
    assert "/a" not in ensemble.follower.database.tree.nodes


@pytest.mark.parametrize(
    ("opcode", "body", "code"),
    [
        (OpCode.CREATE, b"", ErrorCode.MARSHALLING_ERROR),
        (OpCode.CREATE2, b"\0", ErrorCode.MARSHALLING_ERROR),
        (OpCode.CREATE_TTL, b"\0\0", ErrorCode.MARSHALLING_ERROR),
        (OpCode.CREATE_CONTAINER, b"\0\0", ErrorCode.MARSHALLING_ERROR),
        (OpCode.DELETE, b"\0\0\0\x09/a", ErrorCode.MARSHALLING_ERROR),
        (OpCode.SET_DATA, b"\xff", ErrorCode.MARSHALLING_ERROR),
        (OpCode.SET_ACL, b"", ErrorCode.MARSHALLING_ERROR),
        (OpCode.RECONFIG, b"", ErrorCode.MARSHALLING_ERROR),
        (OpCode.CREATE_SESSION, b"\0\0", ErrorCode.MARSHALLING_ERROR),
        (OpCode.MULTI, b"\0\0", ErrorCode.MARSHALLING_ERROR),
        (
            OpCode.MULTI,
            MultiHeader(OpCode.CREATE, False, -1).encode()
            + CreateRequest("/a", b"", None, 0).encode()
            + MultiHeader(-1, True, -1).encode(),
            ErrorCode.MARSHALLING_ERROR,
        ),
        # A learner of 3.8 takes a check outside of a multi from its clients.
        (OpCode.CHECK, CheckVersionRequest("/", -1).encode(), ErrorCode.UNIMPLEMENTED),
        (OpCode.GET_DATA, PathRequest("/").encode(), ErrorCode.UNIMPLEMENTED),
        (OpCode.SYNC, PathRequest("/").encode(), ErrorCode.UNIMPLEMENTED),
        (OpCode.NOTIFICATION, b"", ErrorCode.UNIMPLEMENTED),
        (OpCode.ERROR, struct.pack(">i", -5), ErrorCode.UNIMPLEMENTED),
        (1234, b"", ErrorCode.UNIMPLEMENTED),
        (OpCode.DELETE_CONTAINER, PathRequest("/c").encode(), ErrorCode.BAD_ARGUMENTS),
    ],
)
def test_what_cannot_be_done_is_an_error_transaction_with_a_zxid_of_its_own(
    ensemble: Ensemble, opcode: int, body: bytes, code: int
) -> None:
    txn = send(ensemble, opcode, body, cxid=6)
    assert err(txn) == code
    assert (txn.header.client_id, txn.header.cxid) == (SESSION, 6)
    assert txn.header.zxid == make(EPOCH, 2)
    after = send(ensemble, OpCode.CREATE, create_request("/a"))
    assert err(after) == 0
    assert after.header.zxid == make(EPOCH, 3)


def test_nobody_deletes_a_container_in_the_servers_name(ensemble: Ensemble) -> None:
    send(ensemble, OpCode.CREATE_CONTAINER, create_request("/c", flags=4))
    txn = send(ensemble, OpCode.DELETE_CONTAINER, PathRequest("/c"), session=0)
    assert err(txn) == ErrorCode.BAD_ARGUMENTS
    assert "/c" in ensemble.leader.database.tree.nodes


def test_a_request_without_identities_has_no_rights_but_everybodys(ensemble: Ensemble) -> None:
    send(ensemble, OpCode.CREATE, create_request("/a"), ids=None)
    assert err(send(ensemble, OpCode.SET_DATA, SetDataRequest("/a", b"", -1), ids=None)) == 0


def test_identities_with_nulls_are_harmless(ensemble: Ensemble) -> None:
    ids = [Id(None, None)]
    assert err(send(ensemble, OpCode.CREATE, create_request("/a"), ids=ids)) == 0


def test_acls_are_checked_against_the_identities_that_came(ensemble: Ensemble) -> None:
    joe = [Id("digest", "joe:hash")]
    send(ensemble, OpCode.CREATE, create_request("/a"))
    acl = [*OPEN]
    acl[0] = type(acl[0])(31, "digest", "joe:hash")
    assert err(send(ensemble, OpCode.SET_ACL, SetACLRequest("/a", acl, -1))) == 0
    change = SetDataRequest("/a", b"", -1)
    assert err(send(ensemble, OpCode.SET_DATA, change)) == ErrorCode.NO_AUTH
    assert err(send(ensemble, OpCode.SET_DATA, change, ids=joe)) == 0


# --- sessions ------------------------------------------------------------------------


def test_a_session_is_tracked_from_the_proposal_on() -> None:
    ensemble = Ensemble()
    client = ensemble.follower.connect(timeout_ms=20_000)
    ensemble.forward()
    sessions = ensemble.leader.server.sessions.sessions
    session = sessions[client.connection.session_id]
    assert session.timeout_ms == 20_000
    assert session.owner is ensemble.follower
    assert ensemble.leader.database.sessions == {}
    ensemble.advance(30_000)
    ensemble.commit()
    assert client.is_closed, "expired before it was committed"
    assert ensemble.leader.database.sessions == {}


def test_a_session_is_in_the_table_when_it_is_committed(ensemble: Ensemble) -> None:
    for member in ensemble.members:
        assert member.database.sessions == {SESSION: 20_000}


def test_the_end_of_a_session_is_prepared_whoever_asks(ensemble: Ensemble) -> None:
    txn = send(ensemble, OpCode.CLOSE_SESSION, origin=ensemble.observer)
    assert txn.header.type == OpCode.CLOSE_SESSION
    assert SESSION not in ensemble.leader.server.sessions.sessions
    assert ensemble.leader.database.sessions == {}


def test_from_the_proposal_of_its_end_on_a_session_can_do_nothing(ensemble: Ensemble) -> None:
    server = ensemble.leader.server
    for opcode, body in (
        (OpCode.CLOSE_SESSION, b""),
        (OpCode.DELETE, DeleteRequest("/a", -1).encode()),
    ):
        fr = ForwardedRequest(SESSION, 1, opcode, body, IDS)
        ensemble.leader_role.submit(decode_forward(ensemble.follower, fr, 0))
    assert not server.revalidate_for(ensemble.follower, SESSION, 20_000)
    ensemble.commit()
    assert err(ensemble.log[-1]) == ErrorCode.SESSION_EXPIRED


def test_a_session_that_nobody_knows_has_expired(ensemble: Ensemble) -> None:
    change = SetDataRequest("/", b"", -1)
    assert err(send(ensemble, OpCode.SET_DATA, change, session=99)) == ErrorCode.SESSION_EXPIRED


def test_a_session_of_one_learner_ends_the_connection_at_the_leader(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    send(ensemble, OpCode.CLOSE_SESSION, session=client.session_id)
    assert client.is_closed
    assert client.frames() == []


def test_a_create_session_that_comes_twice_changes_nothing_but_the_time(
    ensemble: Ensemble,
) -> None:
    send(ensemble, OpCode.CREATE_SESSION, CreateSessionTxn(30_000))
    assert ensemble.leader.server.sessions.sessions[SESSION].timeout_ms == 30_000
    assert len(ensemble.leader.server.sessions.sessions) == 1


def test_zxids_have_no_gap_whatever_comes(ensemble: Ensemble) -> None:
    for opcode in range(-12, 110):
        send(ensemble, opcode, b"\0\0\0\1", session=SESSION + 1)
    zxids = [txn.header.zxid for txn in ensemble.log]
    assert zxids == list(range(zxids[0], zxids[0] + len(zxids)))
    assert all(txn.header.type != OpCode.CHECK for txn in ensemble.log)


def test_members_are_alike_after_all_of_it() -> None:
    ensemble = Ensemble(ServerConfig())
    for opcode in range(-12, 110):
        send(ensemble, opcode, create_request(f"/{opcode}"))
    digests = {member.database.tree.digest for member in ensemble.members}
    assert len(digests) == 1
    assert all(member.database.digest_mismatches == 0 for member in ensemble.members)
