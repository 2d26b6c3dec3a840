"""What changed of late: rules that began to be broken or hold again, and runs that wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from integrity.overview.standing import Standing
from integrity.trend import Point

SHOWN = 8


@dataclass(frozen=True)
class Turn:
    """A rule that was broken from one look to the next, or held again."""

    standing: Standing
    before: Point
    after: Point

    @property
    def at(self) -> datetime:
        return self.after.at


def turns(standings: Iterable[Standing], *, limit: int = SHOWN) -> list[Turn]:
    """The latest moments, the newest first, at which a rule began to be broken or held again; and of each rule that
    is broken when its number last changed.
    """
    found = []
    for standing in standings:
        steps = [
            Turn(standing, *pair) for pair in pairwise(standing.points) if pair[0].violations != pair[1].violations
        ]
        found += [
            step for step in steps if step is steps[-1] or not step.before.violations or not step.after.violations
        ]
    return sorted(found, key=lambda turn: turn.at, reverse=True)[:limit]
