"""How far a run is: its keys, its rate, and when it will be done."""

from datetime import timedelta

import pytest
from django.utils import timezone

from integrity import records
from integrity.models import Part, Result, Run
from integrity.workers.progress import progress

pytestmark = pytest.mark.django_db


@pytest.fixture
def run():
    """A repair that has come to 40 of 100 keys in ten seconds, of which it has waited for two."""
    run = records.open_run("repair", database="default", actor="ann", waited={"pause": 2.0})
    Run.objects.update(started_at=timezone.now() - timedelta(seconds=10))
    Result.objects.create(run=run, rule="toy.a", planned=100, done=40)
    return run


def test_the_rate_of_a_run_is_that_of_the_time_in_which_it_did_not_wait(run):
    told = progress(run)
    assert (told.unit, told.done, told.total, told.share) == ("keys", 40, 100, 0.4)
    assert told.rate == pytest.approx(5, rel=0.05)
    assert told.remaining == pytest.approx(12, rel=0.05)


def test_of_a_paused_run_nobody_says_when_it_will_be_done(run):
    Run.objects.update(asked="pause", asked_by="ben")
    told = progress(run)
    assert (told.remaining, told.waits_for) == (None, "paused by ben")


def test_a_rule_that_was_not_counted_leaves_the_total_unknown(run):
    Result.objects.create(run=run, rule="toy.b")
    assert (progress(run).total, progress(run).share, progress(run).remaining) == (None, None, None)


def test_a_run_that_is_over_is_done(run):
    records.close_run(run, "clean")
    assert (progress(run).remaining, progress(run).workers) == (0.0, [])


def test_a_shared_run_counts_its_parts(run):
    now = timezone.now()
    Run.objects.update(shared=True)
    Part.objects.bulk_create(
        [
            *(
                Part(run=run, number=n, kind="keys", keys=10, done=10, status="done", begun_at=b, ended_at=e)
                for n, b, e in [(1, now - timedelta(seconds=8), now), (2, now - timedelta(seconds=4), now)]
            ),
            Part(run=run, number=3, kind="keys", keys=10, done=4, status="running", host="here", pid=7),
            Part(run=run, number=4, kind="keys", keys=10),
            Part(run=run, number=5, kind="end"),
        ]
    )
    told = progress(run)
    assert (told.done, told.total, told.rate, told.remaining) == (24, 40, 2.5, 6.4)
    assert told.parts == {"done": 2, "running": 1, "waiting": 2}
    assert told.workers == ["process 7 on here"]
