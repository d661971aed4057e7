"""One member of an ensemble: a process of one implementation or the other, on its own directory.

Shell.

The directory and the ports outlive the process: a member is killed, started again, or started as
the other implementation on the same files.  Each process writes a log file of its own.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from conformance import oracle
from conformance.frames import Address, Client, ClosedError, four_letters
from conformance.mixed.connections import NudgingClient
from conformance.servers import Launcher, ServerProcess, pyzk_launcher
from pyzk.runtime.free_ports import free_ports

HEAP: Final = "128m"
PYZK: Final = "pyzk"
NOT_SERVING: Final = "none"


class MixedError(Exception):
    """A member or an ensemble did not do what it should."""


def check(holds: bool, otherwise: str) -> None:
    """Raises MixedError with that text unless it holds."""
    if not holds:
        raise MixedError(otherwise)


def eventually(what: str, holds: Callable[[], bool], timeout: float = 30.0) -> None:
    """Waits until a condition holds. Raises MixedError if it does not."""
    end = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > end:
            raise MixedError(f"not within {timeout:g} s: {what}")
        time.sleep(0.05)


def implementation(name: str) -> Launcher:
    """Returns the launcher of `pyzk`, or of a version of the original with a small heap and all
    logs."""
    if name == PYZK:
        return pyzk_launcher()
    return attrs.evolve(oracle.find(name).launcher(), heap=HEAP, log_level="info")


@attrs.frozen
class ProcessLog:
    """The output of one process."""

    path: Path
    name: str
    """The implementation that it was."""
    is_original: bool
    began: float

    @property
    def version(self) -> str:
        """The original's version."""
        return self.name.removeprefix("zookeeper-")


class MixedMember(ServerProcess):
    """A server of an ensemble, now running or not."""

    def __init__(self, sid: int, launcher: Launcher, root: Path, is_observer: bool = False) -> None:
        super().__init__(launcher)
        self.sid = sid
        self.is_observer = is_observer
        self.host = "127.0.0.1"
        """The name of every member's host in its configuration."""
        self.root = root / f"{sid}"
        self.data = self.root / "data"
        self.data.mkdir(parents=True)
        (self.data / "myid").write_text(f"{sid}\n")
        self.client_port, self.quorum_port, self.election_port = free_ports(3)
        self.starts = 0
        self.logs: list[ProcessLog] = []
        """The log of each process that this member has been, in order."""

    def begin_empty(self) -> None:
        """Says that the directory is empty because the ensemble is new: a voter of this project
        that finds nothing would ask all others first."""
        (self.data / "initialize").touch()

    def __str__(self) -> str:
        return f"member {self.sid} ({self.launcher.name})"

    @property
    def is_pyzk(self) -> bool:
        """Whether it runs this project's server."""
        return self.launcher.java_class_path is None

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return ("127.0.0.1", self.client_port)

    @property
    def log(self) -> Path:
        """The file with the output of the last process."""
        return self.logs[-1].path

    def server_line(
        self,
        quorum_port: int | None = None,
        election_port: int | None = None,
        *,
        host: str = "127.0.0.1",
    ) -> str:
        """Returns what zoo.cfg says of this member."""
        role = "observer" if self.is_observer else "participant"
        ports = f"{quorum_port or self.quorum_port}:{election_port or self.election_port}"
        return f"{host}:{ports}:{role}"

    def start(self, config: Mapping[str, str], properties: Mapping[str, str]) -> None:
        """Starts the process, and does not wait until it serves."""
        fixed = {
            "dataDir": str(self.data),
            "clientPort": str(self.client_port),
            "clientPortAddress": "127.0.0.1",
        }
        if self.is_observer:
            fixed["peerType"] = "observer"
        self.begin_log()
        self.run(self.root, {**config, **fixed}, properties)

    def begin_log(self) -> None:
        """Begins the log file of the next process."""
        assert self.process is None
        self.starts += 1
        log = self.root / f"log.{self.starts}.{self.launcher.name}"
        self.logs.append(ProcessLog(log, self.launcher.name, not self.is_pyzk, time.time()))

    def check_running(self) -> None:
        """Raises with the end of its log when the process ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            raise MixedError(f"{self} ended with status {status}\n{self.log_tail()}")

    def stop(self, timeout: float = 20.0) -> None:
        """Ends the process by SIGTERM, and waits for the end."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MixedError(f"{self} did not stop in {timeout:g} s\n{self.log_tail()}") from None
        self.process = None

    def signal(self, number: int) -> None:
        """Sends a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def connection(self, timeout: float = 10.0) -> Client:
        """Returns a client that is connected and has no session yet."""
        return (Client if self.is_pyzk else NudgingClient)(self.address, timeout)

    def new_session(self, timeout_ms: int = 30000) -> Client:
        """Returns a client with a new session."""
        client = self.connection()
        if not client.connect(timeout_ms):
            raise ClosedError(f"{self} refused a new session")
        return client

    def word(self, word: str) -> str:
        """Returns the answer to a four-letter word; empty when there is none."""
        with contextlib.suppress(OSError):
            return four_letters(self.address, word.encode(), 5).decode()
        return ""

    def answers(self) -> bool:
        """Tells whether the process answers, serving or not."""
        self.check_running()
        return bool(self.word("srvr"))

    def mode(self) -> str:
        """Returns the role that `srvr` reports, `none` while the member does not serve."""
        found = re.search(r"^Mode: (\S+)$", self.word("srvr"), re.MULTILINE)
        return found[1] if found else NOT_SERVING

    def zxid(self) -> int:
        """Returns the last zxid that `srvr` reports; -1 while the member does not serve."""
        found = re.search(r"^Zxid: 0x([0-9a-f]+)$", self.word("srvr"), re.MULTILINE)
        return int(found[1], 16) if found else -1

    def metric(self, name: str) -> str | None:
        """Returns one line of `mntr`."""
        found = re.search(rf"^zk_{name}\t(\S+)$", self.word("mntr"), re.MULTILINE)
        return found[1] if found else None

    def log_lines(self, pattern: str) -> list[str]:
        """Returns the lines of the last process's log that match."""
        wanted = re.compile(pattern)
        text = self.log.read_text(errors="replace")
        return [line for line in text.splitlines() if wanted.search(line)]

    def wipe(self) -> None:
        """Removes all data of the member, but not its id."""
        assert self.process is None
        shutil.rmtree(self.data)
        self.data.mkdir()
        (self.data / "myid").write_text(f"{self.sid}\n")

    def files(self, prefix: str) -> Iterator[Path]:
        """Yields the member's logs or snapshots, oldest first."""
        found = (self.data / "version-2").glob(f"{prefix}.*")
        return iter(sorted(found, key=lambda path: int(path.name.split(".")[1], 16)))
