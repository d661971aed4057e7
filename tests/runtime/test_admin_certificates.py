"""Visitors of the admin port who come by TLS: what the console and the commands take a certificate
for, and what the console shows of what ACLs of the scheme x509 forbid."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from conformance.secured import client_context
from pyzk.admin.console.guard import HEADER
from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import ACL, CreateRequest, PathWatchRequest
from pyzk.runtime.runner import PeerRunner
from tests.certificates import Authority, write
from tests.frames import OPEN, StreamClient
from tests.runtime.admin import AS_SUPER, LOOPBACK, Reply, admin_server, ask, place_of

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

ROOT: Final = Authority("Root")
OTHER: Final = Authority("Other")
SERVER: Final = ROOT.issue("server", names=[LOOPBACK])
BOB: Final = client_context(ROOT.issue("bob", names=[LOOPBACK]))
ALICE: Final = client_context(ROOT.issue("alice", names=[LOOPBACK]))
NOBODY: Final = client_context(None)
ANOTHER_BOB: Final = client_context(OTHER.issue("bob", names=[LOOPBACK]))
"""Whose certificate says the name that bob's says, and is signed by another authority."""
SECURE: Final = "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\n"
WRITES: Final = "audit.enable=true\npyzk.console.write=true\npyzk.console.enabled=true\n"
NEEDED: Final = "admin.forceHttps=true\nadmin.needClientAuth=true\n"
IP: Final = {"scheme": "ip", "id": LOOPBACK}
CN_BOB: Final = {"scheme": "x509", "id": "CN=bob"}
BOBS: Final = [ACL(31, "x509", "CN=bob")]


def stores(folder: Path, prefix: str, *trusted: Authority, name: str = "") -> str:
    """The lines of zoo.cfg with the stores of one kind of port."""
    folder.mkdir(exist_ok=True)
    pem = b"".join(each.certificate_pem for each in trusted)
    keys = write(folder / "keys.pem", SERVER.pem())
    trust = write(folder / f"{name}trusted.pem", pem)
    return f"{prefix}keyStore.location={keys}\n{prefix}trustStore.location={trust}\n"


def both(folder: Path) -> str:
    """A secure client port, and an admin port that trusts the same file."""
    return f"{SECURE}{NEEDED}" + "".join(
        stores(folder / "stores", prefix, ROOT) for prefix in ("ssl.", "ssl.quorum.")
    )


