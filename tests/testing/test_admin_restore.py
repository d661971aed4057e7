"""The command `restore` of the admin server in an ensemble: its leader gives all the state."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pyzk.testing import ZooKeeperEnsemble, ZooKeeperServer
from pyzk.testing.members.member import EnsembleMember
from tests.testing.raw import RawClient

OPTIONS = {
    "admin.rateLimiterIntervalInMS": 0,
    "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    # Long enough for the leader to have the state on its disk before the others decide.
    "fastleader.finalizeWaitMs": 500,
}
URL = "/commands/restore"


class Answer(NamedTuple):
    status: int
    error: str | None
    last_zxid: int


def post(member: EnsembleMember, url: str, body: bytes) -> Answer:
    connection = http.client.HTTPConnection(*member.admin_address, timeout=60)
    try:
        connection.request("POST", url, body, {"Authorization": "digest super:test"})
        reply = connection.getresponse()
        found = json.loads(reply.read())
        return Answer(reply.status, found["error"], found.get("last_zxid", 0))
    finally:
        connection.close()


@pytest.fixture(scope="module")
def snapshot() -> bytes:
    with ZooKeeperServer(admin=True, options=OPTIONS) as server:
        with RawClient(server) as client:
            for path in ("/a", "/a/b", "/c"):
                assert client.create(path, b"new").err == 0
        connection = http.client.HTTPConnection(*server.admin_address, timeout=60)
        headers = {"Authorization": "digest super:test"}
        connection.request("GET", "/commands/snapshot", headers=headers)
        body = connection.getresponse().read()
        connection.close()
        return body


NEW = {"/a": b"new", "/a/b": b"new", "/c": b"new"}


@pytest.fixture(params=[False, True], ids=["memory", "disk"])
def ensemble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ZooKeeperEnsemble]:
    data_dir = tmp_path if request.param else None
    with ZooKeeperEnsemble(
        3, observers=1, admin=True, options=OPTIONS, data_dir=data_dir, leaks="ignore"
    ) as made:
        yield made


def write_until_cut(client: RawClient, number: int) -> None:
    with client, contextlib.suppress(EOFError, ConnectionError):
        for at in itertools.count():
            assert client.create(f"/old-{number}-{at}").err == 0


def leader_of(ensemble: ZooKeeperEnsemble) -> EnsembleMember:
    return ensemble.leader


def test_the_leader_gives_it_to_all(ensemble: ZooKeeperEnsemble, snapshot: bytes) -> None:
    leader = leader_of(ensemble)
    with RawClient(ensemble.followers[0]) as client:
        for at in range(5):
            assert client.create(f"/old{at}").err == 0
        before = leader.zxid
        answer = post(leader, f"{URL}?force=true", snapshot)
        assert answer.status == 200, answer
        # It is that of an epoch of its own, which no client has seen anything of.
        assert answer.last_zxid == (before >> 32) + 1 << 32
    ensemble.wait_until_serving()
    ensemble.wait_until_synced()
    assert leader_of(ensemble).sid == leader.sid
    for member in ensemble:
        assert member.tree() == NEW
    with RawClient(ensemble.followers[0]) as client:
        assert client.create("/later").err == 0
    # Whoever dies now comes back with it.
    for sid in (1, 2, 3, 4):
        ensemble.kill(sid)
        ensemble.restart(sid)
    ensemble.wait_until_synced()
    for member in ensemble:
        assert set(member.tree()) == {*NEW, "/later"}


def test_it_may_be_done_again(ensemble: ZooKeeperEnsemble, snapshot: bytes) -> None:
    for _ in range(2):
        answer = post(leader_of(ensemble), f"{URL}?force=true", snapshot)
        assert answer.status == 200, answer
        ensemble.wait_until_serving()
    ensemble.wait_until_synced()
    for member in ensemble:
        assert member.tree() == NEW


def test_a_member_that_was_away_gets_it(ensemble: ZooKeeperEnsemble, snapshot: bytes) -> None:
    away = ensemble.followers[0].sid
    with RawClient(leader_of(ensemble)) as client:
        assert client.create("/old").err == 0
    ensemble.wait_until_synced()
    ensemble.kill(away)
    answer = post(leader_of(ensemble), f"{URL}?force=true", snapshot)
    assert answer.status == 200, answer
    ensemble.restart(away)
    ensemble.wait_until_synced()
    assert ensemble[away].tree() == NEW


def test_without_being_told_so_nothing_happens(
    ensemble: ZooKeeperEnsemble, snapshot: bytes
) -> None:
    leader = leader_of(ensemble)
    answer = post(leader, URL, snapshot)
    assert answer.status == 409
    assert answer.error is not None
    assert answer.error.startswith(
        f"This is server {leader.sid}, leader of an ensemble: the others"
    )
    assert "With ?force=true they all get the snapshot" in answer.error
    for member in (*ensemble.followers, *ensemble.observers):
        for url in (URL, f"{URL}?force=true"):
            answer = post(member, url, snapshot)
            assert answer.status == 409
            assert answer.error is not None
            assert "Send the snapshot to the leader, with ?force=true" in answer.error
    assert leader_of(ensemble).sid == leader.sid


def test_what_is_no_snapshot_changes_nothing(ensemble: ZooKeeperEnsemble) -> None:
    leader = leader_of(ensemble)
    with RawClient(leader) as client:
        assert client.create("/old").err == 0
        assert post(leader, f"{URL}?force=true", b"x" * 100).status == 500
        assert client.exists("/old").err == 0


def test_a_leader_whose_disk_is_slow_loses_the_election_and_nothing_changes(
    ensemble: ZooKeeperEnsemble, snapshot: bytes
) -> None:
    leader = leader_of(ensemble)
    with RawClient(leader) as client:
        assert client.create("/old").err == 0
    ensemble.wait_until_synced()
    with ThreadPoolExecutor(1) as pool:
        leader.stall_disk()
        asking = pool.submit(post, leader, f"{URL}?force=true", snapshot)
        try:
            while leader.role == "leader":
                assert not asking.done(), asking.result()
            assert ensemble.wait_for_leader().sid != leader.sid
        finally:
            leader.stall_disk(on=False)
        answer = asking.result()
    assert answer.status == 500
    assert answer.error is not None
    assert answer.error.startswith("Another server was elected before this one")
    ensemble.wait_until_synced()
    for member in ensemble:
        assert set(member.tree()) == {"/old"}


def test_writes_meanwhile_are_replaced_on_all_members(
    ensemble: ZooKeeperEnsemble, snapshot: bytes
) -> None:
    leader = leader_of(ensemble)
    clients = [RawClient(member) for member in ensemble]
    with ThreadPoolExecutor(len(clients) + 1) as pool:
        writing = [pool.submit(write_until_cut, client, at) for at, client in enumerate(clients)]
        answer = pool.submit(post, leader, f"{URL}?force=true", snapshot).result()
        for each in writing:
            each.result()
    assert answer.status == 200, answer
    ensemble.wait_until_serving()
    ensemble.wait_until_synced()
    for member in ensemble:
        assert member.tree() == NEW


@pytest.mark.parametrize("moment", ["at once", "when it looks", "when it leads again"])
def test_a_leader_that_dies_meanwhile_leaves_one_state_to_all(
    ensemble: ZooKeeperEnsemble, snapshot: bytes, moment: str
) -> None:
    leader = leader_of(ensemble)
    with RawClient(leader) as client:
        assert client.create("/old").err == 0
    ensemble.wait_until_synced()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(post, leader, f"{URL}?force=true", snapshot)
        while moment != "at once" and leader.role == "leader" and not asking.done():
            pass
        while moment == "when it leads again" and leader.role != "leader" and not asking.done():
            pass
        leader.kill()
        with contextlib.suppress(OSError, http.client.HTTPException):
            asking.result()
    ensemble.wait_for_leader()
    ensemble.restart(leader)
    ensemble.wait_until_synced()
    trees = [member.tree() for member in ensemble]
    assert trees[0] in ({"/old": b""}, NEW)
    assert trees == [trees[0]] * 4
