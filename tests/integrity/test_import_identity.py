"""Which row a row of a feed is: by natural key, and by the provider's number only where that proves something."""

import pytest

from integrity.models import Change, Snapshot
from integrity.undo import undo
from tests.integrity.feeds import counts, imported, nightly, squad
from tests.integrity.helpers import contents, execute
from tests.toy.squads import Cheer, Circuit, Squad, SquadKey

pytestmark = pytest.mark.django_db


def pks():
    return dict(Squad.objects.values_list("name", "pk"))


def numbers():
    return dict(Squad.objects.values_list("name", "number"))


def test_a_renamed_row_keeps_its_primary_key():
    imported(squad(id=1), squad(name="Elms", id=2))
    before = pks()
    report = imported(squad(name="Old Oaks", id=1), squad(name="Elms", id=2))
    assert (counts(report), report.feeds[-1].renamed) == ((0, 1, 1, 0, 0), 1)
    assert pks() == {"Old Oaks": before["Oaks"], "Elms": before["Elms"]}


def test_a_row_that_had_vanished_is_recognised_by_its_number_under_a_new_name():
    imported(squad(id=1), squad(name="Elms", id=2))
    before = pks()
    imported(squad(name="Elms", id=2))
    assert counts(imported(squad(name="Old Oaks", id=1), squad(name="Elms", id=2))) == (0, 1, 1, 0, 0)
    assert Squad.objects.get(name="Old Oaks", active=True).pk == before["Oaks"]


def test_new_numbers_for_everybody_change_nothing_but_the_numbers():
    imported(squad(id=1), squad(name="Elms", id=2), squad(name="Pines", id=3))
    before = pks()
    report = imported(squad(id=2), squad(name="Elms", id=3), squad(name="Pines", id=1))
    assert (report.status, counts(report)) == ("clean", (0, 3, 0, 0, 0))
    assert (pks(), numbers()) == (before, {"Oaks": 2, "Elms": 3, "Pines": 1})


def test_the_numbers_of_two_rows_are_swapped_in_batches_of_one():
    imported(squad(id=1), squad(name="Elms", id=2))
    assert imported(squad(id=2), squad(name="Elms", id=1), batch_size=1).status == "clean"
    assert numbers() == {"Oaks": 2, "Elms": 1}


def test_undo_gives_swapped_numbers_back():
    imported(squad(id=1), squad(name="Elms", id=2))
    before = contents()
    assert undo(imported(squad(id=2), squad(name="Elms", id=1)).run).status == "clean"
    assert contents() == before


def test_the_number_of_a_vanished_row_is_given_to_a_new_one():
    imported(squad("N", id=1), squad("S", "Elms", id=2))
    before = pks()
    report = imported(squad("S", "Elms", id=2), squad("S", "Pines", id=1))
    assert (report.status, counts(report)) == ("clean", (1, 0, 1, 1, 0))
    assert numbers() == {"Oaks": None, "Elms": 2, "Pines": 1}
    assert pks()["Oaks"] == before["Oaks"]


def test_numbers_that_have_moved_prove_no_renaming():
    imported(squad(id=1), squad(name="Elms", id=2), squad(name="Pines", id=3))
    before = pks()
    # Everybody has a new number, and that of the Oaks, who are gone, is a new squad's.
    report = imported(squad(name="Elms", id=3), squad(name="Pines", id=2), squad(name="Firs", id=1))
    assert counts(report) == (1, 2, 0, 1, 0)
    assert pks()["Oaks"] == before["Oaks"]
    assert "it proves nothing" in report.feeds[-1].notes[0]


def test_a_number_under_a_wholly_different_key_is_another_row():
    imported(squad(id=1), squad(name="Elms", id=2))
    report = imported(squad(name="Elms", id=2), squad("S", "Firs", id=1))
    assert (counts(report), report.feeds[-1].renamed) == ((1, 0, 1, 1, 0), 0)


def test_a_name_that_another_row_has_is_never_taken_over_by_a_number():
    imported(squad(id=1), squad(name="Elms", id=2))
    before = pks()
    # What looks like two renamed squads is, by their keys, two squads with new numbers.
    imported(squad(name="Elms", id=1), squad(name="Oaks", id=2))
    assert pks() == before


def test_a_reference_by_a_column_that_several_rows_share_is_rejected():
    Circuit.objects.create(code="A", name="Same")
    Circuit.objects.create(code="B", name="Same")
    wanted = nightly(squads={"references": {"circuit": {"name": "circuit"}}, "part": None})
    report = imported(squad("Same"), wanted=wanted)
    assert [r.reason for r in report.rejects] == ["refers to several rows of toy.Circuit"]
    assert not Squad.objects.exists()


# What has gone from the feed


def test_a_vanished_row_is_marked_and_kept_with_what_refers_to_it():
    imported(squad(), squad(name="Elms"))
    Cheer.objects.create(squad=Squad.objects.get(name="Oaks"))
    assert counts(imported(squad(name="Elms"))) == (0, 0, 1, 1, 0)
    assert not Squad.objects.get(name="Oaks").active
    assert Cheer.objects.get().squad.name == "Oaks"


