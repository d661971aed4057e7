"""What the words say of a member of an ensemble, against answers of Apache ZooKeeper 3.9.3."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from conformance.known_differences import OURS_IN_MNTR
from pyzk.config.ensemble import parse_ensemble
from pyzk.config.settings import Settings
from pyzk.config.start_files import StartFiles
from pyzk.data.node import DataNode
from pyzk.server import fourletter
from tests.server.test_fourletter import THEIR_VERSION, FakeServer

FILE: Final = Path(__file__).parent.parent / "testdata" / "fourletter" / "3.9.3-ensemble.json.gz"
RECORDED: Final[dict[str, dict[str, str]]] = json.loads(gzip.decompress(FILE.read_bytes()))
SIDS: Final = {"follower": 1, "leader": 2, "leader-one-follower-lost": 3, "observer": 4}
MEMBERS: Final = sorted(SIDS)
SETS: Final = re.compile(
    r"zk_(avg|min|max|cnt|sum|p\d+)_\w+_(per_namespace|learner_handler_qp_\w+)"
)
"""By namespace and by learner: those of the recorded activity."""
LEADERS: Final = {
    "learners": 3,
    "synced_followers": 2,
    "synced_non_voting_followers": 0,
    "synced_observers": 1,
    "pending_syncs": 0,
    "leader_uptime": 4_000,
}
LAST_MIN_MAX: Final = {"leader": (87, 48, 87), "leader-one-follower-lost": (-1, -1, -1)}


def zoo_cfg() -> bytes:
    servers = "".join(
        f"server.{sid}=127.0.0.1:2904{sid}:2905{sid}{':observer' if sid == 4 else ''}"
        f";127.0.0.1:2906{sid}\n"
        for sid in (1, 2, 3, 4)
    )
    return f"tickTime=2000\ninitLimit=10\nsyncLimit=5\n{servers}".encode()


def member(role: str) -> FakeServer:
    """A server like the recorded one."""
    mode = "leader" if role.startswith("leader") else role
    server = FakeServer(mode=mode)
    sid = SIDS[role]
    ensemble = parse_ensemble(Settings(zoo_cfg()), StartFiles(str(sid).encode()))
    assert ensemble is not None
    server.config = replace(
        server.config, data_dir=f"/var/lib/zookeeper/s{sid}", data_log_dir="", ensemble=ensemble
    )
    server.config = replace(server.config, data_log_dir=server.config.data_dir)
    server.server_id = sid
    server.host.client_address = ("127.0.0.1", int(f"2906{sid}"))
    text = RECORDED[role]["conf"].partition("membership: \n")[2]
    tree = server.database.tree
    if "/zookeeper/config" in tree.nodes:
        tree.nodes["/zookeeper/config"].data = text.encode()
    else:
        tree.load_node("/zookeeper/config", DataNode(text.encode(), -1))
    if mode == "leader":
        last, least, most = LAST_MIN_MAX[role]
        server.role.shown = LEADERS | {
            "last_proposal_size": last,
            "min_proposal_size": least,
            "max_proposal_size": most,
        }
    elif mode == "observer":
        server.role.shown = {"observer_master_id": 2}
    return server


def names(mntr: str) -> list[str]:
    found = [line.partition("\t")[0] for line in mntr.splitlines()]
    return [name for name in found if not SETS.fullmatch(name)]


@pytest.mark.parametrize("role", MEMBERS)
def test_mntr_has_the_names_of_the_role_in_the_originals_order(role: str) -> None:
    got = names(member(role).ask("mntr"))
    count = len(OURS_IN_MNTR)
    assert tuple(got[-count:]) == OURS_IN_MNTR
    # Gauges of their own, by name; where two neighbours change places is chance there.
    wanted = names(RECORDED[role]["mntr"])
    assert sorted(got[:-count]) == sorted(wanted)
    begin = wanted.index("zk_watch_bytes")
    assert got[begin:-count] == wanted[begin:]


@pytest.mark.parametrize("role", MEMBERS)
def test_mntr_has_the_recorded_values_of_the_role(role: str) -> None:
    def lines(text: str) -> list[str]:
        state = ("zk_server_state", "zk_peer_state", "zk_quorum_size", "zk_observer_master_id")
        counts = (
            "zk_learners",
            "zk_synced",
            "zk_pending_syncs",
            "zk_last_prop",
            "zk_min_proposal_size",
        )
        shown = state + (counts if role == "leader" else ())
        return [line for line in text.splitlines() if line.startswith(shown)]

    assert sorted(lines(member(role).ask("mntr"))) == sorted(lines(RECORDED[role]["mntr"]))


@pytest.mark.parametrize("role", MEMBERS)
def test_conf_tells_limits_ports_and_membership(role: str) -> None:
    def masked(text: str) -> str:
        return re.sub(r"(?m)^(data\w*Size|dataLogDir)=.*$", r"\1", text)

    assert masked(member(role).ask("conf")) == masked(RECORDED[role]["conf"])


@pytest.mark.parametrize("role", MEMBERS)
def test_srvr_tells_the_sizes_of_a_leaders_proposals(role: str) -> None:
    def shown(text: str) -> list[str]:
        wanted = ("Zookeeper version", "Mode", "Proposal sizes")
        return [line for line in text.splitlines() if line.startswith(wanted)]

    theirs = RECORDED[role]["srvr"].replace(THEIR_VERSION, fourletter.VERSION)
    assert shown(member(role).ask("srvr")) == shown(theirs)
    assert shown(member(role).ask("stat")) == shown(theirs)


def test_a_read_only_member_knows_its_ports_and_nothing_of_a_quorum() -> None:
    server = member("follower")
    server.role.mode = "read-only"
    assert "membership" not in server.ask("conf")
    got = [line.partition("=")[0] for line in server.ask("conf").splitlines()]
    assert got == [line.partition("=")[0] for line in RECORDED["readonly"]["conf"].splitlines()]
    assert sorted(names(server.ask("mntr"))[: -len(OURS_IN_MNTR)]) == sorted(
        names(RECORDED["readonly"]["mntr"])
    )
    assert server.ask("dump").startswith("SessionTracker dump:\nGlobal Sessions(0):\nephemeral")
    assert RECORDED["readonly"]["dump"].startswith("SessionTracker dump:\nGlobal Sessions(0):\n")


@pytest.mark.parametrize("role", ["follower", "observer"])
def test_a_learners_dump_lists_global_sessions_by_id(role: str) -> None:
    server = member(role)
    recorded = RECORDED[role]["dump"].partition("ephemeral nodes")[0]
    sessions = re.findall(r"0x([0-9a-f]+)\t(\d+)ms", recorded)
    assert len(sessions) == 4
    for session_id, timeout_ms in reversed(sessions):
        server.database.sessions[int(session_id, 16)] = int(timeout_ms)
    assert server.ask("dump").partition("ephemeral nodes")[0] == recorded


def test_a_leaders_dump_lists_them_by_when_they_expire() -> None:
    server = member("leader")
    server.sessions.add(0x300004F64D20000, 20000, 79_000)
    text = server.ask("dump").partition("ephemeral nodes")[0]
    assert re.fullmatch(
        r"SessionTracker dump:\nSession Sets \(1\)/\(1\):\n1 expire at .*:\n\t0x300004f64d20000\n",
        text,
    )
    assert "\t0x300004f64d20000\n" in RECORDED["leader"]["dump"]


@pytest.mark.parametrize("role", ["leader", "observer"])
def test_local_sessions_are_counted_and_listed_apart(role: str) -> None:
    server = member(role)
    server.has_local_sessions = True
    server.database.sessions[0x10] = 20000
    server.sessions.add(0x20, 20000, 79_000).is_local = True
    if role == "leader":
        server.sessions.add(0x10, 20000, 79_000)
    lines = server.ask("dump").partition("ephemeral nodes")[0].splitlines()
    assert lines[1] == "Local Session Sets (1)/(1):"
    assert lines[3] == "\t0x20"
    if role == "leader":
        assert lines[4] == "Global Session Sets (1)/(1):"
        assert lines[6:] == ["\t0x10"]
    else:
        assert lines[4:] == ["Global Sessions(1):", "0x10\t20000ms"]
    assert "zk_local_sessions\t1\n" in server.ask("mntr")
    assert "zk_global_sessions\t1\n" in server.ask("mntr")


@pytest.mark.parametrize("word", sorted(RECORDED["noquorum"]))
def test_a_member_without_quorum_says_that_it_does_not_serve(word: str) -> None:
    server = member("follower")
    server.is_serving = False
    assert server.ask(word) == RECORDED["noquorum"][word]


def test_the_digest_of_the_tree_is_told_with_its_zxid() -> None:
    server = member("follower")
    tree = server.database.tree
    tree.digest, tree.last_zxid = 7, 0x10000000C
    assert server.ask("mntr").endswith(f"zk_tree_digest\t7\nzk_tree_digest_zxid\t{0x10000000C}\n")
    tree.digests = False
    assert "zk_tree_digest" not in server.ask("mntr")
