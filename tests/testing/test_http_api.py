"""Faults over HTTP: every endpoint, the messages about wrong calls, and who is kept out."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from pyzk.constants import ErrorCode, OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.testing import FixtureError, ZooKeeperServer
from pyzk.testing.control import http as control_http
from pyzk.testing.control.api import ENDPOINTS, KEPT_FAULTS, ControlApi
from pyzk.testing.control.http import ControlEndpoint
from tests.frames import create_request
from tests.testing.raw import PATIENCE_S, RawClient

Json = dict[str, Any]


class Caller:
    """One keep-alive connection to the endpoint."""

    def __init__(self, url: str) -> None:
        self.host = url.removeprefix("http://")
        self.connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S)

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Json]:
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        assert response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(response.read())

    def get(self, path: str) -> Json:
        status, answer = self.raw("GET", path)
        assert status == 200, answer
        return answer

    def post(self, name: str, /, **arguments: object) -> Json:
        status, answer = self.try_post(name, **arguments)
        assert status == 200, answer
        return answer

    def try_post(self, name: str, /, **arguments: object) -> tuple[int, Json]:
        body = json.dumps(arguments).encode()
        return self.raw("POST", f"/{name}", body, {"Content-Type": "application/json"})

    def refused(self, name: str, /, **arguments: object) -> str:
        status, answer = self.try_post(name, **arguments)
        assert status == 400, answer
        return str(answer["error"])


@pytest.fixture
def server() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(virtual_clock=True, leaks="ignore") as server:
        yield server


@pytest.fixture
def call(server: ZooKeeperServer) -> Iterator[Caller]:
    with ControlEndpoint(server) as endpoint:
        caller = Caller(endpoint.url)
        yield caller
        caller.connection.close()


def session_of(client: RawClient) -> str:
    return f"0x{client.session_id & (1 << 64) - 1:x}"


# --- inspection -----------------------------------------------------------------------


def test_the_list_says_what_there_is(server: ZooKeeperServer, call: Caller) -> None:
    answer = call.get("/")
    assert answer["connect_string"] == server.connect_string
    assert answer["state"] == "running"
    by_path = {entry["path"]: entry for entry in answer["endpoints"]}
    assert list(by_path) == [endpoint.path for endpoint in ENDPOINTS]
    assert by_path["/fail"]["arguments"]["operation"] == "a string; required"
    assert by_path["/fail"]["arguments"]["times"] == "an integer, or null: every time; default 1"
    assert by_path["/stall_disk"]["arguments"]["on"] == "true or false; default true"
    assert by_path["/wait_for_node"]["arguments"]["data"].endswith("; optional")


def test_it_says_what_the_server_has(server: ZooKeeperServer, call: Caller) -> None:
    with RawClient(server) as client:
        client.create("/a", "é".encode())
        client.create("/b", b"\xff", flags=1)
        client.exists("/a", watch=True)
        assert call.get("/sessions") == {
            "sessions": [
                {
                    "session": session_of(client),
                    "timeout": 10.0,
                    "address": client.address,
                    "ephemerals": ["/b"],
                }
            ]
        }
        assert call.get("/watches") == {
            "watches": [{"path": "/a", "kind": "data", "session": session_of(client)}]
        }
        assert call.get("/tree") == {"tree": {"/a": "é", "/b": {"base64": "/w=="}}}
        assert call.get("/tree?path=%2Fa") == {"tree": {"/a": "é"}}
        assert any("create" in line for line in call.get("/events")["events"])
        assert session_of(client) in call.get("/report")["report"]


# --- orders ---------------------------------------------------------------------------


def test_a_tree_goes_in_as_it_comes_out(server: ZooKeeperServer, call: Caller) -> None:
    tree = {"/a": "x", "/a/b": {"base64": "/w=="}, "/c": ""}
    call.post("load", tree=tree)
    assert server.tree() == {"/a": b"x", "/a/b": b"\xff", "/c": b""}
    assert call.get("/tree")["tree"] == tree
    call.post("load", tree={"/c": None})
    assert call.refused("load", tree={"/a": 1}) == (
        'the data of /a is 1, not a string or {"base64": "..."}'
    )
    assert "the data of /a" in call.refused("load", tree={"/a": {"base64": "*"}})
    assert "the data of /a" in call.refused("load", tree={"/a": {"base64": 1}})
    assert "the data of /a" in call.refused("load", tree={"/a": "\ud800"})
    assert "is not a path of a znode" in call.refused("load", tree={"/a//b": ""})


def test_sessions_and_connections(server: ZooKeeperServer, call: Caller) -> None:
    with RawClient(server) as first:
        first.create("/e", flags=1)
        call.post("drop_connection", client=first.address)
        assert first.is_cut()
    with RawClient(server, session=first) as again:
        call.post("expire_session", session=session_of(again))
        assert server.tree() == {}
        assert again.is_cut()
    assert call.refused("expire_session", session="0x7").startswith("there is no session 0x7; open")
    with RawClient(server) as client:
        assert call.post("drop_connections") == {"dropped": 1}
        assert client.is_cut()
    call.post("reject_connections")
    with RawClient(server, greet=False) as client:
        assert client.is_cut()
    call.post("reject_connections", on=False)
    with RawClient(server):
        pass


def test_faults_are_made_counted_and_removed(server: ZooKeeperServer, call: Caller) -> None:
    answer = call.post("fail", operation="create", error="NodeExists")
    assert answer == {"fault": "1", "text": str(server.faults[0])}
    with RawClient(server) as client:
        assert client.create("/a").err == ErrorCode.NODE_EXISTS
        assert client.create("/a").err == 0
        second = call.post("fail", operation="create", error=-101, times=None, path="/b")["fault"]
        assert client.create("/b").err == client.create("/b").err == ErrorCode.NO_NODE
        text = str(server.faults[0])
        assert call.get("/faults")["faults"] == [
            {"fault": "1", "text": answer["text"], "fired": 1, "in_force": False},
            {"fault": "2", "text": text, "fired": 2,
             "in_force": True},
        ]  # fmt: skip
        call.post("remove_fault", fault=second)
        assert client.create("/b").err == 0
        other = call.post("fail", operation="any", error="NoAuth", times=None, client="0x1")
        assert client.create("/c").err == 0
        assert other["fault"] == "3"
        call.post("reset_faults")
        assert call.get("/faults") == {"faults": []}
    assert call.refused("remove_fault", fault="3") == (
        "there is no fault '3'; GET /faults lists them"
    )


def test_delays_and_silence(server: ZooKeeperServer, call: Caller) -> None:
    call.post("delay", operation="create", seconds=3)
    with RawClient(server) as client:
        xid = client.submit(OpCode.CREATE, create_request("/a"))
        server.wait_until(lambda: server.faults[0].fired, "the delay hits")
        assert client.is_quiet()
        call.post("advance", seconds=3)
        assert client.reply().xid == xid
        call.post("reset_faults")
        call.post("no_response", operation="exists")
        client.submit(OpCode.EXISTS, PathWatchRequest("/a", False))
        call.post("wait_until_idle")
        assert client.is_quiet()


def test_time_passes_on_order(server: ZooKeeperServer, call: Caller) -> None:
    with RawClient(server, timeout_ms=10_000) as client:
        client.create("/e", flags=1)
        call.post("advance", seconds=15, keep_sessions=True)
        assert call.get("/tree")["tree"] == {"/e": ""}
        call.post("advance", seconds=15)
        assert call.get("/tree")["tree"] == {}


def test_pause_kill_restart_and_reset(server: ZooKeeperServer, call: Caller) -> None:
    call.post("pause")
    assert call.get("/status")["state"] == "paused"
    status, answer = call.try_post("expire_session", session="0x1")
    assert (status, answer) == (409, {"error": "the server is paused: call resume() first"})
    call.post("resume")
    call.post("load", tree={"/a": ""})
    call.post("stall_disk")
    call.post("load", tree={"/lost": ""})
    call.post("kill")
    assert call.try_post("load", tree={})[0] == 409
    assert call.try_post("kill")[0] == 409
    call.post("restart")
    assert call.get("/tree")["tree"] == {"/a": ""}
    call.post("fail", operation="create", error="NoAuth")
    call.post("reset")
    assert call.get("/tree") == {"tree": {}}
    assert call.get("/faults") == {"faults": []}


def test_waiting(server: ZooKeeperServer, call: Caller) -> None:
    status, answer = call.try_post("wait_for_session", timeout=0.01)
    assert status == 408
    assert answer["error"].startswith("no session is connected; open are none (waited 0.01 s)")
    with RawClient(server) as client:
        found = call.post("wait_for_session")["session"]
        assert found["session"] == session_of(client)
        call.post("load", tree={"/a": "x"})
        call.post("wait_for_node", path="/a", data="x")
        call.post("wait_for_node", path="/b", exists=False)
        client.get_data("/a", watch=True)
        assert call.post("wait_for_watch", path="/a", kind="data", client=found["session"]) == {
            "watch": {"path": "/a", "kind": "data", "session": found["session"]}
        }
        call.post("wait_until_idle")
        client.end()
    assert call.post("wait_for_session", session=found["session"], exists=False) == {
        "session": None
    }
    assert call.refused("wait_until_idle", timeout=601) == (
        "/wait_until_idle: argument 'timeout' is 601, not 0 to 600 seconds"
    )


def test_a_wait_does_not_keep_others_out(server: ZooKeeperServer, call: Caller) -> None:
    answers: list[Json] = []
    other = Caller(f"http://{call.host}")
    waiting = threading.Thread(
        target=lambda: answers.append(other.post("wait_for_node", path="/a"))
    )
    waiting.start()
    call.post("load", tree={"/a": ""})
    waiting.join(PATIENCE_S)
    assert answers == [{}]
    other.connection.close()


def test_those_who_wait_hear_of_the_end(server: ZooKeeperServer, call: Caller) -> None:
    answers: list[tuple[int, Json]] = []
    other = Caller(f"http://{call.host}")

    def wait() -> None:
        answers.append(other.try_post("wait_for_node", path="/a"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    call.post("kill")
    waiting.join(PATIENCE_S)
    assert answers[0][0] == 409
    assert "killed" in answers[0][1]["error"]
    other.connection.close()


# --- wrong calls ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("fail", {"operation": "create"}, "/fail: argument 'error' is missing, a code such as"),
        ("fail", {"operation": "getDat", "error": -1}, "unknown operation 'getDat' (did you mean"),
        ("fail", {"operation": "get", "error": "NoNod"}, "unknown error 'NoNod' (did you mean"),
        ("fail", {"operation": "get", "error": "NoNode", "times": 0}, "times is 0; give 1 or more"),
        ("fail", {"operation": "get", "error": "NoNode", "times": "1"},
         "/fail: argument 'times' is '1', not an integer"),
        ("fail", {"operation": "get", "error": "NoNode", "times": True},
         "/fail: argument 'times' is True, not an integer"),
        ("delay", {"operation": "get", "seconds": -1}, "a delay of -1 s"),
        ("advance", {"seconds": 1e10}, "time cannot advance by 10000000000.0 s"),
        ("stall_disk", {"on": 1}, "/stall_disk: argument 'on' is 1, not true or false"),
        ("drop_connection", {"cleint": 1},
         "/drop_connection: unknown argument 'cleint' (did you mean client?); it takes client"),
        ("pause", {"x": 1}, "/pause: unknown argument 'x'; it takes none"),
        ("expire_session", {"session": "me"}, "'me' is not a session id"),
        ("load", {"tree": []}, "/load: argument 'tree' is [], not an object of paths and data"),
        ("resume", {}, "resume() ends a pause; the server is running"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_as_in_python(
    call: Caller, name: str, arguments: Json, error: str
) -> None:
    assert call.refused(name, **arguments).startswith(error)


def test_wrong_paths_and_methods(call: Caller) -> None:
    status, answer = call.try_post("expire_sesion")
    assert status == 404
    assert answer["error"] == (
        "unknown endpoint /expire_sesion (did you mean /expire_session?); GET / lists them"
    )
    assert call.raw("GET", "/pause") == (405, {"error": "/pause takes POST, not GET"})
    assert call.try_post("sessions") == (405, {"error": "/sessions takes GET, not POST"})
    assert call.raw("GET", "/tree?pth=/")[0] == 400
    assert call.raw("PUT", "/tree", b"")[0] == 405


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "the body is not JSON: "),
        (b"\xff", "the body is not JSON: "),
        (b"[" * 100_000, "the body is not JSON: "),
        (b'{"seconds": NaN}', "the body is not JSON: NaN is not a value of JSON"),
        (b"[]", "the body is not a JSON object; arguments are given by name"),
    ],
)
def test_what_is_no_json(call: Caller, body: bytes, error: str) -> None:
    status, answer = call.raw("POST", "/advance", body, {"Content-Type": "application/json"})
    assert status == 400
    assert answer["error"].startswith(error)
    assert call.get("/status")["state"] == "running"


def test_an_empty_body_is_no_argument(call: Caller) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert call.raw("POST", "/drop_connections", b"", kind) == (200, {"dropped": 0})


# --- who is kept out ------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_host_is_refused(call: Caller, host: str) -> None:
    status, answer = call.raw("GET", "/tree", headers={"Host": host})
    assert status == 403
    assert answer["error"] == f"Host is {host!r}; it must name this machine: 127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:2", "[::1]"])
def test_this_machine_has_names(call: Caller, host: str) -> None:
    assert call.raw("GET", "/status", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_what_a_browser_sends_unasked_is_refused(
    server: ZooKeeperServer, call: Caller, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert call.raw("POST", "/pause", b"{}", headers)[0] == 415
    assert call.raw("OPTIONS", "/pause")[0] == 405
    assert server.state == "running"


def test_bodies_have_a_limit(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "MAX_BODY_BYTES", 20)
    kind = {"Content-Type": "application/json"}
    assert call.raw("POST", "/advance", b'{"seconds":1}'.ljust(20), kind)[0] == 200
    status, answer = call.raw("POST", "/advance", b'{"seconds":1}'.ljust(21), kind)
    assert status == 413
    assert answer["error"] == "a body has at most 20 bytes, this one 21"
    chunked = kind | {"Transfer-Encoding": "chunked"}
    assert call.raw("POST", "/advance", b"0\r\n\r\n", chunked)[0] == 411


def test_a_body_that_is_cut(call: Caller) -> None:
    host, port = call.host.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as sock:
        sock.sendall(
            b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n{}"
        )
        sock.shutdown(socket.SHUT_WR)
        assert b"the body has less than 9 bytes" in sock.makefile("rb").read()


def _talk(call: Caller, text: bytes) -> bytes:
    host, port = call.host.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as sock:
        sock.sendall(text)
        return sock.makefile("rb").read()


def test_a_length_of_many_digits(call: Caller) -> None:
    answer = _talk(
        call,
        b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %s\r\n\r\n" % (b"9" * 5000),
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_body_of_a_question_is_no_request(server: ZooKeeperServer, call: Caller) -> None:
    order = b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    order += b"Content-Length: 2\r\n\r\n{}"
    question = b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(order)
    assert _talk(call, question + order).count(b"HTTP/1.1 200") == 1
    assert server.state == "running"


def test_connections_have_a_limit(server: ZooKeeperServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "MAX_CONNECTIONS", 1)
    with ControlEndpoint(server) as endpoint:
        first, second = Caller(endpoint.url), Caller(endpoint.url)
        first.get("/status")
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            second.get("/status")
        first.connection.close()
        second.connection.close()


def test_old_faults_are_forgotten(server: ZooKeeperServer) -> None:
    api = ControlApi(server)
    for _ in range(KEPT_FAULTS + 1):
        api.call("POST", "/fail", {"operation": "ping", "error": "NoAuth"})
    faults = api.call("GET", "/faults", {})["faults"]
    assert len(faults) == KEPT_FAULTS
    assert faults[0]["fault"] == "2"


# --- its life -------------------------------------------------------------------------


def test_a_port_on_request_and_back(server: ZooKeeperServer) -> None:
    with ControlEndpoint(server) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        with pytest.raises(FixtureError, match=f"cannot listen on 127.0.0.1:{port}: Address alr"):
            ControlEndpoint(server, port).__enter__()
        with urllib.request.urlopen(f"{endpoint.url}/status", timeout=PATIENCE_S) as answer:
            assert answer.status == 200
    assert not any(thread.name == "pyzk-control" for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
