"""Unique and KeepOne: what is said twice is found, and one of it stays."""

import datetime

import pytest
from django.db.models import Case, Count, F, When
from django.db.models.functions import Lower

from integrity import Merge, Unique
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def unique(model, by, **options):
    rule = declared(Unique, model, by=by, **options)
    assert rule.check() == []
    return rule


def keep_one(rule, **options):
    with registered(rule):
        return repair([(rule, "keep_one")], **options)


def make_entries(*amounts, account=None):
    account = account or make_account()
    return [toy.Entry.objects.create(account=account, amount=amount, at=DAY) for amount in amounts]


def test_rows_that_differ_are_clean():
    make_entries(1, 2)
    assert finds(unique(toy.Entry, ["account", "amount"])) == {}


def test_a_key_that_occurs_twice_is_found_with_its_count():
    first, *_ = make_entries(1, 1, 2)
    assert finds(unique(toy.Entry, ["account", "amount"])) == {(first.account_id, 1): (2, 1)}


def test_null_says_the_same_as_null():
    first, _ = make_entries(None, None)
    rule = unique(toy.Entry, ["account", "amount"])
    assert finds(rule) == finds(rule, keys=[(first.account_id, None)]) == {(first.account_id, None): (2, 1)}


def test_an_expression_may_be_unique():
    for name in ("Ada", "ADA", "Bob"):
        make_account(name=name)
    assert finds(unique(toy.Account, [Lower("name")])) == {"ada": (2, 1)}


def test_keys_that_look_the_same_as_text_differ():
    toy.Line.objects.create(order="1", number="11")
    toy.Line.objects.create(order="11", number="1")
    assert finds(unique(toy.Line, ["order", "number"])) == {}


@pytest.mark.parametrize(("keep", "kept"), [("id", 0), ("-id", 2), ("at", 2), (F("void").desc(), 1)])
def test_the_row_that_keep_puts_first_stays(keep, kept):
    entries = make_entries(5, 5, 5)
    toy.Entry.objects.filter(pk=entries[1].pk).update(void=True)
    toy.Entry.objects.filter(pk=entries[2].pk).update(at=DAY - datetime.timedelta(1))
    report = keep_one(unique(toy.Entry, ["account", "amount"], keep=keep))
    assert (report.status, report.changes) == ("clean", 2)
    assert toy.Entry.objects.get() == entries[kept]


def test_a_repeated_null_key_is_repaired_once_and_undone():
    entries = make_entries(None, None, 3)
    rule = unique(toy.Entry, ["account", "amount"], keep="id")
    first = keep_one(rule)
    assert (first.changes, keep_one(rule).changes, toy.Entry.objects.count()) == (1, 0, 2)
    with registered(rule):
        undo(first.run)
    assert set(toy.Entry.objects.values_list("pk", flat=True)) == {entry.pk for entry in entries}


def test_children_are_pointed_at_the_kept_row():
    entries = make_entries(5, 5)
    part = toy.Part.objects.create(entry=entries[1])
    keep_one(unique(toy.Entry, ["account", "amount"], keep="id"))
    part.refresh_from_db()
    assert part.entry == entries[0]


def test_generic_and_many_to_many_rows_are_pointed_at_the_kept_row():
    kept, gone = make_account(name="a"), make_account(name="a")
    shared, own = toy.Club.objects.create(), toy.Club.objects.create()
    kept.clubs.add(shared)
    gone.clubs.add(shared, own)
    tag = toy.Tag.objects.create(target=gone, weight=1)
    report = keep_one(unique(toy.Account, ["name"], keep="id"))
    tag.refresh_from_db()
    assert report.status == "clean"
    assert set(kept.clubs.all()) == {shared, own}
    assert tag.target == kept


def test_two_one_to_one_rows_protect_their_key():
    kept, gone = make_account(name="a"), make_account(name="a")
    for account in (kept, gone):
        toy.Hold.objects.create(account=account, amount=1)
    report = keep_one(unique(toy.Account, ["name"], keep="id"))
    assert (report.status, report.changes, report.rules[0].skipped) == ("partial", 0, 1)


def test_a_repetition_that_a_total_needs_is_refused():
    from django.db.models import Sum

    from integrity import Derived

    account = make_account(balance=10)
    make_entries(5, 5, account=account)
    total = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))
    rule = unique(toy.Entry, ["account", "amount"], keep="id")
    with registered(rule, total):
        report = repair([(rule, "keep_one")])
    assert (report.status, toy.Entry.objects.count()) == ("refused", 2)
    assert total.label in report.rules[0].error


def most_complete():
    """How many of the columns say something."""
    filled = [Case(When(**{f"{column}__isnull": False}, then=1), default=0) for column in ("branch", "highest", "mean")]
    return (filled[0] + filled[1] + filled[2]).desc()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param("touched_at", "oldest", id="the oldest"),
        pytest.param("-touched_at", "newest", id="the newest"),
        pytest.param(most_complete(), "complete", id="the most complete"),
        pytest.param(Count("entries").desc(), "popular", id="the one that most children point at"),
        pytest.param([Count("entries") + Count("tags"), "-id"], "newest", id="the one that the fewest point at"),
    ],
)
def test_any_expression_says_which_row_is_kept(keep, kept):
    rows = {name: make_account(name="a") for name in ("oldest", "complete", "popular", "newest")}
    for day, account in enumerate(rows.values()):
        account.touched_at = DAY + datetime.timedelta(day)
        account.save()
    toy.Account.objects.filter(pk=rows["complete"].pk).update(highest=1, mean=1)
    make_entries(1, 2, account=rows["popular"])
    make_entries(3, account=rows["oldest"])
    toy.Tag.objects.create(target=rows["complete"], weight=1)
    report = keep_one(unique(toy.Account, ["name"], keep=keep))
    assert (report.status, toy.Account.objects.get()) == ("clean", rows[kept])
    assert toy.Entry.objects.filter(account=rows[kept]).count() == 3


def test_a_declared_repair_is_proposed_before_the_one_that_every_rule_has():
    assert list(unique(toy.Account, ["name"], keep="id", repairs={"merge": Merge()}).repairs) == ["merge", "keep_one"]
