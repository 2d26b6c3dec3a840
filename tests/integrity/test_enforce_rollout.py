"""Guard, clean, validate, remove while others work; what passes the guard is found, what is undone stays true."""

import threading

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Count, Q, Sum

from integrity import Always, Derived, KeepOne, Trim, Unique
from integrity.checks import check_rules
from integrity.enforce import enforce
from integrity.enforcement.body import quoted
from integrity.enforcement.check import RuleCheck
from integrity.enforcement.names import constraint_name
from integrity.enforcement.states import state
from integrity.engine import analyze, verify
from integrity.models import Change, Enforcement
from integrity.repair import repair
from integrity.undo import undo
from tests.command_line import manage
from tests.integrity.helpers import contents, declared, finds, registered
from tests.integrity.others import Other
from tests.integrity.test_derived import make_account
from tests.integrity.test_interrupted import At
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

BALANCE = {"equals": Sum("entries__amount"), "name": "balance_kept", "enforce": True}
POSITIVE = Q(amount__gte=0)


def execute(*statements):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def balance():
    rule = declared(Derived, toy.Account, "balance", **BALANCE)
    with registered(rule):
        assert enforce([rule]).status == "clean"
        yield rule


def stored(account):
    return toy.Account._base_manager.get(pk=account.pk).balance


def bypass(statement):
    """As a replica, a loader or whoever switches triggers off."""
    execute("SET LOCAL session_replication_role = replica", statement, "SET LOCAL session_replication_role = origin")


# What passes the guard


def test_what_a_replica_writes_is_found_and_put_right(balance):
    account = make_account([1])
    bypass("UPDATE toy_entry SET amount = 50")
    assert finds(balance) == {account.pk: (1, 50)}
    assert repair([(balance, None)]).changes == 1
    assert stored(account) == 50


def test_the_rules_own_trigger_stands_back_from_the_repair_that_writes_what_it_would_compute(balance):
    """What slips in between plan and write is told by the look afterwards; nothing is written past the journal."""
    account = make_account([1])
    bypass("UPDATE toy_entry SET amount = 50")
    entry = f"INSERT INTO toy_entry (account_id, amount, void) VALUES ({account.pk}, 5, false)"
    late = At("planned", lambda: bypass(entry), time=1)
    report = repair([(balance, None)], observer=late)
    assert (report.status, stored(account)) == ("violated", 50)
    assert Change.objects.get(run=report.run).after["balance"] == "50.00"


def test_the_trigger_is_back_at_work_after_the_repair(balance):
    account = make_account([1])
    bypass("UPDATE toy_entry SET amount = 50")
    repair([(balance, None)])
    execute("UPDATE toy_account SET balance = 7")
    assert stored(account) == 50


def test_a_proof_ends_with_what_was_found(balance):
    make_account([1])
    bypass("UPDATE toy_entry SET amount = 50")
    assert enforce([balance]).rules[0].enforcement == "guarded"
    repair([(balance, None)])
    assert enforce([balance]).rules[0].enforcement == "enforced"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE toy_entry DISABLE TRIGGER USER", "disabled"),
        ("ALTER TABLE toy_entry ENABLE REPLICA TRIGGER {insert}", "disabled"),
        ("DROP TRIGGER {insert} ON toy_entry", "missing"),
        ("ALTER FUNCTION {insert}() SECURITY INVOKER", "outdated"),
        ("ALTER FUNCTION {insert}() RESET search_path", "outdated"),
        ("COMMENT ON TRIGGER {insert} ON toy_entry IS 'mine'", "outdated"),
    ],
)
def test_what_somebody_did_to_a_trigger_is_told_and_put_right(balance, change, told):
    account = make_account([1])
    execute(change.format(insert=trigger("toy_entry", "insert")))
    assert state(balance) == told
    bypass("UPDATE toy_entry SET amount = 50")
    report = enforce([balance])
    assert (report.exit_code, report.rules[0].enforcement) == (1, "guarded")
    repair([(balance, None)])
    assert enforce([balance]).rules[0].enforcement == "enforced"
    execute(f"INSERT INTO toy_entry (account_id, amount, void) VALUES ({account.pk}, 1, false)")
    assert stored(account) == 51


