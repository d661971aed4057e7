"""Who ZooKeeper takes, and as whom, by the certificate: recorded by conformance.certificates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import certificates
from conformance.certificates import OUT, RECORDING, SCENARIOS, Cast
from conformance.secured import client_context
from pyzk.config.server import ServerConfig, parse_config
from pyzk.runtime import ocsp
from pyzk.runtime.tls import TlsContexts, TlsPeerError, peer_chain
from pyzk.server.arrival import Arrival
from tests.certificates import Issued, write
from tests.ocsp import Responder
from tests.runtime.test_tls import Handshake
from tests.world import World

RECORDED: dict[str, dict[str, str]] = json.loads(RECORDING.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def people(folder: Path) -> Iterator[Cast]:
    with Responder() as responder:
        yield certificates.cast(folder, responder)


def config_of(scenario: str, people: Cast, folder: Path) -> ServerConfig:
    given = {
        **SCENARIOS[scenario],
        "dataDir": str(folder),
        "secureClientPort": "0",
        "ssl.keyStore.location": write(folder / "k.pem", people.server.pem()),
    }
    trusted = people.trusted(given.pop("trusted", ""))
    given["ssl.trustStore.location"] = write(folder / "t.pem", trusted)
    return parse_config("".join(f"{key}={value}\n" for key, value in given.items()).encode())


def outcome(config: ServerConfig, own: Issued | None) -> str:
    assert config.client_tls is not None
    contexts = TlsContexts(config.client_tls, warn=lambda text: None)
    found = Handshake(contexts.server(), client_context(own))
    if found.errors:
        return OUT
    shown = peer_chain(found.server)
    try:
        contexts.check_peer(shown, "", "127.0.0.1", is_server=False)
    except TlsPeerError:
        return OUT
    world = World(replace(config, data_dir="/data", data_log_dir="/data"))
    arrival = Arrival("127.0.0.1", 1, is_secure=True, certificates=shown)
    connection = world.peer.accept(arrival)
    if connection is None:
        return OUT
    name = world.server.registry.user_name
    return ", ".join(sorted(f"{each.scheme}:{name(each)}" for each in connection.auth_ids))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_everybody_is_who_he_is_for_the_original(
    scenario: str, people: Cast, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocsp, "ask", people.responder.ask)
    recorded = RECORDED[scenario]
    config = config_of(scenario, people, folder)
    assert {name: outcome(config, own) for name, own in people.of(scenario).items()} == {
        name: certificates.expected(scenario, name, said) for name, said in recorded.items()
    }


def test_every_kind_of_outcome_is_recorded() -> None:
    assert set(RECORDED) == set(SCENARIOS)
    assert {said for each in RECORDED.values() for said in each.values()} >= {
        OUT,
        "ip:127.0.0.1",
        "ip:127.0.0.1, x509:CN=right",
    }
