"""The verbs: plain functions that every door calls. Long ones have a file of their own (repair.py, undo.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import Model, Q
from django.utils import timezone
from psycopg import errors

from integrity import events, records, statuses
from integrity.alerts.seen import HEALS
from integrity.changed import Tracked
from integrity.enforcement.along import models_along, rows_along
from integrity.exceptions import EngineError, LostRun, UnknownName, UsageError, sentence
from integrity.journal import images_as_rows
from integrity.keys import Key, Keys, by_label, stored
from integrity.look import look
from integrity.models import Change, Run, Violation
from integrity.notes import look_again
from integrity.observer import Observer
from integrity.rebuilding.record import rebuilds
from integrity.registry import registry
from integrity.repairing.plan import Plan
from integrity.reports import PlannedChange, Report, RuleReport
from integrity.rules.base import Rule
from integrity.schema import model_of
from integrity.scope import Scope
from integrity.touched import KeysOf, concerns, touched

logger = logging.getLogger(__name__)


def analyze(
    rules: Iterable[Rule] | None = None,
    *,
    keys: Keys = None,
    changed: bool = False,
    using: str = DEFAULT_DB_ALIAS,
    actor: str | None = None,
    reason: str = "",
    of: Run | None = None,
    heals: bool = False,
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """Look at rules, one statement each in a read-only transaction of its own; an error in one leaves the others.

    keys: only these keys, for every rule given or by label; a rule that is not named is looked at whole.
    changed: only at what has changed since the last look; the answer is for the whole table. Raises UsageError for a
    rule that is not tracked.
    of: the run that this look is a part of. heals: automatic repairs follow at once, so that people are told of what is
    left after them. sample: how many findings a report holds per rule.
    Records go to the default database; ``using`` may be a standby.
    """
    observer = observer or Observer()
    chosen = list(registry if rules is None else rules)
    scopes = by_label(chosen, keys)
    if changed:
        _require_tracked(chosen, using)
    run = records.open_run(
        Run.Verb.ANALYZE,
        database=using,
        actor=actor,
        reason=reason,
        of=of,
        keys=stored(chosen, scopes),
        options={HEALS: True} if heals else {},
    )
    report = Report(run.pk, run.verb)
    observer.begins("analyze", len(chosen))
    for rule in chosen:
        scope = Scope.of(scopes.get(rule.label))
        report.rules.append(analyze_one(rule, run, scope, sample, observer, changed=changed))
        observer.advances(rule.label)
    records.close_run(run, report.status)
    return report


def _require_tracked(rules: Sequence[Rule], using: str) -> None:
    if using != DEFAULT_DB_ALIAS:
        raise UsageError(f"What changes is noted in the database {DEFAULT_DB_ALIAS!r}, not in {using!r}.")
    if not rules:
        raise UsageError("None of these rules is tracked. Add tracked=True to one, then makemigrations and migrate.")
    for rule in rules:
        if not rule.tracked:
            raise UsageError(
                f"{rule.label} is not tracked: what changes is not noted. Add tracked=True to it, then makemigrations"
                " and migrate; or look at everything, without --changed."
            )


def verify(
    number: int,
    *,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """Look again at every rule that reads a table which a run wrote, for the keys that its changes concern.

    Raises UnknownName for a run that does not exist and UsageError for one that wrote nothing.
    """
    observer = observer or Observer()
    of = get_run(number)
    connection = connections[DEFAULT_DB_ALIAS]
    written = Change.objects.filter(run=of).values_list("table", flat=True).distinct().order_by()
    rebuilt = [model_of(table) for table in _rebuilt(of)]
    models = [model_of(table) for table in written]
    if not models and not rebuilt:
        raise UsageError(f"Run {number} ({of.verb}) changed nothing; there is nothing to verify.")
    run = records.open_run(Run.Verb.VERIFY, database=of.database, actor=actor, reason=reason, of=of)
    report = Report(run.pk, run.verb)
    rules = registry.reading(models_along(registry, [*models, *rebuilt]))
    whole = {rule.label for rule in registry.reading(models_along(registry, rebuilt))}
    observer.begins("verify", len(rules))
    for rule in rules:
        scope = Scope() if rule.label in whole else _concerned(rule, of, models, connection)
        report.rules.append(analyze_one(rule, run, scope, sample, observer))
        observer.advances(rule.label)
    records.close_run(run, report.status)
    return report


def _rebuilt(of: Run) -> list[str]:
    """The tables that a run, or the one that it undid, rebuilt: almost every row of them went or came back."""
    source = of.of if of.verb == Run.Verb.UNDO and of.of else of
    return sorted({done["table"] for done in rebuilds(source).values()})


def _concerned(rule: Rule, of: Run, models: Sequence[type[Model]], connection: Any) -> Scope:
    """The keys of a rule that a run's changes concern; everything for a rule that cannot be narrowed."""
    keys: set[Key] = set()
    written = [(model, images_as_rows(of, model, connection)) for model in models]
    keys_of = KeysOf(connection)
    for model, source in rows_along(registry, written, keys_of):
        if not concerns(model, rule):
            continue
        statement = touched(rule, model, source)
        if statement is None:
            return Scope()
        keys |= keys_of(statement)
    return Scope.of(sorted(keys, key=str))


