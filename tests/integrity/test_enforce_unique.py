"""Unique as a unique index, built beside writers, rebuilt where a build died, recognised where the model has one."""

import subprocess
import threading
from contextlib import contextmanager

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, UniqueConstraint
from django.db.models.functions import Lower

from integrity import Unique, leases
from integrity.enforce import enforce
from integrity.enforcement.states import found, state
from integrity.enforcement.unique_constraint import RuleUnique, declared_constraint, says_the_same
from integrity.enforcement.unique_index import unique_index_name
from integrity.enforcement.ways import enforcement_of
from integrity.models import Run
from integrity.repair import repair
from integrity.schema import unique_keys
from integrity.undo import undo
from tests.command_line import manage
from tests.integrity.helpers import contents, declared, execute, finds, registered
from tests.integrity.others import Other
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def unique(model=toy.Entry, by=("account", "amount"), **options):
    """A rule that is to be enforced, and no index of it left behind."""
    options = {"keep": "id", "name": "single"} | options
    rule = declared(Unique, model, by=list(by), enforce=True, **options)
    assert rule.check() == []
    with registered(rule):
        try:
            yield rule
        finally:
            execute(f'DROP INDEX IF EXISTS "{unique_index_name(rule)}"')


@pytest.fixture
def once():
    with unique() as rule:
        yield rule


def test_a_rule_that_holds_becomes_an_index(once):
    account = make_account([1, 2])
    assert state(once) == "missing"
    assert enforce([once]).rules[0].enforcement == "enforced"
    with pytest.raises(IntegrityError), transaction.atomic():
        toy.Entry.objects.create(account=account, amount=1)


def test_while_a_key_occurs_twice_it_is_refused_with_the_repair(once):
    make_account([1, 1, 2, 2, 2, 3])
    refused = enforce([once])
    assert (refused.exit_code, refused.rules[0].violations, state(once)) == (3, 2, "missing")
    assert "2 keys occur more than once in toy_entry" in refused.rules[0].error
    assert "manage.py integrity repair toy.single --strategy keep_one" in refused.rules[0].error
    assert enforce([once], accept_dirty=True).rules[0].status == "refused"
    repair([(once, "keep_one")], max_affected="100%")
    assert enforce([once]).rules[0].enforcement == "enforced"


def test_two_rows_with_null_are_the_same(once):
    account = make_account([None])
    enforce([once])
    with pytest.raises(IntegrityError), transaction.atomic():
        toy.Entry.objects.create(account=account, amount=None)


def test_expressions_and_a_condition_become_a_partial_index():
    with unique(toy.Account, by=[Lower("name"), "branch"], where=Q(hidden=False)) as rule:
        make_account(name="a", hidden=True)
        make_account(name="A", hidden=True)
        make_account(name="a")
        assert enforce([rule]).rules[0].enforcement == "enforced"
        make_account(name="a", hidden=True)
        with pytest.raises(IntegrityError), transaction.atomic():
            make_account(name="A")


def test_a_percent_sign_in_a_condition_is_only_that():
    with unique(toy.Account, by=["name"], where=Q(name__contains="5%")) as rule:
        make_account(name="5%")
        enforce([rule])
        assert state(rule) == "enforced"
        with pytest.raises(IntegrityError), transaction.atomic():
            make_account(name="5%")


def test_an_index_of_another_declaration_is_outdated_and_replaced(once):
    enforce([once])
    once.by = [F("account"), F("amount"), F("void")]
    assert state(once) == "outdated"
    assert enforce([once]).rules[0].enforcement == "enforced"


def test_it_is_taken_away(once):
    enforce([once])
    assert enforce([once], remove=True).exit_code == 0
    assert state(once) == "missing"
    assert enforce([once], remove=True).changes == 0


def test_a_dry_run_builds_and_drops_nothing(once):
    assert (enforce([once], dry_run=True).exit_code, state(once)) == (1, "missing")
    enforce([once])
    assert (enforce([once], dry_run=True, remove=True).exit_code, state(once)) == (1, "enforced")


def test_a_name_has_room_for_63_characters():
    with unique(name="n" * 80) as rule:
        assert enforce([rule]).rules[0].enforcement == "enforced"
        assert len(unique_index_name(rule)) == 63


