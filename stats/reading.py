"""The one way to read core stats: the new row, else the old one, which is counted, else a first row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Max, Sum
from django.utils import timezone

from stats.columns import CHANGEABLE
from stats.legacy.models import TABLE, LegacyCoreStat
from stats.models import CoreStat, FallbackReads


def stats_of(user: Any) -> CoreStat:
    """The core stats of a user, who gets a first row on the first look.

    What only the old table has is answered without being written anywhere; the consolidation brings it over.
    """
    found = CoreStat.objects.filter(user=user).first()
    if found is not None:
        return found
    legacy = LegacyCoreStat.objects.filter(user=user).first() if _is_there() else None
    if legacy is None:
        return _first_row(user)
    _count_fallback()
    fields = (*CHANGEABLE, "level", "created_at", "updated_at")
    return CoreStat(user=user, **{field: getattr(legacy, field) for field in fields})


@dataclass(frozen=True)
class Fallbacks:
    """How often a reader needed the old table, and when it last did."""

    reads: int
    last_at: datetime | None

    def told(self) -> str:
        """For people."""
        if self.last_at is None:
            return "No reader has needed the old table."
        times = "once" if self.reads == 1 else f"{self.reads:,} times"
        return f"Readers needed the old table {times}, last at {self.last_at:%Y-%m-%d %H:%M:%S %Z}."


def fallbacks() -> Fallbacks:
    """All of them."""
    found = FallbackReads.objects.aggregate(reads=Sum("reads"), last_at=Max("last_at"))
    return Fallbacks(found["reads"] or 0, found["last_at"])


def _first_row(user: Any) -> CoreStat:
    try:
        with transaction.atomic():
            return CoreStat.objects.create(user=user)
    except IntegrityError:
        # Somebody else was there first.
        return CoreStat.objects.get(user=user)


def _is_there() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", [TABLE])
        return bool(cursor.fetchone()[0])


def _count_fallback() -> None:
    now = timezone.now()
    FallbackReads.objects.bulk_create([FallbackReads(day=now.date(), reads=0, last_at=now)], ignore_conflicts=True)
    FallbackReads.objects.filter(day=now.date()).update(reads=F("reads") + 1, last_at=now)
