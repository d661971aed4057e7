"""Each fault on the wire: what the client gets, what the server did, when it is over."""

from __future__ import annotations

import pytest

from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.jute.records import PathWatchRequest, SetDataRequest
from pyzk.testing import FixtureError, ZooKeeperServer
from tests.frames import create_request, encode_request
from tests.testing.raw import RawClient

pytestmark = pytest.mark.zk(virtual_clock=True, leaks="ignore")


def _get(path: str) -> PathWatchRequest:
    return PathWatchRequest(path, False)


# --- fail -----------------------------------------------------------------------------


def test_fail_answers_with_the_error_and_does_nothing(
    server: ZooKeeperServer, client: RawClient
) -> None:
    fault = server.fail("create", "NodeExists")
    assert client.create("/a").err == ErrorCode.NODE_EXISTS
    assert server.tree() == {}
    assert fault.fired == 1
    assert server.faults == []
    assert client.create("/a").err == 0


def test_fail_counts(server: ZooKeeperServer, client: RawClient) -> None:
    server.load({"/a": b""})
    server.fail("getData", -4, times=2)
    assert [client.get_data("/a").err for _ in range(3)] == [-4, -4, 0]
    fault = server.fail("getData", -4, times=None)
    assert [client.get_data("/a").err for _ in range(5)] == [-4] * 5
    fault.remove()
    assert client.get_data("/a").err == 0
    assert fault.fired == 5


def test_fail_in_a_block(server: ZooKeeperServer, client: RawClient) -> None:
    with server.fail("exists", "ConnectionLoss", times=None) as fault:
        assert client.exists("/").err == ErrorCode.CONNECTION_LOSS
    assert client.exists("/").err == 0
    assert fault.fired == 1


def test_fail_answers_in_its_turn(server: ZooKeeperServer, client: RawClient) -> None:
    """Behind a write that is on its way, as any answer to the same client."""
    server.fail("getData", "SystemError")
    server.stall_disk()
    client.submit(OpCode.CREATE, create_request("/a"), 1)
    client.submit(OpCode.GET_DATA, _get("/a"), 2)
    client.submit(OpCode.GET_DATA, _get("/a"), 3)
    server.wait_until(lambda: server._engine.server.outstanding == 3)
    assert client.is_quiet()
    server.stall_disk(False)
    assert [(reply.xid, reply.err) for reply in (client.reply() for _ in range(3))] == [
        (1, 0),
        (2, ErrorCode.SYSTEM_ERROR),
        (3, 0),
    ]


def test_fail_hits_within_a_chunk(server: ZooKeeperServer, client: RawClient) -> None:
    server.load({"/a": b""})
    server.fail("setData", "BadVersion")
    client.send(
        encode_request(1, OpCode.GET_DATA, _get("/a"))
        + encode_request(2, OpCode.SET_DATA, SetDataRequest("/a", b"x", -1))
        + encode_request(3, OpCode.SET_DATA, SetDataRequest("/a", b"y", -1))
    )
    assert [client.reply().err for _ in range(3)] == [0, ErrorCode.BAD_VERSION, 0]
    assert server.tree() == {"/a": b"y"}


def test_fail_for_one_client_and_one_path(server: ZooKeeperServer, client: RawClient) -> None:
    server.load({"/a": b"", "/b": b""})
    with RawClient(server) as other:
        server.fail("getData", "NoAuth", times=None, client=client.session_id, path="/a")
        assert client.get_data("/a").err == ErrorCode.NO_AUTH
        assert client.get_data("/b").err == 0
        assert other.get_data("/a").err == 0


@pytest.mark.parametrize("operation", ["ping", "any"])
def test_pings_are_meant_by_name_only(
    server: ZooKeeperServer, client: RawClient, operation: str
) -> None:
    server.fail(operation, "SystemError", times=None)
    assert client.ping().err == (ErrorCode.SYSTEM_ERROR if operation == "ping" else 0)
    assert client.exists("/").err == (0 if operation == "ping" else ErrorCode.SYSTEM_ERROR)


