"""The audit log: the lines of a recorded 3.9.3, and what no single client shows it."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pyzk.audit_log import EVENT, LOGGER
from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.data.database import Database
from pyzk.jute.records import ACL, AuthPacket, CreateTTLRequest, DeleteRequest
from pyzk.server.host import Host
from pyzk.server.operations import LEARNER_WRITES, WRITES
from tests.frames import OPEN, create_request, encode_request, multi
from tests.server.calls import authenticate, set_acl
from tests.server.members import Ensemble, FakeLearner
from tests.world import Client, World

RECORDING = Path(__file__).parents[1] / "testdata" / "audit" / "commands.jsonl"
"""`python -m conformance.audit record` writes it: what was sent, then the lines of 3.9.3."""
CONFIG = ServerConfig(
    audit_enable=True,
    extended_types_enabled=True,
    reconfig_enabled=True,
    super_digest="super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    auth_providers=(("1", "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"),),
)
SERVER = Host(user="SERVER")
OPCODES = {
    "create": 1,
    "delete": 2,
    "exists": 3,
    "getData": 4,
    "setData": 5,
    "setACL": 7,
    "sync": 9,
    "check": 13,
    "multi": 14,
    "create2": 15,
    "reconfig": 16,
    "createContainer": 19,
    "createTTL": 21,
    "multiRead": 22,
    "auth": 100,
    "closeSession": -11,
}


class Lines:
    """The audit log of a test."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def take(self, **words: Client) -> list[str]:
        """Returns the new lines as `level field ...`; ids of sessions become these words."""
        ids = {f"0x{client.session_id:x}": word for word, client in words.items()}
        said = []
        for record in self._caplog.records:
            if record.name == LOGGER:
                line = f"{record.levelname}\t{record.getMessage()}"
                said.append(re.sub("0x[0-9a-f]+", lambda found: ids.get(found[0], found[0]), line))
        self._caplog.clear()
        return [line.replace("\t", " ") for line in said]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, LOGGER)
    return Lines(caplog)


def world_of(config: ServerConfig = CONFIG) -> World:
    world = World(config)
    world.peer.run_on(SERVER)
    return world


# --- one server -----------------------------------------------------------------------


def test_the_lines_are_those_of_the_original(lines: Lines) -> None:
    parts = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    steps = [part for part in parts if isinstance(part, dict)]
    recorded = [part for part in parts if isinstance(part, str)]
    world = world_of()
    clients = {name: world.connect() for name in ("a", "b", "c", "d")}
    for step in steps:
        client = clients[step["client"]]
        client.submit(OPCODES[step["op"]], bytes.fromhex(step["body"]), step["xid"])
    said = [line.split(" ", 1)[1] for line in lines.take(**clients) if " znode=/ttl" not in line]
    expected = [line.replace("\t", " ") for line in recorded if "serverStart" not in line]
    assert len(expected) > 70
    assert [_with_sorted_users(line) for line in said] == expected


def _with_sorted_users(line: str) -> str:
    return re.sub(
        "user=([^ ]+)", lambda found: "user=" + ",".join(sorted(found[1].split(","))), line
    )


def test_failures_are_errors_and_the_rest_are_not(lines: Lines) -> None:
    client = world_of().connect()
    client.create("/a")
    client.create("/a")
    assert lines.take(s=client) == [
        "INFO session=s user=127.0.0.1 ip=127.0.0.1 operation=create znode=/a"
        " znode_type=persistent result=success",
        "ERROR session=s user=127.0.0.1 ip=127.0.0.1 operation=create znode=/a"
        " znode_type=persistent result=failure",
    ]


def test_creates_with_a_ttl_are_told_of_as_from_3_9_4(lines: Lines) -> None:
    client = world_of().connect()
    client.call(OpCode.CREATE_TTL, CreateTTLRequest("/t", b"", OPEN, 5, 1000))
    client.call(OpCode.CREATE_TTL, CreateTTLRequest("/s", b"", OPEN, 6, 1000))
    client.call(OpCode.CREATE_TTL, CreateTTLRequest("/t", b"", OPEN, 5, 0))
    assert [line.split("operation=")[1] for line in lines.take()] == [
        "create znode=/t znode_type=persistent_with_ttl result=success",
        "create znode=/s0000000001 znode_type=persistent_sequential_with_ttl result=success",
        "create znode=/t znode_type=persistent_with_ttl result=failure",
    ]


