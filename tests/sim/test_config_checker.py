"""The checker of configurations, each rule with a story it must believe and one it must not."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest

from pyzk.config.members import Membership, config_text
from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.jute.records import SetDataTxn
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.configurations import Configurations
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.sim.checkers.durability import DurabilityChecker
from pyzk.zxid import make
from tests.sim.test_checkers import chain, configs, log, members, payload


def reconfig_txn(config: Membership) -> bytes:
    body = SetDataTxn(CONFIG, config_text(config).encode(), -1).encode()
    return payload(config.version, OpCode.RECONFIG, body)


class Story:
    """A run of three servers, and the configurations that its history makes."""

    def __init__(self) -> None:
        self.chain = Chain(self._committed)
        self.configs = configs(self.chain)
        self.disks = dict.fromkeys(range(1, 7), 0)
        self.durability = DurabilityChecker(
            self.chain,
            self.configs,
            {sid: partial(self.disks.__getitem__, sid) for sid in self.disks},
        )

    def _committed(self, zxid: int, payload: bytes) -> None:
        self.configs.committed(zxid, payload)
        self.durability.committed(zxid)

    def propose(self, config: Membership, *holders: int, last: int = 0) -> None:
        for sid in holders:
            self.chain.logged(f"h{sid}", last, [frame_record(reconfig_txn(config))])
            self.disks[sid] = config.version


@pytest.mark.parametrize(
    ("holders", "version"),
    [((1, 2, 4, 5), ""), ((1, 2, 4), "100000001"), ((1, 4, 5), "version 0"), ((4, 5), "version 0")],
)
def test_a_change_needs_a_quorum_of_either_configuration(
    holders: tuple[int, ...], version: str
) -> None:
    story = Story()
    story.propose(members(1, 4, 5, 6, version=make(1, 1)), *holders)
    if not version:
        story.chain.delivered("h1", make(1, 1))
        assert story.configs.newest.voters == (1, 4, 5, 6)
        return
    with pytest.raises(Violation, match=f"durability: .*{version}"):
        story.chain.delivered("h1", make(1, 1))


def test_behind_a_change_the_next_configuration_counts() -> None:
    story = Story()
    story.propose(members(1, 4, 5, version=make(1, 1)), 1, 2, 4, 5)
    story.chain.delivered("h1", make(1, 1))
    for sid in (4, 5):
        log(story.chain, f"h{sid}", make(1, 1), make(1, 2))
        story.disks[sid] = make(1, 2)
    story.chain.delivered("h4", make(1, 2))
    story.disks[2] = 0  # it is no voter any more
    story.durability.disk_changed(2)
    story.disks[5] = make(1, 1)
    with pytest.raises(Violation, match="leaves it"):
        story.durability.disk_changed(5)


def test_a_configuration_that_is_put_in_force_is_said_to_be_committed() -> None:
    story = Story()
    config = members(1, 2, 4, version=make(1, 1))
    story.propose(config, 1)
    seen = Configurations(members(1, 2, 3), None, True)
    story.configs.seen(1, seen)
    seen.see(config)
    story.configs.seen(1, seen)
    seen.activate(config)
    with pytest.raises(Violation, match="durability"):
        story.configs.seen(1, seen)


def test_a_leader_completes_what_the_files_of_both_quorums_have() -> None:
    saved = dict.fromkeys((1, 2, 3, 4), 0)
    config = members(1, 2, 4, version=make(1, 1))
    for holders, is_right in (((1, 2), True), ((1, 3), False), ((1, 4), False)):
        story = configs(chain(), saved | dict.fromkeys(holders, config.version))
        story.seen(1, Configurations(members(1, 2, 3), config, True))
        in_force = Configurations(config, None, True)
        if is_right:
            story.seen(1, in_force)
            assert story.newest is config
        else:
            with pytest.raises(Violation, match="in no history"):
                story.seen(1, in_force)


NAME = make(3, 0)


def written(story: Story, lines: Membership, saved: dict[int, int]) -> Configurations:
    """A story in which 1 and 2 alone vote, 3 observes, and an operator has given 1 these lines."""
    newest = members(1, 2, version=make(1, 1))
    story.propose(newest, 1, 2)
    story.chain.delivered("h1", newest.version)
    story.configs._saved = lambda: saved
    story.configs.written_by_hand(1, lines)
    seen = Configurations(lines, None, True)
    story.configs.seen(1, seen)
    return seen


def test_the_lines_of_an_operator_go_on_with_the_newest_configuration() -> None:
    story = Story()
    lines = members(1, 2)
    seen = written(story, lines, {1: 0, 2: NAME})
    named = members(1, 2, version=NAME)
    seen.see(named)
    story.configs.seen(1, seen)
    seen.activate(named)
    story.configs.seen(1, seen)
    assert story.configs.newest is named
    story.configs.seen(2, Configurations(named, None, True))
    assert [each.version for each in story.configs.history] == [0, make(1, 1), NAME]
    text = config_text(named).encode()
    story.configs.shown("c1", text, make(1, 7))  # the epoch has no transaction yet
    story.configs.shown("c1", text, make(3, 1))
    former = Configurations(members(1, 2, version=make(1, 1)), None, True)
    story.configs.serving(2, former, make(1, 7))
    with pytest.raises(Violation, match="is in force there"):
        story.configs.serving(2, former, make(3, 1))
    with pytest.raises(Violation, match="is in force there"):
        story.configs.shown("c1", config_text(former.committed).encode(), make(3, 1))


@pytest.mark.parametrize(
    ("lines", "named", "saved", "what"),
    [
        ((1, 2, 3), (1, 2, 3), {1: 0, 2: NAME}, "that was"),  # those of the first configuration
        ((1, 2), (1,), {1: 0, 2: NAME}, "that was"),  # they have changed with the version
        ((1, 2), (1, 2), {1: 0, 2: make(1, 1)}, "no quorum of version 100000001"),
        ((1, 2), (1, 2), {1: 0, 2: 0}, "no quorum of version 100000001"),  # 2 has other lines
    ],
)
def test_lines_in_force_are_the_newest_configuration_of_a_quorum(
    lines: tuple[int, ...], named: tuple[int, ...], saved: dict[int, int], what: str
) -> None:
    story = Story()
    seen = written(story, members(*lines), saved)
    seen.see(members(*named, version=NAME))
    story.configs.seen(1, seen)
    seen.activate(seen.last_seen)
    with pytest.raises(Violation, match=f"configurations: h1 .*{what}"):
        story.configs.seen(1, seen)


def test_only_what_a_person_wrote_gets_a_version_without_a_transaction() -> None:
    story = Story()
    written(story, members(1, 2), {})
    newest = members(1, 2, version=make(1, 1))
    seen = Configurations(newest, members(1, 2, version=NAME), True)
    with pytest.raises(Violation, match="h2 has version 300000000, and nobody gave it"):
        story.configs.seen(2, seen)
    story.configs.seen(1, Configurations(members(1, 2), seen.last_seen, True))
    story.configs.seen(2, Configurations(newest, seen.last_seen, True))


def test_lines_that_are_in_force_too_late_are_found() -> None:
    story = Story()
    written(story, members(1, 2), {1: NAME, 2: NAME})
    last, late = members(1, 2, version=make(4, 0)), members(1, 2, version=make(3, 0))
    for name in (late, last):
        story.configs.seen(1, Configurations(members(1, 2), name, True))
    story.configs._saved = lambda: {1: last.version, 2: last.version}
    story.configs.seen(1, Configurations(last, None, True))
    with pytest.raises(Violation, match="behind 400000000"):
        story.configs.seen(2, Configurations(late, None, True))


def test_a_version_has_one_content() -> None:
    story = Story()
    first = members(1, 2, 3)
    version = make(1, 1)
    story.configs.seen(1, Configurations(first, members(1, 2, version=version), True))
    with pytest.raises(Violation, match="configurations: h2 has version 100000001 as"):
        story.configs.seen(2, Configurations(first, members(1, 3, version=version), True))


def test_no_change_is_proposed_while_another_one_is_under_way() -> None:
    story = Story()
    seen = Configurations(members(1, 2, 3), None, True)
    seen.see(members(1, 2, version=make(1, 1)))
    story.configs.seen(1, seen)
    other = Configurations(members(1, 2, 3), members(1, 3, version=make(2, 7)), True)
    story.configs.seen(2, other)  # that of another epoch may be lost
    seen.see(members(1, 3, version=make(1, 2)))
    with pytest.raises(Violation, match="one change at a time"):
        story.configs.seen(1, seen)


def test_a_member_does_not_forget_a_change_that_was_committed() -> None:
    story = Story()
    first, second = members(1, 2, 3), members(1, 2, version=make(1, 1))
    story.propose(second, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    story.configs.logged(2, make(1, 1), reconfig_txn(second))
    story.configs.synced(2, make(1, 1), lambda: make(1, 1))
    story.configs.stopped(2)
    with pytest.raises(Violation, match="h2 has version 0, and has acknowledged 100000001"):
        story.configs.seen(2, Configurations(first, None, True))
    story.configs.written_by_hand(2, first)
    story.configs.seen(2, Configurations(first, None, True))


def test_a_member_may_forget_what_only_its_lost_data_knew() -> None:
    story = Story()
    second = members(1, 2, version=make(1, 1))
    story.propose(second, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    story.configs.logged(2, make(1, 1), reconfig_txn(second))
    story.configs.synced(2, make(1, 1), lambda: make(1, 1))
    story.configs.stopped(2)
    story.configs.wiped(2, 0)
    story.configs.seen(2, Configurations(members(1, 2, 3), None, True))


def test_a_member_that_was_told_of_later_members_need_not_save_what_was_before() -> None:
    story = Story()
    zxids = make(1, 1), make(1, 2)
    first, second = (members(1, 2, version=zxid) for zxid in zxids)
    story.propose(first, 1, 2)
    story.chain.delivered("h1", zxids[0])
    story.configs.written_by_hand(2, first)
    story.configs.logged(2, zxids[0], reconfig_txn(first))
    story.configs.synced(2, zxids[0], lambda: 0)
    story.configs.logged(2, zxids[1], reconfig_txn(second))
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(2, zxids[1], lambda: 0)


@pytest.mark.parametrize(
    ("in_force", "needs_file"),
    [
        ((1, 3), False),  # added and removed while it was away: it joins by the lines that it has
        ((1, 2), True),  # it is a member by what is in force, which must be in its files
        ((), True),  # it goes by its lines alone, and may help to commit the change
    ],
)
def test_a_member_that_joins_need_not_save_what_had_added_it(
    in_force: tuple[int, ...], needs_file: bool
) -> None:
    story = Story()
    lines = members(1, 3)
    story.configs.written_by_hand(2, lines)
    added = members(1, 2, 3, version=make(1, 1))
    later = members(*in_force or (1, 3), version=make(1, 2))
    story.propose(added, 1, 2, 3)
    story.propose(later, 1, 2, 3, last=added.version)
    story.chain.delivered("h1", later.version)
    story.configs.seen(2, Configurations(later if in_force else lines, None, True))
    story.configs.logged(2, added.version, reconfig_txn(added))
    if needs_file:
        with pytest.raises(Violation, match="configuration files"):
            story.configs.synced(2, added.version, lambda: 0)
    else:
        story.configs.synced(2, added.version, lambda: 0)
        story.configs.stopped(2)
        story.configs.seen(2, Configurations(lines, None, True))


def test_who_serves_behind_a_change_has_it_in_force() -> None:
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    seen = Configurations(members(1, 2, 3), None, True)
    story.configs.serving(2, seen, 0)
    with pytest.raises(Violation, match="is in force there"):
        story.configs.serving(2, seen, make(1, 1))


def test_a_record_with_a_change_is_durable_behind_the_file() -> None:
    story = Story()
    zxid = make(1, 1)
    for saved in (zxid, 0):
        story.configs.logged(1, zxid, reconfig_txn(members(1, 2, version=zxid)))
        story.configs.synced(1, zxid - 1, lambda: 0)
        if saved:
            story.configs.synced(1, zxid, lambda: zxid)
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(1, zxid, lambda: 0)


@pytest.mark.parametrize(("sid", "needs_file"), [(2, True), (3, False)])
def test_who_was_removed_need_not_save_the_change_that_did_it(sid: int, needs_file: bool) -> None:
    """It is committed, and the files of a server that joins again would lack it."""
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.configs.logged(3, config.version, reconfig_txn(config))
    with pytest.raises(Violation, match="configuration files"):
        story.configs.synced(3, config.version, lambda: 0)
    story.chain.delivered("h1", config.version)
    story.configs.logged(sid, config.version, reconfig_txn(config))
    with pytest.raises(Violation) if needs_file else contextlib.nullcontext():
        story.configs.synced(sid, config.version, lambda: 0)


def test_clients_are_told_the_configuration_in_force() -> None:
    story = Story()
    config = members(1, 2, version=make(1, 1))
    story.propose(config, 1, 2)
    story.chain.delivered("h1", make(1, 1))
    first = config_text(members(1, 2, 3, version=make(1, 0))).encode()
    story.configs.shown("c1", first, 0)
    story.configs.shown("c1", config_text(config).encode(), make(1, 5))
    with pytest.raises(Violation, match="is in force there"):
        story.configs.shown("c1", first, make(1, 5))


def test_a_change_that_was_completed_without_its_transaction_is_shown_ahead_of_the_next_one() -> (
    None
):
    completed = members(1, 2, 4, version=make(1, 2))
    story = configs(chain(), dict.fromkeys((1, 2, 3, 4), completed.version))
    before, last = members(1, 2, 3), members(1, 2, version=make(2, 3))
    story.seen(1, Configurations(before, completed, True))
    story.shown("c1", config_text(before).encode(), make(1, 1))
    with pytest.raises(Violation, match="shows version"):
        story.shown("c1", config_text(completed).encode(), make(1, 1))
    story.seen(1, Configurations(completed, None, True))
    story._add(last)
    for config, zxid in ((before, make(1, 1)), (completed, make(1, 1)), (last, make(2, 3))):
        story.shown("c1", config_text(config).encode(), zxid)
    for config, zxid in ((last, make(1, 1)), (last, make(2, 2)), (before, make(2, 2))):
        with pytest.raises(Violation, match="shows version"):
            story.shown("c1", config_text(config).encode(), zxid)
