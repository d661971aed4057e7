"""What makes a multi unreadable, and whether that costs a zxid."""

from __future__ import annotations

import pytest

from pyzk.constants import CreateMode, ErrorCode, OpCode
from pyzk.jute.records import ACL, CreateRequest, DeleteRequest, PathWatchRequest
from tests.frames import OPEN, Record, multi
from tests.world import World


def _err_and_zxids(*operations: tuple[int, Record]) -> tuple[int, int]:
    """Return the err of the reply, and how many zxids the multi took."""
    world = World()
    client = world.connect()
    before = world.tree.last_zxid
    reply = client.call(OpCode.MULTI, multi(*operations))
    assert reply.err == 0 or reply.body == b""
    return reply.err, world.tree.last_zxid - before


def _create(flags: int, acl: list[ACL] | None) -> CreateRequest:
    return CreateRequest("/a", b"", acl, flags)


@pytest.mark.parametrize("kind", [OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])
@pytest.mark.parametrize(
    ("flags", "acl", "zxids"),
    [
        (9, OPEN, 1),
        (9, None, 1),
        (CreateMode.PERSISTENT, None, 0),
        (CreateMode.PERSISTENT_WITH_TTL, None, 0),
        (CreateMode.PERSISTENT_WITH_TTL, OPEN, 1),
    ],
)
def test_flags_and_acl_of_a_create(
    kind: int, flags: int, acl: list[ACL] | None, zxids: int
) -> None:
    assert _err_and_zxids((kind, _create(flags, acl))) == (ErrorCode.MARSHALLING_ERROR, zxids)


def test_a_null_path_spoils_the_whole_frame() -> None:
    operations = ((OpCode.CREATE, _create(0, OPEN)), (OpCode.DELETE, DeleteRequest(None, -1)))
    assert _err_and_zxids(*operations) == (ErrorCode.MARSHALLING_ERROR, 1)


def test_reads_and_unknown_operations_do_not_belong_in_a_multi() -> None:
    read = PathWatchRequest("/", False)
    assert _err_and_zxids((OpCode.GET_DATA, read)) == (ErrorCode.MARSHALLING_ERROR, 1)
    assert _err_and_zxids((20, read)) == (ErrorCode.MARSHALLING_ERROR, 1)


def test_an_empty_multi_succeeds_and_takes_a_zxid() -> None:
    assert _err_and_zxids() == (0, 1)
