"""Who dials whom, which connection survives, and which message is written on it."""

from __future__ import annotations

import struct
from typing import TypeVar

import pytest

from pyzk.clock import Clock
from pyzk.config.members import parse_membership
from pyzk.quorum.authentication import QuorumLogins
from pyzk.quorum.commands import CloseElection, DialElection, SendVote
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.election_links import (
    MAX_HANDSHAKES,
    MAX_STRANGERS,
    ElectionAddresses,
    ElectionLinks,
    election_addresses,
)
from pyzk.quorum.election_messages import (
    GENERIC_OBSERVER,
    MAX_FRAME_BYTES,
    PROTOCOL_V1,
    PROTOCOL_V2,
    Address,
    InitialMessage,
    frame,
    initial_message,
)
from pyzk.server.outbox import Outbox

TIMEOUT_MS = 10_000
Order = TypeVar("Order", DialElection, SendVote, CloseElection)


def at(sid: int) -> tuple[Address, ...]:
    return (Address(f"h{sid}", 3888),)


def hello(sid: int, *addresses: Address) -> bytes:
    return InitialMessage(sid, addresses or at(sid), PROTOCOL_V1).encode()


class Port:
    """Server 2 of 1, 2, 3, and what it wants done."""

    def __init__(
        self,
        clock: Clock,
        sid: int = 2,
        multi_address: bool = False,
        logins: QuorumLogins | None = None,
    ) -> None:
        self.addresses = ElectionAddresses({each: at(each) for each in (1, 2, 3)})
        self.outbox = Outbox()
        self.links = ElectionLinks(
            sid,
            at(sid),
            self.addresses,
            clock,
            self.outbox,
            TIMEOUT_MS,
            multi_address=multi_address,
            logins=logins,
        )

    def accept(self, data: bytes = b"") -> ElectionLink:
        link = self.links.accepted("somebody")
        if data:
            self.links.received(link, data)
        return link

    def dials(self) -> list[tuple[int, tuple[Address, ...]]]:
        """What was to be dialed; other orders stay."""
        return [(each.sid, each.addresses) for each in self.take(DialElection)]

    def writes(self, link: ElectionLink) -> list[bytes]:
        """What was to be written to this link; other orders stay."""
        return [each.data for each in self.take(SendVote, link)]

    def closes(self) -> list[ElectionLink]:
        """What was to be closed; other orders stay."""
        return [each.link for each in self.take(CloseElection)]

    def take(self, kind: type[Order], link: ElectionLink | None = None) -> list[Order]:
        commands = self.outbox.take_commands()
        taken = []
        for each in commands:
            if isinstance(each, kind) and link in (None, getattr(each, "link", None)):
                taken.append(each)
            else:
                self.outbox.commands.append(each)
        return taken

    def messages(self) -> list[tuple[int, bytes]]:
        taken, self.links.messages = self.links.messages, []
        return taken

    def connect(self, sid: int) -> ElectionLink:
        """The link that survives, up and silent."""
        if sid < 2:
            self.links.connect_all()
            self.dials()
            link = self.links.dialed(sid, f"server {sid}")
            assert self.writes(link) == [hello(2)]
            self.links.dial_failed(3)
        else:
            link = self.accept(hello(sid))
        assert self.links.links[sid] is link
        return link


@pytest.fixture
def port(clock: Clock) -> Port:
    return Port(clock)


# --- the rule of direction ----------------------------------------------------------------


def test_a_connection_dialed_to_a_smaller_sid_is_kept(port: Port) -> None:
    port.links.send(1, b"vote")
    assert port.dials() == [(1, at(1))]
    link = port.links.dialed(1, "h1")
    assert port.writes(link) == [hello(2), frame(b"vote")]
    assert port.closes() == []
    assert port.links.links == {1: link}


