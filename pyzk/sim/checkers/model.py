"""The history, applied: what the znodes and the sessions were at every zxid.

Pure. A few lines that share nothing with `pyzk.data.tree` but the decoded transactions. It keeps
every state of every znode, so that a reply which names a zxid can be checked to the byte. A
transaction that does not fit the state before it is a violation: its leader prepared it wrongly.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.data.txn import LoggedTxn, decode_txn
from pyzk.int64 import hex_id
from pyzk.jute.records import (
    CheckVersionTxn,
    CloseSessionTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    SetDataTxn,
    TxnHeader,
)
from pyzk.sim.checkers import Violation
from pyzk.zxid import format_zxid


class Znode(NamedTuple):
    """One state of a znode."""

    data: bytes | None
    czxid: int
    mzxid: int
    version: int
    owner: int


class _Past:
    """All states of one path, by zxid."""

    __slots__ = ("states", "zxids")

    def __init__(self, state: Znode | None) -> None:
        self.zxids = [0]
        self.states: list[Znode | None] = [state]

    def at(self, zxid: int) -> Znode | None:
        return self.states[bisect_right(self.zxids, zxid) - 1]

    def add(self, zxid: int, state: Znode | None) -> None:
        if self.zxids[-1] == zxid:
            self.states[-1] = state
        else:
            self.zxids.append(zxid)
            self.states.append(state)


class _Children:
    """The children of one path, by zxid."""

    __slots__ = ("names", "zxids")

    def __init__(self, names: frozenset[str]) -> None:
        self.zxids = [0]
        self.names = [names]

    def at(self, zxid: int) -> frozenset[str]:
        return self.names[bisect_right(self.zxids, zxid) - 1]

    def add(self, zxid: int, names: frozenset[str]) -> None:
        if self.zxids[-1] == zxid:
            self.names[-1] = names
        else:
            self.zxids.append(zxid)
            self.names.append(names)


class Told(NamedTuple):
    """The request to which a committed transaction is the answer."""

    session: int
    cxid: int
    type: int
    error: int
    path: str
    """The path; for a sequential create, the path that the server has chosen."""


class Model:
    """Every state in which the ensemble has been."""

    def __init__(self) -> None:
        self.sessions: dict[int, int] = {}
        """Session id -> timeout in ms."""
        self.ended: dict[int, int] = {}
        """Session id -> zxid of its closeSession."""
        self.told: dict[int, Told] = {}
        """Zxid -> the request that it answers."""
        self.ephemerals: dict[int, dict[str, None]] = {}
        self._pasts: dict[str, _Past] = {}
        self._children: dict[str, _Children] = {}
        self._last_cxid: dict[int, int] = {}
        root = Znode(b"", 0, 0, 0, 0)
        for path in ("/", "/zookeeper", "/zookeeper/quota", CONFIG):
            self._pasts[path] = _Past(root)
            self._children[path] = _Children(frozenset())
        self._children["/"] = _Children(frozenset(("zookeeper",)))
        self._children["/zookeeper"] = _Children(frozenset(("quota", "config")))

    # --- questions ------------------------------------------------------------------

    def znode(self, path: str, zxid: int) -> Znode | None:
        """Return a znode as it was at ``zxid``; None if it did not exist."""
        past = self._pasts.get(path)
        return None if past is None else past.at(zxid)

    def children(self, path: str, zxid: int) -> frozenset[str]:
        """Return the names of the children at ``zxid``."""
        children = self._children.get(path)
        return frozenset() if children is None else children.at(zxid)

    def next_change(self, path: str, zxid: int) -> int | None:
        """Return the first zxid after ``zxid`` at which the znode changed, came or went."""
        past = self._pasts.get(path)
        return None if past is None else _after(past.zxids, zxid)

    def next_change_of_children(self, path: str, zxid: int) -> int | None:
        """Return the first zxid after ``zxid`` at which a child came or went."""
        children = self._children.get(path)
        return None if children is None else _after(children.zxids, zxid)

    @property
    def data_bytes(self) -> int:
        """How many bytes the paths and data of all znodes have in the end."""
        last = {path: past.states[-1] for path, past in self._pasts.items()}
        return sum(len(path) + len(node.data or b"") for path, node in last.items() if node)

    # --- the history goes on --------------------------------------------------------

    def committed(self, zxid: int, payload: bytes) -> None:
        """Apply the next transaction."""
        txn = decode_txn(payload)
        header = txn.header
        error = txn.body.err if isinstance(txn.body, ErrorTxn) else 0
        path = getattr(txn.body, "path", "")
        self.told[zxid] = Told(header.client_id, header.cxid, header.type, error, path)
        if header.type == OpCode.ERROR or _has_failed(txn):
            return  # a request from before the session moved may be one
        self._check_order(header)
        if header.type == OpCode.MULTI:
            assert isinstance(txn.body, list), txn.body
            for sub in txn.body:
                self._apply(header, sub.body)
        elif header.type == OpCode.CREATE_SESSION:
            if header.client_id in self.sessions:
                raise Violation("sessions", f"{_session(header)} is created twice")
            self.sessions[header.client_id] = getattr(txn.body, "timeout_ms", 0)
        elif header.type == OpCode.CLOSE_SESSION:
            self._close(txn)
        elif header.type == OpCode.RECONFIG:
            # What the znode has is the configuration in force, which `configs` knows.
            self._pasts[CONFIG].add(zxid, Znode(None, 0, zxid, -1, 0))
        else:
            self._apply(header, txn.body)

    def _check_order(self, header: TxnHeader) -> None:
        """Check that the writes of a session take effect in its order, once each. A closeSession is
        left out: as in the original it is not checked who owns the session, so one that a client
        has sent before it moved may still arrive."""
        if header.cxid <= 0 or header.type == OpCode.CLOSE_SESSION:
            return
        last = self._last_cxid.get(header.client_id, 0)
        if header.cxid <= last:
            raise Violation(
                "session order",
                f"{_session(header)}: request {header.cxid} takes effect after {last}",
            )
        self._last_cxid[header.client_id] = header.cxid

    def _close(self, txn: LoggedTxn) -> None:
        header = txn.header
        session = header.client_id
        if self.sessions.pop(session, None) is None:
            # A session may be closed twice, say by its client and by its leader.
            if session not in self.ended:
                raise Violation("sessions", f"{_session(header)} is closed, it never was")
            return
        self.ended[session] = header.zxid
        owned = dict(self.ephemerals.get(session, {}))
        if isinstance(txn.body, CloseSessionTxn):
            listed = txn.body.paths_to_delete
            if sorted(listed) != sorted(owned):
                raise Violation(
                    "ephemerals", f"{_session(header)} closes with {listed}, it owned {list(owned)}"
                )
        for path in owned:
            self._remove(header.zxid, path)

    def _apply(self, header: TxnHeader, body: object) -> None:
        zxid = header.zxid
        if isinstance(body, CreateTxn):
            self._create(header, body)
        elif isinstance(body, DeleteTxn):
            if self.znode(body.path, zxid) is None or self.children(body.path, zxid):
                raise Violation("preparation", f"{format_zxid(zxid)} deletes {body.path}")
            self._remove(zxid, body.path)
        elif isinstance(body, SetDataTxn):
            old = self.znode(body.path, zxid)
            if old is None or body.version != old.version + 1:
                raise Violation(
                    "preparation", f"{format_zxid(zxid)} sets {body.path} {body.version}, {old}"
                )
            self._pasts[body.path].add(
                zxid, Znode(body.data, old.czxid, zxid, body.version, old.owner)
            )
        else:
            assert isinstance(body, CheckVersionTxn), body

    def _create(self, header: TxnHeader, body: CreateTxn) -> None:
        zxid, path = header.zxid, body.path
        parent, _, name = path.rpartition("/")
        parent = parent or "/"
        above = self.znode(parent, zxid)
        if above is None or above.owner or self.znode(path, zxid) is not None:
            raise Violation("preparation", f"{format_zxid(zxid)} creates {path}, parent {above}")
        owner = header.client_id if body.ephemeral else 0
        if owner and owner not in self.sessions:
            raise Violation("ephemerals", f"{path} is created by {_session(header)}, which ended")
        state = Znode(body.data, zxid, zxid, 0, owner)
        past = self._pasts.get(path)
        if past is None:
            past = self._pasts[path] = _Past(None)
            self._children[path] = _Children(frozenset())
        past.add(zxid, state)
        siblings = self._children[parent]
        siblings.add(zxid, siblings.names[-1] | {name})
        if owner:
            self.ephemerals.setdefault(owner, {})[path] = None

    def _remove(self, zxid: int, path: str) -> None:
        past = self._pasts[path]
        old = past.states[-1]
        assert old is not None, path
        past.add(zxid, None)
        parent, _, name = path.rpartition("/")
        siblings = self._children[parent or "/"]
        siblings.add(zxid, siblings.names[-1] - {name})
        if old.owner:
            self.ephemerals[old.owner].pop(path)


def _has_failed(txn: LoggedTxn) -> bool:
    """Tell whether a transaction is a multi that has failed, which is logged with its errors."""
    return isinstance(txn.body, list) and any(sub.type == OpCode.ERROR for sub in txn.body)


def _after(zxids: list[int], zxid: int) -> int | None:
    index = bisect_right(zxids, zxid)
    return zxids[index] if index < len(zxids) else None


def _session(header: TxnHeader) -> str:
    return f"session {hex_id(header.client_id)} ({format_zxid(header.zxid)})"
