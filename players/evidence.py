"""Which history rows are most likely at fault, and where a missing one belongs: expressions for the repairs."""

from datetime import UTC, timedelta
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Exists,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, Lag, Lead, TruncHour
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from players.models import Group, HourlyMetric, OpenSession

HOUR = timedelta(hours=1)


class Differs(Func):
    """``a IS DISTINCT FROM b``."""

    template = "(%(expressions)s)"
    arg_joiner = " IS DISTINCT FROM "
    output_field = BooleanField()


def _within_the_hour() -> dict[str, Any]:
    return {"partition_by": [F("player_id"), F("hour")]}


def _in_order() -> dict[str, Any]:
    return {"partition_by": [F("player_id")], "order_by": [F("hour").asc(), F("pk").asc()]}


def two_devices() -> Any:
    """The player has the same hour on two devices."""
    return GreaterThan(Window(Max("device_id"), **_within_the_hour()), Window(Min("device_id"), **_within_the_hour()))


def _switched(neighbour: Any, earlier: Any, later: Any) -> Any:
    return Case(
        When(
            LessThanOrEqual(later, earlier + Value(HOUR)),
            then=Differs(F("device_id"), Window(neighbour("device_id"), **_in_order())),
        ),
        default=Value(value=False),
        output_field=BooleanField(),
    )


def in_running_session() -> Any:
    """History has a part of the open session: what was flushed of it may have been flushed again."""
    session = "player__open_session__"
    return Q(
        device_id=F(f"{session}device_id"),
        hour__gte=TruncHour(F(f"{session}started_at"), tzinfo=UTC),
        hour__lte=F(f"{session}last_activity"),
        **{f"{session}flushed_km__gt": 0},
    )


def _evidence() -> list[tuple[Any, str]]:
    """Conditions from the strongest suspicion to the weakest, and what each says."""
    switches = [(side, "next to a device switch") for side in _switches()]
    return [
        (two_devices(), "the same hour on two devices"),
        (in_running_session(), "in the running session"),
        *switches,
    ]


def suspicion() -> Any:
    """A rank by which surplus rows are removed: the lowest first, and those of no evidence last."""
    ranked = enumerate(dict.fromkeys(why for _, why in _evidence()))
    ranks = {why: rank for rank, why in ranked}
    return Case(*(When(found, then=Value(ranks[why])) for found, why in _evidence()), default=Value(len(ranks)))


def why_suspect(otherwise: str) -> Any:
    """The same in words."""
    return Case(
        *(When(found, then=Value(why)) for found, why in _evidence()),
        default=Value(f"the {otherwise}"),
        output_field=CharField(),
    )


def _switches() -> list[Any]:
    before, after = Window(Lag("hour"), **_in_order()), Window(Lead("hour"), **_in_order())
    return [_switched(Lag, before, F("hour")), _switched(Lead, F("hour"), after)]


def gap_hour() -> Any:
    """The hour in which distance is missing from a player's history.

    In this order: the last activity, when it is later than all history and no session is open that would account for
    it; the newest hole of one hour in a ride; the last activity; the newest hour of history.
    """
    history = HourlyMetric.objects.filter(player=OuterRef("pk"))
    newest = Subquery(history.order_by("-hour").values("hour")[:1])
    last_active = TruncHour("last_active", tzinfo=UTC)
    open_session = Exists(OpenSession.objects.filter(player=OuterRef("pk")))
    unwritten = Case(When(~open_session, then=Case(When(GreaterThan(last_active, newest), then=last_active))))
    return Coalesce(unwritten, _newest_hole(), last_active, newest)


def _newest_hole() -> Any:
    same_player = HourlyMetric.objects.filter(player=OuterRef("player"))
    hour_after = OuterRef("hour") + Value(HOUR)
    holes = HourlyMetric.objects.filter(
        ~Exists(same_player.filter(hour=hour_after)),
        Exists(same_player.filter(hour=hour_after + Value(HOUR))),
        player=OuterRef("pk"),
    )
    return Subquery(holes.order_by("-hour").annotate(hole=F("hour") + Value(HOUR)).values("hole")[:1])


def lowest_leaf_group() -> Any:
    """The id of the player's lowest group without children."""
    leaves = Group.objects.filter(players=OuterRef("pk"), children__isnull=True)
    return Subquery(leaves.order_by("pk").values("pk")[:1])