def test_a_connection_dialed_to_a_larger_sid_is_a_knock(port: Port) -> None:
    port.links.send(3, b"vote")
    assert port.dials() == [(3, at(3))]
    link = port.links.dialed(3, "h3")
    assert port.writes(link) == [hello(2)], "who we are, and no more"
    assert port.closes() == [link]
    assert port.links.links == {}


def test_a_connection_accepted_from_a_larger_sid_is_kept(port: Port) -> None:
    link = port.accept(hello(3))
    assert link.state == LinkState.UP
    assert port.links.links == {3: link}
    assert (port.closes(), port.dials(), port.writes(link)) == ([], [], [])


def test_a_knock_is_closed_and_dialed_back(port: Port) -> None:
    link = port.accept(hello(1, Address("elsewhere", 1)))
    assert port.closes() == [link]
    assert port.dials() == [(1, (Address("elsewhere", 1),))], "where it says it is"


def test_a_knock_ends_our_own_connection_to_that_server(port: Port) -> None:
    mine = port.connect(1)
    knock = port.accept(hello(1))
    assert port.closes() == [knock, mine]
    assert port.links.links == {}
    assert port.dials() == [(1, at(1))]


@pytest.mark.parametrize(
    "knock",
    [struct.pack(">q", 1), hello(1, Address("0.0.0.0", 3888)), hello(1, Address("::", 3888))],
    ids=["3.4", "wildcard", "IPv6 wildcard"],
)
def test_a_knock_without_a_useful_address_is_dialed_as_configured(port: Port, knock: bytes) -> None:
    port.accept(knock)
    assert port.dials() == [(1, at(1))]


def test_a_second_knock_while_dialing_does_not_dial_twice(port: Port) -> None:
    port.accept(hello(1))
    port.accept(hello(1))
    port.links.send(1, b"vote")
    assert port.dials() == [(1, at(1))]
    port.links.dial_failed(1)
    port.accept(hello(1))
    assert port.dials() == [(1, at(1))]


def test_the_newer_of_two_connections_from_a_larger_sid_survives(port: Port) -> None:
    older, newer = port.accept(hello(3)), port.accept(hello(3))
    assert port.closes() == [older]
    assert port.links.links == {3: newer}
    port.links.closed(older)
    assert port.links.links == {3: newer}, "the end of the older one changes nothing"


def test_the_newer_of_two_connections_to_a_smaller_sid_survives(port: Port) -> None:
    older = port.connect(1)
    port.links.closed(older)
    port.links.send(1, b"vote")
    newer = port.links.dialed(1, "h1")
    port.dials()
    port.accept(hello(1))
    again = port.links.dialed(1, "h1")
    assert newer in port.closes()
    assert port.links.links == {1: again}


