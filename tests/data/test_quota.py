"""Quotas: the text of both znodes, bookkeeping, enforcement, gauges."""

from __future__ import annotations

import logging

import pytest

from pyzk.constants import ErrorCode
from pyzk.data.node import DataNode
from pyzk.data.quota import QuotaTable, QuotaText
from pyzk.errors import MarshallingError, QuotaExceeded


class Tree:
    """Znodes and a quota table, with the hooks called as DataTree calls them."""

    def __init__(self) -> None:
        self.nodes = {path: DataNode(b"", -1) for path in ("/", "/zookeeper", "/zookeeper/quota")}
        self.nodes["/"].add_child("/zookeeper", 1)
        self.nodes["/zookeeper"].add_child("/zookeeper/quota", 11)
        self.quota = QuotaTable()

    def create(self, path: str, data: bytes | None = b"") -> None:
        name_at = path.rindex("/") + 1
        self.nodes[path[: name_at - 1] or "/"].add_child(path, name_at)
        node = self.nodes[path] = DataNode(data, -1)
        self.quota.created(path, node, self.nodes)

    def delete(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        children = self.nodes[parent or "/"].children
        assert children is not None
        children.discard(name)
        self.quota.deleted(path, self.nodes.pop(path), self.nodes)

    def set_data(self, path: str, data: bytes | None) -> None:
        node = self.nodes[path]
        difference = len(data or b"") - len(node.data or b"")
        node.data = data
        self.quota.changed(path, difference, self.nodes)

    def set_quota(self, path: str, limits: bytes) -> None:
        """As zkCli does: missing parents, limits, stats."""
        at = "/zookeeper/quota"
        for name in path[1:].split("/"):
            at += f"/{name}"
            if at not in self.nodes:
                self.create(at, None)
        self.create(at + "/zookeeper_limits", limits)
        self.create(at + "/zookeeper_stats", b"count=0,bytes=0")

    def stats(self, path: str) -> bytes | None:
        return self.nodes[f"/zookeeper/quota{path}/zookeeper_stats"].data


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.create("/a", b"12345")
    tree.create("/a/b", b"1")
    tree.create("/a/b/c", None)
    tree.create("/ab", b"xxx")
    return tree


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (b"count=3,bytes=17", {"count": 3, "bytes": 17}),
        (
            b"count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=-1",
            {"count": 5, "bytes": -1, "byteHardLimit": -1, "countHardLimit": -1},
        ),
        (b"", {}),
        (None, {}),
        (b"count==3,bytes=5=;x=7", {"count": -1, "bytes": 5, "x": 7}),
        (b",;count=+1;;bytes=-2", {"count": 1, "bytes": -2}),
    ],
)
def test_text_is_read(text: bytes | None, numbers: dict[str, int]) -> None:
    parsed = QuotaText.parse(text)
    assert parsed.numbers == numbers
    assert parsed.malformed is None


MALFORMED = [
    b"count=many",
    b"count",
    b"count=",
    b"count=5 ",
    b"count=\xff",
    b"count=1_0",
    b"count==",
]


@pytest.mark.parametrize("text", [*MALFORMED, b"count=9223372036854775808"])
def test_malformed_numbers_are_no_limit(text: bytes) -> None:
    parsed = QuotaText.parse(text)
    assert parsed.numbers == {}
    assert parsed.count == -1
    assert parsed.malformed is not None


def test_malformed_stats_are_logged_and_go_on_from_minus_one(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.set_quota("/a", b"")
    tree.set_data("/zookeeper/quota/a/zookeeper_stats", b"rubbish")
    tree.create("/a/x", b"12")
    assert "zookeeper_stats: 'rubbish' counts as -1" in caplog.text
    assert tree.stats("/a") == b"count=0,bytes=1"


@pytest.mark.parametrize("name", ["zookeeper_limits", "zookeeper_stats"])
def test_enforcing_by_malformed_text_fails_the_request(tree: Tree, name: str) -> None:
    tree.set_quota("/a", b"countHardLimit=10")
    tree.set_data(f"/zookeeper/quota/a/{name}", b"rubbish")
    with pytest.raises(MarshallingError):
        tree.quota.check(tree.nodes, "/a/x", 1, 0)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({}, b"count=-1,bytes=-1"),
        ({"bytes": 17, "count": 3}, b"count=3,bytes=17"),
        ({"count": 5, "byteHardLimit": 9}, b"count=5,bytes=-1=;byteHardLimit=9"),
        (
            {"countHardLimit": 10, "byteHardLimit": 1000},
            b"count=-1,bytes=-1=;byteHardLimit=1000;countHardLimit=10",
        ),
    ],
)
def test_text_is_written_as_the_original_does(numbers: dict[str, int], text: bytes) -> None:
    assert QuotaText(numbers).encode() == text


