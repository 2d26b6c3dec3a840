from django.db import migrations, models


def name_teams(apps, schema_editor):
    """A line of the schedule is known by its texts: where there is none, the team's name stands for it."""
    with schema_editor.connection.cursor() as cursor:
        for side in ("home", "away"):
            cursor.execute(
                f"UPDATE schedule AS m SET {side}_text = COALESCE("
                f" (SELECT NULLIF(t.name, '') FROM teams_team AS t WHERE t.id = m.{side}_team_id),"
                f" 'team ' || m.{side}_team_id) WHERE m.{side}_text = '' AND m.{side}_team_id IS NOT NULL"
            )


class Migration(migrations.Migration):
    dependencies = [("teams", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="match",
            name="is_scheduled",
            field=models.BooleanField(
                db_default=True, default=True, help_text="False once the provider lists it no more."
            ),
        ),
        migrations.RunPython(name_teams, migrations.RunPython.noop),
    ]