def test_a_row_that_is_gone_for_long_is_not_marked_again():
    imported(squad(), squad(name="Elms"))
    imported(squad(name="Elms"))
    assert imported(squad(name="Elms")).changes == 0


def test_a_row_that_is_back_is_marked_back():
    imported(squad(), squad(name="Elms"))
    imported(squad(name="Elms"))
    assert counts(imported(squad(), squad(name="Elms"))) == (0, 1, 1, 0, 0)
    assert Squad.objects.get(name="Oaks").active


def test_a_rejected_row_does_not_count_as_gone():
    imported(squad(), squad(name="Elms"))
    assert counts(imported(squad(founded="soon"), squad(name="Elms"))) == (0, 0, 1, 0, 1)
    assert Squad.objects.get(name="Oaks").active


def test_nothing_counts_as_gone_where_a_row_has_no_readable_key():
    imported(squad(), squad(name="Elms"))
    report = imported(squad(name=None), squad(name="Elms"))
    assert counts(report) == (0, 0, 1, 0, 1)
    assert "left as they are" in report.feeds[-1].notes[0]


@pytest.mark.parametrize(("limit", "status"), [("20%", "refused"), (3, "refused"), ("50%", "clean"), (4, "clean")])
def test_more_than_may_vanish_at_once_import_nothing(limit, status):
    squads = [squad(name=f"Squad {i}") for i in range(8)]
    imported(*squads)
    before = contents()
    report = imported(*squads[:4], wanted=nightly(squads={"may_vanish": limit}))
    assert report.status == status
    if status == "refused":
        assert "4 of 8 rows of toy_squad are not in the feed" in report.error
        assert contents() == before


def test_an_empty_feed_does_not_empty_the_table():
    imported(*(squad(name=f"Squad {i}") for i in range(12)))
    assert imported().status == "refused"
    assert Squad.objects.filter(active=True).count() == 12


def test_vanished_rows_are_kept_as_they_are_where_that_is_declared():
    wanted = {"vanished": "keep"}
    imported(squad(), squad(name="Elms"), wanted=nightly(squads=wanted))
    report = imported(squad(name="Elms"), wanted=nightly(squads=wanted))
    assert (report.changes, counts(report)) == (0, (0, 0, 1, 0, 0))


# What is kept of keys and references


def kept(pk):
    return list(SquadKey.objects.filter(squad_id=pk).order_by("id").values_list("circuit", "name"))


def test_every_key_that_a_row_had_is_kept():
    imported(squad(id=1), squad(name="Elms", id=2))
    pk = pks()["Oaks"]
    imported(squad(name="Old Oaks", id=1), squad(name="Elms", id=2))
    assert kept(pk) == [("N", "Oaks"), ("N", "Old Oaks")]


def test_no_key_is_kept_twice():
    imported(squad(), squad(name="Elms"))
    imported(squad(alias="O"), squad(name="Elms"))
    assert SquadKey.objects.count() == 2


def test_keys_of_rows_that_somebody_else_made_are_kept_before_anything_is_written():
    circuit = Circuit.objects.create(code="N")
    made = Squad.objects.create(circuit=circuit, name="Elms")
    imported(squad(), squad(name="Elms"))
    assert kept(made.pk) == [("N", "Elms")]


def test_a_key_is_kept_when_its_row_has_gone():
    imported(squad(), squad(name="Elms"))
    pk = pks()["Oaks"]
    Squad.objects.filter(pk=pk).delete()
    imported(squad(name="Elms", alias="E"))
    assert kept(pk) == [("N", "Oaks")]


def test_a_snapshot_that_cannot_keep_every_key_stops_the_import():
    Squad.objects.create(circuit=Circuit.objects.create(code="N"), name="Elms")
    execute(
        "CREATE FUNCTION toy_lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER toy_loses BEFORE INSERT ON toy_squadkey FOR EACH ROW EXECUTE FUNCTION toy_lose()",
    )
    report = imported(squad())
    assert (report.status, report.error) == (
        "refused",
        "1 of 1 keys of toy_squad could not be kept. Nothing was written.",
    )


def test_a_snapshot_counts_what_refers_to_each_table():
    imported(squad())
    Cheer.objects.create(squad=Squad.objects.get())
    report = imported(squad(alias="O"))
    taken = Snapshot.objects.get(run=report.run, table="toy_squad")
    assert (taken.rows, taken.rows_after, taken.keys) == (1, 1, 1)
    assert taken.references == [{"table": "toy_cheer", "columns": ["squad_id"], "rows": 1, "dangling": 0}]


def test_an_import_that_writes_nothing_takes_no_snapshot_and_leaves_the_last():
    imported(squad())
    before = list(Snapshot.objects.values_list("pk", flat=True))
    imported(squad())
    assert list(Snapshot.objects.values_list("pk", flat=True)) == before
    assert not Change.objects.exclude(run=Snapshot.objects.first().run).exists()


def test_a_snapshot_is_not_left_by_a_dry_run():
    imported(squad(), dry_run=True)
    assert not Snapshot.objects.exists()
    assert not SquadKey.objects.exists()
