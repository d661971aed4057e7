"""A load of many reads, while a server is looked at from outside.

Shell. A million znodes, and 50 connections that get; meanwhile one client asks the server's port
for HTTP for what dashboards, scripts, the console and backups ask for, one thing after the other
and without a pause. What counts is how much longer the slowest hundredth of the reads takes then.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from conformance.servers import Server
from pyzk.runtime.free_ports import free_port
from scripts.bench.programs import SIZE, Times, address_of, without_errors

TIMEOUT_S: Final = 120.0
PIECE_BYTES: Final = 1 << 16
CONNECTIONS: Final = 50


@attrs.frozen
class Question:
    """One request of those who look at a server."""

    name: str
    method: str
    path: str
    body: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


JSON: Final = {"Content-Type": "application/json", "X-Pyzk-Console": "1"}
QUESTIONS: Final = (
    Question("/metrics", "GET", "/metrics"),
    Question("monitor", "GET", "/commands/monitor"),
    Question("console's state", "POST", "/console/api/state", "{}", JSON),
    Question(
        "console's children",
        "POST",
        "/console/api/children",
        '{"path": "/many", "count": 200}',
        JSON,
    ),
    Question("console's sessions", "POST", "/console/api/sessions", "{}", JSON),
    Question(
        "snapshot",
        "GET",
        "/commands/snapshot?streaming=true",
        headers={"Authorization": "digest bench:bench"},
    ),
)


class Watcher(threading.Thread):
    """Asks all questions again and again until it is told to end."""

    def __init__(self, port: int, questions: list[Question]) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._questions = questions
        self._is_over = threading.Event()
        self.answered: dict[str, int] = dict.fromkeys((each.name for each in questions), 0)
        """How many answers there were, by question."""
        self.received = 0
        """How many bytes they had."""

    def run(self) -> None:
        while not self._is_over.is_set():
            for question in self._questions:
                status, size = ask(self._port, question, self._is_over.is_set)
                if status == 200:
                    self.answered[question.name] += 1
                self.received += size

    def end(self) -> None:
        """End, and wait for it."""
        self._is_over.set()
        self.join(TIMEOUT_S)


def ask(port: int, question: Question, is_over: Callable[[], bool]) -> tuple[int, int]:
    """Ask for one thing; return the status, and how many bytes the answer had. An answer is read
    piece by piece, up to its end unless it ``is_over``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(question.method, question.path, question.body, dict(question.headers))
        response = connection.getresponse()
        size = 0
        while piece := response.read(PIECE_BYTES):
            size += len(piece)
            if is_over():
                break
        return response.status, size
    finally:
        connection.close()


def server_to_watch(like: Server) -> tuple[Server, int]:
    """Return another server of the same kind, not started, with a port for HTTP, and that port."""
    port = free_port()
    config = {
        "admin.enableServer": "true",
        "admin.serverAddress": "127.0.0.1",
        "admin.serverPort": port,
        "serializeLastProcessedZxid.enabled": "true",
    }
    return Server(like.launcher, {**like.config, **config}), port


def watched(zkload: Path, server: Server, port: int, times: Times) -> dict[str, float]:
    """Measure the reads alone, and while the server is looked at."""
    _wait_until_open(port)
    has = [each for each in QUESTIONS if ask(port, each, lambda: False)[0] == 200]
    alone = _gets(zkload, server, times)
    watcher = Watcher(port, has)
    watcher.start()
    try:
        beside = _gets(zkload, server, times)
    finally:
        watcher.end()
    figures = {
        "get 50 x 1 alone: /s": alone["ops"],
        "get 50 x 1 alone: p99 ms": alone["p99_us"] / 1000,
        "get 50 x 1 looked at: /s": beside["ops"],
        "get 50 x 1 looked at: p99 ms": beside["p99_us"] / 1000,
        "get 50 x 1 looked at: p99.9 ms": beside["p999_us"] / 1000,
        "looked at: MB received": watcher.received / 1e6,
    }
    return figures | {f"looked at: {name}": count for name, count in watcher.answered.items()}


def _wait_until_open(port: int) -> None:
    """Wait for the port for HTTP: a server opens it when it serves clients already."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _gets(zkload: Path, server: Server, times: Times) -> dict[str, float]:
    arguments = [address_of(server), "get", CONNECTIONS, 1, SIZE, times.seconds, times.before_point]
    done = subprocess.run(
        [str(zkload), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    found: dict[str, float] = without_errors("get", done.stdout)
    return found
