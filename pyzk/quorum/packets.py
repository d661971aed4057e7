"""Packets of the quorum port: their types, what each carries, and how to name one in a log.

Pure. ZooKeeper: QuorumPacket, Leader (the types), LearnerInfo and the byte buffers that Learner,
LearnerHandler, Follower and Observer put together by hand.

For each type that carries something there is a function that makes the bytes and one that reads
``data``. Readers accept what ZooKeeper accepts and raise QuorumProtocolError for the rest, in a
sentence that names the packet: it is what the log line says when the link is closed.
`quorum.stream` cuts a stream of bytes into packets.
"""

from __future__ import annotations

import struct
from typing import Final

from pyzk.constants import MAX_PACKET_BYTES, MAX_TXN_BYTES, ErrorCode, OpCode
from pyzk.data.txn import decode_txn
from pyzk.errors import JuteError, QuorumProtocolError
from pyzk.int64 import hex_digits, hex_id
from pyzk.jute.archive import NULL
from pyzk.jute.packing import (
    pack_int,
    pack_iqi,
    pack_iqii,
    pack_long,
    pack_long_int,
    pack_qii,
    pack_qiq,
    unpack_int,
    unpack_long,
    unpack_long_int,
    unpack_qii,
)
from pyzk.jute.records import ErrorTxn, Id, LearnerInfo, QuorumPacket
from pyzk.zxid import epoch_of, format_zxid, make

REQUEST: Final = 1
PROPOSAL: Final = 2
ACK: Final = 3
COMMIT: Final = 4
PING: Final = 5
REVALIDATE: Final = 6
SYNC: Final = 7
INFORM: Final = 8
COMMITANDACTIVATE: Final = 9
NEWLEADER: Final = 10
FOLLOWERINFO: Final = 11
UPTODATE: Final = 12
DIFF: Final = 13
TRUNC: Final = 14
SNAP: Final = 15
OBSERVERINFO: Final = 16
LEADERINFO: Final = 17
ACKEPOCH: Final = 18
INFORMANDACTIVATE: Final = 19

FIRST_TYPE: Final = REQUEST
LAST_TYPE: Final = INFORMANDACTIVATE

NAMES: Final = (
    "", "REQUEST", "PROPOSAL", "ACK", "COMMIT", "PING", "REVALIDATE", "SYNC", "INFORM",
    "COMMITANDACTIVATE", "NEWLEADER", "FOLLOWERINFO", "UPTODATE", "DIFF", "TRUNC", "SNAP",
    "OBSERVERINFO", "LEADERINFO", "ACKEPOCH", "INFORMANDACTIVATE",
)  # fmt: skip
"""The name of each type, at the place of its number."""

PROTOCOL_VERSION: Final = 0x10000
"""The version that both sides say they speak; a server that says less is older than 3.4 and knows
no LEADERINFO."""
NO_ZXID: Final = -1
"""The zxid of packets that have none: REQUEST, REVALIDATE, UPTODATE."""
NOT_COUNTED: Final = -1
"""Stands in ACKEPOCH instead of the current epoch: this learner had accepted that epoch before, so
it must not count towards its quorum again."""
TXN_HEADER_BYTES: Final = 32

_ZXID_IN_TXN: Final = 12
_pack_validity: Final = struct.Struct(">q?").pack
_unpack_validity: Final = struct.Struct(">qB").unpack_from
_SESSION_BYTES: Final = 12
PING_TABLE_BYTES: Final = _SESSION_BYTES << 16
_VALIDITY_BYTES: Final = 9
_REQUEST_BYTES: Final = 16


def type_name(kind: int) -> str:
    """Returns the name of a packet type, its number where it has none."""
    return NAMES[kind] if FIRST_TYPE <= kind <= LAST_TYPE else f"type {kind}"


# --- encoding: every packet is one of these two, or a REQUEST -------------------------------------


def encode_bare(kind: int, zxid: int) -> bytes:
    """Returns a packet without data: ACK, COMMIT, SYNC, DIFF, TRUNC, SNAP, a leader's PING."""
    return pack_iqii(kind, zxid, -1, -1)


def encode_packet(kind: int, zxid: int, data: bytes) -> bytes:
    """Returns a packet with data: PROPOSAL and INFORM carry the payload that the log holds."""
    assert len(data) <= MAX_PACKET_BYTES, (kind, len(data))
    return pack_iqi(kind, zxid, len(data)) + data + NULL


