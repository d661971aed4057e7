r"""The compiled form of the core in a clone: where it is, when it is made, what runs on it.

    python -m scripts.compiled now              compile it unless it is there (make compile)
    python -m scripts.compiled run COMMAND      run a command on it
    python -m scripts.compiled serve COMMAND    run a server on the form that is there; if that is
                                                the source, compile meanwhile, for the next start

`.build/compiled-<fingerprint>` is a copy of the package with its core compiled. The fingerprint is
that of the sources and of this Python, so a copy is never used for other sources. It is made from a
copy of the sources, elsewhere in `.build`, and gets its name when it is whole: a compilation may be
killed at any time, and the sources may change meanwhile. One process compiles, others wait for it.

    make serve --> this process, which becomes the server -------------------> its end
                     \                                      pipe: its end is told |
                      +--> `meanwhile`, its compiler at the lowest priority -------+--> both end
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from scripts.can_compile import RUNTIME_LIBRARY, is_refused, why_not

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = "admin/console/page/*"
"""The files of the console: data of the package, as pyproject.toml says."""
KEPT: Final = 2
"""Compiled copies that stay: the newest, and one that a running server may have been started on."""
LOOK_S: Final = 0.5
LINE_S: Final = 15.0
"""The time between two lines about progress, where they cannot overwrite each other."""
TAIL_LINES: Final = 20

Pause = Callable[[Callable[[], str]], None]
"""Takes what can tell how far it is, waits a moment, and raises AbandonedError if nobody needs the
compiled core any more."""


class AbandonedError(Exception):
    """Raised when nobody needs the compiled core any more."""


class CompileError(Exception):
    """Raised when the core cannot be compiled."""

    def __init__(self, log: Path) -> None:
        super().__init__(f"the core cannot be compiled: see {log}")
        self.log = log
        """What the compilation has printed."""


# ---- where it is


def inputs(root: Path) -> list[Path]:
    """Return the files that decide what is compiled, relative to `root`."""
    names = ("setup.py", "pyproject.toml", "scripts/build_backend.py", "scripts/can_compile.py")
    package = root / "pyzk"
    modules = sorted(package.rglob("*.py"))
    page = sorted(each for each in package.glob(PAGE) if each.is_file())
    found = (each.relative_to(root) for each in [*modules, *page])
    return [*map(Path, names), Path("pyzk/py.typed"), *found]


def fingerprint(root: Path) -> str:
    """Return what tells these sources, for this Python, from all others."""
    seen = hashlib.sha256(str(sysconfig.get_config_var("EXT_SUFFIX")).encode())
    for path in inputs(root):
        content = (root / path).read_bytes()
        seen.update(f"\n{path.as_posix()} {len(content)}\n".encode() + content)
    return seen.hexdigest()[:16]


def tree_of(root: Path) -> Path:
    """Return where the compiled copy of these sources is, if there is one."""
    return root / ".build" / f"compiled-{fingerprint(root)}"


def failure_of(root: Path) -> Path:
    """Return where the log of the last attempt is, if that has failed."""
    return root / ".build" / f"failed-{fingerprint(root)}.log"


def _lock_of(root: Path) -> Path:
    return root / ".build" / "lock"


# ---- making it


def compile_core(root: Path, pause: Pause, command: Sequence[str] | None = None) -> Path:
    """Compile the sources of `root` unless that has been done; return the compiled copy.

    `command` (pip) is run in a copy of the sources, with the folder for the result as its last
    argument. Raises CompileError, and AbandonedError as `pause` does.
    """
    build = root / ".build"
    build.mkdir(exist_ok=True)
    with _locked(_lock_of(root), pause):
        tree = tree_of(root)
        if tree.exists():
            return tree
        for left_over in build.glob("compiling-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix="compiling-", dir=build))
        try:
            tree = _compile_aside(root, aside, pause, command or _pip())
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        _tidy(build)
    return tree


def _compile_aside(root: Path, aside: Path, pause: Pause, command: Sequence[str]) -> Path:
    source, result, log = aside / "source", aside / "result", aside / "log"
    copy_sources(root, source)
    # Not that of `root`: it may change from now on.
    tree, failure = (root / ".build" / of(source).name for of in (tree_of, failure_of))
    (aside / "tmp").mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(result)],
            cwd=source,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # What it leaves when it is killed goes with the rest.
            env=os.environ | {"PYZK_COMPILE": "yes", "TMPDIR": str(aside / "tmp")},
            process_group=0,
        )
        try:
            while process.poll() is None:
                pause(partial(_progress, source))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0 or not list(result.glob("*.so")):
        os.replace(log, failure)
        raise CompileError(failure)
    # Its content must not come to the disk later than its name.
    os.sync()
    result.rename(tree)
    return tree


def copy_sources(root: Path, target: Path) -> None:
    """Copy what a wheel is built from."""
    for path in [*inputs(root), Path("README.md"), Path("LICENSE"), Path("MANIFEST.in")]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, target / path)


def _pip() -> list[str]:
    """Return the words in front of the folder. What only the compiled form needs comes into the
    copy, too: the environment has what the source needs."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return [*pip, "install", "--no-deps", "--no-compile", ".", RUNTIME_LIBRARY, "--target"]


