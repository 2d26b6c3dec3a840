"""What a repair of mileage writes: history from the master, groups from the players; journaled, and taken back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from integrity.exceptions import UsageError
from integrity.models import Change, Run
from integrity.undo import undo
from players.mileage import ADDS_UP, GROUP_ADDS_UP, STRATEGIES, Selection, analyze_mileage, fix_mileage
from players.models import Group, HourlyMetric, OpenSession, Player
from players.test_data import load, plant_faults
from tests.integrity.helpers import contents
from tests.players.factories import FIRST_HOUR, make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db

DELETE, RECALCULATE = STRATEGIES
HOUR = timedelta(hours=1)


def fixed(strategy=DELETE, selection=None, **options):
    """The status of a repair."""
    return fix_mileage(selection or Selection(), strategy, **options).status


def hours(player):
    """Hours since the first one -> kilometres."""
    rows = player.hourly_metrics.order_by("hour", "pk").values_list("hour", "distance_km")
    return [((hour - FIRST_HOUR) // HOUR, km) for hour, km in rows]


def adjustment(player):
    return player.hourly_metrics.get(is_adjustment=True)


# MORE, by deleting extra metrics


def test_the_newest_rows_go_first():
    player = make_player(stored=7, rides=[3, 4, 5])
    assert fixed() == "clean"
    assert hours(player) == [(0, 3), (1, 4)]


def test_the_oldest_rows_go_first_when_asked_for():
    player = make_player(stored=7, rides=[5, 3, 4])
    assert fixed(oldest_first=True) == "clean"
    assert hours(player) == [(1, 3), (2, 4)]


def test_the_last_row_is_reduced_so_that_the_sum_is_exact():
    player = make_player(stored="5.00001", rides=["2.5", "3.33333", 4])
    assert fixed() == "clean"
    assert hours(player) == [(0, Decimal("2.50000")), (1, Decimal("2.50001"))]


def test_a_row_of_just_the_surplus_goes_whole():
    player = make_player(stored=3, rides=[3, 4])
    fixed()
    assert hours(player) == [(0, 3)]


def test_a_running_session_that_was_counted_again_is_taken_out_of_history():
    player = make_player(stored=12, rides=[4, 6, 1, 2], open=[2, 1])
    assert fixed() == "clean"
    assert hours(player) == [(0, 4), (1, 6), (2, 1)]


def test_a_surplus_larger_than_the_history_is_left_and_reported():
    player = make_player(stored=1, rides=[2], open=[10, 0])
    report = fix_mileage(Selection())
    assert (report.status, report.changes, hours(player)) == ("violated", 0, [(0, 2)])
    assert [finding.evidence["difference"] for finding in report.rules[0].sample] == [11]


def test_rows_without_distance_are_left():
    player = make_player(stored=3, rides=[3, 2, 0])
    fixed()
    assert hours(player) == [(0, 3), (2, 0)]


def test_what_history_lacks_stays_reported_with_the_way_out():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    report = fix_mileage(Selection())
    rule = next(rule for rule in report.rules if rule.rule == ADDS_UP)
    assert (report.status, report.changes, report.exit_code, hours(player)) == ("violated", 0, 1, [(0, 4), (1, 6)])
    assert rule.notes == ["What history lacks (LESS) takes --strategy recalculate_from_player."]


# LESS, by recalculating from the player


def test_what_history_lacks_becomes_one_adjustment():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    assert fixed(RECALCULATE) == "clean"
    row = adjustment(player)
    assert (row.distance_km, row.device, player.hourly_metrics.count()) == (5, None, 3)


def test_an_adjustment_is_exact_to_the_last_place():
    player = make_player(stored="10.00002", rides=["3.33333", "3.33333", "3.33333"])
    fixed(RECALCULATE, Selection(threshold=Decimal(0)))
    assert adjustment(player).distance_km == Decimal("0.00003")


def test_recalculating_removes_a_surplus_as_well():
    more, less = make_player(stored=7, rides=[3, 4, 5]), make_player(stored=9, rides=[3, 4])
    assert fixed(RECALCULATE) == "clean"
    assert (hours(more), hours(less)[-1]) == ([(0, 3), (1, 4)], (1, 2))


def test_recalculating_may_begin_with_the_oldest_as_well():
    player = make_player(stored=7, rides=[5, 3, 4])
    fixed(RECALCULATE, oldest_first=True)
    assert hours(player) == [(1, 3), (2, 4)]


def test_what_was_adjusted_before_is_added_to():
    player = make_player(stored=9, rides=[3, 4])
    fixed(RECALCULATE)
    Player.objects.update(distance_total=10)
    assert fixed(RECALCULATE) == "clean"
    assert adjustment(player).distance_km == 3


def test_an_adjustment_that_would_be_added_to_is_a_suspect_with_its_hour():
    make_player(stored=9, rides=[3, 4])
    fixed(RECALCULATE)
    Player.objects.update(distance_total=10)
    (found,) = analyze_mileage(Selection()).rules[0].sample
    assert [(row["hour"], row["why"]) for row in found.evidence["suspects"]] == [
        (FIRST_HOUR + HOUR, "distance is missing here")
    ]


def test_an_adjustment_belongs_to_the_lowest_leaf_group():
    school = make_group()
    first, second = make_group(parent=school), make_group(parent=school)
    player = make_player(stored=16, rides=[4, 6], groups=[school, second, first])
    fixed(RECALCULATE)
    assert adjustment(player).group_at_time == first


def test_an_adjustment_of_a_player_without_groups_belongs_to_none():
    player = make_player(stored=16, rides=[4, 6])
    fixed(RECALCULATE)
    assert adjustment(player).group_at_time is None


# The hour of an adjustment


def gap(player):
    fixed(RECALCULATE)
    return (adjustment(player).hour - FIRST_HOUR) // HOUR


def test_a_ride_after_all_history_is_missing_when_the_player_was_active():
    player = make_player(stored=16, rides=[4, 6], last_active=FIRST_HOUR + timedelta(hours=7, minutes=59))
    assert gap(player) == 7


def test_the_hour_of_a_later_activity_goes_before_a_hole_in_a_ride():
    player = make_player(stored=16, last_active=FIRST_HOUR + 9 * HOUR)
    for passed in (0, 2):
        make_hour(player, make_device(), passed, 4)
    assert gap(player) == 9


def test_an_open_session_accounts_for_a_later_activity():
    player = make_player(stored=16, rides=[4], open=[2, 1], last_active=FIRST_HOUR + 9 * HOUR)
    make_hour(player, make_device(), 2, 4)
    assert gap(player) == 1


def test_the_newest_hole_of_one_hour_in_a_ride_is_filled():
    player = make_player(stored=16, last_active=FIRST_HOUR + 6 * HOUR)
    device = make_device()
    for passed in (0, 2, 4, 6):
        make_hour(player, device, passed, 3)
    assert gap(player) == 5


def test_an_hour_that_was_ridden_is_no_hole():
    player = make_player(stored=16, last_active=FIRST_HOUR + 4 * HOUR)
    device = make_device()
    for passed in (0, 2, 3, 4):
        make_hour(player, device, passed, 3)
    assert gap(player) == 1


def test_a_pause_of_two_hours_is_no_hole():
    player = make_player(stored=16, last_active=FIRST_HOUR + HOUR)
    for passed in (0, 3):
        make_hour(player, make_device(), passed, 4)
    assert gap(player) == 1


def test_without_history_the_hour_is_that_of_the_last_activity():
    player = make_player(stored=5, last_active=FIRST_HOUR + timedelta(hours=3, minutes=20))
    assert gap(player) == 3


def test_without_a_known_activity_the_hour_is_the_newest_of_history():
    player = make_player(stored=16, rides=[4, 6])
    assert gap(player) == 1


def test_a_player_without_history_and_activity_is_left_and_reported():
    player = make_player(stored=5)
    report = fix_mileage(Selection(), RECALCULATE)
    assert (report.status, player.hourly_metrics.count()) == ("violated", 0)
    assert [finding.evidence["suspects"] for finding in report.rules[0].sample] == [[]]


# Midnight and summer time

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
SUMMER_TIME_ENDS = datetime(2026, 10, 25, 1, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("moment", [MIDNIGHT, SUMMER_TIME_ENDS, SUMMER_TIME_ENDS - HOUR], ids=str)
def test_the_hour_of_an_adjustment_is_that_of_utc_in_every_time_zone(zone, moment):
    player = make_player(stored=5, last_active=moment + timedelta(minutes=20))
    with timezone.override(zone):
        assert fixed(RECALCULATE) == "clean"
    assert adjustment(player).hour == moment


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("middle", [MIDNIGHT, SUMMER_TIME_ENDS, datetime(2026, 3, 29, 1, tzinfo=UTC)], ids=str)
def test_the_newest_hour_is_the_latest_of_utc_around_midnight_and_summer_time(zone, middle):
    player, device = make_player(stored=2), make_device()
    for hour in (middle, middle + HOUR, middle - HOUR):
        HourlyMetric.objects.create(player=player, device=device, hour=hour, distance_km=1)
    with timezone.override(zone):
        fixed()
    assert list(player.hourly_metrics.order_by("hour").values_list("hour", flat=True)) == [middle - HOUR, middle]


@pytest.mark.parametrize("hole", [MIDNIGHT, SUMMER_TIME_ENDS], ids=str)
def test_a_hole_at_midnight_or_where_summer_time_ends_is_filled(hole):
    player, device = make_player(stored=5), make_device()
    for hour in (hole - HOUR, hole + HOUR):
        HourlyMetric.objects.create(player=player, device=device, hour=hour, distance_km=2)
    with timezone.override("Europe/Berlin"):
        fixed(RECALCULATE)
    assert adjustment(player).hour == hole


# What is never touched, and what goes along


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_strategy_touches_the_master_or_a_session(strategy):
    make_player(stored=16, rides=[4, 6], open=[2, 1])
    make_player(stored=3, rides=[4, 6])
    before = contents(Player, OpenSession)
    fixed(strategy)
    assert contents(Player, OpenSession) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_groups_are_derived_again_in_the_same_run(strategy):
    school = make_group(total=99)
    class_ = make_group(parent=school, total=1)
    make_player(stored=7, rides=[3, 4, 5], groups=[class_])
    report = fix_mileage(Selection(), strategy)
    assert set(Group.objects.values_list("distance_total", flat=True)) == {7}
    assert {change.rule for change in Change.objects.filter(run=report.run)} == {ADDS_UP, GROUP_ADDS_UP}


def test_a_class_that_moved_is_counted_where_it_is():
    old, new = make_group(total=3), make_group(total=0)
    moved = make_group(parent=old, total=3)
    make_player(rides=[3], groups=[moved])
    Group.objects.filter(pk=moved.pk).update(parent=new)
    fixed()
    assert dict(Group.objects.values_list("pk", "distance_total")) == {old.pk: 0, new.pk: 3, moved.pk: 3}


def test_a_player_who_moved_to_another_class_is_counted_there():
    old, new = make_group(total=3), make_group(total=0)
    make_player(rides=[3], groups=[old]).groups.set([new])
    fixed()
    assert dict(Group.objects.values_list("pk", "distance_total")) == {old.pk: 0, new.pk: 3}


def test_several_players_are_repaired_at_once_and_others_left():
    right = make_player(rides=[4, 6])
    wrong = [make_player(stored=7 + n, rides=[4, 6]) for n in range(3)]
    assert fixed() == "clean"
    assert [sum(km for _, km in hours(player)) for player in [right, *wrong]] == [10, 7, 8, 9]


def test_a_hidden_player_is_repaired():
    player = make_player(stored=4, rides=[4, 6], is_visible=False)
    fixed()
    assert hours(player) == [(0, 4)]


def test_one_player_is_repaired_alone_with_the_groups_above():
    group, other = make_group(total=1), make_group(total=1)
    player = make_player(stored=4, rides=[4, 6], groups=[group])
    left = make_player(stored=4, rides=[4, 6], groups=[other])
    fixed(selection=Selection(player_id=player.pk))
    assert (hours(player), hours(left)) == ([(0, 4)], [(0, 4), (1, 6)])
    assert dict(Group.objects.values_list("pk", "distance_total")) == {group.pk: 4, other.pk: 1}


def test_the_threshold_limits_what_is_repaired_and_not_what_counts():
    small, large = make_player(stored=10, rides=["10.5"]), make_player(stored=10, rides=[12])
    report = fix_mileage(Selection(threshold=Decimal(1)))
    players = report.rules[0] if report.rules[0].rule == ADDS_UP else report.rules[1]
    assert (hours(small), hours(large)) == ([(0, Decimal("10.5"))], [(0, 10)])
    assert (report.status, players.violations, players.checked) == ("violated", 1, 2)
    assert players.notes == ["Left alone: 1 with a difference of up to 1 km."]


def test_the_records_say_what_the_report_says_of_what_is_below_the_threshold():
    make_player(stored=10, rides=["10.5"])
    make_player(stored=10, rides=[12])
    report = fix_mileage(Selection(threshold=Decimal(1)))
    run = Run.objects.get(pk=report.run)
    kept = run.results.get(rule=ADDS_UP)
    assert (run.status, kept.status, kept.violations, kept.checked) == ("violated", "violated", 1, 2)


def test_a_threshold_of_nothing_repairs_the_last_place():
    player = make_player(stored=10, rides=["10.00001"])
    assert fixed(selection=Selection(threshold=Decimal(0))) == "clean"
    assert hours(player) == [(0, 10)]


# Again, back, and dry


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_second_repair_writes_nothing(strategy):
    load(players=160, days=10)
    plant_faults()
    fixed(strategy)
    assert fix_mileage(Selection(), strategy).changes == 0


def test_recalculating_the_test_world_leaves_nothing_wrong():
    load(players=160, days=10)
    plant_faults()
    assert fixed(RECALCULATE) == "clean"
    assert analyze_mileage(Selection()).status == "clean"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_byte_comes_back(strategy):
    load(players=160, days=10)
    plant_faults()
    before = contents()
    report = fix_mileage(Selection(), strategy)
    assert contents() != before
    assert (undo(report.run).status, contents()) == ("clean", before)


def test_every_written_row_is_journaled_with_both_images():
    player = make_player(stored=5, rides=[3, 4, 5])
    report = fix_mileage(Selection())
    rows = Change.objects.filter(run=report.run, table="players_hourlymetric").order_by("before__distance_km")
    assert [(row.before["distance_km"], row.after and row.after["distance_km"]) for row in rows] == [
        ("4.00000", "2.00000"),
        ("5.00000", None),
    ]
    assert {row.before["player_id"] for row in rows} == {str(player.pk)}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_dry_run_plans_the_same_and_writes_nothing(strategy):
    make_player(stored=5, rides=[3, 4, 5], groups=[make_group(total=1)])
    before = contents()
    planned = fix_mileage(Selection(), strategy, dry_run=True)
    assert (contents(), planned.exit_code) == (before, 1)
    assert fix_mileage(Selection(), strategy).changes == planned.changes == 3


def test_an_unknown_strategy_lists_those_that_work():
    with pytest.raises(UsageError, match=r"'x' is unknown\. Known: delete_extra_metrics, recalculate_from_player"):
        fix_mileage(Selection(), "x")
