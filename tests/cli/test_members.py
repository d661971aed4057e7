"""`pyzk members` from the command line: what it shows, asks and refuses, and how it ends."""

from __future__ import annotations

import json
import os
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from pyzk.cli import main, members, members_client
from pyzk.cli.client_addresses import parse_addresses
from pyzk.cli.members_change import Change
from pyzk.cli.members_report import SUPER_KEY, Outcome
from pyzk.config.members import Membership
from pyzk.constants import ErrorCode
from pyzk.testing import ZooKeeperEnsemble, ZooKeeperServer
from tests.cli.stand_in import AUTH, NOT_SERVING, PASSWORD, StandIn, asked, change, run
from tests.processes import python

SUPER_TEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
"""The digest of super:test."""

# --- list -----------------------------------------------------------------------------


def test_the_members_are_listed_by_any_that_serves(ensemble: StandIn) -> None:
    ensemble.form(3, observers=1)
    ensemble.stop(3)
    result = run(ensemble.servers[2].address, "list")
    assert result.exit_code == Outcome.DONE, result.output
    head, *rows, blank, last = result.output.splitlines()
    assert head.split() == ["ID", "ROLE", "ADDRESS", "CLIENTS", "MODE", "ZXID", "LAG", "VERSION"]
    one = ensemble.servers[1]
    assert rows[0].split() == [
        "1", "participant", f"127.0.0.1:2001:{one.election.number}", one.address, "leader",
        "0x100000007", "-", "3.9.3",
    ]  # fmt: skip
    assert rows[1].split()[4:7] == ["follower", "0x100000007", "0"]
    assert rows[2].endswith("connection refused  -            -    -")
    assert rows[3].split()[1] == "observer"
    assert not blank
    assert last == "configuration 100000000: 3 voters, 1 observer; 2 are a quorum"


def test_as_json_there_is_more(ensemble: StandIn) -> None:
    ensemble.form(3, extra="group.1=1:2\ngroup.2=3\nweight.1=2")
    ensemble.stop(3)
    found = json.loads(run(ensemble, "list", "--output", "json").output)
    assert found["exit_code"] == Outcome.DONE
    assert found["version"] == "100000000"
    assert found["voters"] == [1, 2, 3]
    assert found["groups"] == {"1": [1, 2], "2": [3]}
    assert found["weights"] == {"1": 2, "2": 1, "3": 1}
    one, _, three = found["members"]
    assert one["line"] == f"server.1={ensemble.servers[1].line()}"
    assert (one["mode"], one["in_sync"], one["problem"]) == ("leader", True, None)
    assert (three["mode"], three["in_sync"]) == (None, False)
    assert "connection refused" in three["problem"]


@pytest.mark.parametrize("first", [1, 2])
def test_a_member_that_goes_by_version_0_is_named(ensemble: StandIn, first: int) -> None:
    """Also if it is the one that is asked for the members."""
    ensemble.form(3)
    ensemble.servers[2].is_fixed = True
    ensemble.stop(3)
    result = run(ensemble.servers[first].address, "list")
    assert result.exit_code == Outcome.DONE
    warning = (
        "server 2 goes by version 0 of the configuration, and not by 100000000: reconfigEnabled"
        " is not true there, or it has not caught up"
    )
    assert result.output.splitlines()[-1] == f"  warning: {warning}"
    found = json.loads(run(ensemble, "list", "--output", "json").output)
    assert found["warnings"] == [warning]
    ensemble.servers[2].is_fixed = False
    assert "warning" not in run(ensemble, "list").output


def test_where_all_go_by_version_0_there_is_no_contradiction(ensemble: StandIn) -> None:
    ensemble.form(2)
    ensemble.membership = attrs.evolve(ensemble.membership, version=0)
    assert "warning" not in run(ensemble, "list").output


def test_the_list_needs_no_session(ensemble: StandIn) -> None:
    """A session is a transaction: asking again and again would move the zxid."""
    ensemble.form(3)
    ensemble.servers[1].claimed_id = None
    assert run(ensemble.servers[2].address, "list").exit_code == Outcome.DONE
    assert run(ensemble.servers[3].address, "list", "--output", "json").exit_code == Outcome.DONE
    assert ensemble.sessions == 0
    # What the leader says counts, and what those say that it does not name yet.
    ensemble.servers[1].claimed_id = 1
    ensemble.servers[2].is_fixed = True
    assert "configuration 100000000: 3 voters" in run(ensemble.servers[2].address, "list").output
    assert ensemble.sessions == 0


