"""The exchange of two members: who passes, who does not, and what comes behind it.

The packets are those that 3.9.3 sent: magic number, status, token.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.errors import SaslError
from pyzk.quorum.authentication import (
    ERROR,
    IN_PROGRESS,
    MAX_TOKEN_BYTES,
    SUCCESS,
    AcceptorExchange,
    ConnectorExchange,
    encode_packet,
    service_principal,
)
from pyzk.quorum.packets import encode_learner_info
from pyzk.server.outbox import SaslStep
from tests.quorum.logins import logins
from tests.server.test_sasl import LOGIN as CLIENT_LOGIN
from tests.server.test_sasl import Threads

FIRST = encode_packet(IN_PROGRESS, b"")
REFUSAL = encode_packet(ERROR, b"")


class Owner:
    """A link that notes what its exchange wants."""

    name = "h9:4000"

    def __init__(self) -> None:
        self.sent = b""
        self.rest: bytes | None = None
        self.failure = ""

    def exchange_sends(self, data: bytes) -> None:
        self.sent += data

    def exchange_passed(self, rest: bytes) -> None:
        assert self.rest is None, "passed twice"
        assert not self.failure
        self.rest = rest

    def exchange_failed(self, reason: str) -> None:
        assert self.rest is None
        assert not self.failure, "failed twice"
        self.failure = reason

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


def acceptor(**values: object) -> tuple[AcceptorExchange, Owner]:
    owner = Owner()
    return logins(**values).acceptor(owner), owner  # type: ignore[arg-type]


def connector(**values: object) -> tuple[ConnectorExchange, Owner]:
    owner = Owner()
    exchange = logins(**values).connector(owner, "h1")  # type: ignore[arg-type]
    assert exchange is not None
    exchange.start()
    return exchange, owner


def run(
    theirs: tuple[AcceptorExchange, Owner],
    ours: tuple[ConnectorExchange, Owner],
    *,
    piece: int = 1 << 20,
) -> None:
    """Carry bytes to and fro until nobody has anything to say."""
    while True:
        up, down = ours[1].take(), theirs[1].take()
        if not up and not down:
            return
        for data, exchange in ((up, theirs[0]), (down, ours[0])):
            for at in range(0, len(data), piece):
                if not exchange.is_over:
                    exchange.receive(data[at : at + piece])


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_both_sides_pass(piece: int) -> None:
    theirs, ours = acceptor(), connector()
    run(theirs, ours, piece=piece)
    assert (theirs[1].rest, ours[1].rest) == (b"", b"")


def test_the_bytes_of_the_first_packet() -> None:
    assert connector()[1].take().hex() == "5f2435013501edcc" + "00000000" + "00000000"
    assert encode_packet(SUCCESS, None).hex() == "5f2435013501edcc" + "00000001" + "ffffffff"


def test_what_comes_behind_is_not_touched() -> None:
    theirs, ours = acceptor(), connector()
    theirs[0].receive(ours[1].take())
    ours[0].receive(theirs[1].take())
    theirs[0].receive(ours[1].take() + b"FOLLOWERINFO")
    assert theirs[1].rest == b"FOLLOWERINFO"
    ours[0].receive(theirs[1].take() + b"LEADERINFO")
    assert ours[1].rest == b"LEADERINFO"


def test_a_wrong_password_ends_the_connection() -> None:
    theirs, ours = acceptor(), connector(password="wrong")
    run(theirs, ours)
    assert theirs[1].failure == "its login failed: the password of 'learner' is wrong"
    assert ours[1].failure == "it does not accept the login of this server (quorum.auth.*)"


def test_who_need_not_log_in_passes_with_a_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    theirs = acceptor(server_requires=False)
    run(theirs, connector(password="wrong"))
    assert theirs[1].rest == b""
    assert "the login of h9:4000 failed, and it need not log in: the password" in caplog.text


def test_an_acceptor_that_does_not_know_the_password_is_found_out() -> None:
    ours = connector()
    ours[0].receive(encode_packet(IN_PROGRESS, b'nonce="n",algorithm=md5-sess,charset=utf-8'))
    ours[0].receive(encode_packet(SUCCESS, b"rspauth=" + b"0" * 32))
    assert ours[1].failure == "the server does not know the password"


INFO = encode_learner_info(3, 0, 0, is_observer=False)


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_who_does_not_log_in(piece: int) -> None:
    for is_required in (True, False):
        exchange, owner = acceptor(server_requires=is_required)
        for at in range(0, len(INFO), piece):
            if not exchange.is_over:
                exchange.receive(INFO[at : at + piece])
        assert owner.sent == b""
        if is_required:
            assert "serverRequireSasl asks for it" in owner.failure
        else:
            assert owner.rest == INFO[: len(owner.rest or b"")]
            assert owner.rest


def test_who_says_nothing_may_pass_only_if_he_need_not_log_in() -> None:
    exchange, owner = acceptor(server_requires=False)
    assert exchange.may_be_silent
    exchange.pass_silent()
    assert owner.rest == b""
    assert not acceptor()[0].may_be_silent
    begun, _ = acceptor(server_requires=False)
    begun.receive(FIRST)
    assert not begun.may_be_silent


def test_a_member_that_is_not_told_to_does_not_log_in() -> None:
    assert logins(learner_requires=False).connector(Owner(), "h1") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (FIRST[:12] + (MAX_TOKEN_BYTES + 1).to_bytes(4, "big"), "a token of 65537 bytes"),
        (FIRST[:12] + b"\xff\xff\xff\xfe", "a token of -2 bytes"),
        (encode_packet(IN_PROGRESS, None), "no token"),
        (FIRST + encode_packet(IN_PROGRESS, b"x" * 5000), "a token of 5000 bytes"),
        (FIRST + b"\0" * 16, "no packet of an authentication"),
        (FIRST + encode_packet(IN_PROGRESS, b"garbage"), "no = behind"),
    ],
)
def test_what_an_acceptor_refuses(data: bytes, reason: str) -> None:
    exchange, owner = acceptor()
    exchange.receive(data)
    assert reason in owner.failure
    assert owner.sent.endswith(REFUSAL)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (REFUSAL, "does not accept the login"),
        (encode_packet(7, b""), "does not accept the login"),
        (encode_packet(IN_PROGRESS, None), "without a token"),
        (encode_packet(SUCCESS, b"rspauth=0"), "cannot log in there|has no|algorithm"),
        (encode_packet(IN_PROGRESS, b"garbage"), "cannot log in there"),
        (b"\0\0\0\x0b", "no packet of an authentication"),
        (encode_packet(SUCCESS, b'nonce="n",algorithm=md5-sess'), "succeeded before it has"),
    ],
)
def test_what_a_connector_refuses(data: bytes, reason: str) -> None:
    exchange, owner = connector()
    exchange.receive(data)
    assert any(each in owner.failure for each in reason.split("|")), owner.failure


class Endless:
    """A mechanism that is never complete."""

    is_blocking = False
    is_complete = False
    authorization_id = ""

    def step(self, token: bytes) -> bytes | None:
        if token == b"bad":
            raise SaslError("bad")
        return b"more"


def test_after_five_challenges_there_is_no_other() -> None:
    owner = Owner()
    exchange = AcceptorExchange(owner, Endless(), logins())
    for _ in range(6):
        assert not exchange.is_over
        exchange.receive(FIRST)
    assert owner.failure == "its login failed: 5 tokens prove nothing"
    assert owner.sent == encode_packet(IN_PROGRESS, b"more") * 5 + REFUSAL


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_no_bytes_of_a_stranger_let_him_in(pieces: list[bytes], looks_right: bool) -> None:
    """Whatever he sends, he ends his own connection at most."""
    theirs, ours = acceptor(), connector()
    for exchange, owner in (theirs, ours):
        for piece in pieces:
            if not exchange.is_over:
                exchange.receive(encode_packet(IN_PROGRESS, piece) if looks_right else piece)
        assert owner.rest is None


# --- Kerberos --------------------------------------------------------------------------------


def steps(exchange: AcceptorExchange | ConnectorExchange) -> list[SaslStep]:
    """Return the steps that the exchange has ordered."""
    taken = exchange._shared._server.outbox.take_commands()
    return [each for each in taken if isinstance(each, SaslStep)]


def finish(exchange: AcceptorExchange | ConnectorExchange) -> None:
    (step,) = steps(exchange)
    step.take()
    step.finish()


def test_kerberos_blocks_nobody() -> None:
    threads = Threads()
    threads.principal = "zkquorum/h1@R"
    threads.peer_name = "learner/h1@R"
    theirs = acceptor(is_kerberos=True, threads=threads)
    ours = connector(is_kerberos=True, threads=threads)
    for _ in range(3):
        assert ours[1].sent == b""
        finish(ours[0])
        theirs[0].receive(ours[1].take())
        assert theirs[1].sent == b""
        finish(theirs[0])
        ours[0].receive(theirs[1].take())
    assert (theirs[1].rest, ours[1].rest) == (b"", b"")
    assert threads.service == "zkquorum/localhost@R"


def test_who_does_not_wait_for_his_answer_is_refused_in_the_end() -> None:
    threads = Threads()
    threads.principal = "zkquorum/h1@R"
    exchange, owner = acceptor(is_kerberos=True, threads=threads)
    exchange.receive(FIRST)
    exchange.receive(b"x" * MAX_TOKEN_BYTES)
    assert not owner.failure
    exchange.receive(b"x" * 17)
    assert "sends more than it may" in owner.failure
    finish(exchange)
    assert owner.sent == b""


def test_a_step_that_ends_after_the_connection_changes_nothing() -> None:
    threads = Threads()
    threads.principal = "zkquorum/h1@R"
    exchange, owner = acceptor(is_kerberos=True, threads=threads)
    exchange.receive(FIRST)
    exchange.stop()
    finish(exchange)
    assert (owner.sent, owner.rest, owner.failure) == (b"", None, "")


@pytest.mark.parametrize(
    ("proved", "asked", "reason"),
    [
        ("learner", "learner", ""),
        ("learner@R", "learner@R", ""),
        ("learner/h1@R", "learner/h1@R", ""),
        ("learner/H2.example@R", "learner/H2.example@R", ""),
        ("learner/h3@R", "learner/h3@R", "names the host of no member"),
        ("learner@R", "learner/h1@R", "may not act as"),
    ],
)
def test_who_may_connect(proved: str, asked: str, reason: str) -> None:
    shared = logins()
    if not reason:
        assert shared._authorize(proved, asked) == proved
        return
    with pytest.raises(SaslError, match=reason):
        shared._authorize(proved, asked)


@pytest.mark.parametrize(
    ("configured", "principal", "service"),
    [
        ("zkquorum/localhost", "learner/h1@R", "zkquorum/localhost@R"),
        ("zkquorum/_HOST", "learner/h1@R", "zkquorum/h2.example@R"),
        ("zkquorum/_HOST@OTHER", "learner/h1@R", "zkquorum/h2.example@OTHER"),
        ("zkquorum/_HOST", "learner", "zkquorum/h2.example"),
        ("zkquorum", "learner@R", "zkquorum@R"),
    ],
)
def test_whom_a_member_connects_to(configured: str, principal: str, service: str) -> None:
    login = CLIENT_LOGIN.__class__(section="L", users={}, principal=principal)
    assert service_principal(configured, "H2.example", login) == service
