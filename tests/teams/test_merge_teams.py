"""Two numbers of one team become one, with all that its members wrote; then no third can come."""

import pytest
from django.db import IntegrityError, connection

from integrity.enforce import enforce
from integrity.registry import registry
from integrity.repair import repair
from integrity.undo import undo
from teams.models import CaptainMessage, Match, Poll, PracticeTime, Team, TeamMembership
from tests.integrity.helpers import contents
from tests.teams.factories import make_match, make_member, make_message, make_poll, make_practice_time, make_team

pytestmark = pytest.mark.django_db

RULE = "teams.team_is_one"


(GUARD,) = [constraint for constraint in Team._meta.constraints if constraint.name == "unique_team_club_series_league"]


def entered_twice():
    """A team that an import entered twice while nothing kept it from that: (older, newer)."""
    with connection.schema_editor() as editor:
        editor.remove_constraint(Team, GUARD)
    return make_team(alias=""), make_team(alias="T22", external_id="x-22")


@pytest.fixture
def twice():
    return entered_twice()


def merge(**options):
    return repair([(registry.get(RULE), "merge")], **options)


def test_everything_that_points_at_the_other_one_points_at_the_one_that_stays(twice):
    kept, gone = twice
    away = make_team("Series 9")
    captain = make_member(gone, captain=True)
    both = make_member(kept, gone)
    TeamMembership.objects.filter(user=both, team=kept).update(is_primary=False)
    TeamMembership.objects.filter(user=both, team=gone).update(is_primary=True)
    make_poll(captain, gone), make_message(captain, gone), make_practice_time(gone)
    make_match(gone, away), make_match(away, gone)
    before = contents()
    report = merge(reason="entered twice")
    assert (report.status, report.rules[0].outcomes) == ("clean", {"merged": 1})
    kept.refresh_from_db()
    assert (kept.alias, kept.external_id) == ("T22", "x-22")
    for model in (Poll, CaptainMessage, PracticeTime):
        assert model.objects.get().team == kept
    assert [(match.home_team, match.away_team) for match in Match.objects.order_by("pk")] == [
        (kept, away),
        (away, kept),
    ]
    assert TeamMembership.objects.get(user=captain).team == kept
    assert TeamMembership.objects.get(user=both).is_primary
    undo(report.run)
    assert contents() == before


@pytest.mark.django_db(transaction=True)
def test_no_third_one_comes_once_the_rule_is_enforced():
    rule = registry.get(RULE)
    entered_twice()
    try:
        assert enforce([rule]).rules[0].status == "refused"
        merge()
        report = enforce([rule])
        assert (report.status, report.rules[0].enforcement) == ("clean", "enforced"), report
        with pytest.raises(IntegrityError):
            make_team()
    finally:
        enforce([rule], remove=True)
        with connection.schema_editor() as editor:
            editor.add_constraint(Team, GUARD)


def test_teams_that_played_each_other_are_left(twice):
    make_match(*twice)
    report = merge()
    assert (report.status, Team.objects.count()) == ("partial", 2)
    assert "rows of schedule refer to two of its rows" in report.rules[0].reasons[0]
