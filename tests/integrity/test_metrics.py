"""What Prometheus reads: the records, for a key that may read them; and the files that say what to make of it."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from integrity import Always
from integrity.alerts.models import Alert, AlertDelivery
from integrity.apikeys import create_key, revoke_key
from integrity.engine import analyze
from integrity.metrics.exposition import exposition
from integrity.models import RejectedRow, Run
from integrity.repair import repair
from integrity.workers import later
from tests.command_line import manage
from tests.integrity import worlds
from tests.integrity.helpers import declared, registered
from tests.integrity.looks import ago, looked
from tests.toy import models as toy

pytestmark = pytest.mark.django_db
FILES = Path(__file__).parents[2] / "docs" / "monitoring"


@pytest.fixture
def positive():
    rule = declared(Always, toy.Account, Q(balance__gte=0), name="positive")
    with registered(rule):
        yield rule


def read():
    """Samples by name, each a list of its labels and value."""
    found = {}
    for family in text_string_to_metric_families(exposition()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def of(samples, name, **labels):
    """The one value that has these labels, or None."""
    values = [value for has, value in samples.get(name, []) if labels.items() <= has.items()]
    assert len(values) <= 1
    return values[0] if values else None


def key(*scopes):
    return create_key("prometheus", scopes, by="ann")[0]


def get(client, plain=None):
    return client.get("/metrics", **({"headers": {"Authorization": f"Bearer {plain}"}} if plain else {}))


# Rules


def test_violations_and_rows_of_the_last_look_are_told(positive):
    toy.Account.objects.bulk_create(toy.Account(balance=b) for b in (1, -1, -2))
    analyze([positive])
    samples = read()
    assert of(samples, "integrity_rule_violations", rule="toy.positive") == 2
    assert of(samples, "integrity_rule_checked_rows", rule="toy.positive") == 3
    assert of(samples, "integrity_rule_not_checked", rule="toy.positive") == 0
    age = timezone.now().timestamp() - of(samples, "integrity_rule_last_sweep_timestamp_seconds", rule="toy.positive")
    assert 0 <= age < 60


def test_a_rule_that_was_never_looked_at_has_no_number_of_violations(positive):
    samples = read()
    assert of(samples, "integrity_rule_violations", rule="toy.positive") is None
    assert of(samples, "integrity_rule_not_checked", rule="toy.positive") == 1


def test_a_look_that_failed_says_not_checked(positive):
    looked(positive, ago(minutes=5), 0)
    looked(positive, ago(minutes=1), None, status="failed", checked=None)
    assert of(read(), "integrity_rule_not_checked", rule="toy.positive") == 1


def test_a_scheduled_look_that_has_not_come_is_overdue():
    rule = declared(Always, toy.Account, Q(balance__gte=0), name="hourly", every="1h")
    with registered(rule):
        looked(rule, ago(days=1))
        assert of(read(), "integrity_rule_overdue", rule="toy.hourly") == 1


def test_each_state_of_enforcement_is_told_apart():
    rule = declared(Always, toy.Account, Q(balance__gte=0), name="kept", enforce=True)
    with registered(rule):
        samples = read()
    assert of(samples, "integrity_rule_enforcement", rule="toy.kept", state="missing") == 1
    assert of(samples, "integrity_rule_enforcement", rule="toy.kept", state="enforced") == 0


# Runs


def test_runs_are_counted_by_verb_and_status_with_their_duration(positive):
    looked(positive, ago(hours=2))
    looked(positive, ago(hours=1), 3)
    samples = read()
    assert of(samples, "integrity_runs", verb="analyze", status="violated") == 1
    assert of(samples, "integrity_run_duration_seconds_count", verb="analyze") == 2
    assert of(samples, "integrity_run_duration_seconds_sum", verb="analyze") == 2


def test_a_run_that_is_silent_shows_since_when(positive):
    run = looked(positive, ago(hours=2))
    heard = ago(hours=1)
    Run.objects.filter(pk=run.pk).update(status="running", finished_at=None, heartbeat_at=heard)
    assert of(read(), "integrity_open_run_heard_timestamp_seconds", verb="analyze") == heard.timestamp()


@pytest.mark.parametrize(("dry_run", "wrote"), [(True, None), (False, 10)])
def test_rows_that_a_repair_wrote_are_counted_and_those_of_a_dry_run_are_not(dry_run, wrote):
    world = worlds.WORLDS["accounts"]
    world.make()
    with registered(world.rule):
        assert repair([(world.rule, world.strategy)], dry_run=dry_run).changes == 10
        assert of(read(), "integrity_changes_total", rule=world.rule.label, verb="repair") == wrote


def test_an_import_tells_when_it_went_well_and_what_it_left_out():
    at = ago(hours=3)
    run = looked(declared(Always, toy.Account, Q(), name="any"), at, verb="import")
    Run.objects.filter(pk=run.pk).update(options={"import": "teams.nightly"})
    for field in ("name", "league"):
        RejectedRow.objects.create(run=run, feed="teams", file="teams.csv", row=7, line=8, field=field, reason="empty")
    samples = read()
    assert of(samples, "integrity_import_rejected_rows", **{"import": "teams.nightly"}) == 1
    assert of(samples, "integrity_import_last_clean_timestamp_seconds", **{"import": "teams.nightly"}) == at.timestamp()


def test_the_queue_tells_how_long_its_oldest_job_has_waited(positive):
    later.analyze([positive])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_events SET at = now() - interval '5 minutes'")
    samples = read()
    assert of(samples, "integrity_queue_jobs", status="todo") == 1
    assert 300 <= of(samples, "integrity_queue_lag_seconds") < 360


def test_a_job_that_is_not_due_does_not_wait(positive):
    later.analyze([positive])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET scheduled_at = %s", [timezone.now() + timedelta(hours=1)])
    assert of(read(), "integrity_queue_lag_seconds") == 0


def test_messages_that_nobody_got_are_counted():
    alert = Alert.objects.create(at=timezone.now(), events=[])
    AlertDelivery.objects.create(
        alert=alert, channel="mail", told=[], status="failed", next_attempt_at=alert.at, give_up_at=alert.at
    )
    assert of(read(), "integrity_alert_deliveries", status="failed") == 1


def test_reading_costs_as_many_queries_however_much_is_recorded(positive):
    def queries():
        with CaptureQueriesContext(connection) as seen:
            exposition()
        return len(seen)

    looked(positive, ago(days=1))
    few = queries()
    for hours in range(20):
        looked(positive, ago(hours=hours), hours)
    assert queries() == few


# The page


def test_without_a_key_the_page_says_how_to_get_one(client):
    answer = get(client)
    assert answer.status_code == 401
    assert "integrity keys --create" in answer.content.decode()


def test_a_key_that_may_read_opens_it(client, positive):
    answer = get(client, key("read"))
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert 'integrity_rule_not_checked{app="toy",rule="toy.positive"' in answer.content.decode()


def test_a_scraper_that_asks_for_openmetrics_gets_it(client):
    answer = client.get(
        "/metrics", headers={"Authorization": f"Bearer {key('read')}", "Accept": "application/openmetrics-text"}
    )
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert answer.content.endswith(b"# EOF\n")


def test_a_key_without_the_scope_does_not_open_it(client):
    assert get(client, key("repair")).status_code == 403


@pytest.mark.parametrize("plain", ["nonsense", "", "\udcff", "a" * 9999])
def test_a_wrong_key_does_not_open_it(client, plain):
    assert get(client, plain or " ").status_code == 403


def test_a_revoked_key_does_not_open_it(client):
    plain = key("read")
    revoke_key(plain.partition(".")[0])
    assert get(client, plain).status_code == 403


def test_staff_need_the_permission_to_read(client, django_user_model):
    ann = django_user_model.objects.create_user("ann", is_staff=True)
    client.force_login(ann)
    assert get(client).status_code == 403
    ann.user_permissions.set(
        Permission.objects.filter(content_type__app_label="integrity", codename__startswith="view")
    )
    assert get(client).status_code == 200


def test_nothing_but_reading_is_answered(client):
    assert client.post("/metrics").status_code == 405


def test_a_database_that_cannot_answer_is_no_number(client):
    plain = key("read")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE integrity_result RENAME TO integrity_result_away")
    before = transaction.savepoint()
    answer = get(client, plain)
    transaction.savepoint_rollback(before)
    assert answer.status_code == 503


# The command and the files


def test_the_command_prints_the_same(positive):
    done = manage("integrity", "metrics")
    assert done.code == 0
    assert {family.name for family in text_string_to_metric_families(done.out)} >= {"integrity_score", "integrity_runs"}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_every_metric_that_a_file_names_is_told(name, positive):
    told = {line.split()[2] for line in exposition()[0].decode().splitlines() if line.startswith("# TYPE ")}
    told |= {f"{family}{end}" for family in told for end in ("_sum", "_count")}
    named = set(re.findall(r"\bintegrity_[a-z_]+", (FILES / name).read_text()))
    assert named
    assert named <= told


def test_every_panel_of_the_dashboard_asks_something():
    board = json.loads((FILES / "grafana.json").read_text())
    assert len(board["panels"]) > 10
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
