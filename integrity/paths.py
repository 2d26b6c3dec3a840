"""Lookup paths such as ``hourly_metrics__distance_km`` as the relations that they follow.

The compiler, the checks and ``touched()`` all ask the same question of a path: which tables lie on it, and in which
direction each relation is crossed. Many-to-many relations count as two hops, by way of their through table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Model, Q
from django.db.models.constants import LOOKUP_SEP
from django.db.models.options import Options

from integrity.exceptions import WrongDeclaration
from integrity.expressions import name_of


@dataclass(frozen=True)
class Hop:
    """One relation crossed on a path, from the table ``source`` to the table ``model``."""

    name: str
    """The lookup name from ``source``."""
    source: type[Model]
    model: type[Model]
    forward: bool
    """True from the table that holds the foreign key; a forward hop reaches one row at most."""
    many: bool
    field: Any
    """The foreign key, the generic relation, or None; on ``source`` when forward, else on ``model``."""

    @property
    def generic(self) -> bool:
        # contenttypes need not be installed, and cannot be imported before apps are loaded.
        return hasattr(self.field, "object_id_field_name")

    @property
    def column(self) -> str:
        """The field of ``model`` that a reverse hop is joined by."""
        return str(self.field.object_id_field_name if self.generic else self.field.attname)

    @property
    def target(self) -> str:
        """The field of ``source`` that a reverse hop's column refers to."""
        if self.generic:
            return "pk"
        return str(self.field.target_field.name)


@dataclass(frozen=True)
class Path:
    """A lookup resolved against a model: its hops, then the field that it ends in and any transform after it."""

    model: type[Model]
    lookup: str
    hops: tuple[Hop, ...]
    field: Any
    rest: tuple[str, ...]
    """Names after the last relation: the final field and its transforms."""

    @cached_property
    def first_many(self) -> int | None:
        """The position of the first hop that is not a forward foreign key."""
        return next((i for i, hop in enumerate(self.hops) if not hop.forward), None)

    @cached_property
    def many(self) -> tuple[Hop, ...]:
        """The hops up to the last that can reach several rows: aggregates on the same of these share one join."""
        last = max((i for i, hop in enumerate(self.hops) if not hop.forward), default=-1)
        return self.hops[: last + 1]

    @property
    def multiplies(self) -> bool:
        """True when following the path can turn one row into several."""
        return any(hop.many for hop in self.hops)


def resolve(model: type[Model], lookup: str) -> Path:
    """Follow a lookup from a model as far as it crosses relations.

    Raises WrongDeclaration naming the part that is not a field, with the names that are.
    """
    names = lookup.split(LOOKUP_SEP)
    hops: list[Hop] = []
    current, field = model, None
    for position, part in enumerate(names):
        try:
            field = current._meta.pk if part == "pk" else current._meta.get_field(part)
        except FieldDoesNotExist:
            if field is not None and field.get_lookup(part) is not None:
                return Path(model, lookup, tuple(hops), field, tuple(names[position:]))
            raise WrongDeclaration(
                f"{current._meta.label} has no field {part!r} (in {lookup!r})",
                hint=f"Fields are: {', '.join(field_names(current._meta))}.",
            ) from None
        if not getattr(field, "is_relation", False) or not getattr(field, "path_infos", None):
            return Path(model, lookup, tuple(hops), field, tuple(names[position:]))
        if getattr(field, "attname", None) == part and field.name != part:
            return Path(model, lookup, tuple(hops), field, tuple(names[position:]))
        step = list(_cross(part, field))
        hops += step
        current = step[-1].model
    return Path(model, lookup, tuple(hops), current._meta.pk, ("pk",))


def _cross(part: str, field: Any) -> Iterator[Hop]:
    infos = field.path_infos
    for position, info in enumerate(infos):
        relation = info.join_field
        yield Hop(
            name=relation.name if position else part,
            source=info.from_opts.model,
            model=info.to_opts.model,
            forward=info.direct,
            many=info.m2m,
            field=relation if info.direct else relation.field,
        )


def field_names(opts: Options[Any]) -> list[str]:
    """Every name that a lookup may start with."""
    return sorted({field.name for field in opts.get_fields() if not field.name.endswith("+")})


def lookups(node: Any) -> Iterator[str]:
    """Every lookup that an unresolved expression or Q reads, subqueries left out."""
    if isinstance(node, F):
        yield name_of(node)
    elif isinstance(node, Q):
        for child in node.children:
            if isinstance(child, tuple):
                yield child[0]
                yield from lookups(child[1])
            else:
                yield from lookups(child)
    elif hasattr(node, "get_source_expressions") and not hasattr(node, "query"):
        for source in node.get_source_expressions():
            yield from lookups(source)


def parts(nodes: Iterable[Any]) -> Iterator[Any]:
    """Every part of unresolved expressions and conditions, themselves included; subqueries are not entered."""
    for node in nodes:
        yield node
        if isinstance(node, Q):
            yield from parts(child[1] if isinstance(child, tuple) else child for child in node.children)
        elif hasattr(node, "get_source_expressions") and not hasattr(node, "query"):
            yield from parts([*node.get_source_expressions(), getattr(node, "filter", None)])


def rewritten(node: Any, lookup: Callable[[str], str], replace: Callable[[Any], Any] = lambda node: None) -> Any:
    """A copy of an unresolved expression or Q with each lookup renamed.

    ``replace`` may answer another node for a whole subexpression, which is then not entered.
    """
    found = replace(node)
    if found is not None:
        return found
    if isinstance(node, F):
        return type(node)(lookup(name_of(node)))
    if isinstance(node, Q):
        return _rewritten_q(node, lookup, replace)
    if hasattr(node, "get_source_expressions") and not hasattr(node, "query"):
        clone = copy.copy(node)
        clone.set_source_expressions(
            [
                source if source is None else rewritten(source, lookup, replace)
                for source in node.get_source_expressions()
            ]
        )
        return clone
    return node


def _rewritten_q(node: Q, lookup: Callable[[str], str], replace: Callable[[Any], Any]) -> Q:
    children = [
        (lookup(child[0]), rewritten(child[1], lookup, replace))
        if isinstance(child, tuple)
        else rewritten(child, lookup, replace)
        for child in node.children
    ]
    return node.create(children=children, connector=node.connector, negated=node.negated)


def concrete(model: type[Model]) -> list[Field[Any, Any]]:
    """The columns of the model's own table, without those of a parent table."""
    return [field for field in model._meta.local_concrete_fields if field.column is not None]
