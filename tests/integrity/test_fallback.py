"""A formula that falls back on values of the key's own has an answer where the table that it follows is empty."""

import pytest
from django.db.models import Case, CharField, F, Sum, Value, When
from django.db.models.functions import Cast, Coalesce, Round
from django.db.models.lookups import GreaterThan

from integrity import Derived, Latest
from integrity.rules.fallback import fallbacks
from tests.integrity.helpers import declared, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_safety import refused
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

latest = Latest("entries__amount", by=["entries__at"])


def last_amount(expression=None, **options):
    expression = expression or Coalesce(F("mean"), latest, F("highest"), 0)
    return declared(Derived, toy.Account, "last_amount", equals=expression, **options)


def stored():
    return list(toy.Account._base_manager.order_by("pk").values_list("last_amount", flat=True))


def test_keys_that_have_a_value_of_their_own_are_repaired_although_there_are_no_rows():
    make_account(last_amount=0, highest=5)
    make_account(last_amount=0, mean=7)
    assert repaired(last_amount()).status == "clean"
    assert stored() == [5, 7]


def test_a_key_without_one_stops_the_repair_with_the_columns_that_may_say_it():
    make_account(last_amount=0, highest=5)
    make_account(last_amount=3)
    assert refused(last_amount(name="last")) == (
        "toy_entry is empty, and of the rows that break toy.last 1 would be recomputed from nothing: mean, highest of"
        " them say nothing either. Nothing was written. Restore the rows first, fill in one of these columns, or repair"
        " the others alone, by their keys."
    )


def test_a_key_with_one_can_be_repaired_alone():
    first = make_account(last_amount=0, highest=5)
    make_account(last_amount=3)
    assert repaired(last_amount(), keys=[(first.pk,)]).status == "clean"
    assert stored() == [5, 3]


def test_a_right_key_without_one_does_not_matter():
    make_account(last_amount=0, highest=5)
    make_account(last_amount=0)
    assert repaired(last_amount()).status == "clean"


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        (Coalesce(latest, F("highest")), [("highest",)]),
        (Coalesce(F("mean"), latest, F("highest"), 0), [("mean", "highest")]),
        (Cast(Round(Coalesce(latest, F("highest")), 2), CharField()), [("highest",)]),
        (F("limit") + Coalesce(latest, F("highest")), [("highest",)]),
        (latest, []),
        (Sum("entries__amount"), []),
        # An opening balance is there whether rows were lost or not.
        (F("highest") + Sum("entries__amount"), []),
        (Coalesce(F("mean"), latest), []),
        (Coalesce(latest, 0), []),
        # 0, which an account without a limit has.
        (Coalesce(latest, F("limit")), []),
        (Coalesce(latest, F("branch__rate")), []),
        (Coalesce(latest, F("highest")) + Sum("entries__amount"), []),
        (Case(When(hidden=True, then=Value(0)), default=latest), []),
    ],
)
def test_only_an_empty_column_of_its_own_behind_the_rows_is_fallen_back_on(expression, columns):
    assert fallbacks(toy.Account, [expression]) == columns


def test_each_value_needs_one():
    first = Coalesce(latest, F("highest"))
    assert fallbacks(toy.Account, [first, Sum("entries__amount")]) == []
    assert fallbacks(toy.Account, [first, Coalesce(latest, F("mean"))]) == [("highest",), ("mean",)]


def test_a_label_goes_along_with_its_value():
    label = Case(When(GreaterThan(latest, 0), then=Value("entry")), default=Value("none"), output_field=CharField())
    assert fallbacks(toy.Account, [Coalesce(latest, F("highest")), label]) == [("highest",)]
    assert fallbacks(toy.Account, [label]) == []
