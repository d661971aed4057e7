"""What a member has its disk do: behind the log, in order; a failure stops the server."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pyzk.config.members import Membership, parse_membership
from pyzk.config.server import ServerConfig, parse_config
from pyzk.data.database import Database
from pyzk.errors import StorageError
from pyzk.persistence.config_files import Saved
from pyzk.persistence.recovery import Recovered, recover
from pyzk.persistence.snapshot import write_snapshot
from pyzk.quorum import epochs
from pyzk.quorum.commands import (
    ReadLog,
    Reload,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
    TruncateLog,
)
from pyzk.quorum.storage_commands import Outcome
from pyzk.runtime.files import FileDirectory
from pyzk.runtime.seams import ServerStorage
from pyzk.runtime.storage import Storage
from pyzk.testing.seams.gate import Gate
from pyzk.testing.seams.storage import MemoryStorage, Valve
from pyzk.zxid import make
from tests.persistence.disks import contents, create_payload, framed, workload
from tests.runtime.members import member_config, run
from tests.transactions import database_of, new_session

PAYLOADS = workload(12)


class Answers:
    """What the loop was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.failure: BaseException | None = None
        self.changed = asyncio.Event()

    def tell(self, *what: object) -> None:
        self.told.append(what)
        self.changed.set()

    def synced(self, zxid: int) -> None:
        self.tell("synced", zxid)

    def failed(self, error: BaseException) -> None:
        self.failure = error
        self.changed.set()

    def __call__(self, outcome: Outcome) -> None:
        outcome.tell(self)

    def stored(self, ticket: int) -> None:
        self.tell("stored", ticket)

    def restored(self, ticket: int, database: Database) -> None:
        self.tell("restored", ticket, database)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        self.tell("log read", ticket, records)

    async def until(self, kind: str) -> tuple[object, ...]:
        while True:
            for what in self.told:
                if what[0] == kind:
                    return what
            assert self.failure is None, self.failure
            self.changed.clear()
            await self.changed.wait()

    async def until_restored(self) -> Database:
        _, _, database = await self.until("restored")
        assert isinstance(database, Database)
        return database


Body = Callable[[ServerStorage, Answers, Path], Awaitable[None]]


def on_disk(config: ServerConfig) -> ServerStorage:
    return Storage(config)


def in_memory(config: ServerConfig) -> ServerStorage:
    return Valve(MemoryStorage(config), Gate(), lambda: None)


KINDS = pytest.mark.parametrize("make_storage", [on_disk, in_memory])
Make = Callable[[ServerConfig], ServerStorage]


def with_storage(make_storage: Make, directory: Path, body: Body) -> ServerStorage:
    config = member_config(directory)
    storage = make_storage(config)

    async def main() -> None:
        answers = Answers()
        database = storage.open()
        assert database.committed is not None
        storage.start(asyncio.get_running_loop(), answers.synced, answers.failed)
        try:
            await body(storage, answers, directory)
        finally:
            storage.stop_timers()
            await asyncio.get_running_loop().run_in_executor(None, storage.close)

    run(main())
    return storage


@KINDS
def test_a_new_member_has_epochs(make_storage: Make, tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, _: Path) -> None:
        assert storage.epochs is not None
        assert (storage.epochs.accepted, storage.epochs.current) == (0, 0)
        storage.perform(SaveEpoch(7, epochs.ACCEPTED, 3), answers)
        assert await answers.until("stored") == ("stored", 7)

    storage = with_storage(make_storage, tmp_path, body)
    storage.open()
    storage.release()
    assert storage.epochs is not None
    assert (storage.epochs.accepted, storage.epochs.current) == (3, 0)


@KINDS
def test_a_command_is_done_behind_what_was_appended(make_storage: Make, tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, _: Path) -> None:
        storage.append(framed(PAYLOADS), 12)
        storage.perform(TruncateLog(1, 9), answers)
        storage.perform(SaveEpoch(2, epochs.ACCEPTED, 1), answers)
        await answers.until("stored")
        assert [what[:2] for what in answers.told] == [
            ("synced", 12),
            ("restored", 1),
            ("stored", 2),
        ]
        database = answers.told[1][2]
        assert isinstance(database, Database)
        assert contents(database) == contents(database_of(PAYLOADS[:9]))
        assert database.committed is not None
        assert list(database.committed.zxids) == list(range(1, 10))
        # And the log goes on there.
        other = create_payload(10, "/other")
        storage.append(framed([other]), 10)
        storage.perform(Reload(3), answers)
        answers.told.clear()
        reloaded = await answers.until_restored()
        assert contents(reloaded) == contents(database_of([*PAYLOADS[:9], other]))

    with_storage(make_storage, tmp_path, body)


