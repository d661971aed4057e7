"""What clients are told, against the one history.

Pure.

- An acknowledged write is in the history, as this session's request; a write that was asked after
  another was acknowledged, to anyone, has a higher zxid (linearizable writes).
- Answers come in the order of the requests; the zxids that a session is told never go back, also
  when it moves to another server (FIFO, one system image).
- A read is the state at the zxid of its answer, to the byte.
- No answer shows a state in which a watch of this client has changed, before its event has come.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pyzk.constants import ErrorCode, EventType, OpCode, Xid
from pyzk.data.paths import CONFIG
from pyzk.errors import JuteError
from pyzk.jute.records import (
    Create2Response,
    GetChildren2Response,
    GetDataResponse,
    PathResponse,
    Stat,
    StatResponse,
)
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.sim.checkers.model import Model, Told, Znode
from pyzk.sim.history import CHILDREN, DATA, EXISTS, Operation, SessionRecord, Watch
from pyzk.zxid import epoch_of, format_zxid

WITHOUT_TXN: Final = frozenset(
    {ErrorCode.SESSION_EXPIRED, ErrorCode.SESSION_MOVED, ErrorCode.EPHEMERAL_ON_LOCAL_SESSION}
)
"""Errors that a server may answer to a write without a transaction."""
_FIRES: Final = {
    EventType.NODE_CREATED: (DATA, EXISTS),
    EventType.NODE_DATA_CHANGED: (DATA, EXISTS),
    EventType.NODE_DELETED: (DATA, EXISTS, CHILDREN),
    EventType.NODE_CHILDREN_CHANGED: (CHILDREN,),
}


class ReplyChecker:
    """Checks everything that any client is told."""

    def __init__(
        self,
        model: Model,
        configs: ConfigChecker,
        has_local_sessions: bool,
        current_epoch: Callable[[int], int],
    ) -> None:
        """``current_epoch`` returns the epoch in which a server is."""
        self.answers = 0
        self._model = model
        self._configs = configs
        self._floor = 0
        self._ended_us: dict[int, int] = {}
        """Session id -> when its closeSession was committed."""
        self._ended = 0
        self._has_local_sessions = has_local_sessions
        self._current_epoch = current_epoch
        self._led_us: dict[int, int] = {}
        """Epoch -> when its leader began to serve."""

    # --- sessions -------------------------------------------------------------------

    def committed(self, now_us: int) -> None:
        """Notes when sessions end; called after each transaction that the model has applied."""
        ended = self._model.ended
        if len(ended) != self._ended:
            self._ended = len(ended)
            self._ended_us[next(reversed(ended))] = now_us

    def led(self, epoch: int, now_us: int) -> None:
        """Notes that the leader of an epoch begins to serve."""
        self._led_us.setdefault(epoch, now_us)

    def granted(self, session: SessionRecord, sid: int, asked_us: int) -> None:
        """Notes that a server has granted a session that was asked for at ``asked_us``."""
        session.asked_us = asked_us
        session.epoch = self._current_epoch(sid)

    def expired(self, session: SessionRecord) -> None:
        """Checks that a session which a client was told is gone has ended in its time: it lives for
        its timeout after the last server has granted it.

        A server that is cut off grants sessions until it knows that it has lost its leader, or its
        quorum. The leader of a later epoch cannot hear of that: it lets each session live for its
        timeout from its own beginning.
        """
        session.is_closed = True
        ended_us = self._ended_us.get(session.session_id)
        if ended_us is None or session.is_closing:
            return
        since_us = session.asked_us
        epoch = epoch_of(self._model.ended[session.session_id])
        if session.epoch < epoch:
            since_us = min(since_us, self._led_us[epoch])
        lived_us = ended_us - since_us
        if lived_us < session.timeout_ms * 1000:
            raise Violation(
                "sessions",
                f"c{session.client}: the session has ended after {lived_us // 1000} ms, its timeout"
                f" is {session.timeout_ms} ms",
            )

    def closed(self, session: SessionRecord) -> None:
        """Checks that a session has ended of which a client was told that it has closed it."""
        session.is_closed = True
        if session.session_id not in self._model.ended and not self._has_local_sessions:
            raise Violation("sessions", f"c{session.client}: closed, but not in the history")

    # --- requests -------------------------------------------------------------------

    def asked(self, operation: Operation) -> None:
        """Notes that a request is sent."""
        operation.floor = self._floor

    def answered(
        self,
        session: SessionRecord,
        operation: Operation | None,
        xid: int,
        zxid: int,
        error: int,
        body: bytes,
    ) -> None:
        """Checks an answer that has come; ``operation`` is the oldest request without one."""
        if operation is None or xid != operation.xid:
            raise Violation("reply order", f"c{session.client}: answer {xid}, due is {operation}")
        self.answers += 1
        operation.zxid, operation.error = zxid, error
        if session.is_read_only:
            self._answered_by_read_only(session, operation, body)
            return
        if zxid > 0:
            if zxid < session.last_zxid:
                raise Violation(
                    "one system image",
                    f"{operation}: zxid {format_zxid(zxid)} after {format_zxid(session.last_zxid)}",
                )
            session.last_zxid = zxid
            self._check_watches(session, operation, zxid)
        if xid == Xid.PING:
            return
        if xid == Xid.SET_WATCHES:
            self._set_again(session, zxid)
            return
        if operation.is_write:
            self._write(session, operation, body)
        elif zxid > 0:
            self._read(session, operation, body)

    def _answered_by_read_only(
        self, session: SessionRecord, operation: Operation, body: bytes
    ) -> None:
        """Checks an answer of a server without a leader. What it shows may never be committed; if
        it is, it is the truth of that zxid."""
        zxid = operation.zxid
        if operation.is_write and operation.opcode != OpCode.CLOSE_SESSION:
            if operation.error != ErrorCode.NOT_READ_ONLY:
                raise Violation("read-only", f"{operation} is answered with {operation.error}")
            return
        if zxid <= 0:
            return
        if zxid < session.last_zxid:
            raise Violation("one system image", f"{operation}: zxid {format_zxid(zxid)}, read-only")
        session.last_zxid = zxid
        is_read = operation.opcode in (OpCode.GET_DATA, OpCode.EXISTS, OpCode.GET_CHILDREN2)
        if is_read and zxid in self._model.told:
            operation.sets_watch = False
            self._read(session, operation, body)

    # --- writes ---------------------------------------------------------------------

    def _write(self, session: SessionRecord, operation: Operation, body: bytes) -> None:
        zxid = operation.zxid
        told = self._model.told.get(zxid)
        is_ours = (
            told is not None and told.session == session.session_id and told.cxid == operation.xid
        )
        if told is None or not is_ours:
            if operation.error in WITHOUT_TXN:
                return
            if self._has_local_sessions and operation.opcode == OpCode.CLOSE_SESSION:
                return
            raise Violation(
                "acknowledged writes",
                f"{operation} is answered with {format_zxid(zxid)} {operation.error}; {told}",
            )
        if operation.opcode != OpCode.MULTI and told.error != operation.error:
            raise Violation("answers", f"{operation}: error {operation.error}, not {told.error}")
        if zxid <= operation.floor:
            raise Violation(
                "linearizable writes",
                f"{operation} has {format_zxid(zxid)}; before it was asked,"
                f" {format_zxid(operation.floor)} was acknowledged",
            )
        self._floor = max(self._floor, zxid)
        if not operation.error:
            self._check_written(operation, told, body)

    def _check_written(self, operation: Operation, told: Told, body: bytes) -> None:
        stat: Stat | None = None
        path: str | None = operation.path
        if operation.opcode in (OpCode.CREATE, OpCode.CREATE2):
            path = self.created(operation, body)
            if path != told.path:
                raise Violation("answers", f"{operation}: created {path}, it is {told.path}")
            if operation.opcode == OpCode.CREATE2:
                stat = Create2Response.decode(body, 0, len(body))[0].stat
        elif operation.opcode == OpCode.SET_DATA:
            stat = StatResponse.decode(body, 0, len(body))[0].stat
        elif operation.opcode == OpCode.RECONFIG:
            path = CONFIG
            told_config, _ = GetDataResponse.decode(body, 0, len(body))
            stat = told_config.stat
            self._configs.shown(str(operation), told_config.data, operation.zxid)
        if stat is not None:
            assert path is not None
            self._compare(operation, stat, self._model.znode(path, operation.zxid))

    def created(self, operation: Operation, body: bytes) -> str:
        """Returns the path in the answer to a create."""
        if operation.opcode == OpCode.CREATE:
            return PathResponse.decode(body, 0, len(body))[0].path or ""
        return Create2Response.decode(body, 0, len(body))[0].path or ""

    def created_path(self, operation: Operation, error: int, body: bytes) -> str | None:
        """Returns the path of a sequential znode that was just created, else None."""
        if error or operation.opcode not in (OpCode.CREATE, OpCode.CREATE2):
            return None
        return self.created(operation, body) if operation.path.endswith("-") else None

    # --- reads ----------------------------------------------------------------------

    def _read(self, session: SessionRecord, operation: Operation, body: bytes) -> None:
        if operation.opcode == OpCode.SYNC:
            return
        zxid, path = operation.zxid, operation.path
        znode = self._model.znode(path, zxid)
        if operation.error:
            if operation.error != ErrorCode.NO_NODE or znode is not None:
                raise Violation("reads", f"{operation}: error {operation.error}, there is {znode}")
        else:
            try:
                self._check_read(operation, body, znode)
            except (JuteError, struct.error) as error:
                raise Violation("answers", f"{operation}: {error!r}") from None
        if operation.sets_watch:
            self._set(session, operation, znode is not None)

    def _check_read(self, operation: Operation, body: bytes, znode: Znode | None) -> None:
        zxid, path = operation.zxid, operation.path
        if operation.opcode == OpCode.GET_DATA:
            data, _ = GetDataResponse.decode(body, 0, len(body))
            if path == CONFIG:
                self._configs.shown(str(operation), data.data, zxid)
                return
            if znode is None or data.data != znode.data:
                raise Violation(
                    "reads", f"{operation} at {format_zxid(zxid)}: {data.data!r}, it is {znode}"
                )
            self._compare(operation, data.stat, znode)
        elif path == CONFIG:
            return  # each server has written its own configuration there, at its own time
        elif operation.opcode == OpCode.EXISTS:
            self._compare(operation, StatResponse.decode(body, 0, len(body))[0].stat, znode)
        else:
            response, _ = GetChildren2Response.decode(body, 0, len(body))
            children = self._model.children(path, zxid)
            if sorted(map(str, response.children or ())) != sorted(children):
                raise Violation(
                    "reads", f"{operation}: {response.children}, there are {sorted(children)}"
                )
            self._compare(operation, response.stat, znode)

    def _compare(self, operation: Operation, stat: Stat, znode: Znode | None) -> None:
        shown = (stat.czxid, stat.mzxid, stat.version, stat.ephemeral_owner)
        if znode is None or shown != (znode.czxid, znode.mzxid, znode.version, znode.owner):
            raise Violation(
                "reads", f"{operation} at {format_zxid(operation.zxid)}: {shown}, it is {znode}"
            )

    # --- watches --------------------------------------------------------------------

    def _set(self, session: SessionRecord, operation: Operation, is_there: bool) -> None:
        if operation.opcode == OpCode.GET_CHILDREN2:
            kind = CHILDREN
        elif operation.opcode == OpCode.EXISTS and not is_there:
            kind = EXISTS
        else:
            kind = DATA
        if kind != EXISTS and not is_there:
            return
        key = (kind, operation.path)
        if key not in session.watches:
            session.watches[key] = Watch(kind, operation.path, operation.zxid)

    def _check_watches(self, session: SessionRecord, operation: Operation, zxid: int) -> None:
        for watch in session.watches.values():
            change = self._change(watch)
            if change is None or change > zxid:
                continue
            if operation.xid == Xid.SET_WATCHES and watch.kind == EXISTS:
                continue  # a znode that came and went again gives no event
            raise Violation(
                "watches",
                f"{operation} shows {format_zxid(zxid)}; {watch.path} changed at"
                f" {format_zxid(change)}, watched since {format_zxid(watch.since)}: no event",
            )

    def _change(self, watch: Watch) -> int | None:
        if watch.kind != CHILDREN:
            return self._model.next_change(watch.path, watch.since)
        change = self._model.next_change_of_children(watch.path, watch.since)
        gone = self._model.next_change(watch.path, watch.since)
        while gone is not None and self._model.znode(watch.path, gone) is not None:
            gone = self._model.next_change(watch.path, gone)
        if change is None or gone is None:
            return gone if change is None else change
        return min(change, gone)

    def _set_again(self, session: SessionRecord, zxid: int) -> None:
        for watch in session.watches.values():
            watch.since = max(watch.since, zxid)

    def fired(self, session: SessionRecord, event_type: int, path: str) -> None:
        """A watch event has come."""
        kinds = _FIRES.get(event_type, ())
        for kind in kinds:
            session.watches.pop((kind, path), None)
