"""The history of a vehicle's readings: its distance, which goes on over every new odometer, and miles per month."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Q

from vehicles.conf import conf
from vehicles.finding import Reference, find_vehicle
from vehicles.models import MileageChange, MileageOverride, ReadingCorrection, Vehicle, VehicleEvent
from vehicles.readings import ALONG, IS_READING

DAY = timedelta(days=1)
CSV_COLUMNS = ("occurred_at", "miles", "distance", "odometer", "type", "source", "event")


@dataclass(frozen=True)
class Reading:
    """A reading, the distance driven since the first one, and on which odometer it was, counted from 1."""

    at: datetime
    miles: int
    distance: int
    odometer: int
    type: str
    source: str
    event: int


@dataclass(frozen=True)
class Month:
    """What was driven in a month (UTC); what lies between two readings is spread evenly over the time."""

    month: str
    miles: float


@dataclass(frozen=True)
class History:
    """Everything that is known of a vehicle's mileage, oldest first."""

    vehicle: Vehicle
    readings: list[Reading]
    months: list[Month]
    changes: list[MileageChange]
    overrides: list[MileageOverride]
    corrections: list[ReadingCorrection]

    @property
    def distance(self) -> int:
        """Miles driven between the first reading and the last."""
        return self.readings[-1].distance if self.readings else 0


def history(reference: Reference) -> History:
    """The history of a vehicle. Raises Unknown."""
    vehicle = find_vehicle(reference)
    overrides = list(vehicle.mileage_overrides.order_by("at", "id"))
    readings = list(measured(reading_events([vehicle.pk]), [override.at for override in overrides]))
    return History(
        vehicle=vehicle,
        readings=readings,
        months=per_month(readings),
        changes=list(vehicle.mileage_changes.order_by("at", "id")),
        overrides=overrides,
        corrections=list(vehicle.reading_corrections.order_by("at", "id")),
    )


def reading_events(vehicles: Iterable[int], since: datetime | None = None) -> Iterator[VehicleEvent]:
    """The readings of some vehicles and their replacements of odometers, in order."""
    wanted = IS_READING | Q(type=VehicleEvent.Type.REPLACEMENT, deleted_at__isnull=True)
    rows = VehicleEvent.objects.filter(wanted, vehicle__in=list(vehicles))
    if since is not None:
        rows = rows.filter(occurred_at__gte=since)
    return rows.order_by("vehicle", *ALONG).iterator()


def measured(events: Iterable[VehicleEvent], overrides: Sequence[datetime] = ()) -> Iterator[Reading]:
    """The readings of one vehicle, in order, with the distance driven up to each.

    Over a new odometer the distance goes on from what the old one read at last, where that was written down. Where an
    override stands between two readings that do not follow each other, nobody knows what was driven: nothing counts.
    Elsewhere a difference counts as it is, a wrong reading's too: the next one takes it back.
    """
    last, distance, odometer = None, 0, 1
    for event in events:
        miles = event.miles or 0
        if last is not None:
            replaced = event.type == VehicleEvent.Type.REPLACEMENT
            odometer += replaced
            if replaced:
                distance += 0 if event.replaced_miles is None else event.replaced_miles - last.miles
            elif not _broken(last, miles, event.occurred_at, overrides):
                distance += miles - last.miles
        last = Reading(event.occurred_at, miles, distance, odometer, event.type, event.source, event.pk)
        yield last


def _broken(last: Reading, miles: int, at: datetime, overrides: Sequence[datetime]) -> bool:
    """That a person said something else between two readings that do not follow each other."""
    most = conf().MAX_MILES_PER_DAY * max((at - last.at) / DAY, 1)
    follows = 0 <= miles - last.miles <= most
    return not follows and any(last.at < moment <= at for moment in overrides)


def per_month(readings: Sequence[Reading]) -> list[Month]:
    """Miles of each month from the first reading to the last, those without any included."""
    months: dict[str, float] = {}
    for before, after in pairwise(readings):
        driven = after.distance - before.distance
        # In UTC: two times of one zone subtract by their clocks, which lose or gain an hour twice a year.
        first, last = before.at.astimezone(UTC), after.at.astimezone(UTC)
        lasted = last - first
        for begin, end in _months_between(first, last):
            share = (end - begin) / lasted if lasted else 1
            month = f"{begin:%Y-%m}"
            months[month] = months.get(month, 0) + driven * share
    return [Month(month, round(miles, 1)) for month, miles in months.items()]


def _months_between(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The parts of an interval that lie in one month each; one part for an interval without length."""
    while True:
        first = begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        turn = (first + timedelta(days=32)).replace(day=1)
        yield begin, min(turn, end)
        if turn >= end:
            return
        begin = turn


def as_csv(found: History) -> str:
    """The readings as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for r in found.readings:
        writer.writerow([r.at.isoformat(), r.miles, r.distance, r.odometer, r.type, _inert(r.source), r.event])
    return out.getvalue()


def _inert(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_json(found: History) -> dict[str, Any]:
    """The history by the names of the API."""
    return {
        "vehicle_id": found.vehicle.pk,
        "vehicle_uuid": found.vehicle.uuid,
        "current_mileage": found.vehicle.current_mileage,
        "distance": found.distance,
        "readings": [
            {
                "event_id": r.event,
                "occurred_at": r.at,
                "miles": r.miles,
                "distance": r.distance,
                "odometer": r.odometer,
                "type": r.type,
                "source": r.source,
            }
            for r in found.readings
        ],
        "months": [{"month": month.month, "miles": month.miles} for month in found.months],
        "changes": [
            {"old": c.old, "new": c.new, "source": c.source, "event_id": c.event_id, "at": c.at, "who": c.who}
            for c in found.changes
        ],
        "overrides": [
            {"mileage": o.mileage, "previous": o.previous, "reason": o.reason, "author": o.author, "at": o.at}
            for o in found.overrides
        ],
        "corrections": [
            {"event_id": c.event_id, "old": c.old, "new": c.new, "reason": c.reason, "who": c.who, "at": c.at}
            for c in found.corrections
        ],
    }
