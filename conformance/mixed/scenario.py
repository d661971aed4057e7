"""A scenario of a mixed ensemble.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

VERSIONS: Final = ("3.9", "3.8")
"""The versions of the original with which everything is tried."""


@attrs.frozen
class Scenario:
    """A name, what it shows, and how it is run."""

    name: str
    text: str
    run: Callable[[], str]
    limit_s: int = 240
