"""Quarantine: rows that break a rule are moved out whole, listed, and put back to the byte."""

import pytest
from django.db.models import Q, Sum

from integrity import Always, Derived, Quarantine, References, Unique
from integrity.models import Quarantined
from integrity.quarantine import along, quarantined, restore
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, finds, registered, repaired
from tests.integrity.test_trim import make_ledger
from tests.integrity.test_undo import fill_columns, give_columns, printed
from tests.integrity.test_unique import make_entries, unique
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def make_orphan(order="gone", quantity=1):
    """A row that refers, by a natural key, to one that is not there."""
    return toy.Shipment.objects.create(order=order, number="1", quantity=quantity)


def orphans(**options):
    toy.Line.objects.create(order="here", number="1")
    by = ["order", "number"]
    rule = declared(References, toy.Shipment, by, to=toy.Line, on=by, repairs={"quarantine": Quarantine()}, **options)
    assert rule.check() == []
    return rule


def positive(**options):
    rule = declared(Always, toy.Posting, Q(amount__gt=0), repairs={"quarantine": Quarantine()}, **options)
    assert rule.check() == []
    return rule


def restored(rule, rows=None, **options):
    with registered(rule):
        (report,) = restore(quarantined() if rows is None else rows, **options)
    return report


def test_an_orphan_is_moved_out_and_counted_as_such():
    make_orphan(quantity=7)
    report = repaired(orphans(), reason="its posting is gone")
    assert (report.status, report.rules[0].outcomes) == ("clean", {"quarantined": 1})
    assert toy.Shipment.objects.count() == 0


def test_it_is_listed_with_its_rule_its_run_and_the_reason():
    orphan, rule = make_orphan(quantity=7), orphans()
    run = repaired(rule, reason="its posting is gone", actor="ann").run
    row = quarantined([rule]).get()
    assert (row.rule, row.table, row.key) == (rule.label, "toy_shipment", {"id": str(orphan.pk)})
    assert (row.run.pk, row.run.actor, row.run.reason) == (run, "ann", "its posting is gone")
    assert row.before["quantity"] == "7"


def test_a_row_that_holds_the_rule_stays():
    right = make_orphan("here")
    make_orphan()
    repaired(orphans())
    assert toy.Shipment.objects.get() == right


def test_a_restored_orphan_breaks_the_rule_again_and_that_is_said():
    orphan, rule = make_orphan(), orphans()
    before = contents(toy.Shipment)
    repaired(rule)
    report = restored(rule)
    assert (report.status, report.exit_code, report.rules[0].violations) == ("violated", 1, 1)
    assert [found.key for found in report.rules[0].sample] == [(orphan.pk,)]
    assert contents(toy.Shipment) == before


def test_a_restored_row_whose_parent_came_back_is_clean():
    make_orphan()
    rule = orphans()
    repaired(rule)
    toy.Line.objects.create(order="gone", number="1")
    assert restored(rule).status == "clean"
    assert finds(rule) == {}


def test_every_column_comes_back_to_the_byte():
    give_columns()
    for _ in range(7):
        make_ledger(1, ["-3"])
    fill_columns()
    rule, before = positive(), printed()
    repaired(rule)
    assert toy.Posting.objects.count() == 0
    restored(rule)
    assert printed() == before


def test_one_row_is_put_back_and_the_others_stay_in_quarantine():
    make_orphan("one"), make_orphan("two")
    rule = orphans()
    repaired(rule)
    first, second = quarantined()
    assert restored(rule, [second]).changes == 1
    assert list(quarantined()) == [first]
    assert toy.Shipment.objects.get().order == "two"


def test_an_undo_of_a_restore_moves_the_row_out_again_where_it_is_listed_again():
    make_orphan()
    rule = orphans()
    repaired(rule)
    back = restored(rule).run
    assert not quarantined().exists()
    again = undo(back).run
    assert (quarantined().get().run.pk, toy.Shipment.objects.count()) == (again, 0)
    assert restored(rule).changes == 1
    assert not quarantined().exists()


def test_a_whole_undo_empties_the_quarantine():
    make_orphan("one"), make_orphan("two")
    rule = orphans()
    before = contents(toy.Shipment)
    run = repaired(rule).run
    undo(run)
    assert (quarantined().count(), contents(toy.Shipment)) == (0, before)


def test_a_number_that_was_given_anew_is_a_conflict_and_the_row_stays_in_quarantine():
    orphan, rule = make_orphan(), orphans()
    repaired(rule)
    toy.Shipment.objects.create(id=orphan.pk, order="here", number="1", quantity=1)
    report = restored(rule)
    assert (report.status, report.rules[0].conflicts[0].why) == ("partial", "a row with this key exists again")
    assert quarantined().count() == 1


