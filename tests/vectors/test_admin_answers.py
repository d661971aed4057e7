"""The answers of the admin server, against those recorded from Apache ZooKeeper 3.8.0 and 3.9.3.

The state of each recorded server is made again. Names, order and types of the values are the
recorded ones, and so are the values, but for those in `MASKED`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from conformance.known_differences import OURS_IN_MNTR
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
from tests.server.test_fourletter_ensemble import SETS
from tests.testing.raw import RawClient
from tests.world import World

FOLDER: Final = Path(__file__).parent.parent / "testdata" / "admin"
VERSIONS: Final = ("3.8.0", "3.9.3")
RECORDED: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    version: json.loads(gzip.decompress((FOLDER / f"{version}.json.gz").read_bytes()))
    for version in VERSIONS
}
MEMBERS: Final = ("leader", "follower", "observer")

MASKED: Final = frozenset(
    {
        # Times, and what hangs on them.
        *("established", "last_response_time", "uptime", "timestamp", "last_latency"),
        *("min_latency", "avg_latency", "max_latency"),
        # What the recorded clients had done beside what makes the state.
        *("packets_received", "packets_sent", "last_operation", "last_cxid", "last_zxid"),
        *("last_processed_zxid", "node_count", "last_buffer_size", "min_buffer_size"),
        *("max_buffer_size", "requests", "zab_counter"),
        # Sizes, places, ids.
        *("data_dir", "data_log_dir", "data_dir_size", "log_dir_size", "datadir_size"),
        *(
            "logdir_size",
            "queued_packets_size",
            "session_id",
            "client_port",
            "all_ports",
            "version",
        ),
        *("server_id", "myid", "leader_id", "sid", "zxid", "zab_epoch"),
        # The fixture's.
        *("tick_time", "min_session_timeout", "max_session_timeout", "client_port_listen_backlog"),
    }
)
"""Values that differ from run to run: only their types are compared."""
UNORDERED: Final = ("server_stats", "path_to_session_ids")
"""Objects whose names Java lists in an order that changes from one server to the next."""
PLACE: Final = re.compile(r":\d+\Z")
"""The port behind an address, which differs from run to run."""
LEAST_ID: Final = 1 << 50
"""What is greater is a session id."""
GIVEN_OUTSIDE: Final = (
    "zookeeper.DigestAuthenticationProvider.superDigest",
    "zookeeper.admin.rateLimiterIntervalInMS",
    "zookeeper.extendedTypesEnabled",
)
"""System properties that the recorded servers had from their command lines."""


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
        b"server.1=127.0.0.1:29121:29131;127.0.0.1:29141\n"
        b"server.2=127.0.0.1:29122:29132;127.0.0.1:29142\n"
        b"server.3=127.0.0.1:29123:29133;127.0.0.1:29143\n"
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


def canonical(value: Any) -> Any:
    """Return a value with its session ids replaced by their ranks."""
    ids: set[int] = set()
    walk(value, lambda number: ids.add(number) if number >= LEAST_ID else None)
    ranks = {number: f"session {rank}" for rank, number in enumerate(sorted(ids))}
    return walk(value, lambda number: ranks.get(number, number))


def walk(value: Any, of_number: Callable[[int], Any]) -> Any:
    """Return a value with its numbers, and the names that are numbers, replaced."""
    if isinstance(value, dict):
        return {
            of_number(int(name)) if name.isdigit() else name: walk(each, of_number)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [walk(each, of_number) for each in value]
    return of_number(value) if type(value) is int else value


def compare(wanted: Any, got: Any, name: str = "") -> None:
    """Fail unless two values are the same, those that are masked aside."""
    assert type(got) is type(wanted), name
    if isinstance(wanted, dict):
        if name in UNORDERED:
            wanted, got = dict(sorted(wanted.items())), dict(sorted(got.items()))
        assert list(got) == list(wanted), name
        for key, value in wanted.items():
            compare(value, got[key], str(key))
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), name
        for one, other in zip(wanted, got, strict=True):
            compare(one, other, name)
    elif isinstance(wanted, str) and PLACE.search(wanted):
        assert PLACE.sub("", got) == PLACE.sub("", wanted), name
    elif name not in MASKED:
        assert got == wanted, name


def compare_buckets(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """Fail unless the same sessions expire in the same order; the original lists buckets that have
    become empty, too."""
    if wanted["error"] is not None:
        assert got == wanted
        return
    before, after = (
        [ids for _, ids in body.pop("expiry_time_to_session_ids").items() if ids]
        for body in (wanted, got)
    )
    assert after == before
    compare(wanted, got)


def compare_metrics(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """Fail unless the names are the recorded ones, and have values of the recorded types; ours are
    behind them, and those of namespaces and learners are those of the recorded activity."""
    for name in OURS_IN_MNTR:
        del got[name.removeprefix("zk_")]
    wanted, got = (
        {name: type(value) for name, value in body.items() if not SETS.fullmatch(f"zk_{name}")}
        for body in (wanted, got)
    )
    for name in [name for name in wanted if name.endswith("_per_namespace")]:
        del wanted[name]
    assert sorted(got) == sorted(wanted)
    assert got == wanted
    assert list(got)[:2] == list(wanted)[:2] == ["version", "server_state"]
    assert list(got)[-2:] == ["command", "error"]
    begin = list(wanted).index("watch_bytes")
    assert list(got)[begin:] == list(wanted)[begin:]


def compare_properties(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """Fail unless the properties of zoo.cfg are the recorded ones, and all others among those of a
    JVM."""
    ours, theirs = (
        {name: value for name, value in body.items() if name.startswith(("zookeeper.", "znode."))}
        for body in (got, wanted)
    )
    for name in GIVEN_OUTSIDE:
        theirs.pop(name, None)
    if "zookeeper.server.1" not in theirs:
        assert ours == theirs
    assert got.keys() - ours.keys() < wanted.keys()
    assert list(got)[:-2] == sorted(list(got)[:-2])
    assert list(got)[-2:] == ["command", "error"]


def compare_environment(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """Fail unless the names are the recorded ones; the values are this machine's."""
    assert list(got) == list(wanted)


