"""The bytes of the election port: every form, every limit, in any pieces."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.members import MAX_ADDRESS_BYTES
from pyzk.errors import QuorumProtocolError
from pyzk.quorum.election_messages import (
    FORMAT_VERSION,
    GENERIC_OBSERVER,
    MAX_FRAME_BYTES,
    MAX_ROUND,
    PROTOCOL_V1,
    PROTOCOL_V2,
    Address,
    FrameScanner,
    InitialMessage,
    Notification,
    decode_initial_message,
    decode_notification,
    frame,
    initial_message,
)
from pyzk.quorum.vote import NOBODY, PeerState

LOCAL = Address("127.0.0.1", 3888)
longs = st.integers(-(1 << 63), (1 << 63) - 1)


def initial(version: int, sid: int, text: bytes, length: int | None = None) -> bytes:
    return struct.pack(">qqi", version, sid, len(text) if length is None else length) + text


def decoded(data: bytes) -> InitialMessage:
    found = decode_initial_message(data)
    assert found is not None
    assert found[1] == len(data)
    return found[0]


# --- the initial message ------------------------------------------------------------------


def test_the_initial_message_of_3_5_and_later() -> None:
    data = bytes.fromhex("ffffffffffff0000 0000000000000001 0000000e") + b"127.0.0.1:3888"
    assert initial_message(1, (LOCAL,), multi_address=False) == data
    assert decoded(data) == InitialMessage(1, (LOCAL,), PROTOCOL_V1)


def test_several_addresses_are_sent_only_where_that_is_switched_on() -> None:
    addresses = (Address("a", 1), Address("::1", 65535))
    several = initial_message(7, addresses, multi_address=True)
    assert several == initial(PROTOCOL_V2, 7, b"a:1|[::1]:65535")
    assert decoded(several) == InitialMessage(7, addresses, PROTOCOL_V2)
    assert initial_message(7, addresses, multi_address=False) == initial(PROTOCOL_V1, 7, b"a:1")


def test_either_version_may_bring_several_addresses() -> None:
    message = decoded(initial(PROTOCOL_V1, 7, b"a:1|b:2"))
    assert message.addresses == (Address("a", 1), Address("b", 2))
    assert message.encode() == initial(PROTOCOL_V1, 7, b"a:1|b:2")


@pytest.mark.parametrize("sid", [0, 1, GENERIC_OBSERVER])
def test_the_initial_message_of_3_4_is_the_sid_alone(sid: int) -> None:
    data = struct.pack(">q", sid)
    message = decoded(data)
    assert (message.sid, message.addresses, message.version) == (sid, (), None)
    assert message.encode() == data


def test_wildcard_addresses_cannot_be_dialed() -> None:
    message = decoded(initial(PROTOCOL_V2, 1, b"0.0.0.0:1|h:2|[::]:3|[0:0:0:0:0:0:0:0]:4"))
    assert message.reachable == (Address("h", 2),)
    assert len(message.addresses) == 4


def test_an_initial_message_may_come_in_pieces_and_with_a_tail() -> None:
    data = initial(PROTOCOL_V1, 3, b"host.example:3888")
    for end in range(len(data)):
        assert decode_initial_message(data[:end]) is None
    assert decode_initial_message(data + b"tail") == (
        InitialMessage(3, (Address("host.example", 3888),)),
        len(data),
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack(">q", -1), "unknown protocol version -1 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "talks TLS on the election port"),
        (struct.pack(">q", -65537), "unknown protocol version -65537"),
        (bytes.fromhex("5f2435013501edcc")[::-1], "unknown protocol version"),
        (initial(PROTOCOL_V1, -1, b"a:1"), "says that its sid is -1"),
        (initial(PROTOCOL_V1, 1, b""), "announces 0 bytes"),
        (initial(PROTOCOL_V1, 1, b"", -5), "announces -5 bytes"),
        (initial(PROTOCOL_V1, 1, b"", MAX_ADDRESS_BYTES + 1), "announces 2049 bytes"),
        (initial(PROTOCOL_V1, 1, b"\xff:1"), "not UTF-8"),
        (initial(PROTOCOL_V1, 1, b"localhost"), "no address: 'localhost'"),
        (initial(PROTOCOL_V1, 1, b":3888"), "no address"),
        (initial(PROTOCOL_V1, 1, b"a:"), "no address"),
        (initial(PROTOCOL_V1, 1, b"a:1|"), "no address: ''"),
        (initial(PROTOCOL_V1, 1, b"a:-1"), "no address"),
        (initial(PROTOCOL_V1, 1, b"a: 1"), "no address"),
        (initial(PROTOCOL_V1, 1, "a:\u0661".encode()), "no address"),
        (initial(PROTOCOL_V1, 1, b"::1:3888"), "no address"),
        (initial(PROTOCOL_V1, 1, b"[::1:3888"), "no address"),
        (initial(PROTOCOL_V1, 1, b"[::1]3888"), "no address"),
        (initial(PROTOCOL_V1, 1, b"[]:3888"), "no address"),
        (initial(PROTOCOL_V1, 1, b"a:0"), "no port"),
        (initial(PROTOCOL_V1, 1, b"a:65536"), "no port"),
        (initial(PROTOCOL_V1, 1, b"a:" + b"1" * 1000), "no address"),
    ],
)
def test_what_is_no_initial_message_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(QuorumProtocolError, match=message):
        decode_initial_message(data)


def test_the_longest_address_is_read() -> None:
    host = "h" * (MAX_ADDRESS_BYTES - 5)
    data = initial(PROTOCOL_V1, 1, host.encode() + b":3888")
    assert decoded(data).addresses == (Address(host, 3888),)


def test_refusal_does_not_wait_for_the_bytes_that_were_announced() -> None:
    with pytest.raises(QuorumProtocolError, match="announces"):
        decode_initial_message(initial(PROTOCOL_V1, 1, b"", 1 << 30))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    for start in (b"", initial(PROTOCOL_V1, 1, b"", 30)):
        try:
            found = decode_initial_message(start + data)
        except QuorumProtocolError:
            continue
        assert found is None or found[0].sid >= 0


# --- notifications ------------------------------------------------------------------------

notifications = st.builds(
    Notification,
    st.integers(0, 3),
    longs,
    longs,
    st.integers(-(1 << 63), MAX_ROUND),
    longs,
    st.just(FORMAT_VERSION),
    st.binary(max_size=40),
)


@given(notifications)
def test_notifications_come_back(notification: Notification) -> None:
    data = notification.encode()
    assert decode_notification(data) == notification
    assert decode_notification(data + b"more") == notification


@given(notifications, st.data())
def test_a_notification_that_was_cut_is_older_or_an_error(
    notification: Notification, data: st.DataObject
) -> None:
    whole = notification.encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    try:
        found = decode_notification(whole[:end])
    except QuorumProtocolError:
        return
    assert end in (28, 40)
    assert (found.version, found.config) == (0, None)


def test_the_vote_of_a_server_that_does_not_vote() -> None:
    notification = Notification(0, NOBODY, NOBODY, 1, NOBODY, config=b"version=0")
    data = notification.encode()
    assert (
        data.hex()
        == (
            "00000000 8000000000000000 8000000000000000 0000000000000001 8000000000000000"
            " 00000002 00000009"
        ).replace(" ", "")
        + b"version=0".hex()
    )
    assert decode_notification(data) == notification


def test_the_first_form_takes_the_epoch_from_the_zxid() -> None:
    data = struct.pack(">iqqq", PeerState.LEADING, 3, 0x500000007, 4)
    assert decode_notification(data) == Notification(PeerState.LEADING, 3, 0x500000007, 4, 5, 0)
    lost = struct.pack(">iqqq", 0, 3, -1, 4)
    assert decode_notification(lost).peer_epoch == -1


def test_the_version_in_the_second_form_is_not_read() -> None:
    data = struct.pack(">iqqqqi", PeerState.FOLLOWING, 3, 0x500000007, 4, 6, 1)
    assert len(data) == 40
    assert decode_notification(data) == Notification(PeerState.FOLLOWING, 3, 0x500000007, 4, 6, 0)
    assert decode_notification(data[:36] + struct.pack(">i", 2)).config is None


def test_version_1_has_no_configuration_whatever_follows() -> None:
    data = struct.pack(">iqqqqi", 0, 3, 5, 4, 6, 1) + b"\xff\xff\xff\xff"
    assert decode_notification(data) == Notification(0, 3, 5, 4, 6, 1)


def test_a_later_version_is_read_like_the_present_one() -> None:
    data = struct.pack(">iqqqqii", 0, 3, 5, 4, 6, 3, 2) + b"ab" + b"unknown"
    assert decode_notification(data) == Notification(0, 3, 5, 4, 6, 3, b"ab")


@pytest.mark.parametrize("state", [-1, 4, 1 << 30])
def test_an_unknown_state_is_refused(state: int) -> None:
    with pytest.raises(QuorumProtocolError, match=f"unknown state {state}"):
        decode_notification(struct.pack(">iqqqq", state, 1, 0, 1, 0))


@pytest.mark.parametrize("size", [0, 27, 29, 36, 39, 41, 43])
def test_sizes_between_the_forms_are_refused(size: int) -> None:
    data = Notification(0, 1, 0, 1, 0, config=b"x").encode()
    with pytest.raises(QuorumProtocolError, match=f"a notification of {size} bytes"):
        decode_notification(data[:size])


@pytest.mark.parametrize("length", [-1, 4, 1 << 30])
def test_a_wrong_length_of_the_configuration_is_refused(length: int) -> None:
    data = struct.pack(">iqqqqii", 0, 3, 5, 4, 6, 2, length) + b"abc"
    with pytest.raises(QuorumProtocolError, match=f"a configuration of {length} bytes"):
        decode_notification(data)


def test_a_round_that_leaves_no_room_for_the_next_is_refused() -> None:
    assert decode_notification(struct.pack(">iqqq", 0, 1, 0, MAX_ROUND)).round == MAX_ROUND
    with pytest.raises(QuorumProtocolError, match="impossible round"):
        decode_notification(struct.pack(">iqqq", 0, 1, 0, MAX_ROUND + 1))


def test_a_notification_shows_its_vote() -> None:
    assert str(Notification(1, 3, 5, 4, 6)) == "FOLLOWING for 3 (epoch 6, zxid 0x5, round 4)"


# --- frames -------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.data())
def test_frames_may_come_in_any_pieces(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, payloads))
    scanner = FrameScanner()
    found = []
    while stream:
        end = data.draw(st.integers(1, len(stream)))
        found += scanner.feed(stream[:end])
        stream = stream[end:]
    assert found == payloads


@pytest.mark.parametrize("length", [0, -1, MAX_FRAME_BYTES + 1])
def test_a_length_that_is_not_allowed_is_refused_before_its_bytes_come(length: int) -> None:
    with pytest.raises(QuorumProtocolError, match=f"a frame of {length} bytes"):
        FrameScanner().feed(struct.pack(">i", length))


def test_the_longest_frame_is_read() -> None:
    payload = bytes(MAX_FRAME_BYTES)
    scanner = FrameScanner()
    assert scanner.feed(frame(payload)[:-1]) == []
    assert scanner.feed(b"\0" + frame(b"x")) == [payload, b"x"]
