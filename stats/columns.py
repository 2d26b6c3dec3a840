"""What the two tables have in common: the six stats, experience, level and times."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

STATS = ("strength", "endurance", "agility", "intelligence", "wisdom", "charisma")
EXPERIENCE = "experience_points"
CHANGEABLE = (*STATS, EXPERIENCE)
"""What a person changes; the level follows the experience."""
LOWEST, HIGHEST, AT_FIRST = 1, 100, 10
MOST_EXPERIENCE = 2**31 - 1
POINTS_PER_LEVEL = 1000

IN_RANGE = Q(
    *(Q(**{f"{stat}__gte": LOWEST, f"{stat}__lte": HIGHEST}) for stat in STATS),
    experience_points__gte=0,
    experience_points__lte=MOST_EXPERIENCE,
)


def level_of(experience: int) -> int:
    """The level that some experience makes; the database computes the same."""
    return experience // POINTS_PER_LEVEL + 1


def limits_of(name: str) -> tuple[int, int]:
    """The least and the most that a stat, or the experience, may be."""
    return (0, MOST_EXPERIENCE) if name == EXPERIENCE else (LOWEST, HIGHEST)


def stat() -> "models.PositiveSmallIntegerField[Any, Any]":
    """A column for one of the six."""
    return models.PositiveSmallIntegerField(
        default=AT_FIRST,
        db_default=AT_FIRST,
        validators=[MinValueValidator(LOWEST), MaxValueValidator(HIGHEST)],
    )


class StatColumns(models.Model):
    """The columns of both tables, but for whose they are."""

    strength = stat()
    endurance = stat()
    agility = stat()
    intelligence = stat()
    wisdom = stat()
    charisma = stat()
    experience_points = models.IntegerField(default=0, db_default=0, validators=[MinValueValidator(0)])
    level = models.IntegerField(
        default=1, db_default=1, editable=False, help_text="Derived: a level for each 1,000 points of experience."
    )
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """The object says the level that its row gets."""
        if isinstance(self.experience_points, int):
            self.level = level_of(self.experience_points)
        super().save(*args, **options)
