"""Automatic repairs: after a scheduled look or an import, up to their limit, and never in a circle."""

import datetime

import pytest
from django.db.models import F, Q, Sum
from django.utils import timezone

from integrity import Automatic, Derived, KeepOne, Rebuild, Trim, Unique
from integrity.alerts.clock import look_at_clock
from integrity.alerts.listing import states
from integrity.alerts.messages import Message, text
from integrity.alerts.models import Alert, AlertState
from integrity.engine import analyze
from integrity.exceptions import UsageError
from integrity.health import recorded_health
from integrity.models import Change, Result, Run
from integrity.registry import registry
from integrity.repair import repair
from integrity.schedules.healing import ACTOR, resume
from integrity.schedules.readiness import IN_VAIN, readiness
from integrity.schedules.scheduling import run_due, run_now
from integrity.undo import undo
from tests.command_line import manage
from tests.integrity import feeds
from tests.integrity.helpers import declared, execute, registered
from tests.players.factories import make_player
from tests.toy import models as toy
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db
BREAK = "UPDATE toy_account SET balance = 9 WHERE id <= 3"


def balance(automatic=None, **options):
    return declared(
        Derived,
        toy.Account,
        "balance",
        equals=Sum("entries__amount"),
        name="balance",
        every="1h",
        automatic=automatic or Automatic("recompute", rows=50),
        **options,
    )


@pytest.fixture
def rule():
    """Its balances are 3; what breaks it is put right by itself."""
    made = balance()
    toy.Account.objects.bulk_create(toy.Account(id=i, balance=3) for i in range(1, 21))
    toy.Entry.objects.bulk_create(toy.Entry(account_id=i, amount=3) for i in range(1, 21))
    with registered(made):
        yield made


def broken(rule):
    """The report of a scheduled look after three rows were broken."""
    execute(BREAK)
    return run_now([rule], actor="ann")


def wrong():
    return toy.Account._base_manager.exclude(balance=3).count()


def repairs():
    return Run.objects.filter(verb="repair").order_by("id")


# What it does


def test_what_a_scheduled_look_finds_is_repaired_and_looked_at_again(rule):
    done = broken(rule)
    assert (done.exit_code, done.status, done.report.changes, wrong()) == (0, "clean", 3, 0)
    assert done.report.rules[0].violations == 0
    assert list(Run.objects.order_by("id").values_list("verb", "status")) == [
        ("run", "clean"),
        ("analyze", "violated"),
        ("repair", "clean"),
        ("analyze", "clean"),
    ]


def test_the_run_says_that_it_was_automatic_what_led_to_it_and_can_be_taken_back(rule):
    done = broken(rule)
    run = repairs().get()
    look = Run.objects.filter(verb="analyze").earliest("id")
    assert (run.actor, run.of_id, run.options["automatic"]["strategy"]) == (ACTOR, done.report.run, "recompute")
    assert run.reason == f"Run {look.pk} (analyze) found 3 violations."
    assert f"manage.py integrity undo {run.pk}" in done.report.rules[0].notes[0]
    assert undo(run.pk).changes == 3
    assert wrong() == 3


# What people are told


def told():
    return [(event["event"], event["severity"], event["violations"]) for a in Alert.objects.all() for event in a.events]


def test_what_is_healed_at_once_is_one_notice_that_says_how_to_take_it_back(rule):
    broken(rule)
    assert told() == [("healed", "info", 3)]
    alert = Alert.objects.get()
    message = Message.of("", alert.pk, alert.at, alert.events, alert.run)
    assert f"{rule.label} was healed: 3 violations were repaired automatically." in text(message)
    assert f"To take it back: manage.py integrity undo {repairs().get().pk}" in text(message)
    run_now([rule])
    assert (told(), states()) == ([("healed", "info", 3)], [])


@pytest.mark.parametrize(("limit", "events"), [("50%", []), (2, [("healed", "info", 3)])])
def test_what_has_a_limit_is_told_of_when_that_was_passed(rule, limit, events):
    rule.alert_above = limit
    broken(rule)
    assert told() == events


def test_what_is_not_healed_is_told_once_as_failing(rule):
    rule.automatic = Automatic("recompute", rows=2)
    broken(rule)
    assert told() == [("starts_failing", "error", 3)]
    broken(rule)
    assert len(told()) == 1


def test_what_people_know_to_fail_recovers_by_its_repair(rule):
    execute(BREAK)
    analyze([rule])
    run_now([rule])
    assert [event for event, _, _ in told()] == ["recovers", "starts_failing"]


