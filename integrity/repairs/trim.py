"""Trim: where the rows add up to more than the master column, take away the surplus, to the last digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.db.models import F, Model, QuerySet

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, pk_columns
from integrity.paths import lookups, resolve
from integrity.repairs.base import Repair, Write
from integrity.repairs.master import counted_rows, fk_column, master_problems
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived


class Trim(Repair):
    """``Trim("postings", amount="value", order=["-made_at"])``: for a rule whose master column says less than its rows.

    relation: the related name of the rows. amount: their column that is summed. order: which rows go first, expressions
    over the rows; the newest (highest key) of equal ones goes first. evidence: name -> expression, shown with each row.

    Whole rows go, one after the other, and the last one is reduced, so that the sum is exact. A key whose rows cannot
    cover the surplus is left as it is. Rows of no amount are never touched.
    """

    verb = "remove surplus rows, reducing the last one"

    def __init__(
        self,
        relation: str,
        *,
        amount: str,
        order: Sequence[Any] = (),
        evidence: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.relation, self.amount = relation, amount
        self.order = tuple(order)
        self.evidence = dict(evidence or {})

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [fk_column(rule, self.relation).model]

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        yield from master_problems(self, rule, self.relation, self.amount)
        model = fk_column(rule, self.relation).model
        for expression in (*(_bare(order) for order in self.order), *self.evidence.values()):
            for lookup in lookups(expression):
                resolve(model, lookup)

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        derived = cast("Derived", rule)
        rows = self._rows(derived, scope, using)
        model = rows.model
        amount = column_of(model, self.amount)
        pks = pk_columns(model)
        (column,) = derived.equals
        keys = [f"key__{key.name}" for key in rule.key_fields]
        # Surplus rows of a key in order, and how much has gone when each of them has.
        ranked = compose(
            "SELECT c.*, {keys}, d.surplus,"
            " sum(c.integrity_amount) OVER (PARTITION BY {keys} ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS gone"
            " FROM (SELECT v.*, {expected} - {actual} AS surplus"
            " FROM ({violations}) AS v WHERE {expected} > {actual}) AS d"
            " JOIN ({rows}) AS c ON c.integrity_owner = {key}",
            keys=joined(", ", (name("d", key) for key in keys)),
            key=name("d", keys[0]),
            order=self._order(model),
            expected=name("v", f"expected__{column}"),
            actual=name("v", f"actual__{column}"),
            violations=rule.violations(scope, using),
            rows=from_queryset(rows, using),
        )
        # Covered when the last row that goes reaches the surplus: asked of those that go, not of the whole history.
        going = compose(
            "SELECT w.*, max(w.gone) OVER (PARTITION BY {keys}) AS covered FROM ({ranked}) AS w"
            " WHERE w.gone - w.integrity_amount < w.surplus",
            keys=joined(", ", (name("w", key) for key in keys)),
            ranked=ranked,
        )
        selected = [
            compose("CASE WHEN r.gone <= r.surplus THEN 'delete' ELSE 'update' END AS op"),
            *(
                compose("r.{key} AS {owner}", key=name(key), owner=name(f"owner__{field.name}"))
                for key, field in zip(keys, rule.key_fields, strict=True)
            ),
            *(compose("r.{pk} AS {row}", pk=name(f"integrity_{pk}"), row=name(f"row__{pk}")) for pk in pks),
            compose("r.integrity_amount AS {old}", old=name(f"old__{amount}")),
            compose("r.gone - r.surplus AS {new}", new=name(f"new__{amount}")),
            *(compose("r.{e} AS {e}", e=name(f"evidence__{label}")) for label in self.evidence),
        ]
        statement = compose(
            "SELECT {columns} FROM ({going}) AS r WHERE r.covered >= r.surplus",
            columns=joined(", ", selected),
            going=going,
        )
        return [Write(model, statement, sets=(amount,), guards=(amount,))]

    def _rows(self, rule: Derived, scope: Scope, using: str) -> QuerySet[Any, Any]:
        """The rows that count, with what orders them."""
        rows = counted_rows(rule, self.relation, self.amount, scope, using)
        annotations: dict[str, Any] = {
            f"integrity_{field.column}": F(field.name) for field in rows.model._meta.pk_fields
        }
        annotations |= {f"integrity_order_{i}": _bare(order) for i, order in enumerate(self.order)}
        annotations |= {f"evidence__{label}": expression for label, expression in self.evidence.items()}
        rows = rows.filter(**{f"{self.amount}__gt": 0}).annotate(**annotations)
        columns: QuerySet[Any, Any] = rows.values("integrity_owner", "integrity_amount", *annotations)
        return columns

    def _order(self, model: type[Model]) -> Statement:
        parts = [
            compose("c.{column} {way}", column=name(f"integrity_order_{i}"), way=_way(order))
            for i, order in enumerate(self.order)
        ]
        # The key makes the order total, or two runs could plan differently.
        parts += [compose("c.{pk} DESC", pk=name(f"integrity_{field.column}")) for field in model._meta.pk_fields]
        return joined(", ", parts)


def _bare(order: Any) -> Any:
    if isinstance(order, str):
        return F(order.removeprefix("-"))
    return getattr(order, "expression", order)


def _way(order: Any) -> Statement:
    descending = order.startswith("-") if isinstance(order, str) else getattr(order, "descending", False)
    return Statement("DESC NULLS LAST" if descending else "ASC NULLS LAST")
