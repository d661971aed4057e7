"""The C programs of the benchmarks: compiles them and reads the figures that they print.

Shell. zkload.c loads a server in a closed loop, shapes.c in other ways, and limit.c is a server
that only answers zkload and syncs.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from conformance.servers import Launcher, Server

FOLDER: Final = Path(__file__).parent
SIZE: Final = 128
"""How many bytes zkload writes."""
TIMEOUT_S: Final = 600.0


@attrs.frozen
class Point:
    """One load: an operation by so many connections with so many requests under way."""

    operation: str
    connections: int
    pipeline: int

    def __str__(self) -> str:
        return f"{self.operation:8} {self.connections:3} x {self.pipeline:<3}"


@attrs.frozen
class Times:
    """Seconds of a load: measured, unmeasured before it, and unmeasured on a fresh server."""

    seconds: float
    before_point: float
    whole_server: float


TLS: Final = ("-DTLS", "-lssl", "-lcrypto")
"""What makes zkload talk TLS."""


def build(folder: Path, name: str = "zkload", options: Sequence[str] = ()) -> Path:
    """Compile one of the programs. Raises SystemExit if there is no compiler or library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench: no C compiler (gcc or cc) on the PATH")
    program = folder / name
    source = str(FOLDER / f"{name}.c")
    command = [compiler, "-O2", "-w", "-pthread", "-o", str(program), source, *options]
    if subprocess.run(command).returncode:
        needed = " (TLS needs OpenSSL's headers: libssl-dev)" if options else ""
        raise SystemExit(f"bench: {name}.c cannot be compiled{needed}")
    return program


def limit_launcher(folder: Path) -> Launcher:
    """Compile the server that does nothing else; return how to run it."""
    return Launcher("limit", f"{shlex.quote(str(build(folder, 'limit')))} {{cfg}}")


def address_of(server: Server) -> str:
    """The connect string of a server: of its secure port if it has one."""
    host, port = server.address
    return f"{host}:{server.config.get('secureClientPort', port)}"


def load(program: Path, server: Server, point: Point, times: Times) -> dict[str, Any]:
    """Run zkload against one server."""
    return run_load(
        program, server.launcher.name, address_of(server), point, times, server.log_tail
    )


def run_load(
    program: Path,
    name: str,
    addresses: str,
    point: Point,
    times: Times,
    log_tail: Callable[[], str] = str,
) -> dict[str, Any]:
    """Run zkload. Raises SystemExit if it fails."""
    arguments = [
        *(addresses, point.operation, point.connections, point.pipeline, SIZE),
        *(times.seconds, times.before_point),
    ]
    return figures_of(program, f"{name}: {point}", arguments, log_tail)


def figures_of(
    program: Path, what: str, arguments: list[object], log_tail: Callable[[], str] = str
) -> dict[str, Any]:
    """Run a program; return the figures that it prints. Raises SystemExit if it fails."""
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"bench: {what}: {done.stderr}{log_tail()}")
    return without_errors(what, done.stdout)


def without_errors(what: str, line: str) -> dict[str, Any]:
    """Return the figures of a line of JSON. Raises SystemExit if they count errors."""
    figures: dict[str, Any] = json.loads(line)
    if figures.get("errors"):
        raise SystemExit(f"bench: {what}: errors: {line}")
    return figures
