"""What stops a repair: the brake, the other rules, foreign triggers, a wrong schema, an empty reference."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Count, F, Q, Sum

from integrity import Adjust, Always, Derived, PerKey
from integrity.exceptions import UsageError
from integrity.models import Change, Run
from integrity.repair import repair
from integrity.repairing.batches import Batches
from integrity.safety import Brake
from integrity.schema import _type_name, columns, require_declared
from tests.integrity.helpers import contents, declared, execute, finds, registered, repaired
from tests.integrity.test_derived import make_account
from tests.integrity.test_trim import amounts, make_ledger, trimmed
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def make_accounts(wrong, right=0):
    """Accounts with one entry of 1; the wrong ones say 2."""
    balances = [2] * wrong + [1] * right
    accounts = toy.Account.objects.bulk_create(toy.Account(balance=balance) for balance in balances)
    toy.Entry.objects.bulk_create(toy.Entry(account=account, amount=1) for account in accounts)
    return accounts


def balance(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), **options)


def refused(rule, *others, strategy=None, **options):
    """The message of a repair that is refused and writes nothing."""
    before = contents()
    with registered(rule, *others):
        report = repair([(rule, strategy)], **options)
    assert (report.status, report.exit_code, report.changes) == ("refused", 3, 0)
    assert contents() == before
    return report.rules[0].error


def trigger(table, event="UPDATE", name="audit", when="AFTER"):
    execute(
        "CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        f"CREATE TRIGGER {name} {when} {event} ON {table} FOR EACH ROW EXECUTE FUNCTION nothing()",
    )


# The brake


def test_a_hundred_rows_are_written_whatever_their_share():
    make_accounts(100)
    assert repaired(balance()).changes == 100


def test_more_than_a_hundred_rows_and_five_percent_are_refused():
    make_accounts(101, 1900)
    assert refused(balance()) == (
        "101 rows of toy_account would be written and 100 rows or 5% of it may be (2001 rows were counted)."
        " Nothing was written. Look at the plan with --dry-run; to allow it: --max-affected 101"
    )


def test_five_percent_are_written():
    make_accounts(101, 1919)
    assert repaired(balance()).changes == 101


def test_the_share_is_that_of_the_whole_table_whatever_the_keys():
    accounts = make_accounts(101, 1919)
    assert repaired(balance(), keys=[(account.pk,) for account in accounts[:101]]).changes == 101


def test_the_share_counts_rows_that_the_rule_does_not_speak_about():
    make_accounts(101, 1919)
    assert repaired(balance(where=Q(balance=2))).changes == 101


@pytest.mark.parametrize("allowed", ["10", "100%", "50%", " 50.0% "])
def test_the_brake_opens_as_far_as_it_is_told(allowed):
    make_accounts(10, 10)
    assert repaired(balance(), max_affected=allowed).changes == 10


@pytest.mark.parametrize("allowed", ["9", "0", "49.9%", "0%"])
def test_the_brake_opens_no_further(allowed):
    make_accounts(10, 10)
    assert "10 rows of toy_account would be written" in refused(balance(), max_affected=allowed)


def test_a_share_is_exact():
    make_accounts(29, 71)
    assert repaired(balance(), max_affected="29%").changes == 29


@pytest.mark.parametrize("text", ["", "%", "-5", "5.5", "101%", "many", "5 %", "1e3", "nan%"])
def test_a_brake_that_is_neither_rows_nor_share_says_so(text):
    with pytest.raises(UsageError, match="neither a share such as 30% nor a number of rows such as 5000"):
        Brake.declared(text)


def test_the_settings_move_the_brake(settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 1, "MAX_AFFECTED_SHARE": 0.5}
    make_accounts(2, 1)
    assert "1 rows or 50% of it may be" in refused(balance())


def test_several_batches_are_measured_before_the_first_is_written(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 2}
    make_accounts(10, 10)
    assert "10 rows of toy_account" in refused(balance(), max_affected="9")


def test_several_windows_are_measured_before_the_first_is_written(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 2, "WINDOW_KEYS": 3}
    make_accounts(10, 10)
    assert "10 rows of toy_account" in refused(balance(), max_affected="9")


def test_several_windows_are_repaired(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 2, "WINDOW_KEYS": 3}
    make_accounts(10, 10)
    rule = balance()
    assert (repaired(rule).changes, finds(rule)) == (10, {})


def test_a_batch_in_halves_is_measured_as_a_whole(settings, monkeypatch):
    settings.INTEGRITY = {"LOCK_RETRIES": 1}
    make_accounts(10)
    monkeypatch.setattr(Batches, "work_off", lambda self, keys: [self.batch(keys[:5]), self.batch(keys[5:])])
    assert "10 rows of toy_account" in refused(balance(), max_affected="9")


def test_later_passes_count_what_earlier_ones_wrote():
    parent = None
    for _ in range(5):
        parent = toy.Node.objects.create(parent=parent, own=0, total=0)
    toy.Node.objects.filter(pk=parent.pk).update(own=1)
    rule = declared(Derived, toy.Node, "total", equals=F("own") + Sum("children__total"))
    report = repaired(rule, max_affected="3")
    assert (report.status, report.changes) == ("partial", 3)
    assert "3 were written before" in report.rules[0].error


def test_a_dry_run_tells_that_the_brake_would_stop_it():
    make_accounts(10, 10)
    report = repaired(balance(), max_affected="9", dry_run=True)
    assert (report.status, report.changes) == ("violated", 10)
    assert "10 rows of toy_account would be written" in report.rules[0].brake


# Do no harm


def test_a_repair_that_would_break_another_rule_is_rolled_back_and_names_it():
    make_account([5], balance=3, limit=4)
    limit = declared(Always, toy.Account, Q(balance__lte=F("limit")), name="within_limit")
    message = refused(balance(), limit)
    assert "would break toy.within_limit at id" in message
    assert "(balance 5.00, limit 4.00; expected" in message


def test_a_violation_that_was_there_before_does_not_block():
    make_account([5], balance=6, limit=4)
    limit = declared(Always, toy.Account, Q(balance__lte=F("limit")))
    with registered(limit):
        assert repaired(balance()).status == "clean"


def test_a_violation_that_would_grow_blocks():
    make_account([5], balance=4, highest=1)
    follows = declared(Derived, toy.Account, "highest", equals=F("balance"), name="follows")
    assert "would break toy.follows" in refused(balance(), follows)


def test_a_violation_that_would_shrink_does_not_block():
    make_account([5], balance=4, highest=7)
    follows = declared(Derived, toy.Account, "highest", equals=F("balance"))
    with registered(follows):
        assert repaired(balance()).status == "clean"


def test_a_rule_that_is_repaired_later_in_the_run_does_not_block():
    account = make_account([5], balance=4, highest=4)
    follows, source = declared(Derived, toy.Account, "highest", equals=F("balance")), balance()
    with registered(follows, source):
        assert repair([(follows, None), (source, None)]).status == "clean"
    account.refresh_from_db()
    assert account.highest == 5


def test_a_rule_over_another_table_is_looked_at():
    branch = toy.Branch.objects.create(code="a", rate=4)
    make_account([5], balance=4, branch=branch)
    rate = declared(Derived, toy.Branch, "rate", equals=Sum("accounts__balance"), name="rate")
    assert f"would break toy.rate at id {branch.pk}" in refused(balance(), rate)


def test_rules_over_rows_that_are_deleted_are_looked_at():
    ledger = make_ledger(3, ["2", "1", "2"])
    three = declared(Always, toy.Ledger, Q(total=3))
    count = declared(Derived, toy.Ledger, "total", equals=Count("postings"), name="count")
    with registered(three):
        assert "would break toy.count" in refused(trimmed(), count)
    assert len(amounts(ledger)) == 3


def test_rules_over_rows_that_are_added_are_looked_at():
    make_ledger(10)
    small = declared(Always, toy.Posting, Q(amount__lt=5), name="small")
    rule = declared(
        Derived,
        toy.Ledger,
        "total",
        truth="column",
        equals=Sum("postings__amount"),
        repairs={"adjust": Adjust("postings", amount="amount", row={})},
    )
    assert "would break toy.small" in refused(rule, small)


def test_a_violation_that_an_added_row_leaves_as_it_was_does_not_block():
    make_ledger(10)
    settled = declared(Always, toy.Ledger, Q(opened_at__isnull=False))
    count = declared(Derived, toy.Ledger, "total", equals=Count("postings") + 8)
    adjust = Adjust("postings", amount="amount", row={})
    rule = declared(
        Derived, toy.Ledger, "total", truth="column", equals=Sum("postings__amount"), repairs={"adjust": adjust}
    )
    with registered(settled, count):
        assert repaired(rule).status == "clean"


def counted():
    return toy.Account.objects.filter(balance=5).values(key=F("branch_id")).annotate(value=Count("pk"))


def test_a_rule_that_can_only_be_checked_whole_is_so_at_the_end():
    branch = toy.Branch.objects.create(code="a", rate=0)
    make_account([5], balance=4, branch=branch)
    equals = PerKey(counted, reads=[toy.Account], default=0)
    whole = declared(Derived, toy.Branch, "rate", equals=equals, name="whole")
    with registered(whole):
        report = repaired(balance())
    assert (report.status, report.changes) == ("partial", 1)
    assert report.rules[0].error == (
        "toy.whole had 0 violations before and has 1 now; it can only be checked whole."
        f" Repair it, or take this back: manage.py integrity undo {report.run}"
    )


def test_a_rule_that_can_only_be_checked_whole_may_be_broken_already():
    branch = toy.Branch.objects.create(code="a", rate=9)
    make_account([5], balance=4, branch=branch)
    whole = declared(Derived, toy.Branch, "rate", equals=PerKey(counted, reads=[toy.Account], default=0))
    with registered(whole):
        assert repaired(balance()).status == "clean"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_deferred_constraint_is_found_in_a_dry_run_too(settings, dry_run):
    settings.INTEGRITY = {"LOCK_RETRIES": 1}
    execute("ALTER TABLE toy_account ADD CONSTRAINT once UNIQUE (balance) DEFERRABLE INITIALLY DEFERRED")
    make_account([5], balance=5)
    make_account([5], balance=4)
    before = contents()
    report = repaired(balance(), dry_run=dry_run)
    assert (report.status, report.changes, contents() == before) == ("partial", 0, True)
    assert '"once"' in report.rules[0].reasons[0]


def test_a_failed_rule_leaves_out_those_after_it_and_says_so():
    make_account([5], balance=4, highest=4, limit=4)
    limit = declared(Always, toy.Account, Q(balance__lte=F("limit")))
    source, follows = balance(), declared(Derived, toy.Account, "highest", equals=F("balance"))
    with registered(limit, source, follows):
        report = repair([(source, None), (follows, None)])
    assert [rule.status for rule in report.rules] == ["refused", "refused"]
    assert report.rules[1].error == "Not begun, because an earlier rule of this run was not finished."


def test_a_run_that_wrote_something_is_not_called_refused():
    make_accounts(1)
    make_ledger(0, ["1"])
    toy.Audit.objects.create(posting=toy.Posting.objects.get())
    trigger("toy_posting", "DELETE")
    toy.Audit.objects.all().delete()
    first, second = balance(), trimmed()
    with registered(first, second):
        report = repair([(first, None), (second, None)])
    assert [rule.status for rule in report.rules] == ["clean", "refused"]
    assert (report.status, report.changes) == ("partial", 1)


# Foreign triggers


def test_a_trigger_that_would_fire_is_refused_and_named():
    make_accounts(1)
    trigger("toy_account")
    message = refused(balance())
    assert message.startswith("The update of toy_account would fire the trigger audit, whose own writes could not")
    assert message.endswith("allow_triggers=['audit'].")


def test_a_dry_run_refuses_a_trigger_too():
    make_accounts(1)
    trigger("toy_account")
    assert "would fire the trigger audit" in refused(balance(), dry_run=True)


def test_a_trigger_that_is_allowed_fires():
    ledger = make_ledger(0, ["1"])
    trigger("toy_posting", "DELETE", when="AFTER")
    assert repaired(trimmed(allow_triggers=["audit"])).status == "clean"
    assert amounts(ledger) == []


@pytest.mark.parametrize("event", ["INSERT", "DELETE", "UPDATE OF name", "TRUNCATE"])
def test_a_trigger_on_something_else_does_not_matter(event):
    make_accounts(1)
    if event == "TRUNCATE":
        execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        execute("CREATE TRIGGER audit AFTER TRUNCATE ON toy_account EXECUTE FUNCTION nothing()")
    else:
        trigger("toy_account", event)
    assert repaired(balance()).status == "clean"


@pytest.mark.parametrize("event", ["UPDATE OF balance", "UPDATE OF name, balance", "INSERT OR UPDATE"])
def test_a_trigger_on_a_column_that_is_written_matters(event):
    make_accounts(1)
    trigger("toy_account", event)
    assert "would fire the trigger audit" in refused(balance())


def test_a_trigger_that_is_disabled_does_not_matter():
    make_accounts(1)
    trigger("toy_account")
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE toy_account DISABLE TRIGGER audit")
    assert repaired(balance()).status == "clean"


def test_a_trigger_on_rows_that_go_along_is_refused():
    make_ledger(0, ["1"])
    toy.Receipt.objects.create(posting=toy.Posting.objects.get())
    trigger("toy_receipt", "DELETE")
    assert "The delete of toy_receipt would fire the trigger audit" in refused(trimmed())


def test_a_rule_of_the_database_that_swallows_a_write_is_found_out():
    make_accounts(1)
    execute("CREATE RULE swallow AS ON UPDATE TO toy_account DO INSTEAD NOTHING")
    before = contents()
    report = repaired(balance())
    assert report.status in ("refused", "failed")
    assert contents() == before


# A wrong database


def test_a_missing_column_is_refused():
    make_accounts(1)
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE toy_entry DROP COLUMN void")
    message = refused(balance())
    assert "toy_entry has no column 'void' in the database 'test_" in message
    assert message.endswith("which toy.Entry declares. Run: manage.py migrate")


@pytest.mark.parametrize(
    ("to", "found"), [("numeric(10,2)", "numeric(10,2)"), ("double precision", "double precision")]
)
def test_a_column_of_another_type_is_refused(to, found):
    make_accounts(1)
    execute("SET CONSTRAINTS ALL IMMEDIATE", f"ALTER TABLE toy_account ALTER balance TYPE {to}")
    message = refused(balance())
    assert f"toy_account.balance is {found} in the database" in message
    assert "and toy.Account declares numeric(12,2)" in message


def test_a_text_of_another_length_is_refused():
    make_accounts(1)
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE toy_account ALTER name TYPE varchar(10)")
    assert "toy_account.name is character varying(10)" in refused(balance())


def test_a_column_beside_the_declared_ones_does_not_matter():
    execute("ALTER TABLE toy_account ADD extra text")
    make_accounts(1)
    assert repaired(balance()).status == "clean"


def test_a_search_path_to_another_table_of_the_name_is_refused():
    make_accounts(1)
    execute("CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.toy_account (id bigint, balance numeric)")
    execute("SET LOCAL search_path = elsewhere, public")
    report = repaired(balance())
    execute("SET LOCAL search_path = public")
    assert report.status == "refused"
    assert "toy_account has no column" in report.rules[0].error


def test_a_missing_table_is_refused():
    execute("DROP TABLE toy_entry CASCADE")
    report = repaired(balance())
    assert report.status == "refused"
    assert "The table toy_entry is not in the database" in report.rules[0].error


def test_every_model_is_found_as_declared():
    managed = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    require_declared(managed, connection)


@pytest.mark.parametrize(
    "declared",
    [
        *("varchar(10)[]", "numeric(8, 2)[]", "integer[5]", "timestamp(3) with time zone", "time(0)", "bit", "bit(8)"),
        *("char(4)", "interval(3)", "timestamp with time zone[]", "varchar", "text[]", "int4range", "inet", "real"),
    ],
)
def test_a_type_is_named_as_the_catalog_names_it(declared):
    execute(f"CREATE TABLE typed (c {declared})")
    assert _type_name(declared, connection) == columns("typed", connection)[0].type


def test_an_empty_reference_is_refused():
    make_account(balance=5)
    assert refused(balance(name="sum")) == (
        "toy_entry is empty, so that every value of toy.sum would be recomputed from nothing."
        " Nothing was written. Restore the rows first, or check that this is the right database."
    )


def test_an_empty_reference_does_not_matter_where_nothing_is_wrong():
    make_account(balance=0)
    assert repaired(balance()).status == "clean"


def test_rows_may_be_written_where_there_are_none_yet():
    make_ledger(10)
    adjust = Adjust("postings", amount="amount", row={})
    rule = declared(
        Derived, toy.Ledger, "total", truth="column", equals=Sum("postings__amount"), repairs={"adjust": adjust}
    )
    assert repaired(rule).status == "clean"


def test_a_model_in_another_database_is_refused(settings):
    class Elsewhere:
        def db_for_write(self, model, **hints):
            return "archive" if model is toy.Account else None

    settings.DATABASE_ROUTERS = [Elsewhere()]
    rule = balance(name="sum")
    with registered(rule), pytest.raises(UsageError, match=r"toy\.sum would write toy\.Account, .* database 'archive'"):
        repair([(rule, None)])


# A dry run


def test_a_dry_run_changes_no_row_of_any_table():
    make_accounts(3)
    make_ledger(1, ["3"])
    toy.Receipt.objects.create(posting=toy.Posting.objects.get())
    before = contents()
    first, second = balance(), trimmed()
    with registered(first, second):
        report = repair([(first, None), (second, None)], dry_run=True)
    assert (report.status, report.exit_code, report.changes) == ("violated", 1, 4)
    assert contents() == before


def test_a_dry_run_journals_nothing_and_leaves_its_record():
    make_accounts(3)
    run = Run.objects.get(pk=repaired(balance(), dry_run=True).run)
    assert (run.dry_run, run.status, run.finished_at is not None) == (True, "violated", True)
    assert run.results.get().changes == 3
    assert not Change.objects.exists()


def test_a_dry_run_of_nothing_is_clean():
    make_accounts(0, 3)
    assert repaired(balance(), dry_run=True).exit_code == 0
