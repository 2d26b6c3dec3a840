"""Runs that workers share, part by part: what comes of them is what one process would have made."""

import random
import signal
import socket
import time

import pytest
from django.db import connection
from django.db.models import Q
from procrastinate.contrib.django.models import ProcrastinateJob

from integrity import Always, control
from integrity.exceptions import RunInProgress, UsageError
from integrity.models import Change, Part, Result, Run, Violation
from integrity.registry import registry
from integrity.repair import repair
from integrity.repairing import batches
from integrity.repairing.batch import STEPS
from integrity.workers import later
from integrity.workers.performing import perform
from integrity.workers.progress import progress
from integrity.workers.sweeping import sweep
from integrity.workers.worker import work
from integrity.workers.working import work_on
from tests.integrity import worlds
from tests.integrity.worlds import IN_PARTS, WORLDS, outcome
from tests.toy.models import Account

pytestmark = pytest.mark.django_db(transaction=True)


def share(world, **more):
    return later.repair([(world.rule, world.strategy)], actor="ann", **more)


def divided(world, **more):
    """A run of which nobody has begun a part."""
    run = share(world, **more)
    assert perform(run.pk) == "running"
    return run


def rest():
    """What is left is done in this process, whether it was called for or not."""
    while part := Part.objects.filter(status__in=["waiting", "running"]).order_by("number").first():
        work_on(part.pk)


def assert_as_by_one_process(run, accounts=10):
    run.refresh_from_db()
    assert (run.status, run.error) == ("clean", "")
    assert not Account.objects.exclude(balance=3).exists()
    assert not Part.objects.exclude(status="done").exists()
    assert Change.objects.filter(run=run).count() == accounts
    assert Change.objects.values("key").distinct().count() == accounts
    result = Result.objects.get()
    assert (result.changes, result.violations, result.status) == (accounts, 0, "clean")


def test_a_repair_of_many_keys_is_divided(world):
    run = share(world)
    work(once=True)
    run.refresh_from_db()
    assert [(p.kind, p.status, p.keys, p.changes) for p in Part.objects.all()] == [
        ("keys", "done", 3, 3),
        ("keys", "done", 3, 3),
        ("keys", "done", 3, 3),
        ("keys", "done", 1, 1),
        ("end", "done", 0, 0),
    ]
    assert (run.status, run.error) == ("clean", "")
    assert not Account.objects.exclude(balance=3).exists()
    result = Result.objects.get()
    assert (result.checked, result.violations, result.changes, result.status) == (11, 0, 10, "clean")
    assert Change.objects.count() == 10


def test_an_analysis_of_many_rows_is_divided(world):
    run = later.analyze([world.rule])
    work(once=True)
    run.refresh_from_db()
    assert [(p.keys, p.checked, p.violations) for p in Part.objects.filter(kind="keys")] == [
        (4, 4, 3),
        (4, 4, 4),
        (3, 3, 3),
    ]
    result = Result.objects.get()
    assert (result.checked, result.violations, result.status, run.status) == (11, 10, "violated", "violated")
    assert Violation.objects.filter(run=run, status="open").count() == 10


def test_what_no_part_has_is_no_part_s_to_say(world):
    """Too few to be divided: one worker does it, as it would be done without a queue."""
    Account.objects.exclude(pk__lte=3).update(balance=3)
    run = share(world)
    work(once=True)
    run.refresh_from_db()
    assert (run.status, run.shared, Part.objects.count()) == ("clean", False, 0)


def test_a_brake_that_stops_it_stops_it_before_any_part(world, settings):
    settings.INTEGRITY = IN_PARTS | {"MAX_AFFECTED_ROWS": 5}
    run = share(world)
    perform(run.pk)
    run.refresh_from_db()
    assert (run.status, Part.objects.count(), Change.objects.count()) == ("refused", 0, 0)
    assert "--max-affected 10" in run.error


