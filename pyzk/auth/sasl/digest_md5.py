"""DIGEST-MD5, the server's and the client's side of it.

Pure. RFC 2831 as the Java platform has it, with protection ``auth`` only and without subsequent
authentication: a challenge, a response, and the server's own proof. The server ignores what a
client sends first. Text is UTF-8, but what of name, realm and password fits into ISO-8859-1 is
hashed in that. Answers to DigestMD5Server, DigestMD5Client and DigestMD5Base.

Where this differs from Java, on purpose: a maxbuf that is no number, and a second realm, fail like
everything else (there they end in an error that nobody expects), and an unknown user costs the same
time as a wrong password. The last directive, too, must have a value.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from random import Random
from typing import Final

from pyzk.auth.sasl.directives import parse_directives, quoted
from pyzk.auth.sasl.mechanism import Authorize
from pyzk.errors import SaslError

MAX_RESPONSE_BYTES: Final = 4096
MAX_CHALLENGE_BYTES: Final = 2048
_NONCE_BYTES: Final = 30
_COUNT: Final = b"00000001"
_MAX_BUFFER: Final = b"65536"

# What a client sends. The count of the nonce is not among them: Java ignores "nc", for the nonce
# is used once.
_RESPONSE: Final = (
    "username", "realm", "nonce", "cnonce", "qop", "digest-uri", "response", "maxbuf", "charset",
    "authzid",
)  # fmt: skip
_CHALLENGE: Final = ("realm", "qop", "algorithm", "nonce", "maxbuf", "charset", "stale")


class DigestMd5Server:
    """The server's side: challenges, checks the response, proves that it knows the password."""

    is_blocking: Final = False

    def __init__(
        self,
        service: str,
        host: str,
        password_of: Callable[[str], str | None],
        authorize: Authorize,
        rng: Random,
    ) -> None:
        """Take in what clients must name: ``service/host``, of which the host is the realm, too.

        ``password_of`` returns None for an unknown user. ``rng`` makes the nonce, which nobody may
        guess.
        """
        self._uri = f"{service}/{host}"
        self._realm = host
        self._password_of = password_of
        self._authorize = authorize
        self._rng = rng
        self._nonce: bytes | None = None
        self._is_spent = False
        self._authorization_id: str | None = None

    @property
    def is_complete(self) -> bool:
        return self._authorization_id is not None

    @property
    def authorization_id(self) -> str:
        assert self._authorization_id is not None, "the exchange is not complete"
        return self._authorization_id

    def step(self, token: bytes) -> bytes | None:
        if len(token) > MAX_RESPONSE_BYTES:
            raise SaslError(f"a token of {len(token)} bytes, over {MAX_RESPONSE_BYTES}")
        if self._is_spent:
            raise SaslError("a token after the end of the exchange")
        if self._nonce is None:
            self._nonce = _new_nonce(self._rng)
            return b",".join(
                (
                    b"realm=" + quoted(self._realm.encode()),
                    b"nonce=" + quoted(self._nonce),
                    b"charset=utf-8",
                    b"algorithm=md5-sess",
                )
            )
        self._is_spent = True
        return self._check(parse_directives(token, _RESPONSE), self._nonce)

    def _check(self, given: dict[str, bytes], nonce: bytes) -> bytes:
        _check_charset(given)
        _check_buffer(given)
        user = _text(given, "username")
        realm = _text(given, "realm") if "realm" in given else ""
        if realm != self._realm:
            raise SaslError(f"the realm {realm!r} in place of {self._realm!r}")
        if not hmac.compare_digest(_given(given, "nonce"), nonce):
            raise SaslError("the nonce is not that of the challenge")
        client_nonce = _given(given, "cnonce")
        if given.get("qop", b"auth") != b"auth":
            raise SaslError(f"the protection {_text(given, 'qop')!r} in place of 'auth'")
        uri = _text(given, "digest-uri")
        if uri.lower() != self._uri.lower():
            raise SaslError(f"the digest-uri {uri!r} in place of {self._uri!r}")
        response = _given(given, "response")
        authzid = given.get("authzid")
        password = self._password_of(user)
        proof = Proof(user, realm, password or "", nonce, client_nonce, authzid)
        is_right = hmac.compare_digest(response, proof.response("AUTHENTICATE", uri))
        if password is None:
            raise SaslError(f"the user {user!r} is not known")
        if not is_right:
            raise SaslError(f"the password of {user!r} is wrong")
        asked = user if authzid is None else authzid.decode("utf-8", "replace")
        self._authorization_id = self._authorize(user, asked)
        return b"rspauth=" + proof.response("", uri)


