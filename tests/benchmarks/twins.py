"""Two tables that should agree, 2,000,000 rows each in full size: finding what differs, and copying it over."""

from __future__ import annotations

from django.db import transaction

from integrity.consolidation.retiring import bring_back, keep_equal_no_longer
from integrity.engine import analyze
from integrity.look import look
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import RuleReport
from integrity.rules.agrees import Agrees
from integrity.scope import Scope
from stats.consolidation import FIELDS
from tests.benchmarks.measure import Job
from tests.benchmarks.world import World, sql

RULE = "stats.core_stats_agree"
LEFT, RIGHT = "stats_corestat", "core_stats_corestat"
ROWS = f"""
    INSERT INTO {{table}} (user_id, {", ".join(FIELDS)})
    SELECT g, 1 + g %% 100, 1 + g %% 99, 1 + g %% 98, 1 + g %% 97, 1 + g %% 96, 1 + g %% 95, g, g / 1000 + 1,
           timestamptz '2020-01-01' + g * interval '1 minute', timestamptz '2021-01-01' + g * interval '1 minute'
    FROM generate_series(1, %(rows)s) AS g
"""
# As they were, then a thousandth is modified, and some rows are in one table alone.
AS_BEFORE = """
    UPDATE {table} SET strength = 1 + user_id % 100,
           updated_at = timestamptz '2021-01-01' + user_id * interval '1 minute' WHERE user_id % 1000 = 0
"""
DIFFERENCES = f"""
    UPDATE {LEFT} SET strength = strength + 1, updated_at = updated_at + interval '1 day' WHERE user_id % 1000 = 0;
    DELETE FROM {LEFT} WHERE user_id % 2000 = 1;
    DELETE FROM {RIGHT} WHERE user_id % 3000 = 2
"""
UNEQUAL = " OR ".join(f"l.{field} IS DISTINCT FROM r.{field}" for field in FIELDS)
# The keys, and which fields differ: one pass over both in the order of their keys.
BY_HAND = f"""
    SELECT coalesce(l.user_id, r.user_id), {", ".join(f"l.{field} IS DISTINCT FROM r.{field}" for field in FIELDS)}
    FROM {LEFT} AS l FULL JOIN {RIGHT} AS r USING (user_id)
    WHERE l.user_id IS NULL OR r.user_id IS NULL OR {UNEQUAL}
"""
COLUMNS = ", ".join(("user_id", *FIELDS))
COPY_BY_HAND = f"""
    UPDATE {RIGHT} AS r SET ({", ".join(FIELDS)}) = ROW ({", ".join(f"l.{field}" for field in FIELDS)})
    FROM {LEFT} AS l WHERE l.user_id = r.user_id AND ({UNEQUAL});
    INSERT INTO {LEFT} ({COLUMNS}) SELECT {COLUMNS} FROM {RIGHT} AS r
    WHERE NOT EXISTS (SELECT FROM {LEFT} AS l WHERE l.user_id = r.user_id);
    INSERT INTO {RIGHT} ({COLUMNS}) SELECT {COLUMNS} FROM {LEFT} AS l
    WHERE NOT EXISTS (SELECT FROM {RIGHT} AS r WHERE r.user_id = l.user_id)
"""
CHECKSUM = ", ".join(
    f"(SELECT bit_xor(hashtextextended(({COLUMNS})::text, 0)) FROM {table})" for table in (LEFT, RIGHT)
)


def load_twins(world: World) -> None:
    """Both tables alive and alone: what refers to users, and what keeps a history, is nobody's work here."""
    rule = rule_of()
    bring_back(rule)
    keep_equal_no_longer(rule)
    for table in (LEFT, RIGHT):
        for (key,) in sql(f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'f'"):
            sql(f'ALTER TABLE {table} DROP CONSTRAINT "{key}"')
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        sql(ROWS.format(table=table), {"rows": int(2_000_000 * world.scale)})
    reset()


def reset() -> None:
    """The same differences again."""
    for table, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        sql(AS_BEFORE.format(table=table))
        sql(f"INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM {other} ON CONFLICT (user_id) DO NOTHING")
    sql(DIFFERENCES)
    sql(f"VACUUM ANALYZE {LEFT}, {RIGHT}")


def rule_of() -> Agrees:
    found = registry.get(RULE)
    assert isinstance(found, Agrees)
    return found


class Differences(Job):
    name, what = "agree", "differences of two tables, 11 columns: the look"
    goal: float | None = 1.2
    needs = "twins"

    def by_hand(self) -> None:
        with transaction.atomic():
            sql("SET LOCAL enable_hashjoin = off")
            sql(BY_HAND)

    def by_engine(self) -> None:
        report = RuleReport(RULE)
        look(rule_of(), Scope(), "default", report)
        assert report.violations


class DifferencesWhole(Differences):
    name, what, goal = "agree-analyze", "the same with records", 1.3

    def by_engine(self) -> None:
        assert analyze([rule_of()]).rules[0].violations


class CopyOver(Differences):
    name, what, goal = "agree-copy", "copy what differs, journaled", None

    def before(self) -> None:
        reset()

    def by_hand(self) -> None:
        with transaction.atomic():
            sql(f"SET LOCAL enable_hashjoin = off; {COPY_BY_HAND}")

    def by_engine(self) -> None:
        report = repair([(rule_of(), "newest")], max_affected="100%")
        assert report.status == "clean", report.rules[0].error

    def left(self) -> object:
        return sql(f"SELECT {CHECKSUM}")


TWINS: list[type[Job]] = [Differences, DifferencesWhole, CopyOver]
