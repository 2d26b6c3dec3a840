"""Agrees: what two tables say differently is found, row by row and field by field."""

import datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Q

from integrity import UNKNOWN, Agrees
from integrity.engine import analyze
from integrity.models import Violation
from integrity.rules import agrees_parts
from integrity.scope import Scope
from tests.integrity.helpers import declared, execute, finds
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

FIELDS = {"city": "town", "score": "points", "ratio": "ratio", "level": "level"}
MOMENT = datetime.datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)


def agrees(**options):
    options = {"on": {"member": "owner"}, "fields": FIELDS, **options}
    rule = declared(Agrees, toy.Profile, toy.OldProfile, **options)
    assert rule.check() == []
    return rule


def make_left(member, **values):
    return toy.Profile.objects.create(member=member, **values)


def make_right(member, **values):
    return toy.OldProfile.objects.create(owner=member, **{"town": "", **values})


def make_pair(left=None, right=None):
    member = make_account()
    make_left(member, **(left or {}))
    make_right(member, **(right or {}))
    return member.pk


def found(rule, **options):
    """What is told of each key."""
    return {f.key[0]: (f.evidence["found"], f.actual, f.expected) for f in analyze([rule], **options).rules[0].sample}


def counts(rule, **options):
    return analyze([rule], **options).rules[0].counts


def test_rows_that_say_the_same_are_identical():
    make_pair()
    report = analyze([agrees()]).rules[0]
    assert (report.status, report.checked, report.violations) == ("clean", 1, 0)
    assert report.counts == {"identical": 1, "modified": 0, "only_left": 0, "only_right": 0}


def test_a_modified_row_is_told_field_by_field_with_both_values():
    key = make_pair({"city": "Rome", "level": 3}, {"town": "Oslo", "level": 3})
    assert found(agrees()) == {key: ("modified", {"city": "Rome"}, {"city": "Oslo"})}


def test_a_row_that_one_table_lacks_is_told_with_its_values():
    left, right = make_account(), make_account()
    make_left(left, city="Rome")
    make_right(right, town="Oslo")
    told = found(agrees())
    assert told[left.pk][0] == "only_left"
    assert (told[left.pk][1]["city"], told[left.pk][2]["city"]) == ("Rome", None)
    assert told[right.pk][0] == "only_right"
    assert (told[right.pk][1]["city"], told[right.pk][2]["city"]) == (None, "Oslo")


def test_equal_counts_do_not_hide_one_missing_on_each_side():
    make_pair()
    make_left(make_account())
    make_right(make_account())
    report = analyze([agrees()]).rules[0]
    assert (report.checked, report.violations) == (3, 2)
    assert report.counts == {"identical": 1, "modified": 0, "only_left": 1, "only_right": 1}


def test_every_row_is_compared_not_only_the_first():
    for _ in range(5):
        make_pair()
    key = make_pair({"level": 7})
    assert list(found(agrees())) == [key]


def test_counts_are_exact_beyond_what_is_stored(settings):
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    for _ in range(5):
        make_pair({"level": 2})
        make_right(make_account())
    report = analyze([agrees()]).rules[0]
    assert (report.checked, report.violations, len(report.sample)) == (10, 10, 2)
    assert report.counts == {"identical": 0, "modified": 5, "only_left": 0, "only_right": 5}
    assert Violation.objects.count() == 2


def test_an_empty_table_is_not_clean():
    make_left(make_account())
    assert counts(agrees()) == {"identical": 0, "modified": 0, "only_left": 1, "only_right": 0}


@pytest.mark.parametrize(
    ("left", "right", "differ"),
    [
        (None, None, False),
        (None, Decimal(0), True),
        (Decimal("1.00"), None, True),
        (Decimal("1.00"), Decimal("1.0000"), False),
        (Decimal("1.00"), Decimal("1.0001"), True),
    ],
)
def test_a_number_and_null_compare_as_values(left, right, differ):
    make_pair({"score": left}, {"points": right})
    assert bool(found(agrees())) is differ


def test_nan_equals_nan_alone():
    make_pair({"ratio": float("nan")}, {"ratio": float("nan")})
    key = make_pair({"ratio": float("nan")}, {"ratio": 0})
    assert list(found(agrees())) == [key]


def test_times_are_compared_to_the_microsecond():
    rule = agrees(fields={"updated_at": "updated_at"})
    make_pair()
    execute("UPDATE toy_profile SET updated_at = '2026-01-01 12:00:00.123456+00'")
    execute("UPDATE toy_oldprofile SET updated_at = '2026-01-01 12:00:00.123456+00'")
    assert found(rule) == {}
    execute("UPDATE toy_oldprofile SET updated_at = updated_at + interval '1 microsecond'")
    assert len(found(rule)) == 1


def test_a_tolerance_holds_for_its_field_alone():
    rule = agrees(tolerance={"score": Decimal("0.01")})
    make_pair({"score": 5}, {"points": Decimal("5.01")})
    far = make_pair({"score": 5}, {"points": Decimal("5.02")})
    other = make_pair({"ratio": 1}, {"ratio": 1.001})
    assert list(found(rule)) == [far, other]


