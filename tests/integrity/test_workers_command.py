"""The command line of workers: leaving work to them, waiting for it, looking how far it is, ending it."""

import threading

import pytest
from django.db import connection

from integrity import control
from integrity.models import Change, Part, Run
from integrity.workers import later
from integrity.workers.performing import perform
from integrity.workers.working import work_on
from tests.command_line import manage, on_screen
from tests.integrity.test_throttle import until

pytestmark = pytest.mark.django_db(transaction=True)


def divided(world):
    """A repair of which nobody has begun a part."""
    run = later.repair([(world.rule, world.strategy)], actor="ann")
    perform(run.pk)
    return run


class Helper(threading.Thread):
    """A worker in a thread, which performs the first run that is put off."""

    def run(self):
        until(Run.objects.exists)
        perform(Run.objects.get().pk)
        for part in Part.objects.order_by("number"):
            work_on(part.pk)
        connection.close()


def test_what_is_left_to_workers_is_not_finished(world):
    done = manage("integrity", "analyze", world.rule.label, "--queue")
    run = Run.objects.get()
    assert done.code == 3
    assert done.out.strip() == f"Run {run.pk} waits for a worker. How far it is: manage.py integrity runs {run.pk}"
    assert manage("integrity", "runs", run.pk, "--format", "json").json["runs"][0]["rules"] == [world.rule.label]


def test_a_program_is_told_the_run_that_waits(world):
    done = manage("integrity", "repair", world.rule.label, "--queue", "--format", "json")
    assert (done.code, done.json["run"], done.json["status"]) == (3, Run.objects.get().pk, "queued")


def test_whoever_waits_is_told_what_came_of_it(world):
    helper = Helper()
    helper.start()
    done = manage("integrity", "repair", world.rule.label, "--queue", "--wait", "--format", "json")
    helper.join()
    assert (done.code, done.json["status"], done.json["changes"]) == (0, "clean", 10)
    assert Change.objects.count() == 10


def test_whoever_waits_for_a_look_is_shown_what_it_found(world):
    helper = Helper()
    helper.start()
    done = manage("integrity", "analyze", world.rule.label, "--queue", "--wait", "--format", "json", "--limit", 2)
    helper.join()
    (told,) = done.json["rules"]
    assert (done.code, told["checked"], told["violations"]) == (1, 11, 10)
    assert [(one["key"], one["actual"], one["expected"]) for one in told["sample"]] == [
        ({"id": 2}, "9.00", "3.00"),
        ({"id": 3}, "9.00", "3.00"),
    ]


def test_nobody_waits_for_workers_that_were_not_asked(world):
    done = manage("integrity", "analyze", world.rule.label, "--wait")
    assert (done.code, "add --queue" in done.err) == (2, True)


def test_what_has_changed_is_not_left_to_workers(world):
    done = manage("integrity", "analyze", world.rule.label, "--queue", "--changed")
    assert done.code == 2


def test_on_a_terminal_somebody_is_asked_first(world):
    done = on_screen("integrity", "repair", world.rule.label, "--queue", answer="n\n")
    assert "Leave it to worker processes?" in done.out
    assert not Run.objects.exists()


def test_how_far_a_run_is_stands_with_it(world):
    run = divided(world)
    work_on(Part.objects.first().pk)
    told = manage("integrity", "runs", run.pk)
    assert "3 of 10 keys done (30%)" in told.out
    assert "Parts: 1 done, 4 waiting" in told.out
    progress = manage("integrity", "runs", run.pk, "--format", "json").json["runs"][0]["progress"]
    assert (progress["done"], progress["total"], progress["parts"]) == (3, 10, {"done": 1, "waiting": 4})


def test_the_command_ends_a_cancelled_run_at_which_nobody_works(world):
    run = divided(world)
    manage("integrity", "cancel", run.pk)
    run.refresh_from_db()
    assert (run.status, run.error.startswith("Cancelled by")) == ("partial", True)


def test_cron_can_look_after_the_queue(world):
    run = divided(world)
    Part.objects.filter(number=1).update(status="running", host=run.host, pid=2**22 + 1, heartbeat_at=run.started_at)
    control.pause(run.pk)
    assert manage("integrity", "work", "--sweep").out.startswith("Called for again: 0 runs, 0 parts")
