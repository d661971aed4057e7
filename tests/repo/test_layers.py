"""The import rule: only the own layer or lower ones; no world in a pure module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pyzk"

LAYERS = {
    "errors": 0, "int64": 0, "zxid": 0, "constants": 0, "clock": 0, "metrics": 0, "outsiders": 0,
    "summaries": 0, "exit_codes": 0, "four_letter_words": 0,
    "config": 0,
    "jute": 1,
    "data": 2, "auth": 2, "persistence": 2,
    "server": 3,
    "quorum": 4,
    "runtime": 5, "sim": 5,
    "cli": 6, "__main__": 6, "testing": 6,
}  # fmt: skip
LAST_PURE_LAYER = 4

WORLD = {
    "asyncio", "uvloop", "socket", "ssl", "select", "selectors", "threading", "multiprocessing",
    "concurrent", "subprocess", "signal", "time", "secrets", "os", "pathlib", "shutil", "tempfile",
    "fcntl", "mmap", "urllib", "http", "click",
}  # fmt: skip
# Where a forbidden use is harmless, and why.
EXCEPTIONS = {
    ("pyzk.jute.records", "hash()"): "__hash__ of a record; nothing iterates in hash order",
    ("pyzk.persistence.directory", "id()"): "tells inodes apart; the order is that of insertion",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> int | None:
    """Return the layer of a dotted name below pyzk, None for the package itself."""
    parts = module.split(".")
    assert parts[0] == "pyzk", module
    return LAYERS[parts[1]] if len(parts) > 1 and parts[1] != "__version__" else None


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name); `from pyzk import x` as pyzk.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "pyzk":
                for alias in node.names:
                    yield node.lineno, f"pyzk.{alias.name}"
            else:
                yield node.lineno, node.module


def impure_calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what draws on the world through a module that is allowed for its types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.value.id == "random" and node.attr != "Random":
                yield node.lineno, name
            if node.value.id in ("datetime", "date") and node.attr in ("now", "utcnow", "today"):
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            for alias in node.names:
                if alias.name != "Random":
                    yield node.lineno, f"random.{alias.name}"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input", "id", "hash")
        ):
            yield node.lineno, f"{node.func.id}()"


def problems(module: str, source: str) -> list[str]:
    tree = ast.parse(source)
    own = layer(module)
    found = []
    for line, name in imports(tree):
        top = name.split(".")[0]
        if top == "pyzk":
            other = layer(name)
            if own is not None and other is not None and other > own:
                found.append(f"line {line}: {module} (L{own}) imports {name} (L{other})")
        elif own is not None and own <= LAST_PURE_LAYER and top in WORLD:
            found.append(f"line {line}: {module} is pure and imports {name}")
    if own is not None and own <= LAST_PURE_LAYER:
        found += [
            f"line {line}: {module} is pure and uses {what}"
            for line, what in impure_calls(tree)
            if (module, what) not in EXCEPTIONS
        ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_its_own_layer_or_lower(path: Path) -> None:
    assert problems(name_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pyzk.jute.archive", "from pyzk.data import tree"),
        ("pyzk.server.reads", "from pyzk import quorum"),
        ("pyzk.errors", "import pyzk.jute.records"),
        ("pyzk.data.tree", "import os.path"),
        ("pyzk.config.server", "def f():\n    from pathlib import Path"),
        ("pyzk.data.tree", "import random\nx = random.random()"),
        ("pyzk.data.tree", "from random import choice"),
        ("pyzk.quorum.peer", "now = datetime.now()"),
        ("pyzk.persistence.txnlog", "open('x')"),
        ("pyzk.data.acl", "hash('x')"),
    ],
)
def test_the_rule_notices(module: str, source: str) -> None:
    assert len(problems(module, source)) == 1


def test_the_rule_allows_what_it_should() -> None:
    source = "import random\nimport logging\nfrom pyzk.data import tree\nr: random.Random"
    assert problems("pyzk.server.prep", source) == []
    assert problems("pyzk.runtime.disk", "import os, asyncio, threading") == []
