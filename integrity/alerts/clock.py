"""What no run can tell, because there was none: schedules that were missed, and rules that have gone."""

from __future__ import annotations


def look_at_clock() -> None:
    """Note it."""
