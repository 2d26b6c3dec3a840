"""The jobs: what a good engineer would write by hand, and the same asked of the engine."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
from django.db import transaction
from django.db.models import F, Sum
from django.test.utils import override_settings

import integrity
from integrity import Derived
from integrity.enforcement.declared import our_triggers
from integrity.engine import analyze
from integrity.look import look
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report, RuleReport
from integrity.scope import Scope
from integrity.undo import undo
from players.models import Player
from tests.benchmarks.measure import Job
from tests.benchmarks.world import major, own_url, sql

MILEAGE, TREE = "players.mileage_adds_up", "players.group_total_adds_up"

EXPECTED = """
    SELECT p.id, h.km + COALESCE(s.km, 0) AS km, p.distance_total AS stored FROM players_player p
    LEFT JOIN (SELECT player_id, sum(distance_km) km FROM players_hourlymetric GROUP BY 1) h ON h.player_id = p.id
    LEFT JOIN (SELECT player_id, sum(distance_km - flushed_km) km FROM players_opensession GROUP BY 1) s
      ON s.player_id = p.id
"""
DRIFT = f"SELECT id, stored, km FROM ({EXPECTED}) e WHERE stored IS DISTINCT FROM km ORDER BY id"
ONE_KEY = """
    SELECT p.id, p.distance_total,
           (SELECT COALESCE(sum(distance_km), 0) FROM players_hourlymetric h WHERE h.player_id = p.id)
           + (SELECT COALESCE(sum(distance_km - flushed_km), 0) FROM players_opensession s WHERE s.player_id = p.id)
    FROM players_player p WHERE p.id = 100
"""
# Detect into a temporary table, rank the rows of the drifted ones alone, write.
FIND_SURPLUS = f"""
    CREATE TEMP TABLE drift ON COMMIT DROP AS SELECT id, km - stored AS surplus FROM ({EXPECTED}) e WHERE km > stored;
    ANALYZE drift;
    CREATE TEMP TABLE going ON COMMIT DROP AS
    SELECT id, gone <= surplus AS whole, gone - surplus AS rest FROM (
        SELECT id, distance_km, surplus,
               sum(distance_km) OVER (PARTITION BY player_id ORDER BY rank, hour DESC, id DESC
                                      ROWS UNBOUNDED PRECEDING) AS gone
        FROM (
            SELECT m.id, m.player_id, m.hour, m.distance_km, d.surplus, CASE
                WHEN max(device_id) OVER same_hour > min(device_id) OVER same_hour THEN 0
                WHEN lag(hour) OVER ride >= hour - interval '1 hour'
                     AND lag(device_id) OVER ride IS DISTINCT FROM device_id THEN 1
                WHEN lead(hour) OVER ride <= hour + interval '1 hour'
                     AND lead(device_id) OVER ride IS DISTINCT FROM device_id THEN 1
                ELSE 2 END AS rank
            FROM drift d JOIN players_hourlymetric m ON m.player_id = d.id
            WINDOW same_hour AS (PARTITION BY player_id, hour), ride AS (PARTITION BY player_id ORDER BY hour, m.id)
        ) r
    ) s WHERE gone - distance_km < surplus;
    ANALYZE going;
"""
TRIM = f"""
    {FIND_SURPLUS}
    DELETE FROM players_hourlymetric m USING going g WHERE g.id = m.id AND g.whole;
    UPDATE players_hourlymetric m SET distance_km = g.rest FROM going g WHERE g.id = m.id AND NOT g.whole;
"""
RECOMPUTE = f"""
    UPDATE players_player p SET distance_total = e.km FROM ({EXPECTED}) e
    WHERE e.id = p.id AND p.distance_total IS DISTINCT FROM e.km
"""
TREE_DRIFT = """
    WITH RECURSIVE below AS (
        SELECT id AS root, id AS node FROM players_group
        UNION SELECT b.root, g.id FROM below b JOIN players_group g ON g.parent_id = b.node
    ), riders AS (SELECT DISTINCT b.root, m.player_id FROM below b JOIN players_membership m ON m.group_id = b.node)
    SELECT g.id, g.distance_total, t.km FROM players_group g LEFT JOIN (
        SELECT r.root, sum(p.distance_total) km FROM riders r JOIN players_player p ON p.id = r.player_id GROUP BY 1
    ) t ON t.root = g.id WHERE g.distance_total IS DISTINCT FROM COALESCE(t.km, 0)
