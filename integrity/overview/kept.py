"""What takes some queries for each rule, and is asked once a minute: what the database keeps, which repairs wait, and
what health checks beside the rules.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from integrity import health_checks
from integrity.checkup import Check
from integrity.importing.known import imports as known_imports
from integrity.looks import last_looks
from integrity.rules.base import Rule
from integrity.schedules.overdue import overdue
from integrity.schedules.readiness import READY, readiness

SECONDS = 60


@dataclass(frozen=True)
class Waiting:
    """An automatic repair that is left to a person: it waits, is stopped or suspended, and why."""

    rule: Rule
    word: str
    why: str


@dataclass(frozen=True)
class Kept:
    """``installed`` of ``declared`` rules; None where the database could not be asked. ``lacking``: what is not."""

    installed: int | None
    declared: int
    lacking: list[str]
    waiting: list[Waiting]
    checks: list[Check]
    """What health looks at beside the rules themselves."""
    at: datetime


_known: dict[tuple[str, ...], tuple[float, Kept]] = {}


def kept(rules: Sequence[Rule]) -> Kept:
    """What this process has found in the last minute, or finds now."""
    labels = tuple(rule.label for rule in rules)
    known = _known.get(labels)
    if known and time.monotonic() - known[0] < SECONDS:
        return known[1]
    found = _look(rules)
    forget()
    _known[labels] = time.monotonic(), found
    return found


def forget() -> None:
    """Ask again next time."""
    _known.clear()


def _look(rules: Sequence[Rule]) -> Kept:
    apps = {rule.app for rule in rules}
    looks = last_looks(rules)
    imports = [one for one in known_imports if one.app in apps]
    asked = list(health_checks.enforced(rules))
    installed = [state.installed for _, state in asked]
    total = None if None in installed else sum(number or 0 for number in installed)
    lacking = [check.note for check, _ in asked if check.note]
    stands = [(rule, readiness(rule)) for rule in rules if rule.automatic]
    waiting = [Waiting(rule, now.word, now.why) for rule, now in stands if now.word != READY]
    checks = [check for check, _ in asked]
    checks += health_checks.others(rules, imports, overdue(rules=rules, looks=looks), looks)
    return Kept(total, sum(state.declared for _, state in asked), lacking, waiting, checks, timezone.now())
