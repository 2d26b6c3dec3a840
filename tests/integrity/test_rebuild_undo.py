"""Taking a rebuild back: the old table to the byte, with what people did meanwhile."""

import pytest
from django.db.models import F

from integrity import Rebuild
from integrity.engine import verify
from integrity.exceptions import UsageError
from integrity.models import Run
from integrity.rebuilding.portrait import differences
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity import rebuilds
from tests.integrity.helpers import execute, registered
from tests.integrity.rebuilds import BACKUP, kept, make_sales, rebuilt, rows_of, sales_differ
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def table():
    with rebuilds.given_back():
        yield


def undone(run, rule=None, **options):
    with registered(rule or sales_differ()):
        return undo(run, **options)


def test_the_old_table_comes_back_to_the_byte_with_the_names_of_everything():
    make_sales(times=100)
    before, names, look = rows_of(), rebuilds.names_in_schema(), rebuilds.look_of()
    report = undone(rebuilt(sales_differ()).run)
    assert (report.status, report.changes, report.exit_code) == ("clean", 297, 0), report.rules[0].error
    assert (rows_of(), rebuilds.names_in_schema(), rebuilds.look_of()) == (before, names, look)


def test_the_old_table_goes_on_counting_where_the_new_one_had_come_to():
    make_sales(times=2)
    run = rebuilt(sales_differ()).run
    new = toy.Sale.objects.create(region_id="north", amount=9)
    undone(run)
    assert toy.Sale.objects.create(region_id="north", amount=9).pk == new.pk + 1


def test_what_people_did_meanwhile_is_carried_over_and_told():
    first, second, third, *_ = make_sales(times=2)
    run = rebuilt(sales_differ()).run
    new = toy.Sale.objects.create(region_id="north", amount=9)
    toy.Sale.objects.filter(pk=first).update(amount=7)
    toy.Sale.objects.filter(pk=second).delete()
    report = undone(run)
    assert report.status == "clean"
    assert kept() == [(first, 7), (third, 3), (first + 3, 1), (second + 3, 2), (third + 3, 3), (new.pk, 9)]
    told = {(change.op, change.row["id"]) for change in report.rules[0].planned}
    assert told == {("insert", new.pk), ("update", first), ("delete", second)}
    assert "1 inserted, 1 changed and 1 deleted since run" in report.rules[0].notes[0]


def test_a_row_whose_key_the_old_table_has_is_a_conflict_and_left():
    sales = make_sales(times=2)
    before = rows_of()
    run = rebuilt(sales_differ()).run
    toy.Sale.objects.create(pk=sales[-1], region_id="north", amount=9)
    report = undone(run)
    assert (report.status, report.exit_code) == ("partial", 3)
    (conflict,) = report.rules[0].conflicts
    assert (conflict.key, rows_of()) == ({"id": sales[-1]}, before)


def test_a_dry_run_says_what_would_come_back_and_changes_nothing():
    make_sales(times=2)
    run = rebuilt(sales_differ()).run
    toy.Sale.objects.create(region_id="north", amount=9)
    before, backup, names = rows_of(), rows_of(BACKUP), rebuilds.names_in_schema()
    report = undone(run, dry_run=True)
    assert (report.status, report.changes, report.exit_code) == ("violated", 3, 1)
    assert "1 inserted, 0 changed and 0 deleted since run" in report.rules[0].notes[0]
    assert (rows_of(), rows_of(BACKUP), rebuilds.names_in_schema()) == (before, backup, names)


def test_an_undone_rebuild_is_not_undone_twice():
    make_sales(times=2)
    run = rebuilt(sales_differ()).run
    taken_back = undone(run).run
    for number in (run, taken_back):
        with pytest.raises(UsageError, match=f"Run {taken_back} swapped the old table of toy.sales_differ back"):
            undone(number)


def test_after_an_undo_the_same_repair_can_be_made_again():
    make_sales(times=2)
    undone(rebuilt(sales_differ()).run)
    report = rebuilt(sales_differ())
    assert (report.status, len(kept())) == ("clean", 3)


