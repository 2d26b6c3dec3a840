"""Which rows are suspected first, and removed first: two devices in one hour, then a device switch, then the newest."""

import pytest

from players.mileage import SUSPECTS, Selection, analyze_mileage, fix_mileage
from tests.players.factories import make_device, make_hour, make_player

pytestmark = pytest.mark.django_db


@pytest.fixture
def bikes():
    """Three bikes, the first of them ridden most."""
    return [make_device(f"bike {number}") for number in range(3)]


def suspects(player):
    """(hours since the first one, device, why) as listed."""
    player.refresh_from_db()
    found = analyze_mileage(Selection(player_id=player.pk)).rules[0].sample
    return [(row["hour"].hour - 8, row["device"], row["why"]) for row in found[0].evidence["suspects"]]


def left(player):
    """What a repair leaves: (hours since the first one, device)."""
    fix_mileage(Selection())
    rows = player.hourly_metrics.order_by("hour", "device__name").values_list("hour", "device__name")
    return [(hour.hour - 8, device) for hour, device in rows]


def rode(player, *hours):
    """History of a kilometre for each (hours since the first one, bike)."""
    for passed, bike in hours:
        make_hour(player, bike, passed, 1)
    return player


def test_an_hour_on_two_devices_goes_before_everything(bikes):
    player = rode(make_player(stored=4), (0, bikes[0]), (0, bikes[1]), (2, bikes[0]), (3, bikes[1]), (6, bikes[0]))
    assert suspects(player) == [(0, "bike 1", "the same hour on two devices")]
    assert left(player) == [(0, "bike 0"), (2, "bike 0"), (3, "bike 1"), (6, "bike 0")]


def test_the_newest_hour_on_two_devices_goes_before_an_older_one(bikes):
    player = rode(make_player(stored=3), (0, bikes[0]), (0, bikes[1]), (2, bikes[0]), (2, bikes[1]))
    assert suspects(player) == [(2, "bike 1", "the same hour on two devices")]


def test_an_hour_next_to_a_device_switch_goes_before_a_newer_one(bikes):
    player = rode(make_player(stored=3), (0, bikes[0]), (1, bikes[1]), (4, bikes[1]), (8, bikes[1]))
    assert suspects(player) == [(1, "bike 1", "next to a device switch")]
    assert left(player) == [(0, "bike 0"), (4, "bike 1"), (8, "bike 1")]


def test_both_sides_of_a_device_switch_are_suspected(bikes):
    player = rode(make_player(stored=1), (0, bikes[0]), (1, bikes[1]), (8, bikes[1]))
    assert suspects(player) == [
        (1, "bike 1", "next to a device switch"),
        (0, "bike 0", "next to a device switch"),
    ]


def test_another_bike_after_a_pause_is_no_switch(bikes):
    player = rode(make_player(stored=2), (0, bikes[0]), (2, bikes[1]), (4, bikes[1]))
    assert suspects(player) == [(4, "bike 1", "the newest")]


def test_the_newest_goes_where_nothing_else_is_suspect(bikes):
    player = rode(make_player(stored=1), (0, bikes[0]), (1, bikes[0]), (2, bikes[0]))
    assert suspects(player) == [(2, "bike 0", "the newest"), (1, "bike 0", "the newest")]


def test_the_oldest_goes_when_asked_for_but_evidence_still_goes_before(bikes):
    player = rode(make_player(stored=3), (0, bikes[0]), (2, bikes[0]), (4, bikes[0]), (4, bikes[1]))
    fix_mileage(Selection(), oldest_first=True)
    assert sorted(hour.hour - 8 for hour in player.hourly_metrics.values_list("hour", flat=True)) == [0, 2, 4]


def test_the_same_hour_of_somebody_else_is_no_evidence(bikes):
    rode(make_player(stored=2), (0, bikes[1]), (1, bikes[1]))
    player = rode(make_player(stored=1), (0, bikes[0]), (1, bikes[0]))
    assert suspects(player) == [(1, "bike 0", "the newest")]


def test_a_player_with_many_suspects_leaves_room_for_those_of_others():
    crowded = make_player(stored=0, rides=[1] * 12)
    others = [make_player(stored=1, rides=[1, 1]) for _ in range(3)]
    found = analyze_mileage(Selection()).rules[0].sample
    listed = {finding.key[0]: len(finding.evidence["suspects"]) for finding in found}
    assert listed == {crowded.pk: SUSPECTS, **{player.pk: 1 for player in others}}


def test_what_is_missing_is_suspected_in_the_hour_of_the_gap(bikes):
    player = rode(make_player(stored=5), (0, bikes[0]), (2, bikes[0]))
    assert suspects(player) == [(1, None, "distance is missing here")]
