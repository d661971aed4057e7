"""A write from the console, said as a client says it."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.admin.console.writing import Conversation, operation
from pyzk.constants import OpCode
from pyzk.errors import BadArguments
from pyzk.jute.records import ACL, CreateRequest, DeleteRequest, SetACLRequest, SetDataRequest
from pyzk.server.arrival import Arrival
from pyzk.server.connection import CLOSED, Connection
from tests.admin.console.looking import ELSEWHERE, with_tree, world
from tests.world import World

ADMIN = [{"scheme": "auth", "id": "", "perms": "cdrwa"}]


class Side:
    """The other side of a connection: what the server sends goes into the conversation."""

    def __init__(self, of: World, conversation: Conversation) -> None:
        self.conversation = conversation
        self.is_closed = False
        self._world = of
        self._answers: list[bytes] = []
        found = of.peer.accept(Arrival(ELSEWHERE, 1))
        assert found is not None
        self._connection = found
        found.shell = self
        self._answers.append(conversation.begin())
        while self._answers:
            found.receive(self._answers.pop(0))
            of.settle()

    def take(self, connection: Connection) -> None:
        data = b"".join(connection.out)
        connection.out.clear()
        # A byte at a time, as a socket might have it.
        for at in range(len(data)):
            answer = self.conversation.received(data[at : at + 1])
            if answer:
                self._answers.append(answer)
        self.is_closed = connection.state == CLOSED


def write(of: World, credentials: str = "bob:secret", **asked: Any) -> Any:
    side = Side(of, Conversation(operation(asked), credentials))
    assert side.is_closed
    return side.conversation.ended("closed").view()


def test_a_znode_is_created_as_a_client_creates_it() -> None:
    made = world()
    answer = write(made, operation="create", path="/a", base64="aGk=", acl=ADMIN)
    assert answer == {"path": "/a", "zxid": "0x2"}
    node = made.tree.nodes["/a"]
    assert node.data == b"hi"
    (entry,) = made.tree.acls.get(node.acl_id)
    assert (entry.scheme, entry.perms) == ("digest", 31)
    assert made.database.sessions == {}  # the session is over


def test_a_number_is_added_to_the_name() -> None:
    made = world()
    answer = write(made, operation="create", path="/a-", mode="persistentSequential")
    assert answer["path"] == "/a-0000000000"
    assert "/a-0000000000" in made.tree.nodes


def test_each_operation_does_what_it_says() -> None:
    made = with_tree()
    assert "zxid" in write(made, operation="setData", path="/open", base64="bmV3", version=0)
    assert made.tree.nodes["/open"].data == b"new"
    assert "zxid" in write(made, operation="setAcl", path="/open/a", acl=ADMIN, version=0)
    assert made.tree.acls.get(made.tree.nodes["/open/a"].acl_id) != (ACL(31, "world", "anyone"),)
    assert "zxid" in write(made, operation="delete", path="/open/b", version=0)
    assert "/open/b" not in made.tree.nodes
    assert "zxid" in write(made, operation="create", path="/c", mode="container")
    assert made.tree.containers == {"/c": None}


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"operation": "setData", "path": "/bob", "base64": ""}, "NO_AUTH"),
        ({"operation": "create", "path": "/bob/x"}, "NO_AUTH"),
        ({"operation": "delete", "path": "/none"}, "NO_NODE"),
        ({"operation": "delete", "path": "/open"}, "NOT_EMPTY"),
        ({"operation": "setData", "path": "/open", "version": 7}, "BAD_VERSION"),
        ({"operation": "create", "path": "/open"}, "NODE_EXISTS"),
        ({"operation": "delete", "path": "/zookeeper"}, "BAD_ARGUMENTS"),
        (
            {
                "operation": "create",
                "path": "/x",
                "acl": [{"scheme": "strange", "id": "", "perms": "r"}],
            },
            "INVALID_ACL",
        ),
    ],
)
def test_the_server_refuses_what_it_would_refuse_a_client(asked: Any, error: str) -> None:
    made = with_tree()
    before = dict(made.tree.nodes)
    assert write(made, "eve:wrong", **asked) == {"error": error, "known": True}
    assert made.tree.nodes == before


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"operation": "create"},
        {"operation": "rmr", "path": "/a"},
        {"operation": "delete", "path": 1},
        {"operation": "delete", "path": "a"},
        {"operation": "delete", "path": "/a/../b"},
        {"operation": "delete", "path": "/a\x00"},
        {"operation": "delete", "path": "/a", "version": -2},
        {"operation": "delete", "path": "/a", "version": 1 << 31},
        {"operation": "delete", "path": "/a", "version": "1"},
        {"operation": "create", "path": "/a", "mode": "ephemeral"},
        {"operation": "create", "path": "/a", "base64": "?"},
        {"operation": "create", "path": "/a", "base64": "é"},
        {"operation": "create", "path": "/a", "acl": []},
        {"operation": "setAcl", "path": "/a"},
        {"operation": "setAcl", "path": "/a", "acl": ["world"]},
        {"operation": "setAcl", "path": "/a", "acl": [{"scheme": "world", "id": "anyone"}]},
        {"operation": "setAcl", "path": "/a", "acl": [{**ADMIN[0], "perms": "x"}]},
        {"operation": "setAcl", "path": "/a", "acl": [{**ADMIN[0], "perms": ""}]},
        {"operation": "setAcl", "path": "/a", "acl": [{**ADMIN[0], "id": None}]},
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(asked: Any) -> None:
    with pytest.raises(BadArguments):
        operation(asked)


def test_what_is_sent_is_what_was_asked_for() -> None:
    acl = [ACL(31, "auth", "")]
    for asked, opcode, record in (
        ({"operation": "delete", "version": 3}, OpCode.DELETE, DeleteRequest("/a", 3)),
        (
            {"operation": "setData", "base64": "YQ=="},
            OpCode.SET_DATA,
            SetDataRequest("/a", b"a", -1),
        ),
        ({"operation": "setAcl", "acl": ADMIN}, OpCode.SET_ACL, SetACLRequest("/a", acl, -1)),
        (
            {"operation": "create"},
            OpCode.CREATE,
            CreateRequest("/a", b"", [ACL(31, "world", "anyone")], 0),
        ),
    ):
        made: Any = operation({**asked, "path": "/a"})  # type: ignore[dict-item]  # a table
        assert (made.opcode, made.body) == (opcode, record.encode())


def test_a_server_that_does_not_serve_has_certainly_not_written() -> None:
    made = world()
    made.server.is_serving = False
    answer = write(made, operation="create", path="/a")
    assert answer == {"error": "closed", "known": True}


def test_a_write_whose_answer_never_comes_is_not_known() -> None:
    made = world()
    conversation = Conversation(operation({"operation": "create", "path": "/a"}), "bob:secret")
    made.is_disk_held = True
    side = Side(made, conversation)
    made.sync()  # createSession
    while side._answers:
        side._connection.receive(side._answers.pop(0))
        made.flush()
    assert conversation.ended("no answer").view() == {"error": "no answer", "known": False}


def test_credentials_that_are_refused_are_an_error() -> None:
    made = world(digest_auth_enabled=False)
    answer = write(made, operation="create", path="/a")
    assert answer == {"error": "AUTH_FAILED", "known": True}


def test_an_answer_that_cannot_be_read_ends_it() -> None:
    conversation = Conversation(operation({"operation": "delete", "path": "/a"}), "bob:secret")
    conversation.begin()
    assert conversation.received(b"\x00\x00\x00\x02ab") == b""
    assert "unreadable" in conversation.ended("closed").error
