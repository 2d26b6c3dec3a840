"""run: the looks that are due, once, however many ask for them at the same time, and the automatic repairs after them.

What is due is told by the records, so that whoever is killed half-way leaves the rest due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from integrity import leases, records, statuses
from integrity.engine import analyze
from integrity.exceptions import RunInProgress
from integrity.looks import LOOKED, Look, Looks, last_looks
from integrity.models import Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Report, RuleReport
from integrity.rules.base import Rule
from integrity.schedules.healing import Healed, heal
from integrity.schedules.schedule import Schedule, schedule_of, sweep_of

LEASE = "schedule"
"""What stands for all schedules where rules are locked: one process at a time carries them out."""
EVERYTHING, CHANGES = "everything", "what has changed"
AGAIN = timedelta(minutes=15)
"""A look that failed is due again so soon, where its schedule does not say sooner."""
_SLACK = timedelta(seconds=30)


@dataclass(frozen=True)
class Due:
    """A look whose time has come. ``since``: when; None where there was none before, or somebody has named it."""

    rule: Rule
    what: str
    schedule: Schedule | None = None
    last: datetime | None = None
    since: datetime | None = None


@dataclass
class Scheduled:
    """The answer of a run. ``report``: None where nothing was due, or somebody else was at it, which ``busy`` tells."""

    due: list[Due]
    report: Report | None = None
    healed: list[Healed] = field(default_factory=list)
    busy: str = ""

    @property
    def status(self) -> str:
        """The worst of what was found; clean where nothing was to be looked at."""
        return self.report.status if self.report else statuses.CLEAN

    @property
    def exit_code(self) -> int:
        """0 clean, nothing due or others at it, 1 violations, 3 something could not be looked at or finished."""
        return statuses.EXIT_CODES[self.status]


def due(rules: Iterable[Rule] | None = None, now: datetime | None = None) -> list[Due]:
    """The looks at these rules, or all, whose time has come, in the order of declaration."""
    now = now or timezone.now()
    chosen = [rule for rule in (registry if rules is None else rules) if schedule_of(rule) is not None]
    looks = last_looks(chosen)
    found = (_due(rule, looks[rule.label], now) for rule in chosen)
    return [one for one in found if one is not None]


def next_look(rule: Rule, seen: Looks, now: datetime) -> datetime | None:
    """When a rule is looked at next; ``now`` where that is due, None where no schedule says."""
    schedule = schedule_of(rule)
    if schedule is None:
        return None
    held = _held_back(schedule, seen)
    times = [often.after(last.at) if last else now for _, often, last in _kinds(rule, schedule, seen)]
    return max(now, min(times), held or now)


def run_due(
    rules: Iterable[Rule] | None = None,
    *,
    now: datetime | None = None,
    actor: str | None = None,
    sample: int = 20,
    observer: Observer | None = None,
) -> Scheduled:
    """Carry out the looks that are due; a second one at the same time looks at nothing and tells who is at it."""
    chosen = None if rules is None else list(rules)
    if not due(chosen, now):
        return Scheduled([])
    try:
        return _run(lambda: due(chosen, now), actor, sample, observer or Observer())
    except RunInProgress as busy:
        return Scheduled([], busy=str(busy))


def run_now(
    rules: Sequence[Rule], *, actor: str | None = None, sample: int = 20, observer: Observer | None = None
) -> Scheduled:
    """Look at rules as their schedule would, whether that is due or not. Raises RunInProgress."""
    return _run(lambda: [Due(rule, EVERYTHING) for rule in rules], actor, sample, observer or Observer())


def _due(rule: Rule, seen: Looks, now: datetime) -> Due | None:
    schedule = schedule_of(rule)
    assert schedule is not None
    held = _held_back(schedule, seen)
    if held is not None and now < held:
        return None
    for what, often, last in _kinds(rule, schedule, seen):
        if often.is_due(last.at if last else None, now):
            return Due(rule, what, often, last.at if last else None, often.after(last.at) if last else None)
    return None


def _kinds(rule: Rule, schedule: Schedule, seen: Looks) -> list[tuple[str, Schedule, Look | None]]:
    """What a rule's schedules ask for, each with the last look that answered it; everything goes before changes."""
    sweep = sweep_of(rule)
    if sweep is None:
        return [(EVERYTHING, schedule, seen.sweep)]
    return [(EVERYTHING, sweep, seen.sweep), (CHANGES, schedule, seen.look)]


def _held_back(schedule: Schedule, seen: Looks) -> datetime | None:
    """Until when a rule is left alone whose last look came to no answer."""
    failed = seen.attempt
    if failed is None or failed.status in LOOKED:
        return None
    return failed.at + min(AGAIN, schedule.period(failed.at)) - _SLACK


def _run(jobs: Callable[[], list[Due]], actor: str | None, sample: int, observer: Observer) -> Scheduled:
    run, resumed = leases.take([(LEASE, "")], Run.Verb.RUN, actor=actor, keys=None, dry_run=False, options={})
    with leases.Heartbeat(run):
        observer.reaches("begun")
        _end_what_was_left(run)
        # Again: what another one has looked at while this one waited for its turn is due no longer.
        work = jobs()
        report = Report(run.pk, run.verb, resumed=resumed)
        healed = _carry_out(work, run, report, sample, observer)
    error = "; ".join(rule.error for rule in report.rules if rule.error)
    records.save_result(run, RuleReport(LEASE, status=report.status, changes=report.changes, error=error))
    records.close_run(run, report.status, error)
    return Scheduled(work, report, healed)


def _carry_out(work: Sequence[Due], run: Run, report: Report, sample: int, observer: Observer) -> list[Healed]:
    healed = []
    for what in (EVERYTHING, CHANGES):
        rules = [job.rule for job in work if job.what == what]
        if not rules:
            continue
        found = analyze(
            rules,
            changed=what == CHANGES,
            actor=run.actor,
            reason=f"Run {run.pk} looks at {what}.",
            of=run,
            heals=True,
            sample=sample,
            observer=observer,
        )
        observer.reaches("analyzed")
        records.require_ours(run)
        healed += heal(found, rules, run, observer=observer)
        report.rules += found.rules
    return healed


def _end_what_was_left(run: Run) -> None:
    """Looks of a process that died with this run in hand tell nothing any more."""
    for left in Run.objects.filter(of=run, verb=Run.Verb.ANALYZE, status=statuses.RUNNING):
        records.close_run(left, statuses.FAILED, "Its process died; the rules that it had not come to are due still.")
