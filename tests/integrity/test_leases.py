"""One run at a time works on a rule: real processes that meet, stand still and come back."""

import signal
import socket
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from integrity import leases
from integrity.exceptions import RunInProgress
from integrity.models import Change, Result, Run
from integrity.observer import Observer
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.worlds import SMALL, WORLDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small(settings):
    settings.INTEGRITY = SMALL


@pytest.fixture
def accounts():
    WORLDS["accounts"].make()


def declare_dead():
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))


@pytest.fixture
def all_unheard_of(monkeypatch):
    """Every run counts as dead, also one whose row is locked by its batch."""
    monkeypatch.setattr(leases, "is_dead", lambda run: True)


def take(*rules, **fields):
    fields = {"keys": None, "dry_run": False, "options": {}} | fields
    return leases.take([(rule, "recompute") for rule in rules], Run.Verb.REPAIR, actor="ann", **fields)


@pytest.mark.usefixtures("accounts")
def test_a_second_repair_is_refused_and_told_who_is_at_work(processes):
    first = processes.start("accounts", at="locked", settings=SMALL).until("locked")
    run = Run.objects.get()
    said = rf"Run {run.pk} \(repair by ann on {socket.gethostname()}, process {first.pid}\).* for \d s"
    with pytest.raises(RunInProgress, match=said):
        worlds.perform("accounts")
    assert first.go_on()["status"] == "clean"
    assert Run.objects.count() == 1


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("round_", range(3))
def test_of_two_that_start_at_the_same_instant_one_works(round_, processes):
    both = [processes.start("accounts", at="detected", settings=SMALL) for _ in range(2)]
    said = [process.hear() for process in both]
    winner = said.index({"reached": "detected"})
    assert said[1 - winner]["error"] == "RunInProgress"
    assert both[winner].go_on()["status"] == "clean"
    assert Change.objects.count() == len(worlds.WRONG)


@pytest.mark.usefixtures("accounts")
def test_a_process_that_stood_still_cannot_write_when_another_has_taken_its_run(processes):
    still = processes.start("accounts", at="committed", act="stop", settings=SMALL)
    assert still.hear() == {"reached": "committed"}
    declare_dead()
    taken = worlds.perform("accounts", observer=Waking(still))
    assert (taken.status, taken.resumed) == ("clean", True)
    assert Change.objects.count() == len(worlds.WRONG)


class Waking(Observer):
    """Wakes the other process when one batch is written, and hears that it gives up."""

    def __init__(self, still):
        self.still = still

    def reaches(self, step):
        if step == "committed" and self.still:
            self.still.signal(signal.SIGCONT)
            assert self.still.hear()["error"] == "LostRun"
            self.still = None


@pytest.mark.usefixtures("accounts")
def test_a_process_that_stood_still_at_its_end_does_not_write_the_end_of_the_run(processes):
    last = len(worlds.WRONG) // SMALL["BATCH_KEYS"]
    still = processes.start("accounts", at="committed", time=last, act="stop", settings=SMALL)
    still.hear()
    declare_dead()
    worlds.perform("accounts")
    ended = Run.objects.values().get()
    still.signal(signal.SIGCONT)
    assert still.hear()["error"] == "LostRun"
    assert Run.objects.values().get() == ended


@pytest.mark.usefixtures("accounts", "all_unheard_of")
def test_a_process_that_stands_still_within_a_batch_is_not_waited_for_without_end(processes, monkeypatch):
    monkeypatch.setattr(leases, "LAST_BATCH_MS", 100)
    still = processes.start("accounts", at="written", act="stop", settings=SMALL)
    still.hear()
    with pytest.raises(RunInProgress, match="its transaction is still open"):
        worlds.perform("accounts")
    still.signal(signal.SIGCONT)
    assert still.result()["status"] == "clean"


@pytest.mark.usefixtures("accounts", "all_unheard_of")
def test_one_that_stands_still_and_whose_backend_is_ended_within_a_batch_is_taken_over(processes):
    still = processes.start("accounts", at="written", act="stop", settings=SMALL)
    still.hear()
    with Other() as administrator:
        administrator.terminate(backend_within_a_transaction())
    assert worlds.perform("accounts").resumed
    still.signal(signal.SIGCONT)
    assert still.hear()["error"] == "LostRun"
    assert Change.objects.count() == len(worlds.WRONG)


def backend_within_a_transaction():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        ((pid,),) = cursor.fetchall()
    return pid


@pytest.mark.usefixtures("accounts")
def test_the_heartbeat_keeps_a_run_alive_through_a_long_statement(processes, settings):
    settings.INTEGRITY = SMALL | {"HEARTBEAT_SECONDS": 0.4}
    long = processes.start("accounts", at="detected", settings=settings.INTEGRITY).until("detected")
    begun = Run.objects.get().heartbeat_at
    wait_for(lambda: Run.objects.get().heartbeat_at > begun + timedelta(seconds=0.4))
    with pytest.raises(RunInProgress, match="has been working"):
        worlds.perform("accounts")
    assert long.go_on()["status"] == "clean"


def test_the_heartbeat_outlives_its_connection(settings):
    settings.INTEGRITY = {"HEARTBEAT_SECONDS": 0.1}
    run, _ = take("toy.a")
    with Other() as administrator, leases.Heartbeat(run):
        wait_for(lambda: Run.objects.get().heartbeat_at > run.heartbeat_at)
        administrator.terminate(backend_of_the_heartbeat())
        lost = Run.objects.get().heartbeat_at
        wait_for(lambda: Run.objects.get().heartbeat_at > lost)


def backend_of_the_heartbeat():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE 'UPDATE \"integrity_run\"%'"
        )
        ((pid,),) = cursor.fetchall()
    return pid


def wait_for(condition):
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_run_of_several_rules_is_gone_on_with_as_one():
    run, _ = take("toy.a", "toy.b")
    declare_dead()
    again, resumed = take("toy.b", "toy.a")
    assert (again.pk, resumed) == (run.pk, True)


def test_a_dead_run_that_did_other_work_is_closed_and_said_to_have_failed():
    dead, _ = take("toy.a", "toy.b")
    declare_dead()
    run, resumed = take("toy.a")
    dead.refresh_from_db()
    assert (run.pk != dead.pk, resumed, dead.status) == (True, False, "failed")
    assert set(Result.objects.filter(run=dead).values_list("status", flat=True)) == {"failed"}


def test_two_dead_runs_in_the_way_are_both_closed():
    take("toy.a")
    take("toy.b")
    declare_dead()
    _, resumed = take("toy.a", "toy.b")
    assert not resumed
    assert sorted(Run.objects.values_list("status", flat=True)) == ["failed", "failed", "running"]


def test_a_process_on_another_machine_is_alive_as_long_as_it_is_heard_of():
    take("toy.a")
    Run.objects.update(host="elsewhere", pid=2**22)
    with pytest.raises(RunInProgress):
        take("toy.a")


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once():
    take("toy.a")
    Run.objects.update(pid=2**22 + 1)
    assert take("toy.a")[1]


def test_a_dry_run_disturbs_nobody():
    take("toy.a")
    _, resumed = take("toy.a", exclusive=False, dry_run=True)
    assert not resumed
