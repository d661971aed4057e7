"""Where a client connection stands, and why it may be stalled.

Pure. See `connection`.
"""

from __future__ import annotations

from typing import Final

HANDSHAKE: Final = 0
ATTACHING: Final = 1
OPEN: Final = 2
CLOSED: Final = 3

STALL_ATTACHING: Final = 1
STALL_THROTTLED: Final = 2
STALL_CHOKED: Final = 4
