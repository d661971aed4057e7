"""What an X.509 certificate says of its owner, read from its DER: the subject, the other names.

Pure. Only what is needed for identities and host names is read, and nothing is verified: that was
done in the handshake. It is no library's matter because Java's form of a subject depends on bytes
of its encoding that libraries do not show (docs/decisions/0031).
ZooKeeper: X509Certificate of the JDK; X500Name for the form of names.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from pyzk.auth.host_names import CertificateNames

OTHER_NAME, EMAIL, DNS, X400, DIRECTORY, EDI, URI, IP, REGISTERED = range(9)
"""The kinds of alternative names, by their number in a certificate."""

_SEQUENCE: Final = 0x30
_OCTETS: Final = 0x04
_OID: Final = 0x06
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_ALTERNATIVE_NAMES: Final = "2.5.29.17"
_COMMON_NAME: Final = "2.5.4.3"
_STRINGS: Final = (0x0C, 0x13, 0x14, 0x16, 0x1B, 0x1C, 0x1E)
"""UTF8String, PrintableString, TeletexString, IA5String, General-, Universal- and BMPString."""
_KEYWORDS: Final = {
    _COMMON_NAME: "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
"""The attributes that have a name in RFC 2253."""
_ESCAPED: Final = frozenset(',=+<>#;"\\')


class CertificateError(Exception):
    """A certificate that cannot be read."""


class Attribute(NamedTuple):
    """One attribute of a name."""

    oid: str
    tag: int
    """What kind of text, or of something else, the value is."""
    value: bytes
    der: bytes
    """The value with its tag and length."""

    @property
    def text(self) -> str:
        """The value as Java shows it, which takes any kind of text for UTF-8."""
        return self.value.decode("utf-8", "replace")


Name = tuple[tuple[Attribute, ...], ...]
"""A distinguished name: its parts, the widest first, each of one attribute or several."""


class Certificate:
    """The names in one certificate."""

    def __init__(self, der: bytes) -> None:
        """Raises CertificateError for what is no certificate."""
        try:
            body = _children(_only(_only(der).content))
            parts = [each for each in body if each.tag != _VERSION]
            # Serial number, algorithm, issuer, validity, subject, key, and what came later.
            self.subject: Name = _name(parts[4])
            self._extensions: bytes = b""
            for each in parts[6:]:
                if each.tag == _EXTENSIONS:
                    self._extensions = _extension(each, _ALTERNATIVE_NAMES)
        except (ValueError, IndexError):
            raise CertificateError("a certificate that cannot be read") from None

    def alternative_names(self) -> list[tuple[int, str | None]]:
        """Return (kind, text) of each alternative name; None for kinds that are no text in Java.
        Raises CertificateError if they cannot be read."""
        if not self._extensions:
            return []
        try:
            return [_alternative_name(each) for each in _children(_only(self._extensions))]
        except (ValueError, IndexError):
            raise CertificateError("alternative names that cannot be read") from None

    def host_names(self) -> CertificateNames:
        """Return the names of hosts that it is for. Raises CertificateError."""
        found = self.alternative_names()
        common = [each.text for part in self.subject for each in part if each.oid == _COMMON_NAME]
        return CertificateNames(
            tuple(text for kind, text in found if kind == DNS and text is not None),
            tuple(text for kind, text in found if kind == IP and text is not None),
            common[-1] if common else None,
        )


# --- names ----------------------------------------------------------------------------


def rfc2253(name: Name) -> str:
    """Return a name in the form of RFC 2253, exactly as X500Principal.getName() of the JDK."""
    return ",".join("+".join(map(_shown, part)) for part in reversed(name))


def _shown(attribute: Attribute) -> str:
    keyword = _KEYWORDS.get(attribute.oid)
    if keyword is None or attribute.tag not in _STRINGS:
        return f"{keyword or attribute.oid}=#{attribute.der.hex()}"
    return f"{keyword}={_escaped(attribute.text)}"


def _escaped(text: str) -> str:
    escaped = [_escape(char) for char in text]
    first = next((at for at, char in enumerate(text) if char not in " \r"), len(text))
    last = next((at for at in range(len(text) - 1, -1, -1) if text[at] not in " \r"), -1)
    for at in (*range(first), *range(last + 1, len(text))):
        escaped[at] = "\\" + text[at]
    return "".join(escaped)


def _escape(char: str) -> str:
    if char in _ESCAPED:
        return "\\" + char
    return "\\00" if char == "\0" else char


def _name(element: _Element) -> Name:
    return tuple(
        tuple(_attribute(attribute) for attribute in _children(part)) for part in _children(element)
    )


def _attribute(element: _Element) -> Attribute:
    oid, value = _children(element)
    return Attribute(_dotted(oid), value.tag, value.content, value.der)


def _extension(element: _Element, wanted: str) -> bytes:
    """Return the content of an extension, b"" if there is none of this kind."""
    for each in _children(_only(element.content)):
        parts = _children(each)
        if _dotted(parts[0]) == wanted and parts[-1].tag == _OCTETS:
            return parts[-1].content
    return b""


def _alternative_name(element: _Element) -> tuple[int, str | None]:
    kind, content = element.tag & 0x1F, element.content
    if kind in (EMAIL, DNS, URI):
        return kind, content.decode("latin-1")
    if kind == DIRECTORY:
        return kind, rfc2253(_name(_only(content)))
    if kind == IP:
        return kind, _address(content)
    if kind == REGISTERED:
        return kind, _dotted(_Element(_OID, content, b""))
    return kind, None


def _address(content: bytes) -> str:
    if len(content) == 4:
        return str(IPv4Address(content))
    # As Java writes it: without zeros in front, and none left out.
    groups = IPv6Address(content).exploded.split(":")
    return ":".join(f"{int(group, 16):x}" for group in groups)


# --- DER ------------------------------------------------------------------------------


class _Element(NamedTuple):
    """One value of DER."""

    tag: int
    content: bytes
    der: bytes


def _elements(data: bytes) -> Iterator[_Element]:
    """Yield the values that stand behind each other. Raises ValueError."""
    at = 0
    while at < len(data):
        start = at
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            if not 1 <= width <= 4:
                raise ValueError("a length that DER does not have")
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        end = at + length
        if end > len(data):
            raise ValueError("the end is missing")
        yield _Element(tag, data[at:end], data[start:end])
        at = end


def _children(element: _Element) -> list[_Element]:
    return list(_elements(element.content))


def _only(data: bytes) -> _Element:
    """Return the first value, which must be a sequence."""
    found = next(_elements(data), None)
    if found is None or found.tag != _SEQUENCE:
        raise ValueError("no sequence")
    return found


def _dotted(element: _Element) -> str:
    if element.tag != _OID or not element.content:
        raise ValueError("no object identifier")
    numbers, number = [], 0
    for byte in element.content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
