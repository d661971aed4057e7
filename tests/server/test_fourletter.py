"""Four-letter words against recorded answers of Apache ZooKeeper (tests/golden/fourletter)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final, cast

import pytest

from conformance.known_differences import OURS_IN_MNTR
from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import CONTAINER_OWNER, OpCode
from pyzk.data.database import Database
from pyzk.data.node import DataNode
from pyzk.data.tree import DataTree
from pyzk.data.watches import WatchEvent
from pyzk.four_letter_words import FOUR_LETTER_WORDS
from pyzk.metrics import Metrics
from pyzk.persistence.report import StorageReport
from pyzk.server import fourletter
from pyzk.server.connection import OPEN, Connection
from pyzk.server.connection_stats import ConnectionStats
from pyzk.server.fourletter_text import java_date, java_double, socket_address
from pyzk.server.frequent import Tops
from pyzk.server.host import Host
from pyzk.server.server import Server
from pyzk.server.sessions import Session, SessionTracker
from pyzk.server.throttle import ConnectionThrottle

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "fourletter"
WORDS: Final = tuple(FOUR_LETTER_WORDS)
THEIR_VERSION: Final = (
    "3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC"
)
NOT_SERVING: Final = b"This ZooKeeper instance is not currently serving requests"

NOW_MS: Final = 79_000
# Monotonic 100 s is 14:14:04 on the day of the recording.
OFFSET_MS: Final = 1_795_443_244_000 - 100_000


class FakeRole:
    def __init__(self, mode: str = "standalone") -> None:
        self.mode = mode
        self.shown: dict[str, int] = {}

    def gauges(self) -> dict[str, int]:
        return self.shown


class FakeConnection:
    def __init__(self, clock: Clock, port: int, session: Session | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.is_stalled = False
        self.state = OPEN
        self.is_on_secure_port = False
        self.outstanding = 0
        self.session = session
        self.session_id = 0 if session is None else session.session_id
        self.timeout_ms = 0 if session is None else session.timeout_ms
        self.stats = ConnectionStats(clock)

    def deliver(self, event: WatchEvent) -> None:
        raise AssertionError("no event in these tests")


class FakeServer:
    def __init__(self, whitelist: tuple[str, ...] = WORDS, *, mode: str = "standalone") -> None:
        self.clock = Clock(NOW_MS, NOW_MS + OFFSET_MS)
        self.config = ServerConfig(
            data_dir="/var/lib/zookeeper",
            tick_time_ms=2000,
            max_client_cnxns=0,
            four_letter_whitelist=whitelist,
        )
        self.metrics = Metrics()
        self.database = Database(DataTree())
        self.sessions = SessionTracker(2000, 1)
        self.connections: list[FakeConnection] = []
        self.throttle = ConnectionThrottle(self.config, self.clock, Random(0))
        self.role = FakeRole(mode)
        self.is_serving = self.is_running = True
        self.has_local_sessions = False
        self.tops = Tops(0, 0)
        self.server_id = 0
        self.host = Host(
            ("0.0.0.0", 28526),
            lambda: StorageReport(67109358, 67109358),
            lambda: (69, 20000),
            lambda: self.shown_environment,
        )
        self.started_ms = NOW_MS - 4468
        self.outstanding = 0
        self.trace_mask = 306
        self.shown_environment: Mapping[str, str] = {"host.name": "localhost", "user.name": "zk"}

    def connect(self, port: int, session: Session | None = None) -> FakeConnection:
        connection = FakeConnection(self.clock, port, session)
        self.connections.append(connection)
        return connection

    def ask(self, word: str, argument: bytes = b"", asking: FakeConnection | None = None) -> str:
        connection = cast(Connection | None, asking)
        return b"".join(
            fourletter.answer(self.as_server, word.encode(), argument, connection)
        ).decode()

    @property
    def as_server(self) -> Server:
        """This fake, which has what the words read of a server."""
        return cast(Server, self)


def golden(name: str) -> str:
    text = (GOLDEN / f"{name}.txt").read_text()
    return text.replace(THEIR_VERSION, fourletter.VERSION)


def without_empty_buckets(text: str) -> str:
    """The original lists buckets that became empty, and counts them."""
    text = re.sub(r"Session Sets \(\d+\)", "Session Sets (2)", text)
    return re.sub(r"(?m)^0 expire at .*\n", "", text)


def add_node(tree: DataTree, path: str, data: bytes = b"", owner: int = 0) -> None:
    tree.load_node(path, DataNode(data, -1, ephemeral_owner=owner))


@pytest.fixture
def server() -> FakeServer:
    """The state of the recorded standalone server; numbers in its tests are the recorded ones."""
    server = FakeServer()
    tree = server.database.tree
    first, second = 0x100004EF9F70000, 0x100004EF9F70001
    add_node(tree, "/a")
    add_node(tree, "/a/b")
    add_node(tree, "/cont", owner=CONTAINER_OWNER)
    add_node(tree, "/q", b"123")
    add_node(tree, "/q/x", b"45")
    add_node(tree, "/zookeeper/quota/q")
    add_node(tree, "/zookeeper/quota/q/zookeeper_limits", b"count=10,bytes=200")
    add_node(tree, "/zookeeper/quota/q/zookeeper_stats")
    add_node(tree, "/eph2", owner=second)
    add_node(tree, "/a/seq-0000000001", owner=second)
    add_node(tree, "/eph1", owner=first)
    tree.quota.load(tree.nodes)
    tree.last_zxid = 0x12
    server.database.sessions.update({first: 20000, second: 30000})
    one = server.connect(37988, server.sessions.add(first, 20000, NOW_MS))
    two = server.connect(38002, server.sessions.add(second, 30000, NOW_MS))
    watches = tree.watches
    watches.add_data("/a", one)
    watches.add_data("/a", two)
    watches.add_data("/missing", two)
    watches.add_data("/a/b", one)
    watches.add_child("/a", one)
    one.stats.packets_received = one.stats.packets_sent = 14
    two.stats.packets_received, two.stats.packets_sent = 7, 8
    one.stats.established_wall_ms, two.stats.established_wall_ms = 1795443222523, 1795443222639
    latency = server.metrics.latency
    latency.count, latency.sum, latency.max = 24, 386, 91
    return server


def test_the_words_of_the_list_are_known_and_nothing_else() -> None:
    assert {word.decode() for word in fourletter.COMMANDS} == set(WORDS)
    for word in WORDS:
        assert fourletter.is_word(word.encode())
    assert fourletter.is_word(fourletter.TELNET_CLOSE)
    for other in (b"RUOK", b"abcd", b"kill", b"lead", b"\0\0\0-", b"ruo", b""):
        assert not fourletter.is_word(other)


@pytest.mark.parametrize("word", WORDS)
def test_only_words_of_the_whitelist_are_executed(word: str) -> None:
    server = FakeServer(("srvr",))
    if word == "srvr":
        assert server.ask(word).startswith("Zookeeper version: 3.9.3-")
    else:
        refused = f"{word} is not executed because it is not in the whitelist.\n"
        assert server.ask(word) == refused
    assert fourletter.needs(server.as_server, word.encode()) == 0


def test_telnets_interrupt_gets_no_answer() -> None:
    assert (
        list(fourletter.answer(FakeServer(()).as_server, fourletter.TELNET_CLOSE, b"", None)) == []
    )


@pytest.mark.parametrize("word", WORDS)
def test_a_server_that_does_not_serve_says_so(word: str) -> None:
    server = FakeServer()
    server.is_serving = False
    answer = b"".join(fourletter.answer(server.as_server, word.encode(), bytes(8), None))
    expected = {
        "ruok": b"imok",
        "isro": b"null",
        "gtmk": b"306",
        "stmk": b"0",
        "hash": NOT_SERVING,
    }.get(word, NOT_SERVING + b"\n")
    if word == "envi":
        assert answer.startswith(b"Environment:\n")
    else:
        assert answer == expected


def test_simple_answers(server: FakeServer) -> None:
    assert server.ask("ruok") == golden("standalone/ruok")
    assert server.ask("isro") == golden("standalone/isro")
    assert server.ask("hash") == golden("standalone/hash") == ""
    assert server.ask("dirs") == golden("standalone/dirs")
    assert server.ask("conf") == golden("standalone/conf")


def test_trace_mask() -> None:
    server = FakeServer()
    assert server.ask("gtmk") == golden("standalone/gtmk-before-stmk")
    assert fourletter.needs(server.as_server, b"stmk") == 8
    assert fourletter.needs(server.as_server, b"gtmk") == 0
    assert server.ask("stmk", (0x42).to_bytes(8)) == golden("standalone/stmk-0x42")
    assert server.ask("gtmk") == golden("standalone/gtmk-after-stmk")
    assert server.ask("stmk", b"\xff" * 8) == "-1"
    assert server.ask("stmk", b"1234567") == ""
    assert server.trace_mask == -1


def test_srvr(server: FakeServer) -> None:
    server.connect(38100)
    server.metrics.packets_received, server.metrics.packets_sent = 52, 54
    assert server.ask("srvr") == golden("standalone/srvr")
    assert server.ask("srst") == golden("standalone/srst")
    server.metrics.packets_received = server.metrics.packets_sent = 1
    assert server.ask("srvr") == golden("standalone/srvr-after-srst")


def test_stat_and_crst(server: FakeServer) -> None:
    asking = server.connect(38132)
    asking.stats.received(1)
    server.metrics.packets_received, server.metrics.packets_sent = 53, 55
    assert server.ask("stat", asking=asking) == golden("standalone/stat")
    server.metrics.reset()
    assert server.ask("crst") == golden("standalone/crst")
    asking.port = 38228
    asking.stats.received(1)
    server.metrics.packets_received = server.metrics.packets_sent = 2
    assert server.ask("stat", asking=asking) == golden("standalone/stat-after-crst")


def test_cons(server: FakeServer) -> None:
    one, two = server.connections
    asking = server.connect(38024)
    server.connections[1:] = [asking, two]
    asking.stats.received(1)
    for connection, numbers in (
        (one, (OpCode.CREATE, 0xD, 0x12, 5179526, 52, 0, 91, 14, 14 * 23)),
        (two, (OpCode.ADD_WATCH, 0x6, 0x9, 5178533, 1, 0, 31, 7, 7 * 6)),
    ):
        stats = connection.stats
        (
            stats.last_opcode,
            stats.last_cxid,
            stats.last_zxid,
            stats.last_response_ms,
            stats.last_latency_ms,
            stats.min_latency_ms,
            stats.max_latency_ms,
            stats.average_count,
            stats.average_sum,
        ) = numbers
    assert server.ask("cons", asking=asking) == golden("standalone/cons")
    server.ask("crst")
    server.connections[:] = [asking, one, two]
    asking.port = 38232
    asking.stats.received(1)
    assert server.ask("cons", asking=asking) == golden("standalone/cons-after-crst")


def test_a_stalled_connection_shows_no_interest(server: FakeServer) -> None:
    server.connections[0].is_stalled = True
    server.connections[0].outstanding = 3
    assert " /127.0.0.1:37988[0](queued=3," in server.ask("stat")
    assert " /127.0.0.1:38002[1](queued=0," in server.ask("stat")


def test_dump(server: FakeServer) -> None:
    server.connect(38052)
    theirs = golden("standalone/dump")
    assert server.ask("dump") == without_empty_buckets(theirs)


def test_dump_lists_buckets_of_the_same_second_apart() -> None:
    server = FakeServer()
    server.sessions = SessionTracker(100, 1)
    server.sessions.add(1, 200, 0)
    server.sessions.add(2, 300, 0)
    assert "Session Sets (2)/(2):\n1 expire" in server.ask("dump")
    assert server.ask("dump").count("\t0x") == 2


def test_watches(server: FakeServer) -> None:
    for word in ("wchs", "wchc", "wchp"):
        assert server.ask(word) == golden(f"standalone/{word}")


def test_an_empty_server() -> None:
    server = FakeServer()
    for word in ("wchs", "wchc", "wchp", "hash"):
        assert server.ask(word) == golden(f"fresh/{word}")
    asking = server.connect(37864)
    asking.stats.received(1)
    assert server.ask("cons", asking=asking) == golden("fresh/cons")
    asking.port = 37884
    assert server.ask("dump") == golden("fresh/dump")
    asking.port = 37956
    server.metrics.packets_received = server.metrics.packets_sent = 14
    assert server.ask("stat", asking=asking) == golden("fresh/stat")


def test_read_only_mode() -> None:
    server = FakeServer(mode="read-only")
    assert server.ask("isro") == "ro"
    line = "READ-ONLY mode; serving only read-only clients"
    assert server.ask("srvr").splitlines()[1] == line
    assert server.ask("stat").splitlines()[1:3] == [line, "Clients:"]
    assert "Mode: read-only\n" in server.ask("srvr")


def test_hash_lists_the_digest_log() -> None:
    server = FakeServer()
    server.database.digest_log.append((0x80, 2, 161119193725))
    server.database.digest_log.append((0x100, 2, 283411367185))
    assert server.ask("hash") == "80: 161119193725\n100: 283411367185\n"


def test_envi_has_the_names_that_tools_look_for() -> None:
    lines = FakeServer().ask("envi").splitlines()
    assert lines[0] == "Environment:"
    assert [line.partition("=")[0] for line in lines[1:]] == list(fourletter.ENVIRONMENT_KEYS)
    assert f"zookeeper.version={fourletter.VERSION}" in lines
    assert "host.name=localhost" in lines
    assert "java.compiler=<NA>" in lines


def test_the_version_is_readable_for_tools() -> None:
    pattern = r"3\.9\.3-pyzk-\d+\.\d+\.\d+\S*, built on \d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(pattern, fourletter.VERSION)


def parse_mntr(text: str) -> dict[str, str]:
    lines = [line.split("\t") for line in text.splitlines()]
    assert all(len(line) == 2 for line in lines)
    return {name: value for name, value in lines}  # noqa: C416


def test_mntr_of_an_empty_server_has_every_name_in_order() -> None:
    server = FakeServer()
    server.connect(1)
    ours, theirs = parse_mntr(server.ask("mntr")), parse_mntr(golden("fresh/mntr"))
    assert list(ours) == [*theirs, *OURS_IN_MNTR]
    for name, value in theirs.items():
        assert ("." in ours[name]) == ("." in value), name


def test_mntr_after_activity(server: FakeServer) -> None:
    server.connect(1)
    metrics = server.metrics
    metrics.packets_received = metrics.packets_sent = 50
    for size in (16, 93, 24):
        metrics.count_response(size)
    for path, size in (("/a", 3), ("/a/b", 100), ("/a", 7), ("/a/seq", 8)):
        metrics.written.add(path, size)
    for path in ("/q", "/zookeeper/q", "/eph3", "/eph2", "/eph1", "/cont"):
        metrics.written.add(path, 0)
    for value in [0] * 8 + [7] * 9 + [91]:
        metrics.updatelatency.add(value)
    ours, theirs = parse_mntr(server.ask("mntr")), parse_mntr(golden("standalone/mntr"))
    theirs = {name: theirs[name] for name in theirs if not name.endswith("_read_per_namespace")}
    assert list(ours) == [*theirs, *OURS_IN_MNTR]
    end = list(theirs).index("zk_watch_bytes")
    differ = {name for name in list(theirs)[:end] if ours[name] != theirs[name]}
    assert differ == {"zk_approximate_data_size"}, "names of the recorded znodes differ"
    for name in ("zk_cnt_a_write_per_namespace", "zk_p50_updatelatency", "zk_p99_updatelatency"):
        assert ours[name] == theirs[name]


def test_mntr_names_namespaces_over_their_quota(server: FakeServer) -> None:
    server.database.tree.quota.violations["q"] = 3
    assert "zk_q_quota_exceeded_error_per_namespace\t3\n" in server.ask("mntr")
    server.ask("srst")
    assert "quota_exceeded_error" not in server.ask("mntr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (1, "1.0"),
        (16.0833, "16.0833"),
        (0.001, "0.001"),
        (0.0005, "5.0E-4"),
        (0.00012, "1.2E-4"),
        (0.00001234, "1.234E-5"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.5, "1.23456785E7"),
        (1e23, "1.0E23"),
        (1.5e300, "1.5E300"),
        (-2.5, "-2.5"),
        (-0.0002, "-2.0E-4"),
        (-2e7, "-2.0E7"),
    ],
)
def test_doubles_as_java_prints_them(value: float, text: str) -> None:
    assert java_double(value) == text


def test_dates_ids_and_addresses_as_java_prints_them() -> None:
    assert java_date(0) == "Thu Jan 01 00:00:00 UTC 1970"
    assert java_date(1_706_706_309_999) == "Wed Jan 31 13:05:09 UTC 2024"
    assert socket_address("127.0.0.1", 4711) == "/127.0.0.1:4711"
    assert socket_address("::1", 4711) == "/[0:0:0:0:0:0:0:1]:4711"
