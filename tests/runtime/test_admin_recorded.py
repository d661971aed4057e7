"""All that was recorded of a lone 3.9.3, asked over HTTP: also what only a process can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.admin_answers import ACTIVITY, COUNTS, PLACES, TIMES, differences
from pyzk.admin.commands import find
from pyzk.constants import AddWatchMode, CreateMode, OpCode
from pyzk.jute.records import AddWatchRequest, CreateRequest, PathWatchRequest
from tests.frames import OPEN, StreamClient
from tests.runtime.admin import Reply, admin_server, ask, place_of
from tests.vectors.test_admin_answers import RECORDED

pytest.importorskip("aiohttp", reason="the extra admin is not installed")
pytestmark = pytest.mark.live

CONFIG = (
    "tickTime=2000\nmaxClientCnxns=0\n4lw.commands.whitelist=*\nadmin.rateLimiterIntervalInMS=1\n"
    "DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=\n"
)
"""The recorded one; the password is ``secret``."""
MASKED = TIMES | PLACES | COUNTS | ACTIVITY
SHOWN = ("Content-Type", "Allow", "Connection", "Cache-Control")
"""Headers that are compared. A snapshot has two more, whose values are those of its state."""
KNOWN = {
    "GET /commands/initial_configuration: ": "this server was started without a zoo.cfg",
    "POST /commands/restore: error: ": "here it says what is wrong with what was sent",
    "GET /commands/stat: num_alive_client_connections: 0 ": "restore lets clients connect anew",
    "GET /commands/stat: connections: [] ": "restore lets clients connect anew",
}
"""What is different, and why."""
OF_ITS_OWN = ("/", "/commands", "/commands/")
"""Paths with other content: the console, and the index with a command and a content type more."""


async def use(one: StreamClient, two: StreamClient) -> None:
    """Make what the recorded clients had made."""
    plain = [(path, CreateMode.PERSISTENT) for path in ("/a", "/a/b", "/q")]
    for path, flags in (*plain, ("/eph1", CreateMode.EPHEMERAL)):
        await one.call(OpCode.CREATE, CreateRequest(path, b"", OPEN, flags))
    for path, flags in (
        ("/eph2", CreateMode.EPHEMERAL),
        ("/a/seq-", CreateMode.EPHEMERAL_SEQUENTIAL),
    ):
        await two.call(OpCode.CREATE, CreateRequest(path, b"", OPEN, flags))
    for path in ("/a", "/a/b"):
        await one.call(OpCode.GET_DATA, PathWatchRequest(path, True))
    await two.call(OpCode.ADD_WATCH, AddWatchRequest("/a", AddWatchMode.PERSISTENT))
    await two.call(OpCode.EXISTS, PathWatchRequest("/missing", True))


def problems(each: dict[str, Any], reply: Reply) -> list[str]:
    """Return how an answer differs from the recorded one."""
    if reply.status != each["status"]:
        return [f"status {reply.status}, not {each['status']}: {reply.body[:200]!r}"]
    wrong = [
        f"{name}: {reply.headers[name]}, not {each['headers'].get(name)}"
        for name in SHOWN
        if reply.headers[name] != each["headers"].get(name)
    ]
    wrong += [
        f"{name}: {reply.headers[name]}"
        for name in ("last_zxid", "snapshot_size")
        if (reply.headers[name] is None) != (name not in each["headers"])
    ]
    if each["headers"].get("Content-Type") == "application/json" and each["body"]:
        path = each["request"].partition(" ")[2].partition("?")[0]
        command = find(path.removeprefix("/commands/"))
        name = "" if command is None else command.name
        wrong += differences(name, each["body"], reply.body.decode(), MASKED)
    return wrong


async def test_every_recorded_request_is_answered_as_it_was(tmp_path: Path) -> None:
    wrong = []
    async with admin_server(tmp_path, CONFIG) as runner:
        place = place_of(runner)
        address = runner.client_address
        clients = [await StreamClient.connect(*address, timeout) for timeout in (20_000, 30_000)]
        await use(*clients)
        bodies = [b"", b"no snapshot", b""]  # of restore, in turn; the first is what snapshot gave
        for each in RECORDED["3.9.3"]["standalone"]:
            method, _, path = each["request"].partition(" ")
            body = bodies.pop(0) if path == "/commands/restore" and method == "POST" else None
            reply = await ask(place, path, method, each["requestHeaders"], body)
            if reply.headers["Content-Type"] == "application/octet-stream":
                assert len(reply.body) == int(reply.headers["snapshot_size"])
                bodies[0] = reply.body
            if path not in OF_ITS_OWN:
                wrong += [f"{each['request']}: {problem}" for problem in problems(each, reply)]
        for client in clients:
            await client.close()
    unknown = [each for each in wrong if not each.startswith(tuple(KNOWN))]
    assert not unknown, "\n".join(unknown)
    assert all(any(each.startswith(known) for each in wrong) for known in KNOWN)
    assert json.loads(RECORDED["3.9.3"]["standalone"][-1]["body"])["command"] == "stats"
