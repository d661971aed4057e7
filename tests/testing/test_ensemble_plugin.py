"""The fixtures for ensembles, used as their users do."""

from __future__ import annotations

import pytest

from tests.testing.test_plugin import Run, run

pytest.importorskip("kazoo.client")

__all__ = ["run"]


def test_an_ensemble_and_a_client_that_outlives_its_server(run: Run) -> None:
    run(
        """
        def test_failover(zk_ensemble, zk_client_factory):
            client = zk_client_factory(zk_ensemble)
            client.create("/a", b"1")
            zk_ensemble.server_of(client).kill()
            zk_ensemble.wait_for_leader()
            assert client.retry(client.get, "/a")[0] == b"1"

        def test_a_client_of_one_member(zk_ensemble, zk_client_factory):
            follower = zk_ensemble.followers[0]
            client = zk_client_factory(follower)
            assert zk_ensemble.server_of(client) is follower
        """
    ).assert_outcomes(passed=2)


def test_the_marker_says_what_it_is_made_with(run: Run) -> None:
    run(
        """
        @pytest.mark.zk_ensemble(voters=5, observers=1, options={"jute.maxbuffer": 1000})
        def test_five(zk_ensemble):
            assert len(zk_ensemble) == 6

        @pytest.mark.zk_ensemble(on_disk=True)
        def test_disk(zk_ensemble):
            assert zk_ensemble[1].data_dir.endswith("1")

        @pytest.mark.zk_ensemble(observers=1)
        def test_factory(zk_ensemble_factory):
            one, two = zk_ensemble_factory(5), zk_ensemble_factory()
            assert (len(one), len(two)) == (6, 4)
        """
    ).assert_outcomes(passed=3)


def test_a_wrong_marker_says_what_there_is(run: Run) -> None:
    result = run(
        """
        @pytest.mark.zk_ensemble(member=5)
        def test_it(zk_ensemble):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*marker zk_ensemble does not take 'member'; it takes voters, observers, options*"]
    )


def test_a_failure_is_told_with_what_the_members_did(run: Run) -> None:
    result = run(
        """
        def test_it(zk_ensemble):
            zk_ensemble.kill(1)
            assert False
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*ZooKeeper ensemble zk_ensemble*", "server 1: killed; server 2: *", "*is leader*"]
    )


def test_a_client_of_a_paused_or_dead_ensemble_is_stopped(run: Run) -> None:
    run(
        """
        def test_paused(zk_ensemble, zk_client_factory):
            client = zk_client_factory(zk_ensemble)
            for member in zk_ensemble:
                member.pause()

        def test_dead(zk_ensemble, zk_client_factory):
            client = zk_client_factory(zk_ensemble)
            for member in zk_ensemble:
                member.kill()
        """
    ).assert_outcomes(passed=2)


def test_an_external_server_is_no_ensemble(run: Run) -> None:
    run("def test_it(zk_ensemble): pass", "--pyzk-connect=127.0.0.1:1").assert_outcomes(skipped=1)
