"""Derived: found and not found, over every kind of relation."""

from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Avg, Count, F, Max, Min, Q, Sum

from integrity import Derived, Latest
from tests.integrity.helpers import declared, finds
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def make_account(amounts=(), **fields):
    account = toy.Account.objects.create(**fields)
    toy.Entry.objects.bulk_create(toy.Entry(account=account, amount=amount) for amount in amounts)
    return account


def derived(model, column=None, **options):
    rule = declared(Derived, model, column, **options)
    assert rule.check() == []
    return rule


def balance(**options):
    return derived(toy.Account, "balance", equals=Sum("entries__amount"), **options)


def test_a_sum_that_adds_up_is_clean():
    make_account([1, 2], balance=3)
    assert finds(balance()) == {}


def test_a_sum_that_does_not_add_up_is_found_with_both_values():
    account = make_account([1, 2], balance=4)
    assert finds(balance()) == {account.pk: (Decimal(4), Decimal(3))}


def test_a_stored_null_is_a_violation():
    account = make_account([1], balance=None)
    assert finds(balance()) == {account.pk: (None, Decimal(1))}


def test_a_sum_over_no_rows_is_zero():
    account = make_account(balance=5)
    assert finds(balance()) == {account.pk: (Decimal(5), Decimal(0))}


def test_a_sum_over_rows_of_null_is_zero():
    make_account([None], balance=0)
    assert finds(balance()) == {}


def test_rows_that_a_default_manager_hides_are_checked():
    account = make_account([1], balance=2, hidden=True)
    assert list(finds(balance())) == [account.pk]


def test_only_the_wrong_one_of_several_parents_is_found():
    make_account([1], balance=1)
    wrong = make_account([1], balance=2)
    assert list(finds(balance())) == [wrong.pk]


def test_a_difference_within_the_tolerance_is_clean():
    make_account([1], balance=Decimal("1.01"))
    assert finds(balance(tolerance=Decimal("0.01"))) == {}


def test_a_null_is_no_small_difference():
    account = make_account([1], balance=None)
    assert list(finds(balance(tolerance=Decimal(100)))) == [account.pk]


def test_nan_is_no_small_difference():
    account = make_account([1])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE toy_account SET balance = 'NaN'")
    assert list(finds(balance(tolerance=Decimal(100)))) == [account.pk]


def test_rows_outside_of_where_are_not_spoken_about():
    make_account([1], balance=2, name="old era")
    assert finds(balance(where=~Q(name="old era"))) == {}


def test_a_scope_of_keys_looks_at_those_alone():
    _, second = make_account([1], balance=2), make_account([1], balance=2)
    assert list(finds(balance(), keys=[(second.pk,)])) == [second.pk]


@pytest.mark.parametrize(
    ("column", "equals", "expected"),
    [
        ("entry_count", Count("entries"), 3),
        ("highest", Max("entries__amount"), Decimal(6)),
        ("highest", Min("entries__amount"), Decimal(1)),
        ("mean", Avg("entries__amount"), Decimal("3.33")),
        ("entry_count", Count("entries", filter=Q(entries__amount__gt=2)), 2),
        ("balance", Sum("entries__amount", filter=Q(entries__amount__gt=F("limit"))), Decimal(9)),
        ("balance", Sum("entries__amount") - Sum("entries__amount", filter=Q(entries__amount=1)), Decimal(9)),
        ("balance", Sum(F("entries__amount") * 2), Decimal(20)),
        ("last_amount", Latest("entries__amount", by=["entries__id"]), Decimal(6)),
        ("last_amount", Latest("entries__amount", by=["entries__id"], filter=Q(entries__amount__lt=6)), Decimal(3)),
    ],
)
def test_the_expected_value_follows_the_rows(column, equals, expected):
    account = make_account([1, 3, 6], limit=2, **{column: 77})
    assert finds(derived(toy.Account, column, equals=equals)) == {account.pk: (77, expected)}


@pytest.mark.parametrize("aggregate", [Max, Min, Avg])
def test_an_aggregate_over_no_rows_is_null_unless_it_has_a_default(aggregate):
    account = make_account(highest=1)
    rule = derived(toy.Account, "highest", equals=aggregate("entries__amount"))
    with_default = derived(toy.Account, "highest", equals=aggregate("entries__amount", default=Decimal(1)))
    assert finds(rule) == {account.pk: (1, None)}
    assert finds(with_default) == {}


def test_several_relations_are_added_without_multiplying_rows():
    account = make_account([1, 2], balance=0)
    toy.Hold.objects.create(account=account, amount=10)
    rule = derived(toy.Account, "balance", equals=Sum("entries__amount") + Sum("hold__amount"))
    assert finds(rule) == {account.pk: (0, Decimal(13))}


def test_a_reverse_one_to_one_may_be_read_without_an_aggregate():
    account = make_account([1, 2], balance=0)
    toy.Hold.objects.create(account=account, amount=10)
    rule = derived(toy.Account, "balance", equals=Sum("entries__amount") + F("hold__amount"))
    assert finds(rule) == {account.pk: (0, Decimal(13))}


def test_many_to_many_rows_are_summed():
    account = make_account(club_points=1)
    account.clubs.add(toy.Club.objects.create(points=3), toy.Club.objects.create(points=4))
    rule = derived(toy.Account, "club_points", equals=Sum("clubs__points"))
    assert finds(rule) == {account.pk: (1, 7)}


