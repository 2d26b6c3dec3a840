"""Violations as they are kept: found by filters, explained, tried, accepted."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Query

from integrity import engine
from integrity.api.answers import ReportOut, ViolationInFullOut, ViolationOut, ViolationsOut
from integrity.api.asked import AcceptViolationIn, DryRunIn, ViolationsIn
from integrity.api.fields import Id
from integrity.api.operation import SENT
from integrity.api.paging import page
from integrity.api.problems import Refusal, about
from integrity.api.routing import operations
from integrity.api.rules import statement, strategies
from integrity.api.working import perform, strategy_of
from integrity.exceptions import UnknownName
from integrity.models import Violation
from integrity.registry import registry
from integrity.rendering.machine import alone
from integrity.repair import repair
from integrity.rules.base import Rule
from integrity.scope import Scope

Number = Annotated[Id, Path(description="The id of the violation.", examples=[12])]


@operations.get("/violations", "Violations", out=ViolationsOut)
def list_violations(request: HttpRequest, asked: Query[ViolationsIn]) -> dict[str, Any]:
    """Stored violations by id; at most 10,000 of one rule are stored, its counts are exact all the same."""
    found = Violation.objects.all()
    if asked.rule is not None:
        found = found.filter(rule=asked.rule)
    if asked.app is not None:
        found = found.filter(rule__startswith=f"{asked.app}.")
    if asked.status is not None:
        found = found.filter(status=asked.status)
    if asked.severity is not None:
        found = found.filter(rule__in=[rule.label for rule in registry if rule.severity == asked.severity])
    if asked.since is not None:
        found = found.filter(last_seen__gte=asked.since)
    if asked.key is not None:
        found = found.filter(key=_key(asked.rule, asked.key))
    rows, beyond = page(request, found, asked)
    return {"violations": [_object(row) for row in rows], "next": beyond}


def _key(label: str | None, text: str) -> dict[str, Any]:
    if label is None:
        raise Refusal(422, "A key belongs to a rule: say which one.", "rule")
    with about("rule"):
        rule = registry.get(label)
    with about("key"):
        return rule.key_as_json(rule.parse_key(text))


@operations.get("/violations/{id}", "One violation", out=ViolationInFullOut, refuses=(404,))
def show_violation(request: HttpRequest, id: Number) -> dict[str, Any]:
    """With the SQL that finds it and what could cure it; `dry-run` tells what a cure would write."""
    found = _found(id)
    rule = _declared(found)
    told: dict[str, Any] = {"because": None, "sql": None, "strategies": []}
    if rule is not None:
        scope = Scope.of([rule.key_from_json(found.key)])
        told = {"because": rule.because, "sql": statement(rule, scope), "strategies": strategies(rule)}
    return _object(found) | told


@operations.post("/violations/{id}/dry-run", "Try a repair of it", scope="repair", out=ReportOut, refuses=(404, 409))
def try_repair(request: HttpRequest, id: Number, asked: Query[DryRunIn]) -> dict[str, Any]:
    """Takes the path of the repair for this one key, every check included, and rolls it back: `planned` is exact."""
    found = _found(id)
    rule = registry.get(found.rule)
    with about("strategy"):
        strategy = strategy_of(rule, asked.strategy, alone=True)
    key = rule.key_from_json(found.key)
    actor = request.auth  # type: ignore[attr-defined]
    reason = f"To see what it would write for violation {found.pk}."
    return perform(
        lambda: repair([(rule, strategy)], keys=[key], dry_run=True, actor=actor, reason=reason),
        f"manage.py integrity repair {rule.label} --strategy {strategy} --dry-run",
    )


@operations.post(
    "/violations/{id}/accept", "Accept it as an exception", scope="accept", out=ViolationOut, refuses=(404, *SENT)
)
def accept_violation(request: HttpRequest, id: Number, body: AcceptViolationIn) -> dict[str, Any]:
    """It is neither counted nor repaired until it expires, or is revoked."""
    found = _found(id)
    rule = registry.get(found.rule)
    by = request.auth  # type: ignore[attr-defined]
    key = rule.key_from_json(found.key)
    with about("because" if not body.because.strip() else "until"):
        return _object(engine.accept(rule, key, by=by, because=body.because, until=body.until, using=found.database))


@operations.post(
    "/violations/{id}/revoke", "Take the acceptance back", scope="accept", out=ViolationOut, refuses=(404,)
)
def revoke_acceptance(request: HttpRequest, id: Number) -> dict[str, Any]:
    """It counts again."""
    found = _found(id)
    rule = registry.get(found.rule)
    return _object(engine.revoke(rule, rule.key_from_json(found.key), using=found.database))


def _found(number: int) -> Violation:
    found = Violation.objects.filter(pk=number).first()
    if found is None:
        raise Refusal(404, f"There is no violation {number}.")
    return found


def _declared(found: Violation) -> Rule | None:
    try:
        return registry.get(found.rule)
    except UnknownName:
        return None


def _object(found: Violation) -> dict[str, Any]:
    rule = _declared(found)
    return {
        "id": found.pk,
        "rule": found.rule,
        "severity": rule.severity if rule else None,
        "database": found.database,
        "status": str(found.status),
        "key": found.key,
        "actual": alone(found.actual or {}),
        "expected": alone(found.expected or {}),
        "evidence": found.evidence,
        "first_seen": found.first_seen,
        "last_seen": found.last_seen,
        "resolved_at": found.resolved_at,
        "run": found.run_id,
        "accepted_by": found.accepted_by or None,
        "accepted_because": found.accepted_because or None,
        "accepted_until": found.accepted_until,
    }
