"""What a member wrote is never lost: moved into quarantine whole, restored, and pointed at its team again."""

import pytest

from integrity.engine import analyze
from integrity.quarantine import quarantined, restore
from integrity.registry import registry
from integrity.repair import repair
from teams.models import CaptainMessage, Poll, PollChoice
from tests.integrity.helpers import contents
from tests.teams.factories import make_member, make_message, make_poll, make_team, renumber

pytestmark = pytest.mark.django_db

POLLS, MESSAGES = registry.get("teams.poll_has_its_team"), registry.get("teams.message_has_its_team")


def test_a_poll_and_a_message_come_back_and_find_their_team():
    team = make_team("Series 22")
    captain = make_member(team, captain=True)
    poll = make_poll(captain, team, "Who plays for Tennaqua Series 22?")
    message = make_message(captain, team, "Series 22: bring balls.")
    now = renumber(team)
    before = contents(Poll, PollChoice, CaptainMessage)
    moved = repair([(POLLS, "quarantine"), (MESSAGES, "quarantine")], reason="nobody knows their team")
    assert [rule.outcomes for rule in moved.rules] == [{"quarantined": 1}, {"quarantined": 1}]
    assert not any(model.objects.exists() for model in (Poll, PollChoice, CaptainMessage))

    back = restore(quarantined([POLLS, MESSAGES]), reason="an import told which team they mean")
    assert [report.status for report in back] == ["violated", "violated"]
    assert contents(Poll, PollChoice, CaptainMessage) == before

    found = repair([(POLLS, "relink"), (MESSAGES, "relink")])
    assert found.status == "clean"
    assert (Poll.objects.get(pk=poll.pk).team, CaptainMessage.objects.get(pk=message.pk).team) == (now, now)
    assert analyze([POLLS, MESSAGES]).status == "clean"
