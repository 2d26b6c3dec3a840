"""What an import costs beside a COPY into a staging table and statements that write only what differs."""

from __future__ import annotations

import atexit
import csv
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.db import connection, transaction

from integrity.importing import run_import
from integrity.limits import Limit
from teams.feeds import nightly
from tests.benchmarks.measure import Job
from tests.benchmarks.world import World, sql

CLUBS, LEAGUES = 500, 10
EMPTY = """
    TRUNCATE integrity_change, integrity_snapshot, integrity_rejectedrow, teams_teamkey, teams_team CASCADE;
    DELETE FROM teams_league; DELETE FROM teams_club; DELETE FROM teams_series
"""
STAGED = """
    CREATE TEMP TABLE staged (club text, series text, league text, name text, alias text, id text) ON COMMIT DROP
"""
# One full join finds what is new, other and gone: nothing is joined to a table that this transaction has just filled,
# of which the planner knows nothing, and a full join is never done row by row.
WRITE = """
    ANALYZE staged (club, series, league);
    ANALYZE teams_league, teams_club, teams_series;
    CREATE TEMP TABLE diff ON COMMIT DROP AS
    SELECT t.id AS team, f.club IS NULL AS gone, f.*
    FROM (SELECT c.id AS club, e.id AS series, l.id AS league, s.name, COALESCE(s.alias, '') AS alias, s.id
          FROM staged s JOIN teams_club c ON c.name = s.club JOIN teams_series e ON e.name = s.series
          JOIN teams_league l ON l.league_id = s.league) f
    FULL JOIN teams_team t ON t.club_id = f.club AND t.series_id = f.series AND t.league_id = f.league
    WHERE CASE WHEN f.club IS NULL THEN t.is_active ELSE t.id IS NULL
               OR (t.name, t.alias, t.external_id, t.is_active) IS DISTINCT FROM (f.name, f.alias, f.id, true) END;
    ANALYZE diff (team, gone);
    UPDATE teams_team t SET is_active = false FROM diff d WHERE d.team = t.id AND d.gone;
    UPDATE teams_team t SET name = d.name, alias = d.alias, external_id = d.id, is_active = true
    FROM diff d WHERE d.team = t.id AND NOT d.gone;
    INSERT INTO teams_team (club_id, series_id, league_id, name, alias, external_id, is_active)
    SELECT club, series, league, name, alias, id, true FROM diff WHERE team IS NULL
"""
PARENTS = """
    INSERT INTO teams_league (league_id, name) SELECT 'L' || i, 'League ' || i FROM generate_series(1, %s) i
        ON CONFLICT DO NOTHING;
    INSERT INTO teams_club (name) SELECT 'Club ' || i FROM generate_series(1, %s) i ON CONFLICT DO NOTHING;
    INSERT INTO teams_series (name) SELECT 'Series ' || i FROM generate_series(1, %s) i ON CONFLICT DO NOTHING
"""
folder = Path(tempfile.gettempdir())
size = {"series": 100}


def load(world: World) -> None:
    """The files of a night with 500,000 teams at full size."""
    global folder  # noqa: PLW0603
    size["series"] = max(1, int(100 * world.scale))
    folder = Path(tempfile.mkdtemp(prefix="holdtrue_feed_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _file("leagues", ["league_id", "name"], ([f"L{i}", f"League {i}"] for i in range(1, LEAGUES + 1)))
    _file("clubs", ["name"], ([f"Club {i}"] for i in range(1, CLUBS + 1)))
    _file("series", ["name"], ([f"Series {i}"] for i in range(1, size["series"] + 1)))
    send("")


def send(alias: str) -> None:
    """Teams, of which every fifth has this alias."""
    rows = (
        [f"Club {c}", f"Series {s}", f"L{n}", f"Club {c} Series {s}", alias if (c + s) % 5 == 0 else "", f"{c}.{s}"]
        for n in range(1, LEAGUES + 1)
        for c in range(1, CLUBS + 1)
        for s in range(1, size["series"] + 1)
    )
    _file("teams", ["club", "series", "league", "name", "alias", "id"], rows)


def _file(name: str, header: list[str], rows: Iterator[list[str]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(itertools.chain([header], rows))


class FirstImport(Job):
    """Into empty tables, with the foreign keys and indexes that there are."""

    name, what, goal, needs = "import-first", "import 500,000 teams for the first time", 1.5, "feed"

    def before(self) -> None:
        sql(EMPTY)
        sql("VACUUM ANALYZE teams_team, teams_teamkey, integrity_change")

    def by_hand(self) -> None:
        # As careful as the engine: all or nothing.
        with transaction.atomic():
            sql(PARENTS, [LEAGUES, CLUBS, size["series"]])
            sql(STAGED)
            copy_in = "COPY staged FROM STDIN (FORMAT csv, HEADER, FORCE_NULL (alias))"
            with connection.cursor() as cursor, cursor.copy(copy_in) as copy, (folder / "teams.csv").open("rb") as file:
                while chunk := file.read(1 << 20):
                    copy.write(chunk)
            sql(WRITE)

    def by_engine(self) -> None:
        for feed in nightly.feeds:
            feed.limit = Limit.declared("100%")
        report = run_import(nightly, folder)
        assert report.status == "clean", report.error

    def left(self) -> object:
        return sql("SELECT count(*), sum(hashtextextended(ROW(name, alias, external_id)::text, 0)) FROM teams_team")


class SecondImport(FirstImport):
    """The same files again: nothing is written."""

    name, what = "import-again", "import the same files again"

    def before(self) -> None:
        if not sql("SELECT FROM teams_team LIMIT 1"):
            self.by_engine()
            sql("VACUUM ANALYZE teams_team, teams_club, teams_series, teams_league")


class ChangedImport(SecondImport):
    """Every fifth team has another alias, spread over the table, journaled and with gates."""

    name, what = "import-changed", "import them with a fifth changed"

    def before(self) -> None:
        super().before()
        send("")
        sql("UPDATE teams_team SET alias = 'old' WHERE abs(hashint8(id)) %% 5 = 0", [])
        sql("VACUUM ANALYZE teams_team")

    def after(self) -> None:
        sql(EMPTY)


IMPORTED: list[type[Job]] = [FirstImport, SecondImport, ChangedImport]
