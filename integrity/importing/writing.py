"""Writing the difference in batches, each within a savepoint: a row that the database refuses stops nothing else.

A batch that is refused is halved until the row is found. Updates are guarded by the values that were compared, and
every row is journaled in the statement that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from psycopg import errors

from integrity.importing import filling
from integrity.importing.freeing import free_numbers
from integrity.importing.matching import INSERT, UPDATE, VANISH, Diff, Survey
from integrity.importing.refusals import OF_SOMEBODY, explained, is_of_rows
from integrity.importing.rejects import Reject
from integrity.importing.reports import FeedReport
from integrity.importing.staging import LINE
from integrity.journal import CHANGES, image, key_object
from integrity.keys import pk_columns
from integrity.models import Run
from integrity.observer import Observer
from integrity.repairing.defaults import unplanned
from integrity.schema import columns
from integrity.statement import Part, Statement, compose, fetch, joined, name, names, run, value

_RETURNS_OLD = 180000
_ATTEMPTS = 3
_NOTHING = {"n": 0, "renamed": 0}


class _MovedError(Exception):
    """A row is not as it was compared: somebody changed or deleted it meanwhile."""


class Writer:
    """Writes one difference and counts what became of its rows."""

    def __init__(
        self, diff: Diff, run_: Run, report: FeedReport, observer: Observer, changed: Mapping[str, int]
    ) -> None:
        self.changed = dict(changed)
        self.diff, self.run, self.report, self.observer = diff, run_, report, observer
        self.connection, self.model = diff.connection, diff.model
        self.held = columns(self.model._meta.db_table, self.connection)
        self.types = {column.name: Statement(column.type) for column in self.held}
        self.again: list[int] = []
        (self.pk,) = pk_columns(self.model)

    def write(self, batch_size: int, survey: Survey) -> None:
        """Write everything; rows that cannot be written are rejected. Raises TooManyRejected.

        survey: what is there to write; no rows of an operation mean that those of the difference stay as they are.
        """
        if not survey.vanishes:
            run(self.connection, compose("DELETE FROM {d} WHERE op = 'vanish'", d=self.diff.relation))
        last = survey.last or 0
        if last > batch_size:
            run(self.connection, compose("CREATE INDEX ON {d} (seq)", d=self.diff.relation))
        self.observer.begins(self.report.rule, survey.writes)
        rejected = len(self.diff.staged.rejects.rows)
        if survey.getting:
            free_numbers(self)
        for first in range(1, last + 1, batch_size):
            self._try(first, min(first + batch_size - 1, last))
            self.observer.reaches("batch")
            self.observer.advances(self.report.rule, batch_size)
        self._try_again()
        if len(self.diff.staged.rejects.rows) > rejected:
            self.changed = self.diff.changed()
        self.report.fields = {self._field(column): number for column, number in self.changed.items()}

    def _field(self, column: str) -> str:
        return next(f.name for f in self.model._meta.local_concrete_fields if f.column == column)

    # Batches

    def _try(self, first: int, last: int, *, final: bool = False) -> bool:
        """Write rows ``first`` to ``last``, or halves of them. True when all of them were written."""
        for attempt in range(_ATTEMPTS):
            try:
                # Taken back alone: a row that the database refuses would otherwise end the whole import.
                with transaction.atomic():
                    self._batch(first, last)
                return True
            except DatabaseError as error:
                if not is_of_rows(error):
                    raise
                met: Exception = error
                if not isinstance(error.__cause__, OF_SOMEBODY):
                    break
            except _MovedError as error:
                met = error
                break
            if last > first and attempt == 0:
                break
        if first < last:
            middle = (first + last) // 2
            left = self._try(first, middle, final=final)
            return self._try(middle + 1, last, final=final) and left
        self._give_up(first, met, final=final)
        return False

    def _batch(self, first: int, last: int) -> None:
        planned = self._planned(first, last)
        for operation, write in ((UPDATE, self._change), (VANISH, self._mark), (INSERT, self._insert)):
            wanted = planned.get(operation, _NOTHING)
            if wanted["n"] and write(self._rows(operation, first, last)) != wanted["n"]:
                raise _MovedError("somebody else changed or deleted the row meanwhile")
        # Once all of them are written: a batch that is taken back has written nothing.
        self.report.inserted += planned.get(INSERT, _NOTHING)["n"]
        self.report.updated += planned.get(UPDATE, _NOTHING)["n"]
        self.report.renamed += planned.get(UPDATE, _NOTHING)["renamed"]
        self.report.deactivated += planned.get(VANISH, _NOTHING)["n"]

    def _planned(self, first: int, last: int) -> dict[str, dict[str, int]]:
        """How many rows of a batch there are of each operation, and how many of those are renamed."""
        counted = compose(
            "SELECT op, count(*) AS n, count(*) FILTER (WHERE renamed) AS renamed FROM {d}"
            " WHERE seq BETWEEN {first} AND {last} GROUP BY op",
            d=self.diff.relation,
            first=value(first),
            last=value(last),
        )
        return {row["op"]: row for row in fetch(self.connection, counted)}

    def _rows(self, operation: str, first: int, last: int) -> Statement:
        return compose(
            "SELECT * FROM {d} WHERE op = {op} AND seq BETWEEN {first} AND {last}",
            d=self.diff.relation,
            op=value(operation),
            first=value(first),
            last=value(last),
        )

    def _give_up(self, seq: int, error: Exception, *, final: bool) -> None:
        """A single row that cannot be written: later, if it waits for another one to make way, or never."""
        if isinstance(error.__cause__, errors.UniqueViolation) and not final:
            self.again.append(seq)
            return
        rows = fetch(
            self.connection,
            compose(
                "WITH gone AS (DELETE FROM {d} WHERE seq = {seq} RETURNING nr)"
                " SELECT COALESCE(s.nr, -{seq}) AS nr, COALESCE({line}, 0) AS line"
                " FROM gone LEFT JOIN {staged} AS s USING (nr)",
                d=self.diff.relation,
                seq=value(seq),
                line=LINE,
                staged=self.diff.staged.relation,
            ),
        )
        file = self.diff.staged.file
        for row in rows:
            self.diff.staged.rejects.add(Reject(self.report.rule, file, row["nr"], row["line"], *explained(error)))

    def _try_again(self) -> None:
        """What another row stood in the way of, as long as that helps one."""
        while self.again:
            waiting, self.again = self.again, []
            written = [self._try(seq, seq) for seq in waiting]
            if not any(written):
                for seq in self.again:
                    self._try(seq, seq, final=True)
                self.again = []

    # Statements

    def _change(self, planned: Statement) -> int:
        # Not all columns: what no row changes need neither be checked nor fire a trigger.
        sets = {column: compose("p.{new}", new=name(f"new__{column}")) for column in self.changed}
        return self.update(planned, sets | self._constants(self._stamps()), self.diff.sets, few=True)

    def _mark(self, planned: Statement) -> int:
        return self.update(planned, self._constants(self.diff.gone | self._stamps()), list(self.diff.gone), few=True)

    def _stamps(self) -> dict[str, Any]:
        return filling.stamps(self.model, self.diff.sets, self.connection)

    def _constants(self, held: Mapping[str, Any]) -> dict[str, Statement]:
        return {c: compose("{v}::{type}", v=value(v), type=self.types[c]) for c, v in held.items()}

    def update(
        self, planned: Statement, sets: Mapping[str, Statement], compared: Sequence[str], *, few: bool = False
    ) -> int:
        """Set columns of rows that still have the compared values, and journal them. How many.

        few: of a table of many; the planner would rather read all of it, for each batch anew.
        """
        parts: dict[str, Part] = {"table": name(self.model._meta.db_table), "pk": name(self.pk)}
        parts["row"] = name(f"row__{self.pk}")
        seen = by_index = Statement("")
        if few:
            by_index = compose(" AND t.{pk} = ANY(ARRAY(SELECT p.{row} FROM ({p}) AS p))", p=planned, **parts)
        if self.connection.pg_version < _RETURNS_OLD:
            seen = compose("JOIN {table} AS old ON old.{pk} = p.{row}", **parts)
        done = compose(
            "UPDATE {table} AS t SET {sets} FROM ({planned}) AS p {seen}"
            " WHERE t.{pk} = p.{row}{by_index} AND {unmoved}"
            " RETURNING {key} AS key, {before} AS before, {after} AS after",
            sets=joined(", ", (compose("{c} = {v}", c=name(c), v=v) for c, v in sets.items())),
            planned=planned,
            seen=seen,
            by_index=by_index,
            unmoved=joined(
                " AND ",
                (compose("t.{c} IS NOT DISTINCT FROM p.{o}", c=name(c), o=name(f"old__{c}")) for c in compared),
            ),
            key=key_object("t", self.model),
            before=image("old", self.held),
            after=image("t", self.held),
            **parts,
        )
        return self._journaled(done)

    def _insert(self, planned: Statement) -> int:
        sets = {column: compose("p.{new}", new=name(f"new__{column}")) for column in self.diff.sets}
        sets |= self._constants(filling.defaults(self.model, self.diff.sets, self.connection))
        drawn = self._drawn(list(sets), planned)
        done = compose(
            "INSERT INTO {table} AS t ({columns}) SELECT {values} FROM ({planned}) AS p {drawn} ORDER BY p.seq"
            " RETURNING {key} AS key, NULL::jsonb AS before, {after} AS after",
            table=name(self.model._meta.db_table),
            columns=names([*sets, *(c for c, _ in drawn[0])]),
            values=joined(", ", [*sets.values(), *(v for _, v in drawn[0])]),
            planned=planned,
            drawn=drawn[1],
            key=key_object("t", self.model),
            after=image("t", self.held),
        )
        return self._journaled(done)

    def _drawn(self, sets: Sequence[str], planned: Statement) -> tuple[list[tuple[str, Statement]], Statement]:
        """Values of their own for new rows, such as a key made by uuid4, and the join that brings them."""
        fields = [field for field in unplanned(self.model, sets) if field.has_default()]
        if not fields:
            return [], Statement("")
        seqs = [r["seq"] for r in fetch(self.connection, compose("SELECT seq FROM ({p}) AS p", p=planned))]
        arrays = [[field.get_db_prep_save(field.get_default(), self.connection) for _ in seqs] for field in fields]
        given: list[Part] = [compose("{s}::bigint[]", s=value(seqs))]
        given += [
            compose("{v}::{t}[]", v=value(array), t=self.types[field.column])
            for field, array in zip(fields, arrays, strict=True)
        ]
        join = compose(
            "JOIN unnest({given}) AS d (seq, {columns}) ON d.seq = p.seq",
            given=joined(", ", given),
            columns=names(field.column for field in fields),
        )
        return [(field.column, compose("d.{c}", c=name(field.column))) for field in fields], join

    def _journaled(self, done: Statement) -> int:
        return run(
            self.connection,
            compose(
                'WITH done AS ({done}) INSERT INTO {changes} (run_id, rule, "table", key, before, after)'
                " SELECT {run}, {rule}, {label}, key, before, after FROM done",
                done=done,
                changes=name(CHANGES),
                run=value(self.run.pk),
                rule=value(self.report.rule),
                label=value(self.model._meta.db_table),
            ),
        )
