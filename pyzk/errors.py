"""Every exception that pyzk raises on purpose.

Pure. Theory of operation: an operating error has a class here, a programmer error is an ``assert``.

    PyzkError
      ConfigError                     the operator is wrong
      KeeperError -> NoNode, ...      the client's request is wrong; becomes ``err`` in a reply
      QuorumProtocolError             close this link, log one line
      SaslError                       somebody has not proved who he is
      JuteError -> Truncated, TooLong raised by the codec; the layer above re-labels it
      StorageError -> Corrupt, ...
      ElectionPortError               a member cannot have its election port
"""

from __future__ import annotations

from typing import ClassVar

from pyzk.constants import ErrorCode


class PyzkError(Exception):
    """The root of every error that pyzk raises on purpose."""


class ConfigError(PyzkError):
    """A wrong value in a configuration file or option; says where and what is accepted."""

    def __init__(self, message: str, line: int | None = None, key: str | None = None) -> None:
        where = ""
        if line is not None:
            where = f"line {line}: "
        if key is not None:
            where += f"{key}: "
        super().__init__(where + message)
        self.message = message
        self.line = line
        self.key = key


class KeeperError(PyzkError):
    """A request that fails with an error code of ZooKeeper (``KeeperException``)."""

    code: ClassVar[int] = ErrorCode.SYSTEM_ERROR

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or ErrorCode.NAMES.get(self.code, str(self.code)))


class RuntimeInconsistency(KeeperError):
    code = ErrorCode.RUNTIME_INCONSISTENCY


class MarshallingError(KeeperError):
    code = ErrorCode.MARSHALLING_ERROR


class Unimplemented(KeeperError):
    code = ErrorCode.UNIMPLEMENTED


class BadArguments(KeeperError):
    code = ErrorCode.BAD_ARGUMENTS


class TooLargeTransaction(BadArguments):
    """The transaction of a request would be longer than the log and the other members take."""


class UnknownSession(KeeperError):
    code = ErrorCode.UNKNOWN_SESSION


class NoNode(KeeperError):
    code = ErrorCode.NO_NODE


class NoAuth(KeeperError):
    code = ErrorCode.NO_AUTH


class BadVersion(KeeperError):
    code = ErrorCode.BAD_VERSION


class NoChildrenForEphemerals(KeeperError):
    code = ErrorCode.NO_CHILDREN_FOR_EPHEMERALS


class NodeExists(KeeperError):
    code = ErrorCode.NODE_EXISTS


class NotEmpty(KeeperError):
    code = ErrorCode.NOT_EMPTY


class SessionExpired(KeeperError):
    code = ErrorCode.SESSION_EXPIRED


class InvalidAcl(KeeperError):
    code = ErrorCode.INVALID_ACL


class AuthFailed(KeeperError):
    code = ErrorCode.AUTH_FAILED


class SessionMoved(KeeperError):
    code = ErrorCode.SESSION_MOVED


class NotReadOnly(KeeperError):
    code = ErrorCode.NOT_READ_ONLY


class EphemeralOnLocalSession(KeeperError):
    code = ErrorCode.EPHEMERAL_ON_LOCAL_SESSION


class NoWatcher(KeeperError):
    code = ErrorCode.NO_WATCHER


class NewConfigNoQuorum(KeeperError):
    code = ErrorCode.NEW_CONFIG_NO_QUORUM


class ReconfigInProgress(KeeperError):
    code = ErrorCode.RECONFIG_IN_PROGRESS


class ReconfigDisabled(KeeperError):
    code = ErrorCode.RECONFIG_DISABLED


class QuotaExceeded(KeeperError):
    code = ErrorCode.QUOTA_EXCEEDED


class QuorumProtocolError(PyzkError):
    """A peer broke the protocol: its link is closed, one line is logged."""


class SaslError(PyzkError):
    """A SASL exchange that failed; the message is for the log, never for the other side."""


class JuteError(PyzkError):
    """Bytes that are no record; the layer above says whose mistake that is."""


class Truncated(JuteError):
    """The bytes end inside a record."""


class TooLong(JuteError):
    """A length that the limits do not allow, or a negative one other than -1."""


class StorageError(PyzkError):
    """A failure of the disk or of a file on it; names the file, the offset and the remedy."""

    def __init__(
        self, message: str, *, path: str, offset: int | None = None, remedy: str = ""
    ) -> None:
        text = f"{path}: {message}"
        if offset is not None:
            text += f" at offset {offset}"
        if remedy:
            text += f"; {remedy}"
        super().__init__(text)
        self.path = path
        self.offset = offset
        self.remedy = remedy


class DirectoryLockedError(StorageError):
    """Another server has the data directory.

    The class is here, and not in the shell, because what is interpreted cannot inherit from what is
    compiled.
    """


class MissingLogError(StorageError):
    """The log that was begun last is not in the directory of the logs, nor is a later one."""

    def __init__(self, message: str, *, path: str, remedy: str, written_as: str) -> None:
        super().__init__(message, path=path, remedy=remedy)
        self.message = message
        self.written_as = written_as
        """Where the log was written, with the name of the file."""


class Corrupt(StorageError):
    """Stored bytes that contradict themselves; the server must not go on with them."""


class ElectionPortError(PyzkError):
    """A member cannot listen on its election port, and has tried as often as it is told to."""
