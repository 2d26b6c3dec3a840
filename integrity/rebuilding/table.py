"""Rebuilding a table of which most rows repeat others: a clean one is made beside it, proven, and swapped in.

Every step that writes to the live table or takes its lock is a short transaction. Whatever ends the process, the live
table is either the old one or the new one, whole; what else is left carries a comment by which the next run finds it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, OperationalError, transaction
from django.db.models import Q

from integrity import records, statuses
from integrity.conf import conf
from integrity.enforcement.unique_index import unique_index_name
from integrity.exceptions import EngineError, LostRun, Refused, sentence
from integrity.keys import pk_columns
from integrity.look import finding
from integrity.rebuilding.brief import Brief, patiently
from integrity.rebuilding.build import build
from integrity.rebuilding.carry import Carrier
from integrity.rebuilding.choose import KEPT, Counted, choose
from integrity.rebuilding.leftovers import sweep
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.notes import CatchUp, Moved, installed, removed, waiting
from integrity.rebuilding.portrait import differences, portrait
from integrity.rebuilding.proof import NotProven, prove, refuse_harm
from integrity.rebuilding.record import REBUILDS
from integrity.rebuilding.refusals import refuse_referred, refuse_taken, refuse_unfit
from integrity.rebuilding.snapshots import NotFinished, Older, current_transaction
from integrity.rebuilding.swap import Swap, locks, parents
from integrity.registry import registry
from integrity.repairing.rule_repair import RuleRepair
from integrity.repairs.rebuild import Rebuild
from integrity.reports import Finding, RuleReport
from integrity.rules.unique import Unique
from integrity.safety import enter
from integrity.schema import columns, is_retired, require_declared
from integrity.statement import compose, fetch, joined, name, names, run, value

STEPS = ("noted", "analyzed", "built", "verified", "caught up", "swapped", "recorded")
"""What an Observer is told of, in this order; "analyzed" inside a transaction, the others after its commit."""
_ATTEMPTS = 3
_QUIET = 20
"""How often a swap is put off because rows were just written, before the last of them are caught up under its lock."""


class TableRebuild(RuleRepair):
    """One rule whose strategy is a Rebuild."""

    def _perform(self) -> None:
        self.unique = cast("Unique", self.rule)
        self.table = self.rule.model._meta.db_table
        self.backup = cast("Rebuild", self.steps[0]).backup
        if is_retired(self.rule, DEFAULT_DB_ALIAS):
            self.report.status = statuses.RETIRED
            return
        if self.rule.label in self.run.options.get(REBUILDS, {}):
            self._finish()
            return
        require_declared(self.rule.reads(), self.connection)
        self.pieces = Pieces.of(self.table, self.run, self.connection)
        sweep([self.table], self.run, self.connection)
        refuse_unfit(self.pieces, self.connection)
        self.observer.begins(self.rule.label, len(STEPS))
        if self.run.dry_run:
            self._dry_run()
        elif self._is_allowed():
            self._rebuild()

    # Without a lock: a dry run is the same path in one transaction that is rolled back

    def _dry_run(self) -> None:
        with one_moment(self.connection):
            counted = self._analyze()
            if counted.surplus:
                self._build(counted)
                self._prove(noted=0)
                self.observer.reaches("verified")
            transaction.set_rollback(True)
        self.report.changes = self.planned.get(self.table, 0)
        self._brake_of_dry_run()
        self.report.status = statuses.VIOLATED if self.report.changes else statuses.CLEAN

    def _is_allowed(self) -> bool:
        """Where nobody has opened the brake, it is asked before anything is put on the table."""
        if self.brake.opened:
            return True
        with one_moment(self.connection):
            counted = self._analyze()
            transaction.set_rollback(True)
        self._check_all(self.planned)
        if not counted.surplus:
            self.report.status = statuses.CLEAN
        return bool(counted.surplus)

    def _analyze(self) -> Counted:
        held = [(column.name, column.type) for column in columns(self.table, self.connection)]
        counted = choose(self.unique, self.pieces.live, held, DEFAULT_DB_ALIAS, self.connection)
        if counted.surplus:
            # A table that is clean by now has the backup of the run that made it so.
            refuse_taken(self.pieces, self.backup, self.unique, self.connection)
        self._refuse_accepted()
        self.planned = {self.table: counted.surplus}
        self.report.checked, self.report.violations = counted.rows, counted.repeated
        self._tell(counted)
        self._reached("analyzed")
        return counted

    def _tell(self, counted: Counted) -> None:
        self.report.counts = {
            "rows": counted.rows,
            **({} if counted.distinct_rows is None else {"distinct_rows": counted.distinct_rows}),
            "distinct_keys": counted.keys,
            "kept": counted.rows - counted.surplus,
            "removed": counted.surplus,
        }
        if counted.surplus:
            self.report.notes = [self._share(self.report.counts, done=False)]
            self.report.sample = self._most_repeated()

    def _share(self, counts: dict[str, int], *, done: bool) -> str:
        go, be = ("are gone", "is") if done else ("would go", "would be")
        return (
            f"{counts['removed'] * 100 / counts['rows']:.7g} % of the rows of {self.table} {go}. The table as it was"
            f" {be} kept as {self.backup}."
        )

    def _most_repeated(self) -> list[Finding]:
        labels = self.unique.labels
        keys = (compose("{o} AS {k}", o=name(f"owner__{label}"), k=name(f"key__{label}")) for label in labels)
        rows = compose(
            f"SELECT {{keys}}, integrity_rows::bigint AS actual__rows, 1 AS expected__rows FROM pg_temp.{KEPT}"
            " WHERE integrity_rows > 1 ORDER BY integrity_rows DESC, {owners} LIMIT {limit}",
            keys=joined(", ", keys),
            owners=names(f"owner__{label}" for label in labels),
            limit=value(self.sample),
        )
        return [finding(self.rule, row) for row in fetch(self.connection, rows)]

    def _refuse_accepted(self) -> None:
        accepted = records.accepted_keys(self.rule, self.run.database)
        if accepted:
            raise Refused(
                f"{len(accepted)} exceptions of {self.rule.label} are accepted, and a rebuilt table has none."
                f" Nothing was written. Revoke them (manage.py integrity accept {self.rule.label} --revoke), or repair"
                " in place."
            )

    def _check_all(self, planned: dict[str, int]) -> None:
        for table, rows in planned.items():
            self.brake.check(table, rows, 0, self.connection, rows=self.report.checked)

    def _build(self, counted: Counted) -> None:
        self.carrier = Carrier(self.pieces, self.connection)
        build(self.unique, self.pieces, self.carrier, counted, self.connection)
        if self.run.dry_run:
            self._reached("built")

    def _prove(self, *, noted: int) -> None:
        prove(self.unique, self.pieces, self.connection, unchanged=not noted)
        refuse_referred(self.unique, self.pieces, self.connection)
        others = [
            rule
            for rule in registry.reading([self.rule.model])
            if rule.label not in (self.rule.label, *self.exempt) and not is_retired(rule, DEFAULT_DB_ALIAS)
        ]
        refuse_harm(others, self.pieces, self.connection)

    # The live table

    def _rebuild(self) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self._attempt()
                return
            except Moved:
                self._clear()
                if attempt == _ATTEMPTS - 1:
                    raise
            except LostRun:
                raise
            except (DatabaseError, EngineError) as error:
                self._clear_after(error)
                raise

    def _attempt(self) -> None:
        patiently(self._note, self.pieces.oid, self.table, self.connection)
        self._reached("noted")
        with one_moment(self.connection):
            counted = self._analyze()
            self._check_all(self.planned)
            if counted.surplus:
                self._build(counted)
        if not counted.surplus:
            self._clear()
            self.report.status = statuses.CLEAN
            return
        self._reached("built")
        with one_moment(self.connection):
            noted = CatchUp(self.unique, self.pieces, self.connection).perform()
            self._prove(noted=noted)
            filled = current_transaction(self.connection)
        self.older = Older(filled, self.connection)
        self._reached("verified")
        self._swap()
        self._finish()

    def _note(self) -> None:
        with transaction.atomic(durable=True):
            enter(self.run, [self.rule.label], self.connection)
            Brief(self.connection).run(installed(self.pieces, pk_columns(self.rule.model)))
            self.seen = portrait(self.pieces.oid, self.connection, without=self.pieces.triggers)

    def _swap(self) -> None:
        self.older.wait(time.monotonic() + conf().SWAP_SECONDS)
        self.quiet = 0
        patiently(self._swap_once, self.pieces.oid, self.table, self.connection)
        self._reached("swapped")

    def _swap_once(self) -> None:
        while True:
            with one_moment(self.connection):
                noted = CatchUp(self.unique, self.pieces, self.connection).perform()
                filled = current_transaction(self.connection) if noted else ""
            if self.quiet == 0:
                self._reached("caught up")
            self.quiet += 1
            if filled:
                Older(filled, self.connection).wait(time.monotonic() + conf().SWAP_SECONDS)
            if self._swapped():
                return

    def _swapped(self) -> bool:
        """The one short transaction. False when rows were written just before it began and it may be put off."""
        # From the first lock on, whoever wants the table waits: everything in here has one limit of time.
        with transaction.atomic(durable=True):
            enter(self.run, [self.rule.label], self.connection)
            brief = Brief(self.connection)
            brief.run(locks([self.pieces.clean], parents(self.pieces.oid, self.connection), self.pieces.live))
            if self.quiet < _QUIET and waiting(self.pieces, self.connection):
                transaction.set_rollback(True)
                return False
            brief.limit()
            CatchUp(self.unique, self.pieces, self.connection).perform()
            self._refuse_altered()
            brief.run(removed(self.pieces))
            swap = Swap(self.unique, self.pieces, self.carrier, self.backup, self.connection)
            brief.run(swap.statements())
            after = self._refuse_different()
            surplus = self.planned[self.table]
            self.run.options.setdefault(REBUILDS, {})[self.rule.label] = {
                "table": self.table,
                "backup": self.backup,
                "removed": surplus,
                "renamed": swap.renamed,
                "serial": [[s["relname"], s["attname"]] for s in self.carrier.sequences if s["deptype"] == "a"],
                "foreign_keys": [[key["conname"], key["definition"]] for key in self.carrier.foreign_keys()],
                "declared": declared(self.unique),
                "portrait": after,
                "counts": self.report.counts,
            }
            self.run.save(update_fields=["options"])
            records.progress(self.run, self.rule.label, surplus)
        return True

    def _refuse_altered(self) -> None:
        now = portrait(self.pieces.oid, self.connection, without=self.pieces.triggers)
        if altered := differences(self.seen, now):
            raise NotFinished(
                f"{self.table} was altered while it was rebuilt ({', '.join(altered)}). Nothing was changed."
                " Repair again."
            )

    def _refuse_different(self) -> dict[str, str]:
        pieces = Pieces.of(self.table, self.run, self.connection)
        after = portrait(pieces.oid, self.connection)
        lost = differences(self.seen, after, besides=(f"index {unique_index_name(self.unique)}",))
        if lost:
            raise NotProven(
                f"{', '.join(lost)} of {self.table} could not be carried over to the clean table. Nothing was changed."
                " Repair it in place (keep_one)."
            )
        return after

    # Afterwards

    def _finish(self) -> None:
        """Once the tables have changed places, also for a process that died right after it."""
        done = self.run.options[REBUILDS][self.rule.label]
        self.report.changes, self.report.violations = done["removed"], 0
        self.report.checked, self.report.counts = done["counts"]["rows"], done["counts"]
        self.report.notes = [self._share(done["counts"], done=True)]
        self.report.sample = []
        for key, definition in done["foreign_keys"]:
            if not definition.endswith(" NOT VALID"):
                validate(self.table, key, self.report, self.connection)
        self.report.status = statuses.PARTIAL if self.report.skipped else statuses.CLEAN

    def _record(self) -> None:
        if self.run.dry_run or self.report.status != statuses.CLEAN:
            records.save_result(self.run, self.report)
            return
        records.remember(self.rule, self.run, [], looked_at=Q(), truncated=False)
        self._reached("recorded")
        records.save_result(self.run, self.report)

    def _reached(self, step: str) -> None:
        self.observer.reaches(step)
        self.observer.advances(self.rule.label)

    def _clear(self) -> None:
        sweep([self.table], self.run, self.connection)

    def _clear_after(self, error: Exception) -> None:
        """Leave nothing behind; a server that is gone keeps it for the next run."""
        self.connection.close_if_unusable_or_obsolete()
        with contextlib.suppress(DatabaseError, EngineError):
            self._clear()


@contextlib.contextmanager
def one_moment(connection: Any) -> Iterator[None]:
    """A transaction that sees the database as it is now, whatever people write meanwhile."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def validate(table: str, key: str, report: RuleReport, connection: Any) -> None:
    """Prove a foreign key that was carried over; whoever writes goes on meanwhile."""
    statement = compose("ALTER TABLE {t} VALIDATE CONSTRAINT {c}", t=name(table), c=name(key))
    try:
        try:
            run(connection, statement)
        except OperationalError:
            # The tables have changed places: what is left to do must not wait for another run.
            connection.close_if_unusable_or_obsolete()
            run(connection, statement)
    except IntegrityError as error:
        report.skipped += 1
        report.reasons.append(f"{table}: {key} holds for new rows only: {sentence(error)}")


def declared(rule: Unique) -> str:
    """What decides which rows stay; an undo must find the same ones."""
    return f"by {rule.by!r} keep {rule.keep!r} where {rule.where!r}"
