"""Checks of what has changed beside writers and each other, with real commits, and killed at each step."""

import random
import threading

import pytest
from django.db import connection, connections
from django.db.models import Sum

from integrity import Derived
from integrity.enforcement.noted import Noted
from integrity.engine import analyze
from integrity.models import Note, Violation
from integrity.observer import Observer
from integrity.registry import registry
from tests.integrity.helpers import declared, registered
from tests.integrity.others import Other
from tests.players.factories import make_player
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "UPDATE players_player SET distance_total = distance_total + 1 WHERE id = %s"


@pytest.fixture
def mileage():
    """Looked at as a whole; nothing is noted."""
    rule = registry.get("players.mileage_adds_up")
    Note.objects.all().delete()
    analyze([rule])
    return rule


@pytest.fixture
def other():
    with Other() as other:
        yield other


@pytest.fixture
def another():
    with Other() as other:
        yield other


class At(Observer):
    """Does something when a step is reached."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def reaches(self, step):
        if step == self.step:
            self.do()


def changed(rule, observer=None):
    """Keys looked at, and what breaks the rule."""
    report = analyze([rule], changed=True, observer=observer).rules[0]
    assert not report.error, report.error
    return report.changed, open_keys()


def open_keys():
    return set(Violation.objects.filter(status="open").values_list("key__id", flat=True))


@pytest.mark.parametrize("first", ["one", "two"])
def test_two_writers_who_commit_in_either_order_are_both_noticed(mileage, other, another, first):
    one, two = make_player(rides=[2]), make_player(rides=[3])
    changed(mileage)
    other.begin(ADD, [one.pk])
    another.begin(ADD, [two.pk])
    (other if first == "one" else another).commit()
    assert changed(mileage) == (1, {one.pk if first == "one" else two.pk})
    (another if first == "one" else other).commit()
    assert changed(mileage) == (1, {one.pk, two.pk})


def test_a_writer_waits_for_no_check_and_a_check_for_no_writer(mileage, other):
    player = make_player(rides=[2])
    changed(mileage)
    other.commits(ADD, [player.pk])

    def write():
        other.begin("SET LOCAL lock_timeout = '100ms'")
        other.commits(ADD, [player.pk])

    assert changed(mileage, At("taken", write))[1] == {player.pk}
    assert changed(mileage) == (1, {player.pk})
    assert Violation.objects.get().actual == {"distance_total": "4.00000"}


@pytest.mark.parametrize("step", ["taken", "looked", "recorded"])
def test_what_is_committed_during_a_check_is_left_for_the_next(mileage, other, step):
    first, second = make_player(rides=[2]), make_player(rides=[3])
    changed(mileage)
    other.commits(ADD, [first.pk])
    assert changed(mileage, At(step, lambda: other.commits(ADD, [second.pk])))[1] == {first.pk}
    assert changed(mileage) == (1, {first.pk, second.pk})


@pytest.mark.parametrize("step", ["taken", "looked", "recorded"])
def test_what_is_committed_during_a_look_at_everything_is_no_alarm(mileage, other, step):
    player = make_player(rides=[2])
    analyze([mileage])
    report = analyze([mileage], observer=At(step, lambda: other.commits(ADD, [player.pk])))
    assert (report.rules[0].error, report.rules[0].unnoticed) == ("", 0)
    assert changed(mileage) == (1, {player.pk})


def test_a_writer_who_rolls_back_is_not_noted(mileage, other):
    player = make_player(rides=[2])
    changed(mileage)
    other.begin(ADD, [player.pk])
    other.rollback()
    assert changed(mileage) == (0, set())


def test_membership_that_was_not_committed_is_resolved_when_it_is(other, another):
    rule = declared(Derived, toy.Account, "entry_count", equals=Sum("entries__parts__units"), tracked=True)
    steps = Noted(rule)
    run_statements(steps.guard("default"))
    try:
        with registered(rule):
            one, two = toy.Account.objects.create(), toy.Account.objects.create()
            entry = toy.Entry.objects.create(account=one, amount=1)
            analyze([rule])
            other.begin("UPDATE toy_entry SET account_id = %s WHERE id = %s", [two.pk, entry.pk])
            another.commits("INSERT INTO toy_part (entry_id, units) VALUES (%s, 3)", [entry.pk])
            assert changed(rule) == (1, {one.pk})
            other.commit()
            assert changed(rule) == (2, {two.pk})
    finally:
        run_statements(steps.remove("default"))


def run_statements(steps):
    with connection.cursor() as cursor:
        for step in steps:
            for statement in step.statements:
                cursor.execute(statement.text.replace("%%", "%"))


def test_two_checks_at_once_lose_nothing_and_count_nothing_twice(mileage, other):
    players = [make_player(rides=[2]) for _ in range(4)]
    changed(mileage)
    for player in players[:2]:
        other.commits(ADD, [player.pk])
    answers = []

    def check():
        try:
            answers.append(changed(mileage)[0])
        finally:
            connections.close_all()

    second = threading.Thread(target=check)

    def meanwhile():
        for player in players[2:]:
            other.commits(ADD, [player.pk])
        second.start()

    answers.append(changed(mileage, At("recorded", meanwhile))[0])
    second.join(20)
    assert answers == [2, 2]
    assert open_keys() == {player.pk for player in players}


def test_another_look_is_not_waited_for_without_end(mileage, other, monkeypatch):
    monkeypatch.setattr("integrity.changed.PATIENCE_MS", 50)
    other.begin("SELECT FROM integrity_sweep WHERE rule = %s FOR UPDATE", [mileage.label])
    report = analyze([mileage], changed=True)
    assert (report.exit_code, report.rules[0].error) == (
        3,
        "Another run is looking at players.mileage_adds_up. Wait until it has ended.",
    )


@pytest.mark.parametrize("verb", ["changed", "analyze"])
@pytest.mark.parametrize("step", ["taken", "looked", "recorded", "committed"])
def test_a_killed_check_loses_nothing(mileage, processes, step, verb):
    player = make_player(rides=[2], stored=3)
    process = processes.start("players", verb, at=step, act="die")
    assert process.result() == {}
    looked_at = 0 if step == "committed" else 1
    assert changed(mileage) == (looked_at, {player.pk})


AMOUNTS = [("players_player", "distance_total", "id"), ("players_hourlymetric", "distance_km", "player_id")]


def write_at_random(seed, players):
    """Transactions of two updates each, of which every fifth is taken back."""
    rng = random.Random(seed)
    with Other() as writer:
        for _ in range(40):
            # In one order: this is not about deadlocks.
            for player in sorted(rng.sample(players, 2)):
                table, column, key = rng.choice(AMOUNTS)
                update = f"UPDATE {table} SET {column} = greatest({column} + %s, 0) WHERE {key} = %s"
                writer.begin(update, [rng.choice([-1, 1]), player])
            if rng.random() < 0.2:
                writer.rollback()
            else:
                writer.commit()


def test_random_writers_and_checks_end_at_the_truth(mileage):
    players = [make_player(rides=[5]).pk for _ in range(6)]
    analyze([mileage])
    stop = threading.Event()

    def check():
        try:
            while not stop.is_set():
                changed(mileage)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write_at_random, args=[seed, players]) for seed in range(3)]
    checker = threading.Thread(target=check)
    for thread in (*writers, checker):
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    checker.join(20)
    changed(mileage)
    before = open_keys()
    report = analyze([mileage]).rules[0]
    assert (report.error, report.unnoticed) == ("", 0)
    assert open_keys() == before
