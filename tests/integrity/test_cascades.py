"""Rows that go along with deleted ones: written explicitly, journaled, and taken back with them."""

import pytest
from django.db import connection
from django.db.models import F, IntegerField, Sum, Value

from integrity import Derived, PerKey, Trim
from integrity.models import Change
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, registered, repaired
from tests.integrity.test_trim import amounts, make_ledger, trimmed
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def make_posting(total=0, amount=5):
    """A posting that a trim deletes when its master says 0, and reduces when it says 1."""
    return make_ledger(total, [amount]).postings.get()


def deletes_in_database(model, column, action):
    """Let the database itself follow a foreign key."""
    table, target = model._meta.db_table, model._meta.get_field(column).related_model._meta.db_table
    execute(
        f"ALTER TABLE {table} DROP CONSTRAINT {foreign_key_of(table, target)}",
        f"ALTER TABLE {table} ADD FOREIGN KEY ({column}_id) REFERENCES {target} ON DELETE {action}",
    )


def foreign_key_of(table, target):
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    return next(name for name, found in constraints.items() if found["foreign_key"] == (target, "id"))


def written():
    """The tables of the changes in order, with what was done."""
    changes = Change.objects.order_by("pk").values_list("table", "before", "after")
    return [(table.removeprefix("toy_"), "delete" if after is None else "update") for table, _, after in changes]


def trimmed_and_undone():
    """The changes of a trim, of which an undo leaves no trace."""
    before = contents()
    report = repaired(trimmed())
    found = written()
    assert report.status == "clean", report.rules[0].error
    assert undo(report.run).status == "clean"
    assert contents() == before
    return found


def test_children_that_django_would_delete_are_deleted_first():
    posting = make_posting()
    toy.Receipt.objects.create(posting=posting, text="a")
    assert trimmed_and_undone() == [("receipt", "delete"), ("posting", "delete")]


def test_children_that_the_database_would_delete_are_deleted_first():
    deletes_in_database(toy.Receipt, "posting", "CASCADE")
    toy.Receipt.objects.create(posting=make_posting(), text="a")
    assert trimmed_and_undone() == [("receipt", "delete"), ("posting", "delete")]


def test_references_that_django_would_forget_are_set_to_null():
    toy.Mention.objects.create(posting=make_posting())
    assert trimmed_and_undone() == [("mention", "update"), ("posting", "delete")]


def test_references_that_the_database_would_forget_are_set_to_null():
    deletes_in_database(toy.Audit, "posting", "SET NULL")
    execute("ALTER TABLE toy_audit ALTER posting_id DROP NOT NULL")
    toy.Audit.objects.create(posting=make_posting())
    assert trimmed_and_undone() == [("audit", "update"), ("posting", "delete")]


def test_tags_of_a_generic_relation_go_along():
    posting = make_posting()
    toy.Tag.objects.create(target=posting, weight=1)
    other = toy.Tag.objects.create(content_type=toy.of_type(toy.Ledger), object_id=str(posting.pk), weight=1)
    assert trimmed_and_undone() == [("tag", "delete"), ("posting", "delete")]
    assert toy.Tag.objects.filter(pk=other.pk).exists()


def test_rows_of_a_many_to_many_relation_go_along():
    label = toy.Label.objects.create()
    make_posting().labels.add(label)
    assert trimmed_and_undone() == [("posting_labels", "delete"), ("posting", "delete")]
    assert toy.Label.objects.count() == 1


def test_children_of_children_are_deleted_before_them():
    receipt = toy.Receipt.objects.create(posting=make_posting())
    toy.Page.objects.create(receipt=receipt)
    assert trimmed_and_undone() == [("page", "delete"), ("receipt", "delete"), ("posting", "delete")]


def test_a_row_that_two_ways_lead_to_is_deleted_once():
    posting = make_posting()
    receipt = toy.Receipt.objects.create(posting=posting)
    toy.Page.objects.create(receipt=receipt, posting=posting)
    assert sorted(trimmed_and_undone()) == [("page", "delete"), ("posting", "delete"), ("receipt", "delete")]


def test_a_row_that_goes_along_with_rows_of_two_masters_is_deleted_once():
    one, other = make_posting(), make_posting()
    toy.Page.objects.create(receipt=toy.Receipt.objects.create(posting=one), posting=other)
    assert sorted(trimmed_and_undone()).count(("page", "delete")) == 1


def test_rows_that_the_database_would_delete_in_a_circle_are_refused():
    deletes_in_database(toy.Node, "parent", "CASCADE")
    root = toy.Node.objects.create()
    child = toy.Node.objects.create(parent=root, own=5, total=1)
    grandchild = toy.Node.objects.create(parent=child, own=1)
    toy.Node.objects.filter(pk=root.pk).update(parent=grandchild)
    before = contents(toy.Node)
    trim = Trim("children", amount="own")
    rule = declared(Derived, toy.Node, "total", truth="column", equals=Sum("children__own"), repairs={"trim": trim})
    report = repaired(rule)
    assert (report.status, contents(toy.Node) == before) == ("refused", True)
    assert "1 rows of toy_node were to be changed by delete and 0 were" in report.rules[0].error


def test_nothing_goes_along_with_a_row_that_is_only_reduced():
    toy.Receipt.objects.create(posting=make_posting(total=1))
    assert trimmed_and_undone() == [("posting", "update")]


