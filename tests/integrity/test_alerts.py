"""A message is made when the state of a rule changes, and only then; one for all that a run has found."""

import pytest
from django.db import connection
from django.db.models import Q, Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrity import Always, Derived, Recompute
from integrity.alerts.deciding import note
from integrity.alerts.models import Alert, AlertDelivery, AlertState
from integrity.engine import accept, analyze, revoke, verify
from integrity.importing.known import imports
from integrity.models import Run
from integrity.records import close_run, open_run, save_result
from integrity.repair import repair
from integrity.reports import RuleReport
from integrity.undo import undo
from tests.integrity.feeds import imported, nightly, squad
from tests.integrity.helpers import declared, execute, registered
from tests.integrity.test_changed import execute as toy_execute
from tests.integrity.test_changed import tracked
from tests.integrity.test_derived import make_account
from tests.toy import models as toy
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _one_channel(settings):
    settings.INTEGRITY_ALERTS = [{"type": "log"}]


def positive(**options):
    options.setdefault("name", "positive")
    return declared(Always, toy.Account, Q(balance__gte=0), **options)


def balance(**options):
    return declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), name="balance", **options)


@pytest.fixture
def rule():
    found = positive()
    with registered(found):
        yield found


def make(number, balance=-1):
    return toy.Account.objects.bulk_create(toy.Account(balance=balance) for _ in range(number))


def mend(*accounts):
    toy.Account._base_manager.filter(pk__in=[a.pk for a in accounts] or toy.Account._base_manager.all()).update(
        balance=1
    )


def lose_the_column():
    execute("ALTER TABLE toy_account RENAME COLUMN balance TO lost")


def find_the_column():
    execute("ALTER TABLE toy_account RENAME COLUMN lost TO balance")


def messages():
    """The events of each message, the oldest first."""
    return [[f"{e['rule']} {e['event']}" for e in alert.events] for alert in Alert.objects.order_by("id")]


def events():
    return [event["event"] for alert in Alert.objects.order_by("id") for event in alert.events]


def latest():
    return Alert.objects.latest("id").events[0]


def states():
    return [state.what for state in AlertState.objects.all()]


# A change of state


def test_a_hundred_runs_with_the_same_violation_make_one_message_and_its_recovery_one(rule):
    make(1)
    for _ in range(100):
        analyze([rule])
    assert messages() == [["toy.positive starts_failing"]]
    mend()
    for _ in range(3):
        analyze([rule])
    assert events() == ["starts_failing", "recovers"]
    assert not AlertState.objects.exists()


def test_what_holds_from_the_beginning_is_told_to_nobody(rule):
    make(1, balance=1)
    analyze([rule])
    assert not Alert.objects.exists()


def test_one_message_tells_all_that_a_run_has_found(rule):
    make(1)
    wrong, right = positive(name="also_positive"), positive(name="fine", where=Q(balance__gt=0))
    with registered(wrong, right):
        analyze([rule, wrong, right])
    assert messages() == [["toy.also_positive starts_failing", "toy.positive starts_failing"]]


def test_a_rule_that_changes_beside_one_that_does_not_is_told_alone(rule):
    make(1)
    analyze([rule])
    other = positive(name="also_positive")
    with registered(other):
        analyze([rule, other])
    assert messages()[1:] == [["toy.also_positive starts_failing"]]


def test_an_event_says_how_many_of_how_many_why_and_since_when(rule):
    make(3, balance=1)
    analyze([rule])
    mend_later = make(2)
    analyze([rule])
    event = latest()
    assert (event["violations"], event["checked"], event["because"]) == (2, 5, "The toy says so.")
    assert event["last_held"] < event["since"] <= timezone.now().isoformat()
    assert event["command"] == "manage.py integrity analyze toy.positive"
    mend(*mend_later)
    analyze([rule])
    assert latest()["since"] == event["since"]


def test_a_rule_that_nobody_declares_is_told_to_nobody():
    make(1)
    analyze([positive()])
    assert not Alert.objects.exists()


def test_an_analysis_in_which_nothing_changes_costs_one_statement_more(rule):
    make(1, balance=1)
    with CaptureQueriesContext(connection) as seen:
        analyze([rule])
    assert len([q for q in seen if "integrity_alert" in q["sql"]]) == 1


# Growth


