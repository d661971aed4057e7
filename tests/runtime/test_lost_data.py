"""Members that find their directory empty: whether they are new, or have lost what they had."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pyzk.quorum.lifecycle import MemberLife
from tests.runtime.members import Ensemble, connect, ensemble, is_there, whole

pytestmark = pytest.mark.live


async def start_in_doubt(made: Ensemble, sid: int) -> None:
    """Starts a member as a person does who has not said whether the ensemble is new."""
    made.configs[sid] = replace(made.configs[sid], initialize=False)
    await made.start(sid)


def has_heard_of_none(made: Ensemble, sid: int, *others: int) -> bool:
    """Tells whether a member knows that these others have no data."""
    life = made.runners[sid].peer._life
    assert isinstance(life, MemberLife)
    return not set(others) & set(life.election.voters_to_hear_of)


async def test_all_members_without_data_are_a_new_ensemble(tmp_path: Path) -> None:
    async with ensemble(tmp_path) as made:
        for sid in made.configs:
            await start_in_doubt(made, sid)
        await made.wait_until_whole()
        client = await connect(made.runners[made.leader])
        assert await client.create("/a") == 0
        client.writer.close()


async def test_some_members_without_data_wait_for_the_others(tmp_path: Path) -> None:
    async with ensemble(tmp_path) as made:
        for sid in (1, 2):
            await start_in_doubt(made, sid)
        for sid, other in ((1, 2), (2, 1)):
            await made.wait_for(partial(has_heard_of_none, made, sid, other))
        assert made.roles() == ["", ""]
        await start_in_doubt(made, 3)
        await made.wait_until_whole()


async def test_what_a_lost_voter_had_acknowledged_is_not_voted_away(tmp_path: Path) -> None:
    async with whole(tmp_path) as made:
        client = await connect(made.runners[made.leader])
        assert await client.create("/before") == 0
        client.writer.close()
        lost, behind = [sid for sid in made.runners if sid != made.leader]
        last = made.leader
        await made.kill(behind)
        client = await connect(made.runners[last])
        assert await client.create("/acknowledged") == 0  # by the leader and the one that is lost
        client.writer.close()
        for sid in (lost, last):
            await made.kill(sid)
        shutil.rmtree(tmp_path / str(lost) / "version-2")
        await start_in_doubt(made, lost)
        await made.start(behind)
        await made.wait_for(lambda: has_heard_of_none(made, behind, lost))
        assert made.roles() == ["", ""]
        await made.start(last)
        await made.wait_until_whole()
        for each in made.runners.values():
            client = await connect(each)
            assert await is_there(client, "/acknowledged")
            client.writer.close()
        # It has all data now, and is a voter like any other.
        await made.kill(made.leader)
        await made.wait_until_whole()


async def test_two_lost_voters_do_not_outvote_the_third(tmp_path: Path) -> None:
    async with whole(tmp_path) as made:
        client = await connect(made.runners[made.leader])
        assert await client.create("/a") == 0
        client.writer.close()
        kept = made.leader
        lost = [sid for sid in made.runners if sid != kept]
        for sid in list(made.runners):
            await made.kill(sid)
        for sid in lost:
            shutil.rmtree(tmp_path / str(sid) / "version-2")
            await start_in_doubt(made, sid)
        await made.start(kept)
        await made.wait_for(lambda: has_heard_of_none(made, kept, *lost))
        assert made.roles() == ["", "", ""]
        # Whoever runs the ensemble says that what only these two had is given up.
        await made.kill(lost[0])
        made.configs[lost[0]] = replace(made.configs[lost[0]], initialize=True)
        await made.start(lost[0])
        await made.wait_until_whole()
        client = await connect(made.runners[lost[1]])
        assert await is_there(client, "/a")
        client.writer.close()
