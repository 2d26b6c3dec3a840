"""The outbox: what is due is sent, at least once, by one sender at a time; what fails is tried again."""

import json
import queue
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from integrity.alerts import sending
from integrity.alerts.conditions import Seen
from integrity.alerts.deciding import tell
from integrity.alerts.models import Alert, AlertDelivery
from integrity.alerts.seen import Sight
from integrity.alerts.sending import send_again, send_due
from integrity.alerts.subjects import Subject
from integrity.exceptions import UnknownName, UsageError
from tests.integrity.others import Other
from tests.integrity.receivers import receiving

pytestmark = pytest.mark.django_db

URL_OF_NOBODY = "http://127.0.0.1:1/"


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def _one_channel(settings, receiver):
    settings.INTEGRITY_ALERTS = [{"type": "webhook", "name": "hook", "url": receiver.url}]


def fails(label="toy.rule"):
    """A message that this rule starts failing; its delivery."""
    with transaction.atomic():
        alert = tell([Sight(Subject(label, "error"), [Seen.FAILS], 1, 2)])
    return alert and alert.deliveries.first()


def rules(receiver):
    """The rules that the receiver was told of, in order."""
    return [json.loads(got["body"])["events"][0]["rule"] for got in receiver.got]


def now(delivery):
    delivery.refresh_from_db()
    return delivery


def make_due(*deliveries):
    AlertDelivery.objects.filter(pk__in=[d.pk for d in deliveries]).update(next_attempt_at=timezone.now())


def counts(sent):
    return sent.sent, sent.failed, sent.given_up


# What is due


def test_what_waits_is_sent_once(receiver):
    delivery = fails()
    assert counts(send_due()) == (1, 0, 0)
    assert counts(send_due()) == (0, 0, 0)
    assert rules(receiver) == ["toy.rule"]
    assert (now(delivery).status, delivery.attempts, delivery.taken_until) == ("sent", 1, None)
    assert delivery.sent_at is not None


def test_the_id_of_a_delivery_is_what_its_receiver_knows_it_by(receiver):
    delivery = fails()
    send_due()
    assert receiver.got[0]["headers"]["Integrity-Delivery"] == str(delivery.uid)


def test_a_channel_is_told_only_what_it_wants(receiver, settings):
    settings.INTEGRITY_ALERTS[0]["severity"] = "error"
    tell([Sight(Subject(f"toy.{severity}", severity), [Seen.FAILS], 1, 2) for severity in ("error", "info")])
    send_due()
    assert [event["rule"] for event in json.loads(receiver.got[0]["body"])["events"]] == ["toy.error"]


# What fails


def test_a_failure_waits_longer_each_time_and_never_as_long_as_another(receiver):
    receiver.statuses = [500]
    delivery, pauses = fails(), []
    for _ in range(10):
        make_due(delivery)
        began = timezone.now()
        assert counts(send_due()) == (0, 1, 0)
        pauses.append((now(delivery).next_attempt_at - began).total_seconds())
    longest = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert all(0.7 * most <= pause <= most + 1 for pause, most in zip(pauses, longest, strict=True))
    assert len({round(pause / most, 3) for pause, most in zip(pauses, longest, strict=True)}) > 3
    assert (delivery.attempts, delivery.status) == (10, "waiting")
    assert "answered 500" in delivery.last_error


def test_what_is_not_due_is_not_tried(receiver):
    receiver.statuses = [500, 200]
    fails()
    send_due()
    assert counts(send_due()) == (0, 0, 0)
    assert len(receiver.got) == 1


def test_a_receiver_that_asks_for_more_time_gets_it(receiver):
    receiver.statuses, receiver.headers = [429], {"Retry-After": "600"}
    delivery = fails()
    send_due()
    assert now(delivery).next_attempt_at > timezone.now() + timedelta(seconds=590)


def test_what_comes_back_is_sent_in_the_order_in_which_it_was_found(receiver):
    receiver.statuses = [500]
    deliveries = [fails(f"toy.rule_{number}") for number in range(3)]
    assert counts(send_due()) == (0, 2, 0)
    assert [now(d).attempts for d in deliveries] == [1, 1, 0]
    receiver.statuses = [200]
    receiver.got.clear()
    assert counts(send_due()) == (3, 0, 0)
    assert rules(receiver) == ["toy.rule_0", "toy.rule_1", "toy.rule_2"]


def test_one_message_that_its_receiver_cannot_take_does_not_hold_up_the_next(receiver):
    receiver.statuses = [500, 200, 200]
    deliveries = [fails(f"toy.rule_{number}") for number in range(3)]
    assert counts(send_due()) == (2, 1, 0)
    assert [now(d).status for d in deliveries] == ["waiting", "sent", "sent"]


def test_a_dead_endpoint_holds_up_no_other(receiver, settings):
    settings.INTEGRITY_ALERTS = [{"type": "slack", "url": URL_OF_NOBODY}, *settings.INTEGRITY_ALERTS]
    fails()
    assert counts(send_due()) == (1, 1, 0)
    assert len(receiver.got) == 1


