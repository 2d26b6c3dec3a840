"""How healthy the data are: read from looks that were just made, or from the records alone."""

import csv
import datetime
import io

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrity import Always, Bounded
from integrity.checkup import FORMULA
from integrity.engine import accept, analyze
from integrity.health import as_object, health, recorded_health
from integrity.rendering.health import print_health, to_csv
from integrity.rendering.terminal import console
from integrity.repair import repair
from tests.integrity.helpers import declared, registered
from tests.integrity.looks import NOW, ago, looked
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def rule_of(condition=None, **options):
    return declared(Always, toy.Account, condition or Q(balance__gte=0), **options)


def accounts(right=0, wrong=0):
    toy.Account.objects.bulk_create(toy.Account(balance=b) for b in [1] * right + [-1] * wrong)


@pytest.fixture
def positive():
    rule = rule_of(name="positive")
    with registered(rule):
        yield rule


def of(found, rule):
    return next(check for check in found.checks if check.rule == rule.label)


def named(found, what):
    return next(check for check in found.checks if check.what == what)


def printed(found):
    out = io.StringIO()
    print_health(console(out, plain=True), found)
    return out.getvalue()


def test_it_counts_what_is_wrong_out_of_how_many(positive):
    accounts(right=3, wrong=1)
    found = health([positive])
    check = of(found, positive)
    assert (check.found, check.of, check.status, found.status, found.exit_code) == (1, 4, "degraded", "degraded", 1)
    assert found.score == 75.0


def test_the_records_tell_the_same_as_the_look_before(positive):
    accounts(right=3, wrong=1)
    just, records = health([positive]), recorded_health([positive])
    assert (records.run, records.score, records.status) == (None, just.score, just.status)
    assert of(records, positive).found == of(just, positive).found


def test_reading_the_records_takes_as_many_statements_for_many_rules_and_reads_no_table_of_theirs(positive):
    accounts(wrong=1)
    analyze([positive])
    asked = []
    for rules in ([positive], [positive, *(rule_of() for _ in range(30))]):
        with CaptureQueriesContext(connection) as queries:
            recorded_health(rules)
        asked.append([query["sql"] for query in queries])
    assert len(asked[0]) == len(asked[1])
    assert not [sql for sql in asked[1] if 'FROM "toy_account"' in sql]


def test_what_was_never_looked_at_is_not_healthy(positive):
    found = recorded_health([positive])
    check = of(found, positive)
    assert (check.status, check.note, found.exit_code, found.last_sweep) == (
        "not checked",
        "it was never looked at",
        3,
        None,
    )
    assert found.score == 0


def test_what_could_not_be_looked_at_last_is_not_healthy_whatever_was_found_before(positive):
    looked(positive, ago(hours=2))
    looked(positive, ago(hours=1), None, status="failed", error="the table is gone")
    check = of(recorded_health([positive]), positive)
    assert (check.status, check.note) == ("not checked", "the table is gone")


def test_a_look_that_its_schedule_has_left_behind_counts_as_none():
    hourly, whenever = rule_of(every="1h"), rule_of()
    for rule in (hourly, whenever):
        looked(rule, ago(hours=3))
    found = recorded_health([hourly, whenever], now=NOW)
    assert [of(found, rule).status for rule in (hourly, whenever)] == ["not checked", "healthy"]
    assert "a look is due every 1 h" in of(found, hourly).note


def test_an_overdue_sweep_degrades_while_looks_at_changes_go_on():
    rule = rule_of(every="5m", sweep="1d", tracked=True)
    looked(rule, ago(days=3), 1, truncated=True)
    looked(rule, ago(minutes=1), 1, truncated=True, changed=0)
    found = recorded_health([rule], now=NOW)
    missed = named(found, "rules of toy that were not looked at in time")
    assert (of(found, rule).found, missed.found, "a sweep is due every 1 d" in missed.note) == (1, 1, True)


def test_a_missed_schedule_degrades_the_health_that_a_look_would_tell():
    hourly, daily = rule_of(every="1h"), rule_of(every="1d")
    for rule in (hourly, daily):
        looked(rule, timezone.now() - datetime.timedelta(hours=3))
    missed = named(health([hourly, daily]), "rules of toy that were not looked at in time")
    assert (missed.found, missed.of, missed.status) == (1, 2, "degraded")
    assert hourly.label in missed.note
    again = health([hourly, daily])
    assert (again.status, named(again, missed.what).found) == ("healthy", 0)


def test_an_exception_that_was_accepted_since_counts_no_more(positive):
    accounts(right=1, wrong=2)
    analyze([positive])
    key = (toy.Account._base_manager.filter(balance=-1).first().pk,)
    accept(positive, key, by="ann", because="agreed")
    assert of(recorded_health([positive]), positive).found == 1
    later = timezone.now() + datetime.timedelta(days=1)
    accept(positive, key, by="ann", because="agreed", until=later)
    assert of(recorded_health([positive]), positive).found == 1


