"""Plants the faults of the mileage story into loaded test data, to find, repair and undo them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from players.models import Device, Group, HourlyMetric, Membership, OpenSession, Player
from players.test_data.figures import BadArgument, mark
from players.tree import subtree_totals

T = TypeVar("T")
OFF_BY = Decimal("12.50000")


@dataclass(frozen=True)
class Fault:
    """One planted fault. `difference` is signed, in km.

    For a player it is history plus in-flight minus the master: positive is MORE, negative is LESS. For a group it is
    the stored total minus the true one.
    """

    kind: str
    subject: Player | Group
    difference: Decimal


def plant_faults(
    *,
    seed: int = 1,
    duplicated: int = 3,
    double_counted: int = 2,
    lost: int = 3,
    wrong_totals: int = 1,
    counted_twice: int = 1,
) -> list[Fault]:
    """Plant so many faults of each kind into the data of `seed`, each in a player or group of its own.

    duplicated      the player's newest hour once more, on another device (MORE)
    double_counted  the whole running session flushed again, though a part of it is in history already (MORE)
    lost            the player's newest hour is gone (LESS); the first of them is a hidden player
    wrong_totals    a class total is off by 12.5 km
    counted_twice   a school counts a player twice who is in two of its groups

    The lowest ids whose figures are still right are taken, so planting again hits the next ones. Raises BadArgument
    when the data holds too few, and plants nothing then.
    """
    # All or nothing: half of a story would be hard to tell from a fault of the tools that are tried on it.
    with transaction.atomic():
        return [
            *_count_session_again(_take("double_counted", double_counted, _riders(seed).filter(_flushed_in_part()))),
            *_lose_newest_hour(_take("lost", min(lost, 1), _idle(seed).filter(is_visible=False))),
            *_lose_newest_hour(_take("lost", max(lost - 1, 0), _idle(seed).filter(is_visible=True))),
            *_repeat_newest_hour(_take("duplicated", duplicated, _idle(seed).filter(is_visible=True))),
            *_add_to_totals("wrong_totals", _take("wrong_totals", wrong_totals, _classes_off_by(seed, OFF_BY))),
            *_add_to_totals("counted_twice", _take("counted_twice", counted_twice, _schools_with_club_riders(seed))),
        ]


def _riders(seed: int) -> QuerySet[Player]:
    """The players of a seed that have history and whose figures are right."""
    per_player = HourlyMetric.objects.filter(player=OuterRef("pk")).values("player")
    history = Subquery(per_player.annotate(km=Sum("distance_km")).values("km"))
    in_flight = Coalesce(F("open_session__distance_km") - F("open_session__flushed_km"), Decimal(0))
    riders = Player.objects.filter(id_tag__startswith=f"{mark(seed)}-")
    # As an alias: inside the filter the session would be an inner join, and only players who ride now would remain.
    return riders.alias(figures=history + in_flight).filter(distance_total=F("figures")).order_by("id")


def _idle(seed: int) -> QuerySet[Player]:
    return _riders(seed).filter(open_session=None)


def _flushed_in_part() -> Exists:
    """The player's open session has a part in history, but no row yet for the hour of its last activity."""
    written = HourlyMetric.objects.filter(
        player=OuterRef("player"), device=OuterRef("device"), hour__gt=OuterRef("last_activity") - timedelta(hours=1)
    )
    return Exists(OpenSession.objects.filter(~Exists(written), player=OuterRef("pk"), flushed_km__gt=0))


def _groups(seed: int, kind: Group.Kind) -> list[Group]:
    """The groups of a seed whose totals are right."""
    totals = {row["key"]: row["value"] for row in subtree_totals()}
    groups = Group.objects.filter(kind=kind, name__endswith=f"({mark(seed)})").order_by("id")
    return [group for group in groups if group.distance_total == totals[group.pk]]


def _take(argument: str, count: int, candidates: Sequence[T] | QuerySet[Any, T]) -> list[T]:
    taken = list(candidates[:count])
    if len(taken) < count:
        raise BadArgument(f"{argument} found {len(taken)} of the {count} candidates it needs: load more test data.")
    return taken


def _newest_hours(players: Sequence[Player]) -> QuerySet[HourlyMetric]:
    return HourlyMetric.objects.filter(player__in=players).order_by("player", "-hour").distinct("player")


def _repeat_newest_hour(players: Sequence[Player]) -> list[Fault]:
    own_bikes = Device.objects.filter(group__memberships__player=OuterRef("player"))
    other = own_bikes.exclude(id=OuterRef("device")).order_by("id").values("id")[:1]
    hours = list(_newest_hours(players).annotate(other=Subquery(other)).select_related("player"))
    HourlyMetric.objects.bulk_create(
        HourlyMetric(
            player=hour.player,
            device_id=hour.other,
            hour=hour.hour,
            distance_km=hour.distance_km,
            group_at_time_id=hour.group_at_time_id,
        )
        for hour in hours
    )
    return [Fault("duplicated", hour.player, hour.distance_km) for hour in hours]


def _count_session_again(players: Sequence[Player]) -> list[Fault]:
    sessions = list(
        OpenSession.objects.filter(player__in=players).order_by("player").select_related("player", "device")
    )
    HourlyMetric.objects.bulk_create(
        HourlyMetric(
            player=session.player,
            device=session.device,
            hour=session.last_activity.replace(minute=0, second=0, microsecond=0),
            distance_km=session.distance_km,
            group_at_time_id=session.device.group_id,
        )
        for session in sessions
    )
    return [Fault("double_counted", session.player, session.distance_km) for session in sessions]


def _lose_newest_hour(players: Sequence[Player]) -> list[Fault]:
    hours = list(_newest_hours(players).select_related("player"))
    HourlyMetric.objects.filter(id__in=[hour.pk for hour in hours]).delete()
    return [Fault("lost", hour.player, -hour.distance_km) for hour in hours]


def _classes_off_by(seed: int, km: Decimal) -> list[tuple[Group, Decimal]]:
    return [(group, km) for group in _groups(seed, Group.Kind.CLASS)]


def _schools_with_club_riders(seed: int) -> list[tuple[Group, Decimal]]:
    """Schools, each with the distance of its lowest player who is in two of its groups."""
    in_two = Membership.objects.values("player", school=F("group__parent"), km=F("player__distance_total"))
    in_two = in_two.filter(group__parent__name__endswith=f"({mark(seed)})")
    in_two = in_two.annotate(groups=Count("id")).filter(groups__gt=1).order_by("-player")
    km = {row["school"]: row["km"] for row in in_two}
    return [(school, km[school.pk]) for school in _groups(seed, Group.Kind.SCHOOL) if school.pk in km]


def _add_to_totals(kind: str, added: Sequence[tuple[Group, Decimal]]) -> list[Fault]:
    for group, km in added:
        group.distance_total += km
    Group.objects.bulk_update([group for group, _ in added], ["distance_total"])
    return [Fault(kind, group, km) for group, km in added]
