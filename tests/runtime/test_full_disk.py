"""A file system that is really full: what a server says, and when."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyzk.config.server import ServerConfig
from pyzk.errors import StorageError
from pyzk.runtime.storage import Storage
from tests.runtime.members import member_config


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("not allowed to mount a file system")
    yield where
    subprocess.run(["umount", str(where)], check=True)


LOG_NEED = "the disk is full: a start needs a little more than 1 MiB for the log, {} KiB are free"


def fill(where: Path, but_bytes: int = 0) -> None:
    """Leave not a byte but so many."""
    spare = where / "spare"
    spare.write_bytes(bytes(but_bytes))
    with (where / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            spare.unlink()


def start_and_stop(config: ServerConfig) -> None:
    storage = Storage(config)
    try:
        storage.open()
    finally:
        storage.release()


@pytest.mark.parametrize("free_kb", [0, 292])
def test_a_start_without_room_for_a_log_is_refused(small: Path, free_kb: int) -> None:
    config = ServerConfig(data_dir=str(small / "data"))
    start_and_stop(config)
    fill(small, free_kb << 10)
    with pytest.raises(StorageError) as caught:
        start_and_stop(config)
    wanted = f"{small}/data: {LOG_NEED.format(free_kb)}; free some space"
    assert str(caught.value) == wanted
    assert not list((small / "data" / "version-2").glob("*.tmp"))
    (small / "filler").unlink()
    start_and_stop(config)


def test_a_first_start_on_a_full_disk_is_refused(small: Path) -> None:
    (small / "data" / "version-2").mkdir(parents=True)
    fill(small)
    with pytest.raises(StorageError, match=f"^{small}/data: {LOG_NEED.format(0)}"):
        start_and_stop(ServerConfig(data_dir=str(small / "data")))


def test_a_full_disk_of_logs_is_named(small: Path, tmp_path: Path) -> None:
    config = ServerConfig(data_dir=str(tmp_path / "data"), data_log_dir=str(small / "logs"))
    start_and_stop(config)
    fill(small)
    with pytest.raises(StorageError, match=f"^{small}/logs: {LOG_NEED.format(0)}"):
        start_and_stop(config)


def test_without_room_for_snapshots_only_a_lone_server_starts(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServerConfig(data_dir=str(small / "data"), data_log_dir=str(tmp_path / "logs"))
    start_and_stop(config)
    fill(small)
    with caplog.at_level(logging.ERROR):
        start_and_stop(config)
    wanted = f"no snapshot can be written, the logs will grow: {small}/data: the disk is full: a"
    assert wanted in caplog.text
    assert "probe" not in caplog.text


def test_without_room_for_its_epochs_a_member_does_not_start(small: Path, tmp_path: Path) -> None:
    config = member_config(small / "data", extra=f"dataLogDir={tmp_path / 'logs'}")
    start_and_stop(config)
    fill(small)
    wanted = f"^{small}/data: the disk is full: a start needs a little more than 4 KiB there, 0 KiB"
    with pytest.raises(StorageError, match=wanted):
        start_and_stop(config)
