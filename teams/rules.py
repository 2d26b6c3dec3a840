"""What must always be true about teams and about what their members wrote."""

from typing import Any

from django.db.models import Model

from integrity import Clear, References, Unique
from teams.models import CaptainMessage, Match, Poll, PollResponse, PracticeTime, Team


def leads_to_a_team(model: type[Model], column: str, *, name: str, because: str, **options: Any) -> References:
    """The number of a team, which no constraint keeps."""
    return References(model, column, to=Team, name=name, because=because, tags=["teams", "orphans"], **options)


rules = [
    Unique(
        Team,
        by=["club", "series", "league"],
        name="team_is_one",
        because="A club has one team of a series in a league.",
        tags=["teams", "duplicates"],
    ),
    Unique(
        PracticeTime,
        by=["team", "day_of_week", "start_time", "end_time", "location"],
        keep="created_at",
        name="practice_time_is_one",
        because="A team practises once at a time and place; the first entry is the true one.",
        tags=["teams", "duplicates"],
    ),
    leads_to_a_team(
        Poll,
        "team",
        name="poll_has_its_team",
        because="A poll that points at no team is seen by nobody who should answer it.",
        repairs={"nullify": Clear()},
    ),
    leads_to_a_team(
        CaptainMessage,
        "team",
        name="message_has_its_team",
        because="A message that points at no team reaches nobody.",
    ),
    leads_to_a_team(
        Match,
        "home_team",
        name="home_team_is_there",
        because="A match is on the schedule of both teams.",
        repairs={"nullify": Clear()},
    ),
    leads_to_a_team(
        Match,
        "away_team",
        name="away_team_is_there",
        because="A match is on the schedule of both teams.",
        repairs={"nullify": Clear()},
    ),
    leads_to_a_team(
        PracticeTime,
        "team",
        name="practice_time_has_its_team",
        because="A practice time that points at no team is on nobody's week.",
        repairs={"nullify": Clear()},
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
