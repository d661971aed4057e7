"""Names of operations and errors: every spelling, and the messages about unknown ones."""

from __future__ import annotations

import pytest

from pyzk.constants import ErrorCode, OpCode
from pyzk.errors import NoNode
from pyzk.testing.errors import FixtureError
from pyzk.testing.seams.faults import (
    OPERATION_NAMES,
    Fault,
    FaultTable,
    find_error,
    find_operation,
    operation_name,
)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("create", "create"),
        ("CREATE2", "create2"),
        ("getData", "getData"),
        ("get", "getData"),
        ("get_children", "getChildren"),
        ("get_acls", "getACL"),
        ("set-data", "setData"),
        ("transaction", "multi"),
        ("add_auth", "auth"),
        ("close", "closeSession"),
        ("watch", "event"),
        ("whoami", "whoAmI"),
        ("ANY", "any"),
    ],
)
def test_operations_in_any_spelling(spelling: str, name: str) -> None:
    assert find_operation(spelling)[0] == name


def test_what_an_operation_means() -> None:
    assert find_operation("create")[1] == {1, 15, 19, 21}
    assert find_operation("getChildren")[1] == {8, 12}
    assert find_operation("getChildren2")[1] == {12}
    assert find_operation(OpCode.GET_DATA) == ("getData", frozenset({4}))
    assert OpCode.PING not in find_operation("any")[1]
    for name in OPERATION_NAMES:
        assert find_operation(name)[0] == name


def test_operations_have_names_for_reports() -> None:
    assert operation_name(OpCode.CREATE2) == "create2"
    assert operation_name(OpCode.GET_CHILDREN2) == "getChildren2"
    assert operation_name(77) == "operation 77"
    assert find_operation(operation_name(OpCode.SET_WATCHES2))[0] == "setWatches"


def test_unknown_operations_are_told() -> None:
    with pytest.raises(FixtureError) as caught:
        find_operation("getDat")
    text = str(caught.value)
    assert text.startswith("unknown operation 'getDat' (did you mean getData?); known are create,")
    assert "event, any" in text
    with pytest.raises(FixtureError, match="no operation has the number 99"):
        find_operation(99)


class NodeExistsError(Exception):
    """As kazoo has it, but for its code."""


class WithCode(Exception):  # noqa: N818
    code = -108


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (-101, -101),
        ("NoNode", ErrorCode.NO_NODE),
        ("NONODE", ErrorCode.NO_NODE),
        ("NoNodeError", ErrorCode.NO_NODE),
        ("KeeperException.NoNodeException", ErrorCode.NO_NODE),
        ("kazoo.exceptions.ConnectionLoss", ErrorCode.CONNECTION_LOSS),
        ("NO_CHILDREN_FOR_EPHEMERALS", ErrorCode.NO_CHILDREN_FOR_EPHEMERALS),
        ("SystemError", ErrorCode.SYSTEM_ERROR),
        ("SystemZookeeperError", ErrorCode.SYSTEM_ERROR),
        ("MarshallingError", ErrorCode.MARSHALLING_ERROR),
        ("SessionExpiredError", ErrorCode.SESSION_EXPIRED),
        ("NotReadOnlyCallError", ErrorCode.NOT_READ_ONLY),
        ("InvalidACLError", ErrorCode.INVALID_ACL),
        ("ThrottledOp", ErrorCode.THROTTLED_OP),
        (NodeExistsError, ErrorCode.NODE_EXISTS),
        (NodeExistsError(), ErrorCode.NODE_EXISTS),
        (WithCode, -108),
        (WithCode(), -108),
        (NoNode, ErrorCode.NO_NODE),
    ],
)
def test_errors_in_any_spelling(error: object, code: int) -> None:
    assert find_error(error) == code


def test_kazoos_exceptions_are_errors() -> None:
    exceptions = pytest.importorskip("kazoo.exceptions")
    for code, kind in exceptions.EXCEPTIONS.items():
        if code < 0:
            assert find_error(kind) == code
            assert find_error(kind.__name__) == code, kind


def test_unknown_errors_are_told() -> None:
    with pytest.raises(FixtureError, match=r"unknown error 'NoNod' \(did you mean NoNode\?\);"):
        find_error("NoNod")
    with pytest.raises(FixtureError, match=r"known are AuthFailed, .* or any negative code"):
        find_error(ValueError)
    for bad in (0, 5, True, None):
        with pytest.raises(FixtureError):
            find_error(bad)


@pytest.mark.parametrize(
    ("kind", "operation", "times", "text"),
    [
        ("fail", "create", 0, "times is 0"),
        ("fail", "event", 1, "neither fails nor loses an event"),
        ("no_response", "event", 1, "neither fails nor loses an event"),
        ("fail", "connect", 1, "a handshake has no error code"),
    ],
)
def test_faults_that_cannot_be(kind: str, operation: str, times: int, text: str) -> None:
    with pytest.raises(FixtureError, match=text):
        Fault(FaultTable(), kind, operation, times=times, session_id=None, path=None)
