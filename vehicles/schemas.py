"""What the API takes and gives. Strict: nothing is guessed, nothing is ignored."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Field, Schema
from pydantic import BeforeValidator, ConfigDict, WithJsonSchema

from config.fields import INT8, PageIn, Text, whole, with_offset
from vehicles.models import FIRST_TIME, LAST_TIME
from vehicles.readings import MAX_MILES

MAX_COST = Decimal("99999999.99")
LONGEST_NOTES, LONGEST_REASON = 2000, 500


def _moment(value: Any) -> datetime:
    found = with_offset(value, "2026-03-01T12:00:00Z")
    if not FIRST_TIME <= found < LAST_TIME:
        raise ValueError(f"Give a time from {FIRST_TIME:%Y} on and before {LAST_TIME:%Y}.")
    return found


def _reference(value: Any) -> Any:
    try:
        return UUID(value) if isinstance(value, str) else whole(value)
    except ValueError as error:
        raise ValueError("Give a number or a uuid.") from error


def _cost(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("Give a number, or the same as text.")  # noqa: TRY004  (pydantic reads ValueError alone)
    try:
        cost = Decimal(str(value))
        fits = 0 <= cost <= MAX_COST and cost == cost.quantize(Decimal("0.01"))
    except InvalidOperation:
        fits = False
    if not fits:
        raise ValueError(f"Give a cost from 0 to {MAX_COST} with at most 2 places.")
    return cost


Miles = Annotated[int, Field(ge=0, le=MAX_MILES), BeforeValidator(whole)]
Reference = Annotated[int, Field(ge=1, le=INT8)] | UUID
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Cost = Annotated[
    Decimal,
    BeforeValidator(_cost),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": float(MAX_COST), "multipleOf": 0.01},
                {"type": "string", "pattern": r"^[0-9]{1,8}(\.[0-9]{1,2})?$"},
            ]
        }
    ),
]
ReferenceIn = Annotated[Reference, BeforeValidator(_reference)]
EventType = Literal["odometer", "odometer_replacement", "fuel", "maintenance", "inspection", "document", "reminder"]
Reason = Annotated[Text, Field(max_length=LONGEST_REASON)]
UNSET: Any = Field(default_factory=lambda: None)
"""A member that may be left out; what is left out stays as it is."""


class Body(Schema):
    """What is sent: each member of its own type, and no other member."""

    model_config = ConfigDict(strict=True, extra="forbid")


# Mileage


class EventBehindOut(Schema):
    """The event that a mileage comes from."""

    id: int
    uuid: UUID
    type: str
    occurred_at: datetime


class OverrideBehindOut(Schema):
    """Who said a mileage, why and when."""

    reason: str
    author: str
    at: datetime


class MetadataOut(Schema):
    """Where a mileage comes from."""

    description: str
    vehicle_id: int
    vehicle_uuid: UUID
    initial_mileage: int | None
    event: EventBehindOut | None
    override: OverrideBehindOut | None


class VehicleMileageOut(Schema):
    """A vehicle's mileage."""

    current_mileage: int
    override: int | None
    source: Literal["override", "event", "manual", "none"]
    last_updated_at: datetime | None = Field(description="When the mileage or its source last changed.")
    is_override_active: bool
    metadata: MetadataOut


class OverrideIn(Body):
    """What a person says instead of the log."""

    mileage: Miles = Field(description="Whole miles, from now on.")
    reason: Reason | None = Field(None, description="Why, for the audit.")


class OverrideOut(Schema):
    """The mileage after an override was set or taken away."""

    success: bool
    current_mileage: int
    source: str
    message: str


# Events


class EventIn(Body):
    """An entry of the log; with miles it is a reading of the odometer."""

    type: EventType = Field("odometer", description="What it is about.")
    occurred_at: Moment = Field(description="When it happened, with its offset; not when it is entered.")
    miles: Miles | None = Field(None, description="What the odometer read. Of a replacement: the new one, at first.")
    replaced_miles: Miles | None = Field(None, description="What the old odometer read at last, of a replacement.")
    cost: Cost | None = Field(None, description="What it cost, with at most two places.")
    notes: Text = Field("", max_length=LONGEST_NOTES, description="Whatever is worth to be known.")
    source: Text = Field("api", min_length=1, max_length=50, description="Where it comes from.")


class EventChangeIn(Body):
    """What changes in an entry; what is left out stays."""

    type: EventType = UNSET
    occurred_at: Moment = UNSET
    miles: Miles | None = UNSET
    replaced_miles: Miles | None = UNSET
    cost: Cost | None = UNSET
    notes: Annotated[Text, Field(max_length=LONGEST_NOTES)] = UNSET
    source: Annotated[Text, Field(min_length=1, max_length=50)] = UNSET
    vehicle_id: Annotated[ReferenceIn, Field(description="The vehicle that it moves to.")] = UNSET
    reason: Reason = Field(default_factory=str, description="Why, for the audit.")


