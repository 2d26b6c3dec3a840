from contextlib import suppress
from typing import Any

from django.apps import AppConfig
from django.db import IntegrityError, connections, transaction
from django.db.models.signals import post_migrate


class LegacyStatsConfig(AppConfig):
    name = "stats.legacy"
    label = "core_stats"
    verbose_name = "core stats (old)"

    def ready(self) -> None:
        post_migrate.connect(forget_content_types, sender=self)


def forget_content_types(sender: AppConfig, using: str, **_: Any) -> None:
    """Django makes a content type for every model that it knows; that of a table that has gone means nothing.

    One that something refers to stays, such as an entry of the administration's log about a row that was deleted.
    """
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    from stats.legacy.models import TABLE

    tables = connections[using].introspection.table_names()
    if TABLE in tables or not {ContentType._meta.db_table, Permission._meta.db_table} <= set(tables):
        return
    with suppress(IntegrityError), transaction.atomic(using=using):
        for model, label in ((Permission, "content_type__app_label"), (ContentType, "app_label")):
            found = model._base_manager.using(using).filter(**{label: sender.label})
            # Without what Django would delete along with it.
            model._base_manager.using(using).filter(pk__in=[row.pk for row in found])._raw_delete(using)
        with connections[using].cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    ContentType.objects.clear_cache()
