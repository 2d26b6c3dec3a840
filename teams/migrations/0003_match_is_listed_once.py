from django.db import migrations, models

CONSTRAINT = models.UniqueConstraint(
    fields=("league", "date", "home_text", "away_text"),
    name="unique_match_of_a_day",
    violation_error_message="These two are on the schedule of this day already.",
)
REPEATED = (
    "SELECT count(*) FROM (SELECT FROM schedule GROUP BY league_id, date, home_text, away_text HAVING count(*) > 1) AS r"
)


def add_unless_repeated(apps, schema_editor):
    """Where matches are listed twice, nothing is deleted here: the next import merges them, in a run that can be undone."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(REPEATED)
        repeated = cursor.fetchone()[0]
    if repeated:
        print(
            f"\n    {repeated} matches are on the schedule more than once, so that unique_match_of_a_day is not made"
            " yet.\n    The next import merges them and makes it, or now: manage.py enable_bulletproof_etl\n   ",
            end="",
        )
    else:
        schema_editor.add_constraint(apps.get_model("teams", "Match"), CONSTRAINT)


def remove(apps, schema_editor):
    schema_editor.execute("ALTER TABLE schedule DROP CONSTRAINT IF EXISTS unique_match_of_a_day")


class Migration(migrations.Migration):
    dependencies = [("teams", "0002_match_is_scheduled")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.AddConstraint(model_name="match", constraint=CONSTRAINT)]
        ),
        migrations.RunPython(add_unless_repeated, remove),
    ]
