"""Starts and stops the servers under comparison, each in a directory of its own.

Shell.

A Launcher knows how to run one kind of server: this project's, an installed original, or whatever
a command template says ({cfg} is a zoo.cfg, {props} a file of system properties).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from conformance.frames import Address, four_letters
from pyzk.runtime.free_ports import free_port

PYZK = f"{shlex.quote(sys.executable)} -m pyzk serve {{cfg}} --properties {{props}}"
DEFAULT_CONFIG: Mapping[str, str] = {
    "tickTime": "2000",
    "maxClientCnxns": "0",
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
}
SIMPLE_LOGGER: Mapping[str, str] = {
    "showDateTime": "true",
    "dateTimeFormat": "yyyy-MM-dd HH:mm:ss,SSS",
    "showShortLogName": "true",
}


class NotStartedError(Exception):
    """A server did not come up."""


@attrs.frozen
class Launcher:
    """How to run one kind of server."""

    name: str
    template: str
    java_class_path: str | None = None
    heap: str = "512m"
    log_level: str = "warn"

    def command(self, config: Path, properties: Mapping[str, str], file: Path) -> list[str]:
        """The command line for a configuration."""
        if self.java_class_path is not None:
            flags = [f"-D{key}={value}" for key, value in properties.items()]
            # Of the two versions each reads its own.
            simple = {"defaultLogLevel": self.log_level, **SIMPLE_LOGGER}
            flags += [f"-Dorg.slf4j.simpleLogger.{key}={value}" for key, value in simple.items()]
            flags.append(f"-Dpyzk.oracle.log={self.log_level}")
            quick = [f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            heap = shlex.split(os.environ.get("PYZK_ORACLE_JVMFLAGS", "")) or quick
            main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            return ["java", *heap, *flags, "-cp", self.java_class_path, main, str(config)]
        return [part.format(cfg=config, props=file) for part in shlex.split(self.template)]


def pyzk_launcher(template: str | None = None) -> Launcher:
    """Returns the launcher of this project's server, or of another command line for it."""
    return Launcher("pyzk", template or os.environ.get("PYZK_COMMAND") or PYZK)


class ServerProcess:
    """A process of a launcher, now running or not."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with the output of the process."""
        raise NotImplementedError

    def run(
        self, folder: Path, config: Mapping[str, object], properties: Mapping[str, str]
    ) -> None:
        """Starts the process; ``folder`` gets the files that it reads."""
        cfg = folder / "zoo.cfg"
        cfg.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        self.run_again(folder, properties)

    def run_again(self, folder: Path, properties: Mapping[str, str]) -> None:
        """Starts the process with the zoo.cfg that is in ``folder`` already."""
        cfg, props = folder / "zoo.cfg", folder / "properties"
        props.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.launcher.command(cfg, properties, props),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parent.parent,
            )

    def log_tail(self, size: int = 3000) -> str:
        """Returns the end of the process's output."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def kill(self) -> None:
        """Ends the process by SIGKILL, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Server(ServerProcess):
    """One server process with its data directory."""

    def __init__(
        self,
        launcher: Launcher,
        config: Mapping[str, object] | None = None,
        properties: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        super().__init__(launcher)
        self.root = Path(tempfile.mkdtemp(prefix="pyzk-conformance-"))
        self.data = data or self.root / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.config = {**DEFAULT_CONFIG, **{k: str(v) for k, v in (config or {}).items()}}
        self.properties = dict(properties or {})
        self.port = 0
        self.started_in = 0.0

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return ("127.0.0.1", self.port)

    @property
    def log(self) -> Path:
        return self.root / "log"

    def start(self, wait: bool = True, timeout: float = 60.0) -> None:
        """Starts the process; with ``wait``, returns when it answers."""
        self.port = self.port or free_port()
        fixed = {
            "dataDir": self.data,
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
        }
        begin = time.monotonic()
        self.run(self.root, {**self.config, **fixed}, self.properties)
        if wait:
            self.wait_ready(timeout)
        else:
            self._wait_listening(timeout)
        self.started_in = time.monotonic() - begin

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server answers ruok, or fails with the end of its log."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._check_alive()
            try:
                if four_letters(self.address, b"srvr", 5).startswith(b"Zookeeper version"):
                    return
            except OSError:
                pass
            time.sleep(0.01)
        self.stop()
        raise NotStartedError(
            f"{self.launcher.name} did not answer in {timeout} s\n{self.log_tail()}"
        )

    def _wait_listening(self, timeout: float) -> None:
        """Waits for the listening port without opening a connection to it."""
        end = time.monotonic() + timeout
        wanted = f":{self.port:04X} "
        while time.monotonic() < end:
            self._check_alive()
            for table in ("/proc/net/tcp", "/proc/net/tcp6"):
                for line in Path(table).read_text().splitlines():
                    if wanted in line.split(" 0A ")[0] and " 0A " in line:
                        time.sleep(0.1)
                        return
            time.sleep(0.02)
        raise NotStartedError(f"{self.launcher.name} does not listen on {self.port}")

    def _check_alive(self) -> None:
        assert self.process is not None
        status = self.process.poll()
        if status is not None:
            name = self.launcher.name
            raise NotStartedError(f"{name} ended with status {status}\n{self.log_tail()}")

    def stop(self, timeout: float = 20.0) -> int | None:
        """Ends the process by SIGTERM; returns its exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def cleanup(self) -> None:
        """Stops the process and removes its directory."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Server:
        if self.process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()