def test_a_tolerance_for_all_leaves_texts_alone_and_null_a_difference():
    rule = agrees(tolerance=1)
    make_pair({"level": 1, "score": 1}, {"level": 2, "points": 2})
    text = make_pair({"city": "a"}, {"town": "b"})
    null = make_pair({"score": None}, {"points": 0})
    assert list(found(rule)) == [text, null]


def test_null_agrees_with_what_it_stands_for():
    rule = agrees(nulls={"city": ""})
    make_pair({"city": ""}, {"town": None})
    key = make_pair({"city": "Rome"}, {"town": None})
    assert found(rule) == {key: ("modified", {"city": "Rome"}, {"city": None})}


def test_null_that_says_nothing_agrees_with_everything():
    make_pair({"city": "Rome"}, {"town": None})
    assert found(agrees(nulls={"city": UNKNOWN})) == {}


def test_a_single_key_is_looked_at_in_both_tables():
    first, second = make_pair({"level": 2}), make_pair({"level": 2})
    lone = make_account()
    make_right(lone)
    rule = agrees()
    assert list(found(rule, keys=[(second,)])) == [second]
    assert list(found(rule, keys=[(lone.pk,)])) == [lone.pk]
    assert counts(rule, keys=[(first,), (lone.pk,)]) == {"identical": 0, "modified": 1, "only_left": 0, "only_right": 1}


def test_where_holds_for_a_pair_as_soon_as_one_row_meets_it():
    rule = agrees(where=Q(level__gte=10))
    make_pair({"level": 1}, {"level": 2})
    key = make_pair({"level": 1}, {"level": 12})
    make_pair({"level": 10}, {"level": 10})
    report = analyze([rule]).rules[0]
    assert [f.key[0] for f in report.sample] == [key]
    assert (report.checked, report.counts["identical"]) == (2, 1)


def test_pairs_too_young_to_be_repaired_are_counted_like_others():
    make_right(make_account())
    make_pair()
    rule = agrees(fields={**FIELDS, "updated_at": "updated_at"}, settle={"updated_at": datetime.timedelta(1)})
    report = analyze([rule]).rules[0]
    assert (report.checked, report.counts["only_right"]) == (2, 1)


def test_composite_keys_are_never_glued_together():
    toy.Line.objects.create(order="1", number="11", quantity=1)
    toy.OldLine.objects.create(order="11", number="1", units=1)
    rule = declared(Agrees, toy.Line, toy.OldLine, on=["order", "number"], fields={"quantity": "units"})
    assert rule.check() == []
    assert counts(rule) == {"identical": 0, "modified": 0, "only_left": 1, "only_right": 1}
    assert list(finds(rule, keys=[("11", "1")])) == [("11", "1")]


def test_a_manager_that_hides_rows_hides_no_difference():
    hidden = make_account(hidden=True)
    make_left(hidden)
    assert list(found(agrees())) == [hidden.pk]


def test_an_accepted_exception_is_left_out_of_both_tables():
    from integrity.engine import accept
    from tests.integrity.helpers import registered

    rule, key = agrees(), make_pair({"level": 2})
    lone = make_account()
    make_right(lone)
    with registered(rule):
        analyze([rule])
        for accepted in (key, lone.pk):
            accept(rule, (accepted,), by="ann", because="known")
        report = analyze([rule]).rules[0]
    assert (report.violations, report.accepted, report.counts["only_right"]) == (0, 2, 0)


def test_a_table_that_has_gone_by_design_is_retired():
    rule = agrees(while_exists=True)
    execute("ALTER TABLE toy_oldprofile RENAME TO toy_oldprofile_gone")
    assert analyze([rule]).rules[0].status == "retired"


def test_a_table_that_has_gone_otherwise_is_not_checked():
    execute("ALTER TABLE toy_oldprofile RENAME TO toy_oldprofile_gone")
    report = analyze([agrees()]).rules[0]
    assert report.status == "failed"
    assert "toy_oldprofile" in report.error


def test_its_sql_reads_each_table_once():
    text = agrees().violations(Scope(), "default").inline(connection)
    assert text.count('"toy_profile"."id"') == text.count('FROM "toy_profile"') == text.count('FROM "toy_oldprofile"')


def test_large_tables_are_cut_at_the_same_keys_and_the_parts_find_what_the_whole_does(monkeypatch):
    members = [make_account() for _ in range(12)]
    for number, member in enumerate(members):
        if number % 4:
            make_left(member, level=number)
        if number % 3:
            make_right(member, level=5)
    rules = [agrees(), agrees(where=Q(level__gt=2))]
    whole = [found(rule) for rule in rules]
    assert {what for what, *_ in whole[0].values()} == {"modified", "only_left", "only_right"}
    monkeypatch.setattr(agrees_parts, "LARGE", 0)
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ANALYZE toy_profile", "SET LOCAL max_parallel_workers_per_gather = 3")
    assert [rule.violations(Scope(), "default").text.count("FULL JOIN") for rule in rules] == [4, 4]
    assert [found(rule) for rule in rules] == whole
    assert rules[0].violations(Scope.of([(members[1].pk,)]), "default").text.count("FULL JOIN") == 1
