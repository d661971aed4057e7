"""The limit of open files, a part of which is kept from clients; and the name of the machine."""

from __future__ import annotations

import resource
import socket
import threading

import pytest

from pyzk.runtime import environment
from pyzk.runtime.environment import HostName


class _Limits:
    """The process's limits; raising above ``most`` fails."""

    def __init__(self, soft: int, hard: int, most: int = 1 << 20) -> None:
        self.values = (soft, hard)
        self._most = most

    def get(self, _: int) -> tuple[int, int]:
        return self.values

    def set(self, _: int, values: tuple[int, int]) -> None:
        if not 0 <= values[0] <= self._most:
            raise ValueError("not allowed")
        self.values = values


@pytest.mark.parametrize(
    ("limits", "soft"),
    [
        (_Limits(1024, 20_000), 20_000),
        (_Limits(1024, 1024), 1024),
        (_Limits(256, resource.RLIM_INFINITY), 10_240),
        (_Limits(20_000, resource.RLIM_INFINITY), 20_000),
        (_Limits(resource.RLIM_INFINITY, resource.RLIM_INFINITY), resource.RLIM_INFINITY),
        (_Limits(1024, 20_000, most=5000), 1024),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, limits: _Limits, soft: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    environment.raise_descriptor_limit()
    assert limits.values[0] == soft


@pytest.mark.parametrize(("soft", "first"), [(1024, 768), (20_000, 19_744), (100, 75), (4, 3)])
def test_some_descriptors_are_kept(monkeypatch: pytest.MonkeyPatch, soft: int, first: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", _Limits(soft, soft).get)
    assert environment.first_reserved_descriptor() == first


def test_without_a_limit_clients_may_have_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", _Limits(*endless).get)
    assert environment.first_reserved_descriptor() > 1 << 20


def test_a_host_name_that_is_looked_up_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    is_known, asked = threading.Event(), threading.Event()

    def look_up() -> str:
        asked.set()
        assert is_known.wait(20)
        return "full.name"

    monkeypatch.setattr(socket, "getfqdn", look_up)
    monkeypatch.setattr(socket, "gethostname", lambda: "name")
    name = HostName()
    name.look_up()
    name.look_up()
    assert asked.wait(20)
    assert str(name) == "name"
    is_known.set()
    (thread,) = [each for each in threading.enumerate() if each.name == "host name"]
    thread.join(20)
    assert str(name) == "full.name"


def test_a_host_name_that_is_not_looked_up_yet_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = ["full.name"]
    monkeypatch.setattr(socket, "getfqdn", answers.pop)
    name = HostName()
    assert [str(name), str(name)] == ["full.name", "full.name"]
