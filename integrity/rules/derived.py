"""Derived: stored values equal an expression over other rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Aggregate, F, Field, FloatField, Model, Sum

from integrity.compiler import many_path, nodes_of, select
from integrity.exceptions import WrongDeclaration
from integrity.expressions import Latest, PerKey, name_of
from integrity.keys import columns_of
from integrity.paths import Path, lookups, resolve
from integrity.repairs.recompute import Recompute
from integrity.rules.base import Rule
from integrity.rules.comparison import Tolerance, at_precision, differs
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined

Truth = Literal["rows", "column"]


class Derived(Rule):
    """``Derived(Order, "total", equals=Sum("lines__amount"), ...)``.

    column: the stored field; left out when ``equals`` maps several fields of one formula to their expressions.
    truth: "rows" when the column follows the rows (the default, repaired by ``recompute``), "column" when the column is
    the master that the rows must add up to. stamps: field -> expression, set when another field of the rule changes and
    never compared. tolerance: a difference up to this, in the field's own type, is no violation. evidence: name ->
    further expressions shown with a violation. Sum and Count over no rows are 0, other aggregates NULL.
    """

    kind = "derived"

    def __init__(
        self,
        model: type[Model],
        column: str | None = None,
        *,
        equals: Any,
        truth: Truth = "rows",
        stamps: Mapping[str, Any] | None = None,
        tolerance: Tolerance | None = None,
        evidence: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if (column is None) != isinstance(equals, Mapping):
            raise WrongDeclaration(
                f"{self.name}: give one column and its expression, or equals={{column: expression}} without a column"
            )
        self.equals: dict[str, Any] = dict(equals) if column is None else {column: equals}
        self.truth = truth
        self.stamps = dict(stamps or {})
        self.tolerance = tolerance
        self.evidence = dict(evidence or {})
        if truth == "rows" and self._follows_rows():
            self.repairs = {"recompute": (Recompute(),), **self.repairs}

    def violations(self, scope: Scope, using: str) -> Statement:
        return compose("SELECT d.* FROM ({rows}) AS d WHERE {wrong}", rows=self.rows(scope, using), wrong=self._wrong())

    def rows(self, scope: Scope, using: str) -> Statement:
        """Every row in scope with its actual and expected values, right or wrong."""
        columns: dict[str, Any] = {f"key__{key.name}": F(key.name) for key in columns_of(self.model)}
        columns |= {f"actual__{column}": F(column) for column in self.equals}
        columns |= {
            f"expected__{column}": at_precision(self.model, self.field(column), expression)
            for column, expression in self.equals.items()
        }
        columns |= {f"evidence__{label}": expression for label, expression in self.evidence.items()}
        return select(self.model, columns, using=using, where=self.where, scope=scope)

    def paths(self) -> list[Path]:
        expressions = [*self.equals.values(), *self.evidence.values()]
        found = [resolve(self.model, lookup) for expression in expressions for lookup in lookups(expression)]
        return [*found, *(resolve(self.model, column) for column in self.equals)]

    def reads_whole(self) -> tuple[type[Model], ...]:
        return tuple(model for node in self.nodes() if isinstance(node, PerKey) for model in node.reads)

    def nodes(self) -> list[Any]:
        """The aggregates of all expressions."""
        return [node for expression in self.equals.values() for node in nodes_of(expression)]

    def stands_on(self) -> set[type[Model]]:
        """The models whose rows the aggregates stand on."""
        found = set(self.reads_whole())
        for node in self.nodes():
            if not isinstance(node, PerKey):
                found.add(many_path(self.model, node).many[-1].model)
        return found

    def sum_over(self, relation: str, amount: str) -> Sum | None:
        """The Sum of ``amount`` over a relation that the rule is made of, if there is one."""
        wanted = f"{relation}__{amount}"
        for node in self.nodes():
            if isinstance(node, Sum) and [F(wanted)] == node.get_source_expressions()[:1]:
                return node
        return None

    def field(self, column: str) -> Field[Any, Any]:
        """The field of a stored value."""
        return self.model._meta.get_field(column)  # type: ignore[return-value]

    def _wrong(self) -> Statement:
        return compose(
            "({columns})",
            columns=joined(" OR ", (differs(self.field(column), self.tolerance) for column in self.equals)),
        )

    def _follows_rows(self) -> bool:
        return all(is_plain_column(self.model, column) for column in self.equals)

    # What is wrong with a declaration

    def problems(self) -> Iterable[WrongDeclaration]:
        if self.truth not in ("rows", "column"):
            yield WrongDeclaration(f"truth={self.truth!r} is unknown", 'One of "rows", "column".')
        for column in (*self.equals, *self.stamps):
            if not is_plain_column(self.model, column):
                yield WrongDeclaration(
                    f"{column!r} is not a stored column of {self.model._meta.label}",
                    "Name a concrete field of the model.",
                )
        if self.truth == "column":
            yield from self._master_problems()
        if self.tolerance is None and any(self._sums_floats(column) for column in self.equals):
            yield WrongDeclaration(
                "it adds floats and has no tolerance", "Float sums depend on their order: give tolerance=."
            )
        for node in self.nodes():
            if isinstance(node, PerKey):
                if not node.reads:
                    yield WrongDeclaration(f"{node!r} does not say which models it reads", "Give reads=[...].")
            else:
                many_path(self.model, node)
        for expression in (*self.equals.values(), *self.evidence.values()):
            yield from self._loose_lookups(expression)
        try:
            self.violations(Scope(), DEFAULT_DB_ALIAS)
        except (FieldError, TypeError) as error:
            yield WrongDeclaration(f"its expression cannot be compiled: {error}")

    def _master_problems(self) -> Iterable[WrongDeclaration]:
        if len(self.equals) > 1 or self.stamps:
            yield WrongDeclaration('truth="column" speaks of one column', "Declare one rule for each master column.")
        for strategy, steps in self.repairs.items():
            if any(isinstance(step, Recompute) for step in steps):
                yield WrongDeclaration(
                    f'repair {strategy!r} would overwrite the master: Recompute is refused with truth="column"',
                    'Repair the rows (Trim, Adjust), or declare truth="rows".',
                )

    def _sums_floats(self, column: str) -> bool:
        return isinstance(self.field(column), FloatField) and any(
            isinstance(node, Aggregate) for node in nodes_of(self.equals[column])
        )

    def _loose_lookups(self, expression: Any) -> Iterable[WrongDeclaration]:
        """Lookups to many rows outside of an aggregate."""
        for lookup in _outside(expression):
            if resolve(self.model, lookup).multiplies:
                yield WrongDeclaration(
                    f"{lookup!r} leads to many rows outside of an aggregate", "Sum, count or take the Latest."
                )


def _outside(expression: Any) -> Iterable[str]:
    if isinstance(expression, Aggregate | Latest | PerKey):
        return
    if isinstance(expression, F):
        yield name_of(expression)
    elif hasattr(expression, "get_source_expressions") and not hasattr(expression, "query"):
        for source in expression.get_source_expressions():
            yield from _outside(source)


def is_plain_column(model: type[Model], column: str) -> bool:
    """True for a field that is stored in the model's own table and that a repair can set."""
    return any(field.name == column and not field.generated for field in model._meta.local_concrete_fields)
