"""Small pieces of text as Java prints them: numbers, dates, ids, addresses.

Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pyzk.auth.ip import peer_address

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def java_double(value: float) -> str:
    """Return ``0.0``, ``16.0833``, ``1.0E7``, ``5.0E-4``: what Double.toString gives."""
    if value != value:
        return "NaN"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    mantissa, _, exponent = f"{value!r}".partition("e")
    if exponent:
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
    # repr writes these out in full; move the point behind the first digit.
    sign = "-" if value < 0 else ""
    digits = mantissa.lstrip("-")
    whole, _, fraction = digits.partition(".")
    if whole != "0":
        power = len(whole) - 1
        rest = (whole + fraction)[1:].rstrip("0") or "0"
        return f"{sign}{whole[0]}.{rest}E{power}"
    significant = fraction.lstrip("0")
    power = -(len(fraction) - len(significant) + 1)
    return f"{sign}{significant[0]}.{significant[1:] or '0'}E{power}"


def java_date(wall_ms: int) -> str:
    """Return ``Thu Jan 01 00:00:00 UTC 1970``, always in UTC."""
    date = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return (
        f"{_DAYS[date.weekday()]} {_MONTHS[date.month - 1]} {date.day:02d} "
        f"{date.hour:02d}:{date.minute:02d}:{date.second:02d} UTC {date.year}"
    )


def socket_address(host: str, port: int) -> str:
    """Return ``/127.0.0.1:4711``, ``/[0:0:0:0:0:0:0:1]:4711``."""
    host = peer_address(host)
    return f"/[{host}]:{port}" if ":" in host else f"/{host}:{port}"
