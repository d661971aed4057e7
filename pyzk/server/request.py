"""A write under way, and a read that waits behind one.

Pure. ZooKeeper: Request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.auth.provider import AuthId
from pyzk.constants import OpCode
from pyzk.data.pending import PendingNode
from pyzk.data.txn import Body, SubTxn
from pyzk.jute.records import TxnHeader

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.reads import ReadHandler
    from pyzk.server.sessions import Session


REFUSED: Final = OpCode.NOTIFICATION
"""The opcode of a request that cannot be served: its record is the KeeperError that becomes its
transaction. No client can send this opcode."""


class Request(TxnHeader):
    """A request that becomes a transaction, and the header of that transaction.

    It is one object for both because a write should make as few objects as possible. ``opcode`` is
    what was asked for; ``zxid``, ``time``, ``type`` (which may become -1), ``body`` and ``digest``
    are filled in when it is prepared, and ``record`` is dropped then. On a learner they stay empty,
    for the leader prepares, and ``record`` is what the client sent, to be forwarded.
    """

    __slots__ = (
        "auth_ids",
        "body",
        "connection",
        "digest",
        "foretold",
        "large_bytes",
        "opcode",
        "owner",
        "received_ms",
        "record",
        "refusal",
        "session",
        "size",
    )

    def __init__(
        self,
        connection: Connection | None,
        session: Session | None,
        cxid: int,
        opcode: int,
        record: object,
        auth_ids: tuple[AuthId, ...],
        received_ms: int,
        size: int = 0,
    ) -> None:
        # super().__init__ is not called: the hot path saves the call.
        self.client_id = 0 if session is None else session.session_id
        self.cxid = cxid
        self.zxid = 0
        self.time = 0
        self.type = opcode
        self.connection = connection
        """The connection that the reply goes to; None for requests of the server itself and for
        those that a learner has sent."""
        self.owner: object = None if connection is None else connection.server
        """The server that the request came through: this one, or the handler of a learner; None for
        requests of the server itself."""
        self.session = session
        """The session; None for deleteContainer, which has none, and for a learner's request."""
        self.opcode = opcode
        self.record = record
        self.auth_ids = auth_ids
        self.received_ms = received_ms
        self.body: Body | list[SubTxn] | None = None
        self.digest: int | None = None
        self.foretold: PendingNode | None = None
        """What `DataTree.apply` takes under that name; preparing fills it in."""
        self.refusal = 0
        """The error that a create of an ephemeral is to fail with when it is prepared; or 0."""
        self.large_bytes = 0
        """What `LargeRequests` counts for this request."""
        self.size = size
        """The bytes of the client's record, which count as long as the request is under way."""


class QueuedRead:
    """A read that must see the earlier writes of its session."""

    __slots__ = (
        "body",
        "connection",
        "handler",
        "is_parked",
        "large_bytes",
        "received_ms",
        "size",
        "xid",
    )

    def __init__(
        self,
        connection: Connection,
        handler: ReadHandler,
        xid: int,
        body: bytes,
        received_ms: int,
    ) -> None:
        self.connection = connection
        self.handler = handler
        self.xid = xid
        self.body = body
        self.received_ms = received_ms
        self.large_bytes = 0
        self.is_parked = False
        """Whether the write before it has been applied, and it waits only for the client to take
        replies: then it does not count as under way."""
        self.size = len(body)


class WaitingRequest:
    """A request that `RequestThrottle` has let wait, before anybody has looked at it."""

    __slots__ = ("body", "connection", "large_bytes", "opcode", "received_ms", "size", "xid")

    def __init__(
        self, connection: Connection, xid: int, opcode: int, body: bytes, received_ms: int
    ) -> None:
        self.connection = connection
        self.xid = xid
        self.opcode = opcode
        self.body = body
        self.received_ms = received_ms
        self.large_bytes = 0
        self.size = len(body)
