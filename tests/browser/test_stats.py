"""The dashboard of core stats as people meet it: on a desk and on a phone."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from stats.changing import change
from stats.models import CoreStat, StatHistory
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser


@pytest.fixture
def rider():
    """Somebody whose strength has gone up and down for weeks."""
    user = User.objects.create_user("rider", password="a secret of the rider")
    for day, value in enumerate((12, 15, 22, 19, 31, 40, 38)):
        change(user, {"strength": value, "experience_points": 700 * day}, by="rider", reason=f"training {day + 1}")
    for number, line in enumerate(StatHistory.objects.order_by("-id")):
        line.at = timezone.now() - timedelta(days=2 * number + 1)
        line.save(update_fields=["at"])
    return user


def sign_in(somebody):
    page = somebody.go("/stats/")
    page.fill("[name=username]", "rider")
    page.fill("[name=password]", "a secret of the rider")
    page.click("main button")
    page.wait_for_selector("text=My stats")
    return page


def test_a_stat_is_changed_with_a_reason_and_drawn(visit, rider):
    somebody = visit()
    page = sign_in(somebody)
    assert page.locator(".plot circle").count() == 7
    page.select_option("[name=stat]", "wisdom")
    page.fill("[name=value]", "55")
    page.fill("[name=reason]", "read a book")
    page.click("text=Save")
    page.wait_for_selector("text=Wisdom is 55 now.")
    assert page.locator(".plot circle").count() == 1
    assert "read a book" in page.inner_text(".lines")
    assert CoreStat.objects.get().wisdom == 55
    page.fill("[name=value]", "500")
    page.fill("[name=reason]", "too much")
    with page.expect_response(lambda answer: answer.status == 400):
        page.click("text=Save")
    assert page.locator(".field-value .error").inner_text() == "Give a whole number from 1 to 100."
    somebody.shot("stats/refused")
    page.click("text=Sign out")
    page.wait_for_selector("h1 >> text=Sign in")
    assert [problem for problem in somebody.problems if "400" not in problem] == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_stats_fits_its_window(visit, rider, size, scheme, request):
    somebody = visit(size, color_scheme=scheme)
    kind = "stock" if "stock" in request.node.name else "themed"
    somebody.go("/stats/")
    somebody.shot(f"stats/{kind}-{size[0]}-{scheme}-login")
    sign_in(somebody)
    too_wide = []
    for name, path in (
        ("strength", "/stats/"),
        ("experience", "/stats/?stat=experience_points"),
        ("none", "/stats/?stat=wisdom"),
    ):
        somebody.go(path)
        somebody.shot(f"stats/{kind}-{size[0]}-{scheme}-{name}")
        if somebody.is_too_wide():
            too_wide.append(name)
    admin = visit(size, color_scheme=scheme)
    admin.log_in()
    for model in ("corestat", "stathistory", "fallbackreads"):
        admin.go(f"/admin/stats/{model}/")
        admin.shot(f"stats/{kind}-{size[0]}-{scheme}-admin-{model}")
    admin.go(f"/admin/stats/corestat/{CoreStat.objects.get().pk}/change/")
    admin.shot(f"stats/{kind}-{size[0]}-{scheme}-admin-change")
    if admin.is_too_wide():
        too_wide.append("admin-change")
    assert too_wide == []
    assert somebody.problems == admin.problems == []