def _progress(source: Path) -> str:
    build = source / "build"
    total = len(list(build.glob("chunk_*.c")))
    if total == 0:
        return "getting mypyc, translating to C"
    done = len(list(build.glob("temp*/build/chunk_*.o")))
    return f"compiling: {done} of {total} files"


@contextlib.contextmanager
def _locked(path: Path, pause: Pause) -> Iterator[None]:
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pause(lambda: "waiting for another process that compiles")
        yield


def _tidy(build: Path) -> None:
    """Remove the results of older sources."""
    for failure in build.glob("failed-*.log"):
        failure.unlink()
    trees = sorted(build.glob("compiled-*"), key=lambda tree: tree.stat().st_mtime, reverse=True)
    for tree in trees[KEPT:]:
        shutil.rmtree(tree, ignore_errors=True)


# ---- the three commands


def main(arguments: Sequence[str]) -> int:
    """Do what the module's docstring says."""
    word, command = arguments[0], arguments[1:]
    if word == "now":
        return compile_now(ROOT)
    if word == "meanwhile":
        return compile_meanwhile(ROOT)
    tree = tree_of(ROOT)
    if tree.exists():
        become(command, os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": f"{tree}{os.pathsep}."})
    if word == "run":
        return _fail("the core is not compiled: make compile (COMPILE=no does without)")
    assert word == "serve", word
    _say_and_compile_meanwhile()
    return become(command, os.environ)


def obstacle(root: Path) -> str | None:
    """Return why the sources of `root` cannot be compiled there, None if nothing is in the way."""
    reason = why_not()
    if reason is not None:
        return reason
    try:
        (root / ".build").mkdir(exist_ok=True)
        _lock_of(root).touch()
    except OSError as error:
        return f"{error.filename} cannot be written: {error.strerror}"
    return None


def _say_and_compile_meanwhile() -> None:
    if is_refused():
        return
    reason = obstacle(ROOT)
    if reason is not None:
        _say(f"serving in pure Python, the core cannot be compiled: {reason}")
    elif failure_of(ROOT).exists():
        _say(f"serving in pure Python: compiling failed ({failure_of(ROOT)}; again: make compile)")
    else:
        _say(
            "serving in pure Python; compiling the core meanwhile, at the lowest priority, for the"
            " next start (COMPILE=no: not at all)"
        )
        start_meanwhile()


def become(command: Sequence[str], environment: dict[str, str] | os._Environ[str]) -> NoReturn:
    """Replace this process by a command."""
    os.execve(shutil.which(command[0]) or command[0], list(command), environment)


def compile_now(root: Path, command: Sequence[str] | None = None) -> int:
    """Compile in the foreground, and print the progress."""
    if tree_of(root).exists():
        return 0
    reason = obstacle(root)
    if reason is not None:
        return _fail(f"the core cannot be compiled: {reason}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say("compiling the core, one to three minutes (once for each change of the sources)")
    try:
        compile_core(root, Progress(), command)
    except CompileError as error:
        tail = error.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return _fail("\n".join([f"the core cannot be compiled; the end of {error.log}:", *tail]))
    except KeyboardInterrupt:
        return _fail("interrupted; nothing is compiled")
    _say("the core is compiled")
    return 0


class Progress:
    """Prints the progress, in a terminal on one line, elsewhere now and then."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._told_s = 0.0

    def __call__(self, progress: Callable[[], str]) -> None:
        """Print the progress, and wait a moment."""
        now_s = time.monotonic()
        is_terminal = sys.stderr.isatty()
        if is_terminal or now_s - self._told_s >= LINE_S:
            self._told_s = now_s
            line = f"  {progress()}, {now_s - self._began_s:.0f} s"
            print(line, end="\033[K\r" if is_terminal else "\n", file=sys.stderr, flush=True)
        time.sleep(LOOK_S)


def start_meanwhile() -> None:
    """Start `meanwhile`, which ends when this process, which becomes the server, ends."""
    reading, writing = os.pipe()
    # In between stands a process that ends at once: the server does not wait for children, and one
    # of its own would remain as a zombie.
    if os.fork() == 0:
        # Not a session of its own: Linux would give it as much processor time as the server's.
        subprocess.Popen(
            [sys.executable, "-m", "scripts.compiled", "meanwhile"],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            process_group=0,
        )
        os._exit(0)
    os.wait()
    os.close(reading)
    os.set_inheritable(writing, True)


def compile_meanwhile(root: Path) -> int:
    """Compile at the lowest priority until the other end of standard input is closed; say how it
    went, in one line among those of the server.

    The check has the usual priority, so that it ends at once on a busy machine, too.
    """
    server = select.poll()
    server.register(0, 0)

    def pause(_progress: Callable[[], str]) -> None:
        if server.poll(LOOK_S * 1000):
            raise AbandonedError

    try:
        compile_core(root, pause, [*_lowest_priority(), *_pip()])
    except AbandonedError:
        return 1
    except CompileError as error:
        return _fail(f"{error}; again: make compile")
    _say("the core is compiled: the next make serve uses it")
    return 0


def _lowest_priority() -> list[str]:
    """Return the words before a command that give it the lowest priority for processor and disk."""
    ionice = ["ionice", "-c", "3"] if shutil.which("ionice") else []
    return ["nice", "-n", "19", *ionice]


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # its reader, or the terminal, is gone
        print(text, file=sys.stderr, flush=True)


def _fail(text: str) -> int:
    _say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
