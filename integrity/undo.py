"""undo: put back what a run changed, the last change first, as long as nobody has changed it since."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db import IntegrityError as Violated
from django.db.models import Case, Value, When

from integrity import leases, records, statuses
from integrity.conf import conf
from integrity.enforcement.states import refuse_while_mirrored
from integrity.exceptions import Cancelled, EngineError, LostRun, Refused, sentence
from integrity.keys import Key
from integrity.models import Change, Run
from integrity.observer import Observer
from integrity.rebuilding.record import SWAPS_BACK
from integrity.rebuilding.swap_back import swap_back
from integrity.registry import registry
from integrity.repairing.holding import Holding
from integrity.repairs.base import DELETE, INSERT, UPDATE
from integrity.reports import Conflict, Report, RuleReport
from integrity.rules.base import Rule
from integrity.safety import enter
from integrity.schema import columns, model_of
from integrity.throttle import Throttle
from integrity.undoing import restore
from integrity.undoing.extent import Extent, undoable

_DONE = Case(
    When(before__isnull=True, then=Value(INSERT)), When(after__isnull=True, then=Value(DELETE)), default=Value(UPDATE)
)
STEPS = ("restored", "recorded", "committed")


def undo(
    number: int,
    *,
    rule: Rule | None = None,
    keys: Sequence[Key] | None = None,
    dry_run: bool = False,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
    observer: Observer | None = None,
    beside_mirror: bool = False,
) -> Report:
    """Take back a repair, or another undo, as a run of its own which can be undone too.

    rule: only what was written for this rule. keys: only what was written for these of its violations; they are looked
    at afterwards, because the rows that are back may break the rule again.
    beside_mirror: although triggers keep two tables equal, for a dry run of what begins with taking these away.
    A row that was changed since is a conflict: it is listed and left. Killed half-way, the same call goes on. Raises
    UnknownName for a run that does not exist, UsageError for one that wrote nothing or still runs, RunInProgress,
    and Refused where the journal does not tell the keys of a change.
    """
    extent = Extent(rule, keys)
    of = undoable(number, extent)
    journaled = list(extent.of(of).values_list("rule", flat=True).distinct().order_by("rule"))
    swapped = extent.to_swap_back(of)
    rules = [*journaled, *(label for label in swapped if label not in journaled)]
    run, resumed = leases.take(
        [(rule, "") for rule in rules],
        Run.Verb.UNDO,
        exclusive=not dry_run,
        actor=actor,
        reason=reason,
        dry_run=dry_run,
        of=of,
        keys=extent.stored(),
        options={"columns": of.options["columns"], "triggers": of.options["triggers"], SWAPS_BACK: swapped},
    )
    report = Report(run.pk, run.verb, dry_run=dry_run, resumed=resumed)
    report.rules = [RuleReport(label, changes=records.so_far(run, label)[0]) for label in rules]
    extent.note_undone(of, run, report)
    with leases.Heartbeat(run):
        if journaled:
            _Undo(run, of, extent, report, sample, observer or Observer(), beside_mirror=beside_mirror).perform()
        if swapped and report.status not in (statuses.FAILED, statuses.REFUSED):
            swap_back(run, of, [result for result in report.rules if result.rule in swapped], sample, observer)
    if not dry_run:
        extent.look_again(report, sample)
    for result in report.rules:
        records.save_result(run, result)
    records.close_run(run, report.status, "; ".join(rule.error for rule in report.rules if rule.error))
    return report


class _Undo:
    def __init__(
        self, run: Run, of: Run, extent: Extent, report: Report, sample: int, observer: Observer, *, beside_mirror: bool
    ) -> None:
        self.beside_mirror = beside_mirror
        self.run, self.of, self.extent, self.report = run, of, extent, report
        self.sample, self.observer = sample, observer
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.by_rule = {rule.rule: rule for rule in report.rules}
        self.before: int | None = None
        tables = self._waiting().order_by().values_list("table", flat=True).distinct()
        self.throttle = Throttle(Holding(run), tables, observer)

    def perform(self) -> None:
        started = time.perf_counter()
        error, status = "", ""
        try:
            self._check_columns()
            self.observer.begins("undo", self._waiting().count())
            lasted = 0.0
            for batch in self._batches():
                self.throttle.give_way(lasted)
                begun = time.monotonic()
                self._carry_out(batch)
                lasted = time.monotonic() - begun
        except LostRun:
            raise
        except (DatabaseError, EngineError) as problem:
            # One that broke is replaced, so that this can be written down; not one in a test's own transaction.
            if not self.connection.in_atomic_block:
                self.connection.close_if_unusable_or_obsolete()
            error = sentence(problem)
            status = statuses.REFUSED if isinstance(problem, Refused) and not self.report.changes else statuses.FAILED
            if isinstance(problem, Cancelled):
                status = statuses.PARTIAL
        for rule in self.report.rules:
            rule.seconds = round(time.perf_counter() - started, 3)
            rule.error = error
            rule.waited = self.throttle.waited
            rule.status = status or self._status(rule)

    def _status(self, rule: RuleReport) -> str:
        if rule.skipped:
            return statuses.PARTIAL
        return statuses.VIOLATED if self.run.dry_run and rule.changes else statuses.CLEAN

    def _check_columns(self) -> None:
        """Refuse rather than guess when a column is gone or has another type now."""
        for label in () if self.beside_mirror else self.by_rule:
            written = self._waiting().filter(rule=label).order_by().values_list("table", flat=True).distinct()
            refuse_while_mirrored((rule for rule in registry if rule.label == label), written)
        for table in self._waiting().order_by().values_list("table", flat=True).distinct():
            now = {column.name: column.type for column in columns(table, self.connection)}
            for column, then in self.of.options["columns"].get(table, {}).items():
                if now.get(column) != then:
                    became = f"is {now[column]} now" if column in now else "is gone"
                    raise Refused(
                        f"{table}.{column} was {then} when run {self.of.pk} wrote it and {became}:"
                        " it cannot be put back."
                    )
            model_of(table)

    # Batches, newest change first

    def _waiting(self) -> Any:
        """Changes to take back. What this run has met already, restored or in conflict, lies behind it."""
        waiting = self.extent.of(self.of).filter(undone_by=None)
        return waiting if self.before is None else waiting.filter(id__lt=self.before)

    def _batches(self) -> Iterator[list[Change]]:
        while batch := list(
            self._waiting().order_by("-id").annotate(done=_DONE).defer("before", "after")[: conf().BATCH_KEYS]
        ):
            yield batch
            self.before = batch[-1].pk

    def _carry_out(self, batch: Sequence[Change]) -> None:
        """One batch, or its halves when a row cannot be put back or is locked; a single such row is a conflict."""
        for attempt in range(conf().LOCK_RETRIES if len(batch) == 1 else 1):
            try:
                return self._transaction(batch)
            except DatabaseError as error:
                if not isinstance(error, Violated) and not restore.is_passing(error):
                    raise
                met = error
                time.sleep(0.05 * 2**attempt)
        if len(batch) == 1:
            (change,) = batch
            self._conflict(change.rule, Conflict(change.table, change.key, sentence(met)))
            return None
        half = len(batch) // 2
        self._carry_out(batch[:half])
        self._carry_out(batch[half:])
        return None

    def _transaction(self, batch: Sequence[Change]) -> None:
        outcomes = []
        # Compared and written under the same lock: an edit between the two would be lost.
        with transaction.atomic(durable=True):
            enter(self.run, list(self.by_rule), self.connection)
            for changes in _groups(batch):
                table, rule, operation = _kind(changes[0])
                ids = [change.pk for change in changes]
                outcome = restore.restore(
                    self.run,
                    model_of(table),
                    operation,
                    ids,
                    set(self.of.options["triggers"]),
                    self.connection,
                    wait=len(batch) == 1,
                )
                self.observer.reaches("restored")
                outcomes.append((rule, outcome))
            with self.connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            self.throttle.notice()
            if self.run.dry_run:
                transaction.set_rollback(True)
            for rule, outcome in outcomes:
                if not self.run.dry_run:
                    records.progress(self.run, rule, outcome.restored)
            self.observer.reaches("recorded")
        for rule, outcome in outcomes:
            self.by_rule[rule].changes += outcome.restored
            for conflict in outcome.conflicts:
                self._conflict(rule, conflict)
            self.observer.advances("undo", outcome.restored + len(outcome.conflicts))
        self.observer.reaches("committed")

    def _conflict(self, rule: str, conflict: Conflict) -> None:
        self.by_rule[rule].skipped += 1
        if len(self.by_rule[rule].conflicts) < self.sample:
            self.by_rule[rule].conflicts.append(conflict)


def _groups(batch: Sequence[Change]) -> Iterator[list[Change]]:
    """Runs of changes that one statement can take back: of one table and kind, and no row twice."""
    group: list[Change] = []
    keys: set[str] = set()
    for change in batch:
        key = json.dumps(change.key, sort_keys=True)
        if group and (_kind(change) != _kind(group[0]) or key in keys):
            yield group
            group, keys = [], set()
        group.append(change)
        keys.add(key)
    yield group


def _kind(change: Change) -> tuple[str, str, str]:
    return change.table, change.rule, restore.OPPOSITE[change.done]  # type: ignore[attr-defined]
