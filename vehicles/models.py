"""Vehicles, the log that their mileage is derived from, and who changed what.

`VehicleEvent` is the truth, `Vehicle.current_mileage` follows it unless a person overrides it. Miles are whole numbers
from 0 to MAX_MILES. What was logged or decided is kept: foreign keys are PROTECT, events are deleted softly or one by
one, and the two audits only grow. Every column that a writer may leave out has a default in the database as well, so
that raw SQL and COPY write the same rows as Django does.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, Upper
from django.utils import timezone

from integrity.models import Violation
from vehicles.readings import IS_READING, MAX_MILES
from vehicles.triggers import append_only, record_corrections, record_inserts, record_updates

FIRST_TIME, LAST_TIME = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def public_id() -> "models.UUIDField[Any, Any]":
    """The number under which a row is known outside."""
    return models.UUIDField(default=uuid.uuid4, db_default=RandomUUID(), unique=True, editable=False)


def in_range(field: str, name: str) -> models.CheckConstraint:
    """CHECK that `field`, where it has a value, lies between 0 and MAX_MILES."""
    return models.CheckConstraint(
        condition=Q(**{f"{field}__gte": 0, f"{field}__lte": MAX_MILES}),
        name=name,
        violation_error_message=f"Enter whole miles from 0 to {MAX_MILES} in {field}.",
    )


DERIVED = {"current_mileage", "mileage_computed_from", "mileage_last_updated_at"}


class Vehicle(models.Model):
    """A car, a van, a tractor: whatever has an odometer."""

    class Source(models.TextChoices):
        OVERRIDE = "override", "an override"
        EVENT = "event", "the latest event"
        MANUAL = "manual", "the initial mileage"
        NONE = "none", "nothing"

    uuid = public_id()
    name = models.CharField(max_length=200)
    make = models.CharField(max_length=100, blank=True, default="", db_default="")
    model = models.CharField(max_length=100, blank=True, default="", db_default="")
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    vin = models.CharField("VIN", max_length=17, blank=True, default="", db_default="", help_text="Unique when given.")
    initial_mileage = models.IntegerField(
        null=True, blank=True, help_text="Miles when the log began; it counts until there is a reading."
    )
    current_mileage = models.IntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Derived: override, else latest reading, else initial, else 0.",
    )
    current_mileage_override = models.IntegerField(
        null=True, blank=True, help_text="What a person says instead of the log. Empty: the log counts."
    )
    mileage_computed_from = models.CharField(
        max_length=10, choices=Source, default=Source.NONE, db_default=Source.NONE, editable=False
    )
    mileage_last_updated_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the mileage or its source last changed."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Upper("vin"),
                condition=~Q(vin=""),
                name="vehicle_vin_is_unique",
                violation_error_message="Another vehicle has this VIN.",
            ),
            in_range("initial_mileage", "vehicle_initial_mileage_in_range"),
            in_range("current_mileage", "vehicle_current_mileage_in_range"),
            in_range("current_mileage_override", "vehicle_override_in_range"),
        ]
        triggers = [record_inserts, record_updates]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        """Without the derived columns of a row that exists: what was read a while ago may be outdated.

        The database would put them right at once, and the audit would show miles that were never driven.
        """
        if not self._state.adding and options.get("update_fields") is None and not options.get("force_insert"):
            fields = {field.name for field in self._meta.local_concrete_fields if not field.primary_key}
            options["update_fields"] = fields - DERIVED
        super().save(*args, **options)

    @property
    def is_overridden(self) -> bool:
        """True while a person's word counts instead of the log."""
        return self.current_mileage_override is not None


class VehicleEvent(models.Model):
    """Something that was noted about a vehicle; with miles it is a reading of the odometer."""

    class Type(models.TextChoices):
        ODOMETER = "odometer", "odometer reading"
        REPLACEMENT = "odometer_replacement", "odometer replacement"
        FUEL = "fuel"
        MAINTENANCE = "maintenance"
        INSPECTION = "inspection"
        DOCUMENT = "document"
        REMINDER = "reminder"

    uuid = public_id()
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="events", db_index=False)
    type = models.CharField(max_length=20, choices=Type, default=Type.ODOMETER, db_default=Type.ODOMETER)
    occurred_at = models.DateTimeField(help_text="When it happened, not when it was entered.")
    miles = models.IntegerField(
        null=True, blank=True, help_text="What the odometer read. Of a replacement: what the new one read at first."
    )
    replaced_miles = models.IntegerField(
        null=True, blank=True, help_text="Of a replacement: what the old odometer read at last."
    )
    cost = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    notes = models.TextField(blank=True, default="", db_default="")
    source = models.CharField(max_length=50, default="manual", db_default="manual", help_text="Where it came from.")
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="Deleted events stay and say nothing.")
    created_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    class Meta:
        constraints = [
            in_range("miles", "vehicle_event_miles_in_range"),
            in_range("replaced_miles", "vehicle_event_replaced_miles_in_range"),
            models.CheckConstraint(
                # PostgreSQL knows times, infinity among them, that Python cannot read.
                condition=Q(occurred_at__gte=FIRST_TIME, occurred_at__lt=LAST_TIME),
                name="vehicle_event_time_in_range",
                violation_error_message=f"Enter a time from {FIRST_TIME:%Y} to {LAST_TIME:%Y}.",
            ),
            models.CheckConstraint(
                condition=Q(cost__gte=0),
                name="vehicle_event_cost_not_negative",
                violation_error_message="Enter a cost from 0 on.",
            ),
            models.CheckConstraint(
                condition=~Q(type="odometer_replacement") | Q(miles__isnull=False),
                name="vehicle_event_replacement_has_miles",
                violation_error_message="Enter in miles what the new odometer reads.",
            ),
            models.CheckConstraint(
                condition=Q(replaced_miles__isnull=True) | Q(type="odometer_replacement"),
                name="vehicle_event_replaced_miles_of_replacement",
                violation_error_message="Only an odometer replacement has replaced_miles.",
            ),
        ]
        indexes = [
            # The latest reading of a vehicle is the first entry; the value comes along without a visit to the table.
            models.Index(
                fields=["vehicle", "-occurred_at", "-created_at", "-id"],
                include=["miles"],
                condition=IS_READING,
                name="vehicle_event_readings",
            ),
            # The log of a vehicle, readings or not.
            models.Index(fields=["vehicle", "-occurred_at", "-id"], name="vehicle_event_log"),
        ]
        triggers = [record_corrections]

    def __str__(self) -> str:
        miles = "" if self.miles is None else f", {self.miles} miles"
        return f"{self.get_type_display()} of vehicle {self.vehicle_id} at {self.occurred_at:%Y-%m-%d %H:%M}{miles}"


