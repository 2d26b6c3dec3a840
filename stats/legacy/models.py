"""The old app's table. It is there until the consolidation is over; then the model is all that is left.

Django does not manage it any more: the last migration gives the table another name, under which it is kept.
"""

from typing import Any

from django.conf import settings
from django.db import connections, models

from stats.columns import StatColumns

TABLE = "core_stats_corestat"


def cascade_while_there(collector: Any, field: Any, rows: Any, using: str) -> None:
    """CASCADE; nothing once the table has gone, or no user could be deleted any more."""
    if TABLE in connections[using].introspection.table_names():
        models.CASCADE(collector, field, rows, using)


# Django would look for rows before it asks.
cascade_while_there.lazy_sub_objs = True  # type: ignore[attr-defined]


class LegacyCoreStat(StatColumns):
    """The core stats of a user, where the old app keeps them."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, cascade_while_there, related_name="core_stats")

    class Meta:
        managed = False
        db_table = TABLE
        default_permissions = ()
        verbose_name = "old core stats"
        verbose_name_plural = "old core stats"

    def __str__(self) -> str:
        return f"the old core stats of {self.user}"
