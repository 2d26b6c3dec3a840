"""References and Clear: what leads nowhere is found, and led nowhere on purpose."""

import pytest
from django.db import connection
from django.db.models import Q

from integrity import Always, Clear, Quarantine, References
from integrity.repair import repair
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def references(model, column, **options):
    rule = declared(References, model, column, **options)
    assert rule.check() == []
    return rule


def without_foreign_keys(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'toy_account'::regclass AND contype = 'f'")
        for (constraint,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE toy_account DROP CONSTRAINT "{constraint}"')
        cursor.execute(sql, params)


@pytest.fixture
def orphan():
    branch = toy.Branch.objects.create(code="a")
    account = make_account(branch=branch)
    toy.Branch.objects.create(code="b")
    make_account(branch=toy.Branch.objects.get(code="b"))
    without_foreign_keys("DELETE FROM toy_branch WHERE id = %s", branch.pk)
    return account


def test_references_that_resolve_are_clean():
    make_account(branch=toy.Branch.objects.create(code="a"))
    assert finds(references(toy.Account, "branch")) == {}


def test_no_reference_is_no_violation():
    make_account(branch=None)
    assert finds(references(toy.Account, "branch")) == {}


def test_a_reference_to_a_row_that_is_gone_is_found(orphan):
    assert finds(references(toy.Account, "branch")) == {orphan.pk: (orphan.branch_id, "a row of toy.Branch")}


def test_a_plain_number_may_be_a_reference():
    club = toy.Club.objects.create(points=-1)
    rule = references(toy.Club, "points", to=toy.Account)
    assert list(finds(rule)) == [club.pk]


def test_a_natural_key_may_be_a_reference():
    toy.Line.objects.create(order="1", number="11")
    lost = toy.Shipment.objects.create(order="11", number="1", quantity=1)
    toy.Shipment.objects.create(order="1", number="11", quantity=1)
    rule = references(toy.Shipment, ["order", "number"], to=toy.Line, on=["order", "number"])
    assert list(finds(rule)) == [lost.pk]


def test_a_pair_of_type_and_id_may_be_a_reference():
    account, other = make_account(), make_account()
    box = toy.Box.objects.create()
    lost = [toy.Tag.objects.create(target=target, weight=1) for target in (account, box)]
    toy.Tag.objects.create(target=other, weight=1)
    toy.Account._base_manager.filter(pk=account.pk)._raw_delete("default")
    toy.Box.objects.filter(pk=box.pk)._raw_delete("default")
    assert set(finds(references(toy.Tag, "target"))) == {tag.pk for tag in lost}


def test_a_valid_reference_that_does_not_agree_is_wrong():
    branch = toy.Branch.objects.create(code="a", rate=2)
    account = make_account(branch=branch, limit=3)
    make_account(branch=branch, limit=2)
    rule = references(toy.Account, "branch", agreeing={"limit": "rate"})
    assert list(finds(rule)) == [account.pk]


def test_a_reference_to_nothing_is_cleared_and_undone(orphan):
    rule = references(toy.Account, "branch", repairs={"clear": Clear()})
    with registered(rule):
        done = repair([(rule, "clear")])
        assert (done.status, done.changes, repair([(rule, "clear")]).changes) == ("clean", 1, 0)
    orphan.refresh_from_db()
    assert orphan.branch_id is None


def test_an_empty_table_of_targets_clears_nothing(orphan):
    without_foreign_keys("DELETE FROM toy_branch")
    rule = references(toy.Account, "branch", repairs={"clear": Clear()})
    with registered(rule):
        report = repair([(rule, "clear")])
    assert (report.status, report.changes) == ("refused", 0)
    assert "toy_branch is empty" in report.rules[0].error


def test_a_column_that_cannot_be_null_cannot_be_cleared():
    rule = declared(References, toy.Entry, "account", repairs={"clear": Clear()})
    assert "cannot be NULL" in rule.check()[0].msg


def test_a_repair_that_would_orphan_another_row_is_refused():
    club = toy.Club.objects.create(points=7)
    make_account(entry_count=club.pk)
    rule = declared(References, toy.Account, "entry_count", to=toy.Club)
    few = declared(Always, toy.Club, Q(points__lt=7), name="few_points", repairs={"quarantine": Quarantine()})
    with registered(rule, few):
        report = repair([(few, "quarantine")])
    assert (report.status, rule.label in report.rules[0].error) == ("refused", True)
    assert set(toy.Club.objects.all()) == {club}