class MileageOverride(models.Model):
    """That a person set an override or took it away; written by the database, and never changed."""

    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="mileage_overrides", db_index=False)
    mileage = models.IntegerField(null=True, help_text="The override from then on; empty where it was cleared.")
    previous = models.IntegerField(null=True, help_text="The override until then.")
    reason = models.TextField(blank=True)
    author = models.CharField(max_length=200)
    via = models.CharField(max_length=200, help_text="The database user and the program that wrote it.")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["vehicle", "-at"], name="mileage_override_of_vehicle")]
        triggers = [append_only]

    def __str__(self) -> str:
        what = "cleared" if self.mileage is None else f"set to {self.mileage}"
        return f"override of vehicle {self.vehicle_id} {what} by {self.author}"


class MileageChange(models.Model):
    """That a vehicle's current mileage changed; written by the database, whoever the writer is, and never changed."""

    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="mileage_changes", db_index=False)
    old = models.IntegerField()
    new = models.IntegerField()
    source = models.CharField(max_length=10, choices=Vehicle.Source)
    # No constraint: the audit outlives the event.
    event = models.ForeignKey(
        VehicleEvent, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    at = models.DateTimeField()
    who = models.CharField(max_length=200)
    via = models.CharField(max_length=200, help_text="The database user and the program that wrote it.")

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["vehicle", "-at"], name="mileage_change_of_vehicle")]
        triggers = [append_only]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id}: {self.old} to {self.new} by {self.source}"


class ReadingCorrection(models.Model):
    """That the miles of an event were changed after it was entered; written by the database, and never changed."""

    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="reading_corrections", db_index=False)
    # No constraint: the audit outlives the event.
    event = models.ForeignKey(
        VehicleEvent, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="corrections"
    )
    old = models.IntegerField(null=True)
    new = models.IntegerField(null=True)
    reason = models.TextField(blank=True)
    at = models.DateTimeField()
    who = models.CharField(max_length=200)
    via = models.CharField(max_length=200, help_text="The database user and the program that wrote it.")

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["vehicle", "-at"], name="reading_correction_of_vehicle")]
        triggers = [append_only]

    def __str__(self) -> str:
        return f"reading {self.event_id}: {self.old} to {self.new} by {self.who}"


class Anomaly(Violation):
    """A reading or an override that a person should look at: what the engine has stored of the rules of this app."""

    class Meta:
        proxy = True
        verbose_name_plural = "anomalies"

    def __str__(self) -> str:
        return f"anomaly {self.pk}"


class ServiceReminder(models.Model):
    """What is to be done at a mileage or on a day, whichever comes first."""

    class State(models.TextChoices):
        UPCOMING = "upcoming"
        SOON = "soon"
        DUE = "due"

    uuid = public_id()
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, related_name="reminders")
    title = models.CharField(max_length=200)
    due_miles = models.IntegerField(null=True, blank=True)
    due_on = models.DateField(null=True, blank=True)
    soon_miles = models.PositiveIntegerField(default=500, db_default=500, help_text="Soon from so many miles before.")
    soon_days = models.PositiveIntegerField(default=14, db_default=14, help_text="Soon from so many days before.")
    email = models.EmailField(blank=True, default="", db_default="", help_text="Who is written to; empty for nobody.")
    told = models.CharField(
        max_length=10, choices=State, default=State.UPCOMING, db_default=State.UPCOMING, editable=False
    )
    told_at = models.DateTimeField(null=True, blank=True, editable=False)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            in_range("due_miles", "service_reminder_miles_in_range"),
            models.CheckConstraint(
                condition=Q(due_miles__isnull=False) | Q(due_on__isnull=False),
                name="service_reminder_is_due_some_time",
                violation_error_message="Say when it is due: at a mileage, on a day, or both.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} of vehicle {self.vehicle_id}"
