"""The manifests: what the schema of Kubernetes says, and that they agree with image and code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyzk.config.container import configure, plan
from pyzk.config.settings import no_names

yaml = pytest.importorskip("yaml", reason="needs PyYAML (pip install -e '.[dev]')")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
PORTS = {"client": 2181, "quorum": 2888, "election": 3888, "admin": 8080}
SELECTOR = {"app.kubernetes.io/name": "zookeeper"}

Document = dict[str, Any]


def documents() -> Iterator[tuple[str, Document]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


ALL = list(documents())


def one(kind: str, name: str = "zookeeper") -> Document:
    [found] = [each for _, each in ALL if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod() -> Document:
    spec = one("StatefulSet")["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container() -> Document:
    [found] = pod()["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", ["1.28", "latest"])
@pytest.mark.parametrize(("name", "document"), ALL, ids=lambda each: str(each)[:24])
def test_the_schema_of_kubernetes_allows_it(name: str, document: Document, version: str) -> None:
    """Strictly: a key that the schema does not know is an error, too."""
    schemas = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate (pip install -e '.[dev]')"
    )
    wanted = schemas.latest_version() if version == "latest" else version
    schemas.validate(document, wanted, strict=True)


def test_the_schema_would_notice() -> None:
    schemas = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate (pip install -e '.[dev]')"
    )
    document = one("PodDisruptionBudget")
    wrong = document | {"spec": document["spec"] | {"maxUnavailabel": 1}}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, "1.28", strict=True)


def test_everything_selects_the_pods() -> None:
    spec = one("StatefulSet")["spec"]
    assert spec["selector"]["matchLabels"] == SELECTOR
    assert spec["template"]["metadata"]["labels"] == SELECTOR
    assert one("Service")["spec"]["selector"] == SELECTOR
    assert one("Service", "zookeeper-headless")["spec"]["selector"] == SELECTOR
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == SELECTOR
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == SELECTOR


def test_a_new_ensemble_can_begin() -> None:
    """Nobody waits for another pod to be ready, and names are known before that."""
    spec = one("StatefulSet")["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    headless = one("Service", spec["serviceName"])["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True


def test_a_quorum_stays() -> None:
    budget = one("PodDisruptionBudget")["spec"]["maxUnavailable"]
    replicas = one("StatefulSet")["spec"]["replicas"]
    assert replicas - budget > replicas // 2
    [rule] = pod()["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"] == SELECTOR


def test_ports_are_those_of_the_image() -> None:
    assert {each["name"]: each["containerPort"] for each in container()["ports"]} == PORTS
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"\nEXPOSE {' '.join(map(str, PORTS.values()))}\n" in dockerfile
    for name in ("zookeeper", "zookeeper-headless"):
        for port in one("Service", name)["spec"]["ports"]:
            assert PORTS[port["targetPort"]] == port["port"]
    annotations = one("StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(PORTS["admin"])
    open_to_all, for_members = one("NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in open_to_all["ports"]] == ["client", "admin"]
    assert [each["port"] for each in for_members["ports"]] == ["quorum", "election"]
    assert for_members["from"] == [{"podSelector": {"matchLabels": SELECTOR}}]


def test_no_privilege_is_given() -> None:
    whole, own = pod()["securityContext"], container()["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert whole["runAsUser"] == whole["fsGroup"] == 1000
    assert "USER 1000:1000" in (ROOT / "deploy" / "Dockerfile").read_text()
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def environment(number: int) -> dict[str, str]:
    """What pod ``number`` gets; references are replaced as Kubernetes does."""
    values = {"POD_NAMESPACE": "ns"}
    for each in container()["env"]:
        if "value" in each:
            text = each["value"]
            for name, value in values.items():
                text = text.replace(f"$({name})", value)
            values[each["name"]] = text
    return values


@pytest.mark.parametrize("number", range(3))
def test_the_variables_are_a_member_of_the_ensemble(number: int) -> None:
    replicas = one("StatefulSet")["spec"]["replicas"]
    made = plan(environment(number), f"zookeeper-{number}", lambda path: "", has_config=False)
    assert made.warnings == ()
    assert made.my_id == number + 1
    config = configure(
        made,
        lambda path: f"{made.my_id}".encode() if path.endswith("/myid") else None,
        no_names,
        os.path.isdir,
        lambda name: False,
    )
    assert config.warnings == ()
    ensemble = config.ensemble
    assert ensemble is not None
    assert len(ensemble.membership.voters) == replicas
    headless = one("StatefulSet")["spec"]["serviceName"]
    [address] = ensemble.me.addresses
    assert address.host == f"zookeeper-{number}.{headless}.ns.svc.cluster.local."
    assert (address.quorum_port, address.election_port) == (PORTS["quorum"], PORTS["election"])
    assert config.client_port == PORTS["client"]
    mounts = {each["mountPath"] for each in container()["volumeMounts"]}
    assert {config.data_dir, config.data_log_dir} == mounts
    claims = {
        each["metadata"]["name"] for each in one("StatefulSet")["spec"]["volumeClaimTemplates"]
    }
    assert {each["name"] for each in container()["volumeMounts"]} == claims


def test_probes_ask_the_admin_port() -> None:
    probes = {
        name: container()[f"{name}Probe"]["httpGet"]
        for name in ("startup", "liveness", "readiness")
    }
    assert {each["port"] for each in probes.values()} == {"admin"}
    assert probes["startup"]["path"] == probes["liveness"]["path"] == "/livez"
    assert probes["readiness"]["path"] == "/readyz"
