"""What the admin server tells of one server: numbers, connections, sessions, watches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyzk.admin.answer import Asked
from pyzk.admin.commands import answer
from pyzk.admin.json_text import Entries, Rows
from pyzk.admin.server_answers import MOST_IN_ORDER, dump
from pyzk.config.server import ServerConfig
from pyzk.constants import AddWatchMode, CreateMode, OpCode
from pyzk.jute.records import DeleteRequest, PathWatchRequest
from pyzk.persistence.report import StorageReport
from pyzk.server.arrival import Arrival
from pyzk.server.host import NO_PORT, Host
from tests.admin.asking import ask, body_of, text_of
from tests.quorum.leader_world import LeaderWorld
from tests.server.members import FakeLearner, Member
from tests.world import START_MS, WALL_MS, Client, World


@pytest.fixture
def world() -> World:
    return World(ServerConfig(data_dir="/d", data_log_dir="/l", client_port=2181))


def connections_of(body: dict[str, Any], which: str = "connections") -> list[dict[str, Any]]:
    found = body[which]
    assert isinstance(found, list)
    return found


# --- the server ----------------------------------------------------------------------------


def test_the_configuration_names_the_port_that_is_open_and_the_directories(world: World) -> None:
    world.peer.run_on(Host(("", 4711)))
    body = body_of(world.peer, "conf")
    assert body["client_port"] == 4711
    assert body["data_dir"] == "/d/version-2"
    assert body["data_log_dir"] == "/l/version-2"
    assert body["command"] == "configuration"


def test_a_server_without_a_client_port_has_the_number_of_the_original(world: World) -> None:
    world.peer.run_on(Host(("", NO_PORT)))
    assert body_of(world.peer, "config")["client_port"] == -1


def test_the_directories_have_the_sizes_that_the_storage_reports(world: World) -> None:
    world.peer.run_on(Host(storage_report=lambda: StorageReport(11, 22, 0x1F, 1700000000)))
    assert body_of(world.peer, "dirs")["datadir_size"] == 11
    assert body_of(world.peer, "dirs")["logdir_size"] == 22
    body = body_of(world.peer, "lsnp")
    assert (body["zxid"], body["timestamp"]) == ("1f", 1700000000)


def test_a_server_without_a_snapshot_says_minus_one(world: World) -> None:
    body = body_of(world.peer, "last_snapshot")
    assert (body["zxid"], body["timestamp"]) == ("f" * 16, -1)


def test_a_server_without_a_leader_is_read_only() -> None:
    member = Member(1, World().clock, ServerConfig())
    FakeLearner(member.server, "read-only")
    assert body_of(member.peer, "isro")["read_only"] is True
    assert body_of(member.peer, "srvr")["read_only"] is True
    assert body_of(World().peer, "isro")["read_only"] is False


def test_the_digests_are_those_that_are_kept() -> None:
    world = World()
    client = world.connect()
    for number in range(130):
        client.create(f"/{number}")
    digests = body_of(world.peer, "hash")["digests"]
    assert [list(each) for each in digests] == [["zxid", "digest", "digest_version"]]
    assert digests[0]["zxid"] == 128
    assert digests[0]["digest"] == world.database.digest_log[0][2]


def test_only_a_leader_has_sizes_of_proposals() -> None:
    world = LeaderWorld()
    world.joined(2)
    world.joined(3)
    body = body_of(world.peer, "server_stats")
    assert body["proposal_stats"] == {
        "last_buffer_size": -1,
        "min_buffer_size": -1,
        "max_buffer_size": -1,
    }
    assert list(body)[-4:] == ["proposal_stats", "node_count", "command", "error"]
    assert "proposal_stats" not in body_of(World().peer, "server_stats")


def test_the_numbers_of_the_server_are_those_of_its_metrics(world: World) -> None:
    client = world.connect()
    client.create("/a")
    world.advance(50)
    stats = body_of(world.peer, "srvr")["server_stats"]
    assert stats["packets_received"] == world.server.metrics.packets_received == 2
    assert stats["last_processed_zxid"] == 2
    assert stats["uptime"] == 50
    assert stats["num_alive_client_connections"] == 1
    assert stats["server_state"] == "standalone"
    assert stats["client_response_stats"] == body_of(world.peer, "srvr")["client_response"]


def test_the_sizes_of_answers_are_those_of_frames_without_their_lengths(world: World) -> None:
    client = world.connect()
    client.ping()
    assert body_of(world.peer, "srvr")["client_response"]["last_buffer_size"] == 16
    client.create("/abc")
    assert body_of(world.peer, "srvr")["client_response"] == {
        "last_buffer_size": 24,
        "min_buffer_size": 16,
        "max_buffer_size": 24,
    }
    world.is_disk_held = True
    client.submit(OpCode.DELETE, DeleteRequest("/abc", -1))
    client.submit(OpCode.EXISTS, PathWatchRequest("/abc", False))
    world.sync()
    world.settle()
    assert body_of(world.peer, "srvr")["client_response"]["last_buffer_size"] == 16
    assert body_of(world.peer, "mntr")["response_bytes"] == 16 + 24 + 16 + 16


def test_monitor_has_numbers_and_no_texts(world: World) -> None:
    body = body_of(world.peer, "mntr")
    assert body["znode_count"] == world.tree.node_count
    assert isinstance(body["avg_latency"], float)
    texts = [name for name, value in body.items() if isinstance(value, str)]
    assert texts == ["version", "server_state", "command"]


def test_monitor_is_an_error_while_there_is_no_server(world: World) -> None:
    world.server.end()
    found = ask(world.peer, "monitor")
    assert found.status == 500
    assert "This ZooKeeper instance is not currently serving requests" in text_of(found)


# --- changes -----------------------------------------------------------------------------


def test_reset_statistics_are_those_of_a_fresh_server(world: World) -> None:
    fresh = body_of(world.peer, "srvr")["server_stats"]
    world.connect().create("/a")
    body_of(world.peer, "srst")
    stats = body_of(world.peer, "srvr")["server_stats"]
    for name in ("packets_sent", "packets_received", "client_response_stats", "max_latency"):
        assert stats[name] == fresh[name], name


def test_reset_connections_have_no_numbers_but_when_they_were_made(world: World) -> None:
    client = world.connect()
    client.create("/a")
    assert connections_of(body_of(world.peer, "cons"))[0]["last_operation"] == "CREA"
    body_of(world.peer, "crst")
    connection = connections_of(body_of(world.peer, "cons"))[0]
    assert connection["packets_received"] == connection["packets_sent"] == 0
    assert (connection["last_operation"], connection["last_zxid"]) == ("NA", -1)
    assert connection["established"] == WALL_MS
    assert connection["session_id"] == client.session_id


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("66", 66),
        ("-1", -1),
        ("+7", 7),
        ("007", 7),
        ("9223372036854775807", (1 << 63) - 1),
        ("-9223372036854775808", -(1 << 63)),
        ("٣", 3),
    ],
)
def test_the_trace_mask_is_a_long(world: World, text: str, mask: int) -> None:
    assert body_of(world.peer, "stmk", traceMask=text)["tracemask"] == mask
    assert body_of(world.peer, "gtmk")["tracemask"] == mask


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.0", "0x10", "1_0", " 1", "1 ", "+", "9223372036854775808", "1" * 5000],
)
def test_another_trace_mask_is_refused(world: World, text: str) -> None:
    assert list(body_of(world.peer, "stmk", traceMask=text).items()) == [
        ("error", f"setTraceMask requires long traceMask argument, got {text}"),
        ("command", "set_trace_mask"),
    ]
    assert world.server.trace_mask == 306


def test_a_trace_mask_must_be_given(world: World) -> None:
    body = body_of(world.peer, "stmk", tracemask="1")
    assert body["error"] == "setTraceMask requires long traceMask argument"


# --- lists ---------------------------------------------------------------------------------


def test_a_connection_without_a_session_has_the_same_names(world: World) -> None:
    world.open("::1")
    world.connect()
    one, two = connections_of(body_of(world.peer, "connections"))
    assert list(one) == list(two)
    assert one["remote_socket_address"] == "[0:0:0:0:0:0:0:1]:40001"
    assert (one["session_id"], one["session_timeout"]) == (0, 0)
    assert (one["last_cxid"], one["last_operation"]) == (-1, "NA")


def test_connections_are_listed_under_the_port_they_came_to(world: World) -> None:
    connection = world.peer.accept(Arrival("10.0.0.1", 1, is_secure=True, is_on_secure_port=True))
    assert connection is not None
    Client(world, connection)
    world.connect()
    for command in ("connections", "stats"):
        body = body_of(world.peer, command)
        assert [each["remote_socket_address"] for each in body["secure_connections"]] == [
            "10.0.0.1:1"
        ]
        assert len(body["connections"]) == 1
    brief = connections_of(body_of(world.peer, "stat"))[0]
    assert list(brief) == [
        *("remote_socket_address", "interest_ops", "outstanding_requests"),
        *("packets_received", "packets_sent"),
    ]


def test_a_connection_that_is_not_read_has_no_interest(world: World) -> None:
    client = world.connect()
    client.connection.stalled = 1
    assert connections_of(body_of(world.peer, "connections"))[0]["interest_ops"] == 0


def test_sessions_are_listed_by_when_they_expire(world: World) -> None:
    ids = [world.connect(timeout_ms=timeout_ms).session_id for timeout_ms in (9000, 60000, 9000)]
    expiring = body_of(world.peer, "dump")["expiry_time_to_session_ids"]
    assert list(expiring.values()) == [[ids[0], ids[2]], [ids[1]]]
    assert all(int(at) > START_MS and int(at) % 3000 == 0 for at in expiring)


def test_a_learner_knows_no_expiry_of_sessions() -> None:
    member = Member(1, World().clock, ServerConfig())
    FakeLearner(member.server)
    member.server.sessions.add(5, 9000, START_MS, is_local=True)
    assert body_of(member.peer, "dump")["expiry_time_to_session_ids"] == {}


def test_ephemerals_are_listed_by_session(world: World) -> None:
    one, two = world.connect(), world.connect()
    one.create("/ä", flags=CreateMode.EPHEMERAL)
    two.create("/b", flags=CreateMode.EPHEMERAL)
    two.create('/"', flags=CreateMode.EPHEMERAL)
    two.delete("/b")
    text = text_of(ask(world.peer, "dump"))
    assert f'"{one.session_id}" : [ "/ä" ]' in text
    assert f'"{two.session_id}" : [ "/\\"" ]' in text


def test_very_many_ephemerals_are_listed_as_they_were_created(world: World) -> None:
    client = world.connect()
    paths = [f"/{number}" for number in range(MOST_IN_ORDER + 1)]
    for path in paths:
        client.create(path, flags=CreateMode.EPHEMERAL)
    body = body_of(world.peer, "dump")
    assert body["session_id_to_ephemeral_paths"][str(client.session_id)] == paths


def test_watches_are_listed_by_session_and_by_path(world: World) -> None:
    one, two = world.connect(), world.connect()
    one.exists("/a", watch=True)
    two.exists("/b", watch=True)
    two.add_watch("/a", AddWatchMode.PERSISTENT)
    assert body_of(world.peer, "wchc")["session_id_to_watched_paths"] == {
        str(one.session_id): ["/a"],
        str(two.session_id): ["/b", "/a"],
    }
    assert body_of(world.peer, "wchp")["path_to_session_ids"] == {
        "/a": [one.session_id, two.session_id],
        "/b": [two.session_id],
    }
    summary = body_of(world.peer, "wchs")
    assert (summary["num_connections"], summary["num_paths"]) == (2, 2)
    assert summary["num_total_watches"] == 3


@pytest.mark.parametrize("command", ["connections", "dump", "watches", "watches_by_path"])
def test_a_long_list_shows_those_of_its_beginning_that_are_still_there(command: str) -> None:
    world = World(ServerConfig(max_client_cnxns=0))
    clients = [world.connect() for _ in range(600)]
    for number, client in enumerate(clients):
        client.create(f"/{number}", flags=CreateMode.EPHEMERAL)
        client.exists(f"/{number}", watch=True)
    found = answer(Asked(world.peer, f"/{command}"))
    assert found is not None
    first = next(found.body)
    # Many go that have not been shown, and one comes.
    for client in clients[500:]:
        client.submit(OpCode.CLOSE_SESSION)
    late = world.connect()
    text = (first + b"".join(found.body)).decode()
    assert json.loads(text)["error"] is None
    for client in clients[:500]:
        assert str(client.session_id) in text
    for client in clients[500:]:
        # When they expire was in the first piece, in one list.
        assert text.count(str(client.session_id)) == (command == "dump")
    assert str(late.session_id) not in text


def test_a_dump_leaves_out_who_has_gone_since_its_beginning(world: World) -> None:
    clients = [world.connect(timeout_ms=timeout_ms) for timeout_ms in (9000, 20000, 30000)]
    for number, client in enumerate(clients):
        client.create(f"/{number}", flags=CreateMode.EPHEMERAL)
    fields = dump(Asked(world.peer, "/dump"))
    lists = []
    for name in ("expiry_time_to_session_ids", "session_id_to_ephemeral_paths"):
        entries = fields[name]
        assert isinstance(entries, Entries)
        members = iter(entries.members)
        next(members)
        lists.append(members)
    clients[1].submit(OpCode.CLOSE_SESSION)
    expiring, ephemerals = ([*each] for each in lists)
    assert [list(rows.members) for _, rows in expiring if isinstance(rows, Rows)] == [
        [clients[2].session_id]
    ]
    assert [owner for owner, _ in ephemerals] == [clients[2].session_id]


def test_whoever_serves_is_ok(world: World) -> None:
    assert body_of(world.peer, "ruok") == {"command": "ruok", "error": None}
