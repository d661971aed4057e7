"""`pyzk ensemble` as a process: what it says, who dies, how it ends."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyzk.cli import main
from tests.conftest import TIMEOUT_FACTOR
from tests.processes import begin

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

PATIENCE_S = 60.0 * TIMEOUT_FACTOR


class Ensemble:
    """One run of the command."""

    def __init__(self, directory: Path, arguments: tuple[str, ...]) -> None:
        self.process = begin("-m", "pyzk", "ensemble", *arguments, cwd=directory)

    def until(self, pattern: str) -> re.Match[str]:
        """Read lines up to one that matches."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if match := re.search(pattern, line):
                return match
        raise AssertionError((pattern, seen, self.process.communicate()))

    def pids(self) -> dict[int, int]:
        """The processes of its members, by id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self.process.pid and "serve" in words:
                config = next(word for word in words if word.endswith("zoo.cfg"))
                found[int(Path(config).parent.name)] = int(entry.name)
        return found

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it; return its code and what it said last."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out


Start = Callable[..., Ensemble]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Ensemble] = []

    def start(*arguments: str) -> Ensemble:
        made.append(Ensemble(tmp_path, arguments))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_it_runs_until_ctrl_c_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    ensemble = start("3", "--observers", "1", "--base-port", "0")
    place = Path(ensemble.until(r"an ensemble of 4 in (\S+), removed at the end").group(1))
    ensemble.until(r"server \d leads epoch 1; following: ")
    connect = ensemble.until(r"ready, connect to (\S+)$").group(1)
    pids = ensemble.pids()
    assert sorted(pids) == [1, 2, 3, 4]
    result = CliRunner().invoke(main, ["status", connect])
    assert result.exit_code == 0, result.output
    code, last = ensemble.stop()
    assert (code, last) == (0, "stopping 4 servers\n")
    assert not any(map(is_alive, pids.values()))
    assert not place.exists()


def test_it_works_again_in_its_directory(start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = start("--dir", str(kept), "--base-port", "0")
    connect = first.until(r"ready, connect to (\S+)$").group(1)
    refused = start("--dir", str(kept))
    _, error = refused.process.communicate(timeout=PATIENCE_S)
    assert refused.process.returncode == 2
    assert re.search(
        r"port \d+, the client port of server 1: .*; stop the process that uses it", error
    )
    assert first.stop(signal.SIGTERM)[0] == 0
    again = start("--dir", str(kept), "--print-connect-string", "--log-level", "warning")
    assert again.process.stdout is not None
    assert again.process.stdout.readline() == connect + "\n"
    # Epoch 2: it is the same ensemble.
    assert "2" in (kept / "1" / "data" / "version-2" / "currentEpoch").read_text()
    assert again.stop()[0] == 0


def test_a_member_that_dies_is_told_and_started_again(start: Start) -> None:
    ensemble = start("--base-port", "0", "--restart")
    ensemble.until("ready, connect to")
    os.kill(ensemble.pids()[1], signal.SIGKILL)
    ensemble.until(
        r"server 1 was killed by SIGKILL; the end of its log \(--dir keeps all of it\):$"
    )
    ensemble.until(r"down: 1")
    ensemble.until(r"server 1 is started again, process \d+")
    ensemble.until(r"server [23] leads epoch \d; following: 1, [23]")
    assert sorted(ensemble.pids()) == [1, 2, 3]
    assert ensemble.stop()[0] == 0


def test_when_the_last_member_has_died_it_ends(start: Start) -> None:
    ensemble = start("2", "--base-port", "0")
    ensemble.until("ready, connect to")
    for pid in ensemble.pids().values():
        os.kill(pid, signal.SIGKILL)
    ensemble.until(
        r"server \d was killed by SIGKILL; the end of its log \(--dir keeps all of it\):"
    )
    ensemble.until("no server is left: stopping, with code 1; --restart would start them again")
    assert ensemble.process.wait(PATIENCE_S) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("line", ["an ensemble of 2", "client ports"])
def test_stopped_before_it_is_ready_it_ends_with_0(start: Start, number: int, line: str) -> None:
    ensemble = start("2", "--base-port", "0")
    place = Path(ensemble.until(r"an ensemble of 2 in (\S+),").group(1))
    if line == "client ports":
        ensemble.until(line)
    code, last = ensemble.stop(number)
    assert code == 0, last
    assert "Traceback" not in last
    assert not place.exists()


def test_a_member_that_is_killed_before_all_are_ready_ends_it(start: Start) -> None:
    ensemble = start("3", "--base-port", "0")
    ensemble.until("client ports")
    while not (pids := ensemble.pids()):
        assert ensemble.process.poll() is None
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    ensemble.until(r"server \d was killed by SIGKILL")
    assert ensemble.process.wait(PATIENCE_S) == 1


def test_a_member_that_is_killed_while_it_stops_is_no_clean_end(start: Start) -> None:
    ensemble = start("2", "--base-port", "0")
    ensemble.until("ready, connect to")
    pids = ensemble.pids()
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    ensemble.process.send_signal(signal.SIGTERM)
    ensemble.until("stopping 2 servers")
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    assert ensemble.process.wait(PATIENCE_S) == 1


def test_a_member_that_cannot_start_ends_it_with_its_code(start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = start("2", "--dir", str(kept), "--base-port", "0")
    first.until("ready, connect to")
    assert first.stop()[0] == 0
    config = kept / "2" / "zoo.cfg"
    config.write_text(config.read_text() + "snapCount=many\n")
    second = start("--dir", str(kept))
    second.until(r"server 2 ended with code 2; the end of .*/2/server\.log:$")
    second.until("snapCount")
    assert second.process.wait(PATIENCE_S) == 2


def test_members_end_with_the_process_that_started_them(start: Start) -> None:
    ensemble = start("2", "--base-port", "0")
    ensemble.until("ready, connect to")
    pids = list(ensemble.pids().values())
    handles = [os.pidfd_open(pid) for pid in pids]
    ensemble.process.kill()
    ensemble.process.wait()
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    ended: set[int] = set()
    while len(ended) < len(handles):
        found = poll.poll(PATIENCE_S * 1000)
        assert found, "members go on"
        for handle, _ in found:
            ended.add(handle)
            poll.unregister(handle)
    for handle in handles:
        os.close(handle)