def test_where_no_server_tells_its_configuration_one_session_is_enough(ensemble: StandIn) -> None:
    ensemble.form(3)
    for server in ensemble.servers.values():
        server.claimed_id = None
    result = run(ensemble, "list")
    assert result.exit_code == Outcome.DONE
    assert "configuration 100000000: 3 voters" in result.output
    assert ensemble.sessions == 1


def test_an_ensemble_of_pyzk_is_listed_without_a_transaction() -> None:
    with ZooKeeperEnsemble(3) as ensemble:
        before = ensemble.leader.zxid
        result = run(ensemble.followers[0].connect_string, "list")
        assert ensemble.leader.zxid == before
    assert result.exit_code == Outcome.DONE, result.output
    assert len(result.output.splitlines()) == 6


def test_a_member_that_gives_no_session_is_listed_all_the_same(ensemble: StandIn) -> None:
    ensemble.form(2)
    ensemble.servers[2].is_full = True
    result = run(ensemble, "list", "--timeout", "0.2")
    assert result.exit_code == Outcome.DONE
    assert "follower" in result.output


def test_a_look_that_is_refused_speaks_of_no_change() -> None:
    with ZooKeeperServer() as server:
        result = run(server.connect_string, "list")
        found = json.loads(run(server.connect_string, "list", "--output", "json").output)
    assert result.exit_code == found["exit_code"] == Outcome.REFUSED
    (line,) = result.output.splitlines()
    assert line.startswith("problem: this server stands alone and has no members: ")
    assert (found["outcome"], found["summary"], found["changed"]) == ("refused", "refused", False)
    assert [each["check"] for each in found["problems"]] == ["standalone"]


def test_servers_may_be_named_as_for_status(ensemble: StandIn) -> None:
    ensemble.form(1)
    result = CliRunner().invoke(main, ["members", "list", ensemble.connect_string])
    assert result.exit_code == Outcome.DONE
    assert "1 voter; 1 are a quorum" in result.output


def test_a_server_that_stands_alone_has_no_members() -> None:
    with ZooKeeperServer() as server:
        result = run(server.connect_string, "list")
        assert result.exit_code == Outcome.REFUSED
        assert "this server stands alone and has no members" in result.output
        result = run(server.connect_string, "remove", "1", "--output", "json")
    assert result.exit_code == Outcome.REFUSED
    assert [each["check"] for each in json.loads(result.output)["problems"]] == ["standalone"]


@pytest.mark.parametrize("command", [("list",), ("remove", "1"), ("list", "--output", "json")])
def test_where_nobody_serves_there_is_nothing_to_ask(
    ensemble: StandIn, command: tuple[str, ...]
) -> None:
    ensemble.form(2)
    ensemble.stop(1)
    ensemble.servers[2].mode = NOT_SERVING
    result = run(ensemble.connect_string, *command)
    assert result.exit_code == Outcome.UNAVAILABLE
    assert "no server takes writes: 127.0.0.1:" in result.output
    assert "connection refused: nothing listens there" in result.output
    assert "not serving" in result.output


def test_a_session_that_is_not_given_is_told(ensemble: StandIn) -> None:
    ensemble.form(1).servers[1].claimed_id = None
    ensemble.is_full = True
    result = run(ensemble, "list", "--timeout", "0.2")
    assert result.exit_code == Outcome.UNAVAILABLE
    assert "no session with 127.0.0.1:" in result.output
    assert "maxClientCnxns" in result.output


# --- changes --------------------------------------------------------------------------


def test_an_observer_is_added_and_told_what_it_needs(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4)
    ensemble.stop(4)
    line = new.line("observer")
    result = change(ensemble, "add", "--observer", f"4={new.line('observer')}")
    assert result.exit_code == Outcome.DONE, result.output
    assert asked(ensemble) == [(f"server.4={line}", None, None)]
    assert ensemble.requests[0].cur_config_id == 0x100000000
    told = [text.strip() for text in result.output.splitlines()]
    at = told.index("server 4 needs a dataDir with nothing in it but the file myid:")
    assert told[at + 1] == "4"
    assert told[at + 3 : at + 9] == [
        "reconfigEnabled=true",
        "standaloneEnabled=false",
        *(f"server.{sid}={ensemble.servers[sid].line()}" for sid in (1, 2, 3)),
        f"server.4={line}",
    ]
    for key in ("DigestAuthenticationProvider.superDigest", "4lw.commands.whitelist", "tickTime"):
        assert key in told[at + 9]
    assert told[-1] == "done: the configuration is now 100000008"
    assert "note: server 4 is not running yet" in result.output


