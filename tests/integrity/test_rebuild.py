"""Rebuild: of a table of repetitions one row of each key stays, and the table as it was is kept."""

import pytest
from django.db import IntegrityError
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Abs, Mod

from integrity import Derived, KeepOne, Rebuild, Unique
from integrity.engine import accept, analyze, verify
from integrity.exceptions import UsageError
from integrity.models import Result, Run, Violation
from integrity.repair import repair
from tests.integrity import rebuilds
from tests.integrity.helpers import declared, execute, finds, registered
from tests.integrity.rebuilds import BACKUP, kept, make_sales, rebuilt, rows_of, sales_differ
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def table():
    with rebuilds.given_back():
        yield


def test_one_row_of_each_key_stays_and_the_old_table_is_kept():
    first = make_sales(times=100)[0]
    before = rows_of()
    report = rebuilt(sales_differ())
    assert (report.status, report.changes, report.exit_code) == ("clean", 297, 0)
    assert kept() == [(first, 1), (first + 1, 2), (first + 2, 3)]
    assert rows_of(BACKUP) == before


def test_the_report_counts_rows_distinct_rows_and_distinct_keys():
    make_sales(times=100)
    (rule,) = rebuilt(sales_differ(by=["region"])).rules
    assert rule.counts == {"rows": 300, "distinct_rows": 3, "distinct_keys": 1, "kept": 1, "removed": 299}
    assert rule.notes[0].startswith("99.66667 % of the rows of toy_sale are gone.")


def test_afterwards_the_key_cannot_be_repeated():
    make_sales(times=2)
    rebuilt(sales_differ())
    with pytest.raises(IntegrityError, match=rebuilds.ONCE):
        toy.Sale.objects.create(region_id="north", amount=1)


def test_new_rows_get_new_primary_keys():
    last = make_sales(times=2)[-1]
    rebuilt(sales_differ())
    assert toy.Sale.objects.create(region_id="north", amount=9).pk == last + 1


def test_a_second_repair_finds_nothing_to_do_and_leaves_nothing():
    make_sales(times=2)
    rule = sales_differ(repairs={"rebuild": Rebuild(backup=BACKUP), "again": Rebuild(backup="toy_sale_corrupted_2")})
    rebuilt(rule)
    execute(f"ALTER INDEX {rebuilds.ONCE} RENAME TO toy_other_index")
    before = rebuilds.names_in_schema()
    with registered(rule):
        report = repair([(rule, "again")], max_affected="100%")
    assert (report.status, report.changes) == ("clean", 0)
    assert rebuilds.names_in_schema() == before


@pytest.mark.parametrize(
    ("keep", "amount"),
    [
        ("amount", 1),
        ("-amount", 3),
        (F("amount").desc(), 3),
        (Abs(F("amount") - 2), 2),
        (["-region", "id"], 1),
        (Mod(F("id"), 1000), 1),
    ],
)
def test_the_row_that_keep_puts_first_stays(keep, amount):
    first = make_sales(times=5)[0]
    execute("ALTER SEQUENCE toy_sale_id_seq RESTART 1")
    toy.Sale.objects.update(id=F("id") - first + 1)
    rebuilt(sales_differ(by=["region"], keep=keep))
    assert kept() == [(amount, amount)]


def test_the_last_of_equal_rows_stays_when_keep_says_so():
    last = make_sales(times=5, amounts=(1,))[-1]
    rebuilt(sales_differ(keep=["amount", "-id"]))
    assert kept() == [(last, 1)]


def test_rows_that_the_rule_does_not_speak_about_stay_all():
    make_sales(times=3, amounts=(1, 2))
    report = rebuilt(sales_differ(where=Q(amount__lt=2)))
    assert (report.status, report.changes) == ("clean", 2)
    assert [amount for _, amount in kept()] == [1, 2, 2, 2]


def test_a_condition_over_other_tables_is_followed():
    make_sales(times=3, amounts=(1,), region="north")
    make_sales(times=3, amounts=(1,), region="south")
    toy.Region.objects.filter(code="south").update(sales=5)
    sold = Exists(toy.Region.objects.filter(code=OuterRef("region"), sales=5))
    report = rebuilt(sales_differ(where=Q(sold)), max_affected="100%")
    # Such a condition cannot be part of an index.
    assert (report.status, report.changes, len(kept())) == ("refused", 0, 6)
    assert "cannot become the unique index" in report.rules[0].error


def test_null_says_the_same_as_null():
    execute("ALTER TABLE toy_sale ALTER amount DROP NOT NULL", "INSERT INTO toy_region VALUES (1, 'north', 0)")
    execute("INSERT INTO toy_sale (region_id, amount) SELECT 'north', NULL FROM generate_series(1, 5)")
    report = rebuilt(sales_differ())
    assert (report.status, len(rows_of())) == ("clean", 1)


