"""Teams and what their members wrote, made from the names that a test is about."""

from collections.abc import Sequence
from datetime import time
from itertools import count
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from teams.models import (
    CaptainMessage,
    Club,
    League,
    Match,
    Poll,
    PollChoice,
    PracticeTime,
    Series,
    Team,
    TeamMembership,
)

numbers = count(1)


def make_league(league_id: str = "NORTH") -> League:
    return League.objects.get_or_create(league_id=league_id, defaults={"name": f"{league_id.title()} League"})[0]


def make_team(series: str = "Series 22", club: str = "Tennaqua", league: str = "NORTH", **fields: Any) -> Team:
    """A club's team of a series in a league."""
    natural_key = {
        "club": Club.objects.get_or_create(name=club)[0],
        "series": Series.objects.get_or_create(name=series)[0],
        "league": make_league(league),
    }
    return Team.objects.create(**natural_key, **{"name": f"{club} {series}"} | fields)


def make_member(*teams: Team, name: str | None = None, captain: bool = False, **fields: Any) -> User:
    """A user who belongs to teams, the first of which is the primary one."""
    user = User.objects.create(username=name or f"member{next(numbers)}", **fields)
    TeamMembership.objects.bulk_create(
        TeamMembership(user=user, team=team, is_primary=i == 0, is_captain=captain) for i, team in enumerate(teams)
    )
    return user


def make_poll(
    by: User, team: Team | None, question: str = "Who plays?", choices: Sequence[str] = ("Yes", "No"), **fields: Any
) -> Poll:
    poll = Poll.objects.create(team=team, created_by=by, question=question, **fields)
    PollChoice.objects.bulk_create(PollChoice(poll=poll, text=text, position=i) for i, text in enumerate(choices, 1))
    return poll


def make_message(by: User, team: Team, message: str = "Bring balls.", **fields: Any) -> CaptainMessage:
    return CaptainMessage.objects.create(team=team, captain=by, message=message, **fields)


def make_practice_time(team: Team, day: int = 1, start: str = "18:00", **fields: Any) -> PracticeTime:
    fields = {"league": team.league, "start_time": time.fromisoformat(start)} | fields
    return PracticeTime.objects.create(team=team, day_of_week=day, **fields)


def make_match(home: Team | None, away: Team | None, league: League | None = None, **fields: Any) -> Match:
    texts = {"home_text": home.name if home else "", "away_text": away.name if away else ""}
    league = league or (home or away).league
    return Match.objects.create(
        league=league, home_team=home, away_team=away, **{"date": "2026-03-02"} | texts | fields
    )


def renumber(team: Team, by: int = 931) -> Team:
    """What an import does that deletes and inserts: the team has another number, and what pointed at the old one stays.

    Memberships are the import's, and follow.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("UPDATE teams_teammembership SET team_id = team_id + %s WHERE team_id = %s", [by, team.pk])
        cursor.execute("UPDATE teams_team SET id = id + %s WHERE id = %s", [by, team.pk])
    return Team.objects.get(pk=team.pk + by)
