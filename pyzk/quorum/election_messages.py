"""What peers say to each other on the election port, as bytes.

Pure. ZooKeeper: QuorumCnxManager.InitialMessage and FastLeaderElection.buildMsg and its receiver.

Whoever opened the connection says who it is, once; nothing answers that. Then both sides send
frames: a length and a notification.

    initial message   long version; long sid; int length; addresses        (3.5 and later)
                      long sid, not negative                                (3.4 and earlier)
    notification      int state; long leader; long zxid; long round         28 bytes, first form
                      long peer epoch; int version                          40 bytes, since 3.4.6
                      int length; configuration, from version 2 on          since 3.5

Version -65536 of the initial message is what 3.5 knows; servers with several addresses send -65535.
Both are read alike, with any number of addresses. A ZooKeeper reads the addresses in
one piece, so an initial message must leave in one write; here it may come in any pieces.

Whatever comes from outside is bounded before it is kept: MAX_ADDRESS_BYTES, MAX_FRAME_BYTES.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pyzk import zxid as zxids
from pyzk.config.members import MAX_ADDRESS_BYTES
from pyzk.errors import QuorumProtocolError
from pyzk.jute.archive import INT_BYTES, LONG_BYTES
from pyzk.jute.packing import pack_int, pack_long, unpack_int, unpack_long
from pyzk.quorum.vote import UNTRUSTED_ZXID, PeerState, Vote

PROTOCOL_V1: Final = -65536
"""The version with one address, which 3.5 understands."""
PROTOCOL_V2: Final = -65535
"""The version with several addresses (``multiAddress.enabled``)."""
MAX_FRAME_BYTES: Final = 524_288
MAX_ROUND: Final = 1 << 62
"""A later round cannot come from counting elections, and would soon not fit into its field."""
_TLS_RECORD: Final = b"\x16\x03"
"""What a TLS handshake begins with; no server has such an id, 1.6e18."""
FORMAT_VERSION: Final = 2
"""The version of the notifications that this server sends."""
GENERIC_OBSERVER: Final = (1 << 63) - 1
"""The sid of an observer that has none of its own."""

_FIRST_FORM_BYTES: Final = 28
_SECOND_FORM_BYTES: Final = 40
_WILDCARDS: Final = ("0.0.0.0", "::", "0:0:0:0:0:0:0:0")  # noqa: S104 - compared, not bound

_initial_head: Final = struct.Struct(">qqi")
_first_form: Final = struct.Struct(">iqqq")
_second_form: Final = struct.Struct(">iqqqqi")
_present_form: Final = struct.Struct(">iqqqqii")

MAX_CONFIG_BYTES: Final = MAX_FRAME_BYTES - _present_form.size
"""The longest text of a configuration that a notification can carry."""


class Address(NamedTuple):
    """Where an election port listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class InitialMessage(NamedTuple):
    """Who has opened this connection."""

    sid: int
    addresses: tuple[Address, ...] = ()
    """The addresses as sent; there are none in the form of 3.4."""
    version: int | None = PROTOCOL_V1
    """The version; None in the form of 3.4, which has none."""

    @property
    def reachable(self) -> tuple[Address, ...]:
        """The addresses that can be dialed: 0.0.0.0 and :: say nothing."""
        return tuple(address for address in self.addresses if address.host not in _WILDCARDS)

    def encode(self) -> bytes:
        """Returns the bytes, which must be written in one piece."""
        if self.version is None:
            return pack_long(self.sid)
        text = "|".join([str(address) for address in self.addresses]).encode("utf-8")
        assert 0 < len(text) <= MAX_ADDRESS_BYTES, self.addresses
        return _initial_head.pack(self.version, self.sid, len(text)) + text


def initial_message(sid: int, addresses: tuple[Address, ...], multi_address: bool) -> bytes:
    """Returns what this server says first on a connection that it has opened."""
    if multi_address:
        return InitialMessage(sid, addresses, PROTOCOL_V2).encode()
    return InitialMessage(sid, addresses[:1], PROTOCOL_V1).encode()


def decode_initial_message(buffer: bytes) -> tuple[InitialMessage, int] | None:
    """Returns the message and how many bytes it took; None if more bytes are needed.

    Raises QuorumProtocolError as soon as the bytes cannot become an initial message.
    """
    if len(buffer) < LONG_BYTES:
        return None
    (version,) = unpack_long(buffer)
    if buffer.startswith(_TLS_RECORD):
        raise QuorumProtocolError(
            "it talks TLS on the election port, which takes plaintext here (sslQuorum,"
            " portUnification)"
        )
    if version >= 0:
        return InitialMessage(version, (), None), LONG_BYTES
    if version not in (PROTOCOL_V1, PROTOCOL_V2):
        raise QuorumProtocolError(f"unknown protocol version {version} on the election port")
    if len(buffer) < _initial_head.size:
        return None
    _, sid, length = _initial_head.unpack_from(buffer)
    if sid < 0:
        raise QuorumProtocolError(f"a peer says that its sid is {sid}")
    if not 0 < length <= MAX_ADDRESS_BYTES:
        raise QuorumProtocolError(f"server {sid} announces {length} bytes of addresses")
    end = _initial_head.size + length
    if len(buffer) < end:
        return None
    try:
        text = buffer[_initial_head.size : end].decode("utf-8")
    except UnicodeDecodeError:
        raise QuorumProtocolError(f"the addresses of server {sid} are not UTF-8") from None
    return InitialMessage(sid, tuple(map(_parse_address, text.split("|"))), version), end


