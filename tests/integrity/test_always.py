"""Always: a condition over one row, with the meaning of a CHECK constraint."""

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Length

from integrity import Always
from integrity.engine import analyze
from tests.integrity.helpers import declared, execute, finds
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def always(condition, model=toy.Account, **options):
    rule = declared(Always, model, condition, **options)
    assert rule.check() == []
    return rule


def make_line(order, number, quantity=0, shipped=0):
    return toy.Line.objects.create(order=order, number=number, quantity=quantity, shipped=shipped)


def test_a_row_that_meets_the_condition_is_clean():
    make_account(balance=0)
    assert finds(always(Q(balance__gte=0))) == {}


def test_a_row_that_does_not_is_found_with_its_value_and_the_condition():
    account = make_account(balance=-1)
    ((actual, expected),) = finds(always(Q(balance__gte=0))).values()
    assert list(finds(always(Q(balance__gte=0)))) == [account.pk]
    assert (actual, expected) == (-1, '"balance" >= 0')


def test_a_condition_that_is_unknown_because_of_a_null_is_not_broken():
    make_account(balance=None)
    assert finds(always(Q(balance__gte=0))) == {}


def test_the_negation_of_an_unknown_condition_is_not_broken_either():
    make_account(balance=None)
    assert finds(always(~Q(balance__lt=0))) == {}


def test_a_null_breaks_a_condition_that_speaks_of_nulls():
    account = make_account(balance=None)
    assert list(finds(always(Q(balance__isnull=False)))) == [account.pk]


@pytest.mark.parametrize("balance", [None, -1, 0, 1])
@pytest.mark.parametrize(
    "condition", [Q(balance__gt=0), ~Q(balance=0), Q(balance__gt=0) | Q(limit__gt=1), Q(balance__in=[1])]
)
def test_a_check_constraint_of_the_same_condition_agrees(condition, balance):
    make_account(balance=balance, limit=1)
    found = finds(always(condition))
    text = always(condition)._text("default")
    try:
        with transaction.atomic():
            execute("SET CONSTRAINTS ALL IMMEDIATE", f"ALTER TABLE toy_account ADD CONSTRAINT c CHECK ({text})")
        assert found == {}
    except IntegrityError:
        assert len(found) == 1


def test_several_columns_are_compared_and_shown():
    account = make_account(balance=5, limit=3)
    rule = always(Q(balance__lte=F("limit")))
    ((actual, _),) = finds(rule).values()
    assert list(finds(rule)) == [account.pk]
    assert analyze([rule]).rules[0].sample[0].actual == {"balance": 5, "limit": 3}
    assert actual == (5, 3)


def test_only_the_wrong_one_of_several_rows_is_found():
    make_account(balance=1)
    wrong = make_account(balance=-1)
    assert list(finds(always(Q(balance__gte=0)))) == [wrong.pk]


def test_functions_of_a_column_may_be_compared():
    account = make_account(name="abcd")
    toy.Account.objects.exclude(pk=account.pk).delete()
    rule = declared(Always, toy.Account, Q(name__length__lte=3))
    from django.db.models import CharField
    from django.test.utils import register_lookup

    with register_lookup(CharField, Length, lookup_name="length"):
        assert rule.check() == []
        assert list(finds(rule)) == [account.pk]


def test_a_percent_sign_in_a_condition_is_a_character():
    account = make_account(name="50%")
    assert list(finds(always(~Q(name__contains="%")))) == [account.pk]


def test_a_scope_of_keys_looks_at_those_alone():
    first, second = make_account(balance=-1), make_account(balance=-1)
    report = analyze([always(Q(balance__gte=0))], keys=[(second.pk,)]).rules[0]
    assert ([f.key for f in report.sample], report.checked) == ([(second.pk,)], 1)
    assert first.pk != second.pk


def test_a_scope_of_no_keys_looks_at_nothing():
    make_account(balance=-1)
    report = analyze([always(Q(balance__gte=0))], keys=[]).rules[0]
    assert (report.status, report.checked, report.violations) == ("clean", 0, 0)


def test_rows_outside_of_where_are_neither_broken_nor_counted():
    make_account(balance=-1, name="old era")
    report = analyze([always(Q(balance__gte=0), where=~Q(name="old era"))]).rules[0]
    assert (report.checked, report.violations) == (0, 0)


def test_where_may_cross_a_foreign_key():
    branch = toy.Branch.objects.create(code="closed")
    make_account(balance=-1, branch=branch)
    wrong = make_account(balance=-1, branch=toy.Branch.objects.create(code="open"))
    assert list(finds(always(Q(balance__gte=0), where=Q(branch__code="open")))) == [wrong.pk]


def test_a_composite_key_is_found_and_scoped():
    make_line("a", "1", quantity=1, shipped=1)
    wrong = make_line("a", "11", quantity=1, shipped=2)
    rule = always(Q(shipped__lte=F("quantity")), toy.Line)
    assert list(finds(rule)) == list(finds(rule, keys=[wrong.pk])) == [("a", "11")]


def test_parts_of_a_composite_key_do_not_run_into_each_other():
    make_line("1", "11", shipped=1)
    make_line("11", "1", shipped=1)
    rule = always(Q(shipped__lte=F("quantity")), toy.Line)
    assert list(finds(rule, keys=[("11", "1")])) == [("11", "1")]


def test_a_composite_scope_of_no_keys_looks_at_nothing():
    make_line("1", "11", shipped=1)
    assert finds(always(Q(shipped__lte=F("quantity")), toy.Line), keys=[]) == {}


def test_the_key_itself_may_be_the_condition():
    line = make_line("a", "11")
    assert list(finds(always(~Q(number="11"), toy.Line))) == [line.pk]


def test_a_column_of_a_parent_table_is_refused():
    (problem,) = declared(Always, toy.Employee, Q(name="a")).check()
    assert "'name'" in problem.msg
    assert "another table" in problem.msg


def test_a_condition_that_no_row_can_meet_is_broken_by_each():
    account = make_account()
    assert list(finds(always(Q(pk__in=[])))) == [account.pk]


def test_a_condition_that_every_row_meets_is_clean():
    make_account()
    assert finds(always(~Q(pk__in=[]))) == {}
