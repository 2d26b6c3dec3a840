"""What the API takes and gives. Strict: nothing is guessed, nothing is ignored."""

from datetime import datetime
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import BeforeValidator, ConfigDict

from config.fields import Text, whole
from stats.changing import LONGEST_REASON
from stats.columns import HIGHEST, LOWEST, MOST_EXPERIENCE

Stat = Annotated[int, Field(ge=LOWEST, le=HIGHEST, description=f"{LOWEST} to {HIGHEST}."), BeforeValidator(whole)]
Experience = Annotated[
    int, Field(ge=0, le=MOST_EXPERIENCE, description="Points; a level for each 1,000."), BeforeValidator(whole)
]
UNSET: Any = Field(default_factory=lambda: None)
"""A member that may be left out; what is left out stays as it is."""


class StatsOut(Schema):
    """The core stats of whoever asks."""

    strength: int
    endurance: int
    agility: int
    intelligence: int
    wisdom: int
    charisma: int
    experience_points: int
    level: int = Field(description="One for each 1,000 points of experience, from 1 on.")
    created_at: datetime
    updated_at: datetime


class ChangeIn(Schema):
    """What is to change, and why."""

    model_config = ConfigDict(strict=True, extra="forbid")

    strength: Stat = UNSET
    endurance: Stat = UNSET
    agility: Stat = UNSET
    intelligence: Stat = UNSET
    wisdom: Stat = UNSET
    charisma: Stat = UNSET
    experience_points: Experience = UNSET
    reason: Annotated[Text, Field(min_length=1, max_length=LONGEST_REASON, pattern=r"\S")] = Field(
        description="Why; it is kept in the history."
    )
