"""The configurations that a run's options stand for.

Pure.
"""

from __future__ import annotations

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, QuorumServer, ServerAddress
from pyzk.config.server import ServerConfig
from pyzk.sim.options import Options


def membership(options: Options) -> Membership:
    """Return the members of the ensemble: voters first, then observers; host h3 is server 3."""
    members = tuple(
        QuorumServer(
            sid, (ServerAddress(f"h{sid}", 2888, 3888),), sid > options.voters, client_port=2181
        )
        for sid in range(1, options.members + 1)
    )
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(options.groups):
        groups.setdefault(group, []).append(index + 1)
    weights = enumerate(options.weights)
    return Membership(
        members,
        0,
        tuple((group, tuple(sids)) for group, sids in sorted(groups.items())),
        tuple((index + 1, weight) for index, weight in weights),
    )


def ensemble_config(options: Options, sid: int) -> EnsembleConfig:
    """Return the configuration of server ``sid`` as a member."""
    return EnsembleConfig(
        my_sid=sid,
        membership=membership(options),
        is_observer=sid > options.voters,
        client_port=2181,
        tick_time_ms=options.tick_ms,
        init_limit_ticks=options.init_limit,
        sync_limit_ticks=options.sync_limit,
        sync_enabled=options.sync_enabled,
        leader_serves=options.leader_serves,
        cnx_timeout_ms=1000,
        finalize_wait_ms=options.finalize_wait_ms,
        max_notification_ms=options.max_notification_ms,
        snapshot_size_factor=options.snapshot_size_factor,
        force_snapshot_sync=options.force_snapshot_sync,
    )


def server_config(options: Options) -> ServerConfig:
    """Return the configuration of a server, the same for all."""
    return ServerConfig(
        data_dir="/sim",
        tick_time_ms=options.tick_ms,
        snap_count=options.snap_count,
        commit_log_count=options.commit_log_count,
        digest_enabled=options.digest_enabled,
        snapshot_compression=options.compression,
        local_sessions_enabled=options.local_sessions,
        local_sessions_upgrading_enabled=options.local_sessions,
        max_client_cnxns=0,
        four_letter_whitelist=("srvr",),
    )