def test_a_uuid_key_and_a_composite_key_are_kept_by_their_order():
    box = toy.Box.objects.create()
    toy.Item.objects.bulk_create(toy.Item(box=box, weight=1) for _ in range(20))
    lowest = toy.Item.objects.earliest("id").pk
    items = declared(Unique, toy.Item, by=["box"], keep="id", repairs={"rebuild": Rebuild(backup="toy_item_corrupted")})
    assert rebuilt(items).status == "clean"
    assert toy.Item.objects.get().pk == lowest
    toy.Line.objects.bulk_create(toy.Line(order="1", number=number, quantity=3) for number in ("3", "2", "4"))
    lines = declared(
        Unique, toy.Line, by=["order"], keep="quantity", repairs={"rebuild": Rebuild(backup="toy_line_corrupted")}
    )
    assert rebuilt(lines).status == "clean"
    assert toy.Line.objects.get().number == "2"
    execute(
        "DROP TABLE toy_item_corrupted, toy_line_corrupted",
        *(f"DROP INDEX toy_{rule.name}_once" for rule in (items, lines)),
    )


# Before anything is written


def assert_refused(rule, why, *others, changed=False):
    before, names = rows_of(), rebuilds.names_in_schema()
    report = rebuilt(rule, *others)
    assert (report.status, report.changes, report.exit_code) == ("refused", 0, 3)
    assert why in report.rules[0].error
    assert rows_of() == before
    assert rebuilds.names_in_schema() == names


def test_the_brake_must_be_opened():
    make_sales(times=100)
    names = rebuilds.names_in_schema()
    report = rebuilt(sales_differ(), max_affected=None)
    assert (report.status, len(kept())) == ("refused", 300)
    assert "297 rows of toy_sale would be written" in report.rules[0].error
    assert rebuilds.names_in_schema() == names


def test_a_brake_that_is_not_opened_far_enough_leaves_nothing_behind():
    make_sales(times=100)
    names = rebuilds.names_in_schema()
    report = rebuilt(sales_differ(), max_affected="50%")
    assert (report.status, len(kept())) == ("refused", 300)
    assert rebuilds.names_in_schema() == names


@pytest.mark.parametrize(
    ("make", "why", "undo"),
    [
        ("CREATE VIEW toy_seen AS SELECT * FROM toy_sale", "view toy_seen depends on it", "DROP VIEW toy_seen"),
        (
            "CREATE FUNCTION toy_of(toy_sale) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function toy_of(toy_sale) depends on it",
            "DROP FUNCTION toy_of",
        ),
        ("CREATE TABLE toy_heir () INHERITS (toy_sale)", "inherits or is inherited from", "DROP TABLE toy_heir"),
        (
            "CREATE TABLE toy_child (sale_id bigint REFERENCES toy_sale)",
            "constraint toy_child_sale_id_fkey on table toy_child depends on it",
            "DROP TABLE toy_child",
        ),
        (
            "ALTER TABLE toy_sale ADD before_id bigint REFERENCES toy_sale",
            "constraint toy_sale_before_id_fkey on table toy_sale depends on it",
            "ALTER TABLE toy_sale DROP before_id",
        ),
        ("ALTER TABLE toy_sale ENABLE ROW LEVEL SECURITY", "protected by row level security", "SELECT 1"),
        ("CREATE RULE toy_rule AS ON DELETE TO toy_sale DO ALSO NOTHING", "rule toy_rule on table", "SELECT 1"),
        ("CREATE PUBLICATION toy_feed FOR TABLE toy_sale", "published (toy_feed)", "DROP PUBLICATION toy_feed"),
        ("CREATE PUBLICATION toy_feed FOR ALL TABLES", "published (toy_feed)", "DROP PUBLICATION toy_feed"),
        (f"CREATE TABLE {BACKUP} ()", f"{BACKUP}, which is to keep the rows as they are, exists", "SELECT 1"),
        (f"CREATE INDEX {rebuilds.ONCE} ON toy_sale (amount)", f"{rebuilds.ONCE}, which is to be the", "SELECT 1"),
    ],
)
@pytest.mark.filterwarnings("ignore::Warning")
def test_what_cannot_be_carried_over_is_refused_by_name(make, why, undo):
    make_sales(times=3)
    execute(make)
    try:
        assert_refused(sales_differ(), why)
    finally:
        execute(undo)


def test_a_total_that_needs_the_repeated_rows_is_refused_and_named():
    make_sales(times=3, amounts=(5,))
    toy.Region.objects.update(sales=15)
    total = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount"))
    assert_refused(sales_differ(), f"would break {total.label} at id", total)


def test_a_total_that_was_wrong_and_gets_nearer_is_no_harm():
    make_sales(times=3, amounts=(5,))
    toy.Region.objects.update(sales=5)
    total = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount"))
    assert rebuilt(sales_differ(), total).status == "clean"
    assert finds(total) == {}


