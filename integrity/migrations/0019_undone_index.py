import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # A journal may be long, and whoever repairs meanwhile writes to it.
    atomic = False

    dependencies = [
        ('integrity', '0018_healing'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='change',
            index=models.Index(condition=models.Q(('undone_by__isnull', False)), fields=['undone_by'], name='integrity_change_undone'),
        ),
        migrations.AlterField(
            model_name='change',
            name='undone_by',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='undid', to='integrity.run'),
        ),
    ]
