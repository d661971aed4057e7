"""Who is told about which change.

Pure. Answers to WatchManager and WatchStats. Two tables, as in the original: the *data* table
(getData, exists, addWatch) and the *child* table (getChildren, persistent addWatch). An entry is
(watcher, path) with a set of modes, so a watcher is told once per trigger however often it
registered.

A trigger collects the watchers at the path, takes their one-shot mode away, adds the recursive ones
at every ancestor up to "/", and only then delivers: what a delivery changes in the tables cannot
disturb it. Order is the order of registration. The ACL check is the watcher's (an event has the
number of the list to check READ against); a one-shot mode is used up either way (ZOOKEEPER-4799).

All watchers of a trigger get one event object, which keeps its encoded form: of the instructions
for each of 200 watchers encoding was a half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pyzk.constants import EventType, WatchKind
from pyzk.data.paths import ROOT
from pyzk.errors import MarshallingError

if TYPE_CHECKING:
    from pyzk.metrics import Metrics
    from pyzk.summaries import Summary

STANDARD: Final = 1
"""A mode that fires once: set by reads."""
PERSISTENT: Final = 2
RECURSIVE: Final = 4
"""A mode that stays, and is hit by changes of all descendants."""


LENGTH_BYTES: Final = 4
"""The bytes in front of a frame that say how long it is; watch_bytes goes without them."""
CHANGE_WORK: Final = 8
"""What a change of a znode counts in ``WatchManager.work``; an event counts 1."""


class WatchEvent:
    """What a watcher is told: one trigger, whoever hears of it."""

    __slots__ = ("acl_id", "frame", "path", "type", "withheld", "zxid")

    def __init__(self, event_type: int, path: str, zxid: int, acl_id: int) -> None:
        self.type = event_type
        self.path = path
        self.zxid = zxid
        self.acl_id = acl_id
        """The number of the ACL list against which READ is checked: that of the znode, or of its
        parent for an event about children."""
        self.frame: bytes | None = None
        """The event as it is on the wire; None until a watcher has encoded it."""
        self.withheld = 0
        """How many watchers may not read it."""


class Watcher(Protocol):
    """Something that can be told of a change: a client connection. Compared by identity."""

    @property
    def session_id(self) -> int:
        """The id of the watcher's session, which wchc and wchp show."""
        ...

    def deliver(self, event: WatchEvent) -> None:
        """Send the event, if the watcher may read under its ACL list."""
        ...


class WatchTable:
    """Holds registrations by path and by watcher; ``size`` counts (path, watcher) pairs.

    A watcher whose last one-shot watch has fired keeps an empty entry until it removes a watch or
    goes: ``wchs`` of the original counts it as watching.
    """

    __slots__ = ("paths", "recursive", "size", "watchers")

    def __init__(self) -> None:
        self.paths: dict[str, dict[Watcher, int]] = {}
        self.watchers: dict[Watcher, dict[str, None]] = {}
        self.recursive = 0
        self.size = 0

    def add(self, path: str, watcher: Watcher, mode: int) -> None:
        """Register a watch; twice is once."""
        at = self.paths.get(path)
        if at is None:
            at = self.paths[path] = {}
        modes = at.get(watcher, 0)
        if modes & mode:
            return
        at[watcher] = modes | mode
        if mode == RECURSIVE:
            self.recursive += 1
        if not modes:
            self.size += 1
            of = self.watchers.get(watcher)
            if of is None:
                self.watchers[watcher] = {path: None}
            else:
                of[path] = None

    def modes(self, path: str, watcher: Watcher) -> int:
        """Return the modes registered for exactly this path, 0 if none."""
        at = self.paths.get(path)
        return at.get(watcher, 0) if at is not None else 0

    def remove(self, path: str, watcher: Watcher, mode: int) -> bool:
        """Take ``mode`` (bits) away; return whether any of them was there."""
        modes = self.modes(path, watcher)
        if not modes & mode:
            return False
        if modes & mode & RECURSIVE:
            self.recursive -= 1
        if modes & ~mode:
            self.paths[path][watcher] = modes & ~mode
            return True
        self._forget(path, watcher)
        of = self.watchers[watcher]
        del of[path]
        if not of:
            del self.watchers[watcher]
        return True

    def remove_watcher(self, watcher: Watcher) -> None:
        """Take away every watch of this watcher."""
        for path in self.watchers.pop(watcher, ()):
            if self.paths[path][watcher] & RECURSIVE:
                self.recursive -= 1
            self._forget(path, watcher)

    def collect(self, path: str) -> dict[Watcher, None]:
        """Return the watchers hit by a change of ``path``; their one-shot modes there are used
        up."""
        hit: dict[Watcher, None] = {}
        at = self.paths.get(path)
        if at is not None:
            watchers = self.watchers
            stay: dict[Watcher, int] = {}
            for watcher, modes in at.items():
                hit[watcher] = None
                if modes == STANDARD:
                    del watchers[watcher][path]
                else:
                    stay[watcher] = modes & ~STANDARD
            self.size -= len(at) - len(stay)
            if stay:
                self.paths[path] = stay
            else:
                del self.paths[path]
        if self.recursive:
            while path != ROOT:
                path = path[: path.rfind("/")] or ROOT
                for watcher, modes in self.paths.get(path, {}).items():
                    if modes & RECURSIVE:
                        hit[watcher] = None
        return hit

    def _forget(self, path: str, watcher: Watcher) -> None:
        at = self.paths[path]
        del at[watcher]
        if not at:
            del self.paths[path]
        self.size -= 1


