"""What the old table says comes over to the new one, every column as it is; conflicts go to the newest row."""

from django.db import migrations

from stats.steps import copy, take_copy_back


class Migration(migrations.Migration):

    # The engine works in transactions of its own, and goes on where a killed run has stopped.
    atomic = False

    dependencies = [
        ('stats', '0002_consolidate_stats_models'),
        ('core_stats', '0001_initial'),
        # Never a newer one: that would contradict every database on which this is applied. With rows it asks for all.
        ('integrity', '0006_consolidate'),
    ]

    operations = [
        migrations.RunPython(copy, take_copy_back),
    ]
