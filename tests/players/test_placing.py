"""Totals go where players and groups go."""

from decimal import Decimal
from threading import Event, Thread

import pytest
from django.db import connection, transaction

from players.corrections import correct_master
from players.exceptions import Invalid, Unknown
from players.models import Group, MasterCorrection, Player
from players.placing import place_group, place_player, remove_player
from tests.players.factories import make_group, make_player
from tests.players.test_tree import totals

pytestmark = pytest.mark.django_db


def stored():
    return dict(Group.objects.values_list("name", "distance_total"))


def make_tree():
    """Two cities; a school with two classes below the first, a rider in each class and one in both."""
    east, west = make_group("East", total=60), make_group("West")
    school = make_group("School", east, total=60)
    first, second = make_group("First", school, total=40), make_group("Second", school, total=50)
    make_player(stored=10, groups=[first], name="Ann", id_tag="ann")
    make_player(stored=20, groups=[second], name="Bob", id_tag="bob")
    make_player(stored=30, groups=[first, second], name="Cleo", id_tag="cleo")
    assert totals() == dict(Group.objects.values_list("pk", "distance_total"))
    return east, west, school, first, second


def adds_up():
    return totals() == dict(Group.objects.values_list("pk", "distance_total"))


def test_a_group_takes_its_riders_along():
    _, west, school, *_ = make_tree()
    school.parent = west
    place_group(school)
    assert stored() == {"East": 0, "West": 60, "School": 60, "First": 40, "Second": 50}
    assert adds_up()


def test_a_rider_of_two_classes_stays_counted_when_one_of_them_leaves():
    _, west, _, first, _ = make_tree()
    first.parent = west
    place_group(first)
    assert stored() == {"East": 50, "West": 40, "School": 50, "First": 40, "Second": 50}
    assert adds_up()


def test_a_group_may_leave_for_the_root():
    _, _, school, *_ = make_tree()
    school.parent = None
    place_group(school)
    assert stored()["East"] == 0
    assert adds_up()


def test_a_difference_that_was_there_before_is_neither_hidden_nor_passed_on():
    east, west, school, *_ = make_tree()
    Group.objects.filter(pk=east.pk).update(distance_total=65)
    school.parent = west
    place_group(school)
    assert stored() | {"East": 5, "West": 60} == stored()


def test_a_group_cannot_move_below_itself():
    east, _, _, first, _ = make_tree()
    east.parent = first
    with pytest.raises(Invalid, match='Group "East" cannot be its own ancestor') as refused:
        place_group(east)
    assert refused.value.field == "parent"
    assert Group.objects.get(pk=east.pk).parent is None


def test_saving_an_older_copy_of_a_group_does_not_bring_its_old_total_back():
    east, *_ = make_tree()
    Group.objects.filter(pk=east.pk).update(distance_total=99)
    east.name = "Far East"
    place_group(east)
    assert stored()["Far East"] == 99


def test_a_new_group_begins_with_nothing():
    place_group(Group(name="New", distance_total=Decimal(7)))
    assert stored() == {"New": 0}


def test_a_player_takes_the_distance_to_another_class():
    *_, second = make_tree()
    place_player(Player.objects.get(name="Ann"), [second.pk])
    assert stored() == {"East": 60, "West": 0, "School": 60, "First": 30, "Second": 60}
    assert adds_up()


def test_a_player_of_two_classes_may_leave_one_without_leaving_the_school():
    *_, first, _ = make_tree()
    place_player(Player.objects.get(name="Cleo"), [first.pk])
    assert stored() == {"East": 60, "West": 0, "School": 60, "First": 40, "Second": 20}
    assert adds_up()


def test_a_player_in_no_group_counts_nowhere():
    make_tree()
    place_player(Player.objects.get(name="Cleo"), [])
    assert stored()["East"] == 30
    assert adds_up()


def test_saving_an_older_copy_of_a_player_does_not_bring_the_old_master_back():
    make_tree()
    ann = Player.objects.get(name="Ann")
    Player.objects.filter(pk=ann.pk).update(distance_total=11)
    ann.name = "Anna"
    place_player(ann, [])
    ann.refresh_from_db()
    assert (ann.name, ann.distance_total) == ("Anna", 11)


def test_a_new_player_begins_with_nothing():
    group = make_group("School")
    place_player(Player(name="New", id_tag="new", distance_total=Decimal(7)), [group.pk])
    assert Player.objects.get(name="New").distance_total == 0
    assert adds_up()


def test_a_player_without_history_takes_the_distance_out_of_the_groups():
    make_tree()
    remove_player(Player.objects.get(name="Ann"))
    assert stored()["East"] == 50
    assert adds_up()


@pytest.mark.django_db(transaction=True)
def test_a_ride_and_a_move_that_meet_leave_every_total_right():
    _, west, school, *_ = make_tree()
    locked, moving = Event(), Event()

    def ride():
        with transaction.atomic():
            Player.objects.select_for_update().get(name="Ann")
            locked.set()
            moving.wait(5)
            for name in ("East", "School", "First"):
                Group.objects.filter(name=name).update(distance_total=Group.objects.get(name=name).distance_total + 5)
            Player.objects.filter(name="Ann").update(distance_total=15)
        connection.close()

    def move():
        locked.wait(5)
        Thread(target=lambda: (moving.wait(0.3), moving.set())).start()
        school.parent = west
        place_group(school)
        connection.close()

    threads = [Thread(target=ride), Thread(target=move)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert stored()["West"] == 65
    assert adds_up()


def test_a_correction_moves_the_master_and_each_group_above_once():
    make_tree()
    cleo = Player.objects.get(name="Cleo")
    done = correct_master(cleo.pk, Decimal("2.5"), actor="ann", reason=" a wheel of another size ")
    assert (done.before_km, done.after_km, done.actor, done.reason) == (
        30,
        Decimal("32.5"),
        "ann",
        "a wheel of another size",
    )
    assert stored() == {
        "East": Decimal("62.5"),
        "West": 0,
        "School": Decimal("62.5"),
        "First": Decimal("42.5"),
        "Second": Decimal("52.5"),
    }
    assert adds_up()


@pytest.mark.parametrize(
    ("by", "reason", "message"),
    [
        (1, " ", "Say why"),
        (0, "why not", "nothing to correct"),
        (-11, "why not", "would become -1"),
        (10**10, "why not", "lies between 0 and"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(by, reason, message):
    make_tree()
    with pytest.raises(Invalid, match=message):
        correct_master(Player.objects.get(name="Ann").pk, Decimal(by), actor="ann", reason=reason)
    assert not MasterCorrection.objects.exists()
    assert adds_up()


def test_a_correction_that_a_wrong_group_total_cannot_follow_is_refused_whole():
    make_tree()
    Group.objects.filter(name="First").update(distance_total=1)
    with pytest.raises(Invalid, match="repair the groups first"):
        correct_master(Player.objects.get(name="Ann").pk, Decimal(-5), actor="ann", reason="why not")
    assert Player.objects.get(name="Ann").distance_total == 10


def test_nobody_can_be_corrected_who_does_not_exist():
    with pytest.raises(Unknown, match="no player 7"):
        correct_master(7, Decimal(1), actor="ann", reason="why not")
