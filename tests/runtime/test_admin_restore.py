"""The command `restore` of the admin server, on a real disk."""

from __future__ import annotations

import asyncio
import errno
import gzip
from pathlib import Path

import pytest

from pyzk.constants import OpCode
from pyzk.errors import StorageError
from pyzk.jute.records import PathWatchRequest
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.snapshot import write_snapshot
from pyzk.runtime.files import FileDirectory
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import StreamClient
from tests.persistence.disks import get
from tests.runtime.admin import (
    AS_SUPER,
    Reply,
    admin_server,
    ask,
    client_of,
    config_of,
    place_of,
    stranger,
)
from tests.transactions import create, database_of

pytestmark = pytest.mark.live

OFTEN = "admin.rateLimiterIntervalInMS=0\n"
URL = "/commands/restore"


async def snapshot_of(directory: Path, *paths: str, text: str = "") -> bytes:
    """The state of a server that has these znodes, as its admin server sends it."""
    async with admin_server(directory, OFTEN + text) as runner, client_of(runner) as client:
        for path in paths:
            assert await client.create(path) == 0
        return (await ask(place_of(runner), "/commands/snapshot", headers=AS_SUPER)).body


async def restore(runner: PeerRunner, body: bytes) -> Reply:
    return await ask(place_of(runner), URL, "POST", AS_SUPER, body)


def paths_of(runner: PeerRunner) -> set[str]:
    nodes = runner.peer.server.tree.nodes
    return {path for path in nodes if path and not path.startswith("/zookeeper")} - {"/"}


async def reopened(directory: Path) -> set[str]:
    """What a server finds that starts in this directory."""
    runner = PeerRunner(config_of(directory, "admin.enableServer=false\n", is_required=False))
    await runner.start()
    try:
        return paths_of(runner)
    finally:
        await runner.close()


async def test_the_state_is_that_of_the_snapshot(tmp_path: Path) -> None:
    body = await snapshot_of(tmp_path / "a", "/a", "/a/b")
    async with admin_server(tmp_path / "b", OFTEN) as runner, client_of(runner) as client:
        for at in range(10):
            assert await client.create(f"/old{at}") == 0
        session_id = client.session_id
        reply = await restore(runner, body)
        # Eleven transactions were before: no zxid stands for two states.
        assert reply.json == {"last_zxid": 12, "command": "restore", "error": None}
        assert await client.reader.read() == b""  # its state is gone
        assert paths_of(runner) == {"/a", "/a/b"}
        assert session_id not in runner.peer.server.sessions.sessions
        assert runner.peer.metrics.restore_time.count == 1
        async with client_of(runner) as other:
            assert await other.create("/a/c") == 0
            assert (await other.call(OpCode.EXISTS, PathWatchRequest("/old1", False))).err == -101
            assert runner.peer.database.last_zxid == 14
    assert await reopened(tmp_path / "b") == {"/a", "/a/b", "/a/c"}
    names = sorted(each.name for each in (tmp_path / "b" / "version-2").iterdir())
    assert [name for name in names if name.startswith(("log", "snapshot"))] == [
        "log.d",
        "snapshot.c",
    ]


async def test_a_later_state_keeps_its_zxid(tmp_path: Path) -> None:
    body = await snapshot_of(tmp_path / "a", *(f"/{at}" for at in range(20)))
    async with admin_server(tmp_path / "b", OFTEN) as runner:
        assert (await restore(runner, body)).json["last_zxid"] == 21
        assert runner.peer.server.tree.digest is not None
    assert len(await reopened(tmp_path / "b")) == 20


