"""The answers of the admin server, against those recorded from Apache ZooKeeper 3.8.0 and 3.9.3.

The state of each recorded server is made again. Names, order and types of the values are the
recorded ones, and so are the values, but for those that `conformance.admin_answers` masks.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from conformance.admin_answers import (
    ACTIVITY,
    COUNTS,
    PLACES,
    TIMES,
    differences,
    index_differences,
)
from pyzk.admin.answer import Answer, Asked
from pyzk.admin.commands import answer, find
from pyzk.admin.json_text import pieces
from pyzk.clock import Clock
from pyzk.config.server import parse_config
from pyzk.constants import AddWatchMode, CreateMode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.persistence.report import StorageReport
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.lifecycle import member_peer
from pyzk.quorum.peer import Peer
from pyzk.server.host import Host
from pyzk.testing import EnsembleMember, ZooKeeperEnsemble
from tests.testing.raw import RawClient
from tests.world import World

FOLDER: Final = Path(__file__).parent.parent / "testdata" / "admin"
VERSIONS: Final = ("3.8.0", "3.9.3")
RECORDED: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    version: json.loads(gzip.decompress((FOLDER / f"{version}.json.gz").read_bytes()))
    for version in VERSIONS
}
MEMBERS: Final = ("leader", "follower", "observer")

MASKED: Final = TIMES | COUNTS | ACTIVITY | (PLACES - {"initial_configuration"})


@attrs.frozen
class Exchange:
    """One recorded request and its answer."""

    role: str
    version: str
    method: str
    name: str
    query: dict[str, str]
    status: int
    content_type: str | None
    body: str

    def __str__(self) -> str:
        query = "?" + "&".join(f"{key}={value}" for key, value in self.query.items())
        return f"{self.version} {self.role}: {self.method} {self.name}{query if self.query else ''}"


def exchanges(role: str, version: str = "3.9.3") -> list[Exchange]:
    """Return what was asked below commandURL, in order; what needs an identity is the shell's."""
    found = []
    for each in RECORDED[version][role]:
        method, _, target = each["request"].partition(" ")
        url = urlsplit(target)
        if not url.path.startswith("/commands") or each["requestHeaders"]:
            continue
        name = url.path.removeprefix("/commands").removeprefix("/")
        headers = each["headers"]
        found.append(
            Exchange(
                role,
                version,
                method,
                name,
                dict(parse_qsl(url.query)),
                each["status"],
                headers.get("Content-Type"),
                each["body"],
            )
        )
    return found


# --- layout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_body_is_laid_out_as_it_was_recorded(version: str) -> None:
    count = 0
    for role in RECORDED[version]:
        for each in exchanges(role, version):
            if each.content_type == "application/json" and each.method != "HEAD":
                assert b"".join(pieces(json.loads(each.body))).decode() == each.body
                count += 1
    assert count > 150


# --- the same state ----------------------------------------------------------------------------


def lone() -> Peer:
    """Return a server like the recorded one that stands alone."""
    text = (
        b"tickTime=2000\ndataDir=/var/lib/zookeeper/ad-3.9.3-28533\nmaxClientCnxns=0\n"
        b"4lw.commands.whitelist=*\nadmin.enableServer=true\nclientPort=28533\n"
        b"clientPortAddress=127.0.0.1\nadmin.serverPort=28532\nadmin.serverAddress=127.0.0.1\n"
    )
    world = World(parse_config(text, path="/etc/zookeeper/zoo.cfg"))
    world.peer.run_on(host_of(28533))
    one, two = world.connect(timeout_ms=20_000), world.connect(timeout_ms=30_000)
    for path in ("/a", "/a/b", "/q"):
        assert one.create(path).err == 0
    assert one.create("/eph1", flags=CreateMode.EPHEMERAL).err == 0
    assert two.create("/eph2", flags=CreateMode.EPHEMERAL).err == 0
    assert two.create("/a/seq-", flags=CreateMode.EPHEMERAL_SEQUENTIAL).err == 0
    one.get_data("/a", watch=True)
    one.get_children("/a", watch=True)
    one.get_data("/a/b", watch=True)
    two.add_watch("/a", AddWatchMode.PERSISTENT)
    two.exists("/missing", watch=True)
    return world.peer


