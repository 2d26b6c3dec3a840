"""What is due is looked at once: told by the records, whoever else asks, and whoever was killed before."""

import datetime
import socket

import pytest
from django.db.models import Q
from django.utils import timezone

from integrity import Always
from integrity.looks import last_looks
from integrity.models import Result, Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.schedules import scheduling
from integrity.schedules.scheduling import CHANGES, EVERYTHING, due, next_look, run_due, run_now
from tests.command_line import manage
from tests.integrity.helpers import declared, execute, registered
from tests.integrity.looks import NOW, ago, looked
from tests.integrity.worlds import WORLDS, WRONG, scheduled
from tests.toy import models as toy

pytestmark = pytest.mark.django_db
MINUTE = datetime.timedelta(minutes=1)


def positive(**options):
    return declared(Always, toy.Account, Q(balance__gte=0), **{"name": "positive", "every": "1h", **options})


@pytest.fixture
def hourly():
    rule = positive()
    with registered(rule):
        yield rule


def due_of(*rules, now=NOW):
    return [(one.rule.name, one.what) for one in due(rules, now)]


def test_what_was_never_looked_at_is_due(hourly):
    assert due_of(hourly) == [("positive", EVERYTHING)]


def test_what_has_no_schedule_is_never_due():
    assert due_of(positive(every=None)) == []


@pytest.mark.parametrize(("minutes", "is_due"), [(50, False), (60, True)])
def test_what_was_looked_at_is_due_again_when_its_time_has_come(hourly, minutes, is_due):
    looked(hourly, ago(minutes=minutes))
    assert bool(due([hourly], NOW)) == is_due


def test_a_look_at_some_keys_and_one_in_another_database_are_none(hourly):
    looked(hourly, ago(minutes=1), keys=[1])
    looked(hourly, ago(minutes=1), database="replica")
    assert due_of(hourly) == [("positive", EVERYTHING)]


def test_whoever_looked_the_schedule_is_kept(hourly):
    manage("integrity", "analyze", hourly.label)
    assert due([hourly]) == []


@pytest.mark.parametrize(("minutes", "is_due"), [(10, False), (15, True)])
def test_a_look_that_failed_is_due_again_a_little_later(hourly, minutes, is_due):
    looked(hourly, ago(minutes=90))
    looked(hourly, ago(minutes=minutes), None, status="failed")
    assert bool(due([hourly], NOW)) == is_due


def test_a_rule_with_a_sweep_is_looked_at_as_a_whole_first_and_at_changes_in_between():
    rule = positive(every="5m", sweep="1d", tracked=True)
    assert due_of(rule) == [("positive", EVERYTHING)]
    looked(rule, ago(minutes=6))
    assert due_of(rule) == [("positive", CHANGES)]
    looked(rule, ago(minutes=1), changed=0)
    assert due_of(rule) == []
    assert due_of(rule, now=NOW + datetime.timedelta(days=1)) == [("positive", EVERYTHING)]


def test_the_next_look_is_told_for_each_rule(hourly):
    assert next_look(hourly, last_looks([hourly])[hourly.label], NOW) == NOW
    looked(hourly, ago(minutes=50))
    assert next_look(hourly, last_looks([hourly])[hourly.label], NOW) == NOW + 10 * MINUTE
    looked(hourly, ago(minutes=5), None, status="failed")
    assert NOW + 9 * MINUTE < next_look(hourly, last_looks([hourly])[hourly.label], NOW) <= NOW + 10 * MINUTE
    assert next_look(positive(every=None), last_looks([hourly])[hourly.label], NOW) is None


def test_what_is_due_is_looked_at_once_and_the_next_call_looks_at_nothing(hourly):
    toy.Account.objects.create(balance=-1)
    done = run_due([hourly], actor="ann")
    assert (done.exit_code, done.report.rules[0].violations, done.report.status) == (1, 1, "violated")
    assert list(Run.objects.order_by("id").values_list("verb", "of", "actor", "status")) == [
        ("run", None, "ann", "violated"),
        ("analyze", done.report.run, "ann", "violated"),
    ]
    again = run_due([hourly], actor="ann")
    assert (again.report, again.due, again.exit_code, Run.objects.count()) == (None, [], 0, 2)