def test_nobody_else_repairs_the_rule_meanwhile(world):
    run = divided(world)
    with pytest.raises(RunInProgress, match=f"Run {run.pk} .* is shared by worker processes"):
        repair([(world.rule, world.strategy)])
    rest()
    assert_as_by_one_process(run)


def test_two_errands_for_one_part_are_one(world):
    run = divided(world)
    first = Part.objects.first()
    work_on(first.pk)
    work_on(first.pk)
    assert Part.objects.get(pk=first.pk).changes == Change.objects.count() == 3
    rest()
    assert_as_by_one_process(run)


@pytest.mark.parametrize("name", ["ledgers", "twins", "messages", "crews"])
def test_the_parts_of_any_repair_make_what_one_process_makes(name, settings, queue):
    settings.INTEGRITY = IN_PARTS
    world = WORLDS[name]
    registry.register("toy", [world.rule])
    try:
        world.make()
        alone = repair([(world.rule, world.strategy)])
        wanted = outcome(name)
        for model in world.models:
            model._base_manager.all().delete()
        world.make()
        run = divided(world)
        rest()
    finally:
        registry.unregister(world.rule.label)
    run.refresh_from_db()
    assert Part.objects.filter(kind="keys", changes__gt=0).count() > 1
    assert (run.status, sum(run.results.values_list("changes", flat=True))) == (alone.status, alone.changes)
    assert outcome(name) == wanted


# Workers that die


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_is_killed_at_any_step_loses_and_repeats_nothing(world, processes, step):
    run = divided(world)
    assert processes.start("accounts", "parts", at=step, time=3, act="die", settings=IN_PARTS).result() == {}
    rest()
    assert_as_by_one_process(run)


def killed_at_random(run, processes, kills, workers=4):
    """Workers of which one after another is killed at some moment, until the run is over."""
    at_work = [processes.start("accounts", "work", settings=IN_PARTS) for _ in range(workers)]
    chance, limit = random.Random(7), time.monotonic() + 1500
    swept = time.monotonic()
    while Run.objects.filter(pk=run.pk, status__in=["queued", "running"]).exists():
        assert time.monotonic() < limit
        time.sleep(chance.uniform(0.02, 0.1))
        if kills and Part.objects.filter(status="running").exists():
            kills -= 1
            at_work.pop(chance.randrange(workers)).kill()
            at_work.append(processes.start("accounts", "work", settings=IN_PARTS))
        if time.monotonic() - swept > 1:
            sweep()
            swept = time.monotonic()
    for worker in at_work:
        worker.kill()
    assert not kills, Run.objects.get(pk=run.pk).error


def test_workers_that_are_killed_at_random_make_what_one_process_makes(world, processes):
    world.models[0].objects.all().delete()
    Account.objects.all().delete()
    worlds.make_accounts(91)
    run = share(world, max_affected="100%")
    killed_at_random(run, processes, kills=3)
    assert_as_by_one_process(run, 90)


@pytest.mark.soak
def test_two_thousand_parts_and_ten_kills(world, processes):
    world.models[0].objects.all().delete()
    Account.objects.all().delete()
    worlds.make_accounts(6001)
    run = share(world, max_affected="100%")
    killed_at_random(run, processes, kills=10)
    assert Part.objects.filter(kind="keys").count() == 2000
    assert_as_by_one_process(run, 6000)


def test_a_worker_whose_connection_is_ended_leaves_its_part_to_another(world, processes):
    run = divided(world)
    worker = processes.start("accounts", "parts", at="written", settings=IN_PARTS).until("written")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle in transaction'"
        )
    assert worker.go_on()["status"] == "clean"
    left = Part.objects.first()
    assert (left.status, left.attempts, "terminat" in left.error) == ("waiting", 1, True)
    rest()
    assert_as_by_one_process(run)


def test_a_worker_that_was_taken_for_dead_writes_nothing_any_more(world, processes):
    run = divided(world)
    worker = processes.start("accounts", "parts", at="detected", act="stop", settings=IN_PARTS)
    assert worker.hear() == {"reached": "detected"}
    Part.objects.filter(status="running").update(heartbeat_at=run.started_at.replace(year=2020))
    rest()
    assert_as_by_one_process(run)
    worker.signal(signal.SIGCONT)
    worker.result()
    assert Change.objects.count() == 10


