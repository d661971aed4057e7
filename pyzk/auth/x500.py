"""Is this text a distinguished name? As liberal as Java: `CN=bob, O="a, b" ; OU=#0c0161`.

Pure. Only whether a text is one matters here: ids are compared as text. An empty text is a name of
no parts.
ZooKeeper: X509AuthenticationProvider.isValid; the JDK: X500Principal, X500Name, RDN, AVA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_KEYWORD: Final = re.compile(
    "CN|C|L|S|ST|O|OU|T|IP|STREET|DC|DNQUALIFIER|DNQ|SURNAME|GIVENNAME|INITIALS|GENERATION|EMAIL"
    "|EMAILADDRESS|UID|SERIALNUMBER"
)
_SPACES: Final = "".join(map(chr, range(33)))
"""What trim of Java takes away."""
_HEX_PAIR: Final = r"\\[0-9A-Fa-f]{2}"
_QUOTED: Final = re.compile(rf'"(?:[^"\\]|{_HEX_PAIR}|\\[,=\n+<>#;\\"])*"[ \n]*', re.DOTALL)
_PLAIN: Final = re.compile(rf'(?:[^\\,+<>;"]|{_HEX_PAIR}|\\[,=\n+<>#;\\" ])+', re.DOTALL)
_OID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def is_name(text: str) -> bool:
    """Return whether Java takes a text for a distinguished name."""
    if not text:
        return True
    return all(
        attribute and _is_attribute(attribute)
        for part in _parts(text)
        for attribute in _attributes(part)
    )


def _parts(text: str) -> Iterator[str]:
    """Yield what stands between the commas and semicolons that are neither quoted nor escaped."""
    begin = searched = quotes = 0
    for match in re.finditer("[,;]", text):
        at = match.start()
        quotes += _quotes(text, searched, at)
        if quotes != 1 and not _is_escaped(text, searched, at):
            yield text[begin:at]
            begin, quotes = at + 1, 0
        searched = at + 1
    yield text[begin:]


def _attributes(part: str) -> Iterator[str]:
    """Yield what stands between the plus signs that are neither quoted nor escaped."""
    begin = searched = quotes = 0
    for match in re.finditer(r"\+", part):
        at = match.start()
        quotes += _quotes(part, searched, at)
        if at > 0 and part[at - 1] != "\\" and quotes != 1:
            yield part[begin:at]
            begin, quotes = at + 1, 0
        searched = at + 1
    yield part[begin:]


def _quotes(text: str, begin: int, end: int) -> int:
    """Count the quotation marks that are not escaped."""
    count = escapes = 0
    for char in text[begin:end]:
        count += char == '"' and escapes % 2 == 0
        escapes = escapes + 1 if char == "\\" else 0
    return count


def _is_escaped(text: str, begin: int, at: int) -> bool:
    if at < 1 or text[at - 1] != "\\":
        return False
    if at == 1 or text[at - 2] != "\\":
        return True
    return text.count("\\", begin, at) % 2 == 1  # all of them, as Java counts


def _is_attribute(text: str) -> bool:
    keyword, equals, value = text.partition("=")
    if not equals or not _is_type(keyword.upper().strip(_SPACES)):
        return False
    value = value.lstrip(" \n")
    if not value:
        return True
    if value[0] == "#":
        return _is_hex_value(re.split("[+,;]", value[1:], maxsplit=1)[0])
    if value[0] == '"':
        return _QUOTED.fullmatch(value) is not None
    match = _PLAIN.match(value)
    # Java does not look behind a separator that has not separated anything, as in "a\\\\+b".
    return match is not None and value[match.end() : match.end() + 1] in ("", "+", ",", ";")


def _is_type(keyword: str) -> bool:
    if _KEYWORD.fullmatch(keyword):
        return True
    oid = keyword.removeprefix("OID.")
    if not _OID.fullmatch(oid):
        return False
    first, second = (int(each) for each in oid.split(".")[:2])
    return first <= 2 and (first == 2 or second < 40)


def _is_hex_value(text: str) -> bool:
    """Return whether the digits are one value of DER."""
    if not re.fullmatch("(?:[0-9A-Fa-f]{2})+", text):
        return False
    data = bytes.fromhex(text)
    if len(data) < 2:
        return False
    length, begin = data[1], 2
    if length & 0x80:
        begin += length & 0x7F
        if not 2 < begin <= 6:
            return False
        length = int.from_bytes(data[2:begin], "big")
    return begin + length == len(data)
