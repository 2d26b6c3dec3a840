"""The test world: what is in it, that a second load changes nothing, and the faults that it is broken with."""

import pytest
from django.contrib.auth.models import User
from django.db import connection

from integrity.engine import analyze
from integrity.registry import registry
from teams import test_data
from teams.models import CaptainMessage, Match, Poll, PracticeTime, Team
from teams.test_data import BadArgument, figures
from tests.command_line import manage
from tests.teams.factories import make_team

pytestmark = pytest.mark.django_db

DISTINCT = """
    SELECT count(*), count(DISTINCT (team_id, day_of_week, start_time, end_time, location, league_id, created_at)),
        count(DISTINCT (team_id, day_of_week, start_time, end_time, location)) FROM practice_times
"""


def practice_times():
    """Rows, distinct rows, distinct keys."""
    with connection.cursor() as cursor:
        cursor.execute(DISTINCT)
        return cursor.fetchone()


def violations():
    report = analyze(registry.select(["teams"]))
    return {rule.rule.partition(".")[2]: rule.violations for rule in report.rules if rule.violations}


def test_a_load_keeps_every_rule():
    loaded = test_data.load()
    assert (loaded.teams, loaded.members, loaded.polls, loaded.messages) == (50, 200, 2, 13)
    assert (loaded.matches, loaded.practice_times) == (Match.objects.count(), 17)
    assert violations() == {}


def test_the_teams_of_the_story_have_its_numbers():
    test_data.load()
    assert {pk: Team.objects.get(pk=pk).series.name for pk in (87169, 87189)} == {
        87169: "Series 22",
        87189: "Series 2B",
    }
    written = [*Poll.objects.values_list("team", flat=True), *CaptainMessage.objects.values_list("team", flat=True)]
    assert set(written) == {87169, 87189}


def test_a_second_load_changes_nothing():
    test_data.load()
    User.objects.filter(username="test-1-19-captain").update(first_name="Ann")
    assert test_data.load().teams == 0
    assert (Team.objects.count(), User.objects.get(first_name="Ann").username) == (50, "test-1-19-captain")


def test_worlds_of_two_seeds_live_side_by_side():
    test_data.load()
    test_data.load(seed=2)
    assert (Team.objects.count(), violations()) == (100, {})


def test_a_team_that_is_entered_later_meets_no_number_of_the_load():
    test_data.load()
    assert make_team().pk > figures.first_id(1) + figures.IDS_PER_SEED


def test_numbers_that_are_taken_are_named():
    make_team(id=87_160)
    with pytest.raises(BadArgument, match="seed 1 numbers its teams from 87150 on, and there are others"):
        test_data.load()


@pytest.mark.parametrize("rows", [41, 1_000, 20_000])
def test_a_backup_makes_any_number_of_rows_from_17_true_ones(rows):
    test_data.load()
    made = test_data.multiply_practice_times(rows)
    assert (made.before, made.after, practice_times()) == (17, rows, (rows, 41, 17))
    assert violations() == {"practice_time_is_one": 17}


def test_an_import_renumbers_the_teams_and_forgets_what_members_wrote():
    test_data.load()
    moved = test_data.renumber_teams()
    assert (moved.teams, moved.polls, moved.messages) == (50, 2, 13)
    assert not Team.objects.filter(pk__in=[87169, 87189]).exists()
    assert Team.objects.filter(pk__in=[88100, 88120]).count() == 2
    assert violations() == {"poll_has_its_team": 2, "message_has_its_team": 13}


def test_near_misses_are_left_for_people():
    test_data.load()
    assert test_data.plant_near_misses() == 5
    assert violations() == {"poll_has_its_team": 1, "message_has_its_team": 2}
    with pytest.raises(BadArgument):
        test_data.plant_near_misses()


# The command


def test_the_command_loads_and_breaks_everything():
    done = manage("load_team_test_data", "--corrupt", "--rows", 500)
    assert (done.code, PracticeTime.objects.count()) == (0, 500)
    assert "2 polls and 13 messages point at the old ones" in done.words
    assert "Nothing to add" in manage("load_team_test_data").words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seed", "0"], "--seed takes 1 to 1,000, not 0."),
        (["--rows", "500"], "--rows says how many duplicates there are to be: add --corrupt."),
        (["--corrupt", "duplicates", "--rows", "40"], "--rows takes 41 to 10,000,000, not 40."),
        (["--corrupt", "everything"], "argument --corrupt: invalid choice: 'everything'"),
    ],
)
def test_what_is_wrong_with_the_request_is_named(words, sentence):
    done = manage("load_team_test_data", *words)
    assert (done.code, sentence in done.words) == (2, True)


def test_help_shows_an_example():
    assert "Example: manage.py load_team_test_data --corrupt" in manage("load_team_test_data", "--help").words
