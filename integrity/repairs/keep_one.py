"""KeepOne: of several rows that say the same, one stays; what refers to the others is pointed at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Aggregate, F, Model, OrderBy, OuterRef, Subquery, Window
from django.db.models.functions import RowNumber

from integrity.exceptions import WrongDeclaration
from integrity.keys import pk_columns
from integrity.paths import rewritten
from integrity.repairs.base import DELETE, DELETED, Repair, Write
from integrity.repairs.referrers import referring_models
from integrity.repairs.repoint import Repeats, repoint
from integrity.scope import Scope
from integrity.statement import Part, Statement, as_statement, compose, from_queryset, joined, name, value

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
        return [rule.model, *referring_models(rule.model)]

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
    if rule.model._meta.all_parents:
        yield WrongDeclaration(
            f"{what}, and a row of {rule.model._meta.label} is spread over the tables of its parents",
            "Declare the rule on a model with one table.",
        )
        return
    if getattr(rule, "keep", None) is None:
        yield WrongDeclaration(f"{what}, and the rule does not say which row is kept", "Give keep=, as in order_by.")
        return
    try:
        surplus_rows(cast("Unique", rule), Scope(), DEFAULT_DB_ALIAS)
    except (FieldError, TypeError, ValueError) as error:
        yield WrongDeclaration(f"{what}, and keep= cannot be compiled: {error}", "Give keep=, as in order_by.")


def removal(unique: Unique, scope: Scope, using: str, *, outcome: str, repeats: Repeats | None = None) -> list[Write]:
    """Writes that point what refers to repetitions at the row that stays, and then delete them."""
    surplus = surplus_rows(unique, scope, using)
    pks = pk_columns(unique.model)
    columns: list[Part] = [
        compose("{op}::text AS op", op=value(DELETE)),
        *(name(f"owner__{label}") for label in unique.labels),
        *(compose("{pk} AS {row}", pk=name(f"gone__{pk}"), row=name(f"row__{pk}")) for pk in pks),
    ]
    delete = compose("SELECT {columns} FROM ({surplus}) AS s", columns=joined(", ", columns), surplus=surplus)
    gone = Write(unique.model, delete, locked=True, cascades=False, all_but_one=True, outcome=outcome)
    return [*repoint(unique, surplus, using, repeats), gone]


def surplus_rows(rule: Unique, scope: Scope, using: str) -> Statement:
    """A SELECT of the rows to delete, ``gone__<pk>``, with the row that stays, ``kept__<pk>``, and ``owner__<key>``."""
    pks = pk_columns(rule.model)
    gone = (compose("r.{pk} AS {gone}", pk=name(f"is__{pk}"), gone=name(f"gone__{pk}")) for pk in pks)
    kept = (name(f"kept__{pk}") for pk in pks)
    return compose(
        "SELECT {columns} FROM ({ranked}) AS r WHERE r.integrity_rank > 1",
        columns=joined(", ", (*(name(f"owner__{label}") for label in rule.labels), *gone, *kept)),
        ranked=ranked_rows(rule, scope, using),
    )


def ranked_rows(rule: Unique, scope: Scope, using: str, more: Mapping[str, Any] | None = None) -> Statement:
    """A SELECT of all rows of the keys in scope in the order in which they are kept, from 1 on (``integrity_rank``).

    Columns: ``owner__<key>``, ``is__<pk>`` of the row itself and ``kept__<pk>`` of the first one of its key. more:
    further columns, name -> expression.
    """
    fields = rule.model._meta.pk_fields
    columns: dict[str, Any] = {f"integrity_owner_{i}": part for i, part in enumerate(rule.by)}
    columns |= {f"integrity_pk_{i}": F(field.name) for i, field in enumerate(fields)}
    columns |= {f"integrity_more_{i}": expression for i, expression in enumerate((more or {}).values())}
    rank = Window(RowNumber(), partition_by=list(rule.by), order_by=order_of(rule))
    rows = rule.rows(scope, using).annotate(integrity_rank=rank, **columns).values("integrity_rank", *columns)
    owners = joined(", ", (name("r", f"integrity_owner_{i}") for i in range(len(rule.by))))
    selected = [as_statement(name("r", "integrity_rank"))]
    selected += [_as(f"integrity_owner_{i}", f"owner__{label}") for i, label in enumerate(rule.labels)]
    selected += [_as(f"integrity_more_{i}", column) for i, column in enumerate(more or {})]
    for i, pk in enumerate(pk_columns(rule.model)):
        first = compose(
            "first_value(r.{pk}) OVER (PARTITION BY {owners} ORDER BY r.integrity_rank) AS {kept}",
            pk=name(f"integrity_pk_{i}"),
            owners=owners,
            kept=name(f"kept__{pk}"),
        )
        selected += [_as(f"integrity_pk_{i}", f"is__{pk}"), first]
    return compose(
        "SELECT {columns} FROM ({rows}) AS r", columns=joined(", ", selected), rows=from_queryset(rows, using)
    )


def _as(column: str, output: str) -> Statement:
    return compose("r.{column} AS {output}", column=name(column), output=name(output))


def order_of(rule: Unique) -> list[OrderBy]:
    """The declared order, then the primary key, so that two runs keep the same row."""
    return [*ordering(rule.model, rule.keep), *(F(field.name).asc() for field in rule.model._meta.pk_fields)]


def ordering(model: type[Model], given: Any) -> list[OrderBy]:
    """An order as in order_by, NULLs last. An aggregate over related rows is computed for each row by itself."""
    parts = given if isinstance(given, list | tuple) else [given]
    return [rewritten(_direction(part), str, lambda node: _by_itself(model, node)) for part in parts]


def _direction(part: Any) -> OrderBy:
    if isinstance(part, str):
        column = F(part.removeprefix("-"))
        return column.desc(nulls_last=True) if part.startswith("-") else column.asc(nulls_last=True)
    found: OrderBy = part if hasattr(part, "descending") else part.asc()
    return found


def _by_itself(model: type[Model], node: Any) -> Any:
    if not isinstance(node, Aggregate):
        return None
    # A window cannot order by an aggregate, nor a query hold several without multiplying their rows.
    own = model._base_manager.order_by().filter(pk=OuterRef("pk")).values("pk")
    return Subquery(own.annotate(integrity_value=node).values("integrity_value"))
