"""The history of imports in a browser: what came in, what was left out and why, and the way back."""

import pytest

from integrity.importing import run_import
from integrity.models import RejectedRow
from teams.feeds import nightly
from teams.models import Team
from tests.browser.conftest import DESK, PHONE
from tests.teams.factories import make_member, make_poll
from tests.teams.nightly import Provider

pytestmark = pytest.mark.browser
HOME = "/admin/integrity"
SERIES = [f"Series {number}" for number in range(1, 19)]


def night(folder, teams, **options):
    Provider.write(folder, "leagues", [{"league_id": "APTA", "name": "American Platform Tennis Association"}])
    Provider.write(folder, "clubs", [{"name": "River Forest Tennis Club"}])
    Provider.write(folder, "series", [{"name": name} for name in SERIES])
    Provider.write(folder, "teams", teams)
    return run_import(nightly, folder, rejects=folder / "rejected-{run}.jsonl", actor="cron", **options).run


def team(series, **more):
    club = "River Forest Tennis Club"
    return {"club": club, "series": series, "league": "APTA", "name": f"{club} {series}", **more}


@pytest.fixture
def nights(tmp_path):
    """A first night, one that changes and rejects, and one that brings no teams at all."""
    first = night(tmp_path, [team(name) for name in SERIES[:16]])
    someone = make_member()
    for one in Team.objects.all()[:3]:
        make_poll(someone, one)
    wrong = [team("Series 99"), team(SERIES[3], name="x" * 300)]
    changed = [team(name, alias=f"The {name}") for name in SERIES[4:10]]
    second = night(tmp_path, [*(team(name) for name in SERIES[:3]), *changed, *map(team, SERIES[10:]), *wrong])
    refused = night(tmp_path, [], reason="sent by hand, after the provider was away")
    return first, second, refused


def test_an_import_is_read_and_taken_back_with_a_reason(visit, nights):
    _, second, _ = nights
    ann = visit()
    ann.log_in()
    page = ann.go(f"{HOME}/importrun/")
    page.click(f"#result_list a:text-is('{second}')")
    page.wait_for_selector("text=Rejected rows")
    said = page.inner_text("body")
    assert "Series 99" in said
    assert "is longer than 200 characters" in said
    page.click("text=Take it back")
    page.wait_for_selector("text=8 rows that run")
    page.fill("[name=reason]", "the provider asked for it")
    page.click("button >> text=Try it")
    ann.shot("imports-undo-tried")
    page.click("button >> text=Write 8 rows")
    page.wait_for_selector("text=(undo) wrote 8 rows")
    assert Team.objects.filter(alias="").count() == 16
    page = ann.go(f"{HOME}/importrun/{second}/change/")
    assert "Followed by" in page.inner_text("body")
    assert page.locator("text=Take it back").count() == 0
    assert ann.problems == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_of_imports_fits_its_window(visit, nights, size, request):
    first, second, refused = nights
    ann = visit(size)
    ann.log_in()
    kind = "stock" if "stock" in request.node.name else "themed"
    too_wide = []
    for name, path in (
        ("list", "importrun/"),
        ("first", f"importrun/{first}/change/"),
        ("rejecting", f"importrun/{second}/change/"),
        ("refused", f"importrun/{refused}/change/"),
        ("undo", f"run/{second}/undo/"),
        ("rejected-list", "rejectedrow/"),
        ("rejected", f"rejectedrow/{RejectedRow.objects.first().pk}/change/"),
    ):
        ann.go(f"{HOME}/{path}")
        ann.shot(f"{kind}/{size[0]}-imports-{name}")
        if ann.is_too_wide():
            too_wide.append(name)
    assert too_wide == []
    assert ann.problems == []
