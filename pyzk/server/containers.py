"""Which containers and TTL znodes are due for deletion.

Pure. ZooKeeper: ContainerManager.
The caller asks once every ``container_check_interval_ms`` and turns each path into a
deleteContainer transaction; preparing that transaction checks again, so a child that arrives in
between saves the znode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.data.java_order import HashTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyzk.config.server import ServerConfig
    from pyzk.data.tree import DataTree


def due(tree: DataTree, wall_ms: int, config: ServerConfig) -> list[str]:
    """Return the paths to delete now, at most as many as ``container_max_per_minute`` allows until
    the next check; the rest is due then."""
    limit = config.container_max_per_minute * config.container_check_interval_ms // 60_000
    containers = list(_containers(tree, wall_ms, config.container_max_never_used_interval_ms))
    ttls = list(_ttls(tree, wall_ms))
    # The original goes through copies of its sets.
    paths = HashTable.copy_of(len(tree.containers), containers).names()
    paths += HashTable.copy_of(len(tree.ttls), ttls).names()
    return paths[: max(1, limit)]


def _containers(tree: DataTree, wall_ms: int, max_never_used_ms: int) -> Iterator[str]:
    for path in tree.containers:
        node = tree.nodes[path]
        was_used = node.cversion > 0  # it counts creations of children
        is_forgotten = 0 < max_never_used_ms < wall_ms - node.mtime
        if not node.children and (was_used or is_forgotten):
            yield path


def _ttls(tree: DataTree, wall_ms: int) -> Iterator[str]:
    for path in tree.ttls:
        node = tree.nodes[path]
        if not node.children and wall_ms - node.mtime > tree.ttl_ms(node):
            yield path
