"""What the provider sends every night: leagues, clubs, series and teams, known by their names and not by a number."""

from integrity.importing import Feed, Import, Kept
from teams.models import Club, League, Series, Team, TeamKey

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
    ],
    because="What members wrote points at teams by their numbers, which the provider does not know.",
)

imports = [nightly]
