"""What a repair works off: the keys that break its rule, as they are or by their numbers in a list.

A rule about columns that no index covers would search its whole table in every statement of every batch. Its keys and
the rows that bear them are therefore listed once, in temporary tables, when there are more than one batch of them. A
row that comes to a key later is not listed: it makes a violation of its own, for the next repair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

from integrity import records
from integrity.expressions import array_type, prepared
from integrity.keys import Key
from integrity.models import Run
from integrity.rules.base import Rule
from integrity.rules.unique import Unique
from integrity.safety import lock_parents
from integrity.scope import Scope
from integrity.statement import Statement, as_statement, compose, fetch, from_queryset, joined, name, names, run, value

_numbers = itertools.count()

Item = Any
"""A key, or the number of one."""
Nulls = tuple[bool, ...]


class Work(Protocol):
    """Keys that are worked off in batches, each a sequence of items."""

    def scope(self, items: Sequence[Item]) -> Scope:
        """The rows of these keys."""

    def lock(self, items: Sequence[Item]) -> set[Item]:
        """Lock the rows of these keys; answer those of which somebody else holds one. See ``lock_parents()``."""

    def keys(self, items: Sequence[Item]) -> list[Key]:
        """The keys themselves."""

    def among(self, items: Sequence[Item], keys: Iterable[Key]) -> set[Item]:
        """The items whose keys these are."""

    def surplus(self, items: Sequence[Item]) -> int | None:
        """How many rows these keys have beyond one for each, where that is known."""

    def resolve(self, items: Sequence[Item], run: Run) -> None:
        """Mark the stored violations of these keys as resolved."""


class Keys:
    """Keys in memory; what a batch needs it finds by itself."""

    def __init__(self, rule: Rule, connection: Any) -> None:
        self.rule, self.connection = rule, connection

    def scope(self, items: Sequence[Item]) -> Scope:
        return Scope.of(items)

    def lock(self, items: Sequence[Item]) -> set[Item]:
        return lock_parents(self.rule, Scope.of(items), self.connection)

    def keys(self, items: Sequence[Item]) -> list[Key]:
        return list(items)

    def among(self, items: Sequence[Item], keys: Iterable[Key]) -> set[Item]:
        return set(keys)

    def surplus(self, items: Sequence[Item]) -> int | None:
        return None

    def resolve(self, items: Sequence[Item], run: Run) -> None:
        records.resolve(self.rule, run, items)


class Listed:
    """The keys in scope that break a rule, numbered from 1 in the order in which their rows lie, and those rows.

    found: how many keys there are.
    """

    def __init__(self, rule: Unique, scope: Scope, connection: Any) -> None:
        self.rule, self.connection = rule, connection
        number = next(_numbers)
        self.key_table, self.row_table = f"integrity_keys_{number}", f"integrity_rows_{number}"
        self.held = as_statement(name("pg_temp", self.key_table))
        self.rows = as_statement(name("pg_temp", self.row_table))
        self.labels = [f"key__{field.name}" for field in rule.key_fields]
        numbered = (
            "CREATE TEMP TABLE {table} AS SELECT row_number() OVER (ORDER BY k.first) AS no, k.* FROM ({keys}) AS k"
        )
        # A pooler may hand the session of a dead process on.
        self.drop()
        run(connection, compose(numbered, table=name(self.key_table), keys=rule.listed(scope, connection.alias)))
        (counted,) = fetch(connection, compose("SELECT count(*) AS found FROM {keys}", keys=self.held))
        self.found = int(counted["found"])

    @staticmethod
    def may_be(rule: Unique, scope: Scope, connection: Any) -> bool:
        """Not behind a pooler that changes sessions between transactions, for which Django has this setting."""
        pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS", False)
        return scope.keys is None and len(rule.model._meta.pk_fields) == 1 and not pooled

    def first(self, limit: int) -> list[Key]:
        """The lowest keys, in their own order."""
        lowest = compose(
            "SELECT {labels} FROM {keys} ORDER BY {labels} LIMIT {limit}",
            labels=names(self.labels),
            keys=self.held,
            limit=value(limit),
        )
        return [tuple(row.values()) for row in fetch(self.connection, lowest)]

    def list_rows(self) -> None:
        """Find the rows of all keys, which batches then know. Of two rows the first and the last are all."""
        run(
            self.connection,
            compose(
                "CREATE TEMP TABLE {rows} AS SELECT no, unnest(ARRAY[first, last]) AS pk FROM {keys} WHERE {two}",
                rows=name(self.row_table),
                keys=self.held,
                two=_TWO,
            ),
        )
        for nulls in self._null_patterns():
            run(self.connection, self._further_rows(nulls))
        for table in (self.key_table, self.row_table):
            run(self.connection, compose("CREATE INDEX ON {table} (no)", table=name("pg_temp", table)))
            run(self.connection, compose("ANALYZE {table}", table=name("pg_temp", table)))

    def drop(self) -> None:
        """Forget the list."""
        tables = [name("pg_temp", table) for table in (self.key_table, self.row_table)]
        run(self.connection, compose("DROP TABLE IF EXISTS {tables}", tables=joined(", ", tables)))

    # What batches ask

    def scope(self, items: Sequence[Item]) -> Scope:
        return Scope(listed=compose("SELECT pk FROM {rows} WHERE {these}", rows=self.rows, these=_these(items)))

    def lock(self, items: Sequence[Item]) -> set[Item]:
        """A row that has got another key since, or is gone, is taken from the list."""
        opts, parts = self.rule.model._meta, self.rule.parts()
        every = self.rule.model._base_manager.using(self.connection.alias).order_by("pk")
        rows = self.rule.restrict(every, self.scope(items)).values(opts.pk.attname, **parts)
        held = rows.select_for_update(skip_locked=len(items) > 1, of=("self",))
        same = joined(
            " AND ",
            (
                compose("h.{part} IS NOT DISTINCT FROM k.{label}", part=name(part), label=name(label))
                for part, label in zip(parts, self.labels, strict=True)
            ),
        )
        missing = compose(
            "WITH held AS MATERIALIZED ({held})"
            " SELECT r.no, r.pk, {h} IS NULL AND EXISTS (SELECT FROM {table} AS t WHERE t.{column} = r.pk) AS taken"
            " FROM {rows} AS r JOIN {keys} AS k USING (no) LEFT JOIN held AS h ON {h} = r.pk"
            " WHERE {these} AND {those} AND ({h} IS NULL OR NOT ({same}))",
            held=from_queryset(held, self.connection.alias),
            h=name("h", opts.pk.attname),
            table=name(opts.db_table),
            column=name(str(opts.pk.column)),
            rows=self.rows,
            keys=self.held,
            these=_these(items, "r"),
            # The same once more: a range is not passed on by the planner, and the whole list would be read.
            those=_these(items, "k"),
            same=same,
        )
        found = fetch(self.connection, missing)
        for row in found:
            if not row["taken"]:
                here = {part: value(row[part]) for part in ("no", "pk")}
                run(self.connection, compose("DELETE FROM {t} WHERE no = {no} AND pk = {pk}", t=self.rows, **here))
        return {row["no"] for row in found if row["taken"]}

    def keys(self, items: Sequence[Item]) -> list[Key]:
        chosen = compose(
            "SELECT {labels} FROM {keys} WHERE {these} ORDER BY no",
            labels=names(self.labels),
            keys=self.held,
            these=_these(items),
        )
        return [tuple(row.values()) for row in fetch(self.connection, chosen)]

    def among(self, items: Sequence[Item], keys: Iterable[Key]) -> set[Item]:
        return set(self.numbers(list(keys)).values())

    def surplus(self, items: Sequence[Item]) -> int | None:
        counted = compose(
            "SELECT sum(rows) - count(*) AS rows FROM {keys} WHERE {these}", keys=self.held, these=_these(items)
        )
        return int(fetch(self.connection, counted)[0]["rows"])

    def resolve(self, items: Sequence[Item], run: Run) -> None:
        # Those that were stored when the list was made: comparing every batch with all of them takes long.
        records.resolve(self.rule, run, [self.stored[item] for item in items if item in self.stored])

    @cached_property
    def stored(self) -> dict[int, Key]:
        """The keys that are recorded as open violations, by their numbers."""
        found = self.numbers(records.open_keys(self.rule, self.connection.alias))
        return {number: key for key, number in found.items()}

    def numbers(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The numbers of those keys that are listed."""
        found: dict[Key, int] = {}
        for nulls, alike in itertools.groupby(sorted(keys, key=_nulls), key=_nulls):
            wanted = list(alike)
            arrays = [
                compose(
                    "{part}::{type}",
                    part=value(prepared(field, [key[i] for key in wanted], self.connection)),
                    type=Statement(array_type(field, self.connection)),
                )
                for i, field in enumerate(self.rule.key_fields)
            ]
            chosen = compose(
                "SELECT w.place, k.no FROM {keys} AS k JOIN unnest({arrays}) WITH ORDINALITY AS w ({labels}, place)"
                " ON {same}",
                keys=self.held,
                arrays=joined(", ", arrays),
                labels=names(self.labels),
                same=self._same("w", "k", nulls),
            )
            found |= {wanted[row["place"] - 1]: row["no"] for row in fetch(self.connection, chosen)}
        return found

    # Rows of more than two for a key

    def _further_rows(self, nulls: Nulls) -> Statement:
        return compose(
            "INSERT INTO {rows} SELECT k.no, b.pk FROM ({bearers}) AS b JOIN {keys} AS k ON {same}"
            " WHERE ({two}) IS NOT TRUE",
            rows=self.rows,
            bearers=self.rule.bearers(Scope(), self.connection.alias),
            keys=self.held,
            same=self._same("b", "k", nulls),
            two=_TWO,
        )

    def _null_patterns(self) -> list[Nulls]:
        """Which parts are NULL together: only plain equality can be hashed, and two tables be joined by it."""
        parts = (compose("{part} IS NULL AS {part}", part=name(label)) for label in self.labels)
        patterns = compose(
            "SELECT DISTINCT {parts} FROM {keys} WHERE ({two}) IS NOT TRUE",
            parts=joined(", ", parts),
            keys=self.held,
            two=_TWO,
        )
        return [tuple(row.values()) for row in fetch(self.connection, patterns)]

    def _same(self, one: str, other: str, nulls: Nulls) -> Statement:
        conditions = []
        for label, null in zip(self.labels, nulls, strict=True):
            template = "{a} IS NULL AND {b} IS NULL" if null else "{a} = {b}"
            conditions.append(compose(template, a=name(one, label), b=name(other, label)))
        return joined(" AND ", conditions)


_TWO = Statement("rows = 2 AND first IS NOT NULL")


def _nulls(key: Key) -> Nulls:
    return tuple(part is None for part in key)


def _these(items: Sequence[int], of: str | None = None) -> Statement:
    """The rows of a list with these numbers, which mostly follow each other."""
    number = name(of, "no") if of else name("no")
    if items[-1] - items[0] == len(items) - 1 and sorted(items) == list(items):
        return compose("{no} BETWEEN {a} AND {b}", no=number, a=value(items[0]), b=value(items[-1]))
    return compose("{no} = ANY({items})", no=number, items=value(list(items)))
