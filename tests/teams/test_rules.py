"""The rules of teams: what each finds, and what it leaves."""

import pytest

from integrity.engine import analyze
from integrity.registry import registry
from teams.models import PollResponse, PracticeTime
from tests.teams.factories import (
    make_match,
    make_member,
    make_message,
    make_poll,
    make_practice_time,
    make_team,
    renumber,
)

pytestmark = pytest.mark.django_db


def found(name):
    """The keys that break a rule of this app."""
    (report,) = analyze([registry.get(f"teams.{name}")]).rules
    assert report.status in ("clean", "violated"), report.error
    return [finding.key for finding in report.sample]


@pytest.fixture
def written():
    """One of each that points at a team, and its key by the name of its rule."""
    team, other = make_team("Series 2B"), make_team("Series 7")
    ann = make_member(team, captain=True)
    rows = {
        "poll_has_its_team": make_poll(ann, team),
        "message_has_its_team": make_message(ann, team),
        "practice_time_has_its_team": make_practice_time(team),
        "home_team_is_there": make_match(team, other),
        "away_team_is_there": make_match(other, team),
    }
    return team, rows


def test_rows_whose_team_is_there_break_no_rule(written):
    assert not any(found(name) for name in written[1])


def test_a_row_whose_team_is_gone_breaks_its_rule_and_no_other(written):
    team, rows = written
    renumber(team)
    assert {name: found(name) for name in rows} == {name: [(row.pk,)] for name, row in rows.items()}


def test_a_row_of_no_team_refers_to_nothing_and_breaks_nothing():
    make_poll(make_member(make_team()), None)
    assert found("poll_has_its_team") == []


def test_a_response_must_choose_of_its_own_poll():
    team = make_team()
    ann = make_member(team)
    poll, other = make_poll(ann, team), make_poll(ann, team)
    right = PollResponse.objects.create(poll=poll, choice=poll.choices.first(), user=ann)
    wrong = PollResponse.objects.create(poll=other, choice=poll.choices.first(), user=ann)
    assert found("response_chose_of_its_poll") == [(wrong.pk,)]
    assert right.pk != wrong.pk


def test_practice_times_differ_by_every_part_of_their_key():
    team = make_team()
    make_practice_time(team)
    make_practice_time(team, day=2)
    make_practice_time(team, start="19:00")
    make_practice_time(team, end_time="20:00")
    make_practice_time(team, location="Court 1")
    make_practice_time(make_team("Series 7"))
    assert (PracticeTime.objects.count(), found("practice_time_is_one")) == (6, [])
