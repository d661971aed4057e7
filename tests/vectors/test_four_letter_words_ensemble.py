"""The four-letter words of a whole ensemble, against those recorded from Apache ZooKeeper 3.9.3.

As in the recording each member, three voters and an observer, has one client with an ephemeral.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from conformance.known_differences import OURS_IN_MNTR
from pyzk.constants import CreateMode
from pyzk.testing import EnsembleMember, ZooKeeperEnsemble
from tests.server.test_fourletter_ensemble import RECORDED, names
from tests.testing.raw import RawClient
from tests.vectors.test_four_letter_words import shape

ROLES = ("leader", "follower", "observer")
WORDS = ("srvr", "stat", "conf", "isro", "cons", "dump", "dirs", "hash", "wchs", "wchc", "wchp")


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ZooKeeperEnsemble]:
    with ZooKeeperEnsemble(3, observers=1) as ensemble:
        clients = [RawClient(member, timeout_ms=20_000) for member in ensemble]
        for number, client in enumerate(clients):
            assert client.create(f"/n{number}").err == 0
            assert client.create(f"/e{number}", flags=CreateMode.EPHEMERAL).err == 0
            client.get_data(f"/n{number}", watch=True)
        ensemble.wait_until_synced()
        yield ensemble
        for client in clients:
            client.end()


def member_of(ensemble: ZooKeeperEnsemble, role: str) -> EnsembleMember:
    return next(member for member in ensemble if member.role == role)


def ask(member: EnsembleMember, word: str) -> str:
    with socket.create_connection((member.host, member.port), 20) as sock:
        sock.sendall(word.encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("role", ROLES)
def test_members_answer_in_the_recorded_layout(
    ensemble: ZooKeeperEnsemble, role: str, word: str
) -> None:
    wanted, got = RECORDED[role][word], ask(member_of(ensemble, role), word)
    if word == "dump":
        # There, buckets that have become empty are listed, too; paths are those of the test.
        wanted = re.sub(r"(?m)^0 expire at .*\n", "", wanted)
        wanted, got = (re.sub(r"\t/e\d", "\t/eN", text) for text in (wanted, got))
    assert sorted(set(shape(got))) == sorted(set(shape(wanted)))


@pytest.mark.parametrize("role", ROLES)
def test_members_have_the_recorded_metrics(ensemble: ZooKeeperEnsemble, role: str) -> None:
    got = names(ask(member_of(ensemble, role), "mntr"))
    assert sorted(got[: -len(OURS_IN_MNTR)]) == sorted(names(RECORDED[role]["mntr"]))


def test_a_leader_counts_its_learners(ensemble: ZooKeeperEnsemble) -> None:
    def counts(mntr: str) -> list[str]:
        wanted = ("zk_learners", "zk_synced", "zk_pending_syncs", "zk_quorum_size", "zk_peer_state")
        return sorted(line for line in mntr.splitlines() if line.startswith(wanted))

    assert counts(ask(ensemble.leader, "mntr")) == counts(RECORDED["leader"]["mntr"])


def test_an_observer_names_its_leader(ensemble: ZooKeeperEnsemble) -> None:
    text = ask(ensemble.observers[0], "mntr")
    assert f"zk_observer_master_id\t{ensemble.leader.sid}\n" in text


def test_members_count_what_came_from_the_leader(ensemble: ZooKeeperEnsemble) -> None:
    def counted(member: EnsembleMember) -> dict[str, int]:
        pairs = [line.split("\t") for line in ask(member, "mntr").splitlines()]
        shown = ("zk_learner_proposal_received_count", "zk_learner_commit_received_count")
        return {name: int(value) for name, value in pairs if name in shown}

    assert set(counted(ensemble.leader).values()) == {0}
    follower = counted(ensemble.followers[0])
    assert min(follower.values()) > 0
    # An observer is informed, and never asked.
    observer = counted(ensemble.observers[0])
    assert observer["zk_learner_proposal_received_count"] == 0
    assert observer["zk_learner_commit_received_count"] > 0


def test_the_last_proposal_has_the_recorded_size(ensemble: ZooKeeperEnsemble) -> None:
    with RawClient(ensemble.leader) as client:
        client.end()
    # The end of a session without ephemerals, in the recording too: 48 bytes are the least.
    assert "Proposal sizes last/min/max: 48/48/" in ask(ensemble.leader, "srvr")
