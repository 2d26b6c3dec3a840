"""What must always be true about teams and about what their members wrote."""

from typing import Any

from django.db.models import Model

from integrity import Clear, Mapping, Merge, Named, Owned, Quarantine, Rebuild, References, Relink, Shift, Unique
from teams.models import CaptainMessage, Match, Poll, PollResponse, PracticeTime, Team, TeamKey, TeamMembership

# A number that leads nowhere meant one team, whatever points at it: all that do are asked together.
team_meant = Relink(
    by=[
        Mapping(
            TeamKey, old="team_id", by={"league": "league__league_id", "club": "club__name", "series": "series__name"}
        ),
        Shift(),
        Named(
            {
                Poll: "question",
                CaptainMessage: "message",
                PracticeTime: None,
                (Match, "home_team"): "home_text",
                (Match, "away_team"): "away_text",
            },
            names=["series__name"],
            narrowed_by=["club__name", "league__name"],
        ),
        Owned(
            {Poll: "created_by", CaptainMessage: "captain", PracticeTime: None, Match: None},
            members=TeamMembership,
            user="user",
            target="team",
            primary="is_primary",
            within="league",
            its={Poll: None, CaptainMessage: None, PracticeTime: "league", Match: "league"},
        ),
    ]
)


def leads_to_a_team(model: type[Model], column: str, **options: Any) -> References:
    """The number of a team, which no constraint keeps."""
    repairs = {"relink": team_meant, "quarantine": Quarantine()}
    if model._meta.get_field(column).null:
        repairs["nullify"] = Clear()
    return References(model, column, to=Team, tags=["teams", "orphans"], repairs=repairs, **options)


rules = [
    Unique(
        Team,
        by=["club", "series", "league"],
        keep=["-is_active", "id"],
        name="team_is_one",
        because="A club has one team of a series in a league.",
        tags=["teams", "duplicates"],
        enforce=True,
        repairs={
            "merge": Merge(
                fill=["alias", "external_id"],
                repeats={TeamMembership: ["-is_primary", "-is_captain"], PracticeTime: "created_at"},
            )
        },
    ),
    Unique(
        PracticeTime,
        by=["team", "day_of_week", "start_time", "end_time", "location"],
        keep="created_at",
        name="practice_time_is_one",
        because="A team practises once at a time and place; the first entry is the true one.",
        tags=["teams", "duplicates"],
        # Imports that make teams anew give one team several numbers.
        suspects={"team": ["team__club__name", "team__series__name", "team__league__league_id"]},
        enforce=True,
        repairs={"rebuild": Rebuild(backup="practice_times_corrupted_backup")},
    ),
    Unique(
        Match,
        by=["league", "date", "home_text", "away_text"],
        keep=["-is_scheduled", "id"],
        name="match_is_listed_once",
        because="Two teams meet once on a day, whatever its time; the provider's names for them tell which they are.",
        tags=["teams", "duplicates"],
        enforce=True,
        repairs={"merge": Merge(fill=["time", "home_team", "away_team", "location"])},
    ),
    leads_to_a_team(
        Poll,
        "team",
        name="poll_has_its_team",
        because="A poll that points at no team is seen by nobody who should answer it.",
    ),
    leads_to_a_team(
        CaptainMessage,
        "team",
        name="message_has_its_team",
        because="A message that points at no team reaches nobody.",
    ),
    leads_to_a_team(
        PracticeTime,
        "team",
        agreeing={"league_id": "league_id"},
        name="practice_time_has_its_team",
        because="A practice time that points at no team, or at one of another league, is on nobody's week.",
    ),
    leads_to_a_team(
        Match,
        "home_team",
        agreeing={"league_id": "league_id"},
        name="home_team_is_there",
        because="A match is on the schedule of both its teams, which are of its league.",
    ),
    leads_to_a_team(
        Match,
        "away_team",
        agreeing={"league_id": "league_id"},
        name="away_team_is_there",
        because="A match is on the schedule of both its teams, which are of its league.",
    ),
    References(
        PollResponse,
        "choice",
        agreeing={"poll_id": "poll_id"},
        name="response_chose_of_its_poll",
        because="Who answers a poll chooses one of its own choices.",
        tags=["teams"],
    ),
]
