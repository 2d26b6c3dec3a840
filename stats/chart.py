"""A stat over time as SVG of the server's making: readable without scripts, in print, and under a strict policy.

Across, everything is in percent of the time that is shown, so that one drawing fits a phone and a desk; upwards it is
in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from stats.models import StatHistory

HEIGHT, TOP, TICKS = 220, 12, 4


@dataclass(frozen=True)
class Step:
    """A value for as long as it held: from ``x`` to ``end`` in percent, at ``y`` pixels, where the next is ``next``."""

    x: str
    end: str
    y: int
    next: int


@dataclass(frozen=True)
class Mark:
    """A change, with what it says."""

    x: str
    y: int
    title: str


@dataclass(frozen=True)
class Tick:
    """A line across, with its value."""

    y: int
    text: str


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    steps: list[Step]
    marks: list[Mark]
    ticks: list[Tick]
    begin: datetime
    end: datetime
    height: int = HEIGHT
    total_height: int = HEIGHT + 26


def chart(lines: Sequence[StatHistory], now: datetime, most: int) -> Chart | None:
    """The chart of a stat's history, oldest line first; None where nothing has changed yet. most: the upper edge."""
    if not lines:
        return None
    top = nice(most)
    begin = lines[0].at
    lasted = (now - begin).total_seconds() or 1

    def across(at: datetime) -> str:
        return f"{min(max((at - begin).total_seconds() / lasted, 0), 1) * 100:.3f}%"

    moments = [*(line.at for line in lines), now]
    steps = [
        Step(across(at), across(until), _y(line.new, top), _y(later.new, top))
        for line, later, (at, until) in zip(lines, [*lines[1:], lines[-1]], pairwise(moments), strict=True)
    ]
    marks = [
        Mark(
            across(line.at), _y(line.new, top), f"{line.at:%Y-%m-%d %H:%M}: {line.old:,} to {line.new:,}. {line.reason}"
        )
        for line in lines
    ]
    ticks = [Tick(_y(top * n // TICKS, top), f"{top * n // TICKS:,}") for n in range(TICKS + 1)]
    return Chart(steps, marks, ticks, begin, now)


def nice(most: int) -> int:
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten: quarters of it are short numbers."""
    power = 1
    while power * 10 < most:
        power *= 10
    return max(TICKS, next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most))


def _y(value: int, top: int) -> int:
    return round(HEIGHT - (HEIGHT - TOP) * value / top)
