"""The verbs that begin something: analyze, repair and enforce."""

import shlex
from math import inf
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse
from ninja import Query

from integrity import engine
from integrity.api.answers import ReportOut, RunOut
from integrity.api.asked import AnalyzeIn, EnforceIn, RepairIn, WaitIn
from integrity.api.operation import SENT
from integrity.api.problems import Refusal, about
from integrity.api.routing import operations
from integrity.api.working import Errand, carry_out, keys_of, looking_takes, strategy_of, writing_takes
from integrity.enforce import enforce
from integrity.exceptions import UnknownName
from integrity.registry import registry
from integrity.repair import repair
from integrity.rules.base import Rule
from integrity.workers import later


@operations.post("/analyze", "Look for violations", scope="analyze", out=ReportOut, put_off=RunOut, refuses=SENT)
def analyze(request: HttpRequest, body: AnalyzeIn, asked: Query[WaitIn], response: HttpResponse) -> Any:
    """One statement for each rule; writes nothing but records.

    What took longer the last time than a request may last is put off to the workers (202 and the run), or without them
    refused with the command to run.
    """
    with about("rules"):
        rules = registry.select(body.rules or ())
    with about("tags"):
        rules = [rule for rule in registry.select(tags=body.tags or ()) if rule in rules]
    using = _database(body.database)
    keys = keys_of(rules, body.keys)
    if body.changed:
        if keys is not None:
            raise Refusal(422, "What has changed is found without keys: leave them out.", "keys")
        rules = [rule for rule in rules if rule.tracked or rule.label in (body.rules or ())]
    command = _command("analyze", body.rules or [], "--changed" if body.changed else "")
    actor = _actor(request)
    errand = Errand(
        lambda: engine.analyze(rules, keys=keys, changed=body.changed, using=using, actor=actor, sample=body.sample),
        command,
        0 if body.keys or body.changed else looking_takes(rules),
        (lambda: later.analyze(rules, keys=keys, actor=actor)) if using == DEFAULT_DB_ALIAS else None,
    )
    with about("changed"):
        return carry_out(errand, request, response, wait=asked.wait)


@operations.post("/repair", "Repair", scope="repair", out=ReportOut, put_off=RunOut, refuses=(*SENT, 409))
def repair_rules(request: HttpRequest, body: RepairIn, asked: Query[WaitIn], response: HttpResponse) -> Any:
    """Carries a strategy out as one run that can be undone, or with `dry_run` rolls every batch of it back.

    One run at a time works on a rule: 409 names the other one. What is known to take longer than a request may last, or
    rebuilds a table, is put off to the workers (202 and the run), or without them refused with the command to run; what
    turns out to take longer ends between two batches, as `partial`.
    """
    with about("rules"):
        rules = [registry.get(label) for label in dict.fromkeys(body.rules)]
    with about("strategy"):
        work = [(rule, strategy_of(rule, body.strategy, alone=len(rules) == 1)) for rule in rules]
    keys = keys_of(rules, body.keys)
    _require_consent(body, work)
    command = _command("repair", body.rules, f"--strategy {shlex.quote(body.strategy)}" if body.strategy else "")
    actor, reason = _actor(request), body.reason
    whole = any(step.whole for rule, strategy in work for step in rule.strategy(strategy)[1])
    limits: dict[str, Any] = {"keys": keys, "dry_run": body.dry_run, "max_affected": body.max_affected}
    errand = Errand(
        lambda: repair(list(work), **limits, actor=actor, reason=reason, sample=body.sample),
        command,
        inf if whole else 0 if body.keys else writing_takes(rules),
        lambda: later.repair(work, **limits, actor=actor, reason=reason),
    )
    with about("max_affected" if body.max_affected else "keys"):
        return carry_out(errand, request, response, wait=asked.wait)


def _require_consent(body: RepairIn, work: list[tuple[Rule, str]]) -> None:
    if body.confirm or body.dry_run:
        return
    if body.max_affected:
        raise Refusal(422, "max_affected opens the brake: say it on purpose with confirm.", "confirm")
    if any(step.whole for rule, strategy in work for step in rule.strategy(strategy)[1]):
        raise Refusal(422, "A whole table is rebuilt: say it on purpose with confirm.", "confirm")


@operations.post(
    "/enforce", "Let the database keep rules true", scope="enforce", out=ReportOut, put_off=RunOut, refuses=(*SENT, 409)
)
def enforce_rules(request: HttpRequest, body: EnforceIn, asked: Query[WaitIn], response: HttpResponse) -> Any:
    """Installs constraints and triggers and, where no violation is left, proves it; or takes them away."""
    with about("rules"):
        rules = registry.select(body.rules)
    if any(name in body.rules for name in {rule.app for rule in rules}):
        # An app stands for those of its rules that are to be enforced.
        rules = [rule for rule in rules if rule.enforce or rule.label in body.rules]
    command = _command("enforce", body.rules, "--remove" if body.remove else "")
    actor, reason = _actor(request), body.reason
    how: dict[str, Any] = {"remove": body.remove, "dry_run": body.dry_run, "accept_dirty": body.confirm}
    how |= {"actor": actor, "reason": reason}
    errand = Errand(
        lambda: enforce(rules, **how, sample=body.sample),
        command,
        0 if body.remove else 2 * looking_takes(rules),
        lambda: later.enforce(rules, **how),
    )
    with about("rules"):
        return carry_out(errand, request, response, wait=asked.wait)


def _actor(request: HttpRequest) -> str:
    return str(request.auth)  # type: ignore[attr-defined]


def _database(alias: str | None) -> str:
    if alias is not None and alias not in connections.databases:
        with about("database"):
            raise UnknownName("database", alias, list(connections.databases))
    return alias or DEFAULT_DB_ALIAS


def _command(verb: str, rules: list[str], options: str) -> str:
    """What to type where the request is no place for it."""
    return " ".join(part for part in ("manage.py integrity", verb, *map(shlex.quote, rules), options) if part)
