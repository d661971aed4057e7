"""Tests that are coroutines run in a loop of their own, not for ever: in plain asyncio, or, with
the fixture ``loop_choice``, once in each loop."""

from __future__ import annotations

import inspect

import pytest

from tests.runtime.members import run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    run(test(**given), str(pyfuncitem.funcargs.get("loop_choice", "asyncio")))
    return True


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_choice(request: pytest.FixtureRequest) -> str:
    """The loop of a test that runs on each of the two."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    choice: str = request.param
    return choice
