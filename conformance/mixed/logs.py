"""The logs of an ensemble: complaints, and known faults of the original.

Shell.

A known fault is told by its issue, by the version that has it, and by what led at the time.  It is
no complaint, unless leaders of this project avoid it and one of them led.  One more is told by what
a member has not logged; that the member's digests differ afterwards is no complaint either.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from conformance.mixed import holes, java_log, transaction_logs
from conformance.mixed.members import PYZK, MixedMember, ProcessLog

if TYPE_CHECKING:
    from conformance.mixed.ensemble import Ensemble

NOBODY: Final = "nobody"
STAMP: Final = "%Y-%m-%d %H:%M:%S"
SEVERE: Final = re.compile(r"\b(ERROR|CRITICAL)\b|Traceback|igests? (mismatch|differ)")

known: Final[Counter[str]] = Counter()
"""Words of a known fault -> how often it was seen in all ensembles."""


def read(ensemble: Ensemble) -> tuple[list[str], list[str]]:
    """Returns the complaints, and the known faults of the original in words."""
    complaints: list[str] = []
    lost = transaction_logs.known_holes(ensemble)
    faults = [str(hole) for found in lost.values() for hole in found]
    for member in ensemble.everybody:
        for log in member.logs:
            text = log.path.read_text(errors="replace")
            where = f"{member}: {log.path.name}"
            if not log.is_original:
                # Errors of this project's server: it has none that belong to a healthy life.
                lines = [line for line in text.splitlines() if SEVERE.search(line)]
                complaints += [f"{where}: {line}" for line in lines]
                continue
            lines, seen = java_log.read(text, log.version)
            complaints += [
                f"{where}: {line}"
                for line in lines
                if not holes.is_consequence(line, log.version, lost.get(member, ()))
            ]
            for fault, entry, port in seen:
                led_by = _leader(ensemble, port, entry)
                words = f"{fault.issue} in {log.name} under {led_by}: {fault.what}"
                if fault.is_avoided and led_by == PYZK:
                    complaints.append(f"{where}: {words}: {entry}")
                else:
                    faults.append(words)
    return complaints, faults


def _leader(ensemble: Ensemble, port: int, entry: str) -> str:
    """Returns what the server behind a quorum port or a gate was when an entry was written."""
    gates = {gate.port: sid for (_, sid), gate in ensemble.gates.items()}
    when = time.mktime(time.strptime(entry[:19], STAMP)) + 1
    for member in ensemble.everybody:
        if port in (member.quorum_port, *[each for each in gates if gates[each] == member.sid]):
            return _process(member, when).name
    return NOBODY


def _process(member: MixedMember, when: float) -> ProcessLog:
    """Returns the process that a member was at a time."""
    return max(
        (log for log in member.logs if log.began <= when),
        key=lambda log: log.began,
        default=member.logs[0],
    )
