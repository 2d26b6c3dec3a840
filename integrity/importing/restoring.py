"""Giving the database back the constraints that it lacks: duplicates are merged first, then the constraint is made."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, transaction
from psycopg import errors

from integrity import statuses
from integrity.conf import conf
from integrity.exceptions import Refused
from integrity.importing.protection import MISSING, NOT_VALID, SWITCHED_OFF, Declared
from integrity.keys import column_of
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repair import repair
from integrity.rules.unique import Unique
from integrity.statement import compose, fetch, name, names, value
from integrity.statement import run as execute


def restore_constraint(lacking: Declared, connection: Any, *, actor: str | None, observer: Observer) -> list[str]:
    """Make a constraint hold. What was done, in sentences. Raises Refused naming what stands in its way."""
    done: list[str] = []
    if lacking.kind == "unique constraint":
        done += _merge(lacking, connection, actor=actor, observer=observer)
    elif lacking.kind == "foreign key":
        _refuse_dangling(lacking, connection)
    try:
        _make(lacking, connection)
    except DatabaseError as error:
        raise Refused(_why(lacking, error)) from error
    if lacking.kind == "foreign key":
        # Somebody may have written while it was not looked at.
        _refuse_dangling(lacking, connection)
    return [*done, f"{lacking}: it was {lacking.state} and is there and valid now."]


def duplicates(lacking: Declared, connection: Any) -> int:
    """How many keys of a unique constraint occur more than once; NULLs differ, as they do for PostgreSQL."""
    if getattr(lacking.made_by, "condition", None) is not None:
        return 0
    counted = compose(
        "SELECT count(*) AS n FROM (SELECT FROM {table} WHERE ({columns}) IS NOT NULL GROUP BY {columns}"
        " HAVING count(*) > 1) AS d",
        table=name(lacking.model._meta.db_table),
        columns=names(lacking.columns),
    )
    return int(fetch(connection, counted)[0]["n"])


def dangling(lacking: Declared, connection: Any) -> int:
    """How many rows have a value that their foreign key finds nowhere."""
    field = lacking.made_by
    counted = compose(
        "SELECT count(*) AS n FROM {table} AS c WHERE c.{c} IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM {to} AS t WHERE t.{t} = c.{c})",
        table=name(lacking.model._meta.db_table),
        c=name(field.column),
        to=name(field.related_model._meta.db_table),
        t=name(field.target_field.column),
    )
    return int(fetch(connection, counted)[0]["n"])


def _merge(lacking: Declared, connection: Any, *, actor: str | None, observer: Observer) -> list[str]:
    """Merge what says the same, by the repair of the rule about these columns."""
    count = duplicates(lacking, connection)
    if not count:
        return []
    table = lacking.model._meta.db_table
    found = rule_for(lacking)
    if found is None or not found.repairs:
        raise Refused(
            f"{count} keys of {table} ({', '.join(lacking.columns)}) occur more than once, so that the {lacking.kind}"
            " cannot be made, and no Unique rule with a repair says which row stays. Nothing was written. Declare one."
        )
    strategy = next((known for known in ("merge", "keep_one") if known in found.repairs), next(iter(found.repairs)))
    report = repair([(found, strategy)], actor=actor, observer=observer, reason=f"so that {lacking} can be made")
    if report.status != statuses.CLEAN or duplicates(lacking, connection):
        told = "; ".join([report.rules[0].error, *report.rules[0].reasons][:3])
        raise Refused(
            f"{count} keys of {table} occur more than once, and run {report.run} could not merge all of them: {told}."
            f" See: manage.py integrity analyze {found.label}"
        )
    return [f"{count} keys of {table} occurred more than once and were merged by run {report.run} ({strategy})."]


def rule_for(lacking: Declared) -> Unique | None:
    """The rule that says what the constraint says."""
    for rule in registry:
        if isinstance(rule, Unique) and rule.model is lacking.model and rule.where is None:
            try:
                columns = {column_of(rule.model, label) for label in rule.labels}
            except Exception:  # noqa: BLE001, S112  (an expression has no column)
                continue
            if columns == set(lacking.columns):
                return rule
    return None


def _refuse_dangling(lacking: Declared, connection: Any) -> None:
    count = dangling(lacking, connection)
    if count:
        table, to = lacking.model._meta.db_table, lacking.made_by.related_model._meta.db_table
        raise Refused(
            f"{count} rows of {table} refer by {lacking.columns[0]} to rows of {to} that are not there, while the"
            f" foreign key is {lacking.state}. Relink or clear them first: manage.py integrity analyze"
            f" {lacking.model._meta.app_label}"
        )


def _make(lacking: Declared, connection: Any) -> None:
    """In a transaction of its own, which waits for nobody long."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{conf().LOCK_TIMEOUT_MS}ms"])
        table = name(lacking.model._meta.db_table)
        if lacking.state == SWITCHED_OFF:
            for trigger in _triggers(lacking, connection):
                execute(
                    connection,
                    compose("ALTER TABLE {t} ENABLE TRIGGER {g}", t=name(trigger["table"]), g=name(trigger["name"])),
                )
        elif lacking.state == NOT_VALID and lacking.kind != "unique constraint":
            execute(connection, compose("ALTER TABLE {t} VALIDATE CONSTRAINT {c}", t=table, c=name(lacking.name)))
        else:
            if lacking.state == NOT_VALID:
                execute(connection, compose("DROP INDEX {index}", index=name(lacking.name)))
            _add(lacking, connection)


def _add(lacking: Declared, connection: Any) -> None:
    assert lacking.state in (MISSING, NOT_VALID)
    with connection.schema_editor() as editor:
        if hasattr(lacking.made_by, "create_sql"):
            editor.add_constraint(lacking.model, lacking.made_by)
        elif lacking.kind == "foreign key":
            editor.execute(
                editor._create_fk_sql(lacking.model, lacking.made_by, "_fk_%(to_table)s_%(to_column)s"), params=None
            )
        else:
            fields = [f for f in lacking.model._meta.local_concrete_fields if f.column in lacking.columns]
            editor.execute(editor._create_unique_sql(lacking.model, fields), params=None)


def _triggers(lacking: Declared, connection: Any) -> list[dict[str, Any]]:
    """The internal triggers of a foreign key, on both of its tables."""
    return fetch(
        connection,
        compose(
            "SELECT k.relname AS table, t.tgname AS name FROM pg_trigger AS t JOIN pg_class AS k ON k.oid = t.tgrelid"
            " JOIN pg_constraint AS c ON c.oid = t.tgconstraint"
            " WHERE c.conname = {name} AND c.conrelid = {table}::regclass AND t.tgenabled NOT IN ('O', 'A')",
            name=value(lacking.name),
            table=value(f'"{lacking.model._meta.db_table}"'),
        ),
    )


def _why(lacking: Declared, error: DatabaseError) -> str:
    if isinstance(error.__cause__, errors.LockNotAvailable):
        return f"{lacking} could not be made: somebody holds the table. Try again when that transaction has ended."
    if isinstance(error.__cause__, errors.InsufficientPrivilege):
        return f"{lacking} is {lacking.state}, and this user may not change that ({str(error).strip()})."
    return f"{lacking} could not be made: {str(error).strip().splitlines()[0]}"
