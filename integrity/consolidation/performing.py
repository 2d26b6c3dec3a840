"""One phase as a run: taken, kept alive, done in transactions of its own, and written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from integrity import leases, records, statuses
from integrity.exceptions import EngineError, LostRun, Refused, sentence
from integrity.models import Run
from integrity.observer import Observer
from integrity.reports import Report, RuleReport
from integrity.restore import is_passing
from integrity.rules.agrees import Agrees
from integrity.safety import enter

ATTEMPTS = 20
"""At a table that somebody holds; about half a minute in all."""
T = TypeVar("T")


@dataclass(frozen=True)
class How:
    """What every phase is told: whether to try only, who asks, why, how much to show, and who watches."""

    dry_run: bool
    actor: str | None
    reason: str
    sample: int
    observer: Observer


class Performer:
    """Carries out phases of one rule."""

    def __init__(self, rule: Agrees, how: How) -> None:
        self.rule = rule
        self.dry_run, self.sample, self.observer = how.dry_run, how.sample, how.observer
        self.signed: dict[str, Any] = {"actor": how.actor, "reason": how.reason}
        self.connection = connections[DEFAULT_DB_ALIAS]

    def perform(self, phase: str, work: Callable[[Run, RuleReport], None]) -> Report:
        """One phase as a run of its own, of which one at a time works on the rule."""
        run, resumed = leases.take(
            [(self.rule.label, phase)],
            Run.Verb.CONSOLIDATE,
            exclusive=not self.dry_run,
            keys=None,
            dry_run=self.dry_run,
            options={"phase": phase, "columns": {}, "triggers": []},
            **self.signed,
        )
        result = RuleReport(self.rule.label, strategy=phase)
        report = Report(run.pk, run.verb, dry_run=self.dry_run, resumed=resumed, rules=[result])
        started = time.perf_counter()
        with leases.Heartbeat(run):
            try:
                work(run, result)
                if result.status == statuses.RUNNING:
                    violated = result.violations or (self.dry_run and result.changes)
                    result.status = statuses.VIOLATED if violated else statuses.CLEAN
            except LostRun:
                raise
            except (DatabaseError, EngineError) as error:
                if not self.connection.in_atomic_block:
                    self.connection.close_if_unusable_or_obsolete()
                result.error = sentence(error)
                result.status = statuses.FAILED
                if isinstance(error, Refused):
                    result.status = statuses.PARTIAL if result.changes else statuses.REFUSED
            result.seconds = round(time.perf_counter() - started, 3)
            result.sample = result.sample[: self.sample]
            records.save_result(run, result)
        records.close_run(run, report.status, result.error)
        return report

    def attempt(self, run: Run, work: Callable[[], T]) -> T:
        """Work in one transaction in which the run is proven to be ours, again while somebody holds a table.

        Behind a table that is locked everybody queues, so it is waited for shortly and given up. A dry run is rolled
        back.
        """
        for attempt in range(ATTEMPTS):
            try:
                with transaction.atomic():
                    enter(run, [self.rule.label], self.connection)
                    done = work()
                    if self.dry_run:
                        transaction.set_rollback(True)
                return done
            except DatabaseError as error:
                if not is_passing(error) or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2 ** min(attempt, 4))
        raise AssertionError
