"""`make compile` and `make serve`: when a compiled copy is made, and that no other is used.

A small tree and a script in place of pip stand for the sources and for the compilation.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import compiled
from scripts.can_compile import why_not
from scripts.compiled import AbandonedError, CompileError
from tests.processes import python

ROOT = Path(__file__).parents[2]
WRITES = "import pathlib, sys; out = pathlib.Path(sys.argv[1]); out.mkdir(); "
GOOD = [
    *(sys.executable, "-c"),
    WRITES + '(out / "core.so").write_bytes(pathlib.Path("pyzk/core.py").read_bytes())',
]
BAD = [sys.executable, "-c", 'print("no such thing"); raise SystemExit(1)']
PATHS = ("PYTHONPATH", "PYTHONSAFEPATH")
"""What `make test-compiled` sets, and would lead from the small tree to this one."""
NOTHING = [sys.executable, "-c", WRITES]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        (tmp_path / name).write_text(name)
    for name in ("build_backend.py", "can_compile.py", "compiled.py", "__init__.py"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "pyzk").mkdir()
    (tmp_path / "pyzk" / "py.typed").touch()
    (tmp_path / "pyzk" / "core.py").write_text("one")
    return tmp_path


class Fifo:
    """Tells whether processes that have written to it are there: it ends when none of them is."""

    def __init__(self, path: Path, patience: float) -> None:
        os.mkfifo(path)
        self._patience = patience
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # A process and its child, as pip and a compiler: both keep it open, and do not end.
        self.endless = (
            "import os, signal\n"
            f"os.write(os.open({str(path)!r}, os.O_WRONLY), b'x')\n"
            "os.fork()\n"
            "signal.pause()\n"
        )

    def read(self) -> bytes:
        assert select.select([self._descriptor], [], [], self._patience)[0], "it goes on"
        return os.read(self._descriptor, 1)

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def fifo(tmp_path: Path, patience: float) -> Iterator[Fifo]:
    # What compiles beside a server has the lowest priority: a busy machine starts it late.
    made = Fifo(tmp_path / "fifo", 10 * patience)
    yield made
    made.close()


def pause(_progress: Callable[[], str]) -> None:
    """The processes of these tests end by themselves: their waiting is no time."""
    os.sched_yield()


def left_over(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".build").iterdir() if path.name != "lock")


def test_the_copy_has_the_name_of_its_sources_not_of_their_times(root: Path) -> None:
    tree = compiled.compile_core(root, pause, GOOD)
    assert tree == compiled.tree_of(root)
    assert (tree / "core.so").read_text() == "one"
    os.utime(root / "pyzk" / "core.py", (1, 1))
    assert compiled.compile_core(root, pause, BAD) == tree, "it is there: nothing is run"
    (root / "pyzk" / "core.py").write_text("two")
    os.utime(root / "pyzk" / "core.py", (1, 1))
    assert not compiled.tree_of(root).exists()
    assert left_over(root) == [tree.name]


def test_a_source_that_has_come_or_gone_counts(root: Path) -> None:
    names = [compiled.tree_of(root)]
    (root / "pyzk" / "more").mkdir()
    (root / "pyzk" / "more" / "one.py").write_text("")
    names.append(compiled.tree_of(root))
    (root / "pyzk" / "more" / "one.py").rename(root / "pyzk" / "more" / "two.py")
    names.append(compiled.tree_of(root))
    assert len(set(names)) == 3


def test_every_file_of_the_package_is_copied() -> None:
    package = ROOT / "pyzk"
    files = {each.relative_to(ROOT) for each in package.rglob("*") if each.is_file()}
    of_python = {each for each in files if "__pycache__" in each.parts}
    assert files - of_python <= set(compiled.inputs(ROOT))


def test_sources_that_change_meanwhile_are_not_in_it(root: Path) -> None:
    before = compiled.tree_of(root)

    def edit(_progress: Callable[[], str]) -> None:
        (root / "pyzk" / "core.py").write_text("two")

    assert compiled.compile_core(root, edit, GOOD) == before
    assert (before / "core.so").read_text() == "one"
    assert compiled.tree_of(root) != before
    assert not compiled.tree_of(root).exists()


@pytest.mark.parametrize("command", [BAD, NOTHING])
def test_a_failure_is_kept_with_its_log_and_nothing_else(root: Path, command: list[str]) -> None:
    with pytest.raises(CompileError, match="cannot be compiled"):
        compiled.compile_core(root, pause, command)
    assert left_over(root) == [compiled.failure_of(root).name]
    assert compiled.failure_of(root).read_text() == ("no such thing\n" if command is BAD else "")
    compiled.compile_core(root, pause, GOOD)
    assert left_over(root) == [compiled.tree_of(root).name]


@pytest.mark.skipif(why_not() is not None, reason="no C compiler")
def test_in_the_foreground_it_is_told_how_it_went(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        codes = [compiled.compile_now(root, command) for command in (BAD, GOOD, BAD)]
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert codes == [1, 0, 0]
    told = capsys.readouterr().err.splitlines()
    assert told.count("no such thing") == 1
    assert told[-1] == "the core is compiled"


def beside_a_server(root: Path, pip: str) -> subprocess.CompletedProcess[str]:
    """Runs what `make serve` runs beside the server, which goes on; with this in place of pip."""
    (root / "fake").mkdir(exist_ok=True)
    (root / "fake" / "pip.py").write_text(pip)
    # The root, too: where the compiled core is tested the directory of a command is not searched.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "fake"), str(root)])}
    command = ("-m", "scripts.compiled", "meanwhile")
    return python(*command, cwd=root, env=environment, stdin=subprocess.DEVNULL, check=False)


def test_beside_a_server_one_line_says_that_it_has_ended(root: Path) -> None:
    failed = beside_a_server(root, "raise SystemExit('no such thing')")
    log = compiled.failure_of(root)
    assert log.read_text() == "no such thing\n"
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == f"the core cannot be compiled: see {log}; again: make compile\n"
    done = beside_a_server(root, WRITES.replace("[1]", "[-1]") + '(out / "core.so").touch()')
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "the core is compiled: the next make serve uses it\n"
    assert compiled.tree_of(root).exists()


def test_the_log_of_a_failure_is_that_of_the_sources_it_is_about(root: Path) -> None:
    before = compiled.failure_of(root)

    def edit(_progress: Callable[[], str]) -> None:
        (root / "pyzk" / "core.py").write_text("two")

    with pytest.raises(CompileError) as caught:
        compiled.compile_core(root, edit, BAD)
    assert caught.value.log == before
    assert before.read_text() == "no such thing\n"


def test_one_that_is_not_needed_any_more_leaves_no_process_and_no_file(
    root: Path, fifo: Fifo
) -> None:
    def give_up_when_it_runs(_progress: Callable[[], str]) -> None:
        assert fifo.read() == b"x"
        raise AbandonedError

    with pytest.raises(AbandonedError):
        compiled.compile_core(
            root, give_up_when_it_runs, [sys.executable, "-c", WRITES + "\n" + fifo.endless]
        )
    assert fifo.read() == b""
    assert left_over(root) == []


def test_what_was_killed_is_no_copy_and_goes_with_the_next(root: Path) -> None:
    half = root / ".build" / "compiling-x" / "result"
    half.mkdir(parents=True)
    (half / "core.so").touch()
    tree = compiled.compile_core(root, pause, GOOD)
    assert left_over(root) == [tree.name]


def test_a_second_one_waits_and_takes_what_the_first_has_made(root: Path) -> None:
    told: list[str] = []

    def second(progress: Callable[[], str]) -> None:
        told.append(progress())
        raise AbandonedError

    def first(_progress: Callable[[], str]) -> None:
        with pytest.raises(AbandonedError):
            compiled.compile_core(root, second, BAD)

    tree = compiled.compile_core(root, first, GOOD)
    assert set(told) == {"waiting for another process that compiles"}
    assert compiled.compile_core(root, second, BAD) == tree


def test_old_copies_go_but_for_the_last(root: Path) -> None:
    trees = []
    for number in range(4):
        (root / "pyzk" / "core.py").write_text(str(number))
        trees.append(compiled.compile_core(root, pause, GOOD))
        os.utime(trees[-1], (number, number))
    assert left_over(root) == sorted(tree.name for tree in trees[2:])


def run(root: Path, word: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ("-m", "scripts.compiled", word, sys.executable)
    code = "import os; print(os.environ.get('PYTHONPATH'))"
    kept = {name: text for name, text in os.environ.items() if name not in PATHS}
    return python(*command, "-c", code, cwd=root, env=kept | environment, check=False)


def test_a_command_runs_on_the_copy_and_only_on_it(root: Path) -> None:
    refused = run(root, "run")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "the core is not compiled: make compile (COMPILE=no does without)\n"
    tree = compiled.compile_core(root, pause, GOOD)
    for word in ("run", "serve"):
        done = run(root, word)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{tree}:.\n", "")


def test_a_server_starts_at_once_where_nothing_can_be_compiled(root: Path) -> None:
    done = run(root, "serve", CC="/there/is/none")
    assert (done.returncode, done.stdout) == (0, "None\n")
    assert done.stderr.startswith("serving in pure Python, the core cannot be compiled: no C comp")
    assert run(root, "serve", PYZK_COMPILE="no").stderr == ""
    with pytest.raises(CompileError):
        compiled.compile_core(root, pause, BAD)
    if why_not() is None:
        done = run(root, "serve")
        failure = compiled.failure_of(root)
        text = f"serving in pure Python: compiling failed ({failure}; again: make compile)\n"
        assert (done.stdout, done.stderr) == ("None\n", text)
    assert not list((root / ".build").glob("comp*"))


@pytest.mark.skipif(why_not() is not None, reason="no C compiler")
def test_a_checkout_that_cannot_be_written_is_told_in_a_sentence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / ".build").write_text("in the way, as a file system that is read-only would be")
    reason = f"the core cannot be compiled: {root / '.build'} cannot be written: File exists\n"
    assert compiled.compile_now(root, GOOD) == 1
    assert capsys.readouterr().err == reason
    command = ("-m", "scripts.compiled", "serve", sys.executable, "-c", "print('up')")
    process = python(*command, cwd=root, env=os.environ)
    assert (process.stdout, process.stderr) == ("up\n", f"serving in pure Python, {reason}")


@pytest.mark.live
@pytest.mark.parametrize("end", ["kill", "terminate"])
@pytest.mark.skipif(why_not() is not None, reason="no C compiler")
def test_what_compiles_beside_a_server_ends_with_it(root: Path, fifo: Fifo, end: str) -> None:
    (root / "fake").mkdir()
    (root / "fake" / "pip.py").write_text(fifo.endless)
    server = subprocess.Popen(
        [sys.executable, "-m", "scripts.compiled", "serve", "sleep", "1000"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "fake")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert fifo.read() == b"x"
        assert server.poll() is None
    finally:
        getattr(server, end)()
        _, said = server.communicate()
    assert fifo.read() == b""
    assert said.count("\n") == 1
    assert "for the next start" in said
