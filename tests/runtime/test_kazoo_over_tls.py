"""kazoo against a server with TLS: what its users do, and answers of every length."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.protocol.states import EventType, WatchedEvent
from kazoo.security import make_acl

from pyzk.config.server import parse_config
from pyzk.runtime.loop import loop_factory
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.testing.seams.storage import MemoryStorage
from tests.tls import HOST, Authority

pytestmark = [pytest.mark.live, pytest.mark.slow]

PATIENCE_S = 20.0
AUTHORITY = Authority()


@contextlib.contextmanager
def serving(directory: Path, text: str, loop: str) -> Iterator[PeerRunner]:
    """A server in a thread of its own."""
    stores = AUTHORITY.stores(directory)
    config = parse_config(
        f"dataDir={directory}\nadmin.enableServer=false\n{stores}{text}".encode(), (), ()
    )
    runner = PeerRunner(config, Seams(storage=MemoryStorage(config)))
    is_ready = threading.Event()

    async def serve() -> None:
        await runner.start()
        is_ready.set()
        await runner.serve_until_stopped()

    def work() -> None:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as own:
            own.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert is_ready.wait(PATIENCE_S)
        yield runner
    finally:
        runner._loop.call_soon_threadsafe(runner.request_stop)
        thread.join()


@contextlib.contextmanager
def connected(
    address: tuple[str, int], directory: Path, name: str = "bob", **options: object
) -> Iterator[KazooClient]:
    trusted, own, key = AUTHORITY.files(directory, name)
    client = KazooClient(
        f"{HOST}:{address[1]}",
        timeout=PATIENCE_S,
        use_ssl=True,
        ca=str(trusted),
        certfile=str(own),
        keyfile=str(key),
        verify_certs=True,
        **options,
    )
    client.start(PATIENCE_S)
    try:
        yield client
    finally:
        client.stop()
        client.close()


PORTS = {
    "secure": "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\n",
    "unified": "clientPort=0\nclientPortAddress=127.0.0.1\nclient.portUnification=true\n",
}


@pytest.mark.parametrize("port", list(PORTS))
def test_kazoo_does_over_tls_what_its_users_do(tmp_path: Path, loop_choice: str, port: str) -> None:
    with (
        serving(tmp_path / "server", PORTS[port], loop_choice) as runner,
        connected(runner.client_address, tmp_path) as client,
        connected(runner.client_address, tmp_path, "eve") as other,
    ):
        seen: list[WatchedEvent] = []
        is_seen = threading.Event()

        def watch(event: WatchedEvent) -> None:
            seen.append(event)
            is_seen.set()

        client.create("/a", b"first", ephemeral=True)
        assert other.get("/a", watch=watch)[0] == b"first"
        client.set("/a", b"second")
        assert is_seen.wait(PATIENCE_S)
        assert [event.type for event in seen] == [EventType.CHANGED]
        assert other.get("/a")[0] == b"second"
        transaction = client.transaction()
        transaction.create("/b")
        transaction.delete("/b")
        assert transaction.commit() == ["/b", True]
        client.create("/mine", acl=[make_acl("auth", "", all=True)])
        with pytest.raises(NoAuthError):
            other.get("/mine")
        with client.Lock("/lock", "bob"):
            assert client.get_children("/lock")
        client.stop()
        assert other.exists("/a") is None, "its session is closed"


@pytest.mark.parametrize("port", list(PORTS))
def test_long_answers_are_whole(tmp_path: Path, loop_choice: str, port: str) -> None:
    rng = random.Random(1)
    with (
        serving(tmp_path / "server", PORTS[port], loop_choice) as runner,
        connected(runner.client_address, tmp_path) as client,
    ):
        large, small = rng.randbytes(900_000), rng.randbytes(100_000)
        client.create("/large", large)
        assert client.get("/large")[0] == large
        client.create("/small", small)
        pending = [client.get_async("/small") for _ in range(50)]
        assert all(each.get(timeout=PATIENCE_S)[0] == small for each in pending)
        client.create("/dir")
        names = {f"child-{number:08}" for number in range(8280)}
        creating = [client.create_async(f"/dir/{name}") for name in sorted(names)]
        for each in creating:
            each.get(timeout=PATIENCE_S)
        assert set(client.get_children("/dir")) == names


def test_a_client_that_comes_back_keeps_its_session(tmp_path: Path, loop_choice: str) -> None:
    with (
        serving(tmp_path / "server", PORTS["secure"], loop_choice) as runner,
        connected(runner.client_address, tmp_path) as client,
    ):
        client.create("/a", ephemeral=True)
        session = client.client_id
        is_back = threading.Event()
        client.add_listener(lambda state: is_back.set() if state == "CONNECTED" else None)
        for _round in range(3):
            is_back.clear()
            (connection,) = runner.peer.connections
            runner._loop.call_soon_threadsafe(runner.perform, connection.close)
            assert is_back.wait(PATIENCE_S)
            assert client.client_id == session
            assert client.exists("/a") is not None
