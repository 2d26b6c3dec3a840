"""Many batches of repetitions: the rows of all keys are found once, and looked at again when their turn comes."""

import pytest
from django.db import connection

from integrity import Unique
from integrity.bearers import Bearers
from tests.integrity.helpers import declared
from tests.integrity.test_unique import keep_one, make_entries, unique
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 1, "WINDOW_KEYS": 10, "MAX_AFFECTED_ROWS": 100}


@pytest.fixture
def then(monkeypatch):
    """Does something when the rows are known and none is locked."""
    found = Bearers.of

    def arrange(do):
        def of(*given):
            bearers = found(*given)
            do()
            return bearers

        monkeypatch.setattr(Bearers, "of", of)

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


def test_the_rows_of_a_key_are_found_as_they_are():
    rows = make_entries(1, 1, None)
    rule = declared(Unique, toy.Entry, by=["amount"], keep="id")
    scope = Bearers.of(rule, [(1,), (None,)], connection).scope([(None,)])
    assert scope.among == (rows[2].pk,)


def test_keys_with_too_many_rows_are_searched_by_each_batch(monkeypatch):
    make_entries(1, 1)
    rule = declared(Unique, toy.Entry, by=["amount"], keep="id")
    monkeypatch.setattr("integrity.bearers.MOST", 1)
    assert Bearers.of(rule, [(1,)], connection).scope([(1,)]).among is None
