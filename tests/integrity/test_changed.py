"""`analyze --changed`: only what has changed is looked at, and the answer is that of a look at everything."""

import random
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Now
from django.utils import timezone

from integrity import Always, Derived, PerKey, References, Unique
from integrity.enforcement.noted import Noted
from integrity.enforcement.states import tracking
from integrity.engine import accept, analyze, revoke, verify
from integrity.health import health
from integrity.models import Note, Result, Run, Violation
from integrity.observer import Observer
from integrity.repair import repair
from integrity.undo import undo
from tests.command_line import manage
from tests.integrity.helpers import declared, registered
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def install(*rules):
    for rule in rules:
        for step in Noted(rule).guard("default"):
            execute(*(statement.text.replace("%%", "%") for statement in step.statements))


def execute(*statements):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def tracked(*rules):
    """Rules whose triggers are installed, and that have been looked at as a whole."""
    assert [problem for rule in rules for problem in rule.check()] == []
    with registered(*rules):
        install(*rules)
        analyze(rules)
        yield


def balance_rule(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), tracked=True, **options)


@pytest.fixture
def balance():
    rule = balance_rule()
    with tracked(rule):
        yield rule


def account(stored, *amounts):
    made = toy.Account.objects.create(balance=stored)
    toy.Entry.objects.bulk_create(toy.Entry(account=made, amount=amount) for amount in amounts)
    return made


def changed(rule):
    """What a look at what has changed says: keys looked at, keys that break the rule."""
    report = analyze([rule], changed=True).rules[0]
    assert not report.error, report.error
    stored = Violation.objects.filter(rule=rule.label, status="open").values_list("key__id", flat=True)
    assert report.violations == len(stored)
    return report.changed, set(stored)


def everything(rule):
    """What a look at everything says, which must find nothing that went unnoticed."""
    report = analyze([rule], sample=1000).rules[0]
    assert (report.error, report.unnoticed) == ("", 0)
    return {finding.key[0] for finding in report.sample}


# What is looked at


def test_nothing_is_looked_at_when_nothing_has_changed(balance):
    assert changed(balance) == (0, set())


def test_a_changed_key_is_found_and_no_other_is_looked_at(balance):
    account(0)
    changed(balance)
    wrong = account(5, 2)
    assert changed(balance) == (1, {wrong.pk})


def test_the_answer_is_for_the_whole_table(balance):
    old = account(5, 2)
    changed(balance)
    new = account(6, 2)
    assert changed(balance) == (1, {old.pk, new.pk})


def test_a_key_that_was_put_right_is_resolved(balance):
    wrong = account(5, 2)
    changed(balance)
    toy.Entry.objects.create(account=wrong, amount=3)
    report = analyze([balance], changed=True).rules[0]
    assert (report.status, report.resolved) == ("clean", 1)


def test_a_key_that_is_gone_is_resolved(balance):
    wrong = account(5)
    changed(balance)
    wrong.delete()
    assert changed(balance) == (1, set())


def test_a_column_that_the_rule_does_not_read_notes_nothing(balance):
    account(2, 2)
    changed(balance)
    toy.Account.objects.update(name="renamed")
    toy.Entry.objects.update(void=True)
    assert not Note.objects.exists()


def test_an_update_of_a_foreign_key_notes_both_sides(balance):
    left, right = account(2, 2), account(0)
    changed(balance)
    toy.Entry.objects.update(account=right)
    assert changed(balance) == (2, {left.pk, right.pk})


