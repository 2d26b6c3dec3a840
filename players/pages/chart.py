"""A bar chart as SVG of the server's making: readable without scripts, in print, and under a strict content policy.

Across, everything is in percent, so that one drawing fits a phone and a desk without shrinking its letters; upwards it
is in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from players.reports import Bucket, Distance

HEIGHT = 220
TOP = 12
TICKS = 4
LABELS = 12
"""As many labels as fit on a desk; every third of them fits on a phone."""
GAP = Decimal("0.22")


@dataclass(frozen=True)
class Bar:
    """One bucket: its place across and width in percent, its top and height in pixels, and what it says."""

    x: str
    width: str
    y: int
    height: int
    km: Decimal
    title: str
    is_running: bool


@dataclass(frozen=True)
class Tick:
    """A line across at `y` pixels with its kilometres."""

    y: int
    km: str


@dataclass(frozen=True)
class Label:
    """A word below the bars, at `x` percent. `minor`: left out where there is little room."""

    x: str
    text: str
    minor: bool


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    bars: list[Bar]
    ticks: list[Tick]
    labels: list[Label]
    height: int = HEIGHT
    total_height: int = HEIGHT + 26


def chart(rows: Sequence[Distance], bucket: Bucket, now: datetime) -> Chart:
    """The chart of a report's rows, which follow each other in time."""
    top = _nice(max((row.km for row in rows), default=Decimal(0)))
    share = Decimal(100) / max(len(rows), 1)
    bars = [_bar(row, number, share, top, bucket, now) for number, row in enumerate(rows)]
    ticks = [Tick(round(_y(top * n / TICKS, top)), _plain(top * n / TICKS)) for n in range(TICKS + 1)]
    return Chart(bars, ticks, _labels(rows, share, bucket))


def span(row: Distance, bucket: Bucket) -> str:
    """The time of a row in words: `Tue 3 Nov 2026`, `3 Nov, 14:00`, `2-8 Nov 2026`, `November 2026`."""
    start, last = row.start, row.end - timedelta(microseconds=1)
    if bucket is Bucket.HOUR:
        return f"{start:%a} {start.day} {start:%b, %H:%M}"
    if bucket is Bucket.DAY:
        return f"{start:%a} {start.day} {start:%b %Y}"
    if bucket is Bucket.WEEK:
        month = "" if (start.year, start.month) == (last.year, last.month) else f" {start:%b}"
        begin = "" if start.date() == last.date() else f"{start.day}{month}-"
        return f"{begin}{last.day} {last:%b %Y}"
    return f"{start:%B %Y}"


def _bar(row: Distance, number: int, share: Decimal, top: Decimal, bucket: Bucket, now: datetime) -> Bar:
    y = round(_y(row.km, top))
    if row.km and y == HEIGHT:
        y -= 1  # a kilometre among thousands is still not nothing
    return Bar(
        x=_percent(share * (number + GAP / 2)),
        width=_percent(share * (1 - GAP)),
        y=y,
        height=HEIGHT - y,
        km=row.km,
        title=span(row, bucket),
        is_running=row.start <= now < row.end,
    )


def _y(km: Decimal, top: Decimal) -> Decimal:
    return HEIGHT - (HEIGHT - TOP) * km / top


def _labels(rows: Sequence[Distance], share: Decimal, bucket: Bucket) -> list[Label]:
    step = -(-len(rows) // LABELS) or 1
    return [
        Label(_percent(share * (number + Decimal("0.5"))), _short(rows[number].start, bucket), minor=at % 3 != 0)
        for at, number in enumerate(range(0, len(rows), step))
    ]


def _short(start: datetime, bucket: Bucket) -> str:
    if bucket is Bucket.HOUR:
        return f"{start.day} {start:%b}" if start.hour == 0 else f"{start:%H:%M}"
    if bucket is Bucket.MONTH:
        return f"{start:%b %y}"
    return f"{start.day} {start:%b}"


def _nice(most: Decimal) -> Decimal:
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten: quarters of it are short numbers."""
    if not most:
        return Decimal(4)
    power = Decimal(10) ** most.adjusted()
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most)


def _percent(share: Decimal) -> str:
    return f"{share:.3f}%"


def _plain(km: Decimal) -> str:
    text = f"{km:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