COMPARISONS: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], None]]] = {
    "dump": compare_buckets,
    "environment": compare_environment,
    "monitor": compare_metrics,
    "system_properties": compare_properties,
}
"""Commands that need a comparison of their own."""


def compare_answers(each: Exchange, found: Answer, text: str) -> None:
    """Fail unless an answer is the recorded one."""
    assert (found.status, found.content_type) == (each.status, each.content_type)
    if each.status >= 400:
        assert "<h2>HTTP ERROR" in text or not each.body
    elif each.content_type is None:
        assert text.replace(link("shed_connections"), "") == each.body
    elif each.method != "HEAD":
        wanted, got = canonical(json.loads(each.body)), canonical(json.loads(text))
        if each.name in COMPARISONS and each.status == 200:
            COMPARISONS[each.name](wanted, got)
        else:
            compare(wanted, got)


def link(name: str) -> str:
    return f'<a href="/commands/{name}">{name}</a>\n<br/>\n'


def replay(role: str, ask: Ask) -> None:
    for each in exchanges(role):
        command = find(each.name)
        found, text = ask(each)
        if found is None:
            # Only the shell can say who may go on.
            assert command is not None
            assert command.needs_authorization
            assert each.status == 401
            continue
        try:
            compare_answers(each, found, text)
        except AssertionError as error:
            raise AssertionError(f"{each}: {error}\n{text}") from error


def test_a_server_alone_answers_as_recorded() -> None:
    replay("standalone", asker(lone()))


def test_a_member_without_quorum_answers_as_recorded() -> None:
    replay("noquorum", asker(member_without_quorum()))


@pytest.mark.parametrize("role", MEMBERS)
def test_a_member_answers_as_recorded(ensemble: ZooKeeperEnsemble, role: str) -> None:
    replay(role, asker_on_loop(ensemble, role))
