"""An ensemble whose members reach each other only through gates, also while they change.

Shell.

All name the same hosts and ports, as reconfiguration wants it; but in each process the name of
another member has an address of its own, at which a gate listens (conformance/own_names).
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Final

import attrs

from conformance.frames import four_letters
from conformance.mixed.changing import ChangingEnsemble, ChangingMember
from conformance.mixed.members import MixedMember
from conformance.mixed.proxy import Gate
from conformance.servers import Launcher

MOST: Final = 99
"""The highest id of a member."""
OWN_NAMES: Final = Path(__file__).parent / "own_names"


def with_own_names(launcher: Launcher, *path: Path) -> Launcher:
    """Returns a launcher of a Python process that looks names up in the file `hosts`, and modules
    in these folders first."""
    folders = ":".join(map(str, (OWN_NAMES, *path)))
    template = f"env PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(folders)} {launcher.template}"
    return attrs.evolve(launcher, template=template)


def name_of(sid: int) -> str:
    """Returns the name of a member's host."""
    return f"member{sid}.test"


class NamedMember(ChangingMember):
    """A member that the configuration names by a name."""

    def server_line(
        self,
        quorum_port: int | None = None,
        election_port: int | None = None,
        *,
        host: str = "",
    ) -> str:
        """Returns what a configuration says of this member."""
        return super().server_line(quorum_port, election_port, host=host or name_of(self.sid))


def seen_from(source: int, target: int) -> str:
    """Returns the address that the name of a member has for another one."""
    return "127.0.0.1" if source == target else f"127.0.{100 + source}.{target}"


class Cluster(ChangingEnsemble):
    """Members and the gates between them."""

    def __init__(self, launcher: Launcher, count: int, config: Mapping[str, str]) -> None:
        super().__init__([launcher] * count, config=config)
        self.named_gates: dict[tuple[int, int, int], Gate] = {}
        """Who dials, who is dialed, at which port of this one."""
        self._opening = threading.Lock()
        """One thread makes faults, another one changes members; both may want the same gates."""

    def new_member(self, sid: int, launcher: Launcher, is_observer: bool) -> NamedMember:
        return NamedMember(sid, launcher, self.new_folder(sid), is_observer)

    def start_member(self, sid: int) -> None:
        """Starts one member, with the addresses that names have for it."""
        self.open_gates()
        names = [f"{seen_from(sid, other)} {name_of(other)}" for other in range(1, MOST + 1)]
        (self[sid].root / "hosts").write_text("".join(f"{line}\n" for line in names))
        super().start_member(sid)

    def open_gates(self) -> None:
        """Opens the gates between all members that are not open yet, at the ports that they have
        or are about to have."""
        with self._opening:
            for (source, _), (target, member) in permutations(list(self.members.items()), 2):
                for port in (member.quorum_port, member.election_port):
                    if (source, target, port) not in self.named_gates:
                        place = (seen_from(source, target), port)
                        gate = Gate(("127.0.0.1", port), place=place)
                        self.named_gates[source, target, port] = gate

    def close_gates(self) -> None:
        """Closes the gates of former members. Those at former ports stay: a member may have to hear
        there that it has moved."""
        for key in list(self.named_gates):
            if not {*key[:2]} <= set(self.members):
                self.named_gates.pop(key).close()

    def ways(self, sid: int) -> list[tuple[Gate, bool]]:
        """Returns the gates of a member, each with whether the member dials through it."""
        found = list(self.named_gates.items())
        return [(gate, key[0] == sid) for key, gate in found if sid in key[:2]]

    def between(self, one: int, other: int) -> list[Gate]:
        """Returns the gates between two members."""
        found = list(self.named_gates.items())
        return [gate for key, gate in found if {one, other} == set(key[:2])]

    def cleanup(self, keep: bool = False) -> None:
        """Closes the gates, too, and cleans up as every ensemble does."""
        super().cleanup(keep)
        for gate in self.named_gates.values():
            gate.close()


def mode(member: MixedMember) -> str:
    """Returns the role that a member reports, without waiting."""
    try:
        answer = four_letters(member.address, b"srvr", 0.5).decode()
    except OSError:
        return ""
    found = re.search(r"^Mode: (\S+)$", answer, re.MULTILINE)
    return found[1] if found else ""
