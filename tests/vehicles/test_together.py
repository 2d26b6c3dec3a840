"""Writers at the same time, with real commits: the mileage is true whenever nobody writes, and nobody is a victim."""

import threading
from random import Random

import psycopg
import pytest

from integrity.engine import analyze
from integrity.registry import registry
from tests.integrity.others import Other
from tests.players.bank import deadlocks
from tests.vehicles.factories import day, make_vehicle
from vehicles.models import MileageChange, Vehicle, VehicleEvent

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO vehicles_vehicleevent (vehicle_id, occurred_at, miles) VALUES (%s, %s, %s)"
WRITERS, ROUNDS = 4, 10


def mileage(vehicle):
    return Vehicle.objects.get(pk=vehicle.pk).current_mileage


@pytest.mark.parametrize("older_first", [True, False])
@pytest.mark.parametrize("undone", [True, False])
def test_of_two_writers_the_later_reading_counts_whoever_commits_last(older_first, undone):
    vehicle = make_vehicle()
    readings = [(day(1), 100), (day(2), 200)]
    first, second = readings if older_first else reversed(readings)
    with Other() as one, Other() as other:
        one.begin(INSERT, [vehicle.pk, *first])
        waiting = threading.Thread(target=other.begin, args=[INSERT, [vehicle.pk, *second]])
        waiting.start()
        other.await_wait()
        one.rollback() if undone else one.commit()
        waiting.join()
        other.commit()
    assert mileage(vehicle) == (second[1] if undone else 200)


def test_writers_of_other_vehicles_do_not_wait():
    first, second = make_vehicle(), make_vehicle()
    with Other() as one, Other() as other:
        one.begin(INSERT, [first.pk, day(1), 100])
        other.commits(INSERT, [second.pk, day(1), 100])
        one.commit()
    assert (mileage(first), mileage(second)) == (100, 100)


def test_an_immediate_foreign_key_closes_no_circle():
    """Its check holds the parent FOR KEY SHARE, which both have before either locks it."""
    vehicle = make_vehicle()
    before = deadlocks()
    with Other() as one, Other() as other:
        for user in (one, other):
            user.begin("SET CONSTRAINTS ALL IMMEDIATE")
            user.begin("SELECT FROM vehicles_vehicle WHERE id = %s FOR KEY SHARE", [vehicle.pk])
        one.begin(INSERT, [vehicle.pk, day(1), 100])
        waiting = threading.Thread(target=other.begin, args=[INSERT, [vehicle.pk, day(2), 200]])
        waiting.start()
        other.await_wait()
        one.commit()
        waiting.join()
        other.commit()
    assert (mileage(vehicle), deadlocks()) == (200, before)


ANY_OF = "(SELECT id FROM vehicles_vehicleevent WHERE vehicle_id = %s ORDER BY random() LIMIT 1)"
MOVE = f"UPDATE vehicles_vehicleevent SET vehicle_id = %s WHERE id = {ANY_OF}"


class Strangers(threading.Thread):
    """One statement a transaction, which holds nothing before."""

    most = 1

    def __init__(self, seed, vehicles, count):
        super().__init__()
        self.random, self.vehicles, self.count, self.error = Random(seed), vehicles, count, None

    def run(self):
        try:
            with Other() as self.user:
                for number in range(self.count):
                    if number % 2:
                        self.user.begin("SET CONSTRAINTS ALL IMMEDIATE")
                    several = self.random.choices(self.vehicles, k=self.random.randint(1, self.most))
                    for vehicle in sorted(several):
                        self.write(vehicle)
                    self.user.rollback() if self.random.random() < 0.15 else self.user.commit()
        except psycopg.Error as error:
            self.error = error

    def write(self, vehicle):
        passed, miles = day(self.random.randrange(100)), self.random.choice([None, 0, *range(1, 1000, 50)])
        match self.random.randrange(8):
            case 0 | 1 | 2:
                self.user.begin(INSERT, [vehicle, passed, miles])
            case 3:
                change = f"UPDATE vehicles_vehicleevent SET miles = %s, occurred_at = %s WHERE id = {ANY_OF}"
                self.user.begin(change, [miles, passed, vehicle])
            case 4:
                self.user.begin(f"DELETE FROM vehicles_vehicleevent WHERE id = {ANY_OF}", [vehicle])
            case 5:
                toggled = "CASE WHEN deleted_at IS NULL THEN now() END"
                self.user.begin(
                    f"UPDATE vehicles_vehicleevent SET deleted_at = {toggled} WHERE id = {ANY_OF}", [vehicle]
                )
            case 6:
                self.move(vehicle, self.random.choice(self.vehicles))
            case 7:
                override = self.random.choice([None, None, miles])
                self.user.begin(
                    "UPDATE vehicles_vehicle SET current_mileage_override = %s WHERE id = %s", [override, vehicle]
                )

    def move(self, vehicle, to):
        self.user.begin(MOVE, [to, vehicle])


class Verbs(Strangers):
    """Up to three statements a transaction; a vehicle is held before its events, in the order of the vehicles."""

    most = 3

    def write(self, vehicle):
        self.hold(vehicle)
        super().write(vehicle)

    def move(self, vehicle, to):
        self.user.commit()
        self.hold(vehicle, to)
        self.user.begin(MOVE, [to, vehicle])
        self.user.commit()

    def hold(self, *vehicles):
        self.user.begin(
            "SELECT FROM vehicles_vehicle WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(vehicles)]
        )


def interleave(kind, seed, transactions, vehicles=5):
    """The formula at every quiet point; the audit's last line says the same; no deadlock."""
    keys = [make_vehicle().pk for _ in range(vehicles)]
    before = deadlocks()
    for quiet in range(ROUNDS):
        count = transactions // WRITERS // ROUNDS
        writers = [kind(f"{seed}:{quiet}:{number}", keys, count) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.error for writer in writers if writer.error] == []
        assert analyze([registry.get("vehicles.current_mileage")]).status == "clean"
        for vehicle in Vehicle.objects.exclude(mileage_last_updated_at=None):
            last = MileageChange.objects.filter(vehicle=vehicle).order_by("-id").first()
            assert (last.new if last else 0) == vehicle.current_mileage
    assert VehicleEvent.objects.exists()
    assert deadlocks() == before


@pytest.mark.parametrize("kind", [Strangers, Verbs])
def test_random_writers_leave_the_mileage_true(kind):
    interleave(kind, seed=1, transactions=200)


@pytest.mark.soak
@pytest.mark.parametrize("kind", [Strangers, Verbs])
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_random_transactions_leave_the_mileage_true(kind, seed):
    interleave(kind, seed, transactions=1000)