@pytest.mark.parametrize(
    ("limit", "numbers", "told"),
    [
        (2, [1, 2], ["starts_failing", "grows"]),
        (2, [1, 1, 1, 1], ["starts_failing", "grows"]),
        (2, [5], ["starts_failing"]),
        ("50%", [5, 1], ["starts_failing", "grows"]),
        (None, [1, 100], ["starts_failing"]),
    ],
)
def test_growth_past_a_limit_is_told_once(limit, numbers, told):
    make(5, balance=1)
    rule = positive(alert_above=limit)
    with registered(rule):
        for number in numbers:
            make(number)
            analyze([rule])
    assert events() == told


def test_a_number_that_swings_around_its_limit_is_told_again_only_after_half_of_it():
    rule = positive(alert_above=4)
    accounts = make(5)
    with registered(rule):
        for mended in (0, 1, 0, 3, 0):
            toy.Account._base_manager.update(balance=-1)
            if mended:
                mend(*accounts[:mended])
            analyze([rule])
    assert events() == ["starts_failing", "grows"]


def test_a_limit_that_means_nothing_is_told_when_django_starts():
    (problem,) = positive(alert_above="many").check()
    assert "'many' is neither a share such as '5%' nor a number of rows" in problem.msg


# Not checked


def test_what_could_not_be_checked_is_told_once_and_so_is_its_end(rule):
    make(1, balance=1)
    analyze([rule])
    lose_the_column()
    for _ in range(3):
        analyze([rule])
    assert events() == ["not_checked"]
    assert "which the models declare" in latest()["error"]
    find_the_column()
    analyze([rule])
    assert events() == ["not_checked", "checked_again"]
    assert latest()["failing_since"] is None


def test_a_rule_that_failed_before_it_could_not_be_checked_does_not_start_to_fail_again(rule):
    make(1)
    analyze([rule])
    since = latest()["since"]
    lose_the_column()
    analyze([rule])
    assert latest()["failing_since"] == since
    find_the_column()
    analyze([rule])
    assert events() == ["starts_failing", "not_checked", "checked_again"]
    assert (latest()["failing_since"], latest()["violations"]) == (since, 1)


@pytest.mark.parametrize(
    ("violations", "told"), [(None, ["not_checked"]), (0, ["not_checked"]), (2, ["starts_failing", "not_checked"])]
)
def test_a_look_that_breaks_off_tells_what_it_has_found_till_then(rule, violations, told):
    run = open_run("analyze", database="default", actor="ann")
    report = RuleReport(
        rule.label, status="failed", checked=7, violations=violations, error="1 of 2 parts was not looked at"
    )
    save_result(run, report)
    close_run(run, "failed")
    assert events() == told


# What a verb may claim


def test_a_look_at_some_keys_may_say_that_a_rule_fails_and_not_that_it_recovers(rule):
    first, _ = make(2)
    analyze([rule], keys=[(first.pk,)])
    assert events() == ["starts_failing"]
    assert latest()["checked"] is None
    mend(first)
    analyze([rule], keys=[(first.pk,)])
    assert events() == ["starts_failing"]


def test_a_look_at_some_keys_that_fails_is_told_to_nobody(rule):
    (account,) = make(1)
    lose_the_column()
    analyze([rule], keys=[(account.pk,)])
    assert not Alert.objects.exists()


def test_accepted_violations_are_told_to_nobody_until_they_count_again(rule):
    (account,) = make(1)
    analyze([rule])
    accept(rule, (account.pk,), by="ann", because="a gift")
    analyze([rule])
    assert events() == ["starts_failing", "recovers"]
    analyze([rule])
    revoke(rule, (account.pk,))
    analyze([rule])
    assert events() == ["starts_failing", "recovers", "starts_failing"]


def test_a_repair_of_everything_that_leaves_nothing_is_a_recovery_and_a_dry_run_tells_nothing():
    make_account([1], balance=2)
    rule = balance(repairs={"recompute": Recompute()})
    with registered(rule):
        repair([(rule, "recompute")], dry_run=True)
        assert events() == []
        analyze([rule])
        repair([(rule, "recompute")], dry_run=True)
        assert events() == ["starts_failing"]
        repair([(rule, "recompute")])
    assert events() == ["starts_failing", "recovers"]


def test_a_repair_of_some_keys_is_no_recovery():
    account = make_account([1], balance=2)
    rule = balance(repairs={"recompute": Recompute()})
    with registered(rule):
        analyze([rule])
        repair([(rule, "recompute")], keys=[(account.pk,)])
    assert events() == ["starts_failing"]


