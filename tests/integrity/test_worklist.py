"""Many batches of repetitions: the rows of all keys are found once, and looked at again when their turn comes."""

from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Lower

from integrity.engine import accept, analyze
from integrity.models import Violation
from integrity.repairing.worklist import Listed
from tests.integrity.helpers import registered
from tests.integrity.others import Other
from tests.integrity.test_concurrency import At
from tests.integrity.test_derived import make_account
from tests.integrity.test_unique import keep_one, make_entries, unique
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 1, "WINDOW_KEYS": 10, "MAX_AFFECTED_ROWS": 100}


@pytest.fixture
def then(monkeypatch):
    """Does something when the rows are known and none is locked."""
    list_rows = Listed.list_rows

    def arrange(do):
        def of(listed):
            list_rows(listed)
            do()

        monkeypatch.setattr(Listed, "list_rows", of)

    return arrange


def amounts():
    return sorted(toy.Entry.objects.values_list("amount", flat=True))


def test_every_key_is_left_with_one_row():
    make_entries(1, 1, 2, 2, 2, None, None)
    report = keep_one(unique(toy.Entry, ["amount"], keep="id"))
    assert (report.status, report.changes, toy.Entry.objects.count()) == ("clean", 4, 3)


def test_a_row_that_has_got_another_key_is_kept(then):
    *_, second = make_entries(1, 1, 2, 2)
    rule = unique(toy.Entry, ["amount"], keep="id")
    then(lambda: toy.Entry.objects.filter(pk=second.pk).update(amount=7))
    report = keep_one(rule)
    assert (report.status, amounts()) == ("clean", [1, 2, 7])


def test_a_row_that_has_got_the_key_of_another_one_is_left_to_the_next_repair(then):
    _, _, first, second = make_entries(1, 1, 2, 2)
    rule = unique(toy.Entry, ["amount"], keep="id")
    then(lambda: toy.Entry.objects.filter(pk__in=[first.pk, second.pk]).update(amount=7))
    assert keep_one(rule).changes == 1
    assert amounts() == [1, 7, 7]
    assert keep_one(rule).changes == 1


def test_a_row_that_is_gone_is_not_waited_for(then):
    *_, second = make_entries(1, 1, 2, 2)
    rule = unique(toy.Entry, ["amount"], keep="id")
    then(lambda: toy.Entry.objects.filter(pk=second.pk).delete())
    report = keep_one(rule)
    assert (report.status, report.changes, amounts()) == ("clean", 1, [1, 2])


def test_a_row_that_the_rule_speaks_of_no_more_is_kept(then):
    *_, second = make_entries(1, 1, 2, 2)
    rule = unique(toy.Entry, ["amount"], keep="id", where=Q(void=False))
    then(lambda: toy.Entry.objects.filter(pk=second.pk).update(void=True))
    report = keep_one(rule)
    assert (report.status, report.changes, amounts()) == ("clean", 1, [1, 2, 2])


def test_accepted_keys_are_left():
    make_entries(1, 1, 2, 2, None, None)
    rule = unique(toy.Entry, ["amount"], keep="id")
    with registered(rule):
        analyze([rule])
        for amount in (Decimal("2.00"), None):
            accept(rule, (amount,), by="ann", because="they are two")
    assert keep_one(rule).changes == 1
    assert sorted(map(str, toy.Entry.objects.values_list("amount", flat=True))) == [
        "1.00",
        "2.00",
        "2.00",
        "None",
        "None",
    ]


def test_what_was_recorded_is_resolved():
    make_entries(1, 1, 2, 2, None, None)
    rule = unique(toy.Entry, ["amount"], keep="id")
    with registered(rule):
        analyze([rule])
    keep_one(rule)
    assert set(Violation.objects.values_list("status", flat=True)) == {"resolved"}


def test_the_brake_counts_all_rows_before_any_is_deleted(settings):
    settings.INTEGRITY = settings.INTEGRITY | {"MAX_AFFECTED_ROWS": 3}
    make_entries(1, 1, 2, 2, 2, 3, 3)
    report = keep_one(unique(toy.Entry, ["amount"], keep="id"))
    assert (report.status, report.changes) == ("refused", 0)
    assert "4 rows of toy_entry would be written" in report.rules[0].error


def test_rows_whose_primary_key_is_no_number_are_listed():
    rows = toy.Item.objects.bulk_create(
        toy.Item(box=box, weight=weight) for box in [toy.Box.objects.create()] for weight in (1, 1, 2, 2, 2)
    )
    report = keep_one(unique(toy.Item, ["box", "weight"], keep="id"))
    assert (report.changes, set(toy.Item.objects.values_list("weight", flat=True))) == (len(rows) - 2, {1, 2})


def test_an_expression_is_listed():
    for name in ("Ada", "ADA", "Bob", "BOB", "bob"):
        make_account(name=name)
    assert keep_one(unique(toy.Account, [Lower("name")], keep="id")).changes == 3


def test_children_of_listed_rows_are_pointed_at_the_kept_ones():
    entries = make_entries(1, 1, 2, 2)
    for entry in entries:
        toy.Part.objects.create(entry=entry)
    report = keep_one(unique(toy.Entry, ["amount"], keep="id"))
    assert (report.status, report.changes) == ("clean", 4)
    assert set(toy.Part.objects.values_list("entry", flat=True)) == {entries[0].pk, entries[2].pk}


def test_a_dry_run_leaves_no_list_behind():
    make_entries(1, 1, 2, 2)
    assert keep_one(unique(toy.Entry, ["amount"], keep="id"), dry_run=True).changes == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^integrity_(keys|rows)_'")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_a_key_of_which_a_row_is_held_is_tried_again(then):
    *_, held = make_entries(1, 1, 2, 2)
    rule = unique(toy.Entry, ["amount"], keep="id")
    with Other() as other:
        then(lambda: other.begin("UPDATE toy_entry SET void = true WHERE id = %s", [held.pk]))
        observer = At("committed", other.commit)
        report = keep_one(rule, observer=observer)
    assert (report.status, amounts()) == ("clean", [1, 2])


@pytest.fixture
def pooled(monkeypatch):
    """Behind a pooler that changes sessions between transactions, where no list outlives one."""
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", value=True)
    monkeypatch.delattr(Listed, "list_rows")
    monkeypatch.delattr(Listed, "drop")


def test_behind_a_pooler_every_key_is_left_with_one_row(pooled, settings):
    settings.INTEGRITY |= {"WINDOW_KEYS": 2}
    make_entries(1, 1, 2, 2, 2, 3, 3, None, None)
    report = keep_one(unique(toy.Entry, ["amount", "at"], keep="id"))
    assert (report.status, report.changes, toy.Entry.objects.count()) == ("clean", 5, 4)


def test_behind_a_pooler_a_dry_run_plans_the_same(pooled):
    make_entries(1, 1, 2, 2, None, None)
    report = keep_one(unique(toy.Entry, ["amount"], keep="id"), dry_run=True)
    assert (report.status, report.changes, toy.Entry.objects.count()) == ("violated", 3, 6)


def test_behind_a_pooler_the_brake_measures_all_keys_before_the_first(pooled, settings):
    settings.INTEGRITY |= {"MAX_AFFECTED_ROWS": 1, "MAX_AFFECTED_SHARE": 0, "WINDOW_KEYS": 2}
    make_entries(1, 1, 2, 2, 3, 3)
    report = keep_one(unique(toy.Entry, ["amount"], keep="id"))
    assert (report.status, report.changes) == ("refused", 0)
    assert "3 rows of toy_entry would be written" in report.rules[0].error
