"""The configuration of a test ensemble: its members, and its times.

Shell. Three things differ from production: elections decide after a few milliseconds, as every
message arrives at once; ticks are short, so that a silent member is missed soon; the ports between
members are numbers in a `MemoryNetwork`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from pyzk.config.ensemble import parse_ensemble
from pyzk.config.server import ServerConfig
from pyzk.config.settings import Settings
from pyzk.config.start_files import StartFiles
from pyzk.testing.core.settings import DEFAULTS, PROPERTIES, text_of
from pyzk.testing.errors import FixtureError

MAX_VOTERS: Final = 9
"""A test that asks for more voters has made a mistake."""
MAX_OBSERVERS: Final = 20
QUORUM_PORT: Final = 20_000
ELECTION_PORT: Final = 30_000
"""Member N has this port plus N. Quorum and election ports exist in memory only."""

ENSEMBLE_DEFAULTS: Final[Mapping[str, object]] = {
    # In ticks of 100 ms: a follower that has fallen silent is missed after 300 ms.
    "initLimit": 50,
    "syncLimit": 3,
    # A leader opens its port in the same millisecond as its followers look for it.
    "leaderConnectDelayDuringRetryMs": 2,
    "observer.election.DelayMs": 1,
    "cnxTimeout": 200,
    # An election is decided after so long a silence.
    "fastleader.finalizeWaitMs": 2,
    "fastleader.minNotificationInterval": 20,
    "fastleader.maxNotificationInterval": 200,
}


class MemberPlace(NamedTuple):
    """One member of the list that each member is configured with."""

    sid: int
    is_observer: bool
    host: str
    client_port: int


def check_size(voters: object, observers: object) -> None:
    """Check the numbers that a test has given, whatever they are. Raises FixtureError."""
    if not isinstance(voters, int) or not 2 <= voters <= MAX_VOTERS:
        raise FixtureError(
            f"an ensemble of {voters!r} voters; give 2 to {MAX_VOTERS}, usually 3"
            + (" (for a single server there is ZooKeeperServer)" if voters == 1 else "")
        )
    if not isinstance(observers, int) or not 0 <= observers <= MAX_OBSERVERS:
        raise FixtureError(f"{observers!r} observers; give 0 to {MAX_OBSERVERS}")


def configure(
    config: ServerConfig,
    me: MemberPlace,
    server_lines: Iterable[str],
    options: Mapping[str, object],
) -> ServerConfig:
    """Return the configuration of one member; ``server_lines`` are those of the ensemble. Raises
    ConfigError."""
    settings = {**DEFAULTS, **ENSEMBLE_DEFAULTS, **options}
    lines = [
        f"{name}={text_of(value)}" for name, value in settings.items() if name not in PROPERTIES
    ]
    lines += server_lines
    ensemble = parse_ensemble(Settings("\n".join(lines).encode()), StartFiles(str(me.sid).encode()))
    assert ensemble is not None, lines
    return replace(config, client_port=me.client_port, ensemble=ensemble)


def server_line(place: MemberPlace) -> str:
    """Return the line of a member, as zoo.cfg and a reconfiguration have it."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    role = "observer" if place.is_observer else "participant"
    quorum, election = QUORUM_PORT + place.sid, ELECTION_PORT + place.sid
    return f"server.{place.sid}={host}:{quorum}:{election}:{role};{host}:{place.client_port}"
