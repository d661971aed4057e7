"""What a first start imports: a test that asks for a server waits for that, too."""

from __future__ import annotations

import subprocess
import sys

from tests.testing.raw import PATIENCE_S

CODE = """
import asyncio, sys
before = set(sys.modules)
from pyzk.testing import ZooKeeperServer
with ZooKeeperServer() as server:
    server.load({"/a": "b"})
print(*set(sys.modules) - before)
"""
UNWANTED = {
    *("attr", "click", "uvloop", "kazoo", "pytest", "http", "email", "json", "difflib", "tempfile"),
    *("platform", "getpass", "pyzk.cli", "pyzk.runtime.main", "pyzk.runtime.storage"),
    *("pyzk.runtime.disk", "pyzk.runtime.files", "pyzk.testing.aio", "pyzk.testing.control_http"),
    *("pyzk.testing.external", "pyzk.testing.kazoo_harness", "pyzk.testing.pytest_plugin"),
}


def test_a_first_start_imports_nothing_that_it_does_not_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert set(done.stdout.split()) & UNWANTED == set()
