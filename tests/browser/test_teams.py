"""The pages of members as people meet them: signing in, voting, asking, telling; on a desk and on a phone."""

import pytest
from django.contrib.auth.models import User

from teams import test_data
from teams.models import CaptainMessage, Poll, PollResponse, Team, TeamMembership
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser


@pytest.fixture
def captain():
    """The captain of Series 22 of the test world, who can sign in."""
    test_data.load()
    user = User.objects.get(username="test-1-19-captain")
    user.set_password("a secret of the captain")
    user.save()
    TeamMembership.objects.create(user=user, team=Team.objects.get(pk=87189))
    return user


def sign_in(somebody, user):
    page = somebody.go("/teams/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "a secret of the captain")
    page.click("main button")
    page.wait_for_selector("text=My teams")
    return page


def test_a_captain_votes_asks_and_tells(visit, captain):
    somebody = visit()
    page = sign_in(somebody, captain)
    page.click("text=Hinsdale Series 22 >> nth=0")
    page.click(".choices button >> text=Only late")
    page.wait_for_selector(".choices button[aria-pressed] >> text=Only late")
    assert PollResponse.objects.get(user=captain).choice.text == "Only late"

    page.click("text=Ask the team")
    page.fill("[name=question]", "Who brings balls?")
    page.fill("[name=choices]", "I do")
    page.click("form[action$='/ask/'] button")
    page.wait_for_selector("text=Give 2 to 20 answers, one on each line.")
    page.fill("[name=choices]", "I do\nNot I")
    page.click("form[action$='/ask/'] button")
    page.wait_for_selector("text=The team is asked.")
    assert Poll.objects.filter(question="Who brings balls?").count() == 1

    page.click("text=Tell the team")
    page.fill("[name=message]", "See you on Friday.")
    page.click("form[action$='/tell/'] button")
    page.wait_for_selector("text=The team is told.")
    assert CaptainMessage.objects.filter(message="See you on Friday.").count() == 1
    page.click("text=Sign out")
    page.wait_for_selector("h1 >> text=Sign in")
    assert [problem for problem in somebody.problems if "400" not in problem] == []


def test_pages_work_with_the_keyboard_alone(visit, captain):
    page = sign_in(visit(), captain)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator(".choices button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".choices button[aria-pressed]")


def test_a_team_that_is_gone_is_marked_for_its_author(visit, captain):
    test_data.renumber_teams()
    somebody = visit(PHONE)
    page = sign_in(somebody, captain)
    assert page.locator(".tag.lost").count() == 7
    somebody.shot("teams/orphans-390")
    assert not somebody.is_too_wide()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_teams_fits_its_window_and_breaks_no_policy(visit, captain, size, scheme, request):
    test_data.plant_near_misses()
    somebody = visit(size, color_scheme=scheme)
    kind = "stock" if "stock" in request.node.name else "themed"
    somebody.go("/teams/login/")
    somebody.shot(f"teams/{kind}-{size[0]}-{scheme}-login")
    page = sign_in(somebody, captain)
    somebody.shot(f"teams/{kind}-{size[0]}-{scheme}-home")
    assert not somebody.is_too_wide()
    somebody.go("/teams/87169/")
    for summary in page.locator("summary").all():
        summary.click()
    somebody.shot(f"teams/{kind}-{size[0]}-{scheme}-team")
    assert not somebody.is_too_wide()

    ann = visit(size, color_scheme=scheme)
    ann.log_in()
    poll = Poll.objects.get(team=88_152)
    for name, path in {
        **{model: f"/admin/teams/{model}/" for model in ("poll", "captainmessage", "practicetime", "match", "team")},
        "poll-change": f"/admin/teams/poll/{poll.pk}/change/",
        "poll-check": f"/admin/teams/poll/{poll.pk}/check/",
        "team-change": "/admin/teams/team/87169/change/",
    }.items():
        ann.go(path)
        ann.shot(f"teams/{kind}-{size[0]}-{scheme}-admin-{name}")
        assert not ann.is_too_wide(), name
    assert somebody.problems == []
    assert ann.problems == []
