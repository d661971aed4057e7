"""conformance/mixed: what the original has applied and never logged, ZOOKEEPER-4712."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from conformance.disk import Tree
from conformance.mixed import compare, holes, load, logs, transaction_logs
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.holes import History, Hole
from conformance.mixed.members import MixedError, MixedMember, ProcessLog
from conformance.servers import Launcher
from pyzk.persistence.logwriter import LogWriter
from pyzk.runtime.files import FileDirectory
from tests.persistence.disks import framed
from tests.transactions import create

EPOCH = 5 << 32
WHOLE = [EPOCH + counter for counter in range(1, 21)]
LOST = range(EPOCH + 8, EPOCH + 13)
REST = [zxid for zxid in WHOLE if zxid not in LOST]
OLD = "zookeeper-3.8.0"
FIXED = "zookeeper-3.9.3"
WORDS = (
    "ZOOKEEPER-4712 in zookeeper-3.8.0, 5 transactions: member 2 has applied and not logged"
    " 0x500000008 to 0x50000000c"
)

STAMP = "2026-11-30 16:51:41,622 [QuorumPeer[myid=2](plain=127.0.0.1:1)(secure=disabled)] INFO"
FOLLOWS = f"{STAMP} QuorumPeer - Peer state changed: following - broadcast"
SYNCHRONIZES = f"{STAMP} QuorumPeer - Peer state changed: following - synchronization"
LEADS = f"{STAMP} QuorumPeer - Peer state changed: leading - broadcast"


def election(zxid: int) -> str:
    return f"{STAMP} FastLeaderElection - New election. My id = 2, proposed zxid={zxid:#x}"


DIED = f"""\
{election(WHOLE[0])}
{FOLLOWS}
{election(LOST[-1])}
2026-11-30 16:51:41,697 [SyncThread:2] ERROR ZooKeeperCriticalThread - Severe unrecoverable error, \
from thread : SyncThread:2
java.lang.NullPointerException: Cannot invoke "java.net.Socket.isClosed()" because \
"this.learner.sock" is null
{FOLLOWS}
"""


def differs(zxid: int) -> str:
    return (
        "2026-11-30 16:51:46,971 [main] WARN DataTree - Message:Digests are not matching. Value is"
        f" Zxid. Value:{zxid}\n"
        "2026-11-30 16:51:46,976 [main] ERROR DataTree - First digest mismatch on txn:"
        f" -144115381830877184,300,{zxid},1796057501590,1"
    )


def whole(who: str = "member 1") -> History:
    return History(who, True, WHOLE)


def holed() -> History:
    return History("member 2", True, REST, applied={LOST[-1]: OLD})


# What is recognised


def test_what_was_applied_and_not_logged_is_a_hole() -> None:
    (hole,) = holes.find([whole(), holed(), whole()])
    assert hole == Hole(1, "member 2", OLD, LOST[0], LOST[-1])
    assert str(hole) == WORDS


def test_a_member_can_have_two_holes() -> None:
    history = attrs.evolve(
        holed(),
        logged=[zxid for zxid in REST if zxid != EPOCH + 16],
        applied={LOST[-1]: OLD, EPOCH + 16: OLD},
    )
    first, second = holes.find([whole(), history, whole()])
    assert (first.first, first.last) == (LOST[0], LOST[-1])
    assert second.first == second.last == EPOCH + 16


def test_an_observer_is_not_counted_for_a_quorum() -> None:
    observer = attrs.evolve(whole(), votes=False)
    assert holes.find([whole(), holed(), whole(), observer])
    lags = History("member 1", True, WHOLE[:9])
    assert holes.find([whole(), holed(), lags, observer]) == []


def test_holes_in_two_members_are_not_known() -> None:
    members = [whole(), holed(), attrs.evolve(holed(), who="member 3"), whole(), whole()]
    assert holes.find([*members[:2], *members[3:]])
    assert holes.find(members) == []


@pytest.mark.parametrize("also", [True, False])
def test_a_member_that_did_not_say_that_it_had_applied_them_has_no_known_hole(also: bool) -> None:
    unexplained = attrs.evolve(holed(), who="member 3", applied={})
    members = [whole(), holed() if also else whole(), unexplained, whole(), whole()]
    assert holes.find(members) == []


@pytest.mark.parametrize("zxid", [LOST[0] - 1, LOST[-1] - 1, LOST[-1] + 1])
def test_another_zxid_explains_nothing(zxid: int) -> None:
    history = attrs.evolve(holed(), applied={zxid: OLD})
    assert holes.find([whole(), history, whole()]) == []


def test_a_second_hole_that_is_not_explained_makes_neither_known() -> None:
    history = attrs.evolve(holed(), logged=[zxid for zxid in REST if zxid != EPOCH + 16])
    assert holes.find([whole(), history, whole()]) == []


def test_the_end_and_the_beginning_of_a_history_are_no_holes() -> None:
    for logged in (WHOLE[:7], WHOLE[12:]):
        history = attrs.evolve(holed(), logged=logged)
        assert holes.find([whole(), history, whole()]) == []


def test_what_a_snapshot_brought_is_no_hole() -> None:
    for zxid, count in ((LOST[-1] - 1, 1), (LOST[-1], 0), (REST[7], 1)):
        history = attrs.evolve(holed(), snapshots=[0, zxid])
        assert len(holes.find([whole(), history, whole()])) == count


def test_a_hole_is_of_one_epoch_and_has_no_gaps() -> None:
    later = [(6 << 32) + counter for counter in range(1, 9)]
    logged = [*WHOLE[:7], *later[3:]]
    history = attrs.evolve(holed(), logged=logged, applied={WHOLE[-1]: OLD, later[2]: OLD})
    both = History("member 1", True, [*WHOLE, *later])
    assert holes.find([both, history, both]) == []
    sparse = [zxid for zxid in WHOLE if zxid != LOST[1]]
    assert holes.find([History("member 1", True, sparse), holed(), whole()]) == []


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("3.8.0", True),
        ("3.8.4", True),
        ("3.9.2", True),
        ("3.9.3", False),
        ("3.8.5", False),
        ("3.9.20", False),
        ("pyzk", False),
    ],
)
def test_versions_with_the_fault(version: str, has: bool) -> None:
    assert holes.has_fault(version) is has


def test_what_had_been_applied_is_what_a_follower_begins_an_election_with() -> None:
    assert holes.applied_at_losses(DIED) == {LOST[-1]}
    assert holes.applied_at_losses(DIED.replace(" - ", " ", 1)) == {LOST[-1]}
    for before in (SYNCHRONIZES, LEADS, election(1)):
        assert holes.applied_at_losses(f"{before}\n{election(LOST[-1])}") == set()
    assert holes.applied_at_losses(f"{FOLLOWS}\n{election(1)}\n{election(2)}") == {1}
    brief = re.sub(r"\[QuorumPeer.*?\)\] ", "", f"{FOLLOWS}\n{election(3)}").replace(" - N", " N")
    assert holes.applied_at_losses(brief.replace("QuorumPeer - ", "QuorumPeer ")) == {3}


def test_a_digest_that_differs_after_a_hole_is_its_consequence() -> None:
    hole = Hole(1, "member 2", OLD, LOST[0], LOST[-1])
    after, before = differs(LOST[-1] + 1), differs(LOST[0] - 1)
    later = "x WARN DataTree [2 times] Message: Digests are not matching. Value is Zxid. Last value"
    for entry in (*after.replace(" - ", " ").splitlines(), f"{later}:{LOST[-1] + 5}"):
        assert holes.is_consequence(entry, "3.8.0", [hole])
        assert not holes.is_consequence(entry, "3.9.3", [hole])
        assert not holes.is_consequence(entry, "3.8.0", [])
    for entry in (*before.replace(" - ", " ").splitlines(), "x ERROR DataTree Something"):
        assert not holes.is_consequence(entry, "3.8.0", [hole])


# An ensemble's files


class StillMember(MixedMember):
    """A member without a process, whose files are made here."""

    def __init__(self, sid: int, name: str, root: Path) -> None:
        super().__init__(sid, Launcher(name, "", None if name == "pyzk" else "jars"), root)
        (self.data / "version-2").mkdir()
        self.metrics: dict[str, str] = {}

    def has_been(self, name: str, text: str) -> None:
        """Adds the log of a process."""
        path = self.root / f"log.{len(self.logs) + 1}.{name}"
        path.write_text(text)
        self.logs.append(ProcessLog(path, name, name != "pyzk", 0.0))

    def has_logged(self, zxids: Iterable[int]) -> None:
        """Writes a transaction log."""
        writer = LogWriter(FileDirectory(str(self.data / "version-2")), preallocate_bytes=65536)
        writer.commit(framed([create(zxid) for zxid in zxids]))
        writer.close()

    def metric(self, name: str) -> str | None:
        return self.metrics.get(name)


class StillEnsemble(Ensemble):
    """Members without processes."""

    @property
    def running(self) -> list[MixedMember]:
        return list(self.members.values())


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Ensemble]:
    made = StillEnsemble([])
    for sid, name in enumerate(("pyzk", OLD, "pyzk"), 1):
        made.members[sid] = StillMember(sid, name, tmp_path)
    yield made
    made.cleanup()


def member_of(ensemble: Ensemble, sid: int) -> StillMember:
    member = ensemble[sid]
    assert isinstance(member, StillMember)
    return member


def lose(ensemble: Ensemble, sid: int = 2, name: str = OLD, text: str = DIED) -> None:
    """Lets one member have a hole in its log, and say what it says in such a case."""
    for each in ensemble.members:
        member = member_of(ensemble, each)
        member.has_been(name if each == sid else "pyzk", text if each == sid else "")
        member.has_logged(WHOLE[:7] if each == sid else WHOLE)
    member_of(ensemble, sid).has_logged(WHOLE[12:])


def test_a_hole_is_read_in_the_logs(ensemble: Ensemble, capsys: pytest.CaptureFixture[str]) -> None:
    lose(ensemble)
    (hole,) = transaction_logs.known_holes(ensemble)[ensemble[2]]
    assert str(hole) == WORDS
    assert transaction_logs.sound(ensemble) == [ensemble[1], ensemble[3]]
    assert f"a known fault of the original: {WORDS}" in capsys.readouterr().out
    ports = [ensemble[sid].client_port for sid in (1, 3)]
    assert transaction_logs.sound_hosts(ensemble) == ",".join(f"127.0.0.1:{p}" for p in ports)


@pytest.mark.parametrize(
    ("sid", "name", "text"),
    [(2, FIXED, DIED), (1, "pyzk", DIED), (2, OLD, FOLLOWS), (2, OLD, election(LOST[-1]))],
    ids=["3.9.3", "pyzk", "no election", "never followed"],
)
def test_any_other_hole_excuses_nobody(
    ensemble: Ensemble, sid: int, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(ensemble, sid, name, text)
    if sid == 1:
        member_of(ensemble, 2).has_been(OLD, DIED)
    assert transaction_logs.known_holes(ensemble) == {}
    assert transaction_logs.sound(ensemble) == ensemble.running
    assert capsys.readouterr().out == ""


def test_a_log_that_cannot_be_read_explains_nothing(ensemble: Ensemble) -> None:
    lose(ensemble)
    (file,) = member_of(ensemble, 3).files("log")
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    assert transaction_logs.known_holes(ensemble) == {}
    with pytest.raises(MixedError, match="wrong checksum at 16"):
        compare.logs_are_equal(ensemble)


def test_a_log_without_a_header_is_empty_or_no_log(tmp_path: Path) -> None:
    file = tmp_path / "log.1"
    file.write_bytes(bytes(1000))
    assert list(transaction_logs.read_log(file)) == []
    file.write_bytes(bytes(999) + b"x")
    with pytest.raises(MixedError, match="is not a log"):
        list(transaction_logs.read_log(file))


def test_a_record_that_is_not_whole_ends_a_log(ensemble: Ensemble) -> None:
    member_of(ensemble, 1).has_logged(WHOLE)
    (file,) = member_of(ensemble, 1).files("log")
    records = list(transaction_logs.read_log(file))
    assert [zxid for zxid, _ in records] == WHOLE
    end = 16 + sum(len(payload) + 13 for _, payload in records)
    file.write_bytes(file.read_bytes()[: end - 1])
    assert [zxid for zxid, _ in transaction_logs.read_log(file)] == WHOLE[:-1]


# What is compared


def test_a_member_with_a_hole_logged_the_same_otherwise(ensemble: Ensemble) -> None:
    lose(ensemble)
    assert compare.logs_are_equal(ensemble) == len(WHOLE)


def test_the_digests_of_a_member_with_a_hole_are_no_complaint(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "known", counted := Counter[str]())
    lose(ensemble)
    member_of(ensemble, 2).has_been(OLD, differs(LOST[-1] + 1))
    member_of(ensemble, 2).metrics["digest_mismatches_count"] = "7"
    complaints, faults = logs.read(ensemble)
    assert complaints == []
    assert faults[0] == WORDS
    assert [words[:14] for words in faults] == ["ZOOKEEPER-4712", "ZOOKEEPER-4409"]
    assert compare.nobody_complains(ensemble) == ", 2 known faults of the original"
    assert counted[WORDS] == 1


def test_digests_that_differ_elsewhere_are_complaints(ensemble: Ensemble) -> None:
    lose(ensemble)
    member_of(ensemble, 1).metrics["digest_mismatches_count"] = "7"
    with pytest.raises(MixedError, match=r"member 1 \(pyzk\) counts 7 digest mismatches"):
        compare.nobody_complains(ensemble)
    member_of(ensemble, 2).has_been(OLD, differs(LOST[0] - 1))
    assert len(logs.read(ensemble)[0]) == 2


def test_a_member_that_became_another_version_must_agree_on_digests(ensemble: Ensemble) -> None:
    lose(ensemble)
    member_of(ensemble, 2).has_been("pyzk", "")
    member_of(ensemble, 2).metrics["digest_mismatches_count"] = "7"
    with pytest.raises(MixedError, match="counts 7 digest mismatches"):
        compare.nobody_complains(ensemble)


@pytest.mark.parametrize(("name", "passes"), [(OLD, True), (FIXED, False)])
def test_trees_are_compared_without_a_member_with_a_hole(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch, name: str, passes: bool
) -> None:
    lose(ensemble, name=name)

    def read_trees(members: Iterable[MixedMember]) -> dict[int, Tree]:
        full: Tree = {"/": ("", ""), "/n": ("", "")}
        return {m.sid: {"/": ("", "")} if m.sid == 2 else full for m in members}

    monkeypatch.setattr(compare, "read_trees", read_trees)
    if passes:
        assert compare.trees_are_equal(ensemble) == 2
    else:
        with pytest.raises(MixedError, match=r"member 2 .* sees /n otherwise"):
            compare.trees_are_equal(ensemble)


def test_what_was_acknowledged_is_looked_for_at_the_hosts_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"sound": ["a0-000000", "alive-0"], "holed": ["alive-0"]}
    closed = []

    class Client:
        def __init__(self, hosts: str, timeout: float) -> None:
            self.hosts = hosts

        def start(self, timeout: float) -> None: ...

        def stop(self) -> None: ...

        def close(self) -> None:
            closed.append(self.hosts)

        def retry(self, ask: Any, path: str) -> Any:
            return ask(path)

        def sync(self, path: str) -> None: ...

        def get_children(self, path: str) -> list[str]:
            return names[self.hosts]

        def get(self, path: str) -> tuple[bytes, None]:
            return b"0", None

    monkeypatch.setattr(load, "KazooClient", Client)
    appender = object.__new__(load.Appender)
    appender.top, appender.number, appender.session = "/load", 0, 1
    appender.client = SimpleNamespace(client_id=1)
    appender.lost, appender.trouble = 0, ""
    appender.acknowledged = appender.attempted = 1
    appender.slowest_s = 0.0
    monkeypatch.setattr(load.Appender, "finish", lambda _: None)
    clients = object.__new__(load.Load)
    clients.top, clients.workers = "/load", [appender]
    assert "1 kazoo clients did 1 pieces of work" in clients.finish("sound")
    with pytest.raises(MixedError, match="a0-000000 was acknowledged and is not there"):
        clients.finish("holed")
    assert closed == ["sound", "holed"]
