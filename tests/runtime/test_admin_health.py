"""`/livez` and `/readyz` of the admin port."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.admin import admin_server, ask, place_of

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]


async def test_the_pages_say_how_the_server_is(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        for path in ("/livez", "/readyz"):
            reply = await ask(place, path)
            assert (reply.status, reply.json["status"]) == (200, "ok")
            assert reply.headers["Content-Type"].startswith("application/json")
            assert reply.headers["Cache-Control"] == "no-store"
        runner.peer.server.host.sync_wait_ms = lambda: 99999
        reply = await ask(place, "/readyz")
        assert (reply.status, reply.json["status"]) == (503, "failed")
        assert [each["ok"] for each in reply.json["checks"]] == [True, False]
        reply = await ask(place, "/readyz?exclude=disk")
        assert (reply.status, "warnings" in reply.json) == (200, False)
        assert (await ask(place, "/livez")).status == 200
        reply = await ask(place, "/readyz?verbose")
        assert reply.status == 503
        assert reply.body.endswith(b"readyz check failed\n")
        assert reply.headers["Content-Type"].startswith("text/plain")


async def test_a_check_that_there_is_not_is_a_warning(tmp_path: Path) -> None:
    warning = (
        "no check is called 'foo', so none is left out; there are serving, quorum, configuration,"
        " disk"
    )
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        reply = await ask(place, "/readyz?exclude=foo&exclude=quorum&exclude=foo")
        assert (reply.status, reply.json["warnings"]) == (200, [warning])
        assert [each["name"] for each in reply.json["checks"]] == ["serving", "disk"]
        reply = await ask(place, "/readyz?exclude=foo&verbose")
        assert reply.body.endswith(f"\nwarn: {warning}\nreadyz check passed\n".encode())
        reply = await ask(place, "/livez?exclude=disk")
        assert (reply.status, len(reply.json["warnings"])) == (200, 1)