def trigger(table, event):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE %s", [table, f"%_{event}_%"]
        )
        return cursor.fetchone()[0]


def test_what_is_left_of_the_triggers_is_taken_away(balance):
    execute(f"DROP TRIGGER {trigger('toy_entry', 'insert')} ON toy_entry")
    report = enforce([balance], remove=True)
    assert (report.changes, state(balance), Enforcement.objects.count()) == (6, "missing", 0)
    assert enforce([balance], remove=True).changes == 0


# Repairs and undo beside triggers


def test_a_repair_of_rows_takes_the_kept_value_along_and_so_does_its_undo(balance):
    twice = declared(
        Unique, toy.Entry, by=["account", "amount"], name="once", keep="id", repairs={"keep_one": KeepOne()}
    )
    account = make_account([5, 5, 5, 2])
    assert stored(account) == 17
    with registered(twice):
        before = contents(toy.Account, toy.Entry)
        done = repair([(twice, "keep_one")], max_affected="100%")
        assert (done.status, done.changes, stored(account)) == ("clean", 2, 7)
        assert verify(done.run).status == "clean"
        assert undo(done.run).status == "clean"
    assert contents(toy.Account, toy.Entry) == before


def test_rows_that_are_trimmed_take_a_kept_count_along(balance):
    """The parent is written by the triggers that the repair of its rows fires."""
    limit = declared(
        Derived,
        toy.Account,
        "limit",
        truth="column",
        equals=Sum("entries__amount"),
        name="limit",
        repairs={"fix": [Trim("entries", amount="amount")]},
    )
    account = make_account([5, 6, 7], limit=8)
    with registered(limit):
        before = contents(toy.Account, toy.Entry)
        done = repair([(limit, "fix")], max_affected="100%")
        assert (done.status, stored(account), finds(balance), finds(limit)) == ("clean", 8, {}, {})
        assert verify(done.run).status == "clean"
        assert repair([(limit, "fix")], max_affected="100%").changes == 0
        assert undo(done.run).status == "clean"
    assert contents(toy.Account, toy.Entry) == before


def test_an_undo_of_a_recompute_leaves_what_is_kept_and_says_so(balance):
    account = make_account([1])
    bypass("UPDATE toy_account SET balance = 9")
    done = repair([(balance, None)])
    taken_back = undo(done.run)
    assert (taken_back.status, stored(account), finds(balance)) == ("clean", 1, {})


def test_an_undo_without_enforcement_restores_what_was(balance):
    account = make_account([1])
    bypass("UPDATE toy_account SET balance = 9")
    done = repair([(balance, None)])
    enforce([balance], remove=True)
    undo(done.run)
    assert stored(account) == 9


def test_another_rule_that_a_kept_value_would_break_stops_a_repair(balance):
    """Trimming entries changes the balance by a trigger, and a rule about balances looks at it afterwards."""
    rich = declared(Always, toy.Account, Q(balance__gte=10), name="rich")
    once = declared(Unique, toy.Entry, by=["account", "amount"], name="once", keep="id", repairs={"one": KeepOne()})
    account = make_account([5, 5])
    with registered(rich, once):
        report = repair([(once, "one")], max_affected="100%")
    assert report.status == "refused"
    assert "toy.rich" in report.rules[0].error
    assert stored(account) == 10


# On the command line


def test_the_last_sentence_is_true(balance):
    make_account([1])
    assert "What is enforced stays true by itself." in manage("integrity", "enforce", balance.label).out
    bypass("UPDATE toy_entry SET amount = 50")
    assert "1 old ones are left" in manage("integrity", "enforce", balance.label).out
    assert f"Taken away: {balance.label}." in manage("integrity", "enforce", balance.label, "--remove").out


def test_an_app_without_a_rule_to_enforce_is_a_usage_error():
    rule = declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"))
    with registered(rule):
        found = manage("integrity", "enforce", "toy")
    assert (found.code, "None of these rules is declared to be enforced" in found.err) == (2, True)


def test_triggers_that_no_migration_would_install_are_told_at_start_up(balance, monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "pgtrigger")
    assert [(found.id, "INSTALLED_APPS" in found.hint) for found in check_rules() if balance.label in found.msg] == [
        ("integrity.E003", True)
    ]


