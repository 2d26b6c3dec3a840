"""Charts as figures for SVG that the server draws: readable without scripts, in print, under a strict policy."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from vehicles.history import History, Month, Reading

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 240, 64, 28, 10
TICKS = 4
MONTHS_SHOWN = 36


@dataclass(frozen=True)
class Label:
    """A word of an axis."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A reading, or an override, with what it says."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Line:
    """The mileage over time: a line for each odometer, a mark for each reading, one for each override."""

    paths: list[str]
    readings: list[Mark]
    overrides: list[Mark]
    suspects: list[Mark]
    """Mistyped readings, at the upper edge where they lie beyond it."""
    across: list[Label]
    up: list[Label]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Bar:
    """The miles of a month."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Bars:
    """Miles per month."""

    bars: list[Bar]
    across: list[Label]
    up: list[Label]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


def line(found: History, mistyped: Collection[int | None] = ()) -> Line | None:
    """The chart of a history; None where there is nothing to draw.

    mistyped: events that are marked and left out of the line, so that one of them does not flatten all others.
    """
    if not found.readings:
        return None
    drawn = [r for r in found.readings if r.event not in mistyped]
    shown = [o for o in found.overrides if o.mileage is not None]
    moments = [r.at for r in found.readings] + [o.at for o in shown]
    begin, end = min(moments), max(moments)
    top = nice(max([r.miles for r in drawn] + [o.mileage or 0 for o in shown], default=0))

    def x(at: datetime) -> float:
        lasted = (end - begin).total_seconds()
        share = (at - begin).total_seconds() / lasted if lasted else 0.5
        return round(LEFT + share * (WIDTH - LEFT - 10), 1)

    def mark(at: datetime, miles: int, what: str) -> Mark:
        return Mark(x(at), _y(min(miles, top), top), f"{at:%Y-%m-%d}: {miles:,} miles{what}")

    return Line(
        paths=[_path(list(odometer), x, top) for _, odometer in groupby(drawn, key=lambda r: r.odometer)],
        readings=[mark(r.at, r.miles, "") for r in drawn],
        overrides=[mark(o.at, o.mileage or 0, f", said by {o.author}") for o in shown],
        suspects=[mark(r.at, r.miles, ", mistyped") for r in found.readings if r.event in mistyped],
        across=[Label(x(begin), HEIGHT - 8, f"{begin:%Y-%m-%d}"), Label(x(end), HEIGHT - 8, f"{end:%Y-%m-%d}")],
        up=_up(top),
    )


def _path(readings: Sequence[Reading], x: Callable[[datetime], float], top: int) -> str:
    return " ".join(f"{x(r.at)},{_y(r.miles, top)}" for r in readings)


def bars(months: Sequence[Month]) -> Bars | None:
    """The chart of the latest months; None where there is nothing to draw."""
    shown = months[-MONTHS_SHOWN:]
    if not shown:
        return None
    top = nice(max(month.miles for month in shown))
    step = (WIDTH - LEFT - 10) / len(shown)
    drawn = [
        Bar(
            x=round(LEFT + step * (number + 0.15), 1),
            y=_y(max(month.miles, 0), top),
            width=round(step * 0.7, 1),
            height=round(HEIGHT - BOTTOM - _y(max(month.miles, 0), top), 1),
            title=f"{month.month}: {month.miles:,.0f} miles",
        )
        for number, month in enumerate(shown)
    ]
    every = -(-len(shown) // 12)
    across = [
        Label(round(LEFT + step * (number + 0.5), 1), HEIGHT - 8, shown[number].month)
        for number in range(0, len(shown), every)
    ]
    return Bars(drawn, across, _up(top))


def nice(most: float) -> int:
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten: quarters of it are short numbers."""
    power = 1
    while power * 10 < most:
        power *= 10
    return max(4, next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most))


def _y(miles: float, top: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * miles / top, 1)


def _up(top: int) -> list[Label]:
    return [Label(LEFT - 8, _y(top * n / TICKS, top), f"{top * n / TICKS:,.0f}") for n in range(TICKS + 1)]
