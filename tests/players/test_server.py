"""A server that dies under load has kept what it acknowledged; what it did not, may come again and counts once."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import closing
from decimal import Decimal
from functools import partial
from random import Random
from threading import Event
from uuid import uuid4

import pytest

from players.keys import create_key
from players.models import Device, Player
from tests.players.bikes import assert_true_to_rules, at_once
from tests.players.factories import make_device, make_group, make_player
from tests.players.serving import Client, Server, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key():
    """Opens everything in a school of eight riders on five bikes."""
    school = make_group()
    classes = [make_group(parent=school), make_group(parent=school)]
    for number in range(8):
        make_player(groups=[classes[number % 2]])
    for number in range(5):
        make_device(group=classes[number % 2])
    return create_key("all")[0]


class Bike:
    """Reports one thing after another, and remembers what was acknowledged and what was not."""

    def __init__(self, seed: int, key: str) -> None:
        self.random, self.key = Random(seed), key
        self.tags = list(Player.objects.values_list("id_tag", flat=True).order_by("id"))
        self.names = list(Device.objects.values_list("name", flat=True).order_by("id"))
        self.acknowledged: dict[str, Decimal] = defaultdict(Decimal)
        self.unanswered: tuple[dict[str, str], str] | None = None

    def ride(self, server: Server, over: Event) -> None:
        """Report until the server dies or the time is over."""
        with closing(Client(server.port, self.key)) as client:
            while not over.is_set():
                report, again = self.unanswered or (self.next_report(), uuid4().hex)
                self.unanswered = report, again
                try:
                    status, answer = client.report(report, again)
                except OSError:
                    return
                assert status == 200, answer
                self.acknowledged[report["id_tag"]] += Decimal(report["distance"])
                self.unanswered = None

    def next_report(self) -> dict[str, str]:
        km = Decimal(self.random.randrange(1, 500_000)).scaleb(-5)
        return {
            "id_tag": self.random.choice(self.tags),
            "device_id": self.random.choice(self.names),
            "distance": f"{km:.5f}",
        }


def totals() -> dict[str, Decimal]:
    return dict(Player.objects.values_list("id_tag", "distance_total"))


def sums(bikes, unanswered):
    """What each rider must have at least, or at most with all that got no answer."""
    expected = dict.fromkeys(totals(), Decimal(0))
    for bike in bikes:
        for tag, km in bike.acknowledged.items():
            expected[tag] += km
        if unanswered and bike.unanswered:
            expected[bike.unanswered[0]["id_tag"]] += Decimal(bike.unanswered[0]["distance"])
    return expected


def kill_after(seconds, server, over):
    time.sleep(seconds)
    server.kill()
    over.set()


def run(bikes, server, last):
    over = Event()
    done = at_once(*(partial(bike.ride, server, over) for bike in bikes), partial(last, server, over))
    errors = [error for error in done if error]
    assert not errors, errors


@pytest.mark.parametrize(("kills", "workers"), [(1, 1), pytest.param(8, 2, marks=pytest.mark.soak)])
def test_a_killed_server_loses_nothing_that_it_acknowledged(key, kills, workers):
    bikes = [Bike(seed, key) for seed in range(8)]
    with serving(workers=workers) as server:
        for _ in range(kills):
            run(bikes, server, partial(kill_after, 1.0))
            least, most, stored = sums(bikes, unanswered=False), sums(bikes, unanswered=True), totals()
            assert all(least[tag] <= stored[tag] <= most[tag] for tag in stored)
            assert_true_to_rules()
            server.start()
        # What got no answer comes again under its key.
        run(bikes, server, lambda server, over: time.sleep(0.5) or over.set())
    assert sum(bool(bike.acknowledged) for bike in bikes) == 8
    assert totals() == sums(bikes, unanswered=False)
    assert_true_to_rules()