def test_the_table_says_what_becomes_of_each(ensemble: StandIn) -> None:
    ensemble.form(3, observers=1)
    result = change(ensemble, "promote", "4", "--dry-run")
    rows = [row.split() for row in result.output.splitlines()]
    assert rows[0] == ["give", "server", "4", "a", "vote"]
    assert rows[1] == ["ID", "MODE", "BEFORE", "AFTER"]
    assert rows[2] == ["1", "leader", ensemble.servers[1].line(), "the", "same"]
    four = ensemble.servers[4]
    assert rows[5] == ["*", "4", "observer", four.line("observer"), four.line()]
    assert rows[6] == ["4", "voters", "(3", "before);", "3", "are", "a", "quorum"]
    result = change(ensemble, "remove", "3", "--dry-run")
    assert f"  -  3   follower  {ensemble.servers[3].line()}" in result.output
    assert "2 voters (3 before)" in result.output


def test_nobody_knows_how_servers_are_when_a_later_step_begins(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4, "observer")
    result = change(ensemble, "replace", "3", f"4={new.line()}", "--dry-run")
    rows = [row.split() for row in result.output.splitlines()]
    first, second = (rows[at + 1] for at, row in enumerate(rows) if row[:1] == ["step"])
    assert first == ["ID", "MODE", "BEFORE", "AFTER"]
    assert second == ["ID", "BEFORE", "AFTER"]


def test_roles_change_and_members_leave(ensemble: StandIn) -> None:
    ensemble.form(4, observers=1)
    assert change(ensemble, "promote", "5").exit_code == Outcome.DONE
    assert change(ensemble, "demote", "5").exit_code == Outcome.DONE
    assert change(ensemble, "remove", "5", "4").exit_code == Outcome.DONE
    assert ensemble.membership.voters == (1, 2, 3)
    assert [each.cur_config_id for each in ensemble.requests] == [
        0x100000000, 0x100000008, 0x100000009,
    ]  # fmt: skip


def test_one_voter_becomes_three_at_once(ensemble: StandIn) -> None:
    ensemble.form(1)
    two, three = ensemble.start(2), ensemble.start(3, NOT_SERVING)
    arguments = ("add", f"2={two.line()}", f"3={three.line()}")
    result = change(ensemble, *arguments, "--wait", "0")
    assert result.exit_code == Outcome.REFUSED
    assert "server 3 is not in sync" in result.output
    # Two can join; one needs to know how.
    assert "server 2 needs" not in result.output
    assert "server 3 needs a dataDir" in result.output
    assert "standaloneEnabled=false" in result.output
    three.mode = "follower"
    result = change(ensemble, *arguments)
    assert result.exit_code == Outcome.DONE, result.output
    assert ensemble.membership.voters == (1, 2, 3)


def test_nothing_to_do_is_done(ensemble: StandIn) -> None:
    ensemble.form(3)
    for arguments in (("promote", "3"), ("add", f"3={ensemble.servers[3].line()}")):
        result = change(ensemble, *arguments)
        assert result.exit_code == Outcome.DONE
        assert result.output == "nothing to do: the members are as they were to become\n"
    assert not ensemble.requests


def test_a_dry_run_changes_nothing(ensemble: StandIn) -> None:
    ensemble.form(3)
    result = change(ensemble, "remove", "3", "--dry-run")
    assert result.exit_code == Outcome.DONE
    assert (
        result.output.splitlines()[-1] == "nothing is in the way (--dry-run: nothing was changed)"
    )
    ensemble.stop(2)
    result = change(ensemble, "remove", "3", "--dry-run")
    assert result.exit_code == Outcome.REFUSED
    assert "problem: of the voters that there would be (1, 2)" in result.output
    assert not ensemble.requests


