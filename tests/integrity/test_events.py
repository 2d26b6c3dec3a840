"""What runs tell the log."""

import logging

import pytest
from django.db.models import Q

from integrity import Always, control
from integrity.engine import analyze
from integrity.models import Run
from integrity.workers import later
from tests.integrity.helpers import declared, registered
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, logger="integrity")
    return lambda: [record for record in caplog.records if record.name == "integrity"]


@pytest.fixture
def positive():
    rule = declared(Always, toy.Account, Q(balance__gte=0), name="positive")
    with registered(rule):
        yield rule


def test_a_run_tells_its_beginning_each_rule_and_its_end(told, positive):
    toy.Account.objects.create(balance=-1)
    report = analyze([positive], actor="ann")
    assert [record.action for record in told()] == ["run_opened", "rule_done", "run_closed"]
    assert {record.run for record in told()} == {report.run}
    assert {record.actor for record in told()} == {"ann"}


def test_what_was_found_stands_in_fields_and_in_the_sentence(told, positive):
    toy.Account.objects.create(balance=-1)
    report = analyze([positive])
    done = told()[1]
    assert (done.rule, done.status, done.violations, done.checked) == ("toy.positive", "violated", 1, 1)
    assert done.getMessage() == f"run {report.run} (analyze): toy.positive violated, 1 of 1 break it"


def test_the_end_tells_status_and_seconds(told, positive):
    analyze([positive])
    closed = told()[-1]
    assert closed.status == "clean"
    assert 0 <= closed.seconds < 60


def test_a_run_that_is_put_off_and_cancelled_tells_both(told, positive):
    run = later.analyze([positive], actor="ann")
    control.cancel(run.pk, actor="bob")
    assert [record.action for record in told()] == ["run_queued", "run_closed"]
    assert told()[-1].status == "refused"


def test_whoever_asks_a_run_to_wait_is_told(told, positive):
    report = analyze([positive])
    Run.objects.filter(pk=report.run).update(status="running", verb="repair", finished_at=None)
    control.pause(report.run, actor="bob")
    assert (told()[-1].asked, told()[-1].asked_by) == ("pause", "bob")
    control.resume(report.run, actor="bob")
    assert told()[-1].asked == "resume"
