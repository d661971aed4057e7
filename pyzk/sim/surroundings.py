"""What the parts of a run ask of the world around them; `World` answers.

Pure. Machines, clients, faults and checkers are given a world and know only this much of it, so
that the world may know all of them.
"""

from __future__ import annotations

from typing import Protocol

from pyzk.sim.network import Scheduler, SimNetwork
from pyzk.sim.options import Options


class Described(Protocol):
    """A machine or a client, as the trace names it."""

    def describe(self) -> str:
        """Return who it is, for the columns of the trace."""
        ...


class Surroundings(Scheduler, Protocol):
    """What every part asks of the world; a protocol of each part adds what that part needs."""

    options: Options
    network: SimNetwork

    def say(self, who: Described | None, text: str) -> None:
        """Trace a change of state."""
        ...

    def detail(self, who: Described, text: str) -> None:
        """Trace what only the verbose trace shows."""
        ...
