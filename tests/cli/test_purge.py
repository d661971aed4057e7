"""`pyzk purge`: what is kept, what is refused, and beside a running server."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kazoo.client import KazooClient

from pyzk.cli import main
from pyzk.persistence.replacement import PLAN_NAME
from pyzk.persistence.snapshot import write_snapshot
from pyzk.runtime.files import FileDirectory, FilesLock
from tests.cli.test_process import ready
from tests.processes import ENVIRONMENT, Child
from tests.transactions import database_of


def purge(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["purge", *arguments])


class Data:
    """A data directory with snapshots at 10, 20, ... (hexadecimal), and logs that lead there."""

    def __init__(self, root: Path, log_root: Path | None = None, count: int = 5) -> None:
        self.root = root
        self.snapshots = root / "version-2"
        self.logs = (log_root or root) / "version-2"
        for path in {self.snapshots, self.logs}:
            path.mkdir(parents=True)
        whole = FileDirectory(str(self.snapshots))
        name = write_snapshot(whole, database_of([]).freeze())
        content = (self.snapshots / name).read_bytes()
        (self.snapshots / name).unlink()
        for number in range(1, count + 1):
            (self.snapshots / f"snapshot.{number}0").write_bytes(content)
            (self.logs / f"log.{number}1").write_bytes(b"x" * number)

    def names(self) -> list[str]:
        return sorted({*os.listdir(self.snapshots), *os.listdir(self.logs)})


KEPT = ["log.21", "log.31", "log.41", "log.51", "snapshot.30", "snapshot.40", "snapshot.50"]
GONE = ["log.11", "snapshot.10", "snapshot.20"]


def test_the_newest_snapshots_and_what_they_need_stay(tmp_path: Path) -> None:
    data = Data(tmp_path)
    before = data.names()
    result = purge("--data-dir", str(tmp_path), "--dry-run")
    assert result.exit_code == 0
    assert data.names() == before
    would = result.output
    result = purge("--data-dir", str(tmp_path))
    assert result.exit_code == 0
    assert data.names() == KEPT
    assert result.output == would.replace("would remove", "removed")
    first, *_, last = result.output.splitlines()
    assert first == f"removed {data.logs}/log.11 (1 bytes)"
    assert last.startswith("removed 3 files, ")
    assert purge("--data-dir", str(tmp_path)).output == "removed 0 files, 0 bytes\n"


def test_logs_may_be_elsewhere_and_zoo_cfg_says_where_and_how_many(tmp_path: Path) -> None:
    data = Data(tmp_path / "d", tmp_path / "l", 7)
    path = tmp_path / "zoo.cfg"
    path.write_text(
        f"dataDir={tmp_path}/d\ndataLogDir={tmp_path}/l\nclientPort=0\n"
        "autopurge.snapRetainCount=5\n"
    )
    result = purge(str(path), "--output", "json", "--dry-run")
    told = json.loads(result.output)
    assert told["dry_run"]
    assert [os.path.relpath(each["path"], tmp_path) for each in told["files"]] == [
        "l/version-2/log.11",
        "d/version-2/snapshot.10",
        "d/version-2/snapshot.20",
    ]
    assert told["bytes"] == sum(each["bytes"] for each in told["files"])
    assert purge(str(path), "-n", "3").exit_code == 0
    assert [each for each in data.names() if "snap" in each] == [
        "snapshot.50",
        "snapshot.60",
        "snapshot.70",
    ]
    other = Data(tmp_path / "e", tmp_path / "m")
    given = ("--data-dir", str(tmp_path / "e"), "--data-log-dir", str(tmp_path / "m"))
    assert purge(*given).exit_code == 0
    assert other.names() == KEPT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give ZOO_CFG, or --data-dir DIR"),
        (("x.cfg", "--data-dir", "d"), "give ZOO_CFG, or --data-dir DIR"),
        (("x.cfg", "--data-log-dir", "d"), "--data-log-dir goes with --data-dir only"),
        (("--data-dir", "d", "-n", "2"), "'2' is not a number of snapshots; give 3 or more"),
        (("no.cfg",), "pyzk: cannot read no.cfg"),
        (("--data-dir", "/no/such"), "pyzk: /no/such/version-2 is no directory of a server's data"),
    ],
)
def test_wrong_arguments_are_code_2(arguments: tuple[str, ...], said: str) -> None:
    result = purge(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_directory_that_cannot_be_used_is_code_3(tmp_path: Path) -> None:
    os.symlink("version-2", tmp_path / "version-2")
    result = purge("--data-dir", str(tmp_path))
    assert result.exit_code == 3
    assert f"pyzk: {tmp_path}/version-2: cannot use: Too many levels of" in result.output


def test_a_history_that_is_half_given_up_is_left_alone(tmp_path: Path) -> None:
    data = Data(tmp_path)
    (data.snapshots / PLAN_NAME).write_text("")
    before = data.names()
    result = purge("--data-dir", str(tmp_path))
    assert result.exit_code == 3
    assert "start it once, and purge then" in result.output
    assert data.names() == before


def test_it_waits_for_whoever_changes_the_files(tmp_path: Path) -> None:
    data = Data(tmp_path)
    lock = FilesLock(str(data.snapshots))
    with lock:
        process = subprocess.Popen(
            [sys.executable, "-m", "pyzk", "purge", "--data-dir", str(tmp_path)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        fd = os.open(data.snapshots, os.O_RDONLY)
        try:
            while not waits(process.pid):
                assert process.poll() is None
            with pytest.raises(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(fd)
        assert "snapshot.10" in data.names()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "removed 3 files" in out
    assert data.names() == KEPT


def waits(pid: int) -> bool:
    """Tells whether a process waits for a lock."""
    return any(
        "->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()
    )


@pytest.mark.live
def test_beside_a_running_server_nothing_is_lost(
    start: Callable[..., Child], tmp_path: Path, patience: float
) -> None:
    given = ("--port", "0", "--data-dir", "d", "-Dzookeeper.snapCount=8")
    process = start(*given)
    client = KazooClient(f"127.0.0.1:{ready(process)}")
    client.start()
    for number in range(300):
        client.create(f"/{number}")
        if number % 20 == 0:
            assert purge("--data-dir", str(tmp_path / "d")).exit_code == 0
    client.stop()
    client.close()
    process.terminate()
    assert process.wait(patience) == 0
    assert purge("--data-dir", str(tmp_path / "d")).exit_code == 0
    left = [name for name in os.listdir(tmp_path / "d" / "version-2") if "snapshot" in name]
    assert len(left) == 3
    client = KazooClient(f"127.0.0.1:{ready(start(*given))}")
    client.start()
    assert len(client.get_children("/")) == 301
    client.stop()
    client.close()
