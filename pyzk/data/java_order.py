"""The order in which a Java HashSet of strings lists them.

Pure. Answers to String.hashCode and to HashMap of Java 17. Clients see that order: the original
keeps the children of a znode and the ephemerals of a session in HashSets. It depends on the past of
a set: its table grows and never shrinks, names that meet in one bucket stand in the order in which
they came, and a bucket with very many of them becomes a tree (`java_bin`).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from pyzk.data.java_bin import TreeBin

FIRST_CAPACITY: Final = 16
"""The number of buckets of a new HashSet whose capacity is not given."""
MOST_IN_BIN: Final = 8
"""The most names in a bucket: one more makes the table grow or, if it is large enough, turns the
bucket into a tree."""
MIN_TREE_CAPACITY: Final = 64
"""The capacity from which on a bucket becomes a tree."""
MOST_IN_TREES: Final = 2048
"""The most names in the trees of a table; with more of them it keeps the order in which they came.

A tree is slow here: to list 100 000 names of one hash would hold up all clients for seconds.
"""

_BASE: Final = 31
_DIGITS: Final = b"0123456789abcdefghijklmnopqrstu"
_LOW_DIGIT: Final = bytes(_DIGITS[byte % _BASE] for byte in range(256))
_HIGH_DIGIT: Final = bytes(_DIGITS[byte // _BASE] for byte in range(256))
_PIECE_BYTES: Final = 128
"""The number of digits that are turned into one number at once; for more the time would be
quadratic."""
_PIECE_FACTOR: Final = pow(_BASE, _PIECE_BYTES, 1 << 32)


def spread_hash(text: str) -> int:
    """Return what HashMap makes of String.hashCode: an unsigned 32-bit number."""
    code = _code(text)
    return code ^ code >> 16


def _code(text: str) -> int:
    """Return String.hashCode as an unsigned number."""
    try:
        code = _polynomial(text.encode("latin-1"))
    except UnicodeEncodeError:
        units = text.encode("utf-16-be", "surrogatepass")
        code = _polynomial(units[0::2]) * 256 + _polynomial(units[1::2])
    return code & 0xFFFFFFFF


def _polynomial(units: bytes) -> int:
    """Return the number, modulo 2^32 or not, whose digits in base 31 these bytes are.

    A byte is too large for a digit, so it is taken apart into two; then Python reads the number.
    That is twice as fast as adding up.
    """
    if len(units) <= _PIECE_BYTES:
        if not units:
            return 0
        return int(units.translate(_LOW_DIGIT), _BASE) + _BASE * int(
            units.translate(_HIGH_DIGIT), _BASE
        )
    head = len(units) % _PIECE_BYTES
    code = _polynomial(units[:head])
    for start in range(head, len(units), _PIECE_BYTES):
        piece = _polynomial(units[start : start + _PIECE_BYTES])
        code = code * _PIECE_FACTOR + piece & 0xFFFFFFFF
    return code


def spread_hashes(names: list[str]) -> list[int]:
    """Return the `spread_hash` of each name.

    Where there are many they often differ in digits at the end only; then the rest is hashed once.
    """
    if len(names) <= MOST_IN_BIN:
        return [spread_hash(name) for name in names]
    first, last = min(names), max(names)
    shared = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        shared += 1
    tails = [name[shared:] for name in names]
    digits = "".join(tails)
    longest = max(map(len, tails))
    if longest > _PIECE_BYTES or not (digits.isascii() and digits.isdigit() and all(tails)):
        return [spread_hash(name) for name in names]
    head = _code(first[:shared])
    offsets = [head]
    for _ in range(longest):
        # What the head and the zeros behind it amount to: int() takes a digit for its value.
        offsets.append(offsets[-1] * _BASE + ord("0") & 0xFFFFFFFF)
    codes = [int(tail, _BASE) + offsets[len(tail)] & 0xFFFFFFFF for tail in tails]
    return [code ^ code >> 16 for code in codes]


def capacity_for(size: int, capacity: int) -> int:
    """Return the capacity of a table that began with ``capacity`` and has had ``size`` names, none
    of its buckets more than MOST_IN_BIN."""
    while size * 4 > capacity * 3:
        capacity *= 2
    return capacity


def capacity_if_plain(hashes: list[int], capacity: int) -> int:
    """Return the capacity of a table that began with ``capacity``, after names with these hashes
    have come; 0 if some bucket had more than MOST_IN_BIN of them at any time."""
    while True:
        room = capacity * 3 // 4 + 1  # the last of these makes it grow
        if min(room, len(hashes)) > MOST_IN_BIN:
            mask = capacity - 1
            buckets = [code & mask for code in hashes[:room]]
            if len(buckets) - len(set(buckets)) >= MOST_IN_BIN:
                # Else there are too few that meet for one bucket to have too many.
                if max(Counter(buckets).values()) > MOST_IN_BIN:
                    return 0
        if len(hashes) < room:
            return capacity
        capacity *= 2


def order_if_plain(names: list[str], capacity: int) -> tuple[list[str], int]:
    """Return the order of names that have come into a table that began with ``capacity``, and its
    capacity then; which is 0 if this is not the way to tell (`capacity_if_plain`)."""
    hashes = spread_hashes(names)
    capacity = capacity_if_plain(hashes, capacity)
    if not capacity:
        return [], 0
    mask = capacity - 1
    buckets = [code & mask for code in hashes]
    return [names[at] for at in sorted(range(len(names)), key=buckets.__getitem__)], capacity


class HashTable:
    """Holds the buckets of a HashSet of strings. A caller never adds a name twice."""

    __slots__ = ("_in_trees", "_slots", "_unordered", "capacity", "is_plain", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.is_plain = True
        """Whether no bucket has ever had more than MOST_IN_BIN names: then each has them in the
        order in which they came, and the capacity tells only how many names there have been."""
        self._slots: list[object] = [None] * capacity
        """The content of each bucket: None, its only name, a list of names, or a TreeBin."""
        self._in_trees = 0
        """The number of names in the TreeBins."""
        self._unordered: dict[str, None] | None = None
        """The names in the order in which they came, if there were too many in trees; then there
        are no buckets."""

    @classmethod
    def clone_of(cls, names: list[str]) -> HashTable:
        """Return the table that HashSet.clone makes of a set with these names, in their order.

        This is Java 17's; that of Java 25 is half as large for some sizes (3, 6, 12, 24 ...).
        """
        if not names:
            return cls(FIRST_CAPACITY)
        room = (len(names) * 4 + 3) // 3
        table = cls(1 << (room - 1).bit_length())
        table.extend(names)
        return table

    @classmethod
    def copy_of(cls, size: int, names: list[str]) -> HashTable:
        """Return the table that ``new HashSet<>(collection)`` makes of so many strings, with only
        these of them in it."""
        table = cls(max(FIRST_CAPACITY, 1 << (size * 4 // 3).bit_length()))
        table.extend(names)
        return table

    def extend(self, names: list[str]) -> None:
        """Add names, one after the other."""
        if self._unordered is None:
            hashes = spread_hashes(names)
            if not self.size:
                capacity = capacity_if_plain(hashes, self.capacity)
                if capacity:
                    self._fill(names, hashes, capacity)
                    return
            for at, name in enumerate(names):
                if self._in_trees > MOST_IN_TREES:
                    self._unordered = dict.fromkeys(self.names())
                    self._slots = []
                    names = names[at:]
                    break
                self._add(name, hashes[at])
            else:
                return
        self._unordered.update(dict.fromkeys(names))
        self.size = len(self._unordered)

    def grow_to(self, capacity: int) -> None:
        """Make the table at least this large, because names that are gone again have made it so."""
        while self.capacity < capacity:
            self._grow()

    def _fill(self, names: list[str], hashes: list[int], capacity: int) -> None:
        """Put names into an empty table that they leave plain."""
        slots: list[object] = [None] * capacity
        mask = capacity - 1
        for name, code in zip(names, hashes, strict=True):
            at = code & mask
            slot = slots[at]
            if slot is None:
                slots[at] = name
            elif isinstance(slot, list):
                slot.append(name)
            else:
                slots[at] = [slot, name]
        self._slots = slots
        self.capacity = capacity
        self.size = len(names)

    def _add(self, name: str, code: int) -> None:
        at = code & self.capacity - 1
        slot = self._slots[at]
        if slot is None:
            self._slots[at] = name
        elif isinstance(slot, str):
            self._slots[at] = [slot, name]
        elif isinstance(slot, list):
            slot.append(name)
            if len(slot) > MOST_IN_BIN:
                self.is_plain = False
                if self.capacity < MIN_TREE_CAPACITY:
                    self._grow()
                else:
                    self._slots[at] = TreeBin(slot, spread_hashes(slot))
                    self._in_trees += len(slot)
        else:
            assert isinstance(slot, TreeBin), slot
            slot.add(name, code)
            self._in_trees += 1
        self.size += 1
        if self.size * 4 > self.capacity * 3:
            self._grow()

    def _grow(self) -> None:
        """Double the table: each bucket is split in two, in its order."""
        bit = self.capacity
        low: list[object] = []
        high: list[object] = []
        for slot in self._slots:
            if slot is None:
                low.append(None)
                high.append(None)
            elif isinstance(slot, TreeBin):
                parts = slot.part(bit)
                low.append(parts[0])
                high.append(parts[1])
            else:
                names: list[str] = slot if isinstance(slot, list) else [str(slot)]
                halves: tuple[list[str], list[str]] = ([], [])
                for name in names:
                    halves[spread_hash(name) & bit != 0].append(name)
                low.append(_slot_of(halves[0]))
                high.append(_slot_of(halves[1]))
        self._slots = low + high
        self.capacity *= 2
        if self._in_trees:
            self._in_trees = sum(slot.size for slot in self._slots if isinstance(slot, TreeBin))

    def remove(self, name: str) -> bool:
        """Remove a name; tell whether it was there."""
        if self._unordered is not None:
            if name not in self._unordered:
                return False
            del self._unordered[name]
            self.size -= 1
            return True
        code = spread_hash(name)
        at = code & self.capacity - 1
        slot = self._slots[at]
        if isinstance(slot, list):
            if name not in slot:
                return False
            slot.remove(name)
            if len(slot) == 1:
                self._slots[at] = slot[0]
        elif isinstance(slot, TreeBin):
            if not slot.has(name, code):
                return False
            left = slot.remove(name, code)
            self._in_trees -= 1
            if left is not None:
                self._slots[at] = _slot_of(left)
                self._in_trees -= len(left)
        elif slot == name:
            self._slots[at] = None
        else:
            return False
        self.size -= 1
        return True

    def names(self) -> list[str]:
        """Return the names in the order in which the set lists them."""
        if self._unordered is not None:
            return list(self._unordered)
        found: list[str] = []
        for slot in self._slots:
            if slot is None:
                continue
            if isinstance(slot, str):
                found.append(slot)
            elif isinstance(slot, list):
                found += slot
            else:
                assert isinstance(slot, TreeBin), slot
                found += slot.names()
        return found


def _slot_of(names: list[str]) -> object:
    if len(names) > 1:
        return names
    return names[0] if names else None
