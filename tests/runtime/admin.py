"""A server with an admin port, and what asks it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from pyzk.config.server import ServerConfig, parse_config
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from tests.conftest import TIMEOUT_FACTOR
from tests.frames import StreamClient

PATIENCE_S = 30.0 * TIMEOUT_FACTOR
LOOPBACK = "127.0.0.1"
SUPER = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n"
"""The super user, with the password ``test``."""
AS_SUPER = {"Authorization": "digest super:test"}


def config_of(directory: Path, text: str = "", *, is_required: bool = True) -> ServerConfig:
    """A configuration with an admin server; ``text`` wins."""
    own = (
        f"dataDir={directory}\nclientPort=0\nclientPortAddress={LOOPBACK}\npreAllocSize=64\n"
        f"admin.serverAddress={LOOPBACK}\nadmin.serverPort=0\n{SUPER}"
    )
    if is_required:
        own += "admin.enableServer=true\n"
    return parse_config((own + text).encode(), (), ())


@contextlib.asynccontextmanager
async def admin_server(
    directory: Path, text: str = "", seams: Seams | None = None, *, is_required: bool = True
) -> AsyncIterator[PeerRunner]:
    """A lone server whose admin port is open."""
    runner = PeerRunner(config_of(directory, text, is_required=is_required), seams)
    await runner.start()
    try:
        assert runner.admin is not None
        await asyncio.wait_for(runner.admin.opened(), PATIENCE_S)
        yield runner
    finally:
        await runner.close()


def place_of(runner: PeerRunner) -> tuple[str, int]:
    """Where the admin server listens."""
    assert runner.admin is not None
    address = runner.admin.address
    assert address is not None
    return address


@contextlib.asynccontextmanager
async def client_of(runner: PeerRunner) -> AsyncIterator[StreamClient]:
    """A client with a session."""
    client = await StreamClient.connect(*runner.client_address)
    try:
        yield client
    finally:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


class Reply(NamedTuple):
    """What has come of a request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    place: tuple[str, int],
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    context: Any = None,
) -> Reply:
    """One request on a connection of its own; with a ``context`` by TLS."""

    def run() -> Reply:
        connection: http.client.HTTPConnection
        if context is None:
            connection = http.client.HTTPConnection(*place, timeout=PATIENCE_S)
        else:
            connection = http.client.HTTPSConnection(*place, timeout=PATIENCE_S, context=context)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            found = connection.getresponse()
            return Reply(found.status, found.headers, found.read())

    return await asyncio.to_thread(run)


class Stranger:
    """Bytes both ways, as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """All that comes until the server closes; a reset ends it, too."""
        found = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(self.reader.read(1 << 16), PATIENCE_S):
                found += piece
        return bytes(found)


@contextlib.asynccontextmanager
async def stranger(place: tuple[str, int]) -> AsyncIterator[Stranger]:
    reader, writer = await asyncio.open_connection(*place)
    try:
        yield Stranger(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
