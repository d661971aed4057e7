"""The requests and answers of an ensemble's clients, and whether one history explains them.

Pure.

Times are those of one clock that all clients share.  A request whose answer never came may have
been done or not, at any time after it was sent.  Values are never written twice and no path but a
register's is used twice, so each names the request that it comes from.  What must hold:

- Writes have zxids of their own; one that was sent after another was answered has a higher one.
- A register's versions follow its mzxids, each is one request's, and the last ones are still there.
- A session's answers never show less than an earlier one; a read is the state at its answer's zxid.
- After a sync a read misses nothing that was answered before the sync was sent.  A leader that does
  not know yet that there is another one may (it needs no quorum for a sync); that is counted.
- What was created is in every member's tree unless deleted, or ephemeral and its session is over;
  nothing else is.  Numbers of sequential znodes follow zxids and are given once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

import attrs

from pyzk.zxid import epoch_of, format_zxid

NO_NODE: Final = -101
BAD_VERSION: Final = -103
OF_TRANSACTIONS: Final = frozenset({0, NO_NODE, BAD_VERSION})
"""Results of writes that have a zxid of their own."""
OF_SESSIONS: Final = frozenset({-112, -118})
"""Results that say that the session is over or has moved: nothing was done."""
EPHEMERAL: Final = 1
SEQUENTIAL: Final = 2
WRITES: Final = frozenset({"create", "set", "delete", "close"})


@attrs.frozen
class Stat:
    """What matters of a znode's statistics."""

    czxid: int
    mzxid: int
    version: int
    owner: int


@attrs.define
class Operation:
    """One request; without an answer `returned` is None."""

    client: int
    session: int
    kind: str
    path: str
    data: bytes = b""
    version: int = -1
    flags: int = 0
    sent: float = 0.0
    returned: float | None = None
    zxid: int = 0
    error: int = 0
    stat: Stat | None = None
    name: str = ""
    """The path of the znode that a create made."""
    found: bytes = b""
    """The data that a read returned."""

    @property
    def is_done(self) -> bool:
        """Whether it was answered without an error."""
        return self.returned is not None and not self.error

    def __str__(self) -> str:
        told = "no answer" if self.returned is None else f"{format_zxid(self.zxid)} {self.error}"
        return (
            f"client {self.client} session {self.session:#x} {self.kind} {self.path}"
            f" {self.data!r} v{self.version} at {self.sent:.3f}: {told} {self.stat}"
            f" {self.name} {self.found!r}"
        )


@attrs.frozen
class Znode:
    """A znode of a final tree."""

    data: bytes
    stat: Stat


Tree = Mapping[str, Znode]


@attrs.define
class History:
    """All operations, each client's in its order, and how everything ended."""

    operations: list[Operation]
    alive: set[int]
    """Sessions that have not ended."""
    registers: set[str]
    trees: dict[int, Tree] = attrs.field(factory=dict)
    """Member -> its tree in the end, of the nodes that the clients write to."""
    stale_syncs: int = 0


def violations(history: History) -> list[str]:
    """Returns everything that no history explains, in words."""
    found: list[str] = []
    for check in (writes, errors, registers, sessions, reads, syncs, sequence, trees):
        found.extend(check(history))
    return found


def writes(history: History) -> Iterator[str]:
    """Zxids of writes are unique and follow real time."""
    by_zxid: dict[int, Operation] = {}
    done = []
    for each in history.operations:
        if each.kind in WRITES and each.returned is not None and each.error in OF_TRANSACTIONS:
            done.append(each)
            other = by_zxid.setdefault(each.zxid, each)
            if other is not each:
                yield f"two writes have one zxid: {other} and {each}"
    answered = sorted(done, key=lambda each: each.returned or 0.0)
    highest: Operation | None = None
    place = 0
    for each in sorted(done, key=lambda each: each.sent):
        while place < len(answered) and (answered[place].returned or 0.0) < each.sent:
            if highest is None or answered[place].zxid > highest.zxid:
                highest = answered[place]
            place += 1
        if highest is not None and each.zxid <= highest.zxid:
            yield f"sent after another was answered, and has no higher zxid: {highest}, then {each}"