def test_a_repair_that_died_is_told_of_by_the_clock(rule):
    execute(BREAK)
    analyze([rule], heals=True)
    look_at_clock()
    assert told() == []
    AlertState.objects.update(since=timezone.now() - datetime.timedelta(hours=1))
    look_at_clock()
    assert ("starts_failing", "error", 3) in told()


def test_a_look_that_nobody_scheduled_repairs_nothing(rule):
    execute(BREAK)
    assert manage("integrity", "analyze", rule.label).code == 1
    assert (wrong(), repairs().count()) == (3, 0)


def test_a_rule_that_holds_leads_to_no_run(rule):
    assert run_now([rule]).exit_code == 0
    assert not repairs().exists()


def test_several_are_repaired_in_the_order_in_which_rows_follow_each_other():
    toy.Branch.objects.create(id=1, code="a")
    toy.Account.objects.create(id=1, balance=0, branch_id=1)
    toy.Entry.objects.create(account_id=1, amount=3)
    below = balance()
    above = declared(
        Derived,
        toy.Branch,
        "rate",
        equals=Sum("accounts__balance"),
        name="branch_rate",
        automatic=Automatic("recompute", rows=50),
    )
    with registered(above, below):
        toy.Branch.objects.update(rate=7)
        done = run_now([above, below])
    assert [one.rule.name for one in done.healed] == ["balance", "branch_rate"]
    assert (done.status, toy.Branch.objects.get().rate) == ("clean", 3)


# Its limit


@pytest.mark.parametrize(
    ("limit", "writes"),
    [
        ({"rows": 3}, True),
        ({"rows": 2}, False),
        ({"share": 0.15}, True),
        ({"share": 0.14}, False),
        ({"rows": 50, "share": 0.14}, False),
        ({"rows": 2, "share": 1}, False),
    ],
    ids=str,
)
def test_both_limits_hold_and_what_would_be_more_waits_for_a_person(rule, limit, writes):
    rule.automatic = Automatic("recompute", **limit)
    done = broken(rule)
    assert (done.exit_code, wrong()) == ((0, 0) if writes else (1, 3))
    assert repairs().get().status == ("clean" if writes else "refused")


def test_the_brake_of_every_repair_holds_beside_its_limit(rule, settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 2, "MAX_AFFECTED_SHARE": 0.05}
    rule.automatic = Automatic("recompute", rows=1_000)
    done = broken(rule)
    assert (done.exit_code, wrong()) == (1, 3)
    assert "waits for a person" in done.report.rules[0].notes[0]


def test_one_that_waits_is_seen_in_the_note_in_runs_and_in_health(rule):
    rule.automatic = Automatic("recompute", rows=2)
    said = "3 rows of toy_account would be written, and an automatic repair may write 2 rows"
    assert said in broken(rule).report.rules[0].notes[0]
    assert said in manage("integrity", "runs", "--verb", "repair", "--format", "json").json["runs"][0]["error"]
    check = next(c for c in recorded_health([rule]).checks if c.what.startswith("automatic repairs"))
    assert (check.found, check.of, check.status, said in check.note) == (1, 1, "degraded", True)


def test_one_that_waits_is_not_tried_again_while_nothing_is_otherwise(rule):
    rule.automatic = Automatic("recompute", rows=2)
    broken(rule)
    done = run_now([rule])
    assert (done.exit_code, repairs().count()) == (1, 1)
    assert "waits, because run" in done.report.rules[0].notes[0]


def test_one_that_waits_goes_on_when_less_is_wrong_or_more_is_allowed(rule):
    rule.automatic = Automatic("recompute", rows=2)
    broken(rule)
    execute("UPDATE toy_account SET balance = 3 WHERE id = 3")
    assert run_now([rule]).exit_code == 0
    broken(rule)
    rule.automatic = Automatic("recompute", rows=3)
    assert run_now([rule]).exit_code == 0


def test_one_that_can_put_nothing_right_is_not_tried_again_until_something_else_is_wrong():
    trims = declared(
        Derived,
        toy.Ledger,
        "total",
        truth="column",
        equals=Sum("postings__amount"),
        name="trimmed",
        repairs={"trim": Trim("postings", amount="amount")},
        automatic=Automatic("trim", rows=50),
    )
    toy.Ledger.objects.create(id=1, total=10)
    with registered(trims):
        assert [run_now([trims]).exit_code for _ in range(2)] == [1, 1]
        assert repairs().count() == 1
        assert readiness(trims, 1).why == f"run {repairs().get().pk} could put none of the violations right"
        toy.Ledger.objects.create(id=2, total=5)
        toy.Posting.objects.create(ledger_id=2, amount=7)
        run_now([trims])
    assert toy.Posting.objects.get().amount == 5