UPTODATE_PACKET: Final = encode_bare(UPTODATE, NO_ZXID)


# --- discovery ------------------------------------------------------------------------


def encode_learner_info(
    sid: int, accepted_epoch: int, config_version: int, *, is_observer: bool = False
) -> bytes:
    """Returns FOLLOWERINFO or OBSERVERINFO, which a learner says first."""
    data = pack_qiq(sid, PROTOCOL_VERSION, config_version)
    return encode_packet(
        OBSERVERINFO if is_observer else FOLLOWERINFO, make(accepted_epoch, 0), data
    )


def learner_info(packet: QuorumPacket) -> LearnerInfo:
    """Reads FOLLOWERINFO or OBSERVERINFO; the epoch of its zxid is the one that was accepted.

    Shorter forms, of older servers, leave out the version of the configuration or the protocol.
    """
    data = packet.data
    if data is None or len(data) < 8:
        raise _wrong(packet, "has no server id")
    info = LearnerInfo(unpack_long(data)[0], 1, 0)
    if len(data) >= 12:
        info.protocol_version = unpack_int(data, 8)[0]
    if len(data) >= 20:
        info.config_version = unpack_long(data, 12)[0]
    return info


def encode_leader_info(epoch: int) -> bytes:
    """Returns LEADERINFO, which names the new epoch."""
    return encode_packet(LEADERINFO, make(epoch, 0), pack_int(PROTOCOL_VERSION))


def leader_info(packet: QuorumPacket) -> tuple[int, int]:
    """Reads LEADERINFO; returns the new epoch and the protocol version."""
    data = packet.data
    if data is None or len(data) < 4:
        raise _wrong(packet, "has no protocol version")
    return epoch_of(packet.zxid), unpack_int(data)[0]


def encode_ack_epoch(last_zxid: int, current_epoch: int) -> bytes:
    """Returns ACKEPOCH; ``current_epoch`` is NOT_COUNTED if the epoch was accepted before."""
    return encode_packet(ACKEPOCH, last_zxid, pack_int(current_epoch))


def ack_epoch(packet: QuorumPacket) -> int:
    """Reads ACKEPOCH; returns the current epoch of the learner, or NOT_COUNTED."""
    data = packet.data
    if data is None or len(data) < 4:
        raise _wrong(packet, "has no epoch")
    return unpack_int(data)[0]


# --- synchronization ------------------------------------------------------------------


def encode_new_leader(epoch: int, config: bytes) -> bytes:
    """Returns NEWLEADER with the text of the last configuration that the leader has seen."""
    return encode_packet(NEWLEADER, make(epoch, 0), config)


def new_leader_config(packet: QuorumPacket) -> bytes | None:
    """Reads NEWLEADER; returns the text of a configuration, None if the leader sent none."""
    data = packet.data
    return data if data is not None and len(data) > 1 else None


# --- broadcast ------------------------------------------------------------------------


def txn_payload(packet: QuorumPacket) -> bytes:
    """Reads PROPOSAL or INFORM; returns what the log is to hold, to the byte.

    Nothing is decoded but the zxid, which must be that of the packet: a mismatch would put the
    log out of step with what is acknowledged.
    """
    data = packet.data
    if data is None or len(data) < TXN_HEADER_BYTES:
        raise _wrong(packet, "has no transaction")
    if len(data) > MAX_TXN_BYTES:
        raise _wrong(
            packet, f"has a transaction of {len(data)} bytes; {MAX_TXN_BYTES} is the limit"
        )
    (inner,) = unpack_long(data, _ZXID_IN_TXN)
    if inner != packet.zxid:
        raise _wrong(packet, f"carries the transaction {format_zxid(inner)}")
    return data


def encode_commit_and_activate(zxid: int, designated_leader: int) -> bytes:
    """Returns COMMITANDACTIVATE, which commits a reconfiguration and puts it in force."""
    return encode_packet(COMMITANDACTIVATE, zxid, pack_long(designated_leader))


def designated_leader(packet: QuorumPacket) -> int:
    """Reads COMMITANDACTIVATE or INFORMANDACTIVATE; returns who leads from now on."""
    data = packet.data
    if data is None or len(data) < 8:
        raise _wrong(packet, "names no leader")
    return unpack_long(data)[0]


