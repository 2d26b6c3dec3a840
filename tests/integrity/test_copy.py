"""Copy: what one table lacks comes over whole, a conflict goes the declared way, and everything can be taken back."""

import datetime
import itertools
from decimal import Decimal

import pytest

from integrity import Agrees, Copy
from integrity.models import Change
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, finds, registered, repaired
from tests.integrity.test_agrees import make_left, make_pair, make_right
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

FIELDS = {"city": "town", "level": "level", "created_at": "created_at", "updated_at": "updated_at"}
OLD = datetime.datetime(2020, 1, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
NEW = OLD + datetime.timedelta(microseconds=1)


def agrees(*copies, **options):
    options = {"on": {"member": "owner"}, "fields": FIELDS, **options}
    rule = declared(Agrees, toy.Profile, toy.OldProfile, repairs={"copy": copies}, **options)
    assert rule.check() == []
    return rule


def newest(**options):
    return agrees(Copy("newest", by="updated_at"), **options)


def date(model, moment, created=OLD):
    """Give every row its times, which auto_now would not leave alone."""
    execute(f"UPDATE {model._meta.db_table} SET created_at = '{created}', updated_at = '{moment}'")


def left(*columns):
    return toy.Profile.objects.values_list(*columns).get()


def right(*columns):
    return toy.OldProfile.objects.values_list(*columns).get()


def test_a_missing_row_comes_over_with_every_field_and_both_times_to_the_microsecond():
    make_right(make_account(), town="Oslo", level=7)
    date(toy.OldProfile, NEW, created=OLD)
    report = repaired(newest())
    assert (report.status, report.changes) == ("clean", 1)
    assert left("city", "level", "created_at", "updated_at") == ("Oslo", 7, OLD, NEW)


def test_what_the_left_table_alone_has_comes_over_too():
    make_left(make_account(), city="Rome")
    report = repaired(newest())
    assert report.changes == 1
    assert right("town") == ("Rome",)


def test_columns_that_the_rule_does_not_name_get_their_defaults():
    make_right(make_account(), town="Oslo", ratio=5)
    repaired(newest())
    assert left("ratio", "score") == (0, None)


@pytest.mark.parametrize(("left_at", "right_at", "city"), [(OLD, NEW, "Oslo"), (NEW, OLD, "Rome")])
def test_the_newest_row_wins_with_its_times(left_at, right_at, city):
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    date(toy.Profile, left_at)
    date(toy.OldProfile, right_at)
    report = repaired(newest())
    assert (report.status, report.changes) == ("clean", 1)
    assert left("city", "updated_at") == right("town", "updated_at") == (city, NEW)


def test_two_that_are_equally_new_are_left_alone_and_told_with_both_values():
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    date(toy.Profile, OLD)
    date(toy.OldProfile, OLD)
    report = repaired(newest())
    assert (report.status, report.changes) == ("violated", 0)
    assert report.rules[0].violations == 1
    (conflict,) = report.rules[0].sample
    assert (conflict.actual, conflict.expected) == ({"city": "Rome"}, {"city": "Oslo"})


@pytest.mark.parametrize(("ties", "city"), [("left", "Rome"), ("right", "Oslo")])
def test_ties_go_to_the_declared_side(ties, city):
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    date(toy.Profile, OLD)
    date(toy.OldProfile, OLD)
    assert repaired(agrees(Copy("newest", by="updated_at", ties=ties))).status == "clean"
    assert left("city") == right("town") == (city,)


@pytest.mark.parametrize(("winner", "city"), [("left", "Rome"), ("right", "Oslo")])
def test_a_side_may_always_win(winner, city):
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    report = repaired(agrees(Copy(winner)))
    assert (report.status, report.changes) == ("clean", 1)
    assert left("city", "updated_at") == right("town", "updated_at")
    assert left("city") == (city,)


def test_the_highest_wins_field_by_field_but_where_the_lowest_does():
    make_pair({"city": "A", "level": 9}, {"town": "B", "level": 3})
    date(toy.Profile, NEW, created=NEW)
    date(toy.OldProfile, OLD, created=OLD)
    report = repaired(agrees(Copy("highest", lowest=["created_at"])))
    assert (report.status, report.changes) == ("clean", 2)
    assert left("city", "level", "created_at", "updated_at") == ("B", 9, OLD, NEW)
    assert right("town", "level", "created_at", "updated_at") == ("B", 9, OLD, NEW)


def test_a_number_is_higher_than_null():
    rule = agrees(Copy("highest"), fields={"score": "points"}, tolerance=Decimal("0.01"))
    make_pair({"score": None}, {"points": -5})
    assert repaired(rule).status == "clean"
    assert left("score") == (-5,)


def test_a_conflict_is_planned_with_both_values():
    make_pair({"city": "Rome", "level": 2}, {"town": "Oslo", "level": 2})
    report = repaired(agrees(Copy("left")), dry_run=True)
    (planned,) = report.rules[0].planned
    assert (planned.table, planned.op) == ("toy_oldprofile", "update")
    assert (planned.old["town"], planned.new["town"]) == ("Oslo", "Rome")
    assert planned.evidence["fields"].startswith("city")


def test_a_dry_run_writes_nothing():
    make_right(make_account())
    before = contents(toy.Profile, toy.OldProfile)
    report = repaired(newest(), dry_run=True)
    assert (report.status, report.changes) == ("violated", 1)
    assert contents(toy.Profile, toy.OldProfile) == before


def test_fields_that_agree_are_not_written():
    rule = agrees(Copy("right"), fields={"city": "town", "score": "points"}, tolerance={"score": 1})
    make_pair({"city": "Rome", "score": 5}, {"town": "Oslo", "points": Decimal("5.5")})
    repaired(rule)
    assert left("city", "score") == ("Oslo", 5)


def test_what_null_stands_for_is_written_where_null_is_refused():
    rule = agrees(Copy("right"), nulls={"city": ""})
    make_right(make_account(), town=None, level=4)
    assert repaired(rule).status == "clean"
    assert left("city", "level") == ("", 4)


def test_a_second_copy_writes_nothing():
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    make_right(make_account())
    rule = newest()
    assert repaired(rule).changes == 2
    assert repaired(rule).changes == 0
    assert finds(rule) == {}


def test_an_undo_brings_every_byte_back_in_both_tables():
    make_pair({"city": "Rome"}, {"town": "Oslo"})
    make_right(make_account(), town="Lima")
    make_left(make_account(), city="Bern")
    before = contents(toy.Profile, toy.OldProfile)
    rule = agrees(Copy("highest"))
    report = repaired(rule)
    assert report.changes == Change.objects.count() == 4
    with registered(rule):
        assert undo(report.run).status == "clean"
    assert contents(toy.Profile, toy.OldProfile) == before


def test_the_brake_stops_a_copy_of_most_of_a_table(settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 1}
    for _ in range(3):
        make_right(make_account())
    rule = newest()
    report = repaired(rule)
    assert (report.status, report.changes) == ("refused", 0)
    assert "--max-affected 3" in report.rules[0].error
    assert repaired(rule, max_affected="3").changes == 3


def test_a_row_that_the_table_refuses_is_skipped_and_told():
    execute("ALTER TABLE toy_profile ADD CONSTRAINT fit CHECK (level < 100)")
    make_right(make_account(), level=500)
    make_right(make_account(), level=5)
    report = repaired(newest())
    assert (report.status, report.changes, report.rules[0].skipped) == ("partial", 1, 1)
    assert 'violates check constraint "fit"' in report.rules[0].reasons[0]


def test_only_the_given_keys_are_copied():
    first, second = make_account(), make_account()
    for member in (first, second):
        make_right(member)
    assert repaired(newest(), keys=[(second.pk,)]).changes == 1
    assert left("member") == (second.pk,)


def test_composite_keys_are_copied_to_their_own_rows():
    for order, number in itertools.product(["1", "11"], repeat=2):
        toy.OldLine.objects.create(order=order, number=number, units=len(order + number))
    rule = declared(
        Agrees,
        toy.Line,
        toy.OldLine,
        on=["order", "number"],
        fields={"quantity": "units"},
        repairs={"copy": Copy("right")},
    )
    assert repaired(rule).changes == 4
    assert set(toy.Line.objects.values_list("order", "number", "quantity")) == {
        ("1", "1", 2),
        ("1", "11", 3),
        ("11", "1", 3),
        ("11", "11", 4),
    }


def test_a_young_pair_is_left_for_later():
    rule = newest(settle={"updated_at": datetime.timedelta(hours=1)})
    make_right(make_account())
    report = repaired(rule)
    assert (report.changes, report.rules[0].violations) == (0, 1)
    date(toy.OldProfile, OLD)
    assert repaired(rule).changes == 1
