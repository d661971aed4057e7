"""Logins on the election port: before a link is kept, and on those that are not."""

from __future__ import annotations

import pytest

from pyzk.clock import Clock
from pyzk.quorum.authentication import IN_PROGRESS, ConnectorExchange, encode_packet
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.election_links import MAX_HANDSHAKES, MOMENT_MS
from pyzk.quorum.election_messages import frame
from tests.quorum.logins import logins
from tests.quorum.test_authentication import Owner, connector
from tests.quorum.test_election_links import TIMEOUT_MS, Port, hello

VOTE = bytes(28)


def port(clock: Clock, **values: object) -> Port:
    """Server 2 of 1, 2, 3, which logs in and asks for it."""
    return Port(clock, logins=logins(**values))  # type: ignore[arg-type]


def log_in(to: Port, link: ElectionLink, ours: tuple[ConnectorExchange, Owner]) -> list[bytes]:
    """Carry bytes until the exchange of an accepted link is over; return what is behind it."""
    behind = []
    while data := ours[1].take():
        to.links.received(link, data)
        for written in to.writes(link):
            if ours[0].is_over:
                behind.append(written)
            else:
                ours[0].receive(written)
    return behind


@pytest.fixture
def here(clock: Clock) -> Port:
    return port(clock)


def test_a_larger_sid_is_kept_once_it_has_logged_in(here: Port) -> None:
    link = here.accept(hello(3))
    here.links.send(3, VOTE)
    assert here.links.links == {}
    assert here.writes(link) == []
    assert here.dials() == []  # it would give this connection up, and make another one
    assert log_in(here, link, connector()) == [frame(VOTE)]
    assert here.links.links == {3: link}
    here.links.received(link, frame(VOTE))
    assert here.messages() == [(3, VOTE)]


def test_hello_login_and_vote_may_come_in_pieces(here: Port) -> None:
    ours = connector()
    link = here.accept()
    for byte in hello(3) + ours[1].take():
        here.links.received(link, bytes([byte]))
    ours[0].receive(b"".join(here.writes(link)))
    here.links.received(link, ours[1].take() + frame(VOTE))
    assert here.links.links == {3: link}
    assert here.messages() == [(3, VOTE)]


def test_a_smaller_sid_logs_in_and_is_dialed_back(here: Port) -> None:
    link = here.accept(hello(1))
    assert here.dials() == []
    ours = connector()
    log_in(here, link, ours)
    assert ours[0].is_over
    assert here.closes() == [link]
    assert [sid for sid, _ in here.dials()] == [1]


def test_a_wrong_login_costs_the_link(here: Port, caplog: pytest.LogCaptureFixture) -> None:
    good = here.accept(hello(3))
    log_in(here, good, connector())
    bad = here.accept(hello(3))
    log_in(here, bad, connector(password="wrong"))
    assert here.closes() == [bad]
    assert here.links.links == {3: good}
    assert "somebody: its login failed: the password" in caplog.text


def test_who_does_not_log_in_is_closed_or_kept(clock: Clock, here: Port) -> None:
    link = here.accept(hello(3) + frame(VOTE))
    assert here.closes() == [link]
    assert here.messages() == []
    lenient = port(clock, server_requires=False)
    link = lenient.accept(hello(3) + frame(VOTE))
    assert lenient.links.links == {3: link}
    assert lenient.messages() == [(3, VOTE)]


def test_who_need_not_log_in_and_knocks_is_dialed_back(clock: Clock, here: Port) -> None:
    for each, dialed in ((here, []), (port(clock, server_requires=False), [1])):
        link = each.accept(hello(1))
        each.links.closed(link)
        assert [sid for sid, _ in each.dials()] == dialed
    lenient = port(clock, server_requires=False)
    link = lenient.accept(hello(3))
    lenient.links.closed(link)
    assert lenient.links.links == {}
    assert lenient.dials() == []


