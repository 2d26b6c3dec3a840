"""The declared rules: what they say, how they stand, and the SQL that finds what breaks them."""

from typing import Annotated, Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest
from django.utils import timezone
from ninja import Path, Query

from integrity.api.answers import RuleInFullOut, RulesOut, StatementOut
from integrity.api.asked import RulesIn, StatementIn
from integrity.api.fields import Label
from integrity.api.routing import operations
from integrity.enforcement.states import states
from integrity.looks import last_looks
from integrity.models import Result, Run, Violation
from integrity.registry import registry
from integrity.rendering.listing import result_object, rule_object
from integrity.rendering.machine import list_object
from integrity.rules.base import Rule
from integrity.schedules.scheduling import next_look
from integrity.scope import Scope

Name = Annotated[Label, Path(description="The rule, `app.name`.", examples=["players.mileage_adds_up"])]


@operations.get("/rules", "The declared rules", out=RulesOut)
def list_rules(request: HttpRequest, asked: Query[RulesIn]) -> dict[str, Any]:
    """What must be true, in the order of declaration."""
    rules = [
        rule
        for rule in registry
        if (asked.app in (None, rule.app))
        and (asked.tag is None or asked.tag in rule.tags)
        and (asked.severity in (None, rule.severity))
    ]
    return list_object("rules", _objects(rules))


def _objects(rules: list[Rule]) -> list[dict[str, Any]]:
    now, looks = timezone.now(), last_looks(rules)
    return [rule_object(rule, states(rule), next_look(rule, looks[rule.label], now)) for rule in rules]


@operations.get("/rules/{name}", "One rule", out=RuleInFullOut, refuses=(404,))
def show_rule(request: HttpRequest, name: Name) -> dict[str, Any]:
    """What it declares, what cures it, what the database does for it, and what the last look at all of it found."""
    rule = registry.get(name)
    looks = Result.objects.filter(rule=rule.label, database=DEFAULT_DB_ALIAS, run__verb=Run.Verb.ANALYZE)
    last = (
        looks.filter(run__keys__isnull=True)
        .exclude(run__finished_at=None)
        .select_related("run")
        .order_by("-pk")
        .first()
    )
    stored = Violation.objects.filter(rule=rule.label, database=DEFAULT_DB_ALIAS)
    (told,) = _objects([rule])
    return told | {
        "declaration": declaration(rule),
        "strategies": strategies(rule),
        "why": states(rule).why or None,
        "last": result_object(last) | {"sample": []} if last else None,
        "last_looked": last.run.finished_at if last else None,
        "open": stored.filter(status=Violation.Status.OPEN).count(),
        "accepted": stored.filter(status=Violation.Status.ACCEPTED).count(),
    }


@operations.get("/rules/{name}/sql", "The SQL of a rule", out=StatementOut, refuses=(404,))
def show_statement(request: HttpRequest, name: Name, asked: Query[StatementIn]) -> dict[str, Any]:
    """The one statement that finds every row which breaks the rule; nothing is run."""
    rule = registry.get(name)
    scope = Scope.of(None if asked.key is None else [rule.parse_key(asked.key)])
    return {"rule": rule.label, "database": DEFAULT_DB_ALIAS, "sql": statement(rule, scope)}


def statement(rule: Rule, scope: Scope, using: str = DEFAULT_DB_ALIAS) -> str:
    """The SQL that finds what breaks a rule in scope."""
    return rule.violations(scope, using).inline(connections[using])


def strategies(rule: Rule) -> list[dict[str, Any]]:
    """What could cure a rule."""
    return [
        {
            "strategy": name,
            "does": ", then ".join(step.verb for step in steps),
            "writes": list(dict.fromkeys(model._meta.db_table for step in steps for model in step.writes(rule))),
            "whole_table": any(step.whole for step in steps),
        }
        for name, steps in rule.repairs.items()
    ]


def declaration(rule: Rule) -> dict[str, str]:
    """What a rule says beyond its name and reason, argument by argument, as Python would print it."""
    told = {name: held for name, held in vars(rule).items() if not name.startswith("_") and name not in _TOLD_APART}
    return {name: _printed(held) for name, held in told.items() if held not in (None, "", (), [], {}, False)}


_TOLD_APART = (
    *("model", "name", "because", "severity", "tags", "owner", "app", "repairs", "enforce", "tracked"),
    *("every", "sweep", "automatic"),
)


def _printed(held: Any) -> str:
    if isinstance(held, type):
        return held.__name__
    if isinstance(held, dict):
        return ", ".join(f"{name}: {_printed(part)}" for name, part in held.items())
    if isinstance(held, list | tuple):
        return ", ".join(map(_printed, held))
    return str(held)
