"""Many report at once: no kilometre is lost, none counted twice, and nobody waits in a circle."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from functools import partial
from random import Random

import pytest
from django.db import connection, transaction
from django.utils import timezone

from integrity.registry import registry
from integrity.repair import repair
from players.models import Device, Group, HourlyMetric, OpenSession, Player
from players.placing import place_group, place_player
from players.sessions import close_idle_sessions
from tests.players.bikes import assert_true_to_rules, at_once, results, ride
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    """Two schools with two classes of three riders each, and five bikes."""
    for school in (make_group(), make_group()):
        classes = [make_group(parent=school), make_group(parent=school)]
        for class_ in classes:
            for _ in range(3):
                make_player(groups=[class_])
        make_player(groups=classes)
    for class_ in Group.objects.exclude(parent=None):
        make_device(group=class_)
    make_device()
    return list(Player.objects.order_by("id")), list(Device.objects.order_by("id"))


def rides(players, devices, seed, count):
    """Report so often in random company; the kilometres by player."""
    random, ridden = Random(seed), Counter()
    begin = timezone.now() - timedelta(hours=30)
    for step in range(count):
        player, km = random.choice(players), Decimal(random.randrange(1, 500_000)).scaleb(-5)
        ride(player, random.choice(devices), km, at=begin + timedelta(minutes=7 * step + random.randrange(7)))
        ridden[player.pk] += km
    return ridden


def deadlocks():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]


def assert_masters(*ridden):
    expected = sum(ridden, Counter())
    assert {player.pk: player.distance_total for player in Player.objects.filter(pk__in=expected)} == dict(expected)


def test_eight_clients_of_one_player_with_switches_lose_nothing(world):
    players, devices = world
    before = deadlocks()
    ridden = at_once(*(partial(rides, players[:1], devices, seed, 25) for seed in range(8)))
    assert not results(ridden, Exception)
    assert_masters(*ridden)
    assert_true_to_rules()
    assert deadlocks() == before


def test_eight_clients_of_all_players_on_all_bikes_lose_nothing_and_never_deadlock(world):
    before = deadlocks()
    ridden = at_once(*(partial(rides, *world, seed, 30) for seed in range(8)))
    assert not results(ridden, Exception)
    assert_masters(*ridden)
    assert_true_to_rules()
    assert deadlocks() == before


def test_two_reports_of_one_player_on_two_bikes_at_once_both_count(world):
    players, devices = world
    for _ in range(10):
        answers = at_once(*(partial(ride, players[0], device, 1) for device in devices[:2]))
        assert not results(answers, Exception)
    players[0].refresh_from_db()
    assert players[0].distance_total == 20
    assert OpenSession.objects.get().distance_km == 1
    assert HourlyMetric.objects.filter(player=players[0]).count() <= 4
    assert_true_to_rules()


def test_the_same_idempotency_key_at_once_moves_the_totals_once(world):
    players, devices = world
    answers = at_once(*[partial(ride, players[0], devices[0], 3, key="a")] * 6)
    assert len(set(answers)) == 1
    players[0].refresh_from_db()
    assert players[0].distance_total == 3
    assert_true_to_rules()


def test_rides_go_on_while_idle_sessions_are_closed(world):
    def close():
        for _ in range(20):
            close_idle_sessions(timedelta(hours=20))

    ridden = at_once(*(partial(rides, *world, seed, 25) for seed in range(4)), close, close)
    assert not results(ridden, Exception)
    assert_masters(*ridden[:4])
    assert_true_to_rules()


def test_rides_go_on_while_players_and_groups_move(world):
    players, _ = world
    schools = list(Group.objects.filter(parent=None))
    classes = list(Group.objects.exclude(parent=None).order_by("id"))

    def move():
        random = Random(1)
        for _ in range(15):
            place_player(random.choice(players), [group.pk for group in random.sample(classes, 2)])
            group = Group.objects.get(pk=random.choice(classes).pk)
            group.parent = random.choice(schools)
            place_group(group)

    ridden = at_once(*(partial(rides, *world, seed, 25) for seed in range(4)), move)
    assert not results(ridden, Exception)
    assert_masters(*ridden[:4])
    assert_true_to_rules()


def test_rides_go_on_while_totals_and_histories_are_repaired(world):
    players, _ = world
    for player in players:
        HourlyMetric.objects.create(player=player, device_id=world[1][0].pk, hour=FIRST, distance_km=7)
    Group.objects.update(distance_total=5)
    jobs = [
        (registry.get("players.mileage_adds_up"), "delete_extra_metrics"),
        (registry.get("players.group_total_adds_up"), "recompute"),
    ]

    def mend():
        for _ in range(3):
            repair(jobs, max_affected="100%")

    ridden = at_once(*(partial(rides, *world, seed, 25) for seed in range(4)), mend)
    assert not results(ridden, Exception)
    assert_masters(*ridden[:4])
    repair(jobs, max_affected="100%")
    assert_true_to_rules()


def test_idle_sessions_that_somebody_holds_are_left_for_the_next_run(world):
    players, devices = world
    for player, device in zip(players[:2], devices[:2], strict=True):
        ride(player, device, 1, at=0)

    def close_while_one_is_held():
        with transaction.atomic():
            Player.objects.select_for_update().get(pk=players[0].pk)
            return at_once(close_idle_sessions)[0]

    closed = close_while_one_is_held()
    assert (closed.sessions, closed.km, closed.busy) == (1, 1, 1)
    assert close_idle_sessions().sessions == 1


FIRST = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=9)
