"""The import rules: only the own layer or lower ones, no world in a pure module, no circles.

The simulator and the runtime are two worlds for the same peers: neither knows the other. Inside
`pyzk.testing` imports go down its wings as they go down the layers of the whole.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pyzk"

LAYERS = {
    "errors": 0, "int64": 0, "zxid": 0, "constants": 0, "clock": 0, "metrics": 0, "outsiders": 0,
    "audit_log": 0, "summaries": 0, "exit_codes": 0, "four_letter_words": 0, "compiling": 0,
    "extras": 0,
    "config": 0,
    "jute": 1,
    "data": 2, "auth": 2, "persistence": 2,
    "server": 3,
    "quorum": 4, "admin": 4,
    "runtime": 5, "sim": 5,
    "cli": 6, "__main__": 6, "testing": 6,
}  # fmt: skip
LAST_PURE_LAYER = 4
PURE_ABOVE = "pyzk.sim"
"""The simulator is pure, too, all but its command."""
SHELLS_WITHIN = ("pyzk.sim.__main__",)
STRANGERS = (
    ("pyzk.sim", "pyzk.runtime"),
    ("pyzk.runtime", "pyzk.sim"),
    ("pyzk.quorum", "pyzk.admin"),
)
"""(who, whom it must not know), though the layers would allow it."""

WINGS = {
    "errors": 0,
    "seams": 1,
    "core": 2,
    "members": 3, "server": 3,
    "aio": 4, "ensemble": 4,
    "control": 5, "external": 5, "kazoo_harness": 5, "markers": 5,
    "pytest_plugin": 6,
}  # fmt: skip
"""The order inside `pyzk.testing`: each imports itself and what is lower. The package itself names
all of them and imports none before it is used."""

CIRCLES: Mapping[tuple[str, ...], str] = {
    (
        "pyzk.config.hints",
        "pyzk.config.keys",
        "pyzk.config.kinds",
        "pyzk.config.metrics_provider",
        "pyzk.config.security_keys",
    ): "a key that cannot be read asks for hints, which know all keys; imported when it happens",
    (
        "pyzk.server.audit",
        "pyzk.server.authentication",
        "pyzk.server.connection",
        "pyzk.server.fourletter",
        "pyzk.server.fourletter_mntr",
        "pyzk.server.frequent",
        "pyzk.server.handshake",
        "pyzk.server.metric_families",
        "pyzk.server.operations",
        "pyzk.server.outbox",
        "pyzk.server.reads",
        "pyzk.server.request",
        "pyzk.server.request_throttle",
        "pyzk.server.role",
        "pyzk.server.screening",
        "pyzk.server.server",
        "pyzk.server.session_queues",
        "pyzk.server.sessions",
        "pyzk.server.slow_requests",
    ): "a connection, its session and its requests lead to each other, where each call counts",
}
"""Modules that need each other's types, or import each other late, and why that is left so. When
modules are loaded there are no circles at all."""

WORLD = {
    "asyncio", "uvloop", "socket", "ssl", "select", "selectors", "threading", "multiprocessing",
    "concurrent", "subprocess", "signal", "time", "secrets", "os", "pathlib", "shutil", "tempfile",
    "fcntl", "mmap", "urllib", "http", "click",
}  # fmt: skip
EXCEPTIONS = {
    ("pyzk.jute.records", "hash()"): "__hash__ of a record; nothing iterates in hash order",
    ("pyzk.persistence.directory", "id()"): "tells inodes apart; the order is that of insertion",
}
"""Where a forbidden use is harmless, and why."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> int | None:
    """Return the layer of a dotted name below pyzk, None for the package itself."""
    parts = module.split(".")
    assert parts[0] == "pyzk", module
    return LAYERS[parts[1]] if len(parts) > 1 and parts[1] != "__version__" else None


def wing(module: str) -> int | None:
    """Return the place of a module of `pyzk.testing` among its wings, None for all others."""
    parts = module.split(".")
    return WINGS[parts[2]] if parts[:2] == ["pyzk", "testing"] and len(parts) > 2 else None


def is_pure(module: str) -> bool:
    """Tell whether a module may not touch the world."""
    own = layer(module)
    if own is not None and own <= LAST_PURE_LAYER:
        return True
    return is_in(module, PURE_ABOVE) and module not in SHELLS_WITHIN


