"""What makes a server alive, and what makes it ready."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyzk.admin.health import LIVE, READY, SLOW_SYNC_MS, Verdict, judge
from pyzk.config.server import ServerConfig
from pyzk.server.host import Host
from tests.runtime.members import member_config
from tests.server.members import FakeLearner, Member
from tests.world import World


def told(verdict: Verdict) -> dict[str, bool]:
    return {check.name: check.is_ok for check in verdict.checks}


def detail(verdict: Verdict, name: str) -> str:
    return next(check.detail for check in verdict.checks if check.name == name)


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return member_config(tmp_path)


def learner(config: ServerConfig, mode: str) -> Member:
    member = Member(1, World().clock, config)
    FakeLearner(member.server, mode)
    return member


def test_a_lone_server_is_ready_when_it_serves() -> None:
    peer = World().peer
    verdict = judge(peer, READY)
    assert (verdict.is_ok, verdict.status, verdict.role) == (True, 200, "standalone")
    assert told(verdict) == {"serving": True, "disk": True}
    peer.stop_serving()
    verdict = judge(peer, READY)
    assert (verdict.is_ok, verdict.status) == (False, 503)
    assert detail(verdict, "serving") == "the server is about to stop"


def test_who_answers_is_alive_whatever_else_is_wrong(config: ServerConfig) -> None:
    member = Member(1, World().clock, config)
    member.peer.run_on(Host(sync_wait_ms=lambda: 10 * SLOW_SYNC_MS))
    for peer in (World().peer, member.peer):
        assert told(judge(peer, LIVE)) == {"loop": True}
        assert judge(peer, LIVE).status == 200


def test_a_disk_that_hangs_is_no_disk() -> None:
    peer = World().peer
    for wait_ms, is_ok in ((0, True), (SLOW_SYNC_MS, True), (SLOW_SYNC_MS + 1, False)):
        peer.run_on(Host(sync_wait_ms=partial(int, wait_ms)))
        assert told(judge(peer, READY)) == {"serving": True, "disk": is_ok}
    assert "for 5001 ms" in detail(judge(peer, READY), "disk")


@pytest.mark.parametrize("mode", ["follower", "observer"])
def test_a_member_is_ready_in_a_quorum(config: ServerConfig, mode: str) -> None:
    verdict = judge(learner(config, mode).peer, READY)
    assert told(verdict) == dict.fromkeys(("serving", "quorum", "configuration", "disk"), True)
    assert verdict.role == mode


def test_a_member_that_looks_for_a_leader_is_not_ready(config: ServerConfig) -> None:
    verdict = judge(Member(1, World().clock, config).peer, READY)
    assert told(verdict) == {
        "serving": False,
        "quorum": False,
        "configuration": True,
        "disk": True,
    }
    assert verdict.role == "looking"
    assert detail(verdict, "quorum") == "looks for a leader"


def test_a_member_that_serves_reads_only_is_not_ready(config: ServerConfig) -> None:
    verdict = judge(learner(config, "read-only").peer, READY)
    assert told(verdict)["serving"]
    assert not told(verdict)["quorum"]
    assert verdict.status == 503


def test_a_member_whose_configuration_is_not_on_disk_is_not_ready(config: ServerConfig) -> None:
    member = learner(config, "follower")
    member.peer.metrics.unsaved_configs = 2
    verdict = judge(member.peer, READY)
    assert [name for name, is_ok in told(verdict).items() if not is_ok] == ["configuration"]
    assert detail(verdict, "configuration").startswith("2 configurations of the ensemble cannot")


def test_a_leader_that_takes_no_clients_is_ready_if_that_is_asked_for(tmp_path: Path) -> None:
    for extra, is_ok in (("leaderServes=no", True), ("", False)):
        asked = member_config(tmp_path, extra=extra)
        world = learner(asked, "leader")
        world.server.is_serving = False
        assert told(judge(world.peer, READY))["serving"] is is_ok


def test_checks_may_be_left_out() -> None:
    peer = World().peer
    peer.run_on(Host(sync_wait_ms=lambda: 99999))
    verdict = judge(peer, READY)
    assert not verdict.is_ok
    assert told(verdict.without(["disk"])) == {"serving": True}
    assert verdict.without(["disk", "unknown"]).is_ok


def test_a_verdict_is_json_or_the_lines_of_kubernetes() -> None:
    peer = World().peer
    peer.run_on(Host(sync_wait_ms=lambda: 99999))
    verdict = judge(peer, READY)
    found: dict[str, Any] = json.loads(verdict.json_text())
    assert found["status"] == "failed"
    assert found["role"] == "standalone"
    assert found["checks"][0] == {
        "name": "serving",
        "ok": True,
        "detail": "clients are served as standalone",
    }
    assert verdict.lines() == (
        "[+]serving ok: clients are served as standalone\n"
        "[-]disk failed: a sync of the log goes on for 99999 ms; no write is answered\n"
        "readyz check failed\n"
    )
    assert (
        judge(peer, LIVE).lines() == "[+]loop ok: the event loop goes round\nlivez check passed\n"
    )
