"""Scripted sessions of the command line clients, with their output made comparable.

Shell.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from conformance.differential.requests import SUPER
from conformance.frames import Address
from conformance.mixed.changing import ChangingMember
from conformance.oracle import Oracle
from pyzk.runtime.free_ports import free_port

HERE: Final = Path(__file__).parent
_VARYING: Final = (
    (re.compile(r"127\.0\.0\.1:\d+(:\d+(?=:))?"), "ADDRESS"),
    (re.compile(r"/\S+/members\b"), "FILE"),
    (re.compile(r"\b(0x)?[0-9a-f]{14,16}\b"), "SESSION"),
    (re.compile(r"\w{3} \w{3} +\d+ [\d:]{8} ([A-Z]+ )?\d{4}"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d+(:\d+\S*)?"), "TIME"),
    (re.compile(r"^time = \d+ msec$", re.MULTILINE), "DURATION"),
    (re.compile(r"\[myid:.*\].*\n"), ""),
    (re.compile(r"^.*(SLF4J|log4j|reload4j).*\n", re.MULTILINE), ""),
)
_IDENTITY: Final = re.compile(r"(ip|digest|super|sasl|x509): ")
_WRAP: Final = " \r"
"""What the terminal puts into a long line that it echoes."""
_CONNECTED: Final = re.compile(r"Got a new session id")
_ANSWERED: Final = re.compile(r": rc = |^Error |^Invalid |^session Id")
"""How the answer to a command of cli_mt begins."""
_PATIENCE_S: Final = 3.0
_PROMPT: Final = re.compile(r"\[zk: [^]\n]*\] ?")


def mask(text: str) -> str:
    """Returns the output without what differs from run to run."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def zkcli(
    original: Oracle, address: Address, properties: dict[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Returns the output of the scripted zkCli session, and its watch events."""
    script = (HERE / "zkcli.txt").read_text().format(address=f"{address[0]}:{address[1]}")
    return _zkcli(original, address, script, properties)


def zkcli_reconfig(original: Oracle, member: ChangingMember) -> tuple[list[str], list[str]]:
    """Returns the output of the zkCli session that changes an ensemble of one, and its watch
    events. The others that it adds are observers, and never come."""
    lines = [f"127.0.0.1:{_ports()}:observer;127.0.0.1:{free_port()}" for _ in range(2)]
    file = member.root / "members"
    voter = lines[1].replace("observer", "participant")
    file.write_text(f"server.1={member.server_line()}\nserver.3={voter}\n")
    script = (HERE / "zkcli_reconfig.txt").read_text()
    fields = {"first": member.server_line(), "second": lines[0], "third": lines[1], "voter": voter}
    return _zkcli(original, member.address, script.format(file=file, super=SUPER, **fields))


def _ports() -> str:
    return f"{free_port()}:{free_port()}"


def _zkcli(
    original: Oracle, address: Address, script: str, properties: dict[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Returns the output of a zkCli session, and its watch events.

    A thread of its own prints events into the middle of other output, so they are taken out and
    compared separately.
    """
    done = subprocess.run(
        original.cli(address, properties),
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
    )
    text = _PROMPT.sub("", mask(done.stdout.decode().replace(_WRAP, "")))
    lines = [line for line in text.splitlines() if line.strip() and line != "WATCHER::"]
    events = [line for line in lines if line.startswith("WatchedEvent")]
    lines = [line for line in lines if line not in events]
    # At the end of the session it may be printed, or the process be gone.
    events = [line for line in events if "state:Closed" not in line]
    lines = _sorted_runs(lines, _IDENTITY)
    return [*lines, f"exit status {done.returncode}"], events


def cli_mt(
    program: Path, address: Address, options: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Returns the output of the scripted cli_mt session, and its watch events."""
    process = subprocess.Popen(
        [str(program), "-h", f"{address[0]}:{address[1]}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    printed = _Printed(process.stdout)
    try:
        printed.wait(_CONNECTED, 30)
        for line in (HERE / "cli_mt.txt").read_text().splitlines():
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            printed.wait(_ANSWERED, _PATIENCE_S)
        process.stdin.write("quit\n")
        process.stdin.flush()
        process.wait(30)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
    lines = [line for line in mask(printed.all()).splitlines() if line.strip()]
    events = [line for line in lines if line.startswith("Watcher ")]
    answers = [line for line in lines if line not in events]
    return answers, events


class _Printed:
    """What a process prints, line by line as it comes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._coming: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line)
            self._coming.put(line)

    def wait(self, what: re.Pattern[str], patience_s: float) -> None:
        """Waits for a line; without one it goes on, as not every command prints one."""
        end = time.monotonic() + patience_s
        with contextlib.suppress(queue.Empty):
            while (left := end - time.monotonic()) > 0:
                line = self._coming.get(timeout=left)
                if what.search(line):
                    break
        time.sleep(0.05)  # an answer has several lines, and events come beside it

    def all(self) -> str:
        """Returns all that was printed, when the process has ended."""
        self._reader.join()
        self._stream.close()
        return "".join(self._lines)


def _sorted_runs(lines: list[str], kind: re.Pattern[str]) -> list[str]:
    """Returns the lines with neighbours of one kind sorted, as their order is not defined."""
    result: list[str] = []
    for matching, run in itertools.groupby(lines, lambda line: bool(kind.match(line))):
        members = list(run)
        result += sorted(members) if matching else members
    return result
