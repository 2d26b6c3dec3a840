"""An import of a feed: what is written, and what stays as it was."""

import pytest
from django.db import connection

from integrity import References
from integrity.exceptions import UsageError
from integrity.importing import run_import
from integrity.models import Change, Run
from integrity.undo import undo
from tests.integrity.feeds import counts, imported, nightly, squad
from tests.integrity.helpers import contents, declared, execute, registered
from tests.toy.squads import Circuit, Memo, Squad

pytestmark = pytest.mark.django_db


def rows(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return dict(cursor.fetchall())


def test_rows_of_a_feed_become_rows_of_the_model():
    report = imported(squad(name="Oaks", id=7, founded="2001-02-03", rating="4.5"), squad("S", "Elms"))
    assert (report.status, report.error, counts(report)) == ("clean", "", (2, 0, 0, 0, 0))
    assert Circuit.objects.count() == 2
    oaks = Squad.objects.get(name="Oaks")
    assert (oaks.circuit.code, oaks.number, str(oaks.founded), str(oaks.rating)) == ("N", 7, "2001-02-03", "4.50")
    assert oaks.active
    assert oaks.made_at


def test_a_second_import_writes_nothing():
    imported(squad(), squad("S", "Elms", id=3))
    before = Change.objects.count()
    report = imported(squad("S", "Elms", id=3), squad())
    assert (report.status, report.changes, counts(report)) == ("clean", 0, (0, 0, 2, 0, 0))
    assert Change.objects.count() == before


def test_a_row_keeps_its_primary_key_when_its_values_change():
    imported(squad(), squad(name="Elms"))
    before = dict(Squad.objects.values_list("name", "pk"))
    report = imported(squad(alias="O"), squad(name="Elms"))
    assert (report.status, counts(report)) == ("clean", (0, 1, 1, 0, 0))
    assert dict(Squad.objects.values_list("name", "pk")) == before
    assert Squad.objects.get(name="Oaks").alias == "O"


def test_only_rows_that_differ_are_written():
    imported(squad(), squad(name="Elms"))
    versions = "SELECT name, xmin::text FROM toy_squad"
    before = rows(versions)
    imported(squad(alias="O"), squad(name="Elms"))
    after = rows(versions)
    assert before["Elms"] == after["Elms"]
    assert before["Oaks"] != after["Oaks"]


def test_no_number_of_a_sequence_is_used_where_nothing_is_inserted():
    imported(squad())
    before = rows("SELECT 'squads', last_value FROM toy_squad_id_seq")
    imported(squad(alias="O"))
    assert rows("SELECT 'squads', last_value FROM toy_squad_id_seq") == before


def test_columns_that_the_feed_does_not_bring_are_left_as_they_are():
    imported(squad())
    made, changed = Squad.objects.values_list("made_at", "changed_at").get()
    imported(squad(alias="O"))
    assert Squad.objects.get().made_at == made
    assert Squad.objects.get().changed_at > changed


def test_empty_text_stands_for_null_where_the_column_has_none():
    assert imported(squad(alias=None)).status == "clean"
    assert Squad.objects.get().alias == ""
    assert imported(squad(alias=None)).changes == 0


def test_a_reference_is_found_by_natural_key_among_rows_of_the_same_import():
    report = imported(squad("W"), circuits=[{"code": "W", "name": "West"}])
    assert report.status == "clean"
    assert Squad.objects.get().circuit.name == "West"


def test_a_dry_run_leaves_every_table_as_it_was():
    imported(squad(), squad(name="Elms"))
    before, sequences = contents(), rows("SELECT 'squads', last_value FROM toy_squad_id_seq")
    report = imported(squad(alias="O"), dry_run=True)
    assert (report.status, counts(report), report.exit_code) == ("violated", (0, 1, 0, 1, 0), 1)
    assert contents() == before
    assert rows("SELECT 'squads', last_value FROM toy_squad_id_seq") == sequences


def test_a_dry_run_that_would_insert_leaves_every_table_as_it_was():
    before = contents()
    assert counts(imported(squad(), dry_run=True))[0] == 1
    assert contents() == before


def test_the_run_keeps_what_became_of_each_feed():
    run = Run.objects.get(pk=imported(squad()).run)
    assert (run.verb, run.status) == ("import", "clean")
    assert list(run.results.values_list("rule", "checked", "changes", "outcomes")) == [
        ("toy.nightly.circuit", 2, 2, {"inserted": 2}),
        ("toy.nightly.squad", 1, 1, {"inserted": 1}),
    ]


def test_undo_refuses_to_guess_when_a_column_has_another_type_by_now():
    report = imported(squad(alias="O"))
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE toy_squad ALTER alias TYPE text")
    assert "toy_squad.alias was character varying(30) when run" in undo(report.run).rules[-1].error


def test_every_written_row_is_journaled_with_both_images():
    imported(squad())
    report = imported(squad(alias="O"))
    (change,) = Change.objects.filter(run=report.run)
    assert (change.table, change.before["alias"], change.after["alias"]) == ("toy_squad", "", "O")


def test_one_part_of_a_feed_leaves_the_others_alone():
    imported(squad(), squad("S", "Elms"), squad("S", "Pines"))
    report = imported(squad(alias="O"), squad("S", "Elms", alias="E"), only="S")
    assert counts(report) == (0, 1, 0, 1, 0)
    assert set(Squad.objects.filter(active=True).values_list("name", flat=True)) == {"Oaks", "Elms"}
    assert Squad.objects.get(name="Oaks").alias == ""


def test_a_part_that_no_row_belongs_to_is_refused():
    report = imported(squad(), only="X")
    assert report.status == "refused"
    assert "belongs to 'X'" in report.error


def test_batches_of_one_row_come_to_the_same():
    squads = [squad(name=f"Squad {i}", id=i) for i in range(7)]
    assert counts(imported(*squads, batch_size=1)) == (7, 0, 0, 0, 0)
    assert counts(imported(*squads, batch_size=3)) == (0, 0, 7, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "at least 1 row"),
        ({"error_budget": -1}, "at least 0 rows"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        imported(squad(), **options)


def test_a_feed_that_is_not_given_is_refused():
    with pytest.raises(UsageError, match="nothing for its feeds circuit"):
        run_import(nightly(), {"squad": []})


def test_undo_takes_an_import_back():
    imported(squad(id=1), squad(name="Elms", id=2))
    before = contents(Squad, Circuit)
    report = imported(squad(id=2, alias="O"), squad("S", "Pines", id=1))
    assert report.changes
    assert undo(report.run).status == "clean"
    assert contents(Squad, Circuit) == before


def test_undo_leaves_a_new_row_that_people_refer_to_by_a_plain_number():
    rule = declared(References, Memo, "squad_id", to=Squad)
    with registered(rule):
        report = imported(squad())
        Memo.objects.create(squad_id=Squad.objects.get().pk)
        undone = undo(report.run)
    assert undone.status == "partial"
    assert Squad.objects.count() == 1
    assert "toy_memo refer to it" in undone.rules[-1].conflicts[0].why
