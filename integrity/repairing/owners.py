"""Whose violation a change cures: told by the journal, so that the keys of a rule can be taken back by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from psycopg import sql

from integrity.exceptions import Refused
from integrity.expressions import array_type, prepared
from integrity.keys import Key, columns_of
from integrity.models import Change, Run
from integrity.rules.base import Rule
from integrity.statement import Statement, as_statement, compose, fetch, joined, name, value

if TYPE_CHECKING:
    from integrity.repairing.plan import Plan


def owner_of(plan: Plan) -> Statement:
    """The key of the violation as an object of text by field; NULL where the row is the violating one itself."""
    keys = plan.rule.key_fields
    if plan.model is plan.rule.model and plan.write.locked and _has_own_key(plan.rule):
        return Statement("NULL::jsonb")
    return text_object({key.name: as_statement(name("p", f"owner__{key.name}")) for key in keys})


def owner_of_new(plan: Plan) -> Statement:
    """RETURNING of an insert does not see the plan: the new row itself has to say whose it is."""
    keys, columns = plan.rule.key_fields, plan.write.owned_by
    if len(keys) != len(columns):
        return Statement("NULL::jsonb")
    return text_object({key.name: as_statement(name("t", c)) for key, c in zip(keys, columns, strict=True)})


def text_object(values: Mapping[str, Statement]) -> Statement:
    """An object of text; made of an array, which takes half as long as jsonb_build_object()."""
    pairs = (compose("{key}, {held}::text", key=sql.Literal(key), held=held) for key, held in values.items())
    return compose("jsonb_object(ARRAY[{pairs}])", pairs=joined(", ", pairs))


def changes_for(run: Run, rule: Rule, keys: Sequence[Key], connection: Any) -> QuerySet[Change]:
    """The changes of a run that cure these violations of a rule.

    Raises Refused where the journal does not say it of every change: one written by another version.
    """
    ours = Change.objects.filter(run=run, rule=rule.label)
    own = Q(table=rule.model._meta.db_table) if _has_own_key(rule) else Q(pk__in=[])
    if ours.filter(owner__isnull=True).exclude(own).exists():
        raise Refused(
            f"The journal of run {run.pk} does not say which keys of {rule.label} its changes are for."
            f" Take it back as a whole: manage.py integrity undo {run.pk}"
        )
    chosen = _of_keys(run, rule, keys, connection)
    return ours.filter(pk__in=RawSQL(chosen.text, chosen.params))


def keys_of(changes: Iterable[Change], rule: Rule, connection: Any) -> list[Key]:
    """The keys of the violations that changes made for a rule cure, each once."""
    parts = [
        compose("{held}::{type}", held=_part(rule, field), type=Statement(array_type(field, connection)[:-2]))
        for field in rule.key_fields
    ]
    found = compose(
        "SELECT DISTINCT {parts} FROM {changes} AS c WHERE c.id = ANY({ids})",
        parts=joined(", ", (compose("{part} AS {n}", part=p, n=name(f"key_{i}")) for i, p in enumerate(parts))),
        changes=name(Change._meta.db_table),
        ids=value([change.pk for change in changes]),
    )
    return [tuple(row.values()) for row in fetch(connection, found)]


def key_as_told(change: Change) -> dict[str, str | None]:
    """The key of the violation that a change cures, as text."""
    return dict(change.key if change.owner is None else change.owner)


def _has_own_key(rule: Rule) -> bool:
    """The rule speaks about rows by their primary key."""
    return [key.name for key in rule.key_fields] == [column.name for column in columns_of(rule.model)]


def _of_keys(run: Run, rule: Rule, keys: Sequence[Key], connection: Any) -> Statement:
    fields = rule.key_fields
    types = [array_type(field, connection) for field in fields]
    arrays = [
        compose("{keys}::{type}", keys=value(prepared(field, [key[i] for key in keys], connection)), type=Statement(t))
        for i, (field, t) in enumerate(zip(fields, types, strict=True))
    ]
    same = [
        compose(
            "{held}::{type} IS NOT DISTINCT FROM k.{part}",
            held=_part(rule, field),
            type=Statement(type_.removesuffix("[]")),
            part=name(f"key_{i}"),
        )
        for i, (field, type_) in enumerate(zip(fields, types, strict=True))
    ]
    return compose(
        "SELECT c.id FROM {changes} AS c JOIN unnest({arrays}) AS k ({parts}) ON {same}"
        " WHERE c.run_id = {run} AND c.rule = {rule}",
        changes=name(Change._meta.db_table),
        arrays=joined(", ", arrays),
        parts=joined(", ", (name(f"key_{i}") for i in range(len(fields)))),
        same=joined(" AND ", same),
        run=value(run.pk),
        rule=value(rule.label),
    )


def _part(rule: Rule, field: Any) -> Statement:
    """A part of the owner's key as text: that of the row itself where no owner is written."""
    if not _has_own_key(rule):
        return compose("(c.owner->>{field})", field=sql.Literal(field.name))
    return compose(
        "(CASE WHEN c.owner IS NOT NULL THEN c.owner->>{field} WHEN c.table = {table} THEN c.key->>{column} END)",
        field=sql.Literal(field.name),
        table=value(rule.model._meta.db_table),
        column=sql.Literal(str(field.column)),
    )
