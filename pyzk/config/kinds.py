"""What one configuration key is: how its value is read, who reads it, what pyzk does with it.

Pure. A `Key` is either *known* (read from the file only, as QuorumPeerConfig does) or a *property*:
in `zoo.cfg` under its own name, with `-D` under `zookeeper.` + name, or only with `-D` (`own`).
The rows themselves are in `pyzk/config/keys.py` and `pyzk/config/security_keys.py`.
ZooKeeper: Integer.parseInt, Integer.decode and the like, with which its classes read properties.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from pyzk.config.properties import trim

_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
# Java takes the decimal digits of every script, and so do \\d and int().
_DECIMAL: Final = re.compile(r"[+-]?\d+")
_DECODE: Final = re.compile(r"([+-]?)(0[xX]|#|0(?=.))?([\da-fA-F]+)")
_FLOAT: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?")


class Kind(NamedTuple):
    """How a value is read: `parse` raises ValueError, `accepts` completes "expected ..."."""

    accepts: str
    parse: Callable[[str], object]

    def accepted(self, unit: str) -> str:
        """Return ``accepts`` with a unit, which may be ""."""
        if unit and self.accepts.endswith(")"):
            return f"{self.accepts[:-1]}, {unit})"
        return f"{self.accepts} ({unit})" if unit else self.accepts

    def read(self, text: str, unit: str = "") -> object:
        """Return the value. Raises ValueError with a sentence for the operator, who may have
        written another ``unit``."""
        try:
            return self.parse(text)
        except ValueError:
            from pyzk.config import hints  # it is needed only here

            shown = f"{text!r} is not" if text else "empty; expected"
            remark = hints.of_value(text)
            message = hints.extended(f"{shown} {self.accepted(unit)}", remark)
            raise ValueError(message) from None


_UNITS: Final = {
    "_ms": "milliseconds",
    "_us": "microseconds",
    "_ticks": "ticks",
    "_hours": "hours",
    "_kb": "KiB",
    "_bytes": "bytes",
}


def unit_of(field: str) -> str:
    """Return the unit that the name of a field ends with, "" if with none."""
    return next((unit for end, unit in _UNITS.items() if field.endswith(end)), "")


def whole_number(text: str, low: int, high: int) -> int:
    """Return the number that Integer.parseInt or Long.parseLong reads. Raises ValueError."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    return _within(int(text), low, high)


def _decoded_number(text: str, low: int, high: int) -> int:
    """Return the number that Integer.decode or Long.decode reads. Raises ValueError."""
    match = _DECODE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, prefix, digits = match.groups()
    value = int(digits, 10 if not prefix else 8 if prefix == "0" else 16)
    return _within(-value if sign == "-" else value, low, high)


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _real_number(text: str) -> float:
    """Return the decimal number that Double.parseDouble reads; NaN and hexadecimal are refused.

    Raises ValueError.
    """
    match = _FLOAT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match.group(1))


def _integer(
    low: int | None = None, high: int | None = None, *, wide: bool = False, decode: bool = True
) -> Kind:
    floor, ceiling = _INT64 if wide else _INT32
    least = floor if low is None else low
    most = ceiling if high is None else high
    if low is None and high is None:
        accepts = "an integer" + (" (64 bits)" if wide else "")
    elif high is None:
        accepts = f"an integer of at least {low}"
    else:
        accepts = f"an integer from {least} to {most}"
    number = _decoded_number if decode else whole_number
    return Kind(accepts, lambda text: number(text, least, most))


def _choice(words: dict[str, object], *, fold: bool) -> Kind:
    def parse(text: str) -> object:
        wanted = text.lower() if fold else text
        if wanted not in words:
            raise ValueError(text)
        return words[wanted]

    return Kind(" or ".join(word or "nothing" for word in words), parse)


def _required(text: str) -> object:
    if not text:
        raise ValueError(text)
    return text


def _comma_list(text: str) -> object:
    words = [trim(word) for word in text.split(",")]
    return tuple(word for word in words if word)


