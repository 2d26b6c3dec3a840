"""What the API takes and gives. Strict: nothing is guessed, nothing is ignored."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import BeforeValidator, ConfigDict

from config.fields import Text
from stats.changing import LONGEST_REASON
from stats.columns import HIGHEST, LOWEST, MOST_EXPERIENCE


def _whole(value: Any) -> Any:
    """50.0 is the integer 50, as JSON has it; 50.5 is refused with everything else."""
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


Stat = Annotated[int, Field(ge=LOWEST, le=HIGHEST, description=f"{LOWEST} to {HIGHEST}."), BeforeValidator(_whole)]
Experience = Annotated[
    int, Field(ge=0, le=MOST_EXPERIENCE, description="Points; a level for each 1,000."), BeforeValidator(_whole)
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