def test_a_row_that_a_constraint_keeps_out_stays_in_quarantine_and_the_constraint_is_named():
    make_ledger(1, ["1"])
    execute("SET LOCAL session_replication_role = replica")
    toy.Receipt.objects.create(posting_id=900)
    execute("SET LOCAL session_replication_role = origin")
    rule = declared(References, toy.Receipt, "posting", repairs={"quarantine": Quarantine()})
    repaired(rule)
    report = restored(rule)
    assert (report.status, report.changes, quarantined().count()) == ("partial", 0, 1)
    assert "violates foreign key constraint" in report.rules[0].conflicts[0].why


def test_rows_that_refer_to_it_go_along_and_come_back_with_it():
    posting = make_ledger(-1, ["-1"]).postings.get()
    receipt = toy.Receipt.objects.create(posting=posting)
    toy.Page.objects.create(receipt=receipt)
    toy.Mention.objects.create(posting=posting)
    rule, before = positive(), contents()
    repaired(rule)
    with registered(rule):
        assert along(quarantined().get()) == [("toy_mention", 1), ("toy_page", 1), ("toy_receipt", 1)]
    assert [row.table for row in quarantined()] == ["toy_posting"]
    assert toy.Mention.objects.get().posting is None
    restored(rule)
    assert contents() == before


def test_rows_of_another_key_that_went_along_stay_away():
    one, other = make_ledger(-1, ["-1"]).postings.get(), make_ledger(-1, ["-1"]).postings.get()
    toy.Receipt.objects.create(posting=one), toy.Receipt.objects.create(posting=other)
    rule = positive()
    repaired(rule)
    restored(rule, [quarantined().get(key={"id": str(other.pk)})])
    assert toy.Receipt.objects.get().posting == other


def test_a_row_that_another_one_protects_is_left_and_named():
    protected = make_ledger(-1, ["-1"]).postings.get()
    toy.Audit.objects.create(posting=protected)
    report = repaired(positive())
    assert (report.status, report.rules[0].skipped, toy.Posting.objects.count()) == ("partial", 1, 1)
    assert report.rules[0].reasons == [f"id {protected.pk}: rows of another table refer to it and are protected"]
    assert not quarantined().exists()


def test_a_row_that_a_total_needs_is_left():
    make_ledger(4, ["5", "-1"])
    total = declared(Derived, toy.Ledger, "total", truth="column", equals=Sum("postings__amount"))
    with registered(total):
        report = repaired(positive())
    assert (report.status, toy.Posting.objects.count()) == ("refused", 2)
    assert total.label in report.rules[0].error


def test_nothing_is_moved_while_the_table_referred_to_is_empty():
    make_orphan()
    rule = orphans()
    toy.Line.objects.all().delete()
    report = repaired(rule)
    assert (report.status, toy.Shipment.objects.count()) == ("refused", 1)


def test_a_dry_run_moves_nothing():
    make_orphan()
    report = repaired(orphans(), dry_run=True)
    assert (report.changes, toy.Shipment.objects.count(), Quarantined.objects.count()) == (1, 1, 0)


def test_the_repetitions_of_a_key_are_moved_out_and_come_back_together_with_their_children():
    entries = make_entries(5, 5, 5)
    part = toy.Part.objects.create(entry=entries[1])
    rule = unique(toy.Entry, ["account", "amount"], keep="id", repairs={"quarantine": Quarantine()})
    before = contents(toy.Entry, toy.Part)
    assert repaired(rule, "quarantine").rules[0].outcomes == {"quarantined": 2}
    part.refresh_from_db()
    assert (toy.Entry.objects.get(), part.entry) == (entries[0], entries[0])
    assert [row.key["id"] for row in quarantined()] == [str(entry.pk) for entry in entries[1:]]
    report = restored(rule, quarantined()[:1])
    assert (report.status, report.changes, contents(toy.Entry, toy.Part)) == ("violated", 3, before)


def without_keep(**options):
    return declared(Unique, toy.Entry, by=["amount"], **options)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda **o: declared(Derived, toy.Account, "balance", equals=Sum("entries__amount"), **o), "not wrong by its"),
        (lambda **o: declared(Always, toy.Employee, Q(hours__gt=0), **o), "spread over the tables of its parents"),
        (without_keep, "does not say which row is kept"),
    ],
)
def test_a_rule_that_it_is_not_for_is_told_at_start_up(rule, message):
    (problem,) = rule(repairs={"quarantine": Quarantine()}).check()
    assert (problem.id, message in problem.msg, bool(problem.hint)) == ("integrity.E002", True, True)
