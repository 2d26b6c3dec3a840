"""Charts as figures for SVG that the server draws: readable without scripts, in print, under a strict policy.

Across, everything is in percent, so that one drawing fits a phone and a desk without shrinking its letters; upwards it
is in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from integrity.overview.history import History
from integrity.shown import counted, day_of, moment
from integrity.trend import Point

HEIGHT, TOP, TICKS = 160, 10, 4
COLOURS = 6
"""So many apps have a colour of their own; the rest share the last."""
LABELS = 6
SPARK_WIDTH, SPARK_HEIGHT = 88, 22


@dataclass(frozen=True)
class Block:
    """A part of a bar: its colour, and its place from above in pixels."""

    colour: int
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One day, or one look: what it says, and its parts from below; no parts where there is nothing to show."""

    x: str
    width: str
    title: str
    blocks: Sequence[Block]
    is_unknown: bool = False


@dataclass(frozen=True)
class Tick:
    """A line across, at ``y`` pixels, with its number."""

    y: float
    text: str


@dataclass(frozen=True)
class Label:
    """A word below the bars. ``minor``: left out where there is little room."""

    x: str
    text: str
    minor: bool


@dataclass(frozen=True)
class Chart:
    """What the template draws, and the same as a table for those who do not see it."""

    bars: list[Bar]
    ticks: list[Tick]
    labels: list[Label]
    legend: list[tuple[int, str, int]]
    """Colour, name and last number of each series."""
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    height: int = HEIGHT
    total_height: int = HEIGHT + 24


def of_apps(history: History) -> Chart:
    """Violations by day, a colour for each app."""
    shown = [one for one in history.series if any(one.counts)]
    top = _nice(max(history.total, default=0))
    share = 100 / max(len(history.days), 1)
    bars, rows = [], []
    for at, day in enumerate(history.days):
        counts = [one.counts[at] for one in shown]
        told = ", ".join(f"{one.app} {count:,}" for one, count in zip(shown, counts, strict=True) if count)
        unknown = all(one.counts[at] is None for one in history.series)
        said = "not looked at yet" if unknown else told or "none"
        blocks = _stacked([count or 0 for count in counts], top)
        bars.append(Bar(_percent(share * (at + 0.1)), _percent(share * 0.8), f"{day_of(day)}: {said}", blocks, unknown))
        rows.append((f"{day_of(day)} {day.year}", ["-" if count is None else f"{count:,}" for count in counts]))
    legend = [(min(n, COLOURS - 1), one.app, one.counts[-1] or 0) for n, one in enumerate(shown)]
    labels = _labels([day_of(day) for day in history.days], share)
    return Chart(bars, _ticks(top), labels, legend, [one.app for one in shown], rows)


def of_points(points: Sequence[Point]) -> Chart:
    """What the looks at a rule found, one bar each, the oldest first."""
    top = _nice(max((point.violations for point in points), default=0))
    share = 100 / max(len(points), 1)
    bars, rows = [], []
    for at, point in enumerate(points):
        said = counted(point.violations, "violation")
        if point.checked is not None:
            said += f" of {point.checked:,}"
        blocks = _stacked([point.violations], top)
        bars.append(Bar(_percent(share * (at + 0.1)), _percent(share * 0.8), f"{moment(point.at)}: {said}", blocks))
        rows.append((moment(point.at), [said]))
    labels = _labels([day_of(timezone.localtime(point.at)) for point in points], share)
    return Chart(bars, _ticks(top), labels, [], ["found"], rows)


@dataclass(frozen=True)
class Spark:
    """A line without axes, which says its numbers to those who do not see it."""

    points: str
    end: tuple[float, float]
    said: str
    is_none: bool
    """True where the last look found nothing."""
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


def spark(numbers: Sequence[int]) -> Spark | None:
    """A line of a rule's trend; None where there are not two numbers."""
    if len(numbers) < 2:
        return None
    top = max(*numbers, 1)
    step = (SPARK_WIDTH - 8) / (len(numbers) - 1)
    points = [
        (round(4 + step * at, 1), round(SPARK_HEIGHT - 4 - (SPARK_HEIGHT - 8) * n / top, 1))
        for at, n in enumerate(numbers)
    ]
    last = ", ".join(f"{number:,}" for number in numbers[-8:])
    return Spark(" ".join(f"{x},{y}" for x, y in points), points[-1], f"last looks found {last}", not numbers[-1])


def _stacked(counts: Sequence[int], top: int) -> list[Block]:
    blocks, y = [], float(HEIGHT)
    for colour, count in enumerate(counts):
        if count:
            # One among thousands is still not nothing.
            height = max((HEIGHT - TOP) * count / top, 1.5)
            y -= height
            blocks.append(Block(min(colour, COLOURS - 1), round(y, 1), round(height, 1)))
    return blocks


def _ticks(top: int) -> list[Tick]:
    steps = TICKS if top >= TICKS else 1
    return [Tick(round(HEIGHT - (HEIGHT - TOP) * n / steps, 1), f"{top * n // steps:,}") for n in range(steps + 1)]


def _labels(texts: Sequence[str], share: float) -> list[Label]:
    step = -(-len(texts) // LABELS) or 1
    chosen = range(0, len(texts), step)
    return [Label(_percent(share * (at + 0.5)), texts[at], n % 2 != 0) for n, at in enumerate(chosen)]


def _nice(most: int) -> int:
    """The next of 4, 8, 12, 20, 40 times a power of ten: quarters of it are whole numbers."""
    if most <= 4:
        return 4
    power = 1
    while True:
        for step in (4, 8, 12, 20):
            if step * power >= most:
                return step * power
        power *= 10


def _percent(share: float) -> str:
    return f"{share:.3f}%"