def test_only_the_rules_that_are_asked_for_are_looked_at(hourly):
    other = positive(name="other")
    with registered(other):
        assert [rule.rule for rule in run_due([other]).report.rules] == ["toy.other"]


def test_a_rule_that_is_named_is_looked_at_whether_it_is_due_or_not(hourly):
    looked(hourly, ago(minutes=0))
    assert [rule.rule for rule in run_now([hourly]).report.rules] == [hourly.label]


def test_what_could_not_be_looked_at_ends_it_with_3_and_leaves_the_others(hourly):
    lost = declared(Always, toy.Line, Q(quantity__gte=0), every="1h", name="lost")
    with registered(lost):
        execute("ALTER TABLE toy_line RENAME TO toy_line_away")
        done = run_due([lost, hourly])
        execute("ALTER TABLE toy_line_away RENAME TO toy_line")
    assert done.exit_code == 3
    assert [rule.status for rule in done.report.rules] == ["failed", "clean"]


def test_what_has_changed_is_looked_at_between_the_sweeps(monkeypatch):
    rule = registry.get("players.mileage_adds_up")
    monkeypatch.setattr(rule, "every", "5m")
    monkeypatch.setattr(rule, "sweep", "1d")
    assert run_due([rule]).report.rules[0].changed is None
    assert run_due([rule], now=timezone.now() + 20 * MINUTE).report.rules[0].changed == 0


# The command


def test_the_command_looks_at_what_is_due_and_says_when_nothing_is(hourly):
    toy.Account.objects.create(balance=-1)
    done = manage("integrity", "run", "toy", "--due")
    assert (done.code, "toy.positive" in done.out, "Run " in done.out) == (1, True, True)
    again = manage("integrity", "run", "toy", "--due")
    assert (again.code, again.out.strip()) == (0, "Nothing is due.")


def test_a_dry_run_tells_what_is_due_and_since_when_and_looks_at_nothing(hourly):
    run = looked(hourly, ago(hours=3))
    done = manage("integrity", "run", "toy", "--due", "--dry-run", "--format", "json")
    assert (done.code, done.json["run"], done.json["dry_run"]) == (0, None, True)
    (one,) = done.json["due"]
    assert (one["rule"], one["look"], one["schedule"]) == ("toy.positive", "everything", "1h")
    assert [datetime.datetime.fromisoformat(one[part]) for part in ("last", "since")] == [ago(hours=3), ago(hours=2)]
    assert "every 1h" in manage("integrity", "run", "toy", "--due", "--dry-run").out
    assert Run.objects.latest("id") == run


def test_the_json_has_the_keys_of_every_report_and_its_own(hourly):
    toy.Account.objects.create(balance=-1)
    done = manage("integrity", "run", "toy", "--due", "--format", "json")
    assert {"run", "verb", "status", "rules", "changes", "due", "repairs", "busy"} <= done.json.keys()
    assert (done.json["verb"], done.json["status"], done.json["rules"][0]["violations"]) == ("run", "violated", 1)
    quiet = manage("integrity", "run", "toy", "--due", "--format", "json").json
    assert (quiet["run"], quiet["status"], quiet["rules"], quiet["due"]) == (None, "clean", [], [])


def test_csv_has_a_line_for_each_violation_and_in_a_dry_run_for_each_rule(hourly):
    toy.Account.objects.create(balance=-1)
    assert (
        "toy.positive,everything,every 1h"
        in manage("integrity", "run", "toy", "--due", "--dry-run", "--format", "csv").out
    )
    assert "toy.positive,violated" in manage("integrity", "run", "toy", "--due", "--format", "csv").out


@pytest.mark.parametrize("words", [[], ["toy", "--dry-run"]])
def test_without_due_it_needs_to_be_told_what_to_look_at(hourly, words):
    done = manage("integrity", "run", *words)
    assert (done.code, "--due" in done.words) == (2, True)


