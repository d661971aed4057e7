"""REQUEST: a learner sends it in a client's name, the leader makes a Request of it.

Pure. ZooKeeper: FollowerRequestProcessor, ObserverRequestProcessor, LearnerHandler (REQUEST).
A learner decodes no write: the client's bytes go to the leader as they are, with the identities of
the connection. The learner's client waits until the transaction of (session, cxid) commits, so the
leader must make a transaction of every REQUEST, if only one that says an error.
"""

from __future__ import annotations

from pyzk.auth.provider import AuthId
from pyzk.constants import OpCode
from pyzk.errors import BadArguments, JuteError, KeeperError, MarshallingError, Unimplemented
from pyzk.jute.records import CreateSessionTxn, Id
from pyzk.quorum.packets import ForwardedRequest, encode_request
from pyzk.server.operations import WRITES
from pyzk.server.request import REFUSED, Request


def encode_forward(request: Request) -> bytes:
    """Return the REQUEST that asks the leader for what a client of this learner wants."""
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
    """Return what a learner has sent, ready for the leader to prepare; ``origin`` stands for that
    learner, as the owner of the session. SYNC is no write, and does not come here."""
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
    """Return the record of a write. Raises JuteError for bytes that are no record, KeeperError for
    an operation that a learner must not ask for.

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
