"""One bucket of a Java HashMap that has become a tree, and the order in which it is listed.

Pure. Answers to HashMap.TreeNode of Java 17. A bucket in which many names have met is kept as a
red-black tree by hash, then by text; besides, its names stand in a list, and that is the order in
which they are listed. A new name comes into the list behind its parent in the tree, and after each
change the root goes to the front: the order depends on the tree's shape, so the tree is kept too.
"""

from __future__ import annotations

from typing import Final

SMALL: Final = 6
"""A bucket with at most this many names becomes a plain list again when the table grows."""


def is_before(code_a: int, name_a: str, code_b: int, name_b: str) -> bool:
    """Return whether the first name stands left of the second.

    Signed hashes decide, then text as String.compareTo compares it, by UTF-16 code units.
    """
    if code_a != code_b:
        # The numbers are unsigned here; with the highest bit turned they sort as signed ones.
        return code_a ^ 0x80000000 < code_b ^ 0x80000000
    a = name_a.encode("utf-16-be", "surrogatepass")
    return a < name_b.encode("utf-16-be", "surrogatepass")


class _Knot:
    """A name in the tree (parent, left, right) and in the list (before, after)."""

    __slots__ = ("after", "before", "code", "is_red", "left", "name", "parent", "right")

    def __init__(self, name: str, code: int) -> None:
        self.name = name
        self.code = code
        self.is_red = False
        self.parent: _Knot | None = None
        self.left: _Knot | None = None
        self.right: _Knot | None = None
        self.before: _Knot | None = None
        self.after: _Knot | None = None