@KINDS
def test_a_received_database_takes_the_place_of_everything(
    make_storage: Make, tmp_path: Path
) -> None:
    received = [new_session(1), *(create_payload(zxid, f"/r{zxid}") for zxid in range(2, 7))]

    async def body(storage: ServerStorage, answers: Answers, _: Path) -> None:
        storage.append(framed(PAYLOADS), 12)
        storage.perform(StoreDatabase(1, database_of(received)), answers)
        await answers.until("stored")
        storage.append(framed([create_payload(7, "/next")]), 7)
        storage.perform(Reload(2), answers)
        reloaded = await answers.until_restored()
        assert reloaded.last_zxid == 7
        assert reloaded.log_complete_after == 6
        assert "/next" in reloaded.tree.nodes
        assert "/n5" not in reloaded.tree.nodes
        # What was before is known no more: the leader is to send a snapshot.
        answers.told.clear()
        storage.perform(TruncateLog(3, 4), answers)
        left = await answers.until_restored()
        assert left.last_zxid == 7

    with_storage(make_storage, tmp_path, body)


@KINDS
def test_the_log_is_read_up_to_what_was_appended(make_storage: Make, tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, _: Path) -> None:
        storage.append(framed(PAYLOADS), 12)
        storage.perform(ReadLog(1, 5, 11), answers)
        assert await answers.until("log read") == (
            "log read",
            1,
            [(zxid, PAYLOADS[zxid - 1]) for zxid in range(5, 12)],
        )

    with_storage(make_storage, tmp_path, body)


def test_a_snapshot_that_is_being_written_does_not_survive_a_truncation(tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, directory: Path) -> None:
        for _ in range(5):
            storage.append(framed(PAYLOADS), 12)
            storage.take_snapshot(database_of(PAYLOADS))
            storage.perform(TruncateLog(1, 9), answers)
            await answers.until("restored")
            names = FileDirectory(str(directory / "version-2")).names()
            assert "snapshot.c" not in names
            answers.told.clear()
            storage.perform(TruncateLog(2, 0), answers)
            await answers.until("restored")
            answers.told.clear()

    with_storage(on_disk, tmp_path, body)


def test_a_snapshot_that_is_due_while_one_is_written_follows_it(tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, directory: Path) -> None:
        assert isinstance(storage, Storage)
        logs = FileDirectory(str(directory / "version-2"))
        storage.take_snapshot(database_of(PAYLOADS[:5]))
        storage.take_snapshot(database_of(PAYLOADS[:7]))  # the end of the first is told later
        storage.take_snapshot(database_of(PAYLOADS))
        async with asyncio.timeout(20):
            while "snapshot.c" not in logs.names():
                await asyncio.sleep(0)
        assert {"snapshot.5", "snapshot.c"} <= set(logs.names())
        assert "snapshot.7" not in logs.names()

    with_storage(on_disk, tmp_path, body)


def test_epochs_that_cannot_be_written_stop_the_server(tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, directory: Path) -> None:
        (directory / "version-2" / (epochs.ACCEPTED + ".tmp")).mkdir()
        storage.perform(SaveEpoch(1, epochs.ACCEPTED, 1), answers)
        await answers.changed.wait()
        assert isinstance(answers.failure, StorageError)
        storage.append(framed(PAYLOADS), 12)
        assert answers.told == []

    with_storage(on_disk, tmp_path, body)


def test_a_truncation_that_fails_stops_the_server(tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, directory: Path) -> None:
        storage.append(framed(PAYLOADS), 12)
        await answers.until("synced")
        (directory / "version-2" / "replacement.tmp").mkdir()
        storage.perform(TruncateLog(1, 9), answers)
        while answers.failure is None:
            answers.changed.clear()
            await answers.changed.wait()
        assert "replacement.tmp" in str(answers.failure)

    with_storage(on_disk, tmp_path, body)


