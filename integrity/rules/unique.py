"""Unique: no two rows say the same, where NULL says the same as NULL."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, F, Field, Max, Min, Model, QuerySet

from integrity.exceptions import WrongDeclaration
from integrity.expressions import array_type, has_numbers, name_of
from integrity.paths import Path, lookups, resolve
from integrity.repairs.keep_one import KeepOne
from integrity.rules.base import Rule
from integrity.rules.own_row import own_row_problems
from integrity.rules.suspects import suspect_paths, suspect_problems, suspected
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name


class Unique(Rule):
    """``Unique(PracticeTime, by=["team", "day_of_week", "start_time"], keep="created_at", ...)``.

    by: columns, or expressions such as ``Lower("name")``, that may occur once together. keep: which row of several is
    the true one, as in order_by; the lowest primary key decides what is left equal. With ``keep`` the repair
    ``keep_one`` is available; without it a person decides. suspects: column of ``by`` that holds an id which changes ->
    lookups of the natural key behind it; rows that would repeat by that are reported and counted apart, never repaired.

    A violation is a key that occurs more than once: ``actual`` counts its rows. One GROUP BY finds them; anything that
    sorts equal rows costs 30 to 150 times as much on heavily repeated keys.
    """

    kind = "unique"
    keys_may_be_null: ClassVar[bool] = True
    needs_other_rows: ClassVar[bool] = False

    def __init__(
        self,
        model: type[Model],
        *,
        by: Sequence[Any],
        keep: Any = None,
        suspects: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.suspects = dict(suspects or {})
        self.by = [F(part) if isinstance(part, str) else part for part in by]
        self.keep = keep
        if keep is not None:
            # What is declared comes first: it knows more of the rows than this does.
            self.repairs.setdefault("keep_one", (KeepOne(),))

    @cached_property
    def key_fields(self) -> list[Field[Any, Any]]:
        """The fields of ``by``; an expression has the type of its value and a name of its own."""
        return [_named(field, label) for label, field in zip(self.labels, self._fields(), strict=True)]

    @property
    def labels(self) -> list[str]:
        """Names of the parts of a key: the column's, or ``by_2`` for an expression."""
        return [name_of(part) if isinstance(part, F) else f"by_{i}" for i, part in enumerate(self.by)]

    def rows(self, scope: Scope, using: str) -> QuerySet[Any, Any]:
        """The rows that the rule speaks about, in scope."""
        queryset = self.model._base_manager.using(using).order_by()
        return self.restrict(queryset.filter(self.where) if self.where else queryset, scope)

    def restrict(self, queryset: QuerySet[Any, Any], scope: Scope) -> QuerySet[Any, Any]:
        expressions = {f"integrity_{i}": part for i, part in enumerate(self.by) if not isinstance(part, F)}
        names = [name_of(part) if isinstance(part, F) else f"integrity_{i}" for i, part in enumerate(self.by)]
        return scope.restrict_groups(queryset.alias(**expressions) if expressions else queryset, names)

    def violations(self, scope: Scope, using: str) -> Statement:
        rows = self.rows(scope, using).values(**self.parts())
        rows = rows.annotate(integrity_rows=Count("*")).filter(integrity_rows__gt=1)
        return compose(
            "SELECT {keys}, g.integrity_rows AS actual__rows, 1 AS expected__rows FROM ({rows}) AS g",
            keys=self._keys("g"),
            rows=from_queryset(rows, using),
        )

    def keys_of_rows(self, source: Statement, root: type[Model] | None = None) -> Statement:
        opts = self.model._meta
        parts = self.parts()
        selected = self.model._base_manager.using(DEFAULT_DB_ALIAS).order_by().values(**parts)
        # The source takes the name of the table, so that the ORM's expressions are computed over its rows.
        keys = (
            compose("k.{part} AS {key}", part=name(part), key=name(label))
            for part, label in zip(parts, self.labels, strict=True)
        )
        return compose(
            "SELECT {keys} FROM (WITH {table} AS ({source}) {rows}) AS k",
            keys=joined(", ", keys),
            table=name(opts.db_table),
            source=source,
            rows=from_queryset(selected, DEFAULT_DB_ALIAS),
        )

    def parts(self) -> dict[str, Any]:
        """Names that no column has -> what a key is made of."""
        return {f"integrity_by_{i}": part for i, part in enumerate(self.by)}

    def listed(self, scope: Scope, using: str) -> Statement:
        """A SELECT of the keys that occur more than once: ``key__<part>``, with how many ``rows`` have each and, where
        primary keys are numbers, the ``first`` and the ``last`` of them.
        """
        pk = self.model._meta.pk
        counted: dict[str, Any] = {"integrity_rows": Count("*")}
        none = Statement(f"NULL::{array_type(pk, connections[using]).removesuffix('[]')}")
        ends = none, none
        if has_numbers(self.model):
            counted |= {"integrity_first": Min("pk"), "integrity_last": Max("pk")}
            ends = Statement("g.integrity_first"), Statement("g.integrity_last")
        rows = self.rows(scope, using).values(**self.parts()).annotate(**counted).filter(integrity_rows__gt=1)
        return compose(
            "SELECT {keys}, g.integrity_rows AS rows, {first} AS first, {last} AS last FROM ({rows}) AS g",
            keys=self._keys("g"),
            first=ends[0],
            last=ends[1],
            rows=from_queryset(rows, using),
        )

    def bearers(self, scope: Scope, using: str) -> Statement:
        """A SELECT of the rows in scope: ``key__<part>`` and ``pk``."""
        rows = self.rows(scope, using).values(integrity_pk=F("pk"), **self.parts())
        return compose(
            "SELECT {keys}, r.integrity_pk AS pk FROM ({rows}) AS r",
            keys=self._keys("r"),
            rows=from_queryset(rows, using),
        )

    def _keys(self, of: str) -> Statement:
        keys = (
            compose("{part} AS {key}", part=name(of, part), key=name(f"key__{label}"))
            for part, label in zip(self.parts(), self.labels, strict=True)
        )
        return joined(", ", keys)

    def population(self, scope: Scope, using: str) -> Statement:
        counted = self.rows(scope, using).values_list("pk")
        return compose("SELECT count(*) AS checked FROM ({rows}) AS r", rows=from_queryset(counted, using))

    def paths(self) -> list[Path]:
        return [resolve(self.model, lookup) for part in self.by for lookup in lookups(part)]

    def expressions(self) -> list[Any]:
        return [self.where, *self.by]

    def shown(self) -> list[Path]:
        return suspect_paths(self)

    def suspected(self, scope: Scope, using: str, limit: int) -> Statement | None:
        return suspected(self, scope, using, limit) if self.suspects and not scope.narrow else None

    def problems(self) -> Iterable[WrongDeclaration]:
        if not self.by:
            yield WrongDeclaration("by= names no column", "Say which columns may occur once together.")
            return
        for path in self.paths():
            if path.hops and path.rest != ("pk",):
                yield WrongDeclaration(
                    f"{path.lookup!r} is a column of another table", "Rows are the same by their own columns."
                )
        try:
            self.violations(Scope(), DEFAULT_DB_ALIAS)
            yield from suspect_problems(self)
        except (FieldError, TypeError) as error:
            yield WrongDeclaration(f"by= cannot be compiled: {error}")

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        yield from own_row_problems(self.model, self.where)
        for part in self.by:
            yield from own_row_problems(self.model, part)

    def _fields(self) -> list[Field[Any, Any]]:
        parts = self.parts()
        annotations = self.model._base_manager.annotate(**parts).query.annotations
        return [
            getattr(annotations[part].output_field, "target_field", annotations[part].output_field) for part in parts
        ]


def _named(field: Field[Any, Any], label: str) -> Field[Any, Any]:
    named = copy.copy(field)
    named.name = named.column = named.attname = label
    return named