def host_of(port: int) -> Host:
    """Return a machine like the recorded one."""
    names = (
        *("java.home", "java.io.tmpdir", "java.library.path", "java.class.path", "java.vendor"),
        *("java.version", "java.compiler", "os.name", "os.arch", "os.version", "os.memory.free"),
        *("os.memory.max", "os.memory.total", "user.name", "user.home", "user.dir", "host.name"),
    )
    return Host(
        ("127.0.0.1", port),
        lambda: StorageReport(66274, 66274, 0, 1795443263),
        lambda: (71, 20000),
        lambda: dict.fromkeys(names, "something"),
    )


def member_without_quorum() -> Peer:
    """Return a member that looks for a leader."""
    text = (
        b"tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper/s1\n"
        b"server.1=127.0.0.1:29121:29131:participant;127.0.0.1:29141\n"
        b"server.2=127.0.0.1:29122:29132:participant;127.0.0.1:29142\n"
        b"server.3=127.0.0.1:29123:29133:participant;127.0.0.1:29143\n"
        b"server.4=127.0.0.1:29124:29134:observer;127.0.0.1:29144\n"
        b"4lw.commands.whitelist=*\npreAllocSize=64\nadmin.enableServer=true\n"
        b"admin.serverAddress=127.0.0.1\nadmin.serverPort=28534\n"
    )
    config = parse_config(text, read_file=lambda path: b"1" if path.endswith("myid") else None)
    assert config.ensemble is not None
    database = Database(DataTree())
    peer, _ = member_peer(config, config.ensemble, database, Epochs(0, 0), Clock(0, 0), Random(1))
    peer.run_on(host_of(29141))
    peer.start()
    peer.server.trace_mask = 66  # the recorded one was asked before it lost its quorum
    return peer


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ZooKeeperEnsemble]:
    """Three voters and an observer; one client, at a follower, has the ephemeral /x."""
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        client = RawClient(member_of(ensemble, "follower"), timeout_ms=20_000)
        assert client.create("/x", flags=CreateMode.EPHEMERAL).err == 0
        ensemble.wait_until_synced()
        yield ensemble
        client.end()


def member_of(ensemble: ZooKeeperEnsemble, role: str) -> EnsembleMember:
    return next(member for member in ensemble if member.role == role)


Ask = Callable[[Exchange], tuple[Answer | None, str]]


def asker(peer: Peer) -> Ask:
    def ask(each: Exchange) -> tuple[Answer | None, str]:
        found = answer(Asked(peer, f"/{each.name}", each.query, each.method))
        return found, "" if found is None else b"".join(found.body).decode()

    return ask


def asker_on_loop(ensemble: ZooKeeperEnsemble, role: str) -> Ask:
    runner = member_of(ensemble, role)._member._runner
    assert runner is not None
    ask = asker(runner.peer)
    return lambda each: ensemble._call(lambda: ask(each))


# --- the comparison ------------------------------------------------------------------------------


def problems(each: Exchange, found: Answer, text: str) -> list[str]:
    """Return how an answer differs from the recorded one."""
    if (found.status, found.content_type) != (each.status, each.content_type):
        return [f"{found.status} {found.content_type}"]
    if each.status >= 400:
        return [] if "<h2>HTTP ERROR" in text or not each.body else ["no page"]
    if each.content_type is None:
        return index_differences(each.body, text) if each.body else []
    command = find(each.name)
    name = each.name if command is None else command.name
    return [] if each.method == "HEAD" else differences(name, each.body, text, MASKED)


