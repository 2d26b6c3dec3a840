"""Merge: several rows that are one thing become one, with what any of them knew and all that refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    Aggregate,
    Case,
    CharField,
    Count,
    F,
    Field,
    FileField,
    Model,
    Q,
    TextField,
    Value,
    When,
)

from integrity.exceptions import WrongDeclaration
from integrity.expressions import array_type, name_of
from integrity.keys import pk_columns
from integrity.paths import lookups, resolve
from integrity.repairs.base import MERGED, UPDATE, Write
from integrity.repairs.keep_one import KeepOne, ordering, ranked_rows, removal
from integrity.repairs.referrers import may_refer
from integrity.scope import Scope
from integrity.statement import Part, Statement, as_statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.unique import Unique


class Merge(KeepOne):
    """``Merge(fill=["alias"], combine={"created_at": Min("created_at")}, repeats={Membership: "-is_primary"})``.

    The row that ``keep`` of the rule puts first stays, and everything that refers to the others is pointed at it.
    fill: columns that it takes from the others where it says nothing (NULL, or empty text): the first that says
    something, in the order of ``keep``. combine: columns that become an aggregate over all rows of the key. repeats:
    model of referring rows -> which of those that would then repeat each other stays, as in order_by; the others are
    deleted. Repetitions of any other model protect their key, as do repetitions that further rows refer to.
    """

    verb = "merge the rows into one"

    def __init__(
        self,
        *,
        fill: Sequence[str] = (),
        combine: Mapping[str, Aggregate] | None = None,
        repeats: Mapping[type[Model], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.fill, self.combine, self.repeats = tuple(fill), dict(combine or {}), dict(repeats or {})

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        found = [*super().problems(rule)]
        yield from found
        if found:
            return
        yield from self._column_problems(cast("Unique", rule))
        for model, order in self.repeats.items():
            if not may_refer(model, rule.model):
                yield WrongDeclaration(
                    f"has repeats for {model._meta.label}, which does not refer to {rule.model._meta.label}",
                    "Name a model with a foreign key, a generic one or a References rule to it.",
                )
                continue
            try:
                model._base_manager.order_by(*ordering(model, order)).query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
            except (FieldError, TypeError, ValueError) as error:
                yield WrongDeclaration(
                    f"cannot order repeats of {model._meta.label}: {error}", "Write it as in order_by."
                )

    def _column_problems(self, rule: Unique) -> Iterable[WrongDeclaration]:
        same = {name_of(part) for part in rule.by if isinstance(part, F)}
        columns = [*self.fill, *self.combine]
        for column in columns:
            try:
                field = rule.model._meta.get_field(column)
            except FieldDoesNotExist:
                field = None
            if field not in rule.model._meta.local_concrete_fields or getattr(field, "generated", False):
                yield WrongDeclaration(
                    f"sets {column!r}, which is no column of {rule.model._meta.label}", "Leave it out."
                )
            elif column in same or field in rule.model._meta.pk_fields:
                yield WrongDeclaration(
                    f"sets {column!r}, which the rows of a key have in common or are told apart by", "Leave it out."
                )
            elif columns.count(column) > 1:
                yield WrongDeclaration(f"sets {column!r} twice", "Either fill it or combine it.")
        for column, aggregate in self.combine.items():
            if not isinstance(aggregate, Aggregate):
                yield WrongDeclaration(
                    f"combines {column!r} by {aggregate!r}, which is no aggregate", f"Such as Max({column!r})."
                )
            elif any(resolve(rule.model, lookup).many for lookup in lookups(aggregate)):
                yield WrongDeclaration(
                    f"combines {column!r} by {aggregate!r}, which is about other rows than those that become one",
                    "Aggregate a column of the rows themselves; a total over related rows is a Derived rule.",
                )

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        unique = cast("Unique", rule)
        repeats = {model: ordering(model, order) for model, order in self.repeats.items()}
        writes = removal(unique, scope, using, outcome=MERGED, repeats=repeats)
        # The kept row comes last: what it takes over may be unique, and is free once the others are gone.
        return [*writes, self._kept(unique, scope, using)] if self.fill or self.combine else writes

    def _kept(self, rule: Unique, scope: Scope, using: str) -> Write:
        filled = [_field(rule.model, column) for column in self.fill]
        fields = [*filled, *(_field(rule.model, column) for column in self.combine)]
        more: dict[str, Any] = {f"old__{field.column}": F(field.attname) for field in fields}
        more |= {f"lacks__{field.column}": _lacks(field) for field in filled}
        taken = compose(
            "SELECT r.*{filled} FROM ({ranked}) AS r",
            filled=joined("", (_first(rule, str(field.column)) for field in filled)),
            ranked=ranked_rows(rule, scope, using, more),
        )
        pks = pk_columns(rule.model)
        selected: list[Part] = [compose("{op}::text AS op", op=value(UPDATE))]
        selected += [name("m", f"owner__{label}") for label in rule.labels]
        selected += [compose("m.{pk} AS {row}", pk=name(f"is__{pk}"), row=name(f"row__{pk}")) for pk in pks]
        for field in fields:
            selected += [name(f"old__{field.column}"), _typed(field, using)]
        columns = tuple(str(field.column) for field in fields)
        differs = (compose("{o} IS DISTINCT FROM {n}", o=name(f"old__{c}"), n=name(f"new__{c}")) for c in columns)
        rows = compose(
            "SELECT {selected} FROM ({taken}) AS m JOIN ({groups}) AS g ON {same}"
            " WHERE m.integrity_rank = 1 AND ({differs})",
            selected=joined(", ", selected),
            taken=taken,
            groups=self._groups(rule, scope, using),
            same=joined(
                " AND ",
                (
                    compose("m.{o} IS NOT DISTINCT FROM g.{g}", o=name(f"owner__{label}"), g=name(f"integrity_by_{i}"))
                    for i, label in enumerate(rule.labels)
                ),
            ),
            differs=joined(" OR ", differs),
        )
        return Write(rule.model, rows, sets=columns, guards=columns, locked=True)

    def _groups(self, rule: Unique, scope: Scope, using: str) -> Statement:
        """The keys of several rows, with what their rows come to together."""
        parts = {f"integrity_by_{i}": part for i, part in enumerate(rule.by)}
        combined = {f"new__{_field(rule.model, column).column}": a for column, a in self.combine.items()}
        groups = rule.rows(scope, using).values(**parts).annotate(integrity_rows=Count("*"), **combined)
        return from_queryset(groups.filter(integrity_rows__gt=1), using)


def _field(model: type[Model], column: str) -> Field[Any, Any]:
    return cast("Field[Any, Any]", model._meta.get_field(column))


def _lacks(field: Field[Any, Any]) -> Any:
    """1 where a row says nothing: NULL, or the empty text that Django's models use instead."""
    nothing = Q(**{f"{field.name}__isnull": True})
    if isinstance(field, CharField | TextField | FileField):
        nothing |= Q(**{field.name: ""})
    return Case(When(nothing, then=Value(1)), default=Value(0))


def _first(rule: Unique, column: str) -> Statement:
    """The value of the first row of a key, in the order in which rows are kept, that says something."""
    return compose(
        ", first_value(r.{old}) OVER (PARTITION BY {owners} ORDER BY r.{lacks}, r.integrity_rank) AS {new}",
        old=name(f"old__{column}"),
        owners=joined(", ", (name("r", f"owner__{label}") for label in rule.labels)),
        lacks=name(f"lacks__{column}"),
        new=name(f"new__{column}"),
    )


def _typed(field: Field[Any, Any], using: str) -> Statement:
    """The new value in the type of its column, which an aggregate may not have; never cut to its length."""
    new = as_statement(name(f"new__{field.column}"))
    type_ = Statement(array_type(field, connections[using]).removesuffix("[]"))
    return compose("{new}::{type} AS {new}", new=new, type=type_)
