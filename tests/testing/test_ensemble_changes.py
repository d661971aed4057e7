"""An ensemble in a test whose members come and go while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyzk.constants import OpCode
from pyzk.errors import ConfigError
from pyzk.jute.records import ReconfigRequest
from pyzk.testing import FixtureError, NotRunningError, ZooKeeperEnsemble
from tests.testing.raw import RawClient

RECONFIG = {"reconfigEnabled": "true", "skipACL": "yes"}


def ensemble_of(voters: int, observers: int = 0, data_dir: Path | None = None) -> ZooKeeperEnsemble:
    return ZooKeeperEnsemble(voters, observers=observers, data_dir=data_dir, options=RECONFIG)


def remove_by_client(ensemble: ZooKeeperEnsemble, *sids: int) -> None:
    """A client of the leader removes members, which run on."""
    with RawClient(ensemble.leader) as client:
        leaving = ",".join(map(str, sids))
        assert client.call(OpCode.RECONFIG, ReconfigRequest(None, leaving, None, -1)).err == 0
        client.end()


def voters(ensemble: ZooKeeperEnsemble) -> list[int]:
    return sorted(member.sid for member in ensemble if not member.is_observer)


def test_members_that_are_added_vote_and_serve() -> None:
    with ensemble_of(3) as ensemble:
        ensemble.load({"/before": "1"})
        fourth, fifth = ensemble.add_member(), ensemble.add_member()
        assert (fourth.sid, fifth.sid) == (4, 5)
        assert ensemble[4] is fourth
        assert voters(ensemble) == [1, 2, 3, 4, 5]
        assert fourth.tree() == {"/before": b"1"}
        assert ensemble.connect_string.endswith(f",127.0.0.1:{fifth.port}")
        with RawClient(fifth) as client:
            assert client.create("/after").err == 0
            client.end()
        # Three of five are a quorum, two are not.
        for _ in range(2):
            ensemble.leader.kill()
            ensemble.wait_for_leader()
        ensemble.load({"/three": ""})
        ensemble.leader.kill()
        with pytest.raises(NotRunningError, match="no member leads now"):
            _ = ensemble.leader
        ensemble.restart(next(member for member in ensemble if member.state == "killed"))
        assert set(ensemble.tree()) == {"/before", "/after", "/three"}


def test_an_observer_is_added_and_removed() -> None:
    with ensemble_of(3) as ensemble:
        observer = ensemble.add_member(observer=True)
        assert (observer.role, observer.is_observer) == ("observer", True)
        assert ensemble.observers == [observer]
        ensemble.load({"/a": ""})
        assert observer.tree() == {"/a": b""}
        ensemble.remove_member(observer)
        assert [member.sid for member in ensemble] == [1, 2, 3]
        assert observer.state == "stopped"
        with pytest.raises(FixtureError, match=r"there is no server 4; members are 1, 2, 3"):
            _ = ensemble[4]
        # No id is given twice: whoever had it may come back.
        assert ensemble.add_member().sid == 5


def test_a_leader_is_removed_and_another_one_leads() -> None:
    with ensemble_of(5) as ensemble:
        ensemble.load({"/a": "1"})
        for left in (4, 3, 2):
            leader = ensemble.leader
            ensemble.remove_member(leader)
            assert len(ensemble) == left
            assert ensemble.leader is not leader
            assert ensemble.tree() == {"/a": b"1"}
        with pytest.raises(FixtureError, match="2 voters are the fewest"):
            ensemble.remove_member(ensemble.leader)


def test_the_quorum_is_that_of_the_configuration_in_force() -> None:
    """A client has changed the members: of those who were five, two have to be enough."""
    with ensemble_of(5, observers=1) as ensemble:
        leader = ensemble.leader
        gone = [member.sid for member in ensemble.followers][:2]
        remove_by_client(ensemble, *gone)
        for sid in gone:
            ensemble.kill(sid)
        ensemble.kill(next(member for member in ensemble.followers))
        assert ensemble.wait_for_leader() is leader
        ensemble.load({"/two of three": ""})
        ensemble.kill(next(member for member in ensemble.followers))
        with pytest.raises(NotRunningError):
            _ = ensemble.leader
        # Those who were removed are no help, and are not waited for.
        with pytest.raises(ConfigError, match="it was removed"):
            ensemble.restart(gone[0])
        with pytest.raises(NotRunningError):
            _ = ensemble.leader


def test_a_voter_that_a_client_has_made_an_observer_is_one() -> None:
    with ensemble_of(4) as ensemble:
        follower = ensemble.followers[0]
        line = f"server.{follower.sid}=127.0.0.1:{20000 + follower.sid}:{30000 + follower.sid}"
        joining = f"{line}:observer;127.0.0.1:{follower.port}"
        with RawClient(ensemble.leader) as client:
            assert client.call(OpCode.RECONFIG, ReconfigRequest(joining, None, None, -1)).err == 0
            client.end()
        follower.wait_until(lambda: follower.role == "observer", "an observer")
        assert ensemble.observers == [follower]


def test_members_that_were_added_come_back_with_what_they_have(tmp_path: Path) -> None:
    with ensemble_of(3, data_dir=tmp_path) as ensemble:
        ensemble.load({"/a": "1"})
        fourth = ensemble.add_member()
        assert (tmp_path / "4" / "version-2").is_dir()
        ensemble.remove_member(ensemble[1])
        for member in list(ensemble):
            member.kill()
        for member in list(ensemble):
            member.restart()
        ensemble.wait_until_serving()
        assert voters(ensemble) == [2, 3, 4]
        assert fourth.tree() == {"/a": b"1"}


def test_what_cannot_be_changed_is_told() -> None:
    with ZooKeeperEnsemble(3) as ensemble:
        for change in (ensemble.add_member, lambda: ensemble.remove_member(3)):
            with pytest.raises(FixtureError, match=r"options=\{'reconfigEnabled': True\}"):
                change()
    with ensemble_of(3) as ensemble:
        ensemble.isolate(1)
        with pytest.raises(FixtureError, match="within a partition"):
            ensemble.add_member()
        ensemble.heal()
        ensemble.wait_until_serving()
        with pytest.raises(FixtureError, match="there is no server 7"):
            ensemble.remove_member(7)
        one, two = ensemble.followers
        one.kill()
        with pytest.raises(TimeoutError, match="no quorum of the new voters"):
            ensemble.remove_member(two, timeout=0.2)
        assert len(ensemble) == 3
    with pytest.raises(NotRunningError):
        ensemble.add_member()
