"""A league whose import gave every team a new number, with the truth kept beside: what each old number became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.world import sql

FAR = 1_000_931


@dataclass(frozen=True)
class League:
    """How large it is, and what is wrong with what its members wrote; shares are percents.

    shift: what every number grew by; one within their range gives numbers again to other teams. second: what those of
    the later half grew by instead. kept: teams of which the import kept the natural key. vanished: teams that are gone.
    renamed: series that have another name by now. opponents: rows that name another team beside their own; misleading:
    rows that name only another one; quiet: rows that name none. moved: authors that play for another team by now. two:
    authors with a team in another league as well.
    """

    name: str
    teams: int = 2_000
    dangling: int = 1_000
    polls: int = 1_000
    messages: int = 6_000
    shift: int = FAR
    second: int = FAR
    kept: int = 30
    vanished: int = 5
    renamed: int = 0
    opponents: int = 10
    misleading: int = 0
    moved: int = 0
    two: int = 15
    quiet: int = 40
    seed: str = "1"


LEAGUES = (
    League("a constant shift with gaps"),
    League("nothing kept by the import", kept=0),
    League("numbers that were given again", shift=931, second=931),
    League("two shifts", second=FAR + 46),
    League("renamed series", renamed=10),
    League("texts that name opponents", opponents=50),
    League("everything at once", second=FAR + 46, renamed=10, opponents=30, two=30, vanished=15),
    League("authors that moved on", moved=15),
    League("texts that name only others", misleading=5),
    League("everything at once, and misleading", renamed=10, opponents=30, misleading=5, moved=15, two=30, vanished=15),
    League("a row for each, nothing kept", kept=0, polls=0, messages=1_000),
    League(
        "the same, two shifts and misleading", kept=0, polls=0, messages=1_000, second=FAR + 46, moved=15, misleading=10
    ),
)

# A draw is the same each time for the same row, purpose and seed.
DRAW = """
    CREATE OR REPLACE FUNCTION draw(n bigint, purpose text, seed text, below bigint) RETURNS bigint
    IMMUTABLE LANGUAGE sql AS $$ SELECT (hashtextextended(purpose || ':' || seed, n) & 9007199254740991) % below $$;
"""
TABLES = "teams_captainmessage, teams_pollresponse, teams_pollchoice, teams_poll, teams_teammembership, teams_team"
EMPTY = f"""
    TRUNCATE {TABLES}, teams_series, teams_club, teams_league, auth_user, integrity_change, integrity_decision
    RESTART IDENTITY CASCADE;
    DROP TABLE IF EXISTS truth, kept, before;
"""
# Teams by number: those before the import, with gaps, what they became, and which of them are referred to.
TEAMS = """
    CREATE TABLE truth AS SELECT t.*, old + CASE WHEN n > %(teams)s / 2 THEN %(second)s ELSE %(shift)s END AS new,
        draw(n, 'vanished', %(seed)s, 100) < %(vanished)s AS vanished,
        n %% greatest(%(teams)s / %(dangling)s, 1) = 0 AS referred
    FROM (SELECT n, 80000 + n + n / 7 + n / 50 * 3 AS old, n %% 6 + 1 AS league,
        n / 6 %% %(clubs)s + 1 AS club, n / (6 * %(clubs)s) + 1 AS series
        FROM generate_series(1, %(teams)s) AS n) AS t;
    CREATE UNIQUE INDEX ON truth (old);
    CREATE UNIQUE INDEX ON truth (n);
    INSERT INTO teams_league (id, league_id, name)
        SELECT l, 'LEAGUE_' || l, 'League ' || l FROM generate_series(1, 6) l;
    INSERT INTO teams_club (id, name)
        SELECT c, 'Club ' || chr(65 + c %% 26) || chr(97 + c / 26 %% 26) || chr(97 + c / 676) || 'ford'
        FROM generate_series(1, %(clubs)s) c;
    INSERT INTO teams_series (id, name)
        SELECT s, 'Series ' || s || CASE s %% 3 WHEN 0 THEN 'B' ELSE '' END
        FROM (SELECT DISTINCT series AS s FROM truth) AS s;
    CREATE TABLE kept AS SELECT t.old, c.name AS club, s.name AS series, l.league_id AS league
        FROM truth t JOIN teams_club c ON c.id = t.club JOIN teams_series s ON s.id = t.series
        JOIN teams_league l ON l.id = t.league WHERE draw(t.n, 'kept', %(seed)s, 100) < %(kept)s;
    INSERT INTO teams_team (id, club_id, series_id, league_id, name)
        SELECT t.new, t.club, t.series, t.league, c.name || ' - ' || s.name
        FROM truth t JOIN teams_club c ON c.id = t.club JOIN teams_series s ON s.id = t.series WHERE NOT t.vanished;
