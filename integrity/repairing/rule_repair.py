"""The repair of one rule within a run: finding the keys, measuring the whole plan, working it off."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import Q

from integrity import deadline, events, records, statuses
from integrity.conf import conf
from integrity.exceptions import Cancelled, EngineError, Harm, LostRun, Refused, sentence
from integrity.keys import Key
from integrity.look import keys_in
from integrity.notes import look_again
from integrity.observer import Observer
from integrity.rebuilding.leftovers import sweep
from integrity.repairing.batch import Batch, Outcome
from integrity.repairing.batches import Batches
from integrity.repairing.emptiness import refuse_empty_reference
from integrity.repairing.holding import Holding
from integrity.repairing.ordering import Job, feeds_itself
from integrity.repairing.planner import hashing
from integrity.repairing.whole_rules import count_whole, whole_rules
from integrity.repairing.worklist import Item, Keys, Listed, Work
from integrity.reports import Finding, RuleReport, Wider, added
from integrity.rules.base import Rule
from integrity.rules.unique import Unique
from integrity.safety import Brake
from integrity.schema import is_retired, require_declared
from integrity.scope import Scope
from integrity.statement import fetch
from integrity.throttle import Throttle

logger = logging.getLogger(__name__)

MAX_PASSES = 100


class RuleRepair:
    """One rule, one strategy. ``later``: rules that the same run repairs afterwards."""

    def __init__(
        self,
        job: Job,
        holding: Holding,
        scope: Scope,
        brake: Brake,
        later: Sequence[Rule],
        observer: Observer,
        sample: int,
    ) -> None:
        self.rule, self.strategy, self.steps = job
        self.run, self.scope, self.brake, self.observer, self.sample = holding.run, scope, brake, observer, sample
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.report = RuleReport(self.rule.label, strategy=self.strategy)
        self.models = {model for step in self.steps for model in step.writes(self.rule)}
        self.feeds_itself = feeds_itself(self.rule, self.steps)
        self.of_each_key = all(step.of_each_key for step in self.steps) and len(self.steps) == 1
        self.exempt = {rule.label for rule in later} | ({self.rule.label} if self.feeds_itself else set())
        self.throttle = Throttle(holding, {model._meta.db_table for model in self.models}, observer)
        self.batch = Batch(job, holding, self.connection, self.exempt, observer, self.throttle)
        self.left: dict[Key, Finding] = {}
        self.window: tuple[Scope, Sequence[Item], int] = (scope, [], 0)
        self.harms: list[Harm] = []
        self.measured = False
        self.planned: dict[str, int] = {}
        self.written: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.undone: dict[str, int] = {}

    def perform(self, wider: Wider | None = None) -> RuleReport:
        """Do it and say what happened; raises LostRun alone."""
        started = time.perf_counter()
        self.report.changes, self.done = records.so_far(self.run, self.rule.label)
        try:
            self._perform()
        except LostRun:
            raise
        except (DatabaseError, EngineError) as error:
            # One that broke is replaced, so that this can be written down; not one in a test's own transaction.
            if not self.connection.in_atomic_block:
                self.connection.close_if_unusable_or_obsolete()
            self.report.error = sentence(error)
            self.report.status = statuses.FAILED
            if isinstance(error, Refused):
                # "Refused" promises that nothing was written.
                self.report.status = statuses.PARTIAL if self.report.changes else statuses.REFUSED
        except Exception as error:
            # A rule may call functions of its app, which may raise anything; the run must not stay open for it.
            logger.exception("%s could not be repaired", self.rule.label, extra=events.failed(self.run))
            self.report.status, self.report.error = statuses.FAILED, f"{type(error).__name__}: {sentence(error)}"
        self.report.seconds = round(time.perf_counter() - started, 3)
        self.report.waited = self.throttle.waited
        self.report.outcomes = added(self.done, self.undone)
        if wider:
            self._count_also(wider)
        self._record()
        return self.report

    def _count_also(self, wider: Wider) -> None:
        self.report.checked = wider.checked
        if wider.left_alone:
            self.report.violations = (self.report.violations or 0) + wider.left_alone
            self.report.status = statuses.worst([self.report.status, statuses.VIOLATED])

    def _perform(self) -> None:
        if is_retired(self.rule, DEFAULT_DB_ALIAS):
            self.report.status = statuses.RETIRED
            return
        require_declared({*self.rule.reads(), *self.models}, self.connection)
        sweep({model._meta.db_table for model in self.models}, self.run, self.connection)
        self._prepare()
        whole = {rule: count_whole(rule) for rule in self._whole_rules()}
        try:
            self._passes()
        except Cancelled as asked:
            self.report.error = sentence(asked)
        self._conclude()
        self._check_whole(whole)

    def _passes(self) -> None:
        """Raises Harm when all that came of it were keys whose repair would break another rule."""
        for _ in range(MAX_PASSES):
            before = self.report.changes
            self._pass()
            if self.run.dry_run or not self.feeds_itself or self.report.changes == before:
                break
        else:
            self.report.skipped += 1
            self.report.reasons.append(
                f"It did not come to rest in {MAX_PASSES} passes: rows may follow each other in a circle"
            )
        if self.harms and len(self.harms) == self.report.skipped and not self.report.changes:
            raise self.harms[0]

    def _prepare(self) -> None:
        # What is decided once for all batches commits before the first: whoever goes on with the run must find it.
        with transaction.atomic():
            self.steps = tuple(step.prepared(self.rule, self.run) for step in self.steps)
        self.batch.steps = self.steps

    def _conclude(self) -> None:
        self.report.sample = [self.left[key] for key in sorted(self.left, key=_sortable)[: self.sample]]
        if self.run.dry_run:
            self._brake_of_dry_run()
        else:
            self.report.violations = self._left_over()
        self._tell_left()
        if self.report.skipped or self.report.error:
            self.report.status = statuses.PARTIAL
        elif self.report.violations or (self.run.dry_run and self.report.changes):
            self.report.status = statuses.VIOLATED
        else:
            self.report.status = statuses.CLEAN

    def _tell_left(self) -> None:
        for step in self.steps:
            counted, undecided = step.left(self.rule, self._settled(), DEFAULT_DB_ALIAS, self.sample)
            self.undone = added(self.undone, counted)
            self.report.undecided += undecided

    def _left_over(self) -> int:
        """How many still break the rule: those that were tried, too young, too many passes away, or not come to."""
        if not self.rule.settle and not self.feeds_itself and not self.report.error:
            return len(self.left)
        return keys_in(self.rule, self._scope(), DEFAULT_DB_ALIAS, 1)[1]

    def _scope(self) -> Scope:
        return replace(self.scope, without=records.accepted_keys(self.rule, self.run.database))

    def _settled(self) -> Scope:
        return replace(self._scope(), settle=self.rule.settle)

    # A pass over the violations

    def _pass(self) -> None:
        """The violations as they are now, each worked off once."""
        self.left.clear()
        self.report.skipped = 0
        self.report.reasons.clear()
        self.harms.clear()
        self.undone.clear()
        self.measured, self.written = False, dict(self.planned)
        scope = self._settled()
        if isinstance(self.rule, Unique) and Listed.may_be(self.rule, scope, self.connection):
            self._work_off_listed(self.rule, scope)
        else:
            self._work_off_windows(scope)

    def _work_off_windows(self, scope: Scope) -> None:
        """Window after window of violating keys; only the keys of one are held in memory."""
        first = True
        while True:
            keys, found, checked = keys_in(self.rule, scope, DEFAULT_DB_ALIAS, conf().WINDOW_KEYS)
            if first:
                self._begin(checked, found)
                first = False
            self._work_off(Keys(self.rule, self.connection), scope, keys, found)
            if found <= len(keys):
                return
            scope = scope.beyond(keys[-1])

    def _work_off_listed(self, rule: Unique, scope: Scope) -> None:
        with transaction.atomic():
            deadline.bound(self.connection)
            (population,) = fetch(self.connection, rule.population(scope, DEFAULT_DB_ALIAS))
            with hashing(self.connection):
                listed = Listed(rule, scope, self.connection)
            several = listed.found > conf().BATCH_KEYS
            if several:
                listed.list_rows()
        try:
            self._begin(population["checked"], listed.found)
            if several:
                self._work_off(listed, scope, range(1, listed.found + 1), listed.found)
            else:
                self._work_off(Keys(rule, self.connection), scope, listed.first(listed.found), listed.found)
        finally:
            with contextlib.suppress(DatabaseError):
                listed.drop()

    def _work_off(self, work: Work, scope: Scope, items: Sequence[Item], found: int) -> None:
        self.observer.reaches("detected")
        self.window = scope, items, found
        self.batch.work = work
        Batches(self._batch, self._leave, self.throttle).work_off(items)

    def _begin(self, checked: int, found: int) -> None:
        self.report.checked = self.report.checked or checked
        if self.report.violations is None:
            self.report.violations = found
            records.plan(self.run, self.rule.label, found)
        self.observer.begins(self.rule.label, found)
        if found:
            refuse_empty_reference(self.rule, self.steps, self._scope())

    def _batch(self, items: Sequence[Item]) -> set[Item]:
        """Repair some keys. Those whose rows moved meanwhile, to be tried again."""
        if len(items) < self.window[2] and not self.run.dry_run:
            self._measure(*self.window)
        outcome = self.batch.carry_out(items, self._check_brake, self.sample - len(self.report.planned))
        self.report.changes += outcome.changes
        self.report.planned += outcome.planned
        self._remember(items, outcome)
        for key, why in outcome.protected.items():
            # One that moved as well is tried again, and may be protected no longer.
            if key not in outcome.moved:
                self._skip([key], why)
        self.observer.advances(self.rule.label, len(items) - len(outcome.again))
        return outcome.again

    def _remember(self, items: Sequence[Item], outcome: Outcome) -> None:
        for table, rows in outcome.tables.items():
            self.planned[table] = self.planned.get(table, 0) + rows
        self.done, self.undone = added(self.done, outcome.done), added(self.undone, outcome.undone)
        for key in self.batch.work.keys(items) if self.left else ():
            self.left.pop(key, None)
        if not self.run.dry_run:
            self.left |= {key: found for key, found in outcome.left.items() if key not in outcome.moved}

    def _leave(self, items: Sequence[Item], met: Exception) -> None:
        if isinstance(met, Harm):
            self.harms.append(met)
        self._skip(self.batch.work.keys(items), sentence(met))

    def _skip(self, keys: Iterable[Key], why: str) -> None:
        for key in keys:
            self.report.skipped += 1
            if len(self.report.reasons) < self.sample:
                where = ", ".join(f"{column} {part}" for column, part in self.rule.key_as_json(key).items())
                self.report.reasons.append(f"{where}: {why}")
            self.left.setdefault(key, Finding(key, {}, {}, {}))

    # The brake

    def _check_brake(self, planned: dict[str, int]) -> None:
        """A repair of one batch is measured there; a longer one has been measured before its first."""
        if not self.measured and not self.run.dry_run:
            self._check_all(planned)

    def _measure(self, scope: Scope, items: Sequence[Item], found: int) -> None:
        """Plan everything once before anything is written, so that the brake stops a repair and not half of one."""
        if self.measured:
            return
        if self.of_each_key:
            self._check_all({self.rule.model._meta.db_table: found})
            return
        if self._is_surely_allowed(found):
            return
        planned: dict[str, int] = {}
        while True:
            planned = added(planned, self.batch.count(items))
            if found <= len(items):
                break
            scope = scope.beyond(items[-1])
            items, found, _ = keys_in(self.rule, scope, DEFAULT_DB_ALIAS, conf().WINDOW_KEYS)
        self._check_all(planned)

    def _is_surely_allowed(self, found: int) -> bool:
        """True where the keys found say enough, and a plan of all would only take its time."""
        if len(self.steps) > 1 or not self.steps[0].one_row_each:
            return False
        most = {model._meta.db_table: found for model in self.models}
        try:
            self._check_all(most)
        except Refused:
            return False
        return True

    def _check_all(self, planned: dict[str, int]) -> None:
        for table, rows in planned.items():
            self.brake.check(table, rows, self.written.get(table, 0), self.connection)
        self.measured = True

    def _brake_of_dry_run(self) -> None:
        try:
            self._check_all(self.planned)
        except Refused as refused:
            self.report.brake = str(refused)

    # What concerns whole tables

    def _whole_rules(self) -> Iterable[Rule]:
        return whole_rules(self.rule, self.steps, self.models, self.exempt, self.connection)

    def _check_whole(self, before: dict[Rule, int]) -> None:
        if self.run.dry_run or not self.report.changes:
            return
        for rule, count in before.items():
            now = count_whole(rule)
            if now > count:
                self.report.status = statuses.PARTIAL
                told = (
                    f"{rule.label} had {count} violations before and has {now} now; it can only be checked whole."
                    f" Repair it, or take this back: manage.py integrity undo {self.run.pk}"
                )
                self.report.error = f"{self.report.error} {told}".strip()

    def _record(self) -> None:
        records.save_result(self.run, self.report)
        if not self.run.dry_run:
            found = [finding for finding in self.left.values() if finding.actual]
            with transaction.atomic():
                records.remember(self.rule, self.run, found, looked_at=Q(pk__in=[]), truncated=False)
                if self.rule.tracked and found:
                    # They may have been put right since they were tried.
                    look_again(self.rule, [finding.key for finding in found])


def _sortable(key: Key) -> tuple[tuple[str, Any], ...]:
    """Keys in their own order; parts of one column are of one type."""
    return tuple((type(part).__name__, part) for part in key)
