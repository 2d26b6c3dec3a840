"""Teams that an import renumbered: what is found, what is pointed at its team again, and what must be left."""

import json

import pytest
from django.db import connection

from integrity.engine import analyze
from integrity.models import Run
from integrity.registry import registry
from teams import test_data
from teams.diagnosis import diagnose_orphans
from teams.models import CaptainMessage, Match, Poll, PracticeTime, Team, TeamKey, TeamMembership
from teams.numbers import remember_numbers
from teams.orphans import fix_orphans
from tests.command_line import manage, on_screen
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
from tests.teams.test_api import Api

pytestmark = pytest.mark.django_db

GONE = 999_000
TABLES = ("teams_poll", "teams_captainmessage", "schedule", "practice_times", "teams_team", "teams_teammembership")


def contents():
    """Every row of every table that an orphan can be in or lead to."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY t::text")
            found[table] = cursor.fetchall()
    return found


def outcomes(report):
    total = {}
    for rule in report.rules:
        assert not rule.error, rule.error
        for word, count in rule.outcomes.items():
            total[word] = total.get(word, 0) + count
    return total


def left():
    """How many references lead nowhere now."""
    return sum(rule.violations for rule in analyze(registry.select(["teams"], ["orphans"])).rules)


@pytest.fixture
def story():
    """Team numbers 87189 (Series 2B) and 87169 (Series 22) have become 88120 and 88100."""
    test_data.load()
    before = {model: dict(model.objects.values_list("pk", "team")) for model in (Poll, CaptainMessage)}
    test_data.renumber_teams()
    return before


# The story


def test_all_15_orphans_are_pointed_at_their_teams_and_none_is_left(story):
    assert left() == 15
    report = fix_orphans()
    assert (report.status, report.changes, outcomes(report)) == ("clean", 15, {"relinked by named": 15})
    now = {87189: 88120, 87169: 88100}
    for model, before in story.items():
        assert dict(model.objects.values_list("pk", "team")) == {pk: now[team] for pk, team in before.items()}
    assert left() == 0


def test_relinked_polls_and_messages_are_seen_again_by_their_teams_alone(story):
    members = {team: TeamMembership.objects.filter(team=team, is_captain=False).first().user for team in (88100, 88120)}
    stranger = TeamMembership.objects.filter(team=88101, is_captain=False).first().user
    members[88100].polls.update(created_by=stranger)
    assert [len(Api(user).names("/messages", "id")) for user in members.values()] == [0, 0]
    fix_orphans()
    seen = {team: Api(user) for team, user in members.items()}
    assert [len(api.names("/messages", "id")) for api in seen.values()] == [7, 6]
    assert {team: set(api.names("/polls", "team_id")) for team, api in seen.items()} == {88100: {88100}, 88120: {88120}}
    assert Api(stranger).names("/messages", "id") == []


def test_a_second_repair_writes_nothing(story):
    fix_orphans()
    before = contents()
    assert fix_orphans().changes == 0
    assert contents() == before


def test_an_undo_brings_every_orphan_back(story):
    before = contents()
    run = fix_orphans().run
    assert manage("integrity", "undo", run).code == 0
    assert contents() == before


def test_a_dry_run_writes_nothing_to_any_table(story):
    before = contents()
    report = fix_orphans(dry_run=True)
    assert (report.changes, contents(), TeamKey.objects.count()) == (15, before, 0)


def test_looking_writes_nothing_to_the_tables_that_it_looks_at(story):
    before = contents()
    diagnose_orphans()
    assert (contents(), TeamKey.objects.count()) == (before, 0)


def test_the_diagnosis_tells_how_much_which_team_and_whom_it_concerns(story):
    found = diagnose_orphans()
    assert {(c.table, c.column): (c.dangling, c.unresolved, c.suspects) for c in found.tables} == {
        ("teams_poll", "team_id"): (2, 0, 0),
        ("teams_captainmessage", "team_id"): (13, 0, 0),
        ("practice_times", "team_id"): (0, 0, 0),
        ("schedule", "home_team_id"): (0, 0, 0),
        ("schedule", "away_team_id"): (0, 0, 0),
    }
    assert [(n.verdict.old, n.verdict.new, n.verdict.rows) for n in found.numbers] == [
        (87169, 88100, 8),
        (87189, 88120, 7),
    ]
    assert found.numbers[0].teams[88100] == "Hinsdale Series 22, League North (test-1)"
    assert "'Series 22' named in 2 rows" in found.numbers[0].verdict.why
    people = {person.username: (person.wrote, person.misses) for person in found.people}
    assert people["test-1-19-captain"] == (7, 1)
    assert people["test-1-39-player3"] == (0, 7)
    assert len(people) == 8


def test_the_numbers_of_today_are_remembered_so_that_the_next_import_can_be_told(story):
    fix_orphans()
    for team in Team.objects.all():
        renumber(team, 1_000)
    report = fix_orphans(max_affected="100%")
    assert (outcomes(report)["relinked by mapping"] >= 15, left()) == (True, 0)
    assert set(CaptainMessage.objects.values_list("team", flat=True)) == {89100, 89120}


# Where the only right answer is to leave it


def make_others():
    """Two clubs with a Series 22 each."""
    return make_team("Series 22"), make_team("Series 22", club="Glen View")


def assert_left(*outcomes_expected):
    before = contents()
    report = fix_orphans()
    assert (report.status, report.changes, contents()) == ("violated", 0, before)
    assert [undecided.outcome for rule in report.rules for undecided in rule.undecided] == list(outcomes_expected)
    return report


def orphan(text="Who plays?", by=None):
    """A poll of a team that is gone."""
    poll = make_poll(by or make_member(), None, text)
    Poll.objects.filter(pk=poll.pk).update(team_id=GONE)
    return poll


def test_a_series_of_two_clubs_is_left_with_both():
    teams = make_others()
    orphan("Series 22 on Friday?")
    report = assert_left("ambiguous")
    (undecided,) = report.rules[0].undecided
    assert {candidate["id"] for candidate in undecided.candidates} == {team.pk for team in teams}


@pytest.mark.parametrize("text", ["Best since 2022", "Meet at 22:00", "Court 122", "6-22", "Bring 22$", "Series 222"])
def test_a_number_that_only_looks_like_a_series_names_nothing(text):
    make_team("22")
    orphan(text)
    assert_left("no candidate")


def test_series_2b_is_not_named_by_12b():
    make_team("Series 2B")
    orphan("Series 12B on Friday?")
    assert_left("no candidate")


def test_an_author_with_teams_in_two_leagues_tells_nothing():
    author = make_member(make_team("Series 7"), make_team("Series 9", league="SOUTH"))
    orphan(by=author)
    assert_left("ambiguous")


def test_a_text_that_contradicts_its_author_is_left():
    make_team("Series 22")
    orphan("Series 22 on Friday?", by=make_member(make_team("Series 7")))
    assert_left("contradicted")


def test_a_shift_that_too_few_numbers_show_is_not_believed():
    for series in ("Series 1", "Series 2"):
        team = make_team(series, id=GONE - 10 + int(series[-1]))
        poll = make_poll(make_member(team), team)
        renumber(team)
        assert poll.pk
    make_team("Series 3", id=GONE + 931)
    orphan("No name here")
    report = fix_orphans()
    assert outcomes(report) == {"relinked by owned": 2, "no candidate": 1}


def test_an_alias_that_two_teams_share_picks_neither():
    make_team("Series 22", alias="The Aces")
    make_team("Series 7", alias="The Aces")
    orphan("The Aces play on Friday")
    assert_left("no candidate")


def test_teams_that_have_exchanged_their_numbers_are_told_and_left():
    one, other = make_team("Series 22"), make_team("Series 7")
    poll = make_poll(make_member(one), one)
    remember_numbers()
    Team.objects.filter(pk=one.pk).update(series=make_team("Series 99", club="Aside").series)
    Team.objects.filter(pk=other.pk).update(series=one.series)
    Team.objects.filter(pk=one.pk).update(series=other.series)
    before = contents()
    found = diagnose_orphans()
    assert [(s.id, s.team_id, s.why) for s in found.suspects] == [
        (poll.pk, one.pk, "the number stood for another team")
    ]
    assert (found.status, found.report.status) == ("violated", "clean")
    fix_orphans()
    assert contents() == before


def test_a_number_that_another_team_has_now_is_a_suspect_and_left():
    team = make_team("Series 22")
    author = make_member(team)
    poll = make_poll(author, team)
    remember_numbers()
    now = renumber(team)
    make_team("Series 7", id=team.pk)
    found = diagnose_orphans()
    assert [(s.id, s.team) for s in found.suspects] == [(poll.pk, "Tennaqua Series 7")]
    fix_orphans()
    assert (Poll.objects.get().team_id, now.pk) == (team.pk, team.pk + 931)


def test_a_practice_time_of_another_league_is_a_suspect_that_no_repair_moves():
    team = make_team("Series 22")
    practice = make_practice_time(team, league=make_league("SOUTH"))
    found = diagnose_orphans()
    assert [(s.table, s.id, s.why) for s in found.suspects] == [
        ("practice_times", practice.pk, "the team is of another league")
    ]
    fix_orphans()
    assert PracticeTime.objects.get().team_id == team.pk


def test_an_author_who_is_no_member_makes_a_suspect():
    message = make_message(make_member(make_team("Series 7")), make_team("Series 22"))
    (suspect,) = diagnose_orphans().suspects
    assert (suspect.id, suspect.why) == (message.pk, "its author does not belong to the team")


def test_a_row_without_a_team_is_counted_apart_and_left():
    make_poll(make_member(), None)
    league = make_league()
    make_match(None, None, league, home_text="Tennaqua Series 22")
    found = diagnose_orphans()
    assert [c.unresolved for c in found.tables] == [1, 0, 0, 1, 0]
    assert found.status == "violated"
    assert fix_orphans().changes == 0


# What the evidence tells


def test_every_kind_of_row_is_relinked():
    home, away = make_team("Series 2B"), make_team("Series 7")
    author = make_member(home, captain=True)
    rows = [make_poll(author, home), make_message(author, home), make_practice_time(home), make_match(home, away)]
    rows.append(make_match(away, home))
    now = renumber(home)
    report = fix_orphans()
    assert (report.status, report.changes, left()) == ("clean", 5, 0)
    assert {model.objects.get().team_id for model in (Poll, CaptainMessage, PracticeTime)} == {now.pk}
    assert list(Match.objects.order_by("pk").values_list("home_team", "away_team")) == [
        (now.pk, away.pk),
        (away.pk, now.pk),
    ]


def test_a_mapping_that_the_import_kept_decides():
    team = make_team("Series 22")
    make_team("Series 22", club="Glen View")
    poll = make_poll(make_member(), team, "Nothing is named here")
    remember_numbers()
    now = renumber(team)
    assert outcomes(fix_orphans()) == {"relinked by mapping": 1}
    assert Poll.objects.get(pk=poll.pk).team_id == now.pk


def test_a_shift_that_five_others_prove_decides():
    teams = [make_team(f"Series {n}", id=GONE + n) for n in range(7)]
    polls = [make_poll(make_member(team) if n != 3 else make_member(), team) for n, team in enumerate(teams)]
    for team in teams:
        renumber(team)
    assert outcomes(fix_orphans()) == {"relinked by shift": 5, "relinked by owned": 2}
    assert Poll.objects.get(pk=polls[3].pk).team_id == GONE + 3 + 931


# Only because somebody says so


def test_nullify_forgets_the_number_where_that_is_possible_and_says_where_not(story):
    report = fix_orphans("nullify")
    assert (outcomes(report), report.status, left()) == ({"nullified": 2}, "violated", 13)
    notes = [note for rule in report.rules for note in rule.notes]
    assert any("teams.message_has_its_team: the number cannot be taken out of its rows" in note for note in notes)
    assert (Poll.objects.count(), CaptainMessage.objects.count()) == (2, 13)


def test_quarantine_keeps_every_row_whole_and_puts_it_back(story):
    before = contents()
    report = fix_orphans("quarantine", max_affected="100%")
    assert outcomes(report) == {"quarantined": 15}
    assert (CaptainMessage.objects.count(), left()) == (0, 0)
    assert manage("integrity", "undo", report.run).code == 0
    assert contents() == before


def test_what_the_brake_stops_leaves_everything_as_it_was(story, settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 1, "MAX_AFFECTED_SHARE": 0.01}
    before = contents()
    report = fix_orphans("quarantine")
    assert (report.status, report.changes, contents(), TeamKey.objects.count()) == ("refused", 0, before, 0)


def test_no_strategy_deletes_what_a_member_wrote(story):
    for strategy in ("relink", "nullify"):
        fix_orphans(strategy)
        assert (Poll.objects.count(), CaptainMessage.objects.count()) == (2, 13)
    assert not any("delete" in rule.repairs for rule in registry.select(["teams"], ["orphans"]))


def test_relinking_a_practice_time_that_is_there_already_is_refused_and_told():
    team = make_team("Series 22")
    make_practice_time(team)
    make_poll(make_member(team), team)
    now = renumber(team)
    make_practice_time(now)
    report = fix_orphans()
    assert report.status in ("partial", "failed")
    assert sorted(PracticeTime.objects.values_list("team", flat=True)) == [team.pk, now.pk]


# The commands


def test_diagnose_in_json(story):
    done = manage("diagnose_team_id_orphans", "--format", "json")
    assert (done.code, done.json["verb"], done.json["status"]) == (1, "diagnose", "violated")
    assert done.json["tables"][0] == {
        "table": "teams_poll",
        "column": "team_id",
        "rows": 2,
        "dangling": 2,
        "unresolved": 0,
        "suspects": 0,
    }
    assert {key: done.json["numbers"][1][key] for key in ("number", "rows", "outcome", "team")} == {
        "number": 87189,
        "rows": 7,
        "outcome": "relinked",
        "team": 88120,
    }
    assert done.json["people"][0] == {"username": "test-1-19-captain", "wrote": 7, "misses": 1}
    assert {rule["rule"] for rule in done.json["rules"]} == {
        "teams.poll_has_its_team",
        "teams.message_has_its_team",
        "teams.practice_time_has_its_team",
        "teams.home_team_is_there",
        "teams.away_team_is_there",
    }


def test_diagnose_for_people_and_as_csv(story):
    said = manage("diagnose_team_id_orphans").out
    assert "88120 Winnetka Series 2B, League North (test-1)" in said
    assert "To see a repair: manage.py fix_team_id_orphans --dry-run" in said
    assert "... and 7 more" in manage("diagnose_team_id_orphans", "--limit", 1).out
    lines = manage("diagnose_team_id_orphans", "--format", "csv").out.splitlines()
    assert lines[0] == "number,rows,outcome,team,name,by,why"
    assert len(lines) == 3


def test_diagnose_of_what_is_right_ends_with_0():
    test_data.load()
    done = manage("diagnose_team_id_orphans")
    assert (done.code, "clean" in done.out) == (0, True)


def test_fix_in_json_and_what_is_left_ends_with_1(story):
    test_data.plant_near_misses()
    done = manage("fix_team_id_orphans", "--format", "json", "--reason", "import of tonight")
    assert (done.code, done.json["status"], done.json["changes"]) == (1, "violated", 15)
    assert [rule["outcomes"] for rule in done.json["rules"][:2]] == [
        {"relinked by named": 2, "ambiguous": 1},
        {"relinked by named": 13, "ambiguous": 1, "no candidate": 1},
    ]
    assert Run.objects.get(pk=done.json["run"]).reason == "import of tonight"


def test_fix_ends_with_0_where_nothing_is_left(story):
    assert manage("fix_team_id_orphans").code == 0
    assert left() == 0


def test_a_dry_run_ends_with_1_and_shows_what_would_change(story):
    done = manage("fix_team_id_orphans", "--dry-run", "--limit", 1)
    assert (done.code, left()) == (1, 15)
    assert "87169 -> 88100" in done.out
    assert "and 12 rows more" in done.words


def test_on_a_terminal_it_asks_before_it_writes(story):
    assert on_screen("fix_team_id_orphans", answer="n\n").code == 1
    assert left() == 15
    assert on_screen("fix_team_id_orphans", answer="y\n").code == 0
    assert left() == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--strategy", "delete"], "--strategy 'delete' is unknown. Known: relink, nullify, quarantine."),
        (["--max-affected", "100%"], "add --yes"),
        (["--max-affected", "much", "--yes"], "much"),
    ],
)
def test_what_is_wrong_with_the_request_is_a_usage_error(story, words, sentence):
    done = manage("fix_team_id_orphans", *words, "--format", "json")
    assert (done.code, json.loads(done.out)["status"], sentence in done.words) == (2, "refused", True)
    assert left() == 15


def test_the_brake_stops_a_repair_of_more_than_it_allows(story, settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 3, "MAX_AFFECTED_SHARE": 0.01}
    done = manage("fix_team_id_orphans")
    assert (done.code, left() >= 13) == (3, True)
    assert manage("fix_team_id_orphans", "--max-affected", "100%", "--yes").code == 0


@pytest.mark.parametrize("command", ["diagnose_team_id_orphans", "fix_team_id_orphans"])
def test_help_shows_an_example(command):
    done = manage(command, "--help")
    assert (done.code, f"Example: manage.py {command}" in done.words) == (0, True)
