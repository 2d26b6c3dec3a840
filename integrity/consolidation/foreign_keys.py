"""Foreign keys that refer to one of two tables are pointed at the other one: the rows, then the constraint itself.

They are found in the catalog when it runs, whatever declares them; a comment on a constraint remembers where it came
from, so that it finds its way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from integrity.consolidation.sides import Sides
from integrity.enforcement.declared import our_triggers
from integrity.exceptions import Refused
from integrity.registry import registry
from integrity.schema import triggers, unique_indexes
from integrity.statement import Statement, compose, fetch, name, run

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True)
class Reference:
    """A foreign key of one column as the catalog has it. ``tail``: what its definition says after the columns."""

    name: str
    table: str
    column: str
    target: str
    tail: str
    comment: str


def references_to(table: str, connection: Any) -> list[Reference]:
    """The foreign keys from other tables to this one. Raises Refused for one of several columns."""
    rows = fetch(
        connection,
        Statement(
            "SELECT c.conname AS name, k.relname AS child, confdeltype AS del, confupdtype AS upd, condeferrable,"
            " condeferred, convalidated, coalesce(obj_description(c.oid, 'pg_constraint'), '') AS comment,"
            " array(SELECT attname::text FROM unnest(c.conkey) AS n JOIN pg_attribute ON attrelid = c.conrelid"
            "  AND attnum = n) AS cols,"
            " array(SELECT attname::text FROM unnest(c.confkey) AS n JOIN pg_attribute ON attrelid = c.confrelid"
            "  AND attnum = n) AS targets"
            " FROM pg_constraint c JOIN pg_class k ON k.oid = c.conrelid WHERE c.contype = 'f' AND c.conparentid = 0"
            " AND c.confrelid = to_regclass(quote_ident(%s)) AND c.conrelid <> c.confrelid"
            " ORDER BY k.relname, c.conname",
            (table,),
        ),
    )
    for row in rows:
        if len(row["cols"]) > 1:
            raise Refused(
                f"{row['child']} refers to {table} by {row['name']}, a foreign key of several columns, which cannot be"
                " pointed elsewhere. Nothing was written."
            )
    return [
        Reference(row["name"], row["child"], row["cols"][0], row["targets"][0], _tail(row), row["comment"])
        for row in rows
    ]


def _tail(row: dict[str, Any]) -> str:
    deferrable = (
        " DEFERRABLE INITIALLY DEFERRED" if row["condeferred"] else " DEFERRABLE" if row["condeferrable"] else ""
    )
    valid = "" if row["convalidated"] else " NOT VALID"
    return f"ON DELETE {_ACTIONS[row['del']]} ON UPDATE {_ACTIONS[row['upd']]}{deferrable}{valid}"


class Move:
    """One foreign key on its way from one table to the other, in a transaction of its caller."""

    def __init__(self, sides: Sides, reference: Reference, connection: Any) -> None:
        self.sides, self.reference, self.connection = sides, reference, connection

    @property
    def tables(self) -> list[str]:
        """The one that refers, and those that it refers to before and after."""
        return [self.reference.table, self.sides.gone._meta.db_table, self.sides.kept._meta.db_table]

    def carry_out(self, comment: str) -> int:
        """Point the rows, then the constraint, elsewhere. How many rows it were. Raises Refused.

        With ``tables`` locked against writers.
        """
        reference = self.reference
        target = self._target()
        by_key = reference.target == self.sides.pks[0]
        if by_key:
            self._refuse_triggers()
        self._run("ALTER TABLE {table} DROP CONSTRAINT {name}")
        moved = self._point_rows() if by_key else 0
        if by_key:
            self._refuse_left_behind(moved)
        # A table with checks that still wait cannot be altered.
        self._run("SET CONSTRAINTS ALL IMMEDIATE")
        self._run(
            "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {kept} ({target}) {tail}",
            kept=name(self.sides.kept._meta.db_table),
            target=name(target),
            tail=Statement(reference.tail),
        )
        self._run("COMMENT ON CONSTRAINT {name} ON {table} IS {comment}", comment=sql.Literal(comment))
        return moved

    def _target(self) -> str:
        """The column to refer to: the primary key for the primary key, the counterpart for another one."""
        sides, wanted = self.sides, self.reference.target
        if wanted == sides.pks[0]:
            return sides.pks[1]
        for gone, kept in zip(sides.rule.keys_of(sides.gone), sides.rule.keys_of(sides.kept), strict=True):
            if sides.gone._meta.get_field(gone).column == wanted:  # type: ignore[union-attr]
                return str(sides.kept._meta.get_field(kept).column)  # type: ignore[union-attr]
        raise Refused(
            f"{self.reference.table} refers to {sides.gone._meta.db_table} by its column {wanted}, which is neither its"
            " primary key nor in on= of the rule. Nothing was written."
        )

    def _point_rows(self) -> int:
        """One UPDATE; two where the column is unique, for a row may get the number that another one still has."""
        moved = 0
        for values in self._values():
            moved = self._run(
                "UPDATE {table} AS c SET {column} = {value} FROM ({pairs}) AS p WHERE c.{column} = {held}",
                pairs=self.sides.pairs(),
                **values,
            )
        return moved

    def _refuse_left_behind(self, moved: int) -> None:
        """Raise Refused for rows that refer to rows without a counterpart, which no pair has pointed anywhere."""
        reference, sides = self.reference, self.sides
        counted = compose("SELECT count({c}) AS n FROM {t}", c=name(reference.column), t=name(reference.table))
        if left := fetch(self.connection, counted)[0]["n"] - moved:
            raise Refused(
                f"{left} rows of {reference.table} refer by {reference.column} to rows of {sides.gone._meta.db_table}"
                f" that {sides.kept._meta.db_table} does not have. Nothing was written for them."
                f" Next: manage.py integrity consolidate {sides.rule.label} --phase copy"
            )

    def _values(self) -> Iterator[dict[str, Statement]]:
        reference = self.reference
        numbers = self.sides.kept._meta.pk.get_internal_type().endswith(("AutoField", "IntegerField"))
        if not unique_indexes(reference.table, reference.column, self.connection) or not numbers:
            yield {"value": Statement("p.kept"), "held": Statement("p.gone")}
            return
        yield {"value": Statement("-1 - p.kept"), "held": Statement("p.gone")}
        yield {"value": Statement("p.kept"), "held": Statement("-1 - p.kept")}

    def _refuse_triggers(self) -> None:
        reference = self.reference
        spared = our_triggers(registry)
        found = triggers(reference.table, "update", [reference.column], self.connection)
        if foreign := [trigger for trigger in found if trigger not in spared]:
            raise Refused(
                f"Pointing {reference.table} elsewhere would fire the trigger {', '.join(foreign)}. Nothing was"
                " written. Disable it for the while."
            )

    def _run(self, template: str, **parts: Any) -> int:
        reference = self.reference
        return run(
            self.connection,
            compose(
                template,
                table=name(reference.table),
                name=name(reference.name),
                column=name(reference.column),
                **parts,
            ),
        )
