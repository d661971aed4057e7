"""DIGEST-MD5: both sides of an exchange, and everything that must make it fail."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.auth.sasl.digest_md5 import DigestMd5Client, DigestMd5Server, Proof
from pyzk.errors import SaslError

USERS = {"bob": "bobsecret", "zoë": "pässword", "名": "秘密", 'q"\\': 'p"\\'}
PLACE = ("zookeeper", "zk-sasl-md5")


def server(users: dict[str, str] | None = None) -> DigestMd5Server:
    known = USERS if users is None else users
    return DigestMd5Server(*PLACE, known.get, lambda user, _asked: user.upper(), Random(1))


def client(user: str = "bob", password: str = "bobsecret", **more: str) -> DigestMd5Client:
    return DigestMd5Client(*PLACE, user, password, Random(2), **more)


def exchange(theirs: DigestMd5Server, ours: DigestMd5Client) -> None:
    challenge = theirs.step(b"")
    assert challenge is not None
    response = ours.step(challenge)
    assert response is not None
    proof = theirs.step(response)
    assert proof is not None
    assert ours.step(proof) is None


def test_the_example_of_the_rfc() -> None:
    proof = Proof(
        "chris", "elwood.innosoft.com", "secret", b"OA6MG9tEQGm2hh", b"OA6MHXh6VqTrRk", None
    )
    uri = "imap/elwood.innosoft.com"
    assert proof.response("AUTHENTICATE", uri) == b"d388dad90d4bbd760a152321f2143af7"
    assert proof.response("", uri) == b"ea40f60335c427b5527b84dbabcdfffd"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("authzid", [None, "somebody"])
def test_both_sides_agree(user: str, authzid: str | None) -> None:
    theirs = server()
    ours = DigestMd5Client(*PLACE, user, USERS[user], Random(2), authzid)
    exchange(theirs, ours)
    assert theirs.is_complete
    assert ours.is_complete
    assert theirs.authorization_id == user.upper()
    assert ours.authorization_id == user


def test_the_challenge_is_that_of_java() -> None:
    challenge = server().step(b"")
    assert challenge is not None
    assert re.fullmatch(
        rb'realm="zk-sasl-md5",nonce="[A-Za-z0-9+/]{40}",charset=utf-8,algorithm=md5-sess',
        challenge,
    )


def test_what_a_client_sends_first_is_ignored() -> None:
    assert server().step(b"username=bob") == server().step(b"")


def test_the_response_is_that_of_java() -> None:
    response = client(authzid="bob").step(b'realm="r",nonce="n",charset=utf-8,algorithm=md5-sess')
    assert response is not None
    assert re.fullmatch(
        rb'charset=utf-8,username="bob",realm="r",nonce="n",nc=00000001,cnonce="[^"]{40}",'
        rb'digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=[0-9a-f]{32},qop=auth,'
        rb'authzid="bob"',
        response,
    )


# --- what the server refuses -----------------------------------------------------------------


def respond(change: tuple[bytes, bytes] = (b"", b""), ours: DigestMd5Client | None = None) -> bytes:
    """Return a server's answer to a right response in which one text is replaced by another."""
    theirs = server()
    challenge = theirs.step(b"")
    assert challenge is not None
    response = (ours or client()).step(challenge)
    assert response is not None
    assert change[0] in response, response
    answer = theirs.step(response.replace(*change, 1))
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    "change",
    [
        (b"charset=utf-8,", b""),
        (b",qop=auth", b""),
        (b",maxbuf=65536", b""),
        (b"nc=00000001,", b""),
        (b"nc=00000001", b"nc=00000002"),  # Java does not read it either
        (b",qop=auth", b",qop=auth,strange=1"),
        (b"response=", b"RESPONSE="),
    ],
)
def test_what_makes_no_difference(change: tuple[bytes, bytes]) -> None:
    assert respond(change).startswith(b"rspauth=")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"charset=utf-8", b"charset=latin-1"), "the charset"),
        ((b'username="bob",', b""), "username is missing"),
        ((b'realm="zk-sasl-md5"', b'realm="ZK-sasl-md5"'), "the realm 'ZK-sasl-md5'"),
        ((b'realm="zk-sasl-md5",', b""), "the realm ''"),
        ((b'nonce="', b'nonce="A'), "the nonce is not"),
        ((b',nonce="', b',x="'), "nonce is missing"),
        ((b'cnonce="', b'x="'), "cnonce is missing"),
        ((b'cnonce="', b'cnonce="A'), "the password of 'bob' is wrong"),
        ((b"qop=auth", b"qop=auth-int"), "'auth-int'"),
        ((b"digest-uri=", b"x="), "digest-uri is missing"),
        ((b'"zookeeper/', b'"zookeeper-quorum/'), "the digest-uri"),
        ((b'"zookeeper/', b'"Zookeeper/'), "is wrong"),  # no case, but hashed as it is written
        ((b"response=", b"x="), "response is missing"),
        ((b"response=", b"response=a"), "is wrong"),
        ((b"maxbuf=65536", b"maxbuf=many"), "the maxbuf"),
        ((b"qop=auth", b'qop=auth,authzid="bob"'), "is wrong"),
        ((b"qop=auth", b"qop=auth,realm=other"), "realm comes twice"),
        ((b'"bob"', b'"alice"'), "'alice' is not known"),
        ((b'"bob"', b'"\xff"'), "is not known"),
    ],
)
def test_a_response_that_is_refused(change: tuple[bytes, bytes], message: str) -> None:
    with pytest.raises(SaslError, match=message):
        respond(change)


