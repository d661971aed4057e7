"""`pyzk status`: what is read from answers, how it is judged, and how it is shown."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result

from pyzk.cli import main
from pyzk.cli.client_addresses import ClientAddress, parse_addresses
from pyzk.cli.status import Verdict, judge, render
from pyzk.cli.survey import NOT_SERVING, SurveyedServer, ask, leader_of, measure_lag, read_srvr
from pyzk.config.members import parse_membership
from pyzk.testing import ZooKeeperEnsemble, ZooKeeperServer
from tests.processes import python

APACHE = """\
Zookeeper version: 3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC
Latency min/avg/max: 3/3.5/4
Received: 18
Sent: 18
Connections: 2
Outstanding: 0
Zxid: {zxid}
Mode: {mode}
Node count: 13
"""
REFUSED = "{word} is not executed because it is not in the whitelist.\n"


def status(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", *arguments])


class Words:
    """A port that answers four-letter words."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.sendall(self._answer(connection.recv(4).decode()).encode())

    def __enter__(self) -> Words:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def apache(mode: str, zxid: str = "0x10000000c", **more: str) -> Callable[[str], str]:
    """Answers as a real server's; words that are not given are not allowed."""

    def answer(word: str) -> str:
        if word == "srvr":
            return APACHE.format(zxid=zxid, mode=mode)
        return more.get(word, REFUSED.format(word=word))

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start ports with these answers; return them as a connect string."""
    with ExitStack() as stack:
        yield lambda *answers: ",".join(
            stack.enter_context(Words(answer)).address for answer in answers
        )


# --- real servers ---------------------------------------------------------------------


def test_an_ensemble_is_healthy() -> None:
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        ensemble.load({"/a": "1"})
        leader = ensemble.leader
        result = status(ensemble.connect_string)
    assert result.exit_code == Verdict.HEALTHY, result.output
    lines = result.output.splitlines()
    assert re.sub(" +", " ", lines[0]) == "MEMBER ID MODE ZXID LAG VERSION CONNECTIONS DIGEST"
    for member, line in zip(ensemble, lines[1:5], strict=True):
        cells = line.split()
        assert cells[:2] == [f"127.0.0.1:{member.port}", str(member.sid)]
        assert cells[3] == "0x100000003"
        assert cells[4] == ("-" if member is leader else "0")
        assert cells[7:] == ["reference" if member is leader else "agrees", "at", "0x100000003"]
    assert lines[5:] == [
        "",
        f"healthy: 4 of 4 servers serve, epoch 1 is led by 127.0.0.1:{leader.port}",
    ]


def test_of_a_part_of_an_ensemble_it_is_said_that_there_is_more(
    serve: Callable[..., str],
) -> None:
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        follower = status(ensemble.followers[0].connect_string)
        leader = status(ensemble.leader.connect_string)
        observer = status(ensemble[4].connect_string)
        voters = status(*(member.connect_string for member in list(ensemble)[:3]))
    for result in (follower, leader, observer):
        assert result.exit_code == Verdict.HEALTHY
        assert "healthy as far as was asked: 1 of 1 servers serve" in result.output
    assert "note: 2 of the 3 voters were not asked" in follower.output
    assert "note: 2 of the 3 voters were not asked" in leader.output
    assert "note: 3 of the 3 voters were not asked" in observer.output
    assert "healthy: 3 of 3 servers serve" in voters.output
    assert "healthy as far as was asked: 1 of 1" in status(serve(apache("follower"))).output


def test_after_an_election_other_zxids_beside_lag_0_are_explained() -> None:
    with ZooKeeperEnsemble(3) as ensemble:
        ensemble.load({"/a": "1"})
        ensemble.elect_new_leader()
        result = status(ensemble.connect_string)
        found = json.loads(status("--output", "json", ensemble.connect_string).output)
        leader, followers = ensemble.leader, ensemble.followers
        assert [member.zxid for member in followers] == [0x100000003] * 2
    assert result.exit_code == Verdict.HEALTHY, result.output
    names = ", ".join(member.connect_string for member in followers)
    assert result.output.endswith(
        f"  note: {names}: the zxid is still that of an earlier epoch, and nothing is missing: in"
        " epoch 2 nobody has written yet\n"
    )
    for member, one in zip(ensemble, found["members"], strict=True):
        is_leader = member.sid == leader.sid
        assert one["connections"] == 0
        assert one["zxid_epoch"] == (2 if is_leader else 1)
        assert one["digest"] == ("reference" if is_leader else "agrees")
        assert one["digest_zxid"] == ("0x200000000" if is_leader else "0x100000003")


def test_a_dead_member_and_a_dead_quorum_are_told() -> None:
    with ZooKeeperEnsemble(3) as ensemble:
        one, two = ensemble.followers
        one.kill()
        ensemble.wait_until_serving()
        result = status(ensemble.connect_string)
        assert result.exit_code == Verdict.DEGRADED
        assert f"127.0.0.1:{one.port}: connection refused: nothing listens there" in result.output
        assert "degraded: 2 of 3 servers serve" in result.output
        two.kill()
        survivor = next(member for member in ensemble if member.state == "running")
        survivor.wait_until(lambda: survivor.role == "looking", "looking")
        result = status(ensemble.connect_string)
        assert result.exit_code == Verdict.UNAVAILABLE
        assert "it has no leader yet, or no quorum; its log says what it waits for" in result.output
        assert "nobody takes writes" in result.output


def test_one_server_that_stands_alone_is_healthy() -> None:
    with ZooKeeperServer() as server:
        result = status(server.connect_string)
        assert result.exit_code == Verdict.HEALTHY
        assert "healthy: one server, which stands alone" in result.output
        found = json.loads(status("--output", "json", server.connect_string).output)
    assert found["verdict"] == "healthy"
    [member] = found["members"]
    assert member["mode"] == "standalone"
    assert member["server_id"] is None
    assert member["lag"] is None


def test_as_json_there_is_more() -> None:
    with ZooKeeperEnsemble(3) as ensemble:
        ensemble.load({"/a": "1"})
        result = status("--output", "json", ensemble.connect_string)
        leader = ensemble.leader
    found = json.loads(result.output)
    assert found["exit_code"] == result.exit_code == 0
    assert found["leader"] == leader.connect_string
    assert found["epoch"] == 1
    assert found["problems"] == found["notes"] == []
    one = found["members"][leader.sid - 1]
    assert one["server_id"] == leader.sid
    assert one["peer_state"] == "leading - broadcast"
    assert (one["learners"], one["synced_followers"], one["synced_observers"]) == (2, 2, 0)
    other = found["members"][leader.sid % 3]
    assert other["digest"] == "agrees"
    assert other["refused_words"] == []


# --- other servers --------------------------------------------------------------------


def test_of_a_server_that_allows_srvr_only_it_is_said_what_is_missing(
    serve: Callable[..., str],
) -> None:
    servers = serve(apache("leader"), apache("follower"))
    result = status(servers)
    assert result.exit_code == Verdict.HEALTHY
    assert [row.split()[5:] for row in result.output.splitlines()[1:3]] == [["3.9.3", "1", "-"]] * 2
    assert (
        f"note: {servers.replace(',', ', ')}: 4lw.commands.whitelist does not have mntr (how many"
        " learners are in sync), conf (the id of the server), hash (digests of the tree); add them"
        " there (pyzk serve --whitelist '*' allows all)"
    ) in result.output


def test_digests_are_compared_at_zxids_that_both_have(serve: Callable[..., str]) -> None:
    one = "100000080: 11\n100000100: 22\n"
    two = "100000080: 11\n"
    three = "100000080: 12\n100000100: 22\n"
    result = status(
        serve(*(apache(mode, hash=text) for mode, text in (
            ("leader", one), ("follower", two), ("follower", three), ("observer", ""),
        )))
    )  # fmt: skip
    assert result.exit_code == Verdict.CONTRADICTORY
    rows = result.output.splitlines()[1:5]
    assert [row.split("3.9.3    1            ")[1] for row in rows] == [
        "reference at 0x100000100", "agrees at 0x100000080", "differs at 0x100000080", "-",
    ]  # fmt: skip
    assert "one of them must be given a new one" in result.output


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "it closes the connection without an answer: this is not the client port of a ZooK"),
        ("HTTP/1.1 400 Bad Request\n", "its answer to srvr is not ZooKeeper's: 'HTTP/1.1 400"),
        ("Zookeeper version: 3\nMode: follower\n", "is not ZooKeeper's"),
        (REFUSED.format(word="srvr"), "it does not allow srvr"),
    ],
)
def test_what_is_no_zookeeper_is_told(serve: Callable[..., str], answer: str, said: str) -> None:
    result = status(serve(lambda word: answer))
    assert result.exit_code == Verdict.UNAVAILABLE
    assert said in result.output


def test_a_server_that_says_nothing_is_waited_for_so_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        result = status("--timeout", "0.1", f"127.0.0.1:{port}")
    assert "no answer within 0.1 s" in result.output


def test_a_word_that_is_not_answered_is_the_members_problem() -> None:
    def answer(word: str) -> str:
        if word == "srvr":
            return APACHE.format(zxid="0x0", mode="standalone")
        raise OSError

    with socket.create_server(("127.0.0.1", 0)) as port:
        address = ClientAddress(*port.getsockname())

        async def asked() -> None:
            with pytest.raises(TimeoutError):
                await ask(address, "mntr", 0.05)

        asyncio.run(asked())


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1,b", ["a:1", "b:2181"]),
        (" a:1 , a:1,, b:2/chroot", ["a:1", "b:2"]),
        ("[::1]:5,[fe80::1]", ["[::1]:5", "[fe80::1]:2181"]),
    ],
)
def test_servers_are_named_as_in_a_connect_string(text: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse_addresses(text)] == addresses


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:65536", "::1:2181", "a:1:2", ",", "/x"])
def test_what_names_no_server_is_code_2(text: str) -> None:
    result = status(text)
    assert result.exit_code == 2
    assert result.output.startswith("pyzk: ")


@pytest.mark.parametrize(("is_full", "code"), [(False, Verdict.UNAVAILABLE), (True, 1)])
@pytest.mark.parametrize("option", ["--output=json", "--timeout=5"])
def test_an_output_that_takes_nothing_is_no_traceback(
    is_full: bool, code: int, option: str
) -> None:
    ending, output = os.pipe()
    os.close(ending)
    if is_full:
        os.close(output)
        output = os.open("/dev/full", os.O_WRONLY)
    with socket.create_server(("127.0.0.1", 0)) as port:
        nobody = "{}:{}".format(*port.getsockname())
    done = python("-m", "pyzk", "status", option, nobody, stdout=output, check=False)
    os.close(output)
    told = "pyzk: cannot write to standard output: No space left on device\n" if is_full else ""
    assert (done.returncode, done.stderr) == (code, told)


# --- the judgement --------------------------------------------------------------------


def member(mode: str, zxid: int = 0x10000000C, port: int = 1, **more: object) -> SurveyedServer:
    found = SurveyedServer(ClientAddress("h", port), mode=mode, version="3.9.3", zxid=zxid)
    found.connections = 1
    for name, value in more.items():
        setattr(found, name, value)
    return found


def problems(*members: SurveyedServer, max_lag: int = 0) -> tuple[int, str]:
    report = judge(list(members), max_lag)
    assert render(report)
    return report.verdict, "; ".join([*report.problems, *report.notes])


def test_who_is_behind_is_told_beyond_the_allowed_lag() -> None:
    leader, late = member("leader"), member("follower", port=2, lag=7)
    assert problems(leader, late, max_lag=7) == (Verdict.HEALTHY, "")
    verdict, said = problems(leader, late, max_lag=6)
    assert verdict == Verdict.DEGRADED
    assert "h:2 is 7 transactions behind the leader, which is more than --max-lag 6" in said


def test_zxids_that_differ_beside_lag_0_are_explained() -> None:
    leader = member("leader", 0x200000005)
    level = member("follower", 0x200000005, port=2, lag=0)
    later = member("observer", 0x200000009, port=3, lag=0)
    late = member("follower", 0x200000003, port=4, lag=2)
    verdict, said = problems(leader, level, later, late, max_lag=2)
    assert verdict == Verdict.HEALTHY
    assert said == (
        "h:3: the zxid is newer than the leader's, which was asked a moment before, while writes"
        " went on"
    )


@pytest.mark.parametrize(("digest", "is_same"), [(7, True), (8, False)])
def test_the_tree_at_the_end_of_an_epoch_is_that_at_the_start_of_the_next(
    digest: int, is_same: bool
) -> None:
    leader = member("leader", 0x200000000, digests={0x200000000: 7})
    follower = member("follower", 0x10000000C, port=2, lag=0, digests={0x10000000C: digest})
    verdict, said = problems(leader, follower)
    assert verdict == (Verdict.HEALTHY if is_same else Verdict.CONTRADICTORY)
    assert ("the tree of h:2 is not that of h:1 at 0x10000000c" in said) is not is_same


def test_two_leaders_contradict_each_other_and_the_newer_epoch_counts() -> None:
    old, new = member("leader"), member("leader", 0x200000000, port=2)
    assert leader_of([new, old]) is leader_of([old, new]) is new
    verdict, said = problems(old, new)
    assert verdict == Verdict.CONTRADICTORY
    assert "h:1, h:2 say that they lead" in said


def test_a_follower_of_a_later_epoch_than_the_leaders_contradicts_it() -> None:
    verdict, said = problems(member("leader"), member("follower", 0x200000001, port=2))
    assert verdict == Verdict.CONTRADICTORY
    assert "h:2 is in epoch 2, its leader in 1" in said


def test_servers_that_stand_alone_are_no_ensemble() -> None:
    verdict, said = problems(member("standalone"), member("standalone", port=2))
    assert verdict == Verdict.CONTRADICTORY
    assert "h:1, h:2 stand alone: each has a tree of its own" in said
    verdict, said = problems(member("leader"), member("standalone", port=2))
    assert "h:2 stands alone: it replicates nothing to the others" in said


def test_followers_alone_are_healthy_and_have_no_lag() -> None:
    assert problems(member("follower"), member("follower", port=2)) == (
        Verdict.HEALTHY,
        "the leader is not among those that were asked: no lag is known",
    )


def test_read_only_and_not_serving_take_no_writes() -> None:
    verdict, said = problems(member("read-only"), member(NOT_SERVING, port=2))
    assert verdict == Verdict.UNAVAILABLE
    assert "h:1 serves reads only" in said
    assert "h:2 runs and does not serve" in said
    verdict, _ = problems(member("leader"), member("read-only", port=2))
    assert verdict == Verdict.DEGRADED
    verdict, _ = problems(member(NOT_SERVING))
    assert verdict == Verdict.UNAVAILABLE


def test_followers_that_nobody_asked_after_are_missed() -> None:
    counts = {"synced_followers": "1", "quorum_size": "3"}
    leader = member("leader", metrics=counts)
    verdict, said = problems(leader, member("follower", port=2))
    assert verdict == Verdict.DEGRADED
    assert "the leader has 1 of 2 followers in sync" in said
    # Who is known to be down is told of once.
    verdict, said = problems(leader, member("", port=2, problem="gone"))
    assert said == "h:2: gone"


TWO = parse_membership(b"server.1=a:1:2\nserver.2=b:1:2\nversion=100000008")
THREE = parse_membership(b"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=100000000")


def test_a_server_that_was_removed_and_runs_on_is_no_member_any_more() -> None:
    leader = member("leader", server_id=1, configuration=TWO)
    other = member("follower", port=2, server_id=2, configuration=TWO)
    removed = member("follower", port=3, server_id=3, configuration=THREE)
    assert problems(leader, other)[0] == Verdict.HEALTHY
    verdict, said = problems(leader, other, removed)
    assert verdict == Verdict.DEGRADED
    assert said == (
        "h:3 is server 3, and no member: version 100000008 of the configuration has the servers 1,"
        " 2 only. If it was removed, stop it, and take it out of the clients' connect strings; if"
        " it is new, add it (pyzk members add)"
    )
    # Without a leader the latest version counts that anybody has.
    assert problems(removed, other) == (verdict, said + "; " + problems(other)[1])
    # Nobody tells the configuration, or the id of the server: nothing is said.
    for one in (leader, other, removed):
        one.configuration = None
    assert problems(leader, other, removed)[0] == Verdict.HEALTHY
    leader.configuration, removed.server_id = TWO, None
    assert problems(leader, other, removed)[0] == Verdict.HEALTHY


def test_the_configuration_is_in_what_conf_answers(serve: Callable[..., str]) -> None:
    conf = (
        "clientPort=1\nserverId={}\nmembership: \nserver.1=a:1:2:participant\n"
        "server.2=b:1:2:participant;0.0.0.0:5\nversion=100000008"
    )
    servers = serve(apache("leader", conf=conf.format(1)), apache("follower", conf=conf.format(3)))
    result = status(servers)
    assert result.exit_code == Verdict.DEGRADED
    assert f"{servers.split(',')[1]} is server 3, and no member: version 100000008" in result.output
    result = status(serve(apache("leader", conf=conf.format(3) + "\nwhat is this")))
    assert result.exit_code == Verdict.HEALTHY


def test_mismatches_that_a_server_has_counted_are_a_note() -> None:
    verdict, said = problems(member("leader", metrics={"digest_mismatches_count": "2"}))
    assert verdict == Verdict.HEALTHY
    assert "h:1 has counted 2 transactions" in said


# --- lag ------------------------------------------------------------------------------


def lag_of(learner: str, later: list[str], target: int = 0x200000005) -> int | None:
    """The lag of a learner that shows one zxid, and then these."""
    answers = iter([*later, *[later[-1] if later else learner] * 1000])
    asked = threading.Lock()

    def answer(word: str) -> str:
        with asked:
            return APACHE.format(zxid=next(answers), mode="follower")

    with Words(answer) as words:
        follower = SurveyedServer(parse_addresses(words.address)[0])
        read_srvr(follower, APACHE.format(zxid=learner, mode="follower"))
        members = [member("leader", target), follower]
        asyncio.run(measure_lag(members, 5.0))
    return follower.lag


def test_who_has_what_the_leader_had_is_not_late() -> None:
    assert lag_of("0x200000005", []) == 0
    assert lag_of("0x200000009", []) == 0


def test_who_catches_up_while_it_is_asked_again_is_not_late() -> None:
    assert lag_of("0x200000003", ["0x200000004", "0x200000006"]) == 0


def test_the_lag_is_counted_in_transactions_of_the_leaders_epoch() -> None:
    assert lag_of("0x200000003", []) == 2
    # Who serves had everything when the epoch began.
    assert lag_of("0x1000000ff", []) == 5
    assert lag_of("0x1000000ff", [], target=0x200000000) == 0


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17", "3.9.3"),
        ("3.8.0-${mvngit.commit.id}, built on 2022-11-22 16:01 UTC", "3.8.0"),
        ("3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019", "3.4.14"),
        ("3.9.3-pyzk-0.1.0, built on 2026-11-25 00:00 UTC", "3.9.3-pyzk-0.1.0"),
    ],
)
def test_the_version_is_shown_without_the_commit(told: str, shown: str) -> None:
    found = SurveyedServer(ClientAddress("h", 1))
    text = APACHE.format(zxid="0x0", mode="follower").split("\n", 1)[1]
    read_srvr(found, f"Zookeeper version: {told}\n{text}")
    assert found.version == shown
