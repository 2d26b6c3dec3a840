"""What the API takes and gives. Strict: nothing is guessed, nothing is ignored."""

import re
from datetime import datetime, time
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict, WithJsonSchema

from config.fields import Id, PageIn, Text, whole
from teams.models import Club, Series
from teams.polls import MOST_CHOICES

CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"


def _clock(value: Any) -> time:
    if not isinstance(value, str) or not re.fullmatch(CLOCK, value, re.ASCII):
        raise ValueError("Give a time of day such as 18:30.")
    return time.fromisoformat(value)


def _with_words(text: str) -> str:
    if not text.strip():
        raise ValueError("Say something: there are only blanks.")
    return text


Clock = Annotated[
    time, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": f"^{CLOCK}$", "examples": ["18:30"]})
]
Said = Annotated[Text, AfterValidator(_with_words), Field(min_length=1, json_schema_extra={"pattern": r"\S"})]
IdIn = Annotated[Id, BeforeValidator(whole)]
Choice = Annotated[Said, Field(max_length=200)]
NextOffset = Annotated[int | None, Field(description="Where the next page begins; null on the last one.")]


class Body(Schema):
    """What is sent: each member of its own type, and no other member."""

    model_config = ConfigDict(strict=True, extra="forbid")


# Leagues and teams


class LeagueOut(Schema):
    """A league."""

    id: int
    league_id: str = Field(description="The provider's name for it, which lasts.")
    name: str


class LeaguesOut(Schema):
    """A part of the leagues, by name."""

    leagues: list[LeagueOut]
    next_offset: NextOffset


class TeamOut(Schema):
    """A team: club, series and league are what it is, whatever its number."""

    id: int
    name: str
    alias: str
    is_active: bool
    league: LeagueOut
    club: str
    series: str

    @staticmethod
    def resolve_club(team: Any) -> str:
        club: Club = team.club
        return club.name

    @staticmethod
    def resolve_series(team: Any) -> str:
        series: Series = team.series
        return series.name


class TeamsIn(PageIn):
    """Which teams."""

    league: Id | None = Field(None, description="Only those of this league, by its number.")
    mine: bool = Field(default=False, description="Only those that you belong to.")
    active: bool = Field(default=True, description="Only those that the provider still knows; false: all.")


class TeamsOut(Schema):
    """A part of the teams, by name."""

    teams: list[TeamOut]
    next_offset: NextOffset


# What is pointed at a team


class Placed(Schema):
    """Something that points at a team by a number, which may lead nowhere."""

    team_id: int | None = Field(description="The number of the team; null for none.")
    team: str | None = Field(description="The name of the team; null where there is none.")
    is_team_missing: bool = Field(description="The number leads nowhere: only its author sees this until it is mended.")

    @staticmethod
    def resolve_team(row: Any) -> str | None:
        return None if row.team_there is None else str(row.team_there.name)

    @staticmethod
    def resolve_is_team_missing(row: Any) -> bool:
        return bool(row.is_orphan)


class ChoiceOut(Schema):
    """One answer to choose, and how many chose it."""

    id: int
    text: str
    votes: int
    mine: bool = Field(description="You chose it.")

    @staticmethod
    def resolve_mine(choice: Any) -> bool:
        return bool(choice.mine)


class PollOut(Placed):
    """A question to a team, with what was answered so far."""

    id: int
    question: str
    created_by: str
    created_at: datetime
    closed_at: datetime | None
    choices: list[ChoiceOut]

    @staticmethod
    def resolve_created_by(poll: Any) -> str:
        return str(poll.created_by.get_username())

    @staticmethod
    def resolve_choices(poll: Any) -> Any:
        return poll.choices.all()


class PollsOut(Schema):
    """A part of the polls that you see, the newest first."""

    polls: list[PollOut]
    next_offset: NextOffset


class PollIn(Body):
    """A question to a team of yours."""

    team_id: IdIn = Field(description="The team that is asked; you belong to it.")
    question: Annotated[Said, Field(max_length=500)] = Field(description="What is asked.")
    choices: list[Choice] = Field(
        min_length=2,
        max_length=MOST_CHOICES,
        description="The answers to choose from, each once.",
        json_schema_extra={"uniqueItems": True},
    )


class VoteIn(Body):
    """What you choose."""

    choice_id: IdIn = Field(description="A choice of this poll.")


class MessageOut(Placed):
    """What a captain told a team."""

    id: int
    message: str
    captain: str
    created_at: datetime

    @staticmethod
    def resolve_captain(row: Any) -> str:
        return str(row.captain.get_username())


class MessagesOut(Schema):
    """A part of the messages that you see, the newest first."""

    messages: list[MessageOut]
    next_offset: NextOffset


class MessageIn(Body):
    """What you tell a team that you are captain of."""

    team_id: IdIn = Field(description="The team; you are its captain.")
    message: Annotated[Said, Field(max_length=5_000)] = Field(description="What is told.")


class OfTeamIn(PageIn):
    """Which part of a list, and of which team."""

    team: Id | None = Field(None, description="Only those of this team.")


class PracticeTimeOut(Placed):
    """When and where a team practises, every week."""

    id: int
    day_of_week: int = Field(description="From 1, Monday, to 7, Sunday.")
    start_time: str
    end_time: str | None
    location: str

    @staticmethod
    def resolve_start_time(row: Any) -> str:
        return f"{row.start_time:%H:%M}"

    @staticmethod
    def resolve_end_time(row: Any) -> str | None:
        return None if row.end_time is None else f"{row.end_time:%H:%M}"


class PracticeTimesOut(Schema):
    """A part of the practice times that you see, in the order of the week."""

    practice_times: list[PracticeTimeOut]
    next_offset: NextOffset


class PracticeTimeIn(Body):
    """When a team that you are captain of practises."""

    team_id: IdIn = Field(description="The team; you are its captain.")
    day_of_week: Annotated[int, Field(ge=1, le=7), BeforeValidator(whole)] = Field(
        description="From 1, Monday, to 7, Sunday."
    )
    start_time: Clock = Field(description="When it begins.")
    end_time: Clock | None = Field(None, description="When it ends, on the same day.")
    location: Annotated[Text, Field(max_length=200)] = Field("", description="Where.")
