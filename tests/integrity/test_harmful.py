"""Which other rules a repair looks at before and after it writes: every one that the write can harm, and no other."""

import pytest
from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.db.models.expressions import RawSQL

from integrity import Always, Derived, Ordered, Recompute, References, Trim, Unique
from tests.integrity.helpers import declared, execute, registered, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_trim import make_ledger, trimmed
from tests.integrity.test_unique import make_entries
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def looks_at(other, repair):
    """How often a rule was looked at while a repair wrote."""
    looks, violations = [], other.violations
    other.violations = lambda *scope: looks.append(scope) or violations(*scope)
    with registered(other):
        assert repair().changes == 1
    return len(looks)


def one_is_deleted():
    posting = make_ledger(0, [5]).postings.get()
    toy.Shipment.objects.create(quantity=posting.pk)
    toy.Receipt.objects.create(posting=make_ledger(0, []).postings.create(amount=0))
    return repaired(trimmed())


def a_balance_is_written(**options):
    make_entries(3, account=make_account(balance=9))
    right = Recompute(**options)
    return repaired(
        declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), repairs={"right": right}), "right"
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda: declared(Always, toy.Posting, Q(amount__gte=0)),
        lambda: declared(Always, toy.Posting, Q(amount__gte=0), where=Q(ledger__total__gte=0)),
        lambda: declared(Unique, toy.Posting, by=["id", "amount"]),
        lambda: declared(References, toy.Posting, "ledger"),
        lambda: declared(Derived, toy.Posting, "correction", equals=Q(amount__lt=0)),
    ],
    ids=["a condition", "a condition of some rows", "a key", "a reference", "a value of its own row"],
)
def test_a_delete_is_not_looked_at_for_what_each_row_says_by_itself(other):
    assert looks_at(other(), one_is_deleted) == 0


@pytest.mark.parametrize(
    "other",
    [
        lambda: declared(Derived, toy.Ledger, "total", equals=Count("postings"), tolerance=9),
        lambda: declared(References, toy.Shipment, "quantity", to=toy.Posting, where=Q(quantity__lt=0)),
        lambda: declared(Ordered, toy.Posting, "amount", along=["day"], within="ledger"),
        lambda: declared(Always, toy.Posting, ~Exists(toy.Receipt.objects.filter(posting=OuterRef("pk")))),
        lambda: declared(Unique, toy.Posting, by=["id"], where=Q(pk__in=RawSQL("SELECT id FROM toy_posting", []))),
    ],
    ids=["a total", "a number", "a sequence", "a subquery", "SQL"],
)
def test_a_delete_is_looked_at_for_what_other_rows_say_of_the_one_that_goes(other):
    assert looks_at(other(), one_is_deleted) > 0


def test_a_delete_that_would_leave_a_number_of_another_table_dangling_is_refused():
    posting = make_ledger(0, [5]).postings.get()
    toy.Shipment.objects.create(quantity=posting.pk)
    refuses(declared(References, toy.Shipment, "quantity", to=toy.Posting), trimmed())


def test_a_delete_that_would_leave_a_number_of_the_same_table_dangling_is_refused():
    child = toy.Node.objects.create(parent=toy.Node.objects.create(), own=5)
    toy.Node.objects.create(child_count=child.pk)
    trim = Trim("children", amount="own")
    rule = declared(Derived, toy.Node, "total", truth="column", equals=Sum("children__own"), repairs={"trim": trim})
    refuses(declared(References, toy.Node, "child_count", to=toy.Node, where=Q(child_count__gt=0)), rule)


def refuses(other, rule):
    with registered(other):
        report = repaired(rule)
    assert (report.status, report.changes) == ("refused", 0)
    assert f"would break {other.label}" in report.rules[0].error


@pytest.mark.parametrize(
    "other",
    [
        lambda: declared(Always, toy.Account, Q(limit__gte=0)),
        lambda: declared(Unique, toy.Account, by=["id", "name"]),
        lambda: declared(References, toy.Account, "branch"),
        lambda: declared(Derived, toy.Branch, "rate", equals=Sum("accounts__limit")),
    ],
    ids=["a condition", "a key", "a reference", "a total"],
)
def test_an_update_is_not_looked_at_for_rules_that_do_not_read_the_column(other):
    assert looks_at(other(), a_balance_is_written) == 0


@pytest.mark.parametrize(
    "other",
    [
        lambda: declared(Always, toy.Account, Q(balance__gte=0)),
        lambda: declared(Unique, toy.Account, by=["id", "balance"]),
        lambda: declared(Always, toy.Account, Q(limit__gte=0), where=Q(balance__gte=0)),
        lambda: declared(Always, toy.Account, Q(Exists(toy.Account.objects.filter(balance=OuterRef("balance"))))),
    ],
    ids=["a condition", "a key", "where", "a subquery"],
)
def test_an_update_is_looked_at_for_rules_that_read_the_column(other):
    assert looks_at(other(), a_balance_is_written) > 0


def test_an_update_is_looked_at_for_a_column_that_the_database_computes():
    execute(
        'ALTER TABLE toy_account DROP COLUMN "limit"',
        'ALTER TABLE toy_account ADD "limit" numeric(12, 2) GENERATED ALWAYS AS (balance * 2) STORED',
        "INSERT INTO toy_account (name, hidden, balance, entry_count, tag_weight, club_points, branch_accounts)"
        " VALUES ('', false, 9, 0, 0, 0, 0)",
    )
    make_entries(3, account=toy.Account.objects.get())
    balance = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))
    assert looks_at(declared(Always, toy.Account, Q(limit__gte=0)), lambda: repaired(balance)) > 0


def test_nothing_is_taken_for_harmless_where_a_trigger_of_somebody_else_may_fire():
    other = declared(Always, toy.Account, Q(limit__gte=0))
    assert looks_at(other, lambda: a_balance_is_written(allow_triggers=["audit"])) > 0
