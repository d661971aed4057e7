"""A znode: the stat that clients see, the one that snapshots hold, its share of the digest."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import CONTAINER_OWNER
from pyzk.data.node import (
    JOINED_BYTES,
    KEPT_PATH,
    STAT_BYTES,
    DataNode,
    KeptStats,
    compute_digest,
    to_int32,
)
from pyzk.jute.records import Stat

ints = st.integers(-(1 << 31), (1 << 31) - 1)
longs = st.integers(-(1 << 63), (1 << 63) - 1)


def stat_of(node: DataNode) -> Stat:
    raw = node.encode_stat()
    return Stat.decode(raw, 0, len(raw))[0]


@pytest.mark.parametrize(
    ("value", "wrapped"),
    [
        (0, 0),
        (-1, -1),
        ((1 << 31) - 1, (1 << 31) - 1),
        (1 << 31, -(1 << 31)),
        (-(1 << 31), -(1 << 31)),
        (-(1 << 31) - 1, (1 << 31) - 1),
        (1 << 32, 0),
    ],
)
def test_numbers_wrap_to_32_bits_as_in_java(value: int, wrapped: int) -> None:
    assert to_int32(value) == wrapped


def test_the_wire_stat_has_every_field_in_its_place() -> None:
    node = DataNode(b"data", -1, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    node.add_child("/a", 1)
    node.add_child("/b", 1)
    assert stat_of(node) == Stat(1, 2, 3, 4, 5, 2 * 6 - 2, 7, 0, 4, 2, 9)


def test_the_owner_shown_is_the_one_that_the_tree_found_to_be_a_session() -> None:
    node = DataNode(b"", -1, ephemeral_owner=CONTAINER_OWNER)
    assert stat_of(node).ephemeral_owner == 0
    session = DataNode(b"", -1, ephemeral_owner=77)
    session.is_owned = True
    assert stat_of(session).ephemeral_owner == 77


@pytest.mark.parametrize("data", [None, b""])
def test_null_and_empty_data_both_have_length_zero(data: bytes | None) -> None:
    assert stat_of(DataNode(data, -1)).data_length == 0


def test_the_wire_cversion_is_twice_the_creations_less_the_children() -> None:
    node = DataNode(b"", -1)
    assert stat_of(node).cversion == 0
    node.add_child("/a", 1)
    node.stat = None
    assert stat_of(node).cversion == -1  # the root of a fresh tree
    node.cversion = (1 << 31) - 1
    node.stat = None
    assert stat_of(node).cversion == -3  # 32-bit arithmetic


def test_the_wire_stat_is_kept_until_a_field_changes() -> None:
    node = DataNode(b"a", -1)
    raw = KeptStats({"/a": node}).encode("/a", node)
    assert node.encode_stat() is raw
    node.set_data_quietly(b"abc")
    assert stat_of(node).data_length == 3
    assert node.encode_stat() is node.encode_stat(), "the new one is kept as well"
    assert node.data == b"abc"
    assert node.version == 0


@given(st.tuples(longs, longs, longs, longs, ints, ints, ints, longs, longs))
def test_snapshots_hold_the_raw_fields(fields: tuple[int, ...]) -> None:
    raw = DataNode(b"x", -1, *fields).encode_persisted()
    assert raw == struct.pack(">qqqqiiiqq", *fields)


def test_a_copy_shares_the_children_only() -> None:
    node = DataNode(b"data", 3, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    node.add_child("/a", 1)
    compute_digest("/p", node)
    node.digest = 99
    copy = node.copy()
    assert copy.encode_persisted() == node.encode_persisted()
    assert (copy.data, copy.acl_id, copy.digest) == (b"data", 3, 99)
    assert copy.children is node.children
    copy.version += 1
    assert node.version == 5
    assert compute_digest("/p", copy) != compute_digest("/p", node)


# --- digests: request-order-of-checks.md §8 ----------------------------------------


def test_digests_of_the_first_znodes_are_the_original_s() -> None:
    assert compute_digest("/", DataNode(b"", -1)) == 68323592
    assert compute_digest("/zookeeper", DataNode(b"", -1)) == 1303661912


@pytest.mark.parametrize("path", ["/zookeeper/quota", "/zookeeper/config", "/zookeeper/x/y"])
def test_znodes_below_zookeeper_count_nothing(path: str) -> None:
    node = DataNode(b"data", -1, 1, 2, 3)
    assert compute_digest(path, node) == 0
    assert compute_digest(path, node) == 0  # from the cache


@pytest.mark.parametrize("path", ["/zookeeper", "/zookeeperx", "/a/zookeeper/b"])
def test_only_what_is_below_zookeeper_counts_nothing(path: str) -> None:
    assert compute_digest(path, DataNode(b"", -1)) != 0


@given(
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8),
    st.none() | st.binary(max_size=10),
    st.tuples(longs, longs, longs, longs, ints, ints, ints, longs, longs),
)
def test_a_digest_is_the_crc_of_path_data_and_stat(
    name: str, data: bytes | None, fields: tuple[int, ...]
) -> None:
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid = fields
    node = DataNode(data, -1, *fields)
    raw = f"/n{name}".encode() + (data or b"")
    raw += struct.pack(
        ">qqqqqiiiq", czxid, mzxid, pzxid, ctime, mtime, version, cversion, aversion, owner
    )
    assert compute_digest(f"/n{name}", node) == zlib.crc32(raw)
    node.mzxid ^= 1
    assert compute_digest(f"/n{name}", node) != zlib.crc32(raw)


@pytest.mark.parametrize("length", [JOINED_BYTES, JOINED_BYTES + 1, 1 << 20])
def test_long_data_is_digested_like_short_data(length: int) -> None:
    data = b"x" * length
    node = DataNode(data, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    raw = b"/n" + data + struct.pack(">qqqqqiiiq", 1, 2, 9, 3, 4, 5, 6, 7, 8)
    assert compute_digest("/n", node) == zlib.crc32(raw)


def test_a_path_with_surrogates_has_a_digest_too() -> None:
    """Such a path cannot be created, but a log may hold anything."""
    assert compute_digest("/\ud800", DataNode(b"", -1)) > 0


# --- the stats that are kept ----------------------------------------------------------


def test_only_the_stats_of_the_znodes_read_last_are_kept() -> None:
    nodes = {f"/{number}": DataNode(bytes(number), -1) for number in range(5)}
    stats = KeptStats(nodes, 3)
    for path in ("/0", "/1", "/0", "/2", "/3", "/0", "/3", "/4"):
        node = nodes[path]
        node.set_data_quietly(b"changed")  # which makes it no younger
        assert stats.encode(path, node) == node.stat == node.encode_stat()
    assert [path for path, node in nodes.items() if node.stat] == ["/0", "/3", "/4"]


def test_no_long_path_is_kept_for_a_stat() -> None:
    """Its znode may be gone: 65,536 of such paths could have 64 GB."""
    path, longest = "/" + "x" * KEPT_PATH, "/" + "y" * (KEPT_PATH - 1)
    nodes = {path: DataNode(b"x", -1), longest: DataNode(b"x", -1)}
    stats = KeptStats(nodes)
    for each, node in nodes.items():
        assert stats.encode(each, node) == node.encode_stat()
    assert nodes[path].stat is None
    assert nodes[longest].stat


def test_a_stat_that_nobody_reads_is_not_kept() -> None:
    node = DataNode(b"x", -1)
    assert len(node.encode_stat()) == STAT_BYTES
    node.set_data_quietly(b"y")
    assert len(node.encode_stat()) == STAT_BYTES
    assert node.stat is None


def test_the_stat_of_a_znode_that_was_made_anew_may_be_dropped_early() -> None:
    nodes = {"/a": DataNode(b"", -1), "/b": DataNode(b"", -1), "/c": DataNode(b"", -1)}
    stats = KeptStats(nodes, 2)
    stats.encode("/a", nodes["/a"])
    nodes["/a"] = DataNode(b"new", -1)
    stats.encode("/a", nodes["/a"])
    stats.encode("/b", nodes["/b"])
    assert nodes["/a"].stat is None, "the oldest entry has its path"
    del nodes["/a"]
    stats.encode("/c", nodes["/c"])
    assert [bool(node.stat) for node in nodes.values()] == [True, True]
