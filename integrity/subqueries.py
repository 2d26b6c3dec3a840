"""The subqueries that a rule's table is joined to: aggregates by key, last rows, and querysets of (key, value)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Aggregate, F, Field, Index, Model, Q, QuerySet, TextField
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from integrity.exceptions import WrongDeclaration
from integrity.expressions import Latest, PerKey, name_of
from integrity.joins import KEY, Join, many_path
from integrity.keys import columns_of
from integrity.paths import Hop, resolve, rewritten
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name

if TYPE_CHECKING:
    from integrity.compiler import Outer


def common_filter(model: type[Model], node: Aggregate) -> Q | None:
    """The filter of an aggregate as seen from its rows."""
    condition = _filter_of(node)
    path = many_path(model, node)
    rooted = _Rooted(model, Join("", path), Scope(), DEFAULT_DB_ALIAS)
    return None if condition is None else rooted.moved(condition)


def grouped(model: type[Model], nodes: Sequence[Any], using: str) -> Statement:
    """``SELECT key, aggregates GROUP BY key`` over the related rows of aggregates on one path; values are v0, v1 ..."""
    join = Join("j", many_path(model, nodes[0]), list(nodes))
    return from_queryset(_Grouped(model, join, Scope(), using).queryset, using)


def subquery(model: type[Model], join: Join, scope: Scope, using: str) -> _Grouped | _PerKey | _Last:
    """What answers the nodes of a join."""
    if join.path is None:
        return _PerKey(model, join.nodes[0], using)
    if isinstance(join.nodes[0], Latest):
        return _Last(model, join, scope, using)
    return _Grouped(model, join, scope, using)


class _Rooted:
    """A subquery that starts at the first table with several rows, and lookups as seen from there."""

    def __init__(self, model: type[Model], join: Join, scope: Scope, using: str) -> None:
        assert join.path is not None and join.path.first_many is not None
        self.model, self.using, self.scope = model, using, scope
        self.first = join.path.first_many
        self.hops = join.path.hops
        self.hop: Hop = self.hops[self.first]
        self.prefix = [hop.name for hop in self.hops[: self.first]]

    def lookup(self, lookup: str) -> str:
        """A lookup of the rule's model as a lookup of the table that the subquery starts at."""
        path = resolve(self.model, lookup)
        if path.many:
            inner = [hop.name for hop in path.hops[self.first + 1 :]]
            return LOOKUP_SEP.join([*inner, *path.rest])
        if self.prefix or self.hop.generic:
            raise WrongDeclaration(
                f"{lookup!r} of {self.model._meta.label} cannot be read inside an aggregate"
                f" over {self.hop.model._meta.label}",
                hint="Compare it outside the aggregate.",
            )
        return LOOKUP_SEP.join([self.hop.field.name, lookup])

    def moved(self, node: Any) -> Any:
        return rewritten(node, self.lookup)

    def rows(self, *, narrowed: bool = True) -> QuerySet[Any, Any]:
        """The rows to aggregate, narrowed to the scope by the foreign key."""
        queryset = self.hop.model._base_manager.using(self.using).order_by()
        if self.hop.generic:
            root = self.hop.source._meta.concrete_model or self.hop.source
            label = {"app_label": root._meta.app_label, "model": root._meta.model_name}
            content_type = self.hop.field.content_type_field_name
            queryset = queryset.filter(**{f"{content_type}__{part}": value for part, value in label.items()})
        if not (narrowed and self.scope.narrow):
            return queryset
        if self.prefix or self.hop.generic:
            return queryset.filter(**{f"{self.hop.column}__in": self._targets_in_scope()})
        return self.scope.restrict(queryset, *(f"{self.hop.field.name}__{key.name}" for key in columns_of(self.model)))

    def _targets_in_scope(self) -> QuerySet[Any, Any]:
        """What the rows in scope are joined by, where that is not the key itself."""
        target: Any = F(LOOKUP_SEP.join([*self.prefix, self.hop.target]))
        if self.hop.generic and self._kept_as_text():
            target = Cast(target, TextField())
        roots = self.scope.restrict_root(self.model._base_manager.using(self.using))
        targets: QuerySet[Any, Any] = roots.annotate(integrity_target=target).values("integrity_target")
        return targets

    def condition(self, join: Join, outer: Outer) -> Statement:
        """``subquery.key = row.column``; a generic relation may keep the key as text."""
        target = LOOKUP_SEP.join([*self.prefix, self.hop.target])
        right = outer.expression(F(target))
        if self.hop.generic and self._kept_as_text():
            # A uuid prints as Django keeps it.
            right = compose("({key})::text", key=right)
        return compose("{key} = {right}", key=name(join.alias, KEY), right=right)

    def _kept_as_text(self) -> bool:
        kept = self.hop.model._meta.get_field(self.hop.column)
        return kept.get_internal_type() in {"CharField", "TextField"}


class _Grouped(_Rooted):
    """``SELECT key, aggregates FROM many GROUP BY key``."""

    def __init__(self, model: type[Model], join: Join, scope: Scope, using: str) -> None:
        super().__init__(model, join, scope, using)
        filters = [_filter_of(node) for node in join.nodes]
        common = filters[0] if all(f == filters[0] for f in filters) else None
        rows = self.rows()
        if common is not None:
            # A filter that all share prunes rows before they are grouped.
            rows = rows.filter(self.moved(common))
        self.queryset = rows.values(**{KEY: F(self.hop.column)}).annotate(
            **{join.column(node): self.moved(_bare(node, without_filter=common is not None)) for node in join.nodes}
        )

    def field(self, join: Join, node: Any) -> Field[Any, Any]:
        return annotated(self.queryset, join.column(node))

    def join(self, join: Join, outer: Outer) -> Statement:
        return compose(
            "LEFT JOIN ({rows}) AS {alias} ON {condition}",
            rows=from_queryset(self.queryset, self.using),
            alias=name(join.alias),
            condition=self.condition(join, outer),
        )


