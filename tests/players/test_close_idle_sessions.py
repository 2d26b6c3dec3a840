"""Idle rides end by themselves, once, and yesterday's Idempotency-Keys are forgotten."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from players.management.commands import close_idle_sessions as command
from players.models import HourlyMetric, IdempotencyKey, OpenSession, RateLimit
from players.sessions import close_idle_sessions
from tests.players.bikes import NOON, assert_true_to_rules, history, in_flight, ride
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return make_player(groups=[make_group()])


@pytest.fixture
def red():
    return make_device("Red")


def close(minutes, **options):
    """Close what is idle for 5 minutes, so many minutes after noon."""
    return close_idle_sessions(now=NOON + timedelta(minutes=minutes), **options)


def test_an_idle_session_is_written_into_the_hour_of_its_last_activity(ada, red):
    ride(ada, red, "2.5", at=58)
    closed = close(65)
    assert (closed.sessions, closed.km) == (1, Decimal("2.5"))
    assert (history(ada), in_flight(ada)) == ([("Red", 12, Decimal("2.5"))], None)
    assert_true_to_rules()


@pytest.mark.parametrize(("minutes", "closed"), [(4, 0), (5, 0), (6, 1)])
def test_a_session_is_idle_after_five_minutes(minutes, closed, ada, red):
    ride(ada, red, at=0)
    assert close(minutes).sessions == closed


def test_how_long_is_a_choice(ada, red):
    ride(ada, red, at=0)
    assert close(6, idle=timedelta(minutes=10)).sessions == 0


def test_running_it_twice_adds_nothing(ada, red):
    ride(ada, red, 3, at=0)
    close(10)
    assert close(10).sessions == 0
    assert history(ada) == [("Red", 12, 3)]


def test_only_what_history_has_not_yet_is_added(ada, red):
    ride(ada, red, 3, at=50)
    ride(ada, red, 4, at=61)
    close(90)
    assert history(ada) == [("Red", 12, 3), ("Red", 13, 4)]


def test_the_next_ride_of_the_hour_adds_to_the_row(ada, red):
    ride(ada, red, 3, at=0)
    close(10)
    ride(ada, red, 4, at=20)
    close(30)
    assert history(ada) == [("Red", 12, 7)]
    assert_true_to_rules()


def test_a_session_without_distance_leaves_no_row(ada, red):
    ride(ada, red, 0, at=0)
    assert close(10).sessions == 1
    assert not HourlyMetric.objects.exists()


def test_more_sessions_than_a_batch_are_all_closed(monkeypatch, red):
    monkeypatch.setattr("players.sessions.BATCH", 2)
    for _ in range(5):
        ride(make_player(), make_device(), at=0)
    assert close(10).sessions == 5


def test_a_dry_run_says_the_same_and_writes_nothing(ada, red):
    ride(ada, red, 3, at=0)
    assert (close(10, dry_run=True).sessions, close(10, dry_run=True).km) == (1, 3)
    assert (history(ada), in_flight(ada)) == ([], 3)


def test_idempotency_keys_are_kept_for_a_day(ada, red):
    ride(ada, red, at=0, key="a")
    ride(ada, red, at=60, key="b")
    assert close(24 * 60 + 1).forgotten == 1
    assert IdempotencyKey.objects.get().key == "b"


def test_limits_that_limit_nobody_any_more_are_removed():
    now = timezone.now()
    RateLimit.objects.create(subject="old", spent_until=now - timedelta(minutes=2))
    RateLimit.objects.create(subject="new", spent_until=now + timedelta(seconds=9))
    close(0)
    assert RateLimit.objects.get().subject == "new"


# The command


def run(*words):
    out = StringIO()
    call_command("close_idle_sessions", *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_has_closed(ada, red):
    ride(ada, red, "1.5", at=0)
    assert run() == "Closed 1 idle sessions with 1.50000 km in flight.\n"


def test_json_is_one_object(ada, red):
    ride(ada, red, "1.5", at=0)
    assert json.loads(run("--format", "json", "--dry-run")) == {
        "verb": "close_idle_sessions",
        "status": "done",
        "dry_run": True,
        "closed": 1,
        "km": "1.50000",
        "busy": 0,
        "forgotten": 0,
    }
    assert OpenSession.objects.exists()


def test_the_command_takes_the_minutes(ada, red):
    ride(ada, red, at=timezone.now() - timedelta(minutes=7))
    assert "Closed 0" in run("--idle-minutes", "8")
    assert "Closed 1" in run("--idle-minutes", "6")


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "9" * 30, "٣"])
def test_minutes_that_make_no_sense_are_a_usage_error(text, capsys):
    with pytest.raises(SystemExit) as end:
        command.Command().run_from_argv(["manage.py", "close_idle_sessions", "--idle-minutes", text, "--format=json"])
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert "is not a whole number of minutes from 1 to 525600" in err
    assert json.loads(out)["status"] == "refused"


def test_a_database_that_fails_is_exit_code_3(monkeypatch):
    def fail(*args, **options):
        raise OperationalError("gone")

    monkeypatch.setattr(command, "close_idle_sessions", fail)
    with pytest.raises(SystemExit) as end:
        run("--format", "json")
    assert end.value.code == 3
