"""Members that come and go while the ensemble of a test runs.

Shell. A new member is started with the lines of those that there are and its own, as
docs/operations.md has it, and joins by a reconfiguration, which the leader is given as the
fixture's own write. One that leaves is taken out by a reconfiguration, then stopped. Whatever
clients change by reconfigurations of their own counts as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.jute.records import ReconfigRequest
from pyzk.testing.core import orders
from pyzk.testing.core.engine import STOPPED
from pyzk.testing.errors import FixtureError
from pyzk.testing.members.settings import configure, server_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyzk.config.members import Membership
    from pyzk.testing.members.engine import EnsembleEngine, MemberEngine

_FEWEST: Final = 2


async def add_member(ensemble: EnsembleEngine, is_observer: bool, timeout: float) -> MemberEngine:
    """Start a new member, and let it join; return it when it serves and is in force everywhere."""
    present = await _present(ensemble, timeout)
    engine = ensemble.make(is_observer=is_observer)
    engine.port.hold()
    line = server_line(engine.place)
    lines = [*present.lines(), line]
    ensemble.members[engine.sid] = engine
    try:
        engine.config = configure(engine.config, engine.place, lines, ensemble.options)
        await engine.start()
    except BaseException:
        del ensemble.members[engine.sid]
        engine.port.release()
        raise
    await ensemble.wait_until_serving([engine.sid], timeout)
    request = ReconfigRequest(line, None, None, -1)
    await _change(ensemble, request, timeout, lambda now: now.member(engine.sid) is not None)
    await ensemble.wait_until_serving([engine.sid], timeout)
    return engine


async def remove_member(ensemble: EnsembleEngine, sid: int, timeout: float) -> None:
    """Take a member out of the ensemble, and stop it; return when the others serve."""
    engine = ensemble.member(sid)
    present = await _present(ensemble, timeout)
    left = [each for each in present.voters if each != sid]
    if len(left) < _FEWEST:
        raise FixtureError(
            f"without server {sid} there is one voter left; {_FEWEST} voters are the fewest of an"
            " ensemble"
        )
    if present.member(sid) is not None:
        await _wait_for_quorum(ensemble, left, timeout)
        request = ReconfigRequest(None, str(sid), None, -1)
        await _change(ensemble, request, timeout, lambda now: now.member(sid) is None)
    await ensemble.stop_member(sid)
    del ensemble.members[sid]
    engine.port.release()
    engine.state = STOPPED
    ensemble.observed()
    await ensemble.wait_until_serving((), timeout)


async def _present(ensemble: EnsembleEngine, timeout: float) -> Membership:
    """Return the configuration in force. Raises FixtureError if it cannot be changed."""
    leader = await ensemble.wait_for_leader(timeout)
    configs = leader.configs
    assert configs is not None, leader
    if not configs.is_enabled:
        raise FixtureError(
            "the members of this ensemble stay as they are; to change them, make it with"
            " options={'reconfigEnabled': True}"
        )
    if ensemble.network.partitions:
        raise FixtureError("the members cannot be changed within a partition; heal() it first")
    if configs.committed.groups:
        raise FixtureError("members with groups are changed as a whole, by a client's reconfig")
    return configs.committed


async def _wait_for_quorum(ensemble: EnsembleEngine, voters: list[int], timeout: float) -> None:
    """Wait until a majority of those who are to vote serves: the leader asks for it."""

    def is_there() -> bool:
        leader = ensemble.leader()
        behind = [] if leader is None else ensemble.behind(leader)
        return sum(sid in behind for sid in voters) * 2 > len(voters)

    await ensemble.wait(is_there, timeout, "no quorum of the new voters serves")


async def _change(
    ensemble: EnsembleEngine,
    request: ReconfigRequest,
    timeout: float,
    is_made: Callable[[Membership], bool],
) -> None:
    """Give the leader a reconfiguration; return when it is in force with every member that serves
    and stays, and a leader has a quorum by it."""

    def is_idle() -> bool:
        leader = ensemble.leader()
        configs = None if leader is None else leader.configs
        return configs is not None and not configs.is_under_way

    def is_done() -> bool:
        engines = [
            each
            for each in ensemble.members.values()
            if each.serves and str(each.sid) != request.leaving_servers
        ]
        found = [each.configs for each in engines if each.configs is not None]
        return is_idle() and all(is_made(configs.committed) for configs in found)

    await ensemble.wait(is_idle, timeout, "another reconfiguration does not end")
    leader = ensemble.need_leader()
    ensemble.note(f"ordered: reconfig {request.joining_servers or request.leaving_servers}")
    orders.write(leader, [(OpCode.RECONFIG, request)])
    await ensemble.wait(is_done, timeout, "the reconfiguration is not made")
