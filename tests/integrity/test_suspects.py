"""Suspects: rows that would repeat if an id that changes were replaced by the natural key behind it."""

import pytest

from integrity import KeepOne, Unique
from integrity.engine import analyze
from integrity.rendering.machine import report_object
from tests.command_line import manage
from tests.integrity.helpers import contents, declared, registered, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_unique import DAY
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def once(**options):
    """An entry says each amount of an account once, and accounts have a new id with each import."""
    options.setdefault("suspects", {"account": ["account__name", "account__branch__code"]})
    rule = declared(Unique, toy.Entry, by=["account", "amount"], **options)
    assert rule.check() == []
    return rule


def looked(rule, **options):
    return analyze([rule], **options).rules[0]


def entered(account, *amounts):
    for amount in amounts:
        toy.Entry.objects.create(account=account, amount=amount, at=DAY)
    return account


@pytest.fixture
def branch():
    return toy.Branch.objects.create(code="north")


def test_rows_that_differ_in_nothing_but_the_id_are_suspects(branch):
    old, new = (entered(make_account(name="Ada", branch=branch), 5) for _ in range(2))
    report = looked(once())
    assert (report.status, report.violations, report.suspects) == ("clean", 0, 1)
    (suspect,) = report.suspected
    assert suspect.told == {"account__name": "Ada", "account__branch__code": "north", "amount": 5}
    assert (suspect.ids, suspect.rows) == ({"account": [old.pk, new.pk]}, 2)


def test_their_rows_are_counted_with_the_repetitions(branch):
    entered(make_account(name="Ada", branch=branch), 5, 5, 7), entered(make_account(name="Ada", branch=branch), 5)
    report = looked(once())
    assert (report.violations, [suspect.rows for suspect in report.suspected]) == (1, [3])


def test_rows_whose_primary_key_is_no_number_may_be_suspects():
    for box in [toy.Box.objects.create(item_count=1) for _ in range(2)]:
        toy.Item.objects.create(box=box, weight=3)
    rule = declared(Unique, toy.Item, by=["box"], suspects={"box": ["box__item_count"]})
    assert looked(rule).suspects == 1


def test_rows_of_other_natural_keys_are_none(branch):
    entered(make_account(name="Ada", branch=branch), 5), entered(make_account(name="Bob", branch=branch), 5)
    entered(make_account(name="Ada", branch=toy.Branch.objects.create(code="south")), 5)
    assert looked(once()).suspects == 0


def test_a_repetition_is_a_violation_and_no_suspect(branch):
    entered(make_account(name="Ada", branch=branch), 5, 5)
    report = looked(once())
    assert (report.violations, report.suspects) == (1, 0)


def test_parts_of_the_natural_key_may_be_null():
    for _ in range(2):
        entered(make_account(name="Ada", branch=None), 5)
    assert looked(once()).suspects == 1


def test_references_that_lead_nowhere_have_nothing_in_common():
    toy.Mention.objects.create(posting=None), toy.Mention.objects.create(posting=None)
    rule = declared(Unique, toy.Mention, by=["posting"], suspects={"posting": ["posting__note"]})
    report = looked(rule)
    assert (report.violations, report.suspects) == (1, 0)


def test_a_rule_without_suspects_says_nothing_of_them(branch):
    entered(make_account(name="Ada", branch=branch), 5)
    assert looked(once(suspects=None)).suspects is None


def test_a_look_at_some_keys_says_nothing_of_them(branch):
    account = entered(make_account(name="Ada", branch=branch), 5)
    assert looked(once(), keys=[(account.pk, 5)]).suspects is None


def test_nothing_repairs_them(branch):
    for _ in range(2):
        entered(make_account(name="Ada", branch=branch), 5)
    before = contents()
    report = repaired(once(keep="id", repairs={"one": KeepOne()}), "one")
    assert (report.status, report.changes, contents()) == ("clean", 0, before)


def test_they_are_told_in_the_table_and_in_json(branch):
    first, second = (entered(make_account(name="Ada", branch=branch), 5) for _ in range(2))
    rule = once()
    with registered(rule):
        done = manage("integrity", "analyze", rule.label)
        assert done.code == 0
        assert "suspects, which would repeat if account were told by what it refers to" in done.out
        assert f"{first.pk}, {second.pk}" in done.out
        found = report_object(analyze([rule]))["rules"][0]
    told = {"account__name": "Ada", "account__branch__code": "north", "amount": "5.00"}
    assert found["suspected"] == [{"told": told, "ids": {"account": [first.pk, second.pk]}, "rows": 2}]


@pytest.mark.parametrize(
    ("suspects", "message"),
    [
        ({"at": ["account__name"]}, "replaces 'at', which by= does not name"),
        ({"account": []}, "replaces 'account' by nothing"),
        ({"account": ["amount"]}, "tells an id by 'amount', which is no column of one row"),
        ({"account": ["account__entries__amount"]}, "which is no column of one row that it refers to"),
        ({"account": ["account__nickname"]}, "has no field 'nickname'"),
    ],
)
def test_a_wrong_declaration_is_told_at_start_up(suspects, message):
    rule = declared(Unique, toy.Entry, by=["account", "amount"], suspects=suspects)
    (problem,) = rule.check()
    assert (problem.id, message in problem.msg) == ("integrity.E002", True), problem.msg
