"""Repairs give way between batches: to people behind their locks, to replicas, to a vacuum, and to whoever asks."""

import threading
import time
from contextlib import suppress

import psycopg
import pytest
from django.db import connection

from integrity import control
from integrity.exceptions import UsageError
from integrity.models import Change, Run
from integrity.observer import Observer
from tests.command_line import manage
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.worlds import SMALL, WORLDS
from tests.toy.models import Account

pytestmark = pytest.mark.django_db(transaction=True)

WRITE = "UPDATE toy_account SET name = 'waited' WHERE id = %s"


@pytest.fixture(autouse=True)
def accounts(settings):
    """Ten accounts out of order, which take five batches."""
    settings.INTEGRITY = SMALL
    WORLDS["accounts"].make()


@pytest.fixture
def other():
    with Other() as other:
        yield other


class Watching(Observer):
    """Hears why the work stands still, and does something at the first time that a step is reached."""

    def __init__(self, step="", do=None):
        self.step, self.do, self.heard = step, do, []

    def reaches(self, step):
        if step == self.step and self.do is not None:
            do, self.do = self.do, None
            do()

    def waits(self, why):
        self.heard.append(why)


def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def latest():
    return Run.objects.latest("id")


# What is in the way


def test_whoever_waits_for_our_locks_gets_time_of_their_own(other):
    writer = threading.Thread(target=other.commits, args=[WRITE, [2]])

    def wait_behind_us():
        writer.start()
        other.await_wait()

    watching = Watching("written", wait_behind_us)
    report = worlds.perform("accounts", observer=watching)
    writer.join(10)
    assert (report.status, report.changes) == ("clean", 10)
    assert watching.heard == ["1 session waits for rows of the last batch", ""]
    assert list(report.rules[0].waited) == list(latest().waited) == ["lock waits"]


def test_batches_get_smaller_while_somebody_waits(other):
    sizes = []
    writer = threading.Thread(target=other.commits, args=[WRITE, [2]])

    class Sizes(Watching):
        def advances(self, what, done=1):
            sizes.append(done)

    def wait_behind_us():
        writer.start()
        other.await_wait()

    worlds.perform("accounts", observer=Sizes("written", wait_behind_us))
    writer.join(10)
    assert sizes[:2] == [2, 1]


def test_the_heartbeat_of_a_run_is_nobody_who_waits(other):
    beat = threading.Thread(target=other.commits, args=["UPDATE integrity_run SET heartbeat_at = now()"])

    def wait_behind_us():
        beat.start()
        other.await_wait()

    watching = Watching("written", wait_behind_us)
    assert worlds.perform("accounts", observer=watching).status == "clean"
    beat.join(10)
    assert watching.heard == []


def test_a_vacuum_of_a_written_table_is_waited_for(other, settings):
    settings.INTEGRITY = SMALL | {"VACUUM_WAIT_SECONDS": 0.4}
    Account._base_manager.bulk_create(Account(id=i, name="n" * 50) for i in range(1000, 4000))
    Account._base_manager.filter(id__gte=1000).delete()
    with Other() as vacuuming:
        vacuuming.watch.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
        slow = threading.Thread(target=vacuum, args=[vacuuming])
        slow.start()
        until(lambda: other.watch.execute("SELECT FROM pg_stat_progress_vacuum").fetchone() is not None)
        watching = Watching()
        report = worlds.perform("accounts", observer=watching)
        other.watch.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_vacuum")
        slow.join(20)
    assert watching.heard == ["a vacuum works on toy_account", ""]
    assert (report.status, 0.4 <= report.rules[0].waited["vacuum"] < 2) == ("clean", True)


def vacuum(vacuuming):
    with suppress(psycopg.errors.QueryCanceled):
        vacuuming.watch.execute("VACUUM toy_account")


