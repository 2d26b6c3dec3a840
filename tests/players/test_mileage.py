"""What the analysis of mileage finds: players first, then groups; exactly, for everybody, in few queries."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext

from players.mileage import ADDS_UP, GROUP_ADDS_UP, Selection, analyze_mileage
from players.models import HourlyMetric, OpenSession, Player
from players.test_data import load, plant_faults
from players.tree import subtree_totals
from tests.integrity.helpers import execute
from tests.players.factories import make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db


def analyzed(rule=ADDS_UP, **selection):
    """The report of one rule."""
    report = analyze_mileage(Selection(**selection))
    return next(found for found in report.rules if found.rule == rule)


def differences(rule=ADDS_UP):
    """key -> signed kilometres, as listed."""
    return {finding.key[0]: finding.evidence["difference"] for finding in analyzed(rule).sample}


def test_history_and_open_session_that_add_up_are_clean():
    make_player(stored=11, rides=[4, 6], open=[2, 1])
    assert analyzed().status == "clean"


def test_the_flushed_part_of_a_running_session_counts_once():
    make_player(stored=12, rides=[4, 6, 1], open=[2, 1])
    assert differences() == {}


def test_a_session_that_was_flushed_whole_has_nothing_in_flight():
    make_player(stored=2, rides=[2], open=[2, 2])
    assert differences() == {}


def test_a_running_session_that_is_counted_again_in_history_is_more():
    player = make_player(stored=12, rides=[4, 6, 1, 2], open=[2, 1])
    assert differences() == {player.pk: Decimal(2)}


def test_history_that_lacks_an_hour_is_less():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    (found,) = analyzed().sample
    assert (found.key, found.evidence["difference"], found.evidence["direction"]) == ((player.pk,), -5, "LESS")


def test_history_of_too_much_is_more():
    make_player(stored=8, rides=[4, 6])
    (found,) = analyzed().sample
    assert (found.evidence["difference"], found.evidence["direction"]) == (2, "MORE")


def test_a_finding_holds_the_master_the_history_and_what_is_in_flight():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    (found,) = analyzed().sample
    assert found.actual == {"distance_total": 16}
    assert {part: found.evidence[part] for part in ("player", "history", "in_flight")} == {
        "player": str(player),
        "history": 10,
        "in_flight": 1,
    }


def test_the_difference_is_exact_to_the_last_place():
    player = make_player(stored="0.3", rides=["0.1", "0.1", "0.10001"])
    assert analyzed().violations == 1
    (found,) = analyzed(threshold=Decimal(0)).sample
    assert found.evidence["difference"] == Decimal("0.00001")
    assert found.key == (player.pk,)


def test_three_tenths_are_three_tenths():
    make_player(stored="0.3", rides=["0.1", "0.1", "0.1"])
    assert analyzed().violations == 0


def test_the_largest_distances_are_compared_without_loss():
    player = make_player(stored="9999999999.99999", rides=["9999999999.99998"])
    (found,) = analyzed(threshold=Decimal(0)).sample
    assert (found.key, found.evidence["difference"]) == ((player.pk,), Decimal("-0.00001"))


def test_a_hidden_player_is_checked_like_any_other():
    player = make_player(stored=8, rides=[4, 6], is_visible=False)
    assert differences() == {player.pk: 2}


def test_a_player_who_no_longer_collects_is_checked():
    player = make_player(stored=8, rides=[4, 6], collects=False)
    assert differences() == {player.pk: 2}


def test_a_player_without_any_history_lacks_all_of_it():
    player = make_player(stored=5)
    assert differences() == {player.pk: -5}


def test_an_open_session_alone_is_all_there_is():
    make_player(stored=2, open=[2, 0])
    assert differences() == {}


def test_a_player_without_kilometres_is_clean():
    make_player()
    assert (analyzed().checked, differences()) == (1, {})


def test_two_sessions_in_one_hour_add_up():
    player = make_player(stored=5)
    make_hour(player, make_device(), 0, 2)
    make_hour(player, make_device(), 0, 3)
    assert differences() == {}


def test_one_hour_on_one_device_is_one_row():
    player = make_player(rides=[2])
    with pytest.raises(IntegrityError, match="hourly_metric_occurs_once"), transaction.atomic():
        make_hour(player, player.hourly_metrics.get().device, 0, 3)


@pytest.mark.parametrize("km", ["-1", "NaN"])
def test_no_distance_is_negative_or_no_number(km):
    make_player(rides=[2])
    for column in ("players_player SET distance_total", "players_hourlymetric SET distance_km"):
        with pytest.raises(IntegrityError, match="distance_is_valid"), transaction.atomic():
            execute(f"UPDATE {column} = '{km}'")
    assert differences() == {}


@pytest.mark.parametrize("flushed", ["-1", "3"])
def test_no_more_of_a_session_is_flushed_than_was_ridden(flushed):
    make_player(open=[2, 1])
    with pytest.raises(IntegrityError, match="open_session_flushed_is_part"), transaction.atomic():
        OpenSession.objects.update(flushed_km=Decimal(flushed))


def test_history_does_not_go_with_its_player_device_or_group():
    player = make_player(rides=[2], groups=[make_group()])
    hour = player.hourly_metrics.get()
    hour.group_at_time = player.groups.get()
    hour.save()
    for owner in (player, hour.device, hour.group_at_time):
        with pytest.raises(ProtectedError):
            owner.delete()
    assert HourlyMetric.objects.count() == 1


# Groups


def test_a_group_counts_hidden_players():
    group = make_group(total=3)
    make_player(rides=[3], groups=[group], is_visible=False)
    assert differences(GROUP_ADDS_UP) == {}


def test_a_school_counts_a_player_of_two_of_its_classes_once():
    school = make_group(total=6)
    make_player(rides=[3], groups=[make_group(parent=school, total=3), make_group(parent=school, total=3)])
    (found,) = analyzed(GROUP_ADDS_UP).sample
    assert (found.key, found.expected["distance_total"], found.evidence["difference"]) == ((school.pk,), 3, 3)
    assert found.evidence["direction"] == "MORE"


def test_a_group_is_measured_by_the_master_and_not_by_history():
    make_player(stored=16, rides=[4, 6], groups=[make_group(total=16)])
    assert differences(GROUP_ADDS_UP) == {}


def test_a_class_that_moves_takes_its_kilometres_along():
    old, new = make_group(total=3), make_group(total=0)
    moved = make_group(parent=old, total=3)
    make_player(rides=[3], groups=[moved])
    moved.parent = new
    moved.save()
    assert differences(GROUP_ADDS_UP) == {old.pk: 3, new.pk: -3}


def test_a_player_who_moves_takes_the_kilometres_along():
    old, new = make_group(total=3), make_group(total=0)
    player = make_player(rides=[3], groups=[old])
    player.groups.set([new])
    assert differences(GROUP_ADDS_UP) == {old.pk: 3, new.pk: -3}


def test_players_come_before_groups():
    assert [rule.rule for rule in analyze_mileage(Selection()).rules] == [ADDS_UP, GROUP_ADDS_UP]


# Choosing


def test_one_player_is_looked_at_with_the_groups_above():
    school = make_group(total=1)
    player = make_player(stored=8, rides=[4, 6], groups=[make_group(parent=school, total=8)])
    make_player(stored=8, rides=[4, 6], groups=[make_group(total=1)])
    players, groups = analyze_mileage(Selection(player_id=player.pk)).rules
    assert ([f.key for f in players.sample], [f.key for f in groups.sample]) == ([(player.pk,)], [(school.pk,)])
    assert (players.checked, groups.checked) == (1, 2)


def test_a_player_without_groups_looks_at_none():
    player = make_player(stored=8, rides=[4, 6])
    make_group(total=1)
    assert analyze_mileage(Selection(player_id=player.pk)).rules[1].checked == 0


def test_the_threshold_limits_the_list_and_not_the_count():
    make_player(stored=10, rides=["10.5"])
    large = make_player(stored=10, rides=[12])
    rule = analyzed(threshold=Decimal(1))
    assert (rule.violations, [found.key for found in rule.sample]) == (2, [(large.pk,)])
    assert rule.notes == ["Not listed: 1 with a difference of up to 1 km."]


def test_a_difference_of_just_the_threshold_is_not_listed():
    make_player(stored=10, rides=["10.001"])
    assert analyzed().sample == []


def queries_for(players):
    group = make_group(total=1)
    for _ in range(players):
        make_player(stored=8, rides=[4, 6], open=[2, 1], groups=[group])
    with CaptureQueriesContext(connection) as queries:
        report = analyze_mileage(Selection(), limit=100)
    return len(report.rules[0].sample), len(queries)


def test_the_number_of_queries_does_not_depend_on_the_number_of_players():
    queries_for(1)  # the first violation is told to people, as a change of the rule's state
    few, queries = queries_for(5)
    many, queries_again = queries_for(50)
    assert (few, many) == (6, 56)
    assert queries_again == queries


# The test world


def test_the_planted_faults_of_the_test_world_are_found_exactly():
    load(players=160, days=10)
    planted = {fault.subject: fault.difference for fault in plant_faults()}
    found = {**differences(ADDS_UP)}
    assert found == {subject.pk: km for subject, km in planted.items() if isinstance(subject, Player)}
    assert differences(GROUP_ADDS_UP) == {
        subject.pk: km for subject, km in planted.items() if not isinstance(subject, Player)
    }


def test_loading_the_test_world_twice_leaves_everything_adding_up():
    load(players=40, days=5)
    load(players=40, days=5)
    assert (differences(ADDS_UP), differences(GROUP_ADDS_UP)) == ({}, {})
    assert {row["value"] for row in subtree_totals()} != {0}