def _ratio(text: str) -> object:
    value = _real_number(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _threshold(text: str) -> object:
    value = _decoded_number(text, *_INT32)
    if value < 1 and value != -1:
        raise ValueError(text)
    return value


def _expression(text: str) -> object:
    try:
        re.compile(text)
    except re.error:
        raise ValueError(text) from None
    return text


def _http_version(text: str) -> object:
    return _decoded_number(text, 10, 11)


def _url_path(text: str) -> object:
    """Return the path without slashes at its end."""
    if not re.fullmatch(r"/[!$&'()*+,;=:@/\w.~-]*", text, re.ASCII) or not text.strip("/"):
        raise ValueError(text)
    return text.rstrip("/")


_DIGESTS: Final = re.compile(
    r"MD5|SHA|SHA-?1|SHA-?(224|256|384|512)|SHA-512/(224|256)|SHA3-(224|256|384|512)", re.IGNORECASE
)


def _digest_name(text: str) -> object:
    if not _DIGESTS.fullmatch(text):
        raise ValueError(text)
    return text


INT: Final = _integer()
LONG: Final = _integer(wide=True)
COUNT: Final = _integer(0)
SHORT_TIME: Final = _integer(0, 1000)
THRESHOLD: Final = Kind("-1 or an integer of at least 1", _threshold)
WIDE_COUNT: Final = _integer(0, wide=True)
PLAIN_WIDE_COUNT: Final = _integer(0, wide=True, decode=False)
POSITIVE: Final = _integer(1)
PLAIN_INT: Final = _integer(decode=False)
PLAIN_COUNT: Final = _integer(0, decode=False)
PLAIN_POSITIVE: Final = _integer(1, decode=False)
PORT: Final = _integer(0, 65535, decode=False)
ANY_PORT: Final = _integer(0, 65535)
HTTP_VERSION: Final = Kind("10 or 11, for HTTP 1.0 and 1.1", _http_version)
URL_PATH: Final = Kind("a path that begins with /", _url_path)
BOOL: Final = _choice({"true": True, "false": False}, fold=True)
YES_NO: Final = _choice({"yes": True, "no": False}, fold=False)
STORE_TYPE: Final = _choice(
    {"": None, "jks": "JKS", "pem": "PEM", "pkcs12": "PKCS12", "bcfks": "BCFKS"}, fold=True
)
CLIENT_AUTH: Final = _choice({"": None, "none": "none", "want": "want", "need": "need"}, fold=True)
TLS_PROVIDER: Final = _choice(
    {"JDK": "JDK", "OPENSSL": "OPENSSL", "OPENSSL_REFCNT": "OPENSSL_REFCNT"}, fold=False
)
PROTOCOL: Final = _choice(
    {
        "": None,
        "tls": "TLS",
        "tlsv1.3": "TLSv1.3",
        "tlsv1.2": "TLSv1.2",
        "tlsv1.1": "TLSv1.1",
        "tlsv1": "TLSv1",
    },
    fold=True,
)
ID_TYPE: Final = _choice({"san": "SAN", "sdn": "SDN"}, fold=True)
NAME_TYPE: Final = _integer(0, 8)
COMPRESSION: Final = _choice({"": "", "gz": "gz", "snappy": "snappy"}, fold=True)
LOG_LEVEL: Final = _choice(
    {"debug": "debug", "info": "info", "warning": "warning", "error": "error"}, fold=True
)
CONSOLE: Final = _choice({"local": "local", "true": "true", "false": "false"}, fold=True)
PEER_TYPE: Final = _choice({"participant": "participant", "observer": "observer"}, fold=True)
ELECTION: Final = Kind("3", lambda text: whole_number(text, 3, 3))
TEXT: Final = Kind("text", str)
PATH: Final = Kind("a path", _required)
HOST: Final = Kind("a host name or address", _required)
OPTIONAL: Final = Kind("text", lambda text: text or None)
LIST: Final = Kind("a comma-separated list", _comma_list)
NUMBER: Final = Kind("a number", _real_number)
RATIO: Final = Kind("a number from 0 to 1", _ratio)
EXPRESSION: Final = Kind("a regular expression", _expression)
DIGEST: Final = Kind("a digest name such as SHA1, SHA-256 or SHA3-512", _digest_name)


class Status(Enum):
    """What pyzk does with a key; the value is the word in the documentation."""

    YES = "yes"
    ENSEMBLE = "ensembles only"  # a standalone server reads and checks it, no more
    LATER = "not yet"  # a warning names it
    REFUSED = "refused"  # who asks for it gets an error: pyzk will not have it
    NO_EFFECT = "no effect"  # there is nothing here that it could tune; a note says so


class Key(NamedTuple):
    """One row: `name` as in zoo.cfg (or as after `-D` where `own`)."""

    name: str
    kind: Kind
    field: str | None = None
    """The field of ServerConfig that it fills."""
    status: Status = Status.YES
    known: bool = False
    own: bool = False
    default: str = ""
    """The default that the documentation shows where no field has one."""
    same: tuple[str, ...] = ()
    """Values of a LATER key that ask for what pyzk does anyway: no warning."""
    aliases: tuple[str, ...] = ()
    """Other property names that reach the same setting, in full."""
    own_unit: str = ""
    """The unit that an integer counts, where the name of no field says it."""
    member: str | None = None
    """The field of EnsembleConfig that it fills."""
    member_kind: Kind | None = None
    """How a member reads the value, if more strictly than a server that has no use for it."""
    is_secret: bool = False
    """The value is shown to nobody."""

    @property
    def unit(self) -> str:
        """The unit that an integer counts; "" if it counts things."""
        return self.own_unit or unit_of(self.field or self.member or "")

    @property
    def properties(self) -> tuple[str, ...]:
        """The names with `-D`, the strongest first; a known key has none but its aliases."""
        if self.known:
            return self.aliases
        return (self.name if self.own else f"zookeeper.{self.name}", *self.aliases)


def later(name: str, default: str = "", *same: str, known: bool = False) -> Key:
    return Key(
        name, TEXT, None, Status.LATER, known=known, default=default, same=same or (default,)
    )


def ensemble(name: str, kind: Kind, default: str, unit: str = "", *, known: bool = False) -> Key:
    """Return the row of a key that a member checks, and does not keep."""
    return Key(name, kind, None, Status.ENSEMBLE, known=known, default=default, own_unit=unit)


def member(
    name: str,
    kind: Kind,
    field: str,
    strict: Kind | None = None,
    *,
    known: bool = False,
    alias: str = "",
) -> Key:
    """Return the row of a key that fills a field of EnsembleConfig."""
    return Key(
        name,
        kind,
        None,
        Status.ENSEMBLE,
        known=known,
        aliases=(alias,) if alias else (),
        member=field,
        member_kind=strict,
    )


def unused(name: str, default: str, *, known: bool = False) -> Key:
    return Key(name, TEXT, None, Status.NO_EFFECT, known=known, default=default)
