from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyzk.runtime.fetching import fetch

Behave = Callable[[socket.socket], None]


class Host:
    """Answers each connection in a way of the test's."""

    def __init__(self) -> None:
        self.behave: Behave = lambda sock: None
        self.is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                if self.is_over.is_set():
                    return
                with contextlib.suppress(OSError):
                    read_head(sock)
                    self.behave(sock)

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        with socket.create_connection(self._listener.getsockname()):
            self._thread.join()
        self._listener.close()


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = sock.recv(1 << 16)
        if not part:
            break
        head += part
    return head


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as found:
        yield found


def say(content: bytes) -> Behave:
    return lambda sock: sock.sendall(content)


def get(place: str, limit_bytes: int = 100, timeout_s: float = 20.0) -> bytes:
    return fetch(place, limit_bytes=limit_bytes, timeout_s=timeout_s)


def test_what_is_there(host: Host) -> None:
    host.behave = say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    assert get(host.place) == b"abc"
    host.behave = say(b"HTTP/1.0 200 OK\r\n\r\nabcd")
    assert get(host.place) == b"abcd"
    host.behave = say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    assert get(host.place) == b"ab"


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert get((tmp_path / "x").as_uri()) == b"abc"
    with pytest.raises(OSError, match="No such file"):
        get((tmp_path / "y").as_uri())


def test_a_limit(host: Host) -> None:
    host.behave = say(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(1000))
    assert get(host.place, 1000) == bytes(1000)
    with pytest.raises(ValueError, match=r"^longer than 999 bytes$"):
        get(host.place, 999)


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", bytes(1 << 17)],
    ids=["nothing", "nonsense", "cut", "endless line"],
)
def test_no_answer_of_http(host: Host, content: bytes) -> None:
    host.behave = say(content)
    with pytest.raises((OSError, ValueError)):
        get(host.place)


def test_a_status_that_says_no(host: Host) -> None:
    host.behave = say(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(OSError, match=r"^HTTP status 404$"):
        get(host.place)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_nobody_is_sent_to_a_place_of_another_kind(host: Host, target: str) -> None:
    host.behave = say(f"HTTP/1.1 302 there\r\nLocation: {target}\r\n\r\n".encode())
    with pytest.raises((OSError, ValueError)):
        get(host.place)


@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
     b"HTTP/1.0 200 OK\r\n\r\n"],
    ids=["head", "body", "body without a length"],
)  # fmt: skip
def test_a_byte_now_and_then_does_not_help(host: Host, begin: bytes) -> None:
    """Each of them comes in time, and yet the whole does not."""

    def trickle(sock: socket.socket) -> None:
        sock.sendall(begin)
        sock.settimeout(0.01)
        while not host.is_over.is_set():
            with contextlib.suppress(TimeoutError):
                if not sock.recv(1):
                    break
            sock.sendall(b"a")

    host.behave = trickle
    with pytest.raises(TimeoutError, match=r"^no answer within 0\.2 s$"):
        get(host.place, 1 << 20, timeout_s=0.2)
