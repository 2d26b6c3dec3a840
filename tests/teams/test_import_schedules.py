"""Schedules of the provider: matches known by their texts, their teams by natural key, and lines listed twice."""

import json
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from integrity.importing import run_import
from integrity.models import RejectedRow, Run
from integrity.undo import undo
from teams.feeds import nightly
from teams.models import Match, Team
from tests.command_line import manage
from tests.integrity.helpers import execute
from tests.teams.factories import make_match, make_team
from tests.teams.nightly import Provider
from tests.teams.test_import_teams import sent

pytestmark = pytest.mark.django_db


def match(home="Tennaqua 22", away="Glenbrook 22", date="2026-03-02", time="18:30", **more):
    known = {"home_club": None, "home_series": None, "away_club": None, "away_series": None}
    return {"league": "APTA", "date": date, "time": time, "home": home, "away": away, "location": ""} | known | more


def between(home=("Tennaqua", "Series 22"), away=("Tennaqua", "Series 2B"), **more):
    """A match of which the provider tells both teams."""
    keys = {"home_club": home[0], "home_series": home[1], "away_club": away[0], "away_series": away[1]}
    return match(**keys | more)


@pytest.fixture
def listed(tmp_path):
    """Import two teams and these matches."""

    def listing(*matches, **options):
        Provider.write(sent(tmp_path), "schedules", matches)
        return run_import(nightly, tmp_path, **options)

    return listing


def told(report):
    feed = report.feeds[-1]
    return feed.inserted, feed.updated, feed.unchanged, feed.deactivated, feed.rejected


def test_matches_lead_to_the_teams_of_the_same_night(listed):
    assert told(listed(between(), match("Bye", ""))) == (2, 0, 0, 0, 0)
    one = Match.objects.get(home_text="Tennaqua 22")
    assert (one.home_team.series.name, one.away_team.series.name) == ("Series 22", "Series 2B")
    assert Match.objects.get(home_text="Bye").home_team is None
    assert told(listed(between(), match("Bye", ""))) == (0, 0, 2, 0, 0)


def test_a_match_at_another_time_is_the_same_match(listed):
    listed(between())
    before = Match.objects.get()
    assert told(listed(between(time="19:00", location="Court 2"))) == (0, 1, 0, 0, 0)
    after = Match.objects.get()
    assert (after.pk, f"{after.time:%H:%M}", after.location) == (before.pk, "19:00", "Court 2")


def test_a_match_that_is_listed_no_more_stays_and_says_so(listed):
    listed(between(), between(date="2026-03-09"))
    assert told(listed(between(date="2026-03-09"))) == (0, 0, 1, 1, 0)
    assert not Match.objects.get(date="2026-03-02").is_scheduled
    assert told(listed(between(), between(date="2026-03-09"))) == (0, 1, 1, 0, 0)
    assert Match.objects.get(date="2026-03-02").is_scheduled


def test_teams_that_were_found_stay_where_the_feed_knows_none(listed):
    listed(between())
    home = Match.objects.get().home_team
    assert told(listed(match())) == (0, 0, 1, 0, 0)
    assert Match.objects.get().home_team == home


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"home_series": "Series 9"}, "home_club, home_series, league", "refers to nothing"),
        ({"away_club": None}, "away_club", "is missing, and away_team needs it"),
        ({"date": None}, "date", "is missing"),
        ({"date": "soon"}, "date", "is no date"),
        ({"time": "late"}, "time", "is no time of day"),
        ({"league": "NOWHERE"}, "league", "refers to nothing"),
    ],
)
def test_a_match_that_is_wrong_is_rejected_alone(listed, wrong, field, reason):
    assert told(listed(match("A", "B"), between(**wrong)))[0] == 1
    assert (field, reason) in [(row.field, row.reason[: len(reason)]) for row in RejectedRow.objects.all()]


