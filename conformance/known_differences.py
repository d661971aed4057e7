"""The places where this server deliberately answers otherwise than the original.

Pure.

Each entry names its reason.  A difference that is not written here is a defect: of the server, or
of the recording.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Difference:
    """Lines of a recording that are not replayed, or answered with other bytes."""

    recording: str
    first: int
    last: int
    reason: str
    zxids_less: int = 0
    """How many zxids the original used in these lines and this server does not."""


KNOWN: Final[tuple[Difference, ...]] = ()

SKIPPED: Final[dict[str, str]] = {
    "crash_createttl_flag0_ttl_minus1": (
        "the original dies of it and cannot start again; here it is an error of that request"
    ),
}
"""Recordings that are not replayed at all."""
