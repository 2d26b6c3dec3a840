from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class LegacyStatsConfig(AppConfig):
    name = "stats.legacy"
    label = "core_stats"
    verbose_name = "core stats (old)"

    def ready(self) -> None:
        post_migrate.connect(forget_content_types, sender=self)


def forget_content_types(sender: AppConfig, using: str, **_: Any) -> None:
    """Django makes a content type for every model that it knows; that of a table that has gone means nothing."""
    from django.contrib.contenttypes.models import ContentType

    from stats.legacy.models import TABLE

    tables = connections[using].introspection.table_names()
    if TABLE not in tables and ContentType._meta.db_table in tables:
        ContentType.objects.using(using).filter(app_label=sender.label).delete()
        ContentType.objects.clear_cache()
