"""What the records tell at a glance: which rules hold, since when not, what changed."""

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrity.health import recorded_health
from integrity.models import Violation
from integrity.overview import Card, card, overview, standings
from integrity.overview.cards import cards, unregister
from integrity.overview.charts import of_apps, of_points, spark
from integrity.overview.history import history
from integrity.overview.kept import forget
from integrity.rules.always import Always
from tests.integrity.helpers import declared
from tests.integrity.looks import ago, looked
from tests.toy.models import Line

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule():
    return declared(Always, Line, Q(number__gte=0))


def standing(rule):
    (found,) = standings([rule])
    return found


def found_open(rule, number=1):
    now = timezone.now()
    for key in range(number):
        Violation.objects.create(rule=rule.label, database="default", key={"id": key}, first_seen=now, last_seen=now)


def test_a_rule_that_was_never_looked_at_is_not_checked(rule):
    assert (standing(rule).status, standing(rule).why) == ("not checked", "it was never looked at")


def test_a_rule_holds_after_a_clean_look(rule):
    looked(rule, ago(hours=1))
    assert (standing(rule).status, standing(rule).since) == ("holds", None)


def test_a_rule_is_broken_since_the_first_look_that_found_anything_after_the_last_clean_one(rule):
    for hours, violations in ((5, 2), (4, 0), (3, 1), (2, 7), (1, 3)):
        looked(rule, ago(hours=hours), violations)
    found_open(rule, 3)
    assert standing(rule).status == "broken"
    assert (standing(rule).since, standing(rule).violations) == (ago(hours=3), 3)
    assert standing(rule).trend == [2, 0, 1, 7, 3]


def test_a_repair_of_everything_ends_the_time_of_being_broken(rule):
    looked(rule, ago(hours=5), 2)
    looked(rule, ago(hours=4), 0, verb="repair")
    looked(rule, ago(hours=3), 1)
    found_open(rule)
    assert standing(rule).since == ago(hours=3)


def test_a_look_that_failed_leaves_a_rule_not_checked(rule):
    looked(rule, ago(hours=2))
    looked(rule, ago(hours=1), None, status="failed", error="no such column")
    assert (standing(rule).status, standing(rule).why) == ("not checked", "no such column")


def test_what_an_undo_has_put_back_is_not_known_until_the_next_look(rule):
    looked(rule, ago(hours=3))
    run = looked(rule, ago(hours=2), None, verb="undo", status="clean", changes=4)
    assert standing(rule).why == f"run {run.pk} has put rows back since the last look"
    looked(rule, ago(hours=1))
    assert standing(rule).status == "holds"


def test_the_score_is_that_of_health(rule):
    other = declared(Always, Line, Q(number__gte=1))
    looked(rule, ago(hours=1), 25, checked=100)
    looked(other, ago(hours=1))
    found_open(rule, 25)
    found = overview([rule, other])
    assert (found.score, found.status, found.violations) == (87.5, "degraded", 25)
    assert found.since == ago(hours=1)


def test_health_and_overview_have_one_score_whatever_is_wrong_beside_the_rules(rule):
    looked(rule, ago(hours=1))
    kept = declared(Always, Line, Q(number__gte=1), name="kept", enforce=True)
    looked(kept, ago(hours=1))
    found, told = overview([rule, kept]), recorded_health([rule, kept])
    assert (found.score, found.status) == (told.score, told.status)
    assert found.status == "degraded"
    assert [check.what for check in found.others] == ["rules of toy that the database should keep"]


def test_a_change_of_the_number_is_told_the_newest_first(rule):
    for hours, violations in ((4, 0), (3, 2), (2, 2), (1, 0)):
        looked(rule, ago(hours=hours), violations)
    told = [(one.before.violations, one.after.violations, one.at) for one in overview([rule]).turns]
    assert told == [(2, 0, ago(hours=1)), (0, 2, ago(hours=3))]


def test_a_day_without_a_look_has_what_was_known_before(rule):
    looked(rule, ago(days=40), 3)
    looked(rule, ago(days=2), 1)
    (series,) = history([rule], days=5).series
    assert series.counts[0] == 3
    assert series.counts[-2:] == [1, 1]


def test_a_day_before_the_first_look_is_not_known(rule):
    looked(rule, ago(days=1), 1)
    chart = of_apps(history([rule], days=5))
    assert (chart.bars[0].is_unknown, chart.bars[0].blocks) == (True, [])
    assert "not looked at yet" in chart.bars[0].title
    assert chart.bars[-1].title.endswith("toy 1")


def test_one_violation_among_thousands_is_still_seen(rule):
    looked(rule, ago(hours=2), 40_000)
    looked(rule, ago(hours=1), 1)
    chart = of_points(standing(rule).points)
    assert [block.height for bar in chart.bars for block in bar.blocks] == [150, 1.5]
    assert chart.ticks[-1].text == "40,000"


def test_a_line_says_its_numbers():
    assert spark([1]) is None
    assert spark([3, 2, 0]).said == "last looks found 3, 2, 0"
    assert (spark([3, 2, 0]).is_none, spark([0, 1]).is_none) == (True, False)


def test_the_number_of_queries_is_that_of_one_rule_however_many_there_are(rule):
    def queries(rules):
        overview(rules)
        with CaptureQueriesContext(connection) as asked:
            overview(rules)
        return len(asked)

    many = [rule, *(declared(Always, Line, Q(number__gte=1)) for _ in range(12))]
    for one in many:
        looked(one, ago(hours=2), 3)
        looked(one, ago(hours=1), 5)
    forget()
    assert queries([rule]) == queries(many) <= 12


@pytest.fixture
def made():
    """Registers what makes a card, for a test."""
    registered = []

    def register(make, **options):
        registered.append(card(**options)(make))

    yield register
    for make in registered:
        unregister(make)


def test_an_app_adds_a_card_for_those_who_may_see_it(made):
    made(lambda: Card("Ponies", 3), permission="zoo.view_pony")
    assert "Ponies" not in [one.title for one in cards(lambda wanted: False)]
    assert ("Ponies", 3) in [(one.title, one.figure) for one in cards(lambda wanted: wanted == "zoo.view_pony")]


def test_a_card_that_cannot_be_made_says_so_and_leaves_the_others(made, caplog):
    def lost_ponies():
        raise ZeroDivisionError

    made(lost_ponies)
    made(lambda: Card("Ponies", 3))
    told = {one.title: one for one in cards(lambda wanted: False)}
    assert told["Lost ponies"].is_alarming
    assert "ZeroDivisionError" in told["Lost ponies"].note
    assert "Ponies" in told
    assert "lost_ponies" in caplog.text
