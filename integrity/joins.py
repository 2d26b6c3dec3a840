"""Which aggregates of an expression are answered by which joined subquery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Aggregate, Model, Q

from integrity.exceptions import WrongDeclaration
from integrity.expressions import Latest, PerKey
from integrity.paths import Path, lookups, resolve

KEY = "integrity_key"


@dataclass
class Join:
    """One subquery joined to the rule's table, and the values that it answers."""

    alias: str
    path: Path | None
    """From the rule's table; None for a queryset of (key, value)."""
    nodes: list[Any] = field(default_factory=list)

    def column(self, node: Any) -> str:
        return f"v{self.nodes.index(node)}"


class Joins:
    """Collects the aggregates of several expressions and shares one join among those on the same path."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.by_path: dict[Any, Join] = {}

    def add(self, node: Any) -> Join:
        path = None if isinstance(node, PerKey) else many_path(self.model, node)
        join = self.by_path.setdefault(self._share(node, path), Join(f"j{len(self.by_path)}", path))
        if node not in join.nodes:
            join.nodes.append(node)
        return join

    @staticmethod
    def _share(node: Any, path: Path | None) -> Any:
        if path is None:
            return node
        hops = tuple((hop.name, hop.model) for hop in path.many)
        return (hops, node.window) if isinstance(node, Latest) else hops


def is_join(node: Any) -> bool:
    """True for the expressions that are answered by a joined subquery."""
    return isinstance(node, Aggregate | Latest | PerKey)


def nodes_of(expression: Any) -> list[Any]:
    """The outermost aggregates of an expression, in order."""
    if is_join(expression):
        return [expression]
    if isinstance(expression, Q):
        return [
            found
            for child in expression.children
            for found in nodes_of(child[1] if isinstance(child, tuple) else child)
        ]
    if hasattr(expression, "get_source_expressions") and not hasattr(expression, "query"):
        return [found for source in expression.get_source_expressions() for found in nodes_of(source)]
    return []


def many_path(model: type[Model], node: Aggregate | Latest) -> Path:
    """The to-many path that all lookups of an aggregate lie on.

    Raises WrongDeclaration when there is none, or when two of them lead to different tables.
    """
    paths = [path for lookup in lookups(node) if (path := resolve(model, lookup)).many]
    if not paths:
        raise WrongDeclaration(
            f"{node!r} aggregates no related rows of {model._meta.label}",
            hint="Start its lookup with a relation to many rows, for example the related name of a foreign key.",
        )
    longest = max(paths, key=lambda path: len(path.many))
    for path in paths:
        if path.many != longest.many[: len(path.many)]:
            raise WrongDeclaration(
                f"{node!r} aggregates over two relations at once: {path.lookup} and {longest.lookup}",
                hint="Rows would be multiplied. Write one aggregate for each relation and combine their values.",
            )
    return longest
