"""Events of the audit log, in the original's words, and the logger that they go to.

Pure. ZooKeeper: AuditEvent, AuditConstants, Slf4jAuditLogger.
An event is a line of the logger ``pyzk.audit``: failures at ERROR, all others at INFO. Its message
has the fields of the original in its order, with tabs in between. What a client has sent cannot
fake a field or a line, for control characters in a value are written as escapes; there the original
writes them as they are. `pyzk.runtime.logs` says where the lines go.
"""

from __future__ import annotations

import logging
from typing import Final

from pyzk.outsiders import one_line

LOGGER: Final = "pyzk.audit"
EVENT: Final = "audit_event"
"""The attribute of a log record that has the event."""

SUCCESS: Final = "success"
FAILURE: Final = "failure"
INVOKED: Final = "invoked"

CREATE: Final = "create"
DELETE: Final = "delete"
SET_DATA: Final = "setData"
SET_ACL: Final = "setAcl"
MULTI: Final = "multiOperation"
RECONFIG: Final = "reconfig"
EPHEMERAL_DELETED: Final = "ephemeralZNodeDeletionOnSessionCloseOrExpire"
SERVER_START: Final = "serverStart"
SERVER_STOP: Final = "serverStop"

_log = logging.getLogger(LOGGER)


class AuditEvent:
    """What happened, and how it ended; a field without a value is left out."""

    __slots__ = ("fields",)

    def __init__(
        self,
        operation: str,
        result: str,
        *,
        session: str | None = None,
        user: str | None = None,
        ip: str | None = None,
        znode: str | None = None,
        znode_type: str | None = None,
        acl: str | None = None,
    ) -> None:
        fields = {
            "session": session,
            "user": user,
            "ip": ip,
            "operation": operation,
            "znode": znode,
            "znode_type": znode_type,
            "acl": acl,
            "result": result,
        }
        self.fields: dict[str, str] = {
            name: value for name, value in fields.items() if value is not None
        }
        """Name -> value, in the order in which they are written."""

    def __str__(self) -> str:
        return "\t".join(f"{name}={one_line(value)}" for name, value in self.fields.items())


def tell(event: AuditEvent) -> None:
    """Write an event to the audit log."""
    level = logging.ERROR if event.fields["result"] == FAILURE else logging.INFO
    _log.log(level, "%s", event, extra={EVENT: event})
