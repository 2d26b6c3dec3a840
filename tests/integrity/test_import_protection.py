"""Constraints that an import stands on: looked at before each, and made again where somebody has taken them away."""

import pytest

from integrity import References, Unique
from integrity.importing import Feed, Import, Kept, run_import
from integrity.importing.protection import constraints
from integrity.models import Run
from tests.integrity.feeds import counts, imported, nightly, squad
from tests.integrity.helpers import contents, declared, execute, registered
from tests.toy.squads import Cheer, Circuit, Memo, Squad, SquadKey

pytestmark = pytest.mark.django_db(transaction=True)
UNIQUE = "ALTER TABLE toy_squad DROP CONSTRAINT toy_one_squad_of_a_name"


@pytest.fixture(autouse=True)
def restored():
    """Whatever a test takes away is there again for the next one."""
    yield
    for model in (Cheer, Memo, Squad, Circuit):
        model.objects.all().delete()
    execute("ALTER TABLE toy_squad ENABLE TRIGGER ALL", "ALTER TABLE toy_cheer ENABLE TRIGGER ALL")
    imported()
    assert lacking() == []


def lacking():
    from django.db import connection

    return [(c.kind, c.columns, c.state) for c in constraints(nightly().feeds, connection) if c.state]


def merging(**options):
    return declared(Unique, Squad, by=["circuit", "name"], keep="id", name="one_squad_of_a_name", **options)


def test_everything_is_there_and_valid():
    assert lacking() == []


def test_a_missing_unique_constraint_is_made_before_the_import():
    execute(UNIQUE)
    assert lacking() == [("unique constraint", ("circuit_id", "name"), "missing")]
    report = imported(squad())
    assert report.status == "clean"
    assert "it was missing and is there and valid now" in report.rules[0].notes[0]
    assert lacking() == []


def test_duplicates_are_merged_with_everything_that_refers_to_them_before_the_constraint_is_made():
    execute(UNIQUE)
    circuit = Circuit.objects.create(code="N")
    kept, gone = (Squad.objects.create(circuit=circuit, name="Oaks") for _ in range(2))
    Cheer.objects.create(squad=gone)
    with registered(merging()):
        report = imported(squad())
    assert (report.status, report.error) == ("clean", "")
    assert report.rules[0].notes[0].startswith("1 keys of toy_squad")
    assert Squad.objects.get() == kept
    assert Cheer.objects.get().squad == kept
    assert set(Run.objects.values_list("verb", flat=True)) == {"import", "repair"}


def test_duplicates_that_no_rule_says_how_to_merge_stop_the_import():
    execute(UNIQUE)
    circuit = Circuit.objects.create(code="N")
    for _ in range(2):
        Squad.objects.create(circuit=circuit, name="Oaks")
    before = contents()
    report = imported(squad())
    assert report.status == "refused"
    assert "no Unique rule with a repair says which row stays" in report.error
    assert contents() == before


def test_a_dry_run_tells_of_a_missing_constraint_and_makes_none():
    execute(UNIQUE)
    report = imported(squad(), dry_run=True)
    assert "the import would make it first" in report.rules[0].notes[0]
    assert lacking() == [("unique constraint", ("circuit_id", "name"), "missing")]


def test_a_dry_run_stops_at_duplicates_and_merges_none():
    execute(UNIQUE)
    circuit = Circuit.objects.create(code="N")
    for _ in range(2):
        Squad.objects.create(circuit=circuit, name="Oaks")
    with registered(merging()):
        report = imported(squad(), dry_run=True)
    assert report.status == "refused"
    assert Squad.objects.count() == 2


def test_a_missing_foreign_key_of_what_refers_to_a_target_is_made():
    (name,) = foreign_key_of("toy_cheer")
    execute(f"ALTER TABLE toy_cheer DROP CONSTRAINT {name}")
    assert lacking() == [("foreign key", ("squad_id",), "missing")]
    assert imported(squad()).status == "clean"
    assert lacking() == []


def test_rows_that_lead_nowhere_stop_the_import_where_their_foreign_key_is_missing():
    (name,) = foreign_key_of("toy_cheer")
    execute(f"ALTER TABLE toy_cheer DROP CONSTRAINT {name}")
    Cheer.objects.create(squad_id=99)
    report = imported(squad())
    assert report.status == "refused"
    assert "1 rows of toy_cheer refer by squad_id to rows of toy_squad that are not there" in report.error
    assert not Squad.objects.exists()


