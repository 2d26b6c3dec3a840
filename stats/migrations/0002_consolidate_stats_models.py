"""The new table, beside the one of the old app; nothing is in it yet."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import integrity.enforcement.check
import integrity.enforcement.triggers
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

from stats.steps import refuse_to_lose


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('stats', '0001_initial'),
        ('core_stats', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='FallbackReads',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('reads', models.PositiveBigIntegerField(default=0)),
                ('last_at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'fallback reads',
                'ordering': ['-day'],
            },
        ),
        migrations.CreateModel(
            name='CoreStat',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('strength', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('endurance', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('agility', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('intelligence', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('wisdom', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('charisma', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('experience_points', models.IntegerField(db_default=0, default=0, validators=[django.core.validators.MinValueValidator(0)])),
                ('level', models.IntegerField(db_default=1, default=1, editable=False, help_text='Derived: a level for each 1,000 points of experience.')),
                ('created_at', models.DateTimeField(auto_now_add=True, db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(auto_now=True, db_default=django.db.models.functions.datetime.Now())),
                ('user', models.OneToOneField(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='consolidated_core_stats', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'core stats',
                'verbose_name_plural': 'core stats',
                'constraints': [integrity.enforcement.check.RuleCheck(condition=models.Q(models.Q(('strength__gte', 1), ('strength__lte', 100)), models.Q(('endurance__gte', 1), ('endurance__lte', 100)), models.Q(('agility__gte', 1), ('agility__lte', 100)), models.Q(('intelligence__gte', 1), ('intelligence__lte', 100)), models.Q(('wisdom__gte', 1), ('wisdom__lte', 100)), models.Q(('charisma__gte', 1), ('charisma__lte', 100)), ('experience_points__gte', 0), ('experience_points__lte', 2147483647)), name='stats_stats_in_range_holds')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='corestat',
            trigger=integrity.enforcement.triggers.KeepTrigger(name='record_changes', sql=integrity.enforcement.triggers.KeepSql(func="\n    INSERT INTO stats_stathistory (user_id, stat, old, new, change, reason, by, at)\n    SELECT n.user_id, s.stat, s.old, s.new, s.new - s.old, left(coalesce(nullif(current_setting('holdtrue.reason', true), ''), concat_ws(' ', 'written by', nullif(current_setting('application_name'), ''), 'as', session_user)), 500), left(coalesce(nullif(current_setting('holdtrue.actor', true), ''), session_user::text), 200), clock_timestamp()\n    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.user_id = n.user_id\n    CROSS JOIN LATERAL (VALUES ('strength', o.strength::integer, n.strength::integer), ('endurance', o.endurance::integer, n.endurance::integer), ('agility', o.agility::integer, n.agility::integer), ('intelligence', o.intelligence::integer, n.intelligence::integer), ('wisdom', o.wisdom::integer, n.wisdom::integer), ('charisma', o.charisma::integer, n.charisma::integer), ('experience_points', o.experience_points::integer, n.experience_points::integer)) AS s (stat, old, new)\n    WHERE s.old <> s.new\n    ORDER BY n.id;\n    RETURN NULL;", hash='b70beb176b3e7a5ff450b4790c15797faaef8eb5', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_record_changes_2f63a', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='stats_corestat', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='corestat',
            trigger=integrity.enforcement.triggers.KeepTrigger(name='record_returns', sql=integrity.enforcement.triggers.KeepSql(func="\n    INSERT INTO stats_stathistory (user_id, stat, old, new, change, reason, by, at)\n    SELECT s.user_id, s.stat, s.old, s.new, s.new - s.old, left(coalesce(nullif(current_setting('holdtrue.reason', true), ''), concat_ws(' ', 'written by', nullif(current_setting('application_name'), ''), 'as', session_user)), 500), left(coalesce(nullif(current_setting('holdtrue.actor', true), ''), session_user::text), 200), clock_timestamp()\n    FROM (\n        SELECT n.user_id, v.stat, v.new, (\n            SELECT h.new FROM stats_stathistory AS h WHERE h.user_id = n.user_id AND h.stat = v.stat\n            ORDER BY h.id DESC LIMIT 1\n        ) AS old\n        FROM new_rows AS n CROSS JOIN LATERAL (VALUES ('strength', n.strength::integer), ('endurance', n.endurance::integer), ('agility', n.agility::integer), ('intelligence', n.intelligence::integer), ('wisdom', n.wisdom::integer), ('charisma', n.charisma::integer), ('experience_points', n.experience_points::integer)) AS v (stat, new)\n        WHERE EXISTS (SELECT FROM stats_stathistory AS h WHERE h.user_id = n.user_id)\n    ) AS s\n    WHERE s.old <> s.new\n    ORDER BY s.user_id;\n    RETURN NULL;", hash='97e26efeae0d5ba59b4d5975352b2f0d156b294d', level='STATEMENT', operation='INSERT', pgid='pgtrigger_record_returns_4ac14', referencing='REFERENCING NEW TABLE AS new_rows ', table='stats_corestat', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='corestat',
            trigger=integrity.enforcement.triggers.KeepTrigger(name='stats_level_follows_experience_insert', sql=integrity.enforcement.triggers.KeepSql(declare='DECLARE touched_keys bigint[]; kept_now text; kept_outside text;', func='IF current_setting(\'integrity.keeping\', true) = \'stats.level_follows_experience:\' || pg_trigger_depth() THEN RETURN NULL; END IF;\n"touched_keys" := ARRAY(SELECT k."id" FROM (SELECT DISTINCT * FROM (SELECT r."id" AS "id" FROM (SELECT * FROM new_rows) AS r) AS k WHERE ("k"."id") IS NOT NULL) AS k ORDER BY 1);\nIF cardinality("touched_keys") = 0 THEN RETURN NULL; END IF;\nIF current_setting(\'transaction_isolation\') = \'repeatable read\' THEN RAISE EXCEPTION USING ERRCODE = \'feature_not_supported\', MESSAGE = \'stats.level_follows_experience cannot be kept true in a transaction of isolation level REPEATABLE READ.\', HINT = \'Write in READ COMMITTED, the default, or let every writer be SERIALIZABLE.\'; END IF;\nIF cardinality("touched_keys") > 100 THEN "kept_now" := set_config(\'plan_cache_mode\', \'force_custom_plan\', true); END IF;\nPERFORM 1 FROM "stats_corestat" AS t WHERE t."id" = ANY("touched_keys") ORDER BY t."id" FOR NO KEY UPDATE;\n"kept_outside" := coalesce(current_setting(\'integrity.keeping\', true), \'\');\n"kept_now" := set_config(\'integrity.keeping\', \'stats.level_follows_experience:\' || (pg_trigger_depth() + 1), true);\nUPDATE "stats_corestat" AS t SET "level" = p."new__level" FROM (SELECT \'update\' AS op, "d"."key__id" AS "owner__id", "d"."key__id" AS "row__id", "d"."actual__level" AS "old__level", "d"."expected__level" AS "new__level" FROM (SELECT d.* FROM (SELECT "stats_corestat"."id" AS "key__id", "stats_corestat"."level" AS "actual__level", (("stats_corestat"."experience_points" / 1000) + 1) AS "expected__level" FROM "stats_corestat"  WHERE "stats_corestat"."id" = ANY("touched_keys")) AS d WHERE ("d"."actual__level" IS DISTINCT FROM "d"."expected__level")) AS d) AS p WHERE t."id" = p."row__id";\n"kept_now" := set_config(\'integrity.keeping\', "kept_outside", true);\nRETURN NULL;', hash='4e6831f1c5b03db08e7f6058445206ed55bbacf1', level='STATEMENT', operation='INSERT', pgid='pgtrigger_stats_level_follows_experience_insert_51c8c', referencing='REFERENCING NEW TABLE AS new_rows ', table='stats_corestat', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='corestat',
            trigger=integrity.enforcement.triggers.KeepTrigger(name='stats_level_follows_experience_update', sql=integrity.enforcement.triggers.KeepSql(declare='DECLARE touched_keys bigint[]; kept_now text; kept_outside text;', func='IF current_setting(\'integrity.keeping\', true) = \'stats.level_follows_experience:\' || pg_trigger_depth() THEN RETURN NULL; END IF;\n"touched_keys" := ARRAY(SELECT k."id" FROM (SELECT DISTINCT * FROM (SELECT r."id" AS "id" FROM (SELECT c.* FROM old_rows AS o FULL JOIN new_rows AS n ON o."id" = n."id" CROSS JOIN LATERAL (SELECT "o"."id", "o"."experience_points", "o"."level" UNION ALL SELECT "n"."id", "n"."experience_points", "n"."level") AS c WHERE ("o"."id", "o"."experience_points", "o"."level") IS DISTINCT FROM ("n"."id", "n"."experience_points", "n"."level")) AS r) AS k WHERE ("k"."id") IS NOT NULL) AS k ORDER BY 1);\nIF cardinality("touched_keys") = 0 THEN RETURN NULL; END IF;\nIF current_setting(\'transaction_isolation\') = \'repeatable read\' THEN RAISE EXCEPTION USING ERRCODE = \'feature_not_supported\', MESSAGE = \'stats.level_follows_experience cannot be kept true in a transaction of isolation level REPEATABLE READ.\', HINT = \'Write in READ COMMITTED, the default, or let every writer be SERIALIZABLE.\'; END IF;\nIF cardinality("touched_keys") > 100 THEN "kept_now" := set_config(\'plan_cache_mode\', \'force_custom_plan\', true); END IF;\nPERFORM 1 FROM "stats_corestat" AS t WHERE t."id" = ANY("touched_keys") ORDER BY t."id" FOR NO KEY UPDATE;\n"kept_outside" := coalesce(current_setting(\'integrity.keeping\', true), \'\');\n"kept_now" := set_config(\'integrity.keeping\', \'stats.level_follows_experience:\' || (pg_trigger_depth() + 1), true);\nUPDATE "stats_corestat" AS t SET "level" = p."new__level" FROM (SELECT \'update\' AS op, "d"."key__id" AS "owner__id", "d"."key__id" AS "row__id", "d"."actual__level" AS "old__level", "d"."expected__level" AS "new__level" FROM (SELECT d.* FROM (SELECT "stats_corestat"."id" AS "key__id", "stats_corestat"."level" AS "actual__level", (("stats_corestat"."experience_points" / 1000) + 1) AS "expected__level" FROM "stats_corestat"  WHERE "stats_corestat"."id" = ANY("touched_keys")) AS d WHERE ("d"."actual__level" IS DISTINCT FROM "d"."expected__level")) AS d) AS p WHERE t."id" = p."row__id";\n"kept_now" := set_config(\'integrity.keeping\', "kept_outside", true);\nRETURN NULL;', hash='84a0ccb1ce5d31854336f300ff62c256a0a51bd4', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_stats_level_follows_experience_update_45196', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='stats_corestat', when='AFTER')),
        ),
        # Backwards this comes first: the table does not go with anything that the old one does not say.
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
