"""Triggers keep a rule true for every kind of writer: other roles, paths and statements, and what comes beside them."""

import psycopg
import pytest
from django.db import NotSupportedError, connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now

from integrity import Derived, Recompute
from integrity.enforce import enforce
from integrity.enforcement.states import state
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

STRANGER = "toy_stranger"


def kept(*rules):
    """The rules enforced, within the transaction of the test."""
    assert [found for rule in rules for found in rule.check()] == []
    return registered(*rules)


def balance_rule(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), enforce=True, **options)


@pytest.fixture
def balance():
    rule = balance_rule()
    with kept(rule):
        assert enforce([rule]).status == "clean"
        yield rule


def execute(*statements, **params):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement, params or None)


def stored(account):
    return toy.Account._base_manager.get(pk=account.pk).balance


STATEMENTS = {
    "update from": "UPDATE toy_entry e SET amount = v.x FROM (VALUES (7)) v(x) WHERE e.account_id = %(a)s",
    "delete using": "DELETE FROM toy_entry e USING toy_account a WHERE a.id = e.account_id AND a.id = %(a)s",
    "insert select": "INSERT INTO toy_entry (account_id, amount, void) SELECT account_id, 3, void FROM toy_entry",
    "writes in with": """
        WITH gone AS (DELETE FROM toy_entry WHERE account_id = %(a)s RETURNING *),
        moved AS (INSERT INTO toy_entry (account_id, amount, void) SELECT %(b)s, amount, void FROM gone RETURNING *)
        UPDATE toy_entry SET amount = 100 WHERE account_id = %(b)s""",
    "upsert": """
        INSERT INTO toy_entry (id, account_id, amount, void)
        SELECT id, %(b)s, 50, void FROM toy_entry UNION ALL SELECT 1000000, %(a)s, 4, false
        ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, account_id = excluded.account_id""",
    "merge": """
        MERGE INTO toy_entry e USING (SELECT id, amount FROM toy_entry UNION ALL SELECT 1000000, 9) s ON e.id = s.id
        WHEN MATCHED AND s.amount = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = e.amount * 10
        WHEN NOT MATCHED THEN INSERT (id, account_id, amount, void) VALUES (s.id, %(a)s, s.amount, false)""",
    "no row": "UPDATE toy_entry SET amount = 0 WHERE false",
    "changed keys": "UPDATE toy_entry SET id = id + 1000000, amount = amount + 1",
    "swapped keys": """
        UPDATE toy_entry SET id = -id; UPDATE toy_entry SET id = (SELECT sum(id) FROM toy_entry) - id""",
    "to null": "UPDATE toy_entry SET amount = NULL WHERE account_id = %(a)s",
}  # fmt: skip


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_of_every_kind(statement, incremental):
    rule = balance_rule(incremental=incremental)
    with kept(rule):
        enforce([rule])
        first, second = make_account([1, 2]), make_account([4])
        for part in STATEMENTS[statement].split(";"):
            execute(part, a=first.pk, b=second.pk)
        assert finds(rule) == {}


def test_a_foreign_key_set_to_null_leaves_its_key_behind():
    rule = declared(Derived, toy.Node, "child_count", equals=Count("children"), enforce=True)
    with kept(rule):
        enforce([rule])
        root = toy.Node.objects.create()
        toy.Node.objects.create(parent=root)
        toy.Node.objects.filter(parent=root).update(parent=None)
        assert finds(rule) == {}
        toy.Node.objects.exclude(pk=root.pk).update(parent=root)
        assert finds(rule) == {}
        root.refresh_from_db()
        assert root.child_count == 1


def test_a_role_without_rights_on_the_parent_keeps_it_true(balance):
    account = make_account([1])
    execute(
        f"CREATE ROLE {STRANGER}",
        f"GRANT INSERT ON toy_entry TO {STRANGER}",
        f"GRANT USAGE ON SEQUENCE toy_entry_id_seq TO {STRANGER}",
        f"SET LOCAL ROLE {STRANGER}",
        "CREATE TEMP TABLE toy_account (id bigint, balance numeric, name text) ON COMMIT DROP",
    )
    execute("INSERT INTO public.toy_entry (account_id, amount, void) VALUES (%(a)s, 5, false)", a=account.pk)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction.atomic():
        execute_plain("SELECT FROM public.toy_account")
    execute("RESET ROLE", "DROP TABLE pg_temp.toy_account")
    assert stored(account) == 6


def execute_plain(statement):
    with connection.connection.cursor() as cursor:
        cursor.execute(statement)


def test_nobody_else_may_call_the_functions(balance):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), bool_or(has_function_privilege('public', p.oid, 'EXECUTE')) FROM pg_proc p"
            " WHERE proname LIKE %s",
            [f"pgtrigger_toy_{balance.name}%"],
        )
        assert cursor.fetchone() == (6, False)


def test_a_prepared_statement_is_followed_each_time(balance):
    account = make_account([1])
    with connection.connection.cursor() as cursor:
        for _ in range(12):
            cursor.execute(
                "INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, 1, false)", [account.pk], prepare=True
            )
    assert stored(account) == 13


