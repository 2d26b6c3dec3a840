"""Health for people: checks by severity, with denominators and the trend, and what it comes to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rich.console import Console
from rich.text import Text

from integrity.checkup import DEGRADED, FORMULA, HEALTHY, NOT_CHECKED, Check, Enforced, Health
from integrity.rendering.machine import lines
from integrity.rendering.terminal import table
from integrity.rules.base import SEVERITIES
from integrity.schedules.spans import told

_STYLES = {HEALTHY: "green", DEGRADED: "red", NOT_CHECKED: "yellow"}


def print_health(out: Console, found: Health) -> None:
    """A line for each check, the notes of what is not well, what it comes to for each app, the verdict."""
    rows = [
        [check.severity, check.what, Text(check.status, style=_STYLES[check.status]), _of(check), _trend(check)]
        for check in found.checks
    ]
    out.print(table(["severity", "check", "status", "wrong", "trend"], rows, right=["wrong"]))
    for check in found.checks:
        if (check.found or check.found is None) and check.note:
            out.print(f"\n{check.what}: {check.note}", soft_wrap=True, markup=False)
        if check.forecast:
            out.print(f"\n{check.what}: {check.forecast}", soft_wrap=True, markup=False)
    if found.apps:
        out.print()
        _print_apps(out, found)
    before = "The sweep before this one" if found.run else "The last sweep"
    out.print(f"\n{before}: {_ago(found.last_sweep)}.", soft_wrap=True)
    score = "" if found.score is None else f", score {found.score:g} of 100"
    verdict = Text(f"{found.status}{score}", style=f"bold {_STYLES[found.status]}")
    source = f"Run {found.run}: " if found.run else "From the records: "
    out.print(Text(source).append_text(verdict), soft_wrap=True)
    out.print(FORMULA, soft_wrap=True, markup=False)


def _print_apps(out: Console, found: Health) -> None:
    rows = [
        [
            one.app,
            Text(one.status, style=_STYLES[one.status]),
            "-" if one.score is None else f"{one.score:g}",
            *("?" if one.violations[severity] is None else f"{one.violations[severity]:,}" for severity in SEVERITIES),
            _installed(one.enforced),
            _ago(one.sweep),
        ]
        for one in found.apps
    ]
    header = ["app", "status", "score", "errors", "warnings", "infos", "enforced", "last sweep"]
    out.print(table(header, rows, right=["score", "errors", "warnings", "infos", "enforced"]))


def _installed(enforced: Enforced) -> str:
    if not enforced.declared:
        return "-"
    return f"{'?' if enforced.installed is None else enforced.installed} of {enforced.declared}"


def _ago(at: datetime | None) -> str:
    if at is None:
        return "never"
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}, {told(timezone.now() - at)} ago"


def to_csv(found: Health) -> str:
    """A line for each check."""
    header = [
        *("what", "severity", "status", "found", "of", "trend", "note"),
        *("app", "rule", "looked", "last_sweep", "forecast"),
    ]
    rows: list[list[Any]] = [
        [
            *(c.what, c.severity, c.status, c.found, c.of, " ".join(map(str, c.trend)), c.note),
            *(c.app, c.rule, c.looked, c.sweep, str(c.forecast or "")),
        ]
        for c in found.checks
    ]
    return lines(header, rows)


def _of(check: Check) -> str:
    if check.found is None:
        return "?"
    return f"{check.found:,}" if check.of is None else f"{check.found:,} of {check.of:,}"


def _trend(check: Check) -> str:
    now = [] if check.found is None else [check.found]
    return " → ".join(f"{count:,}" for count in (*check.trend, *now)) if check.trend else "-"
