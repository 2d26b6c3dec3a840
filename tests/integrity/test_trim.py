"""Trim: rows that add up to more than their master are taken away, to the last digit."""

import datetime
from decimal import Decimal

import pytest
from django.db.models import Case, F, Q, Sum, Value, When

from integrity import Derived, Trim
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, finds, repaired
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

DAY = datetime.date(2026, 3, 2)


def make_ledger(total, amounts=(), **fields):
    ledger = toy.Ledger.objects.create(total=total)
    for amount in amounts:
        toy.Posting.objects.create(ledger=ledger, amount=Decimal(amount), **fields)
    return ledger


def trimmed(*, equals=None, truth="column", **options):
    equals = equals or Sum("postings__amount")
    rule = declared(
        Derived,
        toy.Ledger,
        "total",
        truth=truth,
        equals=equals,
        repairs={"trim": Trim("postings", amount="amount", **options)},
    )
    assert rule.check() == []
    return rule


def amounts(ledger):
    """What is left, oldest first."""
    return [str(amount) for amount in ledger.postings.order_by("pk").values_list("amount", flat=True)]


def test_whole_rows_go_and_the_last_is_reduced_to_the_last_digit():
    ledger = make_ledger("4.01", ["3.33", "3.33", "3.34"])
    report = repaired(trimmed())
    assert (report.status, report.changes) == ("clean", 2)
    assert amounts(ledger) == ["3.33", "0.68"]


def test_a_row_that_is_the_surplus_goes_as_a_whole():
    ledger = make_ledger(3, ["3", "2"])
    assert repaired(trimmed()).changes == 1
    assert amounts(ledger) == ["3.00"]


def test_a_surplus_of_everything_empties_the_master():
    ledger = make_ledger(0, ["3", "2"])
    assert repaired(trimmed()).status == "clean"
    assert amounts(ledger) == []


def test_a_master_without_a_surplus_is_left():
    right, less = make_ledger(5, ["5"]), make_ledger(9, ["5"])
    report = repaired(trimmed())
    assert (report.status, report.changes, report.rules[0].violations) == ("violated", 0, 1)
    assert (amounts(right), amounts(less)) == (["5.00"], ["5.00"])


def test_a_master_of_null_is_left_and_reported():
    ledger = make_ledger(None, ["5"])
    report = repaired(trimmed())
    assert (report.status, report.changes) == ("violated", 0)
    assert amounts(ledger) == ["5.00"]


def test_each_of_several_masters_loses_its_own_rows():
    one, other = make_ledger(1, ["1", "1"]), make_ledger(2, ["3", "1"])
    repaired(trimmed(order=["-amount"]))
    assert (amounts(one), amounts(other)) == (["1.00"], ["1.00", "1.00"])


def test_keys_narrow_a_trim():
    one, other = make_ledger(1, ["2"]), make_ledger(1, ["2"])
    repaired(trimmed(), keys=[(other.pk,)])
    assert (amounts(one), amounts(other)) == (["2.00"], ["1.00"])


def test_the_newest_go_first_without_an_order():
    ledger = make_ledger(3, ["1", "2", "3"])
    repaired(trimmed())
    assert amounts(ledger) == ["1.00", "2.00"]


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (["amount"], ["3.00"]),
        (["-amount"], ["2.00", "1.00"]),
        ([F("amount").asc()], ["3.00"]),
        ([F("amount").desc()], ["2.00", "1.00"]),
        ([Case(When(amount=2, then=Value(0)), default=Value(1)), "amount"], ["3.00"]),
        (["-note", "-amount"], ["2.00", "1.00"]),
    ],
)
def test_rows_go_in_the_declared_order(order, left):
    ledger = make_ledger(3, ["2", "1", "3"])
    repaired(trimmed(order=order))
    assert amounts(ledger) == left


def test_rows_of_nothing_are_never_touched():
    ledger = make_ledger(2, ["0", "3", "0"])
    assert repaired(trimmed()).changes == 1
    assert amounts(ledger) == ["0.00", "2.00", "0.00"]


def test_negative_rows_are_never_touched():
    ledger = make_ledger(5, ["10", "-3"])
    assert repaired(trimmed()).status == "clean"
    assert amounts(ledger) == ["8.00", "-3.00"]


