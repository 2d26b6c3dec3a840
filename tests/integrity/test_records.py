"""What is remembered: violations from the first time seen on, exact counts, results and statuses."""

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext

from integrity import Always, Derived
from integrity.engine import accept, analyze, verify
from integrity.exceptions import UnknownName, UsageError
from integrity.models import Result, Run, Violation
from integrity.statuses import EXIT_CODES, RESULT_CHOICES, RUN_CHOICES, RUNNING, TRANSITIONS, move, worst
from tests.integrity.helpers import contents, declared, execute, registered, repaired
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def balance(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), **options)


def make_wrong(number):
    return [make_account([1], balance=2) for _ in range(number)]


def stored(rule):
    """Stored violations by key: their status."""
    found = Violation.objects.filter(rule=rule.label).order_by("id")
    return {violation.key["id"]: violation.status for violation in found}


def analyzed(rule, **options):
    return analyze([rule], **options).rules[0]


# Violations


def test_a_violation_is_stored_with_what_is_and_what_should_be():
    (account,) = make_wrong(1)
    rule = balance(evidence={"entries": Count("entries")})
    report = analyze([rule])
    violation = Violation.objects.get()
    assert (violation.rule, violation.key, violation.status) == (rule.label, {"id": account.pk}, "open")
    assert (violation.actual, violation.expected) == ({"balance": "2.00"}, {"balance": "1.00"})
    assert (violation.evidence, violation.run_id) == ({"entries": 1}, report.run)


def test_a_violation_keeps_the_time_that_it_was_first_seen():
    make_wrong(1)
    rule = balance()
    assert analyzed(rule).new == 1
    first = Violation.objects.get()
    assert analyzed(rule).new == 0
    again = Violation.objects.get()
    assert (again.first_seen, again.last_seen > first.last_seen) == (first.first_seen, True)


def test_a_violation_that_is_gone_is_resolved():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    toy.Account.objects.update(balance=1)
    assert analyzed(rule).resolved == 1
    assert stored(rule) == {account.pk: "resolved"}
    assert Violation.objects.get().resolved_at is not None


def test_a_violation_that_comes_back_is_open_again():
    make_wrong(1)
    rule = balance()
    analyze([rule])
    first = Violation.objects.get().first_seen
    toy.Account.objects.update(balance=1)
    analyze([rule])
    toy.Account.objects.update(balance=3)
    assert analyzed(rule).new == 1
    violation = Violation.objects.get()
    assert (violation.status, violation.resolved_at, violation.first_seen) == ("open", None, first)
    assert violation.actual == {"balance": "3.00"}


def test_a_violation_of_a_deleted_row_is_resolved():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    account.entries.all().delete()
    account.delete()
    assert analyzed(rule).resolved == 1


def test_a_look_at_some_keys_resolves_no_others():
    one, other = make_wrong(2)
    rule = balance()
    analyze([rule])
    toy.Account.objects.update(balance=1)
    assert analyzed(rule, keys=[(one.pk,)]).resolved == 1
    assert stored(rule) == {one.pk: "resolved", other.pk: "open"}


def test_violations_of_other_rules_are_left():
    (account,) = make_wrong(1)
    one, other = balance(), balance()
    analyze([one, other])
    toy.Account.objects.update(balance=1)
    analyze([one])
    assert (stored(one), stored(other)) == ({account.pk: "resolved"}, {account.pk: "open"})


def test_a_repair_resolves_what_it_cured():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    repaired(rule)
    assert stored(rule) == {account.pk: "resolved"}


def test_a_dry_run_resolves_nothing():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    repaired(rule, dry_run=True)
    assert stored(rule) == {account.pk: "open"}


def test_an_accepted_violation_stays_accepted_while_it_lasts():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    accept(rule, (account.pk,), by="an auditor", because="Written off.")
    analyze([rule])
    assert stored(rule) == {account.pk: "accepted"}


def test_counts_are_exact_and_the_lowest_keys_are_stored(settings):
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    accounts = make_wrong(5)
    rule = balance()
    report = analyzed(rule)
    assert (report.violations, report.truncated, report.new) == (5, True, 2)
    assert list(stored(rule)) == [account.pk for account in accounts[:2]]
    result = Result.objects.get()
    assert (result.violations, result.truncated, result.checked) == (5, True, 5)


def test_what_is_no_more_among_the_lowest_is_dropped_and_not_called_resolved(settings):
    accounts = make_wrong(4)
    rule = balance()
    analyze([rule])
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    report = analyzed(rule)
    assert (report.violations, report.resolved) == (4, 0)
    assert list(stored(rule)) == [account.pk for account in accounts[:2]]


def test_as_many_as_can_be_stored_are_not_truncated(settings):
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    make_wrong(2)
    assert not analyzed(balance()).truncated


def test_a_report_holds_a_sample_and_counts_all():
    make_wrong(5)
    report = analyzed(balance(), sample=2)
    assert (len(report.sample), report.violations, Violation.objects.count()) == (2, 5, 5)


def test_composite_keys_are_stored_by_field():
    toy.Line.objects.create(order="1", number="11", shipped=1)
    analyze([declared(Derived, toy.Line, "shipped", equals=F("quantity"))])
    assert Violation.objects.get().key == {"order": "1", "number": "11"}


# Runs and results


def test_a_run_says_who_what_and_when():
    make_wrong(1)
    rule = balance()
    run = Run.objects.get(pk=analyze([rule], actor="an operator").run)
    assert (run.verb, run.status, run.actor, run.database) == ("analyze", "violated", "an operator", "default")
    assert run.started_at <= run.finished_at
    result = run.results.get()
    assert (result.rule, result.status, result.checked, result.violations) == (rule.label, "violated", 1, 1)
    assert result.seconds >= 0


