"""Anomalies: readings and overrides that a person should look at, accept as they are, or correct."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction

from integrity.engine import accept as accept_violation
from integrity.engine import analyze
from integrity.exceptions import UsageError
from integrity.keys import Key
from integrity.look import finding
from integrity.models import Violation
from integrity.observer import Observer
from integrity.records import accepted_keys
from integrity.registry import registry
from integrity.reports import Finding, Report
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import fetch
from vehicles.events import edit_event
from vehicles.exceptions import Invalid, Unknown
from vehicles.finding import Reference, find_event, find_vehicle
from vehicles.models import Anomaly, Vehicle, VehicleEvent

GROW, MISTYPED, STALE = (
    f"vehicles.{name}" for name in ("readings_grow", "readings_not_mistyped", "override_is_current")
)
RULES = (GROW, MISTYPED, STALE)


@dataclass(frozen=True)
class Suspect:
    """A reading or an override that breaks a rule; of an override there is no event.

    suggested: the reading that was most likely meant, or for an override the newest reading.
    """

    rule: str
    vehicle: int
    event: int | None
    occurred_at: datetime | None
    miles: int
    suggested: int | None
    why: str
    evidence: dict[str, Any]


def rules() -> list[Rule]:
    """The rules whose violations are anomalies."""
    return [registry.get(label) for label in RULES]


def check_anomalies(
    vehicle: Reference | None = None, *, limit: int = 20, observer: Observer | None = None, actor: str | None = None
) -> Report:
    """Look at all readings and overrides, or at those of one vehicle, and remember what is found. Raises Unknown."""
    keys = None if vehicle is None else _keys(find_vehicle(vehicle))
    return analyze(rules(), keys=keys, sample=limit, observer=observer, actor=actor)


def suspects(vehicle: Reference) -> list[Suspect]:
    """The anomalies of a vehicle as its log is now, accepted ones left out. Raises Unknown."""
    found = find_vehicle(vehicle)
    keys = _keys(found)
    return [suspect for rule in rules() for suspect in suspects_of(rule.label, _look(rule, keys[rule.label]))]


def _keys(vehicle: Vehicle) -> dict[str, Sequence[Key]]:
    events: Sequence[Key] = [(pk,) for pk in vehicle.events.values_list("pk", flat=True)]
    return {GROW: events, MISTYPED: events, STALE: [(vehicle.pk,)]}


def _look(rule: Rule, keys: Sequence[Key]) -> list[Finding]:
    scope = Scope(keys=tuple(keys), without=accepted_keys(rule, DEFAULT_DB_ALIAS))
    return [finding(rule, row) for row in fetch(connection, rule.violations(scope, DEFAULT_DB_ALIAS))]


def suspects_of(rule: str, findings: Sequence[Finding]) -> list[Suspect]:
    """What the findings of a rule are about; readings that have gone since are left out."""
    if rule == STALE:
        return [_stale(found) for found in findings]
    events = VehicleEvent.objects.in_bulk([found.key[0] for found in findings])
    return [
        Suspect(
            rule=rule,
            vehicle=events[found.key[0]].vehicle_id,
            event=found.key[0],
            occurred_at=events[found.key[0]].occurred_at,
            miles=found.actual["miles"],
            suggested=found.evidence.get("suggested"),
            why=found.evidence["why"],
            evidence=found.evidence,
        )
        for found in findings
        if found.key[0] in events
    ]


def _stale(found: Finding) -> Suspect:
    return Suspect(
        rule=STALE,
        vehicle=found.key[0],
        event=None,
        occurred_at=None,
        miles=found.actual["current_mileage_override"],
        suggested=found.expected["current_mileage_override"],
        why="three newer readings contradict this override",
        evidence=found.evidence,
    )


def accept(
    vehicle: Reference, event: Reference | None, *, by: str, because: str, until: datetime | None = None
) -> list[Violation]:
    """Take what looks wrong for right: a reading, or without one the override, under every rule that it breaks.

    Raises Unknown for no such row, and Invalid for one that breaks nothing and for a missing reason.
    """
    found = find_vehicle(vehicle)
    key: Key = (found.pk,) if event is None else (find_event(found, event).pk,)
    concerned = [rule for rule in rules() if (rule.label == STALE) == (event is None)]
    if not because.strip():
        raise Invalid("Say why: the anomaly is kept with its reason.", "reason")
    report = analyze(concerned, keys=[key], actor=by)
    broken = [registry.get(rule.rule) for rule in report.rules if rule.violations]
    if not broken:
        raise Invalid("There is nothing to accept: it breaks no rule.", "event_id")
    try:
        # Both rules or none: a reading that one of them still reports is not accepted.
        with transaction.atomic():
            return [accept_violation(rule, key, by=by, because=because, until=until) for rule in broken]
    except UsageError as error:
        raise Invalid(str(error), "until") from error


def correct(vehicle: Reference, event: Reference, miles: int, *, by: str, reason: str) -> VehicleEvent:
    """Put a reading right; the audit keeps the wrong one with the reason. Raises Unknown and Invalid."""
    if not reason.strip():
        raise Invalid("Say why: the correction is kept with its reason.", "reason")
    corrected = edit_event(vehicle, event, by=by, reason=reason.strip(), miles=miles)
    check_anomalies(corrected.vehicle_id, actor=by)
    return corrected


def subject_of(anomaly: Anomaly | Violation) -> tuple[Vehicle, VehicleEvent | None]:
    """What a stored anomaly is about. Raises Unknown when that is gone."""
    if anomaly.rule == STALE:
        return find_vehicle(anomaly.key["id"]), None
    event = VehicleEvent.objects.select_related("vehicle").filter(pk=anomaly.key["id"]).first()
    if event is None:
        raise Unknown(f"The reading {anomaly.key['id']} has been deleted.", "event_id")
    return event.vehicle, event
