"""Agrees: two tables tell the same story, row by row and field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import Field, Model, QuerySet

from integrity.exceptions import WrongDeclaration
from integrity.paths import Path, resolve, rewritten
from integrity.reports import Finding
from integrity.rules.agrees_pairs import MODIFIED, ONLY_LEFT, ONLY_RIGHT, Pairs
from integrity.rules.agrees_problems import declaration_problems, mirror_problems
from integrity.rules.base import Rule
from integrity.rules.comparison import Tolerance
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name

Names = Sequence[str] | Mapping[str, str]

UNKNOWN = object()
"""For ``nulls``: a NULL says nothing, and so agrees with everything."""


class Agrees(Rule):
    """``Agrees(Profile, OldProfile, on=["user"], fields=["city", "score"], ...)``.

    other: the model of the other table; ``model`` is called the left one and ``other`` the right one. on: the fields
    that find the counterpart of a row, unique and never NULL in both tables. fields: what is compared. Both are names,
    or name on the left -> name on the right. tolerance: a difference up to this is no violation, for every field that
    has distances or by field. nulls: field -> the value that a NULL stands for, or ``UNKNOWN``; elsewhere NULL agrees
    with NULL alone.

    The key of a violation is that of ``on``; ``actual`` are the left values that differ, ``expected`` the right ones.
    ``evidence`` tells what was found: modified, only_left or only_right. ``where`` holds for a pair as soon as one of
    its rows meets it, and may only read fields that both tables have.
    """

    kind = "agrees"
    # One look goes through both tables in the order of their keys; a hash of one of them is slower and spills.
    # The server expects a great many rows to differ, and would let one process alone find them.
    planner: ClassVar[Mapping[str, str]] = {"enable_hashjoin": "off", "parallel_tuple_cost": "0"}

    def __init__(
        self,
        model: type[Model],
        other: type[Model],
        *,
        on: Names,
        fields: Names,
        tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
        nulls: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.other = other
        self.on = _mapping(on)
        self.fields = _mapping(fields)
        self.nulls = dict(nulls or {})
        self.given_tolerance = tolerance

    @property
    def key_fields(self) -> list[Field[Any, Any]]:
        """The fields of ``on``, as the left table has them."""
        return [self.left(field) for field in self.on]

    @property
    def mapped(self) -> dict[str, str]:
        """Every name on the left that has a counterpart, with it."""
        return self.on | self.fields

    @property
    def chooses(self) -> bool:
        """True when not every pair is meant, which only shows once both rows are side by side."""
        return bool(self.where or self.settle)

    def left(self, field: str) -> Field[Any, Any]:
        """A field of the left table."""
        return self.model._meta.get_field(field)  # type: ignore[return-value]

    def right(self, field: str) -> Field[Any, Any]:
        """The counterpart of a field of the left table."""
        return self.other._meta.get_field(self.mapped[field])  # type: ignore[return-value]

    def tolerance(self, field: str) -> Tolerance | None:
        """What two values may be apart; None where they must be equal."""
        if isinstance(self.given_tolerance, Mapping):
            return self.given_tolerance.get(field)
        return self.given_tolerance

    def has_stand_in(self, field: str) -> bool:
        """True where a NULL of a field stands for a value."""
        return self.nulls.get(field, UNKNOWN) is not UNKNOWN

    # What a kind answers

    def violations(self, scope: Scope, using: str, *, to_write: bool = False) -> Statement:
        return Pairs(self, scope, using).that_differ(to_write=to_write)

    def population(self, scope: Scope, using: str) -> Statement:
        return Pairs(self, scope, using).counted()

    def total(self, checked: int, counts: Mapping[str, int]) -> int:
        # The left rows are cheap to count; of those that are only on the right every one has been found.
        return checked if self.chooses else checked + counts.get(ONLY_RIGHT, 0)

    def counts(self) -> dict[str, Statement]:
        return {
            found: compose("v.evidence__found = {found}", found=Statement(f"'{found}'"))
            for found in (MODIFIED, ONLY_LEFT, ONLY_RIGHT)
        }

    def told(self, finding: Finding) -> Finding:
        if finding.evidence["found"] != MODIFIED:
            return finding
        differing = finding.evidence["fields"].split(", ")
        actual = {field: held for field, held in finding.actual.items() if field in differing}
        return Finding(finding.key, actual, {field: finding.expected[field] for field in actual}, finding.evidence)

    def restrict(self, queryset: QuerySet[Any, Any], scope: Scope) -> QuerySet[Any, Any]:
        return scope.restrict(queryset, *self.keys_of(queryset.model))

    def keys_of(self, model: type[Model]) -> list[str]:
        """The fields of ``on`` as a table has them."""
        return list(self.on if model._meta.db_table == self.model._meta.db_table else self.on.values())

    def roots(self) -> tuple[type[Model], ...]:
        return (self.model, self.other)

    def keys_of_rows(self, source: Statement, root: type[Model] | None = None) -> Statement:
        root = root or self.model
        columns = [
            compose("r.{column} AS {key}", column=name(str(root._meta.get_field(held).column)), key=name(key))  # type: ignore[union-attr]
            for key, held in zip(self.on, self.keys_of(root), strict=True)
        ]
        return compose("SELECT {columns} FROM ({source}) AS r", columns=joined(", ", columns), source=source)

    def paths(self) -> list[Path]:
        left = [resolve(self.model, self._stored(self.model, field)) for field in self.mapped]
        return [*left, *(resolve(self.other, self._stored(self.other, field)) for field in self.mapped.values())]

    def expressions(self) -> list[Any]:
        return [self.where, *self.nulls.values()]

    def reads(self) -> set[type[Model]]:
        return super().reads() | {self.other}

    def problems(self) -> Iterable[WrongDeclaration]:
        return declaration_problems(self)

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        return mirror_problems(self)

    # The right side

    def where_of(self, model: type[Model]) -> Any:
        """The condition of ``where`` over one of the tables."""
        return self.where if model is self.model else rewritten(self.where, self.on_right)

    def on_right(self, lookup: str) -> str:
        """A lookup over the left table, over the right one."""
        first, *rest = lookup.split("__")
        return "__".join([self.mapped[first], *rest])

    def _stored(self, model: type[Model], field: str) -> str:
        """The name of the stored value, so that a relation is not followed."""
        return str(getattr(model._meta.get_field(field), "attname", field))


def _mapping(names: Names) -> dict[str, str]:
    return dict(names) if isinstance(names, Mapping) else {field: field for field in names}
