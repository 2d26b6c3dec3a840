"""Recompute: drifted values are put right, once, and only those."""

import datetime
from decimal import Decimal

import pytest
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now

from integrity import Derived, PerKey
from integrity.engine import accept, analyze, revoke
from integrity.exceptions import UnknownName, UsageError
from integrity.models import Change
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, finds, registered, repaired
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def balance(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), **options)


def entry_count(**options):
    return declared(Derived, toy.Account, "entry_count", equals=Count("entries"), **options)


def stored(account, *columns):
    return toy.Account._base_manager.values_list(*columns).get(pk=account.pk)


def make_chain(*owns, total=0):
    """Nodes below one another, the root first, of which every total is wrong."""
    node = None
    for own in owns:
        node = toy.Node.objects.create(parent=node, own=own, total=total)
    return toy.Node.objects.order_by("pk")


def totals(**options):
    return declared(Derived, toy.Node, "total", equals=F("own") + Sum("children__total"), **options)


def test_a_drifted_sum_is_set_to_what_the_rows_say():
    account = make_account([1, 2], balance=9)
    rule = balance()
    report = repaired(rule)
    assert (report.status, report.changes, report.rules[0].violations) == ("clean", 1, 0)
    assert stored(account, "balance") == (3,)
    assert finds(rule) == {}


def test_a_null_is_set():
    account = make_account([1, 2], balance=None)
    assert repaired(balance()).changes == 1
    assert stored(account, "balance") == (3,)


def test_a_value_may_become_null():
    account = make_account([1], highest=5)
    rule = declared(Derived, toy.Account, "highest", equals=Sum("entries__amount") * None)
    assert finds(rule) == {account.pk: (5, None)}
    assert repaired(rule).status == "clean"
    assert stored(account, "highest") == (None,)


def test_only_the_wrong_ones_of_several_are_written():
    right, wrong = make_account([1], balance=1), make_account([1], balance=2)
    repaired(balance())
    assert list(Change.objects.values_list("key", flat=True)) == [{"id": str(wrong.pk)}]
    assert stored(right, "balance") == (1,)


def test_a_hidden_row_is_repaired():
    account = make_account([1], balance=2, hidden=True)
    assert repaired(balance()).changes == 1
    assert stored(account, "balance") == (1,)


def test_a_second_repair_writes_nothing():
    make_account([1, 2], balance=9)
    rule = balance()
    repaired(rule)
    second = repaired(rule)
    assert (second.status, second.changes, second.rules[0].checked) == ("clean", 0, 1)


def test_an_undone_repair_leaves_no_trace():
    make_account([1, 2], balance=9, name="a")
    make_account([Decimal("1.10")], balance=None)
    before = contents(toy.Account, toy.Entry)
    run = repaired(balance()).run
    assert contents(toy.Account, toy.Entry) != before
    assert undo(run).status == "clean"
    assert contents(toy.Account, toy.Entry) == before


def test_uuid_keys_are_repaired_and_undone():
    box = toy.Box.objects.create(item_count=7)
    toy.Item.objects.create(box=box)
    before = contents(toy.Box)
    run = repaired(declared(Derived, toy.Box, "item_count", equals=Count("items"))).run
    box.refresh_from_db()
    assert box.item_count == 1
    undo(run)
    assert contents(toy.Box) == before


def test_a_child_in_multi_table_inheritance_is_repaired_and_undone():
    employee = toy.Employee.objects.create(name="a", hours=1)
    toy.Shift.objects.create(employee=employee, hours=6)
    before = contents(toy.Person, toy.Employee)
    run = repaired(declared(Derived, toy.Employee, "hours", equals=Sum("shifts__hours"))).run
    employee.refresh_from_db()
    assert employee.hours == 6
    undo(run)
    assert contents(toy.Person, toy.Employee) == before


def test_several_columns_of_one_formula_are_written_together():
    account = make_account([1, 2], balance=9, entry_count=9)
    equals = {"balance": Sum("entries__amount"), "entry_count": Count("entries")}
    assert repaired(declared(Derived, toy.Account, equals=equals)).changes == 1
    assert stored(account, "balance", "entry_count") == (3, 2)


def test_a_stamp_is_set_with_the_value():
    account = make_account([1, 2], balance=9)
    repaired(balance(stamps={"touched_at": Now()}))
    assert stored(account, "touched_at")[0] is not None


