"""An ensemble in a test: who leads, what survives whom, and what is left behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyzk.constants import CreateMode, ErrorCode, OpCode
from pyzk.errors import ConfigError
from pyzk.testing import FixtureError, LeakedClientsError, NotRunningError, ZooKeeperEnsemble
from tests.frames import create_request
from tests.testing.raw import RawClient


def write(ensemble: ZooKeeperEnsemble, sid: int, path: str) -> None:
    """A client of this member creates a znode."""
    with RawClient(ensemble[sid]) as client:
        assert client.create(path).err == 0
        client.end()


def leader_sid(ensemble: ZooKeeperEnsemble) -> int:
    return ensemble.leader.sid


# --- start and stop -------------------------------------------------------------------


def test_a_client_of_any_member_can_write_when_start_returns() -> None:
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        for sid in (1, 2, 3, 4):
            write(ensemble, sid, f"/{sid}")
        ensemble.wait_until_synced()
        for member in ensemble:
            assert list(member.tree()) == ["/1", "/2", "/3", "/4"]
    assert [member.state for member in ensemble] == ["stopped"] * 4
    assert ensemble.state == "stopped"


def test_members_know_their_roles() -> None:
    with ZooKeeperEnsemble(3, observers=2) as ensemble:
        assert len(ensemble) == 5
        assert [member.sid for member in ensemble.members] == [1, 2, 3, 4, 5]
        leader = ensemble.leader
        assert leader.role == "leader"
        assert leader.is_leader
        assert sorted([leader.sid, *(member.sid for member in ensemble.followers)]) == [1, 2, 3]
        assert [member.sid for member in ensemble.observers] == [4, 5]
        assert {member.role for member in ensemble.observers} == {"observer"}
        ports = [member.port for member in ensemble]
        assert len(set(ports)) == 5
        assert ensemble.connect_string == ",".join(f"127.0.0.1:{port}" for port in ports)
        assert repr(leader) == f"<server {leader.sid} 127.0.0.1:{leader.port} leader>"


def test_ensembles_are_apart() -> None:
    with ZooKeeperEnsemble() as one, ZooKeeperEnsemble() as two:
        one.load({"/a": b"1"})
        assert two.tree() == {}


def test_data_in_a_directory_is_there_for_another_ensemble(tmp_path: Path) -> None:
    with ZooKeeperEnsemble(3, data_dir=tmp_path) as ensemble:
        ensemble.load({"/a": b"1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]
    with ZooKeeperEnsemble(3, data_dir=tmp_path) as ensemble:
        ensemble.wait_until_synced()
        assert [member.tree() for member in ensemble] == [{"/a": b"1"}] * 3


def test_nothing_is_left_behind() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with ZooKeeperEnsemble() as ensemble:
        ensemble.load({"/a": ""})
    threads, open_files = threading.active_count(), descriptors()
    for _ in range(3):
        with ZooKeeperEnsemble(3, observers=1) as ensemble:
            client = RawClient(ensemble[1])
            ensemble.kill(ensemble.leader)
            ensemble.wait_for_leader()
            client.close()
    assert threading.active_count() == threads
    assert descriptors() == open_files


def test_clients_that_are_left_are_told_of() -> None:
    ensemble = ZooKeeperEnsemble(leaks="error").start()
    client = RawClient(ensemble[2])
    with pytest.raises(LeakedClientsError, match=client.address):
        ensemble.stop()
    assert [leaked.address for leaked in ensemble.leaked] == [client.address]
    client.close()


def test_a_forked_child_keeps_nothing() -> None:
    with ZooKeeperEnsemble() as ensemble:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            text = "nothing"
            try:
                ensemble.leader.kill()
            except NotRunningError as error:
                text = str(error)
            os.write(theirs, text.encode())
            os._exit(0)
        os.close(theirs)
        os.waitpid(child, 0)
        assert b"forked" in os.read(ours, 1000)
        os.close(ours)
        write(ensemble, 1, "/a")


# --- members that fail ----------------------------------------------------------------


def test_another_leads_when_the_leader_is_killed_and_no_acknowledged_write_is_lost() -> None:
    with ZooKeeperEnsemble() as ensemble:
        old = ensemble.leader
        with RawClient(old) as client:
            for number in range(20):
                assert client.create(f"/{number}").err == 0
            old.kill()
            assert client.is_cut()
        new = ensemble.wait_for_leader()
        assert new.sid != old.sid
        assert old.role == old.state == "killed"
        assert len(new.tree()) == 20
        write(ensemble, new.sid, "/after")
        old.restart()
        assert old.role == "follower"
        ensemble.wait_until_synced()
        assert old.tree() == new.tree()
        assert "/after" in old.tree()


def test_without_a_quorum_nobody_serves_and_observers_are_no_help() -> None:
    with ZooKeeperEnsemble(3, observers=2) as ensemble:
        ensemble.kill(1)
        ensemble.kill(2)
        with pytest.raises(TimeoutError, match=r"no member leads; server 1: killed; .*3: looking"):
            ensemble.wait_for_leader(timeout=0.2)
        with pytest.raises(
            NotRunningError, match=r"no member leads now; wait_for_leader\(\) waits for one"
        ):
            _ = ensemble.leader
        ensemble.restart(1)
        ensemble.wait_until_serving()
        assert {member.role for member in ensemble.observers} == {"observer"}
        write(ensemble, 5, "/a")


def test_a_member_that_is_restarted_alone_returns_at_once_and_looks_for_others() -> None:
    with ZooKeeperEnsemble() as ensemble:
        for sid in (1, 2, 3):
            ensemble.kill(sid)
        ensemble[3].restart()
        assert ensemble[3].role == "looking"
        ensemble[1].restart()
        assert sorted([ensemble[1].role, ensemble[3].role]) == ["follower", "leader"]


def test_a_member_that_is_stopped_comes_back_with_its_data() -> None:
    with ZooKeeperEnsemble() as ensemble:
        ensemble[1].stop()
        ensemble.load({"/meanwhile": b"1"})
        ensemble.restart(1)
        assert ensemble[1].tree() == {"/meanwhile": b"1"}


def test_a_leader_that_stands_still_is_replaced_and_follows_when_it_goes_on() -> None:
    with ZooKeeperEnsemble() as ensemble:
        old = ensemble.leader
        ensemble.pause(old)
        new = ensemble.wait_for_leader()
        assert new is not old
        write(ensemble, new.sid, "/a")
        ensemble.resume(old)
        old.wait_until_serving()
        assert old.role == "follower"
        old.wait_for_node("/a")


def test_a_write_is_answered_when_a_quorum_has_it_on_disk() -> None:
    with ZooKeeperEnsemble() as ensemble, RawClient(ensemble.leader) as client:
        one, two = ensemble.followers
        one.stall_disk()
        assert client.create("/quorum").err == 0
        two.stall_disk()
        xid = client.submit(OpCode.CREATE, create_request("/slow"))
        assert ensemble.leader.tree() == {"/quorum": b""}
        assert client.is_quiet()
        one.stall_disk(False)
        assert client.reply().xid == xid
        assert "/slow" in ensemble.tree()
        client.end()


# --- partitions -----------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_the_greater_side_of_a_partition_goes_on_and_the_smaller_does_not(silent: bool) -> None:
    with ZooKeeperEnsemble() as ensemble:
        old = ensemble.leader
        others = [member for member in ensemble if member is not old]
        with RawClient(old) as client:
            ensemble.partition({old}, others, silent=silent)
            new = ensemble.wait_for_leader()
            assert new in others
            assert client.is_cut()
        write(ensemble, new.sid, "/majority")
        assert "/majority" not in old.tree()
        ensemble.heal()
        ensemble.wait_until_serving()
        ensemble.wait_until_synced()
        assert old.tree() == {"/majority": b""}
        assert ensemble.leader is new


def test_a_write_of_a_leader_without_its_quorum_is_taken_back() -> None:
    with ZooKeeperEnsemble() as ensemble:
        old = ensemble.leader
        with RawClient(old) as client:
            ensemble.isolate(old, silent=True)
            client.submit(OpCode.CREATE, create_request("/lost"))
            assert client.is_cut()
        new = ensemble.wait_for_leader()
        write(ensemble, new.sid, "/kept")
        ensemble.heal()
        ensemble.wait_until_serving()
        ensemble.wait_until_synced()
        assert "/kept" in old.tree()
        assert [member.tree() for member in ensemble] == [new.tree()] * 3
        # Who is cut off may have given it to nobody; then nobody has it.
        assert "/lost" not in new.tree()


def test_a_partition_replaces_the_one_before() -> None:
    with ZooKeeperEnsemble(5) as ensemble:
        ensemble.partition({1, 2}, {3, 4, 5})
        assert ensemble.wait_for_leader().sid in (3, 4, 5)
        ensemble.wait_until_serving(3, 4, 5)
        ensemble.partition({3, 4}, {1, 2, 5})
        ensemble.wait_until_serving(1, 2, 5)
        assert leader_sid(ensemble) in (1, 2, 5)


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ([{1, 2, 3}], "two sides"),
        ([{1}, set()], "two sides"),
        ([{1}, {2}], "on which side of the partition server 3 is; members are 1, 2, 3"),
        ([{1}, {1, 2, 3}], "server 1 is on two sides"),
        ([{1}, {2, 3, 4}], "there is no server 4; members are 1, 2, 3"),
        ([{"1"}, {2, 3}], "'1' does not name a member"),
    ],
)
def test_a_partition_that_cannot_be_is_told(sides: list[set[int]], said: str) -> None:
    with ZooKeeperEnsemble() as ensemble, pytest.raises(FixtureError, match=said):
        ensemble.partition(*sides)


def test_another_leader_on_demand() -> None:
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        for _ in range(3):
            old = ensemble.leader
            new = ensemble.elect_new_leader()
            assert new is ensemble.leader
            assert new is not old
            assert old.role == "follower"
            assert not new.is_observer


# --- sessions and clients -------------------------------------------------------------


def test_a_session_goes_to_another_member_with_its_ephemerals() -> None:
    with ZooKeeperEnsemble() as ensemble:
        first = RawClient(ensemble[1])
        assert first.create("/mine", flags=CreateMode.EPHEMERAL).err == 0
        assert ensemble.server_of(first.session_id) is ensemble[1]
        ensemble.kill(1)
        ensemble.wait_until_serving(2, 3)
        with RawClient(ensemble[2], session=first) as again:
            assert again.session_id == first.session_id
            assert ensemble.server_of(again.session_id) is ensemble[2]
            assert ensemble.tree() == {"/mine": b""}
            again.end()
        ensemble.wait_for_node("/mine", exists=False)
        first.close()


@pytest.mark.parametrize("sid", [1, 2, 3, 4])
def test_an_expired_session_is_over_everywhere(sid: int) -> None:
    with ZooKeeperEnsemble(3, observers=1) as ensemble, RawClient(ensemble[sid]) as client:
        client.create("/mine", flags=CreateMode.EPHEMERAL)
        ensemble.expire_session(client.session_id)
        assert [member.tree() for member in ensemble] == [{}] * 4
        assert client.is_cut()
        with RawClient(ensemble[1], session=client, greet=False) as late:
            late.greet()
            assert late.welcome() == 0


def test_a_member_expires_sessions_of_all() -> None:
    with ZooKeeperEnsemble() as ensemble, RawClient(ensemble.followers[0]) as client:
        ensemble.followers[1].expire_session(client.session_id)
        assert client.is_cut()


def test_connections_can_be_cut() -> None:
    with ZooKeeperEnsemble() as ensemble:
        clients = [RawClient(member) for member in ensemble]
        ensemble.drop_connection(clients[0].session_id)
        assert clients[0].is_cut()
        with pytest.raises(FixtureError, match="is not connected to any member now"):
            ensemble.server_of(clients[0].session_id)
        assert ensemble.drop_connections() == 2
        assert clients[1].is_cut()
        assert clients[2].is_cut()
        for client in clients:
            client.close()


def test_a_fault_of_one_member_is_that_members() -> None:
    with ZooKeeperEnsemble() as ensemble:
        ensemble[1].fail("create", "NoAuth", times=None)
        with RawClient(ensemble[1]) as one, RawClient(ensemble[2]) as two:
            assert one.create("/a").err == ErrorCode.NO_AUTH
            assert two.create("/a").err == 0
            ensemble.reset_faults()
            assert one.create("/b").err == 0
            one.end()
            two.end()


def test_the_tree_is_loaded_and_read() -> None:
    with ZooKeeperEnsemble() as ensemble:
        ensemble.load({"app": {"name": "shop"}})
        assert ensemble.tree("/app/name") == {"/app/name": b"shop"}
        assert ensemble.tree(nested=True) == {"app": {"name": b"shop"}}
        ensemble[1].load({"/b": "2"})
        for member in ensemble:
            assert member.tree("/b") == {"/b": b"2"}


def test_watches_and_sessions_are_seen_at_their_member() -> None:
    with ZooKeeperEnsemble() as ensemble, RawClient(ensemble[2]) as client:
        client.exists("/x", watch=True)
        assert [watch.path for watch in ensemble[2].watches] == ["/x"]
        assert ensemble[1].watches == []
        assert ensemble[2].wait_for_session(client.session_id) is not None
        client.end()


# --- what is told ---------------------------------------------------------------------


@pytest.mark.parametrize(("voters", "observers"), [(1, 0), (0, 0), (10, 0), (3, -1), (3, 99)])
def test_sizes_that_make_no_sense_are_refused(voters: int, observers: int) -> None:
    with pytest.raises(FixtureError, match="give"):
        ZooKeeperEnsemble(voters, observers=observers)


def test_options_are_those_of_zoo_cfg() -> None:
    small = {"jute.maxbuffer": 1000}
    with ZooKeeperEnsemble(options=small) as ensemble, RawClient(ensemble[1]) as client:
        client.submit(OpCode.CREATE, create_request("/" + "x" * 2000))
        assert client.is_cut()
    with pytest.raises(FixtureError, match="tickTme"):
        ZooKeeperEnsemble(options={"tickTme": 1})
    with pytest.raises(ConfigError, match="syncLimit"):
        ZooKeeperEnsemble(options={"syncLimit": "many"}).start()


def test_an_ensemble_lives_once() -> None:
    ensemble = ZooKeeperEnsemble()
    assert ensemble.state == "not started"
    with pytest.raises(NotRunningError, match=r"not started: call start\(\)"):
        ensemble.kill(1)
    with pytest.raises(NotRunningError, match="not started"):
        _ = ensemble.leader
    ensemble.start()
    with pytest.raises(FixtureError, match="once"):
        ensemble.start()
    with pytest.raises(FixtureError, match="there is no server 4"):
        ensemble.kill(4)
    ensemble.stop()
    ensemble.stop()
    with pytest.raises(FixtureError, match="once"):
        ensemble.start()
    with pytest.raises(NotRunningError, match="make another one"):
        ensemble.wait_for_leader()


def test_the_report_tells_of_each_member() -> None:
    with ZooKeeperEnsemble() as ensemble:
        ensemble.partition({1}, {2, 3})
        ensemble.wait_for_leader()
        report = ensemble.report()
        for wanted in ("server 1: ", "server 3: ", "nothing passes between 1 and 2, 1 and 3"):
            assert wanted in report
        assert "partition: 1 | 2 3" in report
        assert "is leader" in report
        ensemble.heal()
    assert "server 1: stopped" in ensemble.report()