def test_a_transaction_is_told_that_it_cannot_build(once):
    with transaction.atomic():
        report = enforce([once]).rules[0]
    assert (report.status, "outside of atomic()" in report.error) == ("refused", True)


# What the model declares


def test_a_constraint_of_the_model_serves():
    """One on columns that cannot be NULL, or one that takes NULLs for equal."""
    rule = declared(Unique, toy.Branch, by=["code"], enforce=True)
    with registered(rule):
        assert enforce([rule]).rules[0].enforcement == "enforced"
        assert found(rule).why.startswith("by toy_branch_code")
        assert len([key for key in unique_keys("toy_branch", connection) if key.parts == {"code"}]) == 1
        assert "toy.rule" in manage("integrity", "rules").out
        removed = enforce([rule], remove=True).rules[0]
        assert (removed.status, "not of its making" in removed.error) == ("refused", True)


@pytest.mark.parametrize(
    ("model", "by", "same"),
    [
        (toy.Branch, ["code"], True),
        (toy.Entry, ["account", "amount"], False),
        (toy.Hold, ["account"], True),
        (toy.Posting, ["ledger", "day", "correction"], False),
    ],
)
def test_no_second_index_is_declared_where_the_model_has_one(model, by, same):
    assert says_the_same(declared(Unique, model, by=by)) is same


def test_an_index_that_takes_nulls_for_different_does_not_serve():
    execute("CREATE UNIQUE INDEX other ON toy_entry (account_id, amount)")
    try:
        with unique() as rule:
            assert state(rule) == "missing"
            execute("ALTER TABLE toy_entry ALTER amount SET NOT NULL")
            assert found(rule) == ("enforced", "by other")
    finally:
        execute("ALTER TABLE toy_entry ALTER amount DROP NOT NULL", "DROP INDEX other")


# Builds that fail


def test_an_index_left_invalid_is_told_and_built_anew(once):
    make_account([1, 1])
    with connection.cursor() as cursor, pytest.raises(IntegrityError):
        cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {unique_index_name(once)} ON toy_entry (account_id, amount)")
    assert found(once).state == "missing"
    assert "left it invalid" in found(once).why
    assert "missing (a build of toy_single_once failed or was killed" in manage("integrity", "rules", once.label).out
    repair([(once, "keep_one")], max_affected="100%")
    assert enforce([once]).rules[0].enforcement == "enforced"


def test_a_duplicate_that_comes_between_the_look_and_the_build_is_told(once, monkeypatch):
    way = type(enforcement_of(once))
    account = make_account([1])
    guard = way.guard

    def late(self, using):
        toy.Entry.objects.create(account=account, amount=1)
        return guard(self, using)

    monkeypatch.setattr(way, "guard", late)
    report = enforce([once]).rules[0]
    assert (report.status, report.violations, report.enforcement) == ("refused", 1, "missing")
    assert unique_keys("toy_entry", connection) == [
        key for key in unique_keys("toy_entry", connection) if key.name != unique_index_name(once)
    ]


def test_a_build_whose_backend_dies_is_begun_anew(once, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 400}
    make_account([1, 2])
    with Other() as user:
        user.begin("INSERT INTO toy_entry (account_id, amount, void) SELECT id, 9, false FROM toy_account")
        pid = connection.connection.info.backend_pid
        building = threading.Timer(0, end_when_waiting, [user, pid])
        building.start()
        report = enforce([once]).rules[0]
        building.join()
        user.commit()
    assert (report.status, report.enforcement) == ("failed", "missing")
    assert "left it invalid" in found(once).why
    assert enforce([once]).rules[0].enforcement == "enforced"


def test_what_a_killed_process_left_is_gone_on_with(once):
    """Its run, and an index that is not valid."""
    make_account([1, 1])
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, _ = leases.take([(once.label, "")], Run.Verb.ENFORCE, actor=None, keys=None, reason="", dry_run=False)
    Run.objects.filter(pk=left.pk).update(pid=gone.pid)
    index = f"CREATE UNIQUE INDEX CONCURRENTLY {unique_index_name(once)} ON toy_entry (account_id, amount)"
    with connection.cursor() as cursor, pytest.raises(IntegrityError):
        cursor.execute(index)
    toy.Entry.objects.order_by("id").first().delete()
    report = enforce([once])
    assert (report.run, report.resumed, report.rules[0].enforcement) == (left.pk, True, "enforced")


