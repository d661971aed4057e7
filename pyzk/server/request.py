"""A write on its way, and a read that waits behind one.

Pure. Answers to Request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.auth.provider import AuthId
from pyzk.constants import OpCode
from pyzk.data.txn import Body, SubTxn
from pyzk.jute.records import TxnHeader

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.reads import ReadHandler
    from pyzk.server.sessions import Session


REFUSED: Final = OpCode.NOTIFICATION
"""The opcode of a request that cannot be served; its record is the KeeperError that its
transaction becomes. No client can ask for it."""


class Request(TxnHeader):
    """A request that becomes a transaction, and the header of that transaction.

    One object for both: the path of a write makes as few as it can. ``opcode`` is what was asked
    for; ``zxid``, ``time``, ``type`` (which may become -1), ``body`` and ``digest`` are filled in
    when it is prepared. On a learner ``record`` is what the client sent, to be forwarded, and the
    rest stays empty: the leader prepares.
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
        # Not super().__init__: the hot path saves the call.
        self.client_id = 0 if session is None else session.session_id
        self.cxid = cxid
        self.zxid = 0
        self.time = 0
        self.type = opcode
        self.connection = connection
        """Where the reply goes; None for the server's own requests and those of learners."""
        self.owner: object = None if connection is None else connection.server
        """Through whom it came: this server, the handler of a learner, None for its own."""
        self.session = session
        """None for deleteContainer, which is nobody's, and for what a learner has sent."""
        self.opcode = opcode
        self.record = record
        self.auth_ids = auth_ids
        self.received_ms = received_ms
        self.body: Body | list[SubTxn] | None = None
        self.digest: int | None = None
        self.foretold: tuple[int, ...] | None = None
        """The digests of the znodes that it changes, in that order; None for more than two."""
        self.refusal = 0
        """An error that was found before it was prepared, and that its ephemerals end with."""
        self.large_bytes = 0
        """What `LargeRequests` counts for it."""
        self.size = size
        """The bytes of the client's record, which are counted as long as it is on the way."""


class QueuedRead:
    """A read that must see the writes before it of its own session."""

    __slots__ = (
        "body",
        "connection",
        "handler",
        "is_parked",
        "large_bytes",
        "opcode",
        "received_ms",
        "size",
        "xid",
    )

    def __init__(
        self,
        connection: Connection,
        handler: ReadHandler,
        xid: int,
        opcode: int,
        body: bytes,
        received_ms: int,
    ) -> None:
        self.connection = connection
        self.handler = handler
        self.xid = xid
        self.opcode = opcode
        self.body = body
        self.received_ms = received_ms
        self.large_bytes = 0
        self.is_parked = False
        """Its write is applied; it waits for its client to take replies, and is not on the way."""
        self.size = len(body)
