"""Reads Java's own key stores (JKS): the certificates and the keys that they hold.

Shell. It belongs to `pyzk/runtime/stores.py`, and only turns bytes into bytes. A store is a list
of entries with a SHA-1 over the password, a fixed text and all that stands in front; a key is
masked with a chain of SHA-1s over the password, which Sun never took out.
ZooKeeper: JKSFileLoader; the JDK: JavaKeyStore, KeyProtector. docs/decisions/0031 says why this is
not a library's matter.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final, NamedTuple

MAGIC: Final = b"\xfe\xed\xfe\xed"
JCEKS_MAGIC: Final = b"\xce\xce\xce\xce"
NO_PASSWORD: Final = "it needs a password, and none is set; or the file is damaged"  # noqa: S105

_WHITENER: Final = b"Mighty Aphrodite"
_DIGEST_BYTES: Final = 20
_KEY: Final = 1
_CERTIFICATE: Final = 2
_PROTECTOR: Final = bytes.fromhex("060a2b060104012a02110101")
"""The object identifier of Sun's key protection, as DER."""


class JksError(Exception):
    """A store that cannot be read; the text says why."""


class KeyEntry(NamedTuple):
    """A private key, still protected, and its certificates, its own first; all of it DER."""

    alias: str
    protected: bytes
    chain: tuple[bytes, ...]

    def key(self, password: str) -> bytes:
        """Return the key as PKCS#8. Raises JksError for a wrong password."""
        return _unmasked(_protected_bytes(self.protected), _password_bytes(password))


class Jks(NamedTuple):
    """What a store holds, in its own order."""

    keys: tuple[KeyEntry, ...]
    certificates: tuple[bytes, ...]
    """The certificates that are trusted, as DER."""


def parse(content: bytes, password: str) -> Jks:
    """Return what a store holds. Raises JksError if it is damaged, or the password is wrong."""
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    found = hashlib.sha1(_password_bytes(password) + _WHITENER + body).digest()
    if not hmac.compare_digest(found, digest):
        raise JksError("the password is wrong, or the file is damaged" if password else NO_PASSWORD)
    try:
        return _Reader(body).store()
    except (struct.error, UnicodeDecodeError):
        raise JksError("the file is damaged") from None


class _Reader:
    """Reads the fields of a store one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 4  # behind the magic
        self._has_types = False

    def store(self) -> Jks:
        version, count = self._number(), self._number()
        if version not in (1, 2):
            raise JksError(f"version {version} of the format is unknown")
        self._has_types = version == 2
        keys, certificates = [], []
        for _ in range(count):
            tag, alias = self._number(), self._text()
            self._take(8)  # when the entry was made
            if tag == _KEY:
                protected = self._block()
                chain = tuple(self._certificate() for _ in range(self._number()))
                keys.append(KeyEntry(alias, protected, chain))
            elif tag == _CERTIFICATE:
                certificates.append(self._certificate())
            else:
                raise JksError(f"entry {alias!r} is of an unknown kind")
        return Jks(tuple(keys), tuple(certificates))

    def _certificate(self) -> bytes:
        if self._has_types and (kind := self._text()) != "X.509":
            raise JksError(f"a certificate is of the kind {kind!r}; X.509 is known")
        return self._block()

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > len(self._body):
            raise JksError("the file ends in the middle of an entry")
        part = self._body[self._at : end]
        self._at = end
        return part

    def _number(self) -> int:
        number: int = struct.unpack(">i", self._take(4))[0]
        return number

    def _block(self) -> bytes:
        return self._take(self._number())

    def _text(self) -> str:
        (length,) = struct.unpack(">H", self._take(2))
        return self._take(length).decode()


def _password_bytes(password: str) -> bytes:
    return password.encode("utf-16-be", "surrogatepass")


def _protected_bytes(der: bytes) -> bytes:
    """Return what is masked in an EncryptedPrivateKeyInfo, which has nothing of a variable length
    in front of it."""
    at = der.find(_PROTECTOR)
    if not 0 < at < 16:
        raise JksError("a key is protected in a way that is unknown")
    at += len(_PROTECTOR)
    if der[at : at + 2] == b"\x05\x00":
        at += 2
    if der[at : at + 1] != b"\x04":
        raise JksError("a protected key is damaged")
    length, at = der[at + 1], at + 2
    if length & 0x80:
        width = length & 0x7F
        length, at = int.from_bytes(der[at : at + width], "big"), at + width
    if length != len(der) - at or length <= 2 * _DIGEST_BYTES:
        raise JksError("a protected key is damaged")
    return der[at:]


def _unmasked(masked: bytes, password: bytes) -> bytes:
    """Return the key: salt, key and digest stand behind each other."""
    salt, body = masked[:_DIGEST_BYTES], masked[_DIGEST_BYTES:-_DIGEST_BYTES]
    stream, link = bytearray(), salt
    while len(stream) < len(body):
        link = hashlib.sha1(password + link).digest()
        stream += link
    key = bytes(a ^ b for a, b in zip(body, stream, strict=False))
    if not hmac.compare_digest(hashlib.sha1(password + key).digest(), masked[-_DIGEST_BYTES:]):
        raise JksError("the key has another password than the store")
    return key
