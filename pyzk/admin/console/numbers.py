"""The numbers of the console: what the server is now, and what its charts are drawn from.

Pure. Counters only grow (until srst), so the page makes rates of two of them; nothing is kept here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk import __version__
from pyzk.admin.console import Json, View
from pyzk.admin.console.listing import PIECE, Work
from pyzk.config.members import bracketed
from pyzk.int64 import hex_id

if TYPE_CHECKING:
    from pyzk.quorum.peer import Peer
    from pyzk.server.server import Server
    from pyzk.summaries import PercentileSummary, Summary

_COUNTERS: Final = (
    "packets_received",
    "packets_sent",
    "bytes_received_count",
    "response_bytes",
    "proposal_count",
    "commit_count",
    "connection_rejected",
    "stale_sessions_expired",
    "snap_count",
    "looking_count",
    "auth_failed_count",
    "outstanding_changes_queued",
)
"""The counters that the page shows, by the names of `Metrics`."""
_SUMMARIES: Final = ("latency", "fsynctime", "snapshottime", "election_time")
_PERCENTILES: Final = ("readlatency", "updatelatency", "proposal_latency", "quorum_ack_latency")
_QUANTILES: Final = (0.5, 0.99)


def server_view(peer: Peer) -> View:
    """Return what the server is and where it stands."""
    server = peer.server
    status = peer.status()
    host = server.host
    return {
        "version": __version__,
        "sid": server.server_id if server.config.ensemble is not None else None,
        "mode": status.mode,
        "role": status.role,
        "leader": status.leader_sid,
        "running": status.is_running,
        "serving": server.is_serving,
        "readOnly": server.is_read_only,
        "zxid": hex_id(status.last_zxid),
        "uptimeMs": server.clock.now_ms - server.started_ms,
        "clientAddress": f"{bracketed(host.client_address[0])}:{host.client_address[1]}",
        "secureClientPort": host.secure_client_port,
        "tickTimeMs": server.config.tick_time_ms,
    }


def numbers_view(server: Server) -> Work[View]:
    """Return the counters, summaries and gauges."""
    metrics = server.metrics
    tree = server.tree
    ephemerals = 0
    owned = list(tree.ephemerals.values())
    for begin in range(0, len(owned), PIECE):
        ephemerals += sum(map(len, owned[begin : begin + PIECE]))
        yield
    counters: View = {name: getattr(metrics, name) for name in _COUNTERS}
    summaries: View = {name: _summary(getattr(metrics, name)) for name in _SUMMARIES}
    for name in _PERCENTILES:
        summaries[name] = _with_percentiles(getattr(metrics, name))
        yield
    return {
        "counters": counters,
        "summaries": summaries,
        "gauges": {
            "connections": len(server.connections),
            "secureConnections": server.secure_count,
            "sessions": len(server.database.sessions),
            "outstanding": server.outstanding,
            "znodes": tree.node_count,
            "ephemerals": ephemerals,
            "watches": tree.watches.watch_count,
            "dataBytes": tree.data_size,
        },
    }


def _summary(summary: Summary) -> dict[str, Json]:
    return {
        "count": summary.count,
        "sum": summary.sum,
        "min": summary.min,
        "max": summary.max,
        "average": summary.average,
    }


def _with_percentiles(summary: PercentileSummary) -> View:
    middle, high = summary.percentiles(*_QUANTILES)
    return _summary(summary) | {"p50": middle, "p99": high}
