"""A planned write as a temporary table: what will be written, row by row, while nobody has written it yet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from django.db.models import Model

from integrity.keys import Key, pk_columns
from integrity.repairs.base import BY_ROW, DELETE, INSERT, UPDATE, Write
from integrity.reports import PlannedChange
from integrity.rules.base import Rule
from integrity.schema import columns
from integrity.statement import Statement, as_statement, compose, fetch, joined, name, names, run, value

_numbers = itertools.count()


class Plan:
    """Rows to write to one table, each with the key of the violation that it cures.

    The table of the plan is analysed: without statistics the planner sorts whole histories to find a few rows.
    """

    def __init__(self, rule: Rule, write: Write, connection: Any) -> None:
        self.rule, self.write, self.connection = rule, write, connection
        self.model: type[Model] = write.model
        self.sets, self.guards = write.sets, write.guards
        self.table = f"integrity_plan_{next(_numbers)}"
        self.relation = as_statement(name("pg_temp", self.table))
        run(
            connection,
            compose("CREATE TEMP TABLE {table} ON COMMIT DROP AS {rows}", table=name(self.table), rows=write.statement),
        )
        run(connection, compose("ANALYZE {table}", table=self.relation))
        self._counts: dict[str, int] | None = None

    @property
    def owners(self) -> list[str]:
        return [f"owner__{key.name}" for key in self.rule.key_fields]

    @property
    def rows(self) -> list[str]:
        return [f"row__{pk}" for pk in pk_columns(self.model)]

    def count(self, operation: str | None = None) -> int:
        """How many rows are planned, of one operation or in all."""
        if self._counts is None:
            counted = fetch(
                self.connection, compose("SELECT op, count(*) AS n FROM {plan} GROUP BY op", plan=self.relation)
            )
            self._counts = {row["op"]: row["n"] for row in counted}
        return sum(self._counts.values()) if operation is None else self._counts.get(operation, 0)

    def outcomes(self) -> dict[str, int]:
        """How many of the planned rows come to what, in the words of the repair."""
        if self.write.outcome != BY_ROW:
            return {self.write.outcome: self.count()} if self.write.outcome and self.count() else {}
        counted = compose(
            "SELECT outcome, count(*) AS n FROM {plan} GROUP BY outcome ORDER BY outcome", plan=self.relation
        )
        return {row["outcome"]: row["n"] for row in fetch(self.connection, counted)}

    @cached_property
    def changes(self) -> set[str]:
        """The columns that an update may change: those set, and those that the database computes."""
        computed = {column.name for column in columns(self.model._meta.db_table, self.connection) if column.generated}
        return {*self.sets} | computed

    @property
    def operations(self) -> list[str]:
        return [operation for operation in (DELETE, UPDATE, INSERT) if self.count(operation)]

    def same_row(self, table: str, plan: str) -> Statement:
        """The row of the table is the planned one."""
        same = [
            compose("{t}.{pk} = {p}.{row}", t=name(table), pk=name(pk), p=name(plan), row=name(f"row__{pk}"))
            for pk in pk_columns(self.model)
        ]
        return joined(" AND ", same)

    def row_by_index(self, table: str, plan: str) -> Statement:
        """The same where the table itself is read. For thousands of rows the planner would rather read millions."""
        same, pks = self.same_row(table, plan), pk_columns(self.model)
        if len(pks) > 1:
            return same
        return compose(
            "{same} AND {t}.{pk} = ANY(ARRAY(SELECT {row} FROM {plan}))",
            same=same,
            t=name(table),
            pk=name(pks[0]),
            row=name(f"row__{pks[0]}"),
            plan=self.relation,
        )

    def unmoved(self, table: str, plan: str) -> Statement:
        """The row still is as it was when the plan was made."""
        if not self.guards:
            return Statement("true")
        return joined(
            " AND ",
            (
                compose(
                    "{t}.{c} IS NOT DISTINCT FROM {p}.{old}",
                    t=name(table),
                    c=name(c),
                    p=name(plan),
                    old=name(f"old__{c}"),
                )
                for c in self.guards
            ),
        )

    def lock(self) -> set[Key]:
        """Lock the rows to write, in key order, and drop from the plan every owner of a row that cannot be had.

        It has moved since, or somebody else holds it: the repair holds rows by now and must not wait for others. All
        rows of such an owner go: half a repair would be worse than none.
        """
        if not (self.count(UPDATE) or self.count(DELETE)):
            return set()
        pks = pk_columns(self.model)
        held = compose(
            "SELECT {pks} FROM {table} AS t JOIN {plan} AS p ON {same} WHERE p.op <> 'insert' AND {unmoved}"
            " ORDER BY {pks} FOR UPDATE OF t SKIP LOCKED",
            pks=names(pks, of="t"),
            table=name(self.model._meta.db_table),
            plan=self.relation,
            same=self.row_by_index("t", "p"),
            unmoved=self.unmoved("t", "p"),
        )
        return self.drop_owners(
            compose(
                "SELECT {owners} FROM {plan} AS q WHERE q.op <> 'insert'"
                " AND NOT EXISTS (SELECT FROM held WHERE {same})",
                owners=names(self.owners, of="q"),
                plan=self.relation,
                same=self.same_row("held", "q"),
            ),
            held=held,
        )

    def drop_owners(self, owners: Statement, held: Statement | None = None) -> set[Key]:
        """Take the rows of some owners out of the plan. Their keys."""
        found = fetch(
            self.connection,
            compose(
                "{with} DELETE FROM {plan} AS p USING (SELECT DISTINCT * FROM ({owners}) AS q) AS o WHERE {same}"
                " RETURNING {columns}",
                **{"with": compose("WITH held AS MATERIALIZED ({held})", held=held) if held else Statement("")},
                plan=self.relation,
                columns=names(self.owners, of="p"),
                owners=owners,
                same=self._same_owner("p", "o"),
            ),
        )
        if found:
            self._counts = None
        return {tuple(row[owner] for owner in self.owners) for row in found}

    def _same_owner(self, one: str, other: str) -> Statement:
        equals = "{a} IS NOT DISTINCT FROM {b}" if self.rule.keys_may_be_null else "{a} = {b}"
        return joined(" AND ", (compose(equals, a=name(one, c), b=name(other, c)) for c in self.owners))

    def owner_keys(self) -> set[Key]:
        """The violations that the planned rows are for."""
        rows = fetch(
            self.connection,
            compose("SELECT DISTINCT {owners} FROM {plan}", owners=names(self.owners), plan=self.relation),
        )
        return {tuple(row.values()) for row in rows}

    def violations(self) -> Statement:
        """What broke the rule, where the plan writes the violating rows themselves."""
        columns = [
            compose("{owner} AS {key}", owner=name(owner), key=name(f"key__{key.name}"))
            for owner, key in zip(self.owners, self.rule.key_fields, strict=True)
        ]
        fields = {field.column: field.name for field in self.model._meta.local_concrete_fields}
        for column in self.guards:
            columns.append(compose("{c} AS {a}", c=name(f"old__{column}"), a=name(f"actual__{fields[column]}")))
            columns.append(compose("{c} AS {e}", c=name(f"new__{column}"), e=name(f"expected__{fields[column]}")))
        return compose("SELECT {columns} FROM {plan}", columns=joined(", ", columns), plan=self.relation)

    def repeated(self) -> Statement:
        """The same, where the plan deletes all rows of a key but one."""
        labels = [f"key__{key.name}" for key in self.rule.key_fields]
        owners = (compose("{o} AS {k}", o=name(o), k=name(k)) for o, k in zip(self.owners, labels, strict=True))
        return compose(
            "SELECT {owners}, count(*) + 1 AS actual__rows, 1 AS expected__rows FROM {plan} GROUP BY {keys}",
            owners=joined(", ", owners),
            plan=self.relation,
            keys=names(self.owners),
        )

    def drop_known(self, other: Plan) -> None:
        """Take out the rows that another plan deletes for the same owner."""
        self._drop(other, "q.op = 'delete'", self.owners)

    def drop_repeated(self, earlier: Iterable[Plan]) -> None:
        """Take out the rows that an earlier plan deletes, and leave each row one owner of several."""
        for other in earlier:
            self._drop(other, "q.op = 'delete'")
        self._drop(self, "q.op = p.op AND p.ctid > q.ctid")

    def _drop(self, other: Plan, condition: str, shared: Sequence[str] = ()) -> None:
        if other.model is not self.model:
            return
        same = [compose("p.{c} = q.{c}", c=name(column)) for column in (*self.rows, *shared)]
        dropped = run(
            self.connection,
            compose(
                "DELETE FROM {plan} AS p USING {other} AS q WHERE {condition} AND {same}",
                plan=self.relation,
                other=other.relation,
                condition=Statement(condition),
                same=joined(" AND ", same),
            ),
        )
        if dropped:
            self._counts = None

    def without(self, keys: set[Key]) -> None:
        """Take the rows of these owners out of the plan."""
        for key in keys:
            same = joined(
                " AND ",
                (
                    compose("{c} = {v}", c=name(c), v=value(v)) if v is not None else compose("{c} IS NULL", c=name(c))
                    for c, v in zip(self.owners, key, strict=True)
                ),
            )
            run(self.connection, compose("DELETE FROM {plan} WHERE {same}", plan=self.relation, same=same))
        if keys:
            self._counts = None

    def concerned(self) -> list[Statement]:
        """The rows of the table that are written, as they are and as they will be."""
        before = [self.rows_before()] if self.count(UPDATE) or self.count(DELETE) else []
        return [*before, self.rows_after()] if self.count(UPDATE) or self.count(INSERT) else before

    def rows_before(self) -> Statement:
        """The rows of the table that will be updated or deleted, as they are."""
        return compose(
            "SELECT t.* FROM {table} AS t JOIN {plan} AS p ON {same}",
            table=name(self.model._meta.db_table),
            plan=self.relation,
            same=self.row_by_index("t", "p"),
        )

    def rows_after(self) -> Statement:
        """The rows that will be updated or inserted, as they will be; an inserted row has no key yet."""
        columns = [
            compose("{new} AS {c}", new=name("p", f"new__{c}"), c=name(c))
            if c in self.sets
            else as_statement(name("t", c))
            for c in (field.column for field in self.model._meta.local_concrete_fields if field.column)
        ]
        return compose(
            "SELECT {columns} FROM {plan} AS p LEFT JOIN {table} AS t ON {same} WHERE p.op <> 'delete'",
            columns=joined(", ", columns),
            plan=self.relation,
            table=name(self.model._meta.db_table),
            same=self.row_by_index("t", "p"),
        )

    def first_of_each(self, limit: int) -> list[PlannedChange]:
        """The first rows planned for each violation, in the order in which they were planned."""
        rows = fetch(
            self.connection,
            compose(
                "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {owners} ORDER BY ctid) AS place FROM {plan})"
                " AS p WHERE place <= {limit} ORDER BY {owners}, place",
                plan=self.relation,
                owners=names(self.owners),
                limit=value(limit),
            ),
        )
        return [self._change(row) for row in rows]

    def sample(self, limit: int) -> list[PlannedChange]:
        """The first planned rows, in the order of the violations that they cure."""
        rows = fetch(
            self.connection,
            compose(
                "SELECT * FROM {plan} ORDER BY {owners}, ctid LIMIT {limit}",
                plan=self.relation,
                owners=names(self.owners),
                limit=value(limit),
            ),
        )
        return [self._change(row) for row in rows]

    def _change(self, row: dict[str, Any]) -> PlannedChange:
        def part(prefix: str) -> dict[str, Any]:
            return {c.removeprefix(prefix): v for c, v in row.items() if c.startswith(prefix)}

        new = {} if row["op"] == DELETE else part("new__")
        owner = tuple(row[owner] for owner in self.owners)
        return PlannedChange(
            self.model._meta.db_table, row["op"], part("row__"), owner, part("old__"), new, part("evidence__")
        )
