"""What the API takes and gives. Strict: nothing is guessed, nothing is ignored."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from config.fields import Id, Text
from players.conf import conf
from players.exceptions import Invalid
from players.models import Device, Player
from players.recording import KM_TEXT, PLACES, kilometres
from players.reports import Bucket


def _kilometres(value: Any) -> Decimal:
    try:
        return kilometres(value)
    except Invalid as error:
        raise ValueError(str(error)) from error


def _in_full(km: Decimal) -> str:
    return f"{km:.{PLACES}f}"


Km = Annotated[
    Decimal,
    PlainSerializer(_in_full, return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^-?\d{{1,10}}\.\d{{{PLACES}}}$", "description": "Kilometres."}),
]
Distance = Annotated[
    Decimal,
    BeforeValidator(_kilometres),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": float(conf().MAX_DISTANCE_KM)},
                {"type": "string", "pattern": f"^{KM_TEXT}$"},
            ],
            "description": (
                f"Kilometres since the last report: 0 to {conf().MAX_DISTANCE_KM}, at most {PLACES} places. "
                "A number, or the same as text."
            ),
            "examples": [1.25],
        }
    ),
]


class Body(BaseModel):
    """What is sent: each member of its own type, and no other member.

    Plain pydantic: what the framework adds for rows of a database takes as long as the rest of the check.
    """

    model_config = ConfigDict(strict=True, extra="forbid")


class ReportIn(Body):
    """What a bike has counted since its last report."""

    id_tag: Text = Field(
        min_length=1,
        max_length=Player._meta.get_field("id_tag").max_length,
        description="The tag of the rider. Upper and lower case are one.",
    )
    device_id: Text = Field(
        min_length=1,
        max_length=Device._meta.get_field("name").max_length,
        description="How the device names itself: its name. Upper and lower case are one.",
    )
    distance: Distance


class AnswerOut(BaseModel):
    """What became of a report. Where it was skipped there is nothing else to say."""

    model_config = ConfigDict(from_attributes=True)

    skipped: bool = Field(description="True where the player or the device does not collect: nothing has moved.")
    distance_total: Km | None = Field(None, description="All that the player has ridden.")
    session_km: Km | None = Field(None, description="Ridden since this ride began.")


class GroupOut(Schema):
    """A group, as others refer to it."""

    id: int
    name: str


class StandingOut(Schema):
    """One line of a leaderboard. Equal totals share a rank."""

    rank: int
    id: int
    name: str
    distance_total: Km


class LeaderboardIn(Schema):
    """Which part of the leaderboard."""

    group: Id | None = Field(None, description="Only the players and groups below this group.")
    limit: int = Field(20, ge=1, le=200, description="Lines of each list.")
    offset: int = Field(0, ge=0, le=1_000_000, description="Lines of each list to pass over.")


class LeaderboardOut(Schema):
    """Visible players and groups by current totals, highest first."""

    group: GroupOut | None = Field(description="The group that it is cut to; null for everybody.")
    players: list[StandingOut]
    groups: list[StandingOut]
    next_offset: int | None = Field(description="Where the next page begins; null on the last one.")


class MileageIn(Schema):
    """Which part of history, and how to cut it."""

    from_: Text = Field(
        alias="from",
        max_length=40,
        description="Begin: a date (local midnight), a local time, or a time with its offset.",
        examples=["2026-03-01"],
    )
    to: Text = Field(max_length=40, description="End, which is not in the report any more.", examples=["2026-04-01"])
    bucket: Bucket = Field(Bucket.DAY, description="Weeks begin on Monday.")
    group: Id | None = Field(None, description="Only what was ridden for this group, or one below it, at that time.")
    tz: Text = Field("UTC", max_length=64, description="The zone of local times and days, such as Europe/Vienna.")


class DistanceOut(Schema):
    """What was ridden from start up to, and without, end."""

    start: datetime
    end: datetime
    km: Km


class MileageOut(Schema):
    """History in buckets that follow each other without a gap; the first and the last are cut to the interval."""

    start: datetime
    end: datetime
    bucket: Bucket
    tz: Annotated[str, BeforeValidator(str)]
    group: GroupOut | None
    total_km: Km
    rows: list[DistanceOut]


class ProfileOut(Schema):
    """A player as everybody may see it."""

    id: int
    name: str
    distance_total: Km
    in_flight_km: Km = Field(description="The part of the total that the running session has not written to history.")
    groups: list[GroupOut]
