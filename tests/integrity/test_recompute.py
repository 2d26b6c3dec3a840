"""Recompute: drifted values are put right, once."""

from decimal import Decimal

import pytest
from django.db.models import Count, Sum
from django.db.models.functions import Now

from integrity import Derived
from integrity.repair import repair
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def test_a_drifted_sum_is_set_to_what_the_rows_say():
    account = make_account([1, 2], balance=9)
    rule = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))
    with registered(rule):
        report = repair([(rule, "recompute")])
    account.refresh_from_db()
    assert (report.status, report.changes, report.rules[0].violations) == ("clean", 1, 0)
    assert account.balance == 3
    assert finds(rule) == {}
