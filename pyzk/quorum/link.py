"""One connection of the quorum port: packets in, packets and snapshots out.

Pure. The ``owner`` of a link is the leader's side of it or the learner's. The bytes of every world
go through here, so that the simulator tests the codec, too. The driver takes what is queued piece
by piece, as fast as the other side reads: a snapshot that is sent exists only as its next piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol

from pyzk.errors import QuorumProtocolError
from pyzk.jute.records import QuorumPacket
from pyzk.quorum.authentication import ConnectorExchange, Exchange, QuorumLogins
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.quorum.stream import QuorumStream, StreamItem
from pyzk.server.outbox import Outbox, Outgoing

TAKE_BYTES: Final = 1 << 18
"""How many bytes the driver should take at once."""
MAX_HELD: Final = 10_000
"""With more packets than this waiting a link is not held any more: they take memory."""


class LinkOwner(Protocol):
    """The leader's or the learner's side of a link."""

    def link_up(self, link: QuorumLink) -> None:
        """Takes the news that the link, which was dialed, is connected."""
        ...

    def bytes_came(self, link: QuorumLink) -> None:
        """Notes that bytes have come: the other side lives, however long a packet takes."""
        ...

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet that has come. A QuorumProtocolError that it raises closes the link."""
        ...

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        """Takes a part of the snapshot that follows SNAP."""
        ...

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """Takes the news that the link has ended, by the other side or by ``QuorumLink.fail``.
        There is none after ``close``."""
        ...


