"""The SQL of Agrees: rows of two tables side by side, in one pass over both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import BooleanField, ExpressionWrapper, Model, Q
from django.db.models.functions import Now

from integrity.keys import pk_columns
from integrity.rules.agrees_parts import Part, parts
from integrity.rules.comparison import differs
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name, names, value

if TYPE_CHECKING:
    from integrity.rules.agrees import Agrees

MODIFIED, ONLY_LEFT, ONLY_RIGHT = "modified", "only_left", "only_right"
MEANT, SETTLED = "integrity_meant", "integrity_settled"
LEFT, RIGHT = name("d", "integrity_left"), name("d", "integrity_right")
"""Of a pair: the first part of the key as either row has it, NULL where the row is missing."""


class Pairs:
    """Rows ``l`` and ``r`` with the same key; one of them is missing where a key is in one table alone."""

    def __init__(self, rule: Agrees, scope: Scope, using: str, part: Part = (None, None)) -> None:
        self.rule, self.scope, self.using = rule, scope, using
        self.beyond, self.upto = part

    def that_differ(self, *, to_write: bool = False) -> Statement:
        """Pairs of which a row is missing, or a field differs: see ``Rule.violations()``.

        to_write: with the primary keys of both rows, ``left__<column>`` and ``right__<column>``.
        """
        cut = parts(self.rule, self.scope, self.using)
        each = (Pairs(self.rule, self.scope, self.using, part)._that_differ(to_write=to_write) for part in cut)
        return joined(" UNION ALL ", each)

    def _that_differ(self, *, to_write: bool) -> Statement:
        columns = [f"key__{field}" for field in self.rule.on]
        columns += [f"{side}__{field}" for field in self.rule.fields for side in ("actual", "expected")]
        if to_write:
            columns += [f"left__{pk}" for pk in pk_columns(self.rule.model)]
            columns += [f"right__{pk}" for pk in pk_columns(self.rule.other)]
        wrong = [self.differ(field) for field in self.rule.fields]
        named = [
            compose("CASE WHEN {differ} THEN {field}::text END", differ=differ, field=value(field))
            for field, differ in zip(self.rule.fields, wrong, strict=True)
        ]
        # Whether a row is missing is asked of every pair, what to call it of those found alone.
        return compose(
            "SELECT {columns}, CASE WHEN {right} IS NULL THEN 'only_left' WHEN {left} IS NULL THEN 'only_right'"
            " ELSE 'modified' END AS evidence__found, CASE WHEN {left} IS NULL OR {right} IS NULL THEN ''"
            " ELSE array_to_string(ARRAY[{named}], ', ') END AS evidence__fields"
            " FROM ({pairs}) AS d WHERE {left} IS NULL OR {right} IS NULL OR {wrong}",
            columns=names(columns, of="d"),
            left=LEFT,
            right=RIGHT,
            named=joined(", ", named),
            pairs=self._side_by_side(to_write=to_write),
            wrong=joined(" OR ", wrong),
        )

    def counted(self) -> Statement:
        """``SELECT count(*) AS checked``: of the left rows, or of all pairs where a condition chooses among them."""
        if not self.rule.chooses:
            return compose("SELECT count(*) AS checked FROM ({left}) AS l", left=self._side(self.rule.model))
        return compose("SELECT count(*) AS checked FROM {joined}", joined=self._joined())

    def differ(self, field: str) -> Statement:
        """The condition that the two values of a field, columns of ``d``, do not agree."""
        tolerance = self.rule.tolerance(field)
        if field not in self.rule.nulls:
            return differs(self.rule.left(field), tolerance)
        actual, expected = (name("d", f"{side}__{field}") for side in ("actual", "expected"))
        distinct = differs(self.rule.left(field), tolerance)
        if not self.rule.has_stand_in(field):
            return compose("({a} IS NOT NULL AND {e} IS NOT NULL AND {d})", a=actual, e=expected, d=distinct)
        # A NULL and what it stands for agree; the rest is compared as usual.
        return compose(
            "({distinct} AND COALESCE({a}, {v}) IS DISTINCT FROM COALESCE({e}, {v}))",
            distinct=distinct,
            a=actual,
            e=expected,
            v=self.stand_in(field),
        )

    def stand_in(self, field: str) -> Statement:
        """The value that a NULL of a field stands for, typed as the left column."""
        held, connection = self.rule.left(field), connections[self.using]
        prepared = held.get_db_prep_value(self.rule.nulls[field], connection, prepared=False)
        return compose("{v}::{type}", v=value(prepared), type=Statement(str(held.db_type(connection))))

    # The two sides

    def _side_by_side(self, *, to_write: bool) -> Statement:
        rule = self.rule
        first = next(iter(rule.on))
        columns = [
            compose(
                "COALESCE({l}, {r}) AS {key}",
                l=name("l", _column(rule.model, left)),
                r=name("r", _column(rule.other, right)),
                key=name(f"key__{left}"),
            )
            for left, right in rule.on.items()
        ]
        for left, right in rule.fields.items():
            columns.append(_as("l", _column(rule.model, left), f"actual__{left}"))
            columns.append(_as("r", _column(rule.other, right), f"expected__{left}"))
        columns.append(_as("l", _column(rule.model, first), "integrity_left"))
        columns.append(_as("r", _column(rule.other, rule.on[first]), "integrity_right"))
        if to_write:
            columns += [_as("l", pk, f"left__{pk}") for pk in pk_columns(rule.model)]
            columns += [_as("r", pk, f"right__{pk}") for pk in pk_columns(rule.other)]
        return compose("SELECT {columns} FROM {joined}", columns=joined(", ", columns), joined=self._joined())

    def _joined(self) -> Statement:
        rule = self.rule
        same = [
            compose("l.{l} = r.{r}", l=name(_column(rule.model, left)), r=name(_column(rule.other, right)))
            for left, right in rule.on.items()
        ]
        conditions = [Statement("true")]
        if rule.where:
            conditions.append(compose("(l.{meant} OR r.{meant})", meant=name(MEANT)))
        if self.scope.settle:
            conditions.append(
                compose("(l.{s} IS NOT FALSE AND r.{s} IS NOT FALSE)", s=name(SETTLED)),
            )
        return compose(
            "({left}) AS l FULL JOIN ({right}) AS r ON {same} WHERE {conditions}",
            left=self._side(rule.model),
            right=self._side(rule.other),
            same=joined(" AND ", same),
            conditions=joined(" AND ", conditions),
        )

    def _side(self, model: type[Model]) -> Statement:
        """The rows of one table in scope; keys narrow both alike, and so part no pair."""
        rule, scope = self.rule, self.scope
        rows = rule.restrict(model._base_manager.using(self.using).order_by(), scope)
        first = rule.keys_of(model)[0]
        if self.beyond is not None:
            rows = rows.filter(**{f"{first}__gt": self.beyond})
        if self.upto is not None:
            rows = rows.filter(**{f"{first}__lte": self.upto})
        if scope.without:
            rows = scope.leave_out(rows, rule.keys_of(model))
        names = [*rule.keys_of(model), *(rule.fields if model is rule.model else rule.fields.values())]
        columns = [str(getattr(model._meta.get_field(field), "attname", field)) for field in names]
        columns += [field.attname for field in model._meta.pk_fields]
        annotations: dict[str, Any] = {}
        if rule.where:
            annotations[MEANT] = _truth(rule.where_of(model))
        if scope.settle:
            annotations[SETTLED] = _truth(self._settled(model))
        return from_queryset(rows.annotate(**annotations).values(*dict.fromkeys(columns), *annotations), self.using)

    def _settled(self, model: type[Model]) -> Q:
        settled = Q()
        for lookup, age in self.scope.settle.items():
            held = lookup if model is self.rule.model else self.rule.on_right(lookup)
            settled &= Q(**{f"{held}__isnull": True}) | Q(**{f"{held}__lt": Now() - age})
        return settled


def _truth(condition: Q) -> ExpressionWrapper[Q]:
    return ExpressionWrapper(condition, output_field=BooleanField())


def _column(model: type[Model], field: str) -> str:
    return str(model._meta.get_field(field).column)  # type: ignore[union-attr]


def _as(alias: str, column: str, output: str) -> Statement:
    return compose("{column} AS {output}", column=name(alias, column), output=name(output))