def is_in(module: str, package: str) -> bool:
    """Tell whether a module is a package, or in it."""
    return f"{module}.".startswith(f"{package}.")


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
    own, own_wing = layer(module), wing(module)
    found = []
    for line, name in imports(tree):
        top = name.split(".")[0]
        if top == "pyzk":
            other, other_wing = layer(name), wing(name)
            if own is not None and other is not None and other > own:
                found.append(f"line {line}: {module} (L{own}) imports {name} (L{other})")
            if own_wing is not None and other_wing is not None and other_wing >= own_wing:
                if module.split(".")[2] != name.split(".")[2]:
                    found.append(f"line {line}: {module} imports {name}, no lower wing")
            if any(is_in(module, who) and is_in(name, whom) for who, whom in STRANGERS):
                found.append(f"line {line}: {module} imports {name}")
        elif is_pure(module) and top in WORLD:
            found.append(f"line {line}: {module} is pure and imports {name}")
    if is_pure(module):
        found += [
            f"line {line}: {module} is pure and uses {what}"
            for line, what in impure_calls(tree)
            if (module, what) not in EXCEPTIONS
        ]
    return found


# --- circles --------------------------------------------------------------------------

Graph = dict[str, set[str]]


def imported(node: ast.AST, names: Iterable[str], *, when_loaded: bool) -> Iterator[str]:
    """Yield which of these modules an ast imports: all, or those that loading it imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                name = f"{child.module}.{alias.name}"
                yield from [name] if name in names else [child.module or ""]
        elif when_loaded and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from imported(other, names, when_loaded=True)
        elif not (when_loaded and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imported(child, names, when_loaded=when_loaded)


def import_graph(sources: Mapping[str, str], *, when_loaded: bool) -> Graph:
    """Return which module imports which."""
    return {
        module: set(imported(ast.parse(source), sources, when_loaded=when_loaded))
        & (sources.keys() - {module})
        for module, source in sources.items()
    }


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Return the groups of modules of which each reaches each."""
    reached = {module: _reached(graph, module) for module in graph}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return sorted(groups)


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += graph[module]
    return found


SOURCES = {name_of(path): path.read_text() for path in MODULES}


def test_no_modules_load_each_other() -> None:
    try:
        TopologicalSorter(import_graph(SOURCES, when_loaded=True)).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_modules_know_each_other_only_where_it_is_said() -> None:
    found = circles(import_graph(SOURCES, when_loaded=False))
    assert found == sorted(CIRCLES), (
        "a protocol beside the one who asks opens a circle; what remains stands in CIRCLES"
    )


def test_circles_are_noticed() -> None:
    sources = {
        "a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import B",
        "b": "import c",
        "c": "def f():\n    import a",
        "d": "import a",
    }
    assert circles(import_graph(sources, when_loaded=True)) == []
    assert circles(import_graph(sources, when_loaded=False)) == [("a", "b", "c")]


# --- one module -----------------------------------------------------------------------


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
        ("pyzk.sim.world", "from pyzk.runtime.runner import PeerRunner"),
        ("pyzk.sim.__main__", "import pyzk.runtime"),
        ("pyzk.runtime.runner", "from pyzk import sim"),
        ("pyzk.sim.disk", "import os"),
        ("pyzk.sim.trace", "print('x')"),
        ("pyzk.testing.core.engine", "from pyzk.testing.members.engine import MemberEngine"),
        ("pyzk.testing.external.server", "from pyzk.testing.control import api"),
        ("pyzk.testing.server", "from pyzk.testing.members import member"),
    ],
)
def test_the_rule_notices(module: str, source: str) -> None:
    assert len(problems(module, source)) == 1


def test_the_rule_allows_what_it_should() -> None:
    source = "import random\nimport logging\nfrom pyzk.data import tree\nr: random.Random"
    assert problems("pyzk.server.prep", source) == []
    assert problems("pyzk.runtime.disk", "import os, asyncio, threading") == []
    assert problems("pyzk.sim.__main__", "import multiprocessing, time\nprint('x')") == []
    assert problems("pyzk.testing.aio", "from pyzk.testing.server import WAIT_S") == []
    assert problems("pyzk.testing.core.orders", "from pyzk.testing.core import engine") == []


def test_ruff_has_the_same_rules() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert set(ruff["flake8-tidy-imports"]["banned-api"]) >= WORLD
    allowed = [
        place.removesuffix("/**").removesuffix(".py").replace("/", ".")
        for place, rules in ruff["per-file-ignores"].items()
        if "TID251" in rules and place.startswith("pyzk/")
    ]
    for module in SOURCES:
        is_free = any(is_in(module, place) for place in allowed)
        assert is_free != is_pure(module) or module == "pyzk", module
