"""The directory in memory: what a crash takes and what it leaves."""

from __future__ import annotations

import random

import pytest

from pyzk.errors import StorageError
from pyzk.persistence.directory import MemoryDirectory, remove_all, save
from tests.persistence.disks import get, put


def test_writes_survive_only_when_file_and_name_are_synced() -> None:
    directory = MemoryDirectory()
    file = directory.create("a")
    file.write_at(b"one", 0)
    file.sync()
    assert directory.crash() == 0
    assert directory.names() == []
    file = directory.create("b")
    file.write_at(b"one", 0)
    directory.sync()
    assert directory.crash() == 3
    assert get(directory, "b") == b""


def test_a_durable_write_survives_and_what_was_written_before_it_need_not() -> None:
    directory = MemoryDirectory()
    put(directory, "a", b"....")
    file = directory.open("a")
    file.write_durably(b"1", 0)
    file.write_at(b"abc", 1)
    file.write_durably(b"2", 2)
    file.write_durably(b"", 50)
    assert get(directory, "a") == b"1a2c"
    assert directory.crash() == 3
    assert get(directory, "a") == b"1.2."
    directory.open("a").write_durably(b"3", 5)
    directory.crash()
    assert get(directory, "a") == b"1.2.\x003"


def test_a_durable_write_stays_when_what_was_written_before_it_reaches_the_disk_late() -> None:
    for seed in range(20):
        directory = MemoryDirectory()
        put(directory, "a", b"....")
        file = directory.open("a")
        file.write_at(b"abcd", 0)
        file.write_durably(b"1", 1)
        directory.crash(random.Random(seed))
        assert get(directory, "a") in (b".1..", b"a1cd")


def test_a_durable_write_that_does_not_end_may_leave_any_of_its_sectors() -> None:
    kept = set()
    for seed in range(200):
        directory = MemoryDirectory()
        put(directory, "a", b"")

        def fail(operation: str, name: str) -> None:
            if operation == "sync":
                raise StorageError("the power is cut", path=name)

        directory.before = fail
        with pytest.raises(StorageError, match="power"):
            directory.open("a").write_durably(b"w" * 1024, 0)
        directory.crash(random.Random(seed))
        data = get(directory, "a").ljust(1024, b"\0")
        kept.add((any(data[:512]), any(data[512:])))
    assert len(kept) == 4


def test_unsynced_overwrite_and_truncation_are_undone() -> None:
    directory = MemoryDirectory()
    put(directory, "a", b"hello")
    file = directory.open("a")
    file.write_at(b"J", 0)
    file.write_at(b"!", 7)
    assert get(directory, "a") == b"Jello\0\0!"
    file.truncate(2)
    assert get(directory, "a") == b"Je"
    directory.crash()
    assert get(directory, "a") == b"hello"
    directory.create("a")
    assert get(directory, "a") == b""
    directory.crash()
    assert get(directory, "a") == b"hello"


def test_unsynced_rename_and_removal_are_undone() -> None:
    directory = MemoryDirectory()
    put(directory, "a", b"1")
    put(directory, "b", b"2")
    directory.rename("a", "b")
    assert directory.names() == ["b"]
    directory.crash()
    assert directory.names() == ["a", "b"]
    directory.remove("b")
    directory.sync()
    directory.crash()
    assert directory.names() == ["a"]


def test_erratic_crash_keeps_synced_bytes_and_whole_sectors() -> None:
    kept = set()
    for seed in range(400):
        directory = MemoryDirectory()
        put(directory, "a", b"s" * 100)
        directory.open("a").write_at(b"w" * 1948, 100)
        directory.crash(random.Random(seed))
        data = get(directory, "a").ljust(2048, b"\0")
        assert data[:100] == b"s" * 100
        sectors = [data[100:512], data[512:1024], data[1024:1536], data[1536:]]
        for sector in sectors:
            assert not sector.strip(b"w") or not any(sector)
        kept.add(tuple(any(sector) for sector in sectors))
    assert len(kept) == 16


def test_faults_are_injected_before_the_operation() -> None:
    directory = MemoryDirectory()

    def fail(operation: str, name: str) -> None:
        raise StorageError(operation, path=name)

    directory.before = fail
    with pytest.raises(StorageError, match="create"):
        directory.create("a")
    assert directory.names() == []


def test_missing_files() -> None:
    directory = MemoryDirectory("where")
    for action in (directory.size, directory.open, directory.remove):
        with pytest.raises(StorageError, match="where/a: no such file"):
            action("a")


def test_a_saved_file_and_a_removal_survive_a_crash() -> None:
    directory = MemoryDirectory()
    save(directory, "a", b"old and long")
    save(directory, "a", b"new")
    save(directory, "b", b"")
    assert remove_all(directory, ["b"]) == ["b"]
    directory.crash()
    assert directory.names() == ["a"]
    assert directory.read("a", 0, 100) == b"new"


def test_an_erratic_crash_never_loses_both_names_of_a_rename() -> None:
    outcomes = set()
    for seed in range(20):
        directory = MemoryDirectory()
        put(directory, "a", b"x")
        directory.rename("a", "b")
        directory.rename("b", "c")
        directory.crash(random.Random(seed))
        outcomes.add(tuple(directory.names()))
    assert outcomes == {("a",), ("c",)}
