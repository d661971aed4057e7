"""The console over HTTP: the page, what it is answered, what it is refused, and its writes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pyzk.admin.console.guard import HEADER
from pyzk.config.server import ServerConfig, parse_config
from pyzk.constants import CreateMode, OpCode
from pyzk.data.node import DataNode
from pyzk.errors import ConfigError
from pyzk.jute.records import ACL, AuthPacket, CreateRequest
from pyzk.runtime import admin_console
from pyzk.runtime.admin_console import FILES, MAX_BODY_BYTES, MAX_QUESTION_BYTES, PAGE_HEADERS
from pyzk.runtime.runner import PeerRunner
from tests.conftest import TIMEOUT_FACTOR
from tests.frames import OPEN, StreamClient

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

PATIENCE_S = 30.0 * TIMEOUT_FACTOR
HOST = "127.0.0.1"
FOR_ALL = "pyzk.console.enabled=true\n"
WRITES = "audit.enable=true\npyzk.console.write=true\n"
BOB = "digest bob:secret"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """What the page in a browser sends to one server."""

    def __init__(self, runner: PeerRunner) -> None:
        assert runner.admin is not None
        address = runner.admin.address
        assert address is not None
        self.runner = runner
        self.port = address[1]

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        def run() -> Reply:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)
            with contextlib.closing(connection):
                connection.request(method, path, body, headers or {})
                found = connection.getresponse()
                return Reply(found.status, found.headers, found.read())

        return await asyncio.to_thread(run)

    async def ask(self, name: str, headers: dict[str, str] | None = None, **body: Any) -> Reply:
        """Asks as the page asks; a header without text is left out."""
        sent = {HEADER: "1", "Origin": f"http://{HOST}:{self.port}"} | (headers or {})
        sent = {name: text for name, text in sent.items() if text}
        return await self.request("POST", f"/console/api/{name}", json.dumps(body).encode(), sent)

    async def as_bob(self, name: str, **body: Any) -> Reply:
        return await self.ask(name, {"Authorization": BOB}, **body)


@contextlib.asynccontextmanager
async def console(directory: Path, text: str = "") -> AsyncIterator[Page]:
    config = parse_config(
        f"dataDir={directory}\nclientPort=0\nclientPortAddress={HOST}\npreAllocSize=64\n"
        f"admin.enableServer=true\nadmin.serverAddress={HOST}\nadmin.serverPort=0\n{text}".encode(),
        (),
        (),
    )
    runner = PeerRunner(config)
    await runner.start()
    try:
        assert runner.admin is not None
        await asyncio.wait_for(runner.admin.opened(), PATIENCE_S)
        yield Page(runner)
    finally:
        await runner.close()


@contextlib.asynccontextmanager
async def client_of(page: Page) -> AsyncIterator[StreamClient]:
    client = await StreamClient.connect(*page.runner.client_address)
    try:
        yield client
    finally:
        client.writer.close()


# --- the page -------------------------------------------------------------------------


async def test_the_page_and_its_files_are_served(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        index = await page.request("GET", "/")
        assert (index.status, index.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"<script" in index.body
        for name, kind in FILES.items():
            reply = await page.request("GET", f"/console/{name}")
            assert reply.status == 200
            assert reply.headers["Content-Type"].startswith(kind)
            for header, value in PAGE_HEADERS.items():
                assert reply.headers[header] == value
            tag = reply.headers["ETag"]
            again = await page.request("GET", f"/console/{name}", headers={"If-None-Match": tag})
            assert (again.status, again.body) == (304, b"")


async def test_nothing_else_is_served(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        for path in (
            "/console/",
            "/console",
            "/console/index.html",
            "/console/__init__.py",
            "/console/../console.css",
            "/console/../../__init__.py",
            "/console/..%2f..%2f__init__.py",
            "/console/%2e%2e/visitor.py",
            "/console/....//app.js",
            "//console/app.js",
            "/console/app.js%00.html",
            "/console/api/none",
            "/../../etc/passwd",
        ):
            assert (await page.request("GET", path)).status in (400, 404), path
        assert (await page.request("GET", "/console/api/state")).status == 405
        assert (await page.request("POST", "/", b"")).status == 405


def test_the_page_needs_nothing_that_its_policy_forbids() -> None:
    folder = Path(__file__).parents[2] / "pyzk/admin/console/page"
    assert {each.name for each in folder.iterdir()} == {"index.html", *FILES}
    for each in folder.iterdir():
        text = each.read_text(encoding="utf-8")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert forbidden not in text, each
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "").replace(
            "http://127", ""
        ).replace("/^\\s*[[{]/", ""), each
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "<style" not in index
    assert " style=" not in index
    assert " on" not in index.replace(" on the", "")
    assert all(f'"/console/{name}"' in index for name in FILES)
    assert index.count("<script") == index.count('<script type="module" src=')


async def test_an_answer_is_never_kept_nor_sniffed(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        reply = await page.ask("state")
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Content-Type"] == "application/json"
        assert "Access-Control-Allow-Origin" not in reply.headers


# --- what is asked for ------------------------------------------------------------------


async def test_everything_that_the_page_asks_for_is_answered(tmp_path: Path) -> None:
    async with console(tmp_path) as page, client_of(page) as client:
        await client.call(OpCode.CREATE, CreateRequest("/a", b"data", OPEN, CreateMode.EPHEMERAL))
        state = (await page.ask("state", open=["/", "/none"])).json
        assert state["server"]["mode"] == "standalone"
        assert state["visitor"]["ids"] == [{"scheme": "ip", "id": HOST}]
        assert state["visitor"]["canWrite"] is False
        assert state["members"] is state["epochs"] is None
        assert state["tokens"]["/none"] is None
        assert state["numbers"]["gauges"]["ephemerals"] == 1
        node = (await page.ask("node", path="/a")).json
        assert node["stat"]["kind"] == "ephemeral"
        assert (await page.ask("data", path="/a", offset=1)).json["base64"] == "YXRh"
        children = (await page.ask("children", path="/", locate=["a"])).json
        assert children["located"] == {"a": 0}
        (session,) = (await page.ask("sessions")).json["rows"]
        assert session["id"] == node["stat"]["ephemeralOwner"]
        told = (await page.ask("session", id=session["id"])).json
        assert told["ephemeralPaths"]["paths"] == ["/a"]
        assert (await page.ask("watches")).json["count"] == 0


async def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        for name in ("node", "data", "children"):
            reply = await page.ask(name, path="/none")
            assert (reply.status, reply.json["error"]) == (404, "NO_NODE")
        reply = await page.ask("session", id="0x5")
        assert (reply.status, reply.json["error"]) == (404, "NO_SESSION")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("node", {}),
        ("node", {"path": 1}),
        ("node", {"path": None}),
        ("data", {"path": "/", "offset": "0"}),
        ("data", {"path": "/", "offset": -1}),
        ("data", {"path": "/", "length": 0}),
        ("children", {"path": "/", "start": 1.5}),
        ("children", {"path": "/", "locate": "x"}),
        ("session", {"id": "none"}),
        ("session", {}),
        ("state", {"open": {}}),
        ("state", {"log": "1"}),
    ],
)
async def test_nonsense_is_refused(tmp_path: Path, name: str, body: dict[str, Any]) -> None:
    async with console(tmp_path) as page:
        reply = await page.ask(name, **body)
        assert (reply.status, sorted(reply.json)) == (400, ["error", "message"])


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'"' + b"x" * 100])
async def test_a_body_that_is_no_object_is_refused(tmp_path: Path, body: bytes) -> None:
    async with console(tmp_path) as page:
        reply = await page.request("POST", "/console/api/state", body, {HEADER: "1"})
        assert (reply.status, reply.json["error"]) == (400, "BAD_REQUEST")


async def test_a_large_body_is_refused(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        for name, limit in (("node", MAX_QUESTION_BYTES), ("write", MAX_BODY_BYTES)):
            reply = await page.ask(name, path="x" * limit)
            assert reply.status == 413
        reply = await page.ask("write", path="x" * MAX_QUESTION_BYTES)
        assert reply.status == 403  # it is read, and refused for another reason


async def test_a_long_path_is_no_problem(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        path = "/" + "x" * 200_000
        page.runner.peer.server.tree.load_node(path, DataNode(b"far", -1))
        assert (await page.ask("node", path=path)).json["stat"]["dataLength"] == 3


async def test_no_answer_is_longer_than_a_megabyte(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        tree = page.runner.peer.server.tree
        tree.load_node("/large", DataNode(bytes(range(256)) * 4096, -1))
        for number in range(600):
            tree.load_node(f"/{number:04d}{chr(0x4E00) * 500}", DataNode(b"", -1))
        asked: list[tuple[str, dict[str, Any]]] = [
            ("node", {"path": "/large"}),
            ("data", {"path": "/large", "length": 1 << 30}),
            ("children", {"path": "/", "count": 1 << 30}),
        ]
        for name, body in asked:
            reply = await page.ask(name, **body)
            assert reply.status == 200
            assert len(reply.body) < 1_000_000, name


async def test_the_last_lines_of_the_log_are_told_once(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        log = logging.getLogger("pyzk.test")
        log.warning("a line\nin two")
        logging.getLogger("pyzk.data.quota").warning("Quota exceeded: /secret")
        logging.getLogger("pyzk.audit").warning("user=bob znode=/secret")
        told = (await page.ask("state")).json["log"]
        (line,) = [each for each in told if each["logger"] == "pyzk.test"]
        assert (line["level"], line["message"]) == ("WARNING", "a line\\nin two")
        assert not any("/secret" in each["message"] for each in told)
        assert (await page.ask("state", log=told[-1]["number"])).json["log"] == []
        log.error("another")
        later = (await page.ask("state", log=told[-1]["number"])).json["log"]
        assert [each["message"] for each in later] == ["another"]


# --- who may ask ------------------------------------------------------------------------


async def test_a_visitor_without_rights_sees_no_secrets(tmp_path: Path) -> None:
    async with console(tmp_path) as page, client_of(page) as client:
        await client.call(OpCode.AUTH, AuthPacket(0, "digest", b"bob:secret"), xid=-4)
        acl = [ACL(31, "auth", "")]
        await client.call(OpCode.CREATE, CreateRequest("/top", b"", acl, CreateMode.PERSISTENT))
        await client.call(
            OpCode.CREATE, CreateRequest("/top/secret", b"hush", OPEN, CreateMode.EPHEMERAL)
        )
        (session,) = (await page.ask("sessions")).json["rows"]
        for name, body in {
            "state": {"open": ["/top"]},
            "children": {"path": "/"},
            "session": {"id": session["id"]},
            "watches": {},
        }.items():
            reply = await page.ask(name, **body)  # type: ignore[arg-type]  # a table
            assert reply.status == 200
            assert b"secret" not in reply.body, name
        for name in ("node", "data", "children"):
            reply = await page.ask(name, path="/top")
            assert (reply.status, reply.json["error"]) == (403, "NO_AUTH")
        told = (await page.as_bob("session", id=session["id"])).json
        assert told["ephemeralPaths"]["paths"] == ["/top/secret"]
        assert (await page.as_bob("node", path="/top")).status == 200


async def test_a_proxy_has_no_address_of_its_visitors(tmp_path: Path) -> None:
    async with console(tmp_path, FOR_ALL) as page:
        tree = page.runner.peer.server.tree
        acl = tree.acls.intern((ACL(31, "ip", HOST),))
        tree.load_node("/here", DataNode(b"", acl))
        assert (await page.ask("node", path="/here")).status == 200
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            reply = await page.ask("node", {header: HOST}, path="/here")
            assert (reply.status, reply.json["error"]) == (403, "NO_AUTH")
        acl = tree.acls.intern((ACL(31, "ip", "10.1.2.3"),))
        tree.load_node("/there", DataNode(b"", acl))
        reply = await page.ask("node", {"X-Forwarded-For": "10.1.2.3"}, path="/there")
        assert reply.status == 403


async def test_enforced_authentication_holds_here_too(tmp_path: Path) -> None:
    enforced = "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n"
    async with console(tmp_path, enforced) as page:
        for name in ("node", "children", "data", "sessions", "watches"):
            reply = await page.ask(name, path="/")
            assert (reply.status, reply.json["error"]) == (403, "SESSION_CLOSED_REQUIRE_AUTH")
            assert (await page.as_bob(name, path="/")).status == 200
        state = (await page.ask("state", open=["/"])).json
        assert (state["visitor"]["refused"], state["tokens"]) == (True, {})


@pytest.mark.parametrize("text", ["digest", "basic Ym9iOnNlY3JldA==", "digest nocolon"])
async def test_strange_credentials_are_refused(tmp_path: Path, text: str) -> None:
    async with console(tmp_path) as page:
        reply = await page.ask("state", {"Authorization": text})
        assert (reply.status, reply.json["error"]) == (401, "AUTH_FAILED")
        assert "WWW-Authenticate" not in reply.headers  # no browser shall ask for a password


async def test_another_site_is_told_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        evil: list[dict[str, str]] = [
            {HEADER: ""},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
        ]
        for headers in evil:
            reply = await page.ask("node", headers, path="/")
            assert (reply.status, reply.json["error"]) == (403, "FORBIDDEN")
            preflight = await page.request("OPTIONS", "/console/api/node", headers=headers)
            assert preflight.status == 405
            assert "Access-Control-Allow-Origin" not in preflight.headers


async def test_a_name_that_the_configuration_has_is_this_servers(tmp_path: Path) -> None:
    async with console(tmp_path, "pyzk.console.hosts=zk.example.com,ZK.example.org\n") as page:
        for host in ("zk.example.com", "zk.example.org", "localhost"):
            headers = {"Host": f"{host}:80", "Origin": f"http://{host}:80"}
            assert (await page.ask("node", headers, path="/")).status == 200


async def test_nothing_is_read_from_a_server_that_does_not_serve(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        page.runner.peer.server.is_running = False
        for name in ("node", "children", "data", "sessions", "session", "watches"):
            reply = await page.ask(name, path="/", id="0x1")
            assert (reply.status, reply.json["error"]) == (503, "NOT_SERVING")
        assert (await page.ask("state")).json["server"]["running"] is False
        page.runner.peer.server.is_running = True


# --- whom it is for ---------------------------------------------------------------------

PROXIES = (
    "X-Forwarded-For",
    "x-forwarded-proto",
    "X-Forwarded-Host",
    "Forwarded",
    "X-Real-IP",
    "Via",
)
PATHS = ("/", "/console/app.js", "/console/icon.svg")


async def assert_shut(page: Page, headers: dict[str, str] | None = None) -> None:
    replies = [await page.request("GET", path, headers=headers) for path in PATHS]
    replies += [await page.ask(name, headers, path="/") for name in ("state", "node", "write")]
    for reply in replies:
        assert reply.status == 403
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "ETag" not in reply.headers
        for word in ("pyzk.console.enabled=true", "SSH tunnel", "kubectl port-forward"):
            assert word in reply.body.decode()


async def assert_open(page: Page, headers: dict[str, str] | None = None) -> None:
    for path in PATHS:
        assert (await page.request("GET", path, headers=headers)).status == 200
    assert (await page.ask("node", headers, path="/")).status == 200


@pytest.mark.parametrize("host", ["10.1.2.3", "fe80::1%eth0", "unknown"])
async def test_a_stranger_is_not_let_in_unless_the_configuration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(admin_console, "peer_of", lambda _: (host, 5))
    async with console(tmp_path / "1") as page:
        await assert_shut(page)
        assert (await page.request("GET", "/commands/ruok")).status == 200
    async with console(tmp_path / "2", FOR_ALL) as page:
        await assert_open(page)


@pytest.mark.parametrize("header", PROXIES)
async def test_who_comes_through_a_proxy_is_a_stranger(tmp_path: Path, header: str) -> None:
    async with console(tmp_path / "1", "pyzk.console.enabled=local\n") as page:
        await assert_shut(page, {header: HOST})
        await assert_open(page)
    async with console(tmp_path / "2", FOR_ALL) as page:
        await assert_open(page, {header: "10.1.2.3"})


def test_the_console_is_for_visitors_on_this_machine_unless_told_otherwise() -> None:
    assert ServerConfig().console_enabled == "local"
    with pytest.raises(ConfigError, match="not local or true or false"):
        parse_config(b"dataDir=/d\nclientPort=0\npyzk.console.enabled=yes\n", (), ())


async def test_there_need_be_no_console(tmp_path: Path) -> None:
    async with console(tmp_path, "pyzk.console.enabled=False\n") as page:
        for path in (*PATHS, "/console/", "/console/api/state"):
            assert (await page.request("GET", path)).status == 404
        assert (await page.ask("state")).status == 404
        assert (await page.request("GET", "/commands/ruok")).status == 200


async def test_the_page_is_not_shown_under_another_sites_name(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        for path in PATHS:
            reply = await page.request("GET", path, headers={"Host": "evil.example:80"})
            assert reply.status == 403
            assert b"pyzk.console.hosts" in reply.body
            assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


# --- writing ----------------------------------------------------------------------------


async def test_the_console_is_read_only_unless_told_otherwise(tmp_path: Path) -> None:
    async with console(tmp_path) as page:
        reply = await page.as_bob("write", operation="create", path="/a")
        assert (reply.status, reply.json["error"]) == (403, "READ_ONLY")
        assert "/a" not in page.runner.peer.server.tree.nodes


def test_a_console_that_writes_needs_an_audit_log() -> None:
    with pytest.raises(ConfigError, match=r"needs audit\.enable=true"):
        parse_config(b"dataDir=/d\nclientPort=0\npyzk.console.write=true\n", (), ())


async def test_a_write_goes_the_way_of_all_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pyzk.audit")
    async with console(tmp_path, WRITES) as page:
        server = page.runner.peer.server
        reply = await page.as_bob(
            "write",
            operation="create",
            path="/a",
            base64="aGk=",
            acl=[{"scheme": "auth", "id": "", "perms": "cdrwa"}],
        )
        assert (reply.status, reply.json["path"]) == (200, "/a")
        assert server.tree.nodes["/a"].data == b"hi"
        assert server.connections == {}
        assert server.database.sessions == {}
    events = [each.getMessage() for each in caplog.records if each.name == "pyzk.audit"]
    created = [each for each in events if "operation=create" in each]
    assert len(created) == 1
    for field in (f"user={HOST},bob", f"ip={HOST}", "znode=/a", "result=success"):
        assert field in created[0]


async def test_a_write_that_the_acl_forbids_is_refused(tmp_path: Path) -> None:
    async with console(tmp_path, WRITES) as page:
        tree = page.runner.peer.server.tree
        node = DataNode(b"old", tree.acls.intern((ACL(1, "world", "anyone"),)))
        tree.load_node("/a", node)
        reply = await page.as_bob("write", operation="setData", path="/a", base64="")
        assert (reply.status, reply.json["error"]) == (409, "NO_AUTH")
        assert tree.nodes["/a"].data == b"old"


async def test_the_address_of_a_proxy_writes_nothing(tmp_path: Path) -> None:
    async with console(tmp_path, WRITES + FOR_ALL) as page:
        tree = page.runner.peer.server.tree
        node = DataNode(b"old", tree.acls.intern((ACL(31, "ip", HOST),)))
        tree.load_node("/a", node)
        headers = {"Authorization": BOB, "X-Forwarded-For": HOST}
        reply = await page.ask("write", headers, operation="setData", path="/a", base64="")
        assert (reply.status, reply.json["error"]) == (409, "NO_AUTH")
        reply = await page.as_bob("write", operation="setData", path="/a", base64="")
        assert reply.status == 200


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 401, "AUTH_FAILED"),
        ({"Authorization": BOB, HEADER: ""}, 403, "FORBIDDEN"),
        ({"Authorization": BOB, "Origin": ""}, 403, "FORBIDDEN"),
        ({"Authorization": BOB, "Origin": "null"}, 403, "FORBIDDEN"),
        ({"Authorization": BOB, "Origin": "http://evil.example"}, 403, "FORBIDDEN"),
        (
            {"Authorization": BOB, "Host": "evil.example", "Origin": "http://evil.example"},
            403,
            "FORBIDDEN",
        ),
        ({"Authorization": "basic x:y"}, 401, "AUTH_FAILED"),
    ],
)
async def test_no_other_site_writes(
    tmp_path: Path, headers: dict[str, str], status: int, error: str
) -> None:
    async with console(tmp_path, WRITES) as page:
        reply = await page.ask("write", headers, operation="create", path="/a")
        assert (reply.status, reply.json["error"]) == (status, error)
        assert "/a" not in page.runner.peer.server.tree.nodes


async def test_nonsense_is_not_written(tmp_path: Path) -> None:
    async with console(tmp_path, WRITES) as page:
        reply = await page.as_bob("write", operation="create", path="a")
        assert (reply.status, reply.json["error"]) == (400, "BAD_ARGUMENTS")


async def test_a_write_to_a_full_server_says_so(tmp_path: Path) -> None:
    async with console(tmp_path, f"{WRITES}maxClientCnxns=1\n") as page, client_of(page):
        reply = await page.as_bob("write", operation="create", path="/a")
        assert reply.status == 409
        assert "closed the connection" in reply.json["error"]


async def test_many_writes_at_once_are_all_answered(tmp_path: Path) -> None:
    async with console(tmp_path, f"{WRITES}maxClientCnxns=0\n") as page:
        replies = await asyncio.gather(
            *(page.as_bob("write", operation="create", path=f"/{each}") for each in range(12))
        )
        assert [each.status for each in replies] == [200] * 12
