"""KeepOne: of several rows that say the same, one stays; what refers to the others is pointed at it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Model, Window
from django.db.models.functions import FirstValue, RowNumber

from integrity.exceptions import WrongDeclaration
from integrity.keys import pk_columns
from integrity.repairs.base import DELETE, DELETED, Repair, Write
from integrity.repairs.repoint import repoint
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.unique import Unique


class KeepOne(Repair):
    """Delete all rows of a key but the one that ``keep`` of the rule puts first.

    Rows that refer to a deleted one, by foreign key, one-to-one, many-to-many or (type, id), are pointed at the kept
    one; found when it runs, not when it was written. Where the kept row has such a row already, a many-to-many row is
    deleted as a repetition, and anything else protects its key, which is then left and reported.
    """

    verb = "delete all rows but one"

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model]

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        yield from keep_problems(self, rule)

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        return removal(cast("Unique", rule), scope, using, outcome=DELETED)


def keep_problems(repair: Repair, rule: Rule) -> Iterable[WrongDeclaration]:
    """Why a repair cannot tell the row that stays from its repetitions."""
    what = f"is {type(repair).__name__}"
    if rule.kind != "unique":
        yield WrongDeclaration(f"{what}, which only a Unique rule has repetitions for", "Choose another repair.")
        return
    if getattr(rule, "keep", None) is None:
        yield WrongDeclaration(f"{what}, and the rule does not say which row is kept", "Give keep=, as in order_by.")
        return
    try:
        surplus_rows(cast("Unique", rule), Scope(), DEFAULT_DB_ALIAS)
    except (FieldError, TypeError, ValueError) as error:
        yield WrongDeclaration(f"{what}, and keep= cannot be compiled: {error}", "Give keep=, as in order_by.")


def removal(unique: Unique, scope: Scope, using: str, *, outcome: str) -> list[Write]:
    """Writes that point what refers to repetitions at the row that stays, and then delete them."""
    surplus = surplus_rows(unique, scope, using)
    pks = pk_columns(unique.model)
    columns: list[Part] = [
        compose("{op}::text AS op", op=value(DELETE)),
        *(name(f"owner__{label}") for label in unique.labels),
        *(compose("{pk} AS {row}", pk=name(f"gone__{pk}"), row=name(f"row__{pk}")) for pk in pks),
    ]
    delete = compose("SELECT {columns} FROM ({surplus}) AS s", columns=joined(", ", columns), surplus=surplus)
    gone = Write(unique.model, delete, locked=True, cascades=False, outcome=outcome)
    return [*repoint(unique, surplus, using), gone]


def surplus_rows(rule: Unique, scope: Scope, using: str) -> Statement:
    """A SELECT of the rows to delete, ``gone__<pk>``, with the row that stays, ``kept__<pk>``, and ``owner__<key>``."""
    window: dict[str, Any] = {"partition_by": list(rule.by), "order_by": _order(rule)}
    pks = pk_columns(rule.model)
    columns: dict[str, Any] = {f"integrity_owner_{i}": part for i, part in enumerate(rule.by)}
    columns |= {f"integrity_gone_{i}": F(field.name) for i, field in enumerate(rule.model._meta.pk_fields)}
    columns |= {
        f"integrity_kept_{i}": Window(FirstValue(field.name), **window)
        for i, field in enumerate(rule.model._meta.pk_fields)
    }
    rows = rule.rows(scope, using).annotate(integrity_rank=Window(RowNumber(), **window), **columns)
    selected = [
        compose("r.{part} AS {owner}", part=name(f"integrity_owner_{i}"), owner=name(f"owner__{label}"))
        for i, label in enumerate(rule.labels)
    ]
    for i, pk in enumerate(pks):
        selected.append(compose("r.{gone} AS {pk}", gone=name(f"integrity_gone_{i}"), pk=name(f"gone__{pk}")))
        selected.append(compose("r.{kept} AS {pk}", kept=name(f"integrity_kept_{i}"), pk=name(f"kept__{pk}")))
    return compose(
        "SELECT {selected} FROM ({rows}) AS r WHERE r.integrity_rank > 1",
        selected=joined(", ", selected),
        rows=from_queryset(rows.values("integrity_rank", *columns), using),
    )


def _order(rule: Unique) -> list[Any]:
    """The declared order, then the primary key, so that two runs keep the same row."""
    given = rule.keep if isinstance(rule.keep, list | tuple) else [rule.keep]
    order = [_ordering(part) for part in given]
    return [*order, *(F(field.name).asc() for field in rule.model._meta.pk_fields)]


def _ordering(part: Any) -> Any:
    if isinstance(part, str):
        column = F(part.removeprefix("-"))
        return column.desc(nulls_last=True) if part.startswith("-") else column.asc(nulls_last=True)
    return part if hasattr(part, "descending") else part.asc()
