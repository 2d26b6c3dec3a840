"""Health for people: checks by severity, with denominators and the trend, and what it comes to."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from integrity.health import DEGRADED, FORMULA, HEALTHY, NOT_CHECKED, Check, Health
from integrity.rendering.machine import lines
from integrity.rendering.terminal import table

_STYLES = {HEALTHY: "green", DEGRADED: "red", NOT_CHECKED: "yellow"}


def print_health(out: Console, found: Health) -> None:
    """A line for each check, the notes of what is not well, the verdict."""
    rows = [
        [check.severity, check.what, Text(check.status, style=_STYLES[check.status]), _of(check), _trend(check)]
        for check in found.checks
    ]
    out.print(table(["severity", "check", "status", "wrong", "trend"], rows, right=["wrong"]))
    for check in found.checks:
        if (check.found or check.found is None) and check.note:
            out.print(f"\n{check.what}: {check.note}", soft_wrap=True, markup=False)
    sweep = f"{found.last_sweep:%Y-%m-%d %H:%M %Z}" if found.last_sweep else "never"
    out.print(f"\nThe sweep before this one: {sweep}.", soft_wrap=True)
    score = "" if found.score is None else f", score {found.score:g} of 100"
    verdict = Text(f"{found.status}{score}", style=f"bold {_STYLES[found.status]}")
    out.print(Text("Run ").append(f"{found.run}: ").append_text(verdict), soft_wrap=True)
    out.print(FORMULA, soft_wrap=True, markup=False)


def to_csv(found: Health) -> str:
    """A line for each check."""
    header = ["what", "severity", "status", "found", "of", "trend", "note"]
    rows: list[list[Any]] = [
        [c.what, c.severity, c.status, c.found, c.of, " ".join(map(str, c.trend)), c.note] for c in found.checks
    ]
    return lines(header, rows)


def _of(check: Check) -> str:
    if check.found is None:
        return "?"
    return f"{check.found:,}" if check.of is None else f"{check.found:,} of {check.of:,}"


def _trend(check: Check) -> str:
    now = [] if check.found is None else [check.found]
    return " → ".join(f"{count:,}" for count in (*check.trend, *now)) if check.trend else "-"
