"""The site as people meet it: in a browser, on a desk and on a phone."""

from decimal import Decimal

import pytest
from django.db.models import F

from integrity.models import Run
from players import test_data
from players.keys import check_key, create_key
from players.models import ApiKey, Group, HourlyMetric, MasterCorrection, OpenSession, Player
from players.test_data import plant_faults
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser


@pytest.fixture
def wrong():
    """A small test world with one player whose newest hour is there twice."""
    test_data.load(players=50, days=20)
    (fault,) = plant_faults(duplicated=1, double_counted=0, lost=0, wrong_totals=0, counted_twice=0)
    return fault.subject


def test_the_leaderboard_leads_to_groups_players_and_reports(visit, wrong):
    ann = visit()
    page = ann.go("/")
    page.click("text=Harbour School (test-1)")
    page.click("text=Harbour School 1a (test-1)")
    assert page.locator("nav.path").inner_text().split("\n")[0].startswith("Everybody")
    page.locator("#riders ~ ol a").first.click()
    assert page.locator("h1").inner_text().startswith("Rider ")
    page.click(".tabs >> text=Week")
    assert "in the last 84 days" in page.inner_text("main")
    page.click("header >> text=Report")
    page.fill("[name=start]", "2026-01-02")
    page.fill("[name=end]", "2026-01-01")
    with page.expect_response(lambda answer: answer.status == 400):
        page.click("text=Show")
    assert page.locator(".field-end .error").inner_text() == "This day is before the first one."
    assert [problem for problem in ann.problems if "400" not in problem] == []


def test_a_page_follows_the_data(visit, wrong):
    best = Player.objects.filter(is_visible=True).order_by("-distance_total").first()
    ann = visit()
    page = ann.go("/")
    page.wait_for_selector("[data-state=live]")
    page.click("text=Report")
    page.go_back()
    Player.objects.filter(pk=best.pk).update(distance_total=Decimal(98765))
    page.wait_for_selector("text=98,765")
    assert page.locator(".moved").count() == 1
    ann.shot("followed")
    assert ann.problems == []


def test_a_page_that_cannot_be_followed_says_so_and_comes_back(visit, wrong):
    page = visit().go("/")
    page.wait_for_selector("[data-state=live]")
    page.route("**/*", lambda route: route.abort())
    page.wait_for_selector("text=Not reached; trying again")
    page.unroute("**/*")
    page.wait_for_selector("[data-state=live]", timeout=40_000)


def test_a_page_without_scripts_is_the_same_page(visit, wrong):
    page = visit(java_script_enabled=False).go("/report/")
    assert page.locator(".plot rect.hit").count() == 14
    assert page.locator("[data-state]").is_hidden()


def test_a_repair_is_tried_carried_out_and_taken_back(visit, wrong):
    ann, before = visit(), HourlyMetric.objects.count()
    ann.log_in()
    page = ann.go(f"/admin/players/player/{wrong.pk}/change/")
    page.click("text=Look at it and repair it")
    assert "It does not add up" in page.inner_text(".ours")
    offer = page.locator(".offer", has_text="delete_extra_metrics")
    offer.locator("[name=reason]").fill("counted twice")
    offer.locator("button").click()
    assert "Nothing is written yet" in page.inner_text(".ours")
    ann.shot("confirm")
    assert HourlyMetric.objects.count() == before
    page.click("text=Write 1 row")
    page.wait_for_selector("text=It is right now")
    assert HourlyMetric.objects.count() == before - 1
    ann.shot("repaired")

    page.click("text=Take it back")
    page.locator(".runs [name=reason]").fill("it was right")
    page.locator(".runs button").click()
    page.click("text=Write 1 row")
    page.wait_for_selector("text=It does not add up")
    assert HourlyMetric.objects.count() == before
    assert [(run.verb, run.actor) for run in Run.objects.filter(dry_run=False)] == [("undo", "ann"), ("repair", "ann")]
    assert ann.problems == []


