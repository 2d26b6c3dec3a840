"""Keys whose repair would break another rule: they are found among many, left, and named; the others are repaired."""

import pytest
from django.db.models import Q, Sum

from integrity import Always, Derived
from integrity.models import Change
from integrity.repairing import batches
from integrity.undo import undo
from tests.integrity import worlds
from tests.integrity.helpers import declared, registered, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_unique import keep_one, make_entries, unique
from tests.integrity.worlds import HARMED, WRONG
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture
def accounts():
    """Ten accounts that say 9 where their entries say 3."""
    worlds.make_accounts()


def balance():
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))


def not_three(*ids):
    return declared(Always, toy.Account, ~Q(balance=3, id__in=ids), name="not_three")


def wrong():
    return list(toy.Account.objects.filter(balance=9).order_by("pk").values_list("pk", flat=True))


def test_several_harmful_keys_of_one_batch_are_left_and_the_others_repaired(accounts):
    with registered(not_three(*HARMED)):
        report = repaired(balance())
    assert (report.status, report.exit_code, report.changes) == ("partial", 3, 7)
    assert wrong() == HARMED


def test_each_harmful_key_is_named_with_the_rule_that_would_break(accounts):
    with registered(not_three(*HARMED)):
        (report,) = repaired(balance()).rules
    assert (report.violations, report.skipped) == (3, 3)
    assert [reason.partition(":")[0] for reason in report.reasons] == [f"id {key}" for key in HARMED]
    assert all("would break toy.not_three" in reason for reason in report.reasons)


def test_the_others_are_taken_back_alone(accounts):
    with registered(not_three(*HARMED)):
        assert undo(repaired(balance()).run).status == "clean"
    assert wrong() == WRONG


def test_a_dry_run_plans_the_others(accounts):
    with registered(not_three(*HARMED)):
        report = repaired(balance(), dry_run=True)
    assert (report.status, report.changes, wrong()) == ("partial", 7, WRONG)


def test_a_rule_all_of_whose_keys_are_harmful_is_refused(accounts):
    with registered(not_three(*WRONG)):
        report = repaired(balance())
    assert (report.status, report.changes, wrong()) == ("refused", 0, WRONG)


def test_many_harmful_keys_in_a_row_end_it_with_what_was_done(accounts, settings, monkeypatch):
    settings.INTEGRITY = {"BATCH_KEYS": 2}
    monkeypatch.setattr(batches, "HARMFUL", 3)
    with registered(not_three(4, 5, 6, 7, 8)):
        report = repaired(balance())
    assert (report.status, report.changes, wrong()) == ("partial", 2, WRONG[2:])
    assert report.rules[0].error.startswith("3 keys in a row would break another rule; the rest was not tried.")


def test_two_keys_that_do_harm_only_together_are_told_apart():
    one, two = toy.Account.objects.create(balance=9, highest=1), toy.Account.objects.create(balance=9, highest=1)
    node = toy.Branch.objects.create(code="a", rate=18)
    toy.Account.objects.update(branch=node)
    for account in (one, two):
        toy.Entry.objects.create(account=account, amount=3)
    at_least = declared(Always, toy.Branch, Q(rate__gte=1))
    total = declared(Derived, toy.Branch, "rate", equals=Sum("accounts__balance"), tolerance=7)
    with registered(at_least, total):
        report = repaired(balance())
    assert (report.status, report.changes, wrong()) == ("partial", 1, [two.pk])


def test_repetitions_that_a_total_needs_are_told_from_those_that_nobody_needs(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 2}
    needed, free = make_account(balance=10), make_account(balance=0)
    make_entries(5, 5, account=needed)
    make_entries(1, 1, 2, 2, -3, -3, account=free)
    total = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), where=Q(pk=needed.pk))
    with registered(total):
        report = keep_one(unique(toy.Entry, ["account", "amount"], keep="id"), max_affected="100%")
    assert (report.status, report.changes) == ("partial", 3)
    assert needed.entries.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_repair_that_is_killed_among_harmful_keys_is_gone_on_with(processes, accounts):
    dead = processes.start("limited accounts", at="committed", time=2, act="die")
    assert dead.result() == {}
    done = Change.objects.count()
    report = worlds.perform("limited accounts")
    assert (report.status, report.resumed, wrong()) == ("partial", True, HARMED)
    assert 0 < done < report.changes == Change.objects.count() == 7
