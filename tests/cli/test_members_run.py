"""`pyzk members` while it goes on: answers that are lost, waiting, and replacements in steps."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pyzk.cli import main, members, members_client, members_run
from pyzk.cli.members_change import Change
from pyzk.cli.members_report import Outcome
from pyzk.config.members import Membership
from tests.cli.stand_in import AUTH, NOT_SERVING, StandIn, asked, change, run

# --- a lost answer --------------------------------------------------------------------


def test_a_change_whose_answer_is_lost_is_found_to_be_made(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.loses = "after"
    result = change(ensemble, "remove", "3")
    assert result.exit_code == Outcome.DONE, result.output
    assert "done: the configuration is now 100000008" in result.output


def test_a_change_of_which_nothing_is_heard_is_not_called_undone(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(3)
    ensemble.loses = "before"
    monkeypatch.setattr(members_client, "PATIENCE_S", 0.5)
    result = change(ensemble, "remove", "3", "--output", "json")
    assert result.exit_code == Outcome.UNFINISHED
    found = json.loads(result.stdout)
    assert [each["check"] for each in found["problems"]] == ["unknown-outcome"]
    assert found["summary"] == "unfinished: it is not known whether the change was made"


def test_a_change_that_is_interrupted_before_its_answer_is_not_called_undone(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: members_client.EnsembleClient, change: Change) -> Membership:
        raise KeyboardInterrupt

    ensemble.form(3)
    ensemble.loses = "before"
    monkeypatch.setattr(members_client.EnsembleClient, "_find_out", interrupt)
    result = change(ensemble, "remove", "3")
    assert result.exit_code == Outcome.UNFINISHED
    assert "unfinished: it is not known whether the change was made" in result.output
    assert "it was interrupted before the answer" in result.output


def test_a_lost_answer_and_the_change_of_another_is_not_taken_for_its_own(
    ensemble: StandIn,
) -> None:
    ensemble.form(4)
    ensemble.loses = "after"

    def undo() -> None:
        members_of_another = ensemble.membership.members[:2]
        ensemble.membership = type(ensemble.membership)(members_of_another, 0x100000009)

    ensemble.then = undo
    result = change(ensemble, "remove", "4")
    assert result.exit_code == Outcome.REFUSED
    assert "somebody else has changed the members meanwhile" in result.output


def test_the_server_that_was_asked_may_be_the_one_that_leaves(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.loses = "after"
    ensemble.then = lambda: setattr(ensemble.servers[3], "mode", NOT_SERVING)
    result = CliRunner().invoke(
        main, ["members", "remove", "3", "-s", ensemble.servers[3].address, AUTH]
    )
    assert result.exit_code == Outcome.DONE, result.output


# --- waiting --------------------------------------------------------------------------


def test_a_promotion_waits_until_the_observer_is_in_sync(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(3, observers=1)
    ensemble.servers[4].mode = NOT_SERVING
    looks = 0

    def slept(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            ensemble.servers[4].mode = "observer"

    monkeypatch.setattr(members_run, "sleep", slept)
    result = change(ensemble, "promote", "4")
    assert result.exit_code == Outcome.DONE, result.output
    assert looks == 3
    # It is said once why.
    assert result.stderr.count("waiting for 60 s at most: server 4 is not in sync") == 1


def test_waiting_has_an_end(ensemble: StandIn) -> None:
    ensemble.form(3, observers=1)
    ensemble.servers[4].mode = NOT_SERVING
    result = change(ensemble, "promote", "4", "--wait", "0.1")
    assert result.exit_code == Outcome.REFUSED
    assert "(waited for 0.1 s; a longer --wait may help)" in result.output
    result = change(ensemble, "promote", "4", "--wait", "0")
    assert result.exit_code == Outcome.REFUSED
    assert "waited" not in result.output
    assert not ensemble.requests


def test_behind_the_wait_all_that_are_not_in_sync_are_named(ensemble: StandIn) -> None:
    ensemble.form(3, observers=2)
    ensemble.servers[4].mode = ensemble.servers[5].mode = NOT_SERVING
    result = change(ensemble, "promote", "4", "5", "--wait", "0.1")
    assert result.exit_code == Outcome.REFUSED
    [problem] = [line for line in result.output.splitlines() if "problem:" in line]
    assert "server 4 is not in sync" in problem
    assert "server 5 is not in sync" in problem


def test_who_lags_is_not_in_sync(ensemble: StandIn) -> None:
    ensemble.form(3, observers=1)
    ensemble.servers[4].zxid -= 3
    result = change(ensemble, "promote", "4", "--wait", "0", "--max-lag", "2")
    assert result.exit_code == Outcome.REFUSED
    assert "is 3 transactions behind the leader" in result.output
    assert change(ensemble, "promote", "4", "--max-lag", "3").exit_code == Outcome.DONE


def test_behind_a_change_of_the_leader_the_next_one_is_waited_for(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(4)
    ensemble.then = lambda: setattr(ensemble.servers[1], "mode", NOT_SERVING)
    monkeypatch.setattr(
        members_run, "sleep", lambda _: setattr(ensemble.servers[2], "mode", "leader")
    )
    result = run(ensemble.connect_string, "remove", "1", AUTH)
    assert result.exit_code == Outcome.DONE, result.output
    assert ensemble.servers[2].mode == "leader"
    assert "no member says yet" not in result.output


def test_that_there_is_no_leader_behind_a_change_is_a_note(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(4)
    monkeypatch.setattr(members_run, "PATIENCE_S", 0.0)
    ensemble.then = lambda: setattr(ensemble.servers[1], "mode", "follower")
    result = change(ensemble, "remove", "4")
    assert result.exit_code == Outcome.DONE
    assert "note: 0 s later no member says yet that it leads" in result.output


# --- replace --------------------------------------------------------------------------


def test_a_server_is_replaced_in_steps(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4, "observer")
    result = change(ensemble, "replace", "3", f"4={new.line()}")
    assert result.exit_code == Outcome.DONE, result.output
    assert asked(ensemble) == [
        (f"server.4={new.line('observer')}", None, None),
        (f"server.4={new.line()}", "3", None),
    ]
    assert "step 1 of 2: add server 4 as an observer" in result.output
    assert "step 2 of 2: give server 4 a vote and remove server 3" in result.output
    assert "server 4 needs" not in result.output  # it runs
    assert change(ensemble, "replace", "3", f"4={new.line()}").output.startswith("nothing to do")


def test_a_replacement_that_has_stopped_half_way_goes_on(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4, NOT_SERVING)
    arguments = ("replace", "3", f"4={new.line()}", "--output", "json")
    result = change(ensemble, *arguments, "--wait", "0.1")
    assert result.exit_code == Outcome.UNFINISHED
    found = json.loads(result.stdout)
    assert (found["outcome"], found["changed"]) == ("unfinished", True)
    assert [step["done"] for step in found["steps"]] == [True, False]
    assert found["summary"] == (
        "unfinished: 1 of 2 steps are done; the same command goes on from there"
    )
    assert [each["check"] for each in found["problems"]] == ["not-in-sync"]
    # The lines that it needs are told as long as it does not run.
    [newcomer] = found["newcomers"]
    assert (newcomer["id"], newcomer["myid"]) == (4, "4")
    assert newcomer["zoo_cfg"][-1] == f"server.4={new.line('observer')}"
    again = change(ensemble, "add", f"4={new.line('observer')}")
    assert "nothing to do" in again.output
    assert f"server.4={new.line('observer')}" in again.output
    new.mode = "observer"
    result = change(ensemble, *arguments)
    assert result.exit_code == Outcome.DONE
    assert [step["title"] for step in json.loads(result.stdout)["steps"]] == [
        "give server 4 a vote and remove server 3"
    ]
    assert ensemble.membership.voters == (1, 2, 4)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_the_rest_of_a_replacement_that_is_not_made_is_unfinished(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch, is_interrupted: bool
) -> None:
    def slept(_: float) -> None:
        if is_interrupted:
            raise KeyboardInterrupt

    ensemble.form(3)
    new = ensemble.start(4, NOT_SERVING)
    line = new.line("observer")
    assert change(ensemble, "add", f"4={line}").exit_code == Outcome.DONE
    monkeypatch.setattr(members_run, "sleep", slept)
    arguments = ("replace", "3", f"4={new.line()}")
    for wait in ("0.1", "0") if not is_interrupted else ("60",):
        result = change(ensemble, *arguments, "--wait", wait)
        assert result.exit_code == Outcome.UNFINISHED
        assert "unfinished: nothing was changed now, but a part was done before" in result.output
    assert change(ensemble, *arguments, "--dry-run").exit_code == Outcome.REFUSED
    assert len(ensemble.requests) == 1


def test_another_host_of_a_member_that_has_left_already_is_the_rest_of_a_replacement(
    ensemble: StandIn,
) -> None:
    ensemble.form(3)
    new = ensemble.start(4, NOT_SERVING)
    result = change(ensemble, "replace", "4", f"4={new.line()}", "--wait", "0.1")
    assert result.exit_code == Outcome.UNFINISHED


def test_who_says_no_to_the_rest_of_a_replacement_has_refused_it(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(3, observers=1)
    monkeypatch.setattr(members, "is_terminal", lambda: True)
    line = ensemble.servers[4].line()
    result = change(ensemble, "replace", "3", f"4={line}", input="n\n")
    assert result.exit_code == Outcome.REFUSED
    assert "refused: nothing was changed" in result.output


def test_a_replacement_whose_end_is_impossible_does_not_begin(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.stop(2)
    ensemble.start(4, "observer")
    result = change(ensemble, "replace", "3", f"4={ensemble.servers[4].line()}")
    assert result.exit_code == Outcome.REFUSED
    assert not ensemble.requests


def test_a_server_that_fails_between_two_steps_leaves_it_unfinished(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4, "observer")
    ensemble.then = lambda: ensemble.stop(2)
    result = change(ensemble, "replace", "3", f"4={new.line()}")
    assert result.exit_code == Outcome.UNFINISHED
    assert "unfinished: 1 of 2 steps are done" in result.output
    assert "quorum" in result.output


def test_a_member_that_gets_other_ports_needs_no_new_files(ensemble: StandIn) -> None:
    ensemble.form(3)
    line = ensemble.servers[3].line().replace(":2003:", ":2013:")
    result = change(ensemble, "replace", "3", f"3={line}")
    assert result.exit_code == Outcome.DONE, result.output
    assert asked(ensemble) == [(f"server.3={line}", None, None)]
    assert "needs a dataDir" not in result.output


def test_an_id_moves_to_another_host(ensemble: StandIn) -> None:
    ensemble.form(3)
    line = ensemble.servers[3].line().replace("127.0.0.1:2003", "localhost:2003")
    result = change(ensemble, "replace", "3", f"3={line}", "--force")
    assert result.exit_code == Outcome.DONE, result.output
    assert asked(ensemble) == [(None, "3", None), (f"server.3={line}", None, None)]


def test_an_interruption_tells_how_far_it_came(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    ensemble.form(3)
    new = ensemble.start(4, NOT_SERVING)
    monkeypatch.setattr(members_run, "sleep", interrupt)
    result = change(ensemble, "promote", "3", "--max-lag", "0")
    assert result.exit_code == Outcome.DONE
    result = change(ensemble, "add", f"4={new.line()}")
    assert result.exit_code == Outcome.REFUSED
    assert "problem: it was interrupted" in result.output
    result = change(ensemble, "replace", "3", f"4={new.line()}")
    assert result.exit_code == Outcome.UNFINISHED
    assert "1 of 2 steps are done" in result.output
