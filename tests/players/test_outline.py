"""The group tree as lines: in order, with depth, whatever is hidden or wrong."""

import pytest
from django.db import transaction

from players.models import Group
from players.outline import outline
from tests.players.factories import make_group

pytestmark = pytest.mark.django_db


def lines(**options):
    return [(line.name, line.depth) for line in outline(**options).values()]


def test_parents_stand_before_their_children_and_siblings_by_name():
    city = make_group("City")
    school = make_group("Bridge School", city)
    make_group("Beach School", city)
    make_group("1b", school)
    make_group("1a", school)
    make_group("Another city")
    assert lines() == [
        *[("Another city", 0), ("City", 0), ("Beach School", 1), ("Bridge School", 1)],
        *[("1a", 2), ("1b", 2)],
    ]


def test_the_children_of_a_hidden_group_stand_where_it_would():
    city = make_group("City")
    make_group("School", make_group("Hidden", city, is_visible=False))
    assert lines(visible_only=True) == [("City", 0), ("School", 1)]
    assert lines() == [("City", 0), ("Hidden", 1), ("School", 2)]


def test_a_line_knows_the_way_down_to_it():
    leaf = make_group("Class", make_group("School", make_group("City")))
    assert [line.name for line in outline()[leaf.pk].path] == ["City", "School", "Class"]


def test_groups_of_a_cycle_are_listed_once_each():
    upper = make_group("Upper")
    lower = make_group("Lower", upper)
    with transaction.atomic():
        Group.objects.filter(pk=upper.pk).update(parent=lower)
        assert lines() == [("Lower", 0), ("Upper", 1)]
        transaction.set_rollback(True)


def test_a_deep_tree_takes_one_query(django_assert_num_queries):
    Group.objects.bulk_create(
        Group(pk=number, name=f"Level {number}", parent_id=number - 1 or None) for number in range(1, 101)
    )
    with django_assert_num_queries(1):
        assert max(depth for _, depth in lines()) == 99
