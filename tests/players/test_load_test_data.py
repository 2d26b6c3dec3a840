"""The test world adds up, and loading it again changes nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F, Sum

from players import test_data
from players.models import Device, Group, HourlyMetric, Membership, OpenSession, Player
from players.test_data import figures
from players.tree import subtree_totals
from tests.players.factories import make_group, make_player

pytestmark = pytest.mark.django_db
TABLES = [Group, Device, Player, Membership, HourlyMetric, OpenSession]
NOON = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)


def contents():
    return {table: list(table.objects.order_by("id").values()) for table in TABLES}


def differences():
    """What is wrong: for players history plus in-flight minus master, for groups stored minus true."""
    players = {player: -player.distance_total for player in Player.objects.all()}
    for hour in HourlyMetric.objects.select_related("player"):
        players[hour.player] += hour.distance_km
    for session in OpenSession.objects.select_related("player"):
        players[session.player] += session.distance_km - session.flushed_km
    totals = {row["key"]: row["value"] for row in subtree_totals()}
    groups = {group: group.distance_total - totals[group.pk] for group in Group.objects.all()}
    return {subject: km for subject, km in (players | groups).items() if km}


def load(**arguments):
    """The command, and what it printed."""
    out = StringIO()
    call_command("load_test_data", stdout=out, **arguments)
    return out.getvalue()


@pytest.mark.parametrize(
    "now", [NOON, NOON.replace(hour=0, minute=0), NOON.replace(hour=0, minute=1), NOON.replace(minute=0)]
)
def test_master_history_sessions_and_groups_add_up_at_any_hour(now):
    loaded = test_data.load(players=200, days=5, now=now)
    assert (Player.objects.count(), HourlyMetric.objects.count()) == (200, loaded.hours)
    assert Player.objects.aggregate(km=Sum("distance_total"))["km"] == loaded.km
    assert differences() == {}


def test_a_second_run_changes_nothing():
    load(players=160, days=4)
    before = contents()
    assert load(players=160, days=4) == "Nothing to add: all 160 players of seed 1 are there.\n"
    assert contents() == before


def test_a_second_run_on_another_day_changes_nothing():
    test_data.load(players=60, days=4, now=NOON)
    before = contents()
    test_data.load(players=60, days=9, now=NOON + timedelta(days=3))
    assert contents() == before


def test_a_second_run_leaves_alone_what_has_happened_since():
    test_data.load(players=30, days=3)
    Player.objects.filter(id_tag="test-1-0004").update(distance_total=F("distance_total") + 1)
    Group.objects.update(distance_total=0)
    before = contents()
    test_data.load(players=30, days=3)
    assert contents() == before


def test_rows_of_others_stay_as_they_are():
    make_player(stored=16, rides=[4, 6], open=[2, 1], groups=[make_group("Harbour School", total=7)])
    before = contents()
    load(players=40, days=3)
    after = contents()
    assert all(row in after[table] for table in TABLES for row in before[table])


def test_more_players_join_those_that_are_there():
    test_data.load(players=20, days=3)
    loaded = test_data.load(players=200, days=3)
    assert (loaded.players, Player.objects.count(), loaded.groups) == (180, 200, 9)
    assert differences() == {}


def test_different_seeds_live_side_by_side():
    test_data.load(players=30, days=10, seed=1)
    test_data.load(players=30, days=10, seed=11)
    one, other = (Player.objects.filter(id_tag__startswith=mark) for mark in ("test-1-", "test-11-"))
    assert (one.count(), other.count(), differences()) == (30, 30, {})
    assert set(one.values_list("distance_total")).isdisjoint(other.values_list("distance_total"))


def test_the_figures_follow_from_the_seed():
    test_data.load(players=30, days=3, seed=4, now=NOON)
    first = list(HourlyMetric.objects.order_by("player", "hour").values_list("hour", "distance_km"))
    for table in [OpenSession, HourlyMetric, Player]:
        table.objects.all().delete()
    test_data.load(players=30, days=3, seed=4, now=NOON)
    assert list(HourlyMetric.objects.order_by("player", "hour").values_list("hour", "distance_km")) == first


def test_longer_histories_begin_with_the_same_days():
    short, long = list(figures.rides(1, 5, 10)), list(figures.rides(1, 5, 40))
    assert long[: len(short)] == short


def test_the_world_holds_the_cases_that_rules_must_see():
    test_data.load(players=200, days=10)
    sessions = OpenSession.objects
    assert Player.objects.filter(is_visible=False).exists()
    assert Player.objects.filter(collects=False).exists()
    assert sessions.filter(flushed_km=0).exists()
    assert sessions.filter(flushed_km__gt=0, distance_km__gt=F("flushed_km")).exists()
    in_one_school = Membership.objects.values("player", "group__parent").annotate(groups=Count("id"))
    assert in_one_school.filter(groups=2).exists()
    assert HourlyMetric.objects.filter(device__group=None, group_at_time__isnull=False).exists()


def test_nobody_rides_two_bikes_in_one_hour_and_no_bike_has_two_sessions():
    test_data.load(players=200, days=10)
    hours = HourlyMetric.objects.values("player", "hour").annotate(n=Count("id"))
    assert not hours.filter(n__gt=1).exists()
    assert not OpenSession.objects.values("device").annotate(n=Count("id")).filter(n__gt=1).exists()


def test_the_summary_says_what_was_added():
    assert load(players=30, days=3).startswith("Added 30 players, 4 groups, 7 devices and ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"players": 0}, "--players takes 1 to 1000000, not 0."),
        ({"days": -1}, "--days takes 1 to 3650, not -1."),
        ({"seed": -3}, "--seed takes 0 to 2147483647, not -3."),
    ],
)
def test_a_bad_argument_is_named_and_ends_with_exit_code_2(arguments, sentence):
    with pytest.raises(CommandError, match=f"^{sentence}$") as refused:
        load(**arguments)
    assert (refused.value.returncode, Player.objects.count()) == (2, 0)


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        call_command("load_test_data", "--help")
    assert "Example: manage.py load_test_data --players" in " ".join(capsys.readouterr().out.split())


def test_planted_faults_are_exactly_what_is_wrong():
    test_data.load(players=160, days=10)
    planted = test_data.plant_faults()
    assert differences() == {fault.subject: fault.difference for fault in planted}
    assert [fault.kind for fault in planted] == (
        ["double_counted"] * 2 + ["lost"] * 3 + ["duplicated"] * 3 + ["wrong_totals", "counted_twice"]
    )


def test_a_hidden_player_is_among_those_who_lost_history():
    test_data.load(players=160, days=10)
    lost = [fault for fault in test_data.plant_faults() if fault.kind == "lost"]
    assert [fault.subject.is_visible for fault in lost] == [False, True, True]
    assert all(fault.difference < 0 for fault in lost)


def test_a_duplicated_hour_stands_on_two_devices():
    test_data.load(players=160, days=10)
    planted = {fault.subject.pk for fault in test_data.plant_faults() if fault.kind == "duplicated"}
    twice = HourlyMetric.objects.values("player", "hour").annotate(n=Count("device", distinct=True)).filter(n=2)
    assert {row["player"] for row in twice} == planted


def test_planting_again_hits_others():
    test_data.load(players=320, days=10)
    planted = test_data.plant_faults() + test_data.plant_faults()
    assert differences() == {fault.subject: fault.difference for fault in planted}
    assert len(planted) == 20


def test_faults_stay_within_their_seed():
    test_data.load(players=160, days=10, seed=1)
    make_player(stored=16, rides=[4, 6], open=[2, 1], id_tag="other")
    test_data.load(players=160, days=10, seed=12)
    subjects = [str(fault.subject) for fault in test_data.plant_faults(seed=12)]
    assert all("test-12" in subject for subject in subjects)


def test_too_few_candidates_are_named_and_nothing_is_planted():
    test_data.load(players=10, days=3)
    with pytest.raises(test_data.BadArgument, match=r"double_counted found 0 of the 2 candidates it needs: load more"):
        test_data.plant_faults()
    assert differences() == {}


def test_a_master_has_five_places():
    test_data.load(players=1, days=3)
    assert Player.objects.get().distance_total.as_tuple().exponent == -5
    assert Player.objects.get().distance_total > Decimal(0)
