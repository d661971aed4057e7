"""The last events of the log, kept in memory."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from pyzk.audit_log import AuditEvent, tell
from pyzk.outsiders import about
from pyzk.runtime import logs
from pyzk.runtime.recent_log import MAX_MESSAGE, RecentLog
from tests.runtime.logging_state import restored

log = logging.getLogger("pyzk.x")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with restored():
        yield


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    return stream


@pytest.mark.usefixtures("stream")
def test_the_last_events_are_kept_and_numbered() -> None:
    recent = RecentLog(2)
    log.info("before it began")
    recent.begin()
    for number in range(3):
        log.warning("n %d\nm", number)
    log.debug("below the level")
    recent.end()
    log.info("after it ended")
    assert [(each.number, each.level, each.logger, each.message) for each in recent.events()] == [
        (2, "WARNING", "pyzk.x", "n 1\\nm"),
        (3, "WARNING", "pyzk.x", "n 2\\nm"),
    ]
    assert [each.message for each in recent.events(after=2)] == ["n 2\\nm"]
    assert recent.events(after=3) == []
    assert 0 <= recent.events()[1].time_s - recent.events()[0].time_s < 60


@pytest.mark.usefixtures("stream")
def test_a_long_message_is_cut_and_a_trace_left_out() -> None:
    recent = RecentLog()
    recent.begin()
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("x" * (MAX_MESSAGE + 1))
    assert [each.message for each in recent.events()] == ["x" * MAX_MESSAGE + "..."]


@pytest.mark.usefixtures("stream")
def test_the_audit_log_is_not_kept() -> None:
    recent = RecentLog()
    recent.begin()
    tell(AuditEvent("create", "success", user="bob", znode="/secret"))
    assert recent.events() == []


@pytest.mark.parametrize("is_first", [True, False])
def test_a_line_about_an_outsider_is_kept_as_seldom_as_it_is_written(
    is_first: bool, stream: io.StringIO
) -> None:
    recent = RecentLog()
    recent.begin()
    if is_first:
        root = logging.getLogger()
        root.handlers.reverse()
    for number in range(5):
        log.info("no %d", number, extra=about("10.0.0.1"))
    assert [each.message for each in recent.events()] == ["no 0"]
    assert stream.getvalue().count("\n") == 1
    logs.tell_left_out(is_end=True)
    assert [each.message for each in recent.events(after=1)] == [
        "left out: 4 more lines like this about 10.0.0.1, the last: no 4"
    ]
