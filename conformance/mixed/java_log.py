"""What the original's logs say that they should not.

Pure.

Members that come and go leave warnings and exceptions of the network in each other's logs; those
are listed here.  Every other warning, error or exception is a complaint: of a packet that was not
expected, a digest that differs, a state that should not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

ENTRY: Final = re.compile(r"^\d{4}-\d\d-\d\d ")
SEVERE: Final = re.compile(r"\b(WARN|ERROR|FATAL)\b|igest mismatch|Digests are not matching")
EXCEPTION: Final = re.compile(r"^(?:Caused by: )?((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error).*)$")

GOING: Final = (
    r"java\.io\.EOFException",
    r"java\.net\.(Socket|Connect|NoRouteToHost|SocketTimeout)Exception",
    r"java\.io\.IOException: (Broken pipe|Connection reset|ZooKeeperServer not running)",
    r"java\.io\.IOException: (Connection closed|No route|Connection refused|Failed connect to)",
    r"java\.lang\.InterruptedException",
    r"java\.nio\.channels\.(ClosedChannel|AsynchronousClose|ClosedByInterrupt)Exception",
    r"\S*EndOfStreamException",
    # An election that begins anew, for a later configuration has been adopted.
    r"java\.util\.concurrent\.RejectedExecutionException: .*QuorumConnectionReqThread",
    # A four-letter word in the middle of a start.
    r'java\.lang\.NullPointerException: .* "this\.zkDb" is null',
    # 3.8: the acknowledging thread meets the end of the connection in two ways.
    r'java\.lang\.NullPointerException: .* "this\.learner\.sock" is null',
)
"""Exceptions of connections whose other end went."""

EXPECTED: Final = (
    # The clients' side: sessions that end, clients that are refused.
    r"NIOServerCnxn|ServerCnxn Error closing a command socket",
    r"ServerCnxnFactory maxCnxns is not configured",
    r"(ZooKeeperServer|PrepRequestProcessor).*(session|KeeperException|user-level)",
    r"Connection request from old client|AuthenticationProvider|Authentication",
    # The other members' side.
    r"QuorumCnxManager",
    r"(Learner|Follower) (Unexpected exception|Exception when following the leader)",
    # The first one after a synchronization, or of an epoch.
    r"(Learner|Follower) Got zxid (0x\w+ expected 0x1$|0x\w+00000001 expected)",
    r"Learner Failed connect to",
    r"(Learner|Observer) Exception when observing",
    r"LearnerHandler (Unexpected exception|Exception while sending|\*+ GOODBYE)",
    r"LearnerHandler Ignoring unexpected exception",
    r"SendAckRequestProcessor Closing connection to leader, exception during packet send",
    r"ZooKeeperCriticalThread Severe .* from thread : (FollowerRequestProcessor|SyncThread)",
    r"ZKDatabase Unable to find proposals from txnlog for zxid",
    r"Learner Truncating log to get in sync with the leader",
    r"LearnerHandler (Cannot send TRUNC to peer|Unhandled scenario for peer sid: \d+ fall back to)",
    r"Leader Exception while shutting down acceptor",
    # A leader of an earlier version of the configuration.
    r"QuorumPeer setLastSeenQuorumVerifier called with stale config",
    r"QuorumPeer (PeerState set to LOOKING|Unexpected exception|Restarting Leader Election)",
    r"Leader (Shutting down|Shutdown called|Unexpected exception)",
    # The machine's.
    r"fsync-ing the write ahead log|slow",
    # The configuration's.
    r"QuorumPeerMain Either no config or no quorum defined",
    r"QuorumPeerConfig|ManagedUtil|JMX|AdminServer|Jetty",
)
"""First lines of entries that belong to a healthy life."""

OF_OLD: Final = re.compile(r"FileTxnLog Current zxid \d+ is <= \d+ for")
"""3.8.0 logs again what an interrupted synchronization had brought (ZOOKEEPER-4394)."""

_GOING: Final = re.compile("|".join(GOING))
_EXPECTED: Final = re.compile("|".join(EXPECTED))


def entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each entry's first line and the exceptions that follow it."""
    first = ""
    exceptions: list[str] = []
    for line in text.splitlines():
        if ENTRY.match(line):
            yield first, exceptions
            # One of the two ways to log puts a dash between the class and what it says.
            first, exceptions = line.replace(" - ", " ", 1), []
        elif found := EXCEPTION.match(line):
            exceptions.append(found[1])
    yield first, exceptions


def complaints(text: str, is_old: bool = False) -> list[str]:
    """Entries that are neither harmless nor expected; with what 3.8 may say if it is_old."""
    found = []
    for first, exceptions in entries(text):
        if not SEVERE.search(first) and not exceptions:
            continue
        if is_old and OF_OLD.search(first):
            continue
        strange = [text for text in exceptions if not _GOING.match(text)]
        if strange or not _EXPECTED.search(first) or "igest" in first:
            found.append(" | ".join([first, *(strange or exceptions)]))
    return found
