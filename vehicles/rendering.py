"""Anomalies as people read them in a terminal."""

from __future__ import annotations

from rich.table import Table

from integrity.rendering.terminal import table
from integrity.reports import RuleReport
from integrity.shown import show
from vehicles.anomalies import STALE, Suspect, suspects_of
from vehicles.models import Vehicle


def anomalies(rule: RuleReport) -> Table | None:
    """What looks wrong, vehicle by vehicle."""
    found = suspects_of(rule.rule, [finding for finding in rule.sample if finding.actual])
    if not found:
        return None
    names = dict(Vehicle.objects.filter(pk__in={s.vehicle for s in found}).values_list("pk", "name"))
    if rule.rule == STALE:
        rows = [[s.vehicle, names.get(s.vehicle), s.miles, s.evidence["readings"], s.why] for s in found]
        return table(["vehicle", "name", "override", "newer readings", "why"], rows, right=["vehicle", "override"])
    columns = ["vehicle", "name", "event", "at", "miles", "before", "after", "meant", "why"]
    return table(columns, [_reading(s, names) for s in found], right=["vehicle", "event", *columns[4:8]])


def _reading(suspect: Suspect, names: dict[int, str]) -> list[object]:
    sides = (suspect.evidence["previous"], suspect.evidence["next"])
    neighbours = ["-" if side is None else side for side in sides]
    at = f"{suspect.occurred_at:%Y-%m-%d %H:%M}" if suspect.occurred_at else "-"
    meant = "-" if suspect.suggested is None else show(suspect.suggested)
    name = names.get(suspect.vehicle)
    return [suspect.vehicle, name, suspect.event, at, suspect.miles, *neighbours, meant, suspect.why]
