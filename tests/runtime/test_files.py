"""Real directories: the same contract as the one in memory, errors with a remedy, the lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyzk.errors import DirectoryLockedError, StorageError
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.runtime.files import (
    FileDirectory,
    FilesLock,
    full_disk_error,
    open_data_directories,
    storage_error,
)


def test_files_are_written_read_renamed_and_removed(tmp_path: Path) -> None:
    directory = FileDirectory(str(tmp_path))
    file = directory.create("a")
    file.write_at(b"hello", 3)
    file.sync()
    file.truncate(7)
    file.close()
    file.close()
    assert directory.read("a", 0, 100) == b"\0\0\0hell"
    assert directory.read("a", 4, 2) == b"el"
    assert directory.read("a", 50, 2) == b""
    assert directory.size("a") == 7
    again = directory.open("a")
    again.write_at(b"J", 3)
    again.close()
    directory.rename("a", "b")
    directory.sync()
    (tmp_path / "sub").mkdir()
    assert directory.names() == ["b"]
    assert directory.read("b", 3, 1) == b"J"
    directory.create("b").close()
    assert directory.size("b") == 0
    directory.remove("b")
    assert directory.names() == []


def test_failures_are_storage_errors_with_the_path(tmp_path: Path) -> None:
    directory = FileDirectory(str(tmp_path / "missing"))
    for action in (
        directory.names,
        directory.sync,
        lambda: directory.size("a"),
        lambda: directory.read("a", 5, 1),
        lambda: directory.create("a"),
        lambda: directory.open("a"),
        lambda: directory.rename("a", "b"),
        lambda: directory.remove("a"),
    ):
        with pytest.raises(StorageError, match=r"cannot .*No such file") as failed:
            action()
        assert failed.value.path.startswith(str(tmp_path / "missing"))
    file = FileDirectory(str(tmp_path)).create("a")
    file.close()
    with pytest.raises(StorageError, match="cannot write: Bad file descriptor at offset 7"):
        file.write_at(b"x", 7)


def test_failed_sync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pyzk.runtime.files._sync_data", fail)
    file = FileDirectory(str(tmp_path)).create("a")
    with pytest.raises(StorageError, match="cannot sync: Input/output error; the disk failed"):
        file.sync()
    assert len(calls) == 1
    file.close()


class Writes:
    """Stands for os.pwritev: answers each call with an error or with how much it takes, and notes
    what it was asked to write."""

    def __init__(self, answers: list[int | OSError]) -> None:
        self.answers = answers
        self.asked: list[tuple[bytes, int, int]] = []

    def __call__(
        self, fd: int, buffers: list[bytes | memoryview], offset: int, flags: int = 0
    ) -> int:
        data = b"".join(buffers)
        self.asked.append((data, offset, flags))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return os.pwrite(fd, data[:answer], offset)


def test_a_durable_write_is_written_and_read_back(tmp_path: Path) -> None:
    directory = FileDirectory(str(tmp_path))
    with contextlib.closing(directory.create("a")) as file:
        file.write_durably(b"hello", 3)
        file.write_durably(b"", 100)
    assert directory.read("a", 0, 100) == b"\0\0\0hello"


def test_each_part_of_a_durable_write_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = Writes([3, 2, 4])
    monkeypatch.setattr("pyzk.runtime.files._DSYNC", 2)
    monkeypatch.setattr(os, "pwritev", writes, raising=False)
    directory = FileDirectory(str(tmp_path))
    with contextlib.closing(directory.create("a")) as file:
        file.write_durably(b"123456789", 1)
    assert writes.asked == [(b"123456789", 1, 2), (b"456789", 4, 2), (b"6789", 6, 2)]
    assert directory.read("a", 0, 100) == b"\x00123456789"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, None])
def test_without_the_flag_a_durable_write_is_a_write_and_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """None stands for a system that does not know the flag at all."""
    synced: list[int] = []
    refused: list[int | OSError] = [] if number is None else [OSError(number, "not taken")]
    writes = Writes(refused)
    monkeypatch.setattr("pyzk.runtime.files._DSYNC", 0 if number is None else 2)
    monkeypatch.setattr("pyzk.runtime.files._sync_data", synced.append)
    monkeypatch.setattr(os, "pwritev", writes, raising=False)
    directory = FileDirectory(str(tmp_path))
    with contextlib.closing(directory.create("a")) as file:
        file.write_durably(b"one", 0)
        file.write_durably(b"two", 3)
    assert len(synced) == 2
    assert len(writes.asked) == (number is not None), "a file that refuses is not asked again"
    assert directory.read("a", 0, 100) == b"onetwo"


@pytest.mark.parametrize(
    "answers", [[OSError(errno.EIO, "I/O")], [3, OSError(errno.EINVAL, "I/O")]]
)
def test_a_durable_write_that_fails_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[int | OSError]
) -> None:
    monkeypatch.setattr("pyzk.runtime.files._DSYNC", 2)
    monkeypatch.setattr("pyzk.runtime.files._sync_data", pytest.fail)
    monkeypatch.setattr(os, "pwritev", Writes(answers), raising=False)
    file = FileDirectory(str(tmp_path)).create("a")
    with contextlib.closing(file), pytest.raises(StorageError, match="cannot write: I/O"):
        file.write_durably(b"hello", 0)
    assert not answers


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_says_so(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    file = FileDirectory(str(tmp_path)).open("full")
    with pytest.raises(StorageError, match=r"No space left on device.*the disk is full: free"):
        file.write_at(b"x", 0)
    file.close()


def test_permission_denied_names_owner_and_user(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere" / "log.1")
    error = storage_error(OSError(errno.EACCES, "Permission denied"), "create", path)
    assert f"{tmp_path} belongs to uid {os.stat(tmp_path).st_uid}" in str(error)
    assert f"the server runs as uid {os.geteuid()}" in str(error)


def test_a_file_that_its_owner_may_not_change_has_another_obstacle(tmp_path: Path) -> None:
    (tmp_path / "zoo.cfg").touch()
    refused = OSError(errno.EPERM, "Operation not permitted")
    text = str(storage_error(refused, "rename to", str(tmp_path / "zoo.cfg")))
    assert "zoo.cfg belongs to the server's user: an attribute forbids it" in text
    assert "correct owner" not in text


@contextlib.contextmanager
def _ordinary_user() -> Iterator[None]:
    """Root may do everything; then be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    if not hasattr(os, "setresuid"):
        pytest.skip("root, and no way to be somebody else for a while")
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_directories_that_may_not_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "version-2").mkdir(parents=True, mode=0o500)
    (tmp_path / "d" / "version-2").chmod(0o500)
    (tmp_path / "e").mkdir()
    (tmp_path / "e").chmod(0o500)
    monkeypatch.chdir(tmp_path)  # what is above it is not for others to enter
    tmp_path.chmod(0o755)
    with _ordinary_user():
        with pytest.raises(StorageError, match=r"not readable and writable; .*mode 500"):
            open_data_directories("d")
        with pytest.raises(StorageError, match=r"cannot make the directory: .*the server runs"):
            open_data_directories("e")


