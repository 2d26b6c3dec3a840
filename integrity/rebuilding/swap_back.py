"""Taking a rebuild back: the old table gets its name and everything else back, with what people did meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from integrity import records, statuses
from integrity.exceptions import EngineError, LostRun, Refused, UnknownName, sentence
from integrity.keys import pk_columns
from integrity.models import Run
from integrity.observer import Observer
from integrity.rebuilding.brief import Brief, patiently
from integrity.rebuilding.carry import ENABLED
from integrity.rebuilding.leftovers import sweep
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.notes import Moved, installed, removed
from integrity.rebuilding.portrait import differences, portrait
from integrity.rebuilding.record import REBUILDS, rebuilds
from integrity.rebuilding.refusals import dependents
from integrity.rebuilding.since import Since, in_words, trigger_states
from integrity.rebuilding.snapshots import NotFinished
from integrity.rebuilding.swap import continued, locks, parents, rename
from integrity.rebuilding.table import declared, one_moment, validate
from integrity.registry import registry
from integrity.reports import RuleReport
from integrity.rules.unique import Unique
from integrity.safety import enter
from integrity.statement import Statement, compose, fetch, name

STEPS = ("noted", "compared", "swapped", "recorded")
"""What an Observer is told of, each after its commit."""
_ATTEMPTS = 3


def swap_back(run: Run, of: Run, reports: Sequence[RuleReport], sample: int, observer: Observer | None = None) -> None:
    """Swap the old tables of some rules back, and say in their reports what happened; raises LostRun alone."""
    for report in reports:
        started = time.perf_counter()
        try:
            SwapBack(run, of, report, sample, observer or Observer()).perform()
        except LostRun:
            raise
        except (DatabaseError, EngineError) as problem:
            connections[DEFAULT_DB_ALIAS].close_if_unusable_or_obsolete()
            report.error, report.status = sentence(problem), statuses.FAILED
            if isinstance(problem, Refused):
                report.status = statuses.PARTIAL if report.changes else statuses.REFUSED
        report.seconds = round((report.seconds or 0) + time.perf_counter() - started, 3)


class SwapBack:
    """One rebuilt table of a run that is undone."""

    def __init__(self, run: Run, of: Run, report: RuleReport, sample: int, observer: Observer) -> None:
        self.run, self.of, self.report, self.sample, self.observer = run, of, report, sample, observer
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.done: dict[str, Any] = of.options[REBUILDS][report.rule]
        self.table, self.backup = self.done["table"], self.done["backup"]

    def perform(self) -> None:
        """Raises Refused where it would have to guess, and what a database raises; then everything is as before."""
        if self.done.get("undone_by") == self.run.pk:
            self._finish()
            return
        self.rule = self._declared_rule()
        self.pieces = Pieces.of(self.table, self.run, self.connection)
        sweep([self.table], self.run, self.connection)
        self._refuse_unfit()
        if self.run.dry_run:
            self._dry_run()
            return
        for attempt in range(_ATTEMPTS):
            try:
                self._attempt()
                break
            except Moved:
                sweep([self.table], self.run, self.connection)
                if attempt == _ATTEMPTS - 1:
                    raise
            except (DatabaseError, EngineError):
                self.connection.close_if_unusable_or_obsolete()
                with contextlib.suppress(DatabaseError, EngineError):
                    sweep([self.table], self.run, self.connection)
                raise
        self._finish()

    # What would be a guess

    def _declared_rule(self) -> Unique:
        try:
            rule = registry.get(self.report.rule)
        except UnknownName as error:
            raise Refused(f"{error} It decides which rows stayed, so that run {self.of.pk} can be undone.") from None
        assert isinstance(rule, Unique)
        if declared(rule) != self.done["declared"]:
            raise Refused(
                f"{rule.label} is declared otherwise than when run {self.of.pk} rebuilt {self.table} ({declared(rule)};"
                f" then: {self.done['declared']}). Which rows stayed then cannot be told. Nothing was written."
            )
        return rule

    def _refuse_unfit(self) -> None:
        there = fetch(
            self.connection,
            Statement("SELECT to_regclass(%s)::oid AS oid", (self.pieces.named(self.backup).as_string(None),)),
        )
        if there[0]["oid"] is None:
            raise Refused(
                f"{self.backup}, which kept the rows of {self.table}, is gone: run {self.of.pk} cannot be taken back."
            )
        self.backup_oid = int(there[0]["oid"])
        for later in Run.objects.filter(pk__gt=self.of.pk, options__has_key=REBUILDS).order_by("pk"):
            if any(done["table"] == self.table for done in rebuilds(later).values() if "undone_by" not in done):
                raise Refused(
                    f"{self.table} was rebuilt again by run {later.pk}. Undo that one first:"
                    f" manage.py integrity undo {later.pk}"
                )
        if altered := differences(self.done["portrait"], portrait(self.pieces.oid, self.connection)):
            raise Refused(
                f"{self.table} was altered since it was rebuilt ({', '.join(altered)}), which the old table was not."
                " Nothing was written. Take that back first."
            )
        if depending := dependents(self.pieces.oid, self.connection):
            raise Refused(
                f"{', '.join(depending)} depends on {self.table} since it was rebuilt. Nothing was written."
                " Drop that first."
            )

    # With and without writing

    def _dry_run(self) -> None:
        since = self._since()
        with one_moment(self.connection):
            since.compare()
            self._carry(since)
            transaction.set_rollback(True)
        self._tell(since, "would be")
        self.report.changes = self.done["removed"]
        self.report.status = statuses.VIOLATED

    def _attempt(self) -> None:
        patiently(self._note, self.pieces.oid, self.table, self.connection)
        self._reached("noted")
        with one_moment(self.connection):
            self._since().compare()
        self._reached("compared")
        patiently(self._swap, self.pieces.oid, self.table, self.connection)
        self._reached("swapped")

    def _since(self) -> Since:
        return Since(self.rule, self.pieces, self.backup, self.connection)

    def _note(self) -> None:
        with transaction.atomic(durable=True):
            enter(self.run, [self.report.rule], self.connection)
            Brief(self.connection).run(installed(self.pieces, pk_columns(self.rule.model)))

    def _swap(self) -> None:
        since = self._since()
        # Whoever wants the table waits from the first lock on: everything in here has one limit of time.
        with transaction.atomic(durable=True):
            enter(self.run, [self.report.rule], self.connection)
            brief = Brief(self.connection)
            old = self.pieces.named(self.backup)
            brief.run(locks([old], parents(self.pieces.oid, self.connection), self.pieces.live))
            self._refuse_altered()
            since.add_noted()
            brief.limit()
            self._carry(since)
            brief.run(removed(self.pieces))
            brief.run(self._statements())
            self._record()
        since.forget()
        self._tell(since, "were")

    def _refuse_altered(self) -> None:
        now = portrait(self.pieces.oid, self.connection, without=self.pieces.triggers)
        if altered := differences(self.done["portrait"], now):
            raise NotFinished(f"{self.table} was just altered ({', '.join(altered)}). Nothing was changed.")

    def _carry(self, since: Since) -> None:
        """Triggers of the old table have acted on the new one already."""
        old = self.pieces.named(self.backup)
        states = [
            (trigger, state) for trigger, state in trigger_states(self.backup_oid, self.connection) if state != "D"
        ]
        brief = Brief(self.connection)
        if states:
            brief.run([compose("ALTER TABLE {t} DISABLE TRIGGER USER", t=old)])
        since.carry_over(self.sample)
        for trigger, state in states:
            enabled = ENABLED[state] or "ENABLE"
            brief.run([compose(f"ALTER TABLE {{t}} {enabled} TRIGGER {{g}}", t=old, g=name(trigger))])

    def _statements(self) -> Iterator[Statement]:
        old, live = self.pieces.named(self.backup), self.pieces.live
        for kind, local, aside in self.done["renamed"]:
            if kind == "SEQUENCE":
                yield continued(self.pieces.named(aside), self.pieces.named(local))
        for sequence, column in self.done["serial"]:
            yield compose(
                "ALTER SEQUENCE {s} OWNED BY {c}",
                s=self.pieces.named(sequence),
                c=name(self.pieces.schema, self.backup, column),
            )
        # Everything in it is in the old one, and with it its names are free.
        yield compose("DROP TABLE {live}", live=live)
        yield compose("ALTER TABLE {old} RENAME TO {live}", old=old, live=name(self.table))
        for kind, local, aside in self.done["renamed"]:
            yield rename(self.pieces, kind, aside, local)
        for key, definition in self.done["foreign_keys"]:
            yield compose(
                "ALTER TABLE {t} ADD CONSTRAINT {c} {d} NOT VALID",
                t=live,
                c=name(key),
                d=Statement(definition.removesuffix(" NOT VALID").replace("%", "%%")),
            )

    def _record(self) -> None:
        of = Run.objects.select_for_update().get(pk=self.of.pk)
        of.options[REBUILDS][self.report.rule]["undone_by"] = self.run.pk
        of.save(update_fields=["options"])
        self.done["undone_by"] = self.run.pk
        records.progress(self.run, self.report.rule, self.done["removed"])

    def _tell(self, since: Since, were: str) -> None:
        self.report.planned = since.carried
        self.report.conflicts = since.conflicts[: self.sample]
        self.report.skipped += len(since.conflicts)
        if any(since.counts.values()):
            self.report.notes.append(
                f"{self.table}: {in_words(since.counts)} since run {self.of.pk} {were} carried over to the old table."
            )

    def _finish(self) -> None:
        self.report.changes = self.done["removed"]
        for key, definition in self.done["foreign_keys"]:
            if not definition.endswith(" NOT VALID"):
                validate(self.table, key, self.report, self.connection)
        self.report.status = statuses.PARTIAL if self.report.skipped else statuses.CLEAN
        self._reached("recorded")

    def _reached(self, step: str) -> None:
        self.observer.reaches(step)