def _parse_address(text: str) -> Address:
    """Parses ``host:port`` or ``[IPv6]:port``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        is_formed = bool(bracket) and colon == ":"
    else:
        host, colon, port = text.partition(":")
        is_formed = colon == ":"
    # isdecimal alone takes digits of other scripts; a longer port is no port.
    if not (is_formed and host and port.isascii() and port.isdecimal() and len(port) <= 5):
        raise QuorumProtocolError(f"no address: {text[:100]!r}")
    number = int(port)
    if not 0 < number <= 65535:
        raise QuorumProtocolError(f"no port: {text[:100]!r}")
    return Address(host, number)


class Notification(NamedTuple):
    """Whom a peer wants to lead, or who leads."""

    state: int
    """The PeerState of the sender."""
    leader: int
    zxid: int
    round: int
    peer_epoch: int
    version: int = FORMAT_VERSION
    config: bytes | None = None
    """The text of the configuration that the sender has committed; None before version 2."""

    @property
    def has_no_data(self) -> bool:
        """Whether the sender looks, and whoever it proposes has no data: then it has none."""
        return (
            self.state == PeerState.LOOKING
            and self.zxid in (0, UNTRUSTED_ZXID)
            and self.peer_epoch == 0
        )

    def vote(self) -> Vote:
        """Returns the vote, with the state and format of its sender."""
        return Vote(self.leader, self.zxid, self.round, self.peer_epoch, self.state, self.version)

    def encode(self) -> bytes:
        """Returns the payload of a frame, in the present form."""
        config = self.config or b""
        return (
            _present_form.pack(
                self.state,
                self.leader,
                self.zxid,
                self.round,
                self.peer_epoch,
                FORMAT_VERSION,
                len(config),
            )
            + config
        )

    def __str__(self) -> str:
        return repr(self.vote())


def decode_notification(payload: bytes) -> Notification:
    """Reads a notification of any form. Bytes behind it are passed over, as in ZooKeeper.

    Raises QuorumProtocolError for what ZooKeeper ignores. The link may stay: a frame has an end.
    """
    size = len(payload)
    if size < _FIRST_FORM_BYTES:
        raise QuorumProtocolError(f"a notification of {size} bytes")
    version = 0
    config: bytes | None = None
    state, leader, zxid, round_, *_ = _first_form.unpack_from(payload)
    if not 0 <= state < len(PeerState.NAMES):
        raise QuorumProtocolError(f"a notification of the unknown state {state}")
    if round_ > MAX_ROUND:
        raise QuorumProtocolError(f"a notification of the impossible round {round_}")
    if size == _FIRST_FORM_BYTES:
        peer_epoch = zxids.epoch_of(zxid)
    elif size < _SECOND_FORM_BYTES:
        raise QuorumProtocolError(f"a notification of {size} bytes")
    else:
        *_, peer_epoch, version = _second_form.unpack_from(payload)
        if size == _SECOND_FORM_BYTES:
            version = 0  # 3.4 writes 1 there; ZooKeeper does not read it
        elif version > 1:
            config = _config_of(payload)
    return Notification(state, leader, zxid, round_, peer_epoch, version, config)


def _config_of(payload: bytes) -> bytes:
    start = _present_form.size
    if len(payload) < start:
        raise QuorumProtocolError(f"a notification of {len(payload)} bytes that has a version")
    (length,) = unpack_int(payload, _second_form.size)
    if not 0 <= length <= len(payload) - start:
        raise QuorumProtocolError(
            f"a configuration of {length} bytes in a notification of {len(payload)}"
        )
    return payload[start : start + length]


def frame(payload: bytes) -> bytes:
    """Returns a notification with its length, as it goes over a link."""
    assert 0 < len(payload) <= MAX_FRAME_BYTES, len(payload)
    return pack_int(len(payload)) + payload


class FrameScanner:
    """Cuts the bytes of one link into payloads; keeps an incomplete one."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail: bytearray = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes bytes in; returns the payloads that they complete.

        Raises QuorumProtocolError for a length that is not allowed, before its bytes are kept.
        """
        data = self._tail
        data += chunk
        payloads: list[bytes] = []
        offset, end = 0, len(data)
        while end - offset >= INT_BYTES:
            length = int.from_bytes(data[offset : offset + INT_BYTES], "big", signed=True)
            if not 0 < length <= MAX_FRAME_BYTES:
                raise QuorumProtocolError(f"a frame of {length} bytes on the election port")
            start = offset + INT_BYTES
            if end - start < length:
                break
            offset = start + length
            payloads.append(bytes(data[start:offset]))
        del data[:offset]
        return payloads
