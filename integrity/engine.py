"""The verbs: plain functions that every door calls. Long ones have a file of their own (repair.py, undo.py)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db.models import Q

from integrity import records, statuses
from integrity.exceptions import EngineError, sentence
from integrity.keys import Key
from integrity.models import Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.look import look
from integrity.reports import Report, RuleReport
from integrity.rules.base import Rule
from integrity.scope import Scope


def analyze(
    rules: Iterable[Rule] | None = None,
    *,
    keys: Sequence[Key] | None = None,
    using: str = DEFAULT_DB_ALIAS,
    actor: str | None = None,
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """Look at rules, one statement each in a read-only transaction of its own; an error in one leaves the others.

    keys: only these keys, which then belong to every rule given. sample: how many findings a report holds per rule.
    Records go to the default database; ``using`` may be a standby.
    """
    observer = observer or Observer()
    chosen = list(registry if rules is None else rules)
    run = records.open_run(Run.Verb.ANALYZE, database=using, actor=actor, keys=_stored(chosen, keys))
    report = Report(run.pk, run.verb)
    observer.begins("analyze", len(chosen))
    for rule in chosen:
        report.rules.append(_analyze_one(rule, run, Scope.of(keys), sample))
        observer.advances(rule.label)
    records.close_run(run, report.status)
    return report


def _analyze_one(rule: Rule, run: Run, scope: Scope, sample: int) -> RuleReport:
    report = RuleReport(rule.label)
    started = time.perf_counter()
    try:
        accepted = records.accepted_keys(rule, run.database)
        report.accepted = len(accepted)
        look(rule, Scope(keys=scope.keys, without=accepted), run.database, report)
    except (DatabaseError, EngineError) as error:
        report.status, report.error = statuses.FAILED, sentence(error)
    report.seconds = round(time.perf_counter() - started, 3)
    if report.status in (statuses.CLEAN, statuses.VIOLATED):
        looked_at = Q() if scope.keys is None else Q(key__in=[rule.key_as_json(key) for key in scope.keys])
        report.new, report.resolved = records.remember(
            rule, run, report.sample, looked_at=looked_at, truncated=report.truncated
        )
    report.sample = report.sample[:sample]
    records.save_result(run, report)
    return report


def _stored(rules: Sequence[Rule], keys: Sequence[Key] | None) -> list[dict[str, object]] | None:
    return None if keys is None or not rules else [rules[0].key_as_json(key) for key in keys]
