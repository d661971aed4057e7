"""Ensembles whose members do not trust whoever comes: TLS, logins, and the steps to them and back.

Shell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from conformance import secured
from conformance.mixed import compare, exercise
from conformance.mixed.compositions import all_exercises
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.load import Load
from conformance.mixed.members import check, implementation
from conformance.mixed.transaction_logs import sound_hosts
from tests.certificates import Authority

Settings = Mapping[str, str]
Look = Callable[["GuardedEnsemble", Settings], None]
"""Checks an ensemble all of whose members have been started with these settings."""


class GuardedEnsemble(Ensemble):
    """An ensemble with a certificate for loopback and a login file, and settings that ask for them
    or not."""

    def __init__(
        self, names: Sequence[str], settings: Settings, observers: Sequence[str] = ()
    ) -> None:
        super().__init__(
            [implementation(name) for name in names], [implementation(name) for name in observers]
        )
        authority = Authority()
        own = authority.issue("127.0.0.1", names=["127.0.0.1", "localhost"])
        stores = secured.stores(self.root, "member", own, authority.certificate_pem)
        self._plain = self.config | stores.settings("ssl.quorum.")
        self.know_password(secured.MEMBER_PASSWORD)
        self.guard(settings)

    def know_password(self, password: str) -> None:
        """Says what the members that are started from now on log in with, and ask for."""
        file = secured.member_login_file(self.root, password)
        self.properties = {**self.properties, secured.LOGIN_FILE: str(file)}

    def guard(self, settings: Settings) -> None:
        """Says what the members that are started from now on are told about TLS and logins."""
        self.config = {**self._plain, **settings}


def composition(names: Sequence[str], settings: Settings, look: Look | None = None) -> str:
    """Three voters, of which the last leads: all exercises through each, and all agree."""
    with GuardedEnsemble(names, settings) as ensemble:
        words = all_exercises(ensemble)
        if look is not None:
            look(ensemble, settings)
        return words


def observed(names: Sequence[str], kind: str, settings: Settings, look: Look | None = None) -> str:
    """Three voters, of which the last leads, and an observer: all exercises through each."""
    with GuardedEnsemble(names, settings, [kind]) as ensemble:
        ensemble.start(leader=len(names))
        check(ensemble[len(names) + 1].mode() == "observer", "the observer does not observe")
        words = exercise.everything(ensemble)
        if look is not None:
            look(ensemble, settings)
        return f"{words}; {compare.all_agree(ensemble)}"


def turned(
    names: Sequence[str],
    before: Settings,
    steps: Sequence[Settings],
    look: Look | None = None,
    make: Callable[[Sequence[str], Settings], GuardedEnsemble] = GuardedEnsemble,
) -> str:
    """Each member is restarted with the next settings while kazoo clients work, the leader last, so
    that the two with the highest ids lead in turn."""
    with make(names, before) as ensemble:
        # One after the other: where all begin to look at once, on a busy machine, 3.8 can elect two
        # leaders, of which one gives up after initLimit.
        ensemble.start(leader=len(names))
        with Load(ensemble.hosts) as load:
            load.start()
            load.progress()
            led_by = []
            for settings in steps:
                ensemble.guard(settings)
                leader = ensemble.leader()
                led_by.append(leader.launcher.name)
                for member in sorted(ensemble.voters, key=lambda m: (m is leader, m.sid)):
                    member.stop()
                    load.progress()
                    ensemble.start_member(member.sid)
                    ensemble.wait_serving()
                    load.progress()
                if look is not None:
                    look(ensemble, settings)
            words = load.finish(sound_hosts(ensemble))
        restarts = sum(member.starts for member in ensemble.voters)
        check(restarts == (1 + len(steps)) * len(names), f"{restarts} starts")
        missing = {member.launcher.name for member in ensemble.voters} - set(led_by)
        check(not missing, f"never led by {', '.join(missing)}")
        return f"{words}; {restarts} starts; {compare.all_agree(ensemble)}"
