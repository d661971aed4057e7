"""docs/testing.md does what it says: its examples are run, its tables are those of the code.

Python examples are files of one pytest run, each under the line at which it stands; an example that
needs a package that is not here is skipped. Those in other languages are run where the language is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

from pyzk.testing import EnsembleMember, ZooKeeperEnsemble, ZooKeeperServer
from pyzk.testing.control.api import ENDPOINTS
from tests.processes import python
from tests.testing.raw import PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
README = ROOT / "README.md"
_BLOCK = re.compile(r"(?:<!-- needs (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@attrs.frozen
class Example:
    """One block of code."""

    name: str
    language: str
    code: str
    needs: str | None = None


def examples(page: Path) -> list[Example]:
    text = page.read_text()
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        found.append(Example(f"{page.stem}_line_{line}", match[2], match[3], match[1]))
    return found


EXAMPLES = examples(PAGE)
IN_PYTHON = [one for one in EXAMPLES if one.language == "python"]
IN_README = [one for one in examples(README) if "def test_" in one.code]


def environment() -> dict[str, str]:
    """As a user's, with `pyzk` on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of each example, by name: nothing, or what went wrong."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = -p no:cacheprovider\nfilterwarnings = error::ResourceWarning\n"
    )
    (folder / "settings.py").write_text("SECRET_KEY = 'x'\n")
    for one in [*IN_PYTHON, *IN_README]:
        if one.needs is not None and find_spec(one.needs) is None:
            continue
        code = one.code
        if "def test_" not in code:
            code = "def test_script():\n    exec(compile(CODE, __name__, 'exec'), {})\n\n"
            code += f"CODE = {one.code!r}\n"
        (folder / f"test_{one.name}.py").write_text(code)
    done = python(
        *("-m", "pytest", "-q", "--junitxml=outcomes.xml", "--pyzk-leaks=error"),
        cwd=folder,
        env=environment() | {"DJANGO_SETTINGS_MODULE": "settings"},
        timeout=10 * PATIENCE_S,
        check=False,
    )
    report = folder / "outcomes.xml"
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = (case.get("classname") or case.get("name") or "").split(".")[0]
        problems = [child for child in case if child.tag in ("failure", "error", "skipped")]
        text = "".join(problem.text or problem.get("message") or "?" for problem in problems)
        found[name] = found.get(name, "") + text
    return found


@pytest.mark.parametrize("example", [*IN_PYTHON, *IN_README], ids=lambda one: one.name)
def test_an_example_in_python_works(example: Example, outcomes: dict[str, str]) -> None:
    if example.needs is not None and find_spec(example.needs) is None:
        pytest.skip(f"needs {example.needs}")
    assert outcomes[f"test_{example.name}"] == ""


def test_the_page_has_examples() -> None:
    assert len(IN_PYTHON) > 15
    assert len(IN_README) == 1
    assert {one.language for one in EXAMPLES} == {"python", "js", "java", "go"}


# --- other languages ------------------------------------------------------------------


def only(language: str) -> str:
    (found,) = [one.code for one in EXAMPLES if one.language == language]
    return found


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pyzk: " not in done.stderr, "a normal end looks like a failure"
    return done.stdout


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


@pytest.mark.live
def test_the_example_for_node_works(tmp_path: Path) -> None:
    node = program("node")
    code = only("js").replace(
        "await zooKeeper.stop();",
        'console.log(zooKeeper.connectString);\nawait zooKeeper.order("nosuch").catch('
        "(error) => console.log(error.message));\nawait zooKeeper.stop();",
    )
    (tmp_path / "example.mjs").write_text(code)
    lines = run([node, "example.mjs"], tmp_path).splitlines()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", lines[0])
    assert lines[1] == "unknown endpoint /nosuch; GET / lists them"


@pytest.mark.live
def test_the_example_for_java_works(tmp_path: Path) -> None:
    javac, java = program("javac"), program("java")
    (tmp_path / "EphemeralZooKeeper.java").write_text(only("java"))
    (tmp_path / "Main.java").write_text(
        """
        class Main {
            public static void main(String[] arguments) throws Exception {
                try (var server = new EphemeralZooKeeper()) {
                    System.out.println(server.connectString);
                    System.out.print(server.order("load", "{\\"tree\\": {\\"/a\\": \\"b\\"}}"));
                    server.order("wait_for_node", "{\\"path\\": \\"/a\\", \\"data\\": \\"b\\"}");
                }
            }
        }
        """
    )
    run([javac, "-d", ".", "EphemeralZooKeeper.java", "Main.java"], tmp_path)
    lines = run([java, "-cp", ".", "Main"], tmp_path).splitlines()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", lines[0])
    assert lines[1] == "{}"


@pytest.mark.live
def test_the_example_for_go_works(tmp_path: Path) -> None:
    go = program("go")
    (tmp_path / "go.mod").write_text("module zktest\n\ngo 1.18\n")
    (tmp_path / "zktest.go").write_text(only("go"))
    (tmp_path / "zktest_test.go").write_text(
        """package zktest

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestStart(t *testing.T) {
	connectString, control := Start(t)
	answer, err := http.Get(control + "/status")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(connectString, string(body))
}
"""
    )
    cache = {"GOCACHE": str(tmp_path / "cache"), "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        [go, "test", "-v", "./..."],
        cwd=tmp_path,
        env=environment() | cache,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"state": "running"' in done.stdout


# --- tables ---------------------------------------------------------------------------


def test_the_table_of_endpoints_is_complete() -> None:
    text = PAGE.read_text().partition("<!-- endpoints -->")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:3] for row in text.splitlines() if row.startswith("| `")]
    documented = {path: cell for names, cell in rows for path in re.findall(r"`(/\w*)`", names)}
    assert list(documented) == [endpoint.path for endpoint in ENDPOINTS]
    for endpoint in ENDPOINTS:
        named = re.findall(r"`(\w+)`", documented[endpoint.path])
        assert named == [argument.name for argument in endpoint.arguments], endpoint.path


def test_every_order_and_every_helper_is_documented() -> None:
    text = PAGE.read_text()
    # What asyncio's server has, too, and what one reads rather than orders.
    names = [name for name in dir(ZooKeeperServer) if not name.startswith("_")]
    undocumented = [name for name in names if f"{name}" not in text]
    assert undocumented == ["leaked", "when_broken"]


def test_every_order_of_an_ensemble_is_documented() -> None:
    text = PAGE.read_text().partition("\n## Ensembles")[2].partition("\n## ")[0]
    for kind, unsaid in (
        (
            ZooKeeperEnsemble,
            ["call", "engine", "forget_parent", "leaked", "start", "state", "stop"],
        ),
        # What a single server has, too.
        (EnsembleMember, sorted({*dir(ZooKeeperServer), "sid", "is_observer"})),
    ):
        names = [name for name in dir(kind) if not name.startswith("_")]
        undocumented = {name for name in names if not re.search(rf"\b{name}\b", text)}
        assert undocumented - set(unsaid) == set(), kind
