"""Derived: stored values equal an expression over other rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from django.db.models import F, Field, Model, Sum

from integrity.compiler import select
from integrity.exceptions import WrongDeclaration
from integrity.expressions import PerKey
from integrity.joins import many_path, nodes_of
from integrity.keys import columns_of
from integrity.paths import Path, lookups, resolve
from integrity.repairs.recompute import Recompute
from integrity.rules.base import Rule
from integrity.rules.comparison import Tolerance, at_precision, differs
from integrity.rules.derived_problems import declaration_problems, enforcement_problems, is_plain_column
from integrity.rules.fallback import fallbacks
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined

Truth = Literal["rows", "column"]


class Derived(Rule):
    """``Derived(Order, "total", equals=Sum("lines__amount"), ...)``.

    column: the stored field; left out when ``equals`` maps several fields of one formula to their expressions.
    truth: "rows" when the column follows the rows (the default, repaired by ``recompute``), "column" when the column is
    the master that the rows must add up to. stamps: field -> expression, set when another field of the rule changes and
    never compared. tolerance: a difference up to this, in the field's own type, is no violation. evidence: name ->
    further expressions shown with a violation. incremental: triggers add what changed instead of recomputing a key, for
    sums and counts over many rows; exact, but an existing drift stays until it is repaired.

    Sum and Count over no rows are 0, other aggregates NULL.
    """

    kind = "derived"
    needs_other_rows: ClassVar[bool] = False

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
        incremental: bool = False,
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
        self.incremental = incremental
        if truth == "rows" and self._follows_rows():
            self.repairs = {"recompute": (Recompute(),), **self.repairs}

    def violations(self, scope: Scope, using: str, *, to_write: bool = False) -> Statement:
        rows = self.rows(scope, using, to_write=to_write)
        return compose("SELECT d.* FROM ({rows}) AS d WHERE {wrong}", rows=rows, wrong=self._wrong())

    def rows(self, scope: Scope, using: str, *, to_write: bool = False) -> Statement:
        """Every row in scope with its actual and expected values, right or wrong.

        to_write: with ``stamp__<field>`` in place of the evidence, which a write has no use for.
        """
        columns: dict[str, Any] = {f"key__{key.name}": F(key.name) for key in columns_of(self.model)}
        columns |= {f"actual__{column}": F(column) for column in self.equals}
        columns |= {
            f"expected__{column}": at_precision(self.model, self.field(column), expression)
            for column, expression in self.equals.items()
        }
        if to_write:
            columns |= {f"stamp__{field}": expression for field, expression in self.stamps.items()}
        else:
            columns |= {f"evidence__{label}": expression for label, expression in self.evidence.items()}
        return select(self.model, columns, using=using, where=self.where, scope=scope)

    def paths(self) -> list[Path]:
        found = [resolve(self.model, lookup) for expression in self.equals.values() for lookup in lookups(expression)]
        return [*found, *(resolve(self.model, column) for column in self.equals)]

    def expressions(self) -> list[Any]:
        return [self.where, *self.equals.values()]

    def shown(self) -> list[Path]:
        return [resolve(self.model, lookup) for expression in self.evidence.values() for lookup in lookups(expression)]

    def reads_whole(self) -> tuple[type[Model], ...]:
        return tuple(model for node in self.nodes() if isinstance(node, PerKey) for model in node.reads)

    @property
    def divisible(self) -> bool:
        return not self.reads_whole()

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

    def falls_back_on(self) -> list[tuple[str, ...]]:
        return fallbacks(self.model, self.equals.values())

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

    def problems(self) -> Iterable[WrongDeclaration]:
        return declaration_problems(self)

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        return enforcement_problems(self)
