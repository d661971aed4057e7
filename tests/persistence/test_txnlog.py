"""The log file: framing, scanning, and telling a torn end from damage."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.data.txn import decode_txn
from pyzk.errors import Corrupt
from pyzk.persistence import txnlog
from pyzk.persistence.directory import SECTOR_BYTES, MemoryDirectory
from pyzk.persistence.txnlog import (
    FRAME_BYTES,
    HEADER,
    HEADER_BYTES,
    Ending,
    LogScan,
    first_zxid,
    frame_record,
    framed_zxid,
    payload_zxid,
)
from tests.persistence.disks import create_payload, framed, put, workload

GOLDEN = bytes.fromhex(
    "0000000096dd09930000003001000000000000000000000000000001000000010000018bcfe56800"
    "fffffff600007530000000020000000051c6d66042"
)
"""createSession by ZooKeeper 3.8.0: session 0x0100000000000000, zxid 0x100000001, a digest."""

PAYLOADS = workload(12)
RECORDS = framed(PAYLOADS)
LOG = HEADER + b"".join(RECORDS)


def scan(data: bytes, window: int = 1 << 20) -> tuple[list[bytes], LogScan]:
    directory = MemoryDirectory()
    put(directory, "log.1", data)
    log = LogScan(directory, "log.1", window_bytes=window)
    return [payload for _, payload in log], log


def test_golden_record() -> None:
    payload = GOLDEN[12:-1]
    assert frame_record(payload) == GOLDEN
    assert framed_zxid(GOLDEN) == payload_zxid(payload) == 0x100000001
    txn = decode_txn(payload)
    assert txn.digest == 1371985504
    assert scan(HEADER + GOLDEN)[0] == [payload]


def test_header_is_the_original_one() -> None:
    assert HEADER.hex() == "5a4b4c47000000020000000000000000"


def test_scan_gives_offsets_that_add_up() -> None:
    directory = MemoryDirectory()
    put(directory, "log.1", LOG)
    offset = HEADER_BYTES
    for (found, payload), expected in zip(LogScan(directory, "log.1"), PAYLOADS, strict=True):
        assert (found, payload) == (offset, expected)
        offset += len(payload) + FRAME_BYTES


@pytest.mark.parametrize("window", [1, 4096, 1 << 20])
def test_records_across_windows(window: int) -> None:
    payloads = [create_payload(z, f"/n{z}", bytes([z]) * 3000) for z in range(1, 9)]
    found, log = scan(HEADER + b"".join(framed(payloads)) + bytes(9000), window)
    assert found == payloads
    assert log.ending is Ending.PADDING


def test_padding_costs_one_window() -> None:
    directory = MemoryDirectory()
    put(directory, "log.1", LOG + bytes(50_000_000))
    reads = []
    read = directory.read

    def counting(name: str, offset: int, count: int) -> bytes:
        reads.append(count)
        return read(name, offset, count)

    directory.read = counting  # type: ignore[method-assign]
    assert len(list(LogScan(directory, "log.1"))) == 12
    assert sum(reads) < 2 << 20


@given(st.integers(0, len(LOG)), st.sampled_from([0, 700, 5000]))
def test_any_prefix_gives_the_whole_records_in_it(cut: int, padding: int) -> None:
    found, log = scan(LOG[:cut] + (bytes(padding) if cut > HEADER_BYTES else b""))
    whole, end = [], HEADER_BYTES
    for payload in PAYLOADS:
        end += len(payload) + FRAME_BYTES
        if end > cut:
            break
        whole.append(payload)
    assert found == whole
    if cut < HEADER_BYTES:
        assert log.ending is Ending.EMPTY
    else:
        assert log.ending in (Ending.EXACT, Ending.PADDING, Ending.TORN)


@given(st.integers(0, len(LOG) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_detected_or_harmless(offset: int, mask: int) -> None:
    data = bytearray(LOG)
    data[offset] ^= mask
    if 4 <= offset < HEADER_BYTES:
        # Version and database id: Java does not look at them either.
        assert scan(bytes(data))[0] == PAYLOADS
        return
    for padding in (b"", bytes(5000)):
        # The end of the last record gone to zero is what a torn record looks like.
        if offset == len(LOG) - 1 and data[-1] == 0:
            assert scan(bytes(data) + padding)[0] == PAYLOADS[:-1]
            continue
        with pytest.raises(Corrupt) as refused:
            scan(bytes(data) + padding)
        assert refused.value.offset is not None
        assert refused.value.offset <= offset
        assert refused.value.path == "memory/log.1"


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (8, b"\x7f\xff\xff\xff", "a record of 2147483647 bytes"),
        (8, b"\xff\xff\xff\xff", "a record of -1 bytes"),
        (8, b"\x00\x00\x00\x05", "more follows"),
        (8, b"\x00\x00\x00\x00", "more follows"),
        (8, b"\x00\x00\x04\x00", "hides others"),
        (0, b"\x00\x00\x00\x00\x00\x00\x00\x01", "wrong checksum"),
    ],
)
def test_bad_fields_are_corruption(at: int, value: bytes, message: str) -> None:
    data = bytearray(LOG)
    data[HEADER_BYTES + at : HEADER_BYTES + at + len(value)] = value
    with pytest.raises(Corrupt, match=message):
        scan(bytes(data))


def test_short_payload_with_a_right_checksum_is_corruption() -> None:
    with pytest.raises(Corrupt, match="too short"):
        scan(HEADER + frame_record(b"short"))


def test_wrong_end_byte_in_the_middle_is_corruption() -> None:
    for value in (0, 0x43):
        data = bytearray(LOG)
        data[HEADER_BYTES + len(RECORDS[0]) - 1] = value
        with pytest.raises(Corrupt, match="more follows"):
            scan(bytes(data))


def test_end_byte_at_the_end_of_the_log() -> None:
    found, log = scan(LOG[:-1] + b"\0" + bytes(100))
    assert found == PAYLOADS[:-1]
    assert log.ending is Ending.TORN
    with pytest.raises(Corrupt, match="ends with 0x43"):
        scan(LOG[:-1] + b"\x43" + bytes(100))


def test_sector_that_was_never_written_is_a_torn_batch() -> None:
    """Power failed during a batch: one of its sectors is missing, later ones are there."""
    payloads = [create_payload(z, f"/n{z}", b"v" * 700) for z in range(1, 9)]
    data = bytearray(HEADER + b"".join(framed(payloads)))
    data[4 * SECTOR_BYTES : 5 * SECTOR_BYTES] = bytes(SECTOR_BYTES)
    found, log = scan(bytes(data) + bytes(4096))
    assert found == payloads[: len(found)]
    assert len(found) == 2
    assert log.ending is Ending.TORN
    assert "never written" in log.detail


def test_a_record_that_is_shorter_than_it_says_is_corruption() -> None:
    data = bytearray(LOG + bytes(5000))
    at = len(LOG) - len(RECORDS[-1]) + 8
    data[at + 3] += 3
    with pytest.raises(Corrupt, match="with a wrong length"):
        scan(bytes(data))


def test_what_looks_like_a_record_inside_of_another_is_none() -> None:
    """The data of a znode may hold anything, also the beginning of a record, or half of one."""
    nested = b"B" + bytes(4) + bytes.fromhex("12345678") + struct.pack(">i", 48) + bytes(60)
    record = frame_record(create_payload(13, "/n", nested + nested[:12]))
    for cut in range(1, len(record)):
        found, log = scan(LOG + record[:cut] + bytes(5000))
        assert found == PAYLOADS
        assert log.ending in (Ending.TORN, Ending.PADDING)


def test_a_torn_frame_that_began_at_the_end_of_a_sector() -> None:
    """Its first bytes belong to a sector that had been written before, and are not there; the rest
    is."""
    for before in range(5, 12):
        filler = create_payload(1, "/f", bytes(1))
        room = 2 * SECTOR_BYTES - before - HEADER_BYTES - len(frame_record(filler)) + 1
        first = frame_record(create_payload(1, "/f", bytes(room)))
        second = bytearray(frame_record(create_payload(2, "/g", b"x" * 700)))
        assert (HEADER_BYTES + len(first)) % SECTOR_BYTES == SECTOR_BYTES - before
        second[:before] = bytes(before)
        found, log = scan(HEADER + first + bytes(second) + bytes(4096))
        assert len(found) == 1
        assert log.ending is Ending.TORN, before


def test_checksum_without_a_length_is_torn() -> None:
    found, log = scan(LOG + RECORDS[0][:8] + bytes(500))
    assert found == PAYLOADS
    assert log.ending is Ending.TORN


def test_files_that_are_no_logs() -> None:
    with pytest.raises(Corrupt, match="not a transaction log"):
        scan(bytes(5000))
    with pytest.raises(Corrupt, match="not a transaction log"):
        scan(b"hello, world, no log")
    for size in range(HEADER_BYTES):
        found, log = scan(HEADER[:size])
        assert (found, log.ending) == ([], Ending.EMPTY)


def test_first_zxid() -> None:
    directory = MemoryDirectory()
    put(directory, "log.1", LOG)
    put(directory, "log.2", HEADER + RECORDS[0][:20])
    assert first_zxid(directory, "log.1") == 1
    assert first_zxid(directory, "log.2") is None


@pytest.mark.source
@given(st.integers(190, 210))
def test_writer_and_reader_have_one_limit(length: int) -> None:
    """What is accepted can be read back, what cannot be read back is not accepted."""
    payload = create_payload(1, "/n", bytes(length))[:length]
    raw = struct.pack(">qi", zlib.adler32(payload), length) + payload + b"B"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(txnlog, "MAX_TXN_BYTES", 200)
        if length <= 200:
            assert frame_record(payload) == raw
            assert scan(HEADER + raw)[0] == [payload]
        else:
            with pytest.raises(AssertionError):
                frame_record(payload)
            with pytest.raises(Corrupt, match=f"a record of {length} bytes .the limit is 200"):
                scan(HEADER + raw)