def test_a_stamp_alone_is_no_violation():
    account = make_account([1, 2], balance=3)
    assert repaired(balance(stamps={"touched_at": Now()})).changes == 0
    assert stored(account, "touched_at") == (None,)


def test_a_stamp_may_follow_the_row():
    account = make_account([1, 2], balance=9, limit=7)
    repaired(balance(stamps={"highest": F("limit")}))
    assert stored(account, "balance", "highest") == (3, 7)


def test_an_undo_takes_the_stamp_back():
    account = make_account([1, 2], balance=9)
    undo(repaired(balance(stamps={"touched_at": Now()})).run)
    assert stored(account, "balance", "touched_at") == (9, None)


def test_rows_outside_of_where_are_left():
    account = make_account([1], balance=2, name="old era")
    make_account([1], balance=1)
    assert repaired(balance(where=~Q(name="old era"))).changes == 0
    assert stored(account, "balance") == (2,)


def test_keys_narrow_a_repair():
    first, second = make_account([1], balance=2), make_account([1], balance=2)
    assert repaired(balance(), keys=[(second.pk,)]).changes == 1
    assert (stored(first, "balance"), stored(second, "balance")) == ((2,), (1,))


def test_a_difference_within_the_tolerance_is_left():
    account = make_account([1], balance=Decimal("1.01"))
    assert repaired(balance(tolerance=Decimal("0.01"))).changes == 0
    assert stored(account, "balance") == (Decimal("1.01"),)


def test_a_mean_comes_to_rest_at_the_precision_of_its_column():
    make_account([1, 1, 2], mean=0)
    rule = declared(Derived, toy.Account, "mean", equals=Sum("entries__amount") / Count("entries"))
    assert repaired(rule).changes == 1
    assert repaired(rule).changes == 0


def test_values_from_a_query_of_keys_are_repaired():
    account = make_account([1, 2], balance=9)
    rows = toy.Entry.objects.values(key=F("account_id")).annotate(value=Sum("amount"))
    assert repaired(declared(Derived, toy.Account, "balance", equals=PerKey(rows, reads=[toy.Entry]))).changes == 1
    assert stored(account, "balance") == (3,)


# Chains and circles


def test_totals_of_totals_converge():
    nodes = make_chain(1, 2, 3, 4)
    rule = totals()
    report = repaired(rule)
    assert (report.status, finds(rule)) == ("clean", {})
    assert [node.total for node in nodes] == [10, 9, 7, 4]


def test_totals_of_totals_are_taken_back():
    make_chain(1, 2, 3, 4)
    before = contents(toy.Node)
    assert undo(repaired(totals()).run).status == "clean"
    assert contents(toy.Node) == before


def test_a_chain_that_is_too_long_to_converge_is_not_called_clean(monkeypatch):
    make_chain(*[1] * 6)
    rule = totals()
    monkeypatch.setattr("integrity.repairing.rule_repair.MAX_PASSES", 2)
    report = repaired(rule)
    assert (report.status, report.exit_code) == ("partial", 3)
    assert report.rules[0].violations == len(finds(rule)) > 0


def test_a_circle_of_rows_never_comes_to_rest_and_says_so(monkeypatch):
    first, second = make_chain(1, 1)
    toy.Node.objects.filter(pk=first.pk).update(parent=second)
    monkeypatch.setattr("integrity.repairing.rule_repair.MAX_PASSES", 3)
    report = repaired(totals())
    assert report.status == "partial"
    assert "3 passes" in report.rules[0].reasons[0]


def test_rules_are_repaired_in_the_order_of_what_they_read():
    account = make_account([1, 2], balance=0, highest=0)
    follows = declared(Derived, toy.Account, "highest", equals=F("balance") + Count("entries"))
    source = balance()
    with registered(follows, source):
        report = repair([(follows, None), (source, None)])
    assert [rule.rule for rule in report.rules] == [source.label, follows.label]
    assert stored(account, "balance", "highest") == (3, 5)


def test_a_circle_of_repairs_is_refused():
    make_account([1], balance=0)
    one = declared(Derived, toy.Account, "balance", equals=F("highest") + Sum("entries__amount"), name="one")
    two = declared(Derived, toy.Account, "highest", equals=F("balance") + Sum("entries__amount"), name="two")
    with registered(one, two), pytest.raises(UsageError, match=r"toy\.(one|two) -> toy\.(one|two)"):
        repair([(one, None), (two, None)])
    assert not Change.objects.exists()


