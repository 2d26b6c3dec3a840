"""A message that is moved out and put back, and two teams that are one: what refers to them goes along."""

import pytest
from django.db import IntegrityError, connection, transaction

from integrity.enforce import enforce
from integrity.engine import analyze
from integrity.quarantine import quarantined
from integrity.registry import registry
from integrity.repair import repair
from integrity.undo import undo
from teams.models import CaptainMessage, Match, Poll, PracticeTime, Team, TeamMembership
from tests.teams.factories import (
    make_match,
    make_member,
    make_message,
    make_poll,
    make_practice_time,
    make_team,
    renumber,
)
from tests.teams.test_admin import text, try_and_apply, url
from tests.teams.test_api import Api

pytestmark = pytest.mark.django_db

RULE = "teams.team_is_one"


# Quarantine


def test_a_message_in_quarantine_is_listed_put_back_whole_and_seen_again_by_its_team(admin_client):
    team = make_team()
    ann, bob = make_member(team, captain=True), make_member(team)
    message = make_message(ann, team, "Bring balls.")
    now = renumber(team)
    try_and_apply(admin_client, url("captainmessage", message.pk, "repair", "quarantine"))
    assert not CaptainMessage.objects.exists()
    page = text(admin_client.get("/admin/integrity/quarantined/"))
    assert f"teams_captainmessage id {message.pk}" in page
    assert "team is gone" in page

    undo(quarantined().get().run_id, reason="it was right")
    assert CaptainMessage.objects.get().message == "Bring balls."
    assert Api(bob).names("/messages", "id") == []
    repair([(registry.get("teams.message_has_its_team"), "relink")])
    assert CaptainMessage.objects.get().team_id == now.pk
    assert Api(bob).names("/messages", "message") == ["Bring balls."]


def test_the_choices_and_answers_of_a_poll_go_into_quarantine_and_come_back_with_it():
    team = make_team()
    ann = make_member(team)
    poll = make_poll(ann, team)
    choice = poll.choices.first()
    poll.responses.create(choice=choice, user=ann)
    renumber(team)
    run = repair([(registry.get("teams.poll_has_its_team"), "quarantine")]).run
    assert not Poll.objects.exists()
    undo(run)
    assert Poll.objects.get().responses.get().choice == choice


# Two teams that are one


@pytest.fixture
def twice():
    """The same team twice, in a database whose constraint is missing, with something of everything for each."""
    execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    execute("ALTER TABLE teams_team DROP CONSTRAINT unique_team_club_series_league")
    kept, gone, other = make_team(alias="", external_id=""), make_team(alias="The Aces"), make_team("Series 7")
    for hour, team in ((17, kept), (18, gone)):
        author = make_member(team, captain=True)
        make_poll(author, team)
        make_message(author, team)
        make_practice_time(team, start=f"{hour}:00")
        make_match(team, other, date=f"2026-03-{hour}")
        make_match(other, team, date=f"2026-03-{hour}")
    both = make_member(kept)
    TeamMembership.objects.create(user=both, team=gone, is_captain=True)
    make_practice_time(gone, start="17:00", created_at="2026-03-02T12:00Z")
    return kept, gone, other


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_constraint_is_not_added_over_duplicates_and_says_what_to_do_first(twice):
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    report = enforce([registry.get(RULE)]).rules[0]
    assert (report.status, report.violations) == ("refused", 1)
    assert "more than once" in report.error


def test_a_merge_points_everything_at_the_team_that_stays(twice):
    kept, _, other = twice
    report = repair([(registry.get(RULE), "merge")])
    assert report.status == "clean", [rule.error or rule.reasons for rule in report.rules]
    assert set(Team.objects.values_list("pk", flat=True)) == {kept.pk, other.pk}
    assert Team.objects.get(pk=kept.pk).alias == "The Aces"
    for model in (Poll, CaptainMessage):
        assert set(model.objects.values_list("team", flat=True)) == {kept.pk}
        assert model.objects.count() == 2
    assert set(PracticeTime.objects.values_list("team", "start_time__hour")) == {(kept.pk, 17), (kept.pk, 18)}
    assert set(Match.objects.values_list("home_team", "away_team")) == {(kept.pk, other.pk), (other.pk, kept.pk)}
    assert set(TeamMembership.objects.values_list("team", flat=True)) == {kept.pk}
    assert analyze(registry.select(["teams"])).status == "clean"


def test_what_was_merged_can_be_taken_apart_again(twice):
    before = {
        m: sorted(m.objects.values_list()) for m in (Team, Poll, CaptainMessage, PracticeTime, TeamMembership, Match)
    }
    run = repair([(registry.get(RULE), "merge")]).run
    undo(run)
    assert {model: sorted(model.objects.values_list()) for model in before} == before


def test_after_the_merge_the_database_refuses_a_second_team(twice):
    repair([(registry.get(RULE), "merge")])
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute(
        "ALTER TABLE teams_team ADD CONSTRAINT unique_team_club_series_league UNIQUE (club_id, series_id, league_id)"
    )
    assert enforce([registry.get(RULE)]).rules[0].enforcement == "enforced"
    with pytest.raises(IntegrityError), transaction.atomic():
        make_team()
