"""consolidate: two tables become one, in phases that can each be verified and taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from django.db import DEFAULT_DB_ALIAS, connections

from integrity import records, statuses
from integrity.consolidation import PHASES
from integrity.consolidation.foreign_keys import Move, Reference, references_to
from integrity.consolidation.own_keys import let_go
from integrity.consolidation.performing import How, Performer
from integrity.consolidation.retiring import bring_back, has_table, prove, retire, retired_name, told
from integrity.consolidation.sides import Sides
from integrity.consolidation.typed import typed_writes
from integrity.enforce import enforce
from integrity.enforcement.base import ENFORCED, GUARDED
from integrity.enforcement.states import state
from integrity.engine import analyze
from integrity.exceptions import Refused, UsageError
from integrity.journal import note_columns, write
from integrity.locking import oids_of
from integrity.look import look
from integrity.models import Change, Run
from integrity.observer import Observer
from integrity.rebuilding.swap import parents
from integrity.repair import repair
from integrity.repairing.plan import Plan
from integrity.reports import Report, RuleReport, rows
from integrity.rules.agrees import Agrees
from integrity.rules.agrees_pairs import MODIFIED, ONLY_LEFT, ONLY_RIGHT
from integrity.rules.base import Rule
from integrity.safety import refuse_triggers
from integrity.schema import is_retired
from integrity.scope import Scope
from integrity.statement import compose, fetch, name
from integrity.undo import undo

STEPS = ("guarded", "pointed", "proven", "retired", "let go", "back", "unguarded")
"""What an Observer is told of by the phases of this module; copy and rollback tell those of repair and undo as well."""
Preparations = Sequence[tuple[Rule, str]]


def consolidate(
    rule: Rule,
    phase: str,
    *,
    strategy: str | None = None,
    first: Preparations = (),
    dry_run: bool = False,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """Carry out one phase for a rule that two tables agree; the right one is to go.

    copy: keep both equal from now on, and repair by ``strategy``, after the repairs in ``first``. verify: look at
    every row and field. references: point what refers to the right table at the left one. cleanup: prove agreement and
    retire the right table, which is kept. rollback: take the latest phase back. Killed half-way, the same call goes on.

    Raises UsageError, and what the verbs raise that it calls.
    """
    rule = require_two_tables(rule)
    if phase not in PHASES:
        raise UsageError(f"Unknown phase {phase!r}. Known: {', '.join(PHASES)}.")
    how = How(dry_run, actor, reason, sample, observer or Observer())
    work = _Consolidation(rule, strategy, first, how)
    report: Report = getattr(work, phase)()
    return report


def require_two_tables(rule: Rule) -> Agrees:
    """The rule, of the one kind that has two tables. Raises UsageError."""
    if isinstance(rule, Agrees):
        return rule
    raise UsageError(f"{rule.label} is of the kind {rule.kind!r}: only the two tables of Agrees can become one.")


def copy_is_in_effect(rule: Agrees, first: Preparations = ()) -> bool:
    """True when a copy, or what prepared it, was not taken back."""
    return bool(_unfinished("repair", [rule, *(prepared for prepared, _ in first)]))


def references_are_in_effect(rule: Agrees) -> bool:
    """True when something that referred to the right table was pointed at the left one and not back."""
    found = references_to(rule.model._meta.db_table, connections[DEFAULT_DB_ALIAS])
    return any(_is_ours(rule, reference) for reference in found) or bool(_unfinished("consolidate", [rule]))


def _is_ours(rule: Agrees, reference: Reference) -> bool:
    return reference.comment.startswith(f"{rule.label}: pointed here")


def _unfinished(verb: str, rules: Sequence[Rule]) -> list[int]:
    """Runs of a verb that wrote for some rules and are not taken back, the latest first."""
    found = Change.objects.filter(rule__in=[rule.label for rule in rules], run__verb=verb, undone_by=None).order_by()
    return sorted(found.values_list("run", flat=True).distinct(), reverse=True)


class _Consolidation(Performer):
    """The phases. Each is a run of its own, or several that repair and undo open."""

    def __init__(self, rule: Agrees, strategy: str | None, first: Preparations, how: How) -> None:
        super().__init__(rule, how)
        self.strategy, self.first = strategy, first

    # The phases

    def verify(self) -> Report:
        return analyze([self.rule], actor=self.signed["actor"], sample=self.sample, observer=self.observer)

    def copy(self) -> Report:
        """Guard, then copy: what is written meanwhile goes to both tables."""
        if self._is_gone():
            return self.verify()
        strategy = self.rule.strategy(self.strategy)[0]
        done: list[RuleReport] = []
        triggers = 0
        if self.rule.enforce and state(self.rule) not in (GUARDED, ENFORCED):
            guarded = enforce([self.rule], dry_run=self.dry_run, sample=self.sample, **self.signed)
            if guarded.exit_code > 1:
                return guarded
            triggers = guarded.changes
            self.observer.reaches("guarded")
        for rule, its_own in self.first:
            prepared = self._repair(rule, its_own, "100%")
            done += prepared.rules
            if prepared.exit_code > 1:
                prepared.rules = done
                return prepared
        report = self._repair(self.rule, strategy, str(self._rows_of_both()))
        self._count(report.rules[-1])
        if triggers:
            done_ = "would keep" if self.dry_run else "keep"
            report.rules[-1].notes.append(f"{triggers} triggers {done_} both tables equal from now on.")
            report.rules[-1].changes += triggers * self.dry_run
        report.rules = [*done, *report.rules]
        return report

    def references(self) -> Report:
        sides = Sides.forwards(self.rule)

        def work(run: Run, result: RuleReport) -> None:
            self._require_table()
            comment = f"{self.rule.label}: pointed here from {self.rule.other._meta.db_table}"
            result.changes += self._point_foreign_keys(run, sides, comment, result)
            result.changes += self.attempt(run, lambda: self._write_typed(run, sides, result))

        return self.perform("references", work)

    def cleanup(self) -> Report:
        def work(run: Run, result: RuleReport) -> None:
            if self._is_gone():
                if not self._let_go(run):
                    result.status = statuses.RETIRED
                return
            tables = [model._meta.db_table for model in self.rule.roots()]
            kept = self.attempt(run, lambda: self._prove_and_retire(result), tables)
            result.status, result.changes = statuses.RUNNING, kept
            result.notes.append(
                f"{rows(kept)} are kept in {retired_name(self.rule)}; --phase rollback brings the table back."
            )
            if not self.rule.while_exists:
                result.notes.append(f"{self.rule.label} needs while_exists=True, or it cannot be checked without it.")
            if not self.dry_run:
                self._let_go(run)

        return self.perform("cleanup", work)

    def _let_go(self, run: Run) -> int:
        """Let the retired table refer to nothing, in a transaction that the proof and its locks are no part of."""
        kept = retired_name(self.rule)

        def work() -> int:
            keys = let_go(kept, self.connection)
            self.observer.reaches("let go")
            return keys

        # Those cannot be let go of while somebody uses what they refer to.
        targets = parents(oids_of([kept], self.connection)[0], self.connection) if self._is_kept() else []
        return self.attempt(run, work, also=[kept, *targets])

    def _prove_and_retire(self, result: RuleReport) -> int:
        try:
            prove(self.rule, result)
        except Refused:
            result.notes += told(self.rule, result)[: self.sample]
            raise
        self.observer.reaches("proven")
        kept = retire(self.rule)
        self.observer.reaches("retired")
        return kept

    def rollback(self) -> Report:
        """The latest phase that is in effect, as the catalog and the journal tell."""
        if self._is_kept():
            return self.perform("rollback", self._bring_table_back)
        if references_are_in_effect(self.rule):
            return self._references_back()
        if runs := _unfinished("repair", [self.rule, *(rule for rule, _ in self.first)]):
            return self._copy_back(runs)
        raise UsageError(f"There is nothing to take back: no phase of {self.rule.label} is in effect.")

    # Taking back

    def _bring_table_back(self, run: Run, result: RuleReport) -> None:
        table = self.rule.other._meta.db_table
        tables = [retired_name(self.rule), self.rule.model._meta.db_table]
        count, lost = self.attempt(run, self._bring_back, also=tables)
        result.changes = count
        result.notes.append(f"{table} is back with {rows(count)}, as it was when it was retired.")
        if lost:
            result.notes.append(f"Not back: {rows(lost)} that belonged to what was deleted meanwhile.")
        if not self.dry_run:
            look(self.rule, Scope(), DEFAULT_DB_ALIAS, result)
            result.notes += self._written_since(result.counts or {}, self.rule.model._meta.db_table, table)

    @staticmethod
    def _written_since(counts: dict[str, int], kept: str, back: str) -> Iterator[str]:
        if any(counts.get(found) for found in (MODIFIED, ONLY_LEFT)):
            yield f"What was written since stands in {kept} alone. --phase copy brings it over."
        if deleted := counts.get(ONLY_RIGHT):
            yield (
                f"Deleted from {kept} since, and back in {back}: {rows(deleted)}. --phase copy brings them back to"
                f" both; where that is not wanted, delete them from {back} first."
            )

    def _bring_back(self) -> tuple[int, int]:
        counts = bring_back(self.rule)
        self.observer.reaches("back")
        return counts

    def _references_back(self) -> Report:
        sides = Sides.backwards(self.rule)

        def work(run: Run, result: RuleReport) -> None:
            self._require_table()
            result.changes += self._point_foreign_keys(run, sides, "", result)

        report = self.perform("rollback", work)
        if report.exit_code <= 1:
            for number in _unfinished("consolidate", [self.rule]):
                # These rows are of other tables, and no trigger of this rule carries them anywhere.
                back = undo(number, dry_run=self.dry_run, sample=self.sample, observer=self.observer, **self.signed)
                report.rules += back.rules
        return report

    def _copy_back(self, runs: Sequence[int]) -> Report:
        if self.rule.enforce and not self.dry_run:
            removed = enforce([self.rule], remove=True, sample=self.sample, **self.signed)
            if removed.exit_code > 1:
                return removed
            self.observer.reaches("unguarded")
        reports = [
            undo(
                number,
                dry_run=self.dry_run,
                sample=self.sample,
                observer=self.observer,
                beside_mirror=self.dry_run,
                **self.signed,
            )
            for number in runs
        ]
        reports[-1].rules = [result for report in reports for result in report.rules]
        return reports[-1]

    # Work

    def _point_foreign_keys(self, run: Run, sides: Sides, comment: str, result: RuleReport) -> int:
        """Each foreign key in a transaction of its own; those that are done refer to the other table already."""
        moved = 0
        for reference in references_to(sides.gone._meta.db_table, self.connection):
            if sides.gone is self.rule.model and not _is_ours(self.rule, reference):
                continue
            move = Move(sides, reference, self.connection)
            count = self.attempt(run, partial(self._move, move, comment), move.tables)
            moved += count
            where = f"{reference.table}.{reference.column}"
            result.notes.append(f"{where} refers to {sides.kept._meta.db_table}: {rows(count)} pointed there.")
        return moved

    def _move(self, move: Move, comment: str) -> int:
        count = move.carry_out(comment)
        self.observer.reaches("pointed")
        return count

    def _write_typed(self, run: Run, sides: Sides, result: RuleReport) -> int:
        written = 0
        result.planned = []
        for planned in typed_writes(sides, self.connection):
            plan = Plan(self.rule, planned, self.connection)
            if not plan.count():
                continue
            refuse_triggers([plan], (), self.connection)
            result.planned += plan.sample(self.sample - len(result.planned))
            if not self.dry_run:
                note_columns(run, plan.model, set(), self.connection)
            written += write(plan, run, self.rule.label, self.connection)
        records.progress(run, self.rule.label, written)
        self.observer.reaches("pointed")
        return written

    def _repair(self, rule: Rule, strategy: str, limit: str) -> Report:
        return repair(
            [(rule, strategy)],
            dry_run=self.dry_run,
            max_affected=limit,
            sample=self.sample,
            observer=self.observer,
            **self.signed,
        )

    def _count(self, result: RuleReport) -> None:
        """How the tables stand after the copy."""
        if result.status in (statuses.CLEAN, statuses.VIOLATED, statuses.PARTIAL) and not self.dry_run:
            looked = RuleReport(self.rule.label)
            look(self.rule, Scope(), DEFAULT_DB_ALIAS, looked)
            result.counts, result.checked, result.violations = looked.counts, looked.checked, looked.violations

    def _rows_of_both(self) -> int:
        """To copy all rows is what was asked for: the brake is for those who did not."""
        counted = compose(
            "SELECT (SELECT count(*) FROM {left}) + (SELECT count(*) FROM {right}) AS n",
            left=name(self.rule.model._meta.db_table),
            right=name(self.rule.other._meta.db_table),
        )
        return max(1, int(fetch(self.connection, counted)[0]["n"]))

    def _is_kept(self) -> bool:
        return has_table(retired_name(self.rule), self.connection)

    def _is_gone(self) -> bool:
        put_aside = self._is_kept() and not has_table(self.rule.other._meta.db_table, self.connection)
        return put_aside or is_retired(self.rule, DEFAULT_DB_ALIAS)

    def _require_table(self) -> None:
        if self._is_gone():
            raise Refused(
                f"{self.rule.other._meta.db_table} is retired, and nothing can refer to it. Nothing was written."
            )
