"""gzip and snappy streams: round trips, hostile input."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.persistence.compression import (
    BLOCK_BYTES,
    SNAPPY_HEADER,
    compressor,
    decompressor,
    snappy_compress,
    snappy_decompress,
)

REPETITIVE = b"/app/config/node-0001" * 3000
MIXED = st.one_of(
    st.binary(max_size=3000),
    st.lists(st.sampled_from([b"abcdefgh", b"\0" * 100, b"xyz", b"/zookeeper"])).map(b"".join),
)


@given(MIXED)
def test_snappy_block_round_trip(data: bytes) -> None:
    assert snappy_decompress(snappy_compress(data)) == data


@pytest.mark.parametrize("length", [1, 59, 60, 61, 62, 255, 256, 257, 258, 5000])
def test_literals_of_every_length(length: int) -> None:
    data = random.Random(length).randbytes(length)
    packed = snappy_compress(data)
    assert len(packed) <= length + 5
    assert snappy_decompress(packed) == data


def test_snappy_compresses_repetition_and_bears_64_kib() -> None:
    data = (REPETITIVE * 2)[: 1 << 16]
    packed = snappy_compress(data)
    assert len(packed) < len(data) // 10
    assert snappy_decompress(packed) == data


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"\x00", b""),
        (b"\x05\x10hello", b"hello"),
        (b"\x0a\x04ab\x11\x02", b"ababababab"),  # one-byte offset, overlapping
        (b"\x0a\x04ab\x1e\x02\x00", b"ababababab"),  # two-byte offset
        (b"\x0a\x04ab\x1f\x02\x00\x00\x00", b"ababababab"),  # four-byte offset
        (b"\x03\xf0\x02xyz", b"xyz"),  # literal with one length byte
        (b"\x03\xf4\x02\x00xyz", b"xyz"),
    ],
)
def test_every_element_of_a_snappy_block(block: bytes, data: bytes) -> None:
    assert snappy_decompress(block) == data


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x07",  # announces 2 GiB
        b"\x05\x10hell",
        b"\x05\x10hellooo",
        b"\x06\x10hello",
        b"\x05\x11\x01",  # a copy before there is anything
        b"\x05\x04ab\x11\x00",  # offset zero
        b"\x03\x04ab\x12\x02",
        b"\x02\x04ab\x1e\x02\x00",  # longer than announced
    ],
)
def test_malformed_snappy_block(block: bytes) -> None:
    with pytest.raises(ValueError, match="snappy"):
        snappy_decompress(block)


@given(st.binary(max_size=200))
def test_hostile_snappy_never_does_anything_but_value_error(block: bytes) -> None:
    with contextlib.suppress(ValueError):
        snappy_decompress(block)


@pytest.mark.parametrize("suffix", ["", ".gz", ".snappy"])
@pytest.mark.parametrize(
    "data", [b"", b"x", REPETITIVE, bytes(BLOCK_BYTES), bytes(range(256)) * 999]
)
@pytest.mark.parametrize("step", [7, 5000, 1 << 20])
def test_stream_round_trip(suffix: str, data: bytes, step: int) -> None:
    step = max(step, len(data) // 1000)
    writer = compressor(suffix)
    packed = b"".join(writer.feed(data[i : i + step]) for i in range(0, len(data), step))
    packed += writer.finish()
    reader = decompressor("snapshot.1" + suffix)
    out = [
        piece for i in range(0, len(packed), step) for piece in reader.feed(packed[i : i + step])
    ]
    reader.finish()
    assert b"".join(out) == data
    if suffix == ".gz":
        assert gzip.decompress(packed) == data
    if suffix == ".snappy":
        assert packed.startswith(SNAPPY_HEADER)


def test_streams_that_end_early_or_late() -> None:
    for suffix in (".gz", ".snappy"):
        writer = compressor(suffix)
        packed = writer.feed(REPETITIVE) + writer.finish()
        reader = decompressor("s" + suffix)
        reader.feed(packed[:-1])
        with pytest.raises(ValueError, match="ends early"):
            reader.finish()
    reader = decompressor("s.gz")
    with pytest.raises(ValueError, match="after the end"):
        reader.feed(gzip.compress(b"a") + b"more")
    with pytest.raises(ValueError, match="gzip"):
        decompressor("s.gz").feed(b"no gzip at all")


def test_snappy_stream_limits() -> None:
    with pytest.raises(ValueError, match="not a snappy-java stream"):
        decompressor("s.snappy").feed(b"x" * 40)
    with pytest.raises(ValueError, match="a block of"):
        decompressor("s.snappy").feed(SNAPPY_HEADER + struct.pack(">i", 1 << 30))
    two = SNAPPY_HEADER + struct.pack(">i", 3) + b"\x01\x00a"
    assert decompressor("s.snappy").feed(two + two) == [b"a", b"a"]
    reader = decompressor("s.snappy")
    in_drops = [piece for byte in two + two for piece in reader.feed(bytes((byte,)))]
    assert in_drops == [b"a", b"a"]


def test_gzip_bomb_comes_in_bounded_pieces() -> None:
    packed = gzip.compress(bytes(20_000_000))
    assert max(map(len, decompressor("s.gz").feed(packed))) <= 1 << 20
