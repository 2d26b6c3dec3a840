"""Who deletes rows that others refer to without a foreign key is noted, and never stopped."""

import pytest

from integrity import References, watch
from integrity.models import Severed
from tests.integrity.helpers import declared, execute, registered
from tests.integrity.others import Other
from tests.toy.squads import Circuit, Memo, Squad

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def watched():
    """Squads, to which memos refer by a plain number."""
    with registered(declared(References, Memo, "squad_id", to=Squad)):
        watch.install(watch.watched_models())
        yield
        watch.remove([Squad])


@pytest.fixture
def squads():
    circuit = Circuit.objects.create(code="N")
    made = [Squad.objects.create(circuit=circuit, name=name) for name in ("Oaks", "Elms", "Pines")]
    Memo.objects.bulk_create(Memo(squad_id=made[i].pk) for i in (0, 0, 1))
    return made


def note():
    (found,) = Severed.objects.all()
    return found.table, found.event, found.rows, found.dangling


def test_a_delete_that_leaves_rows_dangling_is_noted_with_who_did_it(squads):
    execute("SET LOCAL application_name = 'old nightly job'", "DELETE FROM toy_squad")
    assert note() == ("toy_squad", "delete", 2, {"toy_memo.squad_id": 3})
    found = Severed.objects.get()
    assert sorted(found.keys) == sorted([str(squads[0].pk), str(squads[1].pk)])
    assert found.application_name == "old nightly job"
    assert found.session_user
    assert found.role == found.session_user


def test_a_role_that_was_taken_on_is_told(squads):
    execute("CREATE ROLE integrity_nightly", "GRANT ALL ON toy_squad TO integrity_nightly")
    execute("SET LOCAL ROLE integrity_nightly", "DELETE FROM toy_squad", "RESET ROLE")
    assert Severed.objects.get().role == "integrity_nightly"


@pytest.mark.usefixtures("squads")
def test_a_delete_that_nobody_referred_to_is_not_noted():
    Squad.objects.filter(name="Pines").delete()
    assert not Severed.objects.exists()


def test_a_new_primary_key_is_noted(squads):
    Squad.objects.filter(pk=squads[0].pk).update(id=999)
    assert note() == ("toy_squad", "update", 1, {"toy_memo.squad_id": 2})


def test_other_updates_are_not_noted(squads):
    Squad.objects.filter(pk=squads[0].pk).update(alias="O")
    execute("UPDATE toy_squad SET id = id")
    assert not Severed.objects.exists()


@pytest.mark.usefixtures("squads")
def test_truncate_is_noted():
    execute("SET CONSTRAINTS ALL IMMEDIATE", "TRUNCATE toy_squad CASCADE")
    assert note() == ("toy_squad", "truncate", 2, {"toy_memo.squad_id": 3})


@pytest.mark.usefixtures("squads")
def test_what_cannot_be_noted_stops_nobody():
    execute("ALTER TABLE integrity_severed RENAME TO integrity_severed_away", "DELETE FROM toy_squad")
    execute("ALTER TABLE integrity_severed_away RENAME TO integrity_severed")
    assert not Squad.objects.exists()


def test_the_state_is_that_of_the_catalog():
    assert watch.state(Squad) == "watching"
    execute("ALTER TABLE toy_squad DISABLE TRIGGER integrity_watch_delete")
    assert watch.state(Squad) == "disabled"
    with registered(declared(References, Circuit, "name", to=Squad, on=["name"])):
        assert watch.state(Squad) == "outdated"
        assert watch.install([Squad]) == ["toy_squad"]
        assert watch.state(Squad) == "watching"
    watch.remove([Squad])
    assert watch.state(Squad) == "missing"


def test_what_is_watched_already_is_left_as_it_is():
    assert watch.install([Squad]) == []


@pytest.mark.django_db(transaction=True)
def test_a_writer_on_another_connection_is_noted(squads):
    with Other() as other:
        other.commits("DELETE FROM toy_squad WHERE id = %s", [squads[1].pk])
    assert note() == ("toy_squad", "delete", 1, {"toy_memo.squad_id": 1})
