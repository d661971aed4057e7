"""How often a command is carried out."""

from __future__ import annotations

from pyzk.admin.rate_limit import RateLimit


def test_once_in_each_interval() -> None:
    limit = RateLimit(100, 1000)
    assert limit.takes(1050)
    assert not limit.takes(1051)
    assert not limit.takes(1100)
    # The interval that began with the server is over; the next one begins here.
    assert limit.takes(1101)
    assert not limit.takes(1201)
    assert limit.takes(1202)


def test_an_interval_of_nothing() -> None:
    limit = RateLimit(0, 0)
    assert limit.takes(0)
    assert not limit.takes(0)
    assert limit.takes(1)