def test_a_master_is_corrected_with_a_reason(visit, wrong):
    ann = visit()
    ann.log_in()
    page = ann.go(f"/admin/players/player/{wrong.pk}/check/")
    page.click("text=Correct it, with a reason")
    page.fill("[name=reason]", "a wheel of another size")
    page.click("button.do")
    page.wait_for_selector("text=It adds up")
    assert MasterCorrection.objects.get().actor == "ann"
    assert ann.problems == []


def test_a_key_is_shown_once(visit, wrong):
    ann = visit()
    ann.log_in()
    page = ann.go("/admin/players/apikey/add/")
    page.fill("[name=name]", "the box of bike 1")
    page.click("[name=_save]")
    plain = page.inner_text("#new-key")
    assert check_key(plain).name == "the box of bike 1"
    ann.shot("new-key")
    page.click("text=I have it")
    assert plain not in page.content()
    assert ann.problems == []


def test_a_group_that_would_be_its_own_ancestor_is_refused_beside_the_field(visit, wrong):
    ann = visit()
    ann.log_in()
    school = Group.objects.get(name="Harbour School (test-1)")
    page = ann.go(f"/admin/players/group/{school.pk}/change/")
    page.click(".field-parent .select2-selection")
    page.fill(".select2-search__field", "school 1a")
    page.click(".select2-results__option >> text=Harbour School 1a (test-1)")
    page.click("[name=_save]")
    page.wait_for_selector("text=cannot be its own ancestor")
    assert ann.problems == []


def every_page(player):
    group = Group.objects.get(name="Harbour School (test-1)")
    key = create_key("the box of bike 1", player.hourly_metrics.first().device)[1]
    create_key("all bikes")
    MasterCorrection.objects.create(
        player=player, before_km=1, after_km=2, reason="a wheel of another size", actor="ann", at="2026-03-02T00:00Z"
    )
    Group.objects.filter(pk=group.pk).update(distance_total=F("distance_total") + 12)
    yield "leaderboard", "/"
    yield "leaderboard-group", f"/groups/{group.pk}/"
    yield "report", "/report/?bucket=hour"
    yield "report-empty", "/report/?start=2020-01-01&end=2020-01-05"
    yield "player", f"/players/{player.pk}/"
    yield "player-riding", f"/players/{OpenSession.objects.first().player_id}/"
    yield "admin", "/admin/"
    for model in ("apikey", "device", "group", "hourlymetric", "mastercorrection", "opensession", "player"):
        yield f"admin-{model}-list", f"/admin/players/{model}/"
    yield "admin-player", f"/admin/players/player/{player.pk}/change/"
    yield "admin-player-add", "/admin/players/player/add/"
    yield "admin-player-check", f"/admin/players/player/{player.pk}/check/"
    yield "admin-player-correct", f"/admin/players/player/{player.pk}/correct/"
    yield "admin-player-delete", f"/admin/players/player/{player.pk}/delete/"
    yield "admin-group", f"/admin/players/group/{group.pk}/change/"
    yield "admin-group-check", f"/admin/players/group/{group.pk}/check/"
    yield "admin-device", f"/admin/players/device/{key.device_id}/change/"
    yield "admin-key", f"/admin/players/apikey/{key.pk}/change/"
    yield "admin-key-add", "/admin/players/apikey/add/"
    yield "admin-hour", f"/admin/players/hourlymetric/{player.hourly_metrics.first().pk}/change/"
    yield "admin-users", "/admin/auth/user/"
    yield "admin-user", f"/admin/auth/user/{player_account()}/change/"
    yield "api-docs", "/api/docs"


def player_account():
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get().pk


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_window_and_breaks_no_policy(visit, wrong, server, size, scheme, request):
    ann = visit(size, color_scheme=scheme)
    ann.log_in()
    kind = "stock" if "stock" in request.node.name else "themed"
    too_wide = []
    for name, path in every_page(wrong):
        ann.go(path)
        ann.shot(f"{kind}/{size[0]}-{scheme}-{name}")
        if ann.is_too_wide():
            too_wide.append(name)
    assert too_wide == []
    assert ann.problems == []
    assert ApiKey.objects.count() == 2
