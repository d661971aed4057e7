"""How long a test waits for a ZooKeeper of each kind: from start to first write, stop, reset.

Shell.

    python -m scripts.bench.fixture              (make bench-fixture)
    python -m scripts.bench.fixture --quick      fewer rounds

A start counts from the call, or from the creation of the process, until a client has its first
znode: a server that answers but cannot write is no use. The client is a few bytes on a socket, the
same for all. Medians; kinds take turns. What is not installed is skipped aloud.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from conformance import oracle
from conformance.oracle import DEBIAN_CLASS_PATH, DEBIAN_JARS, OracleMissingError
from conformance.servers import Launcher, Server

Figures = dict[str, list[float]]

JAVA_PROGRAM: Final = Path(__file__).parent / "TestingServerTimes.java"
CURATOR_TEST: Final = DEBIAN_JARS / "curator-test.jar"
LOGGING: Final = ("slf4j-api", "slf4j-nop", "snappy-java", "metrics-core", "netty-all")
ROOT: Final = Path(__file__).parents[2]
STARTS: Final = 200
"""How often a process starts and stops a server, after which nothing may be left."""

START, AGAIN, STOP, RESET, MEMORY = "start", "again", "stop", "reset", "memory"


# --- the client -----------------------------------------------------------------------


def write_once(host: str, port: int) -> socket.socket:
    """Open a session and create a znode; return the connection."""
    sock = socket.create_connection((host, port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _call(sock, struct.pack(">iqiqi16s?", 0, 0, 10_000, 0, 16, b"", False))
    acl = struct.pack(">ii", 1, 31) + _text("world") + _text("anyone")
    answer = _call(sock, struct.pack(">ii", 1, 1) + _text("/first") + _text("") + acl + bytes(4))
    (error,) = struct.unpack_from(">i", answer, 12)
    if error:
        raise OSError(f"create: error {error}")
    return sock


def _text(text: str) -> bytes:
    return struct.pack(">i", len(text)) + text.encode()


def _call(sock: socket.socket, body: bytes) -> bytes:
    sock.sendall(struct.pack(">i", len(body)) + body)
    (length,) = struct.unpack(">i", _exactly(sock, 4))
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionResetError("closed")
        data += more
    return data


def milliseconds(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000


# --- in this process ------------------------------------------------------------------


def in_process() -> Figures:
    """Measure a `ZooKeeperServer` in a process that has started some before."""
    from pyzk.testing import ZooKeeperServer

    found: Figures = {}
    for _ in range(3):
        begin = time.perf_counter()
        server = ZooKeeperServer(leaks="ignore").start()
        client = write_once(server.host, server.port)
        found[AGAIN] = [milliseconds(begin)]
        client.close()
        begin = time.perf_counter()
        server.reset()
        client = write_once(server.host, server.port)
        found[RESET] = [milliseconds(begin)]
        client.close()
        begin = time.perf_counter()
        server.stop()
        found[STOP] = [milliseconds(begin)]
    return found


_FIRST: Final = """
import sys
for name in sys.argv[1:]:
    __import__(name)
