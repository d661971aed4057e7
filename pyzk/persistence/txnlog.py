"""The transaction log file: framing of records, and a scan that knows how a log ends.

Pure. A log is a 16-byte header, records back to back, then zeros up to the preallocated length:

    long  Adler-32 of the payload (the payload only, whatever may be said elsewhere)
    int   length of the payload
    ...   payload: TxnHeader, record, optional digest; the same bytes as in a PROPOSAL
    byte  0x42

How a log may end, and what is made of it:

- `Ending.PADDING`: a length of zero where the next record would begin. The normal end.
- `Ending.EXACT`: the file ends where a record ends. Normal too: no preallocation, or truncated.
- `Ending.TORN`: a record that was never written whole, so never acknowledged: the file ends in it,
  only zeros come from somewhere in it on, or it has a sector of zeros, one that the disk had not
  written yet when power failed. The scan ends before it.
- `Ending.EMPTY`: no complete header, so no record was ever in it.
- Anything else, above all a whole record with a wrong checksum, is damage to what *was* written:
  `Corrupt`, with the offset. So is a record that looks torn but has whole records, or its own
  end, where a damaged length hides them. Java stops silently at a wrong end byte and loses the
  rest of the file.

A log is read in windows, so that 64 MiB of padding cost one window. The longest record is the same
for who writes and who reads, and no setting changes it: MAX_TXN_BYTES.

ZooKeeper: FileTxnLog, FileTxnLog.FileTxnIterator, Util.readTxnBytes.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from pyzk.constants import MAX_TXN_BYTES
from pyzk.errors import Corrupt
from pyzk.jute.packing import pack_qiss, unpack_long, unpack_long_int
from pyzk.persistence.directory import SECTOR_BYTES, Directory, join

HEADER: Final = struct.pack(">iiq", 0x5A4B4C47, 2, 0)
"""The header of a log: magic "ZKLG", version 2, database id 0."""
HEADER_BYTES: Final = len(HEADER)
END_OF_RECORD: Final = 0x42
FRAME_BYTES: Final = 13
"""The bytes that framing adds to a payload: checksum, length, end byte."""
TXN_HEADER_BYTES: Final = 32
WINDOW_BYTES: Final = 1 << 20

_ZXID_IN_PAYLOAD: Final = 12
_END: Final = bytes([END_OF_RECORD])
_NEXT_RECORD: Final = _END + bytes(4)
"""The end of a record and the upper half of the next one's checksum, which is always zero."""
_LOOK_AHEAD_BYTES: Final = 4096
_adler32: Final = zlib.adler32


def frame_record(payload: bytes) -> bytes:
    """Return the bytes that a log holds for a payload, which `LogScan` takes back."""
    assert len(payload) <= MAX_TXN_BYTES, len(payload)
    return pack_qiss(_adler32(payload), len(payload), payload, _END)


def payload_zxid(payload: bytes) -> int:
    """Return the zxid of a txn payload, without decoding the rest."""
    return unpack_long(payload, _ZXID_IN_PAYLOAD)[0]


def framed_zxid(record: bytes) -> int:
    """Return the zxid of a framed record."""
    return unpack_long(record, 12 + _ZXID_IN_PAYLOAD)[0]


class Ending(enum.Enum):
    """The ways in which the records of a log end."""

    PADDING = "padding"
    EXACT = "end of file"
    TORN = "torn record"
    EMPTY = "no header"


