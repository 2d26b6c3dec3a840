"""Merging while others write: whoever refers to a row that goes is pointed at the kept one, or told."""

import threading

import psycopg
import pytest

from integrity.undo import undo
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.test_concurrency import At
from tests.integrity.worlds import WORLDS
from tests.toy import crews

pytestmark = pytest.mark.django_db(transaction=True)

PAYS = "INSERT INTO toy_payment (crew_id, amount) VALUES (%s, 7)"


@pytest.fixture(autouse=True)
def _world():
    WORLDS["crews"].make()


@pytest.fixture
def other():
    """Another user of the database."""
    with Other() as other:
        yield other


def merge(**options):
    return worlds.perform("crews", **options)


def payers():
    return list(crews.Payment.objects.filter(amount=7).values_list("crew_id", flat=True))


def test_a_child_that_was_committed_after_the_look_is_pointed_elsewhere(other):
    assert merge(observer=At("detected", lambda: other.commits(PAYS, [102]))).status == "clean"
    assert payers() == [2]


def test_a_child_that_is_committed_later_is_refused_by_its_deferred_foreign_key(other):
    other.begin(PAYS, [102])
    assert merge().status == "clean"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        other.commit()
    assert payers() == []


def pays_at_once(other):
    """As a writer of which the foreign key is checked with each statement, and locks the row that it leads to."""
    other.begin("SET CONSTRAINTS ALL IMMEDIATE")
    other.begin(PAYS, [102])


def test_a_child_that_holds_the_row_is_waited_for(other):
    pays_at_once(other)
    commit = threading.Timer(0.3, other.commit)
    assert merge(observer=At("detected", commit.start)).status == "clean"
    commit.join()
    assert payers() == [2]


def test_a_child_that_never_comes_to_an_end_leaves_its_key_to_another_day(other):
    pays_at_once(other)
    report = merge()
    assert (report.status, report.rules[0].skipped) == ("partial", 1)
    assert list(crews.Crew.objects.filter(pk__gt=100).values_list("pk", flat=True)) == [102]
    other.commit()
    assert (merge().status, payers()) == ("clean", [2])


@pytest.mark.parametrize("step", ["locked", "planned", "written", "checked", "recorded"])
def test_a_child_that_comes_within_the_batch_waits_and_is_refused_by_its_foreign_key(step, other):
    told = []

    def pay():
        try:
            other.commits(PAYS, [102])
        except psycopg.errors.ForeignKeyViolation as error:
            told.append(error)

    writer = threading.Thread(target=pay)

    def within_the_batch():
        writer.start()
        other.await_wait()

    assert merge(observer=At(step, within_the_batch)).status == "clean"
    writer.join()
    assert (len(told), payers()) == (1, [])


def test_a_child_that_moves_while_the_merge_is_planned_is_not_taken_along(other):
    moved = "UPDATE toy_payment SET crew_id = 3 WHERE id = 9102"
    assert merge(observer=At("detected", lambda: other.commits(moved))).status == "clean"
    assert crews.Payment.objects.get(pk=9102).crew_id == 3


def test_what_the_kept_row_was_given_meanwhile_is_not_filled_over(other):
    named = "UPDATE toy_crew SET alias = 'mine' WHERE id = 2"
    assert merge(observer=At("detected", lambda: other.commits(named))).status == "clean"
    assert crews.Crew.objects.get(pk=2).alias == "mine"


def test_a_child_that_was_added_since_keeps_the_undo_from_losing_it(other):
    run = merge().run
    other.commits(PAYS, [2])
    assert undo(run).status == "clean"
    assert payers() == [2]


def test_children_of_writers_at_work_are_all_there_in_the_end():
    written = []

    def pay(crew):
        with Other() as writer:
            for _ in range(25):
                try:
                    writer.commits(PAYS, [crew])
                except psycopg.errors.ForeignKeyViolation:
                    return
                written.append(crew)

    threads = [threading.Thread(target=pay, args=[100 + i]) for i in (2, 3, 11)]
    for thread in threads:
        thread.start()
    merge()
    for thread in threads:
        thread.join()
    assert merge().status == "clean"
    assert sorted(crew - 100 for crew in written) == sorted(payers())