def test_with_groups_the_whole_configuration_is_sent(ensemble: StandIn) -> None:
    ensemble.form(4, observers=1, extra="group.1=1:2\ngroup.2=3:4")
    result = change(ensemble, "promote", "5", "--group", "2", "--weight", "0")
    assert result.exit_code == Outcome.DONE, result.output
    assert ensemble.membership.groups == ((1, (1, 2)), (2, (3, 4, 5)))
    new = ensemble.start(6, NOT_SERVING)
    told = change(ensemble, "add", f"6={new.line()}", "--group", "1", "--wait", "0").output
    # A participant without a group would be refused by its own server.
    for line in (f"server.6={new.line('observer')}", "group.2=3:4:5", "weight.5=0"):
        assert f"    {line}\n" in told
    assert dict(ensemble.membership.weights)[5] == 0
    assert "a quorum is most of the weight in most of the groups 1 (1, 2), 2 (3, 4, 5)" in (
        result.output
    )


# --- what is in the way ---------------------------------------------------------------


def test_a_change_that_would_stop_all_writes_is_not_made(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.stop(2)
    for command in ("remove", "demote"):
        result = change(ensemble, command, "3")
        assert result.exit_code == Outcome.REFUSED
        assert "refused: nothing was changed" in result.output
        assert "those in sync are no quorum (1): nobody could write (server 2:" in result.output
        assert "note: with --force it is tried in spite of that" in result.output
    assert not ensemble.requests


def test_a_change_is_forced_by_order(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.stop(2)
    result = change(ensemble, "remove", "3", "--force")
    assert result.exit_code == Outcome.DONE
    assert "in spite of: of the voters that there would be" in result.output
    assert ensemble.membership.voters == (1, 2)


def test_what_the_servers_would_refuse_cannot_be_forced(ensemble: StandIn) -> None:
    ensemble.form(1)
    result = change(ensemble, "remove", "1", "--force")
    assert result.exit_code == Outcome.REFUSED
    assert "problem: no voter would be left" in result.output
    assert "with --force" not in result.output
    assert not ensemble.requests


def test_who_is_no_member_is_told(ensemble: StandIn) -> None:
    ensemble.form(2)
    result = change(ensemble, "remove", "7")
    assert result.exit_code == Outcome.REFUSED
    assert "server 7 is not a member; the members are 1, 2" in result.output


def test_the_replacement_of_nobody_prints_nothing_but_that(ensemble: StandIn) -> None:
    ensemble.form(2)
    new = ensemble.start(4, NOT_SERVING)
    result = change(ensemble, "replace", "7", f"4={new.line()}")
    assert result.exit_code == Outcome.REFUSED
    assert result.output.splitlines() == [
        "refused: nothing was changed",
        "  problem: server 7 is not a member; the members are 1, 2",
    ]


def test_a_host_that_nobody_knows_is_told(ensemble: StandIn) -> None:
    ensemble.form(3)
    result = change(ensemble, "add", "--observer", "4=no-such-host.invalid:2888:3888;2181")
    assert result.exit_code == Outcome.REFUSED
    assert "nobody knows the host no-such-host.invalid" in result.output


def test_an_election_port_that_is_closed_is_told(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4)
    new.election.close()
    result = change(ensemble, "add", f"4={new.line()}", "--wait", "0")
    assert result.exit_code == Outcome.REFUSED
    assert (
        f"its election address 127.0.0.1:{new.election.number} cannot be reached" in result.output
    )


def test_without_credentials_it_is_not_tried(ensemble: StandIn) -> None:
    ensemble.form(3)
    result = run(ensemble, "remove", "3")
    assert result.exit_code == Outcome.REFUSED
    assert "give --auth digest:super:PASSWORD, or set PYZK_AUTH" in result.output
    assert "with --force" not in result.output  # the servers refuse it
    assert not ensemble.requests
    ensemble.is_open = True
    assert run(ensemble, "remove", "3").exit_code == Outcome.DONE


def test_a_wrong_password_is_found_before_a_server_is_waited_for(ensemble: StandIn) -> None:
    ensemble.form(3, observers=1)
    ensemble.servers[4].mode = NOT_SERVING
    wrong = "--auth=digest:super:wr0ng"
    result = run(ensemble, "promote", "4", wrong)
    assert result.exit_code == Outcome.REFUSED
    assert "does not take --auth for the superuser's" in result.output
    assert "waiting" not in result.stderr
    result = run(ensemble, "remove", "3", wrong, "--dry-run")
    assert result.exit_code == Outcome.REFUSED
    assert "the password is wrong, or this server has no" in result.output
    right = change(ensemble, "remove", "3", "--dry-run")
    assert right.exit_code == Outcome.DONE
    assert "the password" not in right.output
    assert not ensemble.requests


def test_a_server_that_does_not_tell_who_asks_checks_the_password_itself(
    ensemble: StandIn,
) -> None:
    ensemble.form(3)
    ensemble.tells_identities = False
    wrong = "--auth=digest:super:wr0ng"
    dry = run(ensemble, "remove", "3", wrong, "--dry-run")
    assert dry.exit_code == Outcome.DONE
    assert "note: the password is checked only by the change itself" in dry.output
    result = run(ensemble, "remove", "3", wrong)
    assert result.exit_code == Outcome.REFUSED
    assert "--auth must be the superuser's" in result.output
    assert change(ensemble, "remove", "3").exit_code == Outcome.DONE


def test_a_server_of_pyzk_tells_who_its_superuser_is() -> None:
    with ZooKeeperServer(options={SUPER_KEY: SUPER_TEST}) as server:
        addresses = parse_addresses(server.connect_string)
        for password, is_super in (("test", True), ("wr0ng", False)):
            auth = ("digest", f"super:{password}")
            with members_client.EnsembleClient(addresses, auth, 5.0) as client:
                assert client.is_super() is is_super


def test_credentials_come_from_the_environment_and_are_never_shown(ensemble: StandIn) -> None:
    ensemble.form(4)
    wrong = run(ensemble, "remove", "4", env={members.AUTH_VARIABLE: "digest:super:wr0ng"})
    assert wrong.exit_code == Outcome.REFUSED
    assert "does not take --auth for the superuser's" in wrong.output
    assert not ensemble.requests
    right = run(ensemble, "remove", "4", env={members.AUTH_VARIABLE: f"digest:{PASSWORD}"})
    assert right.exit_code == Outcome.DONE
    for bad in ("wr0ng", "digest:", ":wr0ng", "digest:wr0ng"):
        malformed = run(ensemble, "remove", "3", env={members.AUTH_VARIABLE: bad})
        assert malformed.exit_code == 2
        assert "digest:" in malformed.output
        wrong.stderr_bytes = (wrong.stderr_bytes or b"") + malformed.output_bytes
    for result in (wrong, right):
        assert "wr0ng" not in result.output + result.stderr
        assert "secret" not in result.output + result.stderr


@pytest.mark.parametrize(
    ("error", "check", "said"),
    [
        (ErrorCode.RECONFIG_DISABLED, "reconfig-off", "set reconfigEnabled=true"),
        (ErrorCode.NO_AUTH, "permission", "has no superDigest; try another one with -s"),
        (ErrorCode.RECONFIG_IN_PROGRESS, "in-progress", "another reconfiguration is under way"),
        (ErrorCode.BAD_VERSION, "changed-meanwhile", "somebody else has changed the members"),
        (ErrorCode.NEW_CONFIG_NO_QUORUM, "quorum-lost", "no quorum of the new voters in sync"),
        (ErrorCode.UNIMPLEMENTED, "unimplemented", "cannot change its members"),
        (ErrorCode.BAD_ARGUMENTS, "bad-arguments", "the servers refuse the new members"),
        (ErrorCode.MARSHALLING_ERROR, "bad-arguments", "cannot read the new members"),
        (ErrorCode.THROTTLED_OP, "error", "the servers answer ThrottledOp"),
    ],
)
def test_what_the_servers_refuse_is_told(
    ensemble: StandIn, error: int, check: str, said: str
) -> None:
    ensemble.form(3)
    ensemble.refusal = error
    result = change(ensemble, "remove", "3", "--output", "json")
    assert result.exit_code == Outcome.REFUSED
    found = json.loads(result.stdout)
    assert (found["outcome"], found["changed"]) == ("refused", False)
    [problem] = found["problems"]
    assert problem["check"] == check
    assert said in problem["text"]


def test_the_leader_that_refuses_for_reconfig_enabled_is_named(ensemble: StandIn) -> None:
    ensemble.form(3)
    ensemble.refusal = ErrorCode.RECONFIG_DISABLED
    result = run(ensemble.servers[2].address, "remove", "3", AUTH)
    assert result.exit_code == Outcome.REFUSED
    assert "server 1, the leader, has reconfigEnabled=false: the servers take no" in result.output


def test_a_change_of_another_is_never_overwritten(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(5)
    original = members_client.EnsembleClient.make

    def make(client: members_client.EnsembleClient, wanted: Change) -> Membership:
        """Another is faster."""
        ensemble.membership = attrs.evolve(ensemble.membership, version=0x100000042)
        return original(client, wanted)

    monkeypatch.setattr(members_client.EnsembleClient, "make", make)
    result = change(ensemble, "demote", "5")
    assert result.exit_code == Outcome.REFUSED
    assert "somebody else has changed the members meanwhile" in result.output
    assert ensemble.membership.voters == (1, 2, 3, 4, 5)


# --- asking ---------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "code"), [("y\n", Outcome.DONE), ("n\n", Outcome.REFUSED)])
def test_a_person_at_a_terminal_is_asked(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    ensemble.form(3)
    monkeypatch.setattr(members, "is_terminal", lambda: True)
    result = change(ensemble, "remove", "3", input=answer)
    assert result.exit_code == code, result.output
    assert "change the members? [y/N]" in result.stderr
    assert result.stdout.index("remove server 3") == 0
    assert len(ensemble.requests) == (1 if code == Outcome.DONE else 0)
    assert ("problem: it was not confirmed" in result.stdout) is (code != Outcome.DONE)


def test_who_has_said_yes_is_not_asked(ensemble: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble.form(3)
    monkeypatch.setattr(members, "is_terminal", lambda: True)
    result = change(ensemble, "remove", "3", "--yes")
    assert result.exit_code == Outcome.DONE
    assert "change the members?" not in result.output + result.stderr


def test_with_json_a_person_sees_the_plan_and_a_program_does_not(
    ensemble: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble.form(3)
    monkeypatch.setattr(members, "is_terminal", lambda: True)
    result = change(ensemble, "remove", "3", "--output", "json", input="y\n")
    assert "BEFORE" in result.stderr
    assert json.loads(result.stdout)["outcome"] == "done"


def test_an_end_of_input_is_no_yes(ensemble: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble.form(3)
    monkeypatch.setattr(members, "is_terminal", lambda: True)
    result = change(ensemble, "remove", "3", input="")
    assert result.exit_code == Outcome.REFUSED
    assert not ensemble.requests


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "4"), "is not ID=HOST:QUORUM_PORT:ELECTION_PORT"),
        (("add", "--observer", "4=d:1:2:participant;3"), "leave out one of them"),
        (("add", "4=d:1:2;3", "server.4=e:1:2;3"), "server 4 is named twice"),
        (("remove", "3", "3"), "server 3 is named twice"),
        (("remove", "three"), "'three' is not a server id"),
        (("remove",), "Missing argument 'ID...'"),
        (("replace", "3"), "Missing argument 'ID=ADDRESS'"),
        (("replace", "3", "zk4:2888:3888;2181"), "is not ID=HOST"),
        (("list", "-s", "a:b"), "--server: 'a:b' is not HOST:PORT"),
        (("rename", "3"), "No such command 'rename'"),
    ],
)
def test_wrong_arguments_are_code_2(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["members", *arguments])
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_a_role_that_is_written_wins_and_observer_adds_one(ensemble: StandIn) -> None:
    ensemble.form(3)
    new = ensemble.start(4, NOT_SERVING)
    plain = new.line().replace(":participant", "")
    result = change(ensemble, "add", "--observer", f"server.4={plain}", "--dry-run")
    assert f"server.4={new.line('observer')}" in result.output


def test_without_servers_it_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[str] = []

    def refused(servers: list[Any], *_: object) -> None:
        asked_for.extend(map(str, servers))
        raise members_client.UnavailableError("nobody")

    monkeypatch.setattr(members, "EnsembleClient", refused)
    assert CliRunner().invoke(main, ["members", "list"]).exit_code == Outcome.UNAVAILABLE
    assert asked_for == ["127.0.0.1:2181"]


def test_a_process_says_nothing_but_its_report(ensemble: StandIn) -> None:
    """Neither kazoo's log lines nor threads that hang on."""
    ensemble.form(3)
    environment = os.environ | {
        "PYTHONPATH": os.getcwd(),
        members.AUTH_VARIABLE: f"digest:{PASSWORD}",
    }
    ensemble.loses = "after"
    done = python(
        "-m", "pyzk", "members", "remove", "3", "-s", ensemble.connect_string, env=environment,
        check=False, stdin=-3,
    )  # fmt: skip
    assert done.returncode == Outcome.DONE, done.stdout
    assert done.stderr == "remove server 3...\n"