class QuorumLink(Outgoing):
    """One connection of the quorum port, compared by identity."""

    __slots__ = (
        "_ahead",
        "_exchange",
        "_queue",
        "_stream",
        "_waiting",
        "has_failed",
        "has_received",
        "host",
        "is_closed",
        "is_held",
        "is_paused",
        "name",
        "outbox",
        "owner",
        "queued_bytes",
        "received",
        "sent",
        "shell",
        "taken_bytes",
    )

    def __init__(self, outbox: Outbox, name: str, owner: LinkOwner) -> None:
        super().__init__()
        self.outbox: Outbox = outbox
        self.name: str = name
        """Where the connection goes to or comes from, for the log."""
        self.owner: LinkOwner = owner
        self.is_closed: bool = False
        """Whether nothing more is taken in; the driver writes what is queued, then closes."""
        self.has_received: bool = False
        self.has_failed: bool = False
        """Whether this side ended the link because of what the other one sent or did not send."""
        self.queued_bytes: int = 0
        """How many bytes wait to be taken, a snapshot not counted."""
        self.taken_bytes: int = 0
        """How many bytes were taken since the beginning, snapshots not counted."""
        self.received: int = 0
        """How many packets have come."""
        self.sent: int = 0
        """How many pieces were taken: a piece is what was queued at once, one packet or several."""
        self.is_paused: bool = False
        """Whether the driver does not read the socket for now."""
        self.is_held: bool = False
        """Whether packets that have come wait until ``go_on``."""
        self.shell: object = None
        """What the world keeps with this link, for example its socket."""
        self.host: str = ""
        """What the configuration calls the machine that is dialed."""
        self._exchange: Exchange | None = None
        """The authentication that comes first; None once it is over, or if there is none."""
        self._waiting: deque[StreamItem] = deque()
        self._stream: QuorumStream = QuorumStream()
        self._queue: deque[bytes | Iterator[bytes]] = deque()
        self._ahead: int = 0
        """How many entries at the head of the queue go ahead of the others."""

    # --- the owner's ----------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queues an encoded packet."""
        if self.is_closed:
            return
        self._queue.append(data)
        self.queued_bytes += len(data)
        if not self.is_dirty:
            self._mark()

    def send_ahead(self, data: bytes) -> None:
        """Queues an encoded packet ahead of all but those that this method queued before.

        It serves packets whose order among the others does not matter, on a link that has no
        snapshot to send.
        """
        if self.is_closed:
            return
        self._queue.insert(self._ahead, data)
        self._ahead += 1
        self.queued_bytes += len(data)
        if not self.is_dirty:
            self._mark()

    def send_stream(self, chunks: Iterator[bytes]) -> None:
        """Queues an iterator: each chunk is produced when the driver takes it."""
        if self.is_closed:
            return
        self._queue.append(chunks)
        if not self.is_dirty:
            self._mark()

    def pause(self, is_paused: bool) -> None:
        """Stops reading, because there is no room for what comes, or goes on with it."""
        if is_paused != self.is_paused:
            self.is_paused = is_paused
            if not self.is_dirty:
                self._mark()

    def hold(self) -> None:
        """Lets the packets wait that have come behind this one, for others to have their turn;
        unless very many wait already."""
        if len(self._waiting) < MAX_HELD:
            self.is_held = True

    def go_on(self) -> None:
        """Takes the packets that wait."""
        self.is_held = False
        self._take_waiting()

    def close(self) -> None:
        """Takes nothing more; what is queued is still written."""
        if not self.is_closed:
            self.is_closed = True
            if self._exchange is not None:
                self._exchange.stop()
            if not self.is_dirty:
                self._mark()

    def abort(self) -> None:
        """Closes the link and drops what is queued, which the other side may never read."""
        self._queue.clear()
        self.queued_bytes = self._ahead = 0
        self.close()

    def fail(self, reason: str) -> None:
        """Ends the link because of what the other side sent or did not send. The owner is told, and
        logs ``reason`` in its line about the end."""
        if self.is_closed:
            return
        self.has_failed = True
        self.close()
        self.owner.link_down(self, reason)

    def _mark(self) -> None:
        self.is_dirty = True
        self.outbox.links.append(self)

    # --- who is there ---------------------------------------------------------------

    def dialed(self, logins: QuorumLogins | None) -> None:
        """Takes the news that the link, which was dialed, is connected. The owner hears of it once
        this server has logged in there, if it does."""
        exchange = None if logins is None else logins.connector(self, self.host)
        if exchange is None:
            self.owner.link_up(self)
        else:
            self._exchange = exchange
            exchange.start()

    def accepted(self, logins: QuorumLogins | None) -> None:
        """Lets nothing through to the owner of a link that was accepted, until it is known that
        the other side may connect."""
        if logins is not None:
            self._exchange = logins.acceptor(self)

    def exchange_sends(self, data: bytes) -> None:
        self.send(data)

    def exchange_passed(self, rest: bytes) -> None:
        is_dialed = isinstance(self._exchange, ConnectorExchange)
        self._exchange = None
        if is_dialed:
            self.owner.link_up(self)
        if rest:
            self.receive(rest)

    def exchange_failed(self, reason: str) -> None:
        self._exchange = None
        self.fail(reason)

    # --- the driver's ---------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Takes bytes that have come."""
        if self._exchange is not None:
            if not self.is_closed:
                self._exchange.receive(data)
            return
        self.has_received = True
        if not self.is_closed:
            self.owner.bytes_came(self)
        try:
            came = self._stream.feed(data)
        except QuorumProtocolError as error:
            self._waiting.clear()
            self.fail(str(error))
            return
        self.received += len(came)
        self._waiting += came
        if not self.is_held:
            self._take_waiting()

    def _take_waiting(self) -> None:
        """Hands the owner what has come, until it closes or holds the link."""
        waiting = self._waiting
        try:
            while waiting and not self.is_held:
                if self.is_closed:
                    waiting.clear()
                    return
                item = waiting.popleft()
                if isinstance(item, QuorumPacket):
                    self.owner.packet(self, item)
                else:
                    self.owner.snapshot_part(self, item)
        except QuorumProtocolError as error:
            self.fail(str(error))

    def lost(self, reason: str) -> None:
        """Takes the news that the connection has ended, or could not be made."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._exchange is not None:
            self._exchange.stop()
        self._queue.clear()
        self.queued_bytes = self._ahead = 0
        self.owner.link_down(self, reason)

    @property
    def has_output(self) -> bool:
        return bool(self._queue)

    @property
    def queued(self) -> int:
        """How many pieces wait to be taken; a snapshot is one."""
        return len(self._queue)

    def take(self, limit: int = TAKE_BYTES) -> bytes:
        """Returns about ``limit`` bytes to write next; none if nothing is queued."""
        queue = self._queue
        if len(queue) == 1:
            only = queue[0]
            if isinstance(only, bytes):
                queue.clear()
                self.queued_bytes = self._ahead = 0
                self.taken_bytes += len(only)
                self.sent += 1
                return only
        out: list[bytes] = []
        size = 0
        while queue and size < limit:
            head = queue[0]
            if isinstance(head, bytes):
                queue.popleft()
                if self._ahead:
                    self._ahead -= 1
                self.queued_bytes -= len(head)
                self.taken_bytes += len(head)
                self.sent += 1
                piece = head
            else:
                piece = next(head, b"")
                if not piece:
                    queue.popleft()
                    continue
            out.append(piece)
            size += len(piece)
        return b"".join(out)
