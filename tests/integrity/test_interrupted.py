"""Errors are not the end of data: a backend that is terminated, a statement that is cancelled or takes too long."""

import threading
import time

import pytest
from django.db import OperationalError, connection
from psycopg import errors

from integrity import undo
from integrity.models import Change, Run
from integrity.observer import Observer
from integrity.repairing import batch
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.worlds import SMALL, WORLDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small(settings):
    settings.INTEGRITY = SMALL


@pytest.fixture
def other():
    """Another user of the database."""
    with Other() as other:
        yield other


class At(Observer):
    """Does something when a step is reached, most often for the second time, when one batch has been committed."""

    def __init__(self, step, do, time=2):
        self.step, self.do, self.time, self.seen = step, do, time, 0

    def reaches(self, step):
        self.seen += step == self.step
        if step == self.step and self.seen == self.time:
            self.do()


def backend():
    return connection.connection.info.backend_pid


# To be killed is worse, and is tried with all of them each time.
EACH_TIME = {"accounts": ["detected", *batch.STEPS], "crews": ["written", "committed"]}


@pytest.mark.parametrize(
    ("world", "step"),
    [
        pytest.param(world, step, marks=[] if step in EACH_TIME.get(world, ()) else pytest.mark.soak)
        for world in WORLDS
        for step in ["detected", *batch.STEPS]
    ],
)
def test_a_repair_whose_backend_is_terminated_fails_and_the_next_one_finishes(world, step, other):
    WORLDS[world].make()
    start = worlds.bytes_of(world)
    # Repetitions are looked for once, other violations window by window.
    time = 1 if (world, step) == ("crews", "detected") else 2
    failed = worlds.perform(world, observer=At(step, lambda: other.terminate(backend()), time))
    assert (failed.status, failed.exit_code) == ("failed", 3)
    assert Change.objects.count() == failed.changes
    finished = worlds.perform(world)
    assert finished.status == "clean"
    for run in (finished.run, failed.run):
        if Change.objects.filter(run=run).exists():
            undo.undo(run)
    assert worlds.bytes_of(world) == start


@pytest.mark.parametrize("step", undo.STEPS)
def test_an_undo_whose_backend_is_terminated_fails_and_the_next_one_finishes(step, other):
    WORLDS["ledgers"].make()
    start = worlds.bytes_of("ledgers")
    repaired = worlds.perform("ledgers").run
    failed = undo.undo(repaired, observer=At(step, lambda: other.terminate(backend())))
    assert (failed.status, failed.exit_code) == ("failed", 3)
    assert undo.undo(repaired).status == "clean"
    assert worlds.bytes_of("ledgers") == start


def test_a_failed_run_says_why(other):
    WORLDS["accounts"].make()
    failed = worlds.perform("accounts", observer=At("planned", lambda: other.terminate(backend())))
    run = Run.objects.get(pk=failed.run)
    assert run.status == "failed"
    assert "terminating connection" in run.error


@pytest.fixture
def impatient():
    """A connection whose statements take 100 ms at most."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '100ms'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET statement_timeout")


@pytest.mark.usefixtures("impatient")
def test_a_statement_that_takes_too_long_fails_the_repair(other):
    WORLDS["accounts"].make()
    other.begin("LOCK TABLE toy_entry IN ACCESS EXCLUSIVE MODE")
    report = worlds.perform("accounts")
    assert (report.status, report.exit_code, report.changes) == ("failed", 3, 0)
    assert "statement timeout" in report.rules[0].error


def test_a_cancelled_statement_fails_the_repair(other):
    WORLDS["accounts"].make()
    before = worlds.outcome("accounts")
    other.begin("LOCK TABLE toy_entry IN ACCESS EXCLUSIVE MODE")
    with Cancelling(other, backend()):
        report = worlds.perform("accounts")
    assert (report.status, report.exit_code) == ("failed", 3)
    assert "user request" in report.rules[0].error
    assert worlds.outcome("accounts") == before


class Cancelling(threading.Thread):
    """Cancels what a backend does as soon as it waits for a lock."""

    def __init__(self, other, pid):
        super().__init__()
        self.other, self.pid = other, pid

    def run(self):
        while not self.other.waits(self.pid):
            time.sleep(0.005)
        self.other.cancel(self.pid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join()


def lock_not_available():
    raise OperationalError("canceling statement due to lock timeout") from errors.LockNotAvailable()


def test_a_batch_that_is_tried_again_still_notes_what_an_undo_must_know():
    WORLDS["accounts"].make()
    report = worlds.perform("accounts", keys=[2], observer=At("written", lock_not_available, time=1))
    assert report.status == "clean"
    assert "toy_account" in Run.objects.get(pk=report.run).options["columns"]
