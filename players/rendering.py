"""Mismatches of mileage as people read them in a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from integrity.rendering.terminal import show, table
from integrity.reports import Finding, RuleReport
from players.mileage import ADDS_UP


def mismatches(rule: RuleReport) -> Table | None:
    """Players with what is suspect, or groups."""
    found = [finding for finding in rule.sample if "direction" in finding.evidence]
    if not found:
        return None
    return _players(found) if rule.rule == ADDS_UP else _groups(found)


def _players(found: list[Finding]) -> Table:
    rows = [
        [
            finding.key[0],
            finding.evidence["player"],
            finding.actual["distance_total"],
            finding.evidence["history"],
            finding.evidence["in_flight"],
            *_difference(finding),
            [_suspect(row) for row in finding.evidence["suspects"]] or "-",
        ]
        for finding in found
    ]
    columns = ["id", "player", "master", "history", "in flight", "difference", "", "most likely at fault"]
    return table(columns, rows, right=["id", "master", "history", "in flight", "difference"])


def _groups(found: list[Finding]) -> Table:
    rows = [
        [
            finding.key[0],
            finding.evidence["group"],
            finding.actual["distance_total"],
            finding.expected["distance_total"],
            *_difference(finding),
        ]
        for finding in found
    ]
    columns = ["id", "group", "stored", "of its players", "difference", ""]
    return table(columns, rows, right=["id", "stored", "of its players", "difference"])


def _difference(finding: Finding) -> tuple[str, str]:
    return f"{finding.evidence['difference']:+f}", finding.evidence["direction"]


def _suspect(row: dict[str, Any]) -> str:
    km = f" {show(row['distance_km'])} km" if row["distance_km"] is not None else ""
    device = f" on {row['device']}" if row["device"] else ""
    return f"{row['hour']:%Y-%m-%d %H:%M}{km}{device}: {row['why']}"
