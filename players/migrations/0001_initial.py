from decimal import Decimal

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.math
import django.db.models.functions.text
import django.db.models.lookups
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Group",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("school", "School"), ("class", "Class"), ("club", "Club")],
                        default="class",
                        max_length=20,
                    ),
                ),
                (
                    "distance_total",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("0"),
                        help_text="Derived: the sum over the distinct players of this group and all groups below it, in km.",
                        max_digits=15,
                    ),
                ),
                (
                    "is_visible",
                    models.BooleanField(
                        default=True, help_text="Shown on leaderboards. Hidden groups are still counted."
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="The group that this one is part of. A group cannot be its own ancestor.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="players.group",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Device",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Upper and lower case are one.", max_length=200)),
                ("collects", models.BooleanField(default=True, help_text="New distance is accepted from this device.")),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        help_text="Where the bike stands. Its rides count for this group in reports over time.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="devices",
                        to="players.group",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=200)),
                (
                    "body_hash",
                    models.CharField(
                        help_text="SHA-256 of the request, in hex: another body is a conflict.", max_length=64
                    ),
                ),
                ("answer", models.JSONField()),
                ("at", models.DateTimeField(db_index=True)),
                (
                    "device",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="idempotency_keys",
                        to="players.device",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="memberships", to="players.group"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Player",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                (
                    "id_tag",
                    models.CharField(
                        help_text="What the device reads. Upper and lower case are one.",
                        max_length=100,
                        verbose_name="ID tag",
                    ),
                ),
                (
                    "distance_total",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("0"),
                        help_text="The master: everything this player has ridden, in km. History and open session add up to it.",
                        max_digits=15,
                    ),
                ),
                (
                    "is_visible",
                    models.BooleanField(
                        default=True, help_text="Shown on leaderboards. Hidden players are still counted."
                    ),
                ),
                ("collects", models.BooleanField(default=True, help_text="New distance is accepted for this player.")),
                ("last_active", models.DateTimeField(blank=True, null=True)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True, related_name="players", through="players.Membership", to="players.group"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="OpenSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField()),
                ("last_activity", models.DateTimeField(db_index=True)),
                (
                    "distance_km",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("0"),
                        help_text="Ridden since the start, in km.",
                        max_digits=15,
                    ),
                ),
                (
                    "flushed_km",
                    models.DecimalField(
                        decimal_places=5,
                        default=Decimal("0"),
                        help_text="The part of it that history has already.",
                        max_digits=15,
                    ),
                ),
                (
                    "device",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="open_sessions", to="players.device"
                    ),
                ),
                (
                    "player",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="open_session", to="players.player"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="membership",
            name="player",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="players.player",
            ),
        ),
        migrations.CreateModel(
            name="HourlyMetric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.DateTimeField(help_text="The full hour (UTC) in which the distance was ridden.")),
                (
                    "distance_km",
                    models.DecimalField(decimal_places=5, help_text="Ridden in this hour, in km.", max_digits=15),
                ),
                ("is_adjustment", models.BooleanField(default=False, help_text="Written by a repair, not by a ride.")),
                (
                    "device",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty only for an adjustment, which no device reported.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="hourly_metrics",
                        to="players.device",
                    ),
                ),
                (
                    "group_at_time",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The device's group at that time, else the player's lowest leaf group.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="hourly_metrics",
                        to="players.group",
                    ),
                ),
                (
                    "player",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="hourly_metrics",
                        to="players.player",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="group",
            constraint=models.CheckConstraint(
                condition=models.Q(("distance_total__gte", 0), ("distance_total__lte", Decimal("9999999999.99999"))),
                name="group_distance_is_valid",
                violation_error_message="Enter a distance between 0 and 9999999999.99999 km in distance_total.",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="group",
            trigger=pgtrigger.compiler.Trigger(
                name="group_tree_has_no_cycle",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (NEW."parent_id" IS NOT NULL)',
                    constraint="CONSTRAINT",
                    declare="DECLARE is_own_ancestor boolean;",
                    func="\n    IF TG_OP = 'UPDATE' AND NEW.parent_id IS NOT DISTINCT FROM OLD.parent_id THEN\n        RETURN NULL;\n    END IF;\n    IF current_setting('transaction_isolation') <> 'read committed' THEN\n        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format(\n            'Group \"%s\" cannot be placed in a %s transaction: place groups in a READ COMMITTED one.',\n            NEW.name, upper(current_setting('transaction_isolation')));\n    END IF;\n    PERFORM pg_advisory_xact_lock(hashtextextended('players_group.parent', 0));\n    EXECUTE format(\n        'WITH RECURSIVE up (id) AS (\n             SELECT parent_id FROM %1$I.%2$I WHERE id = $1\n             UNION\n             SELECT g.parent_id FROM %1$I.%2$I g JOIN up ON g.id = up.id\n         )\n         SELECT EXISTS (SELECT FROM up WHERE id = $1)', TG_TABLE_SCHEMA, TG_TABLE_NAME)\n    INTO is_own_ancestor USING NEW.id;\n    IF is_own_ancestor THEN\n        RAISE EXCEPTION USING\n            ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,\n            MESSAGE = format(\n                'Group \"%s\" cannot be its own ancestor: choose a parent outside of its subtree.', NEW.name);\n    END IF;\n    RETURN NULL;\n",
                    hash="044ac7a30c60047b53853d28ca21bc59231da483",
                    operation='INSERT OR UPDATE OF "parent_id"',
                    pgid="pgtrigger_group_tree_has_no_cycle_12dec",
                    table="players_group",
                    timing="DEFERRABLE INITIALLY DEFERRED",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="device",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("name"),
                name="device_name_is_unique",
                violation_error_message="Another device has this name (upper and lower case are one).",
            ),
        ),
        migrations.AddConstraint(
            model_name="idempotencykey",
            constraint=models.UniqueConstraint(
                fields=("device", "key"),
                name="idempotency_key_is_unique",
                violation_error_message="The device has used this key already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="player",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("id_tag"),
                name="player_id_tag_is_unique",
                violation_error_message="Another player has this ID tag (upper and lower case are one).",
            ),
        ),
        migrations.AddConstraint(
            model_name="player",
            constraint=models.CheckConstraint(
                condition=models.Q(("distance_total__gte", 0), ("distance_total__lte", Decimal("9999999999.99999"))),
                name="player_distance_is_valid",
                violation_error_message="Enter a distance between 0 and 9999999999.99999 km in distance_total.",
            ),
        ),
        migrations.AddConstraint(
            model_name="opensession",
            constraint=models.CheckConstraint(
                condition=models.Q(("distance_km__gte", 0), ("distance_km__lte", Decimal("9999999999.99999"))),
                name="open_session_distance_is_valid",
                violation_error_message="Enter a distance between 0 and 9999999999.99999 km in distance_km.",
            ),
        ),
        migrations.AddConstraint(
            model_name="opensession",
            constraint=models.CheckConstraint(
                condition=models.Q(("flushed_km__gte", 0), ("flushed_km__lte", models.F("distance_km"))),
                name="open_session_flushed_is_part",
                violation_error_message="What is flushed lies between 0 and the distance of the session.",
            ),
        ),
        migrations.AddConstraint(
            model_name="opensession",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_activity__gte", models.F("started_at"))),
                name="open_session_starts_before_activity",
                violation_error_message="The last activity cannot be earlier than the start.",
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(
                fields=("player", "group"),
                name="membership_is_unique",
                violation_error_message="The player is already in this group.",
            ),
        ),
        migrations.AddIndex(
            model_name="hourlymetric",
            index=models.Index(fields=["device", "hour"], name="hourly_metric_device_hour"),
        ),
        migrations.AddIndex(
            model_name="hourlymetric",
            index=models.Index(fields=["group_at_time", "hour"], name="hourly_metric_group_hour"),
        ),
        migrations.AddIndex(
            model_name="hourlymetric",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["hour"], name="hourly_metric_hour_brin"
            ),
        ),
        migrations.AddConstraint(
            model_name="hourlymetric",
            constraint=models.UniqueConstraint(
                fields=("player", "hour", "device", "is_adjustment"),
                name="hourly_metric_is_unique",
                nulls_distinct=False,
                violation_error_message="History has this player, device and hour already: add to that row.",
            ),
        ),
        migrations.AddConstraint(
            model_name="hourlymetric",
            constraint=models.CheckConstraint(
                condition=models.Q(("distance_km__gte", 0), ("distance_km__lte", Decimal("9999999999.99999"))),
                name="hourly_metric_distance_is_valid",
                violation_error_message="Enter a distance between 0 and 9999999999.99999 km in distance_km.",
            ),
        ),
        migrations.AddConstraint(
            model_name="hourlymetric",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.Exact(
                    django.db.models.functions.math.Mod(
                        models.Func(
                            models.F("hour"),
                            output_field=models.DecimalField(),
                            template="EXTRACT(EPOCH FROM %(expressions)s)",
                        ),
                        3600,
                    ),
                    0,
                ),
                name="hourly_metric_is_on_the_hour",
                violation_error_message="Enter a full hour (UTC).",
            ),
        ),
        migrations.AddConstraint(
            model_name="hourlymetric",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_adjustment", True), ("device__isnull", False), _connector="OR"),
                name="hourly_metric_has_a_device",
                violation_error_message="Choose the device that reported this distance; only an adjustment has none.",
            ),
        ),
    ]
