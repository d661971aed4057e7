"""A write on its way, and a read that waits behind one.

Pure. Answers to Request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.auth.provider import AuthId
from pyzk.data.txn import Body, SubTxn
from pyzk.jute.records import TxnHeader

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.reads import ReadHandler
    from pyzk.server.sessions import Session


class Request(TxnHeader):
    """A request that becomes a transaction, and the header of that transaction.

    One object for both: the path of a write makes as few as it can. ``opcode`` is what was asked
    for; ``zxid``, ``time``, ``type`` (which may become -1), ``body`` and ``digest`` are filled in
    when it is prepared.
    """

    __slots__ = (
        "auth_ids",
        "body",
        "connection",
        "digest",
        "foretold",
        "opcode",
        "received_ms",
        "record",
        "session",
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
    ) -> None:
        # Not super().__init__: the hot path saves the call.
        self.client_id = 0 if session is None else session.session_id
        self.cxid = cxid
        self.zxid = 0
        self.time = 0
        self.type = opcode
        self.connection = connection
        """Where the reply goes; None for the server's own requests."""
        self.session = session
        """None for deleteContainer, which is nobody's."""
        self.opcode = opcode
        self.record = record
        self.auth_ids = auth_ids
        self.received_ms = received_ms
        self.body: Body | list[SubTxn] | None = None
        self.digest: int | None = None
        self.foretold: tuple[int, ...] | None = None
        """The digests of the znodes that it changes, in that order; None for more than two."""


class QueuedRead:
    """A read that must see the writes before it of its own session."""

    __slots__ = ("body", "connection", "handler", "opcode", "received_ms", "xid")

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