def test_our_own_sid_is_refused(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    link = port.accept(hello(2) + frame(b"vote"))
    assert port.closes() == [link]
    assert (port.messages(), port.dials(), port.links.links) == ([], [], {})
    assert "server 2, which is this one" in caplog.text


def test_after_a_knock_its_frames_are_not_read(port: Port) -> None:
    port.accept(hello(1) + frame(b"vote"))
    assert port.messages() == []


# --- messages -----------------------------------------------------------------------------


def test_frames_behind_the_initial_message_count(port: Port) -> None:
    data = hello(3) + frame(b"one") + frame(b"two")
    link = port.accept()
    for byte in data:
        port.links.received(link, bytes((byte,)))
    assert port.messages() == [(3, b"one"), (3, b"two")]


def test_one_message_waits_at_most_the_newest(port: Port) -> None:
    link = port.connect(3)
    for payload in (b"1", b"2", b"3"):
        port.links.send(3, payload)
    assert port.writes(link) == [frame(b"1")], "the link has not written it yet"
    port.links.written(link)
    assert port.writes(link) == [frame(b"3")]
    port.links.written(link)
    assert port.writes(link) == []
    port.links.send(3, b"4")
    assert port.writes(link) == [frame(b"4")]


def test_while_there_is_no_connection_the_newest_message_waits(port: Port) -> None:
    port.links.send(3, b"1")
    port.links.send(3, b"2")
    link = port.accept(hello(3))
    assert port.writes(link) == [frame(b"2")]


def test_the_last_message_is_written_again_on_a_new_connection(port: Port) -> None:
    older = port.connect(3)
    port.links.send(3, b"1")
    port.links.written(older)
    port.links.closed(older)
    newer = port.accept(hello(3))
    assert port.writes(newer) == [frame(b"1")]
    port.links.written(newer)
    assert port.writes(newer) == [], "once"


def test_what_was_said_in_an_election_that_is_over_is_not_written_again(port: Port) -> None:
    """It may have been true then that this server had no data, or an earlier configuration."""
    older = port.connect(3)
    port.links.send(3, b"1")
    port.links.written(older)
    port.links.closed(older)
    port.links.forget_sent()
    assert port.writes(port.accept(hello(3))) == []


def test_a_message_that_waits_comes_instead_of_the_last_one(port: Port) -> None:
    older = port.connect(3)
    port.links.send(3, b"1")
    port.links.send(3, b"2")
    port.links.closed(older)
    assert port.writes(port.accept(hello(3))) == [frame(b"2")]


def test_nothing_is_written_on_a_new_connection_if_nothing_ever_was(port: Port) -> None:
    assert port.writes(port.accept(hello(3))) == []


def test_a_send_after_a_lost_connection_dials_again(port: Port) -> None:
    link = port.connect(1)
    port.links.closed(link)
    assert port.dials() == []
    port.links.send(1, b"vote")
    assert port.dials() == [(1, at(1))]


def test_a_failed_dial_is_repeated_by_the_next_message_only(port: Port) -> None:
    port.links.send(1, b"1")
    port.dials()
    port.links.dial_failed(1)
    assert port.dials() == []
    port.links.send(1, b"2")
    assert port.dials() == [(1, at(1))]
    assert port.writes(port.links.dialed(1, "h1"))[1:] == [frame(b"2")]


def test_a_closed_link_is_deaf_and_dumb(port: Port) -> None:
    older = port.accept(hello(3))
    port.accept(hello(3))
    port.links.received(older, frame(b"vote"))
    assert port.messages() == []
    newer = port.links.links[3]
    port.links.send(3, b"1")
    port.links.send(3, b"2")
    port.links.written(older)
    assert port.writes(newer) == [frame(b"1")]


# --- unknown servers ----------------------------------------------------------------------


def test_a_joiner_is_heard_and_answered(port: Port) -> None:
    link = port.accept(hello(9) + frame(b"ask"))
    assert port.messages() == [(9, b"ask")]
    port.links.send(9, b"answer")
    assert port.writes(link) == [frame(b"answer")]


def test_a_joiner_with_a_smaller_sid_is_dialed_where_it_says(clock: Clock) -> None:
    port = Port(clock, sid=3)
    port.links.addresses = ElectionAddresses({3: at(3)})
    port.accept(hello(1, Address("new", 5)))
    assert port.dials() == [(1, (Address("new", 5),))]
    port.links.send(1, b"answer")
    assert port.writes(port.links.dialed(1, "new"))[1:] == [frame(b"answer")]


def test_nothing_is_remembered_of_a_stranger_that_has_gone(port: Port) -> None:
    link = port.accept(hello(9))
    port.links.send(9, b"answer")
    port.links.closed(link)
    assert port.writes(port.accept(hello(9))) == []
    port.accept(hello(0, Address("gone", 1)))
    port.links.send(0, b"answer")
    port.links.dial_failed(0)
    port.accept(hello(0, Address("gone", 1)))
    assert port.writes(port.links.dialed(0, "gone")) == [hello(2)]


def test_a_message_to_a_server_without_address_is_dropped(
    port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    port.links.send(9, b"vote")
    assert port.dials() == []
    assert "no address of server 9" in caplog.text
    assert port.writes(port.accept(hello(9))) == []


def test_a_knock_without_address_from_an_unknown_server_cannot_be_answered(port: Port) -> None:
    link = port.accept(struct.pack(">q", 0))
    assert port.closes() == [link]
    assert port.dials() == []


def test_observers_without_a_sid_get_one_each(port: Port) -> None:
    port.accept(hello(GENERIC_OBSERVER))
    port.accept(hello(GENERIC_OBSERVER))
    assert list(port.links.links) == [-1, -2]
    assert port.closes() == []


def test_strangers_are_bounded_and_members_never_refused(port: Port) -> None:
    for sid in range(100, 100 + MAX_STRANGERS):
        port.accept(hello(sid))
    assert port.closes() == []
    refused = port.accept(hello(99))
    assert port.closes() == [refused]
    port.accept(hello(0, Address("x", 1)))
    assert port.dials() == []
    port.closes()
    port.accept(hello(100))
    assert len(port.closes()) == 1, "an older connection was replaced"
    port.accept(hello(3))
    assert port.closes() == []


# --- the configuration --------------------------------------------------------------------


def test_candidates_are_the_committed_address_then_a_different_proposed_one(port: Port) -> None:
    moved = (Address("moved", 1),)
    addresses = ElectionAddresses({1: at(1), 2: at(2)}, {1: moved, 2: at(2), 4: at(4)})
    assert addresses.candidates(1) == at(1) + moved
    assert addresses.candidates(2) == at(2)
    assert addresses.candidates(4) == at(4)
    assert addresses.candidates(5) == ()


def test_addresses_come_from_the_configurations() -> None:
    committed = parse_membership(b"server.1=a:1:2|b:1:3\nserver.2=[::1]:1:4:observer")
    proposed = parse_membership(b"server.1=a:1:2|b:1:3\nserver.3=c:1:5\nversion=1")
    addresses = election_addresses(committed, proposed)
    assert addresses.candidates(1) == (Address("a", 2), Address("b", 3))
    assert addresses.candidates(2) == (Address("0:0:0:0:0:0:0:1", 4),)
    assert addresses.candidates(3) == (Address("c", 5),)
    assert not election_addresses(committed, None).is_known(3)


def test_members_that_are_only_proposed_are_dialed_at_once(port: Port) -> None:
    port.connect(1)
    known = dict(port.addresses.committed)
    port.links.set_addresses(ElectionAddresses(known, known | {4: at(4)}))
    assert port.dials() == [(4, at(4))]


def test_a_link_with_a_server_that_has_moved_ends_and_the_others_stay(port: Port) -> None:
    one, three = port.connect(1), port.connect(3)
    moved = {1: (Address("moved", 1),), 2: at(2), 3: at(3)}
    assert not port.links.renew(at(2), ElectionAddresses(moved))
    assert port.closes() == [one]
    assert port.links.links == {3: three}
    port.links.send(1, b"vote")
    assert port.dials() == [(1, moved[1])]


def test_a_link_with_a_server_that_has_left_stays_for_its_answers(port: Port) -> None:
    three = port.connect(3)
    assert not port.links.renew(at(2), ElectionAddresses({1: at(1), 2: at(2)}))
    port.links.send(3, b"vote")
    assert port.writes(three) == [frame(b"vote")]


def test_what_waits_for_a_server_that_has_left_is_forgotten(port: Port) -> None:
    port.links.send(1, b"vote")
    assert port.dials() == [(1, at(1))]
    port.links.renew(at(2), ElectionAddresses({2: at(2), 3: at(3)}))
    assert port.links._pending == {}


def test_who_has_moved_itself_begins_with_no_links_and_its_new_address(port: Port) -> None:
    three, greeting = port.connect(3), port.accept()
    port.links.send(1, b"vote")
    port.dials()
    moved = (Address("moved", 1),)
    assert port.links.renew(moved, ElectionAddresses({1: at(1), 2: moved, 3: at(3)}))
    assert port.closes() == [greeting, three]
    port.links.send(1, b"vote")
    assert port.dials() == [(1, at(1))], "the attempts of before have ended"
    link = port.links.dialed(1, "h1")
    assert port.writes(link)[0] == hello(2, *moved)


def test_connect_all_dials_whoever_is_not_connected(port: Port) -> None:
    port.connect(1)
    port.links.connect_all()
    port.links.connect_all()
    assert port.dials() == [(3, at(3))]


def test_several_own_addresses_are_sent_if_switched_on(clock: Clock) -> None:
    port = Port(clock, multi_address=True)
    own = (Address("a", 1), Address("b", 2))
    port.links.own = own
    port.links.send(3, b"vote")
    link = port.links.dialed(3, "h3")
    assert port.writes(link) == [initial_message(2, own, multi_address=True)]
    assert InitialMessage(2, own, PROTOCOL_V2).encode() == initial_message(2, own, True)


# --- misbehaviour -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">q", -3),
        hello(3) + struct.pack(">i", 0),
        hello(3) + struct.pack(">i", MAX_FRAME_BYTES + 1),
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",  # a sid of 3.4, then no frame
    ],
)
def test_who_breaks_the_protocol_loses_the_link(port: Port, data: bytes) -> None:
    link = port.accept(data)
    assert port.closes() == [link]
    assert port.links.links == {}


