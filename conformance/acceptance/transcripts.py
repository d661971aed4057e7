"""Scripted sessions of the command line clients, with their output made comparable.

Shell.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from pathlib import Path
from typing import Final

from conformance.differential.requests import SUPER
from conformance.frames import Address
from conformance.mixed.changing import ChangingMember
from conformance.oracle import CLI_MT, Oracle

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
_IDENTITY: Final = re.compile(r"(ip|digest|super): ")
_WRAP: Final = " \r"
"""What the terminal puts into a long line that it echoes."""
_PROMPT: Final = re.compile(r"\[zk: [^]\n]*\] ?")


def mask(text: str) -> str:
    """Returns the output without what differs from run to run."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def zkcli(original: Oracle, address: Address) -> tuple[list[str], list[str]]:
    """Returns the output of the scripted zkCli session, and its watch events."""
    script = (HERE / "zkcli.txt").read_text().format(address=f"{address[0]}:{address[1]}")
    return _zkcli(original, address, script)


def zkcli_reconfig(original: Oracle, member: ChangingMember) -> tuple[list[str], list[str]]:
    """Returns the output of the zkCli session that changes an ensemble of one, and its watch
    events. The others that it adds are observers, and never come."""
    lines = [f"127.0.0.1:{_ports(member)}:observer;127.0.0.1:{member.reserve()}" for _ in range(2)]
    file = member.root / "members"
    voter = lines[1].replace("observer", "participant")
    file.write_text(f"server.1={member.server_line()}\nserver.3={voter}\n")
    script = (HERE / "zkcli_reconfig.txt").read_text()
    fields = {"first": member.server_line(), "second": lines[0], "third": lines[1], "voter": voter}
    return _zkcli(original, member.address, script.format(file=file, super=SUPER, **fields))


def _ports(member: ChangingMember) -> str:
    return f"{member.reserve()}:{member.reserve()}"


def _zkcli(original: Oracle, address: Address, script: str) -> tuple[list[str], list[str]]:
    """Returns the output of a zkCli session, and its watch events.

    A thread of its own prints events into the middle of other output, so they are taken out and
    compared separately.
    """
    done = subprocess.run(
        original.cli(address),
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


def cli_mt(address: Address) -> tuple[list[str], list[str]]:
    """Returns the output of the scripted cli_mt session, and its watch events."""
    process = subprocess.Popen(
        [str(CLI_MT), "-h", f"{address[0]}:{address[1]}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    time.sleep(0.3)
    for line in (HERE / "cli_mt.txt").read_text().splitlines():
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        time.sleep(0.05)
    try:
        output, _ = process.communicate("quit\n", timeout=30)
    finally:
        process.kill()
    lines = [line for line in mask(output).splitlines() if line.strip()]
    events = [line for line in lines if line.startswith("Watcher ")]
    answers = [line for line in lines if line not in events]
    return answers, events


def _sorted_runs(lines: list[str], kind: re.Pattern[str]) -> list[str]:
    """Returns the lines with neighbours of one kind sorted, as their order is not defined."""
    result: list[str] = []
    for matching, run in itertools.groupby(lines, lambda line: bool(kind.match(line))):
        members = list(run)
        result += sorted(members) if matching else members
    return result