WRITES = {
    "bulk insert": "INSERT INTO toy_entry (account_id, amount, void) SELECT id, 1, false FROM toy_account",
    "update": "UPDATE toy_entry SET amount = amount + 1",
    "delete": "DELETE FROM toy_entry",
    "changed keys": "UPDATE toy_entry SET id = id + 1000000, amount = amount + 1",
    "upsert": "INSERT INTO toy_entry (id, account_id, amount, void) SELECT id, account_id, 50, void FROM toy_entry"
    " ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
    "merge": "MERGE INTO toy_entry e USING (SELECT id FROM toy_entry) s ON e.id = s.id"
    " WHEN MATCHED THEN UPDATE SET amount = e.amount * 10",
    "writes in with": "WITH gone AS (DELETE FROM toy_entry RETURNING *)"
    " INSERT INTO toy_entry (account_id, amount, void) SELECT account_id, amount * 2, void FROM gone",
    "truncate": "TRUNCATE toy_part, toy_entry",
    "parent": "UPDATE toy_account SET balance = balance + 1",
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_writes_of_every_kind_are_noted(balance, write):
    one, other = account(2, 2), account(3, 1, 2)
    assert changed(balance)[1] == set()
    execute(WRITES[write])
    assert changed(balance)[1] == {one.pk, other.pk} == everything(balance)


def test_copy_is_noted(balance):
    one = account(2, 2)
    changed(balance)
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY toy_entry (account_id, amount, void) FROM STDIN") as copy,
    ):
        copy.write_row((one.pk, 5, False))
    assert changed(balance) == (1, {one.pk})


def test_a_role_without_rights_on_the_notes_writes_them(balance):
    one = account(2, 2)
    changed(balance)
    execute(
        "CREATE ROLE toy_stranger",
        "GRANT INSERT ON toy_entry TO toy_stranger",
        "GRANT USAGE ON SEQUENCE toy_entry_id_seq TO toy_stranger",
        "SET LOCAL ROLE toy_stranger",
        f"INSERT INTO toy_entry (account_id, amount, void) VALUES ({one.pk}, 5, false)",
        "RESET ROLE",
    )
    assert changed(balance) == (1, {one.pk})


def test_rows_two_relations_away_are_noted_by_the_nearest_key():
    rule = declared(Derived, toy.Account, "entry_count", equals=Sum("entries__parts__units"), tracked=True)
    with tracked(rule):
        one = account(0, 1)
        assert changed(rule) == (1, set())
        part = toy.Part.objects.create(entry=one.entries.get(), units=3)
        assert Note.objects.get().row == {"entry_id": part.entry_id}
        assert changed(rule) == (1, {one.pk})


def test_always_and_references_are_tracked_too():
    limit = declared(Always, toy.Account, Q(limit__gte=0), tracked=True)
    branch = declared(References, toy.Account, "branch", tracked=True)
    with tracked(limit, branch):
        home = toy.Branch.objects.create(code="north")
        one = toy.Account.objects.create(limit=-1, branch=home)
        assert (changed(limit), changed(branch)) == ((1, {one.pk}), (1, set()))
        execute("ALTER TABLE toy_account DISABLE TRIGGER ALL", "ALTER TABLE toy_account ENABLE TRIGGER ALL")


def test_each_rule_takes_its_own_notes():
    sums, counts = balance_rule(), declared(Derived, toy.Account, "entry_count", equals=Count("entries"), tracked=True)
    with tracked(sums, counts):
        one = account(5, 2)
        assert changed(sums) == (1, {one.pk})
        assert changed(counts) == (1, {one.pk})


# Whole tables


def test_above_a_number_of_keys_the_whole_table_is_looked_at(balance, settings):
    settings.INTEGRITY = {"CHANGED_KEYS": 2}
    for _ in range(3):
        account(5, 2)
    report = analyze([balance], changed=True).rules[0]
    assert (report.changed, report.checked, report.violations) == (None, 3, 3)


def test_while_not_every_violation_is_stored_the_whole_table_is_looked_at(balance, settings):
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    for _ in range(3):
        account(5, 2)
    analyze([balance])
    account(6, 2)
    report = analyze([balance], changed=True).rules[0]
    assert (report.changed, report.violations) == (None, 4)


def test_truncate_of_the_parents_is_everything(balance):
    account(5)
    changed(balance)
    execute("TRUNCATE toy_account CASCADE")
    assert changed(balance) == (None, set())


# Not checked


