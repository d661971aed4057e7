"""What SIGHUP makes a server do, and how often."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyzk.errors import ConfigError
from pyzk.runtime import logs
from pyzk.runtime.reload import PAUSE_S, Reloads, reload
from tests.runtime.logging_state import restored


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with restored():
        yield


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    return stream


def said(stream: io.StringIO) -> list[str]:
    return [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()]


def test_a_reload_opens_the_log_reads_keys_and_takes_the_level(
    stream: io.StringIO, tmp_path: Path
) -> None:
    path = tmp_path / "pyzk.log"
    logs.log_to_file(str(path))
    path.rename(tmp_path / "old")
    reload(lambda: True, lambda: "debug")
    logging.getLogger("pyzk.x").debug("shown")
    logs.flush()
    lines = [line.split(": ", 1)[1] for line in path.read_text().splitlines()]
    assert lines == [
        "SIGHUP: the level of the log is debug now",
        "SIGHUP: log files are opened anew, there are new certificates",
        "shown",
    ]
    assert said(stream) == []


def test_a_level_that_is_as_before_is_not_told(stream: io.StringIO) -> None:
    reload(lambda: False, lambda: "info")
    reload(lambda: False)
    assert said(stream) == ["SIGHUP: log files are opened anew, no new certificates"] * 2


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("bad", line=3, key="x"), "line 3: x: bad"),
        (FileNotFoundError(2, "No such file", "zoo.cfg"), "[Errno 2] No such file: 'zoo.cfg'"),
    ],
)
def test_a_zoo_cfg_that_is_no_use_leaves_the_level(
    stream: io.StringIO, error: Exception, text: str
) -> None:
    def read() -> str:
        raise error

    reload(lambda: False, read)
    assert logs.level() == "info"
    assert said(stream)[0] == f"SIGHUP: the level of the log stays info: {text}"


class FakeLoop:
    """A loop whose time stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> None:
        self.planned.append((at, call))

    def go(self) -> None:
        at, call = self.planned.pop(0)
        self.now = max(self.now, at)
        call()


def test_a_storm_is_one_reload_a_second_and_the_last_one_counts() -> None:
    loop, done = FakeLoop(), [0]

    def count() -> None:
        done[0] += 1

    reloads = Reloads(loop, count)  # type: ignore[arg-type]  # so much of a loop is enough
    reloads.ask()
    reloads.ask()
    loop.go()
    assert (done, loop.planned) == ([1], [])
    for _ in range(100):
        reloads.ask()
    assert [at for at, _ in loop.planned] == [100.0 + PAUSE_S]
    loop.go()
    assert (done, loop.planned) == ([2], [])
    loop.now += 2 * PAUSE_S
    reloads.ask()
    assert [at for at, _ in loop.planned] == [loop.now]


def test_it_runs_on_a_real_loop() -> None:
    async def serve() -> None:
        done = asyncio.Event()
        Reloads(asyncio.get_running_loop(), done.set).ask()
        await done.wait()

    asyncio.run(serve())