"""
# Everybody plays for one team, some for one of another league too, and some play for another one by now.
MEMBERS = """
    INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
        date_joined)
        SELECT u, 'member-' || u, '', '', '', '', false, false, true, now() FROM generate_series(1, %(teams)s * 3) u;
    INSERT INTO teams_teammembership (user_id, team_id, is_primary, is_captain)
        SELECT u, t.new, true, false FROM (SELECT u, CASE WHEN draw(u, 'moved', %(seed)s, 100) < %(moved)s
            THEN draw(u, 'where', %(seed)s, %(teams)s) ELSE u / 3 END + 1 AS n
            FROM generate_series(0, %(teams)s * 3 - 1) u WHERE draw(u, 'member', %(seed)s, 100) < 85 AND u > 0) AS m
        JOIN truth t USING (n) WHERE NOT t.vanished;
    INSERT INTO teams_teammembership (user_id, team_id, is_primary, is_captain)
        SELECT u, t.new, false, false FROM generate_series(1, %(teams)s * 3 - 1) u
        JOIN truth t ON t.n = draw(u, 'second', %(seed)s, %(teams)s) + 1
        WHERE draw(u, 'two', %(seed)s, 100) < %(two)s AND NOT t.vanished ON CONFLICT DO NOTHING;
"""
TEXTS = """
    INSERT INTO {table} (id, team_id, {author}, {text}, created_at)
    SELECT m, t.old, greatest((t.n - 1) * 3 + draw(m, 'author', %(seed)s, 3), 1),
        CASE WHEN d < %(quiet)s THEN (ARRAY['See you at 22:00', 'Court 12, bring balls', 'Who can play on 3/14/2026?',
                'We won 6-4, 7-5', 'Is the net still broken? Call 555-0122'])[m %% 5 + 1]
            WHEN d < %(quiet)s + %(misleading)s THEN 'They are good, ' || os.name || ' of ' || oc.name
            WHEN d < %(quiet)s + %(misleading)s + %(opponents)s THEN
                s.name || ' of ' || c.name || ' plays ' || upper(os.name) || ' of ' || oc.name || ' at 6:30pm'
            WHEN d < 85 THEN 'Practice of ' || c.name || ', ' || lower(s.name) || ', court ' || m %% 9
            ELSE s.name || ' meets in 2022 again' END, now()
    FROM (SELECT m, draw(m, {purpose}, %(seed)s, 100) AS d FROM generate_series(1, {rows}) m) AS m
    JOIN truth t ON t.n = (draw(m, {purpose} || 'team', %(seed)s, %(dangling)s) + 1)
        * greatest(%(teams)s / %(dangling)s, 1)
    JOIN truth o ON o.n = draw(m, 'opponent', %(seed)s, %(teams)s) + 1
    JOIN teams_series s ON s.id = t.series JOIN teams_club c ON c.id = t.club
    JOIN teams_series os ON os.id = o.series JOIN teams_club oc ON oc.id = o.club;
"""
BEFORE = """
    CREATE TABLE before AS SELECT 'p' AS kind, id, team_id AS old FROM teams_poll
        UNION ALL SELECT 'm', id, team_id FROM teams_captainmessage;
    CREATE UNIQUE INDEX ON before (kind, id);
"""
# After everything was written: the names of today.
RENAMED = "UPDATE teams_series SET name = 'Division ' || id WHERE draw(id, 'renamed', %(seed)s, 100) < %(renamed)s"


def make(league: League) -> None:
    """Empty the tables of the app and fill them with a league."""
    sql(DRAW)
    sql(EMPTY)
    sql("TRUNCATE integrity_run CASCADE")
    params = vars(league) | {"clubs": max(20, league.teams // 100)}
    sql(TEAMS, params)
    sql(MEMBERS, params)
    for table, author, text, rows in (
        ("teams_poll", "created_by_id", "question", "polls"),
        ("teams_captainmessage", "captain_id", "message", "messages"),
    ):
        sql(_texts(table, author, text, rows), params)
    sql(RENAMED, params)
    sql(BEFORE)
    sql(f"ANALYZE {TABLES}, teams_series, teams_club, teams_league")


def _texts(table: str, author: str, text: str, rows: str) -> str:
    named = {"{table}": table, "{author}": author, "{text}": text, "{rows}": f"%({rows})s", "{purpose}": f"'{rows}'"}
    statement = TEXTS
    for part, stands_for in named.items():
        statement = statement.replace(part, stands_for)
    return statement


def right_and_wrong() -> tuple[int, int, int, int]:
    """Rows that lead where they should, rows that were led elsewhere, rows that were left, those of vanished teams."""
    rows: Sequence[tuple[int, ...]] = sql(
        "SELECT count(*) FILTER (WHERE r.team_id = t.new AND NOT t.vanished),"
        " count(*) FILTER (WHERE r.team_id <> t.old AND (r.team_id <> t.new OR t.vanished)),"
        " count(*) FILTER (WHERE r.team_id = t.old), count(*) FILTER (WHERE t.vanished)"
        " FROM (SELECT team_id, before.old FROM teams_poll p JOIN before ON before.kind = 'p' AND before.id = p.id"
        " UNION ALL SELECT team_id, before.old FROM teams_captainmessage m"
        " JOIN before ON before.kind = 'm' AND before.id = m.id) AS r JOIN truth t ON t.old = r.old"
    )
    return rows[0]  # type: ignore[return-value]
