"""Faults by name: which requests they hit, what becomes of those, and how often.

Shell. `ClientLink` asks a table of rules about each request. The vocabulary is that of Apache's
ControlCommand and of the test tools of Curator and kazoo. Operations have the names of the Java
client, of kazoo and of ZooDefs.OpCode, in any spelling: getChildren, get_children, GETCHILDREN.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Final, Self

from pyzk.constants import ErrorCode, OpCode
from pyzk.testing.errors import FixtureError

CONNECT: Final = OpCode.CREATE_SESSION
"""Stands for the handshake, which has no opcode."""
EVENT: Final = OpCode.NOTIFICATION
"""Stands for a watch event, which is the answer to no request."""

DELAY: Final = "delay"
FAIL: Final = "fail"
SILENCE: Final = "no_response"

_OPERATIONS: Final[Mapping[str, tuple[int, ...]]] = {
    "create": (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL),
    "create2": (OpCode.CREATE2,),
    "createContainer": (OpCode.CREATE_CONTAINER,),
    "createTTL": (OpCode.CREATE_TTL,),
    "delete": (OpCode.DELETE,),
    "exists": (OpCode.EXISTS,),
    "getData": (OpCode.GET_DATA,),
    "setData": (OpCode.SET_DATA,),
    "getACL": (OpCode.GET_ACL,),
    "setACL": (OpCode.SET_ACL,),
    "getChildren": (OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2),
    "getChildren2": (OpCode.GET_CHILDREN2,),
    "sync": (OpCode.SYNC,),
    "ping": (OpCode.PING,),
    "multi": (OpCode.MULTI,),
    "multiRead": (OpCode.MULTI_READ,),
    "reconfig": (OpCode.RECONFIG,),
    "checkWatches": (OpCode.CHECK_WATCHES,),
    "removeWatches": (OpCode.REMOVE_WATCHES,),
    "auth": (OpCode.AUTH,),
    "sasl": (OpCode.SASL,),
    "setWatches": (OpCode.SET_WATCHES, OpCode.SET_WATCHES2),
    "addWatch": (OpCode.ADD_WATCH,),
    "getEphemerals": (OpCode.GET_EPHEMERALS,),
    "getAllChildrenNumber": (OpCode.GET_ALL_CHILDREN_NUMBER,),
    "whoAmI": (OpCode.WHO_AM_I,),
    "closeSession": (OpCode.CLOSE_SESSION,),
    "connect": (CONNECT,),
    "event": (EVENT,),
}
_ALIASES: Final = {
    "get": "getData",
    "set": "setData",
    "getAcls": "getACL",
    "setAcls": "setACL",
    "transaction": "multi",
    "addAuth": "auth",
    "addAuthInfo": "auth",
    "close": "closeSession",
    "createSession": "connect",
    "watch": "event",
    "notification": "event",
    "setWatches2": "setWatches",
    "removeAllWatches": "removeWatches",
}
ANY: Final = "any"
"""Stands for every request of a client except its pings."""


def _fold(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_ANY_OPCODES: Final = frozenset(
    opcode
    for opcodes in _OPERATIONS.values()
    for opcode in opcodes
    if opcode not in (OpCode.PING, CONNECT, EVENT)
)
_BY_NAME: Final[Mapping[str, tuple[str, frozenset[int]]]] = {
    **{_fold(name): (name, frozenset(opcodes)) for name, opcodes in _OPERATIONS.items()},
    **{_fold(alias): (name, frozenset(_OPERATIONS[name])) for alias, name in _ALIASES.items()},
    ANY: (ANY, _ANY_OPCODES),
}
OPERATION_NAMES: Final = (*_OPERATIONS, ANY)
"""The names that `find_operation` knows, without the aliases."""
NO_PATH: Final = frozenset(
    {
        OpCode.PING,
        OpCode.MULTI,
        OpCode.MULTI_READ,
        OpCode.AUTH,
        OpCode.SASL,
        OpCode.SET_WATCHES,
        OpCode.SET_WATCHES2,
        OpCode.RECONFIG,
        OpCode.CLOSE_SESSION,
        OpCode.WHO_AM_I,
    }
)
"""Requests that have no path, or many."""
_NAMES: Final = {
    # The names that mean one operation come last.
    opcode: name
    for name, opcodes in sorted(_OPERATIONS.items(), key=lambda item: -len(item[1]))
    for opcode in opcodes
}

_ERRORS: Final[dict[str, int]] = {
    # Names that only clients have, or that clients write differently from ErrorCode.
    "api": -100,
    "invalidcallback": -113,
    "notreadonlycall": ErrorCode.NOT_READ_ONLY,
    "requesttimeout": -122,
    "systemzookeeper": ErrorCode.SYSTEM_ERROR,
    "reconfiginprocess": ErrorCode.RECONFIG_IN_PROGRESS,
    "noquorum": ErrorCode.NEW_CONFIG_NO_QUORUM,
    "sessionclosedrequiresasl": ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH,
}


def _fold_error(name: str) -> str:
    name = _fold(name.rpartition(".")[2])
    return name.removesuffix("exception").removesuffix("error") or name


_CODES: Final = {
    "".join(part.capitalize() for part in name.split("_")): value
    for name, value in vars(ErrorCode).items()
    if isinstance(value, int) and value != ErrorCode.OK
}
_ERROR_NAMES: Final = tuple(sorted(_CODES))
_ERRORS_BY_NAME: Final = {_fold_error(name): code for name, code in _CODES.items()} | _ERRORS


def operation_name(opcode: int) -> str:
    """Return the name of an operation, for reports."""
    return _NAMES.get(opcode, f"operation {opcode}")


def find_operation(operation: str | int) -> tuple[str, frozenset[int]]:
    """Return the Java client's name of an operation, and its opcodes. Raises FixtureError."""
    if isinstance(operation, int):
        if operation not in _NAMES:
            raise FixtureError(f"no operation has the number {operation}")
        return _NAMES[operation], frozenset((operation,))
    found = _BY_NAME.get(_fold(operation))
    if found is None:
        names = {folded: name for folded, (name, _) in _BY_NAME.items()}
        raise FixtureError(
            f"unknown operation {operation!r}{_meant(_fold(operation), names)};"
            f" known are {', '.join(OPERATION_NAMES)}"
        )
    return found