class WatchManager:
    """Holds the two tables, and decides which change triggers what in which order."""

    __slots__ = ("_children", "_data", "fired", "metrics", "work")

    def __init__(self) -> None:
        self._data = WatchTable()
        self._children = WatchTable()
        self.fired: dict[int, Summary] | None = None
        """How many watchers a trigger hit, as summaries by event type; the server sets it."""
        self.metrics: Metrics | None = None
        """Where the bytes of events are counted; the server sets it."""
        self.work = 0
        """How much the changes of the tree have cost so far, in the time that one event takes
        (0.5 us): it tells when a transaction, or many of them, have held others up for long."""

    # -- registering

    def add_data(self, path: str, watcher: Watcher) -> None:
        """Add a one-shot watch of getData or exists."""
        self._data.add(path, watcher, STANDARD)

    def add_child(self, path: str, watcher: Watcher) -> None:
        """Add a one-shot watch of getChildren."""
        self._children.add(path, watcher, STANDARD)

    def add_persistent(self, path: str, watcher: Watcher) -> None:
        """Add a watch of addWatch mode 0: it stays, and sees the node and its list of children."""
        self._children.add(path, watcher, PERSISTENT)
        self._data.add(path, watcher, PERSISTENT)

    def add_recursive(self, path: str, watcher: Watcher) -> None:
        """Add a watch of addWatch mode 1: it stays, and sees the node and all its descendants, but
        no children events."""
        self._data.add(path, watcher, RECURSIVE)

    # -- changes of the tree

    def node_created(
        self, path: str, parent: str, zxid: int, acl_id: int, parent_acl_id: int
    ) -> None:
        """Tell the watchers that ``path`` was created; ``acl_id`` is its list, ``parent_acl_id``
        that of ``parent``."""
        self.work += CHANGE_WORK
        data = self._data
        if path in data.paths or data.recursive:
            self._tell(data.collect(path), EventType.NODE_CREATED, path, zxid, acl_id)
        if parent in self._children.paths:
            self._children_changed(parent, zxid, parent_acl_id)

    def node_changed(self, path: str, zxid: int, acl_id: int) -> None:
        """Tell the watchers that the data of ``path`` was set."""
        self.work += CHANGE_WORK
        data = self._data
        if path in data.paths or data.recursive:
            self._tell(data.collect(path), EventType.NODE_DATA_CHANGED, path, zxid, acl_id)

    def node_deleted(
        self, path: str, parent: str, zxid: int, acl_id: int, parent_acl_id: int
    ) -> None:
        """Tell the watchers that ``path`` is gone; its child watches are told too, unless the data
        trigger told them."""
        self.work += CHANGE_WORK
        data, children = self._data, self._children
        told: dict[Watcher, None] = {}
        if path in data.paths or data.recursive:
            told = data.collect(path)
            self._tell(told, EventType.NODE_DELETED, path, zxid, acl_id)
        if path in children.paths:
            hit = children.collect(path)
            self._tell(hit, EventType.NODE_DELETED, path, zxid, acl_id, told)
        if parent in children.paths:
            self._children_changed(parent, zxid, parent_acl_id)

    def _children_changed(self, parent: str, zxid: int, acl_id: int) -> None:
        hit = self._children.collect(parent)
        self._tell(hit, EventType.NODE_CHILDREN_CHANGED, parent, zxid, acl_id)

    def _tell(
        self,
        hit: dict[Watcher, None],
        event_type: int,
        path: str,
        zxid: int,
        acl_id: int,
        told: dict[Watcher, None] | None = None,
    ) -> None:
        if not hit:
            return
        event = WatchEvent(event_type, path, zxid, acl_id)
        for watcher in hit:
            if told is None or watcher not in told:
                watcher.deliver(event)
        self.work += len(hit)
        if self.fired is not None:
            self.fired[event_type].add(len(hit))
        if self.metrics is not None and event.frame is not None:
            twice = 0 if not told else sum(watcher in told for watcher in hit)
            length = len(event.frame) - LENGTH_BYTES
            self.metrics.watch_bytes += (len(hit) - twice - event.withheld) * length

    # -- asking and removing (checkWatches, removeWatches, the end of a connection)

    def contains(self, path: str, kind: int, watcher: Watcher) -> bool:
        """Return whether the watcher holds a watch of this kind (1 to 5) on exactly this path."""
        in_data, in_children = _modes_of(kind)
        data = self._data.modes(path, watcher) & in_data
        return bool(data | self._children.modes(path, watcher) & in_children)

    def remove(self, path: str, kind: int, watcher: Watcher) -> bool:
        """Take away the watcher's watches of this kind (1 to 5) on exactly this path; no event."""
        in_data, in_children = _modes_of(kind)
        data = self._data.remove(path, watcher, in_data)
        children = self._children.remove(path, watcher, in_children)
        return data or children

    def remove_watcher(self, watcher: Watcher) -> None:
        """Forget a connection."""
        self._data.remove_watcher(watcher)
        self._children.remove_watcher(watcher)

    # -- reports; the original shows the data table only

    @property
    def watch_count(self) -> int:
        """Return the number of pairs of watcher and path in both tables: a persistent watch counts
        twice."""
        return self._data.size + self._children.size

    def watched(self) -> list[str]:
        """Return the watched paths, for wchp."""
        return list(self._data.paths)

    def watchers_of(self, path: str) -> list[Watcher]:
        """Return the watchers of one path, for wchp."""
        return list(self._data.paths.get(path, ()))

    def watching(self) -> list[Watcher]:
        """Return the watchers, for wchc."""
        return list(self._data.watchers)

    def paths_of(self, watcher: Watcher) -> list[str] | None:
        """Return the paths of one watcher, for wchc; there may be none left. None if the watcher
        has gone."""
        paths = self._data.watchers.get(watcher)
        return None if paths is None else list(paths)

    def child_watched(self) -> list[str]:
        """Return the paths in the child table."""
        return list(self._children.paths)

    def child_watchers_of(self, path: str) -> list[Watcher]:
        """Return the watchers of one path in the child table."""
        return list(self._children.paths.get(path, ()))

    def child_paths_of(self, watcher: Watcher) -> list[str]:
        """Return the paths of one watcher in the child table."""
        return list(self._children.watchers.get(watcher, ()))

    def kinds_of(self, path: str, watcher: Watcher) -> list[int]:
        """Return the WatchKind of every watch that one watcher has at one path."""
        modes = self._data.modes(path, watcher)
        kinds = [kind for mode, kind in _DATA_KINDS if modes & mode]
        if self._children.modes(path, watcher) & STANDARD:
            kinds.append(WatchKind.CHILDREN)
        return kinds

    def count_of(self, watcher: Watcher) -> int:
        """Return how many paths one watcher has, counted in each table."""
        data, children = self._data.watchers, self._children.watchers
        return len(data.get(watcher, ())) + len(children.get(watcher, ()))

    def entries(self) -> list[tuple[str, int, Watcher]]:
        """Return every watch as (path, WatchKind, watcher): by path, in the order of
        registration."""
        found = []
        for path, at in self._data.paths.items():
            for watcher, modes in at.items():
                for mode, kind in _DATA_KINDS:
                    if modes & mode:
                        found.append((path, kind, watcher))
        for path, at in self._children.paths.items():
            for watcher, modes in at.items():
                if modes & STANDARD:
                    found.append((path, WatchKind.CHILDREN, watcher))
        return found

    def summary(self) -> tuple[int, int, int]:
        """Return the numbers of watchers, paths and pairs, for wchs."""
        return len(self._data.watchers), len(self._data.paths), self._data.size


_DATA_KINDS: Final = (
    (STANDARD, WatchKind.DATA),
    (PERSISTENT, WatchKind.PERSISTENT),
    (RECURSIVE, WatchKind.PERSISTENT_RECURSIVE),
)
_ALL_MODES: Final = STANDARD | PERSISTENT | RECURSIVE
_MODES: Final = {
    # kind: its modes in the data table, its modes in the child table
    WatchKind.CHILDREN: (0, STANDARD),
    WatchKind.DATA: (STANDARD, 0),
    WatchKind.ANY: (_ALL_MODES, _ALL_MODES),
    WatchKind.PERSISTENT: (PERSISTENT, PERSISTENT),
    WatchKind.PERSISTENT_RECURSIVE: (RECURSIVE, 0),
}


def _modes_of(kind: int) -> tuple[int, int]:
    modes = _MODES.get(kind)
    if modes is None:
        raise MarshallingError(f"unknown kind of watch {kind}")
    return modes