def errors(history: History) -> Iterator[str]:
    """Requests have only errors that they may have."""
    allowed = {"set": {BAD_VERSION}, "delete": {NO_NODE}}
    for each in history.operations:
        if each.error and each.error not in OF_SESSIONS | allowed.get(each.kind, set()):
            yield f"an error that cannot be: {each}"
        if each.kind == "set" and each.error == BAD_VERSION and each.version == -1:
            yield f"an error that cannot be: {each}"


def _states(history: History, path: str) -> Iterator[tuple[Stat, bytes, str]]:
    """Yields each state of a register that a client was told, and by what."""
    for each in history.operations:
        if each.path == path and each.is_done and each.stat is not None:
            if each.kind == "set":
                yield each.stat, each.data, str(each)
            elif each.kind == "get":
                yield each.stat, each.found, str(each)
    for sid, tree in history.trees.items():
        if path in tree:
            yield tree[path].stat, tree[path].data, f"tree of member {sid}"


def registers(history: History) -> Iterator[str]:
    """Each register has one chain of versions, and what was acknowledged is in it."""
    for path in sorted(history.registers):
        yield from _register(history, path)


def _register(history: History, path: str) -> Iterator[str]:
    chain: dict[int, tuple[int, bytes, str]] = {}
    versions: dict[bytes, int] = {}
    for stat, data, source in _states(history, path):
        mzxid, value, first = chain.setdefault(stat.version, (stat.mzxid, data, source))
        if (mzxid, value) != (stat.mzxid, data):
            yield f"{path} version {stat.version} is two things: {first} / {source}"
        if versions.setdefault(data, stat.version) != stat.version:
            yield f"{path} has {data!r} twice: version {versions[data]} and {source}"
    last = 0
    for version in sorted(chain):
        mzxid, _, source = chain[version]
        if mzxid <= last:
            yield f"{path}: the mzxid of version {version} is not above the one before: {source}"
        last = mzxid
    sets = [each for each in history.operations if each.kind == "set" and each.path == path]
    sent = {each.data: each for each in sets}
    for _, data, source in chain.values():
        if data and data not in sent:
            yield f"{path}: {data!r} was never written: {source}"
    for each in sets:
        if each.is_done and each.stat is not None and each.version >= 0:
            if each.stat.version != each.version + 1:
                yield f"the version is not the next one: {each}"
    done = sum(each.is_done for each in sets)
    unknown = sum(each.returned is None for each in sets)
    for sid, tree in history.trees.items():
        if path not in tree:
            yield f"{path} is not in the tree of member {sid}"
            continue
        version = tree[path].stat.version
        if chain and version < max(chain):
            yield f"{path} ends with version {version}, lost: {chain[max(chain)][2]}"
        if not done <= version <= done + unknown:
            yield (
                f"{path} ends with version {version} on member {sid}; {done} acknowledged,"
                f" {unknown} without answer"
            )


def sessions(history: History) -> Iterator[str]:
    """What a session is told never goes back; a read is not newer than its answer's zxid."""
    last: dict[int, Operation] = {}
    for each in history.operations:
        if each.returned is None or each.zxid <= 0:
            continue
        before = last.get(each.session)
        if before is not None and before.zxid > each.zxid:
            yield f"a session goes back: {before}, then {each}"
        last[each.session] = each
        if each.stat is not None and each.stat.mzxid > each.zxid:
            yield f"newer than its zxid: {each}"


def reads(history: History) -> Iterator[str]:
    """A read shows the last write up to its zxid, and only what had been sent."""
    written: dict[str, list[Operation]] = defaultdict(list)
    sent = {}
    for each in history.operations:
        if each.kind == "set":
            sent[each.path, each.data] = each.sent
            if each.is_done:
                written[each.path].append(each)
    for of_path in written.values():
        of_path.sort(key=lambda each: each.zxid)
    for each in history.operations:
        if each.kind != "get" or not each.is_done or each.stat is None:
            continue
        assert each.returned is not None
        if each.found and sent.get((each.path, each.found), 0.0) > each.returned:
            yield f"read before it was written: {each}"
        missed = _last_up_to(written[each.path], each.zxid)
        if missed is not None and missed.zxid > each.stat.mzxid:
            yield f"not the state at its zxid: {each}; it misses {missed}"


