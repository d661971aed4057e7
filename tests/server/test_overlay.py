"""What pending changes must not forget: ACL lists, ephemerals on their way."""

from __future__ import annotations

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CloseSessionTxn,
    DeleteRequest,
    SetACLRequest,
    SetDataRequest,
)
from tests.frames import OPEN, create_request, multi
from tests.world import World

LOCAL = [ACL(31, "ip", "127.0.0.1")]
EPHEMERAL = create_request("/e", flags=CreateMode.EPHEMERAL)
PERSISTENT = create_request("/e", b"new")


def _closed_paths(world: World) -> list[list[str]]:
    return [txn.body.paths_to_delete for txn in world.log if isinstance(txn.body, CloseSessionTxn)]


def test_a_pending_copy_keeps_its_acl_list_when_the_tree_gives_up_the_number() -> None:
    world = World()
    client = world.connect()
    client.create("/a", acl=LOCAL)
    world.is_disk_held = True
    client.submit(OpCode.SET_ACL, SetACLRequest("/a", OPEN, -1))
    set_acl = world.log[-1].header.zxid
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.peer.log_synced(set_acl)
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"2", -1))
    world.sync()
    assert [reply.err for reply in client.replies()] == [0, 0, 0]
    assert world.database.digest_mismatches == 0


def test_close_session_lists_an_ephemeral_whose_create_a_failed_multi_has_touched() -> None:
    world = World()
    owner, other = world.connect(), world.connect()
    world.is_disk_held = True
    owner.submit(OpCode.CREATE, EPHEMERAL)
    failing = multi(
        (OpCode.SET_DATA, SetDataRequest("/e", b"x", -1)),
        (OpCode.CHECK, CheckVersionRequest("/none", -1)),
    )
    owner.submit(OpCode.MULTI, failing)
    owner.submit(OpCode.CLOSE_SESSION)
    other.submit(OpCode.CREATE, PERSISTENT)
    world.sync()
    assert _closed_paths(world) == [["/e"]]
    assert [reply.err for reply in other.replies()] == [0]
    assert world.database.digest_mismatches == 0


def test_close_session_lists_an_ephemeral_that_was_made_again() -> None:
    world = World()
    owner, other = world.connect(), world.connect()
    world.is_disk_held = True
    owner.submit(OpCode.CREATE, EPHEMERAL)
    created = world.log[-1].header.zxid
    owner.submit(OpCode.DELETE, DeleteRequest("/e", -1))
    owner.submit(OpCode.CREATE, EPHEMERAL)
    world.peer.log_synced(created + 1)
    owner.submit(OpCode.CLOSE_SESSION)
    other.submit(OpCode.CREATE, PERSISTENT)
    world.sync()
    assert _closed_paths(world) == [["/e"]]
    assert [reply.err for reply in other.replies()] == [0]
    assert world.database.digest_mismatches == 0
    assert world.server.role.prep.changes.owned == {}  # type: ignore[attr-defined]
