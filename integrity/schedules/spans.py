"""How a span of time stands in a sentence."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def told(span: timedelta) -> str:
    """``90 s``, ``25 min``, ``3 h``, ``12 d``: whole numbers of the largest unit of which there are two."""
    seconds = span.total_seconds()
    for unit, size in _UNITS:
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds // size:g} {unit}"
    return f"{seconds:.0f} s"
