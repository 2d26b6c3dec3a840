"""The states of a run and of its results, and every move between them.

A run whose process died stays ``running`` until another one takes it over.
"""

from __future__ import annotations

QUEUED = "queued"
RUNNING = "running"
CLEAN = "clean"
VIOLATED = "violated"
PARTIAL = "partial"
FAILED = "failed"
REFUSED = "refused"
RETIRED = "retired"

TRANSITIONS = {
    QUEUED: {
        RUNNING,  # a worker has begun with it
        FAILED,  # it could not be begun, or those who began with it died
        REFUSED,  # cancelled, or found impossible, before anything was written
    },
    RUNNING: {
        QUEUED,  # its worker died before it had written anything that another could go on with
        CLEAN,  # nothing breaks the rule, or nothing does any more
        VIOLATED,  # violations were found, or are left after a repair
        PARTIAL,  # something was skipped: locked, moved, or changed since
        FAILED,  # an error ended it; what was committed before stays and is journaled
        REFUSED,  # stopped before anything was written
        RETIRED,  # the rule's table has gone by design
    },
}

# The states of a part of a run that workers share.
WAITING = "waiting"
DONE = "done"
CANCELLED = "cancelled"

PART_TRANSITIONS = {
    WAITING: {
        RUNNING,  # a worker has taken it
        CANCELLED,  # nobody begins it any more
    },
    RUNNING: {
        WAITING,  # left: the run is paused, its worker died, or an error may pass
        DONE,
        FAILED,  # an error stays, or too many workers died of it
        CANCELLED,  # ended between two batches
    },
}
PART_CHOICES = [(s, s) for s in (WAITING, RUNNING, DONE, FAILED, CANCELLED)]

RESULT_CHOICES = [(s, s) for s in (RUNNING, CLEAN, VIOLATED, PARTIAL, FAILED, REFUSED, RETIRED)]
RUN_CHOICES = [(s, s) for s in (QUEUED, RUNNING, CLEAN, VIOLATED, PARTIAL, FAILED, REFUSED)]

EXIT_CODES = {CLEAN: 0, RETIRED: 0, VIOLATED: 1, PARTIAL: 3, FAILED: 3, REFUSED: 3, RUNNING: 3, QUEUED: 3}

# The worst of its results is the status of a run.
_WORST_FIRST = (FAILED, REFUSED, PARTIAL, QUEUED, RUNNING, VIOLATED, CLEAN)


def worst(statuses: list[str]) -> str:
    """The status of a run from those of its results; nothing looked at is clean only when nothing was asked."""
    return next((status for status in _WORST_FIRST if status in statuses), CLEAN)


def move(current: str, to: str) -> str:
    """The new status. Raises ValueError for a move that does not exist."""
    if to not in TRANSITIONS.get(current, set()):
        raise ValueError(f"A run cannot go from {current!r} to {to!r}.")
    return to


def move_part(current: str, to: str) -> str:
    """The new status of a part. Raises ValueError for a move that does not exist."""
    if to not in PART_TRANSITIONS.get(current, set()):
        raise ValueError(f"A part of a run cannot go from {current!r} to {to!r}.")
    return to
