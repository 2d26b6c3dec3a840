"""Which scheduled looks have not come: for health, alerts and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from integrity.looks import NEVER, Look, Looks, last_looks
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.schedules.schedule import schedule_of, sweep_of
from integrity.schedules.spans import told

LOOK, SWEEP = "look", "sweep"


class Overdue(NamedTuple):
    """A look that two periods have passed without. ``last``: when the last one began; None: there was none."""

    rule: Rule
    last: datetime | None
    period: timedelta
    what: str = LOOK
    """``look``, or ``sweep`` for the look at everything of a rule of which only changes are looked at in between."""

    @property
    def why(self) -> str:
        """``a look is due every 1 h, last 2026-03-02 14:30 UTC``."""
        last = f"last {timezone.localtime(self.last):%Y-%m-%d %H:%M %Z}" if self.last else "never yet"
        return f"a {self.what} is due every {told(self.period)}, {last}"

    def __str__(self) -> str:
        return f"{self.rule.label}: {self.why}"


def overdue(
    now: datetime | None = None, *, rules: Iterable[Rule] | None = None, looks: Mapping[str, Looks] | None = None
) -> list[Overdue]:
    """What of the declared schedules has been missed. looks: the last ones, where they have been read already."""
    now = now or timezone.now()
    chosen = [rule for rule in (registry if rules is None else rules) if schedule_of(rule) is not None]
    known = last_looks(chosen) if looks is None else looks
    found = []
    for rule in chosen:
        seen = known.get(rule.label, NEVER)
        for what, schedule, last in ((LOOK, schedule_of(rule), _any(rule, seen)), (SWEEP, sweep_of(rule), seen.sweep)):
            at = last.at if last else None
            if schedule is not None and schedule.is_overdue(at, now):
                found.append(Overdue(rule, at, schedule.period(at or now), what))
    return found


def _any(rule: Rule, seen: Looks) -> Look | None:
    """The look that the schedule asks for: at what has changed only where another schedule is for everything."""
    return seen.look if rule.sweep is not None else seen.sweep
