"""A consolidation beside others: when its tables are had, who is named where they are not, and how its copy is held."""

import threading
import time

import psycopg
import pytest
from django.db import connection, transaction

from integrity import control
from integrity.locking import lock_together
from integrity.models import Change, Result, Run
from tests.command_line import url_of
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.worlds import SMALL, WORLDS
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

TABLES = ["toy_profile", "toy_oldprofile"]


@pytest.fixture(autouse=True)
def twins(settings):
    settings.INTEGRITY = SMALL
    for model in (Change, Result, Run):
        model._base_manager.all().delete()
    WORLDS["twins"].make()


@pytest.fixture
def other():
    with Other() as other:
        yield other


class Crossing(threading.Thread):
    """Writes to two tables in an order, without a pause, as triggers that carry writes across do."""

    def __init__(self, first, second):
        super().__init__(daemon=True)
        self.statements = [f"UPDATE {table} SET level = level + 1 WHERE id = 0" for table in (first, second)]
        self.ends, self.error, self.done = threading.Event(), None, 0

    def run(self):
        try:
            with psycopg.connect(url_of(connection.settings_dict["NAME"])) as own:
                while not self.ends.is_set():
                    for statement in self.statements:
                        own.execute(statement)
                    own.commit()
                    self.done += 1
        except psycopg.Error as error:
            self.error = error


def test_tables_that_writers_reach_in_either_order_are_had_while_none_of_them_gives_up():
    crowd = [Crossing(*TABLES), Crossing(*TABLES), Crossing(*reversed(TABLES)), Crossing(*reversed(TABLES))]
    for writer in crowd:
        writer.start()
    until(lambda: all(writer.done for writer in crowd))
    try:
        for _ in range(3):
            with transaction.atomic():
                lock_together(TABLES, connection, seconds=20)
    finally:
        for writer in crowd:
            writer.ends.set()
            writer.join(20)
    assert [writer.error for writer in crowd] == [None] * 4


@pytest.mark.parametrize("phase", ["cleanup", "rollback"])
def test_whoever_keeps_a_table_is_named_and_the_same_command_goes_on(phase, other, settings):
    worlds.perform("twins", "copy")
    worlds.perform("twins", "references")
    if phase == "rollback":
        worlds.perform("twins", "cleanup")
    settings.INTEGRITY = SMALL | {"LOCK_TIMEOUT_MS": 20, "SWAP_SECONDS": 0.1}
    other.begin("SET application_name = 'nightly report'")
    held = "toy_oldprofile_retired" if phase == "rollback" else "toy_profile"
    other.begin(f"SELECT 1 FROM {held} FOR UPDATE")
    report = worlds.perform("twins", phase)
    assert (report.status, report.exit_code) == ("refused", 3)
    error = report.rules[0].error
    assert f"process {other.pid} (" in error
    assert f"nightly report, for 0 s: {held})" in error
    assert f"manage.py integrity consolidate toy.twins_of_the_world --phase {phase}" in error
    other.rollback()
    assert worlds.perform("twins", phase).status == "clean"
    if phase == "cleanup":
        worlds.perform("twins", "rollback")


def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


def until_committed(processes):
    """A copy after its first batch."""
    return processes.start("twins", "copy", settings=SMALL, at="committed", act="wait").until("committed")


def test_a_copy_is_paused_and_goes_on(processes):
    process = until_committed(processes)
    run = Run.objects.get(verb="repair")
    control.pause(run.pk, actor="ann")
    process.tell("go on")
    until(lambda: Run.objects.get(pk=run.pk).waits_for)
    copied = toy.Profile.objects.count()
    assert copied < 11
    control.resume(run.pk)
    assert process.result()["status"] == "clean"
    assert toy.Profile.objects.count() == 11


def test_a_copy_is_cancelled_and_the_same_phase_goes_on_with_the_rest(processes):
    process = until_committed(processes)
    control.cancel(Run.objects.get(verb="repair").pk)
    result = process.go_on()
    assert (result["status"], result["exit_code"]) == ("partial", 3)
    assert "the same command goes on with the rest" in result["errors"][-1]
    # What was copied in part passes for nothing.
    refused = worlds.perform("twins", "cleanup")
    assert (refused.status, "do not agree" in refused.rules[0].error) == ("refused", True)
    rest = worlds.perform("twins", "copy")
    assert (rest.status, rest.changes + result["changes"]) == ("clean", 10)
    assert rest.rules[0].counts["identical"] == 11
