"""Helpers of the tests of kazoo's recipes: calls in threads, and values that callbacks receive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from tests.testing.raw import PATIENCE_S

_T = TypeVar("_T")

Connect = Callable[..., Any]
"""`zk_client_factory`."""


class Task(Generic[_T]):
    """A call that may block, in a thread of its own."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self._future: Future[_T] = Future()
        self._call = call
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:
            self._future.set_exception(error)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def result(self) -> _T:
        """Wait for the end."""
        return self._future.result(PATIENCE_S)


class Heard(Generic[_T]):
    """Values that something calls back with, in whatever thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: list[_T] = []

    def __call__(self, value: _T) -> None:
        with self._changed:
            self._values.append(value)
            self._changed.notify_all()

    @property
    def values(self) -> list[_T]:
        with self._changed:
            return list(self._values)

    def wait(self, condition: Callable[[list[_T]], object]) -> list[_T]:
        """Wait until the values are such; return them."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._values), PATIENCE_S):
                raise AssertionError(f"heard only {self._values}")
            return list(self._values)
