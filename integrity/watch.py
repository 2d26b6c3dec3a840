"""watch: who deletes rows that others refer to without a foreign key, noted by triggers at the moment it happens.

Orphans are found by analysis; here their cause is. The triggers never stop the writer: what goes wrong in them is a
warning in its session. A row that is put back in the same transaction is noted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Model
from psycopg import sql

from integrity.conf import conf
from integrity.keys import pk_columns
from integrity.models import Severed
from integrity.references import Referring, referring
from integrity.registry import registry
from integrity.rules.references import References
from integrity.schema import WATCH
from integrity.statement import Part, Statement, compose, fetch, joined, name, run, value

EVENTS = ("delete", "update", "truncate")
MISSING, OUTDATED, DISABLED, WATCHING = "missing", "outdated", "disabled", "watching"
_KEYS = 1_000
_COLUMNS = [str(field.column) for field in Severed._meta.local_concrete_fields if not field.primary_key]


def watched_models() -> list[type[Model]]:
    """The models that rules declare references to which no foreign key keeps."""
    found = [rule.to for rule in registry if isinstance(rule, References) and rule.to is not None]
    return [model for model in dict.fromkeys(found) if soft_references(model)]


def soft_references(model: type[Model]) -> list[Referring]:
    """What refers to a model, as far as the database does not keep it."""
    connection = connections[DEFAULT_DB_ALIAS]
    tables = set(connection.introspection.table_names())
    return [reference for reference in referring(model, connection) if reference.soft and reference.table in tables]


def install(models: Iterable[type[Model]]) -> list[str]:
    """Watch these models. The tables of which the triggers were made anew. Waits for nobody long."""
    connection = connections[DEFAULT_DB_ALIAS]
    done = []
    for model in models:
        if state(model) == WATCHING:
            continue
        # Half of the triggers would see half of what happens.
        with transaction.atomic():
            _wait_little(connection)
            for event in EVENTS:
                _drop(model, event, connection)
                for statement in _create(model, event, connection):
                    with connection.cursor() as cursor:
                        cursor.execute(statement)
        done.append(model._meta.db_table)
    return done


def remove(models: Iterable[type[Model]]) -> list[str]:
    """Watch them no longer. The tables that were watched."""
    connection = connections[DEFAULT_DB_ALIAS]
    done = []
    for model in models:
        if state(model) == MISSING:
            continue
        with transaction.atomic():
            _wait_little(connection)
            for event in EVENTS:
                _drop(model, event, connection)
        done.append(model._meta.db_table)
    return done


def state(model: type[Model]) -> str:
    """Whether a model is watched now, read from the catalog: missing, outdated, disabled or watching."""
    connection = connections[DEFAULT_DB_ALIAS]
    found = {
        row["name"]: row
        for row in fetch(
            connection,
            Statement(
                "SELECT tgname AS name, tgenabled AS enabled, p.prosrc AS source FROM pg_trigger AS t"
                " JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE tgrelid = to_regclass(quote_ident(%s))"
                " AND starts_with(tgname, %s)",
                (model._meta.db_table, WATCH),
            ),
        )
    }
    if not found:
        return MISSING
    for event in EVENTS:
        row = found.get(WATCH + event)
        if row is None or row["source"].strip() != _body(model, event).strip():
            return OUTDATED
        if row["enabled"] in ("D", "R"):
            return DISABLED
    return WATCHING


def notes(limit: int) -> list[Severed]:
    """What was noted, the latest first."""
    return list(Severed.objects.all()[:limit])


# What the triggers do


def _create(model: type[Model], event: str, connection: Any) -> list[str]:
    fire = {
        "delete": compose("AFTER DELETE ON {t} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT", t=_table(model)),
        "truncate": compose("BEFORE TRUNCATE ON {t} FOR EACH STATEMENT", t=_table(model)),
        "update": compose("AFTER UPDATE OF {c} ON {t} FOR EACH ROW", c=_names(_targets(model)), t=_table(model)),
    }[event]
    function = name(_function(model, event))
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
    made = compose(
        "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = {schema}, pg_temp AS {body}",
        function=function,
        schema=Statement(schema),
        body=Statement(f"$watch${_body(model, event)}$watch$"),
    )
    revoked = compose("REVOKE ALL ON FUNCTION {function}() FROM PUBLIC", function=function)
    trigger = compose(
        "CREATE TRIGGER {trigger} {fire} EXECUTE FUNCTION {function}()",
        trigger=name(WATCH + event),
        fire=fire,
        function=function,
    )
    return [made.literal(), revoked.literal(), trigger.literal()]


def _body(model: type[Model], event: str) -> str:
    """Count what is left dangling and note it, whatever happens: a writer is never stopped by being watched."""
    gone: Part = {
        "delete": Statement("SELECT * FROM gone"),
        "update": Statement("SELECT OLD.*"),
        "truncate": compose("SELECT * FROM {t}", t=_table(model)),
    }[event]
    moved = joined(" AND ", (compose("OLD.{c} IS NOT DISTINCT FROM NEW.{c}", c=name(c)) for c in _targets(model)))
    stay = compose("IF {moved} THEN RETURN NULL; END IF; ", moved=moved) if event == "update" else Statement("")
    (pk,) = pk_columns(model)
    left = [
        compose(
            "SELECT {label}::text AS label, t.{pk}::text AS gone FROM lost AS t JOIN {child} AS c ON {on}",
            label=value(f"{reference.table}.{', '.join(reference.columns)}"),
            pk=name(pk),
            child=name(reference.table),
            on=reference.on,
        )
        for reference in soft_references(model)
    ]
    note = compose(
        "INSERT INTO {severed} ({columns})"
        " WITH lost AS MATERIALIZED ({gone}), left_ AS MATERIALIZED ({left}),"
        " ids AS (SELECT DISTINCT gone FROM left_ ORDER BY gone LIMIT {keys})"
        " SELECT {table}, {event}, (SELECT jsonb_agg(gone) FROM ids), (SELECT count(DISTINCT gone) FROM left_),"
        " (SELECT jsonb_object_agg(label, n) FROM (SELECT label, count(*) AS n FROM left_ GROUP BY label) AS s),"
        " session_user, CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END,"
        " current_setting('application_name'), COALESCE(host(inet_client_addr()), ''), clock_timestamp()"
        " WHERE EXISTS (SELECT FROM left_)",
        severed=name(Severed._meta.db_table),
        columns=_names(_COLUMNS),
        gone=gone,
        left=joined(" UNION ALL ", left),
        keys=value(_KEYS),
        table=value(model._meta.db_table),
        event=value(event),
    )
    return (
        f" BEGIN {stay.literal()}BEGIN {note.literal()};"
        " EXCEPTION WHEN OTHERS THEN RAISE WARNING 'what this statement leaves dangling could not be noted: %',"
        " SQLERRM; END; RETURN NULL; END "
    )


def _targets(model: type[Model]) -> list[str]:
    """The columns of the watched table that references name: the primary key, and natural keys."""
    columns = [*pk_columns(model)]
    for rule in registry:
        if isinstance(rule, References) and rule.to is model:
            columns += [str(model._meta.get_field(on).column) for on in rule.on if on != "pk"]  # type: ignore[union-attr]
    return list(dict.fromkeys(columns))


def _function(model: type[Model], event: str) -> str:
    return f"{WATCH}{event}_{model._meta.db_table}"[:63]


def _table(model: type[Model]) -> Part:
    return name(model._meta.db_table)


def _names(columns: Iterable[str]) -> Statement:
    return joined(", ", (sql.Identifier(column) for column in columns))


def _drop(model: type[Model], event: str, connection: Any) -> None:
    run(connection, compose("DROP TRIGGER IF EXISTS {g} ON {t}", g=name(WATCH + event), t=_table(model)))
    run(connection, compose("DROP FUNCTION IF EXISTS {f}()", f=name(_function(model, event))))


def _wait_little(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{conf().LOCK_TIMEOUT_MS}ms"])
