"""`integrity alerts`: what is wrong now and how its messages fared; sending, trying, sending again."""

import csv
import io
import json

import pytest
from django.db import transaction

from integrity.alerts.conditions import Seen
from integrity.alerts.deciding import tell
from integrity.alerts.models import AlertDelivery
from integrity.alerts.seen import Sight
from integrity.alerts.subjects import subjects
from integrity.engine import analyze
from integrity.registry import registry
from tests.command_line import manage
from tests.integrity.receivers import receiving

pytestmark = pytest.mark.django_db

LABEL = "players.mileage_adds_up"


@pytest.fixture
def receiver(settings):
    with receiving() as found:
        settings.INTEGRITY_ALERTS = [{"type": "webhook", "name": "ops", "url": found.url}]
        yield found


@pytest.fixture
def alert(receiver):
    """A message that a rule starts failing."""
    with transaction.atomic():
        return tell([Sight(subjects()[LABEL], [Seen.FAILS], 3, 500)])


def alerts(*words):
    return manage("integrity", "alerts", *words)


def test_nothing_is_wrong_before_anything_was_found():
    done = alerts()
    assert (done.code, done.out) == (0, "Nothing is known to be wrong now.\n")


def test_the_list_tells_what_is_wrong_and_what_became_of_its_message(alert):
    done = alerts()
    assert done.code == 0
    for words in (LABEL, "fails", f"{LABEL} starts failing: 3 of 500 break it.", "ops: waiting"):
        assert words in done.out


def test_sending_says_how_many(alert, receiver):
    done = alerts("--send")
    assert (done.code, done.out) == (0, "1 sent, 0 not delivered.\n")
    assert "ops: sent" in alerts().out
    assert len(receiver.got) == 1


def test_what_could_not_be_delivered_is_told_and_ends_with_3(alert, receiver):
    receiver.statuses = [500]
    done = alerts("--send")
    assert (done.code, done.out) == (
        3,
        "0 sent, 1 not delivered. What went wrong: manage.py integrity alerts\n",
    )
    assert alerts().code == 0


def test_what_was_given_up_stays_to_be_seen_until_it_is_sent_again(alert, receiver):
    receiver.statuses = [404, 200]
    assert "1 not delivered, of which 1 given up." in alerts("--send").out
    listed = alerts()
    assert listed.code == 3
    assert "answered 404" in listed.out
    assert "1 delivery was given up." in listed.out
    assert f"When the reason is gone: manage.py integrity alerts --retry {alert.pk}\n" in listed.out
    assert alerts("--retry", str(alert.pk)).out == "1 sent, 0 not delivered.\n"
    assert alerts().code == 0


def test_json_holds_what_is_wrong_now_the_messages_and_their_deliveries(alert):
    told = json.loads(alerts("--format", "json").out)
    assert (told["verb"], told["status"], told["error"]) == ("alerts", "clean", None)
    assert [(state["rule"], state["what"]) for state in told["now"]] == [(LABEL, "fails")]
    assert [event["event"] for event in told["alerts"][0]["events"]] == ["starts_failing"]
    assert [(d["channel"], d["status"]) for d in told["alerts"][0]["deliveries"]] == [("ops", "waiting")]


def test_json_of_what_was_given_up_says_so(alert):
    AlertDelivery.objects.update(status="failed")
    done = alerts("--format", "json")
    assert (done.code, json.loads(done.out)["status"]) == (3, "partial")


def test_json_of_sending_holds_the_numbers(alert, receiver):
    receiver.statuses = [500, 200]
    done = alerts("--send", "--format", "json")
    told = json.loads(done.out)
    assert (done.code, told["status"], told["sent"], told["failed"], told["given_up"]) == (3, "partial", 0, 1, 0)


def test_csv_is_a_line_for_each_event_and_delivery(alert):
    (line,) = csv.DictReader(io.StringIO(alerts("--format", "csv").out))
    assert (line["rule"], line["event"], line["channel"], line["status"]) == (LABEL, "starts_failing", "ops", "waiting")


def test_a_channel_can_be_tried(receiver):
    done = alerts("--test", "ops")
    assert (done.code, done.out, len(receiver.got)) == (0, "ops took the test message.\n", 1)


def test_a_channel_that_does_not_work_says_why(receiver):
    receiver.statuses = [403]
    done = alerts("--test", "ops")
    assert done.code == 3
    assert "answered 403 Forbidden" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--test", "nobody"], "Unknown channel of INTEGRITY_ALERTS 'nobody'. Known: ops."),
        (["--retry", "999999"], "Unknown alert '999999'. Known: none."),
        (["--retry", "0"], "'0' is not a whole number from 1 on"),
        (["--send", "--test", "ops"], "not allowed with argument"),
    ],
)
def test_a_wrong_request_is_refused(receiver, words, message):
    done = alerts(*words)
    assert done.code == 2
    assert message in done.err


def test_from_an_analysis_to_the_receiver(receiver, settings):
    from tests.integrity.test_alerts import make, positive

    rule = positive()
    registry.register("toy", [rule])
    try:
        make(2)
        analyze([rule])
        assert alerts("--send").out == "1 sent, 0 not delivered.\n"
    finally:
        registry.unregister(rule.label)
    told = json.loads(receiver.got[0]["body"])
    assert told["summary"] == "toy.positive starts failing: 2 of 2"


def test_a_worker_sends_each_minute_what_is_due(alert, receiver):
    tasks = pytest.importorskip("integrity.tasks")
    assert tasks.send_alerts(timestamp=0) == "1 sent, 0 not delivered"
    assert len(receiver.got) == 1
