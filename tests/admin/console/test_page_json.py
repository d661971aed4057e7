"""JSON in the page: its lines are indented, and neither work nor result grows beyond bounds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
PAGE = Path(__file__).parents[3] / "pyzk/admin/console/page"
LONGEST = 2 << 20
LARGEST_DATA = 1_000_000

pytestmark = pytest.mark.skipif(NODE is None, reason="no node found: it runs the page's programs")


def pretty(directory: Path, text: str) -> list[tuple[str, str]] | None:
    """Return the parts that the page shows of a text."""
    module = directory / "json.mjs"  # the name by which every release knows a module
    module.write_bytes((PAGE / "json.js").read_bytes())
    program = (
        f"import {{ pretty }} from {json.dumps(module.as_uri())};"
        "import { readFileSync } from 'node:fs';"
        "process.stdout.write(JSON.stringify(pretty(readFileSync(0, 'utf8'))));"
    )
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--max-old-space-size=512", "--input-type=module", "-e", program],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    found: list[tuple[str, str]] | None = json.loads(done.stdout)
    return found


def shown(directory: Path, text: str) -> str:
    parts = pretty(directory, text)
    assert parts is not None
    return "".join(part for _, part in parts)


def test_json_is_indented_and_says_the_same(tmp_path: Path) -> None:
    text = '{"a":[1,{"b":null}],"c":{},"d":[],"e\\"\\\\":"x, [y]: {z}","n":12345678901234567890.10}'
    assert shown(tmp_path, text).split("\n") == [
        "{",
        '  "a": [',
        "    1,",
        "    {",
        '      "b": null',
        "    }",
        "  ],",
        '  "c": {},',
        '  "d": [],',
        '  "e\\"\\\\": "x, [y]: {z}",',
        '  "n": 12345678901234567890.10',
        "}",
    ]
    parts = pretty(tmp_path, text)
    assert parts is not None
    kinds = [kind for kind, _ in parts if kind]
    assert kinds == ["key", "value", "key", "value", "key", "key", "key", "string", "key", "value"]


def test_what_is_nested_deeply_is_not_indented_without_end(tmp_path: Path) -> None:
    lines = shown(tmp_path, "[" * 1000 + "1" + "]" * 1000).split("\n")
    assert len(lines) == 2001
    assert max(len(line) for line in lines) == 2 * 24 + 1
    assert (lines[24], lines[1000]) == ("  " * 24 + "[", "  " * 24 + "1")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 32_000 + "]" * 32_000,
        "[" * (LARGEST_DATA // 2) + "]" * (LARGEST_DATA // 2),
        '{"a":' * 150_000 + "1" + "}" * 150_000,
        "[" + "1," * (LARGEST_DATA // 2) + "1]",
        "[" * 24 + "1," * 100_000 + "1" + "]" * 24,
        '["' + "x" * LONGEST + '"]',
    ],
)
def test_what_would_be_too_long_is_not_made(tmp_path: Path, text: str) -> None:
    parts = pretty(tmp_path, text)
    assert parts is None or sum(len(part) for _, part in parts) <= LONGEST


def test_a_string_may_be_long(tmp_path: Path) -> None:
    text = '["' + "\\n" * (LARGEST_DATA // 2) + '"]'
    assert shown(tmp_path, text) == f"[\n  {text[1:-1]}\n]"