import time
begin = time.perf_counter()
from pyzk.testing import ZooKeeperServer
server = ZooKeeperServer(leaks="ignore").start()
started = time.perf_counter()
from scripts.bench.fixture import write_once
began_to_write = time.perf_counter()
write_once(server.host, server.port).close()
end = time.perf_counter()
print((started - begin + end - began_to_write) * 1000)
server.stop()
"""


def first_in_a_process(*imported: str) -> Callable[[], Figures]:
    """Return a measurement of the first `ZooKeeperServer` of a process, other imports included."""

    def run() -> Figures:
        done = subprocess.run(
            [sys.executable, "-c", _FIRST, *imported],
            cwd=ROOT, env=environment(), check=True, capture_output=True, text=True,
        )  # fmt: skip
        return {START: [float(done.stdout)]}

    return run


def in_a_loop() -> Figures:
    """Measure `AsyncZooKeeperServer`, three times, in a loop of the caller."""
    import asyncio

    from pyzk.testing import AsyncZooKeeperServer

    async def run() -> Figures:
        found: Figures = {}
        loop = asyncio.get_running_loop()
        for _ in range(3):
            begin = time.perf_counter()
            server = await AsyncZooKeeperServer(leaks="ignore").start()
            client = await loop.run_in_executor(None, write_once, server.host, server.port)
            found[AGAIN] = [milliseconds(begin)]
            client.close()
            begin = time.perf_counter()
            await server.reset()
            client = await loop.run_in_executor(None, write_once, server.host, server.port)
            found[RESET] = [milliseconds(begin)]
            client.close()
            begin = time.perf_counter()
            await server.stop()
            found[STOP] = [milliseconds(begin)]
        return found

    return asyncio.run(run())


# --- processes ------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Return a user's environment, in which modules are compiled once."""
    cache = Path(tempfile.gettempdir()) / f"pyzk-bench-{os.getuid()}"
    # From `make`, or by hand with a compiled core in front.
    path = os.environ.get("PYTHONPATH") or str(ROOT)
    found = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(cache)}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def child_process() -> Figures:
    """Measure `pyzk serve --ephemeral`, as a test suite in another language starts it."""
    options = ["--ephemeral", "--port", "0", "--print-connect-string", "--exit-with-parent"]
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "pyzk", "serve", *options],
        env=environment(), stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        host, _, port = process.stdout.readline().strip().rpartition(":")
        client = write_once(host, int(port))
        found = {START: [milliseconds(begin)], MEMORY: [resident(process.pid)]}
        client.close()
        begin = time.perf_counter()
        process.terminate()
        process.wait(30)
        found[STOP] = [milliseconds(begin)]
    return found


def apache(launcher: Launcher) -> Callable[[], Figures]:
    """Return a measurement of the original as a process, with flags for a quick start."""

    def run() -> Figures:
        server = Server(launcher)
        try:
            begin = time.perf_counter()
            server.start()
            client = write_once(*server.address)
            found = {START: [milliseconds(begin)]}
            client.close()
            assert server.process is not None
            found[MEMORY] = [resident(server.process.pid)]
            begin = time.perf_counter()
            server.stop()
            found[STOP] = [milliseconds(begin)]
        finally:
            server.cleanup()
        return found

    return run