def find_error(error: object) -> int:
    """Return the code of an error given as a number, a name, or an exception (class) of kazoo.

    Raises FixtureError.
    """
    if isinstance(error, bool) or error is None:
        raise FixtureError(f"{error!r} is not an error; give a code like -101 or a name: NoNode")
    if isinstance(error, int):
        if error >= 0:
            raise FixtureError(f"error codes are negative, {error} is not; NoNode is -101")
        if error < -(1 << 31):
            raise FixtureError(f"error codes have 32 bits, {error} has more; NoNode is -101")
        return error
    if not isinstance(error, str):
        code = getattr(error, "code", None)
        if isinstance(code, int) and code < 0:
            return code
        kind = error if inspect.isclass(error) else type(error)
        error = kind.__name__
    code = _ERRORS_BY_NAME.get(_fold_error(error))
    if code is None:
        names = {_fold_error(name): name for name in _ERROR_NAMES}
        raise FixtureError(
            f"unknown error {error!r}{_meant(_fold_error(error), names)};"
            f" known are {', '.join(_ERROR_NAMES)}, or any negative code"
        )
    return code


def error_name(code: int) -> str:
    """Return the name of an error code, for reports."""
    name: str = ErrorCode.NAMES.get(code, str(code))
    return name


def _meant(name: str, known: Mapping[str, str]) -> str:
    import difflib  # start-up is measured

    for close in difflib.get_close_matches(name, list(known), n=1):
        return f" (did you mean {known[close]}?)"
    return ""


class Fault:
    """One rule. As a context manager it is removed at the end of the block."""

    def __init__(
        self,
        table: FaultTable,
        kind: str,
        operation: str | int,
        *,
        times: int | None,
        session_id: int | None,
        path: str | None,
        error: int = 0,
        seconds: float = 0.0,
        executed: bool = True,
    ) -> None:
        self.kind = kind
        self.operation, self.opcodes = find_operation(operation)
        self.error = error
        self.seconds = seconds
        self.executed = executed
        self.fired = 0
        """How many requests the rule has hit."""
        self._table = table
        self._times = times
        self._session_id = session_id
        self._path = path
        if times is not None and times < 1:
            raise FixtureError(f"times is {times}; give 1 or more, or None for every time")
        if path is not None and self.opcodes <= NO_PATH | {CONNECT}:
            raise FixtureError(f"{self.operation} has no path of its own: leave path out")
        if EVENT in self.opcodes and kind != DELAY:
            raise FixtureError(
                "a server neither fails nor loses an event while the connection lasts;"
                " use delay, or drop_connection"
            )
        if CONNECT in self.opcodes and kind == FAIL:
            raise FixtureError(
                "a handshake has no error code; use reject_connections, or expire_session"
            )

    @property
    def is_spent(self) -> bool:
        """Whether the rule has hit as often as it should."""
        return self._times is not None and self.fired >= self._times

    def remove(self) -> None:
        """Take the rule out of force, if it is in force."""
        self._table.remove(self)

    def hits(self, opcode: int, session_id: int, path: str | None) -> bool:
        """Tell whether the rule is about a request."""
        return (
            opcode in self.opcodes
            and not self.is_spent
            and (self._session_id is None or self._session_id == session_id)
            and (self._path is None or self._path == path)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __str__(self) -> str:
        text = f"{self.kind} {self.operation}"
        if self._path is not None:
            text += f" {self._path}"
        if self.kind == FAIL:
            text += f" with {error_name(self.error)} ({self.error})"
        elif self.kind == DELAY:
            text += f" by {self.seconds:g} s"
        return text


class FaultTable:
    """The rules in force. `ClientLink` asks on the loop; any thread may remove a rule."""

    def __init__(self) -> None:
        self.rejects = False
        """Whether new connections are closed at once."""
        self.is_active = False
        """Whether any rule is in force; while none is, links do not look at frames."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force, behind the others."""
        with self._lock:
            self._faults = [*self._faults, fault]
            self.is_active = True
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a rule out of force."""
        # Lists are replaced, never changed: `match` may be going through one.
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]
            self.is_active = bool(self._faults)

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._faults = []
            self.is_active = False
            self.rejects = False

    def match(
        self, kinds: tuple[str, ...], opcode: int, session_id: int, path: str | None
    ) -> Fault | None:
        """Return the first rule of these kinds that hits, and count the hit."""
        for fault in self._faults:
            if fault.kind in kinds and fault.hits(opcode, session_id, path):
                fault.fired += 1
                if fault.is_spent:
                    self.remove(fault)
                return fault
        return None

    @property
    def in_force(self) -> list[Fault]:
        """The rules, oldest first."""
        return list(self._faults)