def test_nothing_is_told_unless_it_is_asked_for(lines: Lines) -> None:
    world = World()
    client = world.connect()
    client.create("/a", flags=CreateMode.EPHEMERAL)
    client.call(OpCode.CLOSE_SESSION)
    assert lines.take() == []
    assert world.server.writes == WRITES, "the hot path has every write"
    assert world.server.screened_writes == {}


def test_a_write_is_told_of_before_it_is_answered_and_when_it_is_durable(lines: Lines) -> None:
    world = world_of()
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    assert lines.take() == []
    world.sync()
    assert len(lines.take()) == 1


def test_a_client_that_is_gone_is_told_of(lines: Lines) -> None:
    world = world_of()
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    client.connection.closed()
    world.sync()
    assert len(lines.take()) == 1


def test_the_users_are_those_of_when_the_request_came(lines: Lines) -> None:
    world = world_of()
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.AUTH, AuthPacket(0, "digest", b"bob:x"), xid=Xid.AUTH)
    client.submit(OpCode.CREATE, create_request("/b"))
    world.sync()
    users = [re.search("user=([^ ]*)", line) for line in lines.take()]
    assert [found and found[1] for found in users] == ["127.0.0.1", "127.0.0.1,bob"]


def test_writes_and_reads_of_one_chunk_stay_in_order(lines: Lines) -> None:
    world = world_of()
    client = world.connect()
    client.send(
        encode_request(1, OpCode.CREATE, create_request("/a"))
        + encode_request(2, OpCode.GET_DATA, b"\0\0\0\x02/a\0")
        + encode_request(3, OpCode.DELETE, DeleteRequest("/a", -1))
        + encode_request(4, OpCode.CREATE, b"\0\0\0\x09/x")
        + encode_request(5, OpCode.GET_DATA, b"\0\0\0\x02/a\0")
    )
    assert [(reply.xid, reply.err) for reply in client.replies()] == [
        *((1, 0), (2, 0), (3, 0), (4, -5), (5, -101)),
    ]
    assert [line.split("operation=")[1] for line in sorted(lines.take())] == [
        "create znode_type=persistent result=failure",
        "create znode=/a znode_type=persistent result=success",
        "delete znode=/a result=success",
    ]


def test_what_a_client_sends_can_fake_no_field(lines: Lines) -> None:
    client = world_of().connect()
    client.create("/a\tresult=success\nsession=0x1")
    (line,) = lines.take(s=client)
    assert line == (
        "ERROR session=s user=127.0.0.1 ip=127.0.0.1 operation=create"
        " znode=/a\\tresult=success\\nsession=0x1 znode_type=persistent result=failure"
    )


def test_an_event_has_its_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    client = world_of().connect()
    set_acl(client, "/", [ACL(3, "ip", "10.0.0.0/8")])
    (record,) = [each for each in caplog.records if each.name == LOGGER]
    assert getattr(record, EVENT).fields == {
        "session": f"0x{client.session_id:x}",
        "user": "127.0.0.1",
        "ip": "127.0.0.1",
        "operation": "setAcl",
        "znode": "/",
        "acl": "ip:10.0.0.0/8:rw",
        "result": "success",
    }


def test_an_ipv6_address_is_written_as_java_does(lines: Lines) -> None:
    client = world_of().connect("::1")
    client.create("/a")
    (line,) = lines.take(s=client)
    assert " user=0:0:0:0:0:0:0:1 ip=0:0:0:0:0:0:0:1 " in line


# --- sessions -------------------------------------------------------------------------


def test_ephemerals_that_expire_are_told_of_in_the_name_of_the_server(lines: Lines) -> None:
    world = world_of()
    client = world.connect(timeout_ms=6000)
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.connection.closed()
    lines.take()
    world.advance(20_000)
    assert lines.take(s=client) == [
        "INFO session=s user=SERVER operation=ephemeralZNodeDeletionOnSessionCloseOrExpire"
        " znode=/e result=success"
    ]


def test_ephemerals_that_are_deleted_by_hand_are_told_of_once(lines: Lines) -> None:
    client = world_of().connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.delete("/e")
    lines.take()
    client.call(OpCode.CLOSE_SESSION)
    assert lines.take() == []


def test_ephemerals_of_sessions_that_did_not_survive_are_told_of_at_the_start(
    lines: Lines,
) -> None:
    first = world_of()
    client = first.connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    lines.take()
    server = first.server.database
    server.sessions.clear()
    World(CONFIG, Database(server.tree))
    (line,) = lines.take(s=client)
    assert "znode=/e result=success" in line


