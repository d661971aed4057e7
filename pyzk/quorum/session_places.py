"""Where behind a follower a session is: at its own clients or at one of its observers.

Pure. The leader refuses what a server sends of a session that has moved to another one. It takes a
follower and the observers behind it for one server, and so cannot refuse what one of them sends
late, say because it stood still: a request that a client sent before it moved would take effect
after those that it has sent since. Here the follower that they all go through refuses it.

A place *comes* to have a session when the leader has said that the session lives. As long as it
writes nothing, whoever had the session goes on writing: those are earlier requests. Its first write
makes all places too late that came before it, until they come anew. (Were they too late as soon as
it comes, a question that stood still on its way would take a session from the place where its
client is.)

Where this differs from ZooKeeper, on purpose: an observer master sends on what comes late of a
session that has moved as a write that fails. There it sends it on as it is.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import OpCode

_ANYBODYS: Final = (OpCode.CREATE_SESSION, OpCode.CLOSE_SESSION, OpCode.SYNC)
"""What the leader takes from whoever sends it."""
_SPARE: Final = 100
"""How many more sessions than twice those that live may be noted."""


class Whereabouts:
    """Who has written last in a session, and who has come to have it since."""

    def __init__(self) -> None:
        self.writer: object | None = None
        """The place that has written since it came; None if none has."""
        self.came: list[object] = []
        """The places that have come since that one did, in order."""


class SessionPlaces:
    """The places of the sessions that have come to a follower or to an observer behind it."""

    def __init__(self, living: dict[int, int]) -> None:
        """Takes the sessions that live, a table that others keep."""
        self._living: dict[int, int] = living
        self._places: dict[int, Whereabouts] = {}

    def __len__(self) -> int:
        """Returns how many sessions are noted."""
        return len(self._places)

    def came(self, session_id: int, place: object) -> None:
        """Notes that the leader lets a place have a session."""
        found = self._places.get(session_id)
        if found is None:
            self._forget_some()
            found = self._places[session_id] = Whereabouts()
        elif place in found.came:
            found.came.remove(place)
        found.came.append(place)

    def refuses(self, kind: int, session_id: int, place: object) -> bool:
        """Tells whether a request comes too late from a place; notes it if it does not."""
        return kind not in _ANYBODYS and not self.may_write(session_id, place)

    def may_write(self, session_id: int, place: object) -> bool:
        """Tells whether a write of a session comes in time from a place, and notes it if so."""
        found = self._places.get(session_id)
        if found is None:
            return True
        came = found.came
        if place in came:
            del came[: came.index(place) + 1]
            found.writer = place
            return True
        return found.writer is None or found.writer is place

    def _forget_some(self) -> None:
        """Forgets the sessions that are over, when there may be many."""
        living = self._living
        if len(self._places) >= 2 * len(living) + _SPARE:
            self._places = {each: at for each, at in self._places.items() if each in living}