"""
RESET = """
    UPDATE players_player p SET distance_total = k.distance_total FROM kept_players k
    WHERE k.id = p.id AND p.distance_total <> k.distance_total;
    UPDATE players_hourlymetric m SET distance_km = k.distance_km FROM kept k
    WHERE k.id = m.id AND m.distance_km <> k.distance_km;
    INSERT INTO players_hourlymetric SELECT * FROM kept k WHERE NOT EXISTS (
        SELECT FROM players_hourlymetric m WHERE m.id = k.id);
"""
HISTORY = """
    SELECT count(*), sum(distance_km), bit_xor(hashtextextended(id || ':' || distance_km, 0)) FROM players_hourlymetric
"""
# What somebody careful keeps aside before a repair by hand, and puts back from there.
SAVED = """
    DROP TABLE IF EXISTS saved;
    CREATE TABLE saved AS SELECT id, distance_total FROM players_player WHERE id % 10 = 0
"""
SAVED_BACK = "UPDATE players_player p SET distance_total = s.distance_total FROM saved s WHERE s.id = p.id"
GONE = """
    DROP TABLE IF EXISTS gone, reduced;
    CREATE TABLE gone AS SELECT * FROM kept k WHERE NOT EXISTS (SELECT FROM players_hourlymetric m WHERE m.id = k.id);
    CREATE TABLE reduced AS SELECT k.id, k.distance_km FROM kept k JOIN players_hourlymetric m USING (id)
    WHERE m.distance_km <> k.distance_km
"""
GONE_BACK = """
    INSERT INTO players_hourlymetric SELECT * FROM gone;
    UPDATE players_hourlymetric m SET distance_km = r.distance_km FROM reduced r WHERE r.id = m.id