def test_a_total_is_repaired_in_the_same_run():
    make_sales(times=3, amounts=(5,))
    toy.Region.objects.update(sales=15)
    total, rule = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount")), sales_differ()
    with registered(total, rule):
        report = repair([(total, "recompute"), (rule, "rebuild")], max_affected="100%")
    assert (report.status, toy.Region.objects.get().sales) == ("clean", 5)


def test_rows_that_are_referred_to_by_type_and_id_are_refused():
    sales = make_sales(times=3, amounts=(5,))
    toy.Tag.objects.create(target=toy.Sale.objects.get(pk=sales[-1]), weight=1)
    assert_refused(sales_differ(), "1 rows of toy_tag refer to rows of toy_sale that would go")


def test_an_accepted_exception_is_refused():
    make_sales(times=3)
    rule = sales_differ()
    with registered(rule):
        analyze([rule])
        accept(rule, ("north", 1), by="ann", because="on purpose")
    assert_refused(rule, "1 exceptions of toy.sales_differ are accepted")


def test_keys_cannot_be_chosen():
    with pytest.raises(UsageError, match="rebuilds the whole table of toy"):
        rebuilt(sales_differ(), keys=[("north", 1)])


# A dry run


def test_a_dry_run_says_what_would_be_done_and_changes_nothing():
    make_sales(times=100)
    before, names, look = rows_of(), rebuilds.names_in_schema(), rebuilds.look_of()
    report = rebuilt(sales_differ(), dry_run=True, max_affected=None)
    (rule,) = report.rules
    assert (report.status, report.changes, report.exit_code) == ("violated", 297, 1)
    assert "297 rows of toy_sale would be written" in rule.brake
    assert f"The table as it was would be kept as {BACKUP}" in rule.notes[0]
    assert [(found.key, found.actual["rows"]) for found in rule.sample] == [(("north", n), 100) for n in (1, 2, 3)]
    assert (rows_of(), rebuilds.names_in_schema(), rebuilds.look_of()) == (before, names, look)


def test_a_dry_run_finds_the_harm():
    make_sales(times=3, amounts=(5,))
    toy.Region.objects.update(sales=15)
    total = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount"))
    report = rebuilt(sales_differ(), total, dry_run=True)
    assert (report.status, total.label in report.rules[0].error) == ("refused", True)


def test_a_dry_run_of_a_clean_table_is_clean():
    make_sales(times=1)
    assert rebuilt(sales_differ(), dry_run=True).exit_code == 0


# Records


def test_stored_violations_are_resolved():
    make_sales(times=3)
    rule = sales_differ()
    with registered(rule):
        analyze([rule])
    report = rebuilt(rule)
    assert set(Violation.objects.values_list("status", flat=True)) == {"resolved"}
    result = Result.objects.get(run=report.run)
    assert (result.status, result.changes, result.violations, result.checked) == ("clean", 6, 0, 9)


def test_a_run_is_verified_with_every_rule_that_reads_the_table():
    make_sales(times=3)
    rule = sales_differ()
    total = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount"))
    report = rebuilt(rule)
    with registered(rule, total):
        looked = verify(report.run)
    assert {found.rule: found.status for found in looked.rules} == {rule.label: "clean", total.label: "violated"}


def test_a_failed_run_says_so_and_keeps_the_table(monkeypatch):
    make_sales(times=3)
    before, names = rows_of(), rebuilds.names_in_schema()
    # What nobody has thought of, as the catalog would show it.
    monkeypatch.setattr("integrity.rebuilding.carry.Carrier.foreign_keys", lambda self: [])
    report = rebuilt(sales_differ())
    assert (report.status, report.exit_code, Run.objects.get().status) == ("failed", 3, "failed")
    assert "constraint toy_sale_region_id" in report.rules[0].error
    assert "could not be carried over" in report.rules[0].error
    assert (rows_of(), rebuilds.names_in_schema()) == (before, names)


# Declarations


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"keep": None}, "the rule does not say which row is kept"),
        ({"repairs": {"r": Rebuild(backup="")}}, "which is no name of a table"),
        ({"repairs": {"r": Rebuild(backup="toy_sale")}}, "as the table itself"),
        ({"repairs": {"r": [Rebuild(backup="b"), KeepOne()]}}, "together with other repairs"),
    ],
)
def test_a_wrong_declaration_is_found_at_start_up(options, why):
    options = {"repairs": {"r": Rebuild(backup="b")}, "keep": "id", **options}
    (problem,) = declared(Unique, toy.Sale, by=["amount"], **options).check()
    assert (problem.id, why in problem.msg) == ("integrity.E002", True)


def test_only_a_unique_rule_can_have_it():
    rule = declared(Derived, toy.Region, "sales", equals=Sum("sold__amount"), repairs={"r": Rebuild(backup="b")})
    assert "which only a Unique rule has repetitions for" in rule.check()[0].msg