async def test_sessions_of_the_snapshot_live_on(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner:
        client = await StreamClient.dial(*runner.client_address)
        welcome = await client.handshake()
        assert welcome.password is not None
        assert await client.create("/mine", flags=1) == 0
        body = (await ask(place_of(runner), "/commands/snapshot", headers=AS_SUPER)).body
        assert (await restore(runner, body)).status == 200
        assert await client.reader.read() == b""
        client.writer.close()
        assert paths_of(runner) == {"/mine"}
        again = await StreamClient.dial(*runner.client_address)
        assert (await again.handshake(welcome.session_id, welcome.password)).session_id
        assert (await again.call(OpCode.EXISTS, PathWatchRequest("/mine", False))).err == 0
        await again.close()


async def test_a_killed_server_comes_back_with_it(tmp_path: Path) -> None:
    body = await snapshot_of(tmp_path / "a", "/a")
    async with admin_server(tmp_path / "b", OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/old") == 0
        assert (await restore(runner, body)).status == 200
        runner.kill()
    assert await reopened(tmp_path / "b") == {"/a"}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda body: body[:-1], "the snapshot is not complete"),
        (lambda body: body[: len(body) // 2], "the snapshot is not complete"),
        (lambda body: body[:100] + b"\xff" + body[101:], ""),
        (lambda body: b"x" * 1000, "what was sent is no snapshot"),
        (lambda body: b"ZKSN" + bytes(100), ""),
        (lambda body: gzip.compress(body)[:-9], ""),
        (lambda body: b"Z", "what was sent is no snapshot"),
    ],
)
async def test_what_is_no_snapshot_changes_nothing(
    tmp_path: Path, spoil: object, error: str
) -> None:
    assert callable(spoil)
    body = spoil(await snapshot_of(tmp_path / "a", "/a"))
    async with admin_server(tmp_path / "b", OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/old") == 0
        reply = await restore(runner, body)
        assert reply.status == 500
        assert error in reply.json["error"]
        assert runner.peer.metrics.restore_error_count == 1
        assert await client.create("/new") == 0
        assert paths_of(runner) == {"/old", "/new"}
        names = {each.name for each in (tmp_path / "b" / "version-2").iterdir()}
        assert not {name for name in names if "received" in name}
    assert await reopened(tmp_path / "b") == {"/old", "/new"}


@pytest.mark.parametrize(
    ("path", "zxid", "error"),
    [
        ("/a", 3, "znode '/a' belongs to session 0x1234, though it has children"),
        ("/", 3, "znode '/' belongs to session 0x1234, though every tree has it"),
        ("", (1 << 63) - 1, "0x7fffffffffffffff is no zxid after which"),
    ],
)
async def test_what_would_end_the_server_later_changes_nothing(
    tmp_path: Path, path: str, zxid: int, error: str
) -> None:
    database = database_of([create(1, "/a"), create(2, "/a/b"), create(3, "/c")])
    if path:
        database.tree.nodes[path].ephemeral_owner = 0x1234
    database.tree.last_zxid = zxid
    directory = MemoryDirectory()
    body = get(directory, write_snapshot(directory, database.freeze()))
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/old") == 0
        reply = await restore(runner, body)
        assert reply.status == 500
        assert error in reply.json["error"]
        assert await client.create("/new") == 0
    assert await reopened(tmp_path) == {"/old", "/new"}


async def test_a_snapshot_without_its_last_zxid_is_none(tmp_path: Path) -> None:
    text = "serializeLastProcessedZxid.enabled=false\n"
    runner = PeerRunner(config_of(tmp_path / "a", text))
    await runner.start()
    await runner.close()
    body = (tmp_path / "a" / "version-2" / "snapshot.0").read_bytes()
    async with admin_server(tmp_path / "b", OFTEN) as other:
        reply = await restore(other, body)
        assert "does not say its last zxid" in reply.json["error"]
    async with admin_server(tmp_path / "c", OFTEN + text) as third:
        assert (await restore(third, body)).status == 500


@pytest.mark.parametrize("method", ["gz", "snappy"])
async def test_a_compressed_snapshot(tmp_path: Path, method: str) -> None:
    text = f"snapshot.compression.method={method}\n"
    body = await snapshot_of(tmp_path / "a", "/a", text=text)
    assert body[:4] != b"ZKSN"
    async with admin_server(tmp_path / "b", OFTEN + text) as runner:
        assert (await restore(runner, body)).status == 200
        assert paths_of(runner) == {"/a"}
    assert await reopened(tmp_path / "b") == {"/a"}


async def test_a_body_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        head = "".join(f"{name}: {value}\r\n" for name, value in AS_SUPER.items())
        async with stranger(place_of(runner)) as visitor:
            visitor.send(
                f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n{head}\r\n".encode()
            )
            visitor.send(b"ZKSN")
            while not (tmp_path / "version-2" / "received.upload.tmp").exists():
                await asyncio.sleep(0)
            visitor.writer.transport.abort()
        while (tmp_path / "version-2" / "received.upload.tmp").exists():
            await asyncio.sleep(0)
        assert await client.create("/a") == 0
        assert (await restore(runner, b"")).status == 400


async def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    text = f"{OFTEN}admin.idleTimeout=200\n"
    async with admin_server(tmp_path, text) as runner:
        head = "".join(f"{name}: {value}\r\n" for name, value in AS_SUPER.items())
        async with stranger(place_of(runner)) as visitor:
            visitor.send(
                f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n{head}\r\n".encode()
            )
            visitor.send(b"ZKSN")
            assert b"does not come to its end" in await visitor.rest()


async def test_what_keeps_it_back(tmp_path: Path) -> None:
    body = await snapshot_of(tmp_path / "a", "/a")
    async with admin_server(tmp_path / "b") as runner:
        place = place_of(runner)
        assert (await ask(place, URL, "POST", None, body)).status == 401
        assert (await ask(place, URL, "GET", AS_SUPER)).status == 500
        assert (await restore(runner, b"")).status == 400
        assert (await restore(runner, body)).status == 200
        assert (await restore(runner, body)).status == 429
        assert runner.peer.metrics.restore_rate_limited_count == 1
    async with admin_server(tmp_path / "c", "admin.restore.enabled=false\n") as runner:
        assert (await restore(runner, body)).status == 503


async def test_without_room_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = await snapshot_of(tmp_path / "a", "/a")
    create = FileDirectory.create
    full = [""]

    def on_full_disk(self: FileDirectory, name: str) -> object:
        if name.startswith(full[0]):
            raise StorageError("no space left", path=name) from OSError(errno.ENOSPC, "full")
        return create(self, name)

    async with admin_server(tmp_path / "b", OFTEN) as runner, client_of(runner) as client:
        monkeypatch.setattr(FileDirectory, "create", on_full_disk)
        for full[0] in ("received.upload.tmp", "received.snapshot."):
            reply = await restore(runner, body)
            assert reply.status == 500
            assert "no space left" in reply.json["error"]
        assert await client.create("/old") == 0
        monkeypatch.setattr("os.statvfs", lambda _: _Full())
        reply = await restore(runner, body)
        assert reply.json["error"].startswith("There is no room in ")


async def test_a_disk_that_fails_at_the_last_step_stops_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = await snapshot_of(tmp_path / "a", "/a")
    runner = PeerRunner(config_of(tmp_path / "b", OFTEN))
    await runner.start()
    serving = asyncio.ensure_future(runner.serve_until_stopped())
    assert runner.admin is not None
    await runner.admin.opened()
    rename = FileDirectory.rename

    def broken(self: FileDirectory, old: str, new: str) -> None:
        if new == "snapshot.2":
            raise StorageError("input/output error", path=new)
        rename(self, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(FileDirectory, "rename", broken)
        asking = asyncio.ensure_future(restore(runner, body))
        assert await serving == 1
        await asyncio.wait([asking])
        assert asking.exception() is not None or asking.result().status != 200
    assert await reopened(tmp_path / "b") == {"/a"}  # its plan was durable


async def test_a_server_in_memory(tmp_path: Path) -> None:
    body = await snapshot_of(tmp_path / "a", "/a")
    storage = MemoryStorage(config_of(tmp_path, OFTEN))
    async with admin_server(tmp_path, OFTEN, Seams(storage=storage)) as runner:
        assert (await restore(runner, body)).status == 200
        assert paths_of(runner) == {"/a"}
        async with client_of(runner) as client:
            assert await client.create("/b") == 0
    nodes = storage.open().tree.nodes
    assert "/a" in nodes
    assert "/b" in nodes


async def test_writes_meanwhile_are_before_it_or_lost(tmp_path: Path) -> None:
    """None is acknowledged and lost but those that the restore replaces, and none is there behind
    it that was not acknowledged behind it."""
    body = await snapshot_of(tmp_path / "a", *(f"/a{at}" for at in range(500)))
    async with admin_server(tmp_path / "b", OFTEN) as runner, client_of(runner) as client:
        asking = asyncio.ensure_future(restore(runner, body))
        at = 0
        try:
            while True:
                assert await client.create(f"/old{at}") == 0
                at += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        reply = await asking
        assert reply.status == 200
        assert reply.json["last_zxid"] > at
        assert not any(path.startswith("/old") for path in paths_of(runner))
    assert len(await reopened(tmp_path / "b")) == 500


class _Full:
    """A file system with next to no room."""

    f_bavail = 1
    f_frsize = 4096
