"""Servers in processes of their own, with an admin port each, and clients that may be killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.processes import ENVIRONMENT

PATIENCE_S: Final = 60.0 * float(os.environ.get("PYZK_TEST_TIMEOUT_FACTOR", "1"))
HOST: Final = "127.0.0.1"
SUPER: Final = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="
"""The super user, with the password ``test``."""
_ADMIN: Final = re.compile(r"admin server on http://127\.0\.0\.1:(\d+)")


class Server:
    """One `pyzk serve`, whose admin port the system has chosen."""

    def __init__(self, directory: Path, lines: list[str], sid: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.sid = sid
        self._config = directory / "zoo.cfg"
        self._log = directory / "log"
        data = directory / "data"
        data.mkdir(exist_ok=True)
        if sid:
            (data / "myid").write_text(f"{sid}\n")
        common = [
            f"dataDir={data}",
            "preAllocSize=64",
            "admin.enableServer=true",
            f"admin.serverAddress={HOST}",
            "admin.serverPort=0",
            SUPER,
        ]
        self._config.write_text("\n".join([*common, *lines, ""]))
        self._begun_at = 0
        """Where in the log the present process began."""
        self._process: subprocess.Popen[bytes] | None = None
        self.admin_port = 0
        self.client_port = 0

    def start(self) -> None:
        """Starts the process; its ports are known when `wait` has returned."""
        self._log.touch()
        self._begun_at = self._log.stat().st_size
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pyzk", "serve", str(self._config), "--initialize"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )

    def wait(self) -> None:
        """Waits until the admin port is open."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = _ADMIN.search(self._log.read_text()[self._begun_at :])
            if found:
                self.admin_port = int(found[1])
                address = str(self.state()["server"]["clientAddress"])
                self.client_port = int(address.rpartition(":")[2])
                return
            assert self._process is not None, "it is started"
            if self._process.poll() is not None:
                break
            threading.Event().wait(0.05)
        raise AssertionError(f"server {self.sid} does not serve:\n{self._log.read_text()[-4000:]}")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.admin_port}/"

    def ask(self, name: str, **body: Any) -> tuple[Any, int, float]:
        """Asks what the page asks; returns the answer, its length and the seconds that it took."""
        begin = time.monotonic()
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            headers = {"X-Pyzk-Console": "1"}
            connection.request("POST", f"/console/api/{name}", json.dumps(body), headers)
            found = connection.getresponse().read()
        return json.loads(found), len(found), time.monotonic() - begin

    def state(self) -> Any:
        return self.ask("state")[0]

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None


@contextlib.contextmanager
def lone_server(directory: Path, *lines: str) -> Iterator[Server]:
    server = Server(directory, ["clientPort=0", f"clientPortAddress={HOST}", *lines])
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


class Members:
    """Three members of an ensemble."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        lines = [
            # A server that stands still for longer than a tick gives its sessions more time.
            "tickTime=2000",
            "initLimit=10",
            "syncLimit=5",
            "maxSessionTimeout=60000",
            "standaloneEnabled=false",
            "audit.enable=true",
            "pyzk.console.write=true",
        ]
        for at in range(3):
            quorum, election, client = ports[3 * at : 3 * at + 3]
            lines.append(f"server.{at + 1}={HOST}:{quorum}:{election};{HOST}:{client}")
        self.servers: Mapping[int, Server] = {
            sid: Server(directory / str(sid), lines, sid) for sid in (1, 2, 3)
        }

    def start(self) -> None:
        for server in self.servers.values():
            server.start()
        for server in self.servers.values():
            server.wait()
        self.wait_for_leader()

    def wait_for_leader(self, *, without: int = 0) -> int:
        """Returns the sid of the leader, once all others know it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            states = [each.state() for sid, each in self.servers.items() if sid != without]
            leaders = {state["members"]["leader"] for state in states}
            if len(leaders) == 1 and None not in leaders:
                return int(leaders.pop())
            threading.Event().wait(0.1)
        raise AssertionError("no leader")

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


_CLIENT = """
import sys
from kazoo.client import KazooClient
client = KazooClient(sys.argv[1], timeout=float(sys.argv[2]))
client.start(timeout=30)
client.ensure_path("/service/workers")
client.create("/service/workers/lively", b"here", ephemeral=True)
client.get("/service/workers/lively", watch=print)
client.get_children("/service", watch=print)
print(hex(client.client_id[0]), flush=True)
sys.stdin.read()
client.stop()
"""


@contextlib.contextmanager
def client_process(port: int, timeout_s: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A client with an ephemeral and watches, that can be killed; and the id of its session. At
    the end it closes its session, or its ephemeral would be in the way of the next one."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLIENT, f"{HOST}:{port}", str(timeout_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        session = process.stdout.readline().strip()
        assert session, "the client has no session or no ephemeral"
        yield session, process
        process.communicate(timeout=PATIENCE_S)  # the end of its input
    finally:
        process.kill()
        process.communicate()
