"""Mismatches of mileage as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from integrity.rendering.terminal import table
from integrity.reports import Finding, RuleReport
from players.mileage import ADDS_UP


def mismatches(rule: RuleReport) -> RenderableType | None:
    """Players with what is suspect, or groups."""
    found = [finding for finding in rule.sample if "direction" in finding.evidence]
    if not found:
        return None
    return Group(*_players(found)) if rule.rule == ADDS_UP else _groups(found)


def _players(found: list[Finding]) -> Iterator[RenderableType]:
    rows = [
        [
            finding.key[0],
            finding.evidence["player"],
            finding.actual["distance_total"],
            finding.evidence["history"],
            finding.evidence["in_flight"],
            *_difference(finding),
        ]
        for finding in found
    ]
    columns = ["id", "player", "master", "history", "in flight", "difference", ""]
    yield table(columns, rows, right=["id", "master", "history", "in flight", "difference"])
    suspects = [_suspect(finding, row) for finding in found for row in finding.evidence["suspects"]]
    if suspects:
        yield "\nMost likely at fault:"
        yield table(["id", "hour", "km", "device", "why"], suspects, right=["id", "km"])


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


def _suspect(finding: Finding, row: dict[str, Any]) -> list[Any]:
    return [finding.key[0], row["hour"], row["distance_km"] or "-", row["device"] or "-", row["why"]]