def test_evidence_makes_no_circle():
    make_account([1, 2], balance=0, entry_count=0)
    one, two = balance(evidence={"n": F("entry_count")}), entry_count(evidence={"b": F("balance")})
    with registered(one, two):
        assert repair([(one, None), (two, None)]).changes == 2


def test_a_rule_given_twice_is_refused():
    rule = balance()
    with registered(rule), pytest.raises(UsageError, match="given twice"):
        repair([(rule, None), (rule, "recompute")])


def test_an_unknown_strategy_lists_the_known_ones():
    rule = balance(name="a")
    with (
        registered(rule),
        pytest.raises(UnknownName, match=r"Unknown strategy for toy\.a: 'trim'\. Known: recompute\."),
    ):
        repair([(rule, "trim")])


# What is left alone


def test_young_rows_are_reported_and_not_repaired():
    now = datetime.datetime.now(datetime.UTC)
    young = make_account([1], balance=2, touched_at=now)
    old = make_account([1], balance=2, touched_at=now - datetime.timedelta(days=1))
    unknown = make_account([1], balance=2)
    rule = balance(settle={"touched_at": datetime.timedelta(hours=1)})
    assert set(finds(rule)) == {young.pk, old.pk, unknown.pk}
    report = repaired(rule)
    assert (report.status, report.changes, report.rules[0].violations) == ("violated", 2, 1)
    assert set(finds(rule)) == {young.pk}


def test_a_table_that_is_gone_by_design_retires_its_rule():
    rule = declared(Derived, toy.Box, "item_count", equals=Count("items"), while_exists=True)
    execute("DROP TABLE toy_item")
    assert analyze([rule]).rules[0].status == "retired"
    assert (repaired(rule).rules[0].status, repaired(rule).exit_code) == ("retired", 0)


def test_a_retired_rule_does_not_stand_in_the_way_of_another():
    account = make_account([1, 2], balance=9)
    retired = declared(Derived, toy.Account, "club_points", equals=Sum("notes__amount"), while_exists=True)
    execute("DROP TABLE toy_note")
    with registered(retired):
        assert repaired(balance()).status == "clean"
    assert stored(account, "balance") == (3,)


def test_an_accepted_exception_is_neither_counted_nor_repaired():
    account = make_account([1], balance=2)
    rule = balance()
    analyze([rule])
    accept(rule, (account.pk,), by="an auditor", because="Written off.")
    report = analyze([rule]).rules[0]
    assert (report.status, report.violations, report.accepted) == ("clean", 0, 1)
    assert repaired(rule).changes == 0
    assert stored(account, "balance") == (2,)


def test_an_exception_that_has_expired_counts_again():
    account = make_account([1], balance=2)
    rule = balance()
    analyze([rule])
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    accepted = accept(rule, (account.pk,), by="an auditor", because="Until the audit.", until=tomorrow)
    type(accepted).objects.update(accepted_until=tomorrow - datetime.timedelta(days=2))
    assert list(finds(rule)) == [account.pk]
    assert repaired(rule).changes == 1


def test_a_revoked_exception_counts_again():
    account = make_account([1], balance=2)
    rule = balance()
    analyze([rule])
    accept(rule, (account.pk,), by="an auditor", because="Written off.")
    revoke(rule, (account.pk,))
    assert list(finds(rule)) == [account.pk]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"because": " "}, "for a reason"),
        (
            {"because": "a", "until": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
            "2020-01-01 00:00 UTC, which is past",
        ),
        ({"because": "a"}, r"toy\.a has no stored violation at id 1\. Run: manage\.py integrity analyze toy\.a"),
    ],
)
def test_an_exception_that_cannot_be_accepted_says_why(options, message):
    with pytest.raises(UsageError, match=message):
        accept(balance(name="a"), (1,), by="an auditor", **options)


def test_what_was_never_accepted_cannot_be_revoked():
    with pytest.raises(UsageError, match=r"toy\.a has no accepted exception at id 1\."):
        revoke(balance(name="a"), (1,))


def test_an_exception_of_a_composite_key_is_accepted():
    toy.Line.objects.create(order="1", number="11", shipped=2)
    rule = declared(Derived, toy.Line, "shipped", equals=F("quantity"))
    analyze([rule])
    accept(rule, ("1", "11"), by="an auditor", because="Written off.")
    assert finds(rule) == {}
