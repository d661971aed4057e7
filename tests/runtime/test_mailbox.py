"""Calls that other threads have for the loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import cast

import pytest

from pyzk.runtime.disk import DiskThread
from pyzk.runtime.loop import loop_factory
from pyzk.runtime.mailbox import Mailbox
from pyzk.runtime.storage import Storage
from tests.runtime.members import member_config


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[object, object, None]], None]:
    """Runs a coroutine on each kind of loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")

    def run(main: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=loop_factory(request.param)) as runner:
            runner.run(asyncio.wait_for(main, 20))

    return run


Run = Callable[[Coroutine[object, object, None]], None]


def in_thread(call: Callable[[], None]) -> None:
    """Calls in another thread, and waits for its end."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_calls_are_made_on_the_loop_in_their_order(run: Run) -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        made: list[int] = []
        all_made = asyncio.Event()

        def call(number: int) -> None:
            assert threading.current_thread() is threading.main_thread()
            made.append(number)
            if number == 299:
                all_made.set()

        def post() -> None:
            for number in range(300):
                mailbox.post(lambda number=number: call(number))  # type: ignore[misc]

        in_thread(post)
        assert not made
        await all_made.wait()
        assert made == list(range(300))
        mailbox.close()

    run(main())


def test_calls_that_are_posted_together_wake_the_loop_once(run: Run) -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        made: list[int] = []

        def post() -> None:
            mailbox.post(lambda: made.append(1))
            mailbox.post(lambda: made.append(2))

        in_thread(post)
        while not made:
            await asyncio.sleep(0)
        assert made == [1, 2]
        in_thread(post)
        while len(made) < 4:
            await asyncio.sleep(0)
        mailbox.close()

    run(main())


def test_a_call_that_raises_does_not_keep_the_others(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        errors: list[object] = []
        loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
        mailbox = Mailbox(loop)
        made: list[int] = []

        def post() -> None:
            mailbox.post(lambda: made.append(1 // 0))
            mailbox.post(lambda: made.append(2))

        in_thread(post)
        while not made:
            await asyncio.sleep(0)
        assert made == [2]
        assert [type(error) for error in errors] == [ZeroDivisionError]
        mailbox.close()

    run(main())


def test_the_end_makes_the_calls_that_are_left_and_closes_the_pipe(run: Run) -> None:
    async def main() -> None:
        before = descriptors()
        mailbox = Mailbox(asyncio.get_running_loop())
        made: list[int] = []

        def end() -> None:
            mailbox.post(lambda: made.append(1))
            mailbox.close()

        in_thread(end)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made == [1]
        assert descriptors() == before

    run(main())


def test_the_pipe_is_closed_although_the_loop_is() -> None:
    loop = asyncio.new_event_loop()
    before = descriptors()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.post(lambda: None)
    mailbox.close()
    assert descriptors() <= before


class Disk:
    """A disk thread that is idle or not, and whose syncs are short."""

    is_idle = True

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        return True


async def test_the_loop_waits_for_no_sync_before_it_has_taken_every_answer(
    tmp_path: Path,
) -> None:
    storage = Storage(member_config(tmp_path))
    storage.open()
    assert not storage.is_idle, "it has no thread yet"
    storage.start(asyncio.get_running_loop(), lambda _: None, lambda _: None)
    real, mailbox = storage._disk, storage._mailbox
    assert real is not None
    assert mailbox is not None
    disk = Disk()
    storage._disk = cast("DiskThread", disk)
    assert storage.commit_here([b""], 1.0)
    mailbox.post(lambda: None)
    assert not storage.commit_here([b""], 1.0)
    while not mailbox.is_empty:
        await asyncio.sleep(0)
    assert storage.commit_here([b""], 1.0)
    disk.is_idle = False
    assert not storage.is_idle
    assert not storage.commit_here([b""], 1.0)
    storage._disk = real
    storage.stop_timers()
    storage.close()
