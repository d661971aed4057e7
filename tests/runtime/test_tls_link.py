"""TLS on real sockets: handshakes of every kind, and bytes that pass as they are."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
from typing import cast

import pytest

from pyzk.outsiders import SUBJECT
from pyzk.runtime.client_port import LAST_BYTES_TIMEOUT_S
from pyzk.runtime.tls_door import HANDSHAKE_TIMEOUT_S, Door, Handshakes
from pyzk.runtime.tls_link import HANDSHAKE_BYTES, RECORD_BYTES, TlsLink
from tests.runtime.ports import FakeTimer
from tests.runtime.tls_place import AUTHORITY, STRANGER, Place, client_hello, end_of, gone
from tests.tls import HOST, Contexts

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]


# --- bytes ----------------------------------------------------------------------------


async def test_bytes_of_any_number_pass_in_both_directions() -> None:
    async with Place().opened() as place:
        reader, writer = await place.dial()
        above = await place.one()
        for size in (1, 100, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, 3_000_001):
            data = os.urandom(size)
            writer.write(data)
            await place.until(lambda: len(above.heard) == size)  # noqa: B023
            assert above.heard == data
            above.heard.clear()
            above.transport.write(data)
            assert await reader.readexactly(size) == data
        above.transport.write(b"")
        above.transport.write(memoryview(b"view"))
        above.transport.write(bytearray(b"array"))
        assert await reader.readexactly(9) == b"viewarray"
        await gone(writer)


async def test_records_may_come_a_byte_at_a_time_and_many_at_once() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = AUTHORITY.client().wrap_bio(incoming, outgoing)
    async with Place(takes_plain=True).opened() as place:
        reader, writer = await place.dial_plain()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                incoming.write(await reader.read(1 << 16))
        tls.write(b"first")
        finished = outgoing.read()  # the last of the handshake, and a request behind it
        writer.write(finished)
        above = await place.one()
        await place.until(lambda: above.heard == b"first")
        tls.write(b"second")
        for byte in outgoing.read():
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await place.until(lambda: above.heard == b"firstsecond")
        for _each in range(10_000):
            tls.write(b"third")
        writer.write(outgoing.read())
        await place.until(lambda: len(above.heard) == 50_011)
        await gone(writer)


def records(port: int, context: ssl.SSLContext, count: int) -> list[bytes]:
    """Returns the plaintext of each record, one read for each, as the C client reads."""
    with socket.create_connection((HOST, port)) as sock, context.wrap_socket(sock) as tls:
        tls.sendall(b"go")
        return [tls.recv(1 << 16) for _ in range(count)]


@pytest.mark.parametrize("cut", [1, 3, 4, 6, 10, 1000])
async def test_each_frame_ends_a_record(cut: int) -> None:
    """The C client looks at its socket only: what waits inside of TLS stays there."""
    frames = [size.to_bytes(4, "big") + os.urandom(size) for size in (5, 0, 1, 20_000, 7)]
    data = b"".join(frames)
    async with Place(frames_apart=True).opened() as place:
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(None, records, place.port, AUTHORITY.client(), 6)
        above = await place.one()
        above.transport.write(data)
        first, empty, one, *long, last = await reading
        assert [first, empty, one, b"".join(long), last] == frames
        assert [len(each) for each in long] == [RECORD_BYTES, 20_004 - RECORD_BYTES]
        reading = loop.run_in_executor(None, records, place.port, AUTHORITY.client(), 7)
        above = await place.one()
        above.transport.write(data[:cut])
        above.transport.write(data[cut:])
        assert frames[-1] in await reading


async def test_what_looks_like_a_frame_inside_of_one_is_none() -> None:
    inner = b"\0\0\0\4abcd"
    frames = [b"\0\0\0\5whole", len(inner).to_bytes(4, "big") + inner, b"\0\0\0\1x", b"\0\0\0\2yz"]
    async with Place(frames_apart=True).opened() as place:
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(None, records, place.port, AUTHORITY.client(), 5)
        above = await place.one()
        for piece in (frames[0], frames[1][:4], frames[1][4:], frames[2] + frames[3]):
            above.transport.write(piece)
        assert await reading == [frames[0], frames[1][:4], inner, *frames[2:]]


async def test_text_needs_no_frames() -> None:
    text = b"Zookeeper version: 3.9.3\n" * 1000
    async with Place(frames_apart=True).opened() as place:
        reader, writer = await place.dial()
        above = await place.one()
        above.transport.write(text)
        above.transport.close()
        assert await reader.read() == text
        await gone(writer)


async def test_who_is_paused_leaves_bytes_in_the_socket() -> None:
    async with Place().opened() as place:
        _, writer = await place.dial()
        above = await place.one()
        assert above.transport.is_reading()
        above.transport.pause_reading()
        assert not above.transport.is_reading()
        writer.write(b"later")
        for _turn in range(50):
            await asyncio.sleep(0)
        assert above.heard == b""
        above.transport.resume_reading()
        await place.until(lambda: above.heard == b"later")
        await gone(writer)


async def test_what_is_not_read_is_counted_and_pauses_the_writer() -> None:
    async with Place().opened() as place:
        reader, writer = await place.dial()
        above = await place.one()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        above.transport.set_write_buffer_limits(1 << 16, 1 << 14)
        data = os.urandom(16 << 20)
        above.transport.write(data)
        assert above.is_choked
        waiting = above.transport.get_write_buffer_size()
        assert waiting > 1 << 20
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await reader.readexactly(len(data)) == data
        await place.until(lambda: not above.is_choked)
        assert above.transport.get_write_buffer_size() <= 1 << 14
        await gone(writer)


# --- the end --------------------------------------------------------------------------


def last_words(port: int) -> tuple[bytes, bytes]:
    """Returns what comes before and at the end, without taking a cut for an end."""
    with socket.create_connection((HOST, port)) as sock:
        context = AUTHORITY.client()
        with context.wrap_socket(sock, suppress_ragged_eofs=False) as tls:
            data = b""
            while chunk := tls.recv(1 << 16):
                data += chunk
            return data, chunk


async def test_the_end_is_announced_behind_the_last_byte() -> None:
    async with Place().opened() as place:
        reading = asyncio.get_running_loop().run_in_executor(None, last_words, place.port)
        above = await place.one()
        data = os.urandom(5_000_000)
        above.transport.write(data)
        above.transport.close()
        assert above.transport.is_closing()
        above.transport.write(b"too late")
        assert await reading == (data, b"")
        await place.until(lambda: above.is_lost)
        assert not above.has_seen_end


async def test_an_end_that_is_announced_is_taken_and_answered() -> None:
    def say(port: int) -> bytes:
        with socket.create_connection((HOST, port)) as sock:
            tls = AUTHORITY.client().wrap_socket(sock)
            tls.sendall(b"bye")
            rest = tls.unwrap()  # raises if it is not answered
            with rest:
                return rest.recv(1)

    async with Place().opened() as place:
        saying = asyncio.get_running_loop().run_in_executor(None, say, place.port)
        above = await place.one()
        await place.until(lambda: above.is_lost)
        assert above.heard == b"bye"
        assert above.has_seen_end
        assert await saying == b""


async def test_an_end_without_a_word_is_an_end() -> None:
    def fall_silent(port: int) -> None:
        with socket.create_connection((HOST, port)) as sock:
            tls = AUTHORITY.client().wrap_socket(sock)
            tls.sendall(b"request")
            tls.recv(1)  # what it has not read would make a reset of its end
            tls.close()

    async with Place().opened() as place:
        silence = asyncio.get_running_loop().run_in_executor(None, fall_silent, place.port)
        above = await place.one()
        above.transport.write(b"!")
        await silence
        await place.until(lambda: above.is_lost)
        assert above.heard == b"request"
        assert above.has_seen_end


async def test_broken_records_end_that_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with Place().opened() as place:
        _, other = await place.dial()
        served = await place.one()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = AUTHORITY.client().wrap_bio(incoming, outgoing)
        reader, writer = await place.dial_plain()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(1 << 16))
        tls.write(b"good")
        writer.write(outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
        above = await place.one()
        await place.until(lambda: above.is_lost)
        assert above.heard == b"good"
        (record,) = caplog.records
        assert "broken TLS on the client port" in record.message
        assert record.__dict__[SUBJECT] == HOST
        assert place.failed == 0, "the handshake was in order"
        other.write(b"still there")
        await place.until(lambda: served.heard == b"still there")
        for each in (writer, other):
            await gone(each)


# --- telling TLS from plaintext -------------------------------------------------------


@pytest.mark.parametrize("first", [b"ruok", b"\0\0\0\x2c", b"\xff", b"\x80\x2e\x01"])
async def test_plaintext_is_told_by_its_first_byte(first: bytes) -> None:
    async with Place(takes_plain=True).opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(first)
        above = await place.one()
        await place.until(lambda: above.heard)
        assert above.heard == first
        assert above.transport.get_extra_info("tls") is None
        writer.write(b"more")
        await place.until(lambda: above.heard == first + b"more")
        above.transport.write(b"answer")
        above.transport.close()
        assert await reader.read() == b"answer"
        await place.until(lambda: above.is_lost)
        assert place.door.handshakes.count == 0
        assert place.waiting == []
        await gone(writer)


async def test_tls_and_plaintext_are_taken_by_one_port() -> None:
    async with Place(takes_plain=True).opened() as place:
        _, writer = await place.dial()
        writer.write(b"secret")
        above = await place.one()
        await place.until(lambda: above.heard == b"secret")
        link = cast("TlsLink", above.transport.get_extra_info("tls"))
        assert link.cipher.startswith("TLS_")
        assert link.certificates == ()
        await gone(writer)


async def test_plaintext_on_a_port_for_tls_ends_that_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Place().opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await end_of(reader) == b""
        (record,) = caplog.records
        assert "an HTTP request (GET / HTTP/1.1): this port takes TLS only" in record.message
        assert record.__dict__[SUBJECT] == HOST
        assert place.above == []
        assert place.failed == 1
        await gone(writer)


async def test_who_says_nothing_is_taken_for_plaintext_where_that_is_allowed() -> None:
    async with Place(takes_plain=True, detection_timeout_s=5.0).opened() as place:
        reader, writer = await place.dial_plain()
        await place.until(lambda: place.waiting)
        assert place.waiting == [5.0]
        place.fire()
        above = await place.one()
        assert above.heard == b""
        above.transport.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"\x16\x03\x01")
        await place.until(lambda: above.heard == b"\x16\x03\x01")
        await gone(writer)


# --- time and numbers -----------------------------------------------------------------


async def test_a_silent_or_slow_handshake_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with Place(takes_plain=True).opened() as place:
        silent, silent_writer = await place.dial_plain()
        slow, slow_writer = await place.dial_plain()
        slow_writer.write(client_hello()[:50])
        await place.until(lambda: len(place.waiting) == 2)
        for _turn in range(20):
            await asyncio.sleep(0)
        assert place.waiting == [HANDSHAKE_TIMEOUT_S] * 2
        place.fire()
        assert await end_of(silent) == b""
        assert await end_of(slow) == b""
        assert "no TLS on the client port: it takes too long" in caplog.messages[0]
        assert place.door.handshakes.count == 0
        assert place.failed == 2
        for each in (silent_writer, slow_writer):
            await gone(each)


async def test_the_time_for_a_handshake_begins_when_it_does() -> None:
    async with Place(detection_timeout_s=5.0).opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(client_hello()[:50])
        await place.until(lambda: place.waiting == [HANDSHAKE_TIMEOUT_S])
        place.fire()
        assert await end_of(reader) == b""
        await gone(writer)


async def test_no_time_is_set_to_a_connection_that_is_open() -> None:
    async with Place().opened() as place:
        _, writer = await place.dial()
        await place.one()
        assert place.waiting == []
        assert place.door.handshakes.count == 0
        await gone(writer)


async def test_one_handshake_too_many_is_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async with Place(limit=2).opened() as place:
        first, second = await place.dial_plain(), await place.dial_plain()
        await place.until(lambda: place.door.handshakes.count == 2)
        third = await place.dial_plain()
        assert await end_of(third[0]) == b""
        assert place.exceeded == 1
        assert place.failed == 0
        assert "2 other handshakes are under way" in caplog.text
        await gone(first[1])
        await place.until(lambda: place.door.handshakes.count == 1)
        fourth = await place.dial()
        await place.one()
        for _, writer in (second, third, fourth):
            await gone(writer)


def test_a_host_with_many_handshakes_keeps_nobody_else_out() -> None:
    turned_away: list[str] = []

    class Link(TlsLink):
        def turn_away(self, reason: str, *, is_failure: bool = True) -> None:
            turned_away.append(f"{self.host}:{self.port}")
            handshakes.end(self)

    handshakes = Handshakes(3)
    door = Door(Contexts(AUTHORITY.server(), AUTHORITY.client()), "x", FakeTimer, handshakes)

    def begin(host: str, port: int) -> Link:
        link = Link(door, asyncio.Protocol)
        link.host, link.port = host, port
        handshakes.begin(link)
        return link

    for port in (1, 2, 3):
        begin("crowd", port)
    other = begin("other", 1)
    assert turned_away == ["crowd:3"]
    begin("crowd", 4)
    assert turned_away == ["crowd:3", "crowd:4"]
    begin("third", 1)
    assert turned_away == ["crowd:3", "crowd:4", "crowd:2"]
    begin("fourth", 1)
    assert turned_away[3:] == ["fourth:1"], "among equals the last one"
    handshakes.end(other)
    handshakes.end(other)
    assert handshakes.count == 2


async def test_who_may_not_come_in_is_told_before_the_handshake() -> None:
    asked = []

    def admits(host: str, descriptor: int) -> bool:
        asked.append((host, descriptor > 0))
        return False

    async with Place(admits=admits).opened() as place:
        reader, writer = await place.dial_plain()
        assert await end_of(reader) == b""
        assert asked == [(HOST, True)]
        assert place.door.handshakes.count == 0
        assert place.waiting == []
        await gone(writer)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16" + bytes(100),
        b"\x16\x03\x01\xff\xff" + bytes(1000),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" * 3,
        b"\x16\x03\x01" + os.urandom(10_000),
    ],
)
async def test_what_only_begins_like_a_handshake_ends(junk: bytes) -> None:
    async with Place(takes_plain=True).opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(junk)
        writer.write_eof()
        await end_of(reader)
        await place.until(lambda: place.failed)
        assert place.failed == 1
        assert place.above == []
        await gone(writer)
        await place.until(lambda: not place.door.handshakes.count)


async def test_a_handshake_without_end_ends() -> None:
    async with Place().opened() as place:
        reader, writer = await place.dial_plain()
        writer.write(client_hello())
        await reader.readexactly(100)
        writer.write(b"\x14\x03\x03\x00\x01\x01" * (HANDSHAKE_BYTES // 3))
        await end_of(reader)
        await place.until(lambda: place.failed)
        await gone(writer)
        await place.until(lambda: not place.door.handshakes.count)


async def test_a_handshake_that_is_cut_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with Place().opened() as place:
        hello = client_hello()
        descriptors = len(os.listdir("/proc/self/fd"))
        for length in (0, 1, 5, 50, len(hello)):
            _, writer = await place.dial_plain()
            writer.write(hello[:length])
            await place.until(lambda: place.links)
            await gone(writer)
        await place.until(lambda: place.failed == 4)
        assert "closing 127.0.0.1" in caplog.text
        assert place.waiting == []
        assert len(os.listdir("/proc/self/fd")) == descriptors
        place.timers.clear()
        links, place.links = place.links, []
        assert all(link.is_closing() for link in links)
        referrers = [gc.get_referrers(link) for link in links]
        assert all(each == [links] for each in referrers), "only this test knows them"


def refused_twice(port: int, context: ssl.SSLContext) -> str:
    """Shows a certificate that is refused, and sends on behind it, as the C client does."""
    with socket.create_connection((HOST, port)) as sock, context.wrap_socket(sock) as tls:
        incoming = sock_until_end(tls)
        for _ in range(2):  # the first would be answered by a reset, the second ended by it
            socket.socket.send(tls, b"more")
        return incoming


def sock_until_end(tls: ssl.SSLSocket) -> str:
    try:
        while tls.recv(1 << 16):
            pass
    except ssl.SSLError as error:
        assert socket.socket.recv(tls, 1) == b"", "no end behind the alert"
        return error.reason or ""
    return "an end without an alert"


async def test_who_is_refused_reads_why_and_may_go_on_writing() -> None:
    """A socket that is closed at once is reset: a C client dies of SIGPIPE then."""
    context = AUTHORITY.server(ssl.CERT_REQUIRED)
    async with Place(context).opened() as place:
        stranger = AUTHORITY.client("stranger", STRANGER.ca)
        loop = asyncio.get_running_loop()
        trying = loop.run_in_executor(None, refused_twice, place.port, stranger)
        assert await trying == "TLSV1_ALERT_UNKNOWN_CA"
        await place.until(lambda: not place.door.handshakes.count)
        assert place.failed == 1
        assert place.waiting == []


async def test_who_is_refused_does_not_stay() -> None:
    context = AUTHORITY.server(ssl.CERT_REQUIRED)
    stranger = AUTHORITY.client("stranger", STRANGER.ca)

    async def refused(place: Place) -> asyncio.StreamWriter:
        _, writer = await place.dial(stranger)
        await place.until(lambda: place.failed)
        place.failed = 0
        return writer

    async with Place(context).opened() as place:
        first = await refused(place)
        assert (place.waiting, place.door.handshakes.count) == ([LAST_BYTES_TIMEOUT_S], 1)
        place.fire()
        await place.until(lambda: not place.door.handshakes.count)
        second = await refused(place)
        place.links[-1].turn_away("there are too many")
        await place.until(lambda: not place.door.handshakes.count)
        assert place.waiting == []
        third = await refused(place)
        place.links[-1].data_received(bytes(HANDSHAKE_BYTES + 1))
        await place.until(lambda: not place.door.handshakes.count)
        assert place.failed == 0, "each is told of once"
        for each in (first, second, third):
            each.transport.abort()


# --- attacks on an open connection ----------------------------------------------------


async def test_nobody_negotiates_again() -> None:
    def renegotiate(port: int) -> str:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-tls1_2"],
            input="R\nstill there\n",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stderr

    context = AUTHORITY.server(version=ssl.TLSVersion.TLSv1_2)
    async with Place(context).opened() as place:
        asking = asyncio.get_running_loop().run_in_executor(None, renegotiate, place.port)
        above = await place.one()
        await place.until(lambda: above.is_lost)
        assert "no renegotiation" in await asking
        assert above.heard == b""


async def test_memory_of_a_link_does_not_grow_with_what_has_passed() -> None:
    async with Place().opened() as place:
        reader, writer = await place.dial()
        above = await place.one()
        data = bytes(8 << 20)
        above.transport.write(data)
        await reader.readexactly(len(data))
        writer.write(data)
        await place.until(lambda: len(above.heard) == len(data))
        link = cast("TlsLink", above.transport.get_extra_info("tls"))
        assert link._incoming.pending == link._outgoing.pending == 0
        await gone(writer)
