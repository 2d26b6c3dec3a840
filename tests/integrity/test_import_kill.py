"""An import that is killed at any step leaves the database as before, or complete; nothing between."""

import pytest

from integrity.importing.verb import STEPS
from integrity.models import Change, RejectedRow, Result, Run, Snapshot
from integrity.observer import Observer
from tests.integrity.feeds import tonight, yesterday
from tests.integrity.helpers import contents
from tests.integrity.others import Other
from tests.toy.squads import Circuit, Squad, SquadKey

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = [*((step, 1) for step in STEPS), ("batch", 3), ("compared", 2), ("committed", 1)]
WORKED_ON = (SquadKey, Squad, Circuit)
RECORDED = (Snapshot, RejectedRow, Change)


def before_tonight():
    for model in (Change, Result, *RECORDED, Run, *WORKED_ON):
        model.objects.all().delete()
    yesterday()
    return everything()


def everything():
    """The tables, and all that the engine keeps of imports."""
    return contents(*WORKED_ON, *RECORDED)


def outcome():
    """What two imports of the same files agree on."""
    squads = Squad.objects.order_by("name").values_list("name", "number", "alias", "active", "circuit__code")
    return list(squads), Change.objects.count(), SquadKey.objects.count(), Snapshot.objects.count()


@pytest.fixture(scope="module")
def uninterrupted():
    return {}


def expected(known):
    if not known:
        before_tonight()
        assert tonight().status == "clean"
        known["outcome"] = outcome()
    return known["outcome"]


@pytest.mark.parametrize(("step", "time"), TIMES)
def test_a_killed_import_has_done_nothing_or_all_and_can_be_repeated(step, time, processes, uninterrupted):
    right = expected(uninterrupted)
    before = before_tonight()
    dead = processes.start("squads", "import", at=step, time=time, act="die")
    assert dead.result() == {}
    assert outcome() == right if step == "committed" else everything() == before
    report = tonight()
    assert (report.status, report.changes) == ("clean", 0 if step == "committed" else 9)
    assert outcome() == right


def test_an_import_whose_backend_is_terminated_at_any_step_has_done_nothing_and_says_so():
    before = before_tonight()
    for step, time in TIMES[:-1]:
        report = tonight(observer=Terminating(step, time))
        assert (step, report.status, report.exit_code, report.changes) == (step, "failed", 3, 0)
        assert everything() == before
        assert Run.objects.get(pk=report.run).status == "failed"
    assert tonight().status == "clean"


def test_an_import_whose_backend_is_terminated_after_its_commit_is_complete(uninterrupted):
    right = expected(uninterrupted)
    before_tonight()
    report = tonight(observer=Terminating("committed", 1))
    assert (report.status, report.changes) == ("clean", 9)
    assert (Run.objects.get(pk=report.run).status, outcome()) == ("clean", right)


class Terminating(Observer):
    """Somebody ends the backend when a step is reached for the so-manieth time."""

    def __init__(self, step, time):
        super().__init__()
        self.step, self.left = step, time

    def reaches(self, reached):
        self.left -= reached == self.step
        if reached == self.step and self.left == 0:
            with Other() as other:
                other.terminate(backend())


def backend():
    from django.db import connection

    return connection.connection.info.backend_pid


def test_the_second_of_two_imports_is_told_who_holds_the_feed(processes):
    before_tonight()
    first = processes.start("squads", "import", at="snapshotted", act="wait").until("snapshotted")
    second = processes.start("squads", "import").result()
    assert (second["error"], second["exit_code"]) == ("RunInProgress", 3)
    for told in ("import by ann on", f"process {first.pid}", "toy.nightly.circuit, toy.nightly.squad", "for 0 s"):
        assert told in second["message"]
    assert first.go_on()["status"] == "clean"


def test_a_dry_run_may_look_while_another_import_is_at_work(processes):
    before_tonight()
    first = processes.start("squads", "import", at="staged", act="wait").until("staged")
    assert tonight(dry_run=True).changes == 9
    assert first.go_on()["status"] == "clean"


def test_people_write_what_refers_to_a_target_while_an_import_is_at_work(processes):
    before_tonight()
    squad = Squad.objects.get(name="Squad 5")
    work = processes.start("squads", "import", at="written", act="wait").until("written")
    with Other() as other:
        other.begin("SET LOCAL lock_timeout = '100ms'")
        other.commits("INSERT INTO toy_cheer (squad_id, text) VALUES (%s, 'go')", [squad.pk])
    assert work.go_on()["status"] == "clean"
    assert squad.cheers.count() == 1


def test_a_row_that_somebody_holds_is_rejected_and_the_others_are_imported():
    before_tonight()
    with Other() as other:
        other.begin("SELECT FROM toy_squad WHERE name = 'Squad 3' FOR UPDATE")
        report = tonight()
    assert report.status == "partial"
    assert "somebody else holds the row" in {r.reason.partition(",")[0] for r in report.rejects}
    assert Squad.objects.get(name="Squad 5").alias == "a"


def test_a_row_that_somebody_changed_meanwhile_is_rejected():
    before_tonight()

    class Changing(Observer):
        def reaches(self, reached):
            if reached == "snapshotted":
                with Other() as other:
                    other.commits("UPDATE toy_squad SET alias = 'by hand' WHERE name = 'Squad 3'")

    report = tonight(observer=Changing())
    assert report.status == "partial"
    assert {r.reason for r in report.rejects} == {"somebody else changed or deleted the row meanwhile"}
    assert Squad.objects.get(name="Squad 3").alias == "by hand"


def test_a_key_that_somebody_inserted_meanwhile_is_rejected():
    before_tonight()

    class Inserting(Observer):
        def reaches(self, reached):
            if reached == "snapshotted":
                with Other() as other:
                    other.commits(
                        "INSERT INTO toy_squad (circuit_id, name, alias, active, made_at, changed_at)"
                        " SELECT id, 'Squad 9', '', true, now(), now() FROM toy_circuit WHERE code = 'N'"
                    )

    report = tonight(observer=Inserting())
    assert report.status == "partial"
    assert "toy_one_squad_of_a_name" in report.rejects[0].reason
    assert Squad.objects.filter(name="Squad 9").count() == 1
