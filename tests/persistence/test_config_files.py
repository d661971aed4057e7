"""Configurations in files: in force before or behind each step, wherever a crash falls."""

from __future__ import annotations

import random

import pytest

from pyzk.config.members import Membership, parse_membership
from pyzk.config.server import parse_config
from pyzk.errors import ConfigError, StorageError
from pyzk.persistence.config_files import ConfigFiles, Saved
from pyzk.persistence.directory import MemoryDirectory, save
from tests.persistence.disks import get, put

STATIC = b"# mine\ninitLimit=10\nsyncLimit=5\ndataDir=/d\nreconfigEnabled=true\n"
LINES = b"server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\n"
SEEDS = [None, *range(20)]
"""How the disk loses power: at its worst, or erratically."""


def of_version(version: int, voters: int = 3) -> Membership:
    lines = [f"server.{sid}=h{sid}:1:2;3" for sid in range(1, voters + 1)]
    return parse_membership("\n".join([*lines, f"version={version:x}"]).encode())


FIRST = of_version(0x100000000)
SECOND = of_version(0x100000004, 4)
THIRD = of_version(0x100000009, 5)


def files_with(static: bytes = STATIC + LINES) -> ConfigFiles:
    directory = MemoryDirectory("/c")
    put(directory, "zoo.cfg", static)
    return ConfigFiles(directory, "zoo.cfg", 1)


def contents(files: ConfigFiles) -> dict[str, bytes]:
    return {name: get(files.directory, name) for name in files.directory.names()}


def start(files: ConfigFiles) -> tuple[int, int | None]:
    """Return the versions that a start of the server finds."""
    found = {f"/c/{name}": content for name, content in contents(files).items()}
    found["/d/myid"] = b"%d" % files.sid
    config = parse_config(found["/c/zoo.cfg"], read_file=found.get, path="/c/zoo.cfg")
    ensemble = config.ensemble
    assert ensemble is not None
    proposed = ensemble.last_seen
    return ensemble.membership.version, None if proposed is None else proposed.version


def power_cut(files: ConfigFiles, at: int) -> None:
    """Lose power ahead of operation ``at`` of the directory, or behind the last one."""
    count = 0

    def before(_what: str, _name: str) -> None:
        nonlocal count
        count += 1
        if count >= at:
            raise RuntimeError("no power")

    assert isinstance(files.directory, MemoryDirectory)
    files.directory.before = before


def crash(files: ConfigFiles, seed: int | None) -> None:
    assert isinstance(files.directory, MemoryDirectory)
    files.directory.crash(None if seed is None else random.Random(seed))


def test_a_zoo_cfg_with_server_lines_is_copied_before_it_is_written() -> None:
    files = files_with()
    assert files.back_up()
    files.activate(FIRST)
    assert get(files.directory, "zoo.cfg.bak") == STATIC + LINES
    assert not files.back_up(), "the copy of the first stays"
    assert get(files.directory, "zoo.cfg.bak") == STATIC + LINES


def test_an_activated_configuration_is_named_by_zoo_cfg() -> None:
    files = files_with(STATIC + b"clientPort=3\n" + LINES)
    files.activate(FIRST)
    assert contents(files) == {
        "zoo.cfg": STATIC + b"dynamicConfigFile=/c/zoo.cfg.dynamic.100000000\n",
        "zoo.cfg.dynamic.100000000": b"server.1=h1:1:2:participant;0.0.0.0:3\n"
        b"server.2=h2:1:2:participant;0.0.0.0:3\nserver.3=h3:1:2:participant;0.0.0.0:3",
    }
    assert start(files) == (0x100000000, None)


@pytest.mark.parametrize("sid", [1, 9])
def test_client_port_stays_where_the_dynamic_file_does_not_say_it(sid: int) -> None:
    files = files_with(STATIC + b"clientPort=3\n")._replace(sid=sid)
    line = b"server.1=h1:1:2" if sid == 1 else b"server.1=h1:1:2;3"
    files.activate(parse_membership(line + b"\nversion=100000000"))
    assert b"clientPort=3\n" in get(files.directory, "zoo.cfg")


@pytest.mark.parametrize("host", ["0.0.0.0", "h1"])
def test_client_port_comes_back_where_a_later_configuration_does_not_say_it(host: str) -> None:
    """A server whose port only the configuration before had goes on there when it starts again."""
    files = files_with(STATIC + b"clientPort=3\n" + LINES)
    files.activate(FIRST, (host, 3))
    assert b"clientPort" not in get(files.directory, "zoo.cfg")
    later = parse_membership(b"server.1=h1:1:2\nserver.2=h2:1:2;3\nversion=100000004")
    files.activate(later, (host, 3))
    named = b"dynamicConfigFile=/c/zoo.cfg.dynamic.100000004\nclientPort=3\n"
    named += b"" if host == "0.0.0.0" else b"clientPortAddress=h1\n"
    assert get(files.directory, "zoo.cfg") == STATIC + named
    assert start(files) == (0x100000004, None)
    files.activate(later, (host, 3))
    assert get(files.directory, "zoo.cfg").count(b"clientPort=") == 1
    files.activate(SECOND, (host, 3))
    assert b"clientPort" not in get(files.directory, "zoo.cfg")


