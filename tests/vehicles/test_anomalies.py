"""Readings and overrides that a person should look at: found, not found, suggested, accepted, corrected."""

from datetime import timedelta

import pytest
from django.utils import timezone

from integrity.engine import analyze
from integrity.models import Violation
from integrity.registry import registry
from integrity.repair import repair
from tests.vehicles.factories import make_event, make_vehicle, replace_odometer
from vehicles import anomalies
from vehicles.exceptions import Invalid, Unknown
from vehicles.models import MileageOverride, ReadingCorrection, Vehicle, VehicleEvent

pytestmark = pytest.mark.django_db


def found(name, **options):
    """What breaks a rule: miles (or override) -> what is suggested or expected."""
    report = analyze([registry.get(f"vehicles.{name}")], **options).rules[0]
    assert not report.error, report.error
    return {next(iter(f.actual.values())): next(iter(f.expected.values())) for f in report.sample}


def overridden(vehicle, mileage, at):
    """An override that was set at another time than now; the audit refuses to be changed, so it is made so."""
    vehicle.mileage_overrides.create(mileage=mileage, author="ann", via="test", at=at)


# Falls and jumps


def test_a_reading_below_an_earlier_one_is_found():
    make_vehicle([1000, 2000, 1500, 2500])
    assert found("readings_grow") == {1500: 2000}


def test_a_jump_above_the_maximum_of_a_day_is_found():
    make_vehicle([1000, 2600])
    assert found("readings_grow") == {2600: 2500}


def test_a_long_pause_allows_a_long_way():
    make_vehicle([1000, None, None, 5000])
    assert found("readings_grow") == {}


def test_a_new_odometer_begins_anew():
    vehicle = make_vehicle([90_000, 91_000])
    replace_odometer(vehicle, 2, 0)
    make_event(vehicle, 3, 300)
    assert found("readings_grow") == found("readings_not_mistyped") == {}


def test_readings_fall_on_a_new_odometer_as_well():
    vehicle = make_vehicle([90_000])
    replace_odometer(vehicle, 2, 10)
    make_event(vehicle, 3, 5)
    assert found("readings_grow") == {5: 10}


def test_an_override_between_two_readings_explains_a_fall():
    vehicle = make_vehicle([90_000, 90_100])
    make_event(vehicle, 4, 20_000)
    assert found("readings_grow") == {20_000: 90_100}
    overridden(vehicle, 20_000, make_event(vehicle, 3).occurred_at)
    assert found("readings_grow") == {}


def test_an_override_before_both_readings_explains_nothing():
    vehicle = make_vehicle([None, None, 90_000, 20_000])
    overridden(vehicle, 5, make_event(vehicle, 1).occurred_at)
    assert found("readings_grow") == {20_000: 90_000}


def test_the_override_of_another_vehicle_explains_nothing():
    make_vehicle([90_000, None, 20_000])
    other = make_vehicle()
    overridden(other, 5, make_event(other, 1).occurred_at)
    assert found("readings_grow") == {20_000: 90_000}


def test_a_reading_that_confirms_the_override_counts_again():
    vehicle = make_vehicle([1000, None, 1000, 900])
    overridden(vehicle, 5, make_event(vehicle, 1).occurred_at)
    assert found("readings_grow") == {900: 1000}


def test_deleted_and_empty_readings_say_nothing():
    vehicle = make_vehicle([2000, 0, None])
    make_event(vehicle, 3, 1000, deleted_at=timezone.now())
    assert found("readings_grow") == {}


def test_the_events_of_one_vehicle_are_judged_among_themselves():
    make_vehicle([9000])
    make_vehicle([None, 1000])
    assert found("readings_grow") == {}


# Slips of the finger


