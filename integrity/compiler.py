"""A rule and a scope become one set-based SELECT.

Aggregate first, join after: each aggregate over a relation becomes a subquery rooted at the first table that holds
several rows, grouped by its foreign key and joined once; aggregates on one path share a subquery. A correlated
subquery would probe once per row, and two joins to many would multiply rows.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import Count, Field, Model, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.sql import Query

from integrity.expressions import Joined
from integrity.joins import Joins, is_join, nodes_of
from integrity.paths import rewritten
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name
from integrity.subqueries import subquery


def select(
    model: type[Model],
    columns: Mapping[str, Any],
    *,
    using: str,
    where: Q | None = None,
    scope: Scope | None = None,
    only: Q | None = None,
) -> Statement:
    """``SELECT columns`` for the rows of a model in scope, aggregates joined.

    columns: output name -> expression over the model. where: a condition over lookups. only: a condition as a CHECK
    would have it, of which the rows that make it false are wanted.
    """
    scope = scope or Scope()
    joins = Joins(model)
    for expression in columns.values():
        for node in nodes_of(expression):
            joins.add(node)
    subqueries = {join.alias: subquery(model, join, scope, using) for join in joins.by_path.values()}
    fields = {
        node: (join.alias, join.column(node), subqueries[join.alias].field(join, node))
        for join in joins.by_path.values()
        for node in join.nodes
    }

    def replace(node: Any) -> Any:
        return _outside_join(node, *fields[node]) if is_join(node) else None

    queryset = scope.restrict_root(model._base_manager.using(using).filter(where or Q()))
    outer = Outer(queryset, using)
    selected = [
        compose("{expression} AS {name}", expression=outer.expression(rewritten(e, str, replace)), name=name(output))
        for output, e in columns.items()
    ]
    attached = [subqueries[join.alias].join(join, outer) for join in joins.by_path.values()]
    conditions = [outer.where()]
    if only is not None:
        conditions.append(compose("NOT ({condition})", condition=check_condition(model, only, using)))
    return compose(
        "SELECT {columns} FROM {source} {joins} WHERE {where}",
        columns=joined(", ", selected),
        source=outer.source(),
        joins=joined(" ", attached),
        where=joined(" AND ", conditions),
    )


def population(model: type[Model], *, using: str, where: Q | None, scope: Scope) -> Statement:
    """``SELECT count(*)`` of the rows that a rule speaks about."""
    outer = Outer(scope.restrict_root(model._base_manager.using(using).filter(where or Q())), using)
    return compose("SELECT count(*) AS checked FROM {source} WHERE {where}", source=outer.source(), where=outer.where())


def check_condition(model: type[Model], condition: Q, using: str, *, qualified: bool = True) -> Statement:
    """A condition over one row as a CHECK constraint has it: no joins, unknown is not false."""
    query = Query(model, alias_cols=qualified)
    query.get_initial_alias()
    return _condition(query.get_compiler(using), query.build_where(condition))


def _condition(compiler: Any, where: Any) -> Statement:
    """A WHERE as SQL, also where the ORM sees that it holds for every row or for none."""
    try:
        text, params = compiler.compile(where)
    except FullResultSet:
        return Statement("true")
    except EmptyResultSet:
        return Statement("false")
    return Statement(text, tuple(params))


class Outer:
    """The rule's own table with the ORM's joins: pieces of a query that has no SELECT list of its own."""

    def __init__(self, queryset: QuerySet[Any, Any], using: str) -> None:
        self.query = queryset.query.chain()
        self.query.get_initial_alias()
        self.compiler = self.query.get_compiler(using)
        self.count = 0

    def expression(self, expression: Any) -> Statement:
        self.count += 1
        annotation = f"integrity_{self.count}"
        if not hasattr(expression, "resolve_expression"):
            expression = Value(expression)
        self.query.add_annotation(expression, annotation)
        text, params = self.compiler.compile(self.query.annotations[annotation])
        return Statement(text, tuple(params))

    def source(self) -> Statement:
        parts, params = self.compiler.get_from_clause()
        return Statement(" ".join(parts), tuple(params))

    def where(self) -> Statement:
        return _condition(self.compiler, self.query.where)


def _outside_join(node: Any, alias: str, column: str, output: Field[Any, Any]) -> Any:
    """The joined value with what no row means: 0 for Sum and Count, else the declared default."""
    value = Joined(alias, column, output)
    empty = node.default
    if empty is None and isinstance(node, Sum | Count):
        empty = datetime.timedelta(0) if output.get_internal_type() == "DurationField" else 0
    if empty is None:
        return value
    if not hasattr(empty, "resolve_expression"):
        empty = Value(empty, output_field=output)
    return Coalesce(value, empty, output_field=output)
