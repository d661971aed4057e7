"""The phases of a learner, and what leads from one to the next; `learner` says what they are.

Pure. ZooKeeper: Learner and QuorumPeer.ZabState.
"""

from __future__ import annotations

from typing import Final

CONNECTING: Final = 0
DISCOVERY: Final = 1
ACCEPTING: Final = 2
CHOOSING: Final = 3
LOADING: Final = 4
TRUNCATING: Final = 5
SYNCING: Final = 6
STORING: Final = 7
SAVING: Final = 8
READY: Final = 9
BROADCAST: Final = 10
OVER: Final = 11

PHASE_NAMES: Final = (
    "connecting", "discovery", "accepting the epoch", "before synchronization",
    "loading a snapshot", "truncating", "synchronization", "storing", "storing the epoch",
    "before UPTODATE", "broadcast", "over",
)  # fmt: skip

CONNECTED: Final = "connected"
REFUSED: Final = "connection refused"
EPOCH_NEW: Final = "the epoch is new"
EPOCH_KNOWN: Final = "the epoch was accepted before"
LOADED: Final = "snapshot loaded"
TRUNCATED: Final = "log truncated"
NOT_TRUNCATED: Final = "log cannot be truncated"
HAS_NEWLEADER: Final = "NEWLEADER came before"
LOG_SYNCED: Final = "log durable"
STORED: Final = "order durable"
