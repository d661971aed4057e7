"""Carries out a change of the members of an ensemble: check, show, ask, wait, change.

Shell. What is asked for is a function from the configuration in force to the changes that are left.
It is called again behind each change, so a command that was interrupted goes on where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Final

import attrs
import click

from pyzk.cli.members_change import Change, ImpossibleError
from pyzk.cli.members_checks import Findings, Observed, check
from pyzk.cli.members_client import (
    PATIENCE_S,
    EnsembleClient,
    RefusedError,
    UnavailableError,
    UnknownOutcomeError,
)
from pyzk.cli.members_report import (
    UNKNOWN_OUTCOME,
    Outcome,
    Report,
    Step,
    render_newcomers,
    render_plan,
)
from pyzk.config.members import Membership, QuorumServer

_PAUSE_S: Final = 1.0
_MOST_STEPS: Final = 8
"""More changes than any command needs: somebody works against it."""

Wanted = Callable[[Membership], Sequence[Change]]


@attrs.frozen
class Terms:
    """How a change is carried out."""

    is_dry: bool
    is_forced: bool
    wait_s: float
    """The seconds to wait for a server to be in sync."""
    max_lag: int
    agree: Callable[[str], bool]
    """Shows what is going to be done, and asks whether it shall be."""


def carry_out(
    client: EnsembleClient, wanted: Wanted, others: Sequence[QuorumServer], terms: Terms
) -> Report:
    """Make the changes that are wanted, one by one; ``others`` are servers that are to join."""
    report = Report(terms.is_dry, others=others)
    try:
        _carry_out(client, wanted, others, terms, report)
    except (ImpossibleError, RefusedError) as error:
        report.fail(Outcome.REFUSED, error.check, error.text)
    except UnavailableError as error:
        is_begun = any(step.result is not None for step in report.steps)
        outcome = Outcome.UNFINISHED if is_begun else Outcome.UNAVAILABLE
        report.fail(outcome, "unavailable", str(error))
    except UnknownOutcomeError as error:
        report.fail(Outcome.UNFINISHED, UNKNOWN_OUTCOME, str(error))
    except KeyboardInterrupt:
        report.fail(Outcome.REFUSED, "interrupted", "it was interrupted")
    return report


def _carry_out(
    client: EnsembleClient,
    wanted: Wanted,
    others: Sequence[QuorumServer],
    terms: Terms,
    report: Report,
) -> None:
    observed = client.observe(others, terms.max_lag)
    report.observed = observed
    changes = _left(wanted, observed)
    if not changes:
        return
    found = _plan(report, changes, observed)
    blocking = found.blocking(terms.is_forced)
    can_wait = terms.wait_s > 0 and not terms.is_dry and all(each.may_pass for each in blocking)
    if blocking and not can_wait:
        report.problems = blocking
        report.end(Outcome.REFUSED)
    report.overridden = [each for each in found.problems if each not in blocking]
    if terms.is_dry and observed.is_permitted is None:
        report.notes.append("the password is checked only by the change itself")
    if terms.is_dry or report.problems:
        return
    plan = render_plan(report)
    if not terms.agree(plan):
        report.fail(Outcome.REFUSED, "not-confirmed", "it was not confirmed")
        report.outcome = Outcome.REFUSED  # by the operator, who knows
        return
    for number in range(_MOST_STEPS):
        observed = _ready(client, changes[0], observed, others, terms)
        step = report.steps[number]
        click.echo(f"{changes[0].title}...", err=True)
        step.result = _made(client, changes[0], observed)
        observed = client.observe(others, terms.max_lag)
        report.observed = observed
        changes = _left(wanted, observed) if len(changes) > 1 else []
        report.steps[number + 1 :] = [Step(change, []) for change in changes]
        if not changes:
            break
        needed = render_newcomers(report)
        if needed not in plan:
            click.echo(needed, err=True, nl=False)
    _settle(client, others, terms, report)


def _left(wanted: Wanted, observed: Observed) -> list[Change]:
    return [change for change in wanted(observed.membership) if not change.is_empty]


def _plan(report: Report, changes: Sequence[Change], observed: Observed) -> Findings:
    """Take the changes into the report; return what is in the way of any of them.

    What may pass counts for the first one only: for the others there is time.
    """
    whole = Findings()
    for change in changes:
        found = check(change, observed)
        report.steps.append(Step(change, [x for x in found.notes if x not in whole.notes]))
        whole.notes += found.notes
        for each in found.problems:
            if each not in whole.problems and (change is changes[0] or not each.may_pass):
                whole.problems.append(each)
    return whole


def _ready(
    client: EnsembleClient,
    change: Change,
    observed: Observed,
    others: Sequence[QuorumServer],
    terms: Terms,
) -> Observed:
    """Wait until nothing is in the way of a change. Raises RefusedError if that does not come."""
    end = monotonic() + terms.wait_s
    said: set[str] = set()
    while True:
        blocking = check(change, observed).blocking(terms.is_forced)
        if not blocking:
            return observed
        worst = next((each for each in blocking if not each.may_pass), blocking[0])
        if not worst.may_pass:
            raise RefusedError(worst.check, worst.text)
        if monotonic() > end:
            texts = "; ".join(each.text for each in blocking)
            raise RefusedError(
                worst.check, f"{texts} (waited for {terms.wait_s:g} s; a longer --wait may help)"
            )
        for each in blocking:
            if each.text not in said:
                said.add(each.text)
                click.echo(f"waiting for {terms.wait_s:g} s at most: {each.text}", err=True)
        sleep(_PAUSE_S)
        observed = client.observe(others, terms.max_lag)


def _made(client: EnsembleClient, change: Change, observed: Observed) -> Membership:
    """Make a change; where no reconfiguration is taken, name the leader: it is who looks."""
    try:
        return client.make(change)
    except RefusedError as error:
        if error.check != "reconfig-off" or observed.leader is None:
            raise
        members = observed.membership.members
        sid = next(each.sid for each in members if observed.of(each) is observed.leader)
        who = f"server {sid}, the leader, has reconfigEnabled=false"
        raise RefusedError(error.check, f"{who}: {error.text}") from None


def _settle(
    client: EnsembleClient, others: Sequence[QuorumServer], terms: Terms, report: Report
) -> None:
    """Wait until somebody leads: behind a change of the leader it takes an election."""
    end = monotonic() + PATIENCE_S
    while report.observed is None or report.observed.leader is None:
        if monotonic() > end:
            report.notes.append(f"{PATIENCE_S:g} s later no member says yet that it leads")
            return
        sleep(_PAUSE_S)
        report.observed = client.observe(others, terms.max_lag)
