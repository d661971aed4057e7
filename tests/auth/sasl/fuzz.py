"""A fuzz of everything that reads tokens of SASL, and the corpus that it has found.

`python -m tests.auth.sasl.fuzz --seconds 60` changes the tokens of the corpus, and keeps each new
one that goes a way through the code that none has gone before. The corpus is
tests/testdata/sasl/corpus.jsonl, a token a line with what has become of it, which a test compares.
`--again` writes what becomes of the same tokens now; read the difference.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, NamedTuple

from pyzk.auth.sasl import digest_md5, directives, gssapi, kerberos_name
from pyzk.auth.sasl.digest_md5 import DigestMd5Client, DigestMd5Server
from pyzk.auth.sasl.kerberos_name import KerberosName, NameRules
from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError, SaslError
from pyzk.quorum import authentication
from pyzk.quorum.authentication import encode_packet, login_packet_end
from tests.auth.sasl.test_gssapi import client as gss_client
from tests.auth.sasl.test_gssapi import server as gss_server
from tests.server.test_sasl import send, token_of, world

CORPUS: Final = Path(__file__).parents[2] / "testdata" / "sasl" / "corpus.jsonl"
MOST_BYTES: Final = 5000

SERVICE, HOST = "zookeeper", "zk-sasl-md5"
SECRETS: Final[Mapping[str, str]] = {"bob": "bobsecret", "ann": "x" * 40, "zoë": "pässword"}
_OF_TOKENS: Final = tuple(
    module.__file__ for module in (digest_md5, directives, gssapi, kerberos_name, authentication)
)
_WORDS: Final = (
    *b"username= realm= nonce= cnonce= qop= digest-uri= response= maxbuf= charset= authzid= nc="
    b" rspauth= algorithm= stale= utf-8 auth auth-int,auth-conf md5-sess 00000001 65536".split(),
    *(b'"', b"\\", b",", b"=", b" ", b"\r\n", b"\0", b"\xff", b"\xc3", b'\\"', b'""', b"/", b"@"),
    *(b"-1", b"99999999999999999999", b"x" * 300, b"wrapped:", b"AP-REQ", b"\x01\0\0\0"),
    authentication.MAGIC_BYTES,
)  # fmt: skip


class Entry(NamedTuple):
    """A token of the corpus."""

    side: str
    """Who reads it."""
    token: bytes
    outcome: str = ""


# --- who reads tokens -----------------------------------------------------------------


def _server() -> DigestMd5Server:
    return DigestMd5Server(SERVICE, HOST, SECRETS.get, lambda proved, asked: asked, Random(1))


def _client() -> DigestMd5Client:
    return DigestMd5Client(SERVICE, HOST, "bob", SECRETS["bob"], Random(2), "bob")


def _digest_server(token: bytes) -> str:
    """What a server says to a token behind its challenge."""
    theirs = _server()
    theirs.step(b"")
    proof = theirs.step(token)
    return f"{theirs.authorization_id}: {proof!r}"


def _digest_challenge(token: bytes) -> str:
    return repr(_client().step(token))


def _digest_proof(token: bytes) -> str:
    ours = _client()
    ours.step(_server().step(b"") or b"")
    ours.step(token)
    return f"complete: {ours.is_complete}"


def _gssapi_server(token: bytes) -> str:
    theirs = gss_server(authorize=lambda proved, asked: asked)
    theirs.step(b"AP-REQ")
    theirs.step(b"")
    said = theirs.step(token)
    return f"{said!r}, {theirs.is_complete}, {theirs.authorization_id!r}"


def _gssapi_first(token: bytes) -> str:
    return repr(gss_server().step(token))


def _gssapi_client(token: bytes) -> str:
    ours = gss_client()
    ours.step(b"")
    ours.step(b"AP-REP")
    return f"{ours.step(token)!r}, {ours.is_complete}"


def _kerberos_name(token: bytes) -> str:
    name = KerberosName.parse(token.decode("utf-8", "replace"))
    if name is None:
        return "no name"
    rules = NameRules("RULE:[2:$1;$0](zk;R)s/;.*// RULE:[1:$1](b.*)s/b/c/g/L DEFAULT", "R")
    return f"{name}: {rules.short_name(name)!r}"


def _request(token: bytes) -> str:
    """What the core does with these bytes as the body of operation 102."""
    client = world().connect()
    send(client, b"")
    client.submit(OpCode.SASL, token)
    replies = [(each.err, each.body) for each in client.replies()]
    ids = sorted(each.scheme for each in client.connection.auth_ids)
    return f"{replies}, closed: {client.is_closed}, {ids}"


def _member(token: bytes) -> str:
    """How much of these bytes is a packet of a member that logs in."""
    return str(login_packet_end(token))


SIDES: Final[Mapping[str, Callable[[bytes], str]]] = {
    "digest server": _digest_server,
    "digest client, challenge": _digest_challenge,
    "digest client, proof": _digest_proof,
    "gssapi server": _gssapi_server,
    "gssapi server, first": _gssapi_first,
    "gssapi client": _gssapi_client,
    "kerberos name": _kerberos_name,
    "request": _request,
    "member": _member,
}


def outcome(side: str, token: bytes) -> str:
    """Returns what becomes of a token; any exception but those for wrong tokens is a bug."""
    try:
        return SIDES[side](token)
    except (SaslError, QuorumProtocolError) as error:
        return f"refused: {error}"


def _first_tokens() -> Iterator[Entry]:
    challenge = _server().step(b"") or b""
    for user in SECRETS:
        ours = DigestMd5Client(SERVICE, HOST, user, SECRETS[user], Random(3), user)
        response = ours.step(challenge) or b""
        yield Entry("digest server", response)
        yield Entry("member", encode_packet(0, response))
    asked = token_of(send(world().connect(), b""))
    ours = DigestMd5Client(SERVICE, HOST, "bob", SECRETS["bob"], Random(3))
    response = ours.step(asked) or b""
    yield Entry("request", len(response).to_bytes(4, "big") + response)
    yield Entry("digest client, challenge", challenge)
    theirs = _server()
    theirs.step(b"")
    yield Entry("digest client, proof", theirs.step(_client().step(challenge) or b"") or b"")
    yield Entry("gssapi server", b"wrapped:\x01\0\0\0bob@R")
    yield Entry("gssapi server, first", b"AP-REQ")
    yield Entry("gssapi client", b"wrapped:\x07\0\xff\xff")
    for name in (b"bob@R", b"zk/host@R", b"bob"):
        yield Entry("kerberos name", name)
    for side in SIDES:
        yield Entry(side, b"")


# --- the corpus -----------------------------------------------------------------------


def load() -> list[Entry]:
    """Returns the corpus."""
    if not CORPUS.exists():
        return []
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [Entry(each["side"], bytes.fromhex(each["token"]), each["outcome"]) for each in found]


def _save(entries: list[Entry]) -> None:
    CORPUS.parent.mkdir(exist_ok=True)
    lines = [
        json.dumps({"side": each.side, "token": each.token.hex(), "outcome": each.outcome})
        for each in sorted(entries)
    ]
    CORPUS.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# --- new tokens -----------------------------------------------------------------------


def _changed(token: bytes, others: list[bytes], rng: Random) -> bytes:
    """Returns a token with one to four changes."""
    data = bytearray(token)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end]
        elif kind == 3:
            data[at:at] = rng.choice(_WORDS)
        elif kind == 4:
            data[at:end] = rng.choice(_WORDS)
        elif kind == 5:
            other = rng.choice(others)
            data[at:end] = other[rng.randint(0, len(other)) :]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(data[:MOST_BYTES])


class _Ways:
    """The ways that tokens have gone through the code."""

    def __init__(self) -> None:
        self._known: set[object] = set()
        self._now: set[object] = set()
        self._last = 0

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in _OF_TOKENS:
            return None
        number = frame.f_lineno
        self._now.add((frame.f_code.co_name, self._last, number))
        self._last = number
        return self._trace

    def is_new(self, side: str, token: bytes) -> bool:
        """Returns whether a token goes a new way."""
        self._now, self._last = set(), 0
        sys.settrace(self._trace)
        try:
            said = outcome(side, token)
        finally:
            sys.settrace(None)
        self._now.add(said.startswith("refused: "))
        found = {(side, each) for each in self._now}
        new = not found <= self._known
        self._known |= found
        return new


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """Adds to the corpus what is new; returns how many tokens were tried and how many added."""
    rng, ways = Random(seed), _Ways()
    entries = load()
    for each in entries:
        ways.is_new(each.side, each.token)
    have = len(entries)
    for each in _first_tokens():
        if ways.is_new(each.side, each.token):
            entries.append(each._replace(outcome=outcome(each.side, each.token)))
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        side = rng.choice(list(SIDES))
        mine = [each for each in entries if each.side == side]
        parent = rng.choice(mine)
        token = _changed(parent.token, [each.token for each in mine], rng)
        tried += 1
        if ways.is_new(parent.side, token):
            entries.append(Entry(parent.side, token, outcome(parent.side, token)))
    _save(entries)
    return tried, len(entries) - have


def main() -> int:
    """Fuzzes, or writes the outcomes again; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.auth.sasl.fuzz")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--again", action="store_true", help="write the outcomes of the same tokens"
    )
    given = parser.parse_args()
    logging.disable()
    if given.again:
        _save([each._replace(outcome=outcome(each.side, each.token)) for each in load()])
        return 0
    seed = Random().randrange(1 << 32) if given.seed is None else given.seed
    tried, added = fuzz(given.seconds, seed)
    print(f"seed {seed}: {tried} tokens tried, {added} added to {CORPUS}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
