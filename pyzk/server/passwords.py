"""Session passwords, the same on every server of every ensemble.

Pure. ZooKeeper: ZooKeeperServer.generatePasswd.
A password is the first 16 bytes of java.util.Random seeded with the session id XOR a constant. It
is a checksum and no secret: so a client can resume its session on any member, also after a restart.
"""

from __future__ import annotations

import struct
from typing import Final

_SECRET: Final = 0xB3415C00
_MULTIPLIER: Final = 0x5DEECE66D
_MASK48: Final = (1 << 48) - 1
_pack_words: Final = struct.Struct("<4I").pack

PASSWORD_BYTES: Final = 16
NO_PASSWORD: Final = bytes(PASSWORD_BYTES)


def session_password(session_id: int) -> bytes:
    """Return the 16 bytes of the password of a session."""
    state = ((session_id ^ _SECRET) ^ _MULTIPLIER) & _MASK48
    words = []
    for _ in range(4):
        state = (state * _MULTIPLIER + 0xB) & _MASK48
        words.append(state >> 16)
    return _pack_words(*words)
