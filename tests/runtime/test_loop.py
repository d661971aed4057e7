"""The choice of the loop, and tasks that nobody awaits."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import sys

import pytest

from pyzk.runtime import loop as event_loop


async def _loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_plain_asyncio_on_request() -> None:
    assert event_loop.run(_loop_module(), "asyncio") == "asyncio"


def test_auto_takes_uvloop_where_it_is() -> None:
    pytest.importorskip("uvloop")
    assert event_loop.run(_loop_module(), "auto") == "uvloop"
    assert event_loop.run(_loop_module(), "uvloop") == "uvloop"


def test_without_uvloop_auto_falls_back_and_uvloop_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(_loop_module(), "auto") == "asyncio"
    with pytest.raises(ImportError):
        event_loop.loop_factory("uvloop")


def test_a_spawned_task_survives_collection_and_its_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    async def works() -> None:
        await asyncio.sleep(0)
        done.append("works")

    async def fails() -> None:
        raise ValueError("boom")

    async def main() -> None:
        event_loop.spawn(works(), "works")
        event_loop.spawn(fails(), "fails")
        cancelled = event_loop.spawn(asyncio.sleep(9), "sleeps")
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        event_loop.run(main(), "asyncio")
    assert done == ["works"]
    assert [record.getMessage() for record in caplog.records] == ["task fails failed"]


def test_a_lack_of_descriptors_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        error = OSError(errno.EMFILE, "Too many open files")
        for _ in range(100):
            loop.call_exception_handler({"message": "socket.accept()", "exception": error})
        loop.call_exception_handler({"message": "other", "exception": ValueError("boom")})

    with caplog.at_level(logging.ERROR):
        event_loop.run(main(), "asyncio")
    assert [record.getMessage() for record in caplog.records] == [
        "cannot accept connections: Too many open files",
        "other",
    ]
