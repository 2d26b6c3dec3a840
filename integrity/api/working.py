"""What a request may do itself, and for how long; what is known to take longer is left to the command or the queue."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Status

from integrity import deadline, statuses
from integrity.api.fields import Key as Given
from integrity.api.problems import RETRY_AFTER, Refusal, about
from integrity.conf import conf
from integrity.exceptions import UsageError
from integrity.keys import Key, from_parts
from integrity.models import Result, Run
from integrity.rendering.listing import run_object
from integrity.rendering.machine import report_object
from integrity.reports import Report
from integrity.rules.base import Rule
from integrity.workers import queue

ROWS_A_SECOND = 5_000
"""What a repair or an undo writes at least, where nothing is in its way."""


@dataclass(frozen=True)
class Errand:
    """What a request asks for.

    takes: seconds that it is known to need, infinite for what no request should wait for. later: puts it off, where
    the queue can do the same. command: what does it where neither can.
    """

    now: Callable[[], Report]
    command: str
    takes: float = 0.0
    later: Callable[[], Run] | None = None


def carry_out(errand: Errand, request: HttpRequest, response: HttpResponse, *, wait: bool = False) -> Any:
    """A report, or 202 and the run that was put off. Raises Refusal for what takes too long.

    wait: in this request, whatever it took the last time.
    """
    limit = conf().API_SECONDS
    if errand.takes <= limit or (wait and isfinite(errand.takes)):
        return perform(errand.now, errand.command)
    if errand.later is not None and queue.is_there():
        run = errand.later()
        match = request.resolver_match
        response["Location"] = reverse(f"{match.namespace}:show_run" if match else "show_run", args=[run.pk])
        return Status(202, run_object(run))
    if isfinite(errand.takes):
        told = f"It would take about {errand.takes:.0f} s, and a request may last {limit:g} s."
        out = f"Run: {errand.command}, or try it all the same with ?wait=1."
    else:
        told, out = "It makes a whole table anew, for which no request waits.", f"Run: {errand.command}"
    raise Refusal(422, f"{told} {out}", "wait")


def perform(work: Callable[[], Report], command: str) -> dict[str, Any]:
    """Do it within the time of a request. Raises Refusal where that ended it before it wrote anything."""
    with deadline.within(conf().API_SECONDS):
        report = work()
        is_late = deadline.has_passed()
    unfinished = report.status in (statuses.FAILED, statuses.PARTIAL, statuses.REFUSED)
    if is_late and unfinished and not (report.changes and not report.dry_run):
        raise Refusal(
            503,
            f"Run {report.run} was ended after {conf().API_SECONDS:g} s, before it was done; nothing was written."
            f" Run: {command}",
            wait=RETRY_AFTER,
        )
    return report_object(report)


def looking_takes(rules: Iterable[Rule]) -> float:
    """Seconds that the last looks at all of these rules took; 0 for rules that nobody has looked at."""
    labels = [rule.label for rule in rules]
    looks = Result.objects.filter(
        rule__in=labels,
        database=DEFAULT_DB_ALIAS,
        run__verb=Run.Verb.ANALYZE,
        run__keys__isnull=True,
        seconds__isnull=False,
    )
    latest = looks.order_by("rule", "-pk").distinct("rule").values_list("seconds", flat=True)
    return sum(seconds or 0 for seconds in latest)


def writing_takes(rules: Iterable[Rule]) -> float:
    """Seconds that a repair of all violations takes about: three looks, and the rows."""
    rules = list(rules)
    labels = [rule.label for rule in rules]
    looks = Result.objects.filter(rule__in=labels, database=DEFAULT_DB_ALIAS, violations__isnull=False)
    latest = looks.order_by("rule", "-pk").distinct("rule").values_list("violations", flat=True)
    return 3 * looking_takes(rules) + sum(found or 0 for found in latest) / ROWS_A_SECOND


def strategy_of(rule: Rule, wanted: str | None, *, alone: bool) -> str:
    """The strategy by name; a rule that has a single repair needs none. Raises UsageError."""
    if not rule.repairs:
        raise UsageError(f"{rule.label} declares no repair: it is for a person to decide.")
    if wanted not in rule.repairs and not alone and len(rule.repairs) == 1:
        return next(iter(rule.repairs))
    if wanted is None and len(rule.repairs) > 1:
        raise UsageError(f"{rule.label} has several repairs; choose a strategy: {', '.join(rule.repairs)}.")
    return rule.strategy(wanted)[0]


def keys_of(rules: Sequence[Rule], given: Sequence[Given] | None) -> list[Key] | None:
    """Typed keys; they must mean the same for every rule. Raises Refusal."""
    if given is None:
        return None
    models = {rule.model._meta.label for rule in rules}
    if len(models) != 1:
        named = ", ".join(sorted(models))
        raise Refusal(422, f"Keys belong to one model, and these rules are about {named}. Name the rule.", "keys")
    with about("keys"):
        return [_key(rules[0], key) for key in given]


def _key(rule: Rule, given: Given) -> Key:
    if isinstance(given, dict):
        return from_parts(rule.key_fields, rule.model._meta.label, given)
    return rule.parse_key(str(given))
