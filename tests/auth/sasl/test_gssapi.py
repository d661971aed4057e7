"""GSSAPI: the negotiation around a context that stands after as many tokens as a test wants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.auth.sasl.gssapi import GssapiClient, GssapiServer
from pyzk.errors import SaslError


class FakeContext:
    """A context that needs one token each way; what it wraps begins with its mark."""

    def __init__(self, *, is_initiator: bool, is_mutual: bool = True) -> None:
        self._is_initiator = is_initiator
        self._is_mutual = is_mutual
        self._has_begun = False
        self.is_established = False
        self.peer_name = "bob@R"

    def step(self, token: bytes) -> bytes:
        if self._is_initiator and not self._has_begun:
            assert token == b""
            self._has_begun = True
            self.is_established = not self._is_mutual
            return b"AP-REQ"
        if token != (b"AP-REP" if self._is_initiator else b"AP-REQ"):
            raise SaslError(f"no ticket: {token!r}")
        self.is_established = True
        return b"" if self._is_initiator or not self._is_mutual else b"AP-REP"

    def wrap(self, data: bytes) -> bytes:
        return b"wrapped:" + data

    def unwrap(self, data: bytes) -> bytes:
        if not data.startswith(b"wrapped:"):
            raise SaslError("a checksum is wrong")
        return data.removeprefix(b"wrapped:")


def server(
    *,
    is_mutual: bool = True,
    authorize: Callable[[str, str], str] = lambda proved, asked: f"{proved} as {asked}",
) -> GssapiServer:
    return GssapiServer(lambda: FakeContext(is_initiator=False, is_mutual=is_mutual), authorize)


def client(*, is_mutual: bool = True, authzid: str = "bob@R") -> GssapiClient:
    return GssapiClient(lambda: FakeContext(is_initiator=True, is_mutual=is_mutual), authzid)


@pytest.mark.parametrize("is_mutual", [True, False])
@pytest.mark.parametrize(("authzid", "asked"), [("", "bob@R"), ("zoë", "zoë")])
def test_both_sides_agree(is_mutual: bool, authzid: str, asked: str) -> None:
    theirs, ours = server(is_mutual=is_mutual), client(is_mutual=is_mutual, authzid=authzid)
    token: bytes | None = ours.step(b"")
    while token is not None:
        assert not theirs.is_complete
        answer = theirs.step(token)
        token = None if answer is None else ours.step(answer)
    assert theirs.is_complete
    assert ours.is_complete
    assert theirs.authorization_id == f"bob@R as {asked}"


def test_the_tokens_in_their_order() -> None:
    theirs = server()
    assert theirs.step(b"AP-REQ") == b"AP-REP"
    assert theirs.step(b"") == b"wrapped:\x01\x01\x00\x00"
    assert theirs.step(b"wrapped:\x01\x00\x00\x00bob@R") is None
    ours = client(authzid="bob@R")
    assert ours.step(b"") == b"AP-REQ"
    assert ours.step(b"AP-REP") == b""
    assert ours.step(b"wrapped:\x07\x00\xff\xff") == b"wrapped:\x01\x00\x00\x00bob@R"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([b"garbage"], "no ticket"),
        ([b"AP-REQ", b"more"], "in place of an empty one"),
        ([b"AP-REQ", b"", b"garbage"], "a checksum is wrong"),
        ([b"AP-REQ", b"", b"wrapped:\x01\x00"], "no layer that was offered"),
        ([b"AP-REQ", b"", b"wrapped:\x02\x00\x00\x00"], "no layer that was offered"),
        ([b"AP-REQ", b"", b"wrapped:"], "no layer that was offered"),
    ],
)
def test_what_a_server_refuses(tokens: list[bytes], message: str) -> None:
    theirs = server()
    for token in tokens[:-1]:
        theirs.step(token)
    with pytest.raises(SaslError, match=message):
        theirs.step(tokens[-1])
    assert not theirs.is_complete
    with pytest.raises(SaslError, match="after the end"):
        theirs.step(b"AP-REQ")


def test_who_may_not_log_in_is_refused() -> None:
    def authorize(proved: str, asked: str) -> str:
        raise SaslError(f"not {proved}")

    theirs = server(authorize=authorize)
    theirs.step(b"AP-REQ")
    theirs.step(b"")
    with pytest.raises(SaslError, match="not bob@R"):
        theirs.step(b"wrapped:\x01\x00\x00\x00")
    assert not theirs.is_complete


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([b"", b"garbage"], "no ticket"),
        ([b"", b"AP-REP", b"garbage"], "a checksum is wrong"),
        ([b"", b"AP-REP", b"wrapped:\x06\x00\x00\x00"], "insists on a layer"),
        ([b"", b"AP-REP", b"wrapped:\x01"], "insists on a layer"),
    ],
)
def test_what_a_client_refuses(tokens: list[bytes], message: str) -> None:
    ours = client()
    for token in tokens[:-1]:
        ours.step(token)
    with pytest.raises(SaslError, match=message):
        ours.step(tokens[-1])
    assert not ours.is_complete
    with pytest.raises(SaslError, match="after the end"):
        ours.step(b"")


def test_after_the_end_everything_fails() -> None:
    theirs = server()
    for token in (b"AP-REQ", b"", b"wrapped:\x01\x00\x00\x00"):
        theirs.step(token)
    with pytest.raises(SaslError, match="after the end"):
        theirs.step(b"")
    assert theirs.is_complete
