"""What a start says when its ports for members are open to others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from pyzk.config.jaas import Login
from pyzk.config.sasl import QuorumSaslConfig
from pyzk.config.tls import TlsConfig
from pyzk.runtime.network import TcpListener
from tests.runtime.ports import Core, HangingNetwork, election_port, ensemble_at

pytestmark = pytest.mark.source  # the ports are given a stand-in of the core


class Reachable(HangingNetwork):
    """Every port that is listened on is open at once, at this address."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    async def listen(self, make: object, host: str | None, port: int) -> TcpListener:
        return TcpListener((self.host, port))


TLS = TlsConfig(key_store="key.pem")
OFFERED = QuorumSaslConfig(
    server=Login(section="QuorumServer", users={"member": "secret"}),
    learner=Login(section="QuorumLearner", users={}, user="member", password="secret"),
)
USED = replace(OFFERED, learner_requires=True)
REQUIRED = replace(USED, server_requires=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "2001:db8::7", "fe80::1%eth0"])
async def test_a_start_says_once_that_whoever_reaches_the_ports_is_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    port = election_port(Core(), ensemble_at(tmp_path), Reachable(host))
    await port.listen()
    port.move(port.ensemble.me)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert f"who can reach {host} at the ports of server.1 is taken for a member" in warnings[0]
    for remedy in ("sslQuorum=true", "quorum.auth.serverRequireSasl=true"):
        assert remedy in warnings[0]
    port.abort()


@pytest.mark.parametrize(
    ("host", "changes", "is_said"),
    [
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("10.0.0.7", {"ssl_quorum": True, "quorum_tls": TLS}, False),
        ("10.0.0.7", {"ssl_quorum": True, "port_unification": True, "quorum_tls": TLS}, True),
        ("10.0.0.7", {"port_unification": True, "quorum_tls": TLS}, True),
        (
            "10.0.0.7",
            {"ssl_quorum": True, "quorum_tls": replace(TLS, client_auth="none")},
            True,
        ),
        ("10.0.0.7", {"quorum_sasl": OFFERED}, True),
        ("10.0.0.7", {"quorum_sasl": USED}, True),
        ("10.0.0.7", {"quorum_sasl": REQUIRED}, False),
        ("10.0.0.7", {"quorum_sasl": OFFERED, "ssl_quorum": True, "quorum_tls": TLS}, False),
        ("10.0.0.7", {"quorum_sasl": REQUIRED, "port_unification": True, "quorum_tls": TLS}, False),
    ],
)
async def test_nothing_is_said_where_nobody_is_trusted(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    host: str,
    changes: dict[str, Any],
    is_said: bool,
) -> None:
    ensemble = evolve(ensemble_at(tmp_path), **changes)
    port = election_port(Core(), ensemble, Reachable(host))
    await port.listen()
    assert ("is taken for a member" in caplog.text) == is_said
    port.abort()
