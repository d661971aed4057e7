"""Packets of the quorum port: the exact bytes, and what is refused."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.data.txn import encode_txn
from pyzk.errors import QuorumProtocolError
from pyzk.jute.records import DeleteTxn, Id, MultiTxn, QuorumPacket, TxnHeader
from pyzk.quorum import packets
from pyzk.quorum.stream import QuorumStream
from pyzk.zxid import make

SESSION = 0x0300_0000_0000_0001


def decoded(raw: bytes) -> QuorumPacket:
    (packet,) = QuorumStream().feed(raw)
    assert isinstance(packet, QuorumPacket)
    assert packet.encode() == raw
    return packet


def transaction(zxid: int, kind: int = OpCode.DELETE) -> bytes:
    return encode_txn(TxnHeader(SESSION, 1, zxid, 2, kind), DeleteTxn("/a").encode(), None)


# --- bytes that real servers were seen to send ----------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (packets.UPTODATE_PACKET, "0000000c ffffffffffffffff ffffffff ffffffff"),
        (
            packets.encode_ack_epoch(make(5, 7), 5),
            "00000012 0000000500000007 00000004 00000005 ffffffff",
        ),
        (
            packets.encode_learner_info(3, 0, 0),
            "0000000b 0000000000000000 00000014"
            " 0000000000000003 00010000 0000000000000000 ffffffff",
        ),
        (packets.encode_leader_info(1), "00000011 0000000100000000 00000004 00010000 ffffffff"),
        (packets.encode_bare(packets.SYNC, 0), "00000007 0000000000000000 ffffffff ffffffff"),
        (packets.encode_ping_reply(make(1, 0), {}), "00000005 0000000100000000 00000000 ffffffff"),
        (
            packets.encode_validity(SESSION, True),
            "00000006 ffffffffffffffff 00000009 0300000000000001 01 ffffffff",
        ),
    ],
)  # fmt: skip
def test_the_bytes_are_the_original_s(raw: bytes, expected: str) -> None:
    assert raw == bytes.fromhex(expected)


# --- round trips ----------------------------------------------------------------------


def test_the_words_of_discovery_come_back() -> None:
    packet = decoded(packets.encode_learner_info(7, 4, 0x100000003, is_observer=True))
    info = packets.learner_info(packet)
    assert packet.type == packets.OBSERVERINFO
    assert packet.zxid == make(4, 0)
    assert (info.server_id, info.config_version) == (7, 0x100000003)
    assert packets.leader_info(decoded(packets.encode_leader_info(9))) == (9, 0x10000)
    ack = decoded(packets.encode_ack_epoch(make(3, 2), packets.NOT_COUNTED))
    assert packets.ack_epoch(ack) == -1
    assert ack.zxid == make(3, 2)


@pytest.mark.parametrize(
    ("size", "expected"), [(8, (3, 1, 0)), (12, (3, 0x10000, 0)), (19, (3, 0x10000, 0))]
)
def test_an_older_learner_says_less(size: int, expected: tuple[int, int, int]) -> None:
    data = bytes.fromhex("0000000000000003 00010000 0000000000000005")[:size]
    info = packets.learner_info(QuorumPacket(packets.FOLLOWERINFO, 0, data, None))
    assert (info.server_id, info.protocol_version, info.config_version) == expected


@pytest.mark.parametrize(
    ("data", "config"), [(None, None), (b"", None), (b"\0", None), (b"ab", b"ab")]
)
def test_a_new_leader_may_send_no_configuration(data: bytes | None, config: bytes | None) -> None:
    packet = QuorumPacket(packets.NEWLEADER, make(1, 0), data, None)
    assert packets.new_leader_config(packet) == config


def test_a_request_keeps_the_client_s_body_and_identities() -> None:
    for ids in (None, [], [Id("ip", "::1"), Id("digest", "a:b")]):
        sent = packets.ForwardedRequest(SESSION, 5, OpCode.DELETE, b"body", ids)
        packet = decoded(packets.encode_request(sent))
        got = packets.forwarded_request(packet)
        assert packet.zxid == packets.NO_ZXID
        assert (got.session, got.cxid, got.type, got.body) == (SESSION, 5, OpCode.DELETE, b"body")
        assert got.ids == ids


def test_sessions_come_back() -> None:
    touched = {SESSION: 4000, -5: 10000}
    packet = decoded(packets.encode_ping_reply(3, touched))
    assert dict(packets.touched_sessions(packet)) == touched
    assert packets.touched_sessions(decoded(packets.encode_bare(packets.PING, 3))) == []
    assert packets.revalidate(decoded(packets.encode_revalidate(-2, 4000))) == (-2, 4000)
    assert packets.validity(decoded(packets.encode_validity(-2, False))) == (-2, False)


def test_a_transaction_that_is_activated_comes_back() -> None:
    payload = transaction(make(1, 2))
    packet = decoded(packets.encode_inform_and_activate(make(1, 2), 3, payload))
    assert packets.inform_and_activate(packet) == (3, payload)
    assert packets.designated_leader(decoded(packets.encode_commit_and_activate(1, 4))) == 4


# --- refused --------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, b"", b"\0\0\0"])
def test_a_packet_without_what_it_must_carry_is_refused(data: bytes | None) -> None:
    cases = [
        (packets.FOLLOWERINFO, packets.learner_info),
        (packets.LEADERINFO, packets.leader_info),
        (packets.ACKEPOCH, packets.ack_epoch),
        (packets.PROPOSAL, packets.txn_payload),
        (packets.COMMITANDACTIVATE, packets.designated_leader),
        (packets.INFORMANDACTIVATE, packets.inform_and_activate),
        (packets.REVALIDATE, packets.revalidate),
        (packets.REVALIDATE, packets.validity),
        (packets.REQUEST, packets.forwarded_request),
    ]
    for kind, read in cases:
        packet = QuorumPacket(kind, 1, data, None)
        with pytest.raises(QuorumProtocolError, match=packets.type_name(kind)):
            read(packet)


def test_a_table_of_sessions_that_is_cut_is_refused() -> None:
    with pytest.raises(QuorumProtocolError, match="a table of 13 bytes"):
        packets.touched_sessions(QuorumPacket(packets.PING, 1, bytes(13), None))


def test_a_proposal_of_another_zxid_is_refused() -> None:
    packet = QuorumPacket(packets.PROPOSAL, make(1, 3), transaction(make(1, 2)), None)
    with pytest.raises(
        QuorumProtocolError, match="0x100000003 carries the transaction 0x100000002"
    ):
        packets.txn_payload(packet)
    inside = packets.encode_inform_and_activate(make(1, 3), 1, transaction(make(1, 2)))
    with pytest.raises(QuorumProtocolError):
        packets.inform_and_activate(decoded(inside))


# --- for people -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            packets.encode_learner_info(1, 2, 0x1F),
            "FOLLOWERINFO 0x200000000 sid=1 accepted=2 config=1f",
        ),
        (packets.encode_leader_info(3), "LEADERINFO 0x300000000 epoch=3"),
        (packets.encode_ack_epoch(5, 1), "ACKEPOCH 0x5 current=1"),
        (packets.encode_ack_epoch(5, -1), "ACKEPOCH 0x5 not counted"),
        (packets.encode_bare(packets.DIFF, 5), "DIFF 0x5"),
        (packets.encode_new_leader(1, b"server.1=x\nversion=a"), "NEWLEADER 0x100000000 version=a"),
        (packets.encode_new_leader(1, b""), "NEWLEADER 0x100000000 no config"),
        (packets.encode_packet(packets.PROPOSAL, 9, transaction(9)), "PROPOSAL 0x9 delete /a"),
        (packets.encode_packet(packets.PROPOSAL, 9, b"?"), "PROPOSAL 0x9 unreadable (1 bytes)"),
        (
            packets.encode_packet(packets.INFORM, 9, transaction(9, 99)),
            "INFORM 0x9 unreadable (38 bytes)",
        ),
        (packets.encode_commit_and_activate(9, 2), "COMMITANDACTIVATE 0x9 leader=2"),
        (
            packets.encode_inform_and_activate(9, 2, transaction(9)),
            "INFORMANDACTIVATE 0x9 leader=2 delete /a",
        ),
        (packets.UPTODATE_PACKET, "UPTODATE"),
        (packets.encode_bare(packets.PING, 9), "PING 0x9"),
        (packets.encode_ping_reply(9, {1: 2}), "PING 0x9 sessions=1"),
        (packets.encode_revalidate(1, 2), "REVALIDATE 0x1 timeout=2"),
        (packets.encode_validity(1, True), "REVALIDATE 0x1 valid"),
        (packets.encode_validity(1, False), "REVALIDATE 0x1 gone"),
        (packets.encode_bare(packets.REVALIDATE, -1), "REVALIDATE"),
        (
            packets.encode_request(packets.ForwardedRequest(1, 2, OpCode.SYNC, b"", None)),
            "REQUEST sync session=0x1 cxid=2",
        ),
    ],
)  # fmt: skip
def test_a_packet_is_described_in_one_line(raw: bytes, line: str) -> None:
    assert packets.describe(decoded(raw)) == line


def test_transactions_without_a_path_are_described() -> None:
    multi = encode_txn(TxnHeader(1, 1, 9, 1, OpCode.MULTI), MultiTxn([]).encode(), None)
    closing = encode_txn(TxnHeader(1, 1, 9, 1, OpCode.CLOSE_SESSION), b"", None)
    assert packets.describe(QuorumPacket(packets.PROPOSAL, 9, multi, None)).endswith("multi of 0")
    assert packets.describe(QuorumPacket(packets.INFORM, 9, closing, None)).endswith("closeSession")
    assert packets.describe(QuorumPacket(99, 9, None, None)) == "type 99 0x9"
