"""Rows of the mileage story, made from the figures that a test is about."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

from players.models import Device, Group, HourlyMetric, OpenSession, Player

FIRST_HOUR = datetime(2026, 3, 2, 8, tzinfo=UTC)
Km = Decimal | int | str

numbers = count(1)


def make_group(name: str | None = None, parent: Group | None = None, *, total: Km = 0, **fields: object) -> Group:
    """A group; its total is what it says, whoever is in it."""
    name = name or f"Group {next(numbers)}"
    return Group.objects.create(name=name, parent=parent, distance_total=Decimal(total), **fields)


def make_device(name: str | None = None, group: Group | None = None, **fields: object) -> Device:
    return Device.objects.create(name=name or f"Device {next(numbers)}", group=group, **fields)


def make_player(
    stored: Km | None = None,
    rides: Sequence[Km] = (),
    open: tuple[Km, Km] | list[Km] | None = None,
    *,
    groups: Sequence[Group] = (),
    device: Device | None = None,
    **fields: object,
) -> Player:
    """A player with `stored` km as master, one hour of history per ride, and an open session [distance, flushed].

    Rides are in consecutive hours from FIRST_HOUR on, all on one device; the session is in the hour after the last.
    Without `stored` the master is what history and session add up to.
    """
    number = next(numbers)
    distance, flushed = map(Decimal, open or (0, 0))
    master = sum(map(Decimal, rides), distance - flushed) if stored is None else Decimal(stored)
    fields = {"name": f"Rider {number}", "id_tag": f"tag-{number}"} | fields
    player = Player.objects.create(distance_total=master, **fields)
    player.groups.add(*groups)
    device = device or (make_device() if rides or open else None)
    for passed, km in enumerate(rides):
        make_hour(player, device, passed, km)
    if open and device:
        begin = FIRST_HOUR + timedelta(hours=len(rides))
        OpenSession.objects.create(
            player=player,
            device=device,
            started_at=begin,
            last_activity=begin + timedelta(minutes=10),
            distance_km=distance,
            flushed_km=flushed,
        )
    return player


def make_hour(player: Player, device: Device | None, passed: int = 0, km: Km = 1, **fields: object) -> HourlyMetric:
    """An hour of history, `passed` hours after FIRST_HOUR."""
    hour = FIRST_HOUR + timedelta(hours=passed)
    return HourlyMetric.objects.create(player=player, device=device, hour=hour, distance_km=Decimal(km), **fields)