def test_an_empty_directory_that_may_not_be_a_new_database_waits_for_the_leader(
    tmp_path: Path,
) -> None:
    config = member_config(tmp_path)
    for extra in ("", "db.autocreate=false"):
        config = replace(member_config(tmp_path, extra=extra), initialize=False)
        storage = Storage(config)
        assert storage.open().last_zxid == -1
        assert storage.epochs is not None
        assert storage.epochs.current == 0
        storage.release()
    (tmp_path / "initialize").touch()
    storage = Storage(config)
    assert storage.open().last_zxid == 0
    storage.release()
    assert not (tmp_path / "initialize").exists()


def test_epochs_of_another_history_stop_the_start(tmp_path: Path) -> None:
    storage = Storage(member_config(tmp_path))
    storage.open()
    storage.release()
    ahead = database_of([new_session(1), create_payload(make(4, 1), "/x")])
    write_snapshot(FileDirectory(str(tmp_path / "version-2")), ahead.freeze())
    with pytest.raises(StorageError, match=r"acceptedEpoch: is 0, but the last transaction"):
        Storage(member_config(tmp_path)).open()


@pytest.mark.parametrize("is_paused", [True, False])
def test_an_answer_is_held_back_while_the_server_is_paused(tmp_path: Path, is_paused: bool) -> None:
    gate = Gate()

    def make_storage(config: ServerConfig) -> ServerStorage:
        return Valve(MemoryStorage(config), gate, lambda: None)

    async def body(storage: ServerStorage, answers: Answers, _: Path) -> None:
        assert isinstance(storage, Valve)
        if is_paused:
            gate.is_closed = True
        else:
            storage.stall(is_stalled=True)
        storage.perform(SaveEpoch(1, epochs.ACCEPTED, 1), answers)
        for _turn in range(10):
            await asyncio.sleep(0)
        assert answers.told == []
        assert not storage.is_quiet
        if is_paused:
            gate.open()
        else:
            storage.stall(is_stalled=False)
        await answers.until("stored")
        assert storage.is_quiet

    with_storage(make_storage, tmp_path, body)


@pytest.mark.parametrize("other", ["", "dataLogDir={}/empty"])
def test_without_the_directory_of_its_logs_a_server_does_not_start(
    tmp_path: Path, other: str
) -> None:
    """dataLogDir was taken out of zoo.cfg, or names an empty mount point."""
    data = tmp_path / "data"
    before = member_config(data, extra=f"dataLogDir={tmp_path}/logs")

    async def body() -> None:
        answers = Answers()
        storage = Storage(before)
        storage.open()
        storage.start(asyncio.get_running_loop(), answers.synced, answers.failed)
        storage.append(framed(PAYLOADS), 12)
        await answers.until("synced")
        await asyncio.get_running_loop().run_in_executor(None, storage.close)

    run(body())
    storage = Storage(member_config(data, extra=other.format(tmp_path)))
    with pytest.raises(StorageError, match=r"log\.1 is missing, .* written as ") as caught:
        storage.open()
    storage.release()
    assert str(caught.value).endswith(f"; it is there: set dataLogDir={tmp_path}/logs again")
    assert "remove" not in str(caught.value)
    (tmp_path / "logs").rename(tmp_path / "not mounted")
    with pytest.raises(StorageError, match=r"is dataLogDir still what.*, remove .*newestLog$"):
        storage.open()
    storage.release()
    (tmp_path / "not mounted").rename(tmp_path / "logs")
    storage = Storage(before)
    assert storage.open().last_zxid == 12
    storage.release()


