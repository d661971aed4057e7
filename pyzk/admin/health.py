"""Whether a server is alive, and whether it is ready to serve, with the reasons.

Pure. A process that answers at all is alive: its event loop goes round. It is ready if it serves
clients with all that it promises: a member takes part in a quorum, the configurations of the
ensemble are in its files, and the disk of the log gets on. Nothing in an answer is secret.

ZooKeeper has `ruok`, which says imok as long as the process runs, and tools that look for a mode in
`srvr`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pyzk.quorum.peer import Peer

LIVE: Final = "livez"
READY: Final = "readyz"
"""The two questions, by the paths at which they are asked."""

SLOW_SYNC_MS: Final = 5000
"""A server whose disk has been at one sync of the log for longer is not ready: no write is answered
meanwhile."""
READ_ONLY: Final = "read-only"
CHECKS: Final = {LIVE: ("loop",), READY: ("serving", "quorum", "configuration", "disk")}
"""The names of the checks, by question; a lone server has no quorum and no configuration."""

OK: Final = 200
UNAVAILABLE: Final = 503


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    """One of loop, serving, quorum, configuration, disk."""
    is_ok: bool
    detail: str
    """What was found, in words."""


class Verdict(NamedTuple):
    """What the checks say together."""

    question: str
    """``LIVE`` or ``READY``."""
    role: str
    """The role in words, as `follower of server 2`; `looking` while a member has none."""
    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()
    """What was asked for and cannot be, in sentences."""

    @property
    def is_ok(self) -> bool:
        """Whether all checks have passed."""
        return all(check.is_ok for check in self.checks)

    @property
    def status(self) -> int:
        """The status code of HTTP."""
        return OK if self.is_ok else UNAVAILABLE

    def without(self, names: Collection[str]) -> Verdict:
        """Return the verdict without checks that somebody does not care about. A name that no check
        has is a warning, as with Kubernetes: a probe that is misspelled must not fail a server."""
        known = CHECKS[self.question]
        warnings = tuple(
            f"no check is called {name!r}, so none is left out; there are {', '.join(known)}"
            for name in dict.fromkeys(names)
            if name not in known
        )
        kept = tuple(each for each in self.checks if each.name not in names)
        return self._replace(checks=kept, warnings=warnings)

    def as_json(self) -> dict[str, object]:
        """Return the verdict as values that JSON has; "warnings" is there only if there are any."""
        found: dict[str, object] = {
            "status": "ok" if self.is_ok else "failed",
            "role": self.role,
            "checks": [
                {"name": check.name, "ok": check.is_ok, "detail": check.detail}
                for check in self.checks
            ],
        }
        if self.warnings:
            found["warnings"] = list(self.warnings)
        return found

    def json_text(self) -> str:
        """Return it as one line of JSON."""
        import json  # only where it is asked for: start-up is measured

        return json.dumps(self.as_json()) + "\n"

    def lines(self) -> str:
        """Return it as Kubernetes writes it if it is asked for `?verbose`."""
        found = [
            f"[{'+' if check.is_ok else '-'}]{check.name} {'ok' if check.is_ok else 'failed'}:"
            f" {check.detail}"
            for check in self.checks
        ]
        found += [f"warn: {warning}" for warning in self.warnings]
        found.append(f"{self.question} check {'passed' if self.is_ok else 'failed'}")
        return "\n".join(found) + "\n"


def judge(peer: Peer, question: str) -> Verdict:
    """Return the answer to ``LIVE`` or ``READY``."""
    status = peer.status()
    role = status.role or status.mode
    if question == LIVE:
        return Verdict(LIVE, role, (Check("loop", True, "the event loop goes round"),))
    checks = [_serving(peer, role)]
    if peer.server.config.ensemble is not None:
        checks += [_quorum(peer, role), _configuration(peer)]
    checks.append(_disk(peer))
    return Verdict(READY, role, tuple(checks))


def _serving(peer: Peer, role: str) -> Check:
    server = peer.server
    if not server.is_running:
        return Check("serving", False, "no clients are served: there is no leader yet")
    if server.is_serving:
        return Check("serving", True, f"clients are served as {role}")
    ensemble = server.config.ensemble
    if ensemble is not None and not ensemble.leader_serves and server.role.mode == "leader":
        return Check("serving", True, "leads, and takes no clients, as leaderServes=no says")
    return Check("serving", False, "the server is about to stop")


def _quorum(peer: Peer, role: str) -> Check:
    server = peer.server
    if not server.is_running:
        return Check("quorum", False, "looks for a leader")
    if server.is_read_only:
        return Check("quorum", False, "serves reads only: it has lost the quorum")
    return Check("quorum", True, role)


def _configuration(peer: Peer) -> Check:
    count = peer.metrics.unsaved_configs
    if count:
        return Check(
            "configuration",
            False,
            f"{count} configurations of the ensemble cannot be written to its files; the log says"
            " why, and it is tried again",
        )
    return Check("configuration", True, "is in its files")


def _disk(peer: Peer) -> Check:
    wait_ms = peer.server.host.sync_wait_ms()
    if wait_ms > SLOW_SYNC_MS:
        return Check(
            "disk", False, f"a sync of the log goes on for {wait_ms} ms; no write is answered"
        )
    return Check("disk", True, "syncs of the log end")
