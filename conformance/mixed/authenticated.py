"""Mixed ensembles whose members log in at each other: the same for all, strangers that stay out,
and logins that are turned on and off while they work.

Shell.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from conformance.mixed import compare, exercise
from conformance.mixed.compositions import led_by_either
from conformance.mixed.encrypted import CHECKING_NAMES, PLAIN, TLS
from conformance.mixed.guarded import GuardedEnsemble, Settings, composition, observed, turned
from conformance.mixed.members import NOT_SERVING, PYZK, MixedMember, check, eventually
from conformance.mixed.scenario import VERSIONS, Scenario

LEARNERS: Final = "quorum.auth.learnerRequireSasl"
SERVERS: Final = "quorum.auth.serverRequireSasl"
# 3.9 has no DIGEST-MD5 in its FIPS mode, which is the default.
OFFERED: Final = {"quorum.auth.enableSasl": "true", "fips-mode": "false"}
USED: Final = OFFERED | {LEARNERS: "true"}
REQUIRED: Final = USED | {SERVERS: "true"}
STEPS: Final = (OFFERED, USED, REQUIRED, USED, OFFERED, PLAIN)
"""From nothing to logins that are required and back, each a restart of every member."""
LOGGED_IN: Final = (
    r"has logged in as (member$|learner/127\.0\.0\.1@)"
    r"|SaslQuorumAuthServer.* Successfully completed the authentication using SASL"
)
REFUSED: Final = (
    r"its login failed|it does not log in, and quorum\.auth\.serverRequireSasl"
    r"|SaslQuorumAuthServer.* Failed to authenticate using SASL"
)


def _logins(member: MixedMember) -> int:
    """Returns how many logins the member's process has accepted."""
    return len(member.log_lines(LOGGED_IN))


def everybody_has_taken_logins(ensemble: GuardedEnsemble, settings: Settings) -> None:
    """Checks that each voter has accepted logins of others; nobody dials an observer that has the
    highest id."""
    for member in ensemble.voters:
        check(_logins(member) > 0, f"nobody has logged in at {member}")


def logins_are_as_told(ensemble: GuardedEnsemble, settings: Settings) -> None:
    """Checks that members log in if they are told to, and not without."""
    taken = sum(map(_logins, ensemble.running))
    if LEARNERS in settings:
        check(taken > 0, f"nobody has logged in with {settings}")
    elif settings == PLAIN:
        check(taken == 0, f"{taken} logins without SASL")


def stranger(names: list[str], settings: Settings, password: str) -> str:
    """The last member has another password, or none; it stays out, and the others serve. With the
    right one it comes in."""
    with GuardedEnsemble(names, REQUIRED) as ensemble:
        ensemble.start(only=[1, 2])
        right = ensemble.properties
        ensemble.know_password(password)
        ensemble.guard(settings)
        outside = ensemble[3]
        ensemble.start_member(outside.sid)

        def is_refused_by_all() -> bool:
            outside.check_running()
            return all(ensemble[sid].log_lines(REFUSED) for sid in (1, 2))

        eventually(f"{outside} is refused by all", is_refused_by_all, 60)
        check(outside.mode() == NOT_SERVING, f"{outside} serves as {outside.mode()}")
        outside.stop()
        exercise.writes_are_seen_everywhere(ensemble)
        ensemble.properties = right
        ensemble.guard(REQUIRED)
        ensemble.start(only=[3])
        exercise.writes_are_seen_everywhere(ensemble)
        ensemble.wait_in_step()
        nodes = compare.trees_are_equal(ensemble)
        shared = compare.logs_are_equal(ensemble)
        return f"{outside} stayed out, then came in; {nodes} nodes, {shared} log records equal"


def scenarios() -> Iterator[Scenario]:
    """Every mixture of three led by each, those that stay out, and the way to logins and back."""
    newest, former = VERSIONS
    for names in (*led_by_either(newest, range(4)), *led_by_either(former, [1])):
        yield Scenario(
            f"sasl-{'-'.join(names)}",
            "members log in at each other: everything through each member",
            partial(composition, names, REQUIRED, everybody_has_taken_logins),
        )
    for names in ([newest, PYZK, PYZK], [PYZK, newest, newest]):
        yield Scenario(
            f"sasl-over-tls-{'-'.join(names)}",
            "members log in at each other over TLS: everything through each member",
            partial(
                composition, names, REQUIRED | TLS | CHECKING_NAMES, everybody_has_taken_logins
            ),
        )
    for version in VERSIONS:
        for kind, other in ((PYZK, version), (version, PYZK)):
            yield Scenario(
                f"sasl-observer-{kind}-of-{other}",
                f"three voters ({other}) and an observer ({kind}) log in at each other",
                partial(observed, [other] * 3, kind, REQUIRED, everybody_has_taken_logins),
            )
    for kind in (PYZK, newest):
        for word, settings, password in (
            ("wrong-password", REQUIRED, "another"),
            ("no-login", PLAIN, ""),
        ):
            yield Scenario(
                f"sasl-{word}-{newest}-pyzk-and-{kind}",
                "a member that does not log in as it should stays out",
                partial(stranger, [newest, PYZK, kind], settings, password),
            )
    for names in ([PYZK, newest, PYZK], [PYZK, former, PYZK], [PYZK] * 3):
        yield Scenario(
            f"turned-to-sasl-{'-'.join(names)}",
            "from no logins to required ones and back while kazoo clients work",
            partial(turned, names, PLAIN, STEPS, logins_are_as_told),
            600,
        )