def test_a_surplus_that_the_rows_cannot_cover_is_left_and_reported():
    account = make_ledger(-1, ["3"])
    report = repaired(trimmed())
    assert (report.status, report.changes, report.rules[0].violations) == ("violated", 0, 1)
    assert amounts(account) == ["3.00"]


def test_only_rows_that_the_rule_counts_are_taken():
    ledger = make_ledger(1, ["2"], note="counted")
    toy.Posting.objects.create(ledger=ledger, amount=7, note="other")
    rule = trimmed(equals=Sum("postings__amount", filter=Q(postings__note="counted")))
    assert repaired(rule).status == "clean"
    assert amounts(ledger) == ["1.00", "7.00"]


def test_a_filter_that_looks_at_the_master_is_respected():
    ledger = make_ledger(4, ["3", "5"], day=DAY)
    toy.Posting.objects.filter(amount=3).update(day=DAY - datetime.timedelta(1))
    toy.Ledger.objects.update(opened_at=datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC))
    rule = trimmed(equals=Sum("postings__amount", filter=Q(postings__day__gte=F("opened_at__date"))))
    assert repaired(rule).status == "clean"
    assert amounts(ledger) == ["3.00", "4.00"]


def test_a_row_that_the_filter_counts_no_more_once_it_is_reduced_is_refused():
    ledger = make_ledger(4, ["5"])
    rule = trimmed(equals=Sum("postings__amount", filter=Q(postings__amount__gt=F("total"))))
    report = repaired(rule)
    assert (report.status, report.changes, amounts(ledger)) == ("refused", 0, ["5.00"])
    assert f"would break {rule.label} at id {ledger.pk}" in report.rules[0].error


def test_what_other_terms_contribute_is_left():
    ledger = make_ledger(5, ["4"])
    toy.Slot.objects.create(ledger=ledger, amount=3)
    assert repaired(trimmed(equals=Sum("postings__amount") + Sum("slot__amount"))).status == "clean"
    assert (amounts(ledger), ledger.slot.amount) == (["2.00"], 3)


def test_a_second_trim_writes_nothing():
    make_ledger("4.01", ["3.33", "3.33", "3.34"])
    rule = trimmed()
    repaired(rule)
    assert (repaired(rule).changes, finds(rule)) == (0, {})


def test_an_undone_trim_leaves_no_trace():
    make_ledger("4.01", ["3.33", "3.33", "3.34"], note="by hand")
    make_ledger(0, ["1", "0.01"])
    before = contents()
    run = repaired(trimmed()).run
    assert contents() != before
    assert undo(run).status == "clean"
    assert contents() == before


def test_rows_that_refer_by_another_column_are_trimmed():
    region = toy.Region.objects.create(code="north", sales=1)
    toy.Sale.objects.bulk_create(toy.Sale(region=region, amount=amount) for amount in (1, 2))
    trim = Trim("sold", amount="amount")
    rule = declared(Derived, toy.Region, "sales", truth="column", equals=Sum("sold__amount"), repairs={"trim": trim})
    assert repaired(rule).status == "clean"
    assert [sale.amount for sale in region.sold.all()] == [1]


def test_uuid_keys_are_trimmed():
    box = toy.Box.objects.create(weight=1)
    toy.Item.objects.bulk_create(toy.Item(box=box, weight=weight) for weight in (1, 2))
    trim = Trim("items", amount="weight", order=["-weight"])
    rule = declared(
        Derived, toy.Box, "weight", truth="column", tolerance=1e-9, equals=Sum("items__weight"), repairs={"trim": trim}
    )
    assert repaired(rule).status == "clean"
    assert [item.weight for item in box.items.all()] == [1]


def test_evidence_is_shown_with_the_plan():
    make_ledger(0, ["3"], note="typo")
    (change,) = repaired(trimmed(evidence={"why": F("note")}), dry_run=True).rules[0].planned
    assert (change.op, change.old, change.evidence) == ("delete", {"amount": 3}, {"why": "typo"})


def test_a_plan_shows_old_and_new_values():
    make_ledger(1, ["3"])
    (change,) = repaired(trimmed(), dry_run=True).rules[0].planned
    assert (change.table, change.op, change.old, change.new) == ("toy_posting", "update", {"amount": 3}, {"amount": 1})