def encode_inform_and_activate(zxid: int, leader: int, payload: bytes) -> bytes:
    """Returns INFORMANDACTIVATE, which tells an observer of a reconfiguration."""
    return encode_packet(INFORMANDACTIVATE, zxid, pack_long(leader) + payload)


def inform_and_activate(packet: QuorumPacket) -> tuple[int, bytes]:
    """Reads INFORMANDACTIVATE; returns who leads from now on, and what the log is to hold."""
    leader = designated_leader(packet)
    data = packet.data
    assert data is not None, packet
    return leader, txn_payload(QuorumPacket(packet.type, packet.zxid, data[8:], None))


# --- sessions -------------------------------------------------------------------------


def encode_ping_reply(zxid: int, touched: dict[int, int]) -> bytes:
    """Returns a learner's PING, which names the sessions heard of since the last one.

    ``touched`` is session -> timeout in ms. The result is several PINGs if there are so many
    sessions that ZooKeeper could not read one."""
    table = b"".join([pack_long_int(session, timeout) for session, timeout in touched.items()])
    return b"".join(
        [
            encode_packet(PING, zxid, table[start : start + PING_TABLE_BYTES])
            for start in range(0, len(table) or 1, PING_TABLE_BYTES)
        ]
    )


def touched_sessions(packet: QuorumPacket) -> list[tuple[int, int]]:
    """Reads a learner's PING; returns (session, timeout in ms) of each."""
    data = packet.data
    if data is None:
        return []
    if len(data) % _SESSION_BYTES:
        raise _wrong(packet, f"has a table of {len(data)} bytes, no multiple of {_SESSION_BYTES}")
    found: list[tuple[int, int]] = []
    for offset in range(0, len(data), _SESSION_BYTES):
        session, timeout = unpack_long_int(data, offset)
        found.append((session, timeout))
    return found


def encode_revalidate(session: int, timeout_ms: int) -> bytes:
    """Returns REVALIDATE, by which a learner asks whether a session still exists."""
    return encode_packet(REVALIDATE, NO_ZXID, pack_long_int(session, timeout_ms))


def revalidate(packet: QuorumPacket) -> tuple[int, int]:
    """Reads a learner's REVALIDATE; returns session and timeout in ms."""
    data = packet.data
    if data is None or len(data) < _SESSION_BYTES:
        raise _wrong(packet, "has no session and timeout")
    session, timeout = unpack_long_int(data)
    return session, timeout


def encode_validity(session: int, is_valid: bool) -> bytes:
    """Returns the leader's answer to REVALIDATE."""
    return encode_packet(REVALIDATE, NO_ZXID, _pack_validity(session, is_valid))


def validity(packet: QuorumPacket) -> tuple[int, bool]:
    """Reads the leader's REVALIDATE; returns the session and whether it exists."""
    data = packet.data
    if data is None or len(data) < _VALIDITY_BYTES:
        raise _wrong(packet, "is no answer about a session")
    session, flag = _unpack_validity(data)
    return session, flag != 0


# --- requests -------------------------------------------------------------------------


class ForwardedRequest:
    """What a learner asks the leader for in a client's name."""

    __slots__ = ("body", "cxid", "ids", "session", "type")

    def __init__(
        self, session: int, cxid: int, type: int, body: bytes, ids: list[Id] | None
    ) -> None:
        self.session: int = session
        self.cxid: int = cxid
        self.type: int = type
        self.body: bytes = body
        """What follows the client's request header, unchanged."""
        self.ids: list[Id] | None = ids
        """The identities of the client's connection, which ACLs are checked against."""


def encode_request(request: ForwardedRequest) -> bytes:
    """Returns REQUEST, the one packet with identities."""
    data = pack_qii(request.session, request.cxid, request.type) + request.body
    assert len(data) <= MAX_PACKET_BYTES, len(data)
    head = pack_iqi(REQUEST, NO_ZXID, len(data)) + data
    ids = request.ids
    if ids is None:
        return head + NULL
    return head + pack_int(len(ids)) + b"".join([entry.encode() for entry in ids])