def accept(
    rule: Rule, key: Key, *, by: str, because: str, until: datetime | None = None, using: str = DEFAULT_DB_ALIAS
) -> Violation:
    """Accept an exception: it is neither counted nor repaired until it expires. Raises UsageError."""
    if not because.strip():
        raise UsageError("An exception is accepted for a reason: give one.")
    if until is not None and until <= timezone.now():
        raise UsageError(f"An exception cannot be accepted until {until:%Y-%m-%d %H:%M %Z}, which is past.")
    found = Violation.objects.filter(rule=rule.label, database=using, key=rule.key_as_json(key)).first()
    if found is None:
        where = ", ".join(f"{name} {part}" for name, part in rule.key_as_json(key).items())
        raise UsageError(
            f"{rule.label} has no stored violation at {where}. Run: manage.py integrity analyze {rule.label}"
        )
    found.status = Violation.Status.ACCEPTED
    found.accepted_by, found.accepted_because, found.accepted_until = by, because, until
    found.save()
    return found


def revoke(rule: Rule, key: Key, *, using: str = DEFAULT_DB_ALIAS) -> Violation:
    """Take an acceptance back: the exception counts again. Raises UsageError when there is none."""
    found = Violation.objects.filter(
        rule=rule.label, database=using, key=rule.key_as_json(key), status=Violation.Status.ACCEPTED
    ).first()
    if found is None:
        where = ", ".join(f"{name} {part}" for name, part in rule.key_as_json(key).items())
        raise UsageError(f"{rule.label} has no accepted exception at {where}.")
    found.status = Violation.Status.OPEN
    with transaction.atomic():
        found.save()
        if rule.tracked:
            # Nobody has looked at it for as long as it was accepted.
            look_again(rule, [key])
    return found


def get_run(number: int) -> Run:
    """A run by its number. Raises UnknownName listing the latest."""
    found = Run.objects.filter(pk=number).first()
    if found is None:
        raise UnknownName("run", str(number), [str(pk) for pk in Run.objects.values_list("pk", flat=True)[:5]])
    return found


def analyze_one(
    rule: Rule, run: Run, scope: Scope, sample: int, observer: Observer, *, changed: bool = False
) -> RuleReport:
    """Look at one rule within a run, and write down what was found. Raises LostRun."""
    report = RuleReport(rule.label)
    started = time.perf_counter()

    def record() -> None:
        report.seconds = round(time.perf_counter() - started, 3)
        report.sample, report.suspected = report.sample[:sample], report.suspected[:sample]
        records.save_result(run, report)

    try:
        if rule.tracked and scope.keys is None and run.database == DEFAULT_DB_ALIAS:
            Tracked(rule, run, report, observer).perform(changed=changed, record=record)
        else:
            _look(rule, run, scope, report)
            record()
    except LostRun:
        raise
    except (DatabaseError, EngineError) as error:
        report = RuleReport(rule.label, status=statuses.FAILED, error=sentence(error))
        if isinstance(error.__cause__, errors.UndefinedColumn):
            report.error += ", which the models declare. Run: manage.py migrate"
        record()
    except Exception as error:
        # A rule may call functions of its app, which may raise anything; the other rules are still looked at.
        logger.exception("%s could not be analyzed", rule.label, extra=events.failed(run))
        report = RuleReport(rule.label, status=statuses.FAILED, error=f"{type(error).__name__}: {sentence(error)}")
        record()
    return report


def _look(rule: Rule, run: Run, scope: Scope, report: RuleReport) -> None:
    """Look at what is in scope and remember it."""
    accepted = records.accepted_keys(rule, run.database)
    report.accepted = len(accepted)
    look(rule, Scope(keys=scope.keys, without=accepted), run.database, report)
    if report.status == statuses.RETIRED:
        return
    looked_at = Q() if scope.keys is None else Q(key__in=[rule.key_as_json(key) for key in scope.keys])
    with transaction.atomic():
        report.new, report.resolved = records.remember(
            rule, run, report.sample, looked_at=looked_at, truncated=report.truncated
        )
        if rule.tracked and scope.keys is not None and run.database == DEFAULT_DB_ALIAS:
            # A check of what has changed may have seen newer rows meanwhile.
            look_again(rule, scope.keys)


def preview(
    rule: Rule,
    strategy: str,
    keys: Sequence[Key],
    *,
    limit: int,
    seconds: float = 0,
    using: str = DEFAULT_DB_ALIAS,
) -> list[PlannedChange]:
    """What a repair would write for some keys as things are now; nothing is locked or written.

    limit: how many rows for each key, the first that would go. seconds: how long one statement may take
    before it raises OperationalError, 0: for ever.
    """
    found: list[PlannedChange] = []
    left_alone: set[Key] = set()
    with transaction.atomic(using=using):
        if seconds:
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds * 1000:.0f}"])
        for step in rule.strategy(strategy)[1]:
            for write in step.plan(rule, Scope.of(keys), using):
                plan = Plan(rule, write, connections[using])
                if write.protects:
                    left_alone |= plan.owner_keys()
                else:
                    found += plan.first_of_each(limit)
        transaction.set_rollback(True, using=using)
    return [change for change in found if change.owner not in left_alone]
