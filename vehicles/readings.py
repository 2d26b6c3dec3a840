"""Which events are readings of the odometer, and in which order they count; rules, audit and verbs agree on it."""

from django.db.models import Q

MAX_MILES = 1_000_000

ALONG = ("occurred_at", "created_at", "id")
"""The order of readings. The time of the event decides, not the time of its entry."""

IS_READING = Q(miles__gt=0, deleted_at__isnull=True)
"""0 miles is an entry without a reading; a deleted event says nothing."""


def is_reading(relation: str = "") -> Q:
    """`IS_READING` as seen across a relation, such as ``events__``."""
    return Q(**{f"{relation}miles__gt": 0, f"{relation}deleted_at__isnull": True})
