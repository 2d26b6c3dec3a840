"""Undo of some keys of a run: those come back to the byte, the others stay, and the rest can follow."""

import pytest
from django.db.models import Sum

from integrity import Adjust, Derived
from integrity.exceptions import Refused, UsageError
from integrity.models import Change, Run
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, registered, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_trim import amounts, make_ledger, trimmed
from tests.integrity.test_unique import keep_one, unique
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def undo_in_part(run, rule, *keys, **options):
    with registered(rule):
        return undo(run, rule=rule, keys=[key if isinstance(key, tuple) else (key,) for key in keys], **options)


@pytest.fixture
def two():
    """Two ledgers of which rows too many were taken away: (rule, run, first, second, rows before)."""
    rule, first, second = trimmed(), make_ledger(4, ["3", "3"]), make_ledger(0, ["5"])
    before = contents(toy.Posting)
    return rule, repaired(rule).run, first, second, before


def test_only_the_rows_of_the_key_come_back(two):
    rule, run, first, second, _ = two
    report = undo_in_part(run, rule, first.pk)
    assert report.changes == 1
    assert (amounts(first), amounts(second)) == (["3.00", "3.00"], [])


def test_it_is_told_that_the_rule_is_broken_again(two):
    rule, run, first, *_ = two
    report = undo_in_part(run, rule, first.pk)
    assert (report.status, report.rules[0].violations, report.exit_code) == ("violated", 1, 1)
    assert [found.key for found in report.rules[0].sample] == [(first.pk,)]


def test_an_undo_of_it_is_to_the_byte(two):
    rule, run, first, *_ = two
    after = contents(toy.Posting)
    part = undo_in_part(run, rule, first.pk).run
    assert undo(part).status == "clean"
    assert contents(toy.Posting) == after


def test_an_undo_of_it_may_be_in_part_too(two):
    rule, run, first, second, before = two
    part = undo_in_part(run, rule, first.pk, second.pk).run
    assert contents(toy.Posting) == before
    assert undo_in_part(part, rule, second.pk).status == "clean"
    assert (amounts(first), amounts(second)) == (["3.00", "3.00"], [])


def test_a_whole_undo_brings_the_rest_and_says_what_was_back_before(two):
    rule, run, first, _, before = two
    part = undo_in_part(run, rule, first.pk).run
    report = undo(run)
    assert (report.status, report.changes) == ("clean", 1)
    assert report.rules[0].notes == [f"{rule.label}: left out 1 row that run {part} has put back before."]
    assert contents(toy.Posting) == before


def test_a_second_one_of_the_same_key_names_the_first(two):
    rule, run, first, *_ = two
    part = undo_in_part(run, rule, first.pk).run
    with pytest.raises(UsageError, match=rf"was undone for {rule.label} at id {first.pk} by run {part}"):
        undo_in_part(run, rule, first.pk)


def test_a_row_that_was_changed_since_is_a_conflict_and_the_rest_comes_back(two):
    rule, run, first, second, _ = two
    toy.Posting.objects.filter(ledger=first).update(note="mine")
    report = undo_in_part(run, rule, first.pk, second.pk)
    assert (report.status, report.rules[0].skipped) == ("partial", 1)
    assert amounts(second) == ["5.00"]


def test_a_dry_run_writes_nothing(two):
    rule, run, first, *_ = two
    after = contents(toy.Posting)
    report = undo_in_part(run, rule, first.pk, dry_run=True)
    assert (report.status, report.changes, contents(toy.Posting)) == ("violated", 1, after)


def test_a_key_that_the_run_did_not_change_is_told(two):
    rule, run, *_ = two
    with pytest.raises(UsageError, match=rf"changed nothing for {rule.label} at id 404"):
        undo_in_part(run, rule, 404)


def test_keys_without_their_rule_are_refused(two):
    _, run, first, *_ = two
    with pytest.raises(UsageError, match="say which one"):
        undo(run, keys=[(first.pk,)])


def test_one_rule_of_several_is_taken_back():
    trim, ledger = trimmed(), make_ledger(0, ["5"])
    named = unique(toy.Account, ["name"], keep="id")
    make_account(name="a"), make_account(name="a")
    with registered(trim, named):
        from integrity.repair import repair

        run = repair([(trim, "trim"), (named, "keep_one")]).run
        report = undo(run, rule=named)
    assert (report.status, [rule.rule for rule in report.rules]) == ("clean", [named.label])
    assert (toy.Account.objects.count(), amounts(ledger)) == (2, [])


def test_a_column_that_was_recomputed_comes_back_for_its_key():
    rule = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))
    _, second = make_account([1], balance=7), make_account([2], balance=8)
    run = repaired(rule).run
    undo_in_part(run, rule, second.pk)
    assert list(toy.Account.objects.order_by("pk").values_list("balance", flat=True)) == [1, 8]


def test_a_row_that_was_added_for_a_key_goes():
    adjust = Adjust("postings", amount="amount", row={})
    equals = Sum("postings__amount")
    rule = declared(Derived, toy.Ledger, "total", truth="column", equals=equals, repairs={"adjust": adjust})
    first, second = make_ledger(5, ["3"]), make_ledger(6, ["3"])
    run = repaired(rule).run
    undo_in_part(run, rule, first.pk)
    assert (amounts(first), amounts(second)) == (["3.00"], ["3.00", "3.00"])


def test_a_key_that_is_null_comes_back_with_its_children():
    kept, gone = make_account(name="a", branch=None), make_account(name="a", branch=None)
    other = toy.Branch.objects.create(code="x")
    make_account(name="a", branch=other), make_account(name="a", branch=other)
    hold = toy.Hold.objects.create(account=gone, amount=1)
    rule = unique(toy.Account, ["name", "branch"], keep="id")
    before = contents(toy.Account, toy.Hold)
    run = keep_one(rule).run
    report = undo_in_part(run, rule, ("a", None))
    hold.refresh_from_db()
    assert (report.changes, hold.account, toy.Account.objects.filter(branch=other).count()) == (2, gone, 1)
    undo(run)
    assert contents(toy.Account, toy.Hold) == before
    assert kept.pk < gone.pk


def test_a_journal_without_keys_is_taken_back_as_a_whole_only(two):
    rule, run, first, *_ = two
    Change.objects.filter(run=run).update(owner=None)
    with pytest.raises(Refused, match=f"as a whole: manage.py integrity undo {run}"):
        undo_in_part(run, rule, first.pk)
    assert Run.objects.filter(verb="undo").count() == 0
