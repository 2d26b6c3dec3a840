"""The unique index of the history holds the distance as well; it is built beside writers, before the old one goes."""

from django.db import migrations, models

TABLE, COLUMNS = "players_hourlymetric", "(player_id, hour, device_id, is_adjustment)"
OLD, NEW = "hourly_metric_is_unique", "hourly_metric_occurs_once"
# What a build that was interrupted has left is invalid.
DROP_OLD, DROP_NEW = (f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name in (OLD, NEW))
BUILD_OLD = f"CREATE UNIQUE INDEX CONCURRENTLY {OLD} ON {TABLE} {COLUMNS} NULLS NOT DISTINCT"
BUILD_NEW = f"CREATE UNIQUE INDEX CONCURRENTLY {NEW} ON {TABLE} {COLUMNS} INCLUDE (distance_km) NULLS NOT DISTINCT"
NOTHING = migrations.RunSQL.noop


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("players", "0004_note_changes_of_mileage")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(DROP_NEW, DROP_NEW),
                migrations.RunSQL(BUILD_NEW, f"ALTER TABLE {TABLE} ADD CONSTRAINT {OLD} UNIQUE USING INDEX {OLD}"),
                migrations.RunSQL(f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS {OLD}", BUILD_OLD),
                migrations.RunSQL(NOTHING, DROP_OLD),
            ],
            state_operations=[
                migrations.RemoveConstraint("hourlymetric", OLD),
                migrations.AddConstraint(
                    "hourlymetric",
                    models.UniqueConstraint(
                        fields=("player", "hour", "device", "is_adjustment"),
                        include=("distance_km",),
                        name=NEW,
                        nulls_distinct=False,
                        violation_error_message="History has this player, device and hour already: add to that row.",
                    ),
                ),
            ],
        )
    ]
