"""Compression of snapshots: gzip and the stream format of snappy-java, each fed piece by piece.

Pure. A `Compressor` takes chunks and gives back what is ready; a `Decompressor` is the other way
round and never produces more than a bounded piece for what it was fed. Which one applies to a file
is decided by the end of its name, as Java does.

Snappy is written here in Python: the block format (varint length, then literals and copies) and the
container of snappy-java (magic, two versions, then blocks with a big-endian length). Compressing
looks for matches at growing steps, so that incompressible data costs little; it is a courtesy for
operators who set the option, gzip is faster and smaller.

ZooKeeper: SnapStream.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, Protocol

from pyzk.jute.packing import pack_int

SNAPPY_MAGIC: Final = b"\x82SNAPPY\x00"
SNAPPY_HEADER: Final = SNAPPY_MAGIC + struct.pack(">ii", 1, 1)
GZIP_MAGIC: Final = b"\x1f\x8b"
BLOCK_BYTES: Final = 32 * 1024
"""The default size of a block before compression in snappy-java."""
MAX_BLOCK_BYTES: Final = 1 << 24
"""The longest block that is accepted when reading; snappy-java lets a user configure the size."""
PIECE_BYTES: Final = 1 << 20
"""The most that a decompressor returns at once (plus one snappy block)."""


class Compressor(Protocol):
    """Turns a stream into a compressed one."""

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class Decompressor(Protocol):
    """Turns compressed pieces back into the stream; raises ValueError on anything malformed."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces that ``data`` completes."""
        ...

    def finish(self) -> None:
        """Raise ValueError if the stream ended early."""
        ...


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _GzipCompressor:
    def __init__(self) -> None:
        # 16 + window bits: zlib writes a gzip header with a zero time, so output is reproducible.
        self._stream = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class _SnappyCompressor:
    def __init__(self) -> None:
        self._pending = bytearray()
        self._header = SNAPPY_HEADER

    def feed(self, data: bytes) -> bytes:
        pending = self._pending
        pending += data
        out = [self._header]
        self._header = b""
        start = 0
        while len(pending) - start >= BLOCK_BYTES:
            out.append(_block(bytes(pending[start : start + BLOCK_BYTES])))
            start += BLOCK_BYTES
        del pending[:start]
        return b"".join(out)

    def finish(self) -> bytes:
        rest = bytes(self._pending)
        self._pending.clear()
        return self._header + (_block(rest) if rest else b"")


def _block(data: bytes) -> bytes:
    compressed = snappy_compress(data)
    return pack_int(len(compressed)) + compressed


class _Plain:
    def feed(self, data: bytes) -> list[bytes]:
        return [data] if data else []

    def finish(self) -> None:
        pass


class _GzipDecompressor:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> list[bytes]:
        pieces = []
        try:
            while data:
                if self._stream.eof:
                    raise ValueError("data after the end of the gzip stream")
                piece = self._stream.decompress(data, PIECE_BYTES)
                if piece:
                    pieces.append(piece)
                data = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error as error:
            raise ValueError(f"gzip: {error}") from None
        return pieces

    def finish(self) -> None:
        if not self._stream.eof:
            raise ValueError("the gzip stream ends early")


class _SnappyDecompressor:
    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        pending = self._pending
        pending += data
        start = 0
        if not self._started:
            if len(pending) < len(SNAPPY_HEADER):
                return []
            if pending[: len(SNAPPY_MAGIC)] != SNAPPY_MAGIC:
                raise ValueError("snappy: not a snappy-java stream")
            self._started = True
            start = len(SNAPPY_HEADER)
        pieces = []
        while len(pending) - start >= 4:
            length = int.from_bytes(pending[start : start + 4], "big", signed=True)
            if pending[start : start + 4] == SNAPPY_MAGIC[:4]:
                # Concatenated streams: the header may come again between blocks.
                if len(pending) - start < len(SNAPPY_HEADER):
                    break
                start += len(SNAPPY_HEADER)
                continue
            if not 0 < length <= MAX_BLOCK_BYTES:
                raise ValueError(f"snappy: a block of {length} bytes")
            if len(pending) - start - 4 < length:
                break
            block = bytes(pending[start + 4 : start + 4 + length])
            pieces.append(snappy_decompress(block))
            start += 4 + length
        del pending[:start]
        return pieces

    def finish(self) -> None:
        if self._pending or not self._started:
            raise ValueError("the snappy stream ends early")


