"""Subtree totals, compared with a plain walk over the same rows."""

from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from players.models import Group, Player
from players.tree import ancestors, subtree_totals
from tests.players.factories import make_group, make_player

pytestmark = pytest.mark.django_db


def totals():
    return {row["key"]: row["value"] for row in subtree_totals()}


def walked_totals():
    """The oracle: for each group, every player whose groups lead up to it."""
    parents = dict(Group.objects.values_list("id", "parent_id"))
    sums = dict.fromkeys(parents, Decimal(0))
    for player in Player.objects.prefetch_related("groups"):
        reached = set()
        for group in player.groups.all():
            above = group.pk
            while above is not None and above not in reached:
                reached.add(above)
                above = parents[above]
        for group in reached:
            sums[group] += player.distance_total
    return sums


def test_a_school_adds_up_its_classes():
    school = make_group()
    make_player(stored="1.5", groups=[make_group(parent=school)])
    make_player(stored=2, groups=[make_group(parent=school)])
    make_player(stored=4, groups=[school])
    assert totals()[school.pk] == Decimal("7.5")


def test_a_player_in_two_groups_of_one_school_counts_once():
    school = make_group()
    make_player(stored=3, groups=[make_group(parent=school), make_group(parent=school), school])
    assert set(totals().values()) == {Decimal(3)}


def test_two_players_with_the_same_distance_both_count():
    group = make_group()
    make_player(stored=3, groups=[group])
    make_player(stored=3, groups=[group])
    assert totals() == {group.pk: Decimal(6)}


def test_a_hidden_player_counts():
    group = make_group()
    make_player(stored=3, groups=[group], is_visible=False)
    assert totals() == {group.pk: Decimal(3)}


def test_a_group_without_players_has_zero():
    group = make_group(total=5)
    assert totals() == {group.pk: Decimal(0)}


def test_players_come_from_the_master_and_not_from_history():
    group = make_group()
    make_player(stored=16, rides=[4, 6], open=[2, 1], groups=[group])
    assert totals() == {group.pk: Decimal(16)}


def test_the_walk_ends_in_a_cycle():
    upper = make_group()
    lower = make_group(parent=upper)
    make_player(stored=3, groups=[lower])
    with transaction.atomic():
        Group.objects.filter(pk=upper.pk).update(parent=lower)
        assert totals() == walked_totals() == {upper.pk: Decimal(3), lower.pk: Decimal(3)}
        assert list(ancestors([lower.pk])) == [upper.pk, lower.pk]
        transaction.set_rollback(True)


def test_the_totals_take_one_query(django_assert_num_queries):
    make_player(stored=3, groups=[make_group(parent=make_group()), make_group()])
    with django_assert_num_queries(1):
        totals()


def test_ancestors_are_each_named_once_in_id_order():
    city = make_group()
    school = make_group(parent=city)
    classes = [make_group(parent=school), make_group(parent=school)]
    make_group(parent=city)
    assert list(ancestors([group.pk for group in classes])) == [city.pk, school.pk, *(c.pk for c in classes)]


trees = st.lists(st.integers(-1, 8), max_size=9)
players = st.lists(st.tuples(st.decimals(0, 999, places=5), st.sets(st.integers(0, 8), max_size=4)), max_size=6)


@settings(max_examples=50, deadline=None)
@given(parents=trees, players=players)
def test_the_totals_are_those_of_a_walk(parents, players):
    with transaction.atomic():
        groups = []
        for parent in parents:
            groups.append(make_group(parent=groups[parent] if 0 <= parent < len(groups) else None))
        for km, chosen in players:
            make_player(stored=km, groups=[groups[index] for index in chosen if index < len(groups)])
        assert totals() == walked_totals()
        transaction.set_rollback(True)
