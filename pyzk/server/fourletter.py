"""The four-letter words: questions an operator types into the client port.

Pure. Answers to FourLetterCommands and its commands; texts, line by line, are those of ZooKeeper
3.9.3. A word is the first four bytes of a connection, without a newline; the answer is followed by
the end of the connection. The caller counts the word as a received packet before it asks for the
answer and the answer as a sent one afterwards, as the original does.

A long answer (cons, dump, stat, wchc, wchp) is an iterator of pieces, which the connection drains
as its client reads, other clients being served in between. It shows what there was when it began,
each thing as it is when its turn comes: who has gone meanwhile is left out, who has come is not
shown. The numbers in its headings are those of its beginning. Nothing holds a change up; the
original holds up all that would change watches while it lists them.

Known differences, all visible in ``dump`` alone: buckets that have become empty are not listed, and
dates are in UTC whatever the time zone of the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from pyzk import __version__
from pyzk.four_letter_words import FOUR_LETTER_WORDS
from pyzk.int64 import hex_id
from pyzk.jute.archive import LONG_BYTES
from pyzk.jute.packing import unpack_long
from pyzk.server.fourletter_mntr import committed_configuration, monitor_lines
from pyzk.server.fourletter_text import java_date, java_double, socket_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyzk.server.connection import Connection
    from pyzk.server.server import Server

VERSION: Final = f"3.9.3-pyzk-{__version__}, built on 2026-11-25 00:00 UTC"
"""The version of the protocol, what this is, and the day of the release; tools parse this form."""

ENVIRONMENT_KEYS: Final = (
    "zookeeper.version",
    "host.name",
    "java.version",
    "java.vendor",
    "java.home",
    "java.class.path",
    "java.library.path",
    "java.io.tmpdir",
    "java.compiler",
    "os.name",
    "os.arch",
    "os.version",
    "user.name",
    "user.home",
    "user.dir",
    "os.memory.free",
    "os.memory.max",
    "os.memory.total",
)
"""What envi prints, in its order; tools look for these names."""

TELNET_CLOSE: Final = b"\xff\xf4\xff\xfd"
"""Ctrl-C typed into telnet: a request to close, without answer."""

LEARNERS: Final = ("follower", "observer", "read-only")
"""The modes in which somebody else expires sessions, or nobody does."""

LINES_PER_PIECE: Final = 200
"""The lines of a piece of a long answer: well under a millisecond, during which no other client is
served."""
CHARS_PER_PIECE: Final = 1 << 15
"""The characters of a piece of a long answer, but one line at least: a path may have as many as
jute.maxbuffer allows."""

_Member = TypeVar("_Member")
_NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests"


def is_word(first4: bytes) -> bool:
    """Return whether the first four bytes of a connection are a word and not a frame's length."""
    return first4 in COMMANDS or first4 == TELNET_CLOSE


def is_allowed(server: Server, word: bytes) -> bool:
    """Return whether the whitelist has the word."""
    return word.decode("ascii", "replace") in server.config.four_letter_whitelist


def needs(server: Server, word: bytes) -> int:
    """Return how many bytes behind the word belong to it: 8 for an allowed stmk."""
    return LONG_BYTES if word == b"stmk" and is_allowed(server, word) else 0


def answer(
    server: Server, word: bytes, argument: bytes, asking: Connection | None
) -> Iterator[bytes]:
    """Yield the answer to a word in pieces; the connection is to be closed after the last.

    ``asking`` is the connection the word came on, ``argument`` what followed the word (for stmk).
    """
    text = _text(server, word, argument, asking)
    if isinstance(text, str):
        if text:
            yield text.encode("utf-8", "replace")
        return
    lines: list[str] = []
    size = 0
    for line in text:
        lines.append(line)
        size += len(line)
        if len(lines) >= LINES_PER_PIECE or size >= CHARS_PER_PIECE:
            yield "".join(lines).encode("utf-8", "replace")
            lines.clear()
            size = 0
    if lines:
        yield "".join(lines).encode("utf-8", "replace")