def compressor(suffix: str) -> Compressor:
    """Return a compressor for files whose name ends with ``suffix``."""
    if suffix == ".gz":
        return _GzipCompressor()
    if suffix == ".snappy":
        return _SnappyCompressor()
    return _Identity()


def decompressor(name: str) -> Decompressor:
    """Return a decompressor for a file, by the end of its name."""
    if name.endswith(".gz"):
        return _GzipDecompressor()
    if name.endswith(".snappy"):
        return _SnappyDecompressor()
    return _Plain()


def snappy_compress(data: bytes) -> bytes:
    """Return one raw snappy block. ``data`` is at most 64 KiB, so two-byte offsets suffice."""
    assert len(data) <= 1 << 16, len(data)
    out = bytearray(_varint(len(data)))
    seen: dict[bytes, int] = {}
    literal = position = 0
    misses = 32
    limit = len(data) - 4
    while position <= limit:
        word = data[position : position + 4]
        candidate = seen.get(word, -1)
        seen[word] = position
        if candidate < 0:
            position += misses >> 5
            misses += 1
            continue
        misses = 32
        end = _match_end(data, candidate + 4, position + 4)
        _emit_literal(out, data, literal, position)
        _emit_copy(out, position - candidate, end - position)
        literal = position = end
    _emit_literal(out, data, literal, len(data))
    return bytes(out)


def _match_end(data: bytes, candidate: int, position: int) -> int:
    """Return the end of the equal run in which both positions are, as seen from ``position``."""
    step = 64
    while step:
        if (
            position + step <= len(data)
            and data[candidate : candidate + step] == data[position : position + step]
        ):
            candidate += step
            position += step
        else:
            step >>= 1
    return position


def _emit_literal(out: bytearray, data: bytes, start: int, end: int) -> None:
    if start == end:
        return
    length = end - start - 1
    if length < 60:
        out.append(length << 2)
    elif length < 256:
        out += bytes((60 << 2, length))
    else:
        out += bytes((61 << 2, length & 0xFF, length >> 8))
    out += data[start:end]


def _emit_copy(out: bytearray, offset: int, length: int) -> None:
    while length > 0:
        # 60, so that never fewer than 4 bytes are left over for the last piece.
        piece = length if length <= 64 else 60
        out += bytes(((piece - 1) << 2 | 2, offset & 0xFF, offset >> 8))
        length -= piece


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def snappy_decompress(block: bytes) -> bytes:
    """Return the content of a raw snappy block; ValueError if malformed or too long."""
    try:
        expected, position = _read_varint(block)
        if expected > MAX_BLOCK_BYTES:
            raise ValueError(f"snappy: a block of {expected} bytes when unpacked")
        out = bytearray()
        end = len(block)
        while position < end:
            tag = block[position]
            position += 1
            kind = tag & 3
            if kind == 0:
                length = tag >> 2
                if length >= 60:
                    extra = length - 59
                    length = int.from_bytes(_take(block, position, extra), "little")
                    position += extra
                length += 1
                out += _take(block, position, length)
                position += length
            else:
                if kind == 1:
                    length = (tag >> 2 & 7) + 4
                    offset = (tag >> 5) << 8 | block[position]
                    position += 1
                else:
                    extra = 2 if kind == 2 else 4
                    length = (tag >> 2) + 1
                    offset = int.from_bytes(_take(block, position, extra), "little")
                    position += extra
                _copy(out, offset, length)
            if len(out) > expected:
                raise ValueError("snappy: a block longer than announced")
    except IndexError:
        raise ValueError("snappy: a block ends early") from None
    if len(out) != expected:
        raise ValueError("snappy: a block shorter than announced")
    return bytes(out)


def _read_varint(block: bytes) -> tuple[int, int]:
    value = shift = position = 0
    while True:
        byte = block[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 28:
            raise ValueError("snappy: bad length of a block")


def _take(block: bytes, position: int, count: int) -> bytes:
    data = block[position : position + count]
    if len(data) != count:
        raise ValueError("snappy: a block ends early")
    return data


def _copy(out: bytearray, offset: int, length: int) -> None:
    start = len(out) - offset
    if offset == 0 or start < 0:
        raise ValueError("snappy: a copy from before the beginning")
    if offset >= length:
        out += out[start : start + length]
    else:
        # An overlapping copy repeats the last `offset` bytes.
        pattern = bytes(out[start:])
        out += (pattern * (length // offset + 1))[:length]
