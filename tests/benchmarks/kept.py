"""What it costs that the database keeps a value true: the same statement with the rule's triggers and without."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.db.models import Count, Sum

from integrity import Derived
from integrity.enforcement.triggers import triggers_of
from integrity.registry import registry
from integrity.repair import repair
from integrity.rules.base import Rule
from players.models import Player
from tests.benchmarks.measure import Job
from tests.benchmarks.world import sql

BACKFILL = """
    UPDATE vehicles_vehicle v SET current_mileage = e.miles, mileage_computed_from = 'event',
        mileage_last_updated_at = now()
    FROM (
        SELECT v.id, l.miles FROM vehicles_vehicle v, LATERAL (
            SELECT miles FROM vehicles_vehicleevent e WHERE e.vehicle_id = v.id AND miles > 0 AND deleted_at IS NULL
            ORDER BY occurred_at DESC, created_at DESC, id DESC LIMIT 1
        ) l
    ) e WHERE e.id = v.id AND (v.current_mileage, v.mileage_computed_from) IS DISTINCT FROM (e.miles, 'event')
"""
hours = count()
# Not id % 20: the events of every twentieth vehicle would be all of them.
SCATTERED = "abs(hashint8(id)) % 20 = 3"
MILEAGES = "SELECT sum(current_mileage), count(*) FILTER (WHERE mileage_computed_from = 'event') FROM vehicles_vehicle"


class Kept(Job):
    """One statement, bare and with the triggers. Rolled back before the next."""

    needs = "fleet"
    statement: str
    commits = False

    @property
    def rule(self) -> Rule:
        return registry.get("vehicles.current_mileage")

    def keep(self, *, on: bool) -> None:
        for model, trigger in triggers_of(self.rule):  # type: ignore[arg-type]
            state = "ENABLE" if on else "DISABLE"
            sql(f"ALTER TABLE {model._meta.db_table} {state} TRIGGER {trigger.get_pgid(model)}")

    def prepare(self, *, on: bool) -> None:
        sql("ROLLBACK")
        self.keep(on=on)
        sql("VACUUM vehicles_vehicle, vehicles_vehicleevent")
        if not self.commits:
            sql("BEGIN")

    def before_hand(self) -> None:
        self.prepare(on=False)

    def before_engine(self) -> None:
        self.prepare(on=True)

    def by_hand(self) -> None:
        sql(self.statement)

    def by_engine(self) -> None:
        sql(self.statement)

    def after(self) -> None:
        sql("ROLLBACK")
        self.keep(on=True)


class KeptInsert(Kept):
    name, what, goal = "kept-insert", "insert half as many events again, mileage kept", 1.15
    statement = """
        INSERT INTO vehicles_vehicleevent (vehicle_id, occurred_at, miles)
        SELECT v.id, timestamptz '2024-01-01' + e * interval '10 days', 10000 + e * 100
        FROM generate_series(1, 50) e, vehicles_vehicle v
    """


class KeptUpdate(Kept):
    name, what, goal = "kept-update", "change the miles of a twentieth", 1.6
    statement = f"UPDATE vehicles_vehicleevent SET miles = miles + 1 WHERE {SCATTERED}"


class KeptDelete(Kept):
    name, what, goal = "kept-delete", "delete a twentieth", 2.3
    statement = f"DELETE FROM vehicles_vehicleevent WHERE {SCATTERED}"


class KeptBeside(Kept):
    name, what, goal = "kept-beside", "change other columns of a twentieth", 1.3
    statement = f"UPDATE vehicles_vehicleevent SET notes = 'washed', cost = 3 WHERE {SCATTERED}"


class KeptSingle(Kept):
    """A transaction for each row."""

    name, what, goal = "kept-single", "insert single events", 1.4
    commits, rows = True, 300
    statement = "INSERT INTO vehicles_vehicleevent (vehicle_id, occurred_at, miles) VALUES (%s, '2023-01-01', %s)"

    def values(self, number: int) -> list[Any]:
        return [number % 1000 + 1, 20_000 + number]

    def by_hand(self) -> None:
        for number in range(self.rows):
            sql(self.statement, self.values(number))

    by_engine = by_hand


class KeptSingleBeside(KeptSingle):
    name, what, goal = "kept-single-beside", "change another column of single events", 1.3
    statement = "UPDATE vehicles_vehicleevent SET cost = %s WHERE id = %s"


class Backfill(Kept):
    name, what, goal = "backfill", "fill in every mileage, as one repair", None
    commits = True

    def prepare(self, *, on: bool) -> None:
        self.keep(on=False)
        sql("UPDATE vehicles_vehicle SET current_mileage = id % 7, mileage_computed_from = 'none'")
        super().prepare(on=on)

    def by_hand(self) -> None:
        sql(BACKFILL)

    def by_engine(self) -> None:
        report = repair([(self.rule, "recompute")], max_affected="100%")
        assert report.status == "clean", report.rules

    def left(self) -> object:
        return sql(MILEAGES)


class KeptSum(Kept):
    """Sum and Count over 250 rows a key, all of which are added up again."""

    name, what = "kept-sum", "insert an hour for each player, sum and count recomputed"
    goal: float | None = 2.5
    needs = "history"
    incremental = False
    known: Rule | None = None
    statement = """
        INSERT INTO players_hourlymetric (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment)
        SELECT player_id, device_id, hour - interval '10 years', 1, group_at_time_id, false
        FROM players_hourlymetric WHERE id % 100 = 1
    """

    @property
    def rule(self) -> Rule:
        if self.known is None:
            self.known = Derived(
                Player,
                equals={"distance_total": Sum("hourly_metrics__distance_km") + Count("hourly_metrics")},
                name=f"kept_{'added' if self.incremental else 'summed'}",
                because="The benchmark says so.",
                incremental=self.incremental,
                enforce=True,
            )
            self.known.app = "benchmarks"
            for model, trigger in triggers_of(self.known):
                sql(trigger.compile(model).install_sql)
        return self.known

    def prepare(self, *, on: bool) -> None:
        sql("ROLLBACK")
        self.keep(on=on)
        sql("VACUUM players_player, players_hourlymetric")
        if not self.commits:
            sql("BEGIN")

    def after(self) -> None:
        sql("ROLLBACK")
        for model, trigger in triggers_of(self.rule):  # type: ignore[arg-type]
            sql(trigger.compile(model).uninstall_sql)


class KeptAdded(KeptSum):
    name, what, goal = "kept-added", "the same, incremental", 1.5
    incremental = True


class KeptSumSingle(KeptSum):
    name, what = "kept-sum-single", "insert single hours, sum and count recomputed"
    goal: float | None = 5
    commits, rows = True, 200
    statement = """
        INSERT INTO players_hourlymetric (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment)
        SELECT player_id, device_id, timestamptz '1990-01-01' + %s * interval '1 hour', 1, group_at_time_id, false
        FROM players_hourlymetric WHERE player_id = %s LIMIT 1
    """

    def by_hand(self) -> None:
        for number in range(self.rows):
            sql(self.statement, [next(hours), number % 1000 + 1])

    by_engine = by_hand


class KeptAddedSingle(KeptSumSingle):
    name, what, goal = "kept-added-single", "the same, incremental", 1.5
    incremental = True


KEPT: list[type[Job]] = [
    KeptInsert,
    KeptUpdate,
    KeptDelete,
    KeptBeside,
    KeptSingle,
    KeptSingleBeside,
    Backfill,
    KeptSum,
    KeptAdded,
    KeptSumSingle,
    KeptAddedSingle,
]