def test_rules_tell_their_schedule_and_the_next_look(hourly):
    looked(hourly, ago(minutes=10))
    (told,) = manage("integrity", "rules", "toy", "--format", "json").json["rules"]
    assert (told["every"], told["sweep"]) == ("1h", None)
    assert datetime.datetime.fromisoformat(told["next"]) == NOW + 50 * MINUTE
    assert f"schedule: every 1h; next {NOW + 50 * MINUTE:%Y-%m-%d %H:%M}" in manage("integrity", "rules", "toy").out
    assert "1h" in manage("integrity", "rules", "toy", "--format", "csv").out


def test_the_look_of_one_that_died_within_it_is_ended_and_made_anew(hourly):
    dead = {"actor": "ann", "database": "default", "host": socket.gethostname(), "pid": 2**22 + 1}
    dead |= {"started_at": ago(minutes=1), "heartbeat_at": ago(minutes=1)}
    run = Run.objects.create(verb="run", **dead)
    Result.objects.create(run=run, rule=scheduling.LEASE, database="default", writes=True)
    look = Run.objects.create(verb="analyze", of=run, **dead)
    done = run_due([hourly])
    look.refresh_from_db()
    assert (done.report.run, done.report.resumed, done.status) == (run.pk, True, "clean")
    assert (look.status, "had not come to are due still" in look.error) == ("failed", True)


# Processes that meet, and processes that die


@pytest.fixture
def wrong_accounts(transactional_db):
    WORLDS["accounts"].make()


@pytest.mark.usefixtures("wrong_accounts")
def test_a_second_one_at_the_same_time_looks_at_nothing_and_tells_who_is_at_it(processes):
    first = processes.start("accounts", "run", at="begun").until("begun")
    run = Run.objects.get(verb="run")
    with registered(*(rules := scheduled())):
        second = run_due(rules)
        told = manage("integrity", "run", "toy", "--due")
        asked_for = manage("integrity", "run", "toy")
    assert f"Run {run.pk} (run by ann on" in second.busy
    assert f"process {first.pid}" in second.busy
    assert (told.code, second.busy.partition(" for ")[0] in told.out) == (0, True)
    assert (asked_for.code, f"Run {run.pk} (run by ann on" in asked_for.err) == (3, True)
    assert first.go_on()["status"] == "clean"
    assert Run.objects.filter(verb="run").count() == 1


@pytest.mark.usefixtures("wrong_accounts")
def test_of_two_that_start_at_the_same_instant_one_looks(processes):
    both = [processes.start("accounts", "run", at="begun") for _ in range(2)]
    said = [process.hear() for process in both]
    winner = said.index({"reached": "begun"})
    assert said[1 - winner]["error"] == "RunInProgress"
    assert both[winner].go_on()["changes"] == len(WRONG)


@pytest.mark.usefixtures("wrong_accounts")
@pytest.mark.parametrize("step", ["begun", "analyzed", "healing", "written", "healed"])
def test_one_that_is_killed_is_gone_on_with_by_the_next(processes, step):
    processes.start("accounts", "run", at=step, act="die").result()
    with registered(*(rules := scheduled())):
        # What it had looked at is due no longer, what it had begun to repair is found again.
        Run.objects.filter(verb="analyze").update(started_at=ago(hours=2))
        done = run_due(rules)
    assert (done.report.status, done.report.resumed, done.report.run) == (
        "clean",
        True,
        Run.objects.get(verb="run").pk,
    )
    assert not toy.Account._base_manager.exclude(balance=3).exists()
    assert not Run.objects.filter(status="running").exists()


def test_a_worker_looks_at_what_is_due_each_minute(hourly, monkeypatch):
    from integrity import tasks

    monkeypatch.setattr(scheduling, "registry", [hourly])
    assert tasks.run_due(timestamp=0) == "clean"
    assert Run.objects.get(verb="run").results.get().rule == scheduling.LEASE


class Meanwhile(Observer):
    """Another one has looked at a rule before this one had its turn."""

    def __init__(self, rule):
        self.rule = rule

    def reaches(self, step):
        if step == "begun":
            looked(self.rule, timezone.now())


def test_what_another_one_has_looked_at_before_its_turn_came_is_looked_at_no_more(hourly):
    done = run_due([hourly], observer=Meanwhile(hourly))
    assert (done.due, done.report.rules, done.exit_code) == ([], [], 0)
