"""PerKey: expected values from a queryset of (key, value)."""

import pytest
from django.db.models import Count, F, IntegerField, Sum, Value

from integrity import Derived, PerKey
from integrity.engine import analyze
from integrity.models import Run
from tests.integrity.helpers import declared, finds, repaired
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def entries_per_account():
    return toy.Entry.objects.values(key=F("account_id")).annotate(value=Count("pk"))


def counted(queryset=entries_per_account, **options):
    rule = declared(Derived, toy.Account, "entry_count", equals=PerKey(queryset, reads=[toy.Entry], **options))
    assert rule.check() == []
    return rule


def shipped_per_line():
    return toy.Shipment.objects.values("order", "number").annotate(value=Sum("quantity"))


def shipped():
    equals = PerKey(shipped_per_line, reads=[toy.Shipment], default=0)
    rule = declared(Derived, toy.Line, "shipped", equals=equals)
    assert rule.check() == []
    return rule


def make_line(order, number, *, stored, shipments):
    for quantity in shipments:
        toy.Shipment.objects.create(order=order, number=number, quantity=quantity)
    return toy.Line.objects.create(order=order, number=number, shipped=stored)


def test_a_value_that_the_query_gives_too_is_clean():
    make_account([1, 1], entry_count=2)
    assert finds(counted()) == {}


def test_another_value_than_the_query_gives_is_found():
    account = make_account([1, 1], entry_count=3)
    assert finds(counted()) == {account.pk: (3, 2)}


def test_a_key_without_a_row_is_expected_to_be_null():
    account = make_account(entry_count=3)
    assert finds(counted()) == {account.pk: (3, None)}


def test_a_key_without_a_row_has_the_default():
    make_account(entry_count=0)
    wrong = make_account(entry_count=3)
    assert finds(counted(default=0)) == {wrong.pk: (3, 0)}


def test_a_queryset_itself_is_taken_anew_each_time():
    account = make_account([1], entry_count=1)
    rule = counted(entries_per_account())
    assert finds(rule) == {}
    toy.Entry.objects.create(account=account, amount=1)
    assert finds(rule) == {account.pk: (1, 2)}


def test_a_scope_of_keys_looks_at_those_alone():
    make_account([1], entry_count=9)
    second = make_account([1], entry_count=9)
    assert finds(counted(), keys=[(second.pk,)]) == {second.pk: (9, 1)}


def test_it_may_be_part_of_an_expression():
    account = make_account([1, 1], entry_count=2)
    equals = PerKey(entries_per_account, reads=[toy.Entry], default=0) + Count("hold")
    toy.Hold.objects.create(account=account)
    assert finds(declared(Derived, toy.Account, "entry_count", equals=equals)) == {account.pk: (2, 3)}


def test_a_composite_key_is_joined_by_each_of_its_fields():
    make_line("1", "11", stored=5, shipments=[2, 3])
    make_line("11", "1", stored=9, shipments=[4])
    make_line("2", "1", stored=1, shipments=[])
    assert finds(shipped()) == {("11", "1"): (9, 4), ("2", "1"): (1, 0)}
    assert finds(shipped(), keys=[("2", "1")]) == {("2", "1"): (1, 0)}


def test_a_composite_key_is_repaired():
    line = make_line("11", "1", stored=9, shipments=[4])
    untouched = make_line("11", "2", stored=0, shipments=[])
    assert repaired(shipped()).changes == 1
    line.refresh_from_db()
    assert (line.shipped, finds(shipped())) == (4, {})
    assert untouched.shipped == 0


def test_a_drifted_value_is_repaired():
    account = make_account([1, 1], entry_count=9)
    rule = counted(default=0)
    assert repaired(rule).status == "clean"
    account.refresh_from_db()
    assert account.entry_count == 2


def test_a_query_without_a_value_is_a_wrong_declaration():
    equals = PerKey(lambda: toy.Entry.objects.values(key=F("account_id")), reads=[toy.Entry])
    (problem,) = declared(Derived, toy.Account, "entry_count", equals=equals).check()
    assert "must have the fields key and value" in problem.hint


def test_a_query_with_another_name_for_the_key_is_a_wrong_declaration():
    equals = PerKey(lambda: toy.Entry.objects.values("account_id", value=Value(1)), reads=[toy.Entry])
    (problem,) = declared(Derived, toy.Account, "entry_count", equals=equals).check()
    assert "gives account_id, value" in problem.msg


def test_an_error_in_the_function_fails_the_rule_and_no_other(caplog):
    def broken():
        raise KeyError("unheard of")

    make_account([1], entry_count=9)
    wrong = declared(Derived, toy.Account, "entry_count", equals=PerKey(broken, reads=[toy.Entry]))
    report = analyze([wrong, counted()])
    assert [rule.status for rule in report.rules] == ["failed", "violated"]
    assert report.rules[0].error == "KeyError: 'unheard of'"
    assert "broken" in caplog.text
    assert Run.objects.get(pk=report.run).status == "failed"


def test_an_error_in_the_function_fails_a_repair_and_closes_its_run(caplog):
    def broken():
        raise KeyError("unheard of")

    rule = declared(Derived, toy.Account, "entry_count", equals=PerKey(broken, reads=[toy.Entry]))
    report = repaired(rule)
    assert (report.status, report.rules[0].error) == ("failed", "KeyError: 'unheard of'")
    assert Run.objects.get().status == "failed"
    assert "broken" in caplog.text


def test_an_integer_of_another_width_is_the_same_value():
    make_account([1], entry_count=1)
    rows = toy.Entry.objects.values(key=F("account_id")).annotate(value=Value(1, output_field=IntegerField()))
    assert finds(counted(rows.distinct())) == {}
