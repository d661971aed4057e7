"""Clients about whose certificates an OCSP responder is asked: a real server, a real responder."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.secured import client_context
from pyzk.config.server import parse_config
from pyzk.runtime import ocsp
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.runtime.tls_door import CHECKS_AT_ONCE
from pyzk.testing.seams.storage import MemoryStorage
from tests.certificates import Authority, write
from tests.frames import StreamClient
from tests.ocsp import REVOKED, Responder, answer

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loop_choice")]

ROOT = Authority("Root")
CONFIG = (
    "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\nclientPort=0\n"
    "clientPortAddress=127.0.0.1\nmaxClientCnxns=0\nssl.ocsp=true\nadmin.enableServer=false\n"
)


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[PeerRunner, tuple[str, int]]]:
    keys = write(folder / "k.pem", ROOT.issue("server", names=["127.0.0.1"]).pem())
    trusted = write(folder / "t.pem", ROOT.certificate_pem)
    stores = f"ssl.keyStore.location={keys}\nssl.trustStore.location={trusted}\n"
    config = parse_config(f"dataDir={folder}\n{CONFIG}{stores}".encode(), (), ())
    runner = PeerRunner(config, Seams(storage=MemoryStorage(config)))
    await runner.start()
    assert runner.secure_client_address is not None
    try:
        yield runner, runner.secure_client_address
    finally:
        runner.kill()
        for _turn in range(5):
            await asyncio.sleep(0)


def context_of(place: str) -> ssl.SSLContext:
    return client_context(ROOT.issue("x", ocsp=place))


async def is_refused(address: tuple[str, int], context: ssl.SSLContext) -> bool:
    """Whether a client is told no, by an alert behind its own part of the handshake."""
    try:
        client = await StreamClient.connect(*address, tls=context)
    except (OSError, EOFError):
        return True
    await client.close()
    return False


async def test_who_is_revoked_stays_outside(tmp_path: Path) -> None:
    with Responder() as responder:
        good = responder.place("good", lambda asked: answer(asked, ROOT, ROOT))
        bad = responder.place("bad", lambda asked: answer(asked, ROOT, ROOT, REVOKED))
        async with served(tmp_path) as (_, address):
            assert await is_refused(address, context_of(bad))
            client = await StreamClient.connect(*address, tls=context_of(good))
            assert await client.create("/a") == 0
            await client.close()


async def test_a_silent_responder_keeps_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clients ask for it than are looked up at once."""
    monkeypatch.setattr(ocsp, "TIMEOUT_S", 0.5)
    with Responder() as responder:
        silent = responder.place("silent", lambda _: None)
        good = responder.place("good", lambda asked: answer(asked, ROOT, ROOT))
        async with served(tmp_path) as (runner, address):
            plain = await StreamClient.connect(*runner.client_address)
            many = [
                asyncio.create_task(is_refused(address, context_of(silent)))
                for _ in range(3 * CHECKS_AT_ONCE)
            ]
            while not responder.asked:
                assert await plain.create(f"/{len(many)}") in (0, -110)  # it is served all along
            client = await StreamClient.connect(*address, tls=context_of(good))
            assert await client.create("/a") == 0
            assert all(await asyncio.gather(*many))
            # Most others were not asked about, for it had not answered the first ones.
            asked = [part for _, part, _ in responder.asked if part == "silent"]
            assert len(asked) < len(many)
            await client.close()
            await plain.close()
