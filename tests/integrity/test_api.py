"""The engine's API: what is read, tried, done and taken back by programs."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from integrity import engine
from integrity.alerts.models import AlertDelivery
from integrity.apikeys import SCOPES, create_key
from integrity.models import Change, Run, Violation
from integrity.registry import registry
from integrity.workers import queue
from players.models import HourlyMetric
from tests.players.factories import make_player

pytestmark = pytest.mark.django_db
RULE = "players.mileage_adds_up"


class Program:
    """What sends a key."""

    def __init__(self, *scopes):
        self.client = Client(headers={"X-Api-Key": create_key("nightly", scopes, by="ann")[0]})

    def get(self, path, status=200, /, **query):
        return self._told(self.client.get(self._address(path), query), status)

    def post(self, path, status=200, /, **body):
        return self._told(self.client.post(self._address(path), body, content_type="application/json"), status)

    @staticmethod
    def _address(path):
        return path if path.startswith("/") else f"/api/integrity/{path}"

    @staticmethod
    def _told(answer, status):
        told = answer.json()
        assert answer.status_code == status, told
        return told


@pytest.fixture
def program():
    return Program(*SCOPES)


@pytest.fixture
def wrong():
    """A player of whom three kilometres more are in the master than in history."""
    return make_player(stored=7, rides=[4])


@pytest.fixture
def violation(wrong):
    engine.analyze([registry.get(RULE)])
    return Violation.objects.get()


# What is declared


def test_rules_are_told_in_the_words_of_the_command(program):
    told = program.get("rules", app="players", severity="error")
    assert (told["verb"], told["status"]) == ("rules", "clean")
    rule = next(rule for rule in told["rules"] if rule["rule"] == RULE)
    assert rule["because"] == registry.get(RULE).because
    assert "recalculate_from_player" in rule["repairs"]
    assert {rule["rule"].split(".")[0] for rule in told["rules"]} == {"players"}
    assert program.get("rules", tag="nothing")["rules"] == []


def test_a_rule_tells_what_it_declares_what_cures_it_and_what_was_found(program, violation):
    told = program.get(f"rules/{RULE}")
    assert "Sum(F(hourly_metrics__distance_km))" in told["declaration"]["equals"]
    assert told["declaration"]["truth"] == "column"
    assert (told["last"]["status"], told["last"]["violations"], told["open"]) == ("violated", 1, 1)
    strategy = next(one for one in told["strategies"] if one["strategy"] == "recalculate_from_player")
    assert strategy["writes"] == ["players_hourlymetric"]
    assert not strategy["whole_table"]


def test_a_rule_that_nobody_has_looked_at_is_told_to_be_so(program):
    told = program.get(f"rules/{RULE}")
    assert (told["last"], told["last_looked"]) == (None, None)


def test_every_rule_can_be_told_in_full(program):
    for rule in registry:
        assert program.get(f"rules/{rule.label}")["rule"] == rule.label
        assert program.get(f"rules/{rule.label}/sql")["sql"].startswith("SELECT")


def test_the_sql_of_a_rule_may_be_limited_to_a_key(program, wrong):
    assert f"{wrong.pk}" in program.get(f"rules/{RULE}/sql", key=str(wrong.pk))["sql"]
    assert "is not a key of players.Player" in program.get(f"rules/{RULE}/sql", 422, key="x")["detail"]


def test_what_is_not_declared_is_not_there(program):
    assert program.get("rules/players.nope", 404)["detail"].startswith("Unknown rule 'players.nope'. Known: ")
    assert program.get("rules/players.nope/sql", 404)["status"] == 404


# Health


def test_what_was_not_looked_at_is_never_healthy(program, wrong):
    before = program.get("health", app="players")
    assert before["health"] == "not checked"
    assert "score" in before["formula"]
    engine.analyze([rule for rule in registry if rule.app == "players"])
    after = program.get("health", app="players")
    (app,) = after["apps"]
    assert (after["health"], app["app"], app["violations"]["error"] > 0) == ("degraded", "players", True)
    check = next(check for check in after["checks"] if check["rule"] == RULE)
    assert (check["status"], check["found"], check["of"]) == ("degraded", 1, 1)


def test_health_asks_no_rule(program, wrong):
    program.get("health")
    assert not Run.objects.exists()
    assert program.get("health", 422, app="nope")["errors"][0]["field"] == "app"


# Violations


def test_a_violation_is_told_with_the_sql_that_finds_it_and_what_cures_it(program, violation, wrong):
    told = program.get(f"violations/{violation.pk}")
    assert (told["key"], told["actual"], told["expected"]) == ({"id": wrong.pk}, "7.00000", "4.00000")
    assert (told["status"], told["severity"], told["run"]) == ("open", "error", violation.run_id)
    assert told["because"] == registry.get(RULE).because
    assert f"{wrong.pk}" in told["sql"]
    assert "recalculate_from_player" in {one["strategy"] for one in told["strategies"]}


def test_a_violation_of_a_rule_that_is_declared_no_more_is_told_without_it(program, violation):
    Violation.objects.update(rule="players.gone")
    told = program.get(f"violations/{violation.pk}")
    assert (told["severity"], told["sql"], told["strategies"]) == (None, None, [])
    assert program.post(f"violations/{violation.pk}/accept", 404, because="why not")["status"] == 404


def test_violations_are_found_by_filters(program, violation, wrong):
    def found(**query):
        return [one["id"] for one in program.get("violations", **query)["violations"]]

    mine = [violation.pk]
    assert found(rule=RULE, key=str(wrong.pk), status="open") == mine
    assert found(app="players", severity="error") == mine
    assert found(since=(timezone.now() - timedelta(minutes=1)).isoformat()) == mine
    assert found(since=(timezone.now() + timedelta(minutes=1)).isoformat()) == []
    assert found(app="play") == found(status="resolved") == found(severity="info") == found(rule="x") == []
    assert found(rule=RULE, key="999999") == []
    assert program.get("violations", 422, key="1")["errors"][0]["field"] == "rule"
    assert program.get("violations", 422, key="x", rule=RULE)["errors"][0]["field"] == "key"


def test_pages_follow_each_other_whatever_comes_between(program):
    for _ in range(3):
        make_player(stored=7, rides=[4])
    engine.analyze([registry.get(RULE)])
    first = program.get("violations", rule=RULE, limit=2)
    assert "rule=players.mileage_adds_up" in first["next"]
    Violation.objects.filter(pk=first["violations"][0]["id"]).delete()
    last = program.get(first["next"])
    ids = [one["id"] for one in first["violations"] + last["violations"]]
    assert (len(ids), ids, last["next"]) == (3, sorted(set(ids)), None)


def test_a_dry_run_of_one_violation_tells_what_would_be_written(program, violation):
    path = f"violations/{violation.pk}/dry-run?strategy=recalculate_from_player"
    told = program.post(path)
    (result,) = told["rules"]
    assert (told["dry_run"], told["changes"], result["planned"][0]["table"]) == (True, 1, "players_hourlymetric")
    assert result["planned"][0]["new"]["distance_km"] == "3.00000"
    assert not HourlyMetric.objects.filter(is_adjustment=True).exists()
    run = Run.objects.get(pk=told["run"])
    assert (run.actor, run.keys) == ("key nightly", {RULE: [violation.key]})
    assert "choose a strategy: " in program.post(f"violations/{violation.pk}/dry-run", 422)["detail"]


def test_a_violation_is_accepted_and_the_acceptance_taken_back(program, violation):
    until = (timezone.now() + timedelta(days=1)).isoformat()
    told = program.post(f"violations/{violation.pk}/accept", because="device lost", until=until)
    assert (told["status"], told["accepted_by"], told["accepted_because"]) == ("accepted", "key nightly", "device lost")
    assert program.post("analyze", rules=[RULE])["rules"][0]["violations"] == 0
    assert program.post(f"violations/{violation.pk}/revoke")["status"] == "open"
    assert program.post("analyze", rules=[RULE])["rules"][0]["violations"] == 1
    assert "no accepted exception" in program.post(f"violations/{violation.pk}/revoke", 422)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "because"),
        ({"because": " "}, "because"),
        ({"because": "x", "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"because": "x", "until": "tomorrow"}, "until"),
        ({"because": "x", "colour": "red"}, "colour"),
    ],
)
def test_an_acceptance_that_cannot_be_is_refused_by_field(program, violation, body, field):
    assert program.post(f"violations/{violation.pk}/accept", 422, **body)["errors"][0]["field"] == field


# The verbs


def test_an_analysis_is_the_report_of_the_command(program, wrong):
    told = program.post("analyze", rules=[RULE], keys=[wrong.pk])
    (result,) = told["rules"]
    assert (told["verb"], told["status"], result["violations"], result["checked"]) == ("analyze", "violated", 1, 1)
    assert result["sample"][0]["key"] == {"id": wrong.pk}
    assert Run.objects.get(pk=told["run"]).actor == "key nightly"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rules": ["players.nope"]}, "rules"),
        ({"tags": ["nope"]}, "tags"),
        ({"database": "nope"}, "database"),
        ({"keys": [1]}, "keys"),
        ({"rules": [RULE], "keys": ["x"]}, "keys"),
        ({"rules": [RULE], "keys": [{"nope": 1}]}, "keys"),
        ({"rules": [RULE], "keys": []}, "keys"),
        ({"rules": [RULE], "changed": True, "keys": [1]}, "keys"),
        ({"rules": ["players.mileage_adds_up"], "sample": 0}, "sample"),
        ({"rule": RULE}, "rule"),
    ],
)
def test_an_analysis_that_cannot_be_is_refused_by_field(program, body, field):
    assert program.post("analyze", 422, **body)["errors"][0]["field"] == field
    assert not Run.objects.exists()


def test_a_repair_is_tried_done_looked_at_verified_and_taken_back(program, wrong):
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "keys": [{"id": wrong.pk}], "reason": "lost"}
    assert program.post("repair", **asked, dry_run=True)["status"] == "violated"
    assert not Change.objects.exists()
    done = program.post("repair", **asked)
    assert (done["status"], done["changes"]) == ("clean", 1)
    run = program.get(f"runs/{done['run']}")
    assert (run["actor"], run["reason"], run["results"][0]["changes"]) == ("key nightly", "lost", 1)
    assert (run["progress"]["unit"], run["progress"]["done"], run["progress"]["share"]) == ("keys", 1, 1)
    (change,) = program.get(f"runs/{done['run']}/changes", rule=RULE)["changes"]
    assert (change["op"], change["before"], change["after"]["distance_km"]) == ("insert", None, "3.00000")
    assert program.post(f"runs/{done['run']}/verify")["status"] == "clean"
    assert program.post(f"runs/{done['run']}/undo", reason="tried", dry_run=True)["changes"] == 1
    undone = program.post(f"runs/{done['run']}/undo", reason="tried", rule=RULE, keys=[wrong.pk])
    assert (undone["verb"], undone["changes"]) == ("undo", 1)
    assert not HourlyMetric.objects.filter(is_adjustment=True).exists()
    assert program.get(f"runs/{done['run']}/changes")["changes"][0]["undone_by"] == undone["run"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"rules": []}, "rules"),
        ({"rules": ["nope"]}, "rules"),
        ({"strategy": None}, "strategy"),
        ({"strategy": "nope"}, "strategy"),
        ({"max_affected": "all", "confirm": True}, "max_affected"),
        ({"max_affected": "30%"}, "confirm"),
        ({"dry_run": "yes"}, "dry_run"),
    ],
)
def test_a_repair_that_cannot_be_is_refused_by_field(program, wrong, body, field):
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "reason": "lost"} | body
    assert program.post("repair", 422, **asked)["errors"][0]["field"] == field
    assert not Run.objects.exists()


def test_the_brake_stops_a_repair_until_it_is_opened_on_purpose(program, settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 0, "MAX_AFFECTED_SHARE": 0.01}
    make_player(stored=7, rides=[4])
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "reason": "lost"}
    assert program.post("repair", **asked)["status"] == "refused"
    assert program.post("repair", **asked, max_affected="100%", confirm=True)["status"] == "clean"


def test_the_run_that_works_on_a_rule_is_named(program, wrong):
    from integrity.leases import take

    run, _ = take([(RULE, "recalculate_from_player")], "repair", actor="ann", options={})
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "reason": "lost"}
    told = program.post("repair", 409, **asked)
    assert told["detail"].startswith(f"Run {run.pk} (repair by ann on ")
    assert re.search(rf"has been working on {RULE} for \d+ s", told["detail"])
    assert program.post(f"runs/{run.pk}/pause")["asked"] == "pause"
    assert program.post(f"runs/{run.pk}/resume")["asked"] is None
    assert program.post(f"runs/{run.pk}/cancel")["asked_by"] == "key nightly"
    assert "was cancelled by key nightly" in program.post(f"runs/{run.pk}/resume", 422)["detail"]


def test_what_wrote_nothing_is_neither_verified_nor_undone(program, violation):
    assert "nothing to verify" in program.post(f"runs/{violation.run_id}/verify", 422)["detail"]
    assert program.post(f"runs/{violation.run_id}/undo", 422, reason="x")["status"] == 422
    assert program.post("runs/999999/undo", 404, reason="x")["detail"] == "There is no run 999999."
    assert program.post(f"runs/{violation.run_id}/undo", 422, reason="x", keys=[1])["errors"][0]["field"] == "rule"
    assert program.post("runs/999999/cancel", 404)["status"] == 404


def test_a_rule_that_is_not_to_be_enforced_is_refused(program):
    told = program.post("enforce", 422, rules=[RULE], reason="why not")
    assert told["errors"][0]["field"] == "rules"
    assert "is not declared to be enforced" in told["detail"]


def test_what_enforcement_would_do_is_told(program):
    rule = next(rule for rule in registry if rule.enforce)
    told = program.post("enforce", rules=[rule.label], reason="to see", dry_run=True)
    assert (told["verb"], told["dry_run"], told["rules"][0]["rule"]) == ("enforce", True, rule.label)


# Runs


@pytest.mark.parametrize("verb", Run.Verb.values)
def test_runs_of_every_verb_are_found(program, verb):
    assert program.get("runs", verb=verb)["runs"] == []


def test_runs_are_found_by_filters_the_latest_first(program, wrong):
    for actor in ("ann", "bob", "ann"):
        engine.analyze([registry.get(RULE)], actor=actor)
    numbers = list(Run.objects.order_by("-pk").values_list("pk", flat=True))

    def found(**query):
        return [run["run"] for run in program.get("runs", **query)["runs"]]

    assert found() == found(verb="analyze", status="violated", rule=RULE) == numbers
    assert found(actor="bob") == [numbers[1]]
    assert found(verb="repair") == found(rule="nope") == []
    assert found(since=(timezone.now() + timedelta(minutes=1)).isoformat()) == []
    first = program.get("runs", limit=2)
    assert [run["run"] for run in program.get(first["next"])["runs"]] == numbers[2:]


# The time of a request


def test_what_took_too_long_the_last_time_is_put_off_and_told_where(program, wrong):
    run = engine.analyze([registry.get(RULE)]).run
    Run.objects.get(pk=run).results.update(seconds=45)
    answer = program.client.post("/api/integrity/analyze", {"rules": [RULE]}, content_type="application/json")
    told = answer.json()
    assert (answer.status_code, told["status"], told["actor"]) == (202, "queued", "key nightly")
    assert answer["Location"] == f"/api/integrity/runs/{told['run']}"
    assert program.get(answer["Location"])["status"] == "queued"
    assert program.post("analyze?wait=1", rules=[RULE])["status"] == "violated"


def test_an_undo_of_one_rule_that_would_take_too_long_is_put_off_for_that_rule(program, wrong, monkeypatch):
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "keys": [wrong.pk], "reason": "lost"}
    done = program.post("repair", **asked)
    monkeypatch.setattr("integrity.api.runs.ROWS_A_SECOND", 0.01)
    told = program.post(f"runs/{done['run']}/undo", 202, rule=RULE, reason="wrong way")
    run = Run.objects.get(pk=told["run"])
    assert (run.status, run.reason, run.options["call"]["rule"]) == ("queued", "wrong way", RULE)


def test_without_a_queue_it_is_refused_with_the_command_to_run(program, wrong, monkeypatch):
    monkeypatch.setattr(queue, "APP", "not.installed")
    run = engine.analyze([registry.get(RULE)]).run
    Run.objects.get(pk=run).results.update(seconds=45)
    told = program.post("analyze", 422, rules=[RULE])
    assert told["detail"].startswith("It would take about 45 s, and a request may last 20 s.")
    assert f"Run: manage.py integrity analyze {RULE}, or try it all the same with ?wait=1." in told["detail"]
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "reason": "lost"}
    assert "--strategy recalculate_from_player" in program.post("repair", 422, **asked)["detail"]
    assert Run.objects.count() == 1


def test_what_outlasts_its_time_is_ended_and_never_called_clean(program, wrong, settings):
    settings.INTEGRITY = {"API_SECONDS": 1e-9}
    told = program.post("analyze", 503, rules=[RULE])
    run = Run.objects.get()
    assert f"Run {run.pk} was ended after 1e-09 s" in told["detail"]
    assert (run.status, run.results.get().error) == ("failed", "There was no time left to look at it.")
    asked = {"rules": [RULE], "strategy": "recalculate_from_player", "keys": [wrong.pk], "reason": "lost"}
    assert "nothing was written" in program.post("repair", 503, **asked)["detail"]
    assert not Change.objects.exists()
    assert not Run.objects.filter(status="running").exists()


# Alerts


def test_alerts_tell_what_is_wrong_and_what_did_not_arrive_is_sent_again(program, wrong, settings):
    settings.INTEGRITY_ALERTS = [{"type": "log", "name": "lines"}]
    engine.analyze([registry.get(RULE)])
    AlertDelivery.objects.update(status="failed", attempts=7, last_error="404 Not Found")
    told = program.get("alerts")
    assert [(one["rule"], one["what"]) for one in told["now"]] == [(RULE, "fails")]
    (alert,) = told["alerts"]
    assert (told["given_up"], alert["deliveries"][0]["error"]) == (1, "404 Not Found")
    assert program.get("alerts", since=(timezone.now() + timedelta(minutes=1)).isoformat())["alerts"] == []
    again = program.post(f"alerts/{alert['alert']}/send-again")
    assert again["deliveries"][0]["status"] == "waiting"
    AlertDelivery.objects.update(status="sent")
    assert "has arrived everywhere" in program.post(f"alerts/{alert['alert']}/send-again", 422)["detail"]
    assert program.post("alerts/999999/send-again", 404)["status"] == 404