def end_when_waiting(user, pid):
    user.await_wait(pid)
    user.terminate(pid)


def test_writers_write_while_it_is_built_and_it_waits_for_them(once):
    account = make_account([1])
    with Other() as user, Other() as other:
        user.begin("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 2, false)", [account.pk])
        building = threading.Thread(target=in_thread, args=[enforce, once])
        building.start()
        other.watch.execute("SELECT pg_sleep(0.2)")
        other.begin("SET lock_timeout = 300")
        other.commits("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 3, false)", [account.pk])
        user.commit()
        building.join()
    assert (state(once), finds(once)) == ("enforced", {})


def in_thread(verb, rule):
    try:
        verb([rule])
    finally:
        connection.close()


def test_somebody_who_goes_on_for_long_is_told(once, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 4, "LOCK_RETRIES": 2}
    account = make_account([1])
    with Other() as user:
        user.begin("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 2, false)", [account.pk])
        report = enforce([once]).rules[0]
        assert (report.status, "Somebody holds a table" in report.error) == ("failed", True)
        user.rollback()
    assert found(once).state == "missing"
    assert enforce([once]).rules[0].enforcement == "enforced"


def test_two_do_not_build_it_at_once(once):
    account = make_account([1])
    with Other() as user:
        user.begin("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 2, false)", [account.pk])
        building = threading.Thread(target=in_thread, args=[enforce, once])
        building.start()
        user.watch.execute("SELECT pg_sleep(0.3)")
        second = manage("integrity", "enforce", once.label)
        user.commit()
        building.join()
    assert (second.code, "has been working on toy.single" in second.err) == (3, True)
    assert state(once) == "enforced"


# Repairs beside it


def test_an_undo_that_would_bring_a_duplicate_back_lists_it(once):
    make_account([1, 1, 2, 2])
    done = repair([(once, "keep_one")], max_affected="100%")
    enforce([once])
    before = contents(toy.Entry)
    report = undo(done.run)
    assert (report.status, report.changes, len(report.rules[0].conflicts)) == ("partial", 0, 2)
    assert "toy_single_once" in report.rules[0].conflicts[0].why
    assert contents(toy.Entry) == before
    enforce([once], remove=True)
    assert undo(done.run).changes == 2


# Migrations


def test_a_migration_gives_the_index_to_an_empty_table_alone():
    with unique(by=["account", "amount"]) as rule:
        for rows, expected in (([], "enforced"), ([1, 1], "missing")):
            if rows:
                make_account(rows)
            with connection.schema_editor() as editor:
                editor.add_constraint(toy.Entry, declared_constraint(rule))
            assert state(rule) == expected
            with connection.schema_editor() as editor:
                editor.remove_constraint(toy.Entry, declared_constraint(rule))
            assert state(rule) == "missing"


def test_what_a_migration_holds_is_what_is_declared():
    rule = declared(Unique, toy.Account, by=[Lower("name"), "branch"], where=Q(hidden=False))
    constraint = declared_constraint(rule)
    path, args, kwargs = constraint.deconstruct()
    assert path == "integrity.enforcement.unique_constraint.RuleUnique"
    assert RuleUnique(*args, **kwargs) == constraint
    plain = declared_constraint(declared(Unique, toy.Entry, by=["account", "amount"]))
    assert (plain.fields, plain.nulls_distinct) == (("account", "amount"), False)
    assert isinstance(plain, UniqueConstraint)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"by": ["account"], "where": Q(account__hidden=False)}, "over the columns of its row alone"),
        ({"by": ["account"], "where": Exists(toy.Hold.objects.filter(account=OuterRef("account")))}, "a subquery"),
    ],
)
def test_what_an_index_cannot_say_is_a_problem(options, told):
    (problem,) = declared(Unique, toy.Entry, **options, enforce=True).check()
    assert told in problem.msg
