"""A write on its way, and a read that waits behind one.

Pure. Answers to Request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.auth.provider import AuthId
from pyzk.data.txn import LoggedTxn

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.operations import ReadHandler


class Request:
    """A request that becomes a transaction. ``connection`` is None for the server's own."""

    __slots__ = (
        "auth_ids",
        "connection",
        "cxid",
        "received_ms",
        "record",
        "session_id",
        "txn",
        "type",
        "zxid",
    )

    def __init__(
        self,
        connection: Connection | None,
        session_id: int,
        cxid: int,
        type: int,
        record: object,
        auth_ids: tuple[AuthId, ...],
        received_ms: int,
    ) -> None:
        self.connection = connection
        self.session_id = session_id
        self.cxid = cxid
        self.type = type
        self.record = record
        self.auth_ids = auth_ids
        self.received_ms = received_ms
        self.zxid = 0
        self.txn: LoggedTxn | None = None
        """The transaction, once it is prepared."""


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