def test_a_silent_peer_is_closed_or_kept_in_the_end(clock: Clock, here: Port) -> None:
    lenient = port(clock, server_requires=False)
    for each, wait_ms in ((here, TIMEOUT_MS), (lenient, MOMENT_MS)):
        link = each.accept(hello(3))
        due = each.links.deadline
        assert due == clock.now_ms + wait_ms
        clock.now_ms = due - 1
        each.links.wake()
        assert link.state == LinkState.LOGGING_IN
        clock.now_ms = due
        each.links.wake()
        assert each.links.links == ({3: link} if each is lenient else {})
        assert each.closes() == ([] if each is lenient else [link])


def test_a_login_that_does_not_go_on_is_closed(clock: Clock) -> None:
    lenient = port(clock, server_requires=False)
    link = lenient.accept(hello(3) + encode_packet(IN_PROGRESS, b""))
    assert lenient.links.deadline == clock.now_ms + TIMEOUT_MS
    clock.now_ms += TIMEOUT_MS
    lenient.links.wake()
    assert lenient.closes() == [link]


# --- the side that dials ---------------------------------------------------------------------


def dial(here: Port, sid: int) -> tuple[ElectionLink, list[bytes]]:
    here.links.send(sid, VOTE)
    here.dials()
    link = here.links.dialed(sid, f"server {sid}")
    return link, here.writes(link)


def answer(here: Port, link: ElectionLink, written: list[bytes]) -> None:
    """Let another member, which is asked to, prove that it knows the password."""
    owner = Owner()
    exchange = logins().acceptor(owner)
    for data in written:
        exchange.receive(data)
    while data := owner.take():
        here.links.received(link, data)
        if not exchange.is_over:
            for each in here.writes(link):
                exchange.receive(each)
    assert owner.rest == b""


def test_this_server_logs_in_before_it_votes(here: Port) -> None:
    link, written = dial(here, 1)
    assert written == [hello(2), encode_packet(IN_PROGRESS, b"")]
    assert here.links.links == {}
    here.links.send(1, VOTE)
    assert here.dials() == []  # one is being made
    answer(here, link, written[1:])
    assert here.links.links == {1: link}
    assert here.writes(link) == [frame(VOTE)]


def test_it_logs_in_where_it_knocks(here: Port) -> None:
    link, written = dial(here, 3)
    assert here.closes() == []
    answer(here, link, written[1:])
    assert here.closes() == [link]
    assert here.links.links == {}


def test_it_does_not_log_in_if_it_need_not(clock: Clock) -> None:
    here = port(clock, learner_requires=False, server_requires=False)
    link, written = dial(here, 1)
    assert written == [hello(2), frame(VOTE)]
    assert link.state == LinkState.UP


@pytest.mark.parametrize("how", ["refused", "closed", "silent"])
def test_after_a_failure_it_dials_again(clock: Clock, here: Port, how: str) -> None:
    link, _ = dial(here, 1)
    if how == "refused":
        here.links.received(link, encode_packet(-1, b""))
    elif how == "closed":
        here.links.closed(link)
    else:
        clock.now_ms += TIMEOUT_MS
        here.links.wake()
    assert link.state == LinkState.CLOSED
    assert here.links.deadline is None
    here.links.send(1, VOTE)
    assert [sid for sid, _ in here.dials()] == [1]


def test_strangers_do_not_crowd_out_a_login_of_this_server(here: Port) -> None:
    link, written = dial(here, 1)
    for _ in range(MAX_HANDSHAKES + 1):
        here.accept()
    assert link.state == LinkState.LOGGING_IN
    answer(here, link, written[1:])
    assert here.links.links == {1: link}


def test_the_end_ends_logins_too(here: Port) -> None:
    accepted = here.accept(hello(3))
    link, _ = dial(here, 1)
    here.links.close()
    assert set(here.closes()) == {link, accepted}
    here.links.received(link, encode_packet(IN_PROGRESS, b""))
    assert here.links.links == {}
