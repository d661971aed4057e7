"""The modules that a first start imports, for which a test has to wait; and that help() and its
like show names that are imported on use."""

from __future__ import annotations

import pytest

from tests.processes import python

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
    *("pyzk.runtime.disk", "pyzk.runtime.files", "pyzk.testing.aio", "pyzk.testing.control.http"),
    *("pyzk.testing.external.server", "pyzk.testing.kazoo_harness", "pyzk.testing.pytest_plugin"),
    *("pyzk.testing.core.certificates", "pyzk.testing.seams.tls_socket", "pyzk.runtime.tls_link"),
    *("trustme", "cryptography", "pyzk.config.tls", "pyzk.config.sasl", "pyzk.auth.sasl"),
    *("pyzk.quorum.link", "pyzk.quorum.contract", "pyzk.quorum.lifecycle"),
}


def test_a_first_start_imports_nothing_that_it_does_not_need() -> None:
    assert set(python("-c", CODE).stdout.split()) & UNWANTED == set()


EXPECTED = (
    "class ZooKeeperServer(",
    "class AsyncZooKeeperServer(",
    "class ZooKeeperEnsemble(",
    "LeakedClientsWarning(",
    "expire_session(self, session",
)


@pytest.mark.parametrize("code", ["import pyzk; help(pyzk.testing)", "help('pyzk.testing')"])
def test_help_shows_the_classes(code: str) -> None:
    done = python("-c", code).stdout
    for text in EXPECTED:
        assert text in done, text
    words = " ".join(done[: done.index("PACKAGE CONTENTS")].split())
    assert "DESCRIPTION Use `ZooKeeperServer`, under asyncio `AsyncZooKeeperServer`" in words
    assert words.index("docs/testing.md") < words.index("Shell.")


def test_what_is_imported_on_use_can_be_listed_and_taken() -> None:
    code = """
import inspect, sys
import pyzk.testing as module
assert set(module.__all__) <= set(dir(module)), dir(module)
assert "pyzk.testing.server" not in sys.modules
from pyzk.testing import *
found = dict(inspect.getmembers(module))
print(*(name for name in module.__all__ if found[name] is not globals()[name]), "all the same")
"""
    assert python("-c", code).stdout == "all the same\n"


def test_no_other_name_is_made_up() -> None:
    code = "import pyzk\ntry: pyzk.nothing\nexcept AttributeError as error: print(error)"
    assert python("-c", code).stdout == "module 'pyzk' has no attribute 'nothing'\n"