def test_a_read_only_file_system_is_no_matter_of_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version-2").mkdir()
    real = os.statvfs(tmp_path)
    frozen = os.statvfs_result([*real[:8], os.ST_RDONLY, *real[9:]])
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: frozen)
    with pytest.raises(StorageError, match="the file system is read-only: it was mounted so"):
        open_data_directories(str(tmp_path))


def test_directories_are_made_and_locked(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    opened = open_data_directories(str(root))
    assert opened.logs is opened.snapshots
    assert (root / "version-2").is_dir()
    with pytest.raises(
        DirectoryLockedError,
        match=f"in use by process {os.getpid()}; stop .* another directory: --data-dir, or dataDir",
    ):
        open_data_directories(str(root))
    opened.close()
    open_data_directories(str(root)).close()


def test_separate_log_directory_is_locked_too(tmp_path: Path) -> None:
    opened = open_data_directories(str(tmp_path / "data"), str(tmp_path / "log"))
    assert opened.logs is not opened.snapshots
    with pytest.raises(DirectoryLockedError, match="--data-log-dir, or dataLogDir"):
        open_data_directories(str(tmp_path / "other"), str(tmp_path / "log"))
    # The failed attempt gave its first lock back.
    open_data_directories(str(tmp_path / "other")).close()
    opened.close()


def test_same_directory_by_another_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    opened = open_data_directories(str(tmp_path / "data"), str(tmp_path / "link"))
    assert opened.logs is opened.snapshots
    opened.close()


def test_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys; from pyzk.runtime.files import open_data_directories;"
        "d = open_data_directories(sys.argv[1]); import os; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "version-2" / ".pyzk.lock").exists()
    open_data_directories(str(tmp_path)).close()


def test_missing_directory_without_autocreate(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"datadir\.autocreate is false"):
        open_data_directories(str(tmp_path / "x"), autocreate=False)
    assert not (tmp_path / "x").exists()


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "version-2").write_text("")
    with pytest.raises(StorageError, match="not a directory"):
        open_data_directories(str(tmp_path))
    with pytest.raises(StorageError):
        open_data_directories(str(tmp_path / "version-2"))


