"""enforce: guard, clean, validate, for triggers and for constraints."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Q, Sum

from integrity import Always, Derived, Latest
from integrity.enforce import enforce
from integrity.enforcement.states import state
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture
def balance():
    rule = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), enforce=True)
    assert rule.check() == []
    with registered(rule):
        yield rule


@pytest.fixture
def kept(balance):
    assert enforce([balance]).status == "clean"
    return balance


def stored(account):
    return toy.Account._base_manager.get(pk=account.pk).balance


def execute(sql, *params):
    with connection.cursor() as cursor:
        # Tables with pending constraint checks can be neither truncated nor altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql, params)


def test_a_rule_that_holds_is_enforced_at_once(kept):
    assert state(kept) == "enforced"


def test_a_rule_that_is_broken_is_guarded_until_it_is_repaired(balance):
    make_account([1], balance=5)
    assert enforce([balance]).rules[0].violations == 1
    assert state(balance) == "guarded"
    repair([(balance, None)])
    assert enforce([balance]).exit_code == 0
    assert state(balance) == "enforced"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 5, false)", 8),
        ("UPDATE toy_entry SET amount = 10 WHERE amount = 1 AND account_id = %(a)s", 12),
        ("DELETE FROM toy_entry WHERE amount = 1 AND account_id = %(a)s", 2),
        ("UPDATE toy_account SET balance = 99 WHERE id = %(a)s", 3),
        ("TRUNCATE toy_entry CASCADE", 0),
    ],
)
def test_the_value_follows_every_kind_of_statement(kept, change, expected):
    account = make_account([1, 2])
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(change, {"a": account.pk})
    assert stored(account) == expected
    assert finds(kept) == {}


def test_a_row_that_moves_changes_both_parents(kept):
    first, second = make_account([1, 2]), make_account([4])
    execute("UPDATE toy_entry SET account_id = %s WHERE account_id = %s AND amount = 2", second.pk, first.pk)
    assert (stored(first), stored(second)) == (1, 6)


def test_a_parent_is_inserted_with_its_true_value(kept):
    account = make_account(balance=77)
    assert stored(account) == 0


def test_a_disabled_trigger_is_told(kept):
    execute("ALTER TABLE toy_entry DISABLE TRIGGER USER")
    assert state(kept) == "disabled"


def test_an_edited_function_is_told(kept):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'toy_entry'::regclass AND NOT tgisinternal"
        )
        function = cursor.fetchone()[0]
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END;'"
        )
    assert state(kept) == "outdated"
    assert enforce([kept]).exit_code == 0
    assert state(kept) == "enforced"


def test_removal_leaves_no_trigger_and_no_function(kept):
    enforce([kept], remove=True)
    assert state(kept) == "missing"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE %s", [f"pgtrigger_toy_{kept.name}%"])
        assert cursor.fetchone() == (0,)


def test_another_search_path_changes_nothing(kept):
    account = make_account([1])
    execute("CREATE SCHEMA elsewhere")
    execute("CREATE TABLE elsewhere.toy_account (id bigint, balance numeric)")
    execute("SET LOCAL search_path TO elsewhere")
    execute("INSERT INTO public.toy_entry (account_id, amount, void) VALUES (%s, 5, false)", account.pk)
    execute("SET LOCAL search_path TO public")
    assert stored(account) == 6


def test_the_undo_of_a_repair_leaves_what_is_kept(kept):
    account = make_account([1])
    execute("ALTER TABLE toy_account DISABLE TRIGGER USER")
    execute("UPDATE toy_account SET balance = 9 WHERE id = %s", account.pk)
    execute("ALTER TABLE toy_account ENABLE TRIGGER USER")
    done = repair([(kept, None)])
    assert undo(done.run).exit_code == 0
    assert stored(account) == 1


def test_two_hops_are_followed():
    club = toy.Club.objects.create()
    rule = declared(Derived, toy.Branch, "rate", equals=Sum("accounts__entries__amount"), enforce=True)
    assert rule.check() == []
    with registered(rule):
        enforce([rule])
        branch = toy.Branch.objects.create(code="x")
        account = make_account([1, 2], branch=branch)
        branch.refresh_from_db()
        assert branch.rate == 3
        execute("UPDATE toy_account SET branch_id = NULL WHERE id = %s", account.pk)
        branch.refresh_from_db()
        assert branch.rate == 0
    assert club.points == 0


def test_the_latest_row_and_a_self_reference_are_kept():
    latest = declared(
        Derived, toy.Account, "last_amount", equals=Latest("entries__amount", by=["entries__id"]), enforce=True
    )
    children = declared(Derived, toy.Node, "child_count", equals=Count("children"), enforce=True)
    with registered(latest, children):
        assert enforce([latest, children]).exit_code == 0
        account, root = make_account([1, 7]), toy.Node.objects.create()
        toy.Node.objects.create(parent=root)
        assert finds(latest) == finds(children) == {}
    account.refresh_from_db()
    root.refresh_from_db()
    assert (account.last_amount, root.child_count) == (7, 1)


def test_a_chain_of_totals_is_kept_up_to_the_root():
    rule = declared(Derived, toy.Node, "total", equals=F("own") + Sum("children__total"), enforce=True)
    with registered(rule):
        enforce([rule])
        root = toy.Node.objects.create(own=1)
        middle = toy.Node.objects.create(own=2, parent=root)
        toy.Node.objects.create(own=4, parent=middle)
        assert finds(rule) == {}
    root.refresh_from_db()
    assert root.total == 7


POSITIVE = Q(amount__gte=0)


def test_a_condition_becomes_a_valid_check():
    rule = declared(Always, toy.Entry, POSITIVE, enforce=True)
    with registered(rule):
        assert enforce([rule]).exit_code == 0
        assert state(rule) == "enforced"
        with pytest.raises(IntegrityError), transaction.atomic():
            make_account([-1])


def test_a_dirty_table_is_not_checked_without_consent():
    make_account([-1])
    rule = declared(Always, toy.Entry, POSITIVE, enforce=True)
    with registered(rule):
        refused = enforce([rule]).rules[0]
        assert (refused.status, refused.enforcement) == ("refused", "missing")
        assert "1 row breaks" in refused.error
        execute("SELECT 1")
        assert enforce([rule], accept_dirty=True).rules[0].enforcement == "guarded"


def test_a_check_with_another_condition_is_outdated():
    rule = declared(Always, toy.Entry, POSITIVE, enforce=True)
    with registered(rule):
        enforce([rule])
        rule.condition = Q(amount__gte=-5)
        assert state(rule) == "outdated"
        enforce([rule])
        assert state(rule) == "enforced"


def test_a_dry_run_installs_nothing(balance):
    report = enforce([balance], dry_run=True)
    assert report.exit_code == 1
    assert state(balance) == "missing"


@pytest.fixture
def counted():
    rule = declared(
        Derived,
        toy.Account,
        equals={
            "balance": Sum("entries__amount", filter=Q(entries__void=False)),
            "entry_count": Count("entries") + Count("hold"),
        },
        enforce=True,
        incremental=True,
    )
    assert rule.check() == []
    with registered(rule):
        assert enforce([rule]).exit_code == 0
        yield rule


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 5, false), (%(b)s, 7, true)",
        "INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, NULL, false)",
        "UPDATE toy_entry SET amount = amount * 2, void = NOT void",
        "UPDATE toy_entry SET account_id = %(b)s WHERE amount = 1",
        "DELETE FROM toy_entry WHERE amount = 1",
        "INSERT INTO toy_hold (account_id, amount) VALUES (%(a)s, 1)",
        "UPDATE toy_account SET balance = 99",
        "TRUNCATE toy_entry CASCADE",
    ],
)
def test_what_changed_is_added(counted, change):
    first, second = make_account([1, 2]), make_account([1])
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(change, {"a": first.pk, "b": second.pk})
    assert finds(counted) == {}


def test_adding_what_changed_keeps_an_old_drift(counted):
    account = make_account([1])
    execute("ALTER TABLE toy_account DISABLE TRIGGER USER")
    execute("UPDATE toy_account SET balance = 100 WHERE id = %s", account.pk)
    execute("ALTER TABLE toy_account ENABLE TRIGGER USER")
    execute("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 5, false)", account.pk)
    assert stored(account) == 105
