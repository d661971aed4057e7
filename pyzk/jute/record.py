"""What all Jute records have in common: they compare by their fields, and show them.

Pure. Answers to Record.
"""

from __future__ import annotations

from typing import ClassVar

from pyzk.compiling import mypyc_attr


# No record is part of a cycle, so the compiled form needs no head for the collector.
@mypyc_attr(acyclic=True)
class Record:
    """A record of the wire; its own class has the constructor, ``encode`` and ``decode``."""

    __slots__ = ()

    FIELDS: ClassVar[tuple[str, ...]] = ()
    """The names of the fields, in wire order."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({shown})"
