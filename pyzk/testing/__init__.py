"""A real ZooKeeper server inside a test: in this process, in milliseconds, with faults on demand.

Use `ZooKeeperServer`, under asyncio `AsyncZooKeeperServer`, for several servers that replicate
`ZooKeeperEnsemble`; in pytest the fixtures `zk_server`, `zk_client` and `zk_ensemble`, for which
nothing is imported (``pytest --fixtures`` lists them). The guide is docs/testing.md in a clone.

    from pyzk.testing import ZooKeeperServer

    with ZooKeeperServer() as server:
        client = KazooClient(server.connect_string)

Shell. Nothing is imported until a name is used, so that a pytest plugin costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.testing.aio import AsyncZooKeeperServer
    from pyzk.testing.core.certificates import Certificates, ClientCertificate, GivenCertificates
    from pyzk.testing.core.inspection import LeakedClient, SessionInfo, WatchInfo
    from pyzk.testing.ensemble import ZooKeeperEnsemble
    from pyzk.testing.errors import (
        FixtureError,
        LeakedClientsError,
        LeakedClientsWarning,
        NotAvailableError,
        NotRunningError,
    )
    from pyzk.testing.members.member import EnsembleMember
    from pyzk.testing.seams.faults import Fault
    from pyzk.testing.server import ZooKeeperServer

__all__ = [
    "ZooKeeperServer",
    "AsyncZooKeeperServer",
    "ZooKeeperEnsemble",
    "EnsembleMember",
    "SessionInfo",
    "WatchInfo",
    "LeakedClient",
    "Fault",
    "Certificates",
    "GivenCertificates",
    "ClientCertificate",
    "FixtureError",
    "LeakedClientsError",
    "LeakedClientsWarning",
    "NotRunningError",
    "NotAvailableError",
]

_MODULES = {
    "ZooKeeperServer": "server",
    "AsyncZooKeeperServer": "aio",
    "ZooKeeperEnsemble": "ensemble",
    "EnsembleMember": "members.member",
    "SessionInfo": "core.inspection",
    "WatchInfo": "core.inspection",
    "LeakedClient": "core.inspection",
    "Fault": "seams.faults",
    "Certificates": "core.certificates",
    "GivenCertificates": "core.certificates",
    "ClientCertificate": "core.certificates",
    "FixtureError": "errors",
    "LeakedClientsError": "errors",
    "LeakedClientsWarning": "errors",
    "NotRunningError": "errors",
    "NotAvailableError": "errors",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List also the names that are imported on use, for help() and completion."""
    return sorted({*globals(), *__all__})
