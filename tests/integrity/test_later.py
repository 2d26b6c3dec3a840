"""Runs that are put off: there at once, performed by a worker, once."""

import pytest
from django.db import transaction
from django.db.models import Count, Q
from procrastinate.contrib.django.models import ProcrastinateJob

from integrity import Always, Derived, Recompute, control
from integrity.enforcement.states import state
from integrity.exceptions import UsageError
from integrity.importing.known import imports
from integrity.models import Change, Run
from integrity.registry import registry
from integrity.repair import repair
from integrity.workers import later
from integrity.workers import queue as the_queue
from integrity.workers.performing import perform
from integrity.workers.worker import work
from tests.command_line import manage
from tests.integrity.helpers import declared, execute, registered
from tests.integrity.worlds import SMALL, WORLDS
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule():
    return registry.get("players.mileage_adds_up")


def put_off(rule):
    return later.analyze([rule], actor="somebody", reason="because")


def test_a_run_is_there_before_a_worker_has_begun(rule):
    run = put_off(rule)
    assert (run.status, run.verb, run.actor, run.reason) == ("queued", "analyze", "somebody", "because")
    assert ProcrastinateJob.objects.get().args == {"run": run.pk}


def test_the_run_that_was_put_off_is_the_one_that_is_performed(rule):
    run = put_off(rule)
    assert perform(run.pk) == "clean"
    assert [(r.pk, r.status, r.actor, r.reason) for r in Run.objects.all()] == [
        (run.pk, "clean", "somebody", "because")
    ]


def test_what_is_rolled_back_is_not_put_off(rule):
    with transaction.atomic():
        put_off(rule)
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    assert list(ProcrastinateJob.objects.values_list("task_name", "status")) == []


def test_an_errand_that_comes_twice_is_done_once(rule):
    run = put_off(rule)
    perform(run.pk)
    ended = Run.objects.get().finished_at
    assert perform(run.pk) == "left alone"
    assert Run.objects.get().finished_at == ended


def test_a_run_whose_worker_died_is_begun_anew(rule):
    run = put_off(rule)
    Run.objects.update(status="running", pid=2**22 + 1)
    assert perform(run.pk) == "clean"
    assert Run.objects.count() == 1


def test_a_run_whose_worker_lives_is_left_alone(rule):
    run = put_off(rule)
    Run.objects.update(status="running")
    assert perform(run.pk) == "left alone"


def test_a_run_that_nobody_has_begun_is_cancelled_at_once(rule):
    run = put_off(rule)
    assert control.cancel(run.pk, actor="me").error == "Cancelled by me before it had begun."
    assert perform(run.pk) == "left alone"
    assert Run.objects.get().status == "refused"


def test_a_run_that_nobody_has_begun_cannot_be_paused(rule):
    with pytest.raises(UsageError, match="does not work in batches"):
        control.pause(put_off(rule).pk)


def test_what_a_verb_refuses_stands_in_the_run(tmp_path):
    run = later.run_import(imports.get("teams.nightly"), tmp_path / "missing.json", actor="me")
    assert perform(run.pk) == "refused"
    assert "missing" in Run.objects.get().error


@pytest.fixture
def repaired():
    """A run that has written for two rules, and the rules."""
    world = WORLDS["accounts"]
    world.make()
    other = declared(
        Derived, toy.Account, "entry_count", equals=Count("entries"), name="count", repairs={"recompute": Recompute()}
    )
    with registered(world.rule, other):
        done = repair([(world.rule, world.strategy), (other, None)], max_affected="100")
        assert (done.status, done.changes) == ("clean", 21)
        yield Run.objects.get(pk=done.run), world.rule, other


def test_what_was_written_for_one_rule_is_taken_back_by_a_worker(repaired):
    of, _, other = repaired
    run = later.undo(of, rule=other, actor="ann", reason="too early")
    assert (perform(run.pk), run.actor, run.reason) == ("clean", "ann", "too early")
    assert set(Change.objects.filter(undone_by=run.pk).values_list("rule", flat=True)) == {other.label}


def test_what_was_written_for_some_keys_is_taken_back_by_a_worker(repaired):
    of, _, other = repaired
    run = later.undo(of, rule=other, keys=[(3,)])
    assert perform(run.pk) == "violated"
    assert list(toy.Account.objects.filter(entry_count=0).values_list("pk", flat=True)) == [3]
    assert Run.objects.get(pk=run.pk).keys == {other.label: [{"id": 3}]}


def test_an_undo_of_what_was_not_written_is_refused_at_once(repaired):
    of, rule, _ = repaired
    later.undo(of, rule=rule)
    Change.objects.filter(rule=rule.label).delete()
    with pytest.raises(UsageError, match="changed nothing for"):
        later.undo(of, rule=rule)


def test_a_guard_over_rows_that_break_it_is_confirmed_for_the_worker_too():
    toy.Account.objects.create(limit=-1)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    rule = declared(Always, toy.Account, Q(limit__gte=0), name="limit", enforce=True)
    with registered(rule):
        assert perform(later.enforce([rule]).pk) == "refused"
        assert perform(later.enforce([rule], accept_dirty=True).pk) == "violated"
        assert state(rule) == "guarded"


@pytest.mark.parametrize("verb", ["undo", "verify", "enforce"])
def test_every_verb_that_may_take_long_is_left_to_workers_by_the_command(repaired, verb):
    of, rule, _ = repaired
    words = {"undo": [of.pk, "--rule", rule.label], "verify": [of.pk], "enforce": ["vehicles", "--remove", "--yes"]}
    done = manage("integrity", verb, *words[verb], "--queue", "--format", "json")
    run = Run.objects.get(pk=done.json["run"])
    assert (done.code, run.verb, run.status) == (3, verb, "queued")


def test_files_that_are_to_be_discarded_are_gone_when_the_import_has_ended(tmp_path):
    file = tmp_path / "uploaded"
    file.write_text("no feed")
    run = later.run_import(imports.get("teams.nightly"), file, discard=True)
    perform(run.pk)
    assert not file.exists()


def test_the_files_of_an_import_that_was_cancelled_are_gone_as_well(tmp_path):
    file = tmp_path / "uploaded"
    file.write_text("no feed")
    run = later.run_import(imports.get("teams.nightly"), file, discard=True)
    control.cancel(run.pk)
    perform(run.pk)
    assert not file.exists()


def test_without_a_queue_the_way_out_is_told(rule, monkeypatch):
    monkeypatch.setattr(the_queue, "is_there", lambda: False)
    with pytest.raises(UsageError, match=r"pip install .holdtrue\[workers\]"):
        put_off(rule)


def test_a_worker_performs_what_waits_and_ends(settings, queue):
    settings.INTEGRITY = SMALL
    world = WORLDS["accounts"]
    world.make()
    registry.register("toy", [world.rule])
    try:
        run = later.repair([(world.rule, world.strategy)])
        work(once=True)
    finally:
        registry.unregister(world.rule.label)
    run.refresh_from_db()
    assert (run.status, Change.objects.filter(run=run).count()) == ("clean", 10)
    assert list(ProcrastinateJob.objects.values_list("task_name", "status")) == []