class LogScan:
    """Iterates over the records of one log as (offset, payload); afterwards tells how it ended.

    Raises `Corrupt` where the log contradicts itself. After the iteration ``offset`` is where the
    next record would begin, ``ending`` says why there is none and ``detail`` describes a torn one.
    """

    def __init__(
        self,
        directory: Directory,
        name: str,
        *,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.name = name
        self.path = join(directory, name)
        self.offset = HEADER_BYTES
        self.ending = Ending.EMPTY
        self.detail = ""
        self._directory = directory
        self._window_bytes = max(window_bytes, 4096)
        self._window = b""
        self._start = 0
        """The offset of the window's first byte in the file."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        if not self._has_header():
            return
        while True:
            payload = self._next()
            if payload is None:
                return
            offset = self.offset
            self.offset = offset + FRAME_BYTES + len(payload)
            yield offset, payload

    def _has_header(self) -> bool:
        header = self._directory.read(self.name, 0, HEADER_BYTES)
        if len(header) < HEADER_BYTES and HEADER.startswith(header[:4]):
            self.ending, self.offset = Ending.EMPTY, len(header)
            self.detail = f"{len(header)} of {HEADER_BYTES} bytes of the file header"
            return False
        if header[:4] != HEADER[:4]:
            raise Corrupt(
                f"not a transaction log: it begins with {header[:4].hex() or 'nothing'}",
                path=self.path,
                offset=0,
                remedy="restore the file, or start from a newer snapshot",
            )
        return True

    def _bytes_at(self, offset: int, count: int) -> int:
        """Read ``count`` bytes from ``offset`` into the window, if the file has them. Return the
        position of ``offset`` in the window."""
        position = offset - self._start
        if position < 0 or position + count > len(self._window):
            self._window = self._directory.read(self.name, offset, max(self._window_bytes, count))
            self._start = offset
            position = 0
        return position

    def _next(self) -> bytes | None:
        offset = self.offset
        position = self._bytes_at(offset, 12)
        available = len(self._window) - position
        if available == 0:
            self.ending = Ending.EXACT
            return None
        if available < 12:
            self._torn(f"the file ends {available} bytes into a record")
            return None
        checksum, length = unpack_long_int(self._window, position)
        if length == 0 and checksum == 0:
            self.ending = Ending.PADDING
            return None
        if not 0 <= length <= MAX_TXN_BYTES:
            raise self._corrupt(f"a record of {length} bytes (the limit is {MAX_TXN_BYTES})")
        position = self._bytes_at(offset, length + FRAME_BYTES)
        end = position + 12 + length
        payload = self._window[position + 12 : end]
        if (
            length == 0
            or end >= len(self._window)
            or self._window[end] != END_OF_RECORD
            or _adler32(payload) != checksum
        ):
            self._judge_damage(checksum, length)
            return None
        if length < TXN_HEADER_BYTES:
            raise self._corrupt(f"a record of {length} bytes, too short for a header")
        return payload

    def _judge_damage(self, checksum: int, length: int) -> None:
        """Tell a record that was not written whole from one that was damaged afterwards."""
        claimed = length + FRAME_BYTES
        data = self._directory.read(self.name, self.offset, claimed + _LOOK_AHEAD_BYTES)
        record = data[:claimed]
        unwritten = self._unwritten_sector(data, claimed)
        written = record if unwritten is None else record[:unwritten]
        if self._holds_record(written):
            raise self._corrupt(f"a record of {length} bytes that hides others")
        body = written.rstrip(b"\0")
        if body[-1:] == _END and _adler32(body[12:-1]) == checksum and len(body) < claimed:
            raise self._corrupt(f"a record with a wrong length of {length} bytes")
        if unwritten is not None:
            self._torn(f"a record whose sector at {self.offset + unwritten} was never written")
        elif len(record) < claimed:
            self._torn(f"the file ends {claimed - len(record)} bytes before the end of a record")
        elif record[-1] == END_OF_RECORD and length:
            raise self._corrupt("wrong checksum of a record")
        elif any(data[claimed - 1 :]):
            raise self._corrupt(f"a record ends with 0x{record[-1]:02x}, or more follows it")
        else:
            self._torn("a record without its end")

    def _unwritten_sector(self, data: bytes, claimed: int) -> int | None:
        """Find the first sector of zeros that begins in the record; return its place in ``data``.

        A batch is one write of many sectors, and a power failure may leave any of them as it was:
        zero. The sector that the record begins in the middle of had been written before, up to the
        record: if that is what is left of it, the frame begins with zeros.
        """
        lead = -self.offset % SECTOR_BYTES
        if 4 < lead < 12 and not any(data[:lead]):
            return 0
        for place in range(lead, claimed, SECTOR_BYTES):
            sector = data[place : place + SECTOR_BYTES]
            if len(sector) == SECTOR_BYTES and not any(sector):
                return place
        return None

    def _holds_record(self, data: bytes) -> bool:
        """Return whether a whole record lies in what claims to be one, whose length is wrong
        then."""
        place = data.find(_NEXT_RECORD)
        while place >= 0:
            start = place + 1
            if len(data) >= start + 12:
                checksum, length = unpack_long_int(data, start)
                end = start + 12 + length
                if (
                    length >= TXN_HEADER_BYTES
                    and data[end : end + 1] == _END
                    and _adler32(data[start + 12 : end]) == checksum
                ):
                    return True
            place = data.find(_NEXT_RECORD, start)
        return False

    def _torn(self, detail: str) -> None:
        self.ending = Ending.TORN
        self.detail = detail

    def _corrupt(self, message: str) -> Corrupt:
        return Corrupt(
            message,
            path=self.path,
            offset=self.offset,
            remedy="restore this file from a backup",
        )


def first_zxid(directory: Directory, name: str) -> int | None:
    """Return the zxid of the first whole record of a log, None if it has none."""
    for _, payload in LogScan(directory, name, window_bytes=4096):
        return payload_zxid(payload)
    return None
