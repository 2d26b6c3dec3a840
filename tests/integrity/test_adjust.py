"""Adjust: one row is written for what the rows lack of their master."""

import datetime
from decimal import Decimal

import pytest
from django.db.models import F, Q, Sum

from integrity import Adjust, Derived, Trim
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, finds, repaired
from tests.integrity.test_trim import amounts, make_ledger
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

DAY = datetime.date(2026, 3, 2)


def adjusted(*others, equals=None, relation="postings", **row):
    steps = [*others, Adjust(relation, amount="amount", row=row)]
    equals = equals or Sum(f"{relation}__amount")
    rule = declared(Derived, toy.Ledger, "total", truth="column", equals=equals, repairs={"adjust": steps})
    assert rule.check() == []
    return rule


def test_a_row_of_what_is_missing_is_added():
    ledger = make_ledger("10.01", ["3.33"])
    report = repaired(adjusted())
    assert (report.status, report.changes) == ("clean", 1)
    assert amounts(ledger) == ["3.33", "6.68"]


def test_a_master_without_rows_gets_its_first():
    ledger = make_ledger(10)
    repaired(adjusted())
    assert amounts(ledger) == ["10.00"]


def test_a_master_with_a_surplus_is_left():
    right, more = make_ledger(5, ["5"]), make_ledger(1, ["5"])
    report = repaired(adjusted())
    assert (report.status, report.changes) == ("violated", 0)
    assert (amounts(right), amounts(more)) == (["5.00"], ["5.00"])


def test_each_of_several_masters_gets_its_own_row():
    one, other = make_ledger(1), make_ledger(2, ["1.5"])
    assert repaired(adjusted()).changes == 2
    assert (amounts(one), amounts(other)) == (["1.00"], ["1.50", "0.50"])


def test_a_new_row_has_what_is_declared_and_the_model_s_defaults():
    make_ledger(10)
    before = datetime.datetime.now(datetime.UTC)
    repaired(adjusted(day=DAY, correction=True))
    posting = toy.Posting.objects.get()
    assert (posting.day, posting.correction, posting.note) == (DAY, True, "posted")
    assert posting.made_at >= before


def test_a_value_may_follow_the_master():
    ledger = make_ledger(10)
    ledger.opened_at = datetime.datetime(2020, 5, 6, tzinfo=datetime.UTC)
    ledger.save()
    repaired(adjusted(day=F("opened_at__date")))
    assert toy.Posting.objects.get().day == datetime.date(2020, 5, 6)


def test_each_new_row_has_a_key_of_its_own():
    boxes = [toy.Box.objects.create(weight=1) for _ in range(3)]
    adjust = Adjust("items", amount="weight", row={})
    rule = declared(
        Derived,
        toy.Box,
        "weight",
        truth="column",
        tolerance=1e-9,
        equals=Sum("items__weight"),
        repairs={"adjust": adjust},
    )
    assert (repaired(rule).changes, finds(rule)) == (3, {})
    assert len({item.pk for item in toy.Item.objects.all()}) == len(boxes)


def test_an_existing_row_with_the_same_unique_columns_is_added_to():
    ledger = make_ledger(10, ["3"], day=DAY, correction=True)
    assert repaired(adjusted(day=DAY, correction=True)).changes == 1
    assert amounts(ledger) == ["10.00"]


def test_an_existing_row_keeps_what_else_it_says():
    make_ledger(10, ["3"], day=DAY, correction=True, note="by hand")
    repaired(adjusted(day=DAY, correction=True, note="adjusted"))
    assert toy.Posting.objects.values_list("amount", "note").get() == (10, "by hand")


def test_a_row_that_the_unique_condition_leaves_out_is_not_added_to():
    ledger = make_ledger(10, ["3", "3"], day=DAY, correction=False)
    assert repaired(adjusted(day=DAY, correction=False)).status == "clean"
    assert amounts(ledger) == ["3.00", "3.00", "4.00"]