def curator(classes: str, class_path: str, rounds: int) -> Callable[[], Figures]:
    """Return a measurement of Curator's TestingServer; the first start includes that of its JVM."""

    def run() -> Figures:
        begin = time.perf_counter()
        with subprocess.Popen(
            ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
             "-cp", f"{classes}:{class_path}", JAVA_PROGRAM.stem, str(rounds)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            first = process.stdout.readline().split()
            whole = milliseconds(begin)
            if len(first) != 2:
                raise SystemExit(f"bench: {JAVA_PROGRAM.name} does not run")
            found: Figures = {START: [whole - float(first[1])], MEMORY: [resident(process.pid)]}
            rest = [line.split() for line in process.stdout]
        found[AGAIN] = [float(line[0]) for line in rest]
        found[STOP] = [float(line[1]) for line in [first, *rest]]
        return found

    return run


def resident(process: int) -> float:
    """Return the MiB of memory that a process has now; nan if the system does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024
    return float("nan")


# --- what there is --------------------------------------------------------------------


@attrs.frozen
class Kind:
    """One row of the table."""

    name: str
    run: Callable[[], Figures]
    is_slow: bool = False


def kinds(scratch: Path) -> Iterator[Kind]:
    """Yield what can be measured here; the rest is named on standard error."""
    yield Kind("pyzk, first in a bare process", first_in_a_process())
    yield Kind("pyzk, first under pytest", first_in_a_process("pytest"))
    yield Kind("pyzk, first under pytest with kazoo", first_in_a_process("pytest", "kazoo.client"))
    yield Kind("pyzk.testing.ZooKeeperServer", in_process)
    yield Kind("pyzk.testing.AsyncZooKeeperServer", in_a_loop)
    yield Kind("pyzk serve --ephemeral", child_process)
    try:
        yield Kind(
            f"Apache ZooKeeper {oracle.find('3.9').version}", apache(oracle.launcher("3.9")), True
        )
    except OracleMissingError as missing:
        print(f"bench: Apache ZooKeeper is SKIPPED: {missing}", file=sys.stderr)
    try:
        yield Kind("Curator TestingServer", compile_curator(scratch), True)
    except OracleMissingError as missing:
        print(f"bench: Curator's TestingServer is SKIPPED: {missing}", file=sys.stderr)


def compile_curator(scratch: Path) -> Callable[[], Figures]:
    """Compile the Java program against Debian's Curator."""
    if not CURATOR_TEST.exists():
        raise OracleMissingError("on Debian, apt-get install libcurator-test-java")
    if shutil.which("javac") is None:
        raise OracleMissingError("there is no javac on the PATH")
    names = ["curator-test", *DEBIAN_CLASS_PATH, *LOGGING]
    class_path = ":".join(str(DEBIAN_JARS / f"{name}.jar") for name in names)
    command = ["javac", "-nowarn", "-d", str(scratch), "-cp", class_path, str(JAVA_PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OracleMissingError(f"{JAVA_PROGRAM.name} does not compile:\n{done.stderr}")
    return curator(str(scratch), class_path, 6)


def leaks() -> str:
    """Start and stop many times; return what is left."""
    from pyzk.testing import ZooKeeperServer

    def counted() -> tuple[int, int, float]:
        return threading.active_count(), len(os.listdir("/dev/fd")), resident(os.getpid())

    def run(count: int) -> None:
        for _ in range(count):
            with ZooKeeperServer() as server:
                write_once(server.host, server.port).close()
                server.wait_until_idle()

    run(20)
    before = counted()
    begin = time.perf_counter()
    run(STARTS)
    each = milliseconds(begin) / STARTS
    threads, files, memory = (after - old for after, old in zip(counted(), before, strict=True))
    return (
        f"{STARTS} starts and stops in one process: {each:.1f} ms each; left behind:"
        f" {threads} threads, {files} open files, {memory:+.1f} MiB"
    )


def table(results: dict[str, Figures]) -> None:
    """Print medians: milliseconds, and MiB."""
    columns = {
        START: "first ms", AGAIN: "later ms", RESET: "reset ms", STOP: "stop ms", MEMORY: "MiB",
    }  # fmt: skip
    print(f"{'start to first write':38}" + "".join(f"{text:>10}" for text in columns.values()))
    for name, figures in results.items():
        line = f"{name:38}"
        for column in columns:
            values = figures.get(column)
            line += f"{statistics.median(values):10.1f}" if values else f"{'-':>10}"
        print(line)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.fixture")
    parser.add_argument("--quick", action="store_true", help="three rounds, one of what is slow")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--alone", action="store_true", help="without Java")
    options = parser.parse_args(arguments)
    rounds, slow_rounds = (3, 1) if options.quick else (options.rounds, 5)
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch:
        found = [kind for kind in kinds(Path(scratch)) if not (options.alone and kind.is_slow)]
        results: dict[str, Figures] = {kind.name: {} for kind in found}
        for kind in found:
            kind.run()  # unmeasured: modules are compiled, files are in the page cache
        for number in range(rounds):
            for kind in found:
                if kind.is_slow and number >= slow_rounds:
                    continue
                for column, values in kind.run().items():
                    results[kind.name].setdefault(column, []).extend(values)
    table(results)
    print(leaks())
    return 0


if __name__ == "__main__":
    sys.exit(main())