@pytest.mark.parametrize(
    ("readings", "typed", "meant", "why"),
    [
        ([50_000, 501_000, 50_200], 501_000, 50_100, "ten times too high"),
        ([50_000, 500_900, 50_200], 500_900, 50_090, "ten times too high"),
        ([50_000, 5010, 50_200], 5010, 50_100, "ten times too low"),
        ([50_000, 50_910, 50_200, 50_300], 50_910, 50_190, "two digits swapped"),
        ([50_000, 500_120, 50_200], 500_120, 50_012, "ten times too high"),
        ([50_000, 501_119, 50_200], 501_119, 50_111, "a digit too many"),
        ([48_000, 49_000, 50_000, 509_000], 509_000, 50_900, "ten times too high"),
        ([48_000, 49_000, 50_000, 15_000], 15_000, 51_000, "two digits swapped"),
        ([480_000, 48_100, 48_200, 48_300], 480_000, 48_000, "ten times too high"),
    ],
)
def test_a_slip_is_found_with_what_was_meant(readings, typed, meant, why):
    make_vehicle(readings)
    assert found("readings_not_mistyped") == {typed: meant}
    (violation,) = Violation.objects.filter(rule=anomalies.MISTYPED)
    assert (violation.evidence["suggested"], violation.evidence["why"]) == (meant, why)


@pytest.mark.parametrize(
    "readings",
    [
        [50_000, 50_100, 50_200],
        [50_000, 73_000, 50_200],
        [50_000, 50_000, 50_000],
        [50_000],
        [50_000, 501_000],
        [],
    ],
)
def test_what_no_slip_explains_is_none(readings):
    make_vehicle(readings)
    assert found("readings_not_mistyped") == {}


def test_a_copied_reading_confirms_no_slip():
    make_vehicle([50_000, 501_000, 501_000, 50_200])
    assert found("readings_not_mistyped") == {501_000: 50_100}


def test_a_copied_reading_hides_no_slip():
    make_vehicle([50_000, 50_000, 501_000, 50_200, 50_200])
    assert found("readings_not_mistyped") == {501_000: 50_100}


def test_what_is_scoped_is_judged_by_its_neighbours():
    vehicle = make_vehicle([50_000, 501_000, 50_200])
    make_vehicle([50_000, 501_000, 50_200])
    typed = vehicle.events.get(miles=501_000).pk
    assert found("readings_not_mistyped", keys=[(typed,)]) == {501_000: 50_100}
    assert found("readings_not_mistyped", keys=[(vehicle.events.get(miles=50_200).pk,)]) == {}


# Overrides that time has overtaken


def make_overridden(override, readings, before=()):
    """A vehicle with readings before the override, which is set now, and on the days after it."""
    vehicle, now = make_vehicle(before), timezone.now()
    vehicle.current_mileage_override = override
    vehicle.save(update_fields=["current_mileage_override"])
    for passed, miles in enumerate(readings, start=1):
        VehicleEvent.objects.create(vehicle=vehicle, occurred_at=now + timedelta(days=passed), miles=miles)
    return vehicle


def test_an_override_against_three_newer_readings_is_stale():
    make_overridden(50_000, [77_000, 77_100, 77_200])
    assert found("override_is_current") == {50_000: 77_200}
    assert Violation.objects.get().evidence["readings"] == [77_200, 77_100, 77_000]


@pytest.mark.parametrize(
    "readings",
    [
        [77_000, 77_100],
        [77_000, 77_100, 77_100, 77_100],
        [77_000, 76_000, 77_100],
        [77_000, 90_000, 90_100],
        [49_800, 49_900, 50_000],
        [],
    ],
)
def test_less_than_three_that_agree_and_differ_is_not_enough(readings):
    make_overridden(50_000, readings)
    assert found("override_is_current") == {}


def test_older_readings_say_nothing_against_an_override():
    make_overridden(50_000, [77_300], before=[77_000, 77_100, 77_200])
    assert found("override_is_current") == {}


def test_without_an_override_nothing_is_stale():
    vehicle = make_overridden(50_000, [77_000, 77_100, 77_200])
    Vehicle.objects.filter(pk=vehicle.pk).update(current_mileage_override=None)
    assert found("override_is_current") == {}


