"""That the two tables tell the same story: one declaration for the rule, the migrations and the command."""

from typing import Any, TypeVar

from django.db.models import F, Model

from integrity import Agrees, Copy, Derived
from integrity.rules.base import Rule
from stats.columns import CHANGEABLE, POINTS_PER_LEVEL
from stats.triggers import recording

WINNERS = ("newest", "legacy", "current", "highest")
R = TypeVar("R", bound=Rule)
FIELDS = (*CHANGEABLE, "level", "created_at", "updated_at")


def preferences(current: type[Model]) -> dict[str, Copy]:
    """Who wins where both tables have a row and the rows differ. What comes over leaves its lines in the history."""
    lines = recording(current)
    return {
        "newest": Copy("newest", by="updated_at", ties="left", allow_triggers=lines),
        "legacy": Copy("right", allow_triggers=lines),
        "current": Copy("left", allow_triggers=lines),
        "highest": Copy("highest", lowest=["created_at"], allow_triggers=lines),
    }


def agreement(current: type[Model], legacy: type[Model]) -> Agrees:
    """The rule over these models, or over those of a migration."""
    return named(
        Agrees(
            current,
            legacy,
            on=["user"],
            fields=FIELDS,
            name="core_stats_agree",
            because="Until the old table goes, it says the same of every user as the new one.",
            tags=["consolidation"],
            while_exists=True,
            enforce=True,
            repairs=preferences(current),
        )
    )


def level_rule(model: type[Model], name: str, **options: Any) -> Derived:
    """That the level follows the experience."""
    return named(
        Derived(
            model,
            "level",
            equals=F("experience_points") / POINTS_PER_LEVEL + 1,
            name=name,
            because="A level is reached with each 1,000 points of experience.",
            **options,
        )
    )


def legacy_level(legacy: type[Model]) -> Derived:
    """The same of the old table, which nothing keeps true."""
    return level_rule(legacy, "legacy_level_follows_experience", while_exists=True, tags=["consolidation"])


def named(rule: R) -> R:
    """A rule that a migration makes for itself has the name of the registered one."""
    rule.app = "stats"
    return rule