def test_triggers_that_migrations_install_are_no_problem(balance):
    assert [found.id for found in check_rules() if balance.label in found.msg] == []


# A condition


@pytest.fixture
def positive():
    rule = declared(Always, toy.Entry, POSITIVE, enforce=True, name="positive")
    with registered(rule):
        yield rule


def test_a_migration_adds_a_condition_that_guards_and_enforce_validates_it(positive):
    make_account([-1, 5])
    execute("SELECT 1")
    constraint = RuleCheck(condition=POSITIVE, name=constraint_name(positive))
    with connection.schema_editor() as editor:
        editor.add_constraint(toy.Entry, constraint)
    assert state(positive) == "guarded"
    report = enforce([positive])
    assert (report.exit_code, report.rules[0].violations, report.rules[0].enforcement) == (1, 1, "guarded")
    execute("DELETE FROM toy_entry WHERE amount < 0")
    assert enforce([positive]).rules[0].enforcement == "enforced"
    enforce([positive], remove=True)
    assert state(positive) == "missing"


def test_a_dirty_row_cannot_be_updated_under_a_guard_which_is_told_before(positive):
    make_account([-1, -2, 5])
    execute("SELECT 1")
    assert "2 rows break" in enforce([positive]).rules[0].error
    assert enforce([positive], accept_dirty=True).rules[0].enforcement == "guarded"
    with pytest.raises(Exception, match="violates check constraint"), connection.cursor() as cursor:
        cursor.execute("UPDATE toy_entry SET void = true WHERE amount = -1")


# While others work


@pytest.fixture
def held(transactional_db, settings):
    """A rule, and a writer that goes on with a transaction for long."""
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "LOCK_RETRIES": 2}
    rule = declared(Derived, toy.Account, "balance", **BALANCE)
    make_account([1])
    with registered(rule), Other() as other:
        other.begin("UPDATE toy_entry SET amount = 2")
        yield rule, other
        other.rollback()
        enforce([rule], remove=True)


def test_a_table_that_stays_held_is_told_and_nothing_is_changed(held):
    rule, other = held
    found = manage("integrity", "enforce", rule.label)
    assert (found.code, state(rule)) == (3, "missing")
    assert "Somebody holds a table" in found.out
    assert "Not done: toy.balance_kept" in found.out
    other.commit()
    assert enforce([rule]).rules[0].enforcement == "guarded"
    repair([(rule, None)])
    assert enforce([rule]).rules[0].enforcement == "enforced"


def test_a_table_that_is_free_after_a_while_is_guarded(held, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 200, "LOCK_RETRIES": 4}
    rule, other = held
    threading.Timer(0.2, other.rollback).start()
    assert enforce([rule]).rules[0].enforcement == "guarded"


@pytest.mark.django_db(transaction=True)
def test_a_condition_is_validated_while_somebody_writes(positive):
    make_account([5])
    with Other() as other:
        enforce([positive])
        other.begin("INSERT INTO toy_entry (account_id, amount, void) SELECT id, 3, false FROM toy_account")
        assert analyze([positive]).status == "clean"
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 200")
            cursor.execute(f"ALTER TABLE toy_entry VALIDATE CONSTRAINT {constraint_name(positive)}")
            cursor.execute("RESET lock_timeout")
        other.commit()
    assert enforce([positive], remove=True).exit_code == 0


def test_counts_of_rows_are_no_condition():
    rule = declared(Derived, toy.Account, "entry_count", equals=Count("entries"), enforce=True, name="count")
    with registered(rule):
        enforce([rule])
        assert make_account([1, 2, 3]).pk
        assert toy.Account._base_manager.get().entry_count == 3


def test_the_text_of_a_trigger_is_the_same_on_every_version_of_django():
    """Some quote the aliases of subqueries; what is in quotes already stays as it is."""
    assert quoted("""SELECT U0."T1", T12.x FROM "U0" WHERE y = 'U0 isn''t V3'""") == (
        """SELECT "U0"."T1", "T12".x FROM "U0" WHERE y = 'U0 isn''t V3'"""
    )
