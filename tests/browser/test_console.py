"""The console in a browser: what a visitor sees and does, on three members and on a large tree.

`make browser-test` runs it; it keeps pictures of what was seen in .build/screenshots.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from pyzk.runtime.free_ports import free_ports
from tests.browser.big_tree import CHILDREN, ZNODES, write_big_tree
from tests.browser.chromium import PHONE, WIDE, Browser, browser, keep_figures, why_not
from tests.browser.servers import HOST, PATIENCE_S, Members, client_process, lone_server

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not())]

JSON = b'{"name": "orders", "replicas": 3, "id": 12345678901234567890, "tags": ["a", {"b": null}]}'
DEEP = b"[" * 32_000 + b"]" * 32_000
"""With every level indented it would have two thousand million characters."""
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(2)>',
    "javascript:alert(3)",
    "{{alert(4)}}",
    "%2e%2e%2f#?&",
    "\u202egnp.exe",
    "a\u2028b",
)
MAX_ANSWER_BYTES = 1_000_000
VIEWS = {
    "overview": "zxid",
    "tree/app": "plain text",
    "sessions": "Choose one",
    "watches": "/service",
    "ensemble": "this server",
    "log": "the last lines of this server",
}


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    made = Members(tmp_path_factory.mktemp("members"), free_ports(9))
    try:
        made.start()
        with connected(made.servers[made.wait_for_leader()].client_port) as client:
            _fill(client)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def page(opened: Browser) -> Browser:
    """The browser, as wide and as light as it usually is, and without complaints so far."""
    opened.driver.get("about:blank")
    opened.look()
    opened.problems()
    return opened


@contextlib.contextmanager
def connected(port: int) -> Iterator[KazooClient]:
    client = KazooClient(f"{HOST}:{port}", timeout=30)
    client.start(timeout=PATIENCE_S)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def _fill(client: KazooClient) -> None:
    client.create("/app", b"plain text\nin two lines\n")
    for number in range(300):
        client.create(f"/app/node-{number:04d}", str(number).encode())
    client.create("/config", JSON)
    client.create("/deep", DEEP)
    client.create("/binary", bytes(range(256)) * 16)
    client.create("/large", b"\xe2\x82\xac" * 333_000)
    client.create("/secret", b"hush", acl=[make_digest_acl("bob", "secret", all=True)])
    client.create("/hostile", b"<script>alert(5)</script>")
    for name in HOSTILE:
        client.create(f"/hostile/{name}", f"<b>{name}</b><script>alert(6)</script>".encode())


def log_in(page: Browser, user: str, password: str) -> None:
    page.click("#who")
    name, secret = page.all("dialog input")
    name.send_keys(user)
    secret.send_keys(password)
    page.click("dialog button[type=submit]")
    page.until(lambda: not page.all("dialog"), "the dialog stays")
    page.until_text("#who", user)


# --- on three members -------------------------------------------------------------------


def test_every_view_in_the_light_in_the_dark_and_on_a_phone(
    members: Members, page: Browser
) -> None:
    server = members.servers[members.wait_for_leader()]
    with client_process(server.client_port, 30.0):
        for view, text in VIEWS.items():
            page.open(f"{server.url}#/{view}")
            page.until_text("main", text)
            page.until_text("#where", f"server {server.sid}")
            name = view.partition("/")[0]
            for kind, dark, size in (
                ("light", False, WIDE),
                ("dark", True, WIDE),
                ("phone", False, PHONE),
                ("phone-dark", True, PHONE),
            ):
                page.look(dark=dark, size=size)
                page.picture(f"{name}-{kind}")
                width = page.driver.execute_script("return document.body.scrollWidth")
                assert width <= size[0], f"{view} is {width} wide on a screen of {size[0]}"
            page.look()
    assert page.problems() == []


def test_the_tree_is_walked_with_the_mouse(members: Members, page: Browser) -> None:
    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree")
    page.click("[role=treeitem] .name", "app")
    page.until_text("[role=treeitem]", "node-0000")
    page.until_text(".data", "plain text")
    page.click("[role=treeitem] .name", "node-0003")
    page.until_text(".crumbs", "node-0003")
    assert page.driver.current_url.endswith("#/tree/app/node-0003")
    page.driver.back()
    page.until_text(".data", "in two lines")
    page.one("[aria-label='Filter children']").send_keys("29")
    page.until_text("[aria-label=Children]", "13 of 300")
    page.click("[aria-label=Children] a", "node-0129")
    page.until_text(".crumbs", "node-0129")
    assert page.problems() == []


def test_the_tree_is_walked_with_the_keyboard(members: Members, page: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree")
    page.until_text("[role=treeitem]", "app")
    tree = page.one("[role=tree]")

    def active() -> str:
        found = tree.get_attribute("aria-activedescendant")
        text: str = page.one(f"#{found} .name").text
        return text

    tree.send_keys(Keys.ARROW_DOWN)
    page.until(lambda: active() == "app", "not at app")
    tree.send_keys(Keys.ARROW_RIGHT)
    page.until_text("[role=treeitem]", "node-0000")
    tree.send_keys(Keys.ARROW_RIGHT)
    page.until(lambda: active() == "node-0000", "not inside")
    page.until(lambda: page.all("[role=treeitem].active[aria-level='3']"), "another level")
    tree.send_keys(Keys.PAGE_DOWN, Keys.ENTER)
    page.until(lambda: "node-00" in page.text(".crumbs"), "nothing is opened")
    tree.send_keys(Keys.ARROW_LEFT)
    page.until(lambda: active() == "app", "not back at the parent")
    page.until(lambda: page.all("[role=treeitem].active[aria-expanded=true]"), "not open")
    tree.send_keys(Keys.ARROW_LEFT)
    page.until(lambda: "node-0000" not in page.text("[role=tree]"), "not closed")
    tree.send_keys(Keys.END)
    page.until(lambda: active() == "zookeeper", "not at the end")
    tree.send_keys(Keys.HOME)
    page.until(lambda: active() == "/", "not at the beginning")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.driver.execute_script(outline) == "solid"
    tree.send_keys("/")
    page.driver.switch_to.active_element.send_keys("/config", Keys.ENTER)
    page.until_text(".crumbs", "config")
    assert page.problems() == []


def test_data_are_shown_as_json_as_text_and_in_hexadecimal(members: Members, page: Browser) -> None:
    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree/config")
    page.until_text(".data pre", '"id": 12345678901234567890')  # with all its digits
    page.click(".segmented button", "Text")
    page.until_text(".data pre", JSON.decode())
    page.click(".segmented button", "Hex")
    page.until_text(".hex", "7b 22 6e 61 6d 65 22 3a")
    page.open(f"{server.url}#/tree/binary")
    page.until_text(".hex", "00 01 02 03")
    page.picture("tree-hex")
    page.open(f"{server.url}#/tree/large")
    page.until_text(".data", "The first 64 KiB of 976 KiB")
    page.click(".data button", "Load all")
    page.until_no_text(".data", "The first 64 KiB")
    script = "return document.querySelector('.data pre').textContent.length"
    assert page.driver.execute_script(script) == 333_000
    sizes = [size for name, size, _ in page.requests() if "/api/" in name]
    assert max(sizes) < MAX_ANSWER_BYTES
    assert page.problems() == []


def test_json_of_any_depth_is_shown_at_once(members: Members, page: Browser) -> None:
    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree/deep")
    page.until_text(".data", "Shown as it is")
    script = "return document.querySelector('.data pre').textContent.length"
    assert page.driver.execute_script(script) == len(DEEP)
    assert page.problems() == []


def test_hostile_names_and_data_are_text(members: Members, page: Browser) -> None:
    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree/hostile")
    page.until_text(".data", "<script>alert(5)</script>")
    page.until_text("[role=tree]", "<img src=x onerror=alert(1)>")
    for name in HOSTILE:
        shown = name.replace("\u202e", "\\u202e").replace("\u2028", "\\u2028")
        page.click("[aria-label=Children] a", shown)
        page.until_text(".data", f"<b>{name}"[:8])
        page.until_text(".crumbs", shown)
        page.driver.back()
        page.until_text(".data", "alert(5)")
    assert not page.all("main img, main script, main b > script, main svg[onload]")
    page.picture("hostile")
    assert page.problems() == []  # the policy had nothing to forbid


def test_who_may_not_read_sees_nothing_and_who_logs_in_does(
    members: Members, page: Browser
) -> None:
    server = members.servers[members.wait_for_leader()]
    page.open(f"{server.url}#/tree/secret")
    page.until_text("main", "Not permitted")
    page.picture("denied")
    assert "hush" not in page.driver.page_source
    assert "no access" in page.text("[role=treeitem]")
    log_in(page, "bob", "secret")
    page.until_text(".data", "hush")
    page.until_text(".node", "you may: cdrwa")
    page.picture("logged-in")
    page.click("#who")
    page.until_text("dialog", "digest: bob")
    page.click("dialog button[type=submit]")
    page.until_text("main", "Not permitted")
    page.driver.refresh()  # what was typed is kept nowhere
    page.until_text("#who", "Log in")
    stored = "return localStorage.length + sessionStorage.length + document.cookie.length"
    assert page.driver.execute_script(stored) == 0


def test_a_znode_is_made_changed_and_deleted(members: Members, page: Browser) -> None:
    follower = next(
        each for sid, each in members.servers.items() if sid != members.wait_for_leader()
    )
    page.open(f"{follower.url}#/tree/app")
    page.until_text(".data", "plain text")
    assert page.all(".writes") == []
    log_in(page, "alice", "wonder")
    page.click(".writes button", "Create child")
    page.one("dialog input").send_keys("made")
    page.one("dialog textarea").send_keys("first")
    page.picture("create")
    page.click("dialog button[type=submit]")
    page.until_text(".crumbs", "made")
    page.until_text(".data", "first")
    page.click(".writes button", "Edit data")
    text = page.one("dialog textarea")
    text.clear()
    text.send_keys("second")
    page.click("dialog button[type=submit]")
    page.until_text(".data", "second")
    page.click(".writes button", "Delete")
    page.click("dialog button[type=submit]")
    page.until_text(".data", "plain text")
    page.until_no_text("[role=tree]", "made")
    with connected(follower.client_port) as client:
        client.sync("/")
        assert client.exists("/app/made") is None


def test_a_session_and_its_ephemeral_vanish_when_it_expires(
    members: Members, page: Browser
) -> None:
    server = members.servers[members.wait_for_leader()]
    with client_process(server.client_port, 6.0) as (session, process):
        page.open(f"{server.url}#/sessions")
        page.click("[role=option]", session)
        page.until_text(".detail", "/service/workers/lively")
        page.picture("session")
        page.open(f"{server.url}#/tree/service/workers/lively")
        page.until_text(".data", "here")
        page.until_text(".node", session)
        page.open(f"{server.url}#/sessions/{session}")
        page.until_text(".detail", "/service/workers/lively")
        process.kill()
        page.until_text(".detail", f"Session {session} is over")
        page.picture("session-over")
        page.until_no_text("[role=option]", session)
        page.open(f"{server.url}#/tree/service/workers")
        page.until_text(".crumbs", "workers")
        assert "lively" not in page.text("[role=tree]")


def test_an_ephemeral_vanishes_from_the_open_tree(members: Members, page: Browser) -> None:
    server = members.servers[members.wait_for_leader()]
    with client_process(server.client_port, 6.0) as (_, process):
        page.open(f"{server.url}#/tree/service/workers/lively")
        page.until_text("[role=tree]", "lively")
        page.until_text(".data", "here")
        process.kill()
        page.until_no_text("[role=tree]", "lively")
        page.until_text(".node", "There is no such znode")


def test_another_leader_is_seen_when_the_leader_is_killed(members: Members, page: Browser) -> None:
    first = members.wait_for_leader()
    watching = next(each for sid, each in members.servers.items() if sid != first)
    page.open(f"{watching.url}#/ensemble")
    page.until_text(f"[data-sid='{first}']", "leader")
    page.picture("ensemble-before")
    members.servers[first].kill()
    second = members.wait_for_leader(without=first)
    page.until_text(f"[data-sid='{second}']", "leader")
    page.until_no_text(f"[data-sid='{first}']", "leader\n")
    page.picture("ensemble-after")
    page.open(f"{members.servers[second].url}#/ensemble")
    page.until_text(f"[data-sid='{first}']", "not connected")
    page.picture("ensemble-one-gone")
    members.servers[first].start()
    members.servers[first].wait()
    page.until_text(f"[data-sid='{first}']", "serving")


def test_a_server_that_is_gone_is_said_to_be_gone(tmp_path: Path, page: Browser) -> None:
    with lone_server(tmp_path) as server:
        page.open(f"{server.url}#/overview")
        page.until_text("main", "Lone server")
        page.open(f"{server.url}#/ensemble")
        page.until_text("main", "stands alone")
        server.kill()
        page.until_text("#banner", "No answer from this server since")
        page.picture("gone")


# --- a million znodes -------------------------------------------------------------------


def test_a_million_znodes(tmp_path: Path, page: Browser) -> None:
    write_big_tree(tmp_path / "data")
    with lone_server(tmp_path) as server:
        assert server.state()["numbers"]["gauges"]["znodes"] >= ZNODES
        told: list[str] = []
        answers: list[tuple[str, dict[str, Any]]] = [
            ("children", {"path": "/big", "count": 500}),
            ("children", {"path": "/big", "start": CHILDREN // 2, "count": 500}),
            ("children", {"path": "/big", "filter": "99", "count": 500}),
            ("children", {"path": "/", "count": 500}),
            ("state", {"open": ["/", "/big"]}),
        ]
        for name, body in answers:
            _, size, seconds = server.ask(name, **body)
            told.append(f"{name} {body}: {size} bytes, {1000 * seconds:.0f} ms")
            assert size < MAX_ANSWER_BYTES
        painted = []
        for _ in range(3):
            page.open(f"{server.url}#/tree/big")
            painted.append(page.first_paint_ms())
        told.append(f"first contentful paint: {', '.join(f'{each:.0f}' for each in painted)} ms")
        page.until_text("[role=tree]", "node-000000")
        seen = page.driver.execute_script("return performance.now()")
        told.append(f"the first of {CHILDREN} children is seen: {seen:.0f} ms")
        page.driver.execute_script(
            "const tree = document.querySelector('[role=tree]');"
            "tree.scrollTop = tree.scrollHeight / 2"
        )
        page.until_text("[role=tree]", "node-1003")
        page.picture("big-tree")
        page.press("[role=tree]", "\ue010")  # End
        page.until_text("[role=tree]", "zookeeper")
        page.one("[aria-label='Filter children']").send_keys("12345")
        page.until_text("[aria-label=Children]", "2 of 200,000")
        page.open(f"{server.url}#/tree/big/node-123456")
        page.until_text("[role=treeitem].chosen", "node-123456")
        page.picture("big-tree-deep")
        largest = max(page.requests(), key=lambda each: each[1])
        told.append(f"largest of the page's requests: {largest[0]} {largest[1]} bytes")
        keep_figures(told)
        assert largest[1] < MAX_ANSWER_BYTES
        assert page.problems() == []
