"""The commands of the admin server that only a process can carry out: snapshot, shed_connections;
and who may ask for them."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest

from pyzk.constants import OpCode
from pyzk.data.tree import DataTree
from pyzk.errors import StorageError
from pyzk.outsiders import SUBJECT
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.snapshot import LoadedSnapshot, read_snapshot
from pyzk.runtime.files import FileDirectory
from pyzk.runtime.seams import Seams
from pyzk.testing.seams.storage import MemoryStorage
from tests.frames import create_request
from tests.runtime.admin import AS_SUPER, admin_server, ask, client_of, config_of, place_of

pytestmark = pytest.mark.live

OFTEN = "admin.rateLimiterIntervalInMS=0\n"
URL = "/commands/snapshot"


def loaded(body: bytes, zxid: int) -> LoadedSnapshot:
    directory = MemoryDirectory()
    directory.create("snapshot.1").write_at(body, 0)
    return read_snapshot(directory, "snapshot.1", zxid, DataTree())


async def test_it_is_the_file_with_the_state_at_its_zxid(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/a") == 0
        reply = await ask(place_of(runner), URL, headers=AS_SUPER)
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert reply.headers["last_zxid"] == "0x2"
        assert reply.headers["snapshot_size"] == str(len(reply.body))
        assert (tmp_path / "version-2" / "snapshot.2").read_bytes() == reply.body
        found = loaded(reply.body, 2)
        assert found.last_zxid == 2
        assert "/a" in found.database.tree.nodes
        assert client.session_id in found.database.sessions
        again = await ask(place_of(runner), "/commands/last_snapshot")
        assert again.json["zxid"] == "2"
        assert runner.peer.metrics.snapshottime.count == 1


async def test_without_streaming_it_says_what_there_is(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/a") == 0
        for method in ("GET", "HEAD"):
            reply = await ask(place_of(runner), f"{URL}?streaming=false", method, AS_SUPER)
            size = (tmp_path / "version-2" / "snapshot.2").stat().st_size
            assert reply.headers["snapshot_size"] == str(size)
            assert reply.headers["last_zxid"] == "0x2"
            if method == "GET":
                assert reply.json == {"command": "snapshot", "error": None}


async def test_a_head_has_the_headers_of_what_a_get_sends(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        assert await client.create("/a") == 0
        for query in ("", "?streaming=false"):
            whole = await ask(place_of(runner), URL + query, headers=AS_SUPER)
            head = await ask(place_of(runner), URL + query, "HEAD", AS_SUPER)
            assert (head.status, head.body) == (200, b"")
            for name in ("Content-Type", "Content-Length", "last_zxid", "snapshot_size"):
                assert (query, head.headers[name]) == (query, whole.headers[name])


async def test_who_asks_again_and_again_fills_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with admin_server(tmp_path) as runner:
        await ask(place_of(runner), URL, "HEAD", AS_SUPER)
    told = [record for record in caplog.records if "asked for" in record.message]
    assert [record.__dict__[SUBJECT] for record in told] == ["127.0.0.1"]


async def test_a_large_one_comes_whole(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        for at in range(10):
            request = create_request(f"/{at}", bytes([at]) * 200_000)
            assert (await client.call(OpCode.CREATE, request)).err == 0
        reply = await ask(place_of(runner), URL, headers=AS_SUPER)
        assert len(reply.body) > 2_000_000
        nodes = loaded(reply.body, 11).database.tree.nodes
        assert [nodes[f"/{at}"].data for at in range(10)] == [
            bytes([at]) * 200_000 for at in range(10)
        ]


async def test_who_may_have_it(tmp_path: Path) -> None:
    async with admin_server(tmp_path, OFTEN) as runner:
        place = place_of(runner)
        assert (await ask(place, URL)).status == 401
        assert (await ask(place, URL, headers={"Authorization": "x y"})).status == 401
        root = runner.peer.server.tree.find("/")
        assert root is not None
        root.acl_id = runner.peer.server.tree.acls.intern(())
        refused = await ask(place, "/commands/snap", headers={"Authorization": "digest a:b"})
        assert refused.status == 200  # nobody is named: the original lets everybody in
        assert (await ask(place, URL, "POST", AS_SUPER)).status == 500


async def test_an_address_behind_a_proxy(tmp_path: Path) -> None:
    from pyzk.jute.records import ACL

    text = f"{OFTEN}IPAuthenticationProvider.usexforwardedfor=true\n"
    async with admin_server(tmp_path, text) as runner:
        tree = runner.peer.server.tree
        root = tree.find("/")
        assert root is not None
        root.acl_id = tree.acls.intern((ACL(31, "ip", "10.0.0.1"),))
        asked = {"Authorization": "ip"}
        assert (await ask(place_of(runner), URL, headers=asked)).status == 403
        asked["X-Forwarded-For"] = "10.0.0.2, 10.0.0.1"
        assert (await ask(place_of(runner), URL, headers=asked)).status == 403
        asked["X-Forwarded-For"] = "10.0.0.1, 10.0.0.2"
        assert (await ask(place_of(runner), URL, headers=asked)).status == 200


async def test_what_keeps_it_back(tmp_path: Path) -> None:
    for text, status in (
        ("admin.snapshot.enabled=false\n", 503),
        ("serializeLastProcessedZxid.enabled=false\n", 500),
    ):
        async with admin_server(tmp_path, text) as runner:
            reply = await ask(place_of(runner), URL, headers=AS_SUPER)
            assert reply.status == status
            assert reply.json["command"] == "snapshot"


async def test_it_is_not_given_twice_in_a_moment(tmp_path: Path) -> None:
    # Eleven days; the original takes the number for microseconds, and so it is a quarter hour.
    text = "admin.rateLimiterIntervalInMS=1000000000\n"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        assert (await ask(place, URL, headers=AS_SUPER)).status == 200
        assert (await ask(place, URL, headers=AS_SUPER)).status == 429
        assert runner.peer.metrics.snapshot_rate_limited_count == 1


async def test_a_full_disk_costs_the_snapshot_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = FileDirectory.create

    def full(self: FileDirectory, name: str) -> object:
        if name.startswith("snapshot."):
            raise StorageError("no space left", path=name) from OSError(errno.ENOSPC, "full")
        return create(self, name)

    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        with monkeypatch.context() as patch:
            patch.setattr(FileDirectory, "create", full)
            reply = await ask(place_of(runner), URL, headers=AS_SUPER)
        assert reply.status == 500
        assert "no space left" in reply.json["error"]
        assert runner.peer.metrics.snapshot_error_count == 1
        assert await client.create("/a") == 0
        assert (await ask(place_of(runner), URL, headers=AS_SUPER)).status == 200


async def test_what_would_leave_no_room_for_the_log_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays, so that who asks again and again would stop the server."""
    async with admin_server(tmp_path, OFTEN) as runner, client_of(runner) as client:
        for at in range(10):
            request = create_request(f"/{at}", bytes([at]) * 200_000)
            assert (await client.call(OpCode.CREATE, request)).err == 0
        place, log_bytes = place_of(runner), 2 * runner.config.pre_alloc_size_kb * 1024
        first = await ask(place, f"{URL}?streaming=false", headers=AS_SUPER)
        size = int(first.headers["snapshot_size"])
        assert await client.create("/later") == 0
        names = sorted(each.name for each in (tmp_path / "version-2").iterdir())
        for free in (0, log_bytes, log_bytes + size - 1000):
            monkeypatch.setattr("os.statvfs", partial(_Disk, free))
            reply = await ask(place, URL, headers=AS_SUPER)
            assert reply.status == 500
            assert reply.json["error"].startswith(f"There is no room in {tmp_path}/version-2: ")
            assert sorted(each.name for each in (tmp_path / "version-2").iterdir()) == names
        assert await client.create("/still") == 0
        monkeypatch.setattr("os.statvfs", partial(_Disk, log_bytes + size + 1000))
        for _ in range(3):  # the room of one that is written is free again for the next
            reply = await ask(place, URL, headers=AS_SUPER)
            assert reply.status == 200
            assert len(reply.body) > size


