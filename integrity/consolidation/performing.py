"""One phase as a run: taken, kept alive, done in transactions of its own, and written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from integrity import leases, records, statuses
from integrity.conf import conf
from integrity.exceptions import EngineError, LostRun, Refused, sentence
from integrity.locking import holders, lock_together, oids_of, patiently
from integrity.models import Run
from integrity.observer import Observer
from integrity.reports import Report, RuleReport
from integrity.rules.agrees import Agrees
from integrity.safety import enter
from integrity.undoing.restore import is_passing

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

    def attempt(self, run: Run, work: Callable[[], T], tables: Sequence[str] = (), *, also: Sequence[str] = ()) -> T:
        """Work in one transaction in which the run is proven to be ours, with tables locked against writers.

        Behind a table that is locked everybody queues, so it is waited for shortly and given up, again and again for
        SWAP_SECONDS; then Refused is raised, which names who has it. A dry run is rolled back. also: what the work
        locks itself.
        """

        def once() -> T:
            with transaction.atomic():
                enter(run, [self.rule.label], self.connection)
                if tables:
                    lock_together(tables, self.connection)
                done = work()
                if self.dry_run:
                    transaction.set_rollback(True)
            return done

        return patiently(once, is_passing, partial(self._busy, run, [*tables, *also]))

    def _busy(self, run: Run, tables: Sequence[str]) -> Refused:
        who = holders(oids_of(tables, self.connection), self.connection)
        has = f"In the way at last: {who}." if who else "Nobody is in the way now: many short transactions were."
        return Refused(
            f"{' and '.join(tables) or 'What is to be written'} could not be had alone within"
            f" {conf().SWAP_SECONDS:g} s. {has} Nothing more was changed. When that has ended (or is ended:"
            f" pg_terminate_backend), the same command goes on: manage.py integrity consolidate {self.rule.label}"
            f" --phase {run.options['phase']}"
        )