def test_without_a_file_of_schedules_nothing_happens_to_them(tmp_path):
    kept = make_match(make_team(league="APTA"), make_team("Series 2B", league="APTA"))
    report = run_import(nightly, sent(tmp_path))
    assert [feed.rule for feed in report.feeds][-1] == "teams.nightly.team"
    assert report.status == "clean"
    assert Match.objects.get(pk=kept.pk).is_scheduled


def test_the_league_is_imported_alone(tmp_path):
    Provider.write(sent(tmp_path), "schedules", [match(), match(league="CITY")])
    done = manage("import_teams", tmp_path, "--league", "CITY", "--format", "json")
    assert json.loads(done.out)["feeds"][-1]["inserted"] == 1, done


# What was listed twice before there was a constraint


@pytest.fixture
def twice():
    """Three lines about one match, of which each knows something, as there were before the constraint."""
    execute("ALTER TABLE schedule DROP CONSTRAINT unique_match_of_a_day")
    home, away = make_team(league="APTA"), make_team("Series 2B", league="APTA")
    texts = {"home_text": "Tennaqua 22", "away_text": "Glenbrook 22", "date": "2026-03-02", "league": home.league}
    return [
        Match.objects.create(home_team=home, **texts),
        Match.objects.create(away_team=away, time="18:30", **texts),
        Match.objects.create(location="Court 1", **texts),
    ]


def has_constraint():
    with connection.cursor() as cursor:
        return "unique_match_of_a_day" in connection.introspection.get_constraints(cursor, "schedule")


def test_the_migration_deletes_nothing_and_says_what_will_be_done(twice, capsys):
    migration = import_module("teams.migrations.0003_match_is_listed_once")
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with connection.schema_editor() as editor:
        migration.add_unless_repeated(apps, editor)
    assert "1 matches are on the schedule more than once" in capsys.readouterr().out
    assert (Match.objects.count(), has_constraint()) == (3, False)
    Match.objects.exclude(pk=twice[0].pk).delete()
    with connection.schema_editor() as editor:
        migration.add_unless_repeated(apps, editor)
    assert has_constraint()


def test_the_next_import_merges_them_and_makes_the_constraint(twice, listed):
    assert told(listed(match(location="Court 1"))) == (0, 0, 1, 0, 0)
    one = Match.objects.get()
    assert one.pk == twice[0].pk
    assert (one.home_team_id, one.away_team_id) == (twice[0].home_team_id, twice[1].away_team_id)
    assert (f"{one.time:%H:%M}", one.location) == ("18:30", "Court 1")
    assert has_constraint()


def test_the_merge_can_be_taken_back(twice, listed):
    listed(match(location="Court 1"))
    execute("ALTER TABLE schedule DROP CONSTRAINT unique_match_of_a_day")
    merged = Run.objects.get(verb="repair")
    assert undo(merged.pk).status == "clean"
    assert Match.objects.count() == 3


def test_matches_without_texts_are_told_apart_by_their_teams(capsys):
    first, second = make_team(league="APTA"), make_team("Series 2B", league="APTA")
    blank = {"home_text": "", "away_text": ""}
    execute("ALTER TABLE schedule DROP CONSTRAINT unique_match_of_a_day")
    make_match(first, second, **blank)
    make_match(second, first, **blank)
    gone = make_match(first, None, **blank)
    Match.objects.filter(pk=gone.pk).update(home_team=999_999)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with connection.schema_editor() as editor:
        import_module("teams.migrations.0002_match_is_scheduled").name_teams(apps, editor)
        import_module("teams.migrations.0003_match_is_listed_once").add_unless_repeated(apps, editor)
    assert capsys.readouterr().out == ""
    assert has_constraint()
    assert list(Match.objects.order_by("pk").values_list("home_text", "away_text")) == [
        (first.name, second.name),
        (second.name, first.name),
        ("team 999999", ""),
    ]
    assert Team.objects.count() == 2
