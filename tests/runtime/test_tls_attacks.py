"""Handshakes that no client makes, and that OpenSSL takes: in tiny records, with endless chains."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.certificates import Authority, write
from tests.runtime.tls_place import AUTHORITY, Place, Streams, end_of, gone
from tests.tls import HOST

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

HANDSHAKE, CHANGE_CIPHER_SPEC = 0x16, 0x14


def in_tiny_records(flight: bytes) -> bytes:
    """The plaintext records of a flight, cut into records of one byte; what is encrypted stays."""
    cut = bytearray()
    offset, is_encrypted = 0, False
    while offset < len(flight):
        end = offset + 5 + int.from_bytes(flight[offset + 3 : offset + 5], "big")
        kind, version = flight[offset], flight[offset + 1 : offset + 3]
        is_encrypted = is_encrypted or kind == CHANGE_CIPHER_SPEC
        if is_encrypted or kind != HANDSHAKE:
            cut += flight[offset:end]
        else:
            for byte in flight[offset + 5 : end]:
                cut += bytes([kind, *version, 0, 1, byte])
        offset = end
    return bytes(cut)


async def shake(context: ssl.SSLContext, streams: Streams) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """Makes a handshake in tiny records; returns the client's TLS, and what it writes into."""
    reader, writer = streams
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(in_tiny_records(outgoing.read()))
            incoming.write(await reader.read(1 << 16))
        else:
            writer.write(in_tiny_records(outgoing.read()))
            return tls, outgoing


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_in_records_of_one_byte_is_exact(version: ssl.TLSVersion) -> None:
    context = AUTHORITY.client("bob")
    context.maximum_version = version
    async with Place(AUTHORITY.server(ssl.CERT_REQUIRED), takes_plain=True).opened() as place:
        streams = await place.dial_plain()
        tls, outgoing = await shake(context, streams)
        above = await place.one()
        data = bytes(range(256)) * 20
        for byte in data:
            tls.write(bytes([byte]))
        streams[1].write(outgoing.read())
        await place.until(lambda: len(above.heard) == len(data))
        assert above.heard == data
        assert place.failed == 0
        await gone(streams[1])


async def test_tiny_records_without_end_end() -> None:
    """A message that claims to have 16 MB, and comes a byte in each record."""
    async with Place().opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(b"".join(b"\x16\x03\x01\x00\x01%c" % byte for byte in b"\x01\xff\xff\xff"))
        writer.write(b"\x16\x03\x01\x00\x01\x00" * 50_000)
        await end_of(reader)
        await place.until(lambda: place.failed)
        await gone(writer)
        await place.until(lambda: not place.door.handshakes.count)
        assert place.above == []


@pytest.mark.parametrize(("length", "is_taken"), [(50, True), (150, False)])
async def test_a_chain_of_so_many(tmp_path: Path, length: int, is_taken: bool) -> None:
    authority = root = Authority("the root")
    for number in range(length):
        authority = Authority(f"authority {number}", authority)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.load_cert_chain(write(tmp_path / "bob.pem", authority.issue("bob").pem()))
    server = AUTHORITY.server(ssl.CERT_REQUIRED)
    server.load_verify_locations(cadata=root.certificate_pem.decode())
    async with Place(server).opened() as place:
        reader, writer = await asyncio.open_connection(HOST, place.port, ssl=client)
        if is_taken:
            await place.one()
        else:
            with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
                await reader.read()
            await place.until(lambda: place.failed)
            assert place.above == []
        await gone(writer)