def test_the_proposed_one_goes_when_it_is_in_force_and_a_later_one_stays() -> None:
    files = files_with()
    files.activate(FIRST)
    files.propose(SECOND)
    assert start(files) == (0x100000000, 0x100000004)
    files.activate(SECOND)
    assert "zoo.cfg.dynamic.next" not in files.directory.names()
    assert start(files) == (0x100000004, None)
    files.propose(THIRD)
    files.activate(SECOND)
    assert start(files) == (0x100000004, 0x100000009)
    # As with the original the earlier ones stay, and so does the copy that is in force.
    assert "zoo.cfg.dynamic.100000000" in files.directory.names()


def test_a_broken_proposed_one_does_not_outlive_the_next_activation() -> None:
    files = files_with()
    files.activate(FIRST)
    save(files.directory, "zoo.cfg.dynamic.next", b"server.1=")
    with pytest.raises(ConfigError):
        start(files)
    files.activate(SECOND)
    assert start(files) == (0x100000004, None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("is_active", [False, True])
def test_a_crash_at_any_step_leaves_the_one_before_or_the_one_behind(
    is_active: bool, seed: int | None
) -> None:
    before = (FIRST.version, SECOND.version)
    after = (SECOND.version, None) if is_active else (FIRST.version, THIRD.version)
    what = SECOND if is_active else THIRD
    seen = set()
    for at in range(1, 20):
        files = files_with()
        files.activate(FIRST)
        files.propose(SECOND)
        power_cut(files, at)
        try:
            (files.activate if is_active else files.propose)(what)
        except RuntimeError:
            crash(files, seed)
            found = start(files)
            seen.add(found)
            assert found in (before, after), at
        else:
            crash(files, seed)
            assert start(files) == after
            break
    else:
        pytest.fail("it is never done")
    assert before in seen


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_activation_survives_a_crash_at_any_step(seed: int | None) -> None:
    for at in range(1, 20):
        files = files_with()
        power_cut(files, at)
        try:
            files.back_up()
            files.activate(FIRST)
        except RuntimeError:
            crash(files, seed)
            assert start(files) in ((0, None), (FIRST.version, None))
            continue
        crash(files, seed)
        assert start(files) == (FIRST.version, None)
        return
    pytest.fail("it is never done")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_can_start_at_any_step_of_being_added(seed: int | None) -> None:
    """The configuration in force lacks it."""
    seen = set()
    for at in range(1, 40):
        files = files_with(STATIC + LINES + b"server.4=d:1:2;3\n")._replace(sid=4)
        files.back_up()
        power_cut(files, at)
        try:
            files.propose(SECOND)
            files.activate(FIRST)
        except RuntimeError:
            crash(files, seed)
            found = start(files)
            seen.add(found)
            assert found in ((0, None), (FIRST.version, SECOND.version)), at
            continue
        crash(files, seed)
        assert start(files) == (FIRST.version, SECOND.version)
        assert (0, None) in seen
        return
    pytest.fail("it is never done")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_proposed_before_a_new_beginning_never_comes_back(seed: int | None) -> None:
    """A start by server lines does not read it; one by the files that are written then would."""
    for at in range(1, 30):
        files = files_with()
        files.propose(THIRD)
        assert start(files) == (0, None)
        power_cut(files, at)
        try:
            files.back_up()
            files.activate(FIRST)
        except RuntimeError:
            crash(files, seed)
            assert start(files) in ((0, None), (FIRST.version, None)), at
            continue
        crash(files, seed)
        assert start(files) == (FIRST.version, None)
        return
    pytest.fail("it is never done")


def test_a_zoo_cfg_that_cannot_be_read_any_more_is_said() -> None:
    files = files_with()
    save(files.directory, "zoo.cfg", b"a=\\u12")
    with pytest.raises(StorageError, match=r"line 1: malformed .*correct the file"):
        files.activate(FIRST)
    files.directory.remove("zoo.cfg")
    with pytest.raises(StorageError, match=r"/c/zoo\.cfg"):
        files.activate(SECOND)


# --- without zoo.cfg ------------------------------------------------------------------


GIVEN = of_version(0)


def without_static() -> ConfigFiles:
    files = ConfigFiles(MemoryDirectory("/c"), "zoo.cfg", 1, has_static=False)
    assert files.begin(GIVEN) == Saved(None, None)
    return files


def test_without_zoo_cfg_the_latest_is_in_force() -> None:
    files = without_static()
    assert files.begin(GIVEN) == Saved(None, None)
    files.propose(FIRST)
    assert files.begin(GIVEN) == Saved(None, FIRST)
    files.activate(FIRST)
    assert files.begin(GIVEN) == Saved(FIRST, None)
    files.propose(SECOND)
    assert files.begin(GIVEN) == Saved(FIRST, SECOND)
    files.activate(SECOND)
    assert files.begin(GIVEN) == Saved(SECOND, None)
    assert files.directory.names() == ["zoo.cfg.bak", "zoo.cfg.dynamic.100000004"]


@pytest.mark.parametrize("seed", SEEDS)
def test_without_zoo_cfg_a_crash_leaves_the_one_before_or_the_one_behind(seed: int | None) -> None:
    for at in range(1, 20):
        files = without_static()
        files.activate(FIRST)
        files.propose(SECOND)
        power_cut(files, at)
        try:
            files.activate(SECOND)
        except RuntimeError:
            crash(files, seed)
            assert files.begin(GIVEN) in (Saved(FIRST, SECOND), Saved(SECOND, None))
            continue
        crash(files, seed)
        assert files.begin(GIVEN) == Saved(SECOND, None)
        return
    pytest.fail("it is never done")


def test_groups_and_weights_are_kept() -> None:
    text = b"server.1=a:1:2;3\nserver.2=b:1:2;3\ngroup.1=1:2\nweight.1=3\nweight.2=1\nversion=5"
    membership = parse_membership(text)
    files = without_static()
    files.propose(membership)
    assert files.begin(GIVEN).last_seen == membership
    files.activate(membership)
    assert files.begin(GIVEN).committed == membership


def test_a_broken_file_without_zoo_cfg_is_said() -> None:
    files = without_static()
    save(files.directory, "zoo.cfg.dynamic.5", b"server.1")
    with pytest.raises(StorageError, match=r"/c/zoo\.cfg\.dynamic\.5: is broken"):
        files.begin(GIVEN)
    files = without_static()
    save(files.directory, "zoo.cfg.dynamic.next", b"server.1=a:1:2")
    with pytest.raises(StorageError, match=r"/c/zoo\.cfg\.dynamic\.next: is broken"):
        files.begin(GIVEN)


def test_another_configuration_that_is_given_counts() -> None:
    files = without_static()
    files.activate(FIRST)
    files.propose(SECOND)
    assert files.begin(of_version(0, 2)) == Saved(None, None)
    assert files.directory.names() == ["zoo.cfg.bak"]
    files.activate(SECOND)
    assert files.begin(of_version(0, 2)) == Saved(SECOND, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_does_not_mix_what_is_given_with_what_was_saved(seed: int | None) -> None:
    for at in range(1, 20):
        files = without_static()
        files.activate(FIRST)
        files.propose(SECOND)
        power_cut(files, at)
        try:
            files.begin(of_version(0, 2))
        except RuntimeError:
            crash(files, seed)
            assert files.begin(of_version(0, 2)) == Saved(None, None)
            continue
        return
    pytest.fail("it is never done")


# --- beside a zoo.cfg that is never written -------------------------------------------


def test_server_lines_that_are_never_rewritten_give_way_to_what_was_saved() -> None:
    files = ConfigFiles(MemoryDirectory("/c"), "zoo.cfg", 1, has_static=False)
    assert files.resume(GIVEN) == (Saved(None, None), False)
    assert [files.has_saved] == [False]
    files.propose(FIRST)
    assert files.resume(GIVEN) == (Saved(None, FIRST), False)
    files.activate(FIRST)
    files.propose(SECOND)
    assert [files.has_saved] == [True]
    assert files.resume(GIVEN) == (Saved(FIRST, SECOND), False)
    assert "zoo.cfg.bak" in files.directory.names()


def test_server_lines_that_were_changed_since_do_not_count() -> None:
    files = ConfigFiles(MemoryDirectory("/c"), "zoo.cfg", 1, has_static=False)
    files.resume(GIVEN)
    assert files.resume(of_version(0, 2)) == (Saved(None, None), False)
    files.activate(FIRST)
    assert files.resume(of_version(0, 2)) == (Saved(FIRST, None), True)
    # Those who keep zoo.cfg in step with the ensemble are told nothing.
    as_saved = Membership(FIRST.members, 0, FIRST.groups, FIRST.weights)
    assert files.resume(as_saved) == (Saved(FIRST, None), False)
    # A later one that zoo.cfg names, by the name of its dynamic file, counts.
    assert files.resume(of_version(SECOND.version + 1, 2)) == (Saved(FIRST, None), False)