def test_syncs_are_counted_in_the_metrics_that_the_server_shows(tmp_path: Path) -> None:
    async def body(storage: ServerStorage, answers: Answers, directory: Path) -> None:
        storage.append(framed(PAYLOADS[:3]), 3)
        await answers.until("synced")

    assert with_storage(on_disk, tmp_path, body).metrics.fsynctime.count == 1


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_rests_while_a_database_is_loaded(
    collects: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def watched(*arguments: object) -> Recovered:
        seen.append(gc.isenabled())
        return recover(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("pyzk.runtime.storage.recover", watched)
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        storage = Storage(member_config(tmp_path))
        storage.open()
        storage.release()
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        (gc.enable if before else gc.disable)()


# --- configurations -------------------------------------------------------------------


def of_version(version: int) -> Membership:
    return parse_membership(f"server.1=h:1:2;3\nserver.2=i:1:2;3\nversion={version:x}".encode())


def config_with_file(directory: Path) -> ServerConfig:
    """Return the configuration of a member that has a zoo.cfg."""
    path = directory / "conf" / "zoo.cfg"
    if not path.exists():
        path.parent.mkdir()
        path.write_text(
            f"dataDir={directory}/data\nreconfigEnabled=true\ninitLimit=10\nsyncLimit=5\n"
            "preAllocSize=64\n# mine\nserver.1=127.0.0.1:1:2;0\nserver.2=127.0.0.1:3:4;0\n"
        )

    def read(name: str) -> bytes | None:
        if name.endswith("/myid"):
            return b"1"
        return Path(name).read_bytes() if Path(name).exists() else None

    return parse_config(path.read_bytes(), read_file=read, path=str(path))


def serve(config: ServerConfig, body: Callable[[Storage, Answers], Awaitable[None]]) -> Storage:
    storage = Storage(config)

    async def main() -> None:
        answers = Answers()
        storage.open()
        storage.start(asyncio.get_running_loop(), answers.synced, answers.failed)
        try:
            await body(storage, answers)
        finally:
            storage.stop_timers()
            await asyncio.get_running_loop().run_in_executor(None, storage.close)

    run(main())
    return storage


def test_a_member_writes_its_configurations_beside_zoo_cfg(tmp_path: Path) -> None:
    async def body(storage: Storage, answers: Answers) -> None:
        folder = tmp_path / "conf"
        assert sorted(each.name for each in folder.iterdir()) == ["zoo.cfg", "zoo.cfg.bak"]
        storage.perform(SaveConfig(1, of_version(0x10), is_active=False), answers)
        storage.append(framed(PAYLOADS), 12)
        storage.perform(SaveConfig(2, of_version(0x10), is_active=True), answers)
        storage.perform(SaveConfig(3, of_version(0x20), is_active=False), answers)
        storage.perform(SaveEpoch(4, epochs.ACCEPTED, 1), answers)
        while len(answers.told) < 5:
            answers.changed.clear()
            await answers.changed.wait()
        # The record is durable only behind the file, and nobody waits for it.
        assert answers.told == [
            ("stored", 1),
            ("synced", 12),
            ("stored", 2),
            ("stored", 3),
            ("stored", 4),
        ]
        assert storage.metrics.unsaved_configs == 0

    serve(config_with_file(tmp_path), body)
    assert "# mine\n" in (tmp_path / "conf" / "zoo.cfg").read_text()
    ensemble = config_with_file(tmp_path).ensemble
    assert ensemble is not None
    assert ensemble.last_seen is not None
    assert (ensemble.membership.version, ensemble.last_seen.version) == (0x10, 0x20)


def test_the_files_may_be_read_by_whom_zoo_cfg_may(tmp_path: Path) -> None:
    config = config_with_file(tmp_path)
    (tmp_path / "conf" / "zoo.cfg").chmod(0o640)

    async def body(storage: Storage, answers: Answers) -> None:
        storage.perform(SaveConfig(1, of_version(0x10), is_active=True), answers)
        await answers.until("stored")

    serve(config, body)
    names = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "conf").iterdir()}
    assert names == dict.fromkeys(("zoo.cfg", "zoo.cfg.bak", "zoo.cfg.dynamic.10"), 0o640)


def test_without_reconfiguration_zoo_cfg_is_not_copied(tmp_path: Path) -> None:
    config_with_file(tmp_path)
    path = tmp_path / "conf" / "zoo.cfg"
    path.write_text(path.read_text().replace("reconfigEnabled=true\n", ""))
    storage = Storage(config_with_file(tmp_path))
    storage.open()
    storage.release()
    assert [each.name for each in path.parent.iterdir()] == ["zoo.cfg"]


def test_a_member_serves_on_where_its_configurations_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyzk.quorum.unsaved_configs.FIRST_PAUSE_S", 0.001)
    caplog.set_level("INFO")
    config = config_with_file(tmp_path)
    folder = tmp_path / "conf"
    (folder / "zoo.cfg.bak.tmp").mkdir()
    (folder / "zoo.cfg.dynamic.10.tmp").mkdir()

    async def body(storage: Storage, answers: Answers) -> None:
        storage.perform(SaveConfig(1, of_version(0x10), is_active=True), answers)
        storage.append(framed(PAYLOADS), 12)
        await answers.until("synced")
        assert answers.told == [("stored", 1), ("synced", 12)]
        assert storage.metrics.unsaved_configs == 1
        assert not (folder / "zoo.cfg.dynamic.10").exists()
        (folder / "zoo.cfg.dynamic.10.tmp").rmdir()
        async with asyncio.timeout(20):
            while storage.metrics.unsaved_configs:
                await asyncio.sleep(0.002)
        assert (folder / "zoo.cfg.dynamic.10").exists()

    serve(config, body)
    errors = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert len(errors) == 2
    copying = f"{folder}/zoo.cfg cannot be copied before it is written: {folder}/zoo.cfg.bak.tmp"
    assert errors[0].startswith(copying)
    assert f"version 10 of the ensemble cannot be saved: {folder}/zoo.cfg.dynamic.10" in errors[1]
    assert "version 10 of the ensemble is saved now" in caplog.text


