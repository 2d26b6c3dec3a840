"""Loads the test world. A second load changes nothing."""

from dataclasses import dataclass
from datetime import time, timedelta
from itertools import pairwise
from time import perf_counter

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection, transaction

from teams.models import (
    CaptainMessage,
    Club,
    League,
    Match,
    Poll,
    PollChoice,
    PollResponse,
    PracticeTime,
    Series,
    Team,
    TeamMembership,
)
from teams.test_data import figures
from teams.test_data.figures import BadArgument, TeamOf

LOADING = "SELECT pg_advisory_xact_lock(hashtextextended('teams.test_data', 0))"
# Teams are loaded with their numbers, and the next one that is entered must not meet them.
PAST_OURS = """
    SELECT setval(pg_get_serial_sequence('teams_team', 'id'), greatest(nextval(
        pg_get_serial_sequence('teams_team', 'id')), (SELECT max(id) + %s FROM teams_team)))
"""


@dataclass(frozen=True)
class Loaded:
    """What a load has added: numbers of rows, seconds taken."""

    teams: int = 0
    members: int = 0
    polls: int = 0
    messages: int = 0
    matches: int = 0
    practice_times: int = 0
    seconds: float = 0.0


def load(*, seed: int = 1) -> Loaded:
    """Add the leagues of this seed, unless they are there; then nothing is read or written. Raises BadArgument."""
    figures.check("seed", seed, figures.SEEDS)
    started = perf_counter()
    # The lock lets a second load wait and then find everything there.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(LOADING)
        if League.objects.filter(league_id__startswith=f"{figures.mark(seed)}-").exists():
            return Loaded()
        teams = _teams(seed)
        members = _members(seed, teams)
        return Loaded(
            len(teams),
            sum(map(len, members)),
            _polls(teams, members),
            _messages(teams, members),
            _matches(teams),
            _practice_times(teams),
            perf_counter() - started,
        )


def _teams(seed: int) -> list[Team]:
    wanted = figures.teams_of(seed)
    first = figures.first_id(seed)
    if Team.objects.filter(pk__range=(first, first + figures.IDS_PER_SEED - 1)).exists():
        raise BadArgument(f"seed {seed} numbers its teams from {first} on, and there are others: choose another one.")
    leagues = {name: League(league_id=name, name=_league_name(name)) for name in {team.league for team in wanted}}
    League.objects.bulk_create(leagues.values())
    clubs = {name: Club.objects.get_or_create(name=name)[0] for name in {team.club for team in wanted}}
    series = {name: Series.objects.get_or_create(name=name)[0] for name in {team.series for team in wanted}}

    def team(one: TeamOf) -> Team:
        return Team(
            id=first + one.place,
            league=leagues[one.league],
            club=clubs[one.club],
            series=series[one.series],
            name=one.name,
            external_id=f"{one.league}-{one.place}",
        )

    made = Team.objects.bulk_create([team(one) for one in wanted])
    with connection.cursor() as cursor:
        cursor.execute(PAST_OURS, [figures.IDS_PER_SEED])
    return made


def _league_name(league_id: str) -> str:
    mark, _, side = league_id.rpartition("-")
    return f"League {side.title()} ({mark})"


def _members(seed: int, teams: list[Team]) -> list[list[User]]:
    """Four to a team, the captain first."""
    nobody_signs_in = make_password(None)
    users = [
        [
            User(username=figures.username(seed, place, number), password=nobody_signs_in)
            for number in range(figures.MEMBERS_OF_TEAM)
        ]
        for place in range(len(teams))
    ]
    User.objects.bulk_create([user for of_team in users for user in of_team])
    TeamMembership.objects.bulk_create(
        TeamMembership(user=user, team=team, is_primary=True, is_captain=number == 0)
        for team, of_team in zip(teams, users, strict=True)
        for number, user in enumerate(of_team)
    )
    return users


def _polls(teams: list[Team], members: list[list[User]]) -> int:
    for place, (question, choices) in figures.QUESTIONS.items():
        captain, *players = members[place]
        poll = Poll.objects.create(
            team=teams[place], created_by=players[0], question=question, created_at=figures.FIRST_DAY
        )
        made = PollChoice.objects.bulk_create(
            PollChoice(poll=poll, text=text, position=position) for position, text in enumerate(choices, 1)
        )
        PollResponse.objects.bulk_create(
            PollResponse(poll=poll, choice=made[number % 2], user=user, created_at=figures.FIRST_DAY)
            for number, user in enumerate([captain, *players[1:]])
        )
    return len(figures.QUESTIONS)


def _messages(teams: list[Team], members: list[list[User]]) -> int:
    return len(
        CaptainMessage.objects.bulk_create(
            CaptainMessage(
                team=teams[place],
                captain=members[place][0],
                message=message,
                created_at=figures.FIRST_DAY + timedelta(days=day),
            )
            for place, messages in figures.MESSAGES.items()
            for day, message in enumerate(messages)
        )
    )


def _matches(teams: list[Team]) -> int:
    """Each series plays once in its league: every club against the next one."""
    by_series: dict[tuple[int, int], list[Team]] = {}
    for team in teams:
        by_series.setdefault((team.league_id, team.series_id), []).append(team)
    pairs = [pair for rivals in by_series.values() for pair in pairwise(rivals)]
    return len(
        Match.objects.bulk_create(
            Match(
                league=home.league,
                date=figures.match_day(number % 10),
                time=time(18 + number % 3),
                home_team=home,
                away_team=away,
                home_text=home.name,
                away_text=away.name,
                location=home.club.name,
            )
            for number, (home, away) in enumerate(pairs)
        )
    )


def _practice_times(teams: list[Team]) -> int:
    rows = []
    for place in figures.PRACTISING:
        day, begin, end, court = figures.practice(place)
        rows.append(
            PracticeTime(
                team=teams[place],
                league=teams[place].league,
                day_of_week=day,
                start_time=begin,
                end_time=end,
                location=court,
                created_at=figures.FIRST_DAY,
            )
        )
    return len(PracticeTime.objects.bulk_create(rows))
