"""enableEagerACLCheck: what the ACLs of a member refuse costs no transaction (auth sheet §5)."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import ACL, CreateRequest, DeleteRequest, SetACLRequest, SetDataRequest
from tests.frames import OPEN, Record, create_request, multi
from tests.server.calls import NOBODY
from tests.server.members import Ensemble, Member
from tests.world import Client, World

CONFIG = ServerConfig(enable_eager_acl_check=True)
ROLES = ("leader", "follower", "observer")

NO_ACL: list[ACL] = []
REFUSED: list[tuple[int, Record | bytes, int]] = [
    (OpCode.CREATE, create_request("/closed/x"), -102),
    (OpCode.CREATE2, create_request("/closed/x"), -102),
    (OpCode.DELETE, DeleteRequest("/closed/child", -1), -102),
    (OpCode.SET_DATA, SetDataRequest("/closed", b"", -1), -102),
    (OpCode.SET_ACL, SetACLRequest("/closed", OPEN, -1), -102),
    (OpCode.CREATE, CreateRequest("/x", b"", NO_ACL, 0), -114),
    (OpCode.CREATE2, CreateRequest("/none/x", b"", [ACL(31, "auth", "")], 0), -114),
    (OpCode.SET_ACL, SetACLRequest("/none", [ACL(31, "foo", "x")], -1), -114),
    (OpCode.SET_ACL, SetACLRequest("/open", None, -1), -114),
]
PASSED_ON: list[tuple[int, Record | bytes, int]] = [
    (OpCode.CREATE, create_request("/none/x"), -101),
    (OpCode.CREATE, CreateRequest("bad", b"", NO_ACL, 0), -8),
    (OpCode.CREATE, create_request("/open"), -110),
    (OpCode.CREATE, create_request(None), -5),
    (OpCode.CREATE, b"\0\0\0\x09/x", -5),
    (OpCode.CREATE, CreateRequest("/x", b"", [ACL(31, "ip", None)], 0), -5),
    (OpCode.CREATE_CONTAINER, create_request("/closed/x", flags=4), -102),
    (OpCode.DELETE, DeleteRequest("/zookeeper", -1), -8),
    (OpCode.DELETE, DeleteRequest("/none", -1), -101),
    (OpCode.SET_DATA, SetDataRequest("/none", b"", -1), -101),
    (OpCode.SET_DATA, SetDataRequest("/open", b"", 7), -103),
    (OpCode.SET_ACL, SetACLRequest("/none", OPEN, -1), -101),
]


def made(config: ServerConfig, role: str) -> tuple[Ensemble, Member, Client]:
    ensemble = Ensemble(config)
    member: Member = getattr(ensemble, role)
    client = ensemble.connect(member)
    for request in (
        create_request("/open"),
        create_request("/closed"),
        create_request("/closed/child"),
    ):
        client.submit(OpCode.CREATE, request)
    client.submit(OpCode.SET_ACL, SetACLRequest("/closed", NOBODY, -1))
    ensemble.commit()
    assert [reply.err for reply in client.replies()] == [0, 0, 0, 0]
    return ensemble, member, client


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("opcode", "record", "err"), REFUSED)
def test_a_member_refuses_at_once_with_zxid_0(
    role: str, opcode: int, record: Record | bytes, err: int
) -> None:
    ensemble, _, client = made(CONFIG, role)
    count = len(ensemble.log)
    reply = client.call(opcode, record, xid=77)
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (77, 0, err, b"")
    ensemble.commit()
    assert len(ensemble.log) == count


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("opcode", "record", "err"), REFUSED + PASSED_ON)
def test_without_the_key_the_leader_refuses(
    role: str, opcode: int, record: Record | bytes, err: int
) -> None:
    ensemble, _, client = made(ServerConfig(), role)
    client.submit(opcode, record)
    ensemble.commit()
    (reply,) = client.replies()
    assert (reply.err, reply.zxid) == (err, ensemble.leader.database.last_zxid)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("opcode", "record", "err"), PASSED_ON)
def test_what_is_wrong_otherwise_is_the_leaders_matter(
    role: str, opcode: int, record: Record | bytes, err: int
) -> None:
    ensemble, _, client = made(CONFIG, role)
    client.submit(opcode, record)
    ensemble.commit()
    (reply,) = client.replies()
    assert (reply.err, reply.zxid) == (err, ensemble.leader.database.last_zxid)


@pytest.mark.parametrize("role", ROLES)
def test_what_is_allowed_is_done(role: str) -> None:
    ensemble, _, client = made(CONFIG, role)
    client.submit(OpCode.SET_DATA, SetDataRequest("/open", b"1", -1))
    client.submit(OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/open", -1))))
    ensemble.commit()
    assert [reply.err for reply in client.replies()] == [0, 0]


def test_a_refusal_waits_for_the_writes_before_it() -> None:
    ensemble, _, client = made(CONFIG, "follower")
    client.submit(OpCode.SET_DATA, SetDataRequest("/open", b"1", -1), xid=91)
    client.submit(OpCode.SET_DATA, SetDataRequest("/closed", b"1", -1), xid=92)
    assert client.replies() == []
    ensemble.commit()
    assert [(reply.xid, reply.err) for reply in client.replies()] == [(91, 0), (92, -102)]


def test_a_server_that_stands_alone_does_not_look() -> None:
    world = World(CONFIG)
    client = world.connect()
    client.create("/closed", acl=NOBODY)
    reply = client.set_data("/closed", b"")
    assert (reply.err, reply.zxid) == (-102, world.tree.last_zxid)
    assert reply.zxid > 0