def _text(
    server: Server, word: bytes, argument: bytes, asking: Connection | None
) -> str | Iterator[str]:
    if word == TELNET_CLOSE:
        return ""
    if not is_allowed(server, word):
        name = word.decode("ascii")
        return f"{name} is not executed because it is not in the whitelist.\n"
    if word == b"stmk":
        return _set_trace_mask(server, argument)
    if not server.is_serving and FOUR_LETTER_WORDS[word.decode("ascii")].needs_serving:
        return _NOT_SERVING if word == b"hash" else _NOT_SERVING + "\n"
    return COMMANDS[word](server, asking)


def _set_trace_mask(server: Server, argument: bytes) -> str:
    if len(argument) < LONG_BYTES:
        return ""
    (server.trace_mask,) = unpack_long(argument)
    return str(server.trace_mask)


# -- the commands; each returns its whole text, or its lines


def _ruok(server: Server, asking: Connection | None) -> str:
    return "imok"


def _isro(server: Server, asking: Connection | None) -> str:
    if not server.is_serving:
        return "null"
    return "ro" if _is_read_only(server) else "rw"


def _gtmk(server: Server, asking: Connection | None) -> str:
    return str(server.trace_mask)


def _envi(server: Server, asking: Connection | None) -> str:
    values = {**server.host.environment(), "zookeeper.version": VERSION}
    return "Environment:\n" + _lines(f"{key}={values.get(key, '<NA>')}" for key in ENVIRONMENT_KEYS)


def _conf(server: Server, asking: Connection | None) -> str:
    config = server.config
    storage = server.host.storage_report()
    values = {
        "clientPort": server.host.client_address[1],
        "secureClientPort": server.host.secure_client_port,
        "dataDir": f"{config.data_dir}/version-2",
        "dataDirSize": storage.snapshot_bytes,
        "dataLogDir": f"{config.data_log_dir}/version-2",
        "dataLogSize": storage.log_bytes,
        "tickTime": config.tick_time_ms,
        "maxClientCnxns": config.max_client_cnxns,
        "minSessionTimeout": config.min_session_timeout_ms,
        "maxSessionTimeout": config.max_session_timeout_ms,
        "clientPortListenBacklog": config.client_port_listen_backlog,
        "serverId": server.server_id,
    }
    ensemble = config.ensemble
    if ensemble is None:
        return _lines(f"{key}={value}" for key, value in values.items())
    configuration = committed_configuration(server)
    me = ensemble.present(configuration).member(ensemble.my_sid) or ensemble.me
    address = me.addresses[0]
    values |= {
        "initLimit": ensemble.init_limit_ticks,
        "syncLimit": ensemble.sync_limit_ticks,
        "electionAlg": 3,
        "electionPort": address.election_port,
        "quorumPort": address.quorum_port,
        "peerType": int(me.is_observer),
    }
    text = _lines(f"{key}={value}" for key, value in values.items())
    if _is_read_only(server):
        return text
    # Its last line has no end, there as here.
    return text + "membership: \n" + configuration.decode("utf-8", "replace")


def _dirs(server: Server, asking: Connection | None) -> str:
    storage = server.host.storage_report()
    return f"datadir_size: {storage.snapshot_bytes}\nlogdir_size: {storage.log_bytes}\n"


def _srvr(server: Server, asking: Connection | None) -> str:
    return _version(server) + _statistics(server)


def _stat(server: Server, asking: Connection | None) -> Iterator[str]:
    yield f"{_version(server)}Clients:\n"
    for connection in _still_open(server, asking):
        yield f"{_brief(connection, asking)})\n"
    yield f"\n{_statistics(server)}"


def _cons(server: Server, asking: Connection | None) -> Iterator[str]:
    for connection in _still_open(server, asking):
        yield f"{_full(connection, asking)}\n"
    yield "\n"


def _still_open(server: Server, asking: Connection | None) -> Iterator[Connection]:
    """Yield those connections of now that are still open when their turn comes."""
    for connection in _neighbours(server, asking):
        if connection in server.connections:
            yield connection


def _neighbours(server: Server, asking: Connection | None) -> list[Connection]:
    """Return the connections of the port where the word has come: those of the other one are not
    shown there, as in the original."""
    if asking is None:
        return list(server.connections)
    port = asking.is_on_secure_port
    return [each for each in server.connections if each.is_on_secure_port == port]


