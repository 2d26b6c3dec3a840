"""Money in the bank: riders, repairs, kills and damage at once, and the kilometres are right at every read.

Correct writers report rides and close them. Somebody damages the history of a few players and the totals of groups
behind everybody's back. Repairs run in processes of their own, some of which are killed at a random step.
"""

import random
import threading
import time
from decimal import Decimal

import pytest

from integrity.engine import analyze
from integrity.registry import registry
from integrity.repairing import batch
from players.models import Player
from players.sessions import close_sessions
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.players.bikes import ride
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = {"BATCH_KEYS": 2, "WINDOW_KEYS": 4, "LOCK_TIMEOUT_MS": 100, "MAX_AFFECTED_ROWS": 1000}
STEPS = ("detected", *batch.STEPS)
WRONG = """
    SELECT p.id FROM players_player p WHERE p.id = ANY(%s) AND p.distance_total <>
        COALESCE((SELECT sum(distance_km) FROM players_hourlymetric WHERE player_id = p.id), 0)
        + COALESCE((SELECT sum(distance_km - flushed_km) FROM players_opensession WHERE player_id = p.id), 0)
"""
# A repair is refused when damage is done three times running between its looks; it never fails.
EXPECTED = {"killed", "clean", "violated", "partial", "refused"}
DAMAGE = (
    "UPDATE players_hourlymetric SET distance_km = distance_km + 1 WHERE id = %(row)s",
    "UPDATE players_hourlymetric SET distance_km = distance_km / 2 WHERE id = %(row)s",
    "DELETE FROM players_hourlymetric WHERE id = %(row)s",
    "UPDATE players_group SET distance_total = distance_total + 1 WHERE id = %(group)s",
)


class Work(threading.Thread):
    """Does something again and again until it is told to stop, and keeps what goes wrong."""

    def __init__(self, name, do):
        super().__init__(name=name)
        self.do, self.stop, self.error, self.times = do, threading.Event(), None, 0

    def run(self):
        from django.db import connections

        try:
            while not self.stop.is_set():
                self.do()
                self.times += 1
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            self.error = error
        finally:
            connections.close_all()


class Bank:
    """Twelve riders in two classes of a school; the history of the first four is not safe."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        school = make_group()
        self.groups = [school, make_group(parent=school), make_group(parent=school)]
        self.devices = [make_device() for _ in range(5)]
        self.players = [
            make_player(rides=[3, 4, 5], groups=[self.groups[1 + i % 2], *self.groups[2:][: i % 3]]) for i in range(12)
        ]
        self.unsafe = [player.pk for player in self.players[:4]]
        self.ridden = [Decimal(12 * len(self.players))]
        worlds.perform("players")

    def rider(self):
        """A thread that reports rides, and ends one now and then."""
        chance = random.Random(self.random.random())
        minutes = iter(range(10**9))

        def do():
            player, device = chance.choice(self.players), chance.choice(self.devices)
            km = Decimal(chance.randint(0, 500)) / 100
            ride(player, device, km, at=next(minutes) // 4)
            self.ridden.append(km)
            if chance.random() < 0.2:
                close_sessions([player.pk])

        return Work("rider", do)

    def vandal(self, other):
        """A thread that damages unsafe history and totals of groups."""
        chance = random.Random(self.random.random())

        def do():
            rows = other.connection.execute(
                "SELECT id FROM players_hourlymetric WHERE player_id = ANY(%s)", [self.unsafe]
            ).fetchall()
            names = {"row": chance.choice(rows)[0] if rows else None, "group": chance.choice(self.groups).pk}
            other.commits(chance.choice(DAMAGE), names)
            time.sleep(0.1)

        return Work("vandal", do)

    def reader(self, other):
        """A thread that adds up what nobody has damaged."""
        safe = [player.pk for player in self.players[4:]]

        def do():
            wrong = other.connection.execute(WRONG, [safe]).fetchall()
            other.commit()
            assert wrong == []

        return Work("reader", do)


def keep_repairing(processes, seconds, chance):
    """Repairs one after the other, every other one killed somewhere; what became of each."""
    ends = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kill = {"at": chance.choice(STEPS), "act": "die", "time": chance.randint(1, 3)} if chance.random() < 0.5 else {}
        ended = processes.start("players", settings=SETTINGS, **kill).result()
        ends.append(ended.get("status") or ended.get("error") or "killed")
    return ends


def damaged_and_repaired(processes, seconds, seed):
    bank = Bank(seed)
    with Other() as vandal, Other() as reader:
        works = [bank.rider(), bank.rider(), bank.vandal(vandal), bank.reader(reader)]
        for work in works:
            work.start()
        ends = keep_repairing(processes, seconds, random.Random(seed))
        for work in works:
            work.stop.set()
        for work in works:
            work.join()
    assert [work.error for work in works] == [None] * len(works)
    assert all(work.times for work in works)
    return bank, ends


def assert_everything_adds_up(bank):
    assert worlds.perform("players").status == "clean"
    assert analyze([rule for rule in registry if rule.app == "players"]).status == "clean"
    # No repair writes the master, and no report was lost or added twice.
    assert sum(Player.objects.values_list("distance_total", flat=True)) == sum(bank.ridden)


def test_the_kilometres_are_right_at_every_read(processes, settings):
    settings.INTEGRITY = SETTINGS
    bank, ends = damaged_and_repaired(processes, seconds=4, seed=1)
    assert "killed" in ends
    assert set(ends) <= EXPECTED
    assert_everything_adds_up(bank)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_the_kilometres_are_right_at_every_read_for_long(seed, processes, settings):
    settings.INTEGRITY = SETTINGS
    bank, ends = damaged_and_repaired(processes, seconds=60, seed=seed)
    assert set(ends) <= EXPECTED
    assert_everything_adds_up(bank)
