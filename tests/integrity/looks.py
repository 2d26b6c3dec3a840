"""Looks that took place at a time of the test's choosing, as records tell of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from integrity.models import Result, Run
from integrity.rules.base import Rule

NOW = timezone.now().replace(microsecond=0)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def looked(
    rule: Rule, at: datetime, violations: int | None = 0, /, *, status: str = "", checked: int = 100, **fields: Any
) -> Run:
    """A run that looked at one rule. fields: of the result; verb, keys and dry_run of the run."""
    of_run = {part: fields.pop(part) for part in ("verb", "keys", "dry_run") if part in fields}
    status = status or ("violated" if violations else "clean")
    run = Run.objects.create(
        **{"verb": "analyze", **of_run},
        status=status if status != "retired" else "clean",
        actor="ann",
        database="default",
        host="",
        pid=0,
        started_at=at,
        heartbeat_at=at,
        finished_at=at + timedelta(seconds=1),
    )
    of_result = {"rule": rule.label, "database": "default", "checked": checked, **fields}
    Result.objects.create(run=run, status=status, violations=violations, **of_result)
    return run
