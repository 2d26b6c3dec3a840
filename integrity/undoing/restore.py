"""Putting rows back from their images, set-based, after comparing them with what the run left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.db.models import Model
from psycopg import errors, sql

from integrity.enforcement.declared import our_triggers
from integrity.enforcement.states import kept_columns
from integrity.exceptions import EngineError, Refused
from integrity.journal import CHANGES, image, keyed
from integrity.keys import pk_columns
from integrity.models import Run
from integrity.references import referring
from integrity.registry import registry
from integrity.repairs.base import DELETE, INSERT, UPDATE
from integrity.reports import Conflict
from integrity.schema import Column, columns, triggers
from integrity.statement import Part, Statement, compose, fetch, joined, name, names, run, value

OPPOSITE = {INSERT: DELETE, UPDATE: UPDATE, DELETE: INSERT}
BACK = "integrity_back"


class NotRestored(EngineError):
    """A row that was put back is not what it was: something else changes the rows that are written."""


@dataclass(frozen=True)
class Outcome:
    """How many rows are back, and which were left alone."""

    restored: int
    conflicts: list[Conflict]


def is_passing(error: DatabaseError) -> bool:
    """True for a lock or a deadlock."""
    return isinstance(error.__cause__, (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure))


def restore(
    run_: Run,
    model: type[Model],
    operation: str,
    changes: Sequence[int],
    allowed: set[str],
    connection: Any,
    *,
    wait: bool = True,
) -> Outcome:
    """Carry out ``operation`` for some changes of one table: the opposite of what was done. Inside a transaction.

    Rows that are not as the run left them are conflicts and stay. Journaled like a repair. wait: False gives up at a
    row that somebody holds, for whoever holds rows must not wait. Raises NotRestored, and Refused for a trigger that
    would fire and is not ``allowed``.
    """
    work = _Restore(run_, model, connection)
    work.gather(changes)
    conflicts = work.leave_conflicts(operation, wait=wait)
    count = fetch(connection, Statement(f"SELECT count(*) AS n FROM {BACK}"))[0]["n"]
    if not count:
        return Outcome(0, conflicts)
    work.refuse_triggers(operation, allowed)
    written = {UPDATE: work.update, INSERT: work.insert, DELETE: work.delete}[operation]()
    if written != count or work.differing(operation):
        raise NotRestored(
            f"Rows of {model._meta.db_table} did not come back as they were: a trigger, a rule or a row security policy"
            " changes what is written. Nothing of this batch was kept."
        )
    work.journal()
    return Outcome(count, conflicts)


class _Restore:
    """Statements over one table ``t`` and the changes to take back, in a temporary table ``b``."""

    def __init__(self, run_: Run, model: type[Model], connection: Any) -> None:
        self.run, self.model, self.connection = run_, model, connection
        self.label = model._meta.db_table
        self.held = [column for column in columns(self.label, connection) if not column.generated]
        # What triggers keep true is recomputed by them, and so neither compared nor written.
        self.kept = kept_columns(registry, self.label)
        self.parts: dict[str, Part] = {
            "table": name(self.label),
            "same": keyed("t", "b", model, connection),
            "child": keyed("c", "o", model, connection),
            "image": image("t", self.held),
            "before": compose("(b.before - {kept}::text[])", kept=value(sorted(self.kept))),
            "after": compose("(b.after - {kept}::text[])", kept=value(sorted(self.kept))),
            "pk": names(pk_columns(model), of="t"),
        }

    def gather(self, changes: Sequence[int]) -> None:
        self._run(Statement(f"DROP TABLE IF EXISTS {BACK}"))
        self._run(
            compose(
                "CREATE TEMP TABLE integrity_back ON COMMIT DROP AS"
                " SELECT id, rule, key, owner, quarantined, before, after FROM {changes}"
                " WHERE id = ANY({ids}) AND undone_by_id IS NULL",
                changes=name(CHANGES),
                ids=value(list(changes)),
            )
        )
        self._run(Statement(f"ANALYZE {BACK}"))

    def leave_conflicts(self, operation: str, *, wait: bool) -> list[Conflict]:
        """Lock the rows, compare them with what the run left, and drop those that are otherwise."""
        if operation == INSERT:
            why = Statement("'a row with this key exists again'")
            wrong = compose("EXISTS (SELECT FROM {table} AS t WHERE {same})", **self.parts)
        else:
            self._run(
                compose(
                    "SELECT FROM {table} AS t JOIN integrity_back AS b ON {same} ORDER BY {pk} FOR UPDATE OF t {wait}",
                    wait=Statement("" if wait else "NOWAIT"),
                    **self.parts,
                )
            )
            why = compose(
                "CASE WHEN EXISTS (SELECT FROM {table} AS t WHERE {same}) THEN 'it was changed since'"
                " ELSE 'it was deleted since' END",
                **self.parts,
            )
            wrong = compose("NOT EXISTS (SELECT FROM {table} AS t WHERE {same} AND ({image}) @> {after})", **self.parts)
        found = fetch(
            self.connection,
            compose(
                "DELETE FROM integrity_back AS b WHERE {wrong} RETURNING b.key, {why} AS why", wrong=wrong, why=why
            ),
        )
        conflicts = [Conflict(self.label, _loaded(row["key"]), row["why"]) for row in found]
        return conflicts + (self._leave_referred() if operation == DELETE else [])

    def _leave_referred(self) -> list[Conflict]:
        """Drop rows that others refer to by now: the database would delete or change those without an image."""
        left: list[Conflict] = []
        for reference in referring(self.model, self.connection):
            table, on = reference.table, reference.on
            # Rows of the same table may go together, until one of them has to stay.
            together = compose("EXISTS (SELECT FROM integrity_back AS o WHERE {same})", same=self.parts["child"])
            leaving = compose(
                "DELETE FROM integrity_back AS b WHERE EXISTS (SELECT FROM {table} AS t JOIN {child} AS c ON {on}"
                " WHERE {same} AND NOT {together}) RETURNING b.key",
                child=name(table),
                on=on,
                together=together if table == self.label else Statement("false"),
                **{part: self.parts[part] for part in ("table", "same")},
            )
            while found := fetch(self.connection, leaving):
                left += [Conflict(self.label, _loaded(row["key"]), f"rows of {table} refer to it") for row in found]
        return left

    def refuse_triggers(self, operation: str, allowed: set[str]) -> None:
        written = [column.name for column in (self._changed() if operation == UPDATE else self.held)]
        spared = allowed | our_triggers(registry)
        foreign = [t for t in triggers(self.label, operation, written, self.connection) if t not in spared]
        if foreign:
            raise Refused(
                f"Putting rows of {self.label} back would fire the trigger {', '.join(foreign)}, whose own writes could"
                " not be journaled or undone. Nothing was written. Disable it for the while, or allow it on the repair."
            )

    def update(self) -> int:
        changed = self._changed()
        if not changed:
            return int(fetch(self.connection, Statement(f"SELECT count(*) AS n FROM {BACK}"))[0]["n"])
        sets = [
            compose("{c} = (b.before->>{k})::{type}", c=name(c.name), k=sql.Literal(c.name), type=Statement(c.type))
            for c in changed
        ]
        return self._run(
            compose(
                "UPDATE {table} AS t SET {sets} FROM integrity_back AS b WHERE {same}",
                sets=joined(", ", sets),
                **self.parts,
            )
        )

    def insert(self) -> int:
        """A column that was added since gets its default."""
        known = {row["k"] for row in self._keys("b.before")}
        kept = [column for column in self.held if column.name in known]
        values = [compose("(b.before->>{k})::{type}", k=sql.Literal(c.name), type=Statement(c.type)) for c in kept]
        return self._run(
            compose(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
                " SELECT {values} FROM integrity_back AS b ORDER BY b.id DESC",
                table=self.parts["table"],
                columns=names(column.name for column in kept),
                values=joined(", ", values),
            )
        )

    def delete(self) -> int:
        return self._run(compose("DELETE FROM {table} AS t USING integrity_back AS b WHERE {same}", **self.parts))

    def differing(self, operation: str) -> int:
        """Rows that are not what they were, read back."""
        right = (
            compose("EXISTS (SELECT FROM {table} AS t WHERE {same})", **self.parts)
            if operation == DELETE
            else compose("NOT EXISTS (SELECT FROM {table} AS t WHERE {same} AND ({image}) @> {before})", **self.parts)
        )
        return int(
            fetch(self.connection, compose("SELECT count(*) AS n FROM integrity_back AS b WHERE {right}", right=right))[
                0
            ]["n"]
        )

    def journal(self) -> None:
        """The undo's own changes, which are the run's the other way round, and the mark on those taken back."""
        self._run(
            compose(
                'INSERT INTO {changes} (run_id, rule, "table", key, owner, quarantined, before, after)'
                " SELECT {run}, rule, {label}, key, owner, quarantined, after, before FROM integrity_back"
                " ORDER BY id DESC",
                changes=name(CHANGES),
                run=value(self.run.pk),
                label=value(self.label),
            )
        )
        self._run(
            compose(
                "UPDATE {changes} AS c SET undone_by_id = {run} FROM integrity_back AS b WHERE b.id = c.id",
                changes=name(CHANGES),
                run=value(self.run.pk),
            )
        )

    def _changed(self) -> list[Column]:
        """The columns that differ between the images; others are not written, so that no trigger on them fires."""
        rows = fetch(
            self.connection,
            Statement(
                f"SELECT DISTINCT e.key AS k FROM {BACK} AS b, jsonb_each(b.before) AS e"
                " WHERE b.after->e.key IS DISTINCT FROM e.value"
            ),
        )
        changed = {row["k"] for row in rows}
        return [column for column in self.held if column.name in changed - self.kept]

    def _keys(self, of: str) -> list[dict[str, Any]]:
        return fetch(self.connection, Statement(f"SELECT DISTINCT jsonb_object_keys({of}) AS k FROM {BACK} AS b"))

    def _run(self, statement: Statement) -> int:
        return run(self.connection, statement)


def _loaded(key: Any) -> dict[str, Any]:
    return dict(json.loads(key)) if isinstance(key, str) else dict(key)
