"""The pages of the administration: what they say, to whom, and at what price."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrity.alerts.models import Alert, AlertDelivery, AlertState
from integrity.engine import accept, analyze
from integrity.models import Change, Decision, RejectedRow, Result, Run, Severed, Snapshot, Violation
from integrity.overview.kept import kept
from integrity.registry import registry
from integrity.repair import repair
from players import test_data
from players.test_data import plant_faults
from tests.integrity.helpers import registered, text
from tests.integrity.looks import ago, looked
from tests.integrity.test_derived import make_account
from tests.integrity.test_recompute import balance

pytestmark = pytest.mark.django_db

HOME = "/admin/integrity/"
READ = ("view_run", "view_violation", "view_change")


@pytest.fixture
def rule():
    """A rule that the administration knows, with one violation."""
    wrong = balance()
    with registered(wrong):
        make_account([1, 2], balance=9)
        yield wrong


@pytest.fixture
def seen(rule):
    """The violation, once it was looked at."""
    analyze([rule], actor="cron")
    return Violation.objects.get()


@pytest.fixture
def reader(staff):
    return staff(*READ, "view_result")


def test_the_first_page_tells_what_is_broken_since_when_and_by_how_many(reader, rule):
    for other in registry:
        looked(other, ago(hours=3))
    looked(rule, ago(hours=2), 1)
    analyze([rule])
    page = text(reader.get("/admin/"))
    assert "rules is broken" in page
    assert rule.label in page
    assert "not healthy since" in page
    assert "Violations by app, 30 days" in page
    assert "the mean over all checks" in page


def test_the_first_page_tells_what_people_were_alarmed_of_and_what_did_not_arrive(reader, rule):
    AlertState.objects.create(rule=rule.label, database="default", what="fails", since=ago(hours=2))
    alert = Alert.objects.create(at=ago(hours=2), events=[])
    times = {"next_attempt_at": ago(hours=1), "give_up_at": ago(hours=1)}
    AlertDelivery.objects.create(alert=alert, channel="mail", told=[], status="failed", **times)
    page = text(reader.get("/admin/"))
    assert "Open alerts" in page
    assert "1 message did not arrive and waits for a person" in page


def test_the_first_page_says_what_was_never_looked_at(reader, rule):
    assert "Nobody knows of" in text(reader.get("/admin/"))


def test_the_first_page_of_whoever_may_not_read_the_records_is_the_plain_one(staff, seen):
    page = text(staff().get("/admin/"))
    assert "broken" not in page
    assert "Site administration" in page


def test_the_overview_is_a_page_of_its_own_too(reader, seen):
    assert "Broken rules" in text(reader.get(f"{HOME}declaredrule/health/"))


def test_the_first_page_asks_as_much_of_many_records_as_of_few(reader, rule):
    def queries():
        kept(list(registry))
        with CaptureQueriesContext(connection) as asked:
            assert reader.get("/admin/").status_code == 200
        return len(asked)

    analyze([rule])
    few = queries()
    for hours in range(30):
        looked(rule, ago(hours=hours), hours)
    analyze(list(registry)[:5])
    assert queries() == few <= 30


def test_the_rules_are_listed_and_narrowed(reader, seen, rule):
    page = text(reader.get(f"{HOME}declaredrule/"))
    assert rule.label in page
    assert "players.mileage_adds_up" in page
    narrowed = text(reader.get(f"{HOME}declaredrule/?app=toy&status=broken&q=balance&severity=error&kind=derived"))
    assert "players.mileage_adds_up" not in narrowed
    assert "No rule is as asked for" in narrowed
    assert rule.label in text(reader.get(f"{HOME}declaredrule/?status=broken&q=TOY.account"))


def test_the_page_of_a_rule_says_all_of_it(reader, seen, rule):
    page = text(reader.get(f"{HOME}declaredrule/{rule.label}/change/"))
    for told in (rule.because, "derived", "toy.Account", "recompute", "set the stored value", "SELECT", "of 1<"):
        assert told in page
    assert "Try it" not in page


def test_every_declared_rule_has_a_page(reader):
    for rule in registry:
        assert reader.get(f"{HOME}declaredrule/{rule.label}/change/").status_code == 200


def test_a_rule_that_is_not_declared_has_no_page(reader):
    assert reader.get(f"{HOME}declaredrule/toy.nothing/change/").status_code == 404


def test_the_page_of_a_violation_says_what_is_wrong_and_what_a_repair_would_write(reader, seen, rule):
    page = text(reader.get(f"{HOME}violation/{seen.pk}/change/"))
    for told in (
        "balance is",
        "9",
        "balance should be",
        "3",
        rule.because,
        "toy_account",
        "WHERE",
        "First seen".lower(),
    ):
        assert told in page
    assert "Accept it" not in page


def test_the_page_of_a_violation_leads_to_its_row_where_that_has_a_page(boss, reader):
    test_data.load(players=3, days=1)
    plant_faults(duplicated=1, double_counted=0, lost=0, wrong_totals=0, counted_twice=0)
    analyze([registry.get("players.mileage_adds_up")])
    one = Violation.objects.get()
    row = f"/admin/players/player/{one.key['id']}/change/"
    assert row not in text(reader.get(f"{HOME}violation/{one.pk}/change/"))
    reader.force_login(get_user_model().objects.get(username="boss"))
    assert row in text(reader.get(f"{HOME}violation/{one.pk}/change/"))


def test_whoever_may_not_see_changes_does_not_see_them_on_the_page_of_their_run(staff, seen, rule):
    report = repair([(rule, None)], actor="bob")
    page = text(staff("view_run").get(f"{HOME}run/{report.run}/change/"))
    assert "bob" in page
    assert "<del>9" not in page


def test_a_violation_of_a_rule_that_is_declared_no_more_has_a_page(reader, seen, rule):
    registry.unregister(rule.label)
    assert "not declared any more" in text(reader.get(f"{HOME}violation/{seen.pk}/change/"))


def test_open_violations_are_listed_unless_others_are_asked_for(reader, seen, rule):
    assert "id " in text(reader.get(f"{HOME}violation/?rule={rule.label}"))
    accept(rule, rule.key_from_json(seen.key), by="bob", because="known")
    assert "0 violations" in text(reader.get(f"{HOME}violation/"))
    assert "accepted" in text(reader.get(f"{HOME}violation/?status=accepted"))
    assert "known" in text(reader.get(f"{HOME}violation/{seen.pk}/change/"))


def test_a_key_is_found_by_search(reader, seen):
    assert "1 violation" in text(reader.get(f"{HOME}violation/?q={seen.key['id']}"))
    assert "0 violations" in text(reader.get(f"{HOME}violation/?q=nobody"))


def test_the_page_of_a_run_shows_each_change_as_a_difference(reader, seen, rule):
    report = repair([(rule, None)], actor="bob", reason="it drifted")
    page = text(reader.get(f"{HOME}run/{report.run}/change/"))
    for told in ("repair", "bob", "it drifted", "<del>9", "<ins>3", rule.label):
        assert told in page
    assert "Take it back" not in page


def test_the_page_of_a_run_at_work_tells_its_rate_and_what_is_in_its_way(reader, rule):
    run = looked(rule, ago(minutes=1), None, verb="repair", status="running", planned=100, done=50)
    Run.objects.filter(pk=run.pk).update(waits_for="a vacuum works on toy_account", pid=1, finished_at=None)
    page = text(reader.get(f"{HOME}run/{run.pk}/change/"))
    assert "50 of 100 keys" in page
    assert "left at this rate" in page
    assert "It waits: a vacuum works on toy_account" in page


def test_a_change_shows_the_whole_row_before_and_after(reader, seen, rule):
    repair([(rule, None)])
    page = text(reader.get(f"{HOME}change/{Change.objects.get().pk}/change/"))
    assert "<del>9" in page
    assert "entry_count" in page


@pytest.fixture
def traces(rule):
    """One of everything that has a list."""
    analyze([rule])
    run = Run.objects.get(pk=repair([(rule, None)]).run)
    Decision.objects.create(run=run, pool="p", target="toy.Line.id", old="1", outcome="relinked", new="2", rows=3)
    Snapshot.objects.create(
        run=run, table="toy_line", rows=4, rows_after=5, references={"toy_x": {"rows": 1}}, digest=""
    )
    RejectedRow.objects.create(
        run=run, feed="lines", file="lines.csv", row=1, line=2, field="n", value="x", reason="no number"
    )
    Severed.objects.create(
        table="toy_line",
        event="delete",
        keys=["1"],
        rows=1,
        dangling={"toy_x.line": 2},
        session_user="eve",
        role="eve",
        application_name="psql",
        at=ago(hours=1),
    )
    return run


LISTS = {
    "run": Run,
    "result": Result,
    "violation": Violation,
    "change": Change,
    "decision": Decision,
    "snapshot": Snapshot,
    "rejectedrow": RejectedRow,
    "severed": Severed,
}


@pytest.mark.parametrize("model", LISTS)
def test_every_list_and_every_page_is_shown_and_nothing_can_be_written(boss, traces, model):
    assert boss.get(f"{HOME}{model}/?status=all" if model == "violation" else f"{HOME}{model}/").status_code == 200
    managers = {"run": Run, "result": Result, "violation": Violation, "change": Change, "decision": Decision}
    managers |= {"snapshot": Snapshot, "rejectedrow": RejectedRow, "severed": Severed}
    page = f"{HOME}{model}/{managers[model].objects.first().pk}"
    assert boss.get(f"{page}/change/").status_code == 200
    assert boss.get(f"{HOME}{model}/add/").status_code == 403
    assert boss.post(f"{page}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("path", ["run/", "violation/", "change/", "result/", "declaredrule/", "declaredrule/health/"])
def test_nobody_sees_a_list_without_permission(staff, path):
    assert staff().get(f"{HOME}{path}").status_code == 403


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("change", "run__exact=1"),
        ("change", "op=delete&undone=no"),
        ("run", "rule=toy.x"),
        ("result", "app=toy&rule=toy.x"),
    ],
)
def test_lists_are_narrowed_by_links_and_filters(boss, traces, model, query):
    assert boss.get(f"{HOME}{model}/?{query}").status_code == 200


def test_whatever_the_engine_remembers_has_a_page():
    assert {model._meta.model_name for model in admin.site._registry if model._meta.app_label == "integrity"} >= {
        *LISTS,
        *("quarantined", "declaredrule", "apikey"),
    }