def test_a_rule_that_was_never_looked_at_as_a_whole_cannot_answer():
    rule = balance_rule()
    with registered(rule):
        install(rule)
        report = analyze([rule], changed=True)
        assert report.exit_code == 3
        assert f"Run: manage.py integrity analyze {rule.label}" in report.rules[0].error


def test_triggers_that_are_missing_cannot_answer():
    rule = balance_rule()
    with registered(rule):
        analyze([rule])
        report = analyze([rule], changed=True)
        assert (report.exit_code, tracking(rule)) == (3, "missing")
        assert "its triggers are missing" in report.rules[0].error


@pytest.mark.parametrize("gap", ["switched off", "taken away"])
def test_after_a_gap_in_the_noting_everything_is_looked_at_first(balance, gap):
    if gap == "switched off":
        execute("ALTER TABLE toy_entry DISABLE TRIGGER USER", "ALTER TABLE toy_entry ENABLE TRIGGER USER")
    else:
        install(balance)
    report = analyze([balance], changed=True)
    assert (report.exit_code, tracking(balance)) == (3, "tracked")
    assert "since its triggers were installed or switched on" in report.rules[0].error
    analyze([balance])
    assert changed(balance) == (0, set())


def test_a_check_that_fails_leaves_its_notes(balance):
    one = account(5, 2)

    class Fails(Observer):
        def reaches(self, step):
            if step == "recorded":
                raise ValueError

    assert analyze([balance], changed=True, observer=Fails()).exit_code == 3
    assert not Violation.objects.exists()
    assert changed(balance) == (1, {one.pk})


def test_a_rule_that_is_not_tracked_is_refused():
    done = manage("integrity", "analyze", "players.group_total_adds_up", "--changed")
    assert done.code == 2
    assert "players.group_total_adds_up is not tracked" in done.words


def test_keys_and_changed_exclude_each_other():
    done = manage("integrity", "analyze", "players.mileage_adds_up", "--changed", "--key", "1")
    assert (done.code, "leave --key out" in done.words) == (2, True)


# The proof


def test_what_was_written_past_the_triggers_is_an_alarm(balance):
    right, wrong = account(2, 2), account(5, 2)
    changed(balance)
    execute(
        "SET LOCAL session_replication_role = replica",
        "UPDATE toy_entry SET amount = amount + 3",
        "SET LOCAL session_replication_role = DEFAULT",
    )
    assert changed(balance) == (0, {wrong.pk})
    report = analyze([balance])
    assert report.exit_code == 3
    assert report.rules[0].unnoticed == Result.objects.get(run=report.run).unnoticed == 2
    assert f"id {right.pk}, id {wrong.pk}" in report.rules[0].error
    assert everything(balance) == {right.pk}
    assert changed(balance) == (0, {right.pk})


def test_what_is_noted_and_not_yet_looked_at_is_no_alarm(balance):
    wrong = account(5, 2)
    assert everything(balance) == {wrong.pk}
    assert not Note.objects.exists()


# Beside other verbs


def test_a_repair_its_verification_and_its_undo_are_followed(balance):
    wrong = account(5, 2)
    changed(balance)
    done = repair([(balance, None)], max_affected="100")
    assert changed(balance) == (1, set())
    assert everything(balance) == set()
    verify(done.run)
    undo(done.run)
    assert changed(balance)[1] == {wrong.pk} == everything(balance)


def test_health_does_not_take_it_for_a_look_at_everything(balance):
    swept = Run.objects.latest("id").started_at
    changed(balance)
    assert health([balance]).last_sweep == swept


def test_an_accepted_exception_is_not_counted_until_it_expires(balance):
    wrong = account(5, 2)
    changed(balance)
    accept(balance, (wrong.pk,), by="ann", because="known")
    assert changed(balance) == (0, set())
    Violation.objects.update(accepted_until=timezone.now())
    assert changed(balance) == (1, {wrong.pk})


