"""Prometheus's own tools, where this machine has them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{\{[^}]*\}\}')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_LABELS = re.compile(r"\{[^}]*\}")
_NAME = re.compile(r"(?<!\w)[a-zA-Z_][a-zA-Z0-9_]*(?!\s*\()\b")
_WORDS = {"and", "or", "unless", "bool", "offset"}


def promtool(*arguments: str | Path, check: bool = True) -> str:
    """Run promtool and return what it says; skip the test where there is none."""
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool (Debian's package prometheus)")
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert not check or done.returncode == 0, said
    return said


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics in an expression of PromQL."""
    text = _TEXT.sub("", expression)
    text = _GROUPING.sub("", text)
    text = _LABELS.sub("", text)
    text = re.sub(r"\boffset\s+\w+", "", text)
    return {name for name in _NAME.findall(text) if name not in _WORDS}
