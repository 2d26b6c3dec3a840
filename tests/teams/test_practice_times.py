"""The corrupted practice times: 17 true rows behind any number of repetitions, and the way back."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Q

from integrity import Derived, Unique
from integrity.enforce import enforce
from integrity.enforcement.states import state
from integrity.engine import analyze
from integrity.models import Run
from integrity.registry import registry
from integrity.repair import repair
from teams import test_data
from teams.diagnosis import diagnose_orphans
from teams.models import PollChoice, PollResponse, PracticeTime
from tests.command_line import manage, on_screen
from tests.integrity.helpers import declared, registered
from tests.teams.factories import make_member, make_poll, make_practice_time, make_team
from tests.teams.test_api import Api

RULE = "teams.practice_time_is_one"
BACKUP = "practice_times_corrupted_backup"
FIX = "fix_practice_times_corruption"
OPEN = ("--max-affected", "100%", "--yes")


def rule():
    return registry.get(RULE)


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def rows_of(table="practice_times"):
    return execute(f"SELECT t::text FROM {table} AS t ORDER BY t::text")


def has_backup():
    return execute(f"SELECT to_regclass('{BACKUP}')")[0][0] is not None


@pytest.fixture
def tidy(transactional_db):
    """Tables are swapped for good: what is left is put back as the migrations made it."""
    yield
    execute(f"DROP TABLE IF EXISTS {BACKUP}")
    execute("TRUNCATE practice_times")
    enforce([rule()])


@pytest.fixture
def corrupted(tidy):
    """The true rows, of which a backup has made 20,000."""
    test_data.load()
    true = rows_of()
    test_data.multiply_practice_times(20_000)
    return true


# The story


def check_the_story(rows, true):
    """17 true rows, the corrupted ones kept, unique for good, and an undo that brings everything back."""
    before = execute("SELECT count(*), sum(hashtext(t::text)) FROM practice_times AS t")
    done = manage(FIX, *OPEN, "--format", "json", "--reason", "backup loop")
    (result,) = done.json["rules"]
    assert (done.code, done.json["status"], done.json["changes"]) == (0, "clean", rows - 17)
    counted = {"rows": rows, "distinct_rows": 41, "distinct_keys": 17, "kept": 17, "removed": rows - 17}
    assert counted.items() <= result["counts"].items()
    assert rows_of() == true
    assert execute(f"SELECT count(*) FROM {BACKUP}") == [(rows,)]
    assert state(rule()) == "enforced"
    again = PracticeTime.objects.first()
    again.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        again.save(force_insert=True)
    assert analyze([rule()]).status == "clean"

    assert manage("integrity", "undo", done.json["run"], "--yes").code == 0
    assert execute("SELECT count(*), sum(hashtext(t::text)) FROM practice_times AS t") == before
    assert not has_backup()


def test_20_000_rows_become_the_17_true_ones_and_an_undo_brings_them_back(corrupted):
    check_the_story(20_000, corrupted)


@pytest.mark.scale
def test_3_470_114_rows_become_the_17_true_ones_and_an_undo_brings_them_back(tidy):
    test_data.load()
    true = rows_of()
    test_data.multiply_practice_times()
    check_the_story(3_470_114, true)


def test_rows_distinct_rows_and_distinct_keys_are_told_before_anything_is_written(corrupted):
    done = manage(FIX, "--dry-run")
    assert done.code == 1
    assert "20,000 rows, 41 distinct rows, 17 distinct keys" in done.words
    assert "kept as practice_times_corrupted_backup" in done.words
    assert (len(rows_of()), has_backup()) == (20_000, False)


def test_members_see_each_practice_time_once_afterwards(corrupted):
    player = User.objects.get(username="test-1-19-player1")
    assert Api(player)("get", "/practice-times?limit=200").json()["next_offset"] == 200
    manage(FIX, *OPEN)
    assert len(Api(player).names("/practice-times", "id")) == 1


def test_a_second_repair_finds_nothing_to_do(corrupted):
    manage(FIX, *OPEN)
    done = manage(FIX, *OPEN, "--format", "json")
    assert (done.code, done.json["changes"], rows_of() == corrupted) == (0, 0, True)


def test_looking_afterwards_leaves_the_backup_where_it_is(corrupted):
    manage(FIX, *OPEN)
    diagnose_orphans()
    analyze(registry.select(["teams"]))
    assert execute(f"SELECT count(*) FROM {BACKUP}") == [(20_000,)]


# Consent


def test_the_brake_must_be_opened_on_purpose(corrupted):
    done = manage(FIX, "--yes")
    assert (done.code, "--max-affected" in done.words) == (3, True)
    assert (len(rows_of()), has_backup()) == (20_000, False)


def test_without_a_terminal_it_must_be_told_yes(corrupted):
    done = manage(FIX, "--max-affected", "100%", "--format", "json")
    assert (done.code, done.json["status"], "add --yes" in done.words) == (2, "refused", True)
    assert len(rows_of()) == 20_000


@pytest.mark.parametrize(("answer", "code", "rows"), [("y\n", 1, 20_000), ("practice_times\n", 0, 17)])
def test_on_a_terminal_the_name_of_the_table_is_typed(corrupted, answer, code, rows):
    done = on_screen(FIX, "--max-affected", "100%", answer=answer)
    assert "Type practice_times to replace it" in done.words
    assert (done.code, len(rows_of())) == (code, rows)


@pytest.mark.django_db
def test_an_unknown_strategy_is_a_usage_error():
    done = manage(FIX, "--strategy", "truncate", "--format", "json")
    assert (done.code, done.json["status"]) == (2, "refused")
    assert "'truncate' is unknown. Known: rebuild, keep_one." in done.json["error"]


def test_help_shows_an_example():
    done = manage(FIX, "--help")
    assert (done.code, f"Example: manage.py {FIX} --dry-run" in done.words) == (0, True)


# Where few rows are too many


@pytest.fixture
def without_index(transactional_db):
    """A table that nothing keeps unique, as it was when the repetitions came."""
    enforce([rule()], remove=True)
    yield
    execute("TRUNCATE practice_times")
    enforce([rule()])


def test_few_repetitions_are_deleted_in_place_and_journaled(without_index):
    team = make_team()
    for hour in range(10, 20):
        make_practice_time(team, start=f"{hour}:00", created_at="2026-03-02T12:00Z")
    true = rows_of()
    make_practice_time(team, start="10:00", created_at="2026-03-09T12:00Z")
    before = rows_of()
    done = manage(FIX, "--strategy", "keep_one", "--format", "json")
    assert (done.code, done.json["changes"], done.json["rules"][0]["outcomes"]) == (0, 1, {"deleted": 1})
    assert (rows_of(), has_backup()) == (true, False)
    run = Run.objects.get(pk=done.json["run"])
    assert run.changes.count() == 1
    assert manage("integrity", "undo", run.pk).code == 0
    assert rows_of() == before


def test_in_place_a_letter_is_consent_enough(without_index):
    team = make_team()
    for _ in range(2):
        make_practice_time(team)
    assert on_screen(FIX, "--strategy", "keep_one", answer="y\n").code == 0
    assert PracticeTime.objects.count() == 1


def test_null_is_equal_to_null(without_index):
    league = make_team().league
    for _ in range(2):
        PracticeTime.objects.create(team=None, league=league, day_of_week=1, start_time="18:00")
    assert analyze([rule()]).rules[0].violations == 1
    refused = enforce([rule()]).rules[0]
    assert (refused.status, "more than once" in refused.error) == ("refused", True)
    repair([(rule(), "keep_one")])
    assert enforce([rule()]).rules[0].enforcement == "enforced"
    with pytest.raises(IntegrityError), transaction.atomic():
        PracticeTime.objects.create(team=None, league=league, day_of_week=1, start_time="18:00")


@pytest.mark.django_db
def test_repetitions_that_a_total_counts_are_refused_named_and_left():
    """Two votes for one choice at one moment say the same and are no mistake: the choice counts them."""
    team = make_team()
    choice = make_poll(make_member(team), team).choices.first()
    PollChoice.objects.filter(pk=choice.pk).update(position=3)
    for _ in range(3):
        PollResponse.objects.create(
            poll=choice.poll, choice=choice, user=make_member(team), created_at="2026-03-02T12:00Z"
        )
    counted = {"equals": Count("responses"), "where": Q(pk=choice.pk)}
    total = declared(Derived, PollChoice, "position", truth="column", name="votes_add_up", **counted)
    repeats = declared(Unique, PollResponse, by=["choice", "created_at"], keep="id", name="votes_differ")
    with registered(total, repeats):
        report = repair([(repeats, "keep_one")])
    assert PollResponse.objects.count() == 3
    assert report.status in ("partial", "failed", "refused")
    assert "votes_add_up" in str([report.rules[0].error, report.rules[0].reasons])