def test_what_a_look_at_changes_has_found_is_repaired_too(monkeypatch):
    mileage = registry.get("players.mileage_adds_up")
    monkeypatch.setattr(mileage, "automatic", Automatic("recalculate_from_player", rows=5))
    monkeypatch.setattr(mileage, "sweep", "1d")
    run_now([mileage])
    make_player(7, rides=[5])
    done = run_due([mileage], now=timezone.now() + datetime.timedelta(minutes=6))
    (look,) = done.report.rules
    assert (look.changed, look.violations, look.changes, done.exit_code) == (1, 0, 1, 0), look.notes


# Never in a circle


def again_and_again(rule, times=IN_VAIN):
    for _ in range(times):
        assert broken(rule).exit_code == 0


def test_one_that_does_not_hold_three_times_within_a_day_is_stopped(rule):
    again_and_again(rule)
    done = broken(rule)
    assert (done.exit_code, wrong(), repairs().count()) == (1, 3, IN_VAIN)
    assert "stopped, because 3 repairs within a day did not hold" in done.report.rules[0].notes[0]
    assert f"manage.py integrity resume {rule.label}" in done.report.rules[0].notes[0]
    check = next(c for c in recorded_health([rule]).checks if c.what.startswith("automatic repairs"))
    assert (check.found, "stopped" in check.note) == (1, True)


def test_one_that_repairs_other_rows_each_time_goes_on(rule):
    for number in range(1, IN_VAIN + 3):
        execute(f"UPDATE toy_account SET balance = 9 WHERE id = {number}")
        assert run_now([rule]).exit_code == 0


def test_one_that_does_not_hold_once_in_a_while_goes_on(rule):
    for _ in range(IN_VAIN + 2):
        assert broken(rule).exit_code == 0
        for run in repairs():
            Run.objects.filter(pk=run.pk).update(started_at=run.started_at - datetime.timedelta(hours=13))


def test_one_that_held_for_long_is_not_stopped_for_what_was_before(rule):
    again_and_again(rule)
    long_ago = datetime.timedelta(days=14)
    Run.objects.update(started_at=F("started_at") - long_ago)
    assert broken(rule).exit_code == 0


def test_one_that_is_stopped_stays_so_for_as_long_as_nobody_acts(rule):
    again_and_again(rule)
    assert broken(rule).exit_code == 1
    Run.objects.update(started_at=F("started_at") - datetime.timedelta(days=14))
    assert (run_now([rule]).exit_code, repairs().count()) == (1, IN_VAIN)


