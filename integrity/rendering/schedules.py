"""What was due, what came of it, and when rules are looked at next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from rich.console import Console

from integrity.rendering import machine
from integrity.rendering.report import print_report
from integrity.rendering.terminal import table
from integrity.rules.base import Rule
from integrity.schedules.schedule import schedule_of, sweep_of
from integrity.schedules.scheduling import Due, Scheduled


def as_object(found: Scheduled, *, dry_run: bool) -> dict[str, Any]:
    """A run as JSON has it; ``run`` is null where nothing was looked at."""
    answer = machine.list_object("run", []) if found.report is None else machine.report_object(found.report)
    return answer | {
        "dry_run": dry_run,
        "due": [
            {
                "rule": one.rule.label,
                "look": one.what,
                "schedule": one.schedule.text if one.schedule else None,
                "last": _time(one.last),
                "since": _time(one.since),
            }
            for one in found.due
        ],
        "repairs": [one.as_json() for one in found.healed],
        "busy": found.busy or None,
    }


def to_csv(found: Scheduled) -> str:
    """A line for each violation; where nothing was looked at, for each rule that is due."""
    if found.report is not None:
        return machine.to_csv(found.report)
    return machine.lines(["rule", "look", "schedule", "last", "since"], [_row(one) for one in found.due])


def print_scheduled(out: Console, found: Scheduled, *, dry_run: bool) -> None:
    """For people."""
    if found.busy:
        out.print(f"Nothing was looked at here: {found.busy}", soft_wrap=True, markup=False)
    elif not found.due:
        out.print("Nothing is due.")
    elif found.report is not None:
        print_report(out, found.report)
    if dry_run and found.due:
        out.print(table(["rule", "look at", "schedule", "last", "due since"], [_row(one) for one in found.due]))
        out.print("\nNothing was looked at. To do so: manage.py integrity run --due", soft_wrap=True)


def told(rule: Rule, times: Mapping[str, datetime | None]) -> str:
    """When a rule is looked at: ``every 1h; next 2026-11-20 13:00``; empty where no schedule says."""
    schedule, at = schedule_of(rule), times.get(rule.label)
    if schedule is None:
        return ""
    what = f"{schedule} for changes, {sweep_of(rule)} as a whole" if rule.sweep else str(schedule)
    return f"{what}; next {_minute(at)}" if at else what


def _row(one: Due) -> list[Any]:
    last = _minute(one.last) if one.last else "never"
    return [one.rule.label, one.what, str(one.schedule or "-"), last, _minute(one.since) if one.since else "-"]


def _minute(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}"


def _time(at: datetime | None) -> str | None:
    return timezone.localtime(at).isoformat() if at else None
