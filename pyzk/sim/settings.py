"""The configurations that a run's options stand for.

Pure.
"""

from __future__ import annotations

from typing import Final

import attrs

from pyzk.auth.digest import generate_digest
from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, QuorumServer, ServerAddress
from pyzk.config.server import ServerConfig
from pyzk.sim.options import Options

CLIENT_PORT: Final = 2181
QUORUM_PORT: Final = 2888
ELECTION_PORT: Final = 3888
OBSERVER_PORT: Final = 2191
"""The port at which followers take observers, where they do."""
SUPER_USER: Final = "super:secret"


def host_of(sid: int, alias: str = "") -> str:
    """Return a name of the machine of server ``sid``: h3 is server 3, and so is h3b."""
    return f"h{sid}{alias}"


def sid_of(host: str) -> int:
    """Return the server whose machine has this name."""
    return int(host.strip("habc"))


def usual_server(sid: int, *, is_observer: bool) -> QuorumServer:
    """Return the line of a server at its first name, with the usual ports."""
    address = ServerAddress(host_of(sid), QUORUM_PORT, ELECTION_PORT)
    return QuorumServer(sid, (address,), is_observer, client_port=CLIENT_PORT)


def first_membership(options: Options) -> Membership:
    """Return the members in the beginning: voters first, then observers."""
    members = tuple(
        usual_server(sid, is_observer=sid > options.voters) for sid in range(1, options.members + 1)
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


def ensemble_config(options: Options, found: EnsembleConfig) -> EnsembleConfig:
    """Return the configuration of a member: what its files have, with the times of this run."""
    limit_bytes = options.observer_limit_bytes or found.observer_master_limit_bytes
    return attrs.evolve(
        found,
        tick_time_ms=options.tick_ms,
        init_limit_ticks=options.init_limit,
        sync_limit_ticks=options.sync_limit,
        sync_enabled=options.sync_enabled,
        reconfig_enabled=options.reconfig,
        quorum_listen_on_all_ips=options.listen_on_all,
        leader_serves=options.leader_serves,
        cnx_timeout_ms=1000,
        finalize_wait_ms=options.finalize_wait_ms,
        max_notification_ms=options.max_notification_ms,
        snapshot_size_factor=options.snapshot_size_factor,
        force_snapshot_sync=options.force_snapshot_sync,
        observer_master_limit_bytes=limit_bytes,
        observer_reconnect_delay_ms=options.reconnect_delay_ms,
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
        readonlymode_enabled=options.read_only,
        standalone_enabled=options.standalone,
        reconfig_enabled=options.reconfig,
        super_digest=generate_digest(SUPER_USER),
        max_client_cnxns=0,
        four_letter_whitelist=("srvr",),
    )
