"""Suspects: rows that would repeat if an id that changes were replaced by the natural key of what it refers to.

Where each import gives a team a new id, two rows about one team have different keys, and no constraint sees that they
say the same. Whether they do is for a person to decide: the rows that the ids lead to come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, F, Q

from integrity.exceptions import WrongDeclaration
from integrity.expressions import name_of
from integrity.paths import Path, resolve
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.unique import Unique


def suspected(rule: Unique, scope: Scope, using: str, limit: int) -> Statement:
    """A SELECT of what rows of several keys have in common, the first ``limit`` with the exact number of all.

    Columns: ``told__<name>`` for each part of the key, an unstable one told by its natural key, ``rows``, and
    ``ids__<name>``, the different values of each unstable one.
    """
    told = _told(rule)
    groups = _groups(rule, told, scope, using)
    selected = [compose("g.{c} AS {told}", c=name(f"told_{i}"), told=name(f"told__{n}")) for i, n in enumerate(told)]
    selected += [compose("g.{c} AS {ids}", c=name(f"ids_{n}"), ids=name(f"ids__{n}")) for n in rule.suspects]
    return compose(
        "SELECT count(*) OVER () AS suspects, {selected}, g.integrity_rows AS rows FROM ({groups}) AS g"
        " ORDER BY {order} LIMIT {limit}",
        selected=joined(", ", selected),
        groups=from_queryset(groups, using),
        order=joined(", ", (name("g", f"told_{i}") for i in range(len(told)))),
        limit=value(limit),
    )


def _told(rule: Unique) -> dict[str, Any]:
    """The parts of the key by name, each unstable one replaced by the parts of its natural key."""
    told: dict[str, Any] = {}
    for label, part in zip(rule.labels, rule.by, strict=True):
        natural = rule.suspects.get(label)
        told |= {label: part} if natural is None else {lookup: F(lookup) for lookup in natural}
    return told


def _groups(rule: Unique, told: dict[str, Any], scope: Scope, using: str) -> Any:
    parts = {f"told_{i}": part for i, part in enumerate(told.values())}
    different = {f"ids_{part}": ArrayAgg(part, distinct=True, default=None) for part in rule.suspects}
    counted = {f"different_{part}": Count(part, distinct=True) for part in rule.suspects}
    several, resolved = Q(), Q()
    for part, natural in rule.suspects.items():
        several |= Q(**{f"different_{part}__gt": 1})
        # What leads nowhere has no natural key, and nothing in common with others that lead nowhere.
        resolved &= Q(*((f"{lookup}__isnull", False) for lookup in natural), _connector=Q.OR)
    rows = rule.rows(scope, using).filter(resolved).values(**parts)
    return rows.annotate(integrity_rows=Count("*"), **different, **counted).filter(several)


def suspect_paths(rule: Unique) -> list[Path]:
    """The way to each part of a natural key."""
    return [resolve(rule.model, lookup) for natural in rule.suspects.values() for lookup in natural]


def suspect_problems(rule: Unique) -> Iterable[WrongDeclaration]:
    """What is wrong with the declaration of suspects."""
    plain = {name_of(part) for part in rule.by if isinstance(part, F)}
    for part, natural in rule.suspects.items():
        if part not in plain:
            yield WrongDeclaration(
                f"suspects= replaces {part!r}, which by= does not name", f"One of: {', '.join(plain)}."
            )
        if not natural:
            yield WrongDeclaration(f"suspects= replaces {part!r} by nothing", "Name the columns of its natural key.")
    for path in suspect_paths(rule):
        if path.many or not path.hops:
            yield WrongDeclaration(
                f"suspects= tells an id by {path.lookup!r}, which is no column of one row that it refers to",
                "Follow the reference: team__club.",
            )
