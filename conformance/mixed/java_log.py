"""Complaints in the logs of the original.

Pure.

Members that come and go leave warnings and exceptions of the network in each other's logs; those
are listed here.  So are known faults of the original's own, which are told by their names.  Every
other warning, error or exception is a complaint: of a packet that was not expected, a digest that
differs, a state that should not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

ENTRY: Final = re.compile(r"^\d{4}-\d\d-\d\d ")
SEVERE: Final = re.compile(r"\b(WARN|ERROR|FATAL)\b|igest mismatch|Digests are not matching")
EXCEPTION: Final = re.compile(r"^(?:Caused by: )?((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error).*)$")

GOING: Final = (
    r"java\.io\.EOFException",
    r"java\.net\.(Socket|Connect|NoRouteToHost|SocketTimeout)Exception",
    r"java\.io\.IOException: (Broken pipe|Connection reset|ZooKeeperServer not running)",
    r"java\.io\.IOException: (Connection closed|No route|Connection refused|Failed connect to)",
    r"java\.lang\.InterruptedException",
    r"java\.nio\.channels\.(ClosedChannel|AsynchronousClose|ClosedByInterrupt|CancelledKey)Exception",
    r"\S*EndOfStreamException",
    # A server that changes its role registers the new one before the old one is gone.
    r"javax\.management\.InstanceAlreadyExistsException",
    # An election that begins anew, for a later configuration has been adopted.
    r"java\.util\.concurrent\.RejectedExecutionException: .*QuorumConnectionReqThread",
    # A four-letter word in the middle of a start.
    r'java\.lang\.NullPointerException: .* "this\.zkDb" is null',
)
"""Exceptions of connections that the other end has closed."""

EXPECTED: Final = (
    # The clients' side: sessions that end, clients that are refused.
    r"NIOServerCnxn|ServerCnxn Error closing a command socket",
    r"ServerCnxnFactory maxCnxns is not configured",
    r"(ZooKeeperServer|PrepRequestProcessor).*(session|KeeperException|user-level)",
    r"Connection request from old client|AuthenticationProvider|Authentication",
    # The other members' side.
    r"QuorumCnxManager",
    r"SaslQuorumServerCallbackHandler Using DIGEST-MD5 for quorum authorization",
    # A server with a smaller id that need not log in, and is called back.
    r"WARN SaslQuorumAuthServer Failed to authenticate using SASL$",
    r"WARN SaslQuorumAuthServer Maintaining learner connection despite SASL authentication failure",
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
    r"QuorumPeer Suggested leader:",
    # A server that is being added votes for nobody, and others do not know yet that it may.
    r"FastLeaderElection Ignoring notification for non-cluster member sid -?\d+ from",
    r"FastLeaderElection Ignoring notification for sid -?\d+ from non-quorum member sid",
    r"QuorumPeer (PeerState set to LOOKING|Unexpected exception|Restarting Leader Election)",
    r"Leader (Shutting down|Shutdown called|Unexpected exception)",
    # The machine's.
    r"fsync-ing the write ahead log|slow",
    # The configuration's.
    r"QuorumPeerMain Either no config or no quorum defined",
    r"QuorumPeerConfig|ManagedUtil|MBeanRegistry|JMX|AdminServer|Jetty",
)
"""First lines of entries that appear in normal operation."""


class Fault(NamedTuple):
    """A known fault of the original, which an entry of its log shows."""

    issue: str
    """The name of its JIRA issue."""
    what: str
    entry: re.Pattern[str]
    """A pattern for the first line of the entry or one of its exceptions."""
    versions: str
    """The beginning of the names of the versions with this fault."""
    is_avoided: bool = False
    """Whether leaders of this project avoid it; under one of them it is then a complaint."""


class Seen(NamedTuple):
    """A known fault in a log."""

    fault: Fault
    entry: str
    leader_port: int
    """The quorum port of the last leader that was connected to; 0 if there was none."""


FAULTS: Final = (
    Fault(
        "ZOOKEEPER-4394",
        "a COMMIT between NEWLEADER and UPTODATE, whose proposal is forgotten",
        re.compile(r'java\.lang\.NullPointerException: .*"pif" is null'),
        "3.8",
        is_avoided=True,
    ),
    Fault(
        "ZOOKEEPER-4394",
        "what an interrupted synchronization had brought is logged again",
        re.compile(r"FileTxnLog Current zxid \d+ is <= \d+ for"),
        "3.8",
    ),
    Fault(
        "ZOOKEEPER-4409",
        "the acknowledging thread meets the end of the link",
        re.compile(r'java\.lang\.NullPointerException: .*"this\.learner\.sock" is null'),
        "3.8",
    ),
    Fault(
        "a fault without an issue that is known",
        "a client comes back with its session when the follower has just lost its leader",
        re.compile(r"java\.lang\.NullPointerException: .*LearnerZooKeeperServer\.getLearner\(\)"),
        "3.8",
    ),
    Fault(
        "a fault without an issue that is known",
        "the leader that a reconfiguration designates has less than another member",
        re.compile(r"java\.io\.IOException: Follower is ahead of the leader"),
        "3",
    ),
    Fault(
        "a fault without an issue that is known",
        "a voter that is being added is elected, and a follower does not know it",
        re.compile(r'java\.lang\.NullPointerException: .*"leaderServer" is null'),
        "3",
    ),
)
CONNECTED: Final = re.compile(r"Learner Successfully connected to leader, .*:(\d+)$")

_GOING: Final = re.compile("|".join(GOING))
_EXPECTED: Final = re.compile("|".join(EXPECTED))


def entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the first line of each entry and the exceptions that follow it."""
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


def read(text: str, version: str) -> tuple[list[str], list[Seen]]:
    """Returns the entries that are neither harmless nor expected, and the known faults."""
    found: list[str] = []
    seen: list[Seen] = []
    faults = [fault for fault in FAULTS if version.startswith(fault.versions)]
    leader_port = 0
    for first, exceptions in entries(text):
        if connected := CONNECTED.search(first):
            leader_port = int(connected[1])
        if not SEVERE.search(first) and not exceptions:
            continue
        entry = " | ".join([first, *exceptions])
        fault = next((fault for fault in faults if fault.entry.search(entry)), None)
        strange = [text for text in exceptions if not _GOING.match(text)]
        if fault is not None:
            seen.append(Seen(fault, entry, leader_port))
        elif strange or not _EXPECTED.search(first) or "igest" in first:
            found.append(" | ".join([first, *(strange or exceptions)]))
    return found, seen
