"""Requests between members: sent by a learner in a client's name, made a Request by the leader.

Pure. Answers to FollowerRequestProcessor, ObserverRequestProcessor and LearnerHandler's REQUEST.
A learner decodes no write: the client's bytes go to the leader as they are, with the identities of
the connection. The learner's client waits until the transaction of (session, cxid) commits, so the
leader must make a transaction of every REQUEST, if only one that says an error.
"""

from __future__ import annotations

import struct
from typing import Final

from pyzk.auth.provider import AuthId
from pyzk.constants import MAX_PACKET_BYTES, CreateMode, OpCode
from pyzk.errors import BadArguments, JuteError, KeeperError, MarshallingError, Unimplemented
from pyzk.jute.archive import NULL, pack_int
from pyzk.jute.records import CreateRequest, CreateSessionTxn, Id
from pyzk.server.operations import WRITES
from pyzk.server.request import REFUSED, Request

_REQUEST: Final = 1
_NO_ZXID: Final = -1
_pack_head: Final = struct.Struct(">iqi").pack
_pack_request: Final = struct.Struct(">qii").pack


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
    """Return REQUEST, the one packet with identities."""
    data = _pack_request(request.session, request.cxid, request.type) + request.body
    assert len(data) <= MAX_PACKET_BYTES, len(data)
    head = _pack_head(_REQUEST, _NO_ZXID, len(data)) + data
    ids = request.ids
    if ids is None:
        return head + NULL
    return head + pack_int(len(ids)) + b"".join([entry.encode() for entry in ids])


def encode_forward(request: Request) -> bytes:
    """Return REQUEST for a request of one's own client."""
    record = request.record
    if isinstance(record, CreateSessionTxn):
        body = record.encode()
    elif record is None:
        body = b""  # closeSession
    else:
        assert isinstance(record, bytes), record
        body = record
    ids = [Id(auth_id.scheme, auth_id.id) for auth_id in request.auth_ids]
    return encode_request(
        ForwardedRequest(request.client_id, request.cxid, request.opcode, body, ids or None)
    )


def decode_forward(origin: object, forwarded: ForwardedRequest, received_ms: int) -> Request:
    """Return the request that a learner has sent, to be prepared."""
    opcode = forwarded.type
    record: object
    try:
        record = _record(opcode, forwarded.body)
    except JuteError as error:
        opcode, record = REFUSED, MarshallingError(str(error))
    except KeeperError as refusal:  # not the name above: compiled, a variable has one type
        opcode, record = REFUSED, refusal
    ids = tuple([AuthId(entry.scheme or "", entry.id or "") for entry in forwarded.ids or ()])
    request = Request(None, None, forwarded.cxid, opcode, record, ids, received_ms)
    request.client_id = forwarded.session
    request.owner = origin
    return request


def makes_ephemeral(request: Request) -> bool:
    """Tell whether a request, decoded or as it came, wants an ephemeral made. Only creates of two
    kinds, alone or in a multi, can; what is unreadable does not."""
    opcode = request.opcode
    if opcode not in (OpCode.CREATE, OpCode.CREATE2, OpCode.MULTI):
        return False
    record = request.record
    if isinstance(record, bytes):
        try:
            record = _record(opcode, record)
        except JuteError:
            return False  # the leader says so
    creates = [(opcode, record)] if opcode != OpCode.MULTI else record
    if not isinstance(creates, list):
        return False  # an unreadable multi
    return any(
        kind in (OpCode.CREATE, OpCode.CREATE2)
        and isinstance(create, CreateRequest)
        and create.flags in CreateMode.EPHEMERALS
        for kind, create in creates
    )


def _record(opcode: int, body: bytes) -> object:
    """Raises JuteError for bytes that are no record, KeeperError for what is no learner's write.

    That may be a check outside of a multi, which servers of 3.8 take from their clients: no
    server's log may have it.
    """
    if opcode == OpCode.CREATE_SESSION:
        session = CreateSessionTxn.decode(body, 0, len(body))[0]
        if session.timeout_ms < 0:
            raise BadArguments(f"a session with a timeout of {session.timeout_ms} ms")
        return session
    if opcode == OpCode.DELETE_CONTAINER:
        raise BadArguments("deleteContainer is the leader's own")
    decoder = WRITES.get(opcode)
    if decoder is None:
        raise Unimplemented(f"operation {opcode} from a learner")
    return decoder(body, 0, len(body))
