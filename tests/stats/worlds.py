"""Both tables at any step of the migrations, with rows that disagree in every way."""

import datetime
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.integrity.helpers import execute

START = [("stats", "0001_initial"), ("core_stats", "0001_initial")]
BEFORE_COPY = [("stats", "0002_consolidate_stats_models"), ("core_stats", "0001_initial")]
COPIED = [("stats", "0003_consolidate_core_stats_data"), ("core_stats", "0001_initial")]
POINTED = [("stats", "0004_remove_old_core_stats_references"), ("core_stats", "0001_initial")]
END = [("stats", "0004_remove_old_core_stats_references"), ("core_stats", "0002_deprecate_core_stats")]
STEPS = {"start": START, "before copy": BEFORE_COPY, "copied": COPIED, "pointed": POINTED, "end": END}

LEGACY, CURRENT, RETIRED = "core_stats_corestat", "stats_corestat", "core_stats_corestat_retired"
COLUMNS = (
    *("user_id", "strength", "endurance", "agility", "intelligence", "wisdom", "charisma"),
    *("experience_points", "level", "created_at", "updated_at"),
)
OLD = datetime.datetime(2020, 1, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
NEW = OLD + datetime.timedelta(days=1, microseconds=1)


def migrate(step):
    """Go to a step, forwards or backwards."""
    executor = MigrationExecutor(connection)
    executor.migrate(STEPS[step])


@contextmanager
def at(step):
    """The tables as they are at a step; afterwards as they are at the end."""
    try:
        migrate(step)
        yield
    finally:
        for table in (LEGACY, CURRENT, RETIRED):
            if table in connection.introspection.table_names():
                execute(f"TRUNCATE {table} CASCADE")
        execute("DELETE FROM integrity_change", "TRUNCATE stats_stathistory")
        migrate("end")


def make_users(number):
    """Users by the numbers 1 and so on."""
    users = get_user_model()
    users.objects.bulk_create(users(id=i, username=f"user {i}") for i in range(1, number + 1))
    execute(f"SELECT setval(pg_get_serial_sequence('auth_user', 'id'), {number})")


def put(table, user, created=OLD, updated=OLD, **values):
    """A row with every column given."""
    held = dict.fromkeys(COLUMNS, 10) | {"experience_points": 2500, "level": 3}
    held |= {"user_id": user, "created_at": created, "updated_at": updated} | values
    columns = ", ".join(held)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(held))})", list(held.values()))


def rows(table):
    """Every mapped column by user, as PostgreSQL prints them."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT user_id, ({', '.join(COLUMNS)})::text FROM {table} ORDER BY user_id")
        return dict(cursor.fetchall())


def bytes_of(table):
    """Every byte of a table, ids included."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def value(table, user, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE user_id = %s", [user])
        found = cursor.fetchone()
        return found[0] if found else None


def tables():
    return connection.introspection.table_names()


def has_triggers():
    """Whether the two tables are kept equal now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgtrigger_stats_core_stats_agree_%'")
        return cursor.fetchone()[0] > 0
