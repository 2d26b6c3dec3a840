"""What must always be true about players, their history and their groups."""

from django.db.models import F, Q, Sum

from integrity import Adjust, Always, Automatic, Derived, PerKey, Trim
from players.evidence import gap_hour, lowest_leaf_group, suspicion, why_suspect
from players.models import Group, Membership, OpenSession, Player
from players.tree import subtree_totals

ROW = {"hour": F("hour"), "device": F("device__name")}

delete_extra = Trim(
    "hourly_metrics",
    amount="distance_km",
    order=[suspicion(), "-hour"],
    evidence={**ROW, "why": why_suspect("newest")},
)
delete_oldest = Trim(
    "hourly_metrics",
    amount="distance_km",
    order=[suspicion(), "hour"],
    evidence={**ROW, "why": why_suspect("oldest")},
)
add_missing = Adjust(
    "hourly_metrics",
    amount="distance_km",
    row={"hour": gap_hour(), "device": None, "is_adjustment": True, "group_at_time": lowest_leaf_group()},
)

rules = [
    Always(
        OpenSession,
        Q(flushed_km__gte=0, flushed_km__lte=F("distance_km")),
        name="flushed_is_part_of_session",
        because="What history has of a session cannot be more than was ridden in it.",
        tags=["mileage"],
        every="1h",
    ),
    Derived(
        Player,
        "distance_total",
        truth="column",
        equals=Sum("hourly_metrics__distance_km") + Sum(F("open_session__distance_km") - F("open_session__flushed_km")),
        evidence={
            "history": Sum("hourly_metrics__distance_km"),
            "in_flight": Sum(F("open_session__distance_km") - F("open_session__flushed_km")),
        },
        name="mileage_adds_up",
        because="A player's distance is the history plus what the open session has not yet written.",
        tags=["mileage"],
        tracked=True,
        every="5m",
        sweep="0 3 * * *",
        repairs={
            "delete_extra_metrics": delete_extra,
            "delete_extra_metrics_oldest_first": delete_oldest,
            "recalculate_from_player": [delete_extra, add_missing],
            "recalculate_from_player_oldest_first": [delete_oldest, add_missing],
        },
    ),
    Derived(
        Group,
        "distance_total",
        equals=PerKey(subtree_totals, reads=[Player, Group, Membership], default=0),
        name="group_total_adds_up",
        because="A group's distance is that of the distinct players in it and in all groups below it.",
        tags=["mileage"],
        every="1h",
        automatic=Automatic("recompute", rows=20, share=0.5),
    ),
]
