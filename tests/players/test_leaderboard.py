"""Leaderboards read the master, and show what is visible."""

import pytest

from players.exceptions import Unknown
from players.leaderboard import leaderboard
from tests.players.factories import make_group, make_player

pytestmark = pytest.mark.django_db


def names(lines):
    return [(line.rank, line.name) for line in lines]


def test_players_stand_in_order_of_their_master_totals():
    make_player(3, name="Ada")
    make_player(9, name="Bea")
    assert names(leaderboard().players) == [(1, "Bea"), (2, "Ada")]


def test_equal_totals_share_a_rank():
    for name, total in {"Ada": 9, "Bea": 5, "Cleo": 5, "Dora": 1}.items():
        make_player(total, name=name)
    assert names(leaderboard().players) == [(1, "Ada"), (2, "Bea"), (2, "Cleo"), (4, "Dora")]


def test_ranks_go_on_across_pages():
    for number, total in enumerate([9, 5, 5, 5, 1]):
        make_player(total, name=str(number))
    second = leaderboard(limit=2, offset=2)
    assert names(second.players) == [(2, "2"), (2, "3")]
    assert names(leaderboard(limit=2, offset=second.next_offset).players) == [(5, "4")]


def test_the_last_page_says_that_it_is_the_last():
    make_player(1)
    assert leaderboard(limit=1).next_offset is None


def test_hidden_players_and_groups_are_not_shown_and_counted_all_the_same():
    group = make_group("Class", total=9)
    make_player(4, name="Ada", groups=[group])
    make_player(5, name="Hidden", groups=[group], is_visible=False)
    make_group("Hidden class", is_visible=False)
    board = leaderboard()
    assert names(board.players) == [(1, "Ada")]
    assert [(line.name, line.distance_total) for line in board.groups] == [("Class", 9)]


def test_a_group_cuts_it_to_its_subtree_where_a_player_of_two_classes_stands_once():
    school = make_group("School")
    classes = [make_group("1a", school, total=4), make_group("1b", school, total=4)]
    make_player(4, name="Ada", groups=classes)
    make_player(7, name="Elsewhere", groups=[make_group("Other")])
    board = leaderboard(school.pk)
    assert (names(board.players), names(board.groups)) == ([(1, "Ada")], [(1, "1a"), (1, "1b")])


@pytest.mark.parametrize("hidden", [True, False])
def test_a_group_that_is_hidden_or_missing_is_unknown(hidden):
    group = make_group(is_visible=False).pk if hidden else 999
    with pytest.raises(Unknown, match="There is no group"):
        leaderboard(group)


@pytest.mark.parametrize("count", [1, 30])
def test_it_takes_a_constant_number_of_statements(count, django_assert_num_queries):
    school = make_group()
    for total in range(count):
        make_player(total, groups=[make_group(parent=school)])
    with django_assert_num_queries(4):
        leaderboard(school.pk)
    with django_assert_num_queries(2):
        leaderboard()
