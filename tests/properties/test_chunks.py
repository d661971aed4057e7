"""However the bytes of a client are cut, it gets the same answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from tests.frames import Record, connect_frame, encode_request
from tests.properties.requests import requests
from tests.world import World

CONFIG = ServerConfig(extended_types_enabled=True)

endings = st.sampled_from(
    [
        b"",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x07",
        b"\x7f\0\0\0",
        encode_request(9, 999) + encode_request(10, OpCode.WHO_AM_I),
        encode_request(9, OpCode.CLOSE_SESSION) + encode_request(10, OpCode.WHO_AM_I),
        encode_request(9, OpCode.WHO_AM_I)[:-1],
        encode_request(-4, OpCode.AUTH, b"unreadable"),
    ]
)
cuts = st.lists(st.integers(1, 60), max_size=20)


def answer(chunks: list[bytes], *, is_open: bool = True) -> tuple[bytes, bool, int]:
    """(what the client got, whether it was closed, the digest in the end)

    The disk answers when everything has come: who is closed gets no answers to what is under way.
    """
    world = World(CONFIG)
    client = world.connect() if is_open else world.open()
    world.is_disk_held = True
    for chunk in chunks:
        client.send(chunk)
    world.sync()
    return client.received, client.is_closed, world.tree.digest


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(raw[:size])
        raw = raw[size:]
    return [*chunks, raw]


def encode(asked: list[tuple[int, Record | bytes]]) -> bytes:
    return b"".join(
        encode_request(xid, opcode, record) for xid, (opcode, record) in enumerate(asked, 1)
    )


@given(st.lists(requests, max_size=8), endings, cuts)
def test_chunks_do_not_matter(
    asked: list[tuple[int, Record | bytes]], ending: bytes, sizes: list[int]
) -> None:
    raw = encode(asked) + ending
    assert answer(cut(raw, sizes)) == answer([raw])


@given(st.lists(requests, max_size=5), cuts)
def test_chunks_do_not_matter_while_the_session_is_being_made(
    asked: list[tuple[int, Record | bytes]], sizes: list[int]
) -> None:
    raw = connect_frame() + encode(asked)
    whole = answer([raw], is_open=False)
    assert answer(cut(raw, sizes), is_open=False) == whole
    assert whole[0][:4] == b"\0\0\0\x25"


@given(st.binary(max_size=200), cuts)
def test_any_bytes_before_the_handshake_end_quietly(raw: bytes, sizes: list[int]) -> None:
    assert answer(cut(raw, sizes), is_open=False) == answer([raw], is_open=False)


@given(st.binary(max_size=200), cuts)
def test_any_bytes_behind_the_handshake_end_quietly(raw: bytes, sizes: list[int]) -> None:
    assert answer(cut(raw, sizes)) == answer([raw])
