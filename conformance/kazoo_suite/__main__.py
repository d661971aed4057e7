"""Runs kazoo's own tests: python -m conformance.kazoo_suite [--server 3.9] [-- pytest's options].

Shell.  In an environment of its own, .build/kazoo-suite, made on the first run: the suite wants
libraries that this project does not. With --stores pem the servers' stores are PEM files instead of
JKS; with --kerberos there is a realm on loopback, and the tests that kazoo skips without one run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from conformance import oracle
from conformance.mixed.members import PYZK
from conformance.secured import JKS, PEM
from pyzk.runtime.free_ports import free_ports
from tests import kdc

PROJECT: Final = Path(__file__).parent.parent.parent
ENVIRONMENT: Final = PROJECT / ".build" / "kazoo-suite"
REQUIREMENTS: Final = Path(__file__).parent / "requirements.txt"
KERBEROS: Final = Path(__file__).parent / "requirements-kerberos.txt"
REALM: Final = "KAZOOTEST.ORG"
"""The realm that kazoo's tests name."""
BLOCK: Final = 30
"""Ports in a row that a cluster of three takes."""
TIMEOUT_S: Final = 180
"""The time limit of one test; a few wait for session timeouts."""


def environment(with_kerberos: bool = False) -> Path:
    """Returns the Python of the suite's environment, which is made if it is missing or old."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = REQUIREMENTS.read_text() + (KERBEROS.read_text() if with_kerberos else "")
    have = stamp.read_text() if stamp.exists() else ""
    if have.startswith(wanted):
        return python
    print(f"kazoo_suite: making {ENVIRONMENT} (once)", file=sys.stderr)
    if not (have and wanted.startswith(have)):
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    if with_kerberos:
        subprocess.run([*pip, "-r", str(KERBEROS)], check=True)
    stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def realm() -> Iterator[dict[str, str]]:
    """Runs the realm that kazoo's tests want; gives what the environment says of it."""
    with (
        tempfile.TemporaryDirectory(prefix="pyzk-realm-") as name,
        kdc.realm(Path(name), REALM) as made,
    ):
        made.keytab("client")
        made.keytab("zookeeper/127.0.0.1").rename(made.folder / "server.keytab")
        kept = ("PATH", "KRB5_CONFIG", "KRB5CCNAME", "KRB5RCACHENAME")
        yield {each: made.environment[each] for each in kept} | {"KRB5_TEST_ENV": name}


def free_block() -> int:
    """Returns the first of BLOCK ports in a row that are free."""
    while True:
        ports = free_ports(BLOCK)
        if ports[-1] - ports[0] == BLOCK - 1:
            return ports[0]


def run(server: str, stores: str, settings: dict[str, str], options: list[str]) -> int:
    """Runs the suite on clusters of one implementation; returns pytest's exit status."""
    python = environment("KRB5_TEST_ENV" in settings)
    settings = {**os.environ, **settings, "PYTHONPATH": str(PROJECT), "ZOOKEEPER_VERSION": "3.9.3"}
    settings.pop("CI", None)
    settings["ZOOKEEPER_PORT_OFFSET"] = str(free_block())
    if server == PYZK:
        settings["PATH"] = f"{PROJECT / 'scripts'}:{settings['PATH']}"
        settings["ZOOKEEPER_CLASSPATH"] = "none"
    else:
        settings["ZOOKEEPER_CLASSPATH"] = oracle.find(server).launcher().java_class_path or ""
    plugin = ["-p", "conformance.kazoo_suite.pem"] if stores == PEM else []
    pytest = [str(python), "-m", "pytest", "--pyargs", "kazoo.tests", "-q", "-rsxX", *plugin]
    with tempfile.TemporaryDirectory(prefix="pyzk-kazoo-") as scratch:
        # Outside of the project, whose pytest settings are not the suite's.
        (Path(scratch) / "pytest.ini").write_text("[pytest]\n")
        cache = ["-p", "no:cacheprovider", f"--timeout={TIMEOUT_S}"]
        return subprocess.run([*pytest, *cache, *options], cwd=scratch, env=settings).returncode


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status of pytest."""
    parser = argparse.ArgumentParser(prog="python -m conformance.kazoo_suite")
    parser.add_argument("--server", default=PYZK, help="pyzk, or a version of the original")
    parser.add_argument("--stores", choices=(JKS, PEM), default=JKS, help="of the servers")
    parser.add_argument("--kerberos", action="store_true", help="with a realm (Debian's krb5-kdc)")
    parser.add_argument("options", nargs="*", help="for pytest, behind --")
    given = parser.parse_args(arguments)
    if not given.kerberos:
        return run(given.server, given.stores, {}, given.options)
    if kdc.missing():
        print(f"kazoo_suite: no realm can be made: {kdc.missing()} is missing", file=sys.stderr)
        return 1
    with realm() as settings:
        return run(given.server, given.stores, settings, given.options)


if __name__ == "__main__":
    sys.exit(main())
