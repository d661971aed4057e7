"""Throughput and latency of this server, the original and the physical limit, in alternation.

Shell.

    python -m scripts.bench.zk            all rows, about a quarter of an hour    (make bench)
    python -m scripts.bench.zk --quick    about a minute
    python -m scripts.bench.zk --tls      by TLS, with certificates on both sides; handshakes, too

All servers are up at once, on one disk, with fsync on and their default settings, as operators have
them. One is loaded at a time: in each round of a row each has its turn, so that whatever else the
machine does meets all of them. Before, each has some seconds of writes: a JVM is not itself until
its compiler has seen the code, and half warm it would flatter us. The table shows medians.

The load generator, zkload.c, has CONNS connections, each with PIPELINE requests under way, in a
closed loop; mix is nine reads and one write. The limit is limit.c, a server that only answers and
syncs. Nothing is pinned to a core, as nothing is in production. With one connection and one request
the scheduler's choice of cores alone changes a figure several times over, so look at the spread
before believing a 1 x 1.

By TLS there is no limit to compare with. All certificates are of P-256. A handshake is whole, and
is counted when the server has answered behind it; so many threads do nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import attrs

from conformance import secured
from conformance.servers import Launcher, Server
from scripts.bench.comparison import (
    compared,
    options_of,
    plain,
    progress,
    rounds_of,
    table,
    write_json,
)
from scripts.bench.programs import TLS, Point, Times, build, limit_launcher, load
from tests.certificates import Authority

ROWS: Final = (
    *(Point("get", 1, 1), Point("get", 50, 1), Point("get", 50, 20)),
    *(Point("set", 1, 1), Point("set", 50, 1), Point("set", 50, 20)),
    *(Point("create", 50, 1), Point("create", 50, 20)),
    Point("mix", 50, 20),
)
HANDSHAKE: Final = "handshake"
TLS_ROWS: Final = (*ROWS[:6], Point(HANDSHAKE, 1, 1), Point(HANDSHAKE, 16, 1))
OPERATIONS: Final = ("get", "set", "create", "exists", "mix")
"""The limit answers no others."""
WARM_UP: Final = (Point("set", 50, 20), Point("create", 50, 20))
ROUNDS: Final = 5
SECONDS: Final = 3.0


def row(text: str) -> Point:
    """Read a row from an option: get:50:20."""
    try:
        operation, connections, pipeline = text.split(":")
        point = Point(operation, int(connections), int(pipeline))
    except ValueError:
        point = Point("", 0, 0)
    if (
        point.operation not in (*OPERATIONS, HANDSHAKE)
        or point.connections < 1
        or point.pipeline < 1
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is no row such as get:50:20")
    return point


def measure(
    program: Path, servers: Sequence[Server], rows: Sequence[Point], rounds: int, times: Times
) -> dict[str, list[dict[Point, dict[str, Any]]]]:
    """Warm all servers up, and load them in turn; return the figures of each."""
    for server in servers:
        progress(f"{server.launcher.name}: warming up")
        for point in WARM_UP:
            load(program, server, point, attrs.evolve(times, seconds=times.whole_server))
    results: dict[str, list[dict[Point, dict[str, Any]]]] = {
        server.launcher.name: [{} for _ in range(rounds)] for server in servers
    }
    for number, point in enumerate(rows, 1):
        progress(f"row {number} of {len(rows)}: {point}")
        for turn in range(rounds):
            for server in servers:
                figures = load(program, server, point, times)
                results[server.launcher.name][turn][point] = figures
    return results


def by_tls(launchers: Sequence[Launcher], folder: Path, running: ExitStack) -> list[Server]:
    """Start the servers with a secure port; the load generator is told its certificate."""
    authority = Authority()
    issued = authority.issue("server", names=["localhost", "127.0.0.1"])
    stores = secured.stores(folder, "server", issued, authority.certificate_pem)
    client = folder / "client.pem"
    client.write_bytes(authority.issue("load").pem())
    os.environ["ZKLOAD_PEM"] = str(client)
    secure = (secured.secure_server(launcher, stores.settings()) for launcher in launchers)
    return [running.enter_context(each)[0] for each in secure]


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = options_of("python -m scripts.bench.zk", ROUNDS, SECONDS)
    parser.add_argument("--rows", nargs="+", type=row, help="such as get:50:20")
    parser.add_argument("--tls", action="store_true", help="by TLS, with client certificates")
    options = parser.parse_args(arguments)
    rows: Sequence[Point] = options.rows or (TLS_ROWS if options.tls else ROWS)
    if not options.tls and any(point.operation == HANDSHAKE for point in rows):
        parser.error("handshakes are those of --tls")
    times, launchers = compared(options)
    times = attrs.evolve(times, before_point=min(times.before_point, 1.0))
    rounds = rounds_of(options)
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch, ExitStack() as running:
        program = build(Path(scratch), options=TLS if options.tls else ())
        if not options.tls:
            launchers.append(limit_launcher(Path(scratch)))
        seconds = len(launchers) * (
            rounds * len(rows) * (times.seconds + times.before_point)
            + len(WARM_UP) * times.whole_server
        )
        progress(f"{len(launchers)} servers, {rounds} rounds: about {seconds / 60:.0f} minutes")
        if options.tls:
            servers = by_tls(launchers, Path(scratch), running)
        else:
            servers = [running.enter_context(Server(launcher)) for launcher in launchers]
        results = measure(program, servers, rows, rounds, times)
    print("\n".join(table(results, rows)))
    write_json(options.json, plain(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