def forwarded_request(packet: QuorumPacket) -> ForwardedRequest:
    """Reads REQUEST."""
    data = packet.data
    if data is None or len(data) < _REQUEST_BYTES:
        raise _wrong(packet, "has no session, cxid and type")
    session, cxid, kind = unpack_qii(data)
    return ForwardedRequest(session, cxid, kind, data[_REQUEST_BYTES:], packet.authinfo)


# --- for people -----------------------------------------------------------------------

_OP_NAMES: Final[dict[int, str]] = {
    OpCode.CREATE: "create",
    OpCode.CREATE2: "create2",
    OpCode.CREATE_TTL: "createTTL",
    OpCode.CREATE_CONTAINER: "createContainer",
    OpCode.DELETE: "delete",
    OpCode.DELETE_CONTAINER: "deleteContainer",
    OpCode.SET_DATA: "setData",
    OpCode.SET_ACL: "setACL",
    OpCode.RECONFIG: "reconfig",
    OpCode.CHECK: "check",
    OpCode.MULTI: "multi",
    OpCode.SYNC: "sync",
    OpCode.CREATE_SESSION: "createSession",
    OpCode.CLOSE_SESSION: "closeSession",
    OpCode.ERROR: "error",
}


def describe(packet: QuorumPacket) -> str:
    """Returns one line that says what a packet is, for logs and transcripts.

    Never raises: what cannot be read is said to be unreadable.
    """
    head = type_name(packet.type)
    if packet.zxid != NO_ZXID:
        head += f" {format_zxid(packet.zxid)}"
    try:
        detail = _detail(packet)
    except (QuorumProtocolError, JuteError):
        size = 0 if packet.data is None else len(packet.data)
        detail = f"unreadable ({size} bytes)"
    return f"{head} {detail}" if detail else head


def _detail(packet: QuorumPacket) -> str:
    kind = packet.type
    if kind in (PROPOSAL, INFORM):
        return _describe_txn(txn_payload(packet))
    if kind in (FOLLOWERINFO, OBSERVERINFO):
        info = learner_info(packet)
        return (
            f"sid={info.server_id} accepted={epoch_of(packet.zxid)}"
            f" config={hex_digits(info.config_version)}"
        )
    if kind == LEADERINFO:
        return f"epoch={leader_info(packet)[0]}"
    if kind == ACKEPOCH:
        epoch = ack_epoch(packet)
        return "not counted" if epoch == NOT_COUNTED else f"current={epoch}"
    if kind == NEWLEADER:
        config = new_leader_config(packet)
        return (
            "no config" if config is None else config[config.rfind(b"\n") + 1 :].decode("latin-1")
        )
    if kind == REQUEST:
        request = forwarded_request(packet)
        name = _OP_NAMES.get(request.type, f"op {request.type}")
        return f"{name} session={hex_id(request.session)} cxid={request.cxid}"
    if kind == COMMITANDACTIVATE:
        return f"leader={designated_leader(packet)}"
    if kind == INFORMANDACTIVATE:
        leader, payload = inform_and_activate(packet)
        return f"leader={leader} {_describe_txn(payload)}"
    if kind in (PING, REVALIDATE):
        return _describe_sessions(packet)
    return ""


def _describe_txn(payload: bytes) -> str:
    txn = decode_txn(payload)
    name = _OP_NAMES.get(txn.header.type, f"txn {txn.header.type}")
    body = txn.body
    if isinstance(body, list):
        return f"{name} of {len(body)}"
    if isinstance(body, ErrorTxn):
        return f"{name} {ErrorCode.NAMES.get(body.err, body.err)}"
    path: object = getattr(body, "path", None)
    return name if path is None else f"{name} {path}"


def _describe_sessions(packet: QuorumPacket) -> str:
    data = packet.data
    if data is None:
        return ""
    if packet.type == PING:
        return f"sessions={len(touched_sessions(packet))}"
    if len(data) == _VALIDITY_BYTES:
        session, is_valid = validity(packet)
        return f"{hex_id(session)} {'valid' if is_valid else 'gone'}"
    session, timeout = revalidate(packet)
    return f"{hex_id(session)} timeout={timeout}"


def _wrong(packet: QuorumPacket, message: str) -> QuorumProtocolError:
    return QuorumProtocolError(f"{type_name(packet.type)} {format_zxid(packet.zxid)} {message}")
