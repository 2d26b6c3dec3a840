"""What health looks at beside the rules themselves: schedules, constraints and triggers, watches, imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import Sum
from django.utils import timezone

from integrity import statuses, watch
from integrity.checkup import Check, Enforced
from integrity.enforcement.base import ENFORCED, RETIRED
from integrity.enforcement.states import state
from integrity.exceptions import EngineError, sentence
from integrity.importing.declarations import Import
from integrity.importing.protection import VALID, constraints
from integrity.looks import Looks
from integrity.models import Run, Severed
from integrity.rules.base import Rule
from integrity.schedules.overdue import Overdue
from integrity.schedules.readiness import READY, readiness
from integrity.schedules.schedule import schedule_of

_RECENT = timedelta(days=30)


def others(
    rules: Sequence[Rule], imports: Sequence[Import], late: Sequence[Overdue], looks: Mapping[str, Looks]
) -> list[Check]:
    """Schedules, automatic repairs, the constraints of imports, watches and last imports."""
    return [
        *scheduled(rules, late),
        *healing(rules, {label: seen.violations for label, seen in looks.items()}),
        *protected(imports),
        *watched(),
        *imported(imports),
    ]


def scheduled(rules: Sequence[Rule], late: Sequence[Overdue]) -> Iterable[Check]:
    """Of the rules of each app that declare a schedule, those that were not looked at in time."""
    for app, ours in by_app(rule for rule in rules if schedule_of(rule) is not None).items():
        missed = [one for one in late if one.rule.app == app]
        note = "; ".join(map(str, missed))
        number = len({one.rule.label for one in missed})
        yield Check(f"rules of {app} that were not looked at in time", "warning", number, len(ours), note, app=app)


def healing(rules: Sequence[Rule], violations: Mapping[str, int | None]) -> Iterable[Check]:
    """Of the automatic repairs of each app, those that wait for a person."""
    for app, ours in by_app(rule for rule in rules if rule.automatic).items():
        stands = {rule: readiness(rule, violations.get(rule.label)) for rule in ours}
        kept = [
            f"{rule.label} {found.word}, because {found.why} (manage.py integrity resume {rule.label})"
            for rule, found in stands.items()
            if found.word != READY
        ]
        what = f"automatic repairs of {app} that wait for a person"
        yield Check(what, "warning", len(kept), len(ours), "; ".join(kept), app=app)


def enforced(rules: Sequence[Rule]) -> Iterable[tuple[Check, Enforced]]:
    """Of the rules of each app that the database should keep, those that it does not keep."""
    for app, ours in by_app(rule for rule in rules if rule.enforce).items():
        what = f"rules of {app} that the database should keep"
        try:
            lacking = [f"{rule.label} ({now})" for rule in ours if (now := state(rule)) not in (ENFORCED, RETIRED)]
        except (DatabaseError, EngineError) as error:
            yield Check(what, "warning", None, None, sentence(error), app=app), Enforced(None, len(ours))
            continue
        check = Check(what, "warning", len(lacking), len(ours), ", ".join(lacking), app=app)
        yield check, Enforced(len(ours) - len(lacking), len(ours))


def protected(imports: Sequence[Import]) -> Iterable[Check]:
    """The constraints that the imports of each app stand on."""
    for app in dict.fromkeys(one.app for one in imports):
        what = f"constraints that imports of {app} stand on"
        feeds = [feed for one in imports if one.app == app for feed in one.feeds]
        try:
            declared = constraints(feeds, connections[DEFAULT_DB_ALIAS])
            lacking = [f"{one}: {one.state}" for one in declared if one.state != VALID]
            yield Check(what, "error", len(lacking), len(declared), "; ".join(lacking), app=app)
        except (DatabaseError, EngineError) as error:
            yield Check(what, "error", None, None, sentence(error), app=app)


def watched() -> Iterable[Check]:
    """Who is watched for severing references, and who did."""
    try:
        states = {model._meta.db_table: watch.state(model) for model in watch.watched_models()}
        unwatched = [f"{table} ({now})" for table, now in states.items() if now != watch.WATCHING]
        yield Check("tables to watch for deletes", "info", len(unwatched), len(states), ", ".join(unwatched))
        recent = Severed.objects.filter(at__gt=timezone.now() - _RECENT)
        rows = recent.aggregate(rows=Sum("rows"))["rows"] or 0
        note = "; ".join(
            f"{s.event} of {s.rows} rows of {s.table} by {s.role} ({s.application_name})" for s in recent[:3]
        )
        yield Check("rows severed from what refers to them in 30 days", "info", rows, None, note)
    except (DatabaseError, EngineError) as error:
        yield Check("tables to watch for deletes", "info", None, None, sentence(error))


def imported(imports: Sequence[Import]) -> Iterable[Check]:
    """How the last import ended."""
    for wanted in imports:
        what = f"last import of {wanted.label}"
        runs = Run.objects.filter(verb=Run.Verb.IMPORT, options__import=wanted.label, dry_run=False)
        last = runs.exclude(status__in=[statuses.QUEUED, statuses.RUNNING]).first()
        if last is None:
            yield Check(what, "info", 0, None, "there was none", app=wanted.app)
            continue
        good = last.status == statuses.CLEAN
        told = f"run {last.pk}: {last.status}, {last.started_at:%Y-%m-%d %H:%M %Z}"
        yield Check(what, "warning", int(not good), 1, f"{told}. {last.error}".strip(". "), app=wanted.app)


def by_app(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    """Rules by their app, in the order of declaration."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.app, []).append(rule)
    return found
