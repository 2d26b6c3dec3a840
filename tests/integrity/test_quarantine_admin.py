"""The quarantine in the administration: who sees it, what a row shows, and rows that are put back with a reason."""

import pytest

from integrity.models import Run
from integrity.quarantine import quarantined
from tests.integrity.helpers import registered, repaired, text
from tests.integrity.test_quarantine import make_orphan, orphans, positive
from tests.integrity.test_trim import make_ledger
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

LIST = "/admin/integrity/quarantined/"


@pytest.fixture
def restorer(staff):
    return staff("view_quarantined", "restore_quarantined")


@pytest.fixture
def kept():
    """An orphan in quarantine."""
    orphan, rule = make_orphan(quantity=7), orphans()
    repaired(rule, reason="its line is gone", actor="bob")
    with registered(rule):
        yield orphan


def act(client, rows, **data):
    data |= {"action": "restore_selected", "_selected_action": [row.pk for row in rows]}
    return client.post(LIST, data, follow=True)


def test_nobody_sees_it_without_permission(staff, kept):
    assert staff().get(LIST).status_code == 403


def test_the_list_tells_what_why_and_by_whom(restorer, kept):
    page = text(restorer.get(LIST))
    for told in (f"toy_shipment id {kept.pk}", "its line is gone", "bob", quarantined().get().rule):
        assert told in page


def test_the_page_of_a_row_shows_all_of_it(restorer, kept):
    page = text(restorer.get(f"{LIST}{quarantined().get().pk}/change/"))
    for told in ("quantity", "7", "The toy says so.", "its line is gone"):
        assert told in page


def test_a_row_tells_what_went_along(restorer):
    toy.Receipt.objects.create(posting=make_ledger(-1, ["-1"]).postings.get())
    rule = positive()
    repaired(rule)
    with registered(rule):
        assert "1 row of toy_receipt" in text(restorer.get(f"{LIST}{quarantined().get().pk}/change/"))


def test_nothing_can_be_added_changed_or_deleted(restorer, kept):
    row = f"{LIST}{quarantined().get().pk}"
    assert restorer.get(f"{LIST}add/").status_code == 403
    assert restorer.post(f"{row}/change/", {"rule": "other"}).status_code == 403
    assert restorer.post(f"{row}/delete/", {"post": "yes"}).status_code == 403
    assert quarantined().count() == 1


def test_restoring_asks_for_a_reason_first(restorer, kept):
    page = text(act(restorer, quarantined()))
    assert "Put back 1 row?" in page
    assert (quarantined().count(), toy.Shipment.objects.count()) == (1, 0)


def test_without_a_reason_nothing_is_restored(restorer, kept):
    page = text(act(restorer, quarantined(), confirmed="yes", reason="  "))
    assert "Say why, for the record." in page
    assert quarantined().count() == 1


def test_a_row_is_put_back_with_a_reason_by_whoever_asked_and_still_broken_ones_are_told(restorer, kept):
    page = text(act(restorer, quarantined(), confirmed="yes", reason="asked for by its owner"))
    run = Run.objects.get(verb="undo")
    assert (run.actor, run.reason, toy.Shipment.objects.get()) == ("ann", "asked for by its owner", kept)
    assert f"Put back: 1 row. To take that back: manage.py integrity undo {run.pk}" in page
    assert f"is broken again at id {kept.pk}" in page


def test_a_row_that_holds_the_rule_again_is_put_back_without_a_warning(restorer, kept):
    toy.Line.objects.create(order="gone", number="1")
    page = text(act(restorer, quarantined(), confirmed="yes", reason="its line is back"))
    assert "Put back: 1 row." in page
    assert "broken again" not in page


def test_a_conflict_is_told_and_the_row_stays(restorer, kept):
    toy.Shipment.objects.create(id=kept.pk, order="here", number="1", quantity=1)
    page = text(act(restorer, quarantined(), confirmed="yes", reason="back"))
    assert f"toy_shipment id {kept.pk} stays in quarantine: a row with this key exists again." in page
    assert quarantined().count() == 1


def test_whoever_may_only_look_cannot_restore(staff, kept):
    client = staff("view_quarantined")
    assert "restore_selected" not in text(client.get(LIST))
    act(client, quarantined(), confirmed="yes", reason="mine")
    assert (quarantined().count(), Run.objects.filter(verb="undo").count()) == (1, 0)


def test_a_rule_that_is_declared_no_more_is_told(restorer):
    make_orphan()
    rule = orphans()
    repaired(rule)
    row = quarantined().get()
    assert "The rule is not declared any more." in text(restorer.get(f"{LIST}{row.pk}/change/"))
    assert f"'{rule.label}'" in text(act(restorer, [row], confirmed="yes", reason="back"))
    assert quarantined().count() == 1


def test_more_rows_than_a_person_reads_are_refused(restorer, monkeypatch):
    monkeypatch.setattr("integrity.admin.quarantine.AT_ONCE", 1)
    make_orphan("one"), make_orphan("two")
    rule = orphans()
    run = repaired(rule).run
    assert f"manage.py integrity undo {run}" in text(act(restorer, quarantined()))
