"""Whoever can cause log lines at will fills no log with them: each line says whom it is about."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pyzk"
MODULES = sorted(
    [
        *(PACKAGE / "server").glob("*.py"),
        PACKAGE / "data" / "quota.py",
        PACKAGE / "quorum" / "election_links.py",
        PACKAGE / "quorum" / "learner_handler.py",
        PACKAGE / "runtime" / "client_port.py",
    ]
)
"""What clients and strangers talk to."""
OWN = {
    "the server stood still for about %d ms; %d sessions get %d ms more": "nobody outside does it",
    "expired sessions: %s%s": "one line for all, once a tick",
}
LEVELS = ("debug", "info", "warning", "error", "critical", "exception", "log")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_lines_that_others_can_cause_say_whom_they_are_about(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
            and node.func.attr in LEVELS
        ):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            is_own = any(text in OWN for text in texts)
            assert is_own or any(each.arg == "extra" for each in node.keywords), (
                f"{path.name}:{node.lineno} logs without extra=about(...)"
            )
