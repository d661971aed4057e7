"""The snapshot of a tree of a million znodes, 200,000 of them below one parent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from pyzk.data.node import DataNode
from pyzk.data.snapshot_view import Frozen
from pyzk.persistence.filenames import snapshot_name
from pyzk.persistence.snapshot import SnapshotEncoder

ZNODES: Final = 1_000_000
CHILDREN: Final = 200_000
"""The children of /big; their names are in no order."""
_ELSEWHERE: Final = 1000
"""The children of each other parent."""
_ZXID: Final = 1 << 32


def write_big_tree(data_dir: Path) -> None:
    """Writes the snapshot that a server with this dataDir starts with."""
    directory = data_dir / "version-2"
    directory.mkdir(parents=True)
    encoder = SnapshotEncoder()
    with (directory / snapshot_name(_ZXID)).open("wb") as file:
        file.write(encoder.begin((), ()))
        nodes = _nodes()
        while part := list(islice(nodes, 10_000)):
            file.write(encoder.nodes(part))
        file.write(encoder.finish(_ZXID, None))


def _nodes() -> Iterator[Frozen]:
    stat = DataNode(b"", -1, czxid=1, mzxid=1).encode_persisted()
    yield "", b"", -1, stat
    yield "/big", b"", -1, stat
    order = list(range(CHILDREN))
    Random(5).shuffle(order)
    for number in order:
        yield f"/big/node-{number:06d}", b"data", -1, stat
    left = ZNODES - CHILDREN - 2
    parent = 0
    while left > 0:
        path = f"/parent-{parent:03d}"
        yield path, b"", -1, stat
        for number in range(min(_ELSEWHERE, left - 1)):
            yield f"{path}/node-{number:04d}", b"", -1, stat
        left -= 1 + min(_ELSEWHERE, left - 1)
        parent += 1