def _crst(server: Server, asking: Connection | None) -> str:
    for connection in _neighbours(server, asking):
        connection.stats.reset()
    return "Connection stats reset.\n"


def _srst(server: Server, asking: Connection | None) -> str:
    reset_statistics(server)
    return "Server stats reset.\n"


def reset_statistics(server: Server) -> None:
    """Set the numbers of a server to what they are at its start."""
    if server.config.is_told_to_prometheus:
        server.metrics.reset_statistics()  # its counters never go back
    else:
        server.metrics.reset()
        server.database.tree.quota.violations.clear()


def _mntr(server: Server, asking: Connection | None) -> str:
    return _lines(f"zk_{name}\t{value}" for name, value in monitor_lines(server, VERSION))


def _hash(server: Server, asking: Connection | None) -> str:
    return _lines(f"{zxid:x}: {digest}" for zxid, _, digest in server.database.digest_log)


def _wchs(server: Server, asking: Connection | None) -> str:
    watchers, paths, total = server.database.tree.watches.summary()
    return f"{watchers} connections watching {paths} paths\nTotal watches:{total}\n"


def _wchc(server: Server, asking: Connection | None) -> Iterator[str]:
    watches = server.database.tree.watches
    for watcher in watches.watching():
        paths = watches.paths_of(watcher)
        if paths is not None:
            yield f"{hex_id(watcher.session_id)}\n"
            yield from _members(paths)
    yield "\n"


def _wchp(server: Server, asking: Connection | None) -> Iterator[str]:
    watches = server.database.tree.watches
    for path in watches.watched():
        watchers = watches.watchers_of(path)
        if watchers:
            yield f"{path}\n"
            yield from _members(hex_id(watcher.session_id) for watcher in watchers)
    yield "\n"


def _dump(server: Server, asking: Connection | None) -> Iterator[str]:
    yield "SessionTracker dump:\n"
    yield from _sessions(server)
    yield "ephemeral nodes dump:\n"
    ephemerals = server.database.tree.ephemerals
    owners = list(ephemerals)
    yield f"Sessions with Ephemerals ({len(owners)}):\n"
    for owner in owners:
        owned = ephemerals.get(owner)
        if owned is not None:
            yield f"{hex_id(owner)}:\n"
            yield from _members(owned.in_order())
    yield "Connections dump:\n"
    yield from _expiry_sets("Connections", _connection_buckets(server), server, _ip_and_session)


def _sessions(server: Server) -> Iterator[str]:
    """Yield when sessions expire.

    A learner leaves the global ones to its leader, and knows their timeouts. Local ones every
    member expires by itself.
    """
    if server.has_local_sessions:
        yield "Local "
        yield from _session_sets(server, is_local=True)
    if server.role.mode in LEARNERS:
        sessions = sorted(server.database.sessions.items())
        yield f"Global Sessions({len(sessions)}):\n"
        for session_id, timeout_ms in sessions:
            yield f"{hex_id(session_id)}\t{timeout_ms}ms\n"
        return
    if server.has_local_sessions:
        yield "Global "
    yield from _session_sets(server, is_local=False)


def _session_sets(server: Server, is_local: bool) -> Iterator[str]:
    buckets: dict[int, list[int]] = {}
    for expiry_ms, bucket in server.sessions.buckets.items():
        found = [each.session_id for each in bucket.values() if each.is_local == is_local]
        if found:
            buckets[expiry_ms] = found
    return _expiry_sets("Session", buckets, server, hex_id)


COMMANDS: Final[dict[bytes, Callable[[Server, Connection | None], str | Iterator[str]]]] = {
    b"conf": _conf,
    b"cons": _cons,
    b"crst": _crst,
    b"dirs": _dirs,
    b"dump": _dump,
    b"envi": _envi,
    b"gtmk": _gtmk,
    b"hash": _hash,
    b"isro": _isro,
    b"mntr": _mntr,
    b"ruok": _ruok,
    b"srst": _srst,
    b"srvr": _srvr,
    b"stat": _stat,
    b"stmk": _gtmk,  # set first, by answer()
    b"wchc": _wchc,
    b"wchp": _wchp,
    b"wchs": _wchs,
}
"""What each word of FOUR_LETTER_WORDS answers."""


