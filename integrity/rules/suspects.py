"""Suspects: rows that would repeat if an id that changes were replaced by the natural key of what it refers to.

Where each import gives a team a new id, two rows about one team have different keys, and no constraint sees that they
say the same. Whether they do is for a person to decide: the rows that the ids lead to come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import F, Q

from integrity.exceptions import WrongDeclaration
from integrity.expressions import AnyListed, array_type, has_numbers, name_of
from integrity.paths import Path, resolve
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name, names, value

if TYPE_CHECKING:
    from integrity.rules.unique import Unique


def suspected(rule: Unique, scope: Scope, using: str, limit: int) -> Statement:
    """A SELECT of what rows of several keys have in common, the first ``limit`` with the exact number of all.

    Columns: ``told__<name>`` for each part of the key, an unstable one told by its natural key, ``rows``, and
    ``ids__<name>``, the different values of each unstable one.
    """
    told = _told(rule)
    several = (compose("count(DISTINCT r.{id}) > 1", id=name(f"id_{part}")) for part in rule.suspects)
    ids = (compose("array_agg(DISTINCT r.{i}) AS {i}", i=name(f"id_{part}")) for part in rule.suspects)
    selected = [compose("g.{c} AS {told}", c=name(f"told_{i}"), told=name(f"told__{n}")) for i, n in enumerate(told)]
    selected += [compose("g.{c} AS {ids}", c=name(f"id_{n}"), ids=name(f"ids__{n}")) for n in rule.suspects]
    return compose(
        "WITH few AS MATERIALIZED ({few}) SELECT count(*) OVER () AS suspects, {selected}, g.rows FROM ("
        "SELECT {told}, {ids}, sum(few.rows)::bigint AS rows FROM ({rows}) AS r JOIN few USING (integrity_pk)"
        " GROUP BY {told} HAVING {several}) AS g ORDER BY {order} LIMIT {limit}",
        few=_few(rule, scope, using),
        selected=joined(", ", selected),
        told=names((f"told_{i}" for i in range(len(told))), of="r"),
        ids=joined(", ", ids),
        rows=from_queryset(_resolved(rule, told, scope, using), using),
        several=joined(" OR ", several),
        order=names((f"told_{i}" for i in range(len(told))), of="g"),
        limit=value(limit),
    )


def _few(rule: Unique, scope: Scope, using: str) -> Statement:
    """One row of each key that has all but the unstable parts in common with another key, and how many rows have it.

    What the ids lead to is looked up for these alone.
    """
    rows = from_queryset(rule.rows(scope, using).values(integrity_pk=F("pk"), **rule.parts()), using)
    type_ = array_type(rule.model._meta.pk, connections[using]).removesuffix("[]")
    stable = [part for label, part in zip(rule.labels, rule.parts(), strict=True) if label not in rule.suspects]
    return compose(
        "SELECT integrity_pk, rows FROM ("
        "SELECT {first} AS integrity_pk, count(*) AS rows, count(*) OVER ({same}) AS keys"
        " FROM ({rows}) AS t GROUP BY {parts}) AS k WHERE keys > 1",
        first=Statement("min(integrity_pk)" if has_numbers(rule.model) else f"min(integrity_pk::text)::{type_}"),
        same=compose("PARTITION BY {stable}", stable=names(stable)) if stable else Statement(""),
        rows=rows,
        parts=names(rule.parts()),
    )


def _told(rule: Unique) -> dict[str, Any]:
    """The parts of the key by name, each unstable one replaced by the parts of its natural key."""
    told: dict[str, Any] = {}
    for label, part in zip(rule.labels, rule.by, strict=True):
        natural = rule.suspects.get(label)
        told |= {label: part} if natural is None else {lookup: F(lookup) for lookup in natural}
    return told


def _resolved(rule: Unique, told: dict[str, Any], scope: Scope, using: str) -> Any:
    """Those rows with what their ids lead to; one that leads nowhere has nothing in common with others."""
    columns = {f"told_{i}": part for i, part in enumerate(told.values())}
    columns |= {f"id_{part}": F(part) for part in rule.suspects}
    leads = Q()
    for natural in rule.suspects.values():
        leads &= Q(*((f"{lookup}__isnull", False) for lookup in natural), _connector=Q.OR)
    few = AnyListed(Statement("SELECT integrity_pk FROM few"))
    return rule.rows(scope, using).filter(leads, few).values(integrity_pk=F("pk"), **columns)


def suspect_paths(rule: Unique) -> list[Path]:
    """The way to each part of a natural key."""
    return [resolve(rule.model, lookup) for natural in rule.suspects.values() for lookup in natural]


def suspect_problems(rule: Unique) -> Iterable[WrongDeclaration]:
    """What is wrong with the declaration of suspects."""
    if rule.suspects and len(rule.model._meta.pk_fields) > 1:
        yield WrongDeclaration("suspects= needs a primary key of one column", "Leave suspects= out.")
        return
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
