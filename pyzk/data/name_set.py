"""A set of names that lists them in the order in which the original's HashSet does.

Pure. Answers to HashSet<String>, as DataNode and DataTree use it. To add a name or remove one costs
what it costs in a dict; the order is computed when it is asked for, and the encoded list is kept
until the set changes or `KeptLists` has many newer ones. Of a set's past no more is kept than
decides the order:

    names      in the order in which they came, each behind as many characters as all have in
               common: of children their paths are kept, which are there anyway
    _capacity  of the table before the names that are there came; removals note how large it was
    _table     the table itself, if the list is asked for again and again. Names that came since are
               the last ones in ``names``, those that went are in ``_gone``
               (also if a bucket has had so many names that its table is not plain any more; then it
               follows each removal)

A set looks for such a bucket when it is listed, and at the first removal after its table has grown.
So one thing escapes it: nine names that meet in one bucket after that, of which one goes again
before the set is listed. Their order, or the table's size, may then differ from the original's. To
know of it, each change would have to compute a hash.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from pyzk.data.java_order import (
    FIRST_CAPACITY,
    MOST_IN_BIN,
    HashTable,
    capacity_for,
    capacity_if_plain,
    order_if_plain,
    spread_hashes,
)
from pyzk.jute.archive import encode_strings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyzk.metrics import Metrics

LOOK_LIMIT: Final = 1 << 13
"""The most names of a set of which a removal looks at the buckets or adds names to the table.

That takes 1 us for each name: with more of them it would hold up all clients.
"""
GONE_LIMIT: Final = 16
"""The table is dropped when this many names, and an eighth of its names, are to be removed from
it."""
KEPT_LISTS: Final = 4096
"""The encoded lists of so many sets are kept. A name takes 12 bytes and more in a list, and 300 and
more in a tree of znodes."""


class NameSet:
    """Holds names, each once."""

    __slots__ = ("_capacity", "_encoded", "_gone", "_name_at", "_table", "names")

    def __init__(self, capacity: int = FIRST_CAPACITY, name_at: int = 0) -> None:
        self.names: dict[str, None] = {}
        self._name_at = name_at
        """Where a name begins in what is added, removed and kept for it."""
        self._capacity = capacity
        """The capacity of the table, without the names that came after the last removal."""
        self._table: HashTable | None = None
        self._gone: list[str] | None = None
        self._encoded: bytes | None = None
        """The encoded list; None if it was never asked for, empty if the set has changed since."""

    def __len__(self) -> int:
        return len(self.names)

    def __bool__(self) -> bool:
        """``__len__`` would do, but mypyc takes an object without this one for true."""
        return bool(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in the order in which they came."""
        return iter(self._bare(list(self.names)))

    def _bare(self, names: list[str]) -> list[str]:
        name_at = self._name_at
        return [name[name_at:] for name in names] if name_at else names

    def add(self, name: str) -> None:
        """Add a name, if it is not there."""
        self.names[name] = None
        if self._encoded:
            self._encoded = b""

    def discard(self, name: str) -> None:
        """Remove a name, if it is there."""
        names = self.names
        if name not in names:
            return
        size = len(names)
        if size * 4 > self._capacity * 3:
            self._note_growth(size)
        table = self._table
        if table is not None and not table.is_plain:
            if size - table.size > LOOK_LIMIT:
                table = self._table = None
            else:
                self._catch_up(table)
        del names[name]
        if self._encoded:
            self._encoded = b""
        if table is not None:
            self._remove(table, name[self._name_at :])

    def in_order(self) -> list[str]:
        """Return the names in the original's order."""
        names = self.names
        table = self._table
        if table is None:
            bare = self._bare(list(names))
            if len(bare) < 2:
                return bare
            if self._encoded is None or len(bare) <= MOST_IN_BIN:
                order, capacity = order_if_plain(bare, self._capacity)
                if capacity:
                    return order
            table = self._table = self._build()
        self._catch_up(table)
        return table.names()

    def encode(self) -> bytes:
        """Return the wire form of ``in_order``."""
        encoded = self._encoded
        if not encoded:
            encoded = self._encoded = encode_strings(self.in_order())
        return encoded

    @property
    def has_list(self) -> bool:
        """Whether the encoded list is kept now."""
        return bool(self._encoded)

    def drop_list(self) -> None:
        """Forget the encoded list, and the table unless it decides the order."""
        self._encoded = None
        table = self._table
        if table is not None and table.is_plain:
            self._table = self._gone = None

    def clone(self) -> HashTable:
        """Return the table of a clone; its order may be another one."""
        return HashTable.clone_of(self.in_order())

    def _note_growth(self, size: int) -> None:
        """Note before a removal that the set has never had so many names at an earlier one, and
        that the table has grown for them."""
        table = self._table
        if size > LOOK_LIMIT:
            self._table = self._gone = None
        elif table is not None:
            self._catch_up(table)
        elif size > MOST_IN_BIN:
            if not capacity_if_plain(spread_hashes(self._bare(list(self.names))), self._capacity):
                self._table = self._build()
        self._capacity = capacity_for(size, self._capacity)

    def _build(self) -> HashTable:
        table = HashTable(self._capacity)
        table.extend(self._bare(list(self.names)))
        return table

    def _remove(self, table: HashTable, name: str) -> None:
        """Remove a name that ``names`` no longer has from the table, or have that done later."""
        if table.is_plain:
            gone = self._gone
            if gone is None:
                gone = self._gone = []
            gone.append(name)
            if len(gone) > GONE_LIMIT + table.size // 8:
                self._table = self._gone = None
            return
        table.remove(name)
        if not self.names:
            self._capacity = table.capacity
            self._table = None

    def _catch_up(self, table: HashTable) -> None:
        """Apply to the table what has been done to ``names`` since."""
        if self._gone is not None:
            for name in self._gone:
                table.remove(name)  # if it has not come and gone in between
            self._gone = None
        if table.is_plain:
            table.grow_to(self._capacity)
        missing = len(self.names) - table.size
        if missing:
            late = list(islice(reversed(self.names), missing))
            late.reverse()
            table.extend(self._bare(late))


class KeptLists:
    """The sets whose encoded lists are kept: those that were encoded last."""

    __slots__ = ("_limit", "_metrics", "_sets")

    def __init__(self, metrics: Metrics, limit: int = KEPT_LISTS) -> None:
        self._limit = limit
        self._metrics = metrics
        self._sets: dict[NameSet, None] = {}

    def encode(self, names: NameSet) -> bytes:
        """Return the encoded list of a set, and keep it."""
        if names.has_list:
            self._metrics.response_packet_get_children_cache_hits += 1
            return names.encode()
        self._metrics.response_packet_get_children_cache_misses += 1
        sets = self._sets
        sets.pop(names, None)
        sets[names] = None
        if len(sets) > self._limit:
            oldest = next(iter(sets))
            del sets[oldest]
            oldest.drop_list()
        return names.encode()
