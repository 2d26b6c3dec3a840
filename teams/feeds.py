"""What the provider sends every night: leagues, clubs, series, teams and matches, known by names and not by numbers."""

from integrity.importing import Feed, Import, Kept
from teams.models import Club, League, Match, Series, Team, TeamKey

nightly = Import(
    "nightly",
    [
        Feed(League, key=["league_id"], columns=["league_id", "name"], file="leagues", part=("league_id", "league_id")),
        Feed(Club, key=["name"], columns=["name"], file="clubs"),
        Feed(Series, key=["name"], columns=["name"], file="series"),
        Feed(
            Team,
            key=["club", "series", "league"],
            columns={"name": "name", "alias": "alias", "external_id": "id"},
            references={
                "club": {"name": "club"},
                "series": {"name": "series"},
                "league": {"league_id": "league"},
            },
            optional=["alias", "id"],
            external_id="external_id",
            vanished={"is_active": False},
            part=("league", "league__league_id"),
            kept=Kept(
                TeamKey,
                row="team_id",
                key={"league": "league__league_id", "club": "club__name", "series": "series__name"},
            ),
            file="teams",
        ),
        # The texts are what the provider calls them, and last; the time may change, and is no part of the key.
        Feed(
            Match,
            key=["league", "date", "home_text", "away_text"],
            columns={"date": "date", "time": "time", "home_text": "home", "away_text": "away", "location": "location"},
            references={
                "league": {"league_id": "league"},
                "home_team": {"club__name": "home_club", "series__name": "home_series", "league__league_id": "league"},
                "away_team": {"club__name": "away_club", "series__name": "away_series", "league__league_id": "league"},
            },
            optional=["time", "location", "home_club", "home_series", "away_club", "away_series"],
            leaves=["home_team", "away_team"],
            vanished={"is_scheduled": False},
            part=("league", "league__league_id"),
            file="schedules",
            required=False,
        ),
    ],
    because="What members wrote points at teams by their numbers, which the provider does not know.",
)

imports = [nightly]
