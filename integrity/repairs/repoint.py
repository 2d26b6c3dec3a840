"""Pointing what refers to one row at another, whatever kind of reference it is.

Rows that would then repeat each other by a unique index are ranked: of those of a many-to-many table, or of a model for
which the repair says what comes first, the others are deleted. Any other repetition protects its key, which is left and
reported: which of two rows is true is for a person to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Model, OrderBy

from integrity.keys import pk_columns
from integrity.repairs.base import Write
from integrity.repairs.referrers import Referrer, referrers
from integrity.schema import UniqueIndex, columns, unique_indexes
from integrity.statement import Part, Statement, compose, from_queryset, joined, name

if TYPE_CHECKING:
    from integrity.rules.unique import Unique

Repeats = Mapping[type[Model], Sequence[OrderBy]]


def repoint(rule: Unique, surplus: Statement, using: str, repeats: Repeats | None = None) -> list[Write]:
    """Writes for every reference to the rows in ``surplus`` (see ``surplus_rows``), to be made before those go.

    repeats: which row comes first of those of a model that would repeat each other. Raises Refused for a reference that
    cannot be pointed elsewhere.
    """
    if len(pk_columns(rule.model)) != 1:
        return []
    found = referrers(rule, connections[using])
    writes: list[Write] = []
    for referrer in found:
        others = [other for other in found if other.model is referrer.model and other != referrer]
        writes += _Repoint(rule, surplus, referrer, others, (repeats or {}).get(referrer.model), using).writes()
    return writes


@dataclass
class _Repoint:
    """One column that refers. ``order`` ranks rows that repeat each other, ``others`` are columns of the same rows."""

    rule: Unique
    surplus: Statement
    referrer: Referrer
    others: Sequence[Referrer]
    order: Sequence[OrderBy] | None
    using: str

    def __post_init__(self) -> None:
        self.model, self.column = self.referrer.model, self.referrer.column
        self.table = self.model._meta.db_table
        connection: Any = connections[self.using]
        self.type = next(c.type for c in columns(self.table, connection) if c.name == self.column)
        self.uniques = unique_indexes(self.table, self.column, connection)
        self.owners = joined(", ", (name(f"owner__{label}") for label in self.rule.labels))
        self.pks = pk_columns(self.model)

    def writes(self) -> Iterator[Write]:
        """Rows that protect their key, then repetitions, then what is pointed elsewhere."""
        ranked = self._ranked()
        if self.column in self.pks:
            why = f"rows of {self.table} refer to it by their own primary key, which cannot be pointed elsewhere"
            yield self._protecting(ranked, Statement("moved"), why)
            return
        if self.model._meta.db_table == self.rule.model._meta.db_table:
            itself = compose("moved AND {pk} = target", pk=name(f"pk__{self.pks[0]}"))
            yield self._protecting(ranked, itself, f"rows of {self.table} would refer to themselves")
        if self.others:
            yield self._protecting(
                ranked, Statement("moved AND twofold"), f"rows of {self.table} refer to two of its rows"
            )
        if self.referrer.target != pk_columns(self.rule.model)[0]:
            why = f"rows of {self.table} refer to its {self.referrer.target}, which the kept row does not have"
            yield self._protecting(ranked, Statement("moved AND target IS NULL"), why)
        if self.uniques:
            yield from self._repetitions(ranked)
        update = compose(
            "SELECT 'update'::text AS op, {owners}, {rows}, reference AS {old}, target AS {new}"
            " FROM ({ranked}) AS r WHERE moved AND NOT repeated",
            **self._parts(ranked),
        )
        yield Write(self.model, update, sets=(self.column,), guards=(self.column,))

    def _repetitions(self, ranked: Statement) -> Iterator[Write]:
        if self.order is None and not self.model._meta.auto_created:
            why = f"rows of {self.table} would repeat each other"
            yield self._protecting(ranked, Statement("repeated"), why)
            return
        if len(self.uniques) > 1:
            why = f"rows of {self.table} would repeat each other by several of its unique indexes"
            yield self._protecting(ranked, Statement("repeated AND unsure"), why)
        delete = compose(
            "SELECT 'delete'::text AS op, {owners}, {rows}, reference AS {old} FROM ({ranked}) AS r WHERE repeated",
            **self._parts(ranked),
        )
        yield Write(self.model, delete, guards=(self.column,), alone=True)

    def _protecting(self, ranked: Statement, which: Statement, why: str) -> Write:
        rows = compose(
            "SELECT 'delete'::text AS op, {owners}, {rows} FROM ({ranked}) AS r WHERE {which}",
            which=which,
            **self._parts(ranked),
        )
        return Write(self.model, rows, protects=True, why=why)

    def _parts(self, ranked: Statement) -> dict[str, Part]:
        rows = (compose("{pk} AS {row}", pk=name(f"pk__{pk}"), row=name(f"row__{pk}")) for pk in self.pks)
        return {
            "owners": self.owners,
            "rows": joined(", ", rows),
            "ranked": ranked,
            "old": name(f"old__{self.column}"),
            "new": name(f"new__{self.column}"),
        }

    # The rows that refer, ranked

    def _ranked(self) -> Statement:
        """The rows that refer to gone rows (``moved``) or to the kept one, and whether they are repetitions.

        A row is ``repeated`` where another one comes before it in a unique index, and ``unsure`` where that one is
        repeated itself, by another index.
        """
        ranks = joined("", (self._rank(i) for i in range(len(self.uniques))))
        ranked = compose("SELECT f.*{ranks} FROM ({references}) AS f", ranks=ranks, references=self._references())
        repeated = [compose("{rank} > 1", rank=name(f"rank_{i}")) for i in range(len(self.uniques))]
        flagged = compose(
            "SELECT r.*, ({repeated}) AS repeated FROM ({ranked}) AS r",
            repeated=joined(" OR ", [Statement("false"), *repeated]),
            ranked=ranked,
        )
        if len(self.uniques) < 2:
            return flagged
        unsure = (
            compose(
                "{rank} > 1 AND first_value(repeated) OVER (PARTITION BY {same} ORDER BY {rank})",
                rank=name(f"rank_{i}"),
                same=self._same(i),
            )
            for i in range(len(self.uniques))
        )
        return compose(
            "SELECT r.*, ({unsure}) AS unsure FROM ({flagged}) AS r", unsure=joined(" OR ", unsure), flagged=flagged
        )

    def _rank(self, i: int) -> Statement:
        pks = joined(", ", (name(f"pk__{pk}") for pk in self.pks))
        return compose(
            ", row_number() OVER (PARTITION BY {same} ORDER BY {order}moved, {pks}) AS {rank}",
            same=self._same(i),
            order=joined("", (self._directed(j, part) for j, part in enumerate(self.order or ()))),
            pks=pks,
            rank=name(f"rank_{i}"),
        )

    def _same(self, i: int) -> Statement:
        """What rows share that are one and the same to an index; a row of which it does not speak is by itself."""
        parts = joined("", (compose("{part}, ", part=name(f"in__{i}_{j}")) for j in range(len(self.uniques[i].parts))))
        pks = joined(", ", (name(f"pk__{pk}") for pk in self.pks))
        return compose(
            "target, {parts}CASE WHEN NOT {spoken} THEN row({pks})::text END",
            parts=parts,
            spoken=name(f"in__{i}"),
            pks=pks,
        )

    @staticmethod
    def _directed(j: int, part: OrderBy) -> Statement:
        direction = "DESC" if part.descending else "ASC"
        nulls = " NULLS FIRST" if part.nulls_first else " NULLS LAST"
        return compose("{value} {direction}, ", value=name(f"order__{j}"), direction=Statement(direction + nulls))

    def _references(self) -> Statement:
        """Rows that refer to a gone or to the kept row, with what decides whether they repeat each other."""
        parts: dict[str, Part] = {
            "owners": joined(", ", (name("s", f"owner__{label}") for label in self.rule.labels)),
            "pks": joined(", ", (compose("c.{c} AS {o}", c=name(c), o=name(f"pk__{c}")) for c in self.pks)),
            "held": joined("", (compose(", c.{c}", c=name(c)) for c in self._computed())),
            "order": joined("", (compose(", o.{c}", c=name(f"order__{j}")) for j in range(len(self.order or ())))),
            "ordered": self._ordered(),
            "column": name(self.column),
            "type": Statement(self.type),
            "pairs": self._pairs(),
            "table": self._with_computed(),
            "only": self.referrer.only,
            "both": self._both(),
        }
        return compose(
            "SELECT {owners}, {pks}{held}{order}, c.{column} AS reference, s.kept::text::{type} AS target,"
            " true AS moved, {both} AS twofold FROM ({pairs}) AS s"
            " JOIN {table} AS c ON c.{column} = s.gone::text::{type} AND {only} {ordered} UNION ALL"
            " SELECT {owners}, {pks}{held}{order}, c.{column}, s.kept::text::{type}, false, false"
            " FROM (SELECT DISTINCT {owners}, s.kept FROM ({pairs}) AS s) AS s"
            " JOIN {table} AS c ON c.{column} = s.kept::text::{type} AND {only} {ordered}",
            **parts,
        )

    def _pairs(self, target: str = "") -> Statement:
        """``owner__<key>``, and what the gone and the kept row have in the column that is referred to."""
        (pk,) = pk_columns(self.rule.model)
        target = target or self.referrer.target
        gone, kept = name("s", f"gone__{pk}"), name("s", f"kept__{pk}")
        parts: dict[str, Part] = {"owners": self.owners, "surplus": self.surplus, "gone": gone, "kept": kept}
        if target == pk:
            return compose("SELECT {owners}, {gone} AS gone, {kept} AS kept FROM ({surplus}) AS s", **parts)
        return compose(
            "SELECT {owners}, g.{target} AS gone, k.{target} AS kept FROM ({surplus}) AS s"
            " JOIN {table} AS g ON g.{pk} = {gone} JOIN {table} AS k ON k.{pk} = {kept}"
            " WHERE g.{target} IS DISTINCT FROM k.{target}",
            target=name(target),
            table=name(self.rule.model._meta.db_table),
            pk=name(pk),
            **parts,
        )

    def _both(self) -> Statement:
        """The row refers by another column, too, to a row of the same key: two things that were thought to be one."""
        found = [Statement("false")]
        for other in self.others:
            same = joined(
                " AND ",
                (
                    compose("p.{owner} IS NOT DISTINCT FROM s.{owner}", owner=name(f"owner__{label}"))
                    for label in self.rule.labels
                ),
            )
            found.append(
                compose(
                    "EXISTS (SELECT FROM ({pairs}) AS p WHERE {same} AND {only} AND c.{other}::text <> c.{column}::text"
                    " AND c.{other}::text IN (p.gone::text, p.kept::text))",
                    pairs=self._pairs(other.target),
                    same=same,
                    only=other.only,
                    other=name(other.column),
                    column=name(self.column),
                )
            )
        return compose("({found})", found=joined(" OR ", found))

    def _computed(self) -> dict[str, Statement]:
        """What the unique indexes compare, by name: their other parts, and whether they speak of a row at all."""
        computed: dict[str, Statement] = {}
        for i, index in enumerate(self.uniques):
            parts = [_written(part) for part in index.parts]
            computed |= {f"in__{i}_{j}": part for j, part in enumerate(parts)}
            computed[f"in__{i}"] = _spoken(index, parts)
        return computed

    def _with_computed(self) -> Statement:
        """The table with the computed columns; alone in its query, as expressions of an index name columns only."""
        computed = self._computed()
        if not computed:
            return compose("{table}", table=name(self.table))
        return compose(
            "(SELECT t.*, {computed} FROM {table} AS t)",
            computed=joined(", ", (compose("{e} AS {c}", e=e, c=name(c)) for c, e in computed.items())),
            table=name(self.table),
        )

    def _ordered(self) -> Statement:
        """A join that gives each row the values of the declared order."""
        if not self.order:
            return Statement("")
        fields = self.model._meta.pk_fields
        values: dict[str, Any] = {f"order__{j}": part.expression for j, part in enumerate(self.order)}
        rows = self.model._base_manager.using(self.using).order_by().annotate(**values)
        rows = rows.values(*(field.attname for field in fields), *values)
        same = (compose("o.{c} = c.{c}", c=name(c)) for c in self.pks)
        return compose("JOIN ({rows}) AS o ON {same}", rows=from_queryset(rows, self.using), same=joined(" AND ", same))


def _written(part: str) -> Statement:
    """An expression as the catalog has it, which holds no parameter."""
    return Statement(part.replace("%", "%%"))


def _spoken(index: UniqueIndex, parts: Sequence[Statement]) -> Statement:
    """The index compares this row with others: it is one of those it is about, and no NULL sets it apart."""
    conditions = [compose("({c}) IS TRUE", c=_written(index.condition))] if index.condition else []
    if not index.nulls_equal:
        conditions += [compose("({part}) IS NOT NULL", part=part) for part in parts]
    return joined(" AND ", [Statement("true"), *conditions])