def test_of_several_vehicles_the_stale_one_is_found():
    stale = make_overridden(50_000, [77_000, 77_100, 77_200])
    make_overridden(60_000, [60_100])
    make_vehicle([1, 2, 3])
    assert found("override_is_current", keys=[(stale.pk,)]) == {50_000: 77_200}
    assert found("override_is_current") == {50_000: 77_200}


def test_an_override_that_nobody_recorded_is_older_than_every_reading():
    vehicle = make_overridden(50_000, [77_000, 77_100, 77_200])
    MileageOverride.objects.filter(pk__in=[])
    assert found("override_is_current", keys=[(vehicle.pk,)]) == {50_000: 77_200}


# What a person does


def test_nothing_is_corrected_by_itself():
    make_vehicle([50_000, 501_000, 50_200])
    anomalies.check_anomalies()
    assert list(VehicleEvent.objects.order_by("id").values_list("miles", flat=True)) == [50_000, 501_000, 50_200]
    assert all(not rule.repairs for rule in anomalies.rules())


def test_an_accepted_anomaly_is_not_counted_until_it_expires():
    vehicle = make_vehicle([2000, 1000])
    event = vehicle.events.get(miles=1000)
    anomalies.accept(vehicle.pk, event.pk, by="ann", because="kilometres", until=timezone.now() + timedelta(days=1))
    assert anomalies.check_anomalies().status == "clean"
    Violation.objects.update(accepted_until=timezone.now() - timedelta(days=1))
    assert anomalies.check_anomalies().status == "violated"


def test_a_mistyped_reading_is_accepted_under_every_rule_that_it_breaks():
    vehicle = make_vehicle([50_000, 501_000, 50_200])
    event = vehicle.events.get(miles=501_000)
    accepted = anomalies.accept(vehicle.pk, event.pk, by="ann", because="towed by plane")
    assert {violation.rule for violation in accepted} == {anomalies.GROW, anomalies.MISTYPED}


def test_an_override_is_accepted_as_well():
    vehicle = make_overridden(50_000, [77_000, 77_100, 77_200])
    anomalies.accept(vehicle.pk, None, by="ann", because="the cluster was swapped and is off")
    assert anomalies.suspects(vehicle.pk) == []


def test_a_correction_keeps_the_wrong_reading_with_the_reason():
    vehicle = make_vehicle([50_000, 501_000])
    event = vehicle.events.get(miles=501_000)
    anomalies.correct(vehicle.pk, event.pk, 50_100, by="ann", reason="a digit too many")
    correction = ReadingCorrection.objects.get()
    assert (correction.old, correction.new, correction.who, correction.reason) == (
        501_000,
        50_100,
        "ann",
        "a digit too many",
    )
    assert Vehicle.objects.get().current_mileage == 50_100
    assert not Violation.objects.filter(status="open").exists()


def test_a_correction_needs_a_reason():
    vehicle = make_vehicle([50_000])
    with pytest.raises(Invalid, match="Say why"):
        anomalies.correct(vehicle.pk, vehicle.events.get().pk, 5, by="ann", reason="  ")


def test_what_was_deleted_meanwhile_is_said():
    make_vehicle([2000, 1000])
    anomalies.check_anomalies()
    VehicleEvent.objects.all().delete()
    with pytest.raises(Unknown, match=r"The reading .* has been deleted"):
        anomalies.subject_of(Violation.objects.get())


# Do no harm


def test_a_repair_of_mileage_does_not_look_at_readings(django_assert_max_num_queries):
    rule = registry.get(anomalies.GROW)
    assert Vehicle not in rule.reads()
    assert rule.reads() == {VehicleEvent, MileageOverride}


def test_a_backfill_with_anomalies_around_goes_through():
    make_vehicle([50_000, 501_000, 50_200])
    assert repair([(registry.get("vehicles.current_mileage"), None)]).status == "clean"