def annotated(queryset: QuerySet[Any, Any], annotation: str) -> Field[Any, Any]:
    """The output field of an annotation."""
    field: Field[Any, Any] = queryset.query.annotations[annotation].output_field
    return field


def _filter_of(node: Aggregate) -> Q | None:
    condition: Any = node.filter
    if condition is not None and not isinstance(condition, Q):
        condition = condition.get_source_expressions()[0]
    return cast("Q | None", condition)


def _bare(node: Aggregate, *, without_filter: bool) -> Any:
    clone: Any = node.copy()
    clone.default = None
    if without_filter:
        clone.filter = None
    return clone


class _Last(_Rooted):
    """The last row of each key: one index probe a key where an index or few keys allow it, else one sort of all."""

    def __init__(self, model: type[Model], join: Join, scope: Scope, using: str) -> None:
        super().__init__(model, join, scope, using)
        latest: Latest = join.nodes[0]
        self.by = [self.lookup(name_of(by)) for by in latest.by]
        self.order = [_descending(self.hop.model, by) for by in (*self.by, "pk")]
        self.probe = not self.hop.generic and (
            scope.keys is not None or scope.variable or _indexed(self.hop.model, self.hop.field.name, self.by)
        )
        # A probe is of one key; the whole array of keys with each would cost more than the probe.
        rows = self.rows(narrowed=not self.probe)
        if latest.filter is not None:
            rows = rows.filter(self.moved(latest.filter))
        self.values = {join.column(node): F(self.lookup(name_of(node.value))) for node in join.nodes}
        self.queryset = rows.annotate(**self.values)

    def field(self, join: Join, node: Any) -> Field[Any, Any]:
        return annotated(self.queryset, join.column(node))

    def join(self, join: Join, outer: Outer) -> Statement:
        return self._probe(join, outer) if self.probe else self._sort(join, outer)

    def _probe(self, join: Join, outer: Outer) -> Statement:
        key = outer.expression(F(LOOKUP_SEP.join([*self.prefix, self.hop.target])))
        rows = self.queryset.order_by(*self.order).values(*self.values)
        # The table may be the rule's own: its alias must not hide the outer one.
        rows.query.bump_prefix(outer.query)
        inner = RawSQL(key.text, key.params)
        rows = rows.filter(**{self.hop.column: inner})[:1]
        return compose(
            "LEFT JOIN LATERAL ({rows}) AS {alias} ON true",
            rows=from_queryset(rows, self.using),
            alias=name(join.alias),
        )

    def _sort(self, join: Join, outer: Outer) -> Statement:
        rows = (
            self.queryset.annotate(**{KEY: F(self.hop.column)})
            .order_by(KEY, *self.order)
            .distinct(self.hop.column)
            .values(KEY, *self.values)
        )
        return compose(
            "LEFT JOIN ({rows}) AS {alias} ON {condition}",
            rows=from_queryset(rows, self.using),
            alias=name(join.alias),
            condition=self.condition(join, outer),
        )


def _descending(model: type[Model], lookup: str) -> Any:
    """Rows with NULL last. Said only where there can be any: an index on the column has its NULLs first."""
    path = resolve(model, lookup)
    if path.hops or len(path.rest) > 1 or path.field.null:
        return F(lookup).desc(nulls_last=True)
    return F(lookup).desc()


def _indexed(model: type[Model], key: str, by: Sequence[str]) -> bool:
    """True when a declared index starts with the key and the first order: probing beats sorting 4 to 1 then."""
    leads = [[f.removeprefix("-") for f in index.fields] for index in model._meta.indexes if isinstance(index, Index)]
    leads += [list(together) for together in model._meta.unique_together]
    leads += [list(constraint.fields) for constraint in model._meta.total_unique_constraints]
    return any(lead[:2] == [key, *by[:1]] for lead in leads)


class _PerKey:
    """The declared queryset of (key, value)."""

    def __init__(self, model: type[Model], node: PerKey, using: str) -> None:
        self.model, self.using = model, using
        self.queryset = node.rows().using(using)
        keys = columns_of(model)
        self.columns = ["key"] if len(keys) == 1 else [key.name for key in keys]
        query = self.queryset.query
        given = {*query.values_select, *query.annotation_select}
        if query.default_cols:
            given |= {field.column for field in self.queryset.model._meta.concrete_fields}
        if not {*self.columns, "value"} <= given:
            raise WrongDeclaration(
                f"{node!r} gives {', '.join(sorted(given))}",
                hint=f"Its rows must have the fields {', '.join(self.columns)} and value.",
            )

    def field(self, join: Join, node: Any) -> Field[Any, Any]:
        query = self.queryset.query
        found = query.annotations.get("value")
        return found.output_field if found is not None else self.queryset.model._meta.get_field("value")

    def join(self, join: Join, outer: Outer) -> Statement:
        on = [
            compose("{left} = {right}", left=name(join.alias, column), right=outer.expression(F(key.name)))
            for column, key in zip(self.columns, columns_of(self.model), strict=True)
        ]
        rows = compose(
            "SELECT {columns}, value AS v0 FROM ({rows}) AS r",
            columns=joined(", ", (name(column) for column in self.columns)),
            rows=from_queryset(self.queryset, self.using),
        )
        return compose(
            "LEFT JOIN ({rows}) AS {alias} ON {on}", rows=rows, alias=name(join.alias), on=joined(" AND ", on)
        )