def test_one_key_after_many_and_many_after_one(balance):
    """Plans are made for few keys and used again; more have one of their own."""
    toy.Account._base_manager.bulk_create(toy.Account(id=i) for i in range(1, 301))
    for low, high in [(1, 1), (1, 300), (7, 8), (1, 101), (5, 5)] * 3:
        execute(
            f"INSERT INTO toy_entry (account_id, amount, void) SELECT g, 1, false FROM generate_series({low}, {high}) g"
        )
    assert finds(balance) == {}


def test_what_a_savepoint_takes_back_is_as_before(balance):
    account = make_account([1])
    with pytest.raises(RuntimeError), transaction.atomic():
        execute("UPDATE toy_entry SET amount = 9")
        assert stored(account) == 9
        raise RuntimeError
    assert stored(account) == 1
    execute("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 5, false)", a=account.pk)
    assert stored(account) == 6


def test_what_another_trigger_writes_in_answer_is_looked_at(balance):
    """Its UPDATE comes from within the rule's own, which tells its triggers to stand back."""
    account = make_account([1])
    execute(
        """CREATE FUNCTION toy_meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF EXISTS (SELECT FROM toy_account WHERE balance = 6) THEN UPDATE toy_account SET balance = 1000; END IF;
           RETURN NULL; END $$""",
        "CREATE TRIGGER aa_meddle AFTER UPDATE OF balance ON toy_account EXECUTE FUNCTION toy_meddle()",
    )
    # The rule puts 6 back, to which the other trigger would answer for ever: PostgreSQL ends it, nothing is half done.
    with pytest.raises(Exception, match="stack depth"), transaction.atomic():
        execute("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 5, false)", a=account.pk)
    assert stored(account) == 1
    execute("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 1, false)", a=account.pk)
    assert stored(account) == 2


def test_two_rules_of_one_table_follow_each_other():
    balance = balance_rule()
    count = declared(Derived, toy.Account, "entry_count", equals=Count("entries") + F("tag_weight"), enforce=True)
    total = declared(Derived, toy.Branch, "rate", equals=Sum("accounts__balance"), enforce=True)
    with kept(balance, count, total):
        enforce([balance, count, total])
        branch = toy.Branch.objects.create(code="x")
        account = make_account([1, 2], branch=branch)
        execute("UPDATE toy_entry SET amount = amount + 1")
        toy.Account._base_manager.update(tag_weight=10)
        assert finds(balance) == finds(count) == finds(total) == {}
        account.refresh_from_db(from_queryset=toy.Account._base_manager.all())
        branch.refresh_from_db()
        assert (account.balance, account.entry_count, branch.rate) == (5, 12, 5)


def test_where_says_which_keys_are_kept():
    rule = balance_rule(where=~Q(name="free"))
    with kept(rule):
        enforce([rule])
        free = make_account([1], name="free", balance=50)
        assert stored(free) == 50
        toy.Account._base_manager.update(name="bound")
        assert stored(free) == 1


def test_stamps_are_set_with_the_value_and_never_without():
    rule = declared(
        Derived,
        toy.Account,
        equals={"balance": Sum("entries__amount")},
        stamps={"touched_at": Now()},
        enforce=True,
        evidence={"entries": Count("entries")},
    )
    with kept(rule):
        enforce([rule])
        account = make_account([1])
        first = toy.Account._base_manager.get().touched_at
        assert first is not None
        execute("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(a)s, 0, false)", a=account.pk)
        assert toy.Account._base_manager.get().touched_at == first


def test_an_old_snapshot_is_refused(transactional_db):
    rule = balance_rule()
    with kept(rule):
        enforce([rule])
        try:
            account = make_account([1])
            refused = pytest.raises(NotSupportedError, match="REPEATABLE READ")
            with refused, transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("UPDATE toy_entry SET void = true")
                cursor.execute("UPDATE toy_entry SET amount = 2")
            assert stored(account) == 1
        finally:
            enforce([rule], remove=True)


def test_a_partitioned_table_is_refused(balance):
    enforce([balance], remove=True)
    execute("CREATE TABLE toy_entry_of_2020 () INHERITS (toy_entry)")
    report = enforce([balance]).rules[0]
    assert (report.status, state(balance)) == ("refused", "missing")
    assert "toy_entry is partitioned" in report.error


def test_a_rule_that_feeds_itself_ends():
    rule = declared(Derived, toy.Node, "total", equals=F("own") + Sum("children__total"), enforce=True)
    with kept(rule):
        enforce([rule])
        parent = None
        for own in range(10):
            parent = toy.Node.objects.create(own=own, parent=parent)
        toy.Node.objects.filter(pk=parent.pk).update(own=100)
        assert finds(rule) == {}
        assert toy.Node.objects.order_by("pk").first().total == sum(range(9)) + 100


def test_values_read_over_a_forward_relation_are_followed():
    rule = declared(
        Derived, toy.Account, "limit", equals=F("branch__rate"), where=Q(branch__isnull=False), enforce=True
    )
    assert isinstance(rule.repairs["recompute"][0], Recompute)
    with kept(rule):
        enforce([rule])
        first, second = (toy.Branch.objects.create(code=code, rate=rate) for code, rate in (("a", 1), ("b", 2)))
        account = make_account(branch=first)
        toy.Branch.objects.filter(pk=first.pk).update(rate=5)
        assert toy.Account._base_manager.get().limit == 5
        toy.Account._base_manager.filter(pk=account.pk).update(branch=second)
        assert toy.Account._base_manager.get().limit == 2