def test_a_table_rebuilt_twice_is_taken_back_in_order():
    make_sales(times=2)
    before = rows_of()
    rule = sales_differ(repairs={"rebuild": Rebuild(backup=BACKUP), "again": Rebuild(backup="toy_sale_corrupted_2")})
    first = rebuilt(rule).run
    execute(f"DROP INDEX {rebuilds.ONCE}", "INSERT INTO toy_sale (region_id, amount) SELECT 'north', 1")
    looks = Run.objects.get(pk=first)
    looks.options["rebuilds"][rule.label]["portrait"].pop(f"index {rebuilds.ONCE}")
    looks.save()
    with registered(rule):
        second = repair([(rule, "again")], max_affected="100%").run
        assert "was rebuilt again by run" in undo(first).rules[0].error
        assert undo(second).status == undo(first).status == "clean"
    assert len(rows_of()) == len(before) + 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (f"DROP TABLE {BACKUP}", f"{BACKUP}, which kept the rows of toy_sale, is gone"),
        ("ALTER TABLE toy_sale ADD new int", "was altered since it was rebuilt (column new)"),
        ("CREATE INDEX toy_new ON toy_sale (amount)", "was altered since it was rebuilt (index toy_new)"),
        ("CREATE VIEW toy_seen AS SELECT * FROM toy_sale", "view toy_seen depends on toy_sale since"),
    ],
)
def test_what_would_be_lost_or_guessed_is_refused(change, why):
    make_sales(times=2)
    run = rebuilt(sales_differ()).run
    execute(change)
    before = rows_of()
    report = undone(run)
    execute("DROP VIEW IF EXISTS toy_seen")
    assert (report.status, rows_of()) == ("refused", before)
    assert why in report.rules[0].error


def test_another_declaration_is_refused():
    make_sales(times=2)
    run = rebuilt(sales_differ()).run
    report = undone(run, sales_differ(keep="-id"))
    assert (report.status, "is declared otherwise" in report.rules[0].error) == ("refused", True)


def test_a_parent_that_went_meanwhile_leaves_its_key_to_be_proven():
    make_sales(times=2, region="north")
    south = make_sales(times=2, region="south")
    run = rebuilt(sales_differ()).run
    toy.Sale.objects.filter(region_id="south").delete()
    toy.Region.objects.filter(code="south").delete()
    report = undone(run)
    assert (report.status, report.changes) == ("partial", 6)
    assert "holds for new rows only" in report.rules[0].reasons[0]
    # Only the rows that people saw went; those that repeated them are back.
    assert [pk for pk, _ in kept() if pk in south] == south[3:]


def test_an_undo_is_verified():
    make_sales(times=2)
    rule = sales_differ()
    taken_back = undone(rebuilt(rule).run).run
    with registered(rule):
        assert {found.rule: found.violations for found in verify(taken_back).rules} == {rule.label: 3}


def test_rows_changed_by_a_trigger_of_the_table_are_not_changed_again():
    execute(
        "CREATE FUNCTION toy_twice() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.amount = NEW.amount * 2; RETURN NEW; END $$",
        "CREATE TRIGGER toy_twice BEFORE INSERT ON toy_sale FOR EACH ROW EXECUTE FUNCTION toy_twice()",
    )
    try:
        make_sales(times=2)
        look = rebuilds.look_of()
        run = rebuilt(sales_differ()).run
        toy.Sale.objects.create(region_id="north", amount=9)
        assert undone(run).status == "clean"
        assert kept()[-1][1] == 18
        assert differences(look, rebuilds.look_of()) == []
    finally:
        execute("DROP FUNCTION toy_twice CASCADE")


def test_changes_of_another_rule_of_the_same_run_are_taken_back_too():
    from django.db.models import Sum

    from integrity import Derived
    from tests.integrity.helpers import declared

    make_sales(times=3, amounts=(5,))
    toy.Region.objects.update(sales=15)
    total, rule = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount")), sales_differ()
    with registered(total, rule):
        run = repair([(total, "recompute"), (rule, "rebuild")], max_affected="100%").run
        assert undo(run).status == "clean"
    assert (len(kept()), toy.Region.objects.get().sales) == (3, 15)
    toy.Sale.objects.update(amount=F("amount"))
