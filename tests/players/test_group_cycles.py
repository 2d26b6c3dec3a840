"""The group tree stays a tree, also when two moves meet."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, NotSupportedError, connection, transaction

from players.models import Group
from tests.players.factories import make_group


def check_now():
    """Run the deferred checks, as COMMIT would."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def make_chain(*names):
    """Groups under each other, the first one on top."""
    parent = None
    for name in names:
        parent = make_group(name, parent)
    return [Group.objects.get(name=name) for name in names]


def move(name, parent):
    Group.objects.filter(name=name).update(parent=parent and Group.objects.get(name=parent))


def move_at(level, name, parent):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        move(name, parent)


@pytest.mark.django_db(transaction=True)
def test_a_group_cannot_be_its_own_parent():
    make_chain("School")
    with pytest.raises(IntegrityError, match='Group "School" cannot be its own ancestor: choose a parent outside'):
        move("School", "School")


@pytest.mark.django_db(transaction=True)
def test_a_group_cannot_move_below_itself():
    make_chain("City", "School", "Year", "Class")
    with pytest.raises(IntegrityError, match='Group "City" cannot be its own ancestor'):
        move("City", "Class")


@pytest.mark.django_db(transaction=True)
def test_a_group_cannot_be_inserted_into_a_cycle():
    with pytest.raises(IntegrityError, match='Group "Loop" cannot be its own ancestor'):
        Group.objects.create(id=7, name="Loop", parent_id=7)


@pytest.mark.django_db(transaction=True)
def test_a_branch_may_move_to_another_tree():
    make_chain("School", "Class")
    make_chain("Other school")
    move("Class", "Other school")
    assert Group.objects.get(name="Class").parent.name == "Other school"


@pytest.mark.django_db(transaction=True)
def test_two_groups_may_change_places_in_one_transaction():
    make_chain("Above", "Below")
    with transaction.atomic():
        move("Above", "Below")
        move("Below", None)
    assert Group.objects.get(name="Above").parent.name == "Below"


@pytest.mark.django_db(transaction=True)
def test_a_raw_update_under_another_search_path_is_refused_as_well():
    make_chain("School", "Class")
    with pytest.raises(IntegrityError, match="cannot be its own ancestor"), transaction.atomic():
        connection.cursor().execute(
            "SET LOCAL search_path = pg_catalog;"
            "UPDATE public.players_group SET parent_id = (SELECT max(id) FROM public.players_group)"
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_keeps_an_old_snapshot_cannot_place_groups(level):
    make_chain("School", "Class")
    make_group("Other school")
    sentence = f'"Class" cannot be placed in a {level} transaction: place groups in a READ COMMITTED one'
    with pytest.raises(NotSupportedError, match=sentence):
        move_at(level, "Class", "Other school")


@pytest.mark.django_db(transaction=True)
def test_a_save_that_moves_nothing_takes_no_lock():
    class_ = make_chain("School", "Class")[1]
    with transaction.atomic(), connection.cursor() as cursor:
        class_.save()
        check_now()
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db
def test_a_form_names_the_group_that_would_be_its_own_ancestor():
    school, class_ = make_chain("School", "Class")
    school.parent = class_
    with pytest.raises(ValidationError, match='Group "School" cannot be its own ancestor'):
        school.full_clean()


@pytest.mark.django_db
def test_a_form_accepts_a_parent_outside_of_the_subtree():
    make_chain("School", "Class")[1].full_clean()
    Group(name="New", parent=Group.objects.get(name="Class")).full_clean()


@pytest.mark.django_db
def test_a_form_ends_above_a_cycle_that_the_database_let_in():
    lower = make_chain("Upper", "Lower")[1]
    with transaction.atomic():
        move("Upper", "Lower")
        Group(name="New", parent=Group.objects.get(pk=lower.pk)).full_clean()
        transaction.set_rollback(True)


def commit():
    connection.commit()


def roll_back():
    connection.rollback()


def hang_up():
    connection.close()


class Session:
    """A database session of its own: a thread, whose `connection` is not ours, and one open transaction."""

    def __init__(self):
        self.thread = ThreadPoolExecutor(1)
        self.run(lambda: connection.set_autocommit(autocommit=False))

    def run(self, function, *arguments):
        return self.start(function, *arguments).result(timeout=20)

    def start(self, function, *arguments):
        return self.thread.submit(function, *arguments)

    def close(self):
        self.run(hang_up)
        self.thread.shutdown()


MOVES = [("Class", "Other class"), ("Other class", "Class")]


@pytest.fixture
def sessions(transactional_db):
    """Two sessions, and two roots with a class each. Each move is harmless; both together close a cycle."""
    make_chain("School", "Class")
    make_chain("Other school", "Other class")
    pair = Session(), Session()
    yield pair
    for session in pair:
        session.close()


@pytest.mark.parametrize(("first", "second"), [MOVES, MOVES[::-1]])
def test_of_two_moves_that_close_a_cycle_the_later_commit_is_refused(sessions, first, second):
    early, late = sessions
    early.run(move, *first)
    late.run(move, *second)
    early.run(commit)
    with pytest.raises(IntegrityError, match=f'Group "{second[0]}" cannot be its own ancestor'):
        late.run(commit)


@pytest.mark.parametrize(("first", "second"), [MOVES, MOVES[::-1]])
def test_a_move_waits_for_one_that_is_checked_and_not_yet_committed(sessions, first, second):
    early, late = sessions
    early.run(move, *first)
    late.run(move, *second)
    early.run(check_now)
    waiting = late.start(commit)
    sleep(0.3)
    assert not waiting.done()
    early.run(commit)
    with pytest.raises(IntegrityError, match=f'Group "{second[0]}" cannot be its own ancestor'):
        waiting.result(timeout=20)


def test_a_move_goes_through_when_the_one_it_waits_for_is_rolled_back(sessions):
    early, late = sessions
    early.run(move, *MOVES[0])
    late.run(move, *MOVES[1])
    early.run(check_now)
    waiting = late.start(commit)
    early.run(roll_back)
    waiting.result(timeout=20)
    assert Group.objects.get(name="Other class").parent.name == "Class"


def test_of_two_commits_at_one_moment_exactly_one_is_refused(sessions):
    for session, (name, parent) in zip(sessions, MOVES, strict=True):
        session.run(move, name, parent)
    commits = [session.start(commit) for session in sessions]
    errors = [done.exception(timeout=20) for done in commits]
    assert sorted(type(error).__name__ for error in errors) == ["IntegrityError", "NoneType"]