def test_the_first_rule_wins_and_spent_ones_make_room(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.fail("exists", -1)
    server.fail("exists", -2)
    assert [client.exists("/").err for _ in range(3)] == [-1, -2, 0]


def test_reset_faults(server: ZooKeeperServer, client: RawClient) -> None:
    server.fail("exists", -1, times=None)
    server.delay("getData", 10)
    server.stall_disk()
    server.reject_connections()
    server.reset_faults()
    assert client.exists("/").err == 0
    assert client.get_data("/").err == 0
    assert client.create("/a").err == 0
    RawClient(server).close()


# --- delay ----------------------------------------------------------------------------


def test_delay_holds_a_request_and_what_follows_it(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.delay("create", 5, times=1)
    client.submit(OpCode.CREATE, create_request("/a"), 1)
    client.submit(OpCode.PING, xid=Xid.PING)
    server.wait_until(lambda: len(_held(server)) == 2)
    with RawClient(server) as other:
        assert other.exists("/a").err == ErrorCode.NO_NODE
        server.advance(4.9)
        assert other.exists("/a").err == ErrorCode.NO_NODE
        assert client.is_quiet()
        server.advance(0.1)
        assert other.exists("/a").err == 0
    assert client.reply().xid == 1
    assert client.reply().xid == Xid.PING


def test_answers_after_a_delay_keep_their_order(server: ZooKeeperServer, client: RawClient) -> None:
    server.delay("exists", 1)
    for xid in (1, 2, 3):
        client.submit(OpCode.EXISTS, _get("/"), xid)
    server.wait_until(lambda: len(_held(server)) == 3)
    for xid in (1, 2, 3):
        assert client.is_quiet()
        server.advance(1)
        assert client.reply().xid == xid


def _held(server: ZooKeeperServer) -> list[bytes]:
    return [frame for link in server._engine.links for frame in link._held]


def test_a_delayed_request_arrives_though_its_client_has_gone(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        server.delay("create", 1)
        client.submit(OpCode.CREATE, create_request("/a"))
        server.wait_until(lambda: len(_held(server)) == 1)
    server.advance(1)
    server.wait_for_node("/a")
    server.wait_until(lambda: not server._engine.links)


def test_a_delayed_request_is_lost_with_a_dropped_connection(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.delay("create", 1)
    client.submit(OpCode.CREATE, create_request("/a"))
    server.wait_until(lambda: len(_held(server)) == 1)
    assert server.drop_connections() == 1
    server.advance(2)
    assert server.tree() == {}


def test_delay_in_real_time() -> None:
    with ZooKeeperServer() as server, RawClient(server) as client:
        server.delay("exists", 0.02)
        assert client.exists("/").err == 0
        client.end()


def test_delay_of_the_handshake(server: ZooKeeperServer) -> None:
    server.delay("connect", 1)
    with RawClient(server, greet=False) as client:
        client.greet()
        server.wait_until(lambda: len(_held(server)) == 1)
        assert client.is_quiet()
        server.advance(1)
        assert client.welcome() != 0


def test_delay_of_an_event(server: ZooKeeperServer, client: RawClient) -> None:
    """The event is late, and what follows it is not earlier."""
    server.load({"/a": b"", "/b": b""})
    server.delay("event", 3, path="/a")
    assert client.get_data("/a", watch=True).err == 0
    assert client.get_data("/b", watch=True).err == 0
    with RawClient(server) as other:
        assert other.set_data("/b", b"1").err == 0
        assert client.reply().event == (3, "/b")
        assert other.set_data("/a", b"2").err == 0
        assert client.is_quiet()
        client.submit(OpCode.GET_DATA, _get("/a"), 9)
        server.advance(2)
        assert client.is_quiet()
        server.advance(1)
    assert client.reply().event == (3, "/a")
    assert client.reply().xid == 9


def test_an_event_is_held_beyond_the_end_of_its_session(
    server: ZooKeeperServer, client: RawClient
) -> None:
    """The server closes the connection; what it wrote before comes out first."""
    client.create("/a")
    client.exists("/a", watch=True)
    server.delay("event", 3)
    server.load({"/a": b"x"})
    client.submit(OpCode.CLOSE_SESSION, xid=9)
    server.wait_for_session(client.session_id, exists=False)
    assert client.is_quiet()
    server.advance(3)
    assert client.reply().event == (3, "/a")
    assert client.reply().xid == 9
    assert client.is_cut()


def test_a_client_goes_while_an_event_is_held(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        client.exists("/a", watch=True)
        fault = server.delay("event", 3)
        server.load({"/a": b""})
        assert fault.fired == 1
    server.wait_until(lambda: not server._engine.links)
    server.advance(5)


def test_a_request_behind_a_delay_may_be_lost_too(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.delay("create", 1, times=1)
    server.no_response("create", executed=False)
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.EXISTS, _get("/a"))
    server.wait_until(lambda: len(_held(server)) == 2)
    server.advance(1)
    assert _held(server) == []
    assert server.tree() == {}
    assert client.is_quiet()


def test_a_delay_and_a_failure_of_the_same_request(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.delay("create", 1, times=1)
    server.fail("create", "NoAuth")
    client.submit(OpCode.CREATE, create_request("/a"))
    server.wait_until(lambda: len(_held(server)) == 1)
    server.advance(1)
    assert client.reply().err == ErrorCode.NO_AUTH


# --- no response ----------------------------------------------------------------------


def test_no_response_is_executed(server: ZooKeeperServer, client: RawClient) -> None:
    server.no_response("create")
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.PING, xid=Xid.PING)
    server.wait_for_node("/a")
    server.wait_until_idle()
    assert client.is_quiet()
    server.drop_connection(client.session_id)
    assert client.is_cut()
    with RawClient(server, session=client) as again:
        assert again.exists("/a").err == 0, "only once"


def test_no_response_not_executed(server: ZooKeeperServer, client: RawClient) -> None:
    server.no_response("create", executed=False)
    assert client.exists("/").err == 0
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.CREATE, create_request("/b"))
    server.wait_until_idle()
    assert server.tree() == {}
    assert client.is_quiet()
    server.advance(11)
    assert server.sessions == [], "its pings do not arrive either"


def test_no_response_to_the_handshake(server: ZooKeeperServer) -> None:
    server.no_response("connect")
    with RawClient(server, greet=False) as client:
        client.greet()
        server.wait_for_session()
        assert client.is_quiet()


# --- connections and sessions ---------------------------------------------------------


def test_reject_connections(server: ZooKeeperServer, client: RawClient) -> None:
    server.reject_connections()
    with RawClient(server, greet=False) as other:
        assert other.is_cut()
    assert client.exists("/").err == 0, "those that are there stay"
    server.reject_connections(False)
    RawClient(server).close()


def test_drop_connection(server: ZooKeeperServer, client: RawClient) -> None:
    with RawClient(server) as other:
        server.drop_connection(client.session_id)
        assert client.is_cut()
        with pytest.raises(FixtureError, match="is not connected now; wait_for_session"):
            server.drop_connection(client.session_id)
        server.drop_connection(other.address)
        assert other.is_cut()
        with pytest.raises(FixtureError, match=f"{other.address} is not connected"):
            server.drop_connection(other.address)
    assert len(server.sessions) == 2
    assert server.drop_connections() == 0


def test_expire_session(server: ZooKeeperServer, client: RawClient) -> None:
    client.create("/e", flags=1)
    server.expire_session(client.session_id)
    assert server.sessions == []
    assert server.tree() == {}
    assert client.is_cut()
    with RawClient(server, session=client, greet=False) as again:
        again.greet()
        assert again.welcome() == 0
    with pytest.raises(FixtureError, match=r"there is no session 0x.*; open are none"):
        server.expire_session(client.session_id)


def test_expire_a_session_that_is_not_connected(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        client.create("/e", flags=1)
        server.drop_connection(client.session_id)
    server.expire_session(hex(client.session_id))
    assert server.tree() == {}


def test_a_kazoo_client_stands_for_its_session(server: ZooKeeperServer) -> None:
    class Kazoo:
        client_id: tuple[int, bytes] | None
        _session_id: int

    with RawClient(server) as client:
        kazoo = Kazoo()
        kazoo.client_id = None
        with pytest.raises(FixtureError, match="has no session yet"):
            server.expire_session(kazoo)
        kazoo.client_id = (client.session_id, b"")
        server.drop_connection(kazoo)
        kazoo.client_id = None
        kazoo._session_id = client.session_id
        server.expire_session(kazoo)
    with pytest.raises(FixtureError, match="does not name a session"):
        server.expire_session(object())
    with pytest.raises(FixtureError, match="is not a session id"):
        server.expire_session("first")


# --- the disk -------------------------------------------------------------------------


def test_a_stalled_disk_answers_no_write(server: ZooKeeperServer, client: RawClient) -> None:
    server.stall_disk()
    client.submit(OpCode.CREATE, create_request("/a"))
    with RawClient(server, greet=False) as other:
        assert client.is_quiet()
        server.wait_until(lambda: server._engine.server.outstanding == 1)
        assert server.tree() == {}
        server.stall_disk(False)
        assert client.reply().err == 0
        other.greet()
        assert other.welcome()


def test_an_event_behind_a_held_one_may_be_held_in_its_turn() -> None:
    with ZooKeeperServer(virtual_clock=True) as server, RawClient(server) as client:
        for path in ("/a", "/b", "/c"):
            client.create(path)
            client.get_data(path, watch=True)
        server.delay("event", 1, path="/a")
        later = server.delay("event", 5, path="/b")
        for path in ("/a", "/b", "/c"):
            server.load({path: "1"})
        server.advance(2)
        assert client.reply().xid == Xid.NOTIFICATION
        assert later.fired == 1
        assert client.is_quiet()
        server.advance(5)
        assert [client.reply().xid for _ in "bc"] == [Xid.NOTIFICATION] * 2


def test_a_client_that_went_while_its_request_is_held_can_be_dropped(
    server: ZooKeeperServer,
) -> None:
    client = RawClient(server)
    fault = server.delay("create", 60)
    client.submit(OpCode.CREATE, create_request("/a"))
    server.wait_until(lambda: fault.fired)
    client.sock.close()
    server.wait_until(lambda: _is_gone(server))
    assert server.drop_connections() == 1
    assert server.drop_connections() == 0


def _is_gone(server: ZooKeeperServer) -> bool:
    return all(link.outlet is None for link in server._engine.links)


def test_of_two_requests_with_one_number_the_right_one_fails(
    server: ZooKeeperServer, client: RawClient
) -> None:
    server.fail("create", "NoAuth", path="/b")
    records = [create_request(path) for path in ("/a", "/b", "/c")]
    client.send(b"".join(encode_request(7, OpCode.CREATE, record) for record in records))
    errors = [client.reply().err for _ in records]
    assert errors == [0, ErrorCode.NO_AUTH, 0]
    assert set(server.tree()) == {"/a", "/c"}


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1, 10**400])
def test_a_delay_is_a_number_of_seconds(server: ZooKeeperServer, seconds: float) -> None:
    with pytest.raises(FixtureError, match="a delay of"):
        server.delay("create", seconds)


def test_what_can_never_hit_is_told(server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match="multi has no path"):
        server.fail("multi", "NoNode", path="/a")
    with pytest.raises(FixtureError, match="32 bits"):
        server.fail("create", -(1 << 40))