@attrs.frozen
class Page:
    """What the page in a browser sends to one server by TLS."""

    runner: PeerRunner
    scheme: str = "https"

    async def ask(
        self,
        context: ssl.SSLContext | None,
        name: str,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> Reply:
        place = place_of(self.runner)
        sent = {HEADER: "1", "Origin": f"{self.scheme}://{place[0]}:{place[1]}"} | (headers or {})
        path = f"/console/api/{name}"
        return await ask(place, path, "POST", sent, json.dumps(body).encode(), context)

    async def ids(self, context: ssl.SSLContext) -> list[dict[str, str]]:
        """Who the console takes a visitor for."""
        found = (await self.ask(context, "state")).json["visitor"]["ids"]
        assert isinstance(found, list)
        return found


@contextlib.asynccontextmanager
async def page_of(folder: Path, text: str) -> AsyncIterator[Page]:
    async with admin_server(folder, text) as runner:
        yield Page(runner)


@contextlib.asynccontextmanager
async def bobs_client(page: Page) -> AsyncIterator[StreamClient]:
    address = page.runner.secure_client_address
    assert address is not None
    client = await StreamClient.connect(*address, tls=BOB)
    try:
        yield client
    finally:
        await client.close()


# --- the console by TLS ---------------------------------------------------------------


async def test_the_page_and_its_data_come_by_tls(tmp_path: Path) -> None:
    text = "admin.forceHttps=true\n" + stores(tmp_path / "stores", "ssl.quorum.", ROOT)
    async with page_of(tmp_path, text) as page:
        place = place_of(page.runner)
        for path in ("/", "/console/app.js"):
            reply = await ask(place, path, context=NOBODY)
            assert reply.status == 200
            assert reply.headers["Strict-Transport-Security"]
        assert await page.ids(NOBODY) == [IP]
        assert (await page.ask(NOBODY, "node", path="/")).status == 200
        another = {"Origin": "https://evil.example"}
        assert (await page.ask(NOBODY, "node", another, path="/")).status == 403


async def test_a_name_that_the_certificate_is_for_is_no_other_site(tmp_path: Path) -> None:
    text = "admin.portUnification=true\n" + stores(tmp_path / "stores", "ssl.quorum.", ROOT)
    async with page_of(tmp_path, text) as page:
        port = place_of(page.runner)[1]
        named = {"Host": f"zk.example.com:{port}", "Origin": f"https://zk.example.com:{port}"}
        assert (await page.ask(NOBODY, "node", named, path="/")).status == 200
        named["Origin"] = named["Origin"].replace("https", "http")
        assert (await page.ask(None, "node", named, path="/")).status == 403


# --- a certificate is an identity -----------------------------------------------------


async def test_the_console_shows_what_the_certificate_may_read(tmp_path: Path) -> None:
    async with page_of(tmp_path, both(tmp_path)) as page, bobs_client(page) as client:
        for path, acl, flags in (
            ("/top", BOBS, CreateMode.PERSISTENT),
            ("/top/secret", OPEN, CreateMode.EPHEMERAL),
            ("/mine", BOBS, CreateMode.PERSISTENT),
        ):
            await client.call(OpCode.CREATE, CreateRequest(path, b"hush", acl, flags))
        await client.call(OpCode.GET_DATA, PathWatchRequest("/top/secret", True))
        assert await page.ids(BOB) == [IP, CN_BOB]
        assert await page.ids(ALICE) == [IP, {"scheme": "x509", "id": "CN=alice"}]
        (session,) = (await page.ask(BOB, "sessions")).json["rows"]
        for name in ("node", "data", "children"):
            assert (await page.ask(BOB, name, path="/mine")).status == 200
            reply = await page.ask(ALICE, name, path="/mine")
            assert (reply.status, reply.json["error"]) == (403, "NO_AUTH")
        data = await page.ask(BOB, "data", path="/mine")
        assert data.json["base64"] == "aHVzaA=="
        assert (await page.ask(BOB, "node", path="/mine")).json["acl"][0]["id"] == "CN=bob"
        shown = {
            "session": {"id": session["id"]},
            "watches": {},
            "children": {"path": "/top"},
        }
        for name, body in shown.items():
            assert b"secret" in (await page.ask(BOB, name, **body)).body, name
        shown["state"] = {"open": ["/top"]}
        for name, body in shown.items():
            reply = await page.ask(ALICE, name, **body)
            assert b"secret" not in reply.body, name


async def test_a_certificate_may_be_that_of_the_super_user(tmp_path: Path) -> None:
    text = f"{both(tmp_path)}X509AuthenticationProvider.superUser=CN=alice\n"
    async with page_of(tmp_path, text) as page, bobs_client(page) as client:
        await client.call(OpCode.CREATE, CreateRequest("/mine", b"", BOBS, CreateMode.PERSISTENT))
        assert (await page.ask(ALICE, "node", path="/mine")).status == 200
        assert (await page.ask(ALICE, "state")).json["visitor"]["super"] is True
        assert (await page.ask(BOB, "state")).json["visitor"]["super"] is False


async def test_enforced_certificates_are_enforced(tmp_path: Path) -> None:
    enforced = "enforce.auth.enabled=true\nenforce.auth.schemes=x509\npyzk.console.enabled=true\n"
    text = both(tmp_path).replace("admin.forceHttps", "admin.portUnification") + enforced
    async with page_of(tmp_path, text) as page:
        assert (await page.ask(BOB, "node", path="/")).status == 200
        plain = Page(page.runner, "http")
        reply = await plain.ask(None, "node", path="/")
        assert (reply.status, reply.json["error"]) == (403, "SESSION_CLOSED_REQUIRE_AUTH")


async def test_a_visitor_with_a_certificate_writes_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pyzk.audit")
    text = f"{both(tmp_path)}{WRITES}"
    async with page_of(tmp_path, text) as page, bobs_client(page) as client:
        await client.call(OpCode.CREATE, CreateRequest("/mine", b"", BOBS, CreateMode.PERSISTENT))
        login = {"Authorization": "digest someone:secret"}
        wanted = {"operation": "setData", "path": "/mine", "base64": "bmV3"}
        reply = await page.ask(ALICE, "write", login, **wanted)
        assert (reply.status, reply.json["error"]) == (409, "NO_AUTH")
        assert (await page.ask(BOB, "write", login, **wanted)).status == 200
        assert page.runner.peer.server.tree.nodes["/mine"].data == b"new"
        passed_on = login | {"X-Forwarded-For": "10.1.2.3"}
        reply = await page.ask(BOB, "write", passed_on, **wanted)
        assert (reply.status, reply.json["error"]) == (409, "NO_AUTH")
    assert any(
        f"user={LOOPBACK},CN=bob,someone" in each.getMessage() and "setData" in each.getMessage()
        for each in caplog.records
    )


# --- and when it is none --------------------------------------------------------------


async def test_whom_clients_are_not_trusted_by_has_no_identity(tmp_path: Path) -> None:
    """The admin port has the keys of members, who may trust more than the client port does."""
    folder = tmp_path / "stores"
    text = (
        f"{SECURE}{NEEDED}{stores(folder, 'ssl.', ROOT)}"
        f"{stores(folder, 'ssl.quorum.', ROOT, OTHER, name='members-')}"
        "admin.rateLimiterIntervalInMS=0\n"
    )
    async with page_of(tmp_path, text) as page, bobs_client(page) as client:
        await client.call(OpCode.CREATE, CreateRequest("/mine", b"", BOBS, CreateMode.PERSISTENT))
        assert await page.ids(ANOTHER_BOB) == [IP]
        assert (await page.ask(ANOTHER_BOB, "node", path="/mine")).status == 403
        assert await page.ids(BOB) == [IP, CN_BOB]  # another file, the same authority
        assert (await page.ask(BOB, "node", path="/mine")).status == 200
        assert await snapshot_of(page, ANOTHER_BOB) == 401
        assert await snapshot_of(page, BOB) == 200


async def test_who_is_revoked_for_clients_has_no_identity(tmp_path: Path) -> None:
    lists = tmp_path / "revoked.crl"
    gone = ROOT.issue("bob", crl=lists.as_uri())
    still = ROOT.issue("bob", crl=lists.as_uri())
    write(lists, ROOT.revoke(gone))
    text = f"{both(tmp_path)}ssl.crl=true\nadmin.rateLimiterIntervalInMS=0\n"
    async with page_of(tmp_path, text) as page:
        assert await page.ids(client_context(still)) == [IP, CN_BOB]
        assert await page.ids(client_context(gone)) == [IP]
        assert await snapshot_of(page, client_context(gone)) == 401
        assert await snapshot_of(page, client_context(still)) == 200


async def test_a_certificate_for_another_host_is_none_where_clients_need_their_own(
    tmp_path: Path,
) -> None:
    elsewhere = client_context(ROOT.issue("bob", names=["10.9.9.9"]))
    text = f"{both(tmp_path)}ssl.clientHostnameVerification=true\n"
    async with page_of(tmp_path, text) as page:
        assert await page.ids(elsewhere) == [IP]
        assert await page.ids(BOB) == [IP, CN_BOB]


async def test_the_certificate_of_a_proxy_is_nobodys(tmp_path: Path) -> None:
    async with page_of(tmp_path, f"{both(tmp_path)}pyzk.console.enabled=true\n") as page:
        reply = await page.ask(BOB, "state", {"X-Forwarded-For": "10.1.2.3"})
        assert reply.json["visitor"]["ids"] == []


async def test_without_a_port_for_certificates_there_are_no_such_identities(tmp_path: Path) -> None:
    text = NEEDED + stores(tmp_path / "stores", "ssl.quorum.", ROOT)
    async with page_of(tmp_path, text) as page:
        assert await page.ids(BOB) == [IP]
        assert await snapshot_of(page, BOB) == 401
        assert (await ask(place_of(page.runner), "/", headers=AS_SUPER, context=BOB)).status == 200


async def snapshot_of(page: Page, context: ssl.SSLContext) -> int:
    """The status of a snapshot that is asked for with a certificate."""
    place = place_of(page.runner)
    headers = {"Authorization": "x509"}
    path = "/commands/snapshot?streaming=false"
    return (await ask(place, path, headers=headers, context=context)).status
