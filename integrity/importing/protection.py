"""The constraints that the models declare around the targets of an import: which are there and valid, and which not.

Foreign keys of everything that refers to a target count too, and so do their triggers: while those are switched off
anybody can orphan rows without an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import CheckConstraint, Model, UniqueConstraint

from integrity.exceptions import Refused
from integrity.importing.declarations import Feed
from integrity.statement import Statement, fetch

MISSING, NOT_VALID, SWITCHED_OFF = "missing", "not valid", "switched off"
VALID = ""


@dataclass(frozen=True)
class Declared:
    """A constraint that a model declares, and what the catalog says of it (empty: it is there and valid)."""

    model: type[Model]
    kind: str
    columns: tuple[str, ...]
    state: str
    name: str
    """In the catalog; the declared name, or empty, where it is missing."""
    made_by: Any = None
    """The constraint or field that declares it."""

    def __str__(self) -> str:
        of = f" {self.name}" if self.name else ""
        return f"{self.kind}{of} on {self.model._meta.db_table} ({', '.join(self.columns)})"


def constraints(feeds: Iterable[Feed], connection: Any) -> list[Declared]:
    """Every constraint that is declared for the targets, and the foreign keys that refer to them."""
    models = list(dict.fromkeys(feed.model for feed in feeds))
    found: list[Declared] = []
    for model in models:
        catalog = _catalog(model._meta.db_table, connection)
        found += [*_uniques(model, catalog), *_checks(model, catalog), *_foreign_keys(model, None, catalog)]
    for model in apps.get_models(include_auto_created=True):
        if model not in models and any(_refers(model, to) for to in models):
            catalog = _catalog(model._meta.db_table, connection)
            found += [key for to in models for key in _foreign_keys(model, to, catalog)]
    return found


def refuse_switched_off(connection: Any) -> None:
    """Raise Refused in a session in which no foreign key is checked."""
    role = fetch(connection, Statement("SELECT current_setting('session_replication_role') AS r"))[0]["r"]
    if role != "origin":
        raise Refused(
            f"session_replication_role is {role!r}, so that PostgreSQL checks no foreign key and fires no trigger in"
            " this session. Nothing was written. Set it to 'origin'."
        )


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: str
    columns: frozenset[str]
    valid: bool
    on: bool
    target: str


def _catalog(table: str, connection: Any) -> list[_Entry]:
    """Constraints and unique indexes of a table."""
    rows = fetch(
        connection,
        Statement(
            "SELECT c.conname AS name, c.contype::text AS kind, c.convalidated AS valid, f.relname AS target,"
            " array(SELECT attname::text FROM unnest(c.conkey) AS n JOIN pg_attribute ON attrelid = c.conrelid"
            "  AND attnum = n) AS cols,"
            " NOT EXISTS (SELECT FROM pg_trigger WHERE tgconstraint = c.oid AND tgenabled NOT IN ('O', 'A')) AS on"
            " FROM pg_constraint AS c LEFT JOIN pg_class AS f ON f.oid = c.confrelid"
            " WHERE c.conrelid = to_regclass(quote_ident(%s)) AND c.contype IN ('c', 'f')"
            " UNION ALL SELECT k.relname, CASE WHEN indpred IS NULL AND indexprs IS NULL THEN 'u' ELSE 'p' END,"
            " indisvalid AND indisready, NULL, array(SELECT attname::text FROM unnest(i.indkey::int2[]) AS n"
            "  JOIN pg_attribute ON attrelid = i.indrelid AND attnum = n), true"
            " FROM pg_index AS i JOIN pg_class AS k ON k.oid = i.indexrelid"
            " WHERE i.indrelid = to_regclass(quote_ident(%s)) AND indisunique",
            (table, table),
        ),
    )
    return [_Entry(r["name"], r["kind"], frozenset(r["cols"]), r["valid"], r["on"], r["target"] or "") for r in rows]


def _uniques(model: type[Model], catalog: list[_Entry]) -> Iterator[Declared]:
    opts = model._meta
    wanted: list[tuple[tuple[str, ...], Any]] = [
        (tuple(c.fields), c) for c in opts.constraints if isinstance(c, UniqueConstraint) and c.fields
    ]
    wanted += [(tuple(fields), tuple(fields)) for fields in opts.unique_together]
    wanted += [((f.name,), f) for f in opts.local_concrete_fields if f.column and f.unique and not f.primary_key]
    for fields, made_by in wanted:
        columns = tuple(str(opts.get_field(field).column) for field in fields)  # type: ignore[union-attr]
        partial = getattr(made_by, "condition", None) is not None
        label = getattr(made_by, "name", "") if isinstance(made_by, UniqueConstraint) else ""
        alike = [
            e
            for e in catalog
            if (e.kind == "u" and e.columns == frozenset(columns) and not partial) or (label and e.name == label)
        ]
        found = next((e for e in alike if e.valid), alike[0] if alike else None)
        yield Declared(model, "unique constraint", columns, _state(found), found.name if found else label, made_by)


def _checks(model: type[Model], catalog: list[_Entry]) -> Iterator[Declared]:
    for constraint in model._meta.constraints:
        if isinstance(constraint, CheckConstraint):
            found = next((e for e in catalog if e.kind == "c" and e.name == constraint.name), None)
            columns = tuple(sorted(found.columns)) if found else ()
            yield Declared(model, "check", columns, _state(found), constraint.name, constraint)


def _foreign_keys(model: type[Model], to: type[Model] | None, catalog: list[_Entry]) -> Iterator[Declared]:
    for field in model._meta.local_concrete_fields:
        if not field.remote_field or not getattr(field, "db_constraint", False) or not field.column:
            continue
        target = field.related_model._meta.db_table  # type: ignore[union-attr]
        if to is not None and target != to._meta.db_table:
            continue
        alike = [e for e in catalog if e.kind == "f" and e.columns == frozenset([field.column]) and e.target == target]
        found = next((e for e in alike if e.valid and e.on), alike[0] if alike else None)
        yield Declared(model, "foreign key", (field.column,), _state(found), found.name if found else "", field)


def _refers(model: type[Model], to: type[Model]) -> bool:
    return model._meta.managed and any(
        field.remote_field and getattr(field.related_model, "_meta", None) is to._meta
        for field in model._meta.local_concrete_fields
    )


def _state(entry: _Entry | None) -> str:
    if entry is None:
        return MISSING
    if not entry.valid:
        return NOT_VALID
    return VALID if entry.on else SWITCHED_OFF
