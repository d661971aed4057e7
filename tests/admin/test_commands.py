"""Who may ask for which command, how, and what is answered to who may not."""

from __future__ import annotations

import pytest

from pyzk.admin.answer import Asked, error_page, reply
from pyzk.admin.commands import COMMANDS, answer, find, wrong_method
from tests.admin.asking import ask, body_of, text_of
from tests.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_each_name_stands_for_one_command() -> None:
    names = [name for each in COMMANDS for name in (each.name, *each.aliases)]
    assert len(set(names)) == len(names)
    assert [each.name for each in COMMANDS] == sorted(each.name for each in COMMANDS)
    for each in COMMANDS:
        assert find(each.name) is each
        assert all(find(name) is each for name in each.aliases)
    assert find("nosuch") is None


@pytest.mark.parametrize("path", ["", "/"])
def test_the_index_has_a_link_for_each_command(world: World, path: str) -> None:
    found = answer(Asked(world.peer, path, url="/zk"))
    assert found is not None
    assert (found.status, found.content_type) == (200, None)
    lines = text_of(found).splitlines()
    assert lines[::2] == [f'<a href="/zk/{each.name}">{each.name}</a>' for each in COMMANDS]
    assert lines[1::2] == ["<br/>"] * len(COMMANDS)


@pytest.mark.parametrize(
    "name", ["nosuch", "RUOK", "ruok/", "/", "/ruok", "ruok/extra", " ruok", "é", "a\nb"]
)
def test_what_is_no_command_is_said_with_status_200(world: World, name: str) -> None:
    assert body_of(world.peer, name) == {"command": name, "error": f"Unknown command: {name}"}


def test_a_server_that_does_not_serve_says_so_under_the_name_it_was_asked_by() -> None:
    world = World()
    world.server.end()
    body = body_of(world.peer, "snap")
    assert list(body.items()) == [
        ("command", "snap"),
        ("error", "This ZooKeeper instance is not currently serving requests"),
    ]
    # Nobody gets as far as the method.
    assert text_of(ask(world.peer, "ruok", "POST")) == text_of(ask(world.peer, "ruok"))


def test_an_answer_has_the_primary_name_behind_its_fields() -> None:
    assert text_of(reply("x", {"a": 1})) == (
        '{\n  "a" : 1,\n  "command" : "x",\n  "error" : null\n}'
    )


def test_an_error_of_the_command_itself_stands_before_its_name() -> None:
    assert text_of(reply("x", {"error": "no"})) == '{\n  "error" : "no",\n  "command" : "x"\n}'


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "name", ["snapshot", "snap", "restore", "rest", "shed_connections", "shed"]
)
def test_what_only_the_shell_can_do_is_left_to_it(world: World, name: str, method: str) -> None:
    assert answer(Asked(world.peer, f"/{name}", method=method)) is None
    command = find(name)
    assert command is not None
    assert command.needs_authorization


def test_a_wrong_method_is_an_error_of_the_server(world: World) -> None:
    found = ask(world.peer, "ruok", "POST")
    assert (found.status, found.content_type) == (500, "text/html;charset=iso-8859-1")
    assert dict(found.headers)["Connection"] == "close"
    assert "<h2>HTTP ERROR 500 The command ruok takes GET only</h2>" in text_of(found)
    found = wrong_method(Asked(world.peer, "/rest"))
    assert "The command restore takes POST only" in text_of(found)


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [
        ("TRACE", 403, {}),
        ("OPTIONS", 200, {"Allow": "GET, HEAD, POST, TRACE, OPTIONS"}),
        ("PUT", 405, {}),
        ("DELETE", 405, {}),
        ("PATCH", 501, {}),
    ],
)
def test_other_methods_have_answers_without_a_body(
    world: World, method: str, status: int, headers: dict[str, str]
) -> None:
    found = ask(world.peer, "ruok", method)
    assert (found.status, dict(found.headers), found.content_type) == (status, headers, None)
    assert text_of(found) == ""


def test_an_error_page_shows_what_was_asked_for_as_text(world: World) -> None:
    page = error_page(404, "/<script>", "Not Found")
    assert dict(page.headers) == {"Cache-Control": "must-revalidate,no-cache,no-store"}
    assert "<td>/&lt;script&gt;</td>" in text_of(page)
    assert "<title>Error 404 Not Found</title>" in text_of(error_page(404, "/", "Not Found"))