def test_one_that_fails_is_not_tried_without_end(rule, monkeypatch):
    def fails(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(type(rule.repairs["recompute"][0]), "plan", fails)
    codes = [broken(rule).exit_code for _ in range(IN_VAIN + 1)]
    assert (codes, repairs().count()) == ([3] * IN_VAIN + [1], IN_VAIN)


def test_one_that_somebody_took_back_is_suspended(rule):
    broken(rule)
    taken_back = undo(repairs().get().pk, actor="ann")
    done = run_now([rule])
    assert (done.exit_code, wrong(), repairs().count()) == (1, 3, 1)
    said = f"suspended, because run {repairs().get().pk} was taken back by run {taken_back.run} (ann)"
    assert said in done.report.rules[0].notes[0]


def test_a_dry_run_of_an_undo_suspends_nothing_and_neither_does_an_undo_that_was_undone(rule):
    broken(rule)
    undo(repairs().get().pk, dry_run=True)
    assert readiness(rule).word == "ready"
    undo(undo(repairs().get().pk).run)
    assert readiness(rule).word == "ready"


def test_a_repair_by_hand_lets_it_go_on(rule):
    broken(rule)
    undo(repairs().get().pk)
    repair([(rule, "recompute")], actor="ann")
    assert broken(rule).exit_code == 0


def test_a_dry_run_by_hand_does_not(rule):
    broken(rule)
    undo(repairs().get().pk)
    repair([(rule, "recompute")], actor="ann", dry_run=True)
    assert run_now([rule]).exit_code == 1


def test_a_person_may_resume_it_and_is_recorded_with_the_reason(rule):
    again_and_again(rule)
    broken(rule)
    done = manage("integrity", "resume", rule.label, "--reason", "the import is mended")
    assert (done.code, "goes on with the next look" in done.out) == (0, True)
    run = Run.objects.latest("id")
    assert (run.verb, run.reason, run.results.get().rule) == ("resume", "the import is mended", rule.label)
    assert run_now([rule]).exit_code == 0


def test_there_is_nothing_to_resume_where_nothing_keeps_it(rule):
    with pytest.raises(UsageError, match="is ready"):
        resume(rule)
    with pytest.raises(UsageError, match="declares no automatic repair"):
        resume(declared(Unique, toy.Club, by=["points"], name="other"))


def test_one_that_somebody_is_at_already_is_left_to_them(rule):
    run = Run.objects.create(
        verb="repair",
        actor="bob",
        database="default",
        host="elsewhere",
        pid=1,
        started_at=datetime.datetime.now(datetime.UTC),
        heartbeat_at=datetime.datetime.now(datetime.UTC),
    )
    Result.objects.create(run=run, rule=rule.label, database="default", writes=True)
    done = broken(rule)
    assert (done.exit_code, wrong()) == (1, 3)
    assert f"was not begun: Run {run.pk} (repair by bob" in done.report.rules[0].notes[0]


# After an import


def alias_once(**limit):
    return declared(
        Unique,
        Squad,
        by=["alias"],
        where=Q(alias__gt=""),
        keep="id",
        name="alias_once",
        repairs={"keep_one": KeepOne()},
        automatic=Automatic("keep_one", **limit),
    )


def test_an_import_is_followed_by_the_repairs_of_what_it_concerns():
    feeds.imported(feeds.squad(name="A", id=1), feeds.squad(name="B", id=2))
    rule = alias_once(rows=5)
    with registered(rule):
        execute("UPDATE toy_squad SET alias = 'same'")
        done = feeds.imported(
            feeds.squad(name="A", id=1, alias="same"), feeds.squad(name="B", id=2, alias="same", rating=5)
        )
    run = repairs().get()
    assert (done.exit_code, run.of_id, run.status) == (0, done.run, "clean")
    assert f"led to run {run.pk}" in done.rules[0].notes[-1]
    assert Squad.objects.filter(alias="same").count() == 1
    assert done.as_json()["repairs"][0]["run"] == run.pk


def test_an_import_that_wrote_nothing_or_a_dry_run_of_one_is_followed_by_none():
    feeds.imported(feeds.squad(name="A", id=1), feeds.squad(name="B", id=2))
    with registered(alias_once(rows=5)):
        execute("UPDATE toy_squad SET alias = 'same'")
        squads = [feeds.squad(name=name, id=i, alias="same") for i, name in enumerate("AB", 1)]
        feeds.imported(*squads)
        squads[0]["rating"] = 5
        feeds.imported(*squads, dry_run=True)
    assert not repairs().exists()


def test_beyond_its_limit_the_import_ends_with_1_and_stays_complete():
    feeds.imported(*(feeds.squad(name=name, id=i) for i, name in enumerate("ABC", 1)))
    with registered(alias_once(rows=1)):
        execute("UPDATE toy_squad SET alias = 'same'")
        squads = [feeds.squad(name=name, id=i, alias="same", rating=5) for i, name in enumerate("ABC", 1)]
        done = feeds.imported(*squads)
    assert (done.exit_code, Run.objects.get(pk=done.run).status, Squad.objects.count()) == (1, "clean", 3)
    assert "waits for a person" in done.rules[0].notes[-1]


# Wrong declarations


@pytest.mark.parametrize(
    ("automatic", "said"),
    [
        (Automatic("recompute_all", rows=5), "names the repair 'recompute_all', which it does not have"),
        (Automatic("recompute"), "has no limit"),
        (Automatic("recompute", rows=0), "allows 0 rows"),
        (Automatic("recompute", share=5), "allows a share of 5"),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_told_when_django_starts(automatic, said):
    (problem,) = balance(automatic).check()
    assert (problem.id, said in problem.msg, bool(problem.hint)) == ("integrity.E002", True, True)


def test_a_repair_that_makes_a_whole_table_anew_is_never_automatic():
    rule = declared(
        Unique,
        toy.Sale,
        by=["region", "amount"],
        keep="id",
        repairs={"rebuild": Rebuild(backup="sales_backup")},
        automatic=Automatic("rebuild", rows=5),
    )
    assert any("makes a whole table anew" in problem.msg for problem in rule.check())


def test_rules_tell_which_repair_is_automatic_and_up_to_how_much(rule):
    rule.automatic = Automatic("recompute", rows=1_000, share=0.01)
    said = "automatic: recompute, up to 1,000 rows and 1% of the table"
    assert said in manage("integrity", "rules", "toy").words
    (told,) = manage("integrity", "rules", "toy", "--format", "json").json["rules"]
    assert told["automatic"] == {"strategy": "recompute", "rows": 1000, "share": 0.01}


def test_nothing_of_it_escapes_the_journal(rule):
    broken(rule)
    assert Change.objects.filter(run=repairs().get()).count() == 3
