"""What the admin server tells of one server: its numbers, its clients, sessions and watches.

Pure. Each function makes the fields of one command. A list of clients, sessions or watches is made
while it is written: it names those that there were at its beginning and are still there when their
turn comes, each as it is then.

ZooKeeper: Commands, ServerCnxn.getConnectionInfo, ServerStats
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pyzk.admin.answer import SERVER_ERROR, Answer, Asked, Fields, error_page
from pyzk.admin.json_text import Entries, Rows, Value
from pyzk.int64 import MASK64, hex_digits, signed
from pyzk.persistence.filenames import VERSION_DIRECTORY
from pyzk.server import fourletter
from pyzk.server.fourletter_mntr import monitor_values
from pyzk.server.fourletter_text import socket_address

if TYPE_CHECKING:
    from pyzk.metrics import Metrics
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server

NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests"

MOST_IN_ORDER: Final = 1000
"""With more ephemerals than this those of a session are shown as they were created; fewer, in the
order of the original, which takes time to find."""

_LONG: Final = re.compile(r"[+-]?\d+")
_MOST_DIGITS: Final = 1000
"""The longest text that is read as a number; a longer one would have leading zeros."""


# -- the server


def ruok(asked: Asked) -> Fields:
    """Returns nothing: that the command is carried out is the answer."""
    return {}


def configuration(asked: Asked) -> Fields:
    """Returns what a few keys of the configuration are."""
    server = asked.peer.server
    config = server.config
    return {
        "client_port": server.host.client_address[1],
        "data_dir": f"{config.data_dir}/{VERSION_DIRECTORY}",
        "data_log_dir": f"{config.data_log_dir}/{VERSION_DIRECTORY}",
        "tick_time": config.tick_time_ms,
        "max_client_cnxns": config.max_client_cnxns,
        "min_session_timeout": config.min_session_timeout_ms,
        "max_session_timeout": config.max_session_timeout_ms,
        "server_id": server.server_id,
        "client_port_listen_backlog": config.client_port_listen_backlog,
    }


def dirs(asked: Asked) -> Fields:
    """Returns how much the directories hold, in bytes."""
    storage = asked.peer.server.host.storage_report()
    return {"datadir_size": storage.snapshot_bytes, "logdir_size": storage.log_bytes}


def last_snapshot(asked: Asked) -> Fields:
    """Returns the zxid of the newest snapshot and when it was written, in seconds."""
    storage = asked.peer.server.host.storage_report()
    return {
        "zxid": hex_digits(storage.last_snapshot_zxid),
        "timestamp": storage.last_snapshot_s,
    }


def is_read_only(asked: Asked) -> Fields:
    """Returns whether the server serves reads only, for it has no leader."""
    return {"read_only": asked.peer.server.is_read_only}


def hash_of_tree(asked: Asked) -> Fields:
    """Returns the last digests of the tree that are kept."""
    return {
        "digests": [
            {"zxid": zxid, "digest": digest, "digest_version": version}
            for zxid, version, digest in asked.peer.server.database.digest_log
        ]
    }


def monitor(asked: Asked) -> Fields | Answer:
    """Returns what ``mntr`` shows. Between two roles there is nothing, and that is an error."""
    server = asked.peer.server
    if not server.is_running:
        return error_page(SERVER_ERROR, f"{asked.url}/{asked.name}", NOT_SERVING)
    return dict(monitor_values(server, fourletter.VERSION))


def server_stats(asked: Asked) -> Fields:
    """Returns what ``srvr`` shows, and more."""
    server = asked.peer.server
    fields: Fields = {
        "version": fourletter.VERSION,
        "read_only": server.is_read_only,
        "server_stats": _statistics(server),
        "client_response": _response_sizes(server.metrics),
    }
    if server.role.mode == "leader":
        gauges = server.role.gauges()
        fields["proposal_stats"] = {
            f"{which}_buffer_size": gauges[f"{which}_proposal_size"]
            for which in ("last", "min", "max")
        }
    fields["node_count"] = server.database.tree.node_count
    return fields


def stats(asked: Asked) -> Fields:
    """Returns what ``stat`` shows: `server_stats`, and each connection in brief."""
    return server_stats(asked) | _connections(asked.peer.server, is_brief=True)


def _statistics(server: Server) -> dict[str, Value]:
    metrics = server.metrics
    latency = metrics.latency
    storage = server.host.storage_report()
    return {
        "packets_sent": metrics.packets_sent,
        "packets_received": metrics.packets_received,
        "fsync_threshold_exceed_count": metrics.fsync_threshold_exceed_count,
        "client_response_stats": _response_sizes(metrics),
        "provider_null": False,
        "server_state": server.role.mode,
        "outstanding_requests": server.outstanding,
        "min_latency": latency.min,
        "avg_latency": latency.average,
        "max_latency": latency.max,
        "data_dir_size": storage.snapshot_bytes,
        "log_dir_size": storage.log_bytes,
        "last_processed_zxid": server.database.tree.last_zxid,
        "num_alive_client_connections": len(server.connections),
        "auth_failed_count": metrics.auth_failed_count,
        "non_mtlsremote_conn_count": metrics.non_mtls_remote_conn_count,
        "non_mtlslocal_conn_count": metrics.non_mtls_local_conn_count,
        "uptime": server.clock.now_ms - server.started_ms,
    }


def _response_sizes(metrics: Metrics) -> dict[str, Value]:
    return {
        "last_buffer_size": metrics.last_client_response_size,
        "min_buffer_size": metrics.min_client_response_size,
        "max_buffer_size": metrics.max_client_response_size,
    }


# -- changes


def stat_reset(asked: Asked) -> Fields:
    """Sets the numbers of the server to what they are at its start."""
    fourletter.reset_statistics(asked.peer.server)
    return {}


def connection_stat_reset(asked: Asked) -> Fields:
    """Sets the numbers of each connection to what they are at its start."""
    for connection in asked.peer.server.connections:
        connection.stats.reset()
    return {}


def get_trace_mask(asked: Asked) -> Fields:
    """Returns the trace mask."""
    return {"tracemask": asked.peer.server.trace_mask}


def set_trace_mask(asked: Asked) -> Fields:
    """Sets the trace mask, which nothing but `get_trace_mask` and ``gtmk`` looks at."""
    text = asked.query.get("traceMask")
    if text is None:
        return {"error": "setTraceMask requires long traceMask argument"}
    mask = _long(text)
    if mask is None:
        return {"error": f"setTraceMask requires long traceMask argument, got {text}"}
    asked.peer.server.trace_mask = mask
    return {"tracemask": mask}


def _long(text: str) -> int | None:
    """Returns the number that Long.parseLong makes of a text, None if it makes none."""
    if len(text) > _MOST_DIGITS or not _LONG.fullmatch(text):
        return None
    value = int(text)
    return value if signed(value & MASK64) == value else None


# -- long lists


def connections(asked: Asked) -> Fields:
    """Returns what ``cons`` shows: each connection, with its session and its numbers."""
    return _connections(asked.peer.server, is_brief=False)


def _connections(server: Server, *, is_brief: bool) -> Fields:
    return {
        name: Rows(_each_connection(server, is_secure, is_brief))
        for name, is_secure in (("connections", False), ("secure_connections", True))
    }


def _each_connection(server: Server, is_secure: bool, is_brief: bool) -> Iterator[Value]:
    show = _brief if is_brief else _full
    for connection in list(server.connections):
        if connection.is_on_secure_port == is_secure and connection in server.connections:
            yield show(connection)


def _brief(connection: Connection) -> dict[str, Value]:
    stats = connection.stats
    return {
        "remote_socket_address": socket_address(connection.host, connection.port)[1:],
        "interest_ops": 0 if connection.is_stalled else 1,
        "outstanding_requests": connection.outstanding,
        "packets_received": stats.packets_received,
        "packets_sent": stats.packets_sent,
    }


def _full(connection: Connection) -> dict[str, Value]:
    stats = connection.stats
    return _brief(connection) | {
        "session_id": connection.session_id,
        "last_operation": stats.last_op,
        "established": stats.established_wall_ms,
        "session_timeout": connection.timeout_ms,
        "last_cxid": stats.last_cxid,
        "last_zxid": stats.last_zxid,
        "last_response_time": stats.last_response_ms,
        "last_latency": stats.last_latency_ms,
        "min_latency": max(stats.min_latency_ms, 0),
        "avg_latency": stats.average_latency_ms,
        "max_latency": stats.max_latency_ms,
    }


def dump(asked: Asked) -> Fields:
    """Returns which sessions expire when, unless that is the leader's to know, and which ephemeral
    znodes each session has."""
    server = asked.peer.server
    return {
        "expiry_time_to_session_ids": Entries(_expiring(server)),
        "session_id_to_ephemeral_paths": Entries(_ephemerals(server)),
    }


def _expiring(server: Server) -> Iterator[tuple[int, Value]]:
    if server.role.mode in fourletter.LEARNERS:
        return
    buckets = server.sessions.buckets
    for expiry_ms in sorted(buckets):
        bucket = buckets.get(expiry_ms)
        if bucket:
            yield expiry_ms, Rows(list(bucket))


def _ephemerals(server: Server) -> Iterator[tuple[int, Value]]:
    ephemerals = server.database.tree.ephemerals
    for owner in list(ephemerals):
        owned = ephemerals.get(owner)
        if owned is not None:
            yield owner, Rows(owned.in_order() if len(owned) <= MOST_IN_ORDER else list(owned))


def watches(asked: Asked) -> Fields:
    """Returns the watched paths of each session."""
    return {"session_id_to_watched_paths": Entries(_watches(asked.peer.server))}


def _watches(server: Server) -> Iterator[tuple[int, Value]]:
    watches = server.database.tree.watches
    for watcher in watches.watching():
        paths = watches.paths_of(watcher)
        if paths is not None:
            yield watcher.session_id, Rows(paths)


def watches_by_path(asked: Asked) -> Fields:
    """Returns the sessions that watch each path."""
    return {"path_to_session_ids": Entries(_watches_by_path(asked.peer.server))}


def _watches_by_path(server: Server) -> Iterator[tuple[str, Value]]:
    watches = server.database.tree.watches
    for path in watches.watched():
        watchers = watches.watchers_of(path)
        if watchers:
            yield path, Rows(watcher.session_id for watcher in watchers)


def watch_summary(asked: Asked) -> Fields:
    """Returns how many watches there are."""
    watchers, paths, total = asked.peer.server.database.tree.watches.summary()
    return {"num_connections": watchers, "num_paths": paths, "num_total_watches": total}
