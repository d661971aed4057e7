"""The digest scheme: an id is ``user:base64(hash(user:password))``.

Pure. Answers to DigestAuthenticationProvider. Nothing is looked up, so nothing can fail: a wrong
password is another identity. The super user is whoever produces the configured id.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from pyzk.auth.provider import AuthId
from pyzk.errors import ConfigError

DEFAULT_ALGORITHM: Final = "SHA1"

# Names of the Java platform -> names of hashlib. Java compares without case.
_ALGORITHMS: Final = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA1": "sha1",
    "SHA-1": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
    "SHA-512/224": "sha512_224",
    "SHA-512/256": "sha512_256",
    "SHA3-224": "sha3_224",
    "SHA3-256": "sha3_256",
    "SHA3-384": "sha3_384",
    "SHA3-512": "sha3_512",
}


def generate_digest(name_and_password: str, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Return the id of ``user:password``; the user is the text before the first colon."""
    digest = hashlib.new(_ALGORITHMS[algorithm.upper()], name_and_password.encode()).digest()
    user = name_and_password.partition(":")[0]
    return f"{user}:{base64.b64encode(digest).decode('ascii')}"


class DigestProvider:
    """Makes ids from ``user:password`` and compares them as text."""

    scheme: Final = "digest"
    is_authenticated: Final = True

    __slots__ = ("_algorithm", "_super_digest")

    def __init__(self, algorithm: str = DEFAULT_ALGORITHM, super_digest: str | None = None) -> None:
        name = _ALGORITHMS.get(algorithm.upper())
        if name is None or name not in hashlib.algorithms_available:
            raise ConfigError(
                f"unsupported digest algorithm {algorithm!r}; known: {', '.join(_ALGORITHMS)}",
                key="DigestAuthenticationProvider.digestAlg",
            )
        self._algorithm = algorithm
        self._super_digest = super_digest

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        if auth is None:
            return None
        digest = generate_digest(auth.decode("utf-8", "replace"), self._algorithm)
        own = AuthId(self.scheme, digest)
        if digest == self._super_digest:
            return (AuthId("super", ""), own)
        return (own,)

    def is_valid(self, acl_id: str) -> bool:
        # Two parts; empty ones at the end do not count ("a:b:" is two, "a:" is one).
        return acl_id.rstrip(":").count(":") == 1

    def matches(self, own_id: str, acl_id: str) -> bool:
        return own_id == acl_id

    def user_name(self, own_id: str) -> str:
        return own_id.partition(":")[0]
