"""Runs kazoo's own tests: python -m conformance.kazoo_suite [--server 3.9] [-- pytest's options].

Shell.  In an environment of its own, .build/kazoo-suite, made on the first run: the suite wants
libraries that this project does not.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

from conformance import oracle
from conformance.mixed.members import PYZK

PROJECT: Final = Path(__file__).parent.parent.parent
ENVIRONMENT: Final = PROJECT / ".build" / "kazoo-suite"
REQUIREMENTS: Final = Path(__file__).parent / "requirements.txt"
BLOCK: Final = 30
"""Ports in a row that a cluster of three takes."""
TIMEOUT_S: Final = 180
"""The time limit of one test; a few wait for session timeouts."""


def environment() -> Path:
    """Returns the Python of the suite's environment, which is made if it is missing or old."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"kazoo_suite: making {ENVIRONMENT} (once)", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted)
    return python


def free_block() -> int:
    """Returns the first of BLOCK ports in a row that are free now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if first + BLOCK < 1 << 16 and all(_is_free(port) for port in range(first, first + BLOCK)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def run(server: str, options: list[str]) -> int:
    """Runs the suite on clusters of one implementation; returns pytest's exit status."""
    python = environment()
    settings = {**os.environ, "PYTHONPATH": str(PROJECT), "ZOOKEEPER_VERSION": "3.9.3"}
    settings.pop("CI", None)
    settings["ZOOKEEPER_PORT_OFFSET"] = str(free_block())
    plugin = []
    if server == PYZK:
        settings["PATH"] = f"{PROJECT / 'scripts'}:{os.environ['PATH']}"
        settings["ZOOKEEPER_CLASSPATH"] = "none"
        plugin = ["-p", "conformance.kazoo_suite.plugin"]
    else:
        settings["ZOOKEEPER_CLASSPATH"] = oracle.find(server).launcher().java_class_path or ""
    pytest = [str(python), "-m", "pytest", "--pyargs", "kazoo.tests", "-q", "-rxXs", *plugin]
    with tempfile.TemporaryDirectory(prefix="pyzk-kazoo-") as scratch:
        # Outside of the project, whose pytest settings are not the suite's.
        (Path(scratch) / "pytest.ini").write_text("[pytest]\n")
        cache = ["-p", "no:cacheprovider", f"--timeout={TIMEOUT_S}"]
        return subprocess.run([*pytest, *cache, *options], cwd=scratch, env=settings).returncode


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status of pytest."""
    parser = argparse.ArgumentParser(prog="python -m conformance.kazoo_suite")
    parser.add_argument("--server", default=PYZK, help="pyzk, or a version of the original")
    parser.add_argument("options", nargs="*", help="for pytest, behind --")
    given = parser.parse_args(arguments)
    return run(given.server, given.options)


if __name__ == "__main__":
    sys.exit(main())
