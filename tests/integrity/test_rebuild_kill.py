"""A rebuild that is killed or cut off at any step leaves the table whole, and the same call brings it to its end."""

import re

import pytest
from django.db import connection

from integrity.exceptions import RunInProgress
from integrity.models import Result, Run
from integrity.observer import Observer
from integrity.rebuilding import swap_back
from integrity.rebuilding import table as rebuild
from integrity.rebuilding.portrait import differences
from tests.integrity import rebuilds, worlds
from tests.integrity.others import Other
from tests.integrity.rebuilds import BACKUP, kept, make_sales, rows_of
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE_THE_SWAP = rebuild.STEPS[: rebuild.STEPS.index("swapped")]


@pytest.fixture(autouse=True)
def table():
    with rebuilds.given_back():
        yield


@pytest.fixture
def other():
    """Another user of the database."""
    with Other() as other:
        yield other


class At(Observer):
    """Does something when a step is reached."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def reaches(self, step):
        if step == self.step:
            self.do()


def backend():
    return connection.connection.info.backend_pid


def assert_finished(before, look):
    """One row of each key, the old table beside it, and nothing else that was not there."""
    assert [amount for _, amount in kept()] == [1, 2, 3]
    assert rows_of(BACKUP) == before
    assert differences(look, rebuilds.look_of()) == [f"index {rebuilds.ONCE}"]
    assert not [name for name in rebuilds.names_in_schema() if re.match(r"integrity_[0-9a-f]{12}_", name)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_description WHERE starts_with(description, 'integrity: rebuild')")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("step", rebuild.STEPS)
def test_a_killed_rebuild_is_gone_on_with(step, processes):
    make_sales(times=50)
    before, look = rows_of(), rebuilds.look_of()
    assert processes.start("sales", at=step, act="die").result() == {}
    if step in BEFORE_THE_SWAP:
        assert rows_of() == before
    else:
        assert len(kept()) == 3
    report = worlds.perform("sales")
    assert (report.status, report.resumed, report.changes) == ("clean", True, 147), report.rules[0].error
    assert_finished(before, look)
    assert worlds.perform("sales", "undo", run=report.run).status == "clean"
    assert (rows_of(), rebuilds.look_of()) == (before, look)


@pytest.mark.parametrize("step", ["noted", "verified"])
def test_people_go_on_writing_to_a_table_whose_rebuild_was_killed(step, processes):
    make_sales(times=50)
    processes.start("sales", at=step, act="die").result()
    toy.Sale.objects.create(region_id="north", amount=9)
    toy.Sale.objects.filter(amount=1).delete()
    assert worlds.perform("sales").status == "clean"
    assert [amount for _, amount in kept()] == [2, 3, 9]


@pytest.mark.parametrize("step", rebuild.STEPS[:-1])
def test_a_rebuild_whose_backend_is_terminated_fails_and_the_next_one_finishes(step, other):
    make_sales(times=50)
    before, look = rows_of(), rebuilds.look_of()
    failed = worlds.perform("sales", observer=At(step, lambda: other.terminate(backend())))
    if step in BEFORE_THE_SWAP:
        assert (failed.status, failed.exit_code, rows_of()) == ("failed", 3, before)
        assert worlds.perform("sales").status == "clean"
    assert_finished(before, look)
    swapped = max(Run.objects.filter(options__has_key="rebuilds").values_list("pk", flat=True))
    assert worlds.perform("sales", "undo", run=swapped).status == "clean"
    assert (rows_of(), rebuilds.look_of()) == (before, look)


@pytest.mark.parametrize("step", swap_back.STEPS)
def test_a_killed_undo_is_gone_on_with(step, processes):
    make_sales(times=50)
    before, look = rows_of(), rebuilds.look_of()
    run = worlds.perform("sales").run
    new = toy.Sale.objects.create(region_id="north", amount=9)
    assert processes.start("sales", "undo", run=run, at=step, act="die").result() == {}
    report = worlds.perform("sales", "undo", run=run)
    assert (report.status, report.resumed) == ("clean", True), report.rules[0].error
    assert set(before) < set(rows_of())
    assert (len(rows_of()), kept()[-1]) == (len(before) + 1, (new.pk, 9))
    assert rebuilds.look_of() == look


@pytest.mark.parametrize("step", swap_back.STEPS[:-2])
def test_an_undo_whose_backend_is_terminated_fails_and_the_next_one_finishes(step, other):
    make_sales(times=50)
    before, look = rows_of(), rebuilds.look_of()
    run = worlds.perform("sales").run
    failed = worlds.perform("sales", "undo", run=run, observer=At(step, lambda: other.terminate(backend())))
    assert (failed.status, failed.exit_code, len(kept())) == ("failed", 3, 3)
    assert worlds.perform("sales", "undo", run=run).status == "clean"
    assert (rows_of(), rebuilds.look_of()) == (before, look)


def test_another_repair_of_the_table_removes_what_a_killed_rebuild_left(processes):
    make_sales(times=50)
    names = rebuilds.names_in_schema()
    processes.start("sales", at="built", act="die").result()
    assert rebuilds.names_in_schema() != names
    rule = rebuilds.sales_differ()
    rule.repairs = {"keep_one": rule.repairs["keep_one"]}
    from integrity.repair import repair
    from tests.integrity.helpers import registered

    with registered(rule):
        assert repair([(rule, "keep_one")], max_affected="100%").status == "clean"
    assert rebuilds.names_in_schema() == names
    assert set(Result.objects.values_list("status", flat=True)) == {"failed", "clean"}


def test_one_rebuild_at_a_time_works_on_a_table(processes):
    make_sales(times=50)
    waiting = processes.start("sales", at="built", act="wait").until("built")
    with pytest.raises(RunInProgress, match="has been working on"):
        worlds.perform("sales")
    assert waiting.go_on()["status"] == "clean"


def test_a_rule_of_the_same_table_is_refused_while_another_one_rebuilds_it(processes):
    make_sales(times=50)
    waiting = processes.start("sales", at="built", act="wait").until("built")
    report = rebuilds.rebuilt(rebuilds.sales_differ(name="sales_differ_too"))
    assert (report.status, "is rebuilding toy_sale. Wait for it" in report.rules[0].error) == ("refused", True)
    assert waiting.go_on()["status"] == "clean"


def test_a_process_that_was_taken_for_dead_cannot_swap(processes, settings):
    make_sales(times=50)
    settings.INTEGRITY = {"HEARTBEAT_SECONDS": 0.5}
    stopped = processes.start("sales", at="verified", act="stop", settings=settings.INTEGRITY)
    assert stopped.hear() == {"reached": "verified"}
    Run.objects.update(heartbeat_at="2020-01-01T00:00Z", host="elsewhere")
    before = rows_of()
    assert worlds.perform("sales").status == "clean"
    import signal

    stopped.signal(signal.SIGCONT)
    assert stopped.hear().get("error") == "LostRun" or stopped.hear() == {}
    assert rows_of(BACKUP) == before
    assert len(kept()) == 3