def test_what_is_refused_for_good_waits_for_a_person(receiver):
    receiver.statuses = [404, 200]
    delivery = fails()
    assert counts(send_due()) == (0, 1, 1)
    assert now(delivery).status == "failed"
    assert counts(send_due()) == (0, 0, 0)
    assert send_again(delivery.alert_id) == 1
    assert counts(send_due()) == (1, 0, 0)


def test_what_does_not_arrive_for_days_waits_for_a_person(receiver, settings):
    settings.INTEGRITY = {"ALERT_RETRY_HOURS": 0.001}
    receiver.statuses = [500]
    delivery = fails()
    assert counts(send_due()) == (0, 1, 1)
    settings.INTEGRITY = {}
    send_again(delivery.alert_id)
    assert counts(send_due()) == (0, 1, 0)


def test_a_channel_that_has_gone_is_told(settings):
    delivery = fails()
    settings.INTEGRITY_ALERTS = []
    assert counts(send_due()) == (0, 1, 1)
    assert now(delivery).last_error == "INTEGRITY_ALERTS has no channel 'hook' any more"


def test_whatever_a_backend_raises_the_others_are_sent(settings, receiver, caplog):
    settings.INTEGRITY_ALERTS = [{"type": "mail", "to": ["ops@example.com"]}, *settings.INTEGRITY_ALERTS]
    name = "MAILERS" if hasattr(settings, "MAILERS") else "EMAIL_BACKEND"
    settings.__setattr__(name, {"default": {"BACKEND": "nowhere.Nothing"}} if name == "MAILERS" else "nowhere.Nothing")
    fails()
    assert counts(send_due()) == (1, 1, 0)
    assert "No module named 'nowhere'" in AlertDelivery.objects.get(channel="mail").last_error


def test_no_attempt_begins_when_the_time_of_a_round_is_over(receiver):
    for number in range(3):
        fails(f"toy.rule_{number}")
    assert counts(send_due(seconds=0)) == (1, 0, 0)


def test_only_what_has_not_arrived_is_sent_again():
    delivery = fails()
    send_due()
    with pytest.raises(UsageError, match="has arrived everywhere"):
        send_again(delivery.alert_id)
    with pytest.raises(UnknownName, match="Unknown alert '0'"):
        send_again(0)


# Senders that die, and several of them


def test_what_a_dead_sender_has_taken_is_free_after_a_minute(receiver, monkeypatch):
    delivery = fails()
    AlertDelivery.objects.update(taken_until=timezone.now() + sending.TAKEN)
    assert counts(send_due()) == (0, 0, 0)
    AlertDelivery.objects.update(taken_until=timezone.now() - timedelta(seconds=1))
    assert counts(send_due()) == (1, 0, 0)
    assert now(delivery).status == "sent"


@pytest.mark.django_db(transaction=True)
def test_a_sender_that_is_killed_before_it_could_note_it_sends_it_again_under_the_same_id(
    receiver, processes, settings
):
    delivery = fails()
    channels = settings.INTEGRITY_ALERTS
    processes.start("alerts", at="sent", act="die", alerts=channels).hear()
    assert (len(receiver.got), now(delivery).status) == (1, "waiting")
    AlertDelivery.objects.update(taken_until=timezone.now())
    assert counts(send_due()) == (1, 0, 0)
    first, second = (got["headers"]["Integrity-Delivery"] for got in receiver.got)
    assert first == second == str(delivery.uid)


@pytest.mark.django_db(transaction=True)
def test_two_senders_send_each_message_once(receiver, processes, settings):
    for number in range(12):
        fails(f"toy.rule_{number}")
    # Both are at work before either has an answer.
    receiver.holds.clear()
    senders = [processes.start("alerts", at="taken", time=1, alerts=settings.INTEGRITY_ALERTS) for _ in range(2)]
    for sender in senders:
        sender.until("taken")
    receiver.holds.set()
    for sender in senders:
        sender.tell("go on")
    done = [sender.result()["changes"] for sender in senders]
    assert sum(done) == 12
    assert sorted(rules(receiver)) == sorted(f"toy.rule_{number}" for number in range(12))
    assert not AlertDelivery.objects.exclude(status="sent").exists()


@pytest.mark.django_db(transaction=True)
def test_two_runs_that_find_the_same_at_the_same_time_make_one_message():
    found, backend = [], queue.Queue()

    def other_run():
        connection.ensure_connection()
        backend.put(connection.connection.info.backend_pid)
        found.append(fails())
        connections.close_all()

    with Other() as other:
        thread = threading.Thread(target=other_run)
        with transaction.atomic():
            fails()
            thread.start()
            other.await_wait(backend.get(timeout=20))
        thread.join(20)
    assert (found, Alert.objects.count()) == ([None], 1)


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_rolled_back_has_told_nobody():
    with transaction.atomic():
        fails()
        transaction.set_rollback(True)
    assert not Alert.objects.exists()