def test_without_quota_nothing_happens(tree: Tree) -> None:
    assert len(tree.quota) == 0
    assert tree.quota.deepest("/a/b") is None
    tree.quota.check(tree.nodes, "/a/b", 1, 100)
    tree.set_data("/a", b"")
    tree.delete("/ab")


def test_creating_the_stats_znode_counts_the_subtree(tree: Tree) -> None:
    tree.set_quota("/a", b"count=10,bytes=100")
    assert tree.stats("/a") == b"count=3,bytes=6"


def test_changes_below_are_counted_and_touch_nothing_but_the_data(tree: Tree) -> None:
    tree.set_quota("/a", b"count=10,bytes=100")
    stats = tree.nodes["/zookeeper/quota/a/zookeeper_stats"]
    before = stats.encode_persisted()
    tree.create("/a/d", b"1234")
    assert tree.stats("/a") == b"count=4,bytes=10"
    tree.set_data("/a/d", b"1")
    tree.set_data("/a", None)
    assert tree.stats("/a") == b"count=4,bytes=2"
    tree.delete("/a/d")
    tree.delete("/a/b/c")
    assert tree.stats("/a") == b"count=2,bytes=1"
    tree.create("/abc", b"other")
    tree.set_data("/ab", b"")
    assert tree.stats("/a") == b"count=2,bytes=1"
    assert stats.encode_persisted() == before
    assert stats.encode_stat()[-16:-12] == (15).to_bytes(4), "dataLength follows"


def test_only_the_deepest_quota_counts(tree: Tree) -> None:
    tree.set_quota("/a", b"")
    tree.set_quota("/a/b", b"")
    tree.create("/a/b/x", b"123")
    assert tree.quota.deepest("/a/b/x") == "/a/b"
    assert tree.stats("/a/b") == b"count=3,bytes=4"
    assert tree.stats("/a") == b"count=3,bytes=6"


def test_other_keys_of_the_stats_znode_survive(tree: Tree) -> None:
    tree.set_quota("/a", b"")
    tree.set_data("/zookeeper/quota/a/zookeeper_stats", b"bytes=1=;z=3;y=2")
    tree.create("/a/x", b"1")
    assert tree.stats("/a") == b"count=0,bytes=2=;y=2;z=3"


def test_deleting_the_limits_ends_the_quota(tree: Tree) -> None:
    tree.set_quota("/a", b"count=1")
    tree.delete("/zookeeper/quota/a/zookeeper_stats")
    tree.delete("/zookeeper/quota/a/zookeeper_limits")
    assert len(tree.quota) == 0
    tree.create("/a/x")
    tree.quota.check(tree.nodes, "/a/y", 1, 1)