def test_an_undo_that_finds_what_it_put_back_broken_tells_it():
    account = make_account([1], balance=2)
    rule = balance(repairs={"recompute": Recompute()})
    with registered(rule):
        run = repair([(rule, "recompute")]).run
        assert not Alert.objects.exists()
        undo(run, rule=rule, keys=[(account.pk,)])
    assert events() == ["starts_failing"]


def test_a_verification_that_finds_a_violation_tells_it_and_claims_nothing_else():
    account = make_account([1], balance=2)
    rule = balance(repairs={"recompute": Recompute()})
    with registered(rule):
        run = repair([(rule, "recompute")]).run
        toy.Account._base_manager.filter(pk=account.pk).update(balance=7)
        verify(run)
        toy.Account._base_manager.filter(pk=account.pk).update(balance=1)
        verify(run)
    assert events() == ["starts_failing"]


def test_a_table_that_goes_by_design_ends_what_was_wrong_with_it():
    make(1)
    rule = positive(while_exists=True)
    with registered(rule):
        analyze([rule])
        execute("ALTER TABLE toy_account RENAME TO toy_gone")
        analyze([rule])
        execute("ALTER TABLE toy_gone RENAME TO toy_account")
    assert (events(), latest()["retired"]) == (["starts_failing", "recovers"], True)


def test_an_import_that_a_gate_stops_is_told_once_and_so_is_the_next_that_is_complete():
    no_bad = declared(Always, Squad, condition=~Q(alias="bad"), name="no_bad_alias")
    imports.register("toy", [nightly()])
    try:
        with registered(no_bad):
            for alias in ("", "bad", "bad", ""):
                imported(squad(alias=alias), wanted=imports.get("toy.nightly"))
    finally:
        imports.unregister("toy.nightly")
    assert messages() == [["toy.nightly not_imported"], ["toy.nightly imported_again"]]
    assert "The import would break toy.no_bad_alias: 1 violation" in Alert.objects.earliest("id").events[0]["error"]


def test_a_look_at_what_has_changed_answers_for_all_and_so_may_tell_a_recovery():
    wrong = make_account([1], balance=2)
    rule = balance(tracked=True)
    with tracked(rule):
        assert events() == ["starts_failing"]
        toy.Account._base_manager.filter(pk=wrong.pk).update(balance=1)
        analyze([rule], changed=True)
    assert (events(), latest()["checked"]) == (["starts_failing", "recovers"], None)


def test_what_went_past_the_triggers_is_told_until_a_full_look_agrees_with_the_notes_again():
    make_account([1], balance=1)
    rule = balance(tracked=True)
    with tracked(rule):
        toy_execute(
            "SET LOCAL session_replication_role = replica",
            "UPDATE toy_entry SET amount = amount + 3",
            "SET LOCAL session_replication_role = DEFAULT",
        )
        analyze([rule])
        assert messages() == [["toy.balance starts_failing", "toy.balance unnoticed"]]
        analyze([rule])
    assert messages()[1:] == [["toy.balance noted_again"]]


# The outbox


def test_a_message_waits_for_each_channel_that_wants_one_of_its_events(rule, settings):
    heavy, light = positive(name="heavy", tags=["money"]), positive(name="light", severity="info", tags=["toys"])
    settings.INTEGRITY_ALERTS = [
        {"type": "log", "name": "all"},
        {"type": "log", "name": "errors", "severity": "error"},
        {"type": "log", "name": "toys", "tags": ["toys", "money"]},
        {"type": "log", "name": "players", "apps": ["players"]},
    ]
    make(1)
    with registered(heavy, light):
        analyze([heavy, light])
    waiting = {delivery.channel: delivery.told for delivery in AlertDelivery.objects.all()}
    assert waiting == {"all": [0, 1], "errors": [0], "toys": [0, 1]}


def test_without_a_channel_the_change_is_kept_to_be_read(rule, settings):
    settings.INTEGRITY_ALERTS = []
    make(1)
    analyze([rule])
    assert (events(), AlertDelivery.objects.count()) == (["starts_failing"], 0)


def test_each_database_has_states_of_its_own(rule):
    make(1)
    run = Run.objects.get(pk=analyze([rule]).run)
    run.database = "standby"
    note(run)
    assert [event["database"] for alert in Alert.objects.order_by("id") for event in alert.events] == [
        "default",
        "standby",
    ]
    assert latest()["command"] == "manage.py integrity analyze toy.positive --database standby"
