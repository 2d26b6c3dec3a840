"""How far was ridden in a time: history cut into hours, days, weeks or months of a local clock.

History has one row per UTC hour, and an hour belongs to the bucket in which it begins. Adjustments count: history with
them, plus what is in flight, is the master.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.postgres.fields import ArrayField
from django.db.models import DateTimeField, F, Func, IntegerField, QuerySet, Sum, Value

from players.exceptions import Invalid
from players.leaderboard import visible_group
from players.models import Group, HourlyMetric
from players.tree import descendants

MOST_BUCKETS = 5_000
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Bucket(StrEnum):
    """What a report is cut into. Weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Distance:
    """What was ridden from `start` up to, and without, `end`: local times of the report's zone."""

    start: datetime
    end: datetime
    km: Decimal


@dataclass(frozen=True)
class Mileage:
    """A report. Its rows follow each other without a gap from `start` to `end`; hours without a ride have 0 km."""

    start: datetime
    end: datetime
    bucket: Bucket
    group: Group | None
    tz: ZoneInfo
    rows: list[Distance]
    total_km: Decimal


def mileage(
    start: datetime,
    end: datetime,
    bucket: Bucket | str = Bucket.DAY,
    group: int | None = None,
    tz: ZoneInfo | str = "UTC",
    *,
    player: int | None = None,
) -> Mileage:
    """The history of the half-open interval from `start` to `end`, both aware, in buckets of the local clock of `tz`.

    The first and the last bucket are cut to the interval. A day has the 23 to 25 hours that it has in `tz`; a local
    hour that a clock change repeats is two buckets. `group` takes the hours whose group at that time is in its subtree,
    and may not be hidden; `player` takes the hours of one. Three statements at most. Raises Invalid and Unknown.
    """
    zone = time_zone(tz) if isinstance(tz, str) else tz
    bucket = Bucket(bucket)
    _check(start, end)
    start, end = start.astimezone(zone), end.astimezone(zone)
    edges = list(_edges(start, end, bucket))
    top = None if group is None else visible_group(group)
    history = HourlyMetric.objects.filter(hour__gte=start, hour__lt=end)
    if top is not None:
        history = history.filter(group_at_time__in=list(descendants(top.pk)))
    if player is not None:
        history = history.filter(player=player)
    km = _by_bucket(history, edges)
    rows = [
        Distance(begin, until, km.get(number, Decimal(0)))
        for number, (begin, until) in enumerate(pairwise(edges), start=1)
    ]
    return Mileage(start, end, bucket, top, zone, rows, sum((row.km for row in rows), Decimal(0)))


def time_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name such as Europe/Vienna. Raises Invalid."""
    if name not in _zones():
        raise Invalid(f"{name!r} is no time zone: give a name such as Europe/Vienna.", "tz")
    return ZoneInfo(name)


def moment(text: str, zone: ZoneInfo, field: str) -> datetime:
    """The time that a text says: a date (its first moment), a local time of `zone`, or a time with an offset.

    Raises Invalid for `field`.
    """
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{text!r} is no time: write 2026-03-01, 2026-03-01T08:00 or 2026-03-01T08:00Z; in an address + is %2B.",
            field,
        ) from None
    if not EARLIEST.year <= said.year <= LATEST.year:
        raise _out_of_range(field)
    return said if said.tzinfo else _normal(said.replace(tzinfo=zone))


@cache
def _zones() -> set[str]:
    return available_timezones()


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day; an hour later where a clock change skips midnight."""
    return _normal(datetime.combine(day, time(), zone))


def _check(start: datetime, end: datetime) -> None:
    for field, moment in (("from", start), ("to", end)):
        if not EARLIEST <= moment <= LATEST:
            raise _out_of_range(field)
    if start >= end:
        raise Invalid("The end lies after the start: the interval holds `from` and not `to`.", "to")


def _out_of_range(field: str) -> Invalid:
    return Invalid(f"Give a time between the years {EARLIEST.year} and {LATEST.year}.", field)


def _edges(start: datetime, end: datetime, bucket: Bucket) -> Iterator[datetime]:
    """The start, every boundary inside, the end."""
    yield start
    edge, count = _next(start, bucket), 1
    while edge < end:
        yield edge
        edge, count = _next(edge, bucket), count + 1
        if count > MOST_BUCKETS:
            raise Invalid(
                f"From `from` to `to` are more than {MOST_BUCKETS:,} times a {bucket}: take a larger bucket.", "bucket"
            )
    yield end


def _next(moment: datetime, bucket: Bucket) -> datetime:
    """The first boundary after a local moment."""
    if bucket is Bucket.HOUR:
        # Hours are those of history, which the UTC clock cuts: a repeated local hour stays two.
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return (hour + HOUR).astimezone(moment.tzinfo)
    day = _first_day(moment.date(), bucket)
    if bucket is Bucket.MONTH:
        following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    else:
        following = day + timedelta(days=7 if bucket is Bucket.WEEK else 1)
    assert isinstance(moment.tzinfo, ZoneInfo)
    return local_midnight(following, moment.tzinfo)


def _first_day(day: date, bucket: Bucket) -> date:
    if bucket is Bucket.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if bucket is Bucket.WEEK else day


def _normal(moment: datetime) -> datetime:
    """A local time that a clock change skips becomes the one that the clock showed then."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _by_bucket(history: "QuerySet[HourlyMetric]", edges: list[datetime]) -> dict[int, Decimal]:
    """Kilometres by number of the bucket, from 1. The edges alone decide, so that one time zone database is asked."""
    bounds = Value(edges, output_field=ArrayField(DateTimeField()))
    number = Func(F("hour"), bounds, function="width_bucket", output_field=IntegerField())
    return dict(history.values_list(number).annotate(km=Sum("distance_km")).order_by())
