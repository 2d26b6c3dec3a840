"""Which keys a run looks at: one restriction that serves ``--key``, batches and resumed runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from integrity.expressions import AnyListed, AnyOf, AnyOfVariable, array_type, prepared
from integrity.keys import Key, columns_of
from integrity.statement import Statement

Settle = dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """The whole table unless narrowed.

    keys: only these. after: only keys beyond this one, in the order of the key. upto: none beyond this one. without:
    not these (accepted exceptions). settle: lookups with the least age that a row must have, for repairs. variable: the
    array variable of a trigger function that holds the keys. listed: a SELECT of the primary keys of the rows that bear
    the keys, where they are known; it stands for the keys.
    """

    keys: tuple[Key, ...] | None = None
    after: Key | None = None
    upto: Key | None = None
    without: tuple[Key, ...] = ()
    settle: Settle = field(default_factory=dict)
    variable: str = ""
    listed: Statement | None = None

    @classmethod
    def of(cls, keys: Sequence[Key] | None) -> Scope:
        """These keys, or everything for None."""
        return cls(keys=None if keys is None else tuple(keys))

    @property
    def narrow(self) -> bool:
        """True when pushing the keys down to the related tables pays."""
        narrowed = (self.keys, self.after, self.upto, self.listed)
        return bool(self.variable) or any(part is not None for part in narrowed)

    def beyond(self, key: Key | None) -> Scope:
        """The same scope from behind a key on."""
        return replace(self, after=key)

    def restrict_root(self, queryset: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Rows of the rule's own table that are in scope."""
        model = queryset.model
        pk = [column.name for column in columns_of(model)]
        queryset = self.restrict(queryset, *pk)
        queryset = self.leave_out(queryset, pk)
        for lookup, age in self.settle.items():
            queryset = queryset.filter(Q(**{f"{lookup}__isnull": True}) | Q(**{f"{lookup}__lt": Now() - age}))
        return queryset

    def leave_out(self, queryset: QuerySet[Any, Any], lookups: Sequence[str]) -> QuerySet[Any, Any]:
        """Rows whose ``lookups``, never NULL, are not those of an accepted exception."""
        return queryset.exclude(_in(lookups, self.without)) if self.without else queryset

    def restrict_groups(self, queryset: QuerySet[Any, Any], lookups: Sequence[str]) -> QuerySet[Any, Any]:
        """Rows whose ``lookups``, which may be NULL, make up a key in scope."""
        if self.listed is not None:
            queryset = queryset.filter(AnyListed(self.listed))
        elif self.keys is not None:
            queryset = queryset.filter(_in_with_nulls(lookups, self.keys))
        if self.after is not None:
            queryset = queryset.filter(_beyond(lookups, self.after))
        if self.upto is not None:
            queryset = queryset.filter(_up_to(lookups, self.upto))
        if self.without:
            queryset = queryset.exclude(_in_with_nulls(lookups, self.without))
        return queryset

    def restrict(self, queryset: QuerySet[Any, Any], *lookups: str) -> QuerySet[Any, Any]:
        """Rows of any table whose ``lookups`` hold the key."""
        if self.variable:
            queryset = queryset.filter(AnyOfVariable(lookups[0], self.variable))
        if self.keys is not None:
            queryset = queryset.filter(_in(lookups, self.keys))
        if self.after is not None:
            queryset = queryset.filter(_beyond(lookups, self.after))
        if self.upto is not None:
            queryset = queryset.filter(_up_to(lookups, self.upto))
        return queryset


def _in(lookups: Sequence[str], keys: Sequence[Key]) -> Any:
    if len(lookups) == 1:
        return AnyOf(lookups[0], [key[0] for key in keys])
    return _RowIn(lookups, list(zip(*keys, strict=True)) or [()] * len(lookups))


class _RowIn(AnyOf):
    """``(a, b) IN (SELECT * FROM unnest(arrays))``: a composite key, typed, never concatenated text."""

    def __init__(self, lookups: Sequence[str], arrays: Sequence[Sequence[Any]]) -> None:
        super().__init__(lookups[0], [])
        self.set_source_expressions([F(lookup) for lookup in lookups])
        self.arrays = [list(array) for array in arrays]

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> Any:  # type: ignore[override]
        texts, params, arrays = [], [], []
        for column in self.get_source_expressions():
            text, column_params = compiler.compile(column)
            texts.append(text)
            params.extend(column_params)
        for column, array in zip(self.get_source_expressions(), self.arrays, strict=True):
            arrays.append(f"%s::{array_type(column.output_field, connection)}")
            params.append(prepared(column.output_field, array, connection))
        return f"({', '.join(texts)}) IN (SELECT * FROM unnest({', '.join(arrays)}))", tuple(params)


def _in_with_nulls(lookups: Sequence[str], keys: Sequence[Key]) -> Any:
    """Keys of which parts may be NULL, where NULL equals NULL: one condition for each set of NULL parts."""
    patterns: dict[tuple[bool, ...], list[Key]] = {}
    for key in keys:
        patterns.setdefault(tuple(part is None for part in key), []).append(key)
    found = Q(pk__in=[])
    for pattern, alike in patterns.items():
        condition = Q(*(Q(**{f"{lookup}__isnull": null}) for lookup, null in zip(lookups, pattern, strict=True)))
        held = [lookup for lookup, null in zip(lookups, pattern, strict=True) if not null]
        if held:
            parts = [tuple(part for part in key if part is not None) for key in alike]
            condition &= Q(_in(held, parts))
        found |= condition
    return found


def _beyond(lookups: Sequence[str], key: Key) -> Q:
    """Row comparison spelled out, NULL after everything: a > x OR (a = x AND b > y)."""
    (first, *others), (part, *rest) = lookups, key
    equal = Q(**{f"{first}__isnull": True}) if part is None else Q(**{first: part})
    beyond = Q(pk__in=[]) if part is None else Q(**{f"{first}__gt": part}) | Q(**{f"{first}__isnull": True})
    return beyond | (equal & _beyond(others, tuple(rest))) if others else beyond


def _up_to(lookups: Sequence[str], key: Key) -> Q:
    """The rest: a < x OR (a = x AND b <= y)."""
    (first, *others), (part, *rest) = lookups, key
    equal = Q(**{f"{first}__isnull": True}) if part is None else Q(**{first: part})
    before = Q(**{f"{first}__isnull": False}) if part is None else Q(**{f"{first}__lt": part})
    return before | (equal & _up_to(others, tuple(rest)) if others else equal)