class _Disk:
    """A file system with so much room."""

    f_frsize = 1

    def __init__(self, free: int, _: str) -> None:
        self.f_bavail = free


async def test_a_visitor_who_goes_costs_nothing(tmp_path: Path) -> None:
    import asyncio

    async with admin_server(tmp_path, OFTEN) as runner:
        place = place_of(runner)
        for _ in range(5):
            _, writer = await asyncio.open_connection(*place)
            head = "".join(f"{name}: {value}\r\n" for name, value in AS_SUPER.items())
            writer.write(f"GET {URL} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
            await writer.drain()
            writer.transport.abort()
        assert (await ask(place, "/commands/ruok")).status == 200


async def test_a_server_in_memory_has_one_too(tmp_path: Path) -> None:
    seams = Seams(storage=MemoryStorage(config_of(tmp_path, OFTEN)))
    async with admin_server(tmp_path, OFTEN, seams) as runner, client_of(runner) as client:
        assert await client.create("/a") == 0
        reply = await ask(place_of(runner), URL, headers=AS_SUPER)
        assert "/a" in loaded(reply.body, 2).database.tree.nodes


# --- shed_connections -------------------------------------------------------------------

SHED = "/commands/shed_connections"


async def test_connections_are_shed(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner, client_of(runner) as client:
        place = place_of(runner)
        reply = await ask(place, SHED, "POST", AS_SUPER, b'{"percentage": 0}')
        assert reply.json["connections_shed"] == 0
        assert await client.create("/a") == 0
        reply = await ask(place, SHED, "POST", AS_SUPER, b'{"percentage": 100}')
        assert reply.json == {
            "connections_shed": 1,
            "percentage_requested": 100,
            "command": "shed_connections",
            "error": None,
        }
        assert await client.reader.read() == b""
        assert client.session_id in runner.peer.server.sessions.sessions


async def test_what_sheds_nothing(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        place = place_of(runner)
        assert (await ask(place, SHED, "POST", None, b'{"percentage": 1}')).status == 401
        assert (await ask(place, SHED, "POST", AS_SUPER, b"{")).status == 400
        assert (await ask(place, SHED, "GET", AS_SUPER)).status == 500
        large = await ask(place, SHED, "POST", AS_SUPER, b" " * 100_000)
        assert large.status == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", URL), ("POST", "/commands/restore"), ("POST", "/commands/shed_connections")],
)
async def test_another_site_gets_nothing_through_a_browser(
    tmp_path: Path, method: str, path: str
) -> None:
    async with admin_server(tmp_path, OFTEN) as runner:
        place = place_of(runner)
        own = f"{place[0]}:{place[1]}"
        anybody = {"Authorization": "digest a:b"}
        for more, reason in (
            ({"Host": f"evil.com:{place[1]}"}, "pyzk.console.hosts must name that host"),
            ({"Host": "evil.com", "Origin": "http://evil.com"}, "not known as 'evil.com'"),
            ({"Host": own, "Origin": "http://evil.com"}, "another origin"),
            ({"Host": own, "Sec-Fetch-Site": "cross-site"}, "another site"),
        ):
            reply = await ask(place, path, method, {**anybody, **more}, b"")
            assert reply.status == 403
            assert reason in reply.json["error"]
        assert runner.peer.metrics.snapshottime.count == 0


@pytest.mark.parametrize(
    ("host", "authorization"),
    [
        ("127.0.0.1:8080", "digest a:b"),
        ("localhost", "digest a:b"),
        ("zk.example.com:8080", "digest a:b"),
        ("another.example.com", "digest super:test"),
    ],
)
async def test_a_script_may_use_a_known_name_or_a_real_password(
    tmp_path: Path, host: str, authorization: str
) -> None:
    text = f"{OFTEN}pyzk.console.hosts=zk.example.com\n"
    async with admin_server(tmp_path, text) as runner:
        headers = {"Host": host, "Authorization": authorization}
        assert (await ask(place_of(runner), URL, headers=headers)).status == 200


async def test_enforced_authentication_counts_here_too(tmp_path: Path) -> None:
    text = f"{OFTEN}enforce.auth.enabled=true\nenforce.auth.schemes=digest\n"
    async with admin_server(tmp_path, text) as runner:
        place = place_of(runner)
        reply = await ask(place, URL, headers={"Authorization": "ip"})
        assert reply.status == 403
        assert "enforce.auth.schemes" in reply.json["error"]
        assert (await ask(place, URL, headers={"Authorization": "digest a:b"})).status == 200