# --- an ensemble ----------------------------------------------------------------------


@pytest.fixture
def ensemble() -> Ensemble:
    made = Ensemble(replace(CONFIG, reconfig_enabled=False))
    for member in made.members:
        member.peer.run_on(Host(user=f"server{member.server.server_id}"))
    return made


def test_a_write_is_told_of_where_its_client_is_connected(ensemble: Ensemble, lines: Lines) -> None:
    for member in ensemble.members:
        client = ensemble.connect(member)
        path = f"/{member.server.server_id}"
        for request in (create_request(path), create_request(path), create_request("/none/x")):
            client.submit(OpCode.CREATE, request)
        client.submit(OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest(path, -1))))
        ensemble.commit()
        assert [line.split("operation=")[1] for line in lines.take()] == [
            f"create znode={path} znode_type=persistent result=success",
            f"create znode={path} znode_type=persistent result=failure",
            "create znode=/none/x znode_type=persistent result=failure",
            f"delete znode={path} result=success",
        ]


def test_ephemerals_that_go_with_their_session_are_told_of_by_every_member(
    ensemble: Ensemble, lines: Lines
) -> None:
    client = ensemble.connect(ensemble.follower)
    client.submit(OpCode.CREATE, create_request("/e", flags=CreateMode.EPHEMERAL))
    client.submit(OpCode.CLOSE_SESSION)
    ensemble.commit()
    told = lines.take(s=client)[1:]
    assert sorted(told) == [
        f"INFO session=s user=server{sid} operation=ephemeralZNodeDeletionOnSessionCloseOrExpire"
        " znode=/e result=success"
        for sid in (1, 2, 3)
    ]


def test_what_cannot_be_read_is_told_of_by_a_leader_and_not_by_a_learner(
    ensemble: Ensemble, lines: Lines
) -> None:
    """A follower of 3.9.3 has nothing to say of it, except for a multi and a reconfig."""
    for member, told in ((ensemble.leader, 4), (ensemble.follower, 2)):
        client = ensemble.connect(member)
        client.submit(OpCode.MULTI, b"\0")
        client.submit(OpCode.RECONFIG, b"\0")
        client.submit(OpCode.CREATE, b"\0\0\0\x09/x")
        client.submit(OpCode.DELETE, b"\0")
        client.submit(OpCode.SET_ACL, b"\0")
        ensemble.commit()
        assert [reply.err for reply in client.replies()] == [-5] * 5
        said = [line.split("operation=")[1] for line in lines.take()]
        assert sorted(said) == sorted(
            [
                "multiOperation result=failure",
                "reconfig result=failure",
                "create znode_type=persistent result=failure",
                "delete result=failure",
            ][:told]
        )


def test_writes_that_are_never_answered_are_not_told_of_later(
    ensemble: Ensemble, lines: Lines
) -> None:
    member = ensemble.follower
    client = ensemble.connect(member)
    client.submit(OpCode.CREATE, create_request("/a"))
    member.server.end()
    member.role = FakeLearner(member.server)
    again = member.resume(client)
    ensemble.commit()
    lines.take()
    again.connect_response()
    again.submit(OpCode.CREATE, create_request("/b"))
    ensemble.commit()
    assert [line.split("operation=")[1] for line in lines.take()] == [
        "create znode=/b znode_type=persistent result=success"
    ]


def test_a_session_that_ends_takes_its_writes_with_it(ensemble: Ensemble, lines: Lines) -> None:
    member = ensemble.follower
    client = ensemble.connect(member)
    session = ensemble.leader.server.sessions.sessions[client.session_id]
    ensemble.leader.server.close_session(session)
    client.submit(OpCode.CREATE, create_request("/a"))
    ensemble.commit(1)
    ensemble.commit()
    assert client.is_closed
    assert lines.take() == []
    audit = member.server.audit
    assert audit is not None
    assert not audit.under_way


def test_a_learner_forwards_what_it_is_to_tell_of() -> None:
    member = Ensemble(CONFIG).follower
    both = member.server.writes | member.server.screened_writes
    assert both == LEARNER_WRITES
    assert OpCode.CLOSE_SESSION in member.server.writes


def test_identities_of_other_schemes_have_names(lines: Lines) -> None:
    client = world_of().connect()
    authenticate(client, "super:test")
    client.create("/a")
    (line,) = lines.take()
    assert " user=127.0.0.1,super ip=127.0.0.1 " in line
