"""The web service: mileage, log, history, anomalies and reminders. Each view calls one verb.

Who asks is settled where the router is mounted; `request.auth` is the name that the audit gets.
"""

from dataclasses import asdict
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router, Status

from config.fields import PageIn
from config.problems import WAIT, refusals
from vehicles import anomalies, events, history, mileage, overrides, reminders
from vehicles.finding import find_event, find_vehicle
from vehicles.models import Vehicle, VehicleEvent
from vehicles.schemas import (
    AcceptedOut,
    AcceptIn,
    CorrectIn,
    DeleteIn,
    EventChangeIn,
    EventIn,
    EventOut,
    EventsIn,
    EventsOut,
    HistoryIn,
    HistoryOut,
    OverrideIn,
    OverrideOut,
    Reference,
    RemindersIn,
    RemindersOut,
    SuspectsOut,
    VehicleMileageOut,
    VehiclesOut,
    WhyIn,
)

router = Router(tags=["vehicles"])

REFUSED = refusals(401, 403, 404)
REFUSED_BODY = refusals(400, 401, 403, 404, 413, 415)
Id = Annotated[Reference, Path(description="The number or the uuid of the vehicle.")]
EventId = Annotated[Reference, Path(description="The number or the uuid of the event.")]
CSV = {"text/csv": {"schema": {"type": "string"}}}


def _by(request: HttpRequest) -> str:
    return str(request.auth)  # type: ignore[attr-defined]


@router.get("", response={200: VehiclesOut} | REFUSED, summary="The fleet", openapi_extra=WAIT)
def list_vehicles(request: HttpRequest, page: Query[PageIn]) -> dict[str, Any]:
    """All vehicles, by id."""
    rows = list(Vehicle.objects.order_by("pk")[page.offset : page.offset + page.limit + 1])
    return {"vehicles": rows[: page.limit], "next_offset": page.next_after(len(rows))}


# Mileage


@router.get(
    "/{id}/mileage", response={200: VehicleMileageOut} | REFUSED, summary="The current mileage", openapi_extra=WAIT
)
def show_mileage(request: HttpRequest, id: Id) -> dict[str, Any]:
    """The mileage, where it comes from, and since when."""
    return mileage.mileage_of(id)


@router.post(
    "/{id}/mileage", response={200: OverrideOut} | REFUSED_BODY, summary="Override the mileage", openapi_extra=WAIT
)
def set_override(request: HttpRequest, id: Id, body: OverrideIn) -> dict[str, Any]:
    """From now on the log does not count, until the override is removed."""
    vehicle = overrides.set_override(id, body.mileage, by=_by(request), reason=body.reason or "")
    return _overridden(vehicle, f"The mileage is {vehicle.current_mileage} by override; the log does not move it.")


@router.delete(
    "/{id}/mileage", response={200: OverrideOut} | REFUSED, summary="Remove the override", openapi_extra=WAIT
)
def clear_override(request: HttpRequest, id: Id, query: Query[WhyIn]) -> dict[str, Any]:
    """The log counts again, at once."""
    vehicle = overrides.clear_override(id, by=_by(request), reason=query.reason)
    return _overridden(vehicle, f"No override: the mileage is {vehicle.current_mileage}, computed anew.")


def _overridden(vehicle: Vehicle, message: str) -> dict[str, Any]:
    return {
        "success": True,
        "current_mileage": vehicle.current_mileage,
        "source": vehicle.mileage_computed_from,
        "message": message,
    }