def test_rows_of_other_parents_stay():
    make_posting()
    kept = toy.Receipt.objects.create(posting=make_posting(total=5))
    assert trimmed_and_undone() == [("posting", "delete")]
    assert toy.Receipt.objects.get() == kept


def test_a_protected_row_keeps_its_master_out_of_the_repair():
    protected, free = make_posting(), make_posting()
    toy.Audit.objects.create(posting=protected)
    report = repaired(trimmed())
    assert (report.status, report.exit_code, report.changes, report.rules[0].skipped) == ("partial", 3, 1, 1)
    assert report.rules[0].reasons == [f"id {protected.ledger_id}: rows of another table refer to it and are protected"]
    assert (amounts(protected.ledger), amounts(free.ledger)) == (["5.00"], [])


def test_a_master_is_left_as_a_whole_when_one_of_its_rows_is_protected():
    ledger = make_ledger(0, ["1", "2", "3"])
    toy.Audit.objects.create(posting=ledger.postings.first())
    toy.Receipt.objects.create(posting=ledger.postings.last())
    before = contents()
    assert repaired(trimmed()).status == "partial"
    assert contents() == before


def test_a_shared_row_goes_along_with_the_master_that_is_repaired():
    protected, free = make_posting(), make_posting()
    toy.Audit.objects.create(posting=protected)
    toy.Page.objects.create(receipt=toy.Receipt.objects.create(posting=free), posting=protected)
    assert repaired(trimmed()).changes == 3
    assert written() == [("page", "delete"), ("receipt", "delete"), ("posting", "delete")]


def test_references_that_go_deeper_than_declared_are_refused(settings):
    settings.INTEGRITY = {"CASCADE_DEPTH": 1}
    receipt = toy.Receipt.objects.create(posting=make_posting())
    toy.Page.objects.create(receipt=receipt)
    before = contents()
    report = repaired(trimmed())
    assert (report.status, report.exit_code, contents() == before) == ("refused", 3, True)
    assert "more than 1 tables deep (now at toy_page)" in report.rules[0].error


def test_references_as_deep_as_declared_are_followed(settings):
    settings.INTEGRITY = {"CASCADE_DEPTH": 2}
    toy.Page.objects.create(receipt=toy.Receipt.objects.create(posting=make_posting()))
    assert repaired(trimmed()).changes == 3


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "NO ACTION"])
def test_a_referring_table_without_a_model_is_refused_and_named(action):
    execute(
        f"CREATE TABLE foreign_notes (posting_id bigint CONSTRAINT noted REFERENCES toy_posting ON DELETE {action})"
    )
    posting = make_posting()
    execute(f"INSERT INTO foreign_notes VALUES ({posting.pk})")
    report = repaired(trimmed())
    assert report.status == "refused"
    assert "1 rows of foreign_notes refer to rows of toy_posting" in report.rules[0].error
    assert "(constraint noted)" in report.rules[0].error


def test_a_referring_table_without_a_model_and_rows_does_not_matter():
    execute("CREATE TABLE foreign_notes (posting_id bigint REFERENCES toy_posting ON DELETE CASCADE)")
    make_posting()
    assert repaired(trimmed()).changes == 1


def test_a_row_spread_over_tables_of_parents_is_refused():
    execute("ALTER TABLE toy_employee ADD posting_id bigint REFERENCES toy_posting ON DELETE CASCADE")
    posting = make_posting()
    employee = toy.Employee.objects.create(name="a")
    execute(f"UPDATE toy_employee SET posting_id = {posting.pk} WHERE person_ptr_id = {employee.pk}")
    report = repaired(trimmed())
    assert report.status == "refused"
    assert "rows of toy_employee along, which are spread over the tables of its parents" in report.rules[0].error


def test_the_brake_counts_rows_that_go_along():
    posting = make_posting()
    toy.Receipt.objects.bulk_create(toy.Receipt(posting=posting) for _ in range(101))
    report = repaired(trimmed())
    assert report.status == "refused"
    assert "101 rows of toy_receipt would be written" in report.rules[0].error


def test_the_brake_counts_rows_that_go_along_before_the_first_of_several_batches(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 1}
    make_posting()
    toy.Receipt.objects.bulk_create(toy.Receipt(posting=make_posting()) for _ in range(3))
    toy.Receipt.objects.bulk_create(toy.Receipt(posting=toy.Posting.objects.last()) for _ in range(3))
    before = contents()
    assert repaired(trimmed(), max_affected="5").status == "refused"
    assert contents() == before


def receipts_per_posting():
    return toy.Receipt.objects.values(key=F("posting__ledger_id")).annotate(value=Value(1, output_field=IntegerField()))


def test_a_rule_that_reads_what_goes_along_as_a_whole_is_looked_at_at_the_end():
    toy.Receipt.objects.create(posting=make_posting(amount=1))
    toy.Ledger.objects.update(total=0)
    equals = PerKey(receipts_per_posting, reads=[toy.Receipt], default=0) - Value(1)
    follows = declared(Derived, toy.Ledger, "total", equals=equals)
    rule = trimmed()
    with registered(follows, rule):
        report = repair([(rule, None)])
    assert report.status == "partial"
    assert f"{follows.label} had 0 violations before and has 1 now" in report.rules[0].error
