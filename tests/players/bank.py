"""A bank of kilometres: riders, moves, closes, repairs and kills at once, and somebody who keeps adding up."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from threading import Event, Lock
from uuid import uuid4

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from integrity.registry import registry
from integrity.repair import repair
from players.models import Device, Group, HourlyMetric, Player
from players.placing import place_group, place_player
from players.sessions import close_idle_sessions
from players.sql import execute
from tests.players.bikes import at_once, ride
from tests.players.factories import make_device, make_group, make_player

MINUTES_A_SECOND = 10
GONE = (OperationalError, InterfaceError)

# In one statement, and so in one snapshot. What is broken on purpose is named and left out.
PLAYERS_DIFFER = """
    SELECT p.id, p.distance_total,
           (SELECT COALESCE(sum(distance_km), 0) FROM players_hourlymetric h WHERE h.player_id = p.id),
           (SELECT COALESCE(sum(distance_km - flushed_km), 0) FROM players_opensession s WHERE s.player_id = p.id)
    FROM players_player p WHERE p.id <> ALL(%s) AND p.distance_total IS DISTINCT FROM
           (SELECT COALESCE(sum(distance_km), 0) FROM players_hourlymetric h WHERE h.player_id = p.id)
         + (SELECT COALESCE(sum(distance_km - flushed_km), 0) FROM players_opensession s WHERE s.player_id = p.id)
"""
GROUPS_DIFFER = """
    WITH RECURSIVE below (root, node) AS (
        SELECT id, id FROM players_group
        UNION SELECT b.root, g.id FROM below b JOIN players_group g ON g.parent_id = b.node
    ), members AS (SELECT DISTINCT b.root, m.player_id FROM below b JOIN players_membership m ON m.group_id = b.node)
    SELECT g.id, g.distance_total, COALESCE(sum(p.distance_total), 0) FROM players_group g
    LEFT JOIN members m ON m.root = g.id LEFT JOIN players_player p ON p.id = m.player_id
    WHERE g.id <> ALL(%s) GROUP BY g.id HAVING g.distance_total <> COALESCE(sum(p.distance_total), 0)
"""
TWICE = (
    "SELECT player_id FROM players_hourlymetric GROUP BY player_id, device_id, hour, is_adjustment HAVING count(*) > 1"
)
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


class Bank:
    """The world, what was reported in it, and when to stop. Some players and one school are broken on purpose."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed, self.seconds = seed, seconds
        self.reported: defaultdict[int, Decimal] = defaultdict(Decimal)
        self.riders: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        self.lock, self.over = Lock(), Event()
        self.begun = time.monotonic()
        schools = [make_group() for _ in range(3)]
        self.classes = [make_group(parent=school) for school in schools for _ in range(3)]
        self.players = [make_player(groups=[self.classes[number % 9]]) for number in range(27)]
        self.devices = [make_device(group=group) for group in self.classes] + [make_device() for _ in range(3)]
        self.broken = self.players[:3]
        # However fast the others are, nobody takes this bike over before its session is idle.
        self.rests = make_player(groups=[self.classes[0]]), make_device()
        self.broken_group = make_group()

    @property
    def now(self) -> datetime:
        """A clock on which an hour passes in six seconds."""
        passed = (time.monotonic() - self.begun) * MINUTES_A_SECOND
        return timezone.now() + timedelta(minutes=passed)

    def run(self, riders: int = 4) -> None:
        """Everybody at once until the time is over; the first error of anybody is raised."""
        jobs = [lambda number=number: self.ride(number) for number in range(riders)]
        done = at_once(*jobs, self.move, self.close, self.break_and_mend, self.kill, self.add_up, self.end)
        for result in done:
            if isinstance(result, BaseException):
                raise result

    def end(self) -> None:
        self.over.wait(self.seconds)
        self.over.set()

    def ride(self, number: int) -> None:
        """Report, and report again under the same key where no answer came."""
        random = Random(f"{self.seed}:{number}")
        while not self.over.is_set():
            player, device = random.choice(self.players), random.choice(self.devices)
            km, key = Decimal(random.randrange(500_000)).scaleb(-5), uuid4().hex
            while True:
                try:
                    [(self.riders[number],)] = execute("SELECT pg_backend_pid()")
                    ride(player, device, km, at=self.now, key=key)
                    break
                except GONE:
                    connection.close()
                    self.note("reports tried again")
            with self.lock:
                self.reported[player.pk] += km
            self.note("reports")

    def kill(self) -> None:
        random = Random(self.seed)
        while not self.over.wait(0.05 + random.random() / 4):
            if self.riders:
                execute("SELECT pg_terminate_backend(%s)", [random.choice(list(self.riders.values()))])
                self.note("kills")

    def move(self) -> None:
        random, schools = Random(self.seed), list(Group.objects.filter(parent=None).exclude(pk=self.broken_group.pk))
        while not self.over.wait(random.random() / 10):
            place_player(
                Player.objects.get(pk=random.choice(self.players).pk),
                [group.pk for group in random.sample(self.classes, random.randrange(3))],
            )
            group = Group.objects.get(pk=random.choice(self.classes).pk)
            group.parent = random.choice([None, *schools])
            place_group(group)
            self.note("moves")

    def close(self) -> None:
        player, device = self.rests
        while not self.over.is_set():
            ride(player, device, Decimal(1), at=self.now, key=uuid4().hex)
            with self.lock:
                self.reported[player.pk] += 1
            self.over.wait(0.4)
            self.counts["closed"] += close_idle_sessions(timedelta(minutes=3), now=self.now).sessions

    def break_and_mend(self) -> None:
        """Break the history of some who ride, and a total; repair everybody."""
        while not self.over.wait(0.3):
            for player in self.broken:
                HourlyMetric.objects.get_or_create(
                    player=player,
                    device=self.devices[0],
                    hour=timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=2),
                    defaults={"distance_km": 3},
                )
            Group.objects.filter(pk=self.broken_group.pk).update(distance_total=5)
            self.mend()
            self.note("repairs")

    def mend(self) -> None:
        jobs = [
            (registry.get("players.mileage_adds_up"), "recalculate_from_player"),
            (registry.get("players.group_total_adds_up"), "recompute"),
        ]
        repair(jobs, max_affected="100%")

    def add_up(self) -> None:
        """At every read the sums are right."""
        while not self.over.is_set():
            self.check([player.pk for player in self.broken], [self.broken_group.pk])
            self.note("reads")

    def check(self, players: list[int] | None = None, groups: list[int] | None = None) -> None:
        for sql, values in ((PLAYERS_DIFFER, [players or []]), (GROUPS_DIFFER, [groups or []]), (TWICE, [])):
            try:
                differences = execute(sql, values)
                assert not differences, differences
            except BaseException:
                self.over.set()
                raise

    def check_end(self) -> None:
        """What was reported has arrived, once; and all is right after the last repair."""
        self.mend()
        self.check()
        masters = dict(Player.objects.exclude(distance_total=0).values_list("pk", "distance_total"))
        assert masters == {player: km for player, km in self.reported.items() if km}
        assert Device.objects.count() == len([*self.devices, self.rests])

    def note(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def deadlocks() -> int:
    """How many transactions this database has given up for others."""
    execute("SELECT pg_stat_force_next_flush()")
    [(count,)] = execute(DEADLOCKS)
    return int(count)