@router.get(
    "/{id}/mileage/history",
    response={200: HistoryOut} | REFUSED,
    summary="The history of the mileage",
    openapi_extra={"responses": WAIT["responses"] | {200: {"content": CSV}}},
)
def show_history(request: HttpRequest, id: Id, query: Query[HistoryIn]) -> Any:
    """Readings with the distance driven, miles per month, and who changed what; the readings alone as CSV."""
    found = history.history(id)
    if query.format == "json":
        return history.as_json(found)
    response = HttpResponse(history.as_csv(found), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="mileage-{found.vehicle.pk}.csv"'
    return response


# Events


@router.get("/{id}/events", response={200: EventsOut} | REFUSED, summary="The log", openapi_extra=WAIT)
def list_events(request: HttpRequest, id: Id, page: Query[EventsIn]) -> dict[str, Any]:
    """Entries of the log, the latest first."""
    rows = VehicleEvent.objects.filter(vehicle=find_vehicle(id)).order_by("-occurred_at", "-id")
    if not page.deleted:
        rows = rows.filter(deleted_at=None)
    found = list(rows[page.offset : page.offset + page.limit + 1])
    return {"events": found[: page.limit], "next_offset": page.next_after(len(found))}


@router.post("/{id}/events", response={201: EventOut} | REFUSED_BODY, summary="Enter an event", openapi_extra=WAIT)
def create_event(request: HttpRequest, id: Id, body: EventIn) -> Status[VehicleEvent]:
    """A new entry; the mileage follows it."""
    return Status(201, events.create_event(id, by=_by(request), **body.dict()))


@router.get("/{id}/events/{event_id}", response={200: EventOut} | REFUSED, summary="One event", openapi_extra=WAIT)
def show_event(request: HttpRequest, id: Id, event_id: EventId) -> VehicleEvent:
    """One entry, a deleted one too."""
    return find_event(find_vehicle(id), event_id)


@router.patch(
    "/{id}/events/{event_id}", response={200: EventOut} | REFUSED_BODY, summary="Change an event", openapi_extra=WAIT
)
def edit_event(request: HttpRequest, id: Id, event_id: EventId, body: EventChangeIn) -> VehicleEvent:
    """Changes what is given, and moves the entry to another vehicle where one is; the mileage of both follows."""
    changes = body.dict(exclude_unset=True)
    to, reason = changes.pop("vehicle_id", None), changes.pop("reason", "")
    return events.edit_event(id, event_id, by=_by(request), reason=reason, to=to, **changes)


@router.delete("/{id}/events/{event_id}", response={204: None} | REFUSED, summary="Delete an event", openapi_extra=WAIT)
def delete_event(
    request: HttpRequest,
    id: Id,
    event_id: EventId,
    query: Query[DeleteIn],
) -> Status[None]:
    """The entry says nothing any more; the mileage follows the rest."""
    events.delete_event(id, event_id, by=_by(request), reason=query.reason, for_good=query.for_good)
    return Status(204, None)


@router.post(
    "/{id}/events/{event_id}/restore",
    response={200: EventOut} | REFUSED,
    summary="Restore an event",
    openapi_extra=WAIT,
)
def restore_event(request: HttpRequest, id: Id, event_id: EventId) -> VehicleEvent:
    """Puts a deleted entry back into the log."""
    return events.restore_event(id, event_id, by=_by(request))


# Anomalies and reminders


@router.get("/{id}/anomalies", response={200: SuspectsOut} | REFUSED, summary="What looks wrong", openapi_extra=WAIT)
def list_anomalies(request: HttpRequest, id: Id) -> dict[str, Any]:
    """Readings and overrides that a person should look at, as the log is now; accepted ones are left out."""
    return {"anomalies": anomalies.suspects(id)}


@router.post(
    "/{id}/anomalies/accept",
    response={200: AcceptedOut} | REFUSED_BODY,
    summary="Accept an anomaly",
    openapi_extra=WAIT,
)
def accept_anomaly(request: HttpRequest, id: Id, body: AcceptIn) -> dict[str, Any]:
    """It is right although it looks wrong; it is not reported until the acceptance expires."""
    accepted = anomalies.accept(id, body.event_id, by=_by(request), because=body.reason, until=body.until)
    return {"success": True, "rules": [violation.rule for violation in accepted]}


@router.post(
    "/{id}/anomalies/correct", response={200: EventOut} | REFUSED_BODY, summary="Correct a reading", openapi_extra=WAIT
)
def correct_reading(request: HttpRequest, id: Id, body: CorrectIn) -> VehicleEvent:
    """The reading becomes what the odometer really read; the audit keeps the wrong one."""
    return anomalies.correct(id, body.event_id, body.miles, by=_by(request), reason=body.reason)


@router.get("/reminders/due", response={200: RemindersOut} | REFUSED, summary="Service that is due", openapi_extra=WAIT)
def list_reminders(request: HttpRequest, query: Query[RemindersIn]) -> dict[str, Any]:
    """What is due by mileage or by day, and when the rest is expected to be."""
    states = {"due": ["due"], "soon": ["due", "soon"], "all": []}[query.state]
    vehicles = None if query.vehicle is None else [find_vehicle(query.vehicle, field="vehicle").pk]
    return {"reminders": [_reminder(status) for status in reminders.statuses(vehicles, states=states)]}


def _reminder(status: reminders.Status) -> dict[str, Any]:
    reminder = status.reminder
    return {
        "id": reminder.pk,
        "uuid": reminder.uuid,
        "vehicle_id": status.vehicle.pk,
        "vehicle": status.vehicle.name,
        "title": reminder.title,
        "state": status.state.value,
        "due_miles": reminder.due_miles,
        "due_on": reminder.due_on,
        "miles_left": status.miles_left,
        "days_left": status.days_left,
        "prediction": asdict(status.prediction) if status.prediction else None,
    }
