"""The old table goes: proven to say nothing else, in one transaction, and kept under another name to come back.

It depends on the copy and on the references that follow it: neither can be left out, or deleted, while this one is there.
"""

from django.db import migrations

from stats.steps import bring_legacy_back, retire_legacy


class Migration(migrations.Migration):

    dependencies = [
        ('core_stats', '0001_initial'),
        ('stats', '0003_consolidate_core_stats_data'),
        ('stats', '0004_remove_old_core_stats_references'),
    ]

    operations = [
        migrations.RunPython(retire_legacy, bring_legacy_back),
        migrations.AlterModelOptions(
            name='legacycorestat',
            options={
                'managed': False,
                'default_permissions': (),
                'verbose_name': 'old core stats',
                'verbose_name_plural': 'old core stats',
            },
        ),
    ]