@pytest.fixture
def replicas():
    """Stands in front of the server's own view: a table of what replicas say."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.pg_stat_replication (replay_lag interval)")
        cursor.execute("SET search_path = public, pg_catalog")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE public.pg_stat_replication; RESET search_path")


def test_a_replica_that_lags_is_waited_for(other, replicas):
    other.commits("INSERT INTO public.pg_stat_replication VALUES ('1 second'), ('25 seconds')")

    class CatchesUp(Watching):
        def waits(self, why):
            super().waits(why)
            other.commits("UPDATE public.pg_stat_replication SET replay_lag = '2 seconds'")

    watching = CatchesUp()
    report = worlds.perform("accounts", observer=watching)
    assert report.status == "clean"
    assert watching.heard == ["a replica is 25.0 s behind, more than 10 s", ""]
    assert "replication lag" in report.rules[0].waited


def test_replicas_are_not_waited_for_when_no_limit_is_set(other, replicas, settings):
    settings.INTEGRITY = SMALL | {"REPLICATION_LAG_SECONDS": 0}
    other.commits("INSERT INTO public.pg_stat_replication VALUES ('1 hour')")
    assert worlds.perform("accounts").rules[0].waited == {}


# Whoever asks


def started(processes, **job):
    """A repair in another process, after its first batch."""
    return processes.start("accounts", settings=SMALL, at="committed", act="wait", **job).until("committed")


def test_a_run_is_paused_and_goes_on(processes):
    process = started(processes)
    run = latest()
    control.pause(run.pk, actor="ann")
    process.tell("go on")
    until(lambda: latest().waits_for)
    assert latest().waits_for == f"paused by ann; manage.py integrity resume {run.pk}"
    assert Change.objects.count() == 2
    shown = manage("integrity", "runs", "--format", "json").json["runs"][0]
    assert (shown["asked"], shown["waits_for"]) == ("pause", latest().waits_for)
    assert "paused by ann" in manage("integrity", "runs").words
    control.resume(run.pk)
    assert process.result()["status"] == "clean"
    assert (latest().waits_for, list(latest().waited)) == ("", ["pause"])
    assert Change.objects.count() == 10


def test_a_run_is_cancelled_and_the_same_command_goes_on_with_the_rest(processes):
    process = started(processes)
    done = manage("integrity", "cancel", latest().pk)
    assert (done.code, "ends before its next batch" in done.words) == (0, True)
    result = process.go_on()
    assert (result["status"], result["changes"], result["exit_code"]) == ("partial", 2, 3)
    assert "What was committed stays; the same command goes on with the rest" in result["errors"][0]
    assert latest().results.get().violations == 8
    rest = worlds.perform("accounts")
    assert (rest.status, rest.changes) == ("clean", 8)
    assert Change.objects.count() == 10


def test_a_paused_run_can_be_cancelled(processes):
    process = started(processes)
    control.pause(latest().pk)
    process.tell("go on")
    until(lambda: latest().waits_for)
    control.cancel(latest().pk)
    assert process.result()["status"] == "partial"


def test_an_undo_is_cancelled_and_gone_on_with(processes):
    run = worlds.perform("accounts").run
    process = processes.start("accounts", "undo", run=run, settings=SMALL, at="committed", act="wait")
    process.until("committed")
    control.cancel(latest().pk)
    assert process.go_on()["status"] == "partial"
    assert worlds.perform("accounts", "undo", run).status == "clean"
    assert Account._base_manager.filter(balance=9).count() == 10


def test_a_paused_run_whose_process_dies_stays_paused_when_it_is_gone_on_with(processes):
    process = started(processes)
    control.pause(latest().pk, actor="ann")
    process.kill()
    assert "died; the same command goes on with it" in manage("integrity", "pause", latest().pk).words
    second = processes.start("accounts", settings=SMALL)
    until(lambda: latest().waits_for)
    control.resume(latest().pk)
    assert second.result() | {"errors": []} == {
        "run": latest().pk,
        "status": "clean",
        "changes": 10,
        "exit_code": 0,
        "resumed": True,
        "errors": [],
    }


def test_what_cannot_be_held_is_refused_with_the_reason():
    run = worlds.perform("accounts").run
    with pytest.raises(UsageError, match=f"Run {run} has ended"):
        control.pause(run)
    Run.objects.filter(pk=run).update(status="running")
    with pytest.raises(UsageError, match="is not paused"):
        control.resume(run)
    control.cancel(run, actor="ann")
    with pytest.raises(UsageError, match="was cancelled by ann"):
        control.resume(run)
    Run.objects.filter(pk=run).update(verb="analyze")
    with pytest.raises(UsageError, match="does not work in batches"):
        control.pause(run)


def test_a_refused_request_is_exit_code_2():
    done = manage("integrity", "resume", 4711, "--format", "json")
    assert (done.code, done.json["status"]) == (2, "refused")
