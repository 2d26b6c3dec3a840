"""Alerts in the administration: who sees them, what a page shows, and who may send again."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction

from integrity.alerts.conditions import Seen
from integrity.alerts.deciding import tell
from integrity.alerts.models import AlertDelivery
from integrity.alerts.seen import Sight
from integrity.alerts.subjects import Subject

pytestmark = pytest.mark.django_db

LIST = "/admin/integrity/alert/"


@pytest.fixture
def log_in(client, django_user_model):
    def log_in(*codenames):
        account = django_user_model.objects.create(username="ann", is_staff=True)
        account.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(account)
        return client

    return log_in


@pytest.fixture(autouse=True)
def alert(settings):
    """Four rules start failing, of which nobody could be told."""
    settings.INTEGRITY_ALERTS = [{"type": "log", "name": "lines"}]
    found = [Subject(f"toy.rule_{number}", "error", because="<b>Sums</b> add up.") for number in range(4)]
    with transaction.atomic():
        alert = tell([Sight(subject, [Seen.FAILS], 3, 500) for subject in found])
    AlertDelivery.objects.update(status="failed", attempts=7, last_error="ops.example.com answered 404 Not Found")
    return alert


def words(answer):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def test_the_list_shows_what_was_told_and_how_it_fared(log_in):
    shown = words(log_in("view_alert").get(LIST))
    for said in ("toy.rule_0 starts failing: 3 of 500 break it.", "and 1 more", "lines failed"):
        assert said in shown


def test_a_page_shows_all_of_it_and_no_markup_of_a_rule(log_in, alert):
    answer = log_in("view_alert").get(f"{LIST}{alert.pk}/change/")
    assert "toy.rule_3 starts failing" in words(answer)
    assert "failed 7 attempts" in words(answer)
    assert "ops.example.com answered 404 Not Found" in words(answer)
    assert b"&lt;b&gt;Sums&lt;/b&gt; add up." in answer.content


@pytest.mark.parametrize("path", ["", "1/change/", "add/", "1/delete/"])
def test_without_the_permission_nothing_is_shown(log_in, alert, path):
    assert log_in().get(LIST + path.replace("1", str(alert.pk))).status_code == 403


@pytest.mark.parametrize("path", ["add/", "1/delete/"])
def test_nobody_adds_or_deletes_one(log_in, alert, path):
    assert log_in("view_alert", "control").get(LIST + path.replace("1", str(alert.pk))).status_code == 403


def again(client, alert):
    data = {"action": "send_selected_again", "_selected_action": [alert.pk]}
    return words(client.post(LIST, data, follow=True))


def test_who_may_control_sends_again_what_did_not_arrive(log_in, alert):
    shown = again(log_in("view_alert", "control"), alert)
    assert "1 delivery is due now, for whoever sends next." in shown
    assert AlertDelivery.objects.get().status == "waiting"


def test_what_has_arrived_is_not_sent_again(log_in, alert):
    AlertDelivery.objects.update(status="sent")
    assert "has arrived everywhere" in again(log_in("view_alert", "control"), alert)


def test_who_may_only_look_sends_nothing(log_in, alert):
    again(log_in("view_alert"), alert)
    assert AlertDelivery.objects.get().status == "failed"
