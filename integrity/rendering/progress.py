"""How far a run is, for people and for programs."""

from __future__ import annotations

from typing import Any

from integrity import statuses
from integrity.workers.progress import Progress


def progress_object(told: Progress) -> dict[str, Any]:
    """Progress as JSON has it; times in seconds."""
    return {
        "unit": told.unit,
        "done": told.done,
        "total": told.total,
        "share": None if told.share is None else round(told.share, 4),
        "rate": told.rate,
        "remaining": told.remaining,
        "parts": told.parts or None,
        "workers": told.workers,
        "waits_for": told.waits_for or None,
    }


def progress_lines(told: Progress) -> list[str]:
    """A sentence of how far it is, one of its parts, one of who is at work."""
    found = [_how_far(told)]
    if told.parts:
        found.append("Parts: " + ", ".join(f"{many:,} {status}" for status, many in sorted(told.parts.items())))
    if told.workers:
        found.append("At work: " + ", ".join(told.workers))
    if told.waits_for:
        found.append(f"Waits: {told.waits_for}")
    return found


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _how_far(told: Progress) -> str:
    if told.status == statuses.QUEUED:
        return "Nobody has begun; to start a worker: manage.py integrity work"
    of = "" if told.total is None else f" of {told.total:,}"
    share = "" if told.share is None else f" ({told.share:.0%})"
    rate = f", {told.rate:,.0f} a second" if told.rate else ""
    rest = f", about {duration(told.remaining)} left" if told.remaining else ""
    return f"{told.done:,}{of} {told.unit} done{share}{rate}{rest}"
