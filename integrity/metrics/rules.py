"""How the rules stand by their last looks, and what the database does for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import DatabaseError
from prometheus_client.core import Metric

from integrity.checkup import DEGRADED, HEALTHY, NOT_CHECKED, Check
from integrity.enforcement.base import DISABLED, ENFORCED, GUARDED, MISSING, OUTDATED, RETIRED
from integrity.enforcement.states import state
from integrity.exceptions import EngineError
from integrity.health import recorded_health
from integrity.importing.declarations import Import
from integrity.looks import last_looks
from integrity.metrics.families import Rows, gauge, seconds
from integrity.rules.base import Rule
from integrity.schedules.overdue import overdue

_STATES = (MISSING, GUARDED, ENFORCED, OUTDATED, DISABLED, RETIRED, "unknown")
_RULE = ("rule", "app", "severity")


def of_rules(rules: Sequence[Rule], imports: Sequence[Import]) -> Iterable[Metric]:
    """By rule: violations, rows, whether they were checked, when and how long; by app and in all: health."""
    found = recorded_health(rules, imports)
    checks = [check for check in found.checks if check.rule]
    looks = last_looks(rules)
    late = {one.rule.label for one in overdue(rules=rules, looks=looks)}

    def about(check: Check) -> tuple[str, str, str]:
        return check.rule, check.app, check.severity

    yield gauge(
        "rule_violations", "Violations known of now; no sample where it was not checked.", _RULE,
        ((about(check), check.found) for check in checks),
    )  # fmt: skip
    yield gauge(
        "rule_checked_rows", "What the last look had to check.", _RULE, ((about(check), check.of) for check in checks)
    )
    yield gauge(
        "rule_not_checked", "1 where the last look failed, came too late, or never was.", _RULE,
        ((about(check), check.status == NOT_CHECKED) for check in checks),
    )  # fmt: skip
    yield gauge(
        "rule_overdue", "1 where a scheduled look has not come.", _RULE,
        ((about(check), check.rule in late) for check in checks),
    )  # fmt: skip
    yield gauge(
        "rule_last_look_timestamp_seconds", "When the look began that tells how the rule stands.", _RULE,
        ((about(check), seconds(check.looked)) for check in checks),
    )  # fmt: skip
    yield gauge(
        "rule_last_sweep_timestamp_seconds", "When the last look at everything began.", _RULE,
        ((about(check), seconds(check.sweep)) for check in checks),
    )  # fmt: skip
    yield gauge(
        "rule_look_seconds", "How long the last look took.", _RULE,
        ((about(check), look.seconds) for check in checks if (look := looks[check.rule].look)),
    )  # fmt: skip
    yield gauge(
        "rule_enforcement", "1 for the state that the enforcement of a rule is in.", ("rule", "app", "state"),
        _states(rules),
    )  # fmt: skip
    yield gauge(
        "checks", "Checks of health by what they came to.", ("app", "status"),
        (
            ((app, status), sum(check.app == app and check.status == status for check in found.checks))
            for app in sorted({check.app for check in found.checks})
            for status in (HEALTHY, DEGRADED, NOT_CHECKED)
        ),
    )  # fmt: skip
    yield gauge("score", "0 to 100, as `integrity health` tells it.", (), [((), found.score)])
    yield gauge("app_score", "0 to 100, of one app.", ("app",), (((one.app,), one.score) for one in found.apps))


def _states(rules: Iterable[Rule]) -> Rows:
    for rule in rules:
        if rule.enforce:
            now = _state(rule)
            yield from (((rule.label, rule.app, one), one == now) for one in _STATES)


def _state(rule: Rule) -> str:
    """A database that cannot say it leaves the other metrics readable."""
    try:
        return state(rule)
    except (DatabaseError, EngineError):
        return "unknown"
