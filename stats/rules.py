"""What must always be true about core stats, in both tables and in their history."""

from django.db.models import F, Q
from django.db.models.functions import Coalesce

from integrity import Always, Derived, Latest, Recompute
from stats.columns import CHANGEABLE, IN_RANGE
from stats.consolidation import agreement, legacy_level, level_rule
from stats.kinds import Unbroken
from stats.legacy.models import LegacyCoreStat
from stats.models import CoreStat, StatHistory
from stats.triggers import recording


def last_line_of(stat: str) -> Coalesce:
    """What the history says last of a stat; where it says nothing, the stat is what it is."""
    last = Latest("user__stat_history__new", by=["user__stat_history__id"], filter=Q(user__stat_history__stat=stat))
    return Coalesce(last, F(stat))


rules = [
    agreement(CoreStat, LegacyCoreStat),
    Always(
        CoreStat,
        IN_RANGE,
        name="stats_in_range",
        because="A stat is 1 to 100, and experience is never negative.",
        enforce=True,
    ),
    Always(
        LegacyCoreStat,
        IN_RANGE,
        name="legacy_stats_in_range",
        because="What is out of range in the old table cannot come over to the new one.",
        tags=["consolidation"],
        while_exists=True,
    ),
    level_rule(
        CoreStat,
        "level_follows_experience",
        enforce=True,
        repairs={"recompute": Recompute(allow_triggers=recording(CoreStat))},
    ),
    legacy_level(LegacyCoreStat),
    Always(
        StatHistory,
        Q(change=F("new") - F("old")),
        name="change_is_new_minus_old",
        because="A line of the history says by how much a stat changed.",
        enforce=True,
    ),
    Unbroken(
        StatHistory,
        old="old",
        new="new",
        within=["user", "stat"],
        siblings="user__stat_history__new",
        name="history_unbroken",
        because="A line of the history begins where the one before it ended.",
    ),
    Derived(
        CoreStat,
        equals={stat: last_line_of(stat) for stat in CHANGEABLE},
        name="history_ends_at_the_current_value",
        because="What the history says last is what a stat is now.",
        repairs={"recompute": Recompute(allow_triggers=recording(CoreStat))},
    ),
]