def test_nothing_wrong_is_clean():
    make_account([1], balance=1)
    report = analyze([balance()])
    assert (report.status, report.exit_code, Run.objects.get().status) == ("clean", 0, "clean")


def test_something_wrong_is_violated():
    make_wrong(1)
    report = analyze([balance()])
    assert (report.status, report.exit_code) == ("violated", 1)


def test_an_error_in_one_rule_leaves_the_others_and_fails_the_run():
    make_wrong(1)
    broken = declared(Always, toy.Account, Q(pk__gte=RawSQL("1 / (limit_ - limit_)", ())))
    report = analyze([broken, balance()])
    assert [rule.status for rule in report.rules] == ["failed", "violated"]
    assert (report.status, report.exit_code, Run.objects.get().status) == ("failed", 3, "failed")
    assert report.rules[0].error.startswith('column "limit_" does not exist')


def test_a_failed_rule_resolves_nothing():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    execute("ALTER TABLE toy_entry RENAME amount TO sum")
    assert analyzed(rule).status == "failed"
    assert stored(rule) == {account.pk: "open"}


def test_a_missing_table_fails_the_rule_and_says_what_to_do():
    rule = balance(name="sum")
    execute("DROP TABLE toy_part", "DROP TABLE toy_entry")
    report = analyze([rule])
    assert (report.status, report.exit_code) == ("failed", 3)
    assert report.rules[0].error == "toy.sum needs the table toy_entry, which is not there. Run: manage.py migrate"


def test_an_analysis_cannot_write():
    make_wrong(1)
    execute("CREATE FUNCTION harm() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM toy_entry; RETURN 0; END'")
    rule = declared(Always, toy.Account, Q(pk__gte=RawSQL("harm()", ())))
    before = contents()
    report = analyzed(rule)
    assert (report.status, report.error) == ("failed", "cannot execute DELETE in a read-only transaction")
    assert contents() == before


def test_an_analysis_leaves_the_connection_able_to_write():
    make_wrong(1)
    analyze([balance()])
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("off",)


def test_an_analysis_reads_a_table_once():
    make_wrong(3)
    rule = balance(evidence={"n": Count("entries")})
    with CaptureQueriesContext(connection) as queries:
        analyze([rule])
    assert sum(query["sql"].count('FROM "toy_entry"') for query in queries) == 1


# Statuses


def test_a_run_moves_along_the_table_only():
    allowed = {(current, to) for current, targets in TRANSITIONS.items() for to in targets}
    names = dict([*RUN_CHOICES, *RESULT_CHOICES])
    for current, to in itertools.product(names, names):
        if (current, to) in allowed:
            assert move(current, to) == to
        else:
            with pytest.raises(ValueError, match=f"A run cannot go from '{current}' to '{to}'"):
                move(current, to)


def test_every_status_has_an_exit_code():
    assert set(EXIT_CODES) == {name for name, _ in [*RUN_CHOICES, *RESULT_CHOICES]}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "clean"),
        (["clean", "retired"], "clean"),
        (["clean", "violated"], "violated"),
        (["violated", "partial"], "partial"),
        (["partial", "refused"], "refused"),
        (["refused", "failed", "clean"], "failed"),
        (["clean", RUNNING], RUNNING),
    ],
)
def test_a_run_is_as_bad_as_its_worst_result(statuses, expected):
    assert worst(statuses) == expected


# Verify


def test_verify_looks_at_the_rules_that_read_what_a_run_wrote():
    one, other = make_wrong(2)
    rule = balance()
    count = declared(Derived, toy.Account, "entry_count", equals=Count("entries"))
    elsewhere = declared(Derived, toy.Box, "item_count", equals=Count("items"))
    run = repaired(rule, keys=[(one.pk,)]).run
    with registered(rule, count, elsewhere):
        report = verify(run)
    assert {found.rule: (found.checked, found.violations) for found in report.rules} == {
        rule.label: (1, 0),
        count.label: (1, 1),
    }
    assert other.pk not in [finding.key[0] for found in report.rules for finding in found.sample]


def test_verify_finds_what_has_drifted_since():
    (account,) = make_wrong(1)
    rule = balance()
    run = repaired(rule).run
    toy.Account.objects.update(balance=7)
    with registered(rule):
        report = verify(run)
    assert (report.status, report.exit_code, report.rules[0].sample[0].key) == ("violated", 1, (account.pk,))
    assert Run.objects.get(pk=report.run).of_id == run


def test_a_run_that_wrote_nothing_cannot_be_verified():
    run = analyze([balance()]).run
    with pytest.raises(UsageError, match=rf"^Run {run} \(analyze\) changed nothing; there is nothing to verify\.$"):
        verify(run)


def test_an_unknown_run_cannot_be_verified():
    run = analyze([balance()]).run
    with pytest.raises(UnknownName, match=rf"^Unknown run '999999'\. Known: {run}\.$"):
        verify(999999)


def test_an_expired_exception_that_is_gone_is_resolved():
    (account,) = make_wrong(1)
    rule = balance()
    analyze([rule])
    accepted = accept(rule, (account.pk,), by="an auditor", because="Until the audit.")
    Violation.objects.update(accepted_until=accepted.first_seen - timedelta(days=1))
    toy.Account.objects.update(balance=1)
    assert analyzed(rule).resolved == 1
    assert stored(rule) == {account.pk: "resolved"}
