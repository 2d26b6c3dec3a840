"""How far a vehicle is driven in a day, how sure that is, and so when it reaches a mileage."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from math import sqrt

from vehicles.history import DAY, Reading, measured, reading_events
from vehicles.models import MileageOverride

RECENT = timedelta(days=180)
"""How far back from its last reading a vehicle's habits are asked."""
BEYOND = timedelta(days=36_500)
"""What is further away than this is never."""


@dataclass(frozen=True)
class Rate:
    """Miles a day by a straight line through recent readings; `error` is its standard error, None with two of them."""

    per_day: float
    error: float | None
    readings: int
    until: datetime


@dataclass(frozen=True)
class Prediction:
    """When a mileage is reached: the most likely day, and the two between which it is in 19 of 20 cases.

    None for a limit that cannot be told: with two readings there is no uncertainty to be measured, and a vehicle that
    may as well stand still has no latest day.
    """

    on: date
    earliest: date | None
    latest: date | None
    per_day: float
    readings: int


def recent_rates(vehicles: Iterable[int], now: datetime) -> dict[int, Rate]:
    """The rates of some vehicles, in two statements; a vehicle with less than two recent readings has none."""
    wanted = list(vehicles)
    overrides: dict[int, list[datetime]] = {}
    for vehicle, at in MileageOverride.objects.filter(vehicle__in=wanted).values_list("vehicle", "at"):
        overrides.setdefault(vehicle, []).append(at)
    found = {}
    for vehicle, events in groupby(reading_events(wanted, since=now - 2 * RECENT), key=lambda event: event.vehicle_id):
        rate = rate_of(list(measured(events, overrides.get(vehicle, []))))
        if rate is not None:
            found[vehicle] = rate
    return found


def rate_of(readings: Sequence[Reading]) -> Rate | None:
    """The rate of one vehicle. A reading that repeats the one before is a copy and no evidence."""
    fresh = [r for before, r in zip([None, *readings], readings, strict=False) if _says_something(before, r)]
    if not fresh:
        return None
    last = fresh[-1].at
    recent = [r for r in fresh if r.at >= last - RECENT]
    days = [(r.at - last) / DAY for r in recent]
    miles = [float(r.distance) for r in recent]
    count = len(recent)
    mean_day, mean_mile = sum(days) / count, sum(miles) / count
    spread = sum((day - mean_day) ** 2 for day in days)
    if not spread:
        return None
    slope = sum((d - mean_day) * (m - mean_mile) for d, m in zip(days, miles, strict=True)) / spread
    error = None
    if count > 2:
        residues = sum((m - mean_mile - slope * (d - mean_day)) ** 2 for d, m in zip(days, miles, strict=True))
        error = sqrt(residues / (count - 2) / spread)
    return Rate(slope, error, count, last)


def _says_something(before: Reading | None, reading: Reading) -> bool:
    return before is None or reading.miles != before.miles or reading.odometer != before.odometer


def predict(rate: Rate | None, current: int, due: int) -> Prediction | None:
    """When `due` miles are reached from `current` ones at the last reading; None where nobody can say."""
    if rate is None or rate.per_day <= 0:
        return None
    on = _after(rate.until, due - current, rate.per_day)
    if on is None:
        return None
    earliest = latest = None
    if rate.error is not None:
        earliest = _after(rate.until, due - current, rate.per_day + 2 * rate.error)
        latest = _after(rate.until, due - current, rate.per_day - 2 * rate.error)
    return Prediction(on, earliest, latest, round(rate.per_day, 1), rate.readings)


def _after(since: datetime, miles: int, per_day: float) -> date | None:
    if per_day <= 0:
        return None
    days = max(miles, 0) / per_day
    return (since + timedelta(days=days)).date() if days <= BEYOND / DAY else None