def test_what_a_repair_has_put_right_since_counts_no_more():
    from tests.integrity.worlds import WORLDS, WRONG

    world = WORLDS["accounts"]
    world.make()
    with registered(world.rule):
        analyze([world.rule])
        assert of(recorded_health([world.rule]), world.rule).found == len(WRONG)
        repair([(world.rule, world.strategy)])
        assert of(recorded_health([world.rule]), world.rule).found == 0


def test_beyond_the_violations_that_are_stored_the_look_itself_is_told(positive, settings):
    settings.INTEGRITY = {"STORED_VIOLATIONS": 2}
    accounts(wrong=5)
    analyze([positive])
    assert of(recorded_health([positive]), positive).found == 5


def test_each_app_is_told_by_itself_by_severity_with_the_age_of_its_last_sweep():
    wrong, doubtful = rule_of(name="wrong"), rule_of(name="doubtful", severity="warning")
    elsewhere = rule_of(name="elsewhere")
    elsewhere.app = "shop"
    for rule, hours, violations in ((wrong, 5, 0), (doubtful, 2, 25), (elsewhere, 1, 0)):
        looked(rule, ago(hours=hours), violations, truncated=True)
    found = recorded_health([wrong, doubtful, elsewhere])
    shop, toys = found.apps
    assert (shop.app, shop.status, shop.score, shop.sweep) == ("shop", "healthy", 100, ago(hours=1))
    assert (toys.status, toys.sweep) == ("degraded", ago(hours=5))
    assert toys.violations == {"error": 0, "warning": 25, "info": 0}
    assert toys.score == round((10 * 100 + 3 * 75) / 13, 1)


def test_where_one_rule_was_not_checked_the_sum_of_its_severity_is_not_known(positive):
    other = rule_of()
    looked(other, ago(hours=1), 3, truncated=True)
    (app,) = recorded_health([positive, other]).apps
    assert (app.violations["error"], app.sweep) == (None, None)


def test_what_the_database_keeps_of_what_is_declared_is_told_for_each_app():
    kept = rule_of(enforce=True)
    looked(kept, ago(hours=1))
    found = recorded_health([kept])
    check = named(found, "rules of toy that the database should keep")
    assert (check.found, check.of, check.note) == (1, 1, f"{kept.label} (missing)")
    assert (found.apps[0].enforced.installed, found.apps[0].enforced.declared) == (0, 1)


def test_a_table_that_is_gone_by_design_is_healthy(positive):
    looked(positive, ago(hours=1), None, status="retired", checked=None)
    check = of(recorded_health([positive]), positive)
    assert (check.status, check.note) == ("healthy", "retired")


def test_the_trend_is_of_the_looks_before_and_the_forecast_of_all():
    table = declared(Bounded, toy.Account, rows=(None, 200), name="accounts_fit")
    for day in range(9, 0, -1):
        looked(table, ago(days=day), 0, checked=110 - 10 * day)
    check = of(recorded_health([table]), table)
    assert check.trend == [0] * 5
    assert check.forecast.bound == 200
    assert check.forecast.at.date() == (ago(days=1) + datetime.timedelta(days=10.1)).date()
    assert "the rows pass 200 on" in printed(recorded_health([table]))


def test_a_look_at_what_has_changed_tells_how_many_are_wrong_out_of_all(positive):
    looked(positive, ago(hours=2), 3, truncated=True)
    looked(positive, ago(hours=1), 4, truncated=True, checked=2, changed=2)
    check = of(recorded_health([positive]), positive)
    assert (check.found, check.of, check.looked, check.sweep) == (4, 100, ago(hours=1), ago(hours=2))


def test_the_violations_that_may_be_without_an_alert_are_a_bound_too(positive):
    positive.alert_above = "20%"
    for day in range(9, 0, -1):
        looked(positive, ago(days=day), 10 - day)
    assert of(recorded_health([positive]), positive).forecast.bound == 20


def test_it_is_printed_with_its_formula_and_what_it_comes_to_for_each_app(positive):
    looked(positive, timezone.now() - datetime.timedelta(hours=3), 7, truncated=True)
    said = printed(recorded_health([positive]))
    assert "7 of 100" in said
    assert "3 h ago" in said
    assert "From the records: degraded, score 93 of 100" in said
    assert FORMULA in said


def test_json_and_csv_tell_the_same(positive):
    looked(positive, ago(hours=3), 7, truncated=True)
    found = recorded_health([positive])
    told = as_object(found)
    check = next(check for check in told["checks"] if check["rule"])
    assert (check["found"], check["of"], check["looked"]) == (7, 100, timezone.localtime(ago(hours=3)).isoformat())
    assert told["apps"][0]["violations"]["error"] == 7
    line = next(line for line in csv.DictReader(io.StringIO(to_csv(found))) if line["rule"])
    assert (line["found"], line["app"]) == ("7", "toy")


def test_what_an_undo_has_put_back_since_the_last_look_is_not_checked(positive):
    looked(positive, ago(hours=2))
    run = looked(positive, ago(hours=1), None, verb="undo", status="clean", changes=4)
    check = of(recorded_health([positive]), positive)
    assert (check.status, check.note) == ("not checked", f"run {run.pk} has put rows back since the last look")
