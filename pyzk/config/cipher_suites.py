"""Cipher suites: the names that Java gives them, and the names by which OpenSSL knows the same.

Pure. Java uses the names of the standards. OpenSSL drops TLS_ and WITH_, joins AES to its length,
and says neither CBC nor RSA where nothing else is meant; from TLS 1.3 on both use the same names.
ZooKeeper: X509Util, which has the list of those that are offered where nobody names any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TLS_13_SUITES: Final = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
)
"""The suites of TLS 1.3; OpenSSL offers all of them or none."""

_EXCHANGES: Final = ("ECDHE_ECDSA", "ECDHE_RSA", "RSA")
_AES: Final = ("128_GCM_SHA256", "256_GCM_SHA384", "128_CBC_SHA", "256_CBC_SHA", "128_CBC_SHA256")
_CHACHA: Final = "CHACHA20_POLY1305_SHA256"


def _standard_names() -> Iterator[str]:
    """Yield the suites that Java and OpenSSL both have, apart from those of TLS 1.3."""
    for exchange in _EXCHANGES:
        is_plain = exchange == "RSA"
        for aes in (*_AES, "256_CBC_SHA256" if is_plain else "256_CBC_SHA384"):
            yield f"TLS_{exchange}_WITH_AES_{aes}"
        if not is_plain:
            yield f"TLS_{exchange}_WITH_{_CHACHA}"


def _renamed(standard: str) -> str:
    name = standard.removeprefix("TLS_").removeprefix("RSA_WITH_").replace("_WITH_", "_")
    if name.endswith(_CHACHA):
        name = name.removesuffix("_SHA256")
    return name.replace("_CBC_", "_").replace("AES_", "AES").replace("_", "-")


OPENSSL_NAMES: Final = {name: _renamed(name) for name in _standard_names()}
"""Java's name -> OpenSSL's, for TLS 1.2."""

_FORWARD: Final = ("ECDHE_ECDSA", "ECDHE_RSA")
DEFAULT_SUITES: Final = (
    *(f"TLS_{each}_WITH_AES_128_GCM_SHA256" for each in _FORWARD),
    *(f"TLS_{each}_WITH_AES_256_GCM_SHA384" for each in _FORWARD),
    *(f"TLS_{each}_WITH_AES_128_CBC_SHA256" for each in _FORWARD),
    *(f"TLS_{each}_WITH_AES_128_CBC_SHA" for each in _FORWARD),
    *(f"TLS_{each}_WITH_AES_256_CBC_SHA384" for each in _FORWARD),
    *(f"TLS_{each}_WITH_AES_256_CBC_SHA" for each in _FORWARD),
    *TLS_13_SUITES,
)
"""The suites that are offered where nobody names any, the preferred ones first."""

NO_SUITES: Final = ("TLS_EMPTY_RENEGOTIATION_INFO_SCSV",)
"""Names in Java's lists that are no suites; what they announce OpenSSL always does."""
