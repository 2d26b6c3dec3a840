"""Enforcing from the administration: the statements first, a reason, and a run that tells what is kept now."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import Q

from integrity import Always
from integrity.enforce import enforce
from integrity.enforcement.states import state
from integrity.engine import analyze
from integrity.models import Result, Run
from integrity.workers import queue
from tests.integrity.helpers import declared, registered, text
from tests.integrity.test_derived import make_account
from tests.integrity.test_recompute import balance
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

RULES = "/admin/integrity/declaredrule/"
WHY = {"reason": "it broke twice"}


@pytest.fixture
def rule():
    positive = declared(Always, toy.Entry, Q(amount__gte=0), enforce=True)
    with registered(positive):
        yield positive


@pytest.fixture
def broken(rule):
    make_account([-1])
    with connection.cursor() as cursor:
        # A table with pending checks of foreign keys cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    analyze([rule], actor="cron")
    return rule


def test_the_statements_are_shown_before_anything_is_done(boss, rule):
    page = text(boss.get(f"{RULES}{rule.label}/enforce/"))
    assert "ADD CONSTRAINT" in page
    assert (state(rule), Run.objects.count()) == ("missing", 0)


def test_a_rule_that_holds_is_enforced_and_it_is_recorded_who_wanted_it(boss, rule):
    answer = boss.post(f"{RULES}{rule.label}/enforce/", WHY, follow=True)
    assert "is enforced now" in text(answer)
    run = Run.objects.get()
    assert (state(rule), run.actor, run.reason) == ("enforced", "boss", WHY["reason"])
    assert LogEntry.objects.get().change_message == "Enforce: it broke twice"


def test_what_keeps_a_rule_is_taken_away(boss, rule):
    enforce([rule])
    answer = boss.post(f"{RULES}{rule.label}/remove/", WHY, follow=True)
    assert "is missing now" in text(answer)
    assert state(rule) == "missing"


def test_a_broken_rule_is_told_before_it_is_refused(boss, broken):
    page = text(boss.get(f"{RULES}{broken.label}/enforce/"))
    assert "The last look found 1 violation. While a violation is there it is refused" in page
    assert "1 row breaks" in text(boss.post(f"{RULES}{broken.label}/enforce/", WHY, follow=True))
    assert state(broken) == "missing"


def test_nobody_enforces_or_removes_without_the_permission(staff, rule):
    client = staff("view_run", "view_violation", "repair")
    for verb in ("enforce", "remove"):
        assert client.post(f"{RULES}{rule.label}/{verb}/", WHY).status_code == 403
    assert "Let the database keep it" not in text(client.get(f"{RULES}{rule.label}/change/"))


def test_a_rule_that_is_not_to_be_enforced_has_no_such_page(boss):
    known = balance()
    with registered(known):
        assert boss.get(f"{RULES}{known.label}/enforce/").status_code == 404


def test_what_looks_for_long_is_put_off_where_there_are_workers(boss, broken):
    Result.objects.update(seconds=600)
    answer = boss.post(f"{RULES}{broken.label}/enforce/", WHY)
    run = Run.objects.latest("pk")
    assert (run.verb, run.status, answer.url) == ("enforce", "queued", f"/admin/integrity/run/{run.pk}/change/")


def test_what_looks_for_long_is_a_command_where_there_are_none(boss, broken, monkeypatch):
    monkeypatch.setattr(queue, "is_there", lambda: False)
    Result.objects.update(seconds=600)
    page = text(boss.post(f"{RULES}{broken.label}/enforce/", WHY))
    assert f"manage.py integrity enforce {broken.label}" in page
    assert Run.objects.count() == 1
