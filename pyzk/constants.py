"""Numbers of the ZooKeeper protocol.

Pure. Answers to ZooDefs, KeeperException.Code, Watcher.Event and CreateMode.
"""

from __future__ import annotations

from typing import ClassVar, Final


class OpCode:
    """Request and transaction types (``ZooDefs.OpCode``)."""

    NOTIFICATION: Final = 0
    CREATE: Final = 1
    DELETE: Final = 2
    EXISTS: Final = 3
    GET_DATA: Final = 4
    SET_DATA: Final = 5
    GET_ACL: Final = 6
    SET_ACL: Final = 7
    GET_CHILDREN: Final = 8
    SYNC: Final = 9
    PING: Final = 11
    GET_CHILDREN2: Final = 12
    CHECK: Final = 13
    MULTI: Final = 14
    CREATE2: Final = 15
    RECONFIG: Final = 16
    CHECK_WATCHES: Final = 17
    REMOVE_WATCHES: Final = 18
    CREATE_CONTAINER: Final = 19
    DELETE_CONTAINER: Final = 20
    CREATE_TTL: Final = 21
    MULTI_READ: Final = 22
    AUTH: Final = 100
    SET_WATCHES: Final = 101
    SASL: Final = 102
    GET_EPHEMERALS: Final = 103
    GET_ALL_CHILDREN_NUMBER: Final = 104
    SET_WATCHES2: Final = 105
    ADD_WATCH: Final = 106
    WHO_AM_I: Final = 107
    CREATE_SESSION: Final = -10
    CLOSE_SESSION: Final = -11
    ERROR: Final = -1


class ErrorCode:
    """Values of ``err`` in a reply (``KeeperException.Code``)."""

    OK: Final = 0
    SYSTEM_ERROR: Final = -1
    RUNTIME_INCONSISTENCY: Final = -2
    DATA_INCONSISTENCY: Final = -3
    CONNECTION_LOSS: Final = -4
    MARSHALLING_ERROR: Final = -5
    UNIMPLEMENTED: Final = -6
    OPERATION_TIMEOUT: Final = -7
    BAD_ARGUMENTS: Final = -8
    UNKNOWN_SESSION: Final = -12
    NEW_CONFIG_NO_QUORUM: Final = -13
    RECONFIG_IN_PROGRESS: Final = -14
    NO_NODE: Final = -101
    NO_AUTH: Final = -102
    BAD_VERSION: Final = -103
    NO_CHILDREN_FOR_EPHEMERALS: Final = -108
    NODE_EXISTS: Final = -110
    NOT_EMPTY: Final = -111
    SESSION_EXPIRED: Final = -112
    INVALID_ACL: Final = -114
    AUTH_FAILED: Final = -115
    SESSION_MOVED: Final = -118
    NOT_READ_ONLY: Final = -119
    EPHEMERAL_ON_LOCAL_SESSION: Final = -120
    NO_WATCHER: Final = -121
    RECONFIG_DISABLED: Final = -123
    SESSION_CLOSED_REQUIRE_SASL_AUTH: Final = -124
    QUOTA_EXCEEDED: Final = -125
    THROTTLED_OP: Final = -127

    NAMES: ClassVar[dict[int, str]]


ErrorCode.NAMES = {
    value: name.replace("_", " ").lower()
    for name, value in vars(ErrorCode).items()
    if isinstance(value, int)
}


class Perms:
    """Permission bits of an ACL entry."""

    READ: Final = 1
    WRITE: Final = 2
    CREATE: Final = 4
    DELETE: Final = 8
    ADMIN: Final = 16
    ALL: Final = 31


class EventType:
    """Types of watch events a server sends."""

    NODE_CREATED: Final = 1
    NODE_DELETED: Final = 2
    NODE_DATA_CHANGED: Final = 3
    NODE_CHILDREN_CHANGED: Final = 4


class CreateMode:
    """The values of ``flags`` in create requests, which are an enumeration and not bits."""

    PERSISTENT: Final = 0
    EPHEMERAL: Final = 1
    PERSISTENT_SEQUENTIAL: Final = 2
    EPHEMERAL_SEQUENTIAL: Final = 3
    CONTAINER: Final = 4
    PERSISTENT_WITH_TTL: Final = 5
    PERSISTENT_SEQUENTIAL_WITH_TTL: Final = 6

    ALL: Final = frozenset(range(7))
    EPHEMERALS: Final = frozenset((1, 3))
    SEQUENTIALS: Final = frozenset((2, 3, 6))
    WITH_TTL: Final = frozenset((5, 6))


class WatchKind:
    """``type`` of checkWatches and removeWatches (``Watcher.WatcherType``)."""

    CHILDREN: Final = 1
    DATA: Final = 2
    ANY: Final = 3
    PERSISTENT: Final = 4
    PERSISTENT_RECURSIVE: Final = 5


class AddWatchMode:
    """``mode`` of addWatch."""

    PERSISTENT: Final = 0
    PERSISTENT_RECURSIVE: Final = 1


class Xid:
    """Request numbers with a meaning of their own."""

    NOTIFICATION: Final = -1
    PING: Final = -2
    AUTH: Final = -4
    SET_WATCHES: Final = -8


CONTAINER_OWNER: Final = -0x8000000000000000
"""The ephemeralOwner of a container znode (the smallest long)."""
MAX_TTL_MS: Final = 0xFFFFFFFFFF
"""The largest TTL in ms that fits the 40 bits of an ephemeralOwner."""
EXTENDED_MASK: Final = 0xFF00000000000000
"""The top byte of an ephemeralOwner that carries an extended type."""


MAX_TXN_BYTES: Final = 1 << 28
"""The longest transaction that is ever logged, proposed or read, whatever jute.maxbuffer is, here
or on another member.

Each string and buffer of a snapshot comes from a transaction, so this is their limit, too. It is
checked before a write is acknowledged, and nothing shorter is ever refused when it is read.
"""
MAX_PACKET_BYTES: Final = MAX_TXN_BYTES + 1024
"""The longest data of a quorum packet: a transaction or a request, and what surrounds it."""
MAX_REQUEST_BYTES: Final = MAX_TXN_BYTES - 1024
"""The most that jute.maxbuffer may be: setData and create make a transaction that is longer than
the request by less than the difference."""
MAX_IDENTITIES: Final = 1000
"""The most identities that one connection has; they go with each request that is sent to a
leader."""
MAX_IDENTITIES_BYTES: Final = 1 << 20
"""The most bytes that the identities of one connection have, encoded."""
