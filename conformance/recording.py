"""Recorded exchanges between clients and the original, one JSON object per line.

Shell.

The format is described in tests/testdata/client/README.md.  Positions in `mask` are offsets into
the frame with its length: what they mark differs from run to run.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import attrs

Mask = tuple[int, int, str]


@attrs.frozen
class Line:
    """One thing that happened: bytes sent or received, a connection opened or closed, a pause."""

    number: int
    kind: str
    connection: str = ""
    data: bytes = b""
    masks: tuple[Mask, ...] = ()
    op: int | None = None
    handshake: bool = False
    raw: bool = False
    seconds: float = 0.0
    comment: str = ""


@attrs.frozen
class Recording:
    """One scenario: the server's configuration and what was said."""

    name: str
    server: str
    config: dict[str, str]
    properties: dict[str, str]
    mode: str
    nondeterministic: bool
    lines: tuple[Line, ...]

    @property
    def replayable(self) -> str | None:
        """Why this recording cannot be replayed against a single fresh server; None if it can."""
        if self.mode != "standalone":
            return "needs an ensemble"
        return "its order is a race" if self.nondeterministic else None

    @property
    def counts_connections(self) -> bool:
        """Whether a probe of the server would change the answers."""
        return self.name.startswith("max_cnxns")


def load(path: Path) -> Recording:
    """Reads a recording, gzip'ed or plain."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        meta, *rest = [json.loads(text) for text in file]
    return Recording(
        name=meta["scenario"],
        server=meta["server"],
        config={key: str(value) for key, value in meta["config"].items()},
        properties={key: str(value) for key, value in meta["jvmProperties"].items()},
        mode=meta["mode"],
        nondeterministic=bool(meta.get("nondeterministic")),
        lines=tuple(_line(number, entry) for number, entry in enumerate(rest, 2)),
    )


def _line(number: int, entry: dict[str, Any]) -> Line:
    decoded = entry.get("frame") or {}
    return Line(
        number=number,
        kind=entry["dir"],
        connection=entry.get("conn", ""),
        data=bytes.fromhex(entry.get("hex", "")),
        masks=tuple((offset, size, kind) for offset, size, kind in entry.get("mask") or ()),
        op=decoded.get("op"),
        handshake=decoded.get("kind") == "connectResponse",
        raw=bool(entry.get("raw")),
        seconds=float(entry.get("seconds", 0)),
        comment=entry.get("comment", ""),
    )
