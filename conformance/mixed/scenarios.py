"""The scenarios of mixed ensembles, each with a name.

Shell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from conformance import wire
from conformance.mixed import (
    authenticated,
    compare,
    encrypted,
    exercise,
    joins,
    kerberos,
    migration,
    scenarios_of_changes,
)
from conformance.mixed.compositions import all_exercises, led_by_either
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.load import Load
from conformance.mixed.members import PYZK, check, eventually, implementation
from conformance.mixed.scenario import VERSIONS, Scenario
from conformance.mixed.transaction_logs import sound_hosts


def composition(names: list[str]) -> str:
    """Three voters, of which the last leads: all exercises through each, and all agree."""
    with Ensemble([implementation(name) for name in names]) as ensemble:
        return all_exercises(ensemble)


def compositions() -> Iterator[Scenario]:
    """0 to 3 servers of this project with each version of the original, led by each."""
    for version in VERSIONS:
        for names in led_by_either(version, range(4 if version == VERSIONS[0] else 3)):
            *others, leader = names
            yield Scenario(
                f"three-{version}-{names.count(PYZK)}-pyzk-led-by-{leader}",
                f"{', '.join(others)} led by {leader}: everything through each member",
                partial(composition, names),
            )


def kill_each(names: list[str]) -> str:
    """Each member in turn is killed and started again while kazoo clients work."""
    with Ensemble([implementation(name) for name in names]) as ensemble:
        ensemble.start(leader=len(names))
        with Load(ensemble.hosts) as load:
            load.start()
            load.progress()
            led_by = []
            # The leader comes last, and then whoever leads after it.
            for _ in range(len(names) + 1):
                waiting = [m for m in ensemble.running if m.starts == 1]
                leader = ensemble.leader()
                member = min(waiting or [leader], key=lambda m: (m is leader, m.sid))
                led_by.append(leader.launcher.name)
                member.kill()
                load.progress()
                ensemble.start_member(member.sid)
                ensemble.wait_serving()
                load.progress()
            words = load.finish(sound_hosts(ensemble))
        return f"{words}; led by {', '.join(led_by)}; {compare.all_agree(ensemble)}"


def kills() -> Iterator[Scenario]:
    """Each member killed in turn under load, in mixtures that let both lead."""
    for version in VERSIONS:
        for names in ([version, PYZK, version], [PYZK, version, PYZK], [version, version, PYZK]):
            yield Scenario(
                f"kill-each-{'-'.join(names)}",
                "each member killed and started again while kazoo clients work",
                partial(kill_each, names),
            )


def late_joins() -> Iterator[Scenario]:
    """Each way of bringing a member up to date, in each direction."""
    former = "a former leader ({}) returns to another ({})"
    late = "a late learner ({}) of a leader ({})"
    ways: tuple[tuple[str, Callable[[list[str]], str], str], ...] = (
        ("diff", joins.by_diff, late),
        ("snap", joins.by_snapshot, late),
        ("trunc", joins.by_truncation, former),
        ("epoch", joins.by_snapshot_after_another_epoch, former),
    )
    for version in VERSIONS:
        for way, run, text in ways:
            for learner, leader in ((PYZK, version), (version, PYZK)):
                names = [learner, learner, leader] if text is late else [leader, leader, learner]
                yield Scenario(
                    f"join-by-{way}-{learner}-of-{leader}",
                    text.format(learner, leader),
                    partial(run, names),
                )


def observer(voters: list[str], kind: str) -> str:
    """All exercises through voters and an observer."""
    with Ensemble([implementation(n) for n in voters], [implementation(kind)]) as ensemble:
        ensemble.start(leader=len(voters))
        check(ensemble[len(voters) + 1].mode() == "observer", "the observer does not observe")
        words = exercise.everything(ensemble)
        return f"{words}; {compare.all_agree(ensemble)}"


def observers() -> Iterator[Scenario]:
    """An observer of one implementation, voters of the other."""
    for version in VERSIONS:
        for kind, other in ((PYZK, version), (version, PYZK)):
            yield Scenario(
                f"observer-{kind}-of-{other}",
                f"three voters ({other}) and an observer ({kind}): everything through each",
                partial(observer, [other] * 3, kind),
            )
            for way, run in (("diff", joins.by_diff), ("snap", joins.by_snapshot)):
                yield Scenario(
                    f"observer-{kind}-of-{other}-by-{way}",
                    f"an observer ({kind}) comes late to its leader ({other})",
                    partial(run, [other] * 2, [kind]),
                )


def kill_all(names: list[str]) -> str:
    """All are killed at once under load, several times, and started in another order."""
    with Ensemble([implementation(name) for name in names]) as ensemble:
        ensemble.start(leader=len(names))
        with Load(ensemble.hosts) as load:
            load.start()
            for turn in range(3):
                load.progress()
                for member in ensemble.running:
                    member.kill()
                for shift in range(len(names)):
                    ensemble.start_member((turn + shift) % len(names) + 1)
                ensemble.wait_serving()
            load.progress()
            words = load.finish(sound_hosts(ensemble))
        return f"{words}; {compare.all_agree(ensemble)}"


def kills_of_all() -> Iterator[Scenario]:
    """Every process of an ensemble killed at once."""
    for version in VERSIONS:
        for names in ([version, PYZK, version], [PYZK, version, PYZK]):
            yield Scenario(
                f"kill-all-{'-'.join(names)}",
                "all members killed at once under load, and started in another order",
                partial(kill_all, names),
            )


def standalone_grows(first: str, names: list[str]) -> str:
    """A server that stood alone becomes the first of three: the others start empty."""
    with Ensemble([implementation(name) for name in names]) as ensemble:
        member = ensemble[1]
        member.launcher = implementation(first)
        member.start(ensemble.config, ensemble.properties)
        eventually(f"{member} serves", lambda: member.mode() == "standalone", 60)
        joins.write(ensemble, 1, "/alone")
        keeper = ensemble.client(1)
        keeper.call("create", wire.create("/ephemeral", b"e", flags=1))
        keeper.channel.close()
        member.stop()
        member.launcher = implementation(names[0])
        # Never the two that are empty without the one that is not: they are a quorum.
        ensemble.start(only=[1, 2])
        leader = ensemble.leader()
        check(leader is member, f"{leader} leads, not the one that has data")
        ensemble.start(only=[3])
        again = ensemble[3].connection()
        accepted = again.connect(30000, keeper.session, keeper.password, keeper.last_zxid)
        check(accepted, "the session of the server that stood alone is gone")
        check(not again.call("exists", wire.path_watch("/ephemeral")).err, "its ephemeral is gone")
        again.close_session()
        return f"{first} grew to {ensemble}; {compare.all_agree(ensemble)}"


def growing() -> Iterator[Scenario]:
    """A server that stood alone becomes one of three."""
    for first, names in (
        ("3.9", [PYZK, PYZK, PYZK]),
        ("3.8", [PYZK, PYZK, PYZK]),
        (PYZK, [PYZK, "3.9", "3.9"]),
        (PYZK, ["3.9", "3.9", PYZK]),
    ):
        yield Scenario(
            f"standalone-{first}-becomes-{'-'.join(names)}",
            "a server that stood alone becomes the first of three",
            partial(standalone_grows, first, names),
        )


def migrations() -> Iterator[Scenario]:
    """Migrations from the original to this project and back."""
    for version in VERSIONS:
        yield Scenario(
            f"migration-{version}",
            f"a live ensemble of {version} becomes one of pyzk, and goes back",
            partial(migration.migrate, version),
            limit_s=400,
        )


def later_configuration(names: list[str]) -> str:
    """With reconfigEnabled=true a leader of the original gives the configuration a version, which
    members of this project do not have; they also name the hosts differently. Each member is
    stopped, the leader last, and joins again; all must serve."""
    kinds = [implementation(name) for name in names]
    with Ensemble(kinds, config={"reconfigEnabled": "true"}) as ensemble:
        for member in ensemble.members.values():
            member.host = "localhost" if member.is_pyzk else "127.0.0.1"
        ensemble.start(leader=len(names))
        led_by = [ensemble.leader()]
        for _ in names:
            exercise.writes_are_seen_everywhere(ensemble)
            member = min(ensemble.running, key=lambda m: (m.starts, m is ensemble.leader(), m.sid))
            member.stop()
            ensemble.wait_serving()
            led_by.append(ensemble.leader())
            exercise.writes_are_seen_everywhere(ensemble)
            ensemble.start_member(member.sid)
            ensemble.wait_serving()
        return f"led by {', '.join(map(str, led_by))}; {compare.all_agree(ensemble)}"


def later_configurations() -> Iterator[Scenario]:
    """Members of one version of the configuration among members of another."""
    for names in (
        [PYZK, "3.9", "3.9"],
        ["3.9", "3.9", PYZK],
        ["3.8", PYZK, "3.8"],
        [PYZK, PYZK, "3.9"],
        [PYZK, PYZK, PYZK],
    ):
        yield Scenario(
            f"reconfig-enabled-{'-'.join(names)}",
            "reconfigEnabled=true, and no two kinds of members have the same configuration",
            partial(later_configuration, names),
        )


def all_scenarios() -> list[Scenario]:
    """Every scenario, in the order in which they run."""
    return [
        *compositions(),
        *kills(),
        *late_joins(),
        *observers(),
        *kills_of_all(),
        *growing(),
        *later_configurations(),
        *migrations(),
        *encrypted.scenarios(),
        *authenticated.scenarios(),
        *kerberos.scenarios(),
        *scenarios_of_changes.all_scenarios(),
    ]


def short() -> list[Scenario]:
    """Returns the scenarios that show most in half a minute."""
    names = ("three-3.9-1-pyzk-led-by-3.9", "three-3.9-1-pyzk-led-by-pyzk")
    return [scenario for scenario in all_scenarios() if scenario.name in names]