def _last_up_to(ordered: list[Operation], zxid: int) -> Operation | None:
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle].zxid <= zxid:
            low = middle + 1
        else:
            high = middle
    return ordered[low - 1] if low else None


def syncs(history: History) -> Iterator[str]:
    """A read behind a sync misses nothing that was answered before the sync was sent."""
    history.stale_syncs = 0
    answered: dict[str, list[tuple[float, Operation]]] = defaultdict(list)
    for each in history.operations:
        if each.kind == "set" and each.is_done and each.returned is not None:
            answered[each.path].append((each.returned, each))
    for of_path in answered.values():
        of_path.sort(key=lambda pair: pair[0])
    pending: dict[tuple[int, str], Operation] = {}
    for each in history.operations:
        key = (each.session, each.path)
        if each.kind == "sync" and each.is_done:
            pending[key] = each
        elif each.kind == "get" and each.is_done and each.stat is not None and key in pending:
            sync = pending.pop(key)
            before = [one for time, one in answered[each.path] if time < sync.sent]
            missed = max(before, key=lambda one: one.zxid, default=None)
            if missed is None or missed.zxid <= each.stat.mzxid:
                continue
            if epoch_of(missed.zxid) > epoch_of(sync.zxid):
                history.stale_syncs += 1
            else:
                yield f"a read behind {sync} misses {missed}: {each}"


def sequence(history: History) -> Iterator[str]:
    """Each number is given once, and they follow the zxids."""
    given: dict[str, list[Operation]] = defaultdict(list)
    for each in history.operations:
        if each.kind == "create" and each.flags & SEQUENTIAL and each.is_done:
            given[each.path].append(each)
    for path, of_path in given.items():
        of_path.sort(key=lambda each: each.zxid)
        last = -1
        for each in of_path:
            number = each.name.removeprefix(path)
            if not each.name.startswith(path) or len(number) != 10 or int(number) <= last:
                yield f"not the next number after {last}: {each}"
            else:
                last = int(number)


def trees(history: History) -> Iterator[str]:
    """All members have the same tree, and it has what it must have and nothing else."""
    if not history.trees:
        return
    (first, tree), *others = sorted(history.trees.items())
    for sid, other in others:
        for path in sorted({*tree, *other}):
            if tree.get(path) != other.get(path):
                yield f"{path} on {first}: {tree.get(path)}; on {sid}: {other.get(path)}"
    yield from _created(history, tree)


def _created(history: History, tree: Tree) -> Iterator[str]:
    deletes: dict[str, list[Operation]] = defaultdict(list)
    by_value: dict[bytes, Operation] = {}
    for each in history.operations:
        if each.kind == "delete":
            deletes[each.path].append(each)
        elif each.kind == "create":
            by_value[each.data] = each
    for each in by_value.values():
        if not each.is_done:
            continue
        is_over = bool(each.flags & EPHEMERAL) and each.session not in history.alive
        if any(one.is_done for one in deletes[each.name]) or is_over:
            if each.name in tree:
                yield f"deleted, or its session is over, and still there: {each}"
        elif each.name in tree:
            znode = tree[each.name]
            if each.stat is not None and (each.stat, each.data) != (znode.stat, znode.data):
                yield f"not as it was created: {each}, {znode}"
        elif not any(one.returned is None for one in deletes[each.name]):
            yield f"acknowledged, and not there: {each}"
    for path, znode in tree.items():
        if path in history.registers:
            continue
        origin = by_value.get(znode.data)
        if origin is None or not path.startswith(origin.path) or origin.error:
            yield f"nobody has created {path} {znode}"
        elif znode.stat.owner != (origin.session if origin.flags & EPHEMERAL else 0):
            yield f"{path} {znode} belongs to another session than {origin}"
        elif znode.stat.owner and znode.stat.owner not in history.alive:
            yield f"{path} {znode}: its session is over"


def longest_gap(operations: Iterable[Operation]) -> float:
    """Returns the longest time without a write that was answered."""
    times = sorted(
        each.returned
        for each in operations
        if each.kind in WRITES and each.is_done and each.returned is not None
    )
    return max((b - a for a, b in pairwise(times)), default=0.0)
