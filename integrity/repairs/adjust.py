"""Adjust: where the rows add up to less than the master column, write one row for what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from django.db.models import F, Field, Model, Q, UniqueConstraint, Value

from integrity.compiler import select
from integrity.exceptions import WrongDeclaration
from integrity.expressions import Typed
from integrity.keys import column_of, columns_of, pk_columns
from integrity.paths import lookups, resolve
from integrity.repairing.defaults import unplanned
from integrity.repairs.base import Repair, Write
from integrity.repairs.master import fk_column, master_problems
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived


class Adjust(Repair):
    """``Adjust("postings", amount="value", row={"day": F("opened_on"), "correction": True})``.

    relation: the related name of the rows. amount: their column that is summed. row: the other columns of the new row,
    values or expressions over the rule's model. Where a row with the same unique columns exists already, the amount is
    added to it. A key whose new row would lack a value for a required column is left as it is.
    """

    verb = "add one row for what is missing"

    def __init__(self, relation: str, *, amount: str, row: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.relation, self.amount, self.row = relation, amount, dict(row)

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [fk_column(rule, self.relation).model]

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        yield from master_problems(self, rule, self.relation, self.amount)
        model = fk_column(rule, self.relation).model
        known = {field.name for field in model._meta.local_concrete_fields}
        unknown = [column for column in self.row if column not in known]
        for column in unknown:
            yield WrongDeclaration(f"sets {column!r}, which {model._meta.label} does not have")
        for given in self.row.values():
            for lookup in lookups(given):
                resolve(rule.model, lookup)
        if unknown:
            return
        for field in unplanned(model, self._columns(rule)):
            automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
            if not (field.null or field.has_default() or automatic):
                yield WrongDeclaration(
                    f"does not say what {field.name!r} of a new {model._meta.label} is", f"Add {field.name!r} to row=."
                )

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        derived = cast("Derived", rule)
        fk = fk_column(rule, self.relation)
        own = str(fk.column)
        model = fk.model
        amount = column_of(model, self.amount)
        pks = pk_columns(model)
        (column,) = derived.equals
        key = columns_of(rule.model)[0]
        values = {column_of(model, f): f"new__{f}" for f in self.row}
        existing, same = self._existing(model, fk, values, using)
        selected = [
            compose("CASE WHEN c.{pk} IS NULL THEN 'insert' ELSE 'update' END AS op", pk=name(pks[0])),
            compose("d.{key} AS {owner}", key=name(f"key__{key.name}"), owner=name(f"owner__{key.name}")),
            *(compose("c.{pk} AS {row}", pk=name(pk), row=name(f"row__{pk}")) for pk in pks),
            compose("c.{a} AS {old}", a=name(amount), old=name(f"old__{amount}")),
            compose("COALESCE(c.{a}, 0) + d.missing AS {new}", a=name(amount), new=name(f"new__{amount}")),
            compose("n.{fk} AS {new}", fk=name(own), new=name(f"new__{own}")),
            *(self._value(pks[0], c, v) for c, v in values.items()),
        ]
        owned_by = (own,) if fk.target_field is key else ()  # type: ignore[attr-defined]
        required = [compose("n.{v} IS NOT NULL", v=name(values[c])) for c in values if not self._may_be_null(model, c)]
        statement = compose(
            "SELECT {columns} FROM (SELECT v.*, {actual} - {expected} AS missing FROM ({violations}) AS v"
            " WHERE {actual} > {expected}) AS d"
            " JOIN ({rows}) AS n ON n.integrity_key = d.{key} LEFT JOIN ({existing}) AS c ON {same} WHERE {required}",
            columns=joined(", ", selected),
            actual=name("v", f"actual__{column}"),
            expected=name("v", f"expected__{column}"),
            violations=rule.violations(scope, using),
            rows=self._rows(rule, fk, scope, using),
            key=name(f"key__{key.name}"),
            existing=existing,
            same=same,
            required=joined(" AND ", [Statement("true"), *required]),
        )
        return [Write(model, statement, sets=(amount, own, *values), guards=(amount, *values), owned_by=owned_by)]

    @staticmethod
    def _value(pk: str, column: str, value: str) -> Statement:
        """A column of the row; of one that is there already only the amount changes."""
        return compose(
            "CASE WHEN c.{pk} IS NULL THEN n.{value} ELSE c.{column} END AS {new}, c.{column} AS {old}",
            pk=name(pk),
            value=name(value),
            column=name(column),
            new=name(f"new__{column}"),
            old=name(f"old__{column}"),
        )

    def _rows(self, rule: Rule, fk: Field[Any, Any], scope: Scope, using: str) -> Statement:
        """The new row of each key in scope, before it is known whether one is needed."""
        model = fk.model
        columns: dict[str, Any] = {"integrity_key": F(columns_of(rule.model)[0].name)}
        columns[str(fk.column)] = F(fk.target_field.name)  # type: ignore[attr-defined]
        for field, given in self.row.items():
            plain = not hasattr(given, "resolve_expression")
            columns[f"new__{field}"] = Typed(Value(given) if plain else given, self._field(model, field))
        return select(rule.model, columns, using=using, scope=scope)

    @staticmethod
    def _field(model: type[Model], field: str) -> Field[Any, Any]:
        return cast("Field[Any, Any]", model._meta.get_field(field))

    @staticmethod
    def _may_be_null(model: type[Model], column: str) -> bool:
        return any(field.null for field in model._meta.local_concrete_fields if field.column == column)

    def _columns(self, rule: Rule) -> list[str]:
        fk = fk_column(rule, self.relation)
        return [str(fk.column), column_of(fk.model, self.amount), *(column_of(fk.model, f) for f in self.row)]

    def _existing(
        self, model: type[Model], fk: Field[Any, Any], values: Mapping[str, str], using: str
    ) -> tuple[Statement, Statement]:
        """The rows ``c`` beside which a new row ``n`` would be a second one, and when one of them is the same."""
        rows = model._base_manager.using(using).order_by()
        constraint = self._identity(model, fk)
        if constraint is None:
            return from_queryset(rows, using), Statement("false")
        same = [compose("c.{fk} = n.{fk}", fk=name(str(fk.column)))]
        # Two NULLs are two values to a unique constraint, unless it says otherwise.
        equal = "c.{c} IS NOT DISTINCT FROM n.{v}" if constraint.nulls_distinct is False else "c.{c} = n.{v}"
        columns = [column_of(model, field) for field in constraint.fields if field != fk.name]
        same += [compose(equal, c=name(column), v=name(values[column])) for column in columns]
        return from_queryset(rows.filter(constraint.condition or Q()), using), joined(" AND ", same)

    def _identity(self, model: type[Model], fk: Field[Any, Any]) -> UniqueConstraint | None:
        """The unique constraint of which the new row fills in every column."""
        opts = model._meta
        unique = [constraint for constraint in opts.constraints if isinstance(constraint, UniqueConstraint)]
        unique += [UniqueConstraint(fields=fields, name="together") for fields in opts.unique_together]
        unique += [UniqueConstraint(fields=[fk.name], name="unique")] if fk.unique else []
        filled = {fk.name, *self.row}
        return next((c for c in unique if fk.name in c.fields and set(c.fields) <= filled), None)
