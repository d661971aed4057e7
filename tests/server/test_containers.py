"""Containers and TTL znodes: which are due, and how many at a time."""

from __future__ import annotations

from pyzk.config.server import ServerConfig
from pyzk.constants import CONTAINER_OWNER
from pyzk.data.node import DataNode
from pyzk.data.tree import DataTree, ttl_owner
from pyzk.server.containers import due

CONFIG = ServerConfig()


def tree_with(*nodes: tuple[str, int, int, int]) -> DataTree:
    """A tree with (path, ephemeralOwner, internal cversion, mtime)."""
    tree = DataTree(extended_types=True)
    for path, owner, cversion, mtime in nodes:
        node = DataNode(b"", -1, mtime=mtime, cversion=cversion, ephemeral_owner=owner)
        tree.load_node(path, node)
    return tree


def test_containers_that_lost_their_last_child_are_due() -> None:
    tree = tree_with(
        ("/never", CONTAINER_OWNER, 0, 0),
        ("/used", CONTAINER_OWNER, 1, 0),
        ("/full", CONTAINER_OWNER, 1, 0),
        ("/full/child", 0, 0, 0),
        ("/plain", 0, 3, 0),
        ("/ephemeral", 77, 0, 0),
    )
    assert due(tree, 10**12, CONFIG) == ["/used"]


def test_containers_never_used_are_due_only_if_configured() -> None:
    tree = tree_with(("/never", CONTAINER_OWNER, 0, 1000))
    config = ServerConfig(container_max_never_used_interval_ms=500)
    assert due(tree, 1500, config) == []
    assert due(tree, 1501, config) == ["/never"]


def test_ttl_znodes_are_due_after_their_time_without_children() -> None:
    tree = tree_with(
        ("/short", ttl_owner(100), 0, 1000),
        ("/long", ttl_owner(10_000), 0, 1000),
        ("/parent", ttl_owner(100), 1, 1000),
        ("/parent/child", 0, 0, 0),
    )
    assert due(tree, 1100, CONFIG) == []
    assert due(tree, 1101, CONFIG) == ["/short"]
    assert sorted(due(tree, 100_000, CONFIG)) == ["/long", "/short"]


def test_no_more_than_the_rate_until_the_next_check() -> None:
    tree = tree_with(*((f"/c{number}", CONTAINER_OWNER, 1, 0) for number in range(10)))
    config = ServerConfig(container_max_per_minute=8, container_check_interval_ms=30_000)
    assert due(tree, 0, config) == ["/c4", "/c5", "/c6", "/c7"]
    slow = ServerConfig(container_max_per_minute=1, container_check_interval_ms=1000)
    assert due(tree, 0, slow) == ["/c4"]


def test_they_go_in_the_order_of_the_original() -> None:
    """As Java 17 lists a copy of the set of all fourteen containers."""
    tree = tree_with(
        ("/box", 0, 0, 0),
        *((f"/box/container-{n}", CONTAINER_OWNER, int(n != 9), 0) for n in range(14)),
    )
    order = (8, 7, 0, 2, 10, 1, 11, 4, 3, 6, 5, 12, 13)
    assert due(tree, 0, CONFIG) == [f"/box/container-{number}" for number in order]
