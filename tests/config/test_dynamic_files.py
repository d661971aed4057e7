"""The files of later configurations: the original's names and texts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyzk.config import dynamic_files
from pyzk.config.dynamic_files import dynamic_text, naming, next_text, parse_dynamic, parse_next
from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, parse_membership
from pyzk.config.properties import (
    escaped,
    parse_properties,
    with_values_hidden,
    without_keys,
)
from pyzk.config.server import parse_config
from pyzk.errors import ConfigError

SEEN = json.loads(
    (Path(__file__).parent.parent / "testdata" / "dynamic_files" / "3.9.3.json").read_text()
)
"""Step -> server id -> name -> content: the files of three servers of ZooKeeper 3.9.3."""
STEPS = ("given", "first leader", "client addresses and groups")


def settings(text: str) -> dict[str, str]:
    return {entry.key: entry.value for entry in parse_properties(text.encode())}


def of_version_text(text: str, version: int) -> bytes:
    return f"{text}\nversion={version:x}".encode()


@pytest.mark.parametrize("sid", ["1", "2", "3"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_dynamic_files_are_the_originals_to_the_byte(step: str, sid: str) -> None:
    files = SEEN[step][sid]
    checked = 0
    for name, content in files.items():
        version = dynamic_files.dynamic_version("zoo.cfg", name)
        if version is not None:
            membership = parse_membership(of_version_text(content, version))
            assert dynamic_files.dynamic_name("zoo.cfg", version) == name
            assert dynamic_text(membership) == content.encode()
            checked += 1
    assert checked


@pytest.mark.parametrize("text", [text for texts in SEEN["next"].values() for text in texts])
def test_the_file_of_a_proposed_configuration_is_the_originals_to_the_byte(text: str) -> None:
    membership = parse_next(text.encode(), "zoo.cfg.dynamic.next")
    assert membership.version
    assert next_text(membership) == text.encode()


@pytest.mark.parametrize("sid", ["1", "2", "3"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_zoo_cfg_says_the_same_as_the_originals(step: str, sid: str) -> None:
    before = SEEN[STEPS[STEPS.index(step) - 1]][sid]["zoo.cfg"]
    after = SEEN[step][sid]["zoo.cfg"]
    path = settings(after)["dynamicConfigFile"]
    has_client_address = ";" in SEEN[step][sid][path.rpartition("/")[2]] and sid != "3"
    ours = settings(naming(before.encode(), path, has_client_address).decode())
    # The original takes clientPortListenBacklog away with clientPort.
    ours.pop("clientPortListenBacklog", None)
    theirs = settings(after)
    theirs.pop("clientPortListenBacklog", None)
    assert ours == theirs


def test_zoo_cfg_keeps_comments_order_and_spelling() -> None:
    before = (
        b"# the ensemble\r\n! \xe4\n  tickTime : 2000\nserver.1=a:1:2\n\nserver.2 = b:\\\n   1:2\n"
        b"group.1=1:2\nweight.1 2\npeerType=observer\n#server.3=c:1:2\ndataDir=/d\\\n  ata\n"
        b"dynamicConfigFile=/old\nclientPort=2181\nclientPortAddress=h\n"
        b"clientPortListenBacklog=5\nserverCnxnFactory=x"
    )
    kept = b"# the ensemble\r\n! \xe4\n  tickTime : 2000\n\n#server.3=c:1:2\ndataDir=/d\\\n  ata\n"
    rest = b"clientPortListenBacklog=5\nserverCnxnFactory=x\ndynamicConfigFile=/new\n"
    assert naming(before, "/new", has_client_address=True) == kept + rest
    port = b"clientPort=2181\nclientPortAddress=h\n"
    assert naming(before, "/new", has_client_address=False) == kept + port + rest


@pytest.mark.parametrize("end", ["a=b", "a=b\\", "a=b\\\n", "# comment \\", "a=b\r", "\\"])
def test_the_last_line_takes_in_nothing(end: str) -> None:
    text = naming(end.encode(), "/x/zoo.cfg.dynamic.1", has_client_address=False)
    assert settings(text.decode())["dynamicConfigFile"] == "/x/zoo.cfg.dynamic.1"


@pytest.mark.parametrize("path", ["/a b/c", "/back\\slash", "/ü/€", "/a=b:c#d", "/tab\tx"])
def test_any_path_is_read_as_it_was_written(path: str) -> None:
    text = naming(b"", path, has_client_address=False)
    assert settings(text.decode("iso-8859-1")) == {"dynamicConfigFile": path}
    assert escaped("plain/path.1") == "plain/path.1"


def test_nothing_is_removed_that_is_not_asked_for() -> None:
    text = b"\n#a\na=1\\\n\n\\\n!b\r\nb=2"
    assert without_keys(text, lambda _: False) == text
    assert without_keys(text, lambda key: key == "a") == b"\n#a\n\\\n!b\r\nb=2"


def test_a_hidden_value_is_replaced_with_all_its_lines_and_nothing_else() -> None:
    text = b"\n#a=1\r\n a = 1\\\n  2\r\nb=2\na:3\n\xff=4\na"
    assert with_values_hidden(text, lambda *_: False, "X") == text
    hidden = with_values_hidden(text, lambda key, _: key == "a", "X")
    assert hidden == b"\n#a=X\r\na=X\r\nb=2\na=X\n\xff=4\na=X"


@pytest.mark.parametrize(
    ("comment", "shown"),
    [
        (b"#a=1", b"#a=X"),
        (b" \t! ## a : 1\\\r\nb=2", b" \t! ## a=X\r\nb=2"),  # a comment is never continued
        (b"#a 1", b"#a=X"),
        (b"# b=2", b"# b=2"),
        (b"#was: a=1 (b=2)", b"#was: a=X"),
        (b"# -Dzookeeper.a=1", b"# -Dzookeeper.a=1"),
        (b"# the a is set elsewhere", b"# the a is set elsewhere"),
        (b"# a", b"# a"),
        (b"# \\u12 is no escape", b"# \\u12 is no escape"),
        (b"#", b"#"),
    ],
)
def test_a_hidden_value_is_replaced_in_a_comment_too(comment: bytes, shown: bytes) -> None:
    assert with_values_hidden(comment, lambda key, _: key == "a", "X") == shown


@pytest.mark.parametrize(
    ("text", "match"),
    [
        # What 3.9.3 does: ignores it, with an error in its log.
        ("server.1=a:1:2;3", "has no line with the version"),
        ("", "has no line with the version"),
        # It does not start.
        ("server.1=xx\nversion=1", "has no ports"),
        # It starts, and looks for a leader for ever.
        ("foo=bar\nversion=300000000", "foo: is unknown"),
        ("version=300000000", "has no participants"),
        ("server.1=a:1:2:observer\nversion=5", "has no participants"),
    ],
)
def test_a_broken_file_of_a_proposed_configuration_says_where_and_what_to_do(
    text: str, match: str
) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        parse_next(text.encode(), "/c/zoo.cfg.dynamic.next")
    assert "in /c/zoo.cfg.dynamic.next" in str(caught.value)
    assert "remove it if the other members have theirs" in str(caught.value)


def test_the_version_of_a_dynamic_file_is_in_its_name_only() -> None:
    assert parse_dynamic(b"server.1=a:1:2").version == 0
    with pytest.raises(ConfigError, match="the name of the file ends with the version"):
        parse_dynamic(b"server.1=a:1:2\nversion=7")
    for name in ("zoo.cfg.dynamic.next", "zoo.cfg.dynamic.", "other.dynamic.1", "zoo.cfg.dynamic"):
        assert dynamic_files.dynamic_version("zoo.cfg", name) is None
    assert dynamic_files.dynamic_version("a.dynamic.cfg", "a.dynamic.cfg.dynamic.1f") == 0x1F


# --- what a start makes of them -------------------------------------------------------

STATIC = "initLimit=10\nsyncLimit=5\ndataDir=/d\nreconfigEnabled=true\n"
THREE = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\n"
TWO = "server.1=a:1:2;3\nserver.2=b:1:2;3"
DYNAMIC = "/c/zoo.cfg.dynamic.100000004"
NEXT = "/c/zoo.cfg.dynamic.next"


def start(zoo_cfg: str, files: dict[str, str], sid: int = 1) -> EnsembleConfig:
    found = {name: text.encode() for name, text in {"/d/myid": str(sid), **files}.items()}
    config = parse_config(zoo_cfg.encode(), read_file=found.get, path="/c/zoo.cfg")
    assert config.ensemble is not None
    assert config.ensemble.config_file == "/c/zoo.cfg"
    return config.ensemble


def test_a_start_finds_both_configurations() -> None:
    text = STATIC + f"dynamicConfigFile={DYNAMIC}"
    ensemble = start(text, {DYNAMIC: THREE, NEXT: TWO + "\nversion=100000007"})
    assert ensemble.membership.version == 0x100000004
    assert ensemble.membership.voters == (1, 2, 3)
    assert ensemble.last_seen is not None
    assert ensemble.last_seen.version == 0x100000007
    assert ensemble.last_seen.voters == (1, 2)
    (warning,) = [text for line, text in ensemble.warnings if line is None]
    assert warning.startswith(f"{NEXT}: a reconfiguration to version 100000007 was under way")


def test_a_line_that_is_only_proposed_need_not_agree_with_the_client_port_in_zoo_cfg() -> None:
    """A removed server has its client port back in zoo.cfg, and may be added with another one."""
    text = STATIC + f"clientPort=9\ndynamicConfigFile={DYNAMIC}"
    two_in_force = "server.1=a:1:2;9\nserver.2=b:1:2;9"
    proposed = {NEXT: THREE + "version=100000007"}
    ensemble = start(text, {DYNAMIC: two_in_force, **proposed}, sid=3)
    assert ensemble.client_port == 9
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:9 differs from 0\.0\.0\.0:3 in server\.3"):
        start(text, {DYNAMIC: THREE, **proposed}, sid=3)


@pytest.mark.parametrize("version", ["100000004", "100000003", "0"])
def test_what_was_proposed_and_is_in_force_is_not_under_way(version: str) -> None:
    text = STATIC + f"dynamicConfigFile={DYNAMIC}"
    ensemble = start(text, {DYNAMIC: THREE, NEXT: f"{TWO}\nversion={version}"})
    assert ensemble.last_seen is None


def test_server_lines_in_zoo_cfg_count_whatever_is_left_over() -> None:
    ensemble = start(STATIC + THREE, {DYNAMIC: TWO, NEXT: TWO + "\nversion=100000007"})
    assert (ensemble.membership.version, ensemble.last_seen) == (0, None)
    assert ensemble.membership.voters == (1, 2, 3)


def test_without_reconfiguration_nothing_is_under_way() -> None:
    text = STATIC.replace("true", "false") + f"dynamicConfigFile={DYNAMIC}"
    assert start(text, {DYNAMIC: THREE, NEXT: TWO + "\nversion=100000007"}).last_seen is None


def test_a_broken_file_of_a_proposed_configuration_ends_the_start() -> None:
    text = STATIC + f"dynamicConfigFile={DYNAMIC}"
    with pytest.raises(ConfigError, match=r"line 1: server\.1: .*in /c/zoo\.cfg\.dynamic\.next"):
        start(text, {DYNAMIC: THREE, NEXT: "server.1=a\nversion=100000007"})


def test_a_server_that_was_removed_does_not_start_and_says_how_it_can_join() -> None:
    text = STATIC + f"dynamicConfigFile={DYNAMIC}"
    with pytest.raises(ConfigError, match="server 3 was removed, or stopped before it") as caught:
        start(text, {DYNAMIC: TWO}, sid=3)
    for part in ("version 100000004", DYNAMIC, "servers 1, 2 only", "/c/zoo.cfg.bak", "reconfig"):
        assert part in str(caught.value)


def test_a_server_that_is_being_added_starts_as_what_it_will_be() -> None:
    text = STATIC + f"dynamicConfigFile={DYNAMIC}"
    proposed = TWO + "\nserver.3=c:1:2:observer;9\nversion=100000007"
    ensemble = start(text, {DYNAMIC: TWO, NEXT: proposed}, sid=3)
    assert ensemble.membership.member(3) is None
    assert ensemble.is_observer
    assert (ensemble.me.sid, ensemble.client_port) == (3, 9)


@pytest.mark.parametrize("role", ["observer", "participant"])
def test_a_server_that_joins_has_the_present_members_and_itself(role: str) -> None:
    ensemble = start(f"{STATIC}{THREE}server.4=d:1:2:{role};3\n", {}, sid=4)
    assert ensemble.is_observer == (role == "observer")
    assert ensemble.me.addresses[0].host == "d"


def test_an_ensemble_of_one_that_can_grow() -> None:
    ensemble = start(STATIC + "standaloneEnabled=false\nserver.1=a:1:2;3\n", {})
    assert ensemble.membership.voters == (1,)


def test_the_present_configuration_is_the_one_in_the_tree() -> None:
    ensemble = start(STATIC + THREE, {})
    assert ensemble.present(TWO.encode() + b"\nversion=9").voters == (1, 2)
    for text in (b"", b"version=0", b"what is this"):
        assert ensemble.present(text) == ensemble.membership


# --- a configuration that was not given as a file -------------------------------------


def of_version(lines: str, version: int) -> Membership:
    return parse_membership(of_version_text(lines, version))


def test_what_was_saved_later_counts() -> None:
    given = start(STATIC + THREE, {}, sid=2)
    moved = of_version(TWO.replace("b:1:2;3", "b:1:2:observer;h:9"), 5)
    told = given.with_saved(moved, None)
    assert (told.membership, told.last_seen, told.is_observer) == (moved, None, True)
    assert told.client_address == ("h", 9)
    assert given.with_saved(None, None) == given
    proposed = of_version(THREE, 7)
    assert given.with_saved(moved, proposed).last_seen == proposed
    assert given.with_saved(proposed, moved).last_seen is None
    assert given.with_saved(None, proposed).membership == given.membership


def test_a_server_without_a_file_that_was_removed_does_not_start() -> None:
    given = start(STATIC + THREE, {}, sid=3)
    two = of_version(TWO, 5)
    with pytest.raises(ConfigError, match=r"server 3 is not in version 5 .* it was removed"):
        given.with_saved(two, None)
    assert given.with_saved(two, of_version(THREE, 6)).me.sid == 3


def test_what_was_saved_later_counts_beside_a_file_that_is_never_written() -> None:
    later, last = of_version(TWO, 5), of_version(THREE, 9)
    text = "dataDir=/d\ninitLimit=5\nsyncLimit=2\nreconfigEnabled=true\n"
    text += "pyzk.configInDataDir=true\ndynamicConfigFile=/c/zoo.cfg.dynamic.5\n"
    files = {"/c/zoo.cfg.dynamic.5": TWO, NEXT: f"{THREE}\nversion=7"}
    given = start(text, files, sid=2)
    assert given.keeps_files
    assert given.last_seen == of_version(THREE, 7)
    assert given.with_saved(None, None) == given
    assert given.with_saved(later, last).last_seen == last
    assert given.with_saved(last, None).last_seen is None
