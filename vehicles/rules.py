"""What must always be true about vehicles, and which readings a person should look at."""

from typing import Any

from django.db.models import Case, CharField, F, Q, Value, When
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import IsNull

from integrity import Always, Derived, Latest, Ordered, Recompute
from vehicles.conf import conf
from vehicles.kinds import Mistyped, StaleOverride
from vehicles.models import Vehicle, VehicleEvent
from vehicles.readings import ALONG, IS_READING, MAX_MILES, is_reading
from vehicles.triggers import pgid, record_updates

REPLACEMENT = VehicleEvent.Type.REPLACEMENT


def latest_reading() -> Latest:
    """The miles of the event that counts."""
    return Latest("events__miles", by=[f"events__{column}" for column in ALONG], filter=is_reading("events__"))


def given(value: str | Latest) -> IsNull:
    """That there is a value."""
    return IsNull(F(value) if isinstance(value, str) else value, False)  # noqa: FBT003  (Django's own argument)


# A replacement begins a series at the reading of the new odometer, which may be 0; an override says that the
# readings do not go on as before.
series: dict[str, Any] = {
    "along": ALONG,
    "within": "vehicle",
    "where": IS_READING | Q(type=REPLACEMENT, deleted_at__isnull=True),
    "at_most_per_day": conf().MAX_MILES_PER_DAY,
    "restarts": Q(type=REPLACEMENT),
    "interrupted_by": "vehicle__mileage_overrides__at",
}

readings_grow = Ordered(
    VehicleEvent,
    "miles",
    **series,
    name="readings_grow",
    because="An odometer only counts up, and no vehicle is driven faster than the roads allow.",
    severity="warning",
    tags=["mileage", "anomaly"],
)

rules = [
    Derived(
        Vehicle,
        equals={
            "current_mileage": Coalesce(F("current_mileage_override"), latest_reading(), F("initial_mileage"), 0),
            "mileage_computed_from": Case(
                When(given("current_mileage_override"), then=Value(Vehicle.Source.OVERRIDE)),
                When(given(latest_reading()), then=Value(Vehicle.Source.EVENT)),
                When(given("initial_mileage"), then=Value(Vehicle.Source.MANUAL)),
                default=Value(Vehicle.Source.NONE),
                output_field=CharField(),
            ),
        },
        stamps={"mileage_last_updated_at": Now()},
        name="current_mileage",
        because="A vehicle's mileage is its override, else its latest reading, else what it began with, else 0.",
        tags=["mileage"],
        enforce=True,
        # The audit takes a line of every change, a repair's too.
        repairs={"recompute": Recompute(allow_triggers=[pgid(record_updates, Vehicle)])},
    ),
    Always(
        Vehicle,
        Q(current_mileage__gte=0, current_mileage__lte=MAX_MILES),
        name="mileage_in_range",
        because="No odometer counts below 0 or beyond a million.",
        tags=["mileage"],
    ),
    Always(
        Vehicle,
        Q(current_mileage_override__gte=0, current_mileage_override__lte=MAX_MILES),
        name="override_in_range",
        because="A person may say no mileage that an odometer could not show.",
        tags=["mileage"],
    ),
    readings_grow,
    Mistyped(
        VehicleEvent,
        "miles",
        **series,
        name="readings_not_mistyped",
        because="A reading that fits its neighbours once a digit is moved, dropped or added was mistyped.",
        severity="warning",
        tags=["mileage", "anomaly"],
    ),
    StaleOverride(
        Vehicle,
        readings=readings_grow,
        name="override_is_current",
        because="Three newer readings that agree with each other say more than an override that they contradict.",
        severity="warning",
        tags=["mileage", "anomaly"],
    ),
]
