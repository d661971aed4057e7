"""What an observer master sends to its observers: all that is committed, in order.

Pure. An observer that finds a hole asks for everything anew, so that what a master forgets would
only cost time, here. Observers of ZooKeeper do not look (ZOOKEEPER-5088), so a hole is a violation.
"""

from __future__ import annotations

from typing import Final

from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.authentication import MAGIC_BYTES, login_packet_end
from pyzk.quorum.stream import QuorumStream
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.zxid import format_zxid

_BEGINNINGS: Final = (packets.DIFF, packets.SNAP, packets.TRUNC, packets.PROPOSAL)
_INFORMS: Final = (packets.INFORM, packets.INFORMANDACTIVATE)


class _Link:
    """What was written to one link."""

    __slots__ = ("_first", "last_zxid", "stream")

    def __init__(self) -> None:
        self.stream = QuorumStream()
        self.last_zxid = 0
        self._first: bytes | None = b""
        """What may be a part of a login; None behind it."""

    def behind_login(self, data: bytes) -> bytes:
        """Returns these bytes without the login that may come first, in whole packets."""
        if self._first is None:
            return data
        data = self._first + data
        while data.startswith(MAGIC_BYTES) and (end := login_packet_end(data)) is not None:
            data = data[end:]
        if data[:8] == MAGIC_BYTES[: len(data)]:
            self._first = data
            return b""
        self._first = None
        return data


class InformChecker:
    """Checks the links of observer masters with their observers."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._links: dict[object, _Link] = {}
        """Any name of a link -> what was written to it, by either side."""

    def sent(self, who: str, link: object, data: bytes) -> None:
        """Checks the next bytes that are written to a link."""
        known = self._links.get(link)
        if known is None:
            known = self._links[link] = _Link()
        for item in known.stream.feed(known.behind_login(data)):
            if isinstance(item, QuorumPacket):
                self._packet(who, known, item)

    def _packet(self, who: str, link: _Link, packet: QuorumPacket) -> None:
        if packet.type in _INFORMS:
            behind = self._chain.past(packet.zxid)
            if self._chain.resolve(link.last_zxid) != behind:
                raise Violation(
                    "observers",
                    f"{who} sends {format_zxid(packet.zxid)}, which belongs behind"
                    f" {format_zxid(behind)}, behind {format_zxid(link.last_zxid)}",
                )
        elif packet.type not in _BEGINNINGS:
            return
        link.last_zxid = packet.zxid