def test_many_to_many_rows_and_those_behind_them_are_summed():
    club = toy.Club.objects.create(points=0)
    account = make_account([2, 3], balance=0)
    account.clubs.add(club)
    rule = derived(toy.Club, "points", equals=Sum("accounts__entries__amount"))
    assert finds(rule) == {club.pk: (0, 5)}


def test_rows_behind_a_foreign_key_are_counted():
    branch = toy.Branch.objects.create(code="a")
    accounts = [make_account(branch=branch, branch_accounts=2) for _ in range(2)]
    wrong = make_account(branch=branch, branch_accounts=2)
    rule = derived(toy.Account, "branch_accounts", equals=Count("branch__accounts"))
    assert finds(rule, keys=[(wrong.pk,)]) == {wrong.pk: (2, 3)}
    assert set(finds(rule)) == {account.pk for account in [*accounts, wrong]}


def test_children_of_children_are_counted():
    account = make_account([1, 1])
    for entry in account.entries.all():
        toy.Part.objects.bulk_create([toy.Part(entry=entry), toy.Part(entry=entry)])
    rule = derived(toy.Account, "entry_count", equals=Count("entries__parts"))
    assert finds(rule) == {account.pk: (0, 4)}


def test_a_generic_relation_is_summed_by_type_and_id():
    account, branch = make_account(tag_weight=1), toy.Branch.objects.create(code="b")
    for target, weight in [(account, 2), (account, 3), (branch, 50)]:
        toy.Tag.objects.create(target=target, weight=weight)
    rule = derived(toy.Account, "tag_weight", equals=Sum("tags__weight"))
    assert finds(rule) == finds(rule, keys=[(account.pk,)]) == {account.pk: (1, 5)}


def test_a_generic_relation_finds_a_uuid_that_is_kept_as_text():
    box = toy.Box.objects.create()
    toy.Tag.objects.create(target=box, weight=5)
    rule = derived(toy.Box, "tag_weight", equals=Sum("tags__weight"))
    assert finds(rule) == finds(rule, keys=[(box.pk,)]) == {box.pk: (0, 5)}


def test_a_self_reference_counts_children_and_not_itself():
    root = toy.Node.objects.create(child_count=5)
    toy.Node.objects.create(parent=root)
    rule = derived(toy.Node, "child_count", equals=Count("children"))
    assert finds(rule) == finds(rule, keys=[(root.pk,)]) == {root.pk: (5, 1)}


def test_the_latest_of_a_self_reference_is_of_the_child():
    root = toy.Node.objects.create(own=1, total=0)
    toy.Node.objects.create(parent=root, own=9, total=0)
    rule = derived(toy.Node, "total", equals=Latest("children__own", by=["children__id"], default=0))
    assert finds(rule) == finds(rule, keys=[(root.pk,)]) == {root.pk: (0, 9)}


def test_uuid_keys_are_found_and_scoped():
    box, other = toy.Box.objects.create(), toy.Box.objects.create(item_count=7)
    toy.Item.objects.create(box=box)
    rule = derived(toy.Box, "item_count", equals=Count("items"))
    assert finds(rule) == {box.pk: (0, 1), other.pk: (7, 0)}
    assert finds(rule, keys=[(box.pk,)]) == {box.pk: (0, 1)}


def test_a_foreign_key_to_another_column_than_the_primary_key_is_followed():
    region = toy.Region.objects.create(code="north", sales=1)
    toy.Sale.objects.create(region=region, amount=4)
    rule = derived(toy.Region, "sales", equals=Sum("sold__amount"))
    assert finds(rule) == finds(rule, keys=[(region.pk,)]) == {region.pk: (1, 4)}


@pytest.mark.parametrize("keys", [None, "one"])
def test_the_latest_is_the_same_by_index_and_by_sort(keys):
    region = toy.Region.objects.create(code="north", sales=1)
    toy.Sale.objects.bulk_create(toy.Sale(region=region, amount=amount) for amount in (4, 8, 6))
    rule = derived(toy.Region, "sales", equals=Latest("sold__amount", by=["sold__amount"]))
    assert finds(rule, keys=keys and [(region.pk,)]) == {region.pk: (1, 8)}


def test_a_child_in_multi_table_inheritance_is_a_parent_of_rows():
    employee = toy.Employee.objects.create(name="a", hours=1)
    toy.Shift.objects.create(employee=employee, hours=6)
    rule = derived(toy.Employee, "hours", equals=Sum("shifts__hours"))
    assert finds(rule) == finds(rule, keys=[(employee.pk,)]) == {employee.pk: (1, 6)}


def test_floats_are_compared_with_their_tolerance():
    box = toy.Box.objects.create(weight=0.3)
    toy.Item.objects.bulk_create(toy.Item(box=box, weight=weight) for weight in (0.1, 0.2))
    assert finds(derived(toy.Box, "weight", equals=Sum("items__weight"), tolerance=1e-9)) == {}


def test_a_mean_is_compared_at_the_precision_of_its_column():
    make_account([1, 1, 2], mean=Decimal("1.33"))
    assert finds(derived(toy.Account, "mean", equals=Avg("entries__amount"))) == {}


def test_several_columns_of_one_formula_are_one_violation():
    account = make_account([1, 2], balance=3, entry_count=9)
    rule = derived(toy.Account, equals={"balance": Sum("entries__amount"), "entry_count": Count("entries")})
    assert finds(rule) == {account.pk: ((3, 9), (3, 2))}
