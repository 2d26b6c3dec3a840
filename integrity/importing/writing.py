"""Writing the difference in batches, each within a savepoint: a row that the database refuses stops nothing else.

A batch that is refused is halved until the row is found. Updates are guarded by the values that were compared, and
every row is journaled in the statement that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from psycopg import errors

from integrity.defaults import unplanned
from integrity.exceptions import sentence
from integrity.importing.matching import INSERT, UPDATE, VANISH, Diff
from integrity.importing.numbers import Number
from integrity.importing.rejects import Reject
from integrity.importing.reports import FeedReport
from integrity.importing.staging import LINE
from integrity.journal import CHANGES, image, key_object
from integrity.keys import pk_columns
from integrity.models import Run
from integrity.observer import Observer
from integrity.schema import columns
from integrity.statement import Part, Statement, compose, fetch, joined, name, names, run, value

_RETURNS_OLD = 180000
_ATTEMPTS = 3
_OF_A_ROW = (errors.IntegrityError, errors.DataError, errors.RaiseException)
_OF_SOMEBODY = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


class _MovedError(Exception):
    """A row is not as it was compared: somebody changed or deleted it meanwhile."""


class Writer:
    """Writes one difference and counts what became of its rows."""

    def __init__(self, diff: Diff, run_: Run, report: FeedReport, observer: Observer) -> None:
        self.diff, self.run, self.report, self.observer = diff, run_, report, observer
        self.connection, self.model = diff.connection, diff.model
        self.held = columns(self.model._meta.db_table, self.connection)
        self.types = {column.name: Statement(column.type) for column in self.held}
        self.again: list[int] = []
        (self.pk,) = pk_columns(self.model)

    def write(self, batch_size: int, *, vanish: bool) -> None:
        """Write everything; rows that cannot be written are rejected. Raises TooManyRejected."""
        if not vanish:
            run(self.connection, compose("DELETE FROM {d} WHERE op = 'vanish'", d=self.diff.relation))
        total = self.diff.count()
        if not total:
            return
        last = fetch(self.connection, compose("SELECT max(seq) AS n FROM {d}", d=self.diff.relation))[0]["n"]
        if last > batch_size:
            run(self.connection, compose("CREATE INDEX ON {d} (seq)", d=self.diff.relation))
            run(self.connection, compose("ANALYZE {d}", d=self.diff.relation))
        self.observer.begins(self.report.rule, total)
        self._free_numbers()
        for first in range(1, last + 1, batch_size):
            self._try(first, min(first + batch_size - 1, last))
            self.observer.reaches("batch")
            self.observer.advances(self.report.rule, batch_size)
        self._try_again()

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
                if not isinstance(error.__cause__, (*_OF_A_ROW, *_OF_SOMEBODY)):
                    raise
                met: Exception = error
                if not isinstance(error.__cause__, _OF_SOMEBODY):
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
        written = {operation: self._carry_out(operation, first, last) for operation in (UPDATE, VANISH, INSERT)}
        self.report.inserted += written[INSERT][0]
        self.report.updated += written[UPDATE][0]
        self.report.renamed += written[UPDATE][1]
        self.report.deactivated += written[VANISH][0]

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
            self.diff.staged.rejects.add(Reject(self.report.rule, file, row["nr"], row["line"], *_explained(error)))

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

    def _carry_out(self, operation: str, first: int, last: int) -> tuple[int, int]:
        """Write the rows of one operation and their images. How many, and how many of those are renamed."""
        planned = compose(
            "SELECT * FROM {d} WHERE op = {op} AND seq BETWEEN {first} AND {last}",
            d=self.diff.relation,
            op=value(operation),
            first=value(first),
            last=value(last),
        )
        counted = fetch(
            self.connection,
            compose("SELECT count(*) AS n, count(*) FILTER (WHERE renamed) AS r FROM ({p}) AS p", p=planned),
        )[0]
        if not counted["n"]:
            return 0, 0
        if operation == INSERT:
            done = self._insert(planned)
        else:
            done = self._update(planned, self._new() if operation == UPDATE else self._gone())
        if done != counted["n"]:
            raise _MovedError("somebody else changed or deleted the row meanwhile")
        return done, int(counted["r"])

    def _new(self) -> dict[str, Statement]:
        sets = {column: compose("p.{new}", new=name(f"new__{column}")) for column in self.diff.sets}
        return sets | self._constants(self.diff.stamps())

    def _gone(self) -> dict[str, Statement]:
        return self._constants(self.diff.gone | self.diff.stamps())

    def _constants(self, held: Mapping[str, Any]) -> dict[str, Statement]:
        return {c: compose("{v}::{type}", v=value(v), type=self.types[c]) for c, v in held.items()}

    def _update(self, planned: Statement, sets: Mapping[str, Statement]) -> int:
        compared = [column for column in self.diff.compared if column in sets]
        parts: dict[str, Part] = {"table": name(self.model._meta.db_table), "pk": name(self.pk)}
        parts["row"] = name(f"row__{self.pk}")
        seen = Statement("")
        if self.connection.pg_version < _RETURNS_OLD:
            seen = compose("JOIN {table} AS old ON old.{pk} = p.{row}", **parts)
        done = compose(
            "UPDATE {table} AS t SET {sets} FROM ({planned}) AS p {seen} WHERE t.{pk} = p.{row} AND {unmoved}"
            " RETURNING {key} AS key, {before} AS before, {after} AS after",
            sets=joined(", ", (compose("{c} = {v}", c=name(c), v=v) for c, v in sets.items())),
            planned=planned,
            seen=seen,
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
        sets |= self._constants(self.diff.defaults())
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

    # The provider's numbers

    def _free_numbers(self) -> None:
        """Take a unique number from a row that gives it to another one: in one statement both would have it."""
        if not self.diff.feed.external_id:
            return
        number = Number(self.diff.feed)
        if number.none is None or not number.is_unique or not self.diff.count("op <> 'vanish'"):
            return
        parts: dict[str, Part] = {
            "d": self.diff.relation,
            "t": name(self.model._meta.db_table),
            "pk": name(self.pk),
            "row": name(f"row__{self.pk}"),
            "number": name(number.column),
            "old": name(f"old__{number.column}"),
            "new": name(f"new__{number.column}"),
        }
        gone = compose("NOT {present}", present=self.diff.present("t")) if self.diff.gone else Statement("false")
        freed = compose(
            "SELECT t.{pk} AS {row}, t.{number} AS {old} FROM {t} AS t WHERE {given}"
            " AND EXISTS (SELECT FROM {d} AS w WHERE {wanted} AND w.op <> 'vanish' AND w.{row} IS DISTINCT FROM t.{pk})"
            " AND (EXISTS (SELECT FROM {d} AS o WHERE o.{row} = t.{pk}"
            "  AND (o.op = 'vanish' OR o.{new} IS DISTINCT FROM t.{number}))"
            " OR ({gone} AND NOT EXISTS (SELECT FROM {d} AS o WHERE o.{row} = t.{pk})))",
            given=number.given(name("t", number.column)),
            wanted=number.same("w", "new__", "t", ""),
            gone=gone,
            **parts,
        )
        if self._update_numbers(freed, number.column, number.none):
            run(
                self.connection,
                compose(
                    "UPDATE {d} AS o SET {old} = t.{number} FROM {t} AS t WHERE t.{pk} = o.{row}"
                    " AND t.{number} IS DISTINCT FROM o.{old} AND t.{number} IS NOT DISTINCT FROM {none}",
                    none=number.none,
                    **parts,
                ),
            )

    def _update_numbers(self, freed: Statement, column: str, none: Statement) -> int:
        try:
            with transaction.atomic():
                return self._update(freed, {column: none})
        except DatabaseError as error:
            if not isinstance(error.__cause__, (*_OF_A_ROW, *_OF_SOMEBODY)):
                raise
            return 0


def _explained(error: Exception) -> tuple[str, str | None, str]:
    """Field, value and reason, as far as the database tells them."""
    diag = getattr(error.__cause__, "diag", None)
    if isinstance(error.__cause__, _OF_SOMEBODY):
        return "", None, "somebody else holds the row, or one that it waits for"
    if diag is None:
        return "", None, str(error)
    reason = sentence(error)
    if diag.message_detail:
        reason += f" ({diag.message_detail.rstrip('.')})"
    return diag.column_name or "", None, reason