# -- parts of several commands


def _is_read_only(server: Server) -> bool:
    return server.role.mode == "read-only"


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _members(members: Iterable[str]) -> Iterator[str]:
    """Yield the lines below a heading."""
    for member in members:
        yield f"\t{member}\n"


def _version(server: Server) -> str:
    text = f"Zookeeper version: {VERSION}\n"
    if _is_read_only(server):
        text += "READ-ONLY mode; serving only read-only clients\n"
    return text


def _statistics(server: Server) -> str:
    metrics = server.metrics
    latency = metrics.latency
    tree = server.database.tree
    return (
        f"Latency min/avg/max: {latency.min}/{java_double(latency.average)}/{latency.max}\n"
        f"Received: {metrics.packets_received}\n"
        f"Sent: {metrics.packets_sent}\n"
        f"Connections: {len(server.connections)}\n"
        f"Outstanding: {server.outstanding}\n"
        f"Zxid: {hex_id(tree.last_zxid)}\n"
        f"Mode: {server.role.mode}\n"
        f"Node count: {tree.node_count}\n"
        f"{_proposal_sizes(server)}"
    )


def _proposal_sizes(server: Server) -> str:
    if server.role.mode != "leader":
        return ""
    gauges = server.role.gauges()
    last, least, most = (gauges[f"{which}_proposal_size"] for which in ("last", "min", "max"))
    return f"Proposal sizes last/min/max: {last}/{least}/{most}\n"


def _address(connection: Connection) -> str:
    return socket_address(connection.host, connection.port)


def _brief(connection: Connection, asking: Connection | None) -> str:
    """Return a connection in brief, without the closing bracket.

    The interest is 1 while it is read from, 0 if it is stalled or asks this very word.
    """
    interest = 0 if connection is asking or connection.is_stalled else 1
    stats = connection.stats
    return (
        f" {_address(connection)}[{interest}](queued={connection.outstanding},"
        f"recved={stats.packets_received},sent={stats.packets_sent}"
    )


def _full(connection: Connection, asking: Connection | None) -> str:
    text = _brief(connection, asking)
    if connection.session_id:
        stats = connection.stats
        text += (
            f",sid={hex_id(connection.session_id)},lop={stats.last_op}"
            f",est={stats.established_wall_ms},to={connection.timeout_ms}"
        )
        if stats.last_cxid >= 0:
            text += f",lcxid={hex_id(stats.last_cxid)}"
        text += (
            f",lzxid={hex_id(stats.last_zxid)},lresp={stats.last_response_ms}"
            f",llat={stats.last_latency_ms},minlat={max(stats.min_latency_ms, 0)}"
            f",avglat={stats.average_latency_ms},maxlat={stats.max_latency_ms}"
        )
    return text + ")"


def _connection_buckets(server: Server) -> dict[int, list[Connection]]:
    """Return the connections by the time at which they are closed if they stay silent: with their
    session or, before the handshake, when their time for that is over."""
    clock = server.clock
    interval = server.config.sessionless_cnxn_timeout_ms
    tick = server.config.tick_time_ms
    buckets: dict[int, list[Connection]] = {}
    for connection in server.connections:
        if connection.session is not None:
            expiry_ms = connection.session.bucket_ms
        else:
            age_ms = clock.wall_ms - connection.stats.established_wall_ms
            expiry_ms = ((clock.now_ms - age_ms + interval) // tick + 1) * tick
        buckets.setdefault(expiry_ms, []).append(connection)
    return buckets


def _ip_and_session(connection: Connection) -> str:
    return f"ip: {_address(connection)} sessionId: {hex_id(connection.session_id)}"


def _expiry_sets(
    name: str, buckets: dict[int, list[_Member]], server: Server, show: Callable[[_Member], str]
) -> Iterator[str]:
    total = sum(map(len, buckets.values()))
    offset_ms = server.clock.wall_ms - server.clock.now_ms
    yield f"{name} Sets ({len(buckets)})/({total}):\n"
    for expiry_ms, members in sorted(buckets.items()):
        yield f"{len(members)} expire at {java_date(expiry_ms + offset_ms)}:\n"
        yield from _members(map(show, members))
