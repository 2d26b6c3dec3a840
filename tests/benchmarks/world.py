"""A database of its own with a history of the wanted size, dropped at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from players.models import Device, Group, Membership, OpenSession, Player

PREFIX = "holdtrue_benchmark_"
HISTORY = "players_hourlymetric"

# In order of time, as rides are written: the rows of one player are spread over the whole table.
RIDES = """
    INSERT INTO players_hourlymetric (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment)
    SELECT p, (p - 1) / 25 * 3 + h / 24 %% 3 + 1, date_trunc('hour', now()) - (%(hours)s - h) * interval '1 hour',
           0.2 + (p * 7919 + h * 104729) %% 160000 / 100000.0, %(schools)s + (p - 1) / 25 + 1, false
    FROM generate_series(1, %(hours)s) h, generate_series(1, %(players)s) p ORDER BY h, p;
"""
TOTALS = """
    UPDATE players_player p SET distance_total = r.km + COALESCE(s.distance_km - s.flushed_km, 0)
    FROM (SELECT player_id, sum(distance_km) km FROM players_hourlymetric GROUP BY 1) r
    LEFT JOIN players_opensession s ON s.player_id = r.player_id WHERE r.player_id = p.id;
    WITH RECURSIVE below AS (
        SELECT id AS root, id AS node FROM players_group
        UNION SELECT b.root, g.id FROM below b JOIN players_group g ON g.parent_id = b.node
    ), riders AS (SELECT DISTINCT b.root, m.player_id FROM below b JOIN players_membership m ON m.group_id = b.node)
    UPDATE players_group g SET distance_total = t.km FROM (
        SELECT r.root, sum(p.distance_total) km FROM riders r JOIN players_player p ON p.id = r.player_id GROUP BY 1
    ) t WHERE t.root = g.id;
"""
# What a repair has to give back after each round.
KEPT = f"""
    CREATE TABLE kept AS SELECT * FROM {HISTORY};
    CREATE UNIQUE INDEX ON kept (id);
    CREATE TABLE kept_players AS SELECT id, distance_total FROM players_player;
"""
FLEET = """
    INSERT INTO vehicles_vehicle (name) SELECT 'Van ' || v FROM generate_series(1, %(vehicles)s) v;
    INSERT INTO vehicles_vehicleevent (vehicle_id, occurred_at, miles)
    SELECT v, timestamptz '2020-01-01' + e * interval '10 days', e * 100
    FROM generate_series(1, 100) e, generate_series(1, %(vehicles)s) v;
"""
SEQUENCES = ("players_group", "players_device", "players_player")


@dataclass(frozen=True)
class World:
    """How much there is: 250 hours for each of 20,000 players, 100 events for each of 10,000 vehicles in full size."""

    scale: Fraction
    hours: int = 250

    @property
    def players(self) -> int:
        return int(20_000 * self.scale)

    @property
    def vehicles(self) -> int:
        return int(10_000 * self.scale)

    def __str__(self) -> str:
        return f"{self.players:,} players, {self.players * self.hours:,} hours, {self.vehicles:,} vehicles"


def sql(statement: str, params: Any = None) -> list[tuple[Any, ...]]:
    """Run one or several statements; the rows of the last."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def database(world: World, needs: set[str]) -> Iterator[None]:
    """The default database is a new one for a while, loaded and vacuumed."""
    own, name = connection.settings_dict["NAME"], f"{PREFIX}{os.getpid()}"
    connection.close()
    with connection._nodb_cursor() as cursor:
        _drop_left_over(cursor)
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0)
        if "history" in needs:
            load(world)
        if "fleet" in needs:
            load_fleet(world)
        if "feed" in needs:
            from tests.benchmarks import imported

            imported.load(world)
        if "league" in needs:
            from tests.benchmarks import relinked

            relinked.load(world)
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = own
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _drop_left_over(cursor: Any) -> None:
    """Databases of benchmarks that were killed: nobody is connected to them."""
    cursor.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = pg_database.datname)",
        [PREFIX],
    )
    for (left,) in cursor.fetchall():
        cursor.execute(f'DROP DATABASE IF EXISTS "{left}"')


def load(world: World) -> None:
    """Fill the tables; indexes and foreign keys of the history are built at the end, which is far quicker."""
    classes = -(-world.players // 25)
    schools = -(-classes // 6)
    _make_places(schools, classes)
    _make_players(world.players, schools, classes)
    with _without_indexes(HISTORY):
        sql(RIDES, {"players": world.players, "hours": world.hours, "schools": schools})
    sql(TOTALS)
    sql(KEPT)
    for table in SEQUENCES:
        sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
    sql("VACUUM ANALYZE")


def load_fleet(world: World) -> None:
    """Vehicles with 100 events each, in order of time. Nothing is kept true before the end, when all of it is."""
    tables = ("vehicles_vehicle", "vehicles_vehicleevent")
    for table in tables:
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    sql(FLEET, {"vehicles": world.vehicles})
    for table in tables:
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    sql("UPDATE vehicles_vehicle SET current_mileage = 1")
    sql("VACUUM ANALYZE vehicles_vehicle, vehicles_vehicleevent")


def _make_places(schools: int, classes: int) -> None:
    """Six classes in a school, three bikes in a class. The group of a class has the number after the schools."""
    Group.objects.bulk_create(Group(id=s, name=f"School {s}", kind=Group.Kind.SCHOOL) for s in range(1, schools + 1))
    Group.objects.bulk_create(
        Group(id=schools + c, name=f"Class {c}", parent_id=(c - 1) // 6 + 1) for c in range(1, classes + 1)
    )
    Device.objects.bulk_create(
        Device(id=d, name=f"Bike {d}", group_id=schools + (d - 1) // 3 + 1) for d in range(1, classes * 3 + 1)
    )


def _make_players(players: int, schools: int, classes: int) -> None:
    """25 in a class; every eighth is in the next class too and every eighth is riding now."""
    everyone = range(1, players + 1)
    now = timezone.now()
    Player.objects.bulk_create(Player(id=p, name=f"Rider {p}", id_tag=f"rider-{p}", last_active=now) for p in everyone)
    own = [Membership(player_id=p, group_id=schools + (p - 1) // 25 + 1) for p in everyone]
    second = [Membership(player_id=p, group_id=schools + ((p - 1) // 25 + 1) % classes + 1) for p in everyone[7::8]]
    Membership.objects.bulk_create([*own, *second])
    OpenSession.objects.bulk_create(
        OpenSession(
            player_id=p,
            device_id=(p - 1) // 25 * 3 + 1,
            started_at=now,
            last_activity=now,
            distance_km=Decimal("1.5"),
            flushed_km=Decimal("0.5"),
        )
        for p in everyone[3::8]
    )


@contextmanager
def _without_indexes(table: str) -> Iterator[None]:
    constraints = sql(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass"
        " AND contype IN ('p', 'u', 'f') ORDER BY contype DESC",
        [table],
    )
    for name, _ in constraints:
        sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    indexes = sql("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
    for name, _ in indexes:
        sql(f'DROP INDEX "{name}"')
    yield
    for name, definition in constraints:
        sql(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for _, definition in indexes:
        sql(definition)


def version() -> str:
    return str(sql("SHOW server_version")[0][0])


def major() -> int:
    return int(version().split(".", 1)[0])


def own_url() -> str:
    """Of this database, for a connection or a process beside ours."""
    path = f"/{connection.settings_dict['NAME']}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=path).geturl()
