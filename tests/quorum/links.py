"""The recorded links of the quorum port, for the tests that replay them."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PATH = Path(__file__).parent.parent / "testdata" / "quorum_zab" / "links.jsonl.gz"


class Frame(NamedTuple):
    """One packet, or a whole snapshot, and what an independent decoder made of it."""

    is_from_leader: bool
    raw: bytes
    seen: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.seen["typeName"])


class RecordedLink(NamedTuple):
    """One connection."""

    name: str
    sync: dict[str, int]
    frames: list[Frame]

    def sent(self, *, by_leader: bool) -> list[Frame]:
        return [frame for frame in self.frames if frame.is_from_leader == by_leader]


@cache
def links() -> list[RecordedLink]:
    found: list[RecordedLink] = []
    for line in gzip.decompress(PATH.read_bytes()).splitlines():
        entry = json.loads(line)
        if "recording" in entry:
            name = f"{entry['recording']} {entry['learner']}->{entry['leader']} #{len(found)}"
            sync = {key: int(value, 16) for key, value in entry["sync"].items()}
            found.append(RecordedLink(name, sync, []))
        else:
            is_from_leader = entry["dir"] == "leader"
            frame = Frame(is_from_leader, bytes.fromhex(entry["hex"]), entry["frame"])
            found[-1].frames.append(frame)
    return found
