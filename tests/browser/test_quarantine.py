"""The quarantine in a browser, in the themed administration and in the stock one."""

import pytest
from django.db import transaction

from integrity.quarantine import quarantined
from integrity.registry import registry
from integrity.repair import repair
from teams.models import Poll
from tests.teams.factories import make_member, make_poll, make_team, renumber

pytestmark = pytest.mark.browser


@pytest.fixture
def poll():
    """A poll in quarantine, whose team has another number now."""
    team = make_team()
    made = make_poll(make_member(team, name="cat"), team, "Who plays on Sunday?")
    with transaction.atomic():
        renumber(team)
    report = repair([(registry.get("teams.poll_has_its_team"), "quarantine")], reason="its team is gone", actor="bob")
    assert report.status == "clean", report
    return made


def test_a_row_is_found_read_and_put_back_with_a_reason(visit, poll):
    ann = visit()
    ann.log_in()
    page = ann.go("/admin/integrity/quarantined/")
    ann.shot("quarantine")
    page.click(f"text=teams_poll id {poll.pk}")
    page.wait_for_selector("text=Who plays on Sunday?")
    assert "of teams_pollchoice" in page.inner_text("body")
    ann.shot("quarantine_row")
    page.go_back()
    page.check("[name=_selected_action]")
    page.select_option("[name=action]", "restore_selected")
    with page.expect_navigation():
        page.evaluate("document.querySelector('#changelist-form').requestSubmit()")
    ann.shot("quarantine_restore")
    page.click("button:has-text('Put back')")
    page.wait_for_selector("text=Say why, for the record.")
    ann.shot("quarantine_reason")
    page.fill("[name=reason]", "cat asked for it")
    page.click("button:has-text('Put back')")
    page.wait_for_selector("text=Put back: 3 rows")
    assert "is broken again" in page.inner_text("body")
    ann.shot("quarantine_restored")
    assert (Poll.objects.get(), quarantined().count(), ann.problems) == (poll, 0, [])
