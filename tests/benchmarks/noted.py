"""What it costs writers that their changes are noted, and what a look at what has changed costs instead of all."""

from __future__ import annotations

from itertools import count

import psycopg

from integrity.enforcement.noted import Noted
from integrity.engine import analyze
from integrity.registry import registry
from tests.benchmarks.jobs import DRIFT, MILEAGE, finished
from tests.benchmarks.measure import Job
from tests.benchmarks.world import HISTORY, own_url, sql

KEYS = 1_000
SOME = """
    SELECT p.id, p.distance_total, h.km, s.km FROM players_player p
    LEFT JOIN (SELECT player_id, sum(distance_km) km FROM players_hourlymetric
               WHERE player_id = ANY(%(keys)s) GROUP BY 1) h ON h.player_id = p.id
    LEFT JOIN (SELECT player_id, sum(distance_km - flushed_km) km FROM players_opensession
               WHERE player_id = ANY(%(keys)s) GROUP BY 1) s ON s.player_id = p.id
    WHERE p.id = ANY(%(keys)s) AND p.distance_total IS DISTINCT FROM COALESCE(h.km, 0) + COALESCE(s.km, 0)
"""
FIRST = "WHERE id <= 10 * (SELECT count(*) FROM kept_players)"
later = count(1)


class Writing(Job):
    """A statement on the history, bare and with the triggers that note. Rolled back before the next."""

    statement: str

    def prepare(self, *, on: bool) -> None:
        sql("ROLLBACK")
        for model, trigger in Noted(registry.get(MILEAGE)).triggers():
            state = "ENABLE" if on else "DISABLE"
            sql(f"ALTER TABLE {model._meta.db_table} {state} TRIGGER {trigger.get_pgid(model)}")
        sql(f"VACUUM {HISTORY}, integrity_note")
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
        self.prepare(on=True)
        sql("ROLLBACK")


class NotedInsert(Writing):
    name, what, goal = "noted-insert", "insert 10 hours for each player, changes noted", 1.2
    statement = f"""
        INSERT INTO {HISTORY} (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment)
        SELECT id, 1, timestamptz '2030-01-01' + h * interval '1 hour', 1, NULL, false
        FROM generate_series(1, 10) h, players_player
    """


class NotedUpdate(Writing):
    name, what, goal = "noted-update", "update the distance of 10 hours for each player, changes noted", 1.2
    statement = f"UPDATE {HISTORY} SET distance_km = distance_km + 1 {FIRST}"


class NotedOther(NotedUpdate):
    name, what = "noted-other", "the same for a column that no rule reads"
    statement = f"UPDATE {HISTORY} SET device_id = 1 {FIRST}"


class NotedSingle(Writing):
    name, what, goal, repeat = "noted-single", "one hour, changes noted", 1.2, 500

    def by_hand(self) -> None:
        sql(
            f"INSERT INTO {HISTORY} (player_id, device_id, hour, distance_km, is_adjustment)"
            " VALUES (%s, 1, timestamptz '2040-01-01' + %s * interval '1 hour', 1, false)",
            [100, next(later)],
        )

    def by_engine(self) -> None:
        self.by_hand()


class Changed(Job):
    """By hand everything is looked at; correct writers have changed the keys."""

    goal: float | None
    name, what, goal = "changed", f"{KEYS:,} changed keys (analyze --changed) for a look at everything", 0.02

    def before(self) -> None:
        rule = registry.get(MILEAGE)
        if analyze([rule], changed=True).status == "failed":
            finished(analyze([rule]))
        (players,) = sql("SELECT count(*) FROM kept_players")[0]
        step = max(1, players // KEYS)
        sql(
            f"UPDATE {HISTORY} SET distance_km = distance_km + 0.1"
            " WHERE id <= %(players)s AND player_id %% %(step)s = 0;"
            "UPDATE players_player SET distance_total = distance_total + 0.1 WHERE id %% %(step)s = 0;",
            {"players": players, "step": step},
        )
        sql(f"VACUUM players_player, {HISTORY}, integrity_note")

    def by_hand(self) -> None:
        sql(DRIFT)

    def by_engine(self) -> None:
        report = finished(analyze([registry.get(MILEAGE)], changed=True))
        assert report.rules[0].changed is not None


class ChangedByHand(Changed):
    """The floor: as many index ranges, and a connection, as the verb leaves records."""

    name, what, goal = "changed-floor", "the same for a look at those keys by hand", None

    def by_hand(self) -> None:
        (players,) = sql("SELECT count(*) FROM kept_players")[0]
        keys = [*range(step := max(1, players // KEYS), players + 1, step)]
        with psycopg.connect(own_url()) as by_itself:
            by_itself.execute(SOME, {"keys": keys}).fetchall()


class ChangedTogether(Changed):
    """Where the rows of one key lie side by side; otherwise each of them is a block of its own."""

    name, what = "changed-together", "as changed, the hours of a player stored side by side"
    lies_together = False

    def before(self) -> None:
        if not self.lies_together:
            sql(f"CLUSTER {HISTORY} USING hourly_metric_occurs_once; ANALYZE {HISTORY};")
            self.lies_together = True
        super().before()


NOTED: list[type[Job]] = [Changed, ChangedByHand, NotedInsert, NotedUpdate, NotedOther, NotedSingle, ChangedTogether]