def replay(role: str, ask: Ask) -> list[str]:
    """Ask everything that was recorded of a role; return what is different."""
    wrong = []
    for each in exchanges(role):
        found, text = ask(each)
        if found is None:
            # Only the shell can say who may go on.
            command = find(each.name)
            assert command is not None
            assert command.needs_authorization
            assert each.status == 401
        else:
            wrong += [f"{each}: {problem}" for problem in problems(each, found, text)]
    return wrong


def test_a_server_alone_answers_as_recorded() -> None:
    assert replay("standalone", asker(lone())) == []


def test_a_member_without_quorum_answers_as_recorded() -> None:
    assert replay("noquorum", asker(member_without_quorum())) == []


@pytest.mark.parametrize("role", MEMBERS)
def test_a_member_answers_as_recorded(ensemble: ZooKeeperEnsemble, role: str) -> None:
    wrong = replay(role, asker_on_loop(ensemble, role))
    # The fixture has no zoo.cfg, and other keys.
    assert [each for each in wrong if "GET system_properties: zookeeper." not in each] == []


@pytest.mark.parametrize(
    ("command", "wanted", "got", "problem"),
    [
        ("x", '{"a": 1}', '{"a": 2}', "a: 2 in place of 1"),
        ("x", '{"a": 1}', '{"a": "1"}', "a: '1' in place of 1"),
        ("x", '{"a": 1}', '{"a": true}', "a: True in place of 1"),
        ("x", '{"uptime": 1}', '{"uptime": 1.0}', "uptime: 1.0 in place of 1"),
        ("x", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', ": the names are ['b', 'a']"),
        ("x", '{"a": [1, 2]}', '{"a": [1]}', "a: [1] in place of [1, 2]"),
        ("x", '{"a": "h:1"}', '{"a": "g:2"}', "a: g:2 in place of h:1"),
        ("x", '{"error": "no"}', '{"error": null}', "error: None in place of 'no'"),
        (
            "dump",
            '{"expiry_time_to_session_ids": {"5": [72057748889141248], "6": []}}',
            '{"expiry_time_to_session_ids": {"7": []}}',
            "expiry: [], not [['session 0']]",
        ),
        ("environment", '{"a": "1"}', '{"b": "1"}', "the names are ['b']"),
        ("system_properties", "{}", '{"b": "", "a": "", "c": "", "d": ""}', "names are not sorted"),
        ("system_properties", "{}", '{"b": "", "command": "", "error": null}', "b is not there"),
        ("system_properties", '{"zookeeper.a": "1"}', '{"c": 1}', "zookeeper.a: None in place of"),
        ("monitor", '{"a": 1, "watch_bytes": 1}', '{"watch_bytes": 1}', "a is missing"),
        ("monitor", '{"watch_bytes": 1}', '{"a": 1, "watch_bytes": 1}', "a is not there"),
        (
            "monitor",
            '{"watch_bytes": 1}',
            '{"watch_bytes": 1.0}',
            "watch_bytes is a <class 'float'>",
        ),
    ],
)
def test_the_comparison_finds_a_difference(
    command: str, wanted: str, got: str, problem: str
) -> None:
    assert any(problem in each for each in differences(command, wanted, got, TIMES))


def test_the_comparison_lets_pass_what_two_servers_cannot_share() -> None:
    wanted = '{"uptime": 5, "a": "h:1", "id": 72057748889141248}'
    got = '{"uptime": 6, "a": "h:2", "id": 72057748889141299}'
    assert differences("x", wanted, got, TIMES) == []
    ours = index_differences(
        "", '<a href="/commands/shed_connections">shed_connections</a>\n<br/>\n'
    )
    assert ours == []
    assert index_differences("", "") == ["shed_connections is missing"]
    assert index_differences("x", "") == ["shed_connections is missing"]


def test_a_ping_may_wait_for_a_learner_and_nothing_else() -> None:
    def found(wanted: int, got: int) -> list[str]:
        one, other = (json.dumps({"queued_packets": count}) for count in (wanted, got))
        return differences("observers", one, other, frozenset())

    assert found(1, 0) == found(0, 1) == found(2, 2) == []
    assert found(0, 2)
    assert found(1, 2)
