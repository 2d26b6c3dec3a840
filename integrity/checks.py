"""Wrong declarations, told when Django starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error
from django.db import connections, router

from integrity.enforcement.ways import enforcement_of
from integrity.registry import registry
from integrity.schedules.schedule import TAG, setting_problems


def check_rules(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Every rule's own checks, that its model lives on PostgreSQL, and that its triggers would be installed."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    found: list[CheckMessage] = []
    for rule in registry:
        if labels is None or rule.app in labels:
            found += [*_database(rule), *rule.check(), *_triggers(rule)]
    return found


def check_schedules(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """What the setting says about rules that do not say themselves when they are looked at."""
    known = {name for rule in registry for name in (rule.label, rule.app, *(TAG + tag for tag in rule.tags))}
    return [Error(f"{problem.message}.", hint=problem.hint, id="integrity.E005") for problem in setting_problems(known)]


def _triggers(rule: Any) -> list[CheckMessage]:
    if apps.is_installed("pgtrigger") or not (rule.enforce or rule.tracked) or rule.check():
        return []
    if not rule.tracked and not enforcement_of(rule).needs_pgtrigger:
        return []
    option, wanted = ("tracked", "tracked") if rule.tracked else ("enforce", "kept true")
    return [
        Error(
            f"{rule.label} is to be {wanted} by triggers, and no migration would install them.",
            hint=f'Add "pgtrigger" to INSTALLED_APPS and run makemigrations, or leave {option}= out.',
            obj=rule.model,
            id="integrity.E003",
        )
    ]


def _database(rule: Any) -> list[CheckMessage]:
    alias = router.db_for_read(rule.model)
    vendor = connections[alias].vendor
    if vendor == "postgresql":
        return []
    return [
        Error(
            f"{rule.label}: the database {alias!r} is {vendor}, and rules need PostgreSQL 15 or later.",
            hint=f"Point DATABASES[{alias!r}] at PostgreSQL, or route {rule.model._meta.label} to one that is.",
            obj=rule.model,
            id="integrity.E001",
        )
    ]
