"""Plants the stories into loaded test data: a table that a backup multiplied, teams that an import renumbered."""

from dataclasses import dataclass
from time import perf_counter

from django.contrib.auth.models import User
from django.db import connection, transaction

from teams.models import CaptainMessage, Poll, PracticeTime, Team, TeamMembership
from teams.test_data import figures
from teams.test_data.figures import BadArgument

# What waits to be checked at the end of the transaction would be in the way.
UNPROTECT = (
    "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; DROP INDEX IF EXISTS teams_practice_time_is_one_once"
)
# Restored backups carry the time of their restore, all else is the same. The first entry is the true one.
VARIANTS = """
    CREATE TEMP TABLE practice_variants ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY copy, p.id) - 1 AS variant, p.team_id, p.day_of_week, p.start_time, p.end_time,
        p.location, p.league_id, p.created_at + copy * interval '1 day' AS created_at, copy
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS place FROM practice_times WHERE team_id = ANY(%(teams)s)) AS p
    CROSS JOIN LATERAL generate_series(0, CASE WHEN place <= %(thrice)s THEN 2 ELSE 1 END) AS copy
"""
# Variants that the table has not seen come first, then all of them in turn.
MULTIPLY = """
    INSERT INTO practice_times (team_id, day_of_week, start_time, end_time, location, league_id, created_at)
    SELECT v.team_id, v.day_of_week, v.start_time, v.end_time, v.location, v.league_id, v.created_at
    FROM generate_series(0, %(added)s - 1) AS n
    JOIN practice_variants AS v ON v.variant = (n + %(there)s) %% (SELECT count(*) FROM practice_variants)
"""
# The provider's side follows its teams: all but what members wrote.
RENUMBER = (
    "SET CONSTRAINTS ALL DEFERRED",
    "UPDATE teams_teammembership SET team_id = team_id + %(shift)s WHERE team_id = ANY(%(teams)s)",
    "UPDATE schedule SET home_team_id = home_team_id + %(shift)s WHERE home_team_id = ANY(%(teams)s)",
    "UPDATE schedule SET away_team_id = away_team_id + %(shift)s WHERE away_team_id = ANY(%(teams)s)",
    "UPDATE practice_times SET team_id = team_id + %(shift)s WHERE team_id = ANY(%(teams)s)",
    "UPDATE teams_team SET id = id + %(shift)s WHERE id = ANY(%(teams)s)",
)


@dataclass(frozen=True)
class Duplicated:
    """Rows there were and are, and the seconds that it took."""

    before: int
    after: int
    seconds: float


@dataclass(frozen=True)
class Renumbered:
    """How many teams have other numbers, and how many polls and messages point at the old ones."""

    teams: int
    polls: int
    messages: int


def multiply_practice_times(rows: int = 3_470_114, *, seed: int = 1) -> Duplicated:
    """Do what a backup loop did: restore the practice times of a seed over and over, until the table has `rows` rows.

    The unique constraint goes, as it was not there when that happened. Of 17 rows 41 distinct ones are made. Raises
    BadArgument.
    """
    figures.check("rows", rows, figures.ROWS)
    started = perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        teams = _teams(seed)
        before = PracticeTime.objects.count()
        own = PracticeTime.objects.filter(team__in=teams).count()
        if own != len(figures.PRACTISING):
            raise BadArgument(
                f"rows needs the {len(figures.PRACTISING)} practice times of seed {seed} and found {own:,}."
            )
        cursor.execute(UNPROTECT)
        cursor.execute(VARIANTS, {"teams": teams, "thrice": figures.THRICE})
        cursor.execute(MULTIPLY, {"added": max(rows - before, 0), "there": own})
        cursor.execute("ANALYZE practice_times")
    return Duplicated(before, max(rows, before), perf_counter() - started)


def renumber_teams(*, seed: int = 1) -> Renumbered:
    """Do what an import did that deletes and inserts: every team of a seed has a number that is 931 higher.

    Its own rows follow, what members wrote does not. Raises BadArgument.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        teams = _teams(seed)
        if figures.first_id(seed) not in teams:
            raise BadArgument(f"seed {seed} has been renumbered before: load another one.")
        for statement in RENUMBER:
            cursor.execute(statement, {"teams": teams, "shift": figures.SHIFT} if "%" in statement else None)
        polls, messages = (model.objects.filter(team__in=teams).count() for model in (Poll, CaptainMessage))
    return Renumbered(len(teams), polls, messages)


def _teams(seed: int) -> list[int]:
    """The numbers of the teams of a seed. Raises BadArgument where there are none."""
    found = Team.objects.filter(league__league_id__startswith=f"{figures.mark(seed)}-").order_by("pk")
    teams = list(found.values_list("pk", flat=True))
    if not teams:
        raise BadArgument(f"seed {seed} is not loaded: run load_team_test_data --seed {seed} first.")
    return teams


def plant_near_misses(*, seed: int = 1) -> int:
    """Plant rows that no evidence leads to exactly one team, which a careful repair leaves; how many.

    A text that names the series of five clubs, one that says 2022 and means no Series 22, an author with a team in
    each of two leagues, a poll that points at another team than its author's, and one that points at none. Raises
    BadArgument when they are there.
    """
    with transaction.atomic():
        teams = _teams(seed)
        mark, gone = figures.mark(seed), figures.first_id(seed) + figures.IDS_PER_SEED // 2
        if User.objects.filter(username=f"{mark}-guest").exists():
            raise BadArgument(f"seed {seed} has its near misses.")
        guest, both = (User.objects.create_user(f"{mark}-{name}") for name in ("guest", "both"))
        north, south = teams[4], teams[-1]
        TeamMembership.objects.bulk_create(TeamMembership(user=both, team_id=team) for team in (north, south))
        texts = {gone: "Series 7 plays at noon.", gone + 1: "Back for the first time since 2022, at 22:00."}
        messages = CaptainMessage.objects.bulk_create(
            CaptainMessage(team_id=team, captain=guest, message=text) for team, text in texts.items()
        )
        polls = Poll.objects.bulk_create(
            [
                Poll(team_id=gone + 2, created_by=both, question="Dinner afterwards?"),
                Poll(team_id=teams[5], created_by=both, question="Who brings cake?"),
                Poll(team=None, created_by=both, question="Which team should we join?"),
            ]
        )
    return len(messages) + len(polls)
