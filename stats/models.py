"""The one table of core stats, and the history of what was changed in it.

``CoreStat`` takes over from the table of the old app (``stats.legacy``); the history belongs to the user, and so to
neither table.
"""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from stats.columns import CHANGEABLE, StatColumns
from stats.triggers import record_changes, record_returns


class CoreStat(StatColumns):
    """The core stats of a user."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="consolidated_core_stats", editable=False
    )

    class Meta:
        verbose_name = "core stats"
        verbose_name_plural = "core stats"
        triggers = [record_changes, record_returns]

    def __str__(self) -> str:
        return f"the core stats of {self.user}"


class StatHistory(models.Model):
    """That a stat was changed: from what to what, when, by whom and why. Triggers write it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="stat_history", db_index=False)
    stat = models.CharField(max_length=20, choices=[(stat, stat.replace("_", " ")) for stat in CHANGEABLE])
    old = models.IntegerField()
    new = models.IntegerField()
    change = models.IntegerField(help_text="new - old")
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=200)
    at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "stat history"
        indexes = [models.Index(fields=["user", "stat", "id"], name="stats_history_in_order")]

    def __str__(self) -> str:
        return f"{self.stat} {self.old} -> {self.new}"


class FallbackReads(models.Model):
    """How often a day a reader found stats in the old table alone; no row for a day means never."""

    day = models.DateField(primary_key=True)
    reads = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        ordering = ["-day"]
        verbose_name_plural = "fallback reads"

    def __str__(self) -> str:
        return f"{self.reads} on {self.day}"