def test_a_wrong_password() -> None:
    with pytest.raises(SaslError, match="the password of 'bob' is wrong"):
        respond(ours=client(password="wrong"))


def test_a_user_without_password_is_known() -> None:
    theirs = server({"bob": ""})
    exchange(theirs, client(password=""))
    assert theirs.authorization_id == "BOB"


def test_an_unknown_user_with_an_empty_password() -> None:
    with pytest.raises(SaslError, match="is not known"):
        respond(ours=client("nobody", ""))


def test_who_may_not_act_as_he_asks_is_refused() -> None:
    def authorize(user: str, asked: str) -> str:
        raise SaslError(f"{user} is not {asked}")

    theirs = DigestMd5Server(*PLACE, USERS.get, authorize, Random(1))
    with pytest.raises(SaslError, match="bob is not alice"):
        exchange(theirs, client(authzid="alice"))
    assert not theirs.is_complete


def test_after_the_end_everything_fails() -> None:
    theirs, ours = server(), client()
    exchange(theirs, ours)
    for side in (theirs, ours):
        with pytest.raises(SaslError, match="after the end"):
            side.step(b"")
    assert theirs.is_complete


def test_after_a_failure_everything_fails() -> None:
    theirs = server()
    theirs.step(b"")
    with pytest.raises(SaslError, match="username is missing"):
        theirs.step(b"")
    with pytest.raises(SaslError, match="after the end"):
        theirs.step(b"")
    assert not theirs.is_complete


def test_a_long_token_is_refused_and_ends_nothing() -> None:
    theirs = server()
    with pytest.raises(SaslError, match="a token of 4097 bytes"):
        theirs.step(b"x" * 4097)
    exchange(theirs, client())
    assert theirs.is_complete


def test_a_response_of_another_exchange_is_refused() -> None:
    rng = Random(1)
    first = DigestMd5Server(*PLACE, USERS.get, lambda user, _asked: user, rng)
    second = DigestMd5Server(*PLACE, USERS.get, lambda user, _asked: user, rng)
    challenge = first.step(b"")
    second.step(b"")
    assert challenge is not None
    response = client().step(challenge)
    assert response is not None
    with pytest.raises(SaslError, match="the nonce is not"):
        second.step(response)


@given(st.binary(max_size=300))
def test_any_token_completes_nothing(token: bytes) -> None:
    theirs = server()
    theirs.step(b"")
    with pytest.raises(SaslError):
        theirs.step(token)
    assert not theirs.is_complete


# --- what the client refuses -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenge", "message"),
    [
        (b'nonce="n",charset=utf-8', "algorithm is missing"),
        (b'nonce="n",algorithm=md5', "the algorithm 'md5'"),
        (b"algorithm=md5-sess", "nonce is missing"),
        (b'nonce="n",algorithm=md5-sess,charset=x', "the charset"),
        (b'nonce="n",algorithm=md5-sess,qop="auth-int, auth-conf"', "does not offer"),
        (b'nonce="n",algorithm=md5-sess,realm=a,realm=b', "realm comes twice"),
        (b'nonce="' + b"n" * 2048 + b'",algorithm=md5-sess', "a challenge of"),
    ],
)
def test_a_challenge_that_is_refused(challenge: bytes, message: str) -> None:
    ours = client()
    with pytest.raises(SaslError, match=message):
        ours.step(challenge)
    with pytest.raises(SaslError, match="after the end"):
        ours.step(b'nonce="n",algorithm=md5-sess')


def test_a_challenge_without_charset() -> None:
    challenge = b'nonce="n",algorithm=md5-sess,qop="auth-int,auth"'
    response = client("zoë", "x").step(challenge)
    assert response is not None
    assert b'username="zo\xeb",nonce=' in response
    with pytest.raises(SaslError, match="outside ISO-8859-1"):
        client("名", "x").step(challenge)


@pytest.mark.parametrize("proof", [b"", b"rspauth=0", b"rspauth=" + b"0" * 32])
def test_a_server_that_does_not_know_the_password(proof: bytes) -> None:
    ours = client()
    ours.step(b'nonce="n",algorithm=md5-sess')
    with pytest.raises(SaslError, match=r"rspauth is missing|does not know the password"):
        ours.step(proof)
    assert not ours.is_complete


def test_a_client_has_nothing_to_say_first() -> None:
    assert client().step(b"") == b""
