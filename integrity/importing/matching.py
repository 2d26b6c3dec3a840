"""Which staged row is which row of the table, and which of them differ: one join, of which only differences are kept.

The natural key decides. A row that it does not find may be a renamed one: the provider's own number tells, as long as
in this feed no number has moved from one row to another, and as long as a part of the key has stayed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, QuerySet
from django.utils import timezone

from integrity.defaults import unplanned
from integrity.importing.columns import Column, Reference
from integrity.importing.numbers import Number
from integrity.importing.rejects import Reject
from integrity.importing.staging import LINE, Staged
from integrity.keys import pk_columns
from integrity.statement import (
    Part,
    Statement,
    as_statement,
    compose,
    fetch,
    from_queryset,
    joined,
    name,
    names,
    run,
    value,
)

INSERT, UPDATE, VANISH = "insert", "update", "vanish"
_numbers = itertools.count()


class Diff:
    """A temporary table of the rows to write.

    op; nr; seq; row__<pk>; new__<column> and old__<column> of each compared column; lost__<column> where a reference
    leads nowhere and many__<column> where it leads to several rows; renamed.
    """

    def __init__(self, staged: Staged, only: str | None) -> None:
        self.staged, self.feed, self.connection, self.only = staged, staged.feed, staged.connection, only
        self.model = self.feed.model
        self.table = f"integrity_diff_{next(_numbers)}"
        self.relation = as_statement(name("pg_temp", self.table))
        self.parts = list(self.feed.by_field.values())
        self.constants = {
            _column(self.model, field): _stored(self.model, field, held, self.connection)
            for field, held in self.feed.returned.items()
            if field not in self.feed.by_field
        }
        self.gone = {
            _column(self.model, field): _stored(self.model, field, held, self.connection)
            for field, held in self.feed.vanished.items()
        }
        self.notes: list[str] = []

    @property
    def sets(self) -> list[str]:
        """The columns that are compared and written."""
        return [*(part.column for part in self.parts), *self.constants]

    def make(self) -> None:
        """Compare, and set aside what cannot be told apart."""
        self._compare()
        self._reject_flagged()
        self._reject_repeated()
        if self.feed.external_id:
            self._match_renamed()
        run(self.connection, compose("ANALYZE {diff}", diff=self.relation))

    def count(self, condition: str = "true") -> int:
        """How many rows of the difference are so."""
        found = fetch(
            self.connection,
            compose("SELECT count(*) AS n FROM {d} WHERE {c}", d=self.relation, c=Statement(condition)),
        )
        return int(found[0]["n"])

    # The join

    def _compare(self) -> None:
        pk = pk_columns(self.model)
        new = [as_statement(name("s", f"new__{c}")) for c in self.sets]
        old: list[Part] = [compose("t.{c} AS {o}", c=name(c), o=name(f"old__{c}")) for c in self.compared]
        flags: list[Part] = [name("s", flag) for flag in self._flags()]
        differs = [compose("s.{n} IS DISTINCT FROM t.{c}", n=name(f"new__{c}"), c=name(c)) for c in self.sets]
        flagged = [compose("s.{flag}", flag=name(flag)) for flag in self._flags()]
        columns: list[Part] = [
            *(compose("t.{pk} AS {row}", pk=name(c), row=name(f"row__{c}")) for c in pk),
            *new,
            *old,
            *flags,
        ]
        run(
            self.connection,
            compose(
                "CREATE TEMP TABLE {diff} ON COMMIT DROP AS"
                " SELECT CASE WHEN s.nr IS NULL THEN 'vanish' WHEN t.{pk} IS NULL THEN 'insert' ELSE 'update' END"
                " AS op, s.nr, row_number() OVER (ORDER BY s.nr, t.{pk}) AS seq, false AS renamed, {columns}"
                " FROM ({staged}) AS s FULL JOIN ({target}) AS t ON {same}"
                " WHERE (s.nr IS NULL AND {present}) OR (NOT s.bad AND (t.{pk} IS NULL OR {differs}))",
                diff=name(self.table),
                pk=name(pk[0]),
                columns=joined(", ", columns),
                staged=self._source(),
                target=self._target(),
                same=self._same("s", "t"),
                present=self.present("t"),
                differs=joined(" OR ", [*differs, *flagged]),
            ),
        )

    @property
    def compared(self) -> list[str]:
        """The columns of which the difference holds what they were."""
        return list(dict.fromkeys([*self.sets, *self.gone]))

    def _flags(self) -> list[str]:
        return [f"{flag}__{r.column}" for r in self.feed.references for flag in ("lost", "many")]

    def present(self, alias: str) -> Statement:
        """A row of the table that has not been marked as vanished before."""
        if not self.gone:
            return Statement("false")
        marks = [
            compose("{t}.{c} IS DISTINCT FROM {v}", t=name(alias), c=name(c), v=value(held))
            for c, held in self.gone.items()
        ]
        return compose("({marks})", marks=joined(" OR ", marks))

    def _same(self, staged: str, target: str) -> Statement:
        return joined(
            " AND ",
            (
                compose("{s}.{n} = {t}.{c}", s=name(staged), n=name(f"new__{c}"), t=name(target), c=name(c))
                for c in (part.column for part in self.feed.key_parts)
            ),
        )

    def _source(self) -> Statement:
        """The staged rows, typed, with their references looked up."""
        columns: list[Part] = [Statement("s.nr"), Statement("s.bad")]
        joins: list[Part] = []
        for part in self.parts:
            if isinstance(part, Column):
                columns.append(compose("{v} AS {n}", v=self._typed(part), n=name(f"new__{part.column}")))
            else:
                alias = f"ref_{part.column}"
                joins.append(self._lookup(part, alias))
                columns += self._looked_up(part, alias)
        columns += [
            compose("{v} AS {n}", v=self._constant(c, held), n=name(f"new__{c}")) for c, held in self.constants.items()
        ]
        return compose(
            "SELECT {columns} FROM {staged} AS s {joins}",
            columns=joined(", ", columns),
            staged=self.staged.relation,
            joins=joined(" ", joins),
        )

    def _typed(self, part: Column) -> Statement:
        held = part.value
        typed = compose("{raw}{cast}", raw=self.staged.raw(part.source), cast=held.cast)
        return compose("COALESCE({typed}, '')", typed=typed) if held.is_text and not part.field.null else typed

    def _constant(self, column: str, held: Any) -> Statement:
        field = next(f for f in self.model._meta.local_concrete_fields if f.column == column)
        return compose("{held}::{type}", held=value(held), type=Statement(str(field.db_type(self.connection))))

    def _lookup(self, part: Reference, alias: str) -> Statement:
        """A join with the rows referred to, once each: a lookup that several rows answer is no reference."""
        by = {f"by_{i}": F(lookup) for i, lookup in enumerate(part.by)}
        rows = part.to._base_manager.using(DEFAULT_DB_ALIAS).order_by().values(integrity_to=F(part.target), **by)
        on = [
            compose("{raw}{cast} = {ref}", raw=self.staged.raw(source), cast=held.cast, ref=name(alias, f"by_{i}"))
            for i, (source, held) in enumerate(part.values().items())
        ]
        return compose(
            "LEFT JOIN (SELECT {by}, (array_agg(integrity_to))[1] AS integrity_to, count(*) AS integrity_rows"
            " FROM ({rows}) AS r GROUP BY {by}) AS {alias} ON {on}",
            by=names(by),
            rows=from_queryset(rows, DEFAULT_DB_ALIAS),
            alias=name(alias),
            on=joined(" AND ", on),
        )

    def _looked_up(self, part: Reference, alias: str) -> Iterator[Statement]:
        given = joined(" OR ", (compose("{r} IS NOT NULL", r=self.staged.raw(s)) for s in part.sources))
        found, rows = name(alias, "integrity_to"), name(alias, "integrity_rows")
        yield compose(
            "CASE WHEN {rows} = 1 THEN {to} END AS {new}", rows=rows, to=found, new=name(f"new__{part.column}")
        )
        yield compose("({given}) AND {to} IS NULL AS {lost}", given=given, to=found, lost=name(f"lost__{part.column}"))
        yield compose("COALESCE({rows} > 1, false) AS {many}", rows=rows, many=name(f"many__{part.column}"))

    def target_rows(self) -> QuerySet[Any, Any]:
        """The rows of the table that the import speaks about."""
        rows = self.model._base_manager.using(DEFAULT_DB_ALIAS).order_by()
        return rows.filter(**{self.feed.part[1]: self.only}) if self.only is not None and self.feed.part else rows

    def _target(self) -> Statement:
        fields = [
            f.attname for f in self.model._meta.local_concrete_fields if f.column in (*self.compared, *self._pk())
        ]
        return from_queryset(self.target_rows().values(*fields), DEFAULT_DB_ALIAS)

    def _pk(self) -> list[str]:
        return pk_columns(self.model)

    # What cannot be told apart

    def _reject_flagged(self) -> None:
        for reference in self.feed.references:
            for flag, why in (("lost", "refers to nothing"), ("many", "refers to several rows")):
                texts = [compose("{raw}", raw=self.staged.raw(source)) for source in reference.sources]
                self._reject(
                    compose("d.{flag}", flag=name(f"{flag}__{reference.column}")),
                    ", ".join(reference.sources),
                    joined(" || ', ' || ", (compose("COALESCE({t}, 'NULL')", t=text) for text in texts)),
                    f"{why}: {reference.to._meta.label} has no such row"
                    if flag == "lost"
                    else f"{why} of {reference.to._meta.label}",
                )

    def _reject_repeated(self) -> None:
        """Two rows of a feed with one key: neither is imported, for nobody can say which is right."""
        keys = [compose("{raw}{cast}", raw=self.staged.raw(s), cast=c) for s, c in self._key_texts()]
        raws = joined(", ", keys)
        twice = compose(
            "SELECT count(*) OVER (PARTITION BY {raws}) AS times, s.nr FROM {staged} AS s WHERE NOT bad{few}",
            raws=raws,
            staged=self.staged.relation,
            few=self._of_differing(raws),
        )
        self._reject(
            compose("d.nr IN (SELECT nr FROM ({twice}) AS r WHERE times > 1)", twice=twice),
            ", ".join(dict.fromkeys(s for s, _ in self._key_texts())),
            joined(" || ', ' || ", (self.staged.raw(s) for s, _ in self._key_texts())),
            "another row of the feed has the same key",
        )

    def _key_texts(self) -> list[tuple[str, Statement]]:
        found: list[tuple[str, Statement]] = []
        for part in self.feed.key_parts:
            if isinstance(part, Column):
                found.append((part.source, part.value.cast))
            else:
                found += [(source, held.cast) for source, held in part.values().items()]
        return found

    def _of_differing(self, raws: Statement) -> Statement:
        """Narrow to the keys of differing rows, unless they are most of all: the others change nothing."""
        if self.count("nr IS NOT NULL") * 2 > self.staged.count:
            return Statement("")
        return compose(
            " AND ({raws}) IN (SELECT {raws} FROM {diff} AS d JOIN {staged} AS s USING (nr))",
            raws=raws,
            diff=self.relation,
            staged=self.staged.relation,
        )

    def _reject(self, condition: Statement, field: str, shown: Statement, reason: str) -> None:
        """Take rows out of the difference, and say why."""
        budget = self.staged.rejects.budget + 1
        found = fetch(
            self.connection,
            compose(
                "WITH gone AS (DELETE FROM {diff} AS d WHERE {condition} RETURNING d.nr)"
                " SELECT s.nr, {line} AS line, {shown} AS held FROM gone JOIN {staged} AS s USING (nr)"
                " ORDER BY s.nr LIMIT {most}",
                diff=self.relation,
                condition=condition,
                line=LINE,
                shown=shown,
                staged=self.staged.relation,
                most=value(budget),
            ),
        )
        feed = self.feed.label
        self.staged.rejects.extend(
            Reject(feed, self.staged.file, row["nr"], row["line"], field, row["held"] and row["held"][:500], reason)
            for row in found
        )

    # Renamed rows

    def _match_renamed(self) -> None:
        number = Number(self.feed)
        new, old = name("d", f"new__{number.column}"), name("d", f"old__{number.column}")
        if not self._numbered(compose("d.op = 'insert' AND {given}", given=number.given(new))):
            return
        candidates = self._candidates(number)
        moved = self._numbered(
            compose(
                "d.op = 'update' AND {was} AND {given} AND {old} <> {new}",
                was=number.given(old),
                given=number.given(new),
                old=old,
                new=new,
            )
        )
        if not moved:
            self._take_as_renamed(candidates)
            return
        found = fetch(self.connection, compose("SELECT count(*) AS n FROM ({c}) AS c", c=candidates))[0]["n"]
        if found:
            self.notes.append(
                f"{found} new rows have the {self.feed.external_id} of a row with another key. They were not taken for"
                f" renamed ones, because {moved} rows that kept their key have another {self.feed.external_id} now: in"
                " this feed it proves nothing."
            )

    def _numbered(self, condition: Statement) -> int:
        counted = compose("SELECT count(*) AS n FROM {d} AS d WHERE {c}", d=self.relation, c=condition)
        return int(fetch(self.connection, counted)[0]["n"])

    def _candidates(self, number: Number) -> Statement:
        """New rows with the number of one row alone, which no other row of the feed is, and part of its key."""
        shared = [
            compose("d.{n} = t.{c}", n=name(f"new__{part.column}"), c=name(part.column)) for part in self.feed.key_parts
        ]
        return compose(
            "SELECT d.nr, t.{pk} AS found FROM {diff} AS d JOIN {table} AS t ON {same}"
            " WHERE d.op = 'insert' AND {given} AND ({shared})"
            " AND (SELECT count(*) FROM {table} AS o WHERE {others}) = 1"
            " AND (SELECT count(*) FROM {diff} AS o WHERE {twice}) = 1"
            " AND NOT EXISTS (SELECT FROM ({staged}) AS s WHERE {is_there})",
            pk=name(self._pk()[0]),
            diff=self.relation,
            table=name(self.feed.table),
            same=number.same("t", "", "d", "new__"),
            given=number.given(name("d", f"new__{number.column}")),
            shared=joined(" OR ", shared) if len(shared) > 1 else Statement("true"),
            others=number.same("o", "", "d", "new__"),
            twice=number.same("o", "new__", "d", "new__"),
            staged=self._source(),
            is_there=self._same("s", "t"),
        )

    def _take_as_renamed(self, candidates: Statement) -> None:
        pk = self._pk()[0]
        was = [compose("{o} = t.{c}", o=name(f"old__{c}"), c=name(c)) for c in self.compared]
        run(
            self.connection,
            compose(
                "WITH c AS MATERIALIZED ({candidates}), gone AS ("
                " DELETE FROM {diff} AS v USING c WHERE v.op = 'vanish' AND v.{row} = c.found)"
                " UPDATE {diff} AS d SET op = 'update', renamed = true, {row} = c.found, {was}"
                " FROM c JOIN {table} AS t ON t.{pk} = c.found WHERE d.nr = c.nr",
                candidates=candidates,
                was=joined(", ", was),
                diff=self.relation,
                table=name(self.feed.table),
                pk=name(pk),
                row=name(f"row__{pk}"),
            ),
        )

    # What a new row needs besides

    def defaults(self) -> dict[str, Any]:
        """Columns of a new row that the model fills in with the same value each time."""
        found: dict[str, Any] = {}
        for field in unplanned(self.model, self.sets):
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
                found[field.column] = field.get_db_prep_save(timezone.now(), self.connection)
            elif field.has_default() and not callable(field.default):
                found[field.column] = field.get_db_prep_save(field.get_default(), self.connection)
            elif not field.has_default() and not field.null and field.empty_strings_allowed and field.blank:
                found[field.column] = ""
        return found

    def stamps(self) -> dict[str, Any]:
        """Columns that say when a row was last changed."""
        return {
            str(field.column): field.get_db_prep_save(timezone.now(), self.connection)
            for field in self.model._meta.local_concrete_fields
            if getattr(field, "auto_now", False) and field.column not in self.sets
        }


def _column(model: type[Any], field: str) -> str:
    return str(model._meta.get_field(field).column)


def _stored(model: type[Any], field: str, held: Any, connection: Any) -> Any:
    return model._meta.get_field(field).get_db_prep_save(held, connection)