def test_missing_stats_are_logged_and_ignored(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    tree.create("/zookeeper/quota/a", None)
    tree.create("/zookeeper/quota/a/zookeeper_limits", b"countHardLimit=1")
    tree.create("/a/x")
    assert "has no znode /zookeeper/quota/a/zookeeper_stats" in caplog.text
    tree.quota.check(tree.nodes, "/a/y", 1, 1)
    tree.quota.load(tree.nodes)
    assert len(tree.quota) == 1


def test_a_quota_without_path_is_ignored(tree: Tree) -> None:
    tree.create("/zookeeper/quota/zookeeper_limits", b"")
    tree.create("/zookeeper/quota/zookeeper_stats", b"x")
    tree.create("/zookeeper/quota/other", b"x")
    assert len(tree.quota) == 0
    assert tree.nodes["/zookeeper/quota/zookeeper_stats"].data == b"x"
    tree.quota.load(tree.nodes)
    assert len(tree.quota) == 0


def test_loading_finds_the_quotas_and_counts_anew(tree: Tree) -> None:
    tree.set_quota("/a", b"count=10")
    tree.set_quota("/gone", b"count=10")
    stats = tree.nodes["/zookeeper/quota/a/zookeeper_stats"]
    stats.set_data_quietly(b"nonsense")
    tree.quota = QuotaTable()
    tree.quota.load(tree.nodes)
    assert len(tree.quota) == 2
    assert tree.stats("/a") == b"count=3,bytes=6"
    assert tree.stats("/gone") == b"count=0,bytes=0"
    tree.create("/a/x", b"1")
    assert tree.stats("/a") == b"count=4,bytes=7"


def test_loading_a_tree_without_quota_node() -> None:
    quota = QuotaTable()
    quota.load({"/": DataNode(b"", -1)})
    assert len(quota) == 0


@pytest.mark.parametrize(
    ("limits", "count", "size", "message"),
    [
        (b"countHardLimit=3", 1, 0, "[current count=4, hardCountLimit=3]"),
        (b"countHardLimit=0", 1, 0, "[current count=4, hardCountLimit=0]"),
        (b"byteHardLimit=9", 1, 4, "[current bytes=10, hardByteLimit=9]"),
        (b"byteHardLimit=1", 0, -1, "[current bytes=5, hardByteLimit=1]"),
        (b"count=1,countHardLimit=3", 1, 0, "[current count=4, hardCountLimit=3]"),
    ],
)
def test_hard_limits_refuse(tree: Tree, limits: bytes, count: int, size: int, message: str) -> None:
    tree.set_quota("/a", limits)
    with pytest.raises(QuotaExceeded) as caught:
        tree.quota.check(tree.nodes, "/a/x", count, size)
    assert caught.value.code == ErrorCode.QUOTA_EXCEEDED
    assert str(caught.value) == f"Quota exceeded: /a {message}"
    assert tree.quota.violations == {"a": 1}


@pytest.mark.parametrize(
    ("limits", "count", "size"),
    [
        (b"", 1, 100),
        (b"countHardLimit=4,byteHardLimit=8", 1, 2),
        (b"countHardLimit=0", 0, 5),
        (b"byteHardLimit=0", 1, 0),
        (b"count=1,bytes=1", 1, 1),
    ],
)
def test_what_fits_or_is_only_soft_passes(tree: Tree, limits: bytes, count: int, size: int) -> None:
    tree.set_quota("/a", limits)
    tree.quota.check(tree.nodes, "/a/x", count, size)
    assert tree.quota.violations == {}


def test_passing_a_limit_is_logged_once_until_something_fits_again(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.set_quota("/a", b"bytes=10")
    with caplog.at_level(logging.WARNING):
        for size in (100, 200, 1, 300):
            tree.quota.check(tree.nodes, "/a/x", 0, size)
    assert [record.getMessage() for record in caplog.records] == [
        "Quota exceeded: /a [current bytes=106, softByteLimit=10]",
        "Quota exceeded: /a [current bytes=306, softByteLimit=10]",
    ]


def test_gauges_sum_by_namespace_and_prefer_hard_limits(tree: Tree) -> None:
    tree.set_quota("/a", b"count=7,bytes=70,byteHardLimit=80")
    tree.set_quota("/a/b", b"countHardLimit=5")
    tree.create("/zookeeper/quota/ab", None)
    tree.create("/zookeeper/quota/ab/zookeeper_limits", b"count=1,bytes=2")
    tree.create("/zookeeper/quota/q", None)
    tree.create("/zookeeper/quota/q/zookeeper_limits", b"")
    tree.create("/zookeeper/quota/q/zookeeper_stats", b"")
    del tree.nodes["/zookeeper/quota/q/zookeeper_limits"]
    assert tree.quota.by_namespace(tree.nodes) == {
        "quota_bytes_limit_per_namespace": {"a": 79, "ab": 2},
        "quota_count_usage_per_namespace": {"a": 5, "q": 0},
        "quota_count_limit_per_namespace": {"a": 12, "ab": 1},
        "quota_bytes_usage_per_namespace": {"a": 7, "q": 0},
    }
