"""What systems of this kind fell for, each as it happened to them, where no other file of this folder tells it."""

import inspect
import re
import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from django.db import connection

import teams
from integrity.engine import analyze
from integrity.registry import registry
from integrity.repair import repair
from teams.diagnosis import diagnose_orphans
from teams.models import Match, Poll, PracticeTime
from teams.orphans import fix_orphans
from tests.command_line import manage
from tests.teams.factories import (
    make_league,
    make_match,
    make_member,
    make_message,
    make_poll,
    make_practice_time,
    make_team,
    renumber,
)
from tests.teams.test_merge_teams import entered_twice
from tests.teams.test_orphans import GONE, assert_left, contents, orphan, outcomes

pytestmark = pytest.mark.django_db

COMMANDS = sorted(
    path.stem for path in Path(teams.__file__).parent.glob("management/commands/*.py") if path.stem != "__init__"
)


# Repetitions


def test_practice_times_of_two_numbers_of_one_team_are_suspects_that_no_repair_touches():
    for team in entered_twice():
        make_practice_time(team)
    rule = registry.get("teams.practice_time_is_one")
    (report,) = analyze([rule]).rules
    assert (report.violations, report.suspects, [suspect.rows for suspect in report.suspected]) == (0, 1, [2])
    assert repair([(rule, "keep_one")]).changes == 0
    assert PracticeTime.objects.count() == 2


# References


@pytest.mark.parametrize("text", ["Series 22 of Glen View?", "GLEN VIEW, series 22!", "At Glen View: Series 22"])
def test_a_club_in_the_text_tells_between_two_teams_of_one_series(text):
    make_team("Series 22")
    other = make_team("Series 22", club="Glen View")
    orphan(text)
    assert outcomes(fix_orphans()) == {"relinked by named": 1}
    assert Poll.objects.get().team_id == other.pk


def test_a_league_in_the_text_tells_between_two_teams_of_one_club():
    make_team("Series 22")
    other = make_team("Series 22", league="SOUTH")
    orphan("Series 22 in the South League")
    assert outcomes(fix_orphans()) == {"relinked by named": 1}
    assert Poll.objects.get().team_id == other.pk


def test_of_two_teams_in_one_league_the_primary_one_of_the_author_is_meant():
    primary, other = make_team("Series 7"), make_team("Series 9")
    author = make_member(primary, other)
    orphan(by=author)
    assert outcomes(fix_orphans()) == {"relinked by owned": 1}
    assert Poll.objects.get().team_id == primary.pk


def test_the_primary_team_of_another_league_is_not_meant_by_a_practice_time():
    team = make_team("Series 22", league="SOUTH")
    practice = make_practice_time(make_team("Series 7"), league=make_league("SOUTH"))
    PracticeTime.objects.filter(pk=practice.pk).update(team_id=GONE)
    make_member(make_team("Series 9"), team)
    report = fix_orphans()
    assert (report.changes, PracticeTime.objects.get().team_id) == (0, GONE)


@pytest.mark.parametrize("series", ["Équipe Ω-9", "第三 シリーズ", "O'Brien's \"A\" 100%", "{0} %s"])
def test_a_series_may_have_any_name(series):
    team = make_team(series, club="Žižkov", league="1.LIGA")
    make_team("Series 7", club="Žižkov", league="1.LIGA")
    orphan(f"Who plays for {series} tonight?")
    assert outcomes(fix_orphans()) == {"relinked by named": 1}
    assert Poll.objects.get().team_id == team.pk


def test_two_numbers_are_not_led_to_one_team():
    make_team("Series 22")
    orphan("Series 22 on Friday?")
    Poll.objects.filter(pk=orphan("Series 22 on Sunday?").pk).update(team_id=GONE + 1)
    assert_left("contradicted", "contradicted")


def test_both_ends_of_a_match_are_not_led_to_one_team():
    home, away = make_team("Series 22"), make_team("Series 7")
    match = make_match(home, away, away_text="Tennaqua Series 22")
    Match.objects.filter(pk=match.pk).update(home_team_id=GONE, away_team_id=GONE + 1)
    away.delete()
    assert fix_orphans().changes == 0
    assert Match.objects.values_list("home_team", "away_team").get() == (GONE, GONE + 1)


def test_every_orphan_that_is_told_is_one_that_the_repair_sees():
    team = make_team("Series 22")
    author = make_member(team)
    make_poll(author, team), make_message(author, team), make_practice_time(team), make_match(team, team)
    renumber(team)
    told = sum(table.dangling for table in diagnose_orphans().tables)
    report = fix_orphans()
    assert told == sum(outcomes(report).values()) == 5


def test_a_number_that_was_taken_out_is_not_called_fixed():
    make_team("Series 7")
    orphan("Series 22 on Friday?")
    report = fix_orphans("nullify")
    found = diagnose_orphans()
    assert (outcomes(report), report.status) == ({"nullified": 1}, "clean")
    assert (found.status, found.tables[0].unresolved) == ("violated", 1)


def test_a_repair_that_can_repair_nothing_ends_and_says_so():
    make_team("Series 22")
    orphan("No name here")
    for _ in range(2):
        assert_left("no candidate")


def test_whom_it_may_be_is_told_alike_whatever_the_order_of_the_rows():
    one, two = make_team("Series 22", id=GONE + 20), make_team("Series 22", club="Glen View", id=GONE + 10)
    orphan("Series 22 on Friday?")
    told = [undecided.candidates for rule in assert_left("ambiguous").rules for undecided in rule.undecided]
    with connection.cursor() as cursor:
        # The rows change places in the table.
        cursor.execute("UPDATE teams_team SET name = name WHERE id = %s", [min(one.pk, two.pk)])
    again = [undecided.candidates for rule in assert_left("ambiguous").rules for undecided in rule.undecided]
    assert told == again


# Protection


def test_no_look_at_health_drops_a_backup_or_a_constraint():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE practice_times_corrupted_backup AS SELECT * FROM practice_times")
        cursor.execute("SELECT count(*) FROM pg_constraint")
        before = (contents(), cursor.fetchall())
        for words in (["integrity", "health"], ["check_health"], ["enable_bulletproof_etl", "--health-check"]):
            manage(*words)
        cursor.execute("SELECT to_regclass('practice_times_corrupted_backup')::text")
        assert cursor.fetchall() == [("practice_times_corrupted_backup",)]
        cursor.execute("SELECT count(*) FROM pg_constraint")
        assert (contents(), cursor.fetchall()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_read(command):
    made = load_command_class("teams", command)
    ours = {action.dest for action in made.create_parser("manage.py", command)._actions}
    ours -= {action.dest for action in BaseCommand().create_parser("manage.py", command)._actions}
    modules = {
        kind.__module__ for kind in type(made).__mro__ if kind.__module__.split(".")[0] in ("teams", "integrity")
    }
    text = "".join(inspect.getsource(sys.modules[module]) for module in modules)
    read = {*re.findall(r'options(?:\[|\.get\()"(\w+)"', text), *inspect.signature(made.handle).parameters}
    assert ours - read == set()