"""
TOTALS = "SELECT bit_xor(hashtextextended(id || ':' || distance_total, 0)) FROM players_player"


def plant(every: int, by: str) -> None:
    """Give back what a round has changed, and let the totals of every so many players drift."""
    sql(RESET)
    sql(f"UPDATE players_player SET distance_total = distance_total {by} WHERE id % {every} = 0")
    # The hint bits of what was just written are not part of anybody's work.
    sql("VACUUM (ANALYZE, INDEX_CLEANUP OFF, TRUNCATE OFF) players_player, players_hourlymetric")


def write(statements: str) -> None:
    with transaction.atomic():
        sql(statements)


def finished(report: Report, status: str = "clean") -> Report:
    """A figure of work that was not done would be a lie."""
    assert report.status == status, [(rule.rule, rule.status, rule.error, rule.reasons[:3]) for rule in report.rules]
    return report


def repaired(label: str, strategy: str) -> Report:
    return finished(repair([(registry.get(label), strategy)], max_affected="100%"))


# Looking


class Statement(Job):
    name, what, goal = "statement", "find 1% drifted totals, the statement alone", 1.2

    def before(self) -> None:
        plant(every=100, by="- 3.3")

    def by_hand(self) -> None:
        sql(DRIFT)

    def by_engine(self) -> None:
        look(registry.get(MILEAGE), Scope(), "default", RuleReport(MILEAGE))


class Analyze(Statement):
    name, what = "analyze", "the same with records"

    def by_engine(self) -> None:
        finished(analyze([registry.get(MILEAGE)]), "violated")


class Key(Job):
    """A look by hand opens a connection, as the verb leaves records; the bare index range is a fraction of either."""

    name, what, goal, repeat = "key", "one total (analyze --key)", 3, 20

    def by_hand(self) -> None:
        with psycopg.connect(own_url()) as by_itself:
            by_itself.execute(ONE_KEY).fetchall()

    def by_engine(self) -> None:
        analyze([registry.get(MILEAGE)], keys=[(100,)])


class Tree(Job):
    name, what, goal, repeat = "tree", "group totals over the tree", None, 3

    def before(self) -> None:
        sql(RESET)

    def by_hand(self) -> None:
        sql(TREE_DRIFT)

    def by_engine(self) -> None:
        analyze([registry.get(TREE)])


# Repairing


class Trim(Job):
    name, what, goal = "trim", "trim the history of 1% exactly", 1.5

    def before(self) -> None:
        plant(every=100, by="- 3.3")

    def by_hand(self) -> None:
        write(TRIM)

    def by_engine(self) -> None:
        repaired(MILEAGE, "delete_extra_metrics")

    def left(self) -> object:
        return sql(HISTORY)


class Recompute(Job):
    """A rule of the same formula whose column follows the rows, in place of the one whose column is the master."""

    name, what, goal = "recompute-1", "recompute 1% of the totals", None
    every = 100

    def before(self) -> None:
        plant(self.every, by="+ 2")

    def by_hand(self) -> None:
        write(RECOMPUTE)

    def by_engine(self) -> None:
        master = registry.get(MILEAGE)
        total = Derived(
            Player,
            "distance_total",
            equals=Sum("hourly_metrics__distance_km")
            + Sum(F("open_session__distance_km") - F("open_session__flushed_km")),
            name="total_follows",
            because="The benchmark says so.",
            # That of the rule whose place it takes notes what changes.
            repairs={"recompute": integrity.Recompute(allow_triggers=sorted(our_triggers(registry)))},
        )
        registry.unregister(MILEAGE)
        registry.register("benchmarks", [total])
        try:
            self.report = repaired(total.label, "recompute")
        finally:
            registry.unregister(total.label)
            registry.register("players", [master])

    def left(self) -> object:
        return sql(TOTALS)


class RecomputeMore(Recompute):
    name, what = "recompute-10", "recompute 10% of the totals"
    every = 10


class Undo(RecomputeMore):
    name, what, goal = "undo", "take that back", None

    def before_hand(self) -> None:
        self.before()
        sql(SAVED)
        write(RECOMPUTE)

    def before_engine(self) -> None:
        self.before()
        super().by_engine()

    def by_hand(self) -> None:
        write(SAVED_BACK)

    def by_engine(self) -> None:
        finished(undo(self.report.run))


class Journal(Trim):
    """Many rows in one batch: what the journal costs, and little else. 15 hours of each player are too many."""

    name, what, goal = "journal", "delete 15 hours of each player, journaled", 1.5

    def promised(self) -> float | None:
        """From 18 on deletes and updates are themselves quicker, and the journal is not."""
        return 2 if major() >= 18 else self.goal

    def before(self) -> None:
        plant(every=1, by="- 15")

    def by_engine(self) -> None:
        with override_settings(INTEGRITY={"BATCH_KEYS": 100_000}):
            self.report = repaired(MILEAGE, "delete_extra_metrics")


class UndoMany(Journal):
    name, what = "undo-journal", "take that back"

    def promised(self) -> float | None:
        return None

    def before_hand(self) -> None:
        self.before()
        write(TRIM)
        sql(GONE)

    def before_engine(self) -> None:
        self.before()
        super().by_engine()

    def by_hand(self) -> None:
        write(GONE_BACK)

    def by_engine(self) -> None:
        finished(undo(self.report.run))


# Starting


class Start(Job):
    """Processes: what any command of this project costs, and a look at something small."""

    name, what, goal, repeat = "start", "manage.py integrity analyze against manage.py help", None, 3

    def before(self) -> None:
        sql(RESET)

    def by_hand(self) -> None:
        self.run("help")

    def by_engine(self) -> None:
        self.run("integrity", "analyze", TREE)

    @staticmethod
    def run(*words: str) -> None:
        environment = {**os.environ, "DATABASE_URL": own_url()}
        subprocess.run([sys.executable, "manage.py", *words], env=environment, stdout=subprocess.PIPE, check=True)


JOBS: list[type[Job]] = [
    Statement,
    Analyze,
    Key,
    Tree,
    Trim,
    Recompute,
    RecomputeMore,
    Undo,
    Journal,
    UndoMany,
    Start,
]
