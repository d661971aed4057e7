"""The network between the members of a transcript: nothing arrives by itself.

Links carry bytes here as everywhere; they are cut into packets where they are written, so that
each can be shown and delivered alone.
"""

from __future__ import annotations

from collections import deque

import attrs

from pyzk.jute.records import QuorumPacket
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.packets import describe
from pyzk.quorum.stream import QuorumStream


@attrs.define(eq=False)
class End:
    """One side of a connection."""

    sid: int
    link: QuorumLink | None
    """None: a puppet's, or closed by its owner."""
    other_sid: int
    is_open: bool = True
    other: End | None = None


@attrs.define(eq=False)
class Dial:
    """A connection that is wished for."""

    link: QuorumLink
    sid: int
    expires_ms: int
    is_to_master: bool
    """Whether it goes to the port of an observer master."""


@attrs.define(eq=False)
class Data:
    """A packet, a whole snapshot, or a part of one, on its way to ``end``."""

    end: End
    data: bytes
    text: str


@attrs.define(eq=False)
class Close:
    """The other side of ``end`` is closed, and all it wrote before has arrived."""

    end: End


Flight = Dial | Data | Close


class Cutter:
    """One direction of a link, cut into (text, bytes) of packets and snapshots."""

    def __init__(self) -> None:
        self._stream = QuorumStream()
        self._pending = bytearray()
        self._nodes = 0
        self._sessions = 0

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Take bytes in any pieces; return what became whole."""
        out: list[tuple[str, bytes]] = []
        for index in range(len(data)):
            byte = data[index : index + 1]
            self._pending += byte
            for item in self._stream.feed(byte):
                if isinstance(item, QuorumPacket):
                    out.append((describe(item), self._take()))
                    continue
                self._nodes += len(item.nodes)
                self._sessions += len(item.sessions)
                if item.is_last:
                    text = f"snapshot of {self._nodes} znodes, {self._sessions} sessions"
                    out.append((text, self._take()))
                    self._nodes = self._sessions = 0
        return out

    def _take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


class Wire:
    """Everything in flight, by direction, in order."""

    def __init__(self) -> None:
        self.flights: dict[tuple[int, int], deque[Flight]] = {}
        self.ends: list[End] = []
        self._cutters: dict[int, Cutter] = {}

    def queue(self, source: int, target: int) -> deque[Flight]:
        """Return what is under way in one direction."""
        return self.flights.setdefault((source, target), deque())

    def connect(
        self, source: int, near: QuorumLink | None, target: int, far: QuorumLink | None
    ) -> End:
        """Make a connection; return the side of ``source``."""
        end, other = End(source, near, target), End(target, far, source)
        end.other, other.other = other, end
        self.ends += [end, other]
        return end

    def end_of(self, link: QuorumLink) -> End | None:
        """Return the side of a connection that a link is."""
        for end in self.ends:
            if end.link is link:
                return end
        return None

    def between(self, source: int, target: int) -> End | None:
        """Return the newest open side that ``source`` has of a connection with ``target``."""
        for end in reversed(self.ends):
            if end.is_open and (end.sid, end.other_sid) == (source, target):
                return end
        return None

    def write(self, end: End, data: bytes) -> list[str]:
        """Put bytes under way; return what they are."""
        other = end.other
        assert other is not None, end
        cutter = self._cutters.setdefault(id(end), Cutter())
        flights = self.queue(end.sid, end.other_sid)
        texts = []
        for text, packet in cutter.feed(data):
            flights.append(Data(other, packet, text))
            texts.append(text)
        return texts

    def close(self, end: End) -> None:
        """Close one side: what was written still arrives, what comes is lost."""
        if end.is_open:
            end.is_open = False
            assert end.other is not None, end
            self.queue(end.sid, end.other_sid).append(Close(end.other))

    def cut(self, end: End) -> None:
        """Break a connection: what is under way on it is lost in both directions."""
        other = end.other
        assert other is not None, end
        for key in ((end.sid, other.sid), (other.sid, end.sid)):
            flights = self.queue(*key)
            kept = [flight for flight in flights if _end_of(flight) not in (end, other)]
            flights.clear()
            flights.extend(kept)
        end.is_open = other.is_open = False


def _end_of(flight: Flight) -> End | None:
    return None if isinstance(flight, Dial) else flight.end
