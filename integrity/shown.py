"""How a value stands in a sentence or a table."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone

from integrity.keys import as_json


def show(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(f"{name} {show(part)}" for name, part in value.items())
        case list() | tuple():
            return "\n".join(show(item) for item in value)
        case datetime.datetime():
            text = value.isoformat(" ", "auto" if value.second or value.microsecond else "minutes")
            return text.replace("+00:00", " UTC")
    return str(as_json(value))


def counted(number: int, thing: str) -> str:
    """``1 violation`` or ``1,200 violations``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def day_of(at: datetime.date) -> str:
    """``3 Nov``."""
    return f"{at.day} {at:%b}"


def moment(at: datetime.datetime) -> str:
    """``3 Nov 2026, 14:05``, in the time zone of whoever looks."""
    at = timezone.localtime(at)
    return f"{day_of(at)} {at:%Y, %H:%M}"


def lasting(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``12 days``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size in (("s", 1), ("min", 60), ("h", 3_600)):
        if seconds < size * (60 if unit != "h" else 48):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
