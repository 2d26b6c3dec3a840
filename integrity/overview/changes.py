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
    """The latest moments at which the number of a rule's violations changed, the newest first."""
    found = [
        Turn(standing, before, after)
        for standing in standings
        for before, after in pairwise(standing.points)
        if before.violations != after.violations
    ]
    return sorted(found, key=lambda turn: turn.at, reverse=True)[:limit]
