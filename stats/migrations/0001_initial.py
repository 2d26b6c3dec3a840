"""The history of changes: it belongs to the user, and so to neither table of stats."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import django.utils.timezone
import integrity.enforcement.check
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='StatHistory',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stat', models.CharField(choices=[('strength', 'strength'), ('endurance', 'endurance'), ('agility', 'agility'), ('intelligence', 'intelligence'), ('wisdom', 'wisdom'), ('charisma', 'charisma'), ('experience_points', 'experience points')], max_length=20)),
                ('old', models.IntegerField()),
                ('new', models.IntegerField()),
                ('change', models.IntegerField(help_text='new - old')),
                ('reason', models.CharField(max_length=500)),
                ('by', models.CharField(max_length=200)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now)),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='stat_history', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'stat history',
                'ordering': ['-id'],
            },
        ),
        migrations.AddIndex(
            model_name='stathistory',
            index=models.Index(fields=['user', 'stat', 'id'], name='stats_history_in_order'),
        ),
        migrations.AddConstraint(
            model_name='stathistory',
            constraint=integrity.enforcement.check.RuleCheck(condition=models.Q(('change', django.db.models.expressions.CombinedExpression(models.F('new'), '-', models.F('old')))), name='stats_change_is_new_minus_old_holds'),
        ),
    ]
