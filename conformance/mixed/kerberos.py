"""Mixed ensembles whose members log in at each other by Kerberos, with a realm on loopback.

Shell.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from conformance import secured
from conformance.mixed.authenticated import (
    OFFERED,
    REFUSED,
    REQUIRED,
    USED,
    everybody_has_taken_logins,
    logins_are_as_told,
)
from conformance.mixed.compositions import all_exercises
from conformance.mixed.encrypted import PLAIN
from conformance.mixed.guarded import GuardedEnsemble, turned
from conformance.mixed.members import NOT_SERVING, PYZK, check, eventually
from conformance.mixed.scenario import VERSIONS, Scenario
from conformance.oracle import OracleMissingError
from tests import kdc

SERVICE: Final = "zkquorum/127.0.0.1"
LEARNER: Final = "learner/127.0.0.1"
STRANGER: Final = "learner/elsewhere.example"
"""Has a ticket, and a host that no server line has."""
BY_KERBEROS: Final = {"quorum.auth.kerberos.servicePrincipal": "zkquorum/_HOST"}


@contextlib.contextmanager
def realm() -> Iterator[kdc.Realm]:
    """Runs a realm with the principals of members, of which the children of this process know."""
    if kdc.missing():
        raise OracleMissingError(f"{kdc.missing()} (Debian's krb5-kdc) is missing")
    with (
        tempfile.TemporaryDirectory(prefix="pyzk-realm-") as name,
        kdc.realm(Path(name)) as made,
    ):
        names = ("KRB5_CONFIG", "KRB5CCNAME", "KRB5RCACHENAME")
        before = {each: os.environ.get(each) for each in names}
        os.environ.update({each: made.environment[each] for each in names})
        try:
            yield made
        finally:
            for each, value in before.items():
                os.environ.pop(each)
                if value is not None:
                    os.environ[each] = value


class KerberosEnsemble(GuardedEnsemble):
    """An ensemble whose members log in as principals of a realm."""

    def __init__(self, names: Sequence[str], settings: dict[str, str], made: kdc.Realm) -> None:
        self._realm = made
        self._keys = {each: made.keytab(each) for each in (SERVICE, LEARNER, STRANGER)}
        super().__init__(names, settings)
        self.log_in_as(LEARNER)
        self.properties = {**self.properties, "java.security.krb5.conf": str(made.krb5_conf)}

    def log_in_as(self, learner: str) -> None:
        """Says as whom the members log in that are started from now on."""
        file = self.root / f"{learner.replace('/', '-')}.conf"
        file.write_text(
            self._section("QuorumServer", SERVICE) + self._section("QuorumLearner", learner)
        )
        self.properties = {**self.properties, secured.LOGIN_FILE: str(file)}

    def _section(self, name: str, principal: str) -> str:
        return (
            f"{name} {{\n    com.sun.security.auth.module.Krb5LoginModule required\n"
            "    useKeyTab=true storeKey=true useTicketCache=false\n"
            f'    keyTab="{self._keys[principal]}"\n'
            f'    principal="{principal}@{self._realm.name}";\n}};\n'
        )


def composition(names: Sequence[str]) -> str:
    """Three voters, of which the last leads: all exercises through each, and all agree."""
    with realm() as made, KerberosEnsemble(names, REQUIRED | BY_KERBEROS, made) as ensemble:
        words = all_exercises(ensemble)
        everybody_has_taken_logins(ensemble, REQUIRED)
        return words


def stranger(names: Sequence[str]) -> str:
    """The last member has a ticket, and a host of nobody's; it stays out, and the others serve."""
    with realm() as made, KerberosEnsemble(names, REQUIRED | BY_KERBEROS, made) as ensemble:
        ensemble.start(only=[1, 2])
        ensemble.log_in_as(STRANGER)
        outside = ensemble[3]
        ensemble.start_member(outside.sid)

        def is_refused_by_all() -> bool:
            outside.check_running()
            return all(ensemble[sid].log_lines(REFUSED) for sid in (1, 2))

        eventually(f"{outside} is refused by all", is_refused_by_all, 90)
        check(outside.mode() == NOT_SERVING, f"{outside} serves as {outside.mode()}")
        outside.stop()
        ensemble.wait_serving()
        ensemble.log_in_as(LEARNER)
        ensemble.start(only=[3])
        return f"{outside} stayed out, then came in; zxid {ensemble.wait_in_step():#x} at all"


def turned_on_and_off(names: Sequence[str]) -> str:
    """Each member is restarted with the next settings while kazoo clients work."""
    steps = [each | BY_KERBEROS for each in (OFFERED, USED, REQUIRED, USED, OFFERED)]
    with realm() as made:
        return turned(
            names,
            PLAIN,
            [*steps, PLAIN],
            logins_are_as_told,
            lambda names, settings: KerberosEnsemble(names, dict(settings), made),
        )


def scenarios() -> Iterator[Scenario]:
    """Compositions of three led by each, somebody who stays out, and the way there and back."""
    newest, former = VERSIONS
    for names in (
        [PYZK, newest, newest],
        [newest, PYZK, newest],
        [newest, newest, PYZK],
        [PYZK, PYZK, newest],
        [newest, PYZK, PYZK],
        [PYZK] * 3,
        [PYZK, former, former],
        [former, former, PYZK],
    ):
        yield Scenario(
            f"kerberos-{'-'.join(names)}",
            "members log in at each other by Kerberos: everything through each member",
            partial(composition, names),
        )
    for names in ([PYZK, newest, PYZK], [newest, PYZK, newest]):
        yield Scenario(
            f"kerberos-another-host-{'-'.join(names)}",
            "a member with a ticket of another host stays out",
            partial(stranger, names),
        )
    yield Scenario(
        f"turned-to-kerberos-{PYZK}-{newest}-{PYZK}",
        "from no logins to those of Kerberos and back while kazoo clients work",
        partial(turned_on_and_off, [PYZK, newest, PYZK]),
        600,
    )