def test_a_constraint_that_is_not_valid_is_validated():
    execute(
        "ALTER TABLE toy_squad DROP CONSTRAINT toy_no_rating_below_zero",
        "ALTER TABLE toy_squad ADD CONSTRAINT toy_no_rating_below_zero CHECK (rating >= 0) NOT VALID",
    )
    assert lacking() == [("check", ("rating",), "not valid")]
    assert imported(squad()).status == "clean"


def test_a_foreign_key_that_is_switched_off_is_switched_on():
    execute("ALTER TABLE toy_cheer DISABLE TRIGGER ALL")
    assert lacking() == [("foreign key", ("squad_id",), "switched off")]
    assert imported(squad()).status == "clean"
    assert lacking() == []


def test_a_session_that_checks_no_foreign_key_imports_nothing():
    execute("SET session_replication_role = replica")
    try:
        report = imported(squad())
    finally:
        execute("SET session_replication_role = origin")
    assert report.status == "refused"
    assert "session_replication_role is 'replica'" in report.error


def foreign_key_of(table):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'", [table])
        return [row[0] for row in cursor.fetchall()]


# What would be written by somebody else, or against a declaration


def test_a_trigger_of_somebody_else_stops_the_import_unless_it_is_allowed():
    execute(
        "CREATE FUNCTION toy_shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER toy_shouts BEFORE INSERT ON toy_squad FOR EACH ROW EXECUTE FUNCTION toy_shout()",
    )
    try:
        assert "would fire the trigger toy_shouts" in imported(squad()).error
        assert imported(squad(), wanted=nightly(squads={"allow_triggers": ["toy_shouts"]})).status == "clean"
    finally:
        execute("DROP FUNCTION toy_shout CASCADE")


def test_references_that_lead_nowhere_before_do_not_stop_an_import():
    Memo.objects.create(squad_id=99)
    with registered(declared(References, Memo, "squad_id", to=Squad)):
        report = imported(squad())
    assert report.status == "clean"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ["name"]}, "no unique constraint of toy.Squad is on name"),
        ({"key": []}, "key= names no field"),
        ({"key": ["circuit", "colour"]}, "'colour' is neither one of columns= nor one of references="),
        ({"columns": ["colour"]}, "toy.Squad has no field 'colour'"),
        ({"columns": ["circuit", "name"], "references": {}}, "'circuit' is a foreign key"),
        ({"references": {"circuit": {"colour": "circuit"}}}, "toy.Circuit has no field 'colour'"),
        ({"vanished": {"gone": True}}, "has no field 'gone'"),
        (
            {"vanished": {"alias": "gone"}, "columns": ["name"], "external_id": ""},
            "returned= does not say the opposite",
        ),
        ({"may_vanish": "a few"}, "'a few' is neither a share"),
        (
            {"kept": Kept(SquadKey, row="squad_id", key={"circuit": "circuit_id", "name": "name"})},
            "kept= goes through 'circuit_id', which is a number that an import may give anew",
        ),
        ({"part": ("league", "circuit__colour")}, "toy.Circuit has no field 'colour'"),
    ],
)
def test_a_wrong_declaration_is_found_at_start(options, message):
    found = [error.msg for error in nightly(squads=options).check()]
    assert any(message in text for text in found), found


def test_two_feeds_of_one_name_are_found_at_start():
    feed = Feed(Circuit, key=["code"], columns=["code"])
    assert "another feed has its name" in Import("twice", [feed, feed]).check()[0].msg


def test_rows_of_one_feed_can_be_given_by_a_program():
    wanted = Import("circuits", [Feed(Circuit, key=["code"], columns=["code", "name"])]).named("toy")
    report = run_import(wanted, {"circuit": ({"code": str(i), "name": ""} for i in range(3))})
    assert counts(report) == (3, 0, 0, 0, 0)


def test_a_program_that_raises_imports_nothing_and_closes_its_run():
    def rows():
        yield {"code": "N", "name": ""}
        raise ZeroDivisionError("of the program")

    wanted = Import("circuits", [Feed(Circuit, key=["code"], columns=["code", "name"])]).named("toy")
    report = run_import(wanted, {"circuit": rows()})
    assert (report.status, report.error) == ("failed", "ZeroDivisionError: of the program")
    assert not Circuit.objects.exists()
    assert Run.objects.get().status == "failed"


def test_rows_may_come_from_the_same_connection():
    Circuit.objects.create(code="N", name="North")
    wanted = Import("circuits", [Feed(Circuit, key=["code"], columns=["code", "name"])]).named("toy")
    report = run_import(wanted, {"circuit": Circuit.objects.values("code", "name").iterator()})
    assert counts(report) == (0, 0, 1, 0, 0)