class TreeBin:
    """Holds the names of one bucket, as a tree and as a list."""

    __slots__ = ("_first", "_root", "size")

    def __init__(self, names: list[str], hashes: list[int]) -> None:
        """``names`` in the order in which the bucket had them; ``hashes`` are spread."""
        knots = [_Knot(name, code) for name, code in zip(names, hashes, strict=True)]
        self.size = len(knots)
        self._first = self._root = knots[0]
        last: _Knot | None = None
        for knot in knots:
            knot.before = last
            if last is not None:
                last.after = knot
                self._plant(knot)
            last = knot
        self._lift_root()

    def names(self) -> list[str]:
        """Return the names in the order in which they are listed."""
        return [knot.name for knot in self._knots()]

    def part(self, bit: int) -> tuple[object, object]:
        """Return what becomes of the bucket when its table grows: the names without and those with
        this bit in their hashes, each as this bin, a new one, a list of names, or None."""
        knots = self._knots()
        low = [knot for knot in knots if not knot.code & bit]
        high = [knot for knot in knots if knot.code & bit]
        if self.size > SMALL and not (low and high):
            return (self, None) if low else (None, self)
        return (_bin_of(low) if low else None), (_bin_of(high) if high else None)

    def _knots(self) -> list[_Knot]:
        found = []
        knot: _Knot | None = self._first
        while knot is not None:
            found.append(knot)
            knot = knot.after
        return found

    def add(self, name: str, code: int) -> None:
        """Add a name that is not there."""
        knot = _Knot(name, code)
        self._plant(knot)
        parent = knot.before
        assert parent is not None, name
        follower = parent.after
        parent.after = knot
        knot.after = follower
        if follower is not None:
            follower.before = knot
        self.size += 1
        self._lift_root()

    def _plant(self, knot: _Knot) -> None:
        """Put a knot into the tree. If it is in no list yet, ``before`` becomes its parent."""
        parent = self._root
        while True:
            is_left = is_before(knot.code, knot.name, parent.code, parent.name)
            child = parent.left if is_left else parent.right
            if child is None:
                break
            parent = child
        if is_left:
            parent.left = knot
        else:
            parent.right = knot
        knot.parent = parent
        if knot.before is None:
            knot.before = parent
        self._mend_after_insertion(knot)

    def has(self, name: str, code: int) -> bool:
        """Return whether a name is there."""
        knot: _Knot | None = self._root
        while knot is not None and knot.name != name:
            is_left = is_before(code, name, knot.code, knot.name)
            knot = knot.left if is_left else knot.right
        return knot is not None

    def remove(self, name: str, code: int) -> list[str] | None:
        """Remove a name that is there. Return the names in their order if the tree has become so
        small that it ends and the bucket is a plain list again; None if it goes on."""
        knot = self._root
        while knot.name != name:
            is_left = is_before(code, name, knot.code, knot.name)
            child = knot.left if is_left else knot.right
            assert child is not None, name
            knot = child
        self._unlink(knot)
        self.size -= 1
        root = self._root
        left = root.left
        # By the shape before the removal from the tree, with two to six names.
        if root.right is None or left is None or left.left is None:
            return self.names()
        self._uproot(knot)
        self._lift_root()
        return None

    # --- the list -------------------------------------------------------------------

    def _unlink(self, knot: _Knot) -> None:
        before, after = knot.before, knot.after
        if before is not None:
            before.after = after
        elif after is not None:
            self._first = after
        if after is not None:
            after.before = before

    def _lift_root(self) -> None:
        root, first = self._root, self._first
        if root is first:
            return
        self._unlink(root)
        root.before = None
        root.after = first
        first.before = root
        self._first = root

    # --- the tree: red-black, as in every textbook ----------------------------------

    def _replace(self, knot: _Knot, other: _Knot | None) -> None:
        """Make the parent of ``knot`` point to ``other`` instead."""
        parent = knot.parent
        if parent is None:
            assert other is not None, knot.name
            self._root = other
        elif parent.left is knot:
            parent.left = other
        else:
            parent.right = other
        if other is not None:
            other.parent = parent

    def _rotate(self, knot: _Knot, to_left: bool) -> None:
        """Sink ``knot`` to one side; its child of the other side takes its place."""
        riser = knot.right if to_left else knot.left
        assert riser is not None, knot.name
        inner = riser.left if to_left else riser.right
        self._replace(knot, riser)
        if to_left:
            knot.right, riser.left = inner, knot
        else:
            knot.left, riser.right = inner, knot
        knot.parent = riser
        if inner is not None:
            inner.parent = knot

    def _mend_after_insertion(self, knot: _Knot) -> None:
        knot.is_red = True
        while True:
            parent = knot.parent
            if parent is None:
                knot.is_red = False
                return
            above = parent.parent
            if not parent.is_red or above is None:
                return
            is_left = above.left is parent
            uncle = above.right if is_left else above.left
            if uncle is not None and uncle.is_red:
                uncle.is_red = parent.is_red = False
                above.is_red = True
                knot = above
                continue
            if knot is (parent.right if is_left else parent.left):
                self._rotate(parent, is_left)
                knot, parent = parent, knot
            parent.is_red = False
            above.is_red = True
            self._rotate(above, not is_left)

    def _uproot(self, knot: _Knot) -> None:
        """Take a knot out of the tree."""
        if knot.left is not None and knot.right is not None:
            self._swap_with_successor(knot)
        child = knot.left if knot.left is not None else knot.right
        if child is not None:
            self._replace(knot, child)
            if child.parent is None:
                child.is_red = False
            elif not knot.is_red:
                self._mend_after_removal(child)
            return
        if not knot.is_red:
            self._mend_after_removal(knot)
        self._replace(knot, None)

    def _swap_with_successor(self, knot: _Knot) -> None:
        """Exchange places and colours of a knot with the next greater one, which has no left
        child."""
        assert knot.left is not None, knot.name
        assert knot.right is not None, knot.name
        heir = knot.right
        while heir.left is not None:
            heir = heir.left
        knot.is_red, heir.is_red = heir.is_red, knot.is_red
        left, right, orphan = knot.left, knot.right, heir.right
        heir_parent = heir.parent
        self._replace(knot, heir)
        heir.left, left.parent = left, heir
        if heir is right:
            heir.right, knot.parent = knot, heir
        else:
            assert heir_parent is not None, heir.name
            heir.right, right.parent = right, heir
            heir_parent.left, knot.parent = knot, heir_parent
        knot.left, knot.right = None, orphan
        if orphan is not None:
            orphan.parent = knot

    def _mend_after_removal(self, knot: _Knot) -> None:
        """Make up for a black knot that is missing on the way through ``knot``."""
        while True:
            parent = knot.parent
            if parent is None or knot.is_red:
                knot.is_red = False
                return
            is_left = parent.left is knot
            sibling = parent.right if is_left else parent.left
            assert sibling is not None, knot.name
            if sibling.is_red:
                sibling.is_red, parent.is_red = False, True
                self._rotate(parent, is_left)
                sibling = parent.right if is_left else parent.left
                assert sibling is not None, knot.name
            near, far = sibling.left, sibling.right
            if not is_left:
                near, far = far, near
            if far is None or not far.is_red:
                if near is None or not near.is_red:
                    sibling.is_red = True
                    knot = parent
                    continue
                near.is_red, sibling.is_red = False, True
                self._rotate(sibling, not is_left)
                sibling, far = near, sibling
            sibling.is_red = parent.is_red
            parent.is_red = far.is_red = False
            self._rotate(parent, is_left)
            return


def _bin_of(knots: list[_Knot]) -> object:
    names = [knot.name for knot in knots]
    if len(names) > SMALL:
        return TreeBin(names, [knot.code for knot in knots])
    return names