def test_a_part_of_which_workers_die_again_and_again_is_given_up(world):
    run = divided(world)
    first = Part.objects.first()
    Part.objects.filter(pk=first.pk).update(status="running", attempts=5, pid=2**22 + 1)
    Part.objects.filter(pk=first.pk).update(host=socket.gethostname(), heartbeat_at=run.started_at)
    rest()
    run.refresh_from_db()
    assert (run.status, Change.objects.count()) == ("partial", 7)
    assert run.error == "Part 1 of 4: 5 workers died of it."
    assert Result.objects.get().violations == 3


# Pause, resume, cancel


def test_a_pause_holds_every_worker_within_one_batch(world, processes):
    run = divided(world)
    at_work = [processes.start("accounts", "part", at="locked", settings=IN_PARTS).until("locked") for _ in range(4)]
    control.pause(run.pk, actor="ben")
    for worker in at_work:
        assert worker.go_on()["status"] == "clean"
    done = dict(Part.objects.filter(kind="keys").values_list("number", "done"))
    assert done == {1: 2, 2: 2, 3: 2, 4: 1}
    assert progress(run).waits_for == "paused by ben"
    assert not ProcrastinateJob.objects.filter(task_name="integrity.work_on").exclude(status="todo").exists()
    control.resume(run.pk)
    work(once=True)
    assert_as_by_one_process(run)


def test_a_paused_run_keeps_no_worker(world):
    run = divided(world)
    control.pause(run.pk)
    work(once=True)
    assert Part.objects.filter(status="waiting").count() == 5
    assert sweep().parts == 0
    control.resume(run.pk)
    work(once=True)
    assert_as_by_one_process(run)


def test_a_cancelled_run_ends_with_what_was_committed(world):
    run = divided(world)
    work_on(Part.objects.first().pk)
    control.cancel(run.pk, actor="ben")
    work(once=True)
    run.refresh_from_db()
    assert (run.status, Change.objects.count(), Result.objects.get().violations) == ("partial", 3, 7)
    assert run.error.startswith("Cancelled by ben.")
    assert [p.status for p in Part.objects.all()] == ["done", "cancelled", "cancelled", "cancelled", "done"]


def test_a_run_that_is_not_paused_is_not_resumed(world):
    run = divided(world)
    with pytest.raises(UsageError, match="is not paused"):
        control.resume(run.pk)


# What goes wrong in a part


@pytest.fixture
def grumpy():
    """A rule that the repair of account 2 would break."""
    rule = Always(Account, ~Q(pk=2, balance=3), name="grumpy", because="The toy says so.")
    registry.register("toy", [rule])
    yield
    registry.unregister("toy.grumpy")


def test_a_key_that_would_do_harm_is_left(world, grumpy):
    run = divided(world)
    work(once=True)
    run.refresh_from_db()
    assert (run.status, Change.objects.count()) == ("partial", 9)
    assert (run.results.get().skipped, run.results.get().violations) == (1, 1)


def test_a_part_that_would_only_do_harm_stops_the_others(world, grumpy, monkeypatch):
    monkeypatch.setattr(batches, "HARMFUL", 1)
    run = divided(world)
    work(once=True)
    run.refresh_from_db()
    assert (run.status, Change.objects.count()) == ("failed", 0)
    assert "would break toy.grumpy" in run.error
    assert [p.status for p in Part.objects.all()] == ["failed", "cancelled", "cancelled", "cancelled", "done"]


def test_a_part_that_could_not_be_looked_at_makes_no_answer(world):
    run = later.analyze([world.rule])
    perform(run.pk)
    Part.objects.filter(number=2).update(status="failed", error="the server was full")
    rest()
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "1 of 3 parts were not looked at: the server was full")
    assert not Violation.objects.exists()
