"""SIGKILL at every named step: what was committed stays whole, and the same call goes on with the dead run."""

from collections import Counter

import pytest

from integrity import undo
from integrity.models import Change, Result, Run
from integrity.repairing import batch
from tests.integrity import worlds
from tests.integrity.worlds import SMALL, WORLDS

pytestmark = pytest.mark.django_db(transaction=True)

REPAIR_STEPS = ("detected", *batch.STEPS)
# The second time it is reached one batch has been committed; once the first time, when none has.
TIMES = [("written", 1), *((step, 2) for step in REPAIR_STEPS)]
EVERY_REPAIR = [(world, *when) for world in WORLDS for when in TIMES if when != ("detected", 2)]
# Repetitions are looked for once, other violations window by window.
EVERY_REPAIR += [(world, "detected", 1 if world == "crews" else 2) for world in WORLDS]


@pytest.fixture(autouse=True)
def small(settings):
    settings.INTEGRITY = SMALL


@pytest.fixture(scope="module")
def uninterrupted():
    """What a repair that nobody kills makes of each world."""
    return {}


def remade(world):
    """The world out of order, every byte of it before anything is repaired."""
    for model in (Change, Result, Run, *WORLDS[world].models):
        model._base_manager.all().delete()
    WORLDS[world].make()
    return worlds.bytes_of(world)


def expected(world, uninterrupted):
    if world not in uninterrupted:
        remade(world)
        assert worlds.perform(world).status == "clean"
        uninterrupted[world] = worlds.outcome(world)
    return uninterrupted[world]


def assert_whole_batches(world, before, right):
    """Each key is as before or as after, and those done are the first, two by two."""
    now = worlds.by_owner(worlds.outcome(world))
    before, right = worlds.by_owner(before), worlds.by_owner(right)
    done = [owner for owner in right if now.get(owner) != before.get(owner)]
    assert done == worlds.WRONG[: len(done)]
    assert len(done) % SMALL["BATCH_KEYS"] == 0
    assert all(now[owner] == right[owner] for owner in done)


def assert_each_row_is_journaled_once():
    rows = Counter((table, str(key)) for table, key in Change.objects.values_list("table", "key"))
    assert set(rows.values()) == {1}


@pytest.mark.parametrize(("world", "step", "time"), EVERY_REPAIR)
def test_a_killed_repair_is_gone_on_with_and_ends_as_if_nothing_had_been(world, step, time, processes, uninterrupted):
    right = expected(world, uninterrupted)
    start, before = remade(world), worlds.outcome(world)
    dead = processes.start(world, at=step, time=time, act="die", settings=SMALL)
    assert dead.result() == {}
    assert_whole_batches(world, before, right)
    report = worlds.perform(world)
    assert (report.status, report.resumed, report.run) == ("clean", True, Run.objects.get().pk)
    assert worlds.outcome(world) == right
    assert_each_row_is_journaled_once()
    assert report.changes == Change.objects.count()
    assert undo.undo(report.run).status == "clean"
    assert worlds.bytes_of(world) == start


@pytest.mark.parametrize("step", undo.STEPS)
@pytest.mark.parametrize("world", WORLDS)
def test_a_killed_undo_is_gone_on_with(world, step, processes):
    start = remade(world)
    repaired = worlds.perform(world).run
    dead = processes.start(world, "undo", run=repaired, at=step, time=2, act="die", settings=SMALL)
    assert dead.result() == {}
    report = undo.undo(repaired)
    assert (report.status, report.resumed) == ("clean", True)
    assert worlds.bytes_of(world) == start
    assert Change.objects.filter(run=report.run).count() == Change.objects.filter(run=repaired).count()


def test_an_undo_that_dies_after_its_last_row_is_gone_on_with(processes):
    start = remade("accounts")
    repaired = worlds.perform("accounts").run
    batches = Change.objects.filter(run=repaired).count() // 2
    processes.start("accounts", "undo", run=repaired, at="committed", time=batches, act="die", settings=SMALL).result()
    report = undo.undo(repaired)
    assert (report.status, report.resumed) == ("clean", True)
    assert worlds.bytes_of("accounts") == start


def test_a_killed_undo_of_some_keys_is_gone_on_with_and_leaves_the_others(processes):
    start = worlds.by_owner(remade("ledgers"))
    repaired = worlds.perform("ledgers").run
    right, keys = worlds.by_owner(worlds.outcome("ledgers")), [2, 3, 4, 5]
    words = {"run": repaired, "keys": keys, "at": "committed", "time": 1, "act": "die", "settings": SMALL}
    assert processes.start("ledgers", "undo", **words).result() == {}
    report = worlds.perform("ledgers", "undo", repaired, keys=keys)
    assert (report.status, report.resumed, report.rules[0].violations) == ("violated", True, 4)
    remade_rows = worlds.by_owner(worlds.outcome("ledgers"))
    assert all(remade_rows[key] == right[key] for key in worlds.WRONG if key not in keys)
    assert undo.undo(repaired).status == "clean"
    assert worlds.by_owner(worlds.bytes_of("ledgers")) == start