def test_a_connection_that_does_not_say_who_it_is_has_its_time(port: Port, clock: Clock) -> None:
    first = port.accept(hello(3)[:-1])
    clock.now_ms += 1
    second = port.accept()
    assert port.links.deadline == first.deadline
    clock.now_ms = first.deadline - 1
    port.links.wake()
    assert port.closes() == []
    clock.now_ms += 1
    port.links.wake()
    assert port.closes() == [first]
    assert port.links.deadline == second.deadline
    port.links.received(second, hello(3))
    assert port.links.deadline is None, "no time limit once it has"


def test_connections_that_do_not_say_who_they_are_are_bounded(port: Port) -> None:
    links = [port.accept() for _ in range(MAX_HANDSHAKES)]
    assert port.closes() == []
    assert port.accept(hello(3)).state == LinkState.UP
    assert port.closes() == [links[0]], "the oldest makes room"
    port.accept()
    assert port.closes() == []
    port.accept()
    assert port.closes() == [links[1]]


def test_close_ends_every_link_and_every_dial(port: Port) -> None:
    greeting, up = port.accept(), port.accept(hello(3))
    port.links.send(1, b"vote")
    port.links.close()
    assert port.closes() == [greeting, up]
    late = port.links.dialed(1, "h1")
    assert port.closes() == [late]
    assert port.writes(late) == []
    assert port.writes(port.accept(hello(3))) == [], "what was sent before is forgotten"


# --- two servers with one id ----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        ((Address("h9", 3888),), False),
        ((Address("h3", 4888),), True),
        ((Address("h3", 4888), Address("h9", 3888)), False),
        ((Address("0.0.0.0", 4888),), False),
    ],
)
def test_a_server_that_listens_elsewhere_may_be_another_one(
    clock: Clock, caplog: pytest.LogCaptureFixture, said: tuple[Address, ...], is_told: bool
) -> None:
    port = Port(clock)
    port.accept(InitialMessage(3, said, PROTOCOL_V2).encode())
    assert list(port.links.links) == [3]
    assert [text[:90] for text in caplog.messages] == [
        "somebody says that it is server 3 and listens for elections on h3:4888, which is h3:3888 i"
    ] * is_told


def test_a_server_that_nobody_knows_may_listen_anywhere(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    Port(clock).accept(hello(9, Address("h9", 4888)))
    assert caplog.messages == []