@KINDS
def test_a_member_without_a_zoo_cfg_has_its_configurations_in_its_storage(
    make_storage: Make, tmp_path: Path
) -> None:
    config = member_config(tmp_path, extra="reconfigEnabled=true")
    storage = make_storage(config)

    async def life(*commands: StorageCommand) -> None:
        answers = Answers()
        storage.open()
        storage.start(asyncio.get_running_loop(), answers.synced, answers.failed)
        for command in commands:
            storage.perform(command, answers)
        while len(answers.told) < len(commands):
            answers.changed.clear()
            await answers.changed.wait()
        await asyncio.get_running_loop().run_in_executor(None, storage.close)

    run(life())
    assert storage.saved_configs == Saved(None, None)
    first, second = of_version(0x10), of_version(0x20)
    run(life(SaveConfig(1, first, is_active=False), SaveConfig(2, first, is_active=True)))
    run(life(SaveConfig(3, second, is_active=False)))
    assert storage.saved_configs == Saved(first, None)
    run(life())
    assert storage.saved_configs == Saved(first, second)


KEPT = "pyzk.configInDataDir=true\n"


def test_beside_a_zoo_cfg_that_is_never_written_the_newest_is_in_the_data_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config_with_file(tmp_path)
    path = tmp_path / "conf" / "zoo.cfg"
    path.write_text(KEPT + path.read_text())
    text = path.read_text()
    first, second = of_version(0x10), of_version(0x20)

    async def body(storage: Storage, answers: Answers) -> None:
        storage.perform(SaveConfig(1, first, is_active=True), answers)
        storage.perform(SaveConfig(2, second, is_active=False), answers)
        while len(answers.told) < 2:
            answers.changed.clear()
            await answers.changed.wait()

    async def nothing(storage: Storage, answers: Answers) -> None:
        pass

    assert serve(config_with_file(tmp_path), body).saved_configs == Saved(None, None)
    assert [each.name for each in path.parent.iterdir()] == ["zoo.cfg"]
    assert path.read_text() == text
    caplog.clear()
    assert serve(config_with_file(tmp_path), nothing).saved_configs == Saved(first, second)
    assert f"goes on in version 20 of the ensemble, in {tmp_path}/data/version-2" in caplog.text
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    # Other lines do not count, which is said.
    path.write_text(text + "server.7=127.0.0.1:5:6;0\n")
    assert serve(config_with_file(tmp_path), nothing).saved_configs == Saved(first, second)
    assert f"the server lines of {path} are others than at the first start" in caplog.text
    # Without the setting zoo.cfg counts, which is said, too.
    path.write_text(text.removeprefix(KEPT))
    assert serve(config_with_file(tmp_path), nothing).saved_configs is None
    said = f"{tmp_path}/data/version-2 do not count, because pyzk.configInDataDir is not true"
    assert said in caplog.text


def test_the_storage_tells_which_snapshot_is_its_newest(tmp_path: Path) -> None:
    storage = Storage(replace(member_config(tmp_path), initialize=True))
    storage.open()
    folder = tmp_path / "version-2"
    (folder / "snapshot.0").unlink(missing_ok=True)
    report = storage.report()
    assert (report.last_snapshot_zxid, report.last_snapshot_s) == (-1, -1)
    for name, written_s in (("snapshot.1f.gz", 50), ("snapshot.9", 60), ("snapshot.aa.tmp", 70)):
        (folder / name).touch()
        os.utime(folder / name, (written_s, written_s))
    (folder / "snapshot.20").symlink_to("nothing")  # as one that is purged meanwhile
    report = storage.report()
    assert (report.last_snapshot_zxid, report.last_snapshot_s) == (0x1F, 50)
    storage.release()
