"""The index that a Unique rule becomes: NULL equals NULL in it, expressions and conditions are the rule's."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Lower

from integrity import Unique
from integrity.enforcement.unique_index import unique_index_name, unique_index_statement
from integrity.statement import run
from tests.integrity.helpers import declared
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def refused(make):
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


def test_a_null_key_may_not_occur_twice():
    account = make_account()
    run(connection, unique_index_statement(declared(Unique, toy.Entry, by=["account", "amount"]), "default"))
    toy.Entry.objects.create(account=account, amount=None)
    refused(lambda: toy.Entry.objects.create(account=account, amount=None))


def test_an_expression_and_a_condition_are_part_of_it():
    rule = declared(Unique, toy.Account, by=[Lower("name")], where=Q(hidden=False) & ~Q(name="100%"))
    run(connection, unique_index_statement(rule, "default"))
    make_account(name="Ada")
    make_account(name="ADA", hidden=True)
    make_account(name="100%")
    make_account(name="100%")
    refused(lambda: make_account(name="ada"))


def test_a_long_name_is_cut_and_stays_unique():
    names = {unique_index_name(declared(Unique, toy.Entry, by=["at"], name="x" * 80 + end)) for end in "ab"}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}
