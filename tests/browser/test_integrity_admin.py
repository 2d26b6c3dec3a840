"""The engine's pages in the administration, as people meet them: in a browser, on a desk and on a phone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from integrity.engine import accept, analyze
from integrity.models import Change, Decision, Result, Run, Severed, Snapshot, Violation
from integrity.registry import registry
from integrity.repair import repair
from players import test_data
from players.models import HourlyMetric
from players.test_data import plant_faults
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser

RULE = "players.mileage_adds_up"
HOME = "/admin/integrity"


@pytest.fixture
def wrong():
    """A small test world with players whose mileage does not add up."""
    test_data.load(players=50, days=20)
    plant_faults(duplicated=3, double_counted=0, lost=4, wrong_totals=2, counted_twice=0)
    return registry.get(RULE)


def test_somebody_reads_repairs_takes_back_and_accepts(visit, wrong):
    ann, before = visit(), HourlyMetric.objects.count()
    ann.log_in()
    page = ann.go("/admin/")
    assert "Nobody knows of" in page.inner_text(".i-hero")
    page.click("text=Look at everything")
    page.fill("[name=reason]", "the first look")
    page.click("text=Look now")
    page.wait_for_selector("text=looked at")

    page = ann.go("/admin/")
    assert "rules are broken" in page.inner_text(".i-hero")
    page.click(f".i-table >> text={RULE}")
    page.locator(".i-offer", has_text="delete_extra_metrics").first.locator("text=Try it").click()
    page.fill("[name=reason]", "counted twice")
    page.click("button >> text=Try it")
    assert "Nothing is written yet" in page.inner_text(".i-page")
    ann.shot("integrity-confirm")
    assert HourlyMetric.objects.count() == before
    page.click("button >> text=Write 3 rows")
    page.wait_for_selector("text=(repair) wrote 3 rows")
    assert HourlyMetric.objects.count() < before
    ann.shot("integrity-repaired")

    page.click("text=Take it back")
    page.fill("[name=reason]", "it was right")
    page.click("button >> text=Try it")
    page.click("button >> text=Write 3 rows")
    page.wait_for_selector("text=(undo) wrote 3 rows")
    assert HourlyMetric.objects.count() == before

    analyze([wrong])
    page = ann.go(f"{HOME}/violation/?rule={RULE}")
    page.locator("#result_list .field-where a").first.click()
    page.click("text=Accept it")
    page.fill("[name=reason]", "a device was lost")
    page.click("button >> text=Accept")
    page.wait_for_selector("text=accepted until it is revoked")
    assert Violation.objects.get(status="accepted").accepted_by == "ann"
    assert [(run.verb, run.actor) for run in Run.objects.filter(dry_run=False, actor="ann")] == [
        ("undo", "ann"),
        ("repair", "ann"),
        ("analyze", "ann"),
    ]
    assert ann.problems == []


def test_a_form_is_sent_once(visit, wrong):
    ann = visit()
    ann.log_in()
    page = ann.go(f"{HOME}/declaredrule/analyze/?rule={RULE}")
    page.fill("[name=reason]", "twice")
    page.locator("form[data-once]").evaluate("form => { form.requestSubmit(); form.requestSubmit() }")
    page.wait_for_selector("text=looked at")
    assert Run.objects.filter(verb="analyze").count() == 1


def test_the_keyboard_reaches_what_can_be_done_and_shows_where_it_is(visit, wrong):
    ann = visit()
    ann.log_in()
    page = ann.go(f"{HOME}/declaredrule/{RULE}/change/")
    page.locator(".i-head .i-do").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.i-page') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def fill(wrong):
    """Months of looks, a repair, an accepted exception, a run that waits, and a row of every other list."""
    now = timezone.now()
    for back in range(60, 0, -1):
        at = now - timedelta(hours=12 * back)
        fields = {"database": "default", "host": "here", "pid": 1, "started_at": at, "heartbeat_at": at}
        run = Run.objects.create(verb="analyze", status="violated", actor="cron", finished_at=at, **fields)
        for number, rule in enumerate(registry):
            found = {0: back % 7, 1: 30 - back if back < 30 else 0, 9: back // 3}.get(number, 0)
            status = "violated" if found else "clean"
            result = {"rule": rule.label, "database": "default", "checked": 500, "seconds": 0.1}
            Result.objects.create(run=run, status=status, violations=found, **result)
    analyze(actor="cron", reason="every night")
    done = Run.objects.get(pk=repair([(wrong, "delete_extra_metrics")], actor="bob", reason="counted twice").run)
    kept = Violation.objects.filter(rule=RULE, status="open").latest("pk")
    accept(wrong, wrong.key_from_json(kept.key), by="bob", because="the device was lost in the river")
    fields = {"database": "default", "host": "here", "pid": 1, "started_at": now - timedelta(minutes=3)}
    busy = Run.objects.create(
        verb="repair", actor="cron", heartbeat_at=now, waits_for="a replica is 12.0 s behind, more than 10 s", **fields
    )
    planned = {"rule": "teams.poll_has_its_team", "database": "default", "strategy": "relink"}
    Result.objects.create(run=busy, planned=9_000, done=4_000, changes=4_000, **planned)
    Decision.objects.create(run=done, pool="p", target="teams.Team.id", old="12", outcome="relinked", new="19", rows=3)
    references = {"teams_poll": {"rows": 3, "dangling": 0}}
    Snapshot.objects.create(run=done, table="teams_team", rows=50, rows_after=51, references=references)
    lost = {"rows": 2, "keys": ["4", "9"], "dangling": {"teams_poll.team_id": 3}}
    Severed.objects.create(table="teams_team", event="delete", session_user="eve", role="eve", at=now, **lost)
    return done, kept, busy


def every_page(done, kept, busy):
    broken = Violation.objects.filter(rule=RULE, status="open").first()
    yield "index", "/admin/"
    yield "health", f"{HOME}/declaredrule/health/"
    yield "rules", f"{HOME}/declaredrule/"
    yield "rules-narrowed", f"{HOME}/declaredrule/?q=mileage&status=broken"
    yield "rule", f"{HOME}/declaredrule/{RULE}/change/"
    yield "rule-unrepaired", f"{HOME}/declaredrule/players.flushed_is_part_of_session/change/"
    yield "rule-rebuilt", f"{HOME}/declaredrule/teams.practice_time_is_one/change/"
    yield "rule-enforced", f"{HOME}/declaredrule/vehicles.current_mileage/change/"
    yield "enforce", f"{HOME}/declaredrule/vehicles.current_mileage/enforce/"
    yield "remove", f"{HOME}/declaredrule/vehicles.current_mileage/remove/"
    yield "analyze", f"{HOME}/declaredrule/analyze/"
    yield "repair", f"{HOME}/declaredrule/{RULE}/repair/recalculate_from_player/"
    yield "repair-one", f"{HOME}/declaredrule/{RULE}/repair/recalculate_from_player/?violation={broken.pk}"
    yield "repair-whole", f"{HOME}/declaredrule/teams.practice_time_is_one/repair/rebuild/"
    yield "violation", f"{HOME}/violation/{broken.pk}/change/"
    yield "violation-accepted", f"{HOME}/violation/{kept.pk}/change/"
    yield "accept", f"{HOME}/violation/accept/?violation={broken.pk}"
    yield "choose", f"{HOME}/violation/repair/?violation={broken.pk}"
    yield "run", f"{HOME}/run/{done.pk}/change/"
    yield "run-busy", f"{HOME}/run/{busy.pk}/change/"
    yield "undo", f"{HOME}/run/{done.pk}/undo/"
    yield "pause", f"{HOME}/run/{busy.pk}/pause/"
    yield "change", f"{HOME}/change/{Change.objects.first().pk}/change/"
    yield "result", f"{HOME}/result/{Result.objects.first().pk}/change/"
    yield "decision", f"{HOME}/decision/{Decision.objects.first().pk}/change/"
    yield "snapshot", f"{HOME}/snapshot/{Snapshot.objects.first().pk}/change/"
    yield "severed", f"{HOME}/severed/{Severed.objects.first().pk}/change/"
    for model in ("run", "result", "violation", "change", "decision", "snapshot", "rejectedrow", "severed", "apikey"):
        yield f"{model}-list", f"{HOME}/{model}/"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_window_and_breaks_no_policy(visit, wrong, size, scheme, request):
    ann = visit(size, color_scheme=scheme)
    ann.log_in()
    kind = "stock" if "stock" in request.node.name else "themed"
    too_wide = []
    for name, path in every_page(*fill(wrong)):
        ann.go(path)
        ann.shot(f"{kind}/{size[0]}-{scheme}-integrity-{name}")
        if ann.is_too_wide():
            too_wide.append(name)
    assert too_wide == []
    assert ann.problems == []