def test_rows_of_unknown_day_are_no_second_ones():
    ledger = make_ledger(10, ["3", "3"], day=None, correction=True)
    assert repaired(adjusted(day=None, correction=True)).status == "clean"
    assert amounts(ledger) == ["3.00", "3.00", "4.00"]


def test_the_one_row_of_a_one_to_one_is_added_to():
    ledger = toy.Ledger.objects.create(total=10)
    slot = toy.Slot.objects.create(ledger=ledger, amount=3)
    assert repaired(adjusted(relation="slot")).status == "clean"
    slot.refresh_from_db()
    assert slot.amount == 10


def test_a_one_to_one_without_a_row_gets_one():
    ledger = toy.Ledger.objects.create(total=10)
    repaired(adjusted(relation="slot"))
    assert toy.Slot.objects.values_list("ledger", "amount").get() == (ledger.pk, 10)


def test_a_key_without_a_value_for_a_required_column_is_left():
    ledger = make_ledger(10)
    rule = adjusted(note=F("slot__ledger__total"))
    report = repaired(rule)
    assert (report.status, report.changes) == ("violated", 0)
    assert amounts(ledger) == []


def test_a_row_that_the_rule_would_not_count_is_refused():
    make_ledger(10, ["3"])
    rule = adjusted(equals=Sum("postings__amount", filter=Q(postings__correction=True)), correction=False)
    before = contents()
    report = repaired(rule)
    assert report.status == "refused"
    assert "the rule does not count such rows" in report.rules[0].error
    assert contents() == before


def test_a_second_adjustment_writes_nothing():
    make_ledger(10, ["3"])
    rule = adjusted(correction=True, day=DAY)
    repaired(rule)
    assert repaired(rule).changes == 0


def test_an_undone_adjustment_leaves_no_trace():
    make_ledger(10, ["3"])
    make_ledger(10, ["3"], day=DAY, correction=True)
    before = contents()
    run = repaired(adjusted(day=DAY, correction=True)).run
    assert undo(run).status == "clean"
    assert contents() == before


def test_surplus_and_lack_are_repaired_by_one_strategy():
    more, less = make_ledger(4, ["3", "3"]), make_ledger(4, ["3"])
    rule = adjusted(Trim("postings", amount="amount"), correction=True)
    assert repaired(rule).changes == 2
    assert (amounts(more), amounts(less)) == (["3.00", "1.00"], ["3.00", "1.00"])


def test_a_strategy_of_two_is_undone_as_one():
    make_ledger(4, ["3", "3"])
    make_ledger(4, ["3"])
    before = contents()
    undo(repaired(adjusted(Trim("postings", amount="amount"), correction=True)).run)
    assert contents() == before


def test_a_new_row_that_a_constraint_refuses_is_skipped_and_the_others_are_written(settings):
    settings.INTEGRITY = {"LOCK_RETRIES": 1}
    big, small = make_ledger(1000), make_ledger(10)
    execute("ALTER TABLE toy_posting ADD CONSTRAINT small CHECK (amount < 100)")
    report = repaired(adjusted())
    assert (report.status, report.changes, report.rules[0].skipped) == ("partial", 1, 1)
    assert "small" in report.rules[0].reasons[0]
    assert (amounts(big), amounts(small)) == ([], ["10.00"])


def test_an_amount_of_null_counts_as_nothing():
    account = toy.Account.objects.create(balance=Decimal(5))
    toy.Entry.objects.create(account=account, amount=None)
    rule = declared(
        Derived,
        toy.Account,
        "balance",
        truth="column",
        equals=Sum("entries__amount"),
        repairs={"adjust": Adjust("entries", amount="amount", row={})},
    )
    assert repaired(rule).status == "clean"
    assert sorted(account.entries.values_list("amount", flat=True), key=str) == [Decimal(5), None]
