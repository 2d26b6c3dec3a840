"""Relinking by a mapping, which SQL by hand can do too; what texts and authors tell has no such form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction

from tests.benchmarks.league import FAR, LEAGUES, League, make
from tests.benchmarks.measure import Job
from tests.benchmarks.world import World, sql

# The distinct ids that lead nowhere first; their teams by the natural key, where it is that of one team.
FOUND = """
    CREATE TEMP TABLE moved ON COMMIT DROP AS
    SELECT k.old, min(t.id) AS new FROM (
        SELECT team_id AS old FROM teams_poll UNION SELECT team_id FROM teams_captainmessage
    ) AS d JOIN kept k USING (old) JOIN teams_club c ON c.name = k.club JOIN teams_series s ON s.name = k.series
    JOIN teams_league l ON l.league_id = k.league
    JOIN teams_team t ON (t.club_id, t.series_id, t.league_id) = (c.id, s.id, l.id)
    WHERE NOT EXISTS (SELECT FROM teams_team x WHERE x.id = d.old) GROUP BY k.old HAVING count(*) = 1;
    ANALYZE moved;
"""
WRITTEN = "UPDATE {table} r SET team_id = m.new FROM moved m WHERE r.team_id = m.old"
BACK = (
    "UPDATE {table} r SET team_id = b.old FROM before b WHERE b.kind = '{kind}' AND b.id = r.id AND r.team_id <> b.old"
)
FINE = """
    INSERT INTO {table} (team_id, {author}, {text}, created_at)
    SELECT t.new, t.n, 'See you', now() FROM truth t, generate_series(1, 9 * %(rows)s / %(teams)s)
"""
TABLES = (("teams_poll", "created_by_id", "question", "p"), ("teams_captainmessage", "captain_id", "message", "m"))


def load(world: World) -> None:
    """Polls and messages of which one in ten leads nowhere: 1,000,000 in full size, to one team in twenty."""
    teams, rows = int(100_000 * world.scale), int(50_000 * world.scale)
    make(League("kept", teams, teams // 20, rows, rows, kept=100, vanished=0, shift=FAR, second=FAR))
    for table, author, text, _ in TABLES:
        sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        sql(FINE.format(table=table, author=author, text=text), {"rows": rows, "teams": teams})
    sql("VACUUM ANALYZE")


class Relinked(Job):
    name = "relink"
    what = "point one reference of ten at its team by a mapping"
    needs = "league"

    def before(self) -> None:
        # What an earlier run has decided is evidence, and would be asked too.
        sql("TRUNCATE integrity_decision")
        for table, _, _, kind in TABLES:
            sql(BACK.format(table=table, kind=kind))
            sql(f"VACUUM {table}")

    def by_hand(self) -> None:
        with transaction.atomic():
            sql(FOUND)
            for table, *_ in TABLES:
                sql(WRITTEN.format(table=table))

    def by_engine(self) -> None:
        from tests.benchmarks.relinking import mapping, relink

        outcomes = relink([mapping()])
        assert set(outcomes) == {"relinked by mapping"}, outcomes

    def left(self) -> Any:
        return [sql(f"SELECT count(*), sum(team_id) FROM {table}") for table, *_ in TABLES]


class RelinkedByAll(Job):
    """Both columns are the engine's: what texts, authors and a shift add to a mapping of three ids in ten."""

    name = "relink-all"
    what = "350,000 references by all steps (best SQL: by the mapping alone)"
    needs = "league"

    def before(self) -> None:
        rows = sql("SELECT count(*) FROM truth")[0][0]
        if self.made != rows:
            everything = next(league for league in LEAGUES if league.name == "everything at once")
            teams, messages = rows, 3 * rows
            league = replace(everything, teams=teams, dangling=teams // 2, polls=teams // 2, messages=messages)
            make(league)
            sql("VACUUM ANALYZE")
            self.made = rows
        sql("TRUNCATE integrity_decision")
        for table, _, _, kind in TABLES:
            sql(BACK.format(table=table, kind=kind))
            sql(f"VACUUM {table}")

    made = 0

    def by_hand(self) -> None:
        from tests.benchmarks.relinking import mapping, relink

        relink([mapping()])

    def by_engine(self) -> None:
        from tests.benchmarks.relinking import relink

        relink()


RELINKED: list[type[Job]] = [Relinked, RelinkedByAll]
