"""Writes the tables of docs/metrics.md, between its two markers.

Shell. `python -m scripts.gen_metrics_table [--check]`; the rows are those of
`pyzk/admin/metric_notes.py`, their types those that a server gives away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from random import Random
from typing import Final

from pyzk.admin import metric_notes as notes
from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.quorum.standalone import standalone_peer
from pyzk.server import metric_families
from scripts import generated

TARGET: Final = generated.DOCS / "metrics.md"


def kinds() -> dict[str, str]:
    """Return the types of the families of a server that stands alone."""
    peer = standalone_peer(ServerConfig(), Database(DataTree()), Clock(), Random(0))
    peer.start()
    return {each.name: each.kind for each in metric_families.families(peer.server)}


def table(title: str, rows: Mapping[str, notes.Note], kind: str = "") -> Iterator[str]:
    known = kinds()
    yield f"\n### {title}\n"
    yield "| name | type | meaning | unit | fed by |"
    yield "| --- | --- | --- | --- | --- |"
    for name, note in sorted(rows.items()):
        shown = kind or known.get(name) or metric_families.PROCESS_KINDS.get(name, "gauge")
        yield f"| `{name}` | {shown} | {note.meaning} | {note.unit} | {note.fed} |"


def unfed(title: str, rows: tuple[notes.Unfed, ...]) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield "| name | why |"
    yield "| --- | --- |"
    for row in rows:
        for name in row.names:
            yield f"| `{name}` | {row.reason} |"


def lines() -> Iterator[str]:
    yield from table("Gauges", notes.GAUGES, "gauge")
    yield from table("Counters", notes.COUNTERS)
    yield from table("Summaries", notes.SUMMARIES)
    yield from table("The process", notes.PROCESS)
    yield from table("What only pyzk has", notes.OURS)
    yield from unfed("Without a meaning here", notes.UNFED)
    yield from unfed("Of the JVM, and left out", notes.NO_JVM)


def generate(text: str) -> str:
    """Return `text` with the part between the markers written anew."""
    return generated.replaced(text, "gen_metrics_table", "\n".join(lines()))


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
