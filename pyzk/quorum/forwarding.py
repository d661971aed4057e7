"""The REQUEST packet, by which a learner asks the leader for what its client wants.

Pure. ZooKeeper: FollowerRequestProcessor, ObserverRequestProcessor, LearnerHandler (REQUEST).
A learner decodes no write: the client's bytes go to the leader as they are, with the identities of
the connection. The learner's client waits until the transaction of (session, cxid) commits, so the
leader must make a transaction of every REQUEST, if only one that carries an error.
"""

from __future__ import annotations

from pyzk.auth.provider import AuthId
from pyzk.constants import OpCode
from pyzk.errors import BadArguments, JuteError, KeeperError, MarshallingError, Unimplemented
from pyzk.jute.records import CreateSessionTxn, DeleteRequest, Id
from pyzk.quorum.packets import ForwardedRequest, encode_request
from pyzk.server.operations import WRITES
from pyzk.server.request import REFUSED, Request


def encode_forward(request: Request) -> bytes:
    """Returns the REQUEST that asks the leader for what a client of this learner wants."""
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


def encode_too_late(session_id: int, cxid: int) -> bytes:
    """Returns a REQUEST in place of one that must not take effect any more: the leader makes an
    error of it, which whoever waits for that one hears of. The root can be deleted nowhere. (A
    record that nobody can read would do as well, but a leader of 3.9 gives such an error the zxid
    of the transaction before.)"""
    body = DeleteRequest("/", -1).encode()
    return encode_request(ForwardedRequest(session_id, cxid, OpCode.DELETE, body, None))


def decode_forward(origin: object, forwarded: ForwardedRequest, received_ms: int) -> Request:
    """Returns the request that a learner has sent, ready for the leader to prepare. ``origin``
    stands for that learner, which owns the session. SYNC is not a write, and does not come here."""
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


def _record(opcode: int, body: bytes) -> object:
    """Returns the record of a write. Raises JuteError for bytes that are not a record, KeeperError
    for an operation that a learner must not ask for.

    Such an operation is a check outside of a multi: servers of 3.8 take it from their clients, but
    no log may have it.
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