class EventOut(Schema):
    """An entry of the log."""

    id: int
    uuid: UUID
    vehicle_id: int
    type: str
    occurred_at: datetime
    miles: int | None
    replaced_miles: int | None
    cost: Decimal | None
    notes: str
    source: str
    deleted_at: datetime | None
    created_at: datetime


class WhyIn(Schema):
    """The reason, for the audit."""

    reason: Reason = Field("", description="Why, for the audit.")


class DeleteIn(WhyIn):
    """How to delete."""

    for_good: bool = Field(default=False, description="Remove the row; else it stays and can be restored.")


class EventsIn(PageIn):
    """Which part of a log."""

    deleted: bool = Field(default=False, description="Deleted entries too.")


class EventsOut(Schema):
    """A part of a log, the latest first."""

    events: list[EventOut]
    next_offset: int | None = Field(description="Where the next page begins; null on the last one.")


class VehicleOut(Schema):
    """A vehicle."""

    id: int
    uuid: UUID
    name: str
    make: str
    model: str
    year: int | None
    vin: str
    current_mileage: int
    mileage_computed_from: str


class VehiclesOut(Schema):
    """A part of the fleet, by id."""

    vehicles: list[VehicleOut]
    next_offset: int | None


# History


class HistoryIn(Schema):
    """In which form."""

    format: Literal["json", "csv"] = Field("json", description="`csv`: the readings alone, for a spreadsheet.")


class ReadingOut(Schema):
    """A reading, with the distance driven since the first one, whatever odometers there were."""

    event_id: int
    occurred_at: datetime
    miles: int
    distance: int
    odometer: int
    type: str
    source: str


class MonthOut(Schema):
    """Miles of a month."""

    month: str
    miles: float


class ChangeOut(Schema):
    """A change of the current mileage."""

    old: int
    new: int
    source: str
    event_id: int | None
    at: datetime
    who: str


class OverrideChangeOut(Schema):
    """An override that was set or, without mileage, taken away."""

    mileage: int | None
    previous: int | None
    reason: str
    author: str
    at: datetime


class CorrectionOut(Schema):
    """A reading that was changed after its entry."""

    event_id: int
    old: int | None
    new: int | None
    reason: str
    who: str
    at: datetime


class HistoryOut(Schema):
    """Everything known of a vehicle's mileage, oldest first."""

    vehicle_id: int
    vehicle_uuid: UUID
    current_mileage: int
    distance: int
    readings: list[ReadingOut]
    months: list[MonthOut]
    changes: list[ChangeOut]
    overrides: list[OverrideChangeOut]
    corrections: list[CorrectionOut]


# Anomalies and reminders


class SuspectOut(Schema):
    """A reading, or without an event the override, that a person should look at."""

    rule: str
    vehicle_id: int = Field(alias="vehicle")
    event_id: int | None = Field(alias="event")
    occurred_at: datetime | None
    miles: int
    suggested: int | None = Field(description="What was most likely meant.")
    why: str


class SuspectsOut(Schema):
    """The anomalies of a vehicle."""

    anomalies: list[SuspectOut]


class AcceptIn(Body):
    """That a reading, or without one the override, is right although it looks wrong."""

    event_id: ReferenceIn | None = Field(None, description="The reading. Left out: the override.")
    reason: Annotated[Reason, Field(min_length=1)] = Field(description="Why it is right, for the record.")
    until: Moment | None = Field(None, description="When the acceptance expires. Left out: never.")


class AcceptedOut(Schema):
    """The rules under which it is accepted."""

    success: bool
    rules: list[str]


class CorrectIn(Body):
    """What the odometer really read."""

    event_id: ReferenceIn = Field(description="The reading.")
    miles: Miles = Field(description="What it should have been.")
    reason: Annotated[Reason, Field(min_length=1)] = Field(description="Why, for the audit.")


class PredictionOut(Schema):
    """When a mileage is most likely reached, and between which days it is in 19 of 20 cases."""

    on: date
    earliest: date | None
    latest: date | None
    per_day: float = Field(description="Miles a day, as recently driven.")
    readings: int


class ReminderOut(Schema):
    """A service reminder as it is today."""

    id: int
    uuid: UUID
    vehicle_id: int
    vehicle: str
    title: str
    state: str
    due_miles: int | None
    due_on: date | None
    miles_left: int | None
    days_left: int | None
    prediction: PredictionOut | None


class RemindersIn(Schema):
    """Which reminders."""

    state: Literal["due", "soon", "all"] = Field(
        "soon", description="`due`: what is due; `soon`: that, and what soon will be; `all`: every open one."
    )
    vehicle: Annotated[int, Field(ge=1, le=INT8)] | None = Field(None, description="Only those of this vehicle.")


class RemindersOut(Schema):
    """Reminders, the most urgent first."""

    reminders: list[ReminderOut]
