"""A time by which the work of a request ends: no statement outlasts it, and no batch begins after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from integrity.exceptions import NotChecked

_ends: ContextVar[float | None] = ContextVar("integrity_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done here, by this thread, ends after so many seconds: as not checked, or between two batches."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def has_passed() -> bool:
    """Whether there was a deadline, and it is over."""
    ends = _ends.get()
    return ends is not None and time.monotonic() >= ends


def bound(connection: Any) -> None:
    """Let the statements of this transaction last no longer than there is time. Raises NotChecked for none left."""
    ends = _ends.get()
    if ends is None:
        return
    left = ends - time.monotonic()
    if left <= 0:
        raise NotChecked("There was no time left to look at it.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{max(1, round(left * 1000))}ms"])