class DigestMd5Client:
    """The client's side: answers the challenge, and checks the server's proof."""

    is_blocking: Final = False

    def __init__(
        self,
        service: str,
        host: str,
        user: str,
        password: str,
        rng: Random,
        authzid: str | None = None,
    ) -> None:
        """Take in the server's ``service/host``; ``authzid`` is who to act as, if that is said."""
        self._uri = f"{service}/{host}"
        self._user = user
        self._password = password
        self._rng = rng
        self._authzid = None if authzid is None else authzid.encode()
        self._expected: bytes | None = None
        self._is_spent = False
        self.is_complete = False

    @property
    def authorization_id(self) -> str:
        return self._user

    def step(self, token: bytes) -> bytes | None:
        if self._is_spent:
            raise SaslError("a token after the end of the exchange")
        if not token and self._expected is None:
            return b""
        if len(token) > MAX_CHALLENGE_BYTES:
            self._is_spent = True
            raise SaslError(f"a challenge of {len(token)} bytes, over {MAX_CHALLENGE_BYTES}")
        if self._expected is None:
            self._is_spent = True
            answer = self._respond(parse_directives(token, _CHALLENGE))
            self._is_spent = False
            return answer
        self._is_spent = True
        proof = parse_directives(token, ("rspauth",))
        if not hmac.compare_digest(_given(proof, "rspauth"), self._expected):
            raise SaslError("the server does not know the password")
        self.is_complete = True
        return None

    def _respond(self, given: dict[str, bytes]) -> bytes:
        _check_charset(given)
        _check_buffer(given)
        if _given(given, "algorithm") != b"md5-sess":
            raise SaslError(f"the algorithm {_text(given, 'algorithm')!r} in place of 'md5-sess'")
        qops = given.get("qop", b"auth").replace(b",", b" ").split()
        if b"auth" not in qops:
            raise SaslError(f"the server does not offer the protection 'auth': {qops}")
        nonce = _given(given, "nonce")
        encoding = "utf-8" if "charset" in given else "latin-1"
        realm = given.get("realm", b"").decode(encoding, "replace")
        client_nonce = _new_nonce(self._rng)
        proof = Proof(self._user, realm, self._password, nonce, client_nonce, self._authzid)
        self._expected = proof.response("", self._uri)
        parts = [] if "charset" not in given else [b"charset=utf-8"]
        try:
            parts.append(b"username=" + quoted(self._user.encode(encoding)))
        except UnicodeEncodeError:
            raise SaslError("the server takes no user name outside ISO-8859-1") from None
        if realm:
            parts.append(b"realm=" + quoted(given["realm"]))
        parts += [
            b"nonce=" + quoted(nonce),
            b"nc=" + _COUNT,
            b"cnonce=" + quoted(client_nonce),
            b"digest-uri=" + quoted(self._uri.encode()),
            b"maxbuf=" + _MAX_BUFFER,
            b"response=" + proof.response("AUTHENTICATE", self._uri),
            b"qop=auth",
        ]
        if self._authzid is not None:
            parts.append(b"authzid=" + quoted(self._authzid))
        return b",".join(parts)


class Proof:
    """The hash that only who knows the password can make."""

    def __init__(
        self,
        user: str,
        realm: str,
        password: str,
        nonce: bytes,
        client_nonce: bytes,
        authzid: bytes | None,
    ) -> None:
        secret = hashlib.md5(b":".join(map(_narrow, (user, realm, password)))).digest()
        parts = [secret, nonce, client_nonce]
        if authzid is not None:
            parts.append(authzid)
        self._key = _hex(b":".join(parts))
        self._nonces = nonce, client_nonce

    def response(self, method: str, uri: str) -> bytes:
        """Return the 32 hex digits for this side; the server's has the empty method."""
        nonce, client_nonce = self._nonces
        called = _hex(f"{method}:{uri}".encode())
        return _hex(b":".join((self._key, nonce, _COUNT, client_nonce, b"auth", called)))


def _hex(data: bytes) -> bytes:
    return hashlib.md5(data).hexdigest().encode()


def _narrow(text: str) -> bytes:
    """Return the text in ISO-8859-1, or in UTF-8 if it does not fit."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _new_nonce(rng: Random) -> bytes:
    return base64.b64encode(rng.randbytes(_NONCE_BYTES))


def _given(given: dict[str, bytes], name: str) -> bytes:
    value = given.get(name)
    if value is None:
        raise SaslError(f"the directive {name} is missing")
    return value


def _text(given: dict[str, bytes], name: str) -> str:
    return _given(given, name).decode("utf-8", "replace")


def _check_charset(given: dict[str, bytes]) -> None:
    charset = given.get("charset", b"utf-8")
    if charset != b"utf-8":
        raise SaslError(f"the charset {charset!r} in place of utf-8")


def _check_buffer(given: dict[str, bytes]) -> None:
    """Raise SaslError if maxbuf is no number; it has no use without protection."""
    buffer = given.get("maxbuf", _MAX_BUFFER)
    if not buffer.isdigit():
        raise SaslError(f"the maxbuf {buffer!r} is no number")