def test_initialize_file_is_found_in_either_root_and_removed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "initialize").write_text("")
    opened = open_data_directories(str(tmp_path / "data"), str(tmp_path / "log"))
    assert opened.initialize
    opened.initialized()
    assert not (tmp_path / "log" / "initialize").exists()
    opened.initialized()
    opened.close()


def test_recovery_on_a_real_directory(tmp_path: Path) -> None:
    opened = open_data_directories(str(tmp_path))
    assert recover(opened.snapshots, opened.logs, RecoveryOptions()).last_zxid == 0
    assert sorted(os.listdir(tmp_path / "version-2")) == [".pyzk.lock", "snapshot.0"]
    assert recover(opened.snapshots, opened.logs, RecoveryOptions()).snapshot_name == "snapshot.0"
    opened.close()


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    file = tmp_path / "zoo.cfg"
    file.write_text("")
    for path in (file, file / "below"):
        with pytest.raises(StorageError, match="a file, not a directory; name a directory"):
            open_data_directories(str(path), None, autocreate=True)


def test_a_used_up_quota_is_told_without_what_the_disk_has_free(tmp_path: Path) -> None:
    try:
        raise storage_error(cause := OSError(errno.EDQUOT, "quota"), "write", "d/probe") from cause
    except StorageError as error:
        told = full_disk_error(error, "d", "a start needs 1")
    assert str(told) == "d: the disk quota is used up: a start needs 1; raise it or free some space"


def test_other_errors_are_no_full_disk() -> None:
    for cause in (None, OSError(errno.EIO, "failed")):
        error = StorageError("x", path="d/probe")
        error.__cause__ = cause
        assert full_disk_error(error, "d", "") is None


def test_the_files_of_a_directory_are_changed_by_one_at_a_time(tmp_path: Path) -> None:
    lock = FilesLock(str(tmp_path))
    other = FilesLock(str(tmp_path))
    order: list[str] = []

    def change() -> None:
        with other:
            order.append("other")

    thread = threading.Thread(target=change)
    with lock:
        thread.start()
        order.append("first")
    thread.join(20)
    assert order == ["first", "other"]
    with lock:
        pass


def test_a_file_system_without_locks_stops_only_who_comes_beside_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = FilesLock(str(tmp_path))
    for _ in range(2):
        with lock:
            pass
    needed = FilesLock(str(tmp_path), is_required=True)
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot lock the files of: No locks available"):
            needed.__enter__()
    with pytest.raises(StorageError, match="No such file"):
        FilesLock(str(tmp_path / "none"), is_required=True).__enter__()