def test_an_acceptance_that_is_taken_back_is_looked_at(balance):
    wrong = account(5, 2)
    changed(balance)
    accept(balance, (wrong.pk,), by="ann", because="known")
    wrong.entries.update(amount=5)
    assert changed(balance) == (1, set())
    revoke(balance, (wrong.pk,))
    assert changed(balance) == (1, set())


def test_a_look_at_single_keys_is_followed(balance):
    wrong = account(5, 2)
    analyze([balance], keys=[(wrong.pk,)])
    wrong.entries.update(amount=5)
    assert changed(balance) == (1, set())
    assert everything(balance) == set()


# Declarations


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (lambda: declared(Unique, toy.Account, by=["name"], tracked=True), "is for the kinds always, derived"),
        (
            lambda: declared(
                Derived,
                toy.Account,
                "balance",
                equals=PerKey(lambda: toy.Entry.objects.values(key=F("account"), value=F("amount")), reads=[toy.Entry]),
                tracked=True,
            ),
            "any row that it reads may concern any key",
        ),
        (lambda: declared(Always, toy.Account, Q(touched_at__lte=Now()), tracked=True), "changes without any row"),
        (lambda: balance_rule(where=Exists(toy.Entry.objects.filter(account=OuterRef("pk")))), "a subquery"),
        (
            lambda: declared(Derived, toy.Account, "club_points", equals=Sum("clubs__points"), tracked=True),
            "which has no model",
        ),
    ],
)
def test_what_cannot_be_tracked_is_refused_at_start_up(rule, why):
    assert any(why in problem.msg for problem in rule().check())


def test_the_state_is_shown_by_rules():
    (rule,) = [r for r in manage("integrity", "rules", "--format", "json").json["rules"] if r["tracking"]]
    assert (rule["rule"], rule["tracking"]) == ("players.mileage_adds_up", "tracked")
    assert "changes: tracked" in manage("integrity", "rules", "players").words


# Equal to a look at everything


def taken_back(rng, some, few):
    with transaction.atomic():
        toy.Entry.objects.update(amount=0)
        transaction.set_rollback(True)


DISTURBANCES = [
    lambda rng, some, few: toy.Entry.objects.bulk_create(toy.Entry(account=a, amount=rng.randint(-2, 2)) for a in some),
    lambda rng, some, few: few.update(amount=F("amount") + rng.randint(-1, 1)),
    lambda rng, some, few: few.update(account=rng.choice(some)),
    lambda rng, some, few: few.delete(),
    lambda rng, some, few: toy.Account._base_manager.filter(pk__in=[a.pk for a in some]).update(
        balance=rng.randint(0, 3)
    ),
    lambda rng, some, few: toy.Account._base_manager.update(name=str(rng.random())),
    lambda rng, some, few: account(rng.randint(0, 2), rng.randint(0, 2)),
    lambda rng, some, few: execute("TRUNCATE toy_part, toy_entry") if rng.random() < 0.1 else None,
    taken_back,
]


def disturb(rng):
    """A few statements that nobody foresaw."""
    for _ in range(rng.randint(1, 5)):
        some = rng.sample(list(toy.Account._base_manager.order_by("pk")), rng.randint(1, 4))
        entries = list(toy.Entry.objects.order_by("pk").values_list("pk", flat=True))
        few = toy.Entry.objects.filter(pk__in=rng.sample(entries, min(len(entries), rng.randint(1, 6))))
        rng.choice(DISTURBANCES)(rng, some, few)


SETS = 40


def assert_equal_over(seeds, rule):
    for _ in range(20):
        account(1, 1)
    for seed in seeds:
        disturb(random.Random(seed))
        assert changed(rule)[1] == everything(rule), f"seed {seed}"


def test_it_equals_a_look_at_everything_over_random_changes(balance):
    assert_equal_over(range(SETS), balance)


# In transactions of their own: what a thousand sets leave behind in one of them makes each slower than the last.
@pytest.mark.soak
@pytest.mark.parametrize("first", range(SETS, 1_000, SETS))
def test_it_equals_a_look_at_everything_over_a_thousand_random_changes(balance, first):
    assert_equal_over(range(first, first + SETS), balance)
