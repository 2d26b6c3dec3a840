"""What refers to the old table refers to the new one: foreign keys, generic relations, content types, permissions."""

from django.db import migrations

from stats.steps import point_references, point_references_back


class Migration(migrations.Migration):

    # The engine works in transactions of its own, and goes on where a killed run has stopped.
    atomic = False

    dependencies = [
        ('stats', '0003_consolidate_core_stats_data'),
        ('contenttypes', '0002_remove_content_type_name'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.RunPython(point_references, point_references_back),
    ]
