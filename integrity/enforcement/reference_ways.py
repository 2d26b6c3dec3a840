"""How rows of one table lead to rows of another, where no foreign key can say it: as conditions of trigger functions.

A referring row is ``r``, the row referred to ``t``, one that has gone ``o``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, Q
from psycopg import sql

from integrity.compiler import check_condition
from integrity.keys import column_of, columns_of, own_field
from integrity.paths import lookups, resolve
from integrity.rules.references import References, type_of
from integrity.statement import Statement, compose, joined, name

INTEGER = "^(0|-?[1-9][0-9]{0,18})$"
UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
BIGINT = 2**63


@dataclass(frozen=True)
class Way:
    """The rows of one target, and the columns by which rows of the rule refer to them."""

    rule: References
    target: type[Model]
    pairs: tuple[tuple[Any, Any], ...]
    """Fields of the row and of the target."""
    agreeing: tuple[tuple[Any, Any], ...] = ()

    @property
    def reads_more_than_a_key(self) -> bool:
        """True where an UPDATE that locks no key can end what was referred to."""
        return bool(self.agreeing or self.rule.among) or not all(target.unique for _, target in self.pairs)

    def taken(self) -> Statement:
        """Of the rows ``r`` those that are of this target."""
        if self.rule.generic is None:
            return Statement("true")
        type_ = column_of(self.rule.model, self.rule.generic.ct_field)
        opts = (self.target._meta.concrete_model or self.target)._meta
        return compose(
            "r.{type} = (SELECT id FROM django_content_type WHERE app_label = {app} AND model = {model})",
            type=name(type_),
            app=sql.Literal(opts.app_label),
            model=sql.Literal(opts.model_name),
        )

    def resolves(self) -> Statement:
        """The row ``r`` leads to a row."""
        equal = [_equal("t", target, "r", column) for column, target in (*self.pairs, *self.agreeing)]
        return compose("EXISTS (SELECT FROM {rows} AS t WHERE {equal})", rows=self.rows(), equal=joined(" AND ", equal))

    def rows(self) -> Statement:
        """The rows that may be referred to."""
        table = name(self.target._meta.db_table)
        if self.rule.among is None:
            return compose("{table}", table=table)
        among = check_condition(self.target, self.rule.among, DEFAULT_DB_ALIAS, qualified=False)
        return compose("(SELECT * FROM {table} WHERE {among})", table=table, among=among)

    def led(self) -> Statement:
        """The row ``r`` led to the row ``o``, whatever agreed."""
        return joined(" AND ", (_equal("r", column, "o", target) for column, target in self.pairs))

    def meant_by(self, rows: Statement) -> Statement:
        """The row ``t`` is one that some of the rows refer to."""
        sides = [_sides("t", target, "r", column) for column, target in self.pairs]
        means, meant = joined(", ", (left for left, _ in sides)), joined(", ", (right for _, right in sides))
        template = "({means}) IN (SELECT {meant} FROM ({rows}) AS r WHERE {taken})"
        if len(sides) == 1:
            # Keys in an array: one index scan in order, whatever the planner thinks of the rows.
            template = "{means} = ANY(ARRAY(SELECT DISTINCT {meant} FROM ({rows}) AS r WHERE {taken}))"
        return compose(template, means=means, meant=meant, rows=rows, taken=self.taken())

    def read(self) -> list[str]:
        """The columns of the target that decide."""
        among = [own_field(self.target, lookup).column for lookup in lookups(self.rule.among or Q())]
        return list(dict.fromkeys([*(target.column for _, target in (*self.pairs, *self.agreeing)), *among]))


def ways(rule: References) -> list[Way]:
    """One for each model that may be referred to."""
    fields = [resolve(rule.model, column).field for column in rule.columns]
    if rule.generic is not None:
        return [Way(rule, model, ((fields[1], columns_of(model)[0]),)) for model in rule.types]
    assert rule.to is not None
    agreeing = [(resolve(rule.model, c).field, resolve(rule.to, t).field) for c, t in rule.agreeing.items()]
    targets = [resolve(rule.to, on).field for on in rule.on]
    return [Way(rule, rule.to, tuple(zip(fields, targets, strict=True)), tuple(agreeing))]


def _equal(left: str, left_field: Any, right: str, right_field: Any) -> Statement:
    one, other = _sides(left, left_field, right, right_field)
    return compose("{one} = {other}", one=one, other=other)


def _sides(left: str, left_field: Any, right: str, right_field: Any) -> tuple[Statement, Statement]:
    """Both sides of an equation, the left one bare where it can be, so that its index is used."""
    one, other = (compose("{c}", c=name(of, f.column)) for of, f in ((left, left_field), (right, right_field)))
    types = type_of(left_field), type_of(right_field)
    if types[0] == types[1]:
        return one, other
    match types:
        case "text", _:
            return one, compose("{other}::text", other=other)
        case "integer", "text":
            # Text such as 007 is no number as PostgreSQL prints it, and refers to nothing.
            return one, compose(
                "CASE WHEN {other} ~ {number} THEN CASE WHEN {other}::numeric BETWEEN {least} AND {most}"
                " THEN {other}::bigint END END",
                other=other,
                number=sql.Literal(INTEGER),
                least=sql.Literal(-BIGINT),
                most=sql.Literal(BIGINT - 1),
            )
        case "UUIDField", "text":
            return one, compose(
                "CASE WHEN {other} ~ {uuid} THEN {other}::uuid END", other=other, uuid=sql.Literal(UUID)
            )
    return compose("{one}::text", one=one), compose("{other}::text", other=other)
